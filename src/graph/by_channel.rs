//! A factor and an offset for each channel.

use super::{Graph, Value};
use crate::error::Result;
use crate::op::Convolution;
use crate::tensor::Tensor;
use std::sync::Arc;

/// Each channel times a number, and another added: a convolution of one tap for each channel.
pub(super) fn by_channel(graph: &mut Graph, x: Value, factors: Vec<f32>, bias: Option<Tensor>) -> Result<Value> {
    let (channels, rank) = (factors.len(), graph.rank());
    let op = Convolution::builder().in_channels(channels).out_channels(channels).groups(channels);
    let op = op.kernel(vec![1; rank]).build()?;
    let weight = Tensor::f32(op.weight_shape(), factors)?;
    graph.convolution(x, &op, &weight, bias.map(Arc::new))
}

/// Batch normalisation as factors and offsets; `None` where it divides by a variance that is not above 0.
pub(super) fn normalised(
    [slopes, biases, means, variances]: [Vec<f64>; 4],
    epsilon: f32,
) -> Option<(Vec<f32>, Vec<f32>)> {
    let factors: Vec<f64> =
        slopes.iter().zip(&variances).map(|(slope, v)| slope / (v + f64::from(epsilon)).sqrt()).collect();
    let offsets = biases.iter().zip(&means).zip(&factors).map(|((bias, mean), factor)| (bias - mean * factor) as f32);
    let finite = factors.iter().all(|factor| factor.is_finite());
    finite.then(|| (factors.iter().map(|&factor| factor as f32).collect(), offsets.collect()))
}
