//! Arrays of JavaScript's in the module's memory.

use upconv::{Error, Result};

/// So many zeros.
///
/// # Errors
/// Where there is no memory: a collection that grows by itself would trap, and its promise never settle.
pub(crate) fn zeros<T: Clone + Default>(what: &'static str, length: usize) -> Result<Vec<T>> {
    let mut zeros = Vec::new();
    if zeros.try_reserve_exact(length).is_err() {
        let bytes = length as u128 * size_of::<T>() as u128;
        return Err(Error::Memory { what, bytes });
    }
    zeros.resize(length, T::default());
    Ok(zeros)
}
