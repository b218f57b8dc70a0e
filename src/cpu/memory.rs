//! What can fail on the threads: allocations where there is no memory, and work that was stopped.

use crate::error::Error;
use crate::stop::Stop;

/// Why work failed. Unlike [`Error`] it can be sent between threads on every target.
#[derive(Debug)]
pub(super) enum Failure {
    /// An allocation failed.
    NoMemory {
        what: &'static str,
        bytes: u128,
    },
    Stopped,
}

pub(super) type Result<T> = std::result::Result<T, Failure>;

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::NoMemory { what, bytes } => Error::Memory { what, bytes },
            Failure::Stopped => Error::Stopped,
        }
    }
}

fn no_memory<T>(what: &'static str, len: usize) -> Failure {
    Failure::NoMemory { what, bytes: len as u128 * size_of::<T>() as u128 }
}

/// Fails where the work is to stop.
pub(super) fn unless_stopped(stop: Option<&Stop>) -> Result<()> {
    if stop.is_some_and(Stop::is_requested) { Err(Failure::Stopped) } else { Ok(()) }
}

/// An empty vector with room for `len` elements.
pub(super) fn reserved<T>(what: &'static str, len: usize) -> Result<Vec<T>> {
    let mut values = Vec::new();
    clear_for(&mut values, what, len)?;
    Ok(values)
}

/// Empties a vector and makes room for `len` elements.
pub(super) fn clear_for<T>(values: &mut Vec<T>, what: &'static str, len: usize) -> Result<()> {
    values.clear();
    values.try_reserve_exact(len).map_err(|_| no_memory::<T>(what, len))
}

/// A vector of `len` times the same element.
pub(super) fn filled<T: Clone>(what: &'static str, value: T, len: usize) -> Result<Vec<T>> {
    let mut values = reserved(what, len)?;
    values.resize(len, value);
    Ok(values)
}

/// These values, of which there are at most `len`.
pub(super) fn collect<T>(what: &'static str, len: usize, values: impl IntoIterator<Item = T>) -> Result<Vec<T>> {
    let mut collected = reserved(what, len)?;
    collected.extend(values);
    Ok(collected)
}

/// Makes room for `more` elements.
pub(super) fn reserve<T>(values: &mut Vec<T>, more: usize) -> Result<()> {
    let len = values.len().saturating_add(more);
    values.try_reserve(more).map_err(|_| no_memory::<T>("working memory", len))
}

/// Makes a scratch buffer at least as long; what it holds is arbitrary.
pub(super) fn grow<T: Clone + Default>(scratch: &mut Vec<T>, len: usize) -> Result<()> {
    if scratch.len() < len {
        reserve(scratch, len - scratch.len())?;
        scratch.resize(len, T::default());
    }
    Ok(())
}

/// The product, or `usize::MAX` where it is larger: more elements than can be had.
pub(super) fn product(factors: impl IntoIterator<Item = usize>) -> usize {
    factors.into_iter().fold(1, usize::saturating_mul)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_had_is_an_error_with_its_size() {
        let error = |result: Result<Vec<f32>>| Error::from(result.unwrap_err()).to_string();
        assert_eq!(error(reserved("a panel", 1 << 60)), "no memory for a panel: 4611686018427387904 bytes");
        assert_eq!(error(filled("a panel", 0.0, 1 << 61)), "no memory for a panel: 9223372036854775808 bytes");
        let mut scratch = vec![0.0_f32; 8];
        assert!(grow(&mut scratch, product([1 << 40, 1 << 40])).is_err());
        assert_eq!(scratch.len(), 8);
        grow(&mut scratch, 20).unwrap();
        assert_eq!(scratch.len(), 20);
    }
}
