//! A layer of tract: a model of one node, weight and bias its constants, optimised.

use crate::{Call, Case};
use anyhow::Result;
use tract_core::internal::*;
use tract_core::ops::cnn::{Deconv, KernelFormat, PaddingSpec, PoolSpec};
use tract_core::ops::nn::DataFormat;
use tract_linalg::multithread::{Executor, set_default_executor};

pub(crate) fn layer(case: &Case) -> Result<Call> {
    set_default_executor(Executor::RayonGlobal);
    let axes = case.op.axes();
    let each = |of: &dyn Fn(&upconv::Axis) -> usize| -> TVec<usize> { axes.iter().map(of).collect() };
    let (inputs, outputs, groups) = (case.op.in_channels(), case.op.out_channels(), case.op.groups());
    let padding = PaddingSpec::Explicit(each(&|axis| axis.pad_begin as usize), each(&|axis| axis.pad_end as usize));
    let spec = PoolSpec::new(
        DataFormat::NCHW,
        each(&|axis| axis.kernel),
        padding,
        Some(each(&|axis| axis.dilation)),
        Some(each(&|axis| axis.stride)),
        inputs,
        outputs,
    );
    // Its kernel is [out, in / groups, k...], where ours is [in, out / groups, k...].
    let (in_group, out_group) = (inputs / groups, outputs / groups);
    let taps = axes.iter().map(|axis| axis.kernel).product::<usize>();
    let ours = case.weight.to_f32();
    let mut kernel = Vec::with_capacity(ours.len());
    for co in 0..outputs {
        for ci in 0..in_group {
            let from = ((co / out_group * in_group + ci) * out_group + co % out_group) * taps;
            kernel.extend_from_slice(&ours[from..from + taps]);
        }
    }
    let mut shape = vec![outputs, in_group];
    shape.extend(axes.iter().map(|axis| axis.kernel));

    let mut model = TypedModel::default();
    let x = model.add_source("x", f32::fact(case.input.shape()))?;
    let kernel = model.add_const("kernel", Tensor::from_shape(&shape, &kernel)?)?;
    let bias = model.add_const("bias", Tensor::from_shape(case.bias.shape(), &case.bias.to_f32())?)?;
    let adjustments = each(&|axis| axis.output_padding);
    let layer = Deconv::new(spec, KernelFormat::OIHW, adjustments, groups);
    let y = model.wire_node("layer", layer, &[x, kernel, bias])?;
    model.select_output_outlets(&y)?;
    let model = model.into_optimized()?.into_runnable()?;
    let input = Tensor::from_shape(case.input.shape(), &case.input.to_f32())?.into_tvalue();
    Ok(Box::new(move |read| {
        let y = model.run(tvec![input.clone()])?;
        Ok(if read { Some(y[0].to_plain_array_view::<f32>()?.iter().copied().collect()) } else { None })
    }))
}
