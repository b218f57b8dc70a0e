//! The buffers between the layers of chains: two, which all chains of a device use in turn.

use crate::error::Result;
use crate::gpu::device::lock::lock;
use std::sync::{Mutex, MutexGuard};
use wgpu::Buffer;

/// What stands between the layers of chains: what is written by the first, third … layer of one, and by the second,
/// fourth … All chains share the two, which grow with the largest need, and go when the last chain does: a queue runs one
/// submission after another.
#[derive(Debug, Default)]
pub(crate) struct Arena {
    buffers: Mutex<[Option<Buffer>; 2]>,
    /// The most bytes that a chain was prepared for: what is made anew suffices for all of them.
    expected: Mutex<[u64; 2]>,
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
    pub(crate) fn expect(&self, bytes: [Option<u64>; 2]) {
        for (expected, bytes) in lock(&self.expected).iter_mut().zip(bytes) {
            *expected = bytes.unwrap_or(0).max(*expected);
        }
    }

    /// Two buffers of at least so many bytes, as far as they are needed.
    ///
    /// `make` makes a buffer of so many bytes.
    pub(crate) fn buffers(
        &self,
        bytes: [Option<u64>; 2],
        make: impl Fn(u64) -> Result<Buffer>,
    ) -> Result<[Option<Buffer>; 2]> {
        let mut buffers = lock(&self.buffers);
        let expected = *lock(&self.expected);
        for ((buffer, bytes), expected) in buffers.iter_mut().zip(bytes).zip(expected) {
            let there = buffer.as_ref().map_or(0, Buffer::size);
            if let Some(needed) = bytes.filter(|&bytes| bytes > there) {
                *buffer = Some(make(needed.max(expected))?);
            }
        }
        Ok([0, 1].map(|turn| buffers[turn].clone().filter(|_| bytes[turn].is_some())))
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
