//! Winograd's minimal filtering: tiles of outputs with fewer multiplications than the definition has.
//!
//! An axis of 3 taps and stride 1 is a correlation, 4 neighbouring outputs of which read 6 inputs. With the matrices of
//! [`F4_3`],
//!
//! ```text
//! y = output · ((kernel · g) ⊙ (input · x))
//! ```
//!
//! takes 6 multiplications where the definition takes 12. An axis of stride s and 2·s taps is s such correlations, one
//! for each phase, of 2 taps each: with [`F4_2`], 4 neighbouring outputs of a phase take 5 multiplications in place
//! of 8. On two axes the matrices are applied from both sides: 36 multiplications in place of 144 for kernel 3×3, 100 in
//! place of 256 for kernel 4×4 and stride 2×2. At each point of a tile the products are accumulated over the input
//! channels, which is a matrix product for each point.
//!
//! The outputs of phase `e` along an axis are `o = s·p + e`. What they read ends at input `p + f`, where
//! `f = ⌊(e + pad_begin) / s⌋` takes two values at most: phases with the same `f` are a class, and read the same points.
//!
//! Precision: large terms cancel, also those that reach no output, so that an error is in proportion to the largest sum
//! that an output could have, and not to each element's own: see
//! [`compare_normwise`](crate::reference::Expected::compare_normwise). A NaN spreads over its tile.
//!
//! Source: Lavin and Gray, *Fast Algorithms for Convolutional Neural Networks*, 2015. The points of three taps are 0,
//! ±√½, ±√2 and ∞, a third of the error of 0, ±1, ±2 and ∞; those of two taps are ±½, ±5/4 and ∞, a third of the error of
//! 0, ±1, 2 and ∞.

use crate::op::{Axis, ConvTranspose};
use std::f64::consts::{FRAC_1_SQRT_2, SQRT_2};

/// Outputs of a phase that a tile has along an axis of 2 or 3 taps for each phase.
pub(crate) const TILE: usize = 4;

/// The matrices for 4 outputs of so many taps.
#[derive(Debug)]
pub(crate) struct Transform<const TAPS: usize, const POINTS: usize> {
    /// `Bᵀ`: from the inputs to the points.
    pub(crate) input: [[f64; POINTS]; POINTS],
    /// `G`: from the taps to the points.
    pub(crate) kernel: [[f64; TAPS]; POINTS],
    /// `Aᵀ`: from the points to the outputs.
    pub(crate) output: [[f64; POINTS]; TILE],
}

const A: f64 = FRAC_1_SQRT_2;
const B: f64 = SQRT_2;

/// Of 3 taps.
pub(crate) static F4_3: Transform<3, 6> = Transform {
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

/// Of 2 taps.
pub(crate) static F4_2: Transform<2, 5> = Transform {
    input: [
        [-0.78125, -1.5625, 0.5, 1.0, 0.0],
        [0.78125, -1.5625, -0.5, 1.0, 0.0],
        [-0.3125, -0.25, 1.25, 1.0, 0.0],
        [0.3125, -0.25, -1.25, 1.0, 0.0],
        [0.390625, 0.0, -1.8125, 0.0, 1.0],
    ],
    kernel: [
        [-16.0 / 21.0, -8.0 / 21.0],
        [16.0 / 21.0, -8.0 / 21.0],
        [32.0 / 105.0, 8.0 / 21.0],
        [-32.0 / 105.0, 8.0 / 21.0],
        [0.0, 1.0],
    ],
    output: [
        [1.0, 1.0, 1.0, 1.0, 0.0],
        [0.5, -0.5, 1.25, -1.25, 0.0],
        [0.25, 0.25, 1.5625, 1.5625, 0.0],
        [0.125, -0.125, 1.953125, -1.953125, 1.0],
    ],
};

/// How the transforms compute one axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Filter {
    /// Taps of each phase: 3 or 2, or 1 for an axis that is left as it is.
    pub(crate) taps: usize,
    pub(crate) stride: usize,
    /// `pad_begin mod stride`.
    pub(crate) residue: usize,
}

/// The filters along h and w of an operation that the transforms can compute: one group, and along each of these axes
/// dilation 1 with 3 taps at stride 1, 2·s taps at a stride s of 2 to 8, or a single tap at stride 1, but not a single
/// tap along both. What the operation has along d is left to the products.
pub(crate) fn filters(op: &ConvTranspose) -> Option<[Filter; 2]> {
    let [_, h, w] = op.axes3();
    let filters = [Filter::of(h)?, Filter::of(w)?];
    let fewer = filters.iter().any(|filter| filter.taps > 1);
    (op.groups() == 1 && !op.is_decimated() && fewer).then_some(filters)
}

