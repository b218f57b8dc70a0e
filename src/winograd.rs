//! Winograd's minimal filtering: kernels of 3 taps at stride 1, a tile of outputs at a time, with fewer multiplications.
//!
//! On one axis, 4 outputs of such an operation read 6 inputs. With the matrices of [`F4`],
//!
//! ```text
//! y = output · ((kernel · g) ⊙ (input · x))
//! ```
//!
//! takes 6 multiplications where the definition takes 12. On two axes the matrices are applied from both sides: 36
//! multiplications in place of 144. At each of the 36 points of a tile the products are accumulated over the input
//! channels, which is a matrix product for each point.
//!
//! Outputs `u` to `u + 3` of the full output read inputs `u − 2` to `u + 3`; the kernel of a transposed convolution is
//! reversed.
//!
//! Precision: large terms cancel, also those that reach no output, so that an error is in proportion to the largest sum
//! that an output could have, and not to each element's own: see
//! [`compare_winograd`](crate::reference::Expected::compare_winograd). A NaN spreads over its tile.
//!
//! Source: Lavin and Gray, *Fast Algorithms for Convolutional Neural Networks*, 2015. The points are 0, ±√½, ±√2 and
//! ∞: a third of the error of 0, ±1, ±2 and ∞.

use crate::op::ConvTranspose;
use std::f64::consts::{FRAC_1_SQRT_2, SQRT_2};

/// Outputs of a tile along each axis.
pub(crate) const TILE: usize = 4;

/// Inputs that a tile reads along each axis.
#[cfg_attr(not(feature = "gpu"), allow(dead_code, reason = "the CPU backend has it in its array types"))]
pub(crate) const PATCH: usize = 6;

/// The points of a tile: for each of them there is one matrix product over the channels.
#[cfg(feature = "gpu")]
pub(crate) const POINTS: usize = PATCH * PATCH;

/// The matrices for 4 outputs of a kernel of 3 taps.
#[derive(Debug)]
pub(crate) struct Transform {
    /// `Bᵀ`: from the inputs to the points.
    pub(crate) input: [[f64; 6]; 6],
    /// `G`: from the taps to the points.
    #[cfg_attr(not(any(feature = "cpu", test)), allow(dead_code, reason = "devices have it in WGSL"))]
    pub(crate) kernel: [[f64; 3]; 6],
    /// `Aᵀ`: from the points to the outputs.
    pub(crate) output: [[f64; 6]; 4],
}

const A: f64 = FRAC_1_SQRT_2;
const B: f64 = SQRT_2;

/// The one transform.
pub(crate) const F4: Transform = Transform {
    input: [
        [1.0, 0.0, -2.5, 0.0, 1.0, 0.0],
        [0.0, -B, -2.0, A, 1.0, 0.0],
        [0.0, B, -2.0, -A, 1.0, 0.0],
        [0.0, -A, -0.5, B, 1.0, 0.0],
        [0.0, A, -0.5, -B, 1.0, 0.0],
        [0.0, 1.0, 0.0, -2.5, 0.0, 1.0],
    ],
    kernel: [
        [1.0, 0.0, 0.0],
        [-2.0 / 3.0, -2.0 / 3.0 * A, -1.0 / 3.0],
        [-2.0 / 3.0, 2.0 / 3.0 * A, -1.0 / 3.0],
        [1.0 / 6.0, B / 6.0, 1.0 / 3.0],
        [1.0 / 6.0, -B / 6.0, 1.0 / 3.0],
        [0.0, 0.0, 1.0],
    ],
    output: [
        [1.0, 1.0, 1.0, 1.0, 1.0, 0.0],
        [0.0, A, -A, B, -B, 0.0],
        [0.0, 0.5, 0.5, 2.0, 2.0, 0.0],
        [0.0, A / 2.0, -A / 2.0, 2.0 * B, -2.0 * B, 1.0],
    ],
};

/// Whether the transform can compute an operation: two axes, kernel 3×3, stride 1, dilation 1, one group; any padding.
pub(crate) fn serves(op: &ConvTranspose) -> bool {
    let three = |axis: &crate::Axis| axis.kernel == 3 && [axis.stride, axis.dilation, axis.decimation] == [1; 3];
    op.rank() == 2 && op.groups() == 1 && op.axes().iter().all(three)
}

