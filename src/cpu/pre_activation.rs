//! What an operation applies to each input before the products: once, to a copy of the input.

use super::element::Element;
use super::elementwise::Runs;
use super::epilogue::{Row, epilogue};
use super::memory::Result;
use crate::activation::Activation;
use crate::op::Geometry;
use std::borrow::Cow;

/// The input through the pre-activation, computed in f32; itself where there is none.
pub(super) fn applied<'a>(geometry: &Geometry, x: &'a [f32]) -> Result<Cow<'a, [f32]>> {
    through(geometry, x, |activation, channel, values| {
        let (alpha, beta) = activation.parameters(channel);
        epilogue(activation, &Row { bias: 0.0, alpha, beta }, values);
    })
}

/// As [`applied`], in f64.
pub(super) fn applied_f64<'a>(geometry: &Geometry, x: &'a [f64]) -> Result<Cow<'a, [f64]>> {
    through(geometry, x, |activation, channel, values| {
        values.iter_mut().for_each(|value| *value = value.activate(activation, channel));
    })
}

/// A copy of the input whose runs of one channel went through `apply`.
fn through<'a, T: Element>(
    geometry: &Geometry,
    x: &'a [T],
    apply: impl Fn(&Activation, usize, &mut [T]) + Sync,
) -> Result<Cow<'a, [T]>> {
    let (activation, channels) = (geometry.op().pre_activation(), geometry.op().in_channels());
    if *activation == Activation::None {
        return Ok(Cow::Borrowed(x));
    }
    let runs = Runs { channels, length: geometry.input_strides().channel, alike: activation.by_channel().is_none() };
    let values =
        runs.map("the input after its activation", x, |channel, _, values| apply(activation, channel, values))?;
    Ok(Cow::Owned(values))
}
