//! A trained network on the GPU, the CPU or the reference.

use super::model::Precision;
use crate::device::Backend;
use anyhow::{Context as _, Result, ensure};
use std::collections::VecDeque;
use std::ops::Range;
use upconv::gpu::{self, PendingGraph};
use upconv::graph::{Region, Value};
use upconv::upscale::Network;
use upconv::{Storage, Tensor, cpu};

/// A network with its weights on a device.
pub(super) enum OnDevice {
    Gpu(gpu::Graph),
    Cpu(cpu::Graph),
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

impl OnDevice {
    pub(super) fn new(network: &Network, backend: &Backend) -> Result<Self> {
        Ok(match backend {
            Backend::Gpu(context) => Self::Gpu(network.on_gpu(context)?),
            Backend::Cpu => Self::Cpu(network.on_cpu()?),
            Backend::Reference => Self::Reference(Box::new(network.clone())),
        })
    }

    /// The values that it computes by themselves, which can be kept.
    pub(super) fn steps(&self) -> Vec<Value> {
        match self {
            Self::Gpu(graph) => graph.steps().collect(),
            Self::Cpu(graph) => graph.steps().collect(),
            Self::Reference(_) => Vec::new(),
        }
    }

    /// Whether it computes parts, and not only whole pictures.
    pub(super) fn takes_parts(&self) -> bool {
        !matches!(self, Self::Reference(_))
    }

    /// Whether it computes in the memory that all else is in.
    pub(super) fn is_cpu(&self) -> bool {
        matches!(self, Self::Cpu(_))
    }

    pub(super) fn queue(&self, precision: Precision) -> Result<Queue<'_>> {
        let is_reference = matches!(self, Self::Reference(_));
        ensure!(!is_reference || precision == Precision::F32, "--precision f16 is not for --device reference");
        let storage = match precision {
            Precision::F32 => Storage::F32,
            Precision::F16 => Storage::F16,
        };
        Ok(Queue { on_device: self, storage, running: VecDeque::new() })
    }
}

/// Runs, whose results come back in their order, on a GPU later than they were pushed.
pub(super) struct Queue<'a> {
    on_device: &'a OnDevice,
    storage: Storage,
    running: VecDeque<(Vec<Region>, PendingGraph)>,
}

impl Queue<'_> {
    /// How many runs a device works on at a time: while it computes one, the next is on its way.
    const RUNNING: usize = 2;

    /// Takes a part, with what gives the elements of what it reads; returns what a finished one has made, if there is one.
    pub(super) fn push(&mut self, part: &Part<'_>, supply: impl Fn(&Region) -> Result<Tensor>) -> Result<Option<Made>> {
        let shapes = [part.shape];
        match self.on_device {
            OnDevice::Gpu(graph) => {
                let prepared = graph
                    .prepare_part(&shapes, part.given, &part.wanted, self.storage)
                    .context("cannot prepare the network (see --precision and --tile)")?;
                let inputs = prepared.inputs().map(supply).collect::<Result<Vec<_>>>()?;
                self.running.push_back((prepared.outputs().cloned().collect(), prepared.start(&inputs)?));
                if self.running.len() < Self::RUNNING { Ok(None) } else { self.pop() }
            }
            OnDevice::Cpu(graph) => {
                let prepared = graph.prepare_part(&shapes, part.given, &part.wanted)?;
                let inputs = prepared.inputs().map(supply).collect::<Result<Vec<_>>>()?;
                let made = prepared.run(&inputs)?;
                Ok(Some(prepared.outputs().cloned().zip(made).collect()))
            }
            OnDevice::Reference(network) => {
                let whole = |value: &Value| Region { value: *value, begin: vec![0; 2], shape: part.shape.to_vec() };
                let input = network.graph().inputs().first().map(whole).context("the network reads nothing")?;
                let made = network.on_reference(&supply(&input)?)?;
                let region = network.graph().outputs().first().map(|&value| Region {
                    value,
                    begin: vec![0; 2],
                    shape: made.shape().to_vec(),
                });
                Ok(region.map(|region| vec![(region, made)]))
            }
        }
    }

    /// Waits for what the oldest run makes that has not come back.
    pub(super) fn pop(&mut self) -> Result<Option<Made>> {
        let Some((regions, pending)) = self.running.pop_front() else { return Ok(None) };
        Ok(Some(regions.into_iter().zip(pending.wait()?).collect()))
    }
}
