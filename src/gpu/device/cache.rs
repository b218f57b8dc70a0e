//! Values that take long to compute, kept for the next time.

use crate::error::Result;
use crate::gpu::device::lock::lock;
use std::fmt;
use std::sync::{Arc, Mutex};

/// Computed values of a bounded weight together. A thread that asks for one that another thread is computing waits for
/// that one; nobody waits for any other.
pub(crate) struct Cache<K, V> {
    /// The longest unused one first.
    entries: Mutex<Vec<Entry<K, V>>>,
    most: usize,
}

struct Entry<K, V> {
    key: K,
    /// 1 until the value is computed.
    weight: usize,
    slot: Slot<V>,
}

/// `None` while the value is computed, or where that failed.
type Slot<V> = Arc<Mutex<Option<V>>>;

impl<K: PartialEq + Clone, V: Clone> Cache<K, V> {
    /// A cache of values that weigh at most `most` together; the last one is kept whatever it weighs.
    pub(crate) fn new(most: usize) -> Self {
        Self { entries: Mutex::default(), most }
    }

    /// The value of a key, computed with its weight where it is not kept. A failure is not kept: who asks next computes
    /// again.
    pub(crate) fn get(&self, key: &K, compute: impl FnOnce() -> Result<(V, usize)>) -> Result<V> {
        let slot = self.slot(key);
        let mut value = lock(&slot);
        if let Some(value) = &*value {
            return Ok(value.clone());
        }
        let (computed, weight) = compute()?;
        *value = Some(computed.clone());
        let mut entries = lock(&self.entries);
        if let Some(entry) = entries.iter_mut().find(|entry| Arc::ptr_eq(&entry.slot, &slot)) {
            entry.weight = weight;
        }
        self.shorten(&mut entries);
        Ok(computed)
    }

    /// Forgets all values.
    pub(crate) fn clear(&self) {
        lock(&self.entries).clear();
    }

    /// The slot of a key, which becomes the most recently used one.
    fn slot(&self, key: &K) -> Slot<V> {
        let mut entries = lock(&self.entries);
        let entry = match entries.iter().position(|entry| entry.key == *key) {
            Some(index) => entries.remove(index),
            None => Entry { key: key.clone(), weight: 1, slot: Slot::default() },
        };
        let slot = entry.slot.clone();
        entries.push(entry);
        self.shorten(&mut entries);
        slot
    }

    /// Lets the longest unused ones go, until the others weigh no more than they may.
    fn shorten(&self, entries: &mut Vec<Entry<K, V>>) {
        let mut weight: usize = entries.iter().map(|entry| entry.weight).sum();
        let others = entries.len().saturating_sub(1);
        let gone = entries.iter().take(others).take_while(|entry| {
            let beyond = weight > self.most;
            weight -= entry.weight;
            beyond
        });
        let gone = gone.count();
        entries.drain(..gone);
    }
}

impl<K, V> fmt::Debug for Cache<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cache of a weight of at most {}", self.most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;
    use std::sync::mpsc::channel;
    use std::thread;

    fn never() -> Result<(i32, usize)> {
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
                Ok((10, 1))
            };
            let cache = &cache;
            let first = scope.spawn(move || cache.get(&1, slow));
            has_begun.recv().unwrap();
            // While 1 is computed: another is computed and found again. Under one lock for all this would wait forever.
            assert_eq!(cache.get(&2, || Ok((20, 1))).unwrap(), 20);
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
            cache.get(&key, || Ok((key * 10, 1))).unwrap();
        }
        assert_eq!(cache.get(&1, never).unwrap(), 10);
        assert_eq!(cache.get(&3, never).unwrap(), 30);
        assert_eq!(cache.get(&2, || Ok((21, 1))).unwrap(), 21);
    }

    #[test]
    fn values_are_kept_by_their_weight() {
        let cache = Cache::new(10);
        let put = |key: i32, weight: usize| cache.get(&key, || Ok((key * 10, weight))).unwrap();
        let kept = |keys: &[i32]| {
            let entries = lock(&cache.entries);
            assert_eq!(entries.iter().map(|entry| entry.key).collect::<Vec<_>>(), keys);
        };
        (1..=3).for_each(|key| assert_eq!(put(key, 3), key * 10));
        kept(&[1, 2, 3]);
        put(4, 6);
        kept(&[3, 4]);
        // One that is too heavy by itself is kept until the next.
        put(5, 11);
        kept(&[5]);
        put(6, 1);
        kept(&[6]);
    }

    #[test]
    fn a_failure_is_not_kept() {
        let cache = Cache::new(2);
        assert!(cache.get(&1, || Err(Error::Rank { given: 4 })).is_err());
        assert_eq!(cache.get(&1, || Ok((10, 1))).unwrap(), 10);
    }
}
