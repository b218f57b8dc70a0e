//! The comparator: how far a result is off, as a share of how far it may be.

use super::Sums;
use super::activation::{evaluation_error, lipschitz};
use crate::accuracy::Accuracy;
use crate::activation::Activation;
use crate::error::{Error, Result};
use crate::kernel::{Kernel, Refusal};
use crate::layout::Strides;
use crate::op::{ConvTranspose, Geometry};
use crate::tensor::{DType, Tensor, TensorView};

/// What Winograd's transforms add to an error, in ε of the largest sum that an output could have.
const TRANSFORMS: f64 = 256.0;

/// The roundings to f16 that a product has a share in under [`Accuracy::Half`]: those of its two factors, and of the sums of
/// up to 36 products.
const F16_ROUNDINGS: f64 = 38.0;

/// The relative error of a rounding to f16 in any mode.
const F16_EPSILON: f64 = 1.0 / 1024.0;

/// The largest error of rounding to f16 what is below its normal numbers, which may become 0.
const F16_TINY: f64 = 1.0 / 16384.0;

/// The largest number of f16.
const F16_MAX: f64 = 65504.0;

/// What the reference expects of a result, element by element: of the output, or of a gradient.
///
/// ```
/// use upconv::{ConvTranspose, Tensor, reference};
/// # fn main() -> upconv::Result<()> {
/// let op = ConvTranspose::builder().kernel([2]).build()?;
/// let (x, w) = (Tensor::f32([1, 1, 2], [1.0, 2.0])?, Tensor::f32([1, 1, 2], [3.0, 4.0])?);
/// let expected = reference::conv_transpose(&op, &x, &w, None)?;
/// assert_eq!(expected.value(), [3.0, 10.0, 8.0]);
/// assert_eq!(expected.products(), [1, 2, 1]); // of each sum
///
/// let right = expected.compare(&Tensor::f32([1, 1, 3], [3.0, 10.0, 8.0])?)?;
/// assert!(right.passed() && right.inexact == 0);
/// let wrong = expected.compare(&Tensor::f32([1, 1, 3], [3.0, 10.001, 8.0])?)?;
/// assert!(!wrong.passed() && wrong.worst_index == 1);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Expected {
    shape: Vec<usize>,
    value: Vec<f64>,
    products: Vec<u32>,
    magnitude: Vec<f64>,
    /// What the errors of the factors add to each sum; empty where they have none.
    inherited: Vec<f64>,
    /// What only an output has.
    forward: Option<Box<Forward>>,
}

/// What is known of an output beyond its sums.
#[derive(Clone, Debug)]
struct Forward {
    op: ConvTranspose,
    /// The error of evaluating the activation in f32, for each element; empty where it has none.
    evaluation: Vec<f64>,
    /// The largest sum that an output could have, by items of the batch and output channels.
    largest: Vec<f64>,
    /// The largest input and the largest weight, added up.
    factors: f64,
    strides: Strides,
}

/// How a result compares with what was expected.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Comparison {
    /// The largest error as a share of its bound: at most 1 where the result is right. Infinite where a value is
    /// missing, is NaN where it must not be, or is off where no error is allowed.
    pub worst_share: f64,
    /// The largest absolute error among finite values.
    pub worst_error: f64,
    /// The flat index of the element with the largest share.
    pub worst_index: usize,
    /// How many elements are beyond their bound.
    pub beyond: usize,
    /// How many elements are not the nearest number of their type to the expected value: 0 means bit for bit.
    pub inexact: usize,
}

impl Comparison {
    /// Whether every element is within its bound.
    pub fn passed(&self) -> bool {
        self.beyond == 0
    }
}

impl Expected {
    /// Sums that are the result themselves.
    pub(super) fn sums(shape: Vec<usize>, sums: Sums) -> Self {
        let Sums { value, magnitude, products, inherited } = sums;
        Self { shape, value, products, magnitude, inherited, forward: None }
    }

    /// The outputs of these sums, for each item and output channel at most `largest`; an input and a weight add up to at
    /// most `factors`.
    pub(super) fn output(geometry: Geometry, value: Vec<f64>, sums: Sums, (largest, factors): (Vec<f64>, f64)) -> Self {
        let activation = geometry.op.activation();
        let evaluation = if *activation == Activation::None {
            Vec::new()
        } else {
            let (channel, channels) = (geometry.output_strides().channel, geometry.op.out_channels());
            let error = |(index, &sum)| evaluation_error(activation, index / channel % channels, sum);
            sums.value.iter().enumerate().map(error).collect()
        };
        let shape = geometry.output_shape();
        let forward = Forward { evaluation, largest, factors, strides: geometry.output_strides(), op: geometry.op };
        Self { value, forward: Some(Box::new(forward)), ..Self::sums(shape, sums) }
    }

    /// The result's shape.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The expected values.
    pub fn value(&self) -> &[f64] {
        &self.value
    }

    /// The number of products summed for each element, the bias counted as one.
    pub fn products(&self) -> &[u32] {
        &self.products
    }

    /// The sum of the products' magnitudes for each element, the bias included.
    pub fn magnitude(&self) -> &[f64] {
        &self.magnitude
    }

