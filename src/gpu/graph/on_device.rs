//! A graph with its weights on a device.

use super::packed::Packed;
use super::prepared::{Kept, PreparedGraph};
use crate::error::Result;
use crate::gpu::device::context::Context;
use crate::gpu::storage::Storage;
use crate::graph::part::Part;
use crate::graph::{self, Value};
use std::ops::Range;
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
    packed: Arc<Packed>,
    /// What was prepared for parts.
    kept: Arc<Kept>,
}

/// At most this many are kept: tiles in the middle of a picture, at its edges and in its corners, for some sizes.
const MAX_KEPT: usize = 64;

impl Graph {
    /// Packs the weights of all layers onto the device.
    ///
    /// # Errors
    /// What [`Layer::new`](crate::gpu::Layer::new) refuses.
    pub fn new(context: &Context, graph: &graph::Graph) -> Result<Self> {
        Ok(Self { packed: Arc::new(Packed::new(context, graph)?), kept: Arc::new(Kept::new(MAX_KEPT)) })
    }

    /// The device.
    pub fn context(&self) -> &Context {
        &self.packed.context
    }

    /// The graph.
    pub fn graph(&self) -> &graph::Graph {
        &self.packed.graph
    }

    /// Plans all layers for these shapes of the inputs and compiles what is run, for running often.
    ///
    /// # Errors
    /// Those of [`graph::Graph::shapes`], what [`Layer::prepare`](crate::gpu::Layer::prepare) refuses,
    /// [`Error::Limit`](crate::Error::Limit) where the device has no buffer, or cannot bind one, as large as a value of the
    /// graph, [`Error::Device`](crate::Error::Device).
    pub fn prepare<S: AsRef<[usize]>>(&self, inputs: &[S], storage: Storage) -> Result<PreparedGraph> {
        let whole = Arc::new(self.graph().shapes(inputs)?);
        PreparedGraph::new(&self.packed, Part::whole(self.graph(), whole), None, storage)
    }

    /// Plans what some regions of values need, where the whole graph's inputs have these shapes and the `given` values are
    /// inputs beside them. What is computed has the same bits in each part: in a picture in tiles, and in the whole.
    ///
    /// The values that can be given or wanted are those that [`steps`](Self::steps) computes. What was prepared for parts is
    /// kept with the graph, its buffers too: parts that are alike share it.
    ///
    /// # Errors
    /// [`Error::Graph`](crate::Error::Graph) for ranges beyond a value, and for a value that cannot be wanted; as
    /// [`prepare`](Self::prepare).
    pub fn prepare_part<S: AsRef<[usize]>>(
        &self,
        inputs: &[S],
        given: &[Value],
        wanted: &[(Value, Vec<Range<usize>>)],
        storage: Storage,
    ) -> Result<PreparedGraph> {
        let whole = Arc::new(self.graph().shapes(inputs)?);
        let part = Part::new(self.graph(), &self.packed.program, whole, given, wanted)?;
        PreparedGraph::new(&self.packed, part, Some(&self.kept), storage)
    }

    /// The values that are computed by themselves, in their order; the others are parts of what a layer or a map does.
    pub fn steps(&self) -> impl Iterator<Item = Value> {
        self.packed.program.steps.iter().map(|step| Value(step.output))
    }
}
