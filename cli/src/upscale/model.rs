//! The network that enlarges pictures, and how it is to.

use super::wanted::{Size, Wanted};
use crate::network::{self, Undescribed};
use anyhow::{Result, ensure};
use std::path::Path;
use upconv::upscale::{Network, picture};

/// A network with its name.
pub(super) struct Model {
    pub(super) name: String,
    pub(super) network: Network,
}

impl Model {
    /// The built-in network of this name, or the one in a file.
    pub(super) fn load(name: &str) -> Result<Self> {
        let network = network::load(Path::new(name), &Undescribed::default())?;
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

    /// Refuses a size that it does not reach.
    pub(super) fn check(&self, wanted: Wanted, from: Size, to: Size) -> Result<()> {
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
        Ok(())
    }
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

/// What alpha is enlarged by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum AlphaBy {
    /// The bicubic filter.
    #[default]
    Filter,
    /// The network, as it enlarges a grey picture: edges as sharp as those of the colours.
    Network,
}

impl From<AlphaBy> for picture::AlphaBy {
    fn from(by: AlphaBy) -> Self {
        match by {
            AlphaBy::Filter => Self::Filter,
            AlphaBy::Network => Self::Network,
        }
    }
}

/// What a network's means are taken over, where it has any.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum MeanOf {
    /// The whole picture: in tiles, it is gone through once more for each mean.
    #[default]
    Picture,
    /// Each tile, as if it were a picture: faster, but tiles show.
    Tile,
}

impl From<MeanOf> for picture::MeanOf {
    fn from(of: MeanOf) -> Self {
        match of {
            MeanOf::Picture => Self::Picture,
            MeanOf::Tile => Self::Tile,
        }
    }
}
