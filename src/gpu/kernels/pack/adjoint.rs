//! The weights of an operation's adjoint, in the order of `gather`.

use super::records::Record;
use crate::gpu::dispatch::rows;
use crate::gpu::kernels::params::shader_struct;
use crate::op::ConvTranspose;

shader_struct! {
    /// `Params` of `adjoint_weights.wgsl`, field by field.
    AdjointParams {
        elements: u32,
        taps: u32,
        group_in_channels: u32,
        group_out_channels: u32,
        source_record: u32,
        target_record: u32,
        padding_1: u32,
        padding_2: u32,
    }
}

impl AdjointParams {
    /// Those of an operation whose weights are on the device, and of its adjoint.
    pub(crate) fn new(op: &ConvTranspose, adjoint: &ConvTranspose) -> Self {
        let (source, target) = (Record::new(op), Record::new(adjoint));
        let [in_group, out_group] = [op.in_channels(), op.out_channels()].map(|channels| channels / op.groups());
        Self {
            elements: (op.in_channels() * out_group * source.channel) as u32,
            taps: source.channel as u32,
            group_in_channels: in_group as u32,
            group_out_channels: out_group as u32,
            source_record: source.stride as u32,
            target_record: target.stride as u32,
            ..Self::default()
        }
    }

    /// The workgroups along x and y.
    pub(crate) fn workgroups(&self, most: u32) -> [u32; 2] {
        rows(u64::from(self.elements.div_ceil(64)), most)
    }
}
