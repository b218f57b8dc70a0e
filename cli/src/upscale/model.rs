//! The network that enlarges pictures, and how often it runs.

use super::wanted::{Size, Wanted};
use crate::input::{self, Input};
use crate::originals;
use anyhow::{Context as _, Result, anyhow, ensure};
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

    /// What is to be reached where this is asked for; by default the network's own factor.
    pub(super) fn wanted(&self, asked: Option<Wanted>) -> Result<Wanted> {
        let own = self.network.scale();
        let (least, most) = (own as f64, (own * own) as f64);
        match asked {
            None => Ok(Wanted::Factor(least)),
            Some(Wanted::Factor(scale)) => {
                let expected = match own {
                    1 => "1, its own factor".into(),
                    _ => format!("more than 1 and at most {most}, the square of its factor {own}"),
                };
                let is_reached = scale == least || (scale > 1.0 && scale <= most);
                ensure!(is_reached, "--scale {scale} is out of reach of {}: expected {expected}", self.name);
                Ok(Wanted::Factor(scale))
            }
            Some(size) => Ok(size),
        }
    }

    /// How often the network runs, once or twice, to enlarge a picture at least to a size.
    pub(super) fn passes(&self, wanted: Wanted, from: Size, to: Size) -> Result<usize> {
        let own = self.network.scale() as u64;
        let sides = |factor: u64| (u64::from(from.width) * factor, u64::from(from.height) * factor);
        let is_within = |(width, height): (u64, u64)| u64::from(to.width) <= width && u64::from(to.height) <= height;
        let is_asked = matches!(wanted, Wanted::Factor(_)) || (u64::from(to.width), u64::from(to.height)) == sides(own);
        ensure!(
            is_asked || !is_within(sides(1)),
            "{to} is no larger than the picture, {from}, which {} can only enlarge; without --model, a filter reduces it",
            self.name
        );
        let (width, height) = sides(own * own);
        ensure!(
            is_within((width, height)),
            "{to} is out of reach of {}: it enlarges {from} to at most {width}x{height}, by the square of its factor {own}",
            self.name
        );
        Ok(if is_within(sides(own)) { 1 } else { 2 })
    }
}

fn read(path: &Path) -> Result<Network> {
    originals::protect(path);
    let input = Input::open(path)
        .map_err(|e| anyhow!("{e}; expected {BUILT_IN}, which is built in, or a .safetensors file"))?;
    let length = input.length()?;
    Ok(Network::from_safetensors(&input::up_to(input, length, MAX_FILE)?)?)
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
