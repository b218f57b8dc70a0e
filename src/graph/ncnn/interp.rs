//! Bilinear and bicubic resampling by a fraction, as a convolution whose channels are shuffled.
//!
//! With a scale of p/q, output p·m + r reads around (p·m + r + ½)·q/p − ½ = q·m + (r + ½)·q/p − ½: each of the p residues
//! has weights of its own, the same at each m. So they are p channels of a convolution of stride q, and a pixel shuffle puts
//! them side by side. Beyond the border the outermost pixels are replicated.

use super::param::Read;
use crate::error::Result;
use crate::graph::{Beyond, Graph, Value};
use crate::op::Convolution;
use crate::tensor::Tensor;

/// What the weight of a pixel at a distance is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Filter {
    Bilinear,
    /// With a = −0.75.
    Bicubic,
}

/// The largest numerator and denominator.
const MOST: usize = 16;

impl Filter {
    fn reach(self) -> i64 {
        match self {
            Filter::Bilinear => 1,
            Filter::Bicubic => 2,
        }
    }

    fn weight(self, distance: f64) -> f64 {
        const A: f64 = -0.75;
        let t = distance.abs();
        match self {
            Filter::Bilinear => (1.0 - t).max(0.0),
            Filter::Bicubic if t <= 1.0 => ((A + 2.0) * t - (A + 3.0)) * t * t + 1.0,
            Filter::Bicubic if t < 2.0 => ((A * t - 5.0 * A) * t + 8.0 * A) * t - 4.0 * A,
            Filter::Bicubic => 0.0,
        }
    }
}

/// A scale as a fraction p/q.
pub(super) fn fraction(scale: f32) -> Read<[usize; 2]> {
    let fits = |q: &usize| {
        let p = f64::from(scale) * *q as f64;
        (p - p.round()).abs() < 1e-6 && (1.0..=MOST as f64).contains(&p.round())
    };
    let q = (1..=MOST).find(fits);
    let q = q.ok_or_else(|| format!("enlarges {scale} times, expected a fraction of numbers up to {MOST}"))?;
    Ok([(f64::from(scale) * q as f64).round() as usize, q])
}

/// The pixels that the residues read, from the first to behind the last, and the weights of each residue.
fn taps(filter: Filter, [p, q]: [usize; 2]) -> (i64, Vec<Vec<f64>>) {
    let position = |r: usize| (r as f64 + 0.5) * q as f64 / p as f64 - 0.5;
    let first = |r: usize| position(r).floor() as i64 - filter.reach() + 1;
    let begin = first(0);
    let end = first(p - 1) + 2 * filter.reach();
    let weights = (0..p).map(|r| (begin..end).map(|at| filter.weight(position(r) - at as f64)).collect()).collect();
    (begin, weights)
}

/// Adds the resampling of a value on two axes. The extents must be multiples of the scale's denominator.
pub(super) fn resample(
    graph: &mut Graph,
    x: Value,
    channels: usize,
    filter: Filter,
    scale: [usize; 2],
) -> Result<Value> {
    let [p, q] = scale;
    let (begin, weights) = taps(filter, scale);
    let kernel = weights[0].len();
    let before = (-begin).max(0) as usize;
    // The last residues read so far behind the last block of q pixels.
    let after = (begin + kernel as i64 - q as i64).max(0) as usize;
    let x = graph.pad(x, &[[before, after]; 2], Beyond::Replicate)?;
    let mut all = Vec::with_capacity(channels * p * p * kernel * kernel);
    for _ in 0..channels {
        for y in &weights {
            for x in &weights {
                all.extend(y.iter().flat_map(|a| x.iter().map(move |b| (a * b) as f32)));
            }
        }
    }
    let weight = Tensor::f32([channels * p * p, 1, kernel, kernel], all)?;
    let convolution = Convolution::builder().in_channels(channels).out_channels(channels * p * p).groups(channels);
    let convolution = convolution.kernel([kernel; 2]).stride([q; 2]).build()?;
    let y = graph.convolution(x, &convolution, &weight, None)?;
    graph.pixel_shuffle(y, p)
}
