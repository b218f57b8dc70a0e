//! Outputs that are not filled with zeros first: that would cost as much as writing the result.

#![allow(unsafe_code, reason = "the one place that vouches for memory that others have written")]

use std::mem::MaybeUninit;

/// The vector of `len` elements that `fill` writes; `None` where `fill` does not say that it wrote as many.
///
/// What `fill` is given is split between tasks into disjoint parts, of which they write each element once and count it.
pub(super) fn written(len: usize, fill: impl FnOnce(&mut [MaybeUninit<f32>]) -> usize) -> Option<Vec<f32>> {
    let mut values = Vec::with_capacity(len);
    let count = fill(&mut values.spare_capacity_mut()[..len]);
    debug_assert_eq!(count, len, "outputs written, of all");
    if count != len {
        return None;
    }
    // SAFETY: the capacity is at least `len`, and `fill` has initialised as many different elements.
    unsafe { values.set_len(len) };
    Some(values)
}
