//! The orders in which the elements of a weight lie.

use crate::layout::WeightStrides;
use crate::op::ConvTranspose;

/// Where each element of a weight is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Order {
    pub(super) strides: WeightStrides,
    /// The distance between the first elements of two groups.
    pub(super) group: usize,
}

impl Order {
    /// That of the operation's weight layout.
    pub(super) fn given(op: &ConvTranspose) -> Self {
        let (in_group, out_group) = (op.in_channels() / op.groups(), op.out_channels() / op.groups());
        let kernel = op.axes3().map(|axis| axis.kernel);
        let strides = op.weight_layout().strides(op.in_channels(), out_group, &kernel);
        Self { strides, group: in_group * strides.input }
    }

    /// `[out_channels][in_channels / groups][kd][kh][kw]`
    pub(super) fn by_output(op: &ConvTranspose) -> Self {
        let (in_group, out_group) = (op.in_channels() / op.groups(), op.out_channels() / op.groups());
        let [kd, kh, kw] = op.axes3().map(|axis| axis.kernel);
        let taps = kd * kh * kw;
        let strides = WeightStrides { input: taps, output: in_group * taps, spatial: [kh * kw, kw, 1] };
        Self { strides, group: out_group * strides.output }
    }
}
