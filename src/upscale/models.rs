//! The networks that come with the library.

use super::network::Network;
use crate::error::Result;

/// A network that comes with the library.
#[derive(Clone, Copy, Debug)]
pub struct Model {
    /// What it is asked for by.
    pub name: &'static str,
    /// What it is for.
    pub purpose: &'static str,
    /// Its licence, and whose.
    pub licence: &'static str,
    /// The file that [`Network::from_safetensors`] reads.
    pub file: &'static [u8],
}

impl Model {
    /// All of them.
    pub const ALL: [Self; 2] = [WAIFU2X_PHOTO, WAIFU2X_ART];

    /// The one of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|model| model.name == name)
    }

    /// The network.
    ///
    /// # Errors
    /// Those of [`Network::from_safetensors`].
    pub fn network(&self) -> Result<Network> {
        Network::from_safetensors(self.file)
    }
}

/// The licence of waifu2x's networks, whose two texts stand beside their files.
const WAIFU2X: &str = "MIT, © 2015 nagadomi; conversion MIT, © 2019 nihui";

/// `upconv_7` of waifu2x for photographs.
pub const WAIFU2X_PHOTO: Model = Model {
    name: "waifu2x-photo",
    purpose: "doubles photographs",
    licence: WAIFU2X,
    file: include_bytes!("../../assets/waifu2x-photo.safetensors"),
};

/// `upconv_7` of waifu2x for drawings.
pub const WAIFU2X_ART: Model = Model {
    name: "waifu2x-art",
    purpose: "doubles drawings with flat colours and hard lines",
    licence: WAIFU2X,
    file: include_bytes!("../../assets/waifu2x-art.safetensors"),
};
