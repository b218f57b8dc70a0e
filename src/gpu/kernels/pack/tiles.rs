//! The order of weights that `direct` and `tiled` read.

use super::records::Record;
use crate::gpu::dispatch::rows;
use crate::gpu::kernels::params::shader_struct;
use crate::gpu::storage::Storage;
use crate::op::ConvTranspose;

/// The order of the weights that `direct` and `tiled` read: for each vector of output channels a record of its biases,
/// its taps `[group_in_channels][d][h][w][channel of the vector]` and its slopes, in vec4s of `factors`. All three begin at
/// multiples of `unit`, because compilers read neighbours at once where they know that they are aligned. In f16 biases and
/// slopes are sums of two vec4s, which keeps 22 bits of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Packing {
    pub(crate) factors: Storage,
    /// Output channels of a vector: 1 to 4.
    pub(crate) width: usize,
    /// Vectors of one group.
    pub(crate) vectors: usize,
    /// 4, 2 or 1 vec4s.
    pub(crate) unit: usize,
    /// vec4s of a record's biases, and as many of its slopes: a multiple of `unit`.
    pub(crate) head: usize,
    /// vec4s of one input channel's taps: a multiple of `unit`.
    pub(crate) channel: usize,
    /// vec4s of one record.
    pub(crate) record: usize,
}

impl Packing {
    /// The packing of an operation for products of such factors.
    pub(crate) fn new(op: &ConvTranspose, factors: Storage) -> Self {
        let group_out_channels = op.out_channels() / op.groups();
        let width = group_out_channels.min(4);
        let taps: usize = op.axes3().iter().map(|axis| axis.kernel).product();
        let channel = taps.div_ceil(4 / lanes(width));
        // At most an eighth is filled up for it.
        let unit = [4, 2].into_iter().find(|&unit| channel.next_multiple_of(unit) * 8 <= channel * 9).unwrap_or(1);
        let channel = channel.next_multiple_of(unit);
        let head = unit.max(parts(factors));
        let record = 2 * head + op.in_channels() / op.groups() * channel;
        Self { factors, width, vectors: group_out_channels.div_ceil(width), unit, head, channel, record }
    }

    /// The size of the packed weights of so many groups.
    pub(crate) fn bytes(&self, groups: usize) -> u64 {
        (groups * self.vectors * self.record) as u64 * vec4_bytes(self.factors)
    }
}

/// The size of a vec4 of factors.
pub(crate) fn vec4_bytes(factors: Storage) -> u64 {
    4 * factors.size()
}

/// The vec4s whose sum is a vector of biases or slopes.
pub(crate) fn parts(factors: Storage) -> usize {
    match factors {
        Storage::F32 => 1,
        Storage::F16 => 2,
    }
}

/// The lanes of a vec4 that one tap's vector of `width` channels takes: 1, 2 or 4, so that none straddles two vec4s.
pub(crate) fn lanes(width: usize) -> usize {
    width.next_power_of_two()
}

shader_struct! {
    /// `Params` of `pack.wgsl`, field by field.
    PackParams {
        quads: u32,
        width: u32,
        lanes: u32,
        vectors: u32,
        channel: u32,
        record: u32,
        group_out_channels: u32,
        taps: u32,
        source_record: u32,
        head: u32,
        first_bits: u32,
        padding_1: u32,
    }
}

impl PackParams {
    pub(crate) fn new(op: &ConvTranspose, packing: &Packing) -> Self {
        let source = Record::new(op);
        Self {
            quads: (packing.bytes(op.groups()) / vec4_bytes(packing.factors)) as u32,
            width: packing.width as u32,
            lanes: lanes(packing.width) as u32,
            vectors: packing.vectors as u32,
            channel: packing.channel as u32,
            record: packing.record as u32,
            group_out_channels: (op.out_channels() / op.groups()) as u32,
            taps: source.channel as u32,
            source_record: source.stride as u32,
            head: packing.head as u32,
            first_bits: match packing.factors {
                Storage::F32 => u32::MAX,
                // f16 has 13 bits less after the point.
                Storage::F16 => u32::MAX << 13,
            },
            ..Self::default()
        }
    }

    /// The workgroups along x and y.
    pub(crate) fn workgroups(&self, most: u32) -> [u32; 2] {
        rows(self.quads.div_ceil(64).into(), most)
    }
}
