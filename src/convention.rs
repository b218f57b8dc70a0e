//! The ways in which frameworks say which part of the full output they mean, each resolved to one [`ConvTranspose`].
//!
#![doc = include_str!("../docs/conventions.md")]

use crate::error::{Error, Result};
use crate::op::{Axis, ConvTranspose, Convolution, check_pad};
use crate::tensor::{Tensor, TensorView};

/// One framework's way of choosing the output's extent and position.
///
/// ```
/// use upconv::{Convention, ConvTranspose, convention::AutoPad};
/// # fn main() -> upconv::Result<()> {
/// let op = ConvTranspose::builder().kernel([3]).stride([2]).build()?;
/// let onnx = Convention::Onnx { auto_pad: AutoPad::SameUpper, output_shape: None };
/// assert_eq!(onnx.resolve(&op, &[1, 1, 3])?.at(&[1, 1, 3])?.output_shape(), [1, 1, 6]);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Convention {
    /// The operation's own padding and output padding: PyTorch without `output_size`, ONNX with explicit pads, MXNet
    /// with `pad` and `adj`.
    Explicit,
    /// PyTorch's `output_size` and WebNN's `outputSizes`: the padding stays, and the output padding becomes what is
    /// missing, which must be 0 to stride − 1.
    OutputSize(Vec<usize>),
    /// ONNX's `auto_pad` and `output_shape`, as ONNX Runtime computes them for every opset.
    ///
    /// With `output_shape` the padding is ignored and computed anew, for `NOTSET` too: of the total to crop,
    /// `SAME_UPPER` takes the lesser half at the beginning, all others take the greater half there. Where there is
    /// nothing to crop, the output is extended at its end, by less than the stride. `SAME_UPPER` and `SAME_LOWER` alone mean an output of
    /// input · stride, also for strides beyond the kernel, as ONNX's text and TensorFlow have it (ONNX Runtime's
    /// output is shorter there); `VALID` means no padding.
    Onnx {
        /// The attribute `auto_pad`.
        auto_pad: AutoPad,
        /// The spatial extents in the attribute `output_shape`.
        output_shape: Option<Vec<usize>>,
    },
    /// `tf.nn.conv2d_transpose` and `tf.keras.layers.Conv2DTranspose` without `output_padding`: `SAME` crops the
    /// lesser half at the beginning, `VALID` nothing.
    ///
    /// Without `output_shape`, `SAME` means input · stride and `VALID` input · stride + max(kernel − stride, 0), the
    /// kernel dilated. With it, the convolution that is transposed must lead from it back to the input's size.
    TensorFlow {
        /// The argument `padding`.
        padding: Padding,
        /// The spatial extents of the argument `output_shape`.
        output_shape: Option<Vec<usize>>,
    },
    /// Keras 3's `Conv2DTranspose` with `output_padding`, one for each axis.
    Keras {
        /// The argument `padding`.
        padding: Padding,
        /// The argument `output_padding`; must be below the stride.
        output_padding: Vec<usize>,
    },
    /// `jax.lax.conv_transpose` with explicit padding: what is added on both sides of the input spread by the stride,
    /// for which `dilation·(kernel − 1)` crops nothing. `"SAME"` and `"VALID"` are those of
    /// [`Convention::TensorFlow`]. See [`flip_kernel`] for its `transpose_kernel=False`.
    Jax {
        /// The argument `padding`, one pair for each axis.
        padding: Vec<(i64, i64)>,
    },
    /// MXNet's `target_shape`: of the total to crop, the greater half on both sides, with `adj` 1 where it is odd.
    MxNet {
        /// The attribute `target_shape`.
        target_shape: Vec<usize>,
    },
}

/// ONNX's attribute `auto_pad`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum AutoPad {
    /// The padding is explicit.
    #[default]
    NotSet,
    /// The lesser half of the padding at the beginning.
    SameUpper,
    /// The greater half of the padding at the beginning.
    SameLower,
    /// No padding.
    Valid,
}

