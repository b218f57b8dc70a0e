//! What the kernel `sum` reads: where the elements of a dispatch lie, and how many sums there are of each.

use crate::gpu::dispatch::{Dispatch, split_stride};
use crate::gpu::kernels::activation;
use crate::gpu::kernels::pack::records::Record;
use crate::gpu::kernels::params::shader_struct;
use crate::gpu::storage::Storage;
use crate::layout::Strides;
use crate::op::Geometry;

shader_struct! {
    /// `Axis` of `sum.wgsl`, field by field.
    SumAxis {
        begin: i32,
        extent: i32,
        output_stride: i32,
        residual_stride: i32,
        record_stride: i32,
        padding_1: i32,
        padding_2: i32,
        padding_3: i32,
    }
}

shader_struct! {
    /// `Params` of `sum.wgsl`, field by field.
    Params {
        axes: [SumAxis; 5],
        elements: i32,
        splits: i32,
        split_stride: i32,
        output_window: i32,
        residual_window: i32,
        slope: i32,
        beta: f32,
        padding: i32,
    }
}

impl Params {
    /// The parameters of the sums that `dispatch`, the last one of a box of the output, leaves complete.
    pub(crate) fn new(geometry: &Geometry, storage: Storage, splits: usize, dispatch: &Dispatch) -> Self {
        let op = &geometry.op;
        let (strides, record, band) = (geometry.output_strides(), Record::new(op).stride, &dispatch.band);
        let residual = dispatch.residual(geometry, storage);
        let axis = |range: &std::ops::Range<usize>, of: fn(&Strides) -> usize, record_stride: usize| SumAxis {
            begin: range.start as i32,
            extent: range.len() as i32,
            output_stride: of(&strides) as i32,
            residual_stride: of(&residual.strides) as i32,
            record_stride: record_stride as i32,
            ..SumAxis::default()
        };
        let mut axes = [
            axis(&band.output[2], |strides| strides.spatial[2], 0),
            axis(&band.output[1], |strides| strides.spatial[1], 0),
            axis(&band.output[0], |strides| strides.spatial[0], 0),
            axis(&band.out_channels, |strides| strides.channel, record),
            axis(&band.batch, |strides| strides.batch, 0),
        ];
        axes.sort_by_key(|axis| axis.output_stride);
        Self {
            axes,
            elements: band.elements() as i32,
            splits: splits as i32,
            split_stride: split_stride(dispatch.output, storage) as i32,
            output_window: dispatch.output.first_element(storage, &strides),
            residual_window: residual.window,
            slope: record as i32 - 1,
            beta: activation::parameters(op.activation(), 0).1,
            padding: 0,
        }
    }
}