impl Transform {
    /// The weights at the points, of an operation that the transform [can compute](serves): `[36][in_channels][out_channels]`, from
    /// those of its weight layout: computed in f64 and rounded once.
    ///
    /// # Errors
    /// [`Error::Memory`](crate::Error::Memory).
    #[cfg(any(feature = "cpu", test))]
    pub(crate) fn weights(&self, op: &ConvTranspose, weight: &[f32]) -> crate::Result<Vec<f32>> {
        let (inputs, outputs) = (op.in_channels(), op.out_channels());
        let strides = op.weight_layout().strides(inputs, outputs, &op.axes3().map(|axis| axis.kernel));
        let len = 36usize.saturating_mul(inputs).saturating_mul(outputs);
        let mut points = crate::tensor::filled("the weights at Winograd's points", 0.0, len)?;
        for ci in 0..inputs {
            for co in 0..outputs {
                let at = |ky: usize, kx: usize| {
                    let [_, y, x] = strides.spatial;
                    f64::from(weight[ci * strides.input + co * strides.output + ky * y + kx * x])
                };
                for (py, row) in self.kernel.iter().enumerate() {
                    let column: [f64; 3] =
                        std::array::from_fn(|kx| (0..3).map(|ky| row[ky] * at(2 - ky, 2 - kx)).sum());
                    for (px, row) in self.kernel.iter().enumerate() {
                        let sum: f64 = row.iter().zip(column).map(|(g, tap)| g * tap).sum();
                        points[((py * 6 + px) * inputs + ci) * outputs + co] = sum as f32;
                    }
                }
            }
        }
        Ok(points)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor::Tensor;
    use crate::{WeightLayout, reference};
    use fastrand::Rng;

    /// A tile as the definition of the transform has it, in f32.
    fn tile(
        weights: &[f32],
        x: &[f32],
        [inputs, outputs, width]: [usize; 3],
        at: [usize; 2],
        co: usize,
    ) -> [[f32; 4]; 4] {
        let product = |a: &[f64], b: &dyn Fn(usize) -> f32| -> f32 {
            a.iter().enumerate().fold(0.0, |sum, (i, &a)| if a == 0.0 { sum } else { sum + a as f32 * b(i) })
        };
        let mut sums = [[0.0; 6]; 6];
        for ci in 0..inputs {
            let plane = &x[ci * width * width..];
            let half: [[f32; 6]; 6] = std::array::from_fn(|py| {
                std::array::from_fn(|ix| product(&F4.input[py], &|iy| plane[(at[0] + iy) * width + at[1] + ix]))
            });
            for (py, half) in half.iter().enumerate() {
                for (px, row) in F4.input.iter().enumerate() {
                    let w = weights[((py * 6 + px) * inputs + ci) * outputs + co];
                    sums[py][px] += w * product(row, &|ix| half[ix]);
                }
            }
        }
        let half: [[f32; 6]; 4] =
            std::array::from_fn(|oy| std::array::from_fn(|px| product(&F4.output[oy], &|py| sums[py][px])));
        half.map(|half| std::array::from_fn(|ox| product(&F4.output[ox], &|px| half[px])))
    }

    fn op(inputs: usize, outputs: usize, layout: WeightLayout) -> ConvTranspose {
        let op = ConvTranspose::builder().in_channels(inputs).out_channels(outputs).kernel([3, 3]).padding([2, 2]);
        op.weight_layout(layout).build().unwrap()
    }

    /// How two tiles side by side in each direction compare with the reference.
    fn compare(op: &ConvTranspose, x: &Tensor, weight: &Tensor) -> (reference::Expected, reference::Comparison) {
        let (inputs, outputs, width) = (op.in_channels(), op.out_channels(), WIDTH);
        let expected = reference::conv_transpose(op, x, weight, None).unwrap();
        let weights = F4.weights(op, weight.as_f32().unwrap()).unwrap();
        let mut y = vec![f32::NAN; expected.value().len()];
        for co in 0..outputs {
            for from in [[0, 0], [0, 4], [4, 0], [4, 4]] {
                let tile = tile(&weights, x.as_f32().unwrap(), [inputs, outputs, width], from, co);
                for (oy, row) in tile.iter().enumerate() {
                    let at = (co * 8 + from[0] + oy) * 8 + from[1];
                    y[at..at + 4].copy_from_slice(row);
                }
            }
        }
        let y = Tensor::f32(expected.shape(), y).unwrap();
        let comparison = expected.compare_winograd(&y).unwrap();
        (expected, comparison)
    }

    /// Inputs of two tiles of 4 outputs.
    const WIDTH: usize = 2 * 4 + 2;

    fn filled(shape: &[usize], element: impl FnMut() -> f32) -> Tensor {
        Tensor::f32(shape, std::iter::repeat_with(element).take(shape.iter().product()).collect::<Vec<_>>()).unwrap()
    }

    #[test]
    fn errors_are_within_what_is_stated_in_every_layout() {
        let mut rng = Rng::with_seed(72);
        let layouts = WeightLayout::ALL;
        let sizes = [(1, 60), (3, 30), (17, 20), (64, 12), (256, 6), (1024, 2)];
        for ((inputs, outputs), layout) in sizes.into_iter().zip(layouts.into_iter().cycle()) {
            for least in [-1.0, 0.0] {
                let op = op(inputs, outputs, layout);
                let mut element = || least + rng.f32() * (1.0 - least);
                let x = filled(&[1, inputs, WIDTH, WIDTH], &mut element);
                let (_, comparison) = compare(&op, &x, &filled(&op.weight_shape(), element));
                let share = comparison.worst_share;
                assert!(
                    share > 0.0 && share <= 0.25,
                    "{inputs} channels from {least}, {layout:?}: {share} of the bound"
                );
            }
        }
    }

    /// The weight of an input and a tap in what is rounded on the way to an output, at most.
    #[test]
    fn the_transforms_amplify_by_at_most_189() {
        let total = |row: &[f64]| row.iter().map(|number| number.abs()).sum::<f64>();
        let most = |row: &[f64]| row.iter().map(|number| number.abs()).fold(0.0, f64::max);
        let at = |point: usize| most(&F4.kernel[point]) * total(&F4.input[point]);
        let axis = F4.output.iter().map(|row| (0..PATCH).map(|point| row[point].abs() * at(point)).sum::<f64>());
        let axis = axis.fold(0.0, f64::max);
        assert!((188.0..189.0).contains(&(axis * axis)), "{axis} on each axis");
    }

    #[test]
    fn a_bright_pixel_whose_products_are_cropped_stays_within_the_bound() {
        let mut rng = Rng::with_seed(73);
        let op = op(1, 1, WeightLayout::Iohw);
        let mut dim = |value: f32| value * (0.5 + rng.f32());
        // The first tap is the large one, and what this pixel has of it is cropped.
        let mut x = filled(&[1, 1, WIDTH, WIDTH], || dim(1.0)).to_f32();
        x[WIDTH + 1] = 1e6;
        let mut weight = filled(&op.weight_shape(), || dim(1e-6)).to_f32();
        weight[0] = 1.0;
        let (x, weight) = (Tensor::f32([1, 1, WIDTH, WIDTH], x), Tensor::f32(op.weight_shape(), weight));
        let (expected, comparison) = compare(&op, &x.unwrap(), &weight.unwrap());
        assert!(comparison.passed(), "{comparison:?}");
        let largest = expected.magnitude().iter().copied().fold(0.0, f64::max);
        let of_the_output = comparison.worst_error / largest / f64::from(f32::EPSILON);
        assert!(of_the_output > 1000.0, "{of_the_output} ε of the largest sum that is left");
    }

    #[test]
    fn inputs_made_to_err_stay_within_the_bound() {
        let mut rng = Rng::with_seed(74);
        let mut worst: f64 = 0.0;
        for round in 0..3000 {
            let inputs = 1 + round % 3;
            let op = op(inputs, 1, WeightLayout::Iohw);
            let sign = |rng: &mut Rng| if rng.bool() { 1.0 } else { -1.0 };
            // All inputs large, of any sign; or few, at the borders of tiles, a million times the others.
            let border = [3, 4, 5, 6];
            let x = (0..inputs * WIDTH * WIDTH).map(|at| {
                let on_border = border.contains(&(at / WIDTH % WIDTH)) && border.contains(&(at % WIDTH));
                let scale = if round % 2 == 0 || on_border && rng.u8(..) < 64 { 1.0 } else { 1e-6 };
                sign(&mut rng) * scale * (0.9 + 0.1 * rng.f32())
            });
            let x = Tensor::f32([1, inputs, WIDTH, WIDTH], x.collect::<Vec<_>>()).unwrap();
            // One tap alone, or all.
            let tap = rng.usize(..18);
            let weight =
                (0..inputs * 9).map(|at| if tap < 9 && at % 9 != tap { 0.0 } else { sign(&mut rng) * rng.f32() });
            let weight = Tensor::f32(op.weight_shape(), weight.collect::<Vec<_>>()).unwrap();
            worst = worst.max(compare(&op, &x, &weight).1.worst_share);
        }
        assert!(worst > 0.05 && worst <= 0.5, "{worst} of the bound");
    }

    #[test]
    fn only_three_by_three_at_stride_1_can_be_computed() {
        assert!(serves(&op(2, 3, WeightLayout::Iohw)));
        let builder = || ConvTranspose::builder().in_channels(2).out_channels(2);
        let others = [
            builder().kernel([3, 2]),
            builder().kernel([3, 3]).stride([1, 2]),
            builder().kernel([3, 3]).dilation([2, 1]),
            builder().kernel([3, 3]).groups(2),
            builder().kernel([3]),
            builder().kernel([3, 3, 3]),
        ];
        assert!(others.into_iter().all(|other| !serves(&other.build().unwrap())));
    }
}
