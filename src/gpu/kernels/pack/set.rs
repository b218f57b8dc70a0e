//! How a weight on the device is read into the order of `gather`.

use super::records::Record;
use crate::gpu::dispatch::rows;
use crate::gpu::kernels::params::shader_struct;
use crate::layout::WeightStrides;
use crate::op::{ConvTranspose, Convolution};

shader_struct! {
    /// `Params` of `set_weights.wgsl`, field by field.
    SetParams {
        elements: u32,
        record: u32,
        group_out_channels: u32,
        taps: u32,
        rows: u32,
        columns: u32,
        group_stride: u32,
        in_stride: u32,
        out_stride: u32,
        d_stride: u32,
        h_stride: u32,
        w_stride: u32,
        turned: u32,
        biased: u32,
        padding_1: u32,
        padding_2: u32,
    }
}

impl SetParams {
    /// Those of a transposed convolution's weight, in which `i` stands for the input channels of all groups.
    pub(crate) fn new(op: &ConvTranspose) -> Self {
        let [in_group, out_group] = [op.in_channels(), op.out_channels()].map(|channels| channels / op.groups());
        let strides = op.weight_layout().strides(op.in_channels(), out_group, &op.axes3().map(|axis| axis.kernel));
        Self { group_stride: (in_group * strides.input) as u32, ..Self::of(op, strides) }
    }

    /// Those of an ordinary convolution's own weight, in which `o` stands for the output channels of all groups.
    pub(crate) fn convolution(convolution: &Convolution) -> Self {
        let op = convolution.transposed();
        let [in_group, out_group] = [op.in_channels(), op.out_channels()].map(|channels| channels / op.groups());
        let kernel = op.axes3().map(|axis| axis.kernel);
        let strides = convolution.weight_layout().strides(in_group, op.out_channels(), &kernel);
        Self { group_stride: (out_group * strides.output) as u32, turned: 1, ..Self::of(op, strides) }
    }

    fn of(op: &ConvTranspose, strides: WeightStrides) -> Self {
        let (record, [_, rows, columns]) = (Record::new(op), op.axes3().map(|axis| axis.kernel));
        let [d_stride, h_stride, w_stride] = strides.spatial.map(|stride| stride as u32);
        Self {
            elements: (op.out_channels() * record.stride) as u32,
            record: record.stride as u32,
            group_out_channels: (op.out_channels() / op.groups()) as u32,
            taps: record.channel as u32,
            rows: rows as u32,
            columns: columns as u32,
            in_stride: strides.input as u32,
            out_stride: strides.output as u32,
            d_stride,
            h_stride,
            w_stride,
            ..Self::default()
        }
    }

    /// The workgroups along x and y.
    pub(crate) fn workgroups(&self, most: u32) -> [u32; 2] {
        rows(self.elements.div_ceil(64).into(), most)
    }
}
