//! Functions that files give in parts: the parts are kept until the last of them tells which function it is.

use super::arithmetic::ByChannel;
use super::constant::Read;
use super::maker::{Blob, Maker, told};
use crate::activation::Activation;
use crate::graph::{Operation, Value};
use std::f64::consts::FRAC_1_SQRT_2;

/// What the graph has no operation for.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Part {
    Softplus(Blob),
    /// Times x, it is Mish.
    TanhOfSoftplus(Blob),
    /// erf(scale·x)
    Erf {
        x: Blob,
        scale: f64,
    },
    /// 1 + erf(x/√2): times x, twice GELU.
    OneAndErf(Blob),
    /// factor·sin(alpha·x), or squared: added to x, with the factor 1/alpha, it is Snake.
    Sine {
        x: Blob,
        alphas: Vec<f64>,
        factors: Vec<f64>,
        squared: bool,
    },
}

/// Numbers that were rounded to f32 on their way.
fn close(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-5 * a.abs().max(b.abs())
}

impl Maker {
    /// A value as another times a number.
    fn multiple(&self, value: Value) -> Option<(Value, f64)> {
        let node = self.graph.node(value);
        match (node.operation(), node.inputs()) {
            (&Operation::Affine { scale, offset: 0.0 }, &[inner]) => Some((inner, scale.into())),
            _ => None,
        }
    }

    fn activated(&mut self, x: Blob, activation: Activation) -> Read<Blob> {
        Ok(Blob { value: self.graph.activation(x.value, activation).map_err(told)?, ..x })
    }

    /// The product of two values as the function that it is; `None` where it is none.
    pub(super) fn function(&mut self, a: Blob, b: Blob) -> Read<Option<Blob>> {
        for (x, y) in [(a, b), (b, a)] {
            if (x.axes, x.expanded, y.expanded) != (y.axes, false, false) {
                continue;
            }
            let node = self.graph.node(y.value);
            match (node.operation(), node.inputs()) {
                (Operation::Activation(Activation::Sigmoid), &[of]) if of == x.value => {
                    return self.activated(x, Activation::Silu).map(Some);
                }
                // x·clip(scale·x + offset, 0, max), of which 1/max is HardSwish.
                (&Operation::Activation(Activation::Clip { min: 0.0, max }), &[of]) if max > 0.0 => {
                    let inner = self.graph.node(of);
                    if let (&Operation::Affine { scale, offset }, true) =
                        (inner.operation(), *inner.inputs() == [x.value])
                    {
                        let function = Activation::HardSwish { alpha: scale / max, beta: offset / max };
                        let function = self.activated(x, function)?;
                        return self.affine(function, max.into(), 0.0).map(Some);
                    }
                }
                _ => {}
            }
        }
        Ok(None)
    }
}

impl Part {
    /// Why it cannot be read by itself.
    pub(super) fn alone(&self) -> String {
        let (what, where_read) = match self {
            Part::Softplus(_) => ("a Softplus", "x·tanh(softplus(x)), Mish"),
            Part::TanhOfSoftplus(_) => ("the tanh of a Softplus", "x·tanh(softplus(x)), Mish"),
            Part::Erf { .. } | Part::OneAndErf(_) => ("an Erf", "x·(1 + erf(x/√2)), twice GELU"),
            Part::Sine { .. } => ("a Sin", "x + sin²(alpha·x)/alpha, Snake"),
        };
        format!("reads {what}, which is read only in {where_read}")
    }

    pub(super) fn erf(maker: &Maker, blob: Blob) -> Self {
        let (value, scale) = maker.multiple(blob.value).unwrap_or((blob.value, 1.0));
        Part::Erf { x: Blob { value, ..blob }, scale }
    }

    pub(super) fn sine(maker: &mut Maker, blob: Blob) -> Read<Self> {
        let channels = maker.channels(blob);
        let (x, alphas) = match (maker.multiples.get(&blob.value), maker.multiple(blob.value)) {
            (Some((x, alphas)), _) => (*x, alphas.clone()),
            (_, found) => {
                let (value, alpha) = found.unwrap_or((blob.value, 1.0));
                maker.spend([channels], size_of::<f64>())?;
                (Blob { value, ..blob }, vec![alpha; channels])
            }
        };
        let count = maker.spend([channels], size_of::<f64>())?;
        Ok(Part::Sine { x, alphas, factors: vec![1.0; count], squared: false })
    }

    /// With a number added.
    pub(super) fn plus(&self, number: f64) -> Read<Self> {
        match self {
            Part::Erf { x, scale } if close(*scale, FRAC_1_SQRT_2) && number == 1.0 => Ok(Part::OneAndErf(*x)),
            _ => Err(self.alone()),
        }
    }

    /// Times numbers.
    pub(super) fn times(&self, numbers: &ByChannel) -> Read<Self> {
        let mut part = self.clone();
        let Part::Sine { factors, squared: true, .. } = &mut part else { return Err(self.alone()) };
        match numbers {
            ByChannel::One(number) => factors.iter_mut().for_each(|factor| *factor *= number),
            ByChannel::Each(numbers) => factors.iter_mut().zip(numbers).for_each(|(factor, n)| *factor *= n),
        }
        Ok(part)
    }

    pub(super) fn squared(&self) -> Read<Self> {
        match self {
            Part::Sine { x, alphas, factors, squared: false } => {
                let factors = factors.iter().map(|factor| factor * factor).collect();
                Ok(Part::Sine { x: *x, alphas: alphas.clone(), factors, squared: true })
            }
            _ => Err(self.alone()),
        }
    }

    /// Times a value.
    pub(super) fn times_blob(&self, maker: &mut Maker, blob: Blob) -> Read<Blob> {
        match self {
            Part::TanhOfSoftplus(x) if *x == blob => maker.activated(*x, Activation::Mish),
            Part::OneAndErf(x) => {
                let (value, scale) = maker.multiple(blob.value).unwrap_or((blob.value, 1.0));
                let (of, scale) = if x.value == blob.value { (*x, 1.0) } else { (Blob { value, ..blob }, scale) };
                if of != *x {
                    return Err(self.alone());
                }
                let gelu = maker.activated(*x, Activation::Gelu)?;
                maker.affine(gelu, 2.0 * scale, 0.0)
            }
            _ => Err(self.alone()),
        }
    }

    /// With a value added.
    pub(super) fn plus_blob(&self, maker: &mut Maker, blob: Blob) -> Read<Blob> {
        match self {
            Part::Sine { x, alphas, factors, squared: true }
                if *x == blob && alphas.iter().zip(factors).all(|(alpha, factor)| close(alpha * factor, 1.0)) =>
            {
                let alphas = alphas.iter().map(|&alpha| alpha as f32).collect();
                maker.activated(*x, Activation::Snake { alphas })
            }
            _ => Err(self.alone()),
        }
    }
}
