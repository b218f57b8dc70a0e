//! What an operation applies to each input before the products: once, to a copy of the input.

use super::element::Element;
use super::epilogue::{Row, epilogue};
use super::memory::{Result, filled};
use crate::activation::Activation;
use crate::op::Geometry;
use rayon::prelude::*;
use std::borrow::Cow;

/// Elements that a thread takes at a time.
const CHUNK: usize = 1 << 14;

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
    let mut values = filled("the input after its activation", T::default(), x.len())?;
    // From one channel to the next; without parameters of their own they are alike.
    let run = if activation.by_channel().is_some() { geometry.input_strides().channel } else { usize::MAX };
    values.par_chunks_mut(CHUNK).zip(x.par_chunks(CHUNK)).enumerate().for_each(|(number, (values, x))| {
        values.copy_from_slice(x);
        let (mut left, mut at) = (values, number * CHUNK);
        while !left.is_empty() {
            let length = (run - at % run).min(left.len());
            let (now, rest) = left.split_at_mut(length);
            apply(activation, at / run % channels, now);
            (left, at) = (rest, at + length);
        }
    });
    Ok(Cow::Owned(values))
}
