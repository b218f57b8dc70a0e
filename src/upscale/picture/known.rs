//! What is known of a whole picture before its tiles are computed.

use crate::error::{Error, Result};
use crate::graph::{Region, Value};
use crate::tensor::{Tensor, reserved};
use std::collections::BTreeMap;

/// Values of the whole picture that are known, with their elements.
#[derive(Default)]
pub(super) struct Known(pub(super) BTreeMap<Value, Tensor>);

impl Known {
    pub(super) fn values(&self) -> Vec<Value> {
        self.0.keys().copied().collect()
    }

    /// A region of one of them.
    pub(super) fn region(&self, region: &Region) -> Option<Result<Tensor>> {
        self.0.get(&region.value).map(|tensor| cut(tensor, region))
    }
}

/// A region of a value on two axes.
fn cut(tensor: &Tensor, region: &Region) -> Result<Tensor> {
    let (&[_, channels, h, w], &[_, _, rows, columns], Some(elements)) =
        (tensor.shape(), &region.shape[..], tensor.as_f32())
    else {
        let problem = format!("{:?} of what is known, {} {:?}", region.shape, tensor.dtype(), tensor.shape());
        return Err(Error::Graph { problem });
    };
    let [y, x] = [region.begin[0], region.begin[1]];
    let lines = (0..channels).flat_map(|channel| (0..rows).map(move |row| (channel * h + y + row) * w + x));
    let mut part = reserved("a part of what is known", channels as u128 * rows as u128 * columns as u128)?;
    lines.for_each(|first| part.extend_from_slice(&elements[first..first + columns]));
    Tensor::f32(&region.shape[..], part)
}
