//! An operation as a file describes it, and serde's traits for it, for operations and for conventions.

use super::framework::Framework;
use super::json::Unique;
use super::keys::Keys;
use crate::convention::Convention;
use crate::error::{Error, Result};
use crate::op::{ConvTranspose, OutputPaddingPolicy};
use serde::de::Error as _;
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// An operation as a file describes it, in the [keys](super#keys) of the module. The channels and the kernel are those
/// of the weight that it is applied to.
///
/// ```
/// use upconv::OutputPaddingPolicy;
/// use upconv::describe::Operation;
/// # fn main() -> upconv::Result<()> {
/// let operation = Operation::from_json(r#"{"convention": "pytorch", "stride": 2, "padding": 1}"#)?;
/// let op = operation.resolve(&[1, 64, 16, 16], &[64, 32, 4, 4], OutputPaddingPolicy::Strict)?;
/// assert_eq!(op.at(&[1, 64, 16, 16])?.output_shape(), [1, 32, 32, 32]);
/// assert!(Operation::from_json(r#"{"strids": 2}"#).is_err(), "did you mean strides?");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Operation(Keys);

impl Operation {
    /// Reads the text of a file. It may begin with a byte order mark, and infinite numbers may be written as Python
    /// does: `Infinity`.
    ///
    /// # Errors
    /// [`Error::Description`] for what is no JSON object, has a key twice, or a key or value that is unknown.
    pub fn from_json(text: &str) -> Result<Self> {
        let value = Unique::parse(&python_numbers(text.trim_start_matches('\u{feff}'))).map_err(described)?;
        Keys::read(value).map(Self).map_err(described)
    }

    /// The description of an operation under a convention: what [`resolve`](Self::resolve) makes an operation of that
    /// does the same, at any input shape.
    pub fn new(op: &ConvTranspose, convention: &Convention) -> Self {
        Self(Keys::of_placed(op, convention))
    }

    /// The shape of the input, if the description has one.
    pub fn input_shape(&self) -> Option<&[usize]> {
        self.0.x_shape.as_deref()
    }

    /// The shape of the weight, if the description has one.
    pub fn weight_shape(&self) -> Option<&[usize]> {
        self.0.w_shape.as_deref()
    }

    /// Whether there must be a bias, if the description says so.
    pub fn bias(&self) -> Option<bool> {
        self.0.bias
    }

    /// Whether the weight must be mirrored first, by [`flip_kernel`](crate::convention::flip_kernel): JAX's convention
    /// without `transpose_kernel`.
    pub fn flips_kernel(&self) -> bool {
        self.0.framework() == Framework::Jax && self.0.transpose_kernel != Some(true)
    }

    /// The operation for an input and a weight of these shapes. Negative pads are refused, as PyTorch and ONNX do.
    ///
    /// # Errors
    /// [`Error::Description`] for values that are out of range or do not go together, and what
    /// [`Builder::build`](crate::op::Builder::build) and [`Convention::resolve`] refuse.
    pub fn resolve(
        &self,
        input_shape: &[usize],
        weight_shape: &[usize],
        policy: OutputPaddingPolicy,
    ) -> Result<ConvTranspose> {
        let keys = &self.0;
        let (rank, builder) = keys.builder(weight_shape, Some(input_shape)).map_err(described)?;
        let pads = keys.ends(rank).map_err(described)?.unwrap_or_default();
        if let Some((begin, end)) = pads.into_iter().find(|&(begin, end)| begin < 0 || end < 0) {
            return Err(described(format!("pads [{begin}, {end}] are negative, expected at least 0")));
        }
        let op = builder.output_padding_policy(policy).build()?;
        keys.convention(Some(rank)).map_err(described)?.resolve(&op, input_shape)
    }
}

/// The operation that is described without a convention.
fn alone(keys: &Keys) -> Result<ConvTranspose> {
    let Some(weight_shape) = &keys.w_shape else { return Err(described("w_shape is missing".into())) };
    let (rank, builder) = keys.builder(weight_shape, None).map_err(described)?;
    if keys.convention(Some(rank)).map_err(described)? != Convention::Explicit {
        let problem = "this convention needs an input's shape, at which describe::Operation resolves it";
        return Err(described(problem.into()));
    }
    builder.output_padding_policy(OutputPaddingPolicy::Lenient).build()
}

fn described(problem: String) -> Error {
    Error::Description { problem }
}

fn write<S: Serializer>(keys: &Keys, serializer: S) -> std::result::Result<S::Ok, S::Error> {
    keys.object().map_err(S::Error::custom)?.serialize(serializer)
}

fn read<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Keys, D::Error> {
    let Unique(value) = Unique::deserialize(deserializer)?;
    Keys::read(value).map_err(D::Error::custom)
}

impl Serialize for Operation {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        write(&self.0, serializer)
    }
}

impl<'de> Deserialize<'de> for Operation {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        read(deserializer).map(Self)
    }
}

impl Serialize for Convention {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        write(&Keys::placing(self), serializer)
    }
}

impl<'de> Deserialize<'de> for Convention {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        read(deserializer)?.only_convention().map_err(D::Error::custom)
    }
}

/// Its keys and its weight's shape.
impl Serialize for ConvTranspose {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        write(&Keys::of(self), serializer)
    }
}

/// Needs the weight's shape, `w_shape`, and no convention. Pads may be negative, and the output padding of any size.
impl<'de> Deserialize<'de> for ConvTranspose {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        alone(&read(deserializer)?).map_err(D::Error::custom)
    }
}

/// The text with the numbers that Python writes and JSON does not have: infinities become numbers beyond f32, and NaN
/// a text, which is no number.
fn python_numbers(text: &str) -> String {
    let mut json = String::with_capacity(text.len());
    let (mut rest, mut in_string) = (text, false);
    while let Some(first) = rest.chars().next() {
        let replaced = [("NaN", "\"NaN\""), ("Infinity", "1e308")]
            .into_iter()
            .find(|(word, _)| !in_string && rest.starts_with(word));
        if let Some((word, number)) = replaced {
            json.push_str(number);
            rest = &rest[word.len()..];
            continue;
        }
        json.push(first);
        rest = &rest[first.len_utf8()..];
        if first == '\\' && in_string {
            let Some(escaped) = rest.chars().next() else { break };
            json.push(escaped);
            rest = &rest[escaped.len_utf8()..];
        }
        in_string ^= first == '"';
    }
    json
}
