//! Outputs in memory that is not filled with zeros first: that would cost as much as writing the result.

#![allow(unsafe_code, reason = "memory becomes a vector's elements once all of it was written")]

use super::memory::clear_for;
use crate::error::Result;
use std::mem::MaybeUninit;

/// A place for one element of an output: it is written and never read, and holds nothing before.
#[repr(transparent)]
pub(super) struct Slot<T>(MaybeUninit<T>);

impl<T> Slot<T> {
    /// A slot that holds this value: assign it to write.
    #[inline(always)]
    pub(super) fn new(value: T) -> Self {
        Self(MaybeUninit::new(value))
    }
}

/// A caller's elements as slots.
pub(super) fn slots<T: Copy>(values: &mut [T]) -> &mut [Slot<T>] {
    // SAFETY: a slot has its element's size and alignment, the elements stay borrowed for as long, and only slots that
    // hold a value are ever assigned: `Slot::new` makes no others.
    unsafe { &mut *(std::ptr::from_mut(values) as *mut [Slot<T>]) }
}

/// Makes `values` the `len` elements that `fill` writes, in the memory it already has if that suffices.
///
/// # Errors
/// [`Error::Memory`](crate::Error::Memory), and what `fill` returns; `values` is empty then.
///
/// # Safety
/// Where `fill` returns `Ok`, it has written every slot.
pub(super) unsafe fn write<T: Copy>(
    values: &mut Vec<T>,
    len: usize,
    fill: impl FnOnce(&mut [Slot<T>]) -> Result<()>,
) -> Result<()> {
    clear_for(values, "the output", len)?;
    let spare: *mut [MaybeUninit<T>] = &mut values.spare_capacity_mut()[..len];
    // SAFETY: a slot is a `MaybeUninit`, and the elements stay borrowed for as long as `fill` has them.
    fill(unsafe { &mut *(spare as *mut [Slot<T>]) })?;
    // SAFETY: the capacity is at least `len`, and `fill` has written as many slots.
    unsafe { values.set_len(len) };
    Ok(())
}