impl Convolution {
    /// The same convolution with the padding that ONNX's `auto_pad` means at this input shape: `Valid` is none, and the
    /// `Same` ones give `⌈input / stride⌉` elements, what is odd of the padding being at the end (`SameUpper`, also
    /// PyTorch's and TensorFlow's `same`) or at the beginning.
    ///
    /// # Errors
    /// [`Error::Shape`] for a shape that does not fit.
    pub fn auto_padded(&self, auto_pad: AutoPad, input_shape: &[usize]) -> Result<Self> {
        let axes = self.transposed().axes();
        let same = |axis: &Axis, input: usize| {
            let output = input.div_ceil(axis.decimation) as i64;
            let total = ((output - 1) * axis.decimation as i64 + axis.reach() + 1 - input as i64).max(0);
            (total / 2, total - total / 2)
        };
        let extents = self.transposed().input_extents(input_shape)?;
        let same = || axes.iter().zip(extents).map(|(axis, input)| same(axis, input));
        self.with_padding(&match auto_pad {
            AutoPad::NotSet => return Ok(self.clone()),
            AutoPad::Valid => vec![(0, 0); axes.len()],
            AutoPad::SameUpper => same().collect::<Vec<_>>(),
            AutoPad::SameLower => same().map(|(less, more)| (more, less)).collect(),
        })
    }
}

/// The argument `padding` of TensorFlow and Keras.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Padding {
    /// The output has input · stride elements.
    Same,
    /// Nothing is cropped.
    Valid,
}

/// What a convention decides for one axis: what is cropped at the beginning, and the output's length.
type Placement = (i64, i64);

impl Convention {
    /// The operation with the padding and output padding that this convention means at an input shape.
    ///
    /// Of `op`'s own padding and output padding only those are respected that the convention has: both by
    /// [`Explicit`](Self::Explicit), the padding by [`OutputSize`](Self::OutputSize), the output padding by
    /// [`Onnx`](Self::Onnx).
    ///
    /// # Errors
    /// [`Error::AxisCount`] for lists that do not have one value for each spatial axis, [`Error::Unreachable`] for an
    /// output size that the framework refuses too, and whatever [`ConvTranspose::at`] refuses.
    pub fn resolve(&self, op: &ConvTranspose, input_shape: &[usize]) -> Result<ConvTranspose> {
        if op.is_decimated() && *self != Convention::Explicit {
            let decimation = op.axes().iter().map(|axis| axis.decimation).max().unwrap_or(1);
            let what = "the decimation of an operation whose output's extent a convention chooses".into();
            return Err(Error::OutOfRange { what, given: decimation as i128, expected: "1".into() });
        }
        let resolved = match self {
            Convention::Explicit => op.clone(),
            Convention::OutputSize(sizes) => {
                let sizes = per_axis("output_size", sizes, op)?;
                place(op, input_shape, |index, axis, full| {
                    let least = full - axis.pad_begin - axis.pad_end;
                    let output = reachable(index, sizes[index], least, least + axis.stride as i64 - 1)?;
                    Ok((axis.pad_begin, output))
                })?
            }
            Convention::Onnx { auto_pad: AutoPad::NotSet, output_shape: None } => op.clone(),
            Convention::Onnx { auto_pad: AutoPad::Valid, output_shape: None } => {
                place(op, input_shape, |_, axis, full| Ok((0, full + axis.output_padding as i64)))?
            }
            Convention::Onnx { auto_pad, output_shape } => {
                let shape = optional_per_axis("output_shape", output_shape.as_deref(), op)?;
                place(op, input_shape, |index, axis, full| {
                    let (stride, output_padding) = (axis.stride as i64, axis.output_padding as i64);
                    let output = match shape {
                        None => repeated(axis, full),
                        Some(shape) => reachable(index, shape[index], 1, full + output_padding.max(stride - 1))?,
                    };
                    let total = (full + output_padding - output).max(0);
                    let begin = if *auto_pad == AutoPad::SameUpper { total / 2 } else { total - total / 2 };
                    Ok((begin, output))
                })?
            }
            Convention::TensorFlow { padding, output_shape } => {
                let shape = optional_per_axis("output_shape", output_shape.as_deref(), op)?;
                place(op, input_shape, |index, axis, full| {
                    tensorflow(index, axis, full, *padding, shape.map(|shape| shape[index]))
                })?
            }
            Convention::Keras { padding, output_padding } => {
                let extra = per_axis("output_padding", output_padding, op)?;
                place(op, input_shape, |index, axis, full| keras(index, axis, full, *padding, extra[index]))?
            }
            Convention::Jax { padding } => {
                let padding = per_axis("padding", padding, op)?;
                place(op, input_shape, |index, axis, full| {
                    let (begin, end) = padding[index];
                    check_pad(index, begin)?;
                    check_pad(index, end)?;
                    Ok((axis.reach() - begin, full - 2 * axis.reach() + begin + end))
                })?
            }
            Convention::MxNet { target_shape } => {
                let shape = per_axis("target_shape", target_shape, op)?;
                place(op, input_shape, |index, _, full| {
                    let target = reachable(index, shape[index], 1, full)?;
                    Ok(((full - target + 1) / 2, target))
                })?
            }
        };
        resolved.at(input_shape)?;
        Ok(resolved)
    }
}

