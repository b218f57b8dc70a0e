//! What an operation applies to each input before the products: once, to a copy of the input.

use super::element::Element;
use super::elementwise::Runs;
use super::memory::Result;
use crate::activation::Activation;
use crate::op::Geometry;
use std::borrow::Cow;

/// The input through the pre-activation; itself where there is none. A copy is made of runs of one channel.
pub(super) fn applied<'a, T: Element>(geometry: &Geometry, x: &'a [T]) -> Result<Cow<'a, [T]>> {
    let (activation, channels) = (geometry.op().pre_activation(), geometry.op().in_channels());
    if *activation == Activation::None {
        return Ok(Cow::Borrowed(x));
    }
    let runs = Runs { channels, length: geometry.input_strides().channel, alike: activation.by_channel().is_none() };
    let values = runs.map("the input after its activation", x, |channel, _, values| {
        T::activate_all(activation, channel, values);
    })?;
    Ok(Cow::Owned(values))
}
