//! The layers of a graph with their weights on a device.

use crate::error::Result;
use crate::gpu::device::context::Context;
use crate::gpu::layer::Layer;
use crate::graph::Graph;
use crate::graph::program::{Program, Work};
use crate::tensor::Bias;

/// A graph, the program that it becomes, and its layers.
#[derive(Debug)]
pub(super) struct Packed {
    pub(super) context: Context,
    pub(super) graph: Graph,
    pub(super) program: Program,
    /// For each step that is one.
    pub(super) layers: Vec<Option<Layer>>,
}

impl Packed {
    /// # Errors
    /// What [`Layer::new`] refuses.
    pub(super) fn new(context: &Context, graph: &Graph) -> Result<Self> {
        let program = Program::new(graph, true)?;
        let layer = |work: &Work| match work {
            Work::Layer { layer, .. } => {
                let bias = Bias::from(layer.bias.as_deref());
                Layer::new(context, &layer.op, &*layer.weight, bias).map(Some)
            }
            _ => Ok(None),
        };
        let layers = program.steps.iter().map(|step| layer(&step.work)).collect::<Result<_>>()?;
        Ok(Self { context: context.clone(), graph: graph.clone(), program, layers })
    }
}
