//! The types that are computed in, and those that results are stored in.

use super::memory::{Result, grow};
use crate::activation::Activation;
use half::f16;
use half::slice::HalfFloatSliceExt;
use std::ops::{AddAssign, Mul};

/// A type that is computed in: f32 or f64.
pub(super) trait Element: Copy + Default + Send + Sync + AddAssign + Mul<Output = Self> {
    /// The activation's value for an output channel, computed in f64 and rounded once.
    fn activate(self, activation: &Activation, channel: usize) -> Self;
}

impl Element for f32 {
    fn activate(self, activation: &Activation, channel: usize) -> Self {
        activation.apply(channel, self.into()) as f32
    }
}

impl Element for f64 {
    fn activate(self, activation: &Activation, channel: usize) -> Self {
        activation.apply(channel, self)
    }
}

/// A type that results are stored in.
pub(super) trait Stored: Copy + Send + Sync {
    /// What they are computed in.
    type Computed: Element;

    /// A result, rounded to nearest.
    fn of(result: Self::Computed) -> Self;
}

/// A type that results computed in f32 are stored in.
pub(super) trait OfF32: Stored<Computed = f32> {
    /// The results, each rounded to nearest: themselves, or what is then in `rounded`.
    fn all_of<'a>(results: &'a [f32], rounded: &'a mut Vec<f16>) -> Result<&'a [Self]>;
}

impl Stored for f64 {
    type Computed = f64;

    #[inline(always)]
    fn of(result: f64) -> Self {
        result
    }
}

impl Stored for f32 {
    type Computed = f32;

    #[inline(always)]
    fn of(result: f32) -> Self {
        result
    }
}

impl OfF32 for f32 {
    #[inline(always)]
    fn all_of<'a>(results: &'a [f32], _: &'a mut Vec<f16>) -> Result<&'a [Self]> {
        Ok(results)
    }
}

impl Stored for f16 {
    type Computed = f32;

    fn of(result: f32) -> Self {
        f16::from_f32(result)
    }
}

impl OfF32 for f16 {
    fn all_of<'a>(results: &'a [f32], rounded: &'a mut Vec<f16>) -> Result<&'a [Self]> {
        grow(rounded, results.len())?;
        let rounded = &mut rounded[..results.len()];
        rounded.convert_from_f32_slice(results);
        Ok(rounded)
    }
}
