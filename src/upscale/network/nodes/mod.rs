//! The nodes of a graph in a network's file.

mod read;
mod write;

pub(super) use read::read;
pub(super) use write::{Tensors, write};

use crate::describe::Described;
use crate::describe::json::{OneOrMany, natural};
use crate::graph::Beyond;
use serde::{Deserialize, Serialize};

type Wrong<T> = Result<T, String>;
type Activation = Described<String>;

/// What a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Kind {
    Conv,
    Deconv,
    Activation,
    Add,
    Multiply,
    Concatenate,
    Affine,
    Channels,
    Crop,
    Pad,
    Nearest,
    PixelShuffle,
    Mean,
}

/// What stands beyond a border.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum BeyondKey {
    Zero,
    Replicate,
    Reflect,
}

impl From<BeyondKey> for Beyond {
    fn from(key: BeyondKey) -> Self {
        match key {
            BeyondKey::Zero => Beyond::Zero,
            BeyondKey::Replicate => Beyond::Replicate,
            BeyondKey::Reflect => Beyond::Reflect,
        }
    }
}

impl From<Beyond> for BeyondKey {
    fn from(beyond: Beyond) -> Self {
        match beyond {
            Beyond::Zero => BeyondKey::Zero,
            Beyond::Replicate => BeyondKey::Replicate,
            Beyond::Reflect => BeyondKey::Reflect,
        }
    }
}

macro_rules! keys {
    ($($key:ident: $type:ty,)*) => {
        /// A node: the keys of all kinds, with the names of tensors and the numbers of the nodes that are read. What a kind has
        /// not is missing.
        #[derive(Serialize, Deserialize)]
        pub(super) struct NodeKeys {
            kind: Kind,
            of: OneOrMany<i64>,
            $(#[serde(skip_serializing_if = "Option::is_none")] $key: Option<$type>,)*
        }

        impl NodeKeys {
            fn new(kind: Kind, of: OneOrMany<i64>) -> Self {
                Self { kind, of, $($key: None,)* }
            }

            /// The names of those that are there.
            fn there(&self) -> Vec<&'static str> {
                let mut there = Vec::new();
                $(if self.$key.is_some() { there.push(stringify!($key)); })*
                there
            }
        }
    };
}

keys! {
    weight: String,
    bias: String,
    stride: OneOrMany<i64>,
    padding: OneOrMany<OneOrMany<i64>>,
    dilation: OneOrMany<i64>,
    output_padding: OneOrMany<i64>,
    groups: i64,
    activation: Activation,
    pre_activation: Activation,
    scale: f32,
    offset: f32,
    first: i64,
    count: i64,
    borders: Vec<[i64; 2]>,
    beyond: BeyondKey,
    factors: Vec<i64>,
    factor: i64,
}

impl NodeKeys {
    /// The tensors that it names, once for each time.
    pub(super) fn tensors(&self) -> impl Iterator<Item = &String> {
        self.weight.iter().chain(&self.bias)
    }
}

/// As part of another message.
fn told(error: impl std::fmt::Display) -> String {
    error.to_string()
}

/// One number for both axes, or two.
pub(super) fn sizes(what: &str, given: Option<OneOrMany<i64>>, missing: usize) -> Wrong<[usize; 2]> {
    match given {
        None => Ok([missing; 2]),
        Some(OneOrMany::One(both)) => natural(what, both, 0).map(|both| [both; 2]),
        Some(OneOrMany::Many(list)) => match list[..] {
            [y, x] => Ok([natural(what, y, 0)?, natural(what, x, 0)?]),
            _ => Err(format!("{what} has {} values, expected one, or two for (h, w)", list.len())),
        },
    }
}
