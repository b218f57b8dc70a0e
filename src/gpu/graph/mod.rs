//! A graph on a device.

mod map;
mod mean;
mod prepared;

pub use prepared::{PendingGraph, PreparedGraph};

use super::device::context::Context;
use super::layer::Layer;
use super::storage::Storage;
use crate::error::Result;
use crate::graph;
use crate::graph::program::{Program, Work};
use crate::tensor::Bias;
use prepared::Plan;
use std::sync::Arc;

/// A [graph](graph::Graph) with its weights on a device. Cheap to clone.
///
/// ```no_run
/// # fn example(context: upconv::gpu::Context, graph: upconv::graph::Graph, x: upconv::Tensor) -> upconv::Result<()> {
/// let on_gpu = upconv::gpu::Graph::new(&context, &graph)?; // packs the weights
/// let prepared = on_gpu.prepare(&[x.shape()], upconv::Storage::F32)?; // plans, compiles
/// let outputs = prepared.run(&[x])?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Graph {
    inner: Arc<Inner>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    context: Context,
    graph: graph::Graph,
    program: Program,
    /// For each step that is one.
    layers: Vec<Option<Layer>>,
}

impl Graph {
    /// Packs the weights of all layers onto the device.
    ///
    /// # Errors
    /// What [`Layer::new`] refuses.
    pub fn new(context: &Context, graph: &graph::Graph) -> Result<Self> {
        let program = Program::new(graph, true)?;
        let layer = |work: &Work| match work {
            Work::Layer { layer, .. } => {
                let bias = Bias::from(layer.bias.as_deref());
                Layer::new(context, &layer.op, &*layer.weight, bias).map(Some)
            }
            _ => Ok(None),
        };
        let layers = program.steps.iter().map(|step| layer(&step.work)).collect::<Result<_>>()?;
        Ok(Self { inner: Arc::new(Inner { context: context.clone(), graph: graph.clone(), program, layers }) })
    }

    /// The device.
    pub fn context(&self) -> &Context {
        &self.inner.context
    }

    /// The graph.
    pub fn graph(&self) -> &graph::Graph {
        &self.inner.graph
    }

    /// Plans all layers for these shapes of the inputs and compiles what is run, for running often.
    ///
    /// # Errors
    /// Those of [`graph::Graph::shapes`], what [`Layer::prepare`] refuses, [`Error::Limit`](crate::Error::Limit) where the
    /// device has no buffer, or cannot bind one, as large as a value of the graph, [`Error::Device`](crate::Error::Device).
    pub fn prepare<S: AsRef<[usize]>>(&self, inputs: &[S], storage: Storage) -> Result<PreparedGraph> {
        PreparedGraph::new(&self.inner, inputs, storage, Plan::Fastest)
    }
}
