//! A layer of burn, on any of its devices.

use super::{Call, Case};
use anyhow::{Result, anyhow};
use burn::tensor::module::{conv_transpose1d, conv_transpose2d, conv_transpose3d};
use burn::tensor::ops::ConvTransposeOptions;
use burn::tensor::{Device, Tensor, TensorData};
use upconv::Axis;

/// The layer, its tensors on the device; a call ends when the device has finished it.
pub(crate) fn new(case: &Case, device: &Device) -> Result<Call> {
    let (axes, groups) = (case.op.axes(), case.op.groups());
    let data = |tensor: &upconv::Tensor| TensorData::new(tensor.to_f32(), tensor.shape().to_vec());
    macro_rules! layer {
        ($conv:path, $rank:literal) => {{
            let x = Tensor::<{ $rank + 2 }>::from_data(data(&case.input), device);
            let w = Tensor::<{ $rank + 2 }>::from_data(data(&case.weight), device);
            let b = Tensor::<1>::from_data(data(&case.bias), device);
            let options = ConvTransposeOptions::<$rank>::new(
                each(axes, |axis| axis.stride)?,
                each(axes, |axis| axis.pad_begin as usize)?,
                each(axes, |axis| axis.output_padding)?,
                each(axes, |axis| axis.dilation)?,
                groups,
            );
            let device = device.clone();
            Box::new(move |read| {
                let y = $conv(x.clone(), w.clone(), Some(b.clone()), options.clone());
                device.sync()?;
                if !read {
                    return Ok(None);
                }
                Ok(Some(y.into_data().try_to_vec()?))
            })
        }};
    }
    Ok(match axes.len() {
        1 => layer!(conv_transpose1d, 1),
        2 => layer!(conv_transpose2d, 2),
        _ => layer!(conv_transpose3d, 3),
    })
}

/// One number for each axis.
fn each<const N: usize>(axes: &[Axis], of: impl Fn(&Axis) -> usize) -> Result<[usize; N]> {
    let values: Vec<usize> = axes.iter().map(of).collect();
    values.try_into().map_err(|_| anyhow!("expected {N} axes, not {}", axes.len()))
}
