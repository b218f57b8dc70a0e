//! An activation as `{"kind": …}` with its parameters.

use super::json::{Unique, read_any};
use crate::activation::Activation;
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

/// An activation in a file. `S` is how a file has the parameters of each channel: as numbers, or as the name
/// of a tensor.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
enum Kind<S> {
    #[serde(alias = "linear")]
    None {},
    Relu {},
    #[serde(skip_serializing)]
    Relu6 {},
    LeakyRelu {
        #[serde(default = "hundredth")]
        alpha: Real,
    },
    Prelu {
        slopes: S,
    },
    Clip {
        #[serde(default = "lowest", alias = "alpha")]
        min: Real,
        #[serde(default = "highest", alias = "beta")]
        max: Real,
    },
    Sigmoid {},
    Tanh {},
    HardSwish {
        #[serde(default = "sixth")]
        alpha: Real,
        #[serde(default = "half")]
        beta: Real,
    },
    Mish {},
    Gelu {},
    #[serde(alias = "swish")]
    Silu {},
    Elu {
        #[serde(default = "one")]
        alpha: Real,
    },
    Snake {
        alphas: S,
    },
}

/// A number, which may be infinite: JSON has no infinity, so it is one beyond f32, which is read as infinity again.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(transparent)]
struct Real(f32);

impl Serialize for Real {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0.is_infinite() {
            serializer.serialize_f64(f64::MAX.copysign(self.0.into()))
        } else {
            serializer.serialize_f32(self.0)
        }
    }
}

fn hundredth() -> Real {
    Real(0.01)
}

fn lowest() -> Real {
    Real(f32::NEG_INFINITY)
}

fn highest() -> Real {
    Real(f32::INFINITY)
}

fn one() -> Real {
    Real(1.0)
}

fn sixth() -> Real {
    Real(1.0 / 6.0)
}

fn half() -> Real {
    Real(0.5)
}

/// An activation whose parameters of each channel are still to be found. Reads `type` for `kind` too.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(transparent)]
pub(crate) struct Described<S>(Kind<S>);

impl<S> Described<S> {
    /// The description of an activation, with this in place of the parameters of each channel.
    pub(crate) fn new(activation: &Activation, values: impl FnOnce(&[f32]) -> S) -> Self {
        Self(match activation {
            Activation::None => Kind::None {},
            Activation::Relu => Kind::Relu {},
            Activation::LeakyRelu { alpha } => Kind::LeakyRelu { alpha: Real(*alpha) },
            Activation::Prelu { slopes } => Kind::Prelu { slopes: values(slopes) },
            Activation::Clip { min, max } => Kind::Clip { min: Real(*min), max: Real(*max) },
            Activation::Sigmoid => Kind::Sigmoid {},
            Activation::Tanh => Kind::Tanh {},
            Activation::HardSwish { alpha, beta } => Kind::HardSwish { alpha: Real(*alpha), beta: Real(*beta) },
            Activation::Mish => Kind::Mish {},
            Activation::Gelu => Kind::Gelu {},
            Activation::Silu => Kind::Silu {},
            Activation::Elu { alpha } => Kind::Elu { alpha: Real(*alpha) },
            Activation::Snake { alphas } => Kind::Snake { alphas: values(alphas) },
        })
    }

    /// The activation, with the parameters of each channel as these give them.
    pub(crate) fn resolve<E>(self, values: impl FnOnce(S) -> Result<Vec<f32>, E>) -> Result<Activation, E> {
        Ok(match self.0 {
            Kind::None {} => Activation::None,
            Kind::Relu {} => Activation::Relu,
            Kind::Relu6 {} => Activation::Clip { min: 0.0, max: 6.0 },
            Kind::LeakyRelu { alpha } => Activation::LeakyRelu { alpha: alpha.0 },
            Kind::Prelu { slopes } => Activation::Prelu { slopes: values(slopes)? },
            Kind::Clip { min, max } => Activation::Clip { min: min.0, max: max.0 },
            Kind::Sigmoid {} => Activation::Sigmoid,
            Kind::Tanh {} => Activation::Tanh,
            Kind::HardSwish { alpha, beta } => Activation::HardSwish { alpha: alpha.0, beta: beta.0 },
            Kind::Mish {} => Activation::Mish,
            Kind::Gelu {} => Activation::Gelu,
            Kind::Silu {} => Activation::Silu,
            Kind::Elu { alpha } => Activation::Elu { alpha: alpha.0 },
            Kind::Snake { alphas } => Activation::Snake { alphas: values(alphas)? },
        })
    }
}

