//! The buffers between the values of graphs, which all of a device use in turn.

use crate::error::Result;
use crate::gpu::device::lock::lock;
use std::sync::{Mutex, MutexGuard};
use wgpu::Buffer;

/// What stands between the values of graphs. All of them share the first buffer, the second and so
/// on, which grow with the largest need, and go when the last of them does: a queue runs one submission after another.
#[derive(Debug, Default)]
pub(crate) struct Arena {
    buffers: Mutex<Vec<Option<Buffer>>>,
    /// The most bytes that anything was prepared for: what is made anew suffices for all of them.
    expected: Mutex<Vec<u64>>,
    /// Held while the pieces of a run are submitted, which use the same buffers as those of every other run.
    submitting: Mutex<()>,
}

/// Whom an arena is for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum For {
    Runs,
    /// What callers record. They may submit it at any time, also between the pieces of a run.
    Callers,
}

impl Arena {
    /// Buffers that are made from now on are to suffice for so many bytes; what is bound keeps those it has.
    pub(crate) fn expect(&self, bytes: &[Option<u64>]) {
        let mut expected = lock(&self.expected);
        let count = expected.len().max(bytes.len());
        expected.resize(count, 0);
        for (expected, bytes) in expected.iter_mut().zip(bytes) {
            *expected = bytes.unwrap_or(0).max(*expected);
        }
    }

    /// Buffers of at least so many bytes, as far as they are needed.
    ///
    /// `make` makes a buffer of so many bytes.
    pub(crate) fn buffers(
        &self,
        bytes: &[Option<u64>],
        make: impl Fn(u64) -> Result<Buffer>,
    ) -> Result<Vec<Option<Buffer>>> {
        let mut buffers = lock(&self.buffers);
        let expected = lock(&self.expected).clone();
        let count = buffers.len().max(bytes.len());
        buffers.resize(count, None);
        for (index, (buffer, bytes)) in buffers.iter_mut().zip(bytes).enumerate() {
            let there = buffer.as_ref().map_or(0, Buffer::size);
            if let Some(needed) = bytes.filter(|&bytes| bytes > there) {
                *buffer = Some(make(expected.get(index).map_or(needed, |&expected| expected.max(needed)))?);
            }
        }
        Ok(bytes.iter().zip(&*buffers).map(|(bytes, buffer)| buffer.clone().filter(|_| bytes.is_some())).collect())
    }

    /// The bytes of both.
    pub(crate) fn bytes(&self) -> u64 {
        lock(&self.buffers).iter().flatten().map(Buffer::size).sum()
    }

    /// Until it is dropped, no other run is submitted.
    pub(crate) fn submitting(&self) -> MutexGuard<'_, ()> {
        lock(&self.submitting)
    }
}
