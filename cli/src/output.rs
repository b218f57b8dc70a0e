//! Standard output and standard error: the one place that writes to them.
//!
//! A message, on standard error, that cannot be written is dropped: messages and progress never end the work. A result,
//! on standard output, that cannot be written is an error, and [`Closed`] where its reader went away.

use anyhow::{Error, Result, anyhow};
use std::fmt;
use std::io::{self, Write};

/// The exit status where the reader of standard output went away: 128 and the number of SIGPIPE, as a shell reports it
/// for programs that end by that signal.
pub(crate) const CLOSED: u8 = 141;

/// The reader of standard output went away, as `head` does. The program ends without a word.
#[derive(Debug)]
pub(crate) struct Closed;

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("standard output was closed")
    }
}

impl std::error::Error for Closed {}

/// Prints a line on standard output.
macro_rules! say {
    ($($text:tt)*) => { $crate::output::print(&(format!($($text)*) + "\n")) };
}

/// Writes a line on standard error, as far as that is possible.
macro_rules! note {
    ($($text:tt)*) => { $crate::output::message(&(format!($($text)*) + "\n")) };
}

pub(crate) use {note, say};

/// Writes text on standard output.
pub(crate) fn print(text: &str) -> Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(|error| unwritable(&error))
}

/// Writes text on standard error, in one piece.
pub(crate) fn message(text: &str) {
    // There is nowhere left to say that it failed.
    let _ = io::stderr().lock().write_all(text.as_bytes());
}

/// Why standard output could not be written.
pub(crate) fn unwritable(error: &io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::BrokenPipe => anyhow!(Closed),
        _ => anyhow!("cannot write to standard output: {error}"),
    }
}

/// An error in one line, even where a cause has line breaks.
pub(crate) fn one_line(error: &Error) -> String {
    format!("{error:#}").split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Lines beside a result that is written elsewhere: where they cannot be printed the work goes on, and the first failure
/// is told at the end.
#[derive(Debug, Default)]
pub(crate) struct Lines(Option<Error>);

impl Lines {
    pub(crate) fn print(&mut self, text: &str) {
        if self.0.is_none() {
            self.0 = print(text).err();
        }
    }

    /// Whether nobody reads on.
    pub(crate) fn failed(&self) -> bool {
        self.0.is_some()
    }

    /// The first failure.
    pub(crate) fn end(self) -> Result<()> {
        self.0.map_or(Ok(()), Err)
    }
}
