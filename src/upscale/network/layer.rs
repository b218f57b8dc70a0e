//! A layer of a network, by itself: what it means as the one operation.

use super::turned::Turned;
use crate::activation::Activation;
use crate::error::{Error, Result};
use crate::graph::{Graph, Value};
use crate::op::{ConvTranspose, Convolution, Pad, described};
use crate::tensor::Tensor;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The two kinds of layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Kind {
    /// A convolution of stride 1, weight `[out, in / groups, h, w]`.
    #[serde(rename = "conv")]
    Convolution,
    /// A transposed convolution, weight `[in, out / groups, h, w]`.
    #[serde(rename = "deconv")]
    Transposed,
}

/// A layer, as training frameworks describe it.
#[derive(Clone, Debug, PartialEq)]
pub struct Layer {
    /// Which of the two.
    pub kind: Kind,
    /// Its weight, of any [`DType`](crate::DType). Layers may share one.
    pub weight: Arc<Tensor>,
    /// Its bias, `[out]`.
    pub bias: Option<Arc<Tensor>>,
    /// The stride along (h, w).
    pub stride: [usize; 2],
    /// The padding at both ends of (h, w): zeros around a convolution's input, elements cropped off a transposed
    /// one's output.
    pub padding: [usize; 2],
    /// The dilation along (h, w).
    pub dilation: [usize; 2],
    /// The number of groups.
    pub groups: usize,
    /// What follows the bias.
    pub activation: Activation,
}

impl Layer {
    /// A layer without bias and activation, with stride 1, no padding, dilation 1 and one group.
    pub fn new(kind: Kind, weight: impl Into<Arc<Tensor>>) -> Self {
        let (weight, activation) = (weight.into(), Activation::None);
        Self { kind, weight, bias: None, stride: [1; 2], padding: [0; 2], dilation: [1; 2], groups: 1, activation }
    }

    /// The layer as the one operation, with the weight that it takes.
    ///
    /// # Errors
    /// [`Error::Shape`] for a weight that has not four axes, [`Error::OutOfRange`] for a convolution with a stride, and
    /// what [`Builder::build`](crate::op::Builder::build) refuses.
    pub fn operation(&self) -> Result<(ConvTranspose, Tensor)> {
        Ok(match self.kind {
            Kind::Transposed => (self.op()?, Tensor::clone(&self.weight)),
            Kind::Convolution => {
                let convolution = self.convolution()?;
                (convolution.transposed().clone(), convolution.turned(&*self.weight)?)
            }
        })
    }

    /// The operation alone.
    pub(super) fn op(&self) -> Result<ConvTranspose> {
        if self.kind == Kind::Convolution {
            return Ok(self.convolution()?.transposed().clone());
        }
        let [in_channels, out_group, kernel @ ..] = four_axes(self.weight.shape())?;
        let out_channels = out_group.checked_mul(self.groups).ok_or_else(|| Error::Overflow {
            what: "number of channels",
            detail: format!("{out_group} in each of {} groups", self.groups),
        })?;
        ConvTranspose::builder()
            .in_channels(in_channels)
            .out_channels(out_channels)
            .groups(self.groups)
            .kernel(kernel)
            .stride(self.stride)
            .dilation(self.dilation)
            .padding(self.padding)
            .activation(self.activation.clone())
            .build()
    }

    /// Adds the layer to a graph.
    pub(super) fn add_to(&self, graph: &mut Graph, input: Value, turned: &mut Turned) -> Result<Value> {
        match self.kind {
            Kind::Transposed => graph.layer(input, &self.op()?, self.weight.clone(), self.bias.clone()),
            Kind::Convolution => {
                let convolution = self.convolution()?;
                let weight = turned.of(&convolution, &self.weight)?;
                graph.turned_convolution(input, &convolution, weight, self.bias.clone())
            }
        }
    }

    fn convolution(&self) -> Result<Convolution> {
        let shape = four_axes(self.weight.shape())?;
        if self.stride != [1; 2] {
            let given = self.stride.into_iter().max().unwrap_or_default() as i128;
            return Err(Error::OutOfRange { what: "stride of a convolution".into(), given, expected: "1".into() });
        }
        let described = described(&shape, &self.padding.map(Pad::from), &self.dilation, self.groups)?;
        described.activation(self.activation.clone()).build()
    }
}

fn four_axes(weight: &[usize]) -> Result<[usize; 4]> {
    <[usize; 4]>::try_from(weight).map_err(|_| Error::Shape {
        what: "weight",
        given: weight.to_vec(),
        expected: "four axes: [out, in / groups, h, w] of a convolution, [in, out / groups, h, w] of a transposed one"
            .into(),
    })
}
