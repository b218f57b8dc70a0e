//! The types that are computed in, and those that results are stored in.

use super::epilogue::epilogue;
use super::memory::{Result, grow};
use crate::activation::Activation;
use half::f16;
use half::slice::HalfFloatSliceExt;
use pulp::Simd;
use std::ops::{AddAssign, Mul};

/// A type that is computed in: f32 or f64.
pub(super) trait Element: Copy + Default + PartialOrd + Send + Sync + AddAssign + Mul<Output = Self> {
    /// As many elements as an instruction computes at once.
    type Vector<S: Simd>: Copy;

    fn lanes<S: Simd>() -> usize;

    /// A vector of this element.
    fn splat<S: Simd>(self, simd: S) -> Self::Vector<S>;

    /// `a · b + c`
    fn multiply_add<S: Simd>(simd: S, a: Self::Vector<S>, b: Self::Vector<S>, c: Self::Vector<S>) -> Self::Vector<S>;

    /// Writes a vector to the first elements.
    fn store<S: Simd>(simd: S, to: &mut [Self], value: Self::Vector<S>);

    /// Whether it is neither infinite nor NaN.
    fn is_finite(self) -> bool;

    /// The activation's value for an output channel, computed in f64 and rounded once.
    fn activate(self, activation: &Activation, channel: usize) -> Self;

    /// Applies the activation to results of a channel: in f32 to a few units in the last place.
    fn activate_all(activation: &Activation, channel: usize, results: &mut [Self]);
}

impl Element for f32 {
    type Vector<S: Simd> = S::f32s;

    #[inline(always)]
    fn lanes<S: Simd>() -> usize {
        S::F32_LANES
    }

    #[inline(always)]
    fn splat<S: Simd>(self, simd: S) -> S::f32s {
        simd.splat_f32s(self)
    }

    #[inline(always)]
    fn multiply_add<S: Simd>(simd: S, a: S::f32s, b: S::f32s, c: S::f32s) -> S::f32s {
        // Without the instruction, a fused one is a slow library call.
        if S::IS_SCALAR { simd.add_f32s(simd.mul_f32s(a, b), c) } else { simd.mul_add_e_f32s(a, b, c) }
    }

    #[inline(always)]
    fn store<S: Simd>(_: S, to: &mut [f32], value: S::f32s) {
        S::as_mut_simd_f32s(&mut to[..S::F32_LANES]).0[0] = value;
    }

    #[inline(always)]
    fn is_finite(self) -> bool {
        // Of integers, which the compiler turns into vectors better than a comparison.
        const EXPONENT: u32 = 0x7f80_0000;
        self.to_bits() & EXPONENT != EXPONENT
    }

    fn activate(self, activation: &Activation, channel: usize) -> Self {
        activation.apply(channel, self.into()) as f32
    }

    #[inline(always)]
    fn activate_all(activation: &Activation, channel: usize, results: &mut [f32]) {
        epilogue(activation, activation.parameters(channel), results);
    }
}

impl Element for f64 {
    type Vector<S: Simd> = S::f64s;

    #[inline(always)]
    fn lanes<S: Simd>() -> usize {
        S::F64_LANES
    }

    #[inline(always)]
    fn splat<S: Simd>(self, simd: S) -> S::f64s {
        simd.splat_f64s(self)
    }

    #[inline(always)]
    fn multiply_add<S: Simd>(simd: S, a: S::f64s, b: S::f64s, c: S::f64s) -> S::f64s {
        if S::IS_SCALAR { simd.add_f64s(simd.mul_f64s(a, b), c) } else { simd.mul_add_e_f64s(a, b, c) }
    }

    #[inline(always)]
    fn store<S: Simd>(_: S, to: &mut [f64], value: S::f64s) {
        S::as_mut_simd_f64s(&mut to[..S::F64_LANES]).0[0] = value;
    }

    #[inline(always)]
    fn is_finite(self) -> bool {
        const EXPONENT: u64 = 0x7ff0_0000_0000_0000;
        self.to_bits() & EXPONENT != EXPONENT
    }

    fn activate(self, activation: &Activation, channel: usize) -> Self {
        activation.apply(channel, self)
    }

    fn activate_all(activation: &Activation, channel: usize, results: &mut [f64]) {
        if *activation != Activation::None {
            results.iter_mut().for_each(|y| *y = activation.apply(channel, *y));
        }
    }
}

/// A type that results are stored in.
pub(super) trait Stored: Copy + Send + Sync {
    /// What they are computed in.
    type Computed: Element;

    /// A result, rounded to nearest.
    fn of(result: Self::Computed) -> Self;

    /// The results, each rounded to nearest: themselves, or what is then in `rounded`.
    fn all_of<'a>(results: &'a [Self::Computed], rounded: &'a mut Vec<f16>) -> Result<&'a [Self]>;
}

impl Stored for f64 {
    type Computed = f64;

    #[inline(always)]
    fn of(result: f64) -> Self {
        result
    }

    #[inline(always)]
    fn all_of<'a>(results: &'a [f64], _: &'a mut Vec<f16>) -> Result<&'a [Self]> {
        Ok(results)
    }
}

impl Stored for f32 {
    type Computed = f32;

    #[inline(always)]
    fn of(result: f32) -> Self {
        result
    }

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

    fn all_of<'a>(results: &'a [f32], rounded: &'a mut Vec<f16>) -> Result<&'a [Self]> {
        grow(rounded, results.len())?;
        let rounded = &mut rounded[..results.len()];
        rounded.convert_from_f32_slice(results);
        Ok(rounded)
    }
}