/// Those of kernel 3×3 at stride 1.
pub(crate) const THREE_BY_THREE: [Filter; 2] = [Filter { taps: 3, stride: 1, residue: 0 }; 2];

/// With fewer input or output channels, kernel 3×3 at stride 1 is not worth the transforms: on lavapipe 16, 32 and 64 made no
/// difference to a picture, most of whose work is in wider layers. On the CPU 32 take 1/1.2 of the time with AVX-512.
const LEAST_CHANNELS: usize = 32;

/// Whether an operation on two axes has kernel 3×3 at stride 1, and so many channels that the transforms pay.
#[cfg(any(feature = "cpu", feature = "gpu", feature = "picture"))]
pub(crate) fn wide_three_by_three(op: &ConvTranspose) -> bool {
    op.rank() == 2 && filters(op) == Some(THREE_BY_THREE) && op.in_channels().min(op.out_channels()) >= LEAST_CHANNELS
}

impl Filter {
    fn of(axis: &Axis) -> Option<Self> {
        let taps = match (axis.kernel, axis.stride) {
            (3, 1) => 3,
            (kernel, stride @ 2..=8) if kernel == 2 * stride => 2,
            (1, 1) => 1,
            _ => return None,
        };
        let residue = axis.pad_begin.rem_euclid(axis.stride as i64) as usize;
        (axis.dilation == 1).then_some(Self { taps, stride: axis.stride, residue })
    }

    /// The points of a tile: for each of them, of each class, there is one matrix product over the channels.
    pub(crate) fn points(self) -> usize {
        self.tile() + self.taps - 1
    }

    /// Outputs of a phase that a tile has.
    pub(crate) fn tile(self) -> usize {
        if self.taps == 1 { 1 } else { TILE }
    }

    /// Outputs of all phases that a tile has.
    pub(crate) fn outputs(self) -> usize {
        self.tile() * self.stride
    }

    /// Classes of phases, all of which have as many phases: where that is not so, each phase is a class.
    pub(crate) fn classes(self) -> usize {
        match self.residue {
            0 => 1,
            residue if 2 * residue == self.stride => 2,
            _ => self.stride,
        }
    }

    /// Phases of a class: the first class has the first ones.
    pub(crate) fn phases(self) -> usize {
        self.stride / self.classes()
    }

    /// Where the inputs of a class begin, from those of the first on: 0 or 1.
    pub(crate) fn shift(self, class: usize) -> usize {
        (class * self.phases() + self.residue) / self.stride
    }

    /// Inputs that a tile reads, for all classes.
    pub(crate) fn patch(self) -> usize {
        self.points() + self.shift(self.classes() - 1)
    }

    /// The first input that the first tile reads.
    pub(crate) fn first_input(self, pad_begin: i64) -> i64 {
        pad_begin.div_euclid(self.stride as i64) - (self.taps as i64 - 1)
    }

    /// The tap of the kernel that is number `tap` of a phase's correlation.
    pub(crate) fn tap(self, phase: usize, tap: usize) -> usize {
        (phase + self.residue) % self.stride + self.stride * (self.taps - 1 - tap)
    }

    /// `Bᵀ`, row by row.
    pub(crate) fn input(self) -> Vec<&'static [f64]> {
        match self.taps {
            3 => rows(&F4_3.input),
            2 => rows(&F4_2.input),
            _ => vec![&[1.0]],
        }
    }

    /// `G`, row by row.
    pub(crate) fn kernel(self) -> Vec<&'static [f64]> {
        match self.taps {
            3 => rows(&F4_3.kernel),
            2 => rows(&F4_2.kernel),
            _ => vec![&[1.0]],
        }
    }

    /// `Aᵀ`, row by row.
    pub(crate) fn output(self) -> Vec<&'static [f64]> {
        match self.taps {
            3 => rows(&F4_3.output),
            2 => rows(&F4_2.output),
            _ => vec![&[1.0]],
        }
    }
}

