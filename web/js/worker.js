// Answers the calls of index.js.

import { call } from './engine.js';

const running = new Map();

self.onmessage = async ({ data: { id, method, args, cancel } }) => {
  if (cancel !== undefined) {
    running.get(cancel)?.abort();
    return;
  }
  const abort = new AbortController();
  running.set(id, abort);
  try {
    const onProgress = (progress) => self.postMessage({ id, progress });
    const result = await call(method, args, { onProgress, signal: abort.signal });
    self.postMessage({ id, result }, result?.data?.buffer ? [result.data.buffer] : []);
  } catch (error) {
    self.postMessage({ id, error: { message: error.message ?? String(error), code: abort.signal.aborted ? 'cancelled' : error.code } });
  } finally {
    running.delete(id);
  }
};
