//! A layer of candle on the CPU: one number for both axes, no groups in 2-D, no 3-D, the bias by itself.

use crate::{Call, Case};
use anyhow::{Result, bail, ensure};
use candle_core::{Device, Tensor};
use upconv::Axis;

pub(crate) fn layer(case: &Case) -> Result<Call> {
    let [Axis { stride, dilation, pad_begin, pad_end, output_padding, .. }, rest @ ..] = case.op.axes() else {
        bail!("no axes");
    };
    let same = |axis: &Axis| (axis.stride, axis.dilation, axis.output_padding) == (*stride, *dilation, *output_padding);
    ensure!(pad_begin == pad_end && rest.iter().all(same), "it takes one number for all axes and ends");
    let (stride, dilation, output_padding) = (*stride, *dilation, *output_padding);
    let (padding, groups) = (*pad_begin as usize, case.op.groups());
    let tensor = |tensor: &upconv::Tensor| Tensor::from_vec(tensor.to_f32(), tensor.shape(), &Device::Cpu);
    let (x, w) = (tensor(&case.input)?, tensor(&case.weight)?);
    let mut channels = vec![1; x.rank()];
    channels[1] = case.op.out_channels();
    let b = tensor(&case.bias)?.reshape(channels)?;
    let rank = case.op.rank();
    ensure!(rank < 3, "it has no 3-D transposed convolution");
    ensure!(rank == 1 || groups == 1, "it has no groups in 2-D");
    Ok(Box::new(move |read| {
        let y = if rank == 1 {
            x.conv_transpose1d(&w, padding, output_padding, stride, dilation, groups)?
        } else {
            x.conv_transpose2d(&w, padding, output_padding, stride, dilation)?
        };
        let y = y.broadcast_add(&b)?;
        Ok(if read { Some(y.flatten_all()?.to_vec1()?) } else { None })
    }))
}