    /// The expected values as a tensor, each rounded once to `dtype`.
    ///
    /// # Errors
    /// None that is known: the values fill the shape.
    pub fn into_tensor(self, dtype: DType) -> Result<Tensor> {
        Ok(Tensor::f64(self.shape, self.value)?.into_dtype(dtype))
    }

    /// The largest error an element may have where it is computed in f32 and stored as `dtype` (f64: computed in it).
    ///
    /// `n·ε·Σ|x·w|`, the standard bound for a sum of `n` products in any order, with ε = 2⁻²³: WGSL does not fix the
    /// rounding mode, so an operation may err by a whole unit in the last place. An activation multiplies it by its
    /// Lipschitz constant and adds the error of its own evaluation; a pre-activation, and in a gradient the derivative of
    /// an activation, add the errors of their evaluations, each times the other factor of its product; f16 storage adds
    /// its rounding. Subnormal numbers may be flushed to zero.
    pub fn bound(&self, index: usize, dtype: DType) -> f64 {
        let computed = self.computed(index, dtype, self.sum_error(index, dtype));
        computed + self.stored(index, dtype, computed)
    }

    /// The largest error of an element's sum.
    fn sum_error(&self, index: usize, dtype: DType) -> f64 {
        let (epsilon, tiny) = match dtype {
            // The reference itself errs as much as the result.
            DType::F64 => (2.0 * f64::EPSILON, 2.0 * f64::MIN_POSITIVE),
            _ => (f64::from(f32::EPSILON), f64::from(f32::MIN_POSITIVE)),
        };
        f64::from(self.products[index]) * (epsilon * self.magnitude[index] + tiny) + self.inherited(index, dtype)
    }

    /// What the errors of the factors add to an element's sum.
    fn inherited(&self, index: usize, dtype: DType) -> f64 {
        self.inherited.get(index).copied().unwrap_or(0.0) * evaluated_in(dtype)
    }

    /// The largest error of an element whose sum may err by so much, before it is stored.
    fn computed(&self, index: usize, dtype: DType, sum: f64) -> f64 {
        let Some(forward) = &self.forward else { return sum };
        let channel = index / forward.strides.channel % forward.op.out_channels();
        let evaluation = forward.evaluation.get(index).copied().unwrap_or(0.0);
        let error = lipschitz(forward.op.activation(), channel) * sum;
        error + evaluation * evaluated_in(dtype)
    }

    /// The largest error of storing an element, which may have been computed with an error, in a narrower type.
    fn stored(&self, index: usize, dtype: DType, computed: f64) -> f64 {
        match dtype {
            DType::F16 => (self.value[index].abs() + computed) / 2048.0 + 1.0 / f64::from(1 << 24),
            // The result of bfloat16 is stored as f32.
            DType::Bf16 | DType::F32 | DType::F64 => 0.0,
        }
    }

