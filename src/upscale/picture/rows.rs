//! Rows that are computed side by side: on rayon's current pool with the feature `cpu`, otherwise one after another.

use crate::error::Result;
#[cfg(feature = "cpu")]
use rayon::prelude::*;

/// Gives each row of so many elements, with its number, to `work`.
pub(super) fn each_row<T: Send>(all: &mut [T], row: usize, work: impl Fn(usize, &mut [T]) + Send + Sync) {
    #[cfg(feature = "cpu")]
    all.par_chunks_exact_mut(row).enumerate().for_each(|(index, row)| work(index, row));
    #[cfg(not(feature = "cpu"))]
    all.chunks_exact_mut(row).enumerate().for_each(|(index, row)| work(index, row));
}

/// How many rows are computed at a time.
pub(super) fn at_a_time() -> usize {
    #[cfg(feature = "cpu")]
    return rayon::current_num_threads();
    #[cfg(not(feature = "cpu"))]
    1
}

/// Makes sure that there is something to compute with.
pub(super) fn ready() -> Result<()> {
    #[cfg(feature = "cpu")]
    crate::cpu::ensure_threads()?;
    Ok(())
}
