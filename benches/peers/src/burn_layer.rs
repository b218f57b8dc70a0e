//! A layer of burn, on any of its devices, and its gradients by burn's autodiff.

use super::{Call, Case};
#[cfg(feature = "burn")]
use crate::pass::Pass;
#[cfg(feature = "burn")]
use crate::timing::timed;
#[cfg(feature = "burn")]
use anyhow::Context as _;
use anyhow::{Result, anyhow};
use burn::tensor::module::{conv_transpose1d, conv_transpose2d, conv_transpose3d};
use burn::tensor::ops::ConvTransposeOptions;
use burn::tensor::{Device, Tensor, TensorData};
#[cfg(feature = "burn")]
use std::time::Duration;
use upconv::Axis;

/// A call of a pass, how long it took, and its output where that is asked for.
#[cfg(feature = "burn")]
pub(crate) type TimedCall = Box<dyn Fn(bool) -> Result<(Option<Vec<f32>>, Duration)>>;

/// Binds `$x`, `$w`, `$b` and `$options` to the layer's tensors and options, for one of burn's three functions.
macro_rules! with_tensors {
    ($case:expr, $device:expr, |$conv:ident, $x:ident, $w:ident, $b:ident, $options:ident| $body:expr) => {{
        let (axes, groups) = ($case.op.axes(), $case.op.groups());
        let data = |tensor: &upconv::Tensor| TensorData::new(tensor.to_f32(), tensor.shape().to_vec());
        macro_rules! layer {
            ($function:path, $rank:literal) => {{
                let $x = Tensor::<{ $rank + 2 }>::from_data(data(&$case.input), $device);
                let $w = Tensor::<{ $rank + 2 }>::from_data(data(&$case.weight), $device);
                let $b = Tensor::<1>::from_data(data(&$case.bias), $device);
                let $options = ConvTransposeOptions::<$rank>::new(
                    each(axes, |axis| axis.stride)?,
                    each(axes, |axis| axis.pad_begin as usize)?,
                    each(axes, |axis| axis.output_padding)?,
                    each(axes, |axis| axis.dilation)?,
                    groups,
                );
                let $conv = $function;
                $body
            }};
        }
        match axes.len() {
            1 => layer!(conv_transpose1d, 1),
            2 => layer!(conv_transpose2d, 2),
            _ => layer!(conv_transpose3d, 3),
        }
    }};
}

/// The layer, its tensors on the device; a call ends when the device has finished it.
pub(crate) fn new(case: &Case, device: &Device) -> Result<Call> {
    Ok(with_tensors!(case, device, |conv, x, w, b, options| {
        let device = device.clone();
        Box::new(move |read| {
            let y = conv(x.clone(), w.clone(), Some(b.clone()), options.clone());
            device.sync()?;
            if !read {
                return Ok(None);
            }
            Ok(Some(y.into_data().try_to_vec()?))
        })
    }))
}

/// A pass of the layer. That of a gradient is burn's backward pass for this gradient alone, from an output's gradient of
/// ones; the forward pass before it is not timed.
#[cfg(feature = "burn")]
pub(crate) fn pass(case: &Case, pass: Pass, device: &Device) -> Result<TimedCall> {
    if pass == Pass::Forward {
        let call = new(case, device)?;
        return Ok(Box::new(move |read| timed(|| call(read))));
    }
    Ok(with_tensors!(case, device, |conv, x, w, b, options| {
        let device = device.clone();
        let (x, w, of) = if pass == Pass::InputGradient {
            let x = x.autodiff().require_grad();
            (x.clone(), w, x)
        } else {
            let w = w.autodiff().require_grad();
            (x, w.clone(), w)
        };
        Box::new(move |read| {
            let y = conv(x.clone(), w.clone(), Some(b.clone()), options.clone());
            device.sync()?;
            let (gradient, time) = timed(|| {
                let mut gradients = y.backward();
                let gradient = of.grad_remove(&mut gradients).context("burn gave no gradient")?;
                device.sync()?;
                Ok(gradient)
            })?;
            Ok((if read { Some(gradient.into_data().try_to_vec()?) } else { None }, time))
        })
    }))
}

/// One number for each axis.
fn each<const N: usize>(axes: &[Axis], of: impl Fn(&Axis) -> usize) -> Result<[usize; N]> {
    let values: Vec<usize> = axes.iter().map(of).collect();
    values.try_into().map_err(|_| anyhow!("expected {N} axes, not {}", axes.len()))
}
