//! The order of weights that `matrix` reads.

use super::records::Record;
use crate::gpu::dispatch::rows;
use crate::gpu::kernels::params::shader_struct;
use crate::gpu::storage::Storage;
use crate::op::ConvTranspose;

/// The output channels that a subgroup computes at a time, at most.
pub(crate) const SUBGROUP_CHANNELS: usize = 32;

/// The weights in the order of `matrix`: for each block of output channels, each tap and each matrix's input channels
/// `[channels of the block][input channels]`, filled up with zeros.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Packing {
    /// Blocks of a group.
    pub(crate) blocks: usize,
    /// Matrices of a block.
    pub(crate) columns: usize,
    pub(crate) taps: usize,
    /// Input channels of a group, filled up to whole matrices.
    pub(crate) in_channels: usize,
    /// Numbers of all groups.
    pub(crate) elements: usize,
}

impl Packing {
    pub(crate) fn new(op: &ConvTranspose, side: usize) -> Self {
        let [in_group, out_group] = [op.in_channels(), op.out_channels()].map(|channels| channels / op.groups());
        let columns = out_group.div_ceil(side).next_power_of_two().min(SUBGROUP_CHANNELS / side);
        let (blocks, in_channels) = (out_group.div_ceil(columns * side), in_group.next_multiple_of(side));
        let taps = op.axes3().iter().map(|axis| axis.kernel).product();
        let sizes = [op.groups(), blocks, taps, in_channels, columns, side];
        let elements = sizes.into_iter().fold(1, usize::saturating_mul);
        Self { blocks, columns, taps, in_channels, elements }
    }
}

shader_struct! {
    /// `Params` of `matrix_weights.wgsl`, field by field.
    PackParams {
        elements: u32,
        side: u32,
        channels: u32,
        blocks: u32,
        taps: u32,
        packed_in_channels: u32,
        group_in_channels: u32,
        group_out_channels: u32,
        source_record: u32,
        padding_1: u32,
        padding_2: u32,
        padding_3: u32,
    }
}

impl PackParams {
    pub(crate) fn new(op: &ConvTranspose, side: usize) -> Self {
        let packing = Packing::new(op, side);
        Self {
            elements: packing.elements as u32,
            side: side as u32,
            channels: (packing.columns * side) as u32,
            blocks: packing.blocks as u32,
            taps: packing.taps as u32,
            packed_in_channels: packing.in_channels as u32,
            group_in_channels: (op.in_channels() / op.groups()) as u32,
            group_out_channels: (op.out_channels() / op.groups()) as u32,
            source_record: Record::new(op).stride as u32,
            ..Self::default()
        }
    }

    /// The size of the packed weights, whose numbers are stored so.
    pub(crate) fn bytes(&self, factors: Storage) -> u64 {
        u64::from(self.elements) * factors.size()
    }

    /// The workgroups along x and y.
    pub(crate) fn workgroups(&self, most: u32) -> [u32; 2] {
        rows(self.elements.div_ceil(64).into(), most)
    }
}
