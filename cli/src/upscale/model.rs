//! The network that enlarges pictures, and how often it runs for a factor.

use crate::input::{self, Input};
use crate::originals;
use anyhow::{Context as _, Result, anyhow, bail};
use std::path::Path;
use upconv::upscale::Network;
use upconv::upscale::network::WAIFU2X_PHOTO;

/// The name of the built-in network.
const BUILT_IN: &str = "waifu2x-photo";

/// The largest model file that is read, in bytes.
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

    /// How the network reaches a factor; by default its own.
    pub(super) fn steps(&self, asked: Option<u8>) -> Result<Steps> {
        let own = self.network.scale();
        let scale = asked.map_or(own, usize::from);
        let square = own * own;
        let (passes, made) = match scale {
            _ if scale == own => (1, own),
            _ if scale > own && scale <= square => (2, square),
            _ => bail!(
                "--scale {scale} is out of reach of {}: expected its factor {own}, its square {square}, or a factor in \
                 between",
                self.name
            ),
        };
        Ok(Steps { passes, made, scale })
    }
}

fn read(path: &Path) -> Result<Network> {
    originals::protect(path);
    let input = Input::open(path)
        .map_err(|e| anyhow!("{e}; expected {BUILT_IN}, which is built in, or a .safetensors file"))?;
    let length = input.length()?;
    Ok(Network::from_safetensors(&input::up_to(input, length, MAX_FILE)?)?)
}

/// How a factor is reached: the network runs `passes` times and enlarges `made` times; where that exceeds `scale`, its
/// result is scaled down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Steps {
    pub(super) passes: usize,
    pub(super) made: usize,
    pub(super) scale: usize,
}

/// How values between the layers are stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Precision {
    /// 32 bits.
    #[default]
    F32,
    /// 16 bits: half the memory, with about three significant digits.
    F16,
}
