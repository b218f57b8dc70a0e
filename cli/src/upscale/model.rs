//! Which network enlarges a picture, and in how many steps.

use crate::device::Backend;
use anyhow::{Context as _, Result, anyhow, bail, ensure};
use std::collections::VecDeque;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use upconv::gpu::{Chain, Pending, PreparedChain};
use upconv::upscale::Network;
use upconv::upscale::network::{OnCpu, WAIFU2X_PHOTO};
use upconv::{DType, Storage, Tensor};

/// The network inside the program.
const BUILT_IN: &str = "waifu2x-photo";

/// The largest file of a network that is read.
const MAX_FILE: u64 = 1 << 30;

/// A network with its name.
pub(super) struct Model {
    pub(super) name: String,
    pub(super) network: Network,
}

impl Model {
    /// The built-in network of this name, or the one in a file.
    pub(super) fn load(name: &str) -> Result<Self> {
        let network = if name == BUILT_IN {
            Network::from_safetensors(WAIFU2X_PHOTO)?
        } else {
            read(Path::new(name)).with_context(|| format!("model {name}"))?
        };
        Ok(Self { name: name.to_owned(), network })
    }

    /// How the network reaches a factor; its own one if none is asked for.
    pub(super) fn steps(&self, asked: Option<u8>) -> Result<Steps> {
        let own = self.network.scale();
        let scale = asked.map_or(own, usize::from);
        let square = own * own;
        let (passes, made) = match scale {
            _ if scale == own => (1, own),
            _ if scale > own && scale <= square => (2, square),
            _ => bail!(
                "--scale {scale} is out of reach of {}, which enlarges {own} times: once, or twice to {square}, or \
                 twice and then down to what lies between",
                self.name
            ),
        };
        Ok(Steps { passes, made, scale })
    }
}

fn read(path: &Path) -> Result<Network> {
    let file = File::open(path).map_err(|e| {
        anyhow!("{e}; {BUILT_IN} is the network inside the program, other names are those of .safetensors files")
    })?;
    let found = file.metadata()?;
    ensure!(found.is_file(), "is not a file");
    ensure!(found.len() <= MAX_FILE, "has {} bytes, more than the {MAX_FILE} that are read", found.len());
    let mut bytes = Vec::new();
    file.take(MAX_FILE).read_to_end(&mut bytes)?;
    Ok(Network::from_safetensors(&bytes)?)
}

/// How a factor is reached: the network once or twice, and then down from what it made if that is more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Steps {
    pub(super) passes: usize,
    pub(super) made: usize,
    pub(super) scale: usize,
}

/// How numbers are stored between the layers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Precision {
    /// 32 bits.
    #[default]
    F32,
    /// 16 bits: half the memory, and about three digits.
    F16,
}

/// A network with its weights on a device.
pub(super) enum Trained {
    Gpu(Chain),
    Cpu(OnCpu),
    Reference(Box<Network>),
}

impl Trained {
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
                let chain = chain.prepare(&shape, storage).context("--precision f16 or the size of a tile")?;
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

/// A network ready to be given tiles. What is given comes back in its order, later where a device computes meanwhile.
pub(super) enum Prepared<'a> {
    Gpu { chain: PreparedChain, running: VecDeque<Pending> },
    Cpu { network: &'a OnCpu, precision: Precision },
    Reference(&'a Network),
}

impl Prepared<'_> {
    /// How many groups of tiles a device works on at a time: while it computes one, the next is on its way.
    const RUNNING: usize = 2;

    /// How many tiles make one submission, if they are worth so many multiply-adds each: what does not keep a device
    /// busy for longer than one dispatch may.
    pub(super) fn group(&self, multiply_adds: u128, most: usize) -> usize {
        match self {
            Self::Gpu { chain, .. } => {
                let budget = chain.context().profile().max_multiply_adds;
                usize::try_from(u128::from(budget) / multiply_adds.max(1)).unwrap_or(most).clamp(1, most.max(1))
            }
            Self::Cpu { .. } | Self::Reference(_) => 1,
        }
    }

    /// Takes a group of tiles; gives the outputs of the one that is done, if any.
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

    /// Waits for the outputs of the oldest group that is still under way.
    pub(super) fn pop(&mut self) -> Result<Option<Vec<Vec<f32>>>> {
        let Self::Gpu { running, .. } = self else { return Ok(None) };
        let Some(pending) = running.pop_front() else { return Ok(None) };
        Ok(Some(pending.wait()?.into_iter().map(Tensor::into_f32).collect()))
    }
}
