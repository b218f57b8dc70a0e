//! Linear and cubic resampling by a fraction, as a convolution whose channels are shuffled.
//!
//! With a scale of p/q, output p·m + r reads around (p·m + r + ½)·q/p − ½ = q·m + (r + ½)·q/p − ½: each of the p residues
//! has weights of its own, the same at each m. So they are p channels of a convolution of stride q, and a pixel shuffle puts
//! them side by side. Beyond the border the outermost pixels are replicated.

use super::{Beyond, Graph, Value};
use crate::error::Result;
use crate::op::Convolution;
use crate::tensor::Tensor;

/// What the weight of a pixel at a distance is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Filter {
    Linear,
    /// With a = −0.75.
    Cubic,
}

impl Filter {
    fn reach(self) -> i64 {
        match self {
            Filter::Linear => 1,
            Filter::Cubic => 2,
        }
    }

    fn weight(self, distance: f64) -> f64 {
        const A: f64 = -0.75;
        let t = distance.abs();
        match self {
            Filter::Linear => (1.0 - t).max(0.0),
            Filter::Cubic if t <= 1.0 => ((A + 2.0) * t - (A + 3.0)) * t * t + 1.0,
            Filter::Cubic if t < 2.0 => ((A * t - 5.0 * A) * t + 8.0 * A) * t - 4.0 * A,
            Filter::Cubic => 0.0,
        }
    }
}

/// The pixels that the residues read, from the first to behind the last, at least all of a block, and the weights of each
/// residue.
fn taps(filter: Filter, [p, q]: [usize; 2]) -> (i64, Vec<Vec<f64>>) {
    let position = |r: usize| (r as f64 + 0.5) * q as f64 / p as f64 - 0.5;
    let first = |r: usize| position(r).floor() as i64 - filter.reach() + 1;
    let begin = first(0).min(0);
    let end = (first(p - 1) + 2 * filter.reach()).max(q as i64);
    let weights = (0..p).map(|r| (begin..end).map(|at| filter.weight(position(r) - at as f64)).collect()).collect();
    (begin, weights)
}

/// All products of a number of each list, the last list's neighbours side by side.
fn products(lists: &[&Vec<f64>]) -> Vec<f64> {
    let product = |so_far: Vec<f64>, list: &&Vec<f64>| {
        so_far.iter().flat_map(|a| list.iter().map(move |b| a * b)).collect::<Vec<_>>()
    };
    lists.iter().fold(vec![1.0], product)
}

/// The elements of the weight that resamples so many channels on so many axes; `None` for more than can be counted.
#[cfg(feature = "onnx")]
pub(super) fn weights(filter: Filter, scale: [usize; 2], channels: usize, rank: usize) -> Option<usize> {
    let each = scale[0].checked_mul(taps(filter, scale).1[0].len())?;
    (0..rank).try_fold(channels, |count, _| count.checked_mul(each))
}

/// Adds the resampling of a value on all axes. The extents must be multiples of the scale's denominator.
pub(super) fn resample(graph: &mut Graph, x: Value, filter: Filter, scale: [usize; 2]) -> Result<Value> {
    let [p, q] = scale;
    let (channels, rank) = (graph.node(x).channels(), graph.rank());
    let (begin, weights) = taps(filter, scale);
    let kernel = weights[0].len();
    let before = begin.unsigned_abs() as usize;
    let x = graph.pad(x, &vec![[before, kernel - q - before]; rank], Beyond::Replicate)?;
    let residues = p.pow(rank as u32);
    let mut each = Vec::with_capacity(residues * kernel.pow(rank as u32));
    for residue in 0..residues {
        let along: Vec<&Vec<f64>> = (0..rank).rev().map(|axis| &weights[residue / p.pow(axis as u32) % p]).collect();
        each.extend(products(&along).into_iter().map(|weight| weight as f32));
    }
    let op = Convolution::builder().in_channels(channels).out_channels(channels * residues).groups(channels);
    let op = op.kernel(vec![kernel; rank]).stride(vec![q; rank]).build()?;
    let weight = Tensor::f32(op.weight_shape(), each.repeat(channels))?;
    let y = graph.convolution(x, &op, &weight, None)?;
    graph.pixel_shuffle(y, p)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The taps of a smaller output begin within a block, not at its first element.
    #[test]
    fn a_quarter_reads_the_middle_of_each_block() {
        for (filter, rest) in [(Filter::Linear, 3), (Filter::Cubic, 0)] {
            let mut graph = Graph::new(1).unwrap();
            let x = graph.input(1).unwrap();
            let y = resample(&mut graph, x, filter, [1, 4]).unwrap();
            graph.output(y).unwrap();
            let ramp: Vec<f64> = (0..16 + rest).map(f64::from).collect();
            let made = graph.on_reference(&[Tensor::f64([1, 1, ramp.len()], ramp).unwrap()]).unwrap();
            assert_eq!(made[0].to_f64(), [1.5, 5.5, 9.5, 13.5], "{filter:?}");
        }
    }
}
