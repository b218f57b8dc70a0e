//! Buffers through which results are read back, kept for the next time.

use wgpu::Buffer;

/// At most this many buffers are kept,
const MAX_BUFFERS: usize = 8;

/// and at most this many bytes.
const MAX_BYTES: u64 = 256 << 20;

/// A bounded pool of unmapped buffers with usage `MAP_READ`, the longest unused one first.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    buffers: Vec<Buffer>,
}

impl Pool {
    /// A buffer of at least `size` bytes, and not so large that most of it would lie idle.
    pub(crate) fn take(&mut self, size: u64) -> Option<Buffer> {
        let fits = |buffer: &Buffer| (size..=size.saturating_mul(2).max(4096)).contains(&buffer.size());
        let index = self.buffers.iter().position(fits)?;
        Some(self.buffers.remove(index))
    }

    /// Keeps a buffer, and lets the longest unused ones go where there are too many.
    pub(crate) fn put(&mut self, buffer: Buffer) {
        self.buffers.push(buffer);
        let bytes = |buffers: &[Buffer]| buffers.iter().map(Buffer::size).sum::<u64>();
        while self.buffers.len() > MAX_BUFFERS || bytes(&self.buffers) > MAX_BYTES {
            self.buffers.remove(0);
        }
    }
}
