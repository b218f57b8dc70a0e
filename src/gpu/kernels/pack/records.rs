//! The order of weights that `gather.wgsl` reads, and from which all others are packed.

use crate::error::Result;
use crate::gpu::kernels::activation;
use crate::op::ConvTranspose;
use crate::tensor::TensorView;

/// The distances inside the packed weights: for each output channel a record of its bias, its taps
/// `[group_in_channels][d][h][w]`, and its slope.
pub(crate) struct Record {
    /// Elements of one record.
    pub(crate) stride: usize,
    /// Elements from one input channel to the next: the number of taps.
    pub(crate) channel: usize,
    /// Elements from one tap to the next along (d, h, w).
    pub(crate) spatial: [usize; 3],
}

impl Record {
    pub(crate) fn new(op: &ConvTranspose) -> Self {
        let [kd, kh, kw] = op.axes3().map(|axis| axis.kernel);
        let channel = kd * kh * kw;
        Self { stride: 2 + op.in_channels() / op.groups() * channel, channel, spatial: [kh * kw, kw, 1] }
    }
}

/// The bytes of all records of an operation; `u64::MAX` where they are more.
pub(crate) fn record_bytes(op: &ConvTranspose) -> u64 {
    (op.out_channels() as u64).saturating_mul(Record::new(op).stride as u64).saturating_mul(4)
}

/// The weights in the order in which `gather.wgsl` reads them: for each output channel a record of its bias, its taps
/// `[group_in_channels][d][h][w]`, and its slope.
///
/// # Errors
/// Shapes that do not fit the operation.
pub(crate) fn pack(op: &ConvTranspose, weight: TensorView<'_>, bias: Option<TensorView<'_>>) -> Result<Vec<f32>> {
    op.check_parameters(weight.shape(), bias.map(|bias| bias.shape()))?;
    let record = Record::new(op);
    let (in_group, out_group) = (op.in_channels() / op.groups(), op.out_channels() / op.groups());
    let [kd, kh, kw] = op.axes3().map(|axis| axis.kernel);
    let ws = op.weight_layout().strides(op.in_channels(), out_group, &[kd, kh, kw]);
    let weight = weight.f32_cow();
    let bias = bias.map(|bias| bias.to_f32());
    // In most orders the taps of two channels lie together, as they do here.
    let together = ws.spatial == [kh * kw, kw, 1];
    let mut packed = Vec::with_capacity(op.out_channels() * record.stride);
    for co in 0..op.out_channels() {
        let first = co / out_group * in_group;
        packed.push(bias.as_ref().map_or(0.0, |bias| bias[co]));
        for ci in first..first + in_group {
            let at = ci * ws.input + co % out_group * ws.output;
            if together {
                packed.extend_from_slice(&weight[at..at + kd * kh * kw]);
                continue;
            }
            for z in 0..kd {
                for y in 0..kh {
                    let row = at + z * ws.spatial[0] + y * ws.spatial[1];
                    packed.extend((0..kw).map(|x| weight[row + x * ws.spatial[2]]));
                }
            }
        }
        packed.push(activation::parameters(op.activation(), co).0);
    }
    Ok(packed)
}