impl<'de, S: DeserializeOwned> Deserialize<'de> for Described<S> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Unique(mut value) = Unique::deserialize(deserializer)?;
        if let Value::Object(map) = &mut value
            && let Some(name) = map.remove("type")
            && map.insert("kind".into(), name).is_some()
        {
            return Err(D::Error::custom("\"type\" and \"kind\" say the same twice"));
        }
        read_any(value).map(Self).map_err(D::Error::custom)
    }
}

impl Serialize for Activation {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let reals = |values: &[f32]| values.iter().copied().map(Real).collect::<Vec<_>>();
        Described::new(self, reals).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Activation {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Described::deserialize(deserializer)?
            .resolve(|values: Vec<Real>| Ok(values.into_iter().map(|value| value.0).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_activation_survives_json() {
        let mut all = vec![
            Activation::None,
            Activation::Relu,
            Activation::Sigmoid,
            Activation::Tanh,
            Activation::Mish,
            Activation::Gelu,
            Activation::Silu,
        ];
        let numbers =
            [0.0, -0.0, 0.1, -1.0 / 3.0, f32::MIN_POSITIVE, 1e-45, f32::MAX, f32::INFINITY, f32::NEG_INFINITY];
        for a in numbers {
            all.push(Activation::LeakyRelu { alpha: a });
            all.push(Activation::Elu { alpha: a });
            all.push(Activation::Prelu { slopes: vec![a; 2] });
            all.push(Activation::Snake { alphas: vec![a; 2] });
            all.extend(numbers.map(|b| Activation::Clip { min: a, max: b }));
            all.extend(numbers.map(|b| Activation::HardSwish { alpha: a, beta: b }));
        }
        for activation in all {
            let text = serde_json::to_string(&activation).unwrap();
            let read: Activation = serde_json::from_str(&text).unwrap();
            assert_eq!(read, activation, "{text}");
            let value = serde_json::to_value(&activation).unwrap();
            assert_eq!(serde_json::from_value::<Activation>(value).unwrap(), activation);
        }
    }

    #[test]
    fn what_is_missing_has_its_default() {
        for (text, expected) in [
            (r#"{"kind": "leaky_relu"}"#, Activation::LeakyRelu { alpha: 0.01 }),
            (r#"{"type": "relu6"}"#, Activation::Clip { min: 0.0, max: 6.0 }),
            (r#"{"type": "linear"}"#, Activation::None),
            (r#"{"type": "clip", "beta": 1}"#, Activation::Clip { min: f32::NEG_INFINITY, max: 1.0 }),
            (r#"{"kind": "elu"}"#, Activation::Elu { alpha: 1.0 }),
            (r#"{"kind": "swish"}"#, Activation::Silu),
            (r#"{"kind": "hard_swish"}"#, Activation::HardSwish { alpha: 1.0 / 6.0, beta: 0.5 }),
        ] {
            assert_eq!(serde_json::from_str::<Activation>(text).unwrap(), expected);
        }
    }

    #[test]
    fn what_is_unknown_is_refused() {
        for (text, expected) in [
            (r#"{"kind": "softplus"}"#, "kind: unknown variant `softplus`, expected one of `linear`, `none`"),
            (r#"{"kind": "relu", "alpha": 1}"#, "unknown field `alpha`"),
            (r#"{"kind": "leaky_relu", "aplha": 1}"#, "unknown field `aplha`, expected `alpha`"),
            (r#"{"kind": "leaky_relu", "alpha": null}"#, "invalid type: null"),
            (r#"{"kind": "leaky_relu", "alpha": 1, "alpha": 2}"#, "the key \"alpha\" stands twice"),
            (r#"{"kind": "clip", "min": 1, "alpha": 2}"#, "duplicate field `min`"),
            (r#"{"kind": "relu", "type": "relu"}"#, "say the same twice"),
            (r#"{"kind": "prelu"}"#, "missing field `slopes`"),
            (r#"{}"#, "missing field `kind`"),
            (r#""relu""#, "expected"),
        ] {
            let refusal = serde_json::from_str::<Activation>(text).unwrap_err().to_string();
            assert!(refusal.contains(expected), "{refusal}, expected {expected}");
        }
    }
}
