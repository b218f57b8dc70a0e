//! Values that take long to compute, kept for the next time.

use crate::error::Result;
use crate::gpu::device::lock::lock;
use std::fmt;
use std::sync::{Arc, Mutex};

/// A bounded number of computed values. A thread that asks for one that another thread is computing waits for that one;
/// nobody waits for any other.
pub(crate) struct Cache<K, V> {
    /// The longest unused one first; `None` while it is computed, or where that failed.
    slots: Mutex<Vec<(K, Slot<V>)>>,
    most: usize,
}

type Slot<V> = Arc<Mutex<Option<V>>>;

impl<K: PartialEq + Clone, V: Clone> Cache<K, V> {
    /// A cache of at most `most` values.
    pub(crate) fn new(most: usize) -> Self {
        Self { slots: Mutex::default(), most }
    }

    /// The value of a key, computed where it is not kept. A failure is not kept: who asks next computes again.
    pub(crate) fn get(&self, key: &K, compute: impl FnOnce() -> Result<V>) -> Result<V> {
        let slot = self.slot(key);
        let mut value = lock(&slot);
        match &*value {
            Some(value) => Ok(value.clone()),
            None => Ok(value.insert(compute()?).clone()),
        }
    }

    /// The slot of a key, which becomes the most recently used one.
    fn slot(&self, key: &K) -> Slot<V> {
        let mut slots = lock(&self.slots);
        let entry = match slots.iter().position(|(other, _)| other == key) {
            Some(index) => slots.remove(index),
            None => (key.clone(), Slot::default()),
        };
        let slot = entry.1.clone();
        slots.push(entry);
        if slots.len() > self.most {
            slots.remove(0);
        }
        slot
    }
}

impl<K, V> fmt::Debug for Cache<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cache of at most {}", self.most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;
    use std::sync::mpsc::channel;
    use std::thread;

    fn never() -> Result<i32> {
        panic!("it is kept")
    }

    #[test]
    fn only_those_who_want_the_same_wait() {
        let cache = Cache::new(4);
        let (begun, has_begun) = channel();
        let (release, released) = channel();
        thread::scope(|scope| {
            let slow = move || {
                begun.send(()).unwrap();
                released.recv().unwrap();
                Ok(10)
            };
            let cache = &cache;
            let first = scope.spawn(move || cache.get(&1, slow));
            has_begun.recv().unwrap();
            // While 1 is computed: another is computed and found again. Under one lock for all this would wait forever.
            assert_eq!(cache.get(&2, || Ok(20)).unwrap(), 20);
            assert_eq!(cache.get(&2, never).unwrap(), 20);
            let second = scope.spawn(|| cache.get(&1, never));
            release.send(()).unwrap();
            assert_eq!((first.join().unwrap().unwrap(), second.join().unwrap().unwrap()), (10, 10));
        });
    }

    #[test]
    fn the_longest_unused_one_goes() {
        let cache = Cache::new(2);
        for key in [1, 2, 1, 3] {
            cache.get(&key, || Ok(key * 10)).unwrap();
        }
        assert_eq!(cache.get(&1, never).unwrap(), 10);
        assert_eq!(cache.get(&3, never).unwrap(), 30);
        assert_eq!(cache.get(&2, || Ok(21)).unwrap(), 21);
    }

    #[test]
    fn a_failure_is_not_kept() {
        let cache = Cache::new(2);
        assert!(cache.get(&1, || Err(Error::Rank { given: 4 })).is_err());
        assert_eq!(cache.get(&1, || Ok(10)).unwrap(), 10);
    }
}