fn rows<const N: usize>(matrix: &'static [[f64; N]]) -> Vec<&'static [f64]> {
    matrix.iter().map(<[f64; N]>::as_slice).collect()
}

/// The weights at the points, from those of the operation's weight layout:
/// `[class h][class w][point h][point w][tap along d][in_channels][phase h][phase w][out_channels]`, the phases being
/// those of a class; computed in f64 and rounded once.
///
/// # Errors
/// [`Error::Memory`](crate::Error::Memory).
#[cfg(test)]
pub(crate) fn weights(op: &ConvTranspose, [h, w]: [Filter; 2], weight: &[f32]) -> crate::Result<Vec<f32>> {
    let (inputs, outputs) = (op.in_channels(), op.out_channels());
    let kernel = op.axes3().map(|axis| axis.kernel);
    let strides = op.weight_layout().strides(inputs, outputs, &kernel);
    let per_axis = [h, w].map(|filter| filter.stride * filter.points());
    let len = [per_axis[0], per_axis[1], kernel[0], inputs, outputs].into_iter().fold(1, usize::saturating_mul);
    let mut points = crate::tensor::filled("the weights at Winograd's points", 0.0, len)?;
    let (from_taps_h, from_taps_w) = (h.kernel(), w.kernel());
    let mut to = points.iter_mut();
    for class in crossed([h.classes(), w.classes()]) {
        for [py, px] in crossed([h.points(), w.points()]) {
            for [z, ci] in crossed([kernel[0], inputs]) {
                for [ph, pw] in crossed([h.phases(), w.phases()]) {
                    let phase = [class[0] * h.phases() + ph, class[1] * w.phases() + pw];
                    let first = ci * strides.input + z * strides.spatial[0];
                    for co in 0..outputs {
                        let row = |ty: usize| {
                            let at = first + co * strides.output + h.tap(phase[0], ty) * strides.spatial[1];
                            let taps = from_taps_w[px].iter().enumerate();
                            let tap = |tx: usize| f64::from(weight[at + w.tap(phase[1], tx) * strides.spatial[2]]);
                            taps.map(|(tx, g)| g * tap(tx)).sum::<f64>()
                        };
                        let sum: f64 = from_taps_h[py].iter().enumerate().map(|(ty, g)| g * row(ty)).sum();
                        if let Some(to) = to.next() {
                            *to = sum as f32;
                        }
                    }
                }
            }
        }
    }
    Ok(points)
}

/// All pairs, the second number changing faster.
pub(crate) fn crossed([outer, inner]: [usize; 2]) -> impl Iterator<Item = [usize; 2]> {
    (0..outer).flat_map(move |a| (0..inner).map(move |b| [a, b]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor::Tensor;
    use crate::{WeightLayout, reference};
    use fastrand::Rng;

    /// The output as the definition of the transforms has it, in f32, tile by tile.
    fn computed(op: &ConvTranspose, x: &Tensor, weight: &Tensor) -> Tensor {
        let geometry = op.at(x.shape()).unwrap();
        let [h, w] = filters(op).unwrap();
        let [_, height, width] = geometry.output;
        let (inputs, outputs, [_, rows, columns]) = (op.in_channels(), op.out_channels(), geometry.input);
        let (weights, x) = (weights(op, [h, w], weight.as_f32().unwrap()).unwrap(), x.as_f32().unwrap());
        let product = |a: &[f64], b: &dyn Fn(usize) -> f32| -> f32 {
            a.iter().enumerate().fold(0.0, |sum, (i, &a)| if a == 0.0 { sum } else { sum + a as f32 * b(i) })
        };
        let [_, ay, ax] = op.axes3();
        let from = [h.first_input(ay.pad_begin), w.first_input(ax.pad_begin)];
        let mut y = vec![f32::NAN; outputs * height * width];
        for [ty, tx] in crossed([height.div_ceil(h.outputs()), width.div_ceil(w.outputs())]) {
            for [cy, cx] in crossed([h.classes(), w.classes()]) {
                let input = |ci: usize, iy: usize, ix: usize| {
                    let iy = from[0] + (ty * h.tile() + h.shift(cy) + iy) as i64;
                    let ix = from[1] + (tx * w.tile() + w.shift(cx) + ix) as i64;
                    let inside = (0..rows as i64).contains(&iy) && (0..columns as i64).contains(&ix);
                    if inside { x[(ci * rows + iy as usize) * columns + ix as usize] } else { 0.0 }
                };
                for ([py, px], co) in
                    crossed([h.phases(), w.phases()]).flat_map(|p| (0..outputs).map(move |co| (p, co)))
                {
                    let group = cy * w.classes() + cx;
                    let sum = |point_y: usize, point_x: usize| {
                        (0..inputs).fold(0.0, |sum: f32, ci| {
                            let column = |ix: usize| product(h.input()[point_y], &|iy| input(ci, iy, ix));
                            let at = ((group * h.points() + point_y) * w.points() + point_x) * inputs + ci;
                            let at = ((at * h.phases() + py) * w.phases() + px) * outputs + co;
                            sum + weights[at] * product(w.input()[point_x], &column)
                        })
                    };
                    let sums: Vec<f32> = crossed([h.points(), w.points()]).map(|[y, x]| sum(y, x)).collect();
                    for [oy, ox] in crossed([h.tile(), w.tile()]) {
                        let column = |x: usize| product(h.output()[oy], &|y| sums[y * w.points() + x]);
                        let row = (ty * h.tile() + oy) * h.stride + cy * h.phases() + py;
                        let at = (tx * w.tile() + ox) * w.stride + cx * w.phases() + px;
                        if row < height && at < width {
                            y[(co * height + row) * width + at] = product(w.output()[ox], &column);
                        }
                    }
                }
            }
        }
        Tensor::f32(geometry.output_shape(), y).unwrap()
    }

    fn op(inputs: usize, outputs: usize, layout: WeightLayout) -> ConvTranspose {
        let op = ConvTranspose::builder().in_channels(inputs).out_channels(outputs).kernel([3, 3]).padding([2, 2]);
        op.weight_layout(layout).build().unwrap()
    }

    /// How the transforms compare with the reference.
    fn compare(op: &ConvTranspose, x: &Tensor, weight: &Tensor) -> (reference::Expected, reference::Comparison) {
        let expected = reference::conv_transpose(op, x, weight, None).unwrap();
        let comparison = expected.compare_normwise(&computed(op, x, weight)).unwrap();
        (expected, comparison)
    }

    /// Every kind of axis, with every class of phases, whatever is cropped.
    #[test]
    fn every_axis_is_what_the_definition_says() {
        let mut rng = Rng::with_seed(75);
        let mut axes: Vec<(usize, usize, i64)> =
            vec![(1, 1, 0), (1, 1, -1), (3, 1, 0), (3, 1, 1), (3, 1, 5), (3, 1, -2)];
        axes.extend((2..=8).flat_map(|s| (-2..2 * s as i64).map(move |pad| (2 * s, s, pad))));
        for &(kernel, stride, pad) in &axes {
            for (other, size) in [((1, 1, 0), 2), ((4, 2, 1), 3)] {
                let (kernels, strides, pads) = ([other.0, kernel], [other.1, stride], [other.2, pad]);
                let op = ConvTranspose::builder().in_channels(2).out_channels(3).kernel(kernels).stride(strides);
                let op = op.padding(pads.map(|pad| (pad, 0i64))).build().unwrap();
                let Some(filters) = filters(&op) else {
                    assert!(kernels == [1, 1]);
                    continue;
                };
                let all = |of: fn(Filter) -> usize| filters.map(of);
                assert_eq!(all(|f| f.classes() * f.phases()), strides);
                for width in [5, 6, 11] {
                    let x = filled(&[1, 2, size, width], || rng.f32() - 0.5);
                    let (_, comparison) = compare(&op, &x, &filled(&op.weight_shape(), || rng.f32() - 0.5));
                    assert!(comparison.passed(), "{kernels:?} {strides:?} {pads:?} {width}: {comparison:?}");
                }
            }
        }
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
        let amplification = |taps: usize| {
            let filter = Filter { taps, stride: 1, residue: 0 };
            let at = |point: usize| most(filter.kernel()[point]) * total(filter.input()[point]);
            let rows = filter.output().into_iter();
            let axis = rows.map(|row| (0..row.len()).map(|point| row[point].abs() * at(point)).sum::<f64>());
            axis.fold(0.0, f64::max)
        };
        let [two, three] = [2, 3].map(amplification);
        assert!((188.0..189.0).contains(&(three * three)), "{three} on each axis");
        assert!((65.0..66.0).contains(&(two * two)), "{two} on each axis");
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
    fn what_the_transforms_are_not_for_is_left_alone() {
        assert!(filters(&op(2, 3, WeightLayout::Iohw)).is_some());
        let builder = || ConvTranspose::builder().in_channels(2).out_channels(2);
        let others = [
            builder().kernel([3, 2]),
            builder().kernel([3, 3]).stride([1, 2]),
            builder().kernel([3, 3]).dilation([2, 1]),
            builder().kernel([3, 3]).groups(2),
            builder().kernel([1, 1]),
            builder().kernel([2, 2]).stride([2, 2]),
            builder().kernel([5]).stride([2]),
            builder().kernel([18]).stride([9]),
            builder().kernel([3, 1, 1]),
        ];
        assert!(others.into_iter().all(|other| filters(&other.build().unwrap()).is_none()));
        let served = [
            builder().kernel([4, 4]).stride([2, 2]),
            builder().kernel([4, 3]).stride([2, 1]),
            builder().kernel([16]).stride([8]),
            builder().kernel([5, 4, 4]).stride([3, 2, 2]).dilation([2, 1, 1]),
        ];
        assert!(served.into_iter().all(|other| filters(&other.build().unwrap()).is_some()));
    }
}
