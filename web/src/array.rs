//! Memory: of JavaScript, where pictures are, and of the module.

use crate::failure::{Failure, Result};
use js_sys::{Array, Function, Reflect, Uint8ClampedArray, Uint16Array};
use wasm_bindgen::{JsCast, JsValue};

/// Samples in JavaScript's memory: integers, which are read and written as `f32` that holds them exactly.
pub(crate) enum Samples {
    Eight(Uint8ClampedArray),
    Sixteen(Uint16Array),
}

impl Samples {
    /// The samples of a result, all of them full.
    pub(crate) fn eight(what: &str, length: u64) -> Result<Self> {
        let array: Uint8ClampedArray = construct("Uint8ClampedArray", what, length, 1)?.unchecked_into();
        array.fill(u8::MAX, 0, array.length());
        Ok(Self::Eight(array))
    }

    /// Samples between two passes.
    pub(crate) fn sixteen(what: &str, length: u64) -> Result<Self> {
        Ok(Self::Sixteen(construct("Uint16Array", what, length, 2)?.unchecked_into()))
    }

    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Eight(array) => array.length() as usize,
            Self::Sixteen(array) => array.length() as usize,
        }
    }

    /// The largest value.
    pub(crate) fn full(&self) -> f32 {
        match self {
            Self::Eight(_) => u8::MAX.into(),
            Self::Sixteen(_) => u16::MAX.into(),
        }
    }

    /// Samples from the place `first` on.
    pub(crate) fn read(&self, first: usize, out: &mut [f32]) -> Result<()> {
        let end = first + out.len();
        match self {
            Self::Eight(array) => {
                let mut row = zeros::<u8>(out.len())?;
                array.subarray(first as u32, end as u32).copy_to(&mut row);
                out.iter_mut().zip(row).for_each(|(out, sample)| *out = sample.into());
            }
            Self::Sixteen(array) => {
                let mut row = zeros::<u16>(out.len())?;
                array.subarray(first as u32, end as u32).copy_to(&mut row);
                out.iter_mut().zip(row).for_each(|(out, sample)| *out = sample.into());
            }
        }
        Ok(())
    }

    /// The nearest samples, from the place `first` on.
    pub(crate) fn write(&self, first: usize, values: &[f32]) -> Result<()> {
        let end = (first + values.len()) as u32;
        let full = self.full();
        match self {
            Self::Eight(array) => {
                let mut row = zeros::<u8>(values.len())?;
                row.iter_mut().zip(values).for_each(|(out, &value)| *out = nearest(value, full) as u8);
                array.subarray(first as u32, end).copy_from(&row);
            }
            Self::Sixteen(array) => {
                let mut row = zeros::<u16>(values.len())?;
                row.iter_mut().zip(values).for_each(|(out, &value)| *out = nearest(value, full) as u16);
                array.subarray(first as u32, end).copy_from(&row);
            }
        }
        Ok(())
    }
}

/// The nearest integer from 0 to `full`: halves are rounded up, NaN gives 0.
pub(crate) fn nearest(value: f32, full: f32) -> f32 {
    // Comparisons with NaN are false.
    let clamped = if value > 0.0 { if value < full { value } else { full } } else { 0.0 };
    (clamped + 0.5).trunc()
}

/// A typed array of JavaScript's. Its constructor throws where there is no memory.
fn construct(name: &str, what: &str, length: u64, size: u64) -> Result<JsValue> {
    let refused = |why: &str| {
        let mib = (length.saturating_mul(size)).div_ceil(1 << 20);
        Failure::Said(format!("{what} takes {mib} MiB, {why}"))
    };
    let length = u32::try_from(length).map_err(|_| refused("more than an array of the browser may have"))?;
    Reflect::get(&js_sys::global(), &name.into())
        .and_then(|constructor| {
            Reflect::construct(constructor.unchecked_ref::<Function>(), &Array::of1(&length.into()))
        })
        .map_err(|_| refused("for which the browser has no memory"))
}

/// So many zeros in the module's memory.
///
/// # Errors
/// Where there is no memory: a collection that grows by itself would trap, and its promise never settle.
pub(crate) fn zeros<T: Clone + Default>(length: usize) -> Result<Vec<T>> {
    let mut zeros = Vec::new();
    if zeros.try_reserve_exact(length).is_err() {
        let bytes = length as u128 * size_of::<T>() as u128;
        return Err(upconv::Error::Memory { what: "a piece of the picture", bytes }.into());
    }
    zeros.resize(length, T::default());
    Ok(zeros)
}
