//! Outputs that are not filled with zeros first: that would cost as much as writing the result.

#![allow(unsafe_code, reason = "the one place that vouches for memory that others have written")]

use std::mem::MaybeUninit;

/// Makes `values` the `len` elements that `fill` writes, in the memory it already has if that suffices; empty, and
/// `false`, where `fill` does not say that it wrote as many.
///
/// What `fill` is given is split between tasks into disjoint parts, of which they write each element once and count it.
pub(super) fn write(values: &mut Vec<f32>, len: usize, fill: impl FnOnce(&mut [MaybeUninit<f32>]) -> usize) -> bool {
    values.clear();
    values.reserve_exact(len);
    let count = fill(&mut values.spare_capacity_mut()[..len]);
    debug_assert_eq!(count, len, "outputs written, of all");
    if count != len {
        return false;
    }
    // SAFETY: the capacity is at least `len`, and `fill` has initialised as many different elements.
    unsafe { values.set_len(len) };
    true
}