/// A weight with its spatial axes reversed: what `jax.lax.conv_transpose` applies unless `transpose_kernel=True`.
///
/// JAX does not flip the kernel by default, so that its weight is this one's mirror image. (The weight layout of JAX's
/// default `HWIO` is [`Hwoi`](crate::WeightLayout::Hwoi) with in and out named the other way round.)
///
/// # Errors
/// [`Error::Shape`] where the weight does not fit the operation.
pub fn flip_kernel<'a>(op: &ConvTranspose, weight: impl Into<TensorView<'a>>) -> Result<Tensor> {
    let weight = weight.into();
    op.check_parameters(weight.shape(), None)?;
    let letters = op.weight_layout().letters(op.rank());
    let spatial: Vec<bool> = letters.chars().map(|letter| "dhw".contains(letter)).collect();
    let shape = weight.shape();
    let source = |index: usize| {
        let (mut rest, mut at, mut unit) = (index, 0, 1);
        for (extent, spatial) in shape.iter().zip(&spatial).rev() {
            let position = rest % extent;
            rest /= extent;
            at += unit * if *spatial { extent - 1 - position } else { position };
            unit *= extent;
        }
        at
    };
    weight.select(shape, (0..weight.data().len()).map(source))
}

/// The largest full output of an axis: what keeps the arithmetic of the conventions within 64 bits.
const MAX_FULL: i64 = 1 << 60;

/// Applies the placement of each axis: `decide` is given the axis's index, the axis, and the size of its full output.
fn place(
    op: &ConvTranspose,
    input_shape: &[usize],
    decide: impl Fn(usize, &Axis, i64) -> Result<Placement>,
) -> Result<ConvTranspose> {
    let input = op.input_extents(input_shape)?;
    let mut pads = Vec::with_capacity(op.rank());
    for (index, (axis, &input)) in op.axes().iter().zip(&input).enumerate() {
        let uncropped = Axis { pad_begin: 0, pad_end: 0, output_padding: 0, ..*axis };
        let full = uncropped.output_extent(index, input)? as i64;
        if full > MAX_FULL {
            let detail = format!("{full} elements on axis {index}, at most {MAX_FULL} are supported here");
            return Err(Error::Overflow { what: "full output", detail });
        }
        let (begin, output) = decide(index, axis, full)?;
        let end = full - begin - output;
        pads.push((begin, end.max(0), (-end).max(0) as usize));
    }
    op.with_pads(&pads)
}

/// Input · stride.
fn repeated(axis: &Axis, full: i64) -> i64 {
    full - 1 - axis.reach() + axis.stride as i64
}

fn tensorflow(index: usize, axis: &Axis, full: i64, padding: Padding, shape: Option<usize>) -> Result<Placement> {
    let stride = axis.stride as i64;
    // The longest and the shortest output from which the convolution leads back to the input's size.
    let (least, most) = match padding {
        Padding::Same => (repeated(axis, full) - stride + 1, repeated(axis, full)),
        Padding::Valid => (full, full + stride - 1),
    };
    let output = match (shape, padding) {
        (Some(output), _) => reachable(index, output, least, most)?,
        (None, Padding::Same) => most,
        (None, Padding::Valid) => full.max(repeated(axis, full)),
    };
    let begin = if padding == Padding::Same { (full - output).max(0) / 2 } else { 0 };
    Ok((begin, output))
}

fn keras(index: usize, axis: &Axis, full: i64, padding: Padding, extra: usize) -> Result<Placement> {
    if extra >= axis.stride {
        return Err(Error::OutputPadding { axis: index, output_padding: extra, stride: axis.stride, dilation: 1 });
    }
    let (reach, extra) = (axis.reach(), extra as i64);
    match padding {
        Padding::Valid => Ok((0, full + extra)),
        Padding::Same => {
            // Padding of the input spread by the stride, of which the kernel's reach on a side crops nothing.
            let total = reach - 1 + (reach + 1) % 2 + extra;
            let left = (total - total / 2).min(reach);
            Ok((reach - left, full - 2 * reach + total))
        }
    }
}

