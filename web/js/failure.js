/** An error with a sentence, and a code where a caller may want to tell it from others. */
export function failure(message, code) {
  const error = new Error(message);
  if (code) error.code = code;
  return error;
}
