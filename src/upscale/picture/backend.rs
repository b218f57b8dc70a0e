//! Filters and networks on a GPU, the CPU or the reference.

#[cfg(feature = "cpu")]
use crate::cpu;
use crate::error::Result;
#[cfg(feature = "gpu")]
use crate::gpu::{self, Storage};
use crate::graph::{Region, Value};
use crate::tensor::Tensor;
use crate::upscale::{Network, Upsampler};
use std::collections::VecDeque;
use std::ops::Range;

/// Where pictures are computed.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Backend {
    /// On a GPU.
    #[cfg(feature = "gpu")]
    Gpu(gpu::Context),
    /// On the CPU, on rayon's current pool.
    #[cfg(feature = "cpu")]
    Cpu,
    /// By the f64 reference: slowly. Not in WebAssembly, where it would be a fifth of what is downloaded.
    #[cfg(not(target_family = "wasm"))]
    Reference,
}

/// A filter on a device.
pub(super) enum FilterOn {
    #[cfg(feature = "gpu")]
    Gpu(gpu::Layer),
    #[cfg(feature = "cpu")]
    Cpu(cpu::Layer),
    #[cfg(not(target_family = "wasm"))]
    Reference(Box<Upsampler>),
}

impl FilterOn {
    pub(super) fn new(filter: Upsampler, backend: &Backend) -> Result<Self> {
        Ok(match backend {
            #[cfg(feature = "gpu")]
            Backend::Gpu(context) => Self::Gpu(gpu::Layer::new(context, &filter.op, &filter.weight, None)?),
            #[cfg(feature = "cpu")]
            Backend::Cpu => Self::Cpu(cpu::Layer::new(&filter.op, &filter.weight, None)?),
            #[cfg(not(target_family = "wasm"))]
            Backend::Reference => Self::Reference(Box::new(filter)),
        })
    }

    pub(super) async fn run(&self, input: &Tensor) -> Result<Tensor> {
        match self {
            #[cfg(all(feature = "gpu", not(target_family = "wasm")))]
            Self::Gpu(layer) => layer.run(input),
            #[cfg(all(feature = "gpu", target_family = "wasm"))]
            Self::Gpu(layer) => layer.run_async(input).await,
            #[cfg(feature = "cpu")]
            Self::Cpu(layer) => layer.run(input),
            #[cfg(not(target_family = "wasm"))]
            Self::Reference(filter) => crate::reference::run(&filter.op, input, &filter.weight, None),
        }
    }
}

/// A network with its weights on a device.
pub(super) enum NetworkOn {
    #[cfg(feature = "gpu")]
    Gpu(gpu::Graph),
    #[cfg(feature = "cpu")]
    Cpu(cpu::Graph),
    #[cfg(not(target_family = "wasm"))]
    Reference(Box<Network>),
}

/// What a run is to compute.
pub(super) struct Part<'a> {
    /// The shape of all that the network reads.
    pub(super) shape: [usize; 4],
    /// The values that are known beside it.
    pub(super) given: &'a [Value],
    pub(super) wanted: Wanted,
}

/// Values, and which of their rows and columns are needed.
pub(super) type Wanted = Vec<(Value, Vec<Range<usize>>)>;

/// What was computed.
pub(super) type Made = Vec<(Region, Tensor)>;

impl NetworkOn {
    pub(super) fn new(network: &Network, backend: &Backend) -> Result<Self> {
        Ok(match backend {
            #[cfg(feature = "gpu")]
            Backend::Gpu(context) => Self::Gpu(network.on_gpu(context)?),
            #[cfg(feature = "cpu")]
            Backend::Cpu => Self::Cpu(network.on_cpu()?),
            #[cfg(not(target_family = "wasm"))]
            Backend::Reference => Self::Reference(Box::new(network.clone())),
        })
    }

    /// The values that it computes by themselves, which can be kept.
    pub(super) fn steps(&self) -> Vec<Value> {
        match self {
            #[cfg(feature = "gpu")]
            Self::Gpu(graph) => graph.steps().collect(),
            #[cfg(feature = "cpu")]
            Self::Cpu(graph) => graph.steps().collect(),
            #[cfg(not(target_family = "wasm"))]
            Self::Reference(_) => Vec::new(),
        }
    }