fn reachable(axis: usize, given: usize, least: i64, most: i64) -> Result<i64> {
    match i64::try_from(given) {
        Ok(size) if (least..=most).contains(&size) => Ok(size),
        _ => Err(Error::Unreachable { axis, given, least, most }),
    }
}

fn per_axis<'a, T>(what: &'static str, values: &'a [T], op: &ConvTranspose) -> Result<&'a [T]> {
    if values.len() == op.rank() {
        return Ok(values);
    }
    Err(Error::AxisCount { what, given: values.len(), expected: op.rank() })
}

fn optional_per_axis<'a>(
    what: &'static str,
    values: Option<&'a [usize]>,
    op: &ConvTranspose,
) -> Result<Option<&'a [usize]>> {
    values.map(|values| per_axis(what, values, op)).transpose()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference;

    /// `x = [1, 2, 3], w = [1, 10, 100], stride 2` under a convention.
    fn worked(convention: &Convention) -> Vec<f32> {
        worked_with(&ConvTranspose::builder().kernel([3]).stride([2]).build().unwrap(), convention)
    }

    fn worked_with(op: &ConvTranspose, convention: &Convention) -> Vec<f32> {
        let x = Tensor::f32([1, 1, 3], [1.0, 2.0, 3.0]).unwrap();
        let w = Tensor::f32([1, 1, 3], [1.0, 10.0, 100.0]).unwrap();
        let op = convention.resolve(op, x.shape()).unwrap();
        reference::run(&op, &x, &w, None).unwrap().to_f32()
    }

    fn axis_of(builder: crate::op::Builder, convention: &Convention, input: usize) -> Result<(i64, i64, usize)> {
        let axis = convention.resolve(&builder.build()?, &[1, 1, input])?.axes()[0];
        Ok((axis.pad_begin, axis.pad_end, axis.output_padding))
    }

    fn onnx(auto_pad: AutoPad, output: Option<usize>) -> Convention {
        Convention::Onnx { auto_pad, output_shape: output.map(|output| vec![output]) }
    }

    #[test]
    fn the_worked_vector() {
        let upper = [1.0, 10.0, 102.0, 20.0, 203.0, 30.0];
        let lower = [10.0, 102.0, 20.0, 203.0, 30.0, 300.0];
        assert_eq!(worked(&onnx(AutoPad::SameUpper, Some(6))), upper);
        assert_eq!(worked(&onnx(AutoPad::SameUpper, None)), upper);
        assert_eq!(worked(&onnx(AutoPad::SameLower, Some(6))), lower);
        assert_eq!(worked(&onnx(AutoPad::NotSet, Some(6))), lower);
        assert_eq!(worked(&Convention::TensorFlow { padding: Padding::Same, output_shape: None }), upper);
        assert_eq!(worked(&Convention::MxNet { target_shape: vec![6] }), lower);
        let valid = [1.0, 10.0, 102.0, 20.0, 203.0, 30.0, 300.0];
        assert_eq!(worked(&Convention::TensorFlow { padding: Padding::Valid, output_shape: None }), valid);
        assert_eq!(worked(&onnx(AutoPad::Valid, None)), valid);
        assert_eq!(worked(&Convention::Explicit), valid);
        assert_eq!(worked(&Convention::OutputSize(vec![8])), [&valid[..], &[0.0]].concat());
        let cropped = ConvTranspose::builder().kernel([3]).stride([2]).padding([(0, 1)]).build().unwrap();
        assert_eq!(worked_with(&cropped, &Convention::Explicit), upper);
        assert_eq!(worked_with(&cropped, &Convention::OutputSize(vec![6])), upper);
        // keras.ops.conv_transpose(x, w, 2, "same", output_padding=1): (3 − 1)·2 + 3 % 2 + 1 = 6 elements
        assert_eq!(worked(&Convention::Keras { padding: Padding::Same, output_padding: vec![1] }), upper);
        assert_eq!(worked(&Convention::Jax { padding: vec![(2, 1)] }), upper);
    }

    #[test]
    fn strides_beyond_the_kernel_extend_the_end() {
        let op = || ConvTranspose::builder().kernel([1]).stride([3]);
        assert_eq!(axis_of(op(), &onnx(AutoPad::SameUpper, None), 3).unwrap(), (0, 0, 2));
        let tf = |padding| Convention::TensorFlow { padding, output_shape: None };
        assert_eq!(axis_of(op(), &tf(Padding::Same), 3).unwrap(), (0, 0, 2));
        assert_eq!(axis_of(op(), &tf(Padding::Valid), 3).unwrap(), (0, 0, 2));
    }

    #[test]
    fn onnx_refuses_an_output_shape_that_does_not_lead_back() {
        // ONNX Runtime 1.32: "Output shape is inconsistent with input spatial dimensions", for 8 from 4 with kernel 4.
        let op = || ConvTranspose::builder().kernel([4]);
        assert_eq!(axis_of(op(), &onnx(AutoPad::NotSet, Some(7)), 4).unwrap(), (0, 0, 0));
        assert!(matches!(
            axis_of(op(), &onnx(AutoPad::NotSet, Some(8)), 4),
            Err(Error::Unreachable { given: 8, least: 1, most: 7, .. })
        ));
    }

    #[test]
    fn sizes_near_the_end_of_64_bits_are_refused() {
        let op = || ConvTranspose::builder().kernel([1]).stride([1 << 40]);
        let same = Convention::TensorFlow { padding: Padding::Same, output_shape: None };
        for convention in [onnx(AutoPad::SameUpper, None), same, Convention::Jax { padding: vec![(1 << 40, 1 << 40)] }]
        {
            assert!(matches!(axis_of(op(), &convention, 1 << 23), Err(Error::Overflow { .. })), "{convention:?}");
        }
        assert!(matches!(
            axis_of(op(), &Convention::OutputSize(vec![usize::MAX]), 3),
            Err(Error::Unreachable { given: usize::MAX, .. })
        ));
    }

    #[test]
    fn output_size_keeps_the_padding_and_refuses_what_is_out_of_reach() {
        let op = || ConvTranspose::builder().kernel([3]).stride([2]).padding([1]);
        assert_eq!(axis_of(op(), &Convention::OutputSize(vec![6]), 3).unwrap(), (1, 0, 0));
        for size in [4, 7] {
            let error = axis_of(op(), &Convention::OutputSize(vec![size]), 3).unwrap_err();
            assert_eq!(
                error.to_string(),
                format!("output size {size} on axis 0 is out of reach, expected 5 to 6 with these parameters")
            );
        }
        let error = axis_of(op(), &Convention::OutputSize(vec![6, 6]), 3).unwrap_err();
        assert_eq!(error.to_string(), "output_size has 2 values, expected 1: one for each spatial axis");
    }

    #[test]
    fn tensorflow_refuses_an_output_that_does_not_lead_back() {
        let op = || ConvTranspose::builder().kernel([3]).stride([2]);
        let same = |output| Convention::TensorFlow { padding: Padding::Same, output_shape: Some(vec![output]) };
        assert_eq!(axis_of(op(), &same(5), 3).unwrap(), (1, 1, 0));
        assert!(matches!(axis_of(op(), &same(7), 3), Err(Error::Unreachable { least: 5, most: 6, .. })));
        let valid = |output| Convention::TensorFlow { padding: Padding::Valid, output_shape: Some(vec![output]) };
        assert_eq!(axis_of(op(), &valid(8), 3).unwrap(), (0, 0, 1));
        assert!(axis_of(op(), &valid(6), 3).is_err());
    }

    #[test]
    fn mxnet_pads_both_sides_alike() {
        let op = || ConvTranspose::builder().kernel([4]).stride([2]);
        // total 8 − 5 = 3: pad 2, adj 1
        assert_eq!(axis_of(op(), &Convention::MxNet { target_shape: vec![5] }, 3).unwrap(), (2, 1, 0));
        assert!(axis_of(op(), &Convention::MxNet { target_shape: vec![9] }, 3).is_err());
    }

    #[test]
    fn keras_output_padding_stays_below_the_stride() {
        let op = || ConvTranspose::builder().kernel([3]).stride([2]);
        let keras = |extra| Convention::Keras { padding: Padding::Valid, output_padding: vec![extra] };
        assert_eq!(axis_of(op(), &keras(1), 3).unwrap(), (0, 0, 1));
        assert!(matches!(axis_of(op(), &keras(2), 3), Err(Error::OutputPadding { .. })));
    }

    #[test]
    fn flipping_reverses_the_spatial_axes_only() {
        let op = ConvTranspose::builder()
            .in_channels(2)
            .kernel([1, 3])
            .weight_layout(crate::WeightLayout::Hwoi)
            .build()
            .unwrap();
        let weight = Tensor::f32([1, 3, 1, 2], [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]).unwrap();
        assert_eq!(flip_kernel(&op, &weight).unwrap().to_f32(), [5.0, 6.0, 3.0, 4.0, 1.0, 2.0]);
    }
}
