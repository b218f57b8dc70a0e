//! Any operation, in f32 or f64: each row of the output gathers the rows of the input that reach it.
//!
//! The readable one, which the others fall back on. A tap outside the input is never multiplied, so that a weight that
//! is infinite or NaN shows only where it is used.

use super::element::Element;
use crate::layout::Layout;
use crate::op::{ConvTranspose, Geometry};
use crate::phase::AxisPhases;
use rayon::prelude::*;

/// The weights as this algorithm reads them: `[out_channels][in_channels / groups][kd][kh][kw]`.
#[derive(Clone, Debug)]
pub(super) struct Weights<T> {
    weight: Vec<T>,
    bias: Vec<T>,
}

impl<T: Element> Weights<T> {
    /// Reorders a weight of the operation's weight layout; `bias` may be empty.
    pub(super) fn new(op: &ConvTranspose, weight: &[T], bias: Vec<T>) -> Self {
        let kernel = op.axes3().map(|axis| axis.kernel);
        let (in_group, out_group) = (op.in_channels() / op.groups(), op.out_channels() / op.groups());
        let strides = op.weight_layout().strides(op.in_channels(), out_group, &kernel);
        let mut reordered = Vec::with_capacity(weight.len());
        for co in 0..op.out_channels() {
            for ci in co / out_group * in_group..(co / out_group + 1) * in_group {
                let origin = ci * strides.input + co % out_group * strides.output;
                for kz in 0..kernel[0] {
                    for ky in 0..kernel[1] {
                        let row = origin + kz * strides.spatial[0] + ky * strides.spatial[1];
                        reordered.extend((0..kernel[2]).map(|kx| weight[row + kx * strides.spatial[2]]));
                    }
                }
            }
        }
        Self { weight: reordered, bias }
    }

    /// The same weights in another type.
    pub(super) fn map<U>(&self, convert: impl Fn(T) -> U) -> Weights<U> {
        let map = |values: &[T]| values.iter().map(|&value| convert(value)).collect();
        Weights { weight: map(&self.weight), bias: map(&self.bias) }
    }
}

/// One tap on the last axis, over all the outputs it reaches: `count` outputs from `output` on, `stride` apart, read
/// neighbouring inputs from `input` on.
#[derive(Clone, Copy)]
struct Run {
    tap: usize,
    input: usize,
    output: usize,
    count: usize,
}

/// The outputs that each tap reaches on an axis.
fn runs(op: &ConvTranspose, geometry: &Geometry, axis: usize) -> Vec<Run> {
    let (axis, input, output) = (&op.axes3()[axis], geometry.input[axis] as i64, geometry.output[axis] as i64);
    let table = AxisPhases::new(axis);
    let stride = axis.stride as i64;
    let mut runs = Vec::new();
    for phase in table.iter() {
        // Output o = q·s + r − b, for the q that keep o within the output.
        let shift = phase.residue as i64 - axis.pad_begin;
        let (least, most) = (-shift.div_euclid(stride), (output - 1 - shift).div_euclid(stride));
        for (tap, offset) in table.taps(phase) {
            let (first, last) = (least.max(offset), most.min(input - 1 + offset));
            if first <= last {
                let output = (first * stride + shift) as usize;
                runs.push(Run { tap, input: (first - offset) as usize, output, count: (last - first + 1) as usize });
            }
        }
    }
    runs
}

/// The (tap, input) pairs that reach one output coordinate of an axis.
fn reaching(op: &ConvTranspose, geometry: &Geometry, axis: usize) -> Vec<Vec<(usize, usize)>> {
    let (axis, input, output) = (&op.axes3()[axis], geometry.input[axis] as i64, geometry.output[axis] as i64);
    let table = AxisPhases::new(axis);
    let pairs = |o: i64| {
        let Some((phase, q)) = table.at(o + axis.pad_begin) else { return Vec::new() };
        let inside =
            |(tap, offset): (usize, i64)| (0..input).contains(&(q - offset)).then_some((tap, (q - offset) as usize));
        table.taps(phase).filter_map(inside).collect()
    };
    (0..output).map(pairs).collect()
}

/// Computes the output, whose elements must be 0.
pub(super) fn run<T: Element>(op: &ConvTranspose, geometry: &Geometry, weights: &Weights<T>, x: &[T], y: &mut [T]) {
    let (xs, ys) = (geometry.input_strides(), geometry.output_strides());
    let [kd, kh, kw] = op.axes3().map(|axis| axis.kernel);
    let (in_group, out_group) = (op.in_channels() / op.groups(), op.out_channels() / op.groups());
    let (rows_z, rows_y) = (reaching(op, geometry, 0), reaching(op, geometry, 1));
    let runs = runs(op, geometry, 2);
    let stride = op.axes3()[2].stride * ys.spatial[2];
    // What lies together in memory: with the channels first, a row of one channel; with the channels last, of all.
    let (apart, together) = match op.layout() {
        Layout::ChannelsFirst => (op.out_channels(), 1),
        Layout::ChannelsLast => (1, op.out_channels()),
    };
    y.par_chunks_mut(geometry.output[2] * together).enumerate().for_each(|(index, row)| {
        let (rest, oy) = (index / geometry.output[1], index % geometry.output[1]);
        let (rest, oz) = (rest / geometry.output[0], rest % geometry.output[0]);
        let (n, first_channel) = (rest / apart, rest % apart);
        for channel in 0..together {
            let co = first_channel + channel;
            for ci in 0..in_group {
                let x0 = n * xs.batch + (co / out_group * in_group + ci) * xs.channel;
                for &(kz, iz) in &rows_z[oz] {
                    for &(ky, iy) in &rows_y[oy] {
                        let x1 = x0 + iz * xs.spatial[0] + iy * xs.spatial[1];
                        let w = &weights.weight[(((co * in_group + ci) * kd + kz) * kh + ky) * kw..][..kw];
                        for run in &runs {
                            let x = x[x1 + run.input * xs.spatial[2]..].iter().step_by(xs.spatial[2]);
                            let y = row[channel + run.output * ys.spatial[2]..].iter_mut().step_by(stride);
                            for (y, &x) in y.zip(x).take(run.count) {
                                *y += w[run.tap] * x;
                            }
                        }
                    }
                }
            }
            for y in row[channel..].iter_mut().step_by(ys.spatial[2]) {
                if let Some(&bias) = weights.bias.get(co) {
                    *y += bias;
                }
                *y = y.activate(op.activation(), co);
            }
        }
    });
}
