//! A trained network on the GPU, the CPU or the reference.

use super::model::Precision;
use crate::device::Backend;
use anyhow::{Context as _, Result, ensure};
use std::collections::VecDeque;
use upconv::cpu;
use upconv::gpu::{Chain, Pending, PreparedChain};
use upconv::upscale::Network;
use upconv::{DType, Storage, Tensor};

/// A network with its weights on a device.
pub(super) enum OnDevice {
    Gpu(Chain),
    Cpu(cpu::Chain),
    Reference(Box<Network>),
}

impl OnDevice {
    pub(super) fn new(network: &Network, backend: &Backend) -> Result<Self> {
        Ok(match backend {
            Backend::Gpu(context) => Self::Gpu(network.on_gpu(context)?),
            Backend::Cpu => Self::Cpu(network.on_cpu()?),
            Backend::Reference => Self::Reference(Box::new(network.clone())),
        })
    }

    /// Prepares it for tiles of one shape, border included.
    pub(super) fn prepare(&self, shape: [usize; 4], precision: Precision) -> Result<Prepared<'_>> {
        Ok(match self {
            Self::Gpu(chain) => {
                let storage = match precision {
                    Precision::F32 => Storage::F32,
                    Precision::F16 => Storage::F16,
                };
                let chain = chain
                    .prepare(&shape, storage)
                    .context("cannot prepare the network (see --precision and --tile)")?;
                Prepared::Gpu { chain, running: VecDeque::new() }
            }
            Self::Cpu(network) => Prepared::Cpu { network, precision },
            Self::Reference(network) => {
                ensure!(precision == Precision::F32, "--precision f16 is not for --device reference");
                Prepared::Reference(network)
            }
        })
    }
}

/// A network prepared for tiles of one shape. Results come back in the order of the tiles, on a GPU later than they
/// were pushed.
pub(super) enum Prepared<'a> {
    Gpu { chain: PreparedChain, running: VecDeque<Pending> },
    Cpu { network: &'a cpu::Chain, precision: Precision },
    Reference(&'a Network),
}

impl Prepared<'_> {
    /// How many groups of tiles a device works on at a time: while it computes one, the next is on its way.
    const RUNNING: usize = 2;

    /// How many tiles of `multiply_adds` each make one submission: as many as one dispatch may compute, at most `most`.
    pub(super) fn group(&self, multiply_adds: u128, most: usize) -> usize {
        match self {
            Self::Gpu { chain, .. } => {
                let budget = chain.context().profile().max_multiply_adds;
                usize::try_from(u128::from(budget) / multiply_adds.max(1)).unwrap_or(most).clamp(1, most.max(1))
            }
            Self::Cpu { .. } | Self::Reference(_) => 1,
        }
    }

    /// Takes a group of tiles; returns the outputs of a finished group, if there is one.
    pub(super) fn push(&mut self, tiles: &[Tensor]) -> Result<Option<Vec<Vec<f32>>>> {
        match self {
            Self::Gpu { chain, running } => {
                running.push_back(chain.start(tiles)?);
                if running.len() < Self::RUNNING { Ok(None) } else { self.pop() }
            }
            Self::Cpu { network, precision } => {
                let run = |tile: &Tensor| match precision {
                    Precision::F32 => network.run(tile),
                    Precision::F16 => network.run(&tile.cast(DType::F16)),
                };
                let outputs = tiles.iter().map(run).collect::<upconv::Result<Vec<_>>>()?;
                Ok(Some(outputs.into_iter().map(Tensor::into_f32).collect()))
            }
            Self::Reference(network) => {
                let outputs =
                    tiles.iter().map(|tile| network.on_reference(tile)).collect::<upconv::Result<Vec<_>>>()?;
                Ok(Some(outputs.into_iter().map(Tensor::into_f32).collect()))
            }
        }
    }

    /// Waits for the outputs of the oldest group that is still being computed.
    pub(super) fn pop(&mut self) -> Result<Option<Vec<Vec<f32>>>> {
        let Self::Gpu { running, .. } = self else { return Ok(None) };
        let Some(pending) = running.pop_front() else { return Ok(None) };
        Ok(Some(pending.wait()?.into_iter().map(Tensor::into_f32).collect()))
    }
}