    /// Whether it computes parts, and not only whole pictures.
    pub(super) fn takes_parts(&self) -> bool {
        match self {
            #[cfg(feature = "gpu")]
            Self::Gpu(_) => true,
            #[cfg(feature = "cpu")]
            Self::Cpu(_) => true,
            #[cfg(not(target_family = "wasm"))]
            Self::Reference(_) => false,
        }
    }

    /// Whether it computes in the memory that all else is in.
    pub(super) fn is_cpu(&self) -> bool {
        match self {
            #[cfg(feature = "gpu")]
            Self::Gpu(_) => false,
            #[cfg(feature = "cpu")]
            Self::Cpu(_) => true,
            #[cfg(not(target_family = "wasm"))]
            Self::Reference(_) => false,
        }
    }

    /// `half` is whether a GPU stores what is between the layers in 16 bits.
    pub(super) fn queue(&self, half: bool) -> Queue<'_> {
        Queue { on_device: self, half, running: VecDeque::new() }
    }
}

/// Runs, whose results come back in their order, on a GPU later than they were pushed.
pub(super) struct Queue<'a> {
    on_device: &'a NetworkOn,
    #[cfg_attr(not(feature = "gpu"), allow(dead_code, reason = "the other backends compute in f32 or f64"))]
    half: bool,
    running: VecDeque<Running>,
}

/// A run that was started.
#[cfg(feature = "gpu")]
type Running = (Vec<Region>, gpu::PendingGraph);
#[cfg(not(feature = "gpu"))]
type Running = std::convert::Infallible;

impl Queue<'_> {
    /// How many runs a device works on at a time: while it computes one, the next is on its way.
    #[cfg(feature = "gpu")]
    const RUNNING: usize = 2;

    /// Takes a part, with what gives the elements of what it reads; returns what a finished one has made, if there is one.
    pub(super) async fn push(
        &mut self,
        part: &Part<'_>,
        supply: impl Fn(&Region) -> Result<Tensor>,
    ) -> Result<Option<Made>> {
        #[cfg(any(feature = "gpu", feature = "cpu"))]
        let shapes = [part.shape];
        match self.on_device {
            #[cfg(feature = "gpu")]
            NetworkOn::Gpu(graph) => {
                let storage = if self.half { Storage::F16 } else { Storage::F32 };
                let prepared = graph.prepare_part(&shapes, part.given, &part.wanted, storage)?;
                let inputs = prepared.inputs().map(supply).collect::<Result<Vec<_>>>()?;
                self.running.push_back((prepared.outputs().cloned().collect(), prepared.start(&inputs)?));
                if self.running.len() < Self::RUNNING { Ok(None) } else { self.pop().await }
            }
            #[cfg(feature = "cpu")]
            NetworkOn::Cpu(graph) => {
                let prepared = graph.prepare_part(&shapes, part.given, &part.wanted)?;
                let inputs = prepared.inputs().map(supply).collect::<Result<Vec<_>>>()?;
                let made = prepared.run(&inputs)?;
                Ok(Some(prepared.outputs().cloned().zip(made).collect()))
            }
            #[cfg(not(target_family = "wasm"))]
            NetworkOn::Reference(network) => {
                let whole =
                    |value: &Value, shape: &[usize]| Region { value: *value, begin: vec![0; 2], shape: shape.to_vec() };
                let (Some(input), Some(output)) = (network.graph().inputs().first(), network.graph().outputs().first())
                else {
                    return Err(crate::Error::Graph { problem: "the network reads or makes nothing".into() });
                };
                let made = network.on_reference(&supply(&whole(input, &part.shape))?)?;
                Ok(Some(vec![(whole(output, made.shape()), made)]))
            }
        }
    }

    /// Waits for what the oldest run makes that has not come back.
    pub(super) async fn pop(&mut self) -> Result<Option<Made>> {
        let Some(running) = self.running.pop_front() else { return Ok(None) };
        #[cfg(not(feature = "gpu"))]
        match running {}
        #[cfg(feature = "gpu")]
        {
            let (regions, pending) = running;
            #[cfg(not(target_family = "wasm"))]
            let made = pending.wait()?;
            #[cfg(target_family = "wasm")]
            let made = pending.finish().await?;
            Ok(Some(regions.into_iter().zip(made).collect()))
        }
    }
}
