//! The cost of a workload, which is the same on every device.

use anyhow::Result;
use upconv::{ConvTranspose, DType, Tensor};

/// The multiply-adds and the bytes of a workload.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cost {
    /// Every input element times every tap and output channel of its group.
    pub(crate) multiply_adds: u128,
    /// Input, weight, bias and output, in bytes.
    pub(crate) bytes: usize,
}

impl Cost {
    pub(crate) fn new(op: &ConvTranspose, input: &Tensor) -> Result<Self> {
        let geometry = op.at(input.shape())?;
        let parameters = op.weight_shape().iter().product::<usize>() + op.out_channels();
        let tensors = (geometry.input_len() + geometry.output_len()) * input.dtype().size();
        Ok(Self { multiply_adds: geometry.effective_multiply_adds(), bytes: tensors + parameters * DType::F32.size() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_workload_costs_what_its_definition_says() {
        let op = ConvTranspose::builder().in_channels(4).out_channels(6).groups(2).kernel([3, 3]).stride([2, 2]);
        let op = op.build().unwrap();
        let input = Tensor::f32([2, 4, 5, 5], vec![0.0; 200]).unwrap();
        let cost = Cost::new(&op, &input).unwrap();
        assert_eq!(cost.multiply_adds, 200 * 3 * 9);
        assert_eq!(cost.bytes, 4 * (200 + 2 * 6 * 11 * 11 + 4 * 3 * 9 + 6));
    }
}
