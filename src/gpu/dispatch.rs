//! What one dispatch computes, and what it sees of the buffers.

use crate::gpu::profile::DeviceProfile;
use crate::gpu::storage::Storage;
use crate::layout::Strides;
use crate::op::Geometry;
use crate::phase::AxisPhases;
use std::ops::Range;

/// The number of invocations in a workgroup of `gather`.
pub(crate) const GATHER_WORKGROUP: u64 = 64;

/// The largest number of elements one dispatch writes: indices in the shaders are `i32`.
pub(crate) const MAX_ELEMENTS: u64 = 1 << 30;

/// A part of the operation: a box of the output, and the share of the products that is added up for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Band {
    /// Items of the batch.
    pub batch: Range<usize>,
    /// Output channels.
    pub out_channels: Range<usize>,
    /// Output coordinates (d, h, w).
    pub output: [Range<usize>; 3],
    /// Input channels of each group.
    pub group_in_channels: Range<usize>,
    /// Taps along (d, h, w), counted for each output element from the first whose input exists.
    pub taps: [Range<usize>; 3],
}

/// The part of a buffer that one dispatch sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Window {
    /// Where it begins, in bytes; a multiple of the device's alignment.
    pub(crate) offset: u64,
    /// Its size in bytes; a multiple of 4, at least 4.
    pub(crate) size: u64,
}

/// One dispatch of the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Dispatch {
    /// What it computes.
    pub(crate) band: Band,
    /// What it sees of the input.
    pub(crate) input: Window,
    /// What it sees of the packed weights.
    pub(crate) weights: Window,
    /// What it sees of the output.
    pub(crate) output: Window,
    /// What it sees of the residual, where that is a tensor of its own.
    pub(crate) residual: Option<Window>,
    /// The workgroups along x, y and z.
    pub(crate) workgroups: [u32; 3],
    /// The most multiply-adds that it may do.
    pub(crate) multiply_adds: u64,
}

impl Window {
    /// Its first element, counted from the tensor's. As the shaders' sums of which it is a part, modulo 2³².
    pub(crate) fn first_element(&self, storage: Storage, strides: &Strides) -> i32 {
        ((self.offset / storage.size()) as i32).wrapping_sub(strides.first as i32)
    }
}

/// Where a shader finds the residual: all 0 where there is none.
#[derive(Default)]
pub(crate) struct ResidualAt {
    pub(crate) strides: Strides,
    pub(crate) window: i32,
}

impl Dispatch {
    /// Where the residual of its outputs is.
    pub(crate) fn residual(&self, geometry: &Geometry, storage: Storage) -> ResidualAt {
        match (geometry.residual_tensor(), &self.residual) {
            (Some((_, strides)), Some(window)) => {
                ResidualAt { strides, window: window.first_element(storage, &strides) }
            }
            _ => ResidualAt::default(),
        }
    }
}

impl Band {
    /// The output elements it computes.
    pub(crate) fn elements(&self) -> u64 {
        let spatial: usize = self.output.iter().map(ExactSizeIterator::len).product();
        (self.batch.len() * self.out_channels.len() * spatial) as u64
    }

    /// Whether it adds the first products of its elements.
    pub(crate) fn begins_sums(&self) -> bool {
        self.group_in_channels.start == 0 && self.taps.iter().all(|taps| taps.start == 0)
    }

    /// Whether it adds the last products of its elements.
    pub(crate) fn finishes_sums(&self, geometry: &Geometry) -> bool {
        let (channels, taps) = products(geometry);
        self.group_in_channels.end == channels && self.taps.iter().zip(taps).all(|(part, all)| part.end == all)
    }
}

/// The most products that are added up for an output element: the input channels of its group, and the taps along
/// (d, h, w) of a phase, of which no more than the input's extent read one that exists.
pub(crate) fn products(geometry: &Geometry) -> (usize, [usize; 3]) {
    let op = &geometry.op;
    let taps = [0, 1, 2].map(|a| AxisPhases::new(&op.axes3()[a]).most_taps().min(geometry.input[a]));
    (op.in_channels() / op.groups(), taps)
}

/// The workgroups of one invocation for each element of a band.
pub(crate) fn folded(band: &Band, profile: &DeviceProfile) -> [u32; 3] {
    let [x, y] = rows(band.elements().div_ceil(GATHER_WORKGROUP), profile.max_workgroups);
    [x, y, 1]
}

/// So many workgroups, folded into even rows where one dimension cannot have so many: rows of the full length left up to
/// half of all workgroups idle, and lavapipe takes as long for those.
pub(crate) fn rows(groups: u64, most: u32) -> [u32; 2] {
    let rows = groups.div_ceil(u64::from(most)).max(1);
    [groups.div_ceil(rows) as u32, rows as u32]
}

/// The numbers from the sums of one split to those of the next, where a dispatch sees this much of the output.
pub(crate) fn split_stride(output: Window, storage: Storage) -> u64 {
    (output.size / storage.size()).next_multiple_of(4)
}
