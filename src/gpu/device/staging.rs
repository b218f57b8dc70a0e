//! Buffers through which results are read back, kept for the next time.

use wgpu::Buffer;

/// At most this many buffers are kept,
const MAX_BUFFERS: usize = 8;

/// and at most this many bytes.
const MAX_BYTES: u64 = 256 << 20;

/// What has a size in bytes.
pub(crate) trait Bytes {
    fn bytes(&self) -> u64;
}

impl Bytes for Buffer {
    fn bytes(&self) -> u64 {
        self.size()
    }
}

/// A bounded pool of unmapped buffers with usage `MAP_READ`, the longest unused one first.
#[derive(Debug)]
pub(crate) struct Pool<B> {
    buffers: Vec<B>,
}

impl<B> Default for Pool<B> {
    fn default() -> Self {
        Self { buffers: Vec::new() }
    }
}

impl<B: Bytes> Pool<B> {
    /// A buffer of at least `size` bytes, and not so large that most of it would lie idle.
    pub(crate) fn take(&mut self, size: u64) -> Option<B> {
        let fits = |buffer: &B| (size..=size.saturating_mul(2).max(4096)).contains(&buffer.bytes());
        let index = self.buffers.iter().position(fits)?;
        Some(self.buffers.remove(index))
    }

    /// Keeps a buffer, and lets the longest unused ones go where there are too many. One that is too large by itself is
    /// not kept, and takes no other's place.
    pub(crate) fn put(&mut self, buffer: B) {
        if buffer.bytes() > MAX_BYTES {
            return;
        }
        self.buffers.push(buffer);
        let bytes = |buffers: &[B]| buffers.iter().map(B::bytes).sum::<u64>();
        while self.buffers.len() > MAX_BUFFERS || bytes(&self.buffers) > MAX_BYTES {
            self.buffers.remove(0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Bytes for u64 {
        fn bytes(&self) -> u64 {
            *self
        }
    }

    fn pool(sizes: &[u64]) -> Pool<u64> {
        let mut pool = Pool::default();
        sizes.iter().for_each(|&size| pool.put(size));
        pool
    }

    #[test]
    fn a_buffer_beyond_the_bound_leaves_the_others() {
        assert_eq!(pool(&[10, 20, MAX_BYTES + 1]).buffers, [10, 20]);
        assert_eq!(pool(&[10, 20, MAX_BYTES]).buffers, [MAX_BYTES]);
        assert_eq!(pool(&[10, 20, MAX_BYTES - 20]).buffers, [20, MAX_BYTES - 20]);
        assert_eq!(pool(&[1, 2, 3, 4, 5, 6, 7, 8, 9]).buffers, [2, 3, 4, 5, 6, 7, 8, 9]);
    }

    #[test]
    fn a_buffer_of_about_the_size_is_taken() {
        let mut pool = pool(&[8192, 100_000, 50_000]);
        assert_eq!(pool.take(40_000), Some(50_000));
        assert_eq!(pool.take(40_000), None);
        assert_eq!(pool.take(8193), None);
        assert_eq!(pool.take(8192), Some(8192));
    }
}