    /// Compares a result with the expected values, element by element, or as
    /// [`compare_normwise`](Self::compare_normwise) or [`compare_half`](Self::compare_half) does where the operation allows
    /// it.
    ///
    /// # Errors
    /// [`Error::Shape`] where the shapes differ.
    pub fn compare<'a>(&self, got: impl Into<TensorView<'a>>) -> Result<Comparison> {
        let got = got.into();
        match self.forward.as_ref().map(|forward| forward.op.accuracy()) {
            Some(Accuracy::Normwise) => self.compare_normwise(got),
            Some(Accuracy::Half) => self.compare_half(got),
            Some(Accuracy::Elementwise) | None => {
                self.compare_by(got, f64::from(f32::MAX), |index| self.sum_error(index, got.dtype()))
            }
        }
    }

    /// Compares a result with what [`Accuracy::Normwise`](crate::Accuracy::Normwise) allows, or
    /// [`Kernel::Winograd`](crate::Kernel::Winograd) on request.
    ///
    /// An output may err as [`compare`](Self::compare) allows, or as Winograd's transforms do, whichever is more. Large terms
    /// cancel in them, whichever of these reach the output, so that all outputs of an item of the batch and a channel share
    /// one bound: `(256 + n)·ε·Σ max|x|·Σ|w|`, ε = 2⁻²³, where n is the input channels,
    /// times the taps along d of an operation on three axes. The outer sum runs over the input channels, each with its
    /// largest input and all its taps: the largest sum that any output could have.
    ///
    /// Where the 256 comes from: a search for the worst inputs of kernel 3×3 by hill-climbing ends at 75·ε, with one
    /// channel. What is proved of every input is `189·(25 + n)·ε`: an input and a tap weigh at most 189 in what is rounded
    /// on the way to an output, and at most `25 + n` roundings follow one another. Two taps for each phase, as kernel 4×4
    /// at stride 2×2 has, weigh at most 66.
    ///
    /// # Errors
    /// [`Error::Shape`] where the shapes differ, [`Error::Kernel`] for gradients, which are computed element by element.
    pub fn compare_normwise<'a>(&self, got: impl Into<TensorView<'a>>) -> Result<Comparison> {
        let (forward, got) = (self.forward_of(Kernel::Winograd)?, got.into());
        self.compare_by(got, f64::from(f32::MAX), |index| self.normwise_error(forward, index, got.dtype()))
    }

    /// Compares a result with what [`Accuracy::Half`](crate::Accuracy::Half) allows.
    ///
    /// An output may err as [`compare_normwise`](Self::compare_normwise) allows, or as products of f16 do, whichever is
    /// more: `38·2⁻¹⁰·Σ|x·w| + n·2⁻¹⁴·(max|x| + max|w| + 1)`, beside what sums in f32 err. A product's two factors are rounded
    /// to f16, and after it up to 36 sums; WGSL does not fix the rounding mode, and numbers below 2⁻¹⁴ may become 0. Where an
    /// output's products add up to more than 65504, the largest number of f16, or a factor is beyond it, any infinity or
    /// NaN is allowed.
    ///
    /// # Errors
    /// As [`compare_normwise`](Self::compare_normwise).
    pub fn compare_half<'a>(&self, got: impl Into<TensorView<'a>>) -> Result<Comparison> {
        let (forward, got) = (self.forward_of(Kernel::Direct)?, got.into());
        let range = if forward.factors > F16_MAX { 0.0 } else { F16_MAX };
        self.compare_by(got, range, |index| {
            let products = f64::from(self.products[index]) * F16_TINY * (forward.factors + 1.0);
            let half = F16_ROUNDINGS * F16_EPSILON * self.magnitude[index] + products;
            self.normwise_error(forward, index, got.dtype()).max(self.sum_error(index, got.dtype()) + half)
        })
    }

    /// What only an output has.
    fn forward_of(&self, kernel: Kernel) -> Result<&Forward> {
        let refusal = || Error::Kernel { kernel, reason: Refusal::NotFused { what: "gradients" } };
        self.forward.as_deref().ok_or_else(refusal)
    }

    /// The largest error of an element's sum under [`Accuracy::Normwise`].
    fn normwise_error(&self, forward: &Forward, index: usize, dtype: DType) -> f64 {
        let channels = forward.op.out_channels();
        let terms = forward.op.in_channels() * forward.op.axes3()[0].kernel;
        let relative = (TRANSFORMS + terms as f64) * f64::from(f32::EPSILON);
        let (item, channel) = (index / forward.strides.batch, index / forward.strides.channel % channels);
        self.sum_error(index, dtype).max(relative * forward.largest[item * channels + channel])
    }

    /// Compares with a bound on the error of each sum, which may overflow on its way where its products add up to more than
    /// `range`.
    fn compare_by(&self, got: TensorView<'_>, range: f64, sum_error: impl Fn(usize) -> f64) -> Result<Comparison> {
        if got.shape() != self.shape {
            return Err(Error::Shape {
                what: "compared result",
                given: got.shape().to_vec(),
                expected: format!("{:?}", self.shape),
            });
        }
        let dtype = got.dtype();
        let nearest = TensorView::f64(&self.shape, &self.value)?.cast(dtype).to_f64();
        let mut comparison = Comparison { worst_share: 0.0, worst_error: 0.0, worst_index: 0, beyond: 0, inexact: 0 };
        for (index, (&nearest, got)) in nearest.iter().zip(got.to_f64()).enumerate() {
            if nearest == got || nearest.is_nan() && got.is_nan() {
                continue;
            }
            comparison.inexact += 1;
            let expected = self.value[index];
            let computed = self.computed(index, dtype, sum_error(index));
            let share = match overflow(dtype) {
                Some(_) if !got.is_finite() && (range..f64::INFINITY).contains(&self.magnitude[index]) => 0.0,
                // What was rounded to infinity was at least the least value for which that is so.
                Some(least) if got.is_infinite() && least - expected * got.signum() <= computed => {
                    (least - expected * got.signum()) / computed
                }
                _ => {
                    let error = (got - expected).abs();
                    if error.is_finite() {
                        comparison.worst_error = comparison.worst_error.max(error);
                    }
                    error / (computed + self.stored(index, dtype, computed))
                }
            };
            // A bound of 0 makes the share infinite; a bound that is NaN allows nothing either.
            let share = if share.is_nan() { f64::INFINITY } else { share };
            if share > 1.0 {
                comparison.beyond += 1;
            }
            if share > comparison.worst_share {
                comparison.worst_share = share;
                comparison.worst_index = index;
            }
        }
        Ok(comparison)
    }
}

/// How far off a function is that is evaluated in this type, as a share of how far it may be in f32.
fn evaluated_in(dtype: DType) -> f64 {
    match dtype {
        // The reference itself errs as much as the result.
        DType::F64 => 2.0 * f64::EPSILON / f64::from(f32::EPSILON),
        DType::F16 | DType::Bf16 | DType::F32 => 1.0,
    }
}

/// The least value that rounds to infinity in a type that is narrower than f64.
fn overflow(dtype: DType) -> Option<f64> {
    match dtype {
        DType::F16 => Some(65520.0),
        DType::Bf16 => Some(2f64.powi(128) - 2f64.powi(119)),
        DType::F32 => Some(2f64.powi(128) - 2f64.powi(103)),
        DType::F64 => None,
    }
}
