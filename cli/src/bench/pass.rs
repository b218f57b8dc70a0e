//! The passes of a layer that are timed: forward, and the gradients of its input and its weight.

use super::workloads::{Case, random};
use anyhow::Result;
use clap::ValueEnum;
use upconv::{DType, Data, Tensor};

/// A pass of a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Pass {
    Forward,
    /// The gradient of the input: the ordinary convolution of the output's gradient.
    InputGradient,
    /// The gradient of the weight.
    WeightGradient,
}

impl Pass {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Pass::Forward => "forward",
            Pass::InputGradient => "input-gradient",
            Pass::WeightGradient => "weight-gradient",
        }
    }
}

impl Case {
    /// A seeded gradient of the output, stored as the input is.
    pub(crate) fn gradient(&self) -> Result<Tensor> {
        let gradient = random(4, &self.op.at(self.input.shape())?.output_shape())?;
        Ok(if self.input.dtype() == DType::F16 { gradient.cast(DType::F16) } else { gradient })
    }

    /// The operation that computes the gradient of the input: from the output's gradient to the input's, with the weight
    /// turned and without a bias.
    pub(crate) fn input_gradient(&self) -> Result<Self> {
        let adjoint = self.op.adjoint();
        Ok(Self {
            input: self.gradient()?,
            weight: adjoint.turned(&self.weight)?,
            bias: Tensor::new([self.op.in_channels()], Data::F32(vec![0.0; self.op.in_channels()]))?,
            op: adjoint.transposed().clone(),
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::bench::workloads;
    use upconv::reference;

    #[test]
    fn the_gradient_of_an_input_has_its_shape_and_its_values() {
        for workload in workloads::select(&[]).unwrap() {
            let case = workload.case().unwrap();
            let gradient = case.input_gradient().unwrap();
            let geometry = gradient.op.at(gradient.input.shape()).unwrap();
            assert_eq!(geometry.output_shape(), case.input.shape(), "{}", workload.name);
            if workload.name == "W10" {
                let dx = reference::run(&gradient.op, &gradient.input, &gradient.weight, None).unwrap();
                let expected =
                    reference::input_gradient(&case.op, case.input.shape(), &gradient.input, &case.weight).unwrap();
                assert!(expected.compare(&dx).unwrap().passed());
            }
        }
    }
}
