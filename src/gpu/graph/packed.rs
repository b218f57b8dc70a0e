//! The layers of a graph with their weights on a device.

use super::prepared::Stages;
use crate::error::Result;
use crate::gpu::device::cache::Cache;
use crate::gpu::device::context::Context;
use crate::gpu::layer::Layer;
use crate::gpu::storage::Storage;
use crate::graph::Graph;
use crate::graph::program::{Program, Work};
use crate::graph::schedule::Schedule;
use crate::tensor::Bias;
use std::sync::Arc;

/// A graph, the program that it becomes, and its layers.
#[derive(Debug)]
pub(super) struct Packed {
    pub(super) context: Context,
    pub(super) graph: Graph,
    pub(super) program: Program,
    /// For each step that is one.
    pub(super) layers: Vec<Option<Layer>>,
    /// What was prepared for parts, by how values are stored.
    pub(super) prepared: Cache<(Storage, Schedule), Arc<Stages>>,
}

/// At most this many are kept: tiles in the middle of a picture, at its edges and in its corners, for some sizes.
const MAX_PREPARED: usize = 64;

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
        Ok(Self { context: context.clone(), graph: graph.clone(), program, layers, prepared: Cache::new(MAX_PREPARED) })
    }
}
