//! The activations inside layers, and those that are layers.

use super::bin::Reader;
use super::param::{Line, Read};
use crate::activation::Activation;

/// The activation inside a weighted layer.
pub(super) fn fused(line: &Line) -> Read<Activation> {
    let numbers = line.reals(10)?;
    let number = |index: usize| {
        let count = numbers.len();
        numbers.get(index).copied().ok_or_else(|| format!("has {count} parameters of its activation, expected more"))
    };
    Ok(match line.whole(9, 0)? {
        0 => Activation::None,
        1 => Activation::Relu,
        2 => Activation::LeakyRelu { alpha: number(0)? },
        3 => Activation::Clip { min: number(0)?, max: number(1)? },
        4 => Activation::Sigmoid,
        5 => Activation::Mish,
        6 => Activation::HardSwish { alpha: number(0)?, beta: number(1)? },
        other => return Err(format!("has activation type {other}, expected 0 to 6")),
    })
}

/// An activation in a layer of its own.
pub(super) fn activation(line: &Line, channels: usize, weights: &mut Reader<'_>) -> Read<Activation> {
    let (keys, activation): (&[u32], _) = match line.kind.as_str() {
        "ReLU" => match line.real(0, 0.0)? {
            0.0 => (&[0], Activation::Relu),
            alpha => (&[0], Activation::LeakyRelu { alpha }),
        },
        "PReLU" => {
            let count = line.whole(0, 0)?;
            if count != 1 && count != channels {
                return Err(format!("has {count} slopes, expected 1 or {channels}"));
            }
            let slopes = weights.plain(count)?.to_f32();
            (&[0], Activation::Prelu { slopes: slopes.into_iter().cycle().take(channels).collect() })
        }
        "Clip" => (&[0, 1], Activation::Clip { min: line.real(0, f32::MIN)?, max: line.real(1, f32::MAX)? }),
        "HardSwish" => (&[0, 1], Activation::HardSwish { alpha: line.real(0, 0.2)?, beta: line.real(1, 0.5)? }),
        "Sigmoid" => (&[], Activation::Sigmoid),
        "TanH" => (&[], Activation::Tanh),
        "Mish" => (&[], Activation::Mish),
        "GELU" => (&[], Activation::Gelu),
        "Swish" => (&[], Activation::Silu),
        "ELU" => (&[0], Activation::Elu { alpha: line.real(0, 0.1)? }),
        _ => return Err("is of a type that is not read".into()),
    };
    line.only(keys)?;
    Ok(activation)
}
