//! What is computed element by element, with a channel's parameters.

use super::element::Element;
use super::memory::{Result, filled};
use rayon::prelude::*;
use std::ops::Range;

/// Elements that a thread takes at a time.
const CHUNK: usize = 1 << 14;

/// The runs of one channel that a tensor consists of.
pub(super) struct Runs {
    pub(super) channels: usize,
    /// From one channel to the next.
    pub(super) length: usize,
    /// Whether channels are alike, so that runs need not be told apart.
    pub(super) alike: bool,
}

impl Runs {
    /// A copy of the values, whose runs went through `apply`: it is given the channel, where the run is, and the values.
    pub(super) fn map<T: Element>(
        &self,
        what: &'static str,
        values: &[T],
        apply: impl Fn(usize, Range<usize>, &mut [T]) + Sync,
    ) -> Result<Vec<T>> {
        let mut mapped = filled(what, T::default(), values.len())?;
        let run = if self.alike { usize::MAX } else { self.length };
        mapped.par_chunks_mut(CHUNK).zip(values.par_chunks(CHUNK)).enumerate().for_each(
            |(number, (mapped, values))| {
                mapped.copy_from_slice(values);
                let (mut left, mut at) = (mapped, number * CHUNK);
                while !left.is_empty() {
                    let length = (run - at % run).min(left.len());
                    let (now, rest) = left.split_at_mut(length);
                    apply(at / run % self.channels, at..at + length, now);
                    (left, at) = (rest, at + length);
                }
            },
        );
        Ok(mapped)
    }
}
