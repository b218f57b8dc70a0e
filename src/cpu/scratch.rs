//! Working memory, kept from one run to the next.

use half::f16;
use std::sync::{Mutex, PoisonError};

/// Working memory of one task.
#[derive(Debug, Default)]
pub(super) struct Scratch<T> {
    pub(super) panel: Vec<T>,
    /// What products give, before it is stored in the output.
    pub(super) results: Vec<T>,
    /// The same, rounded to the output's type.
    pub(super) rounded: Vec<f16>,
    pub(super) starts: Vec<usize>,
    pub(super) lines: Vec<T>,
}

/// Working memory to be used again: as many as tasks ever ran at once.
#[derive(Debug, Default)]
pub(super) struct Pool<T> {
    free: Mutex<Vec<Scratch<T>>>,
}

impl<T: Default> Pool<T> {
    pub(super) fn with<R>(&self, work: impl FnOnce(&mut Scratch<T>) -> R) -> R {
        let free = || self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let mut scratch = free().pop().unwrap_or_default();
        let result = work(&mut scratch);
        free().push(scratch);
        result
    }

    /// The bytes held.
    pub(super) fn bytes(&self) -> usize {
        fn bytes<T>(values: &Vec<T>) -> usize {
            values.capacity() * size_of::<T>()
        }
        let free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let each = |s: &Scratch<T>| {
            bytes(&s.panel) + bytes(&s.results) + bytes(&s.rounded) + bytes(&s.starts) + bytes(&s.lines)
        };
        free.iter().map(each).sum()
    }
}
