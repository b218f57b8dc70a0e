//! Winograd's transforms, where a caller allows their error (see [`crate::winograd`]): of kernels 3×3 at stride 1, and of
//! those of twice their stride, each phase of which has 2×2 taps.
//!
//! A phase of the output is cut into tiles of 4×4, from its first output on. A task takes some rows of tiles of some items
//! of the batch, and as many of their tiles at a time as fit with their points into a second-level cache: it transforms
//! the inputs, multiplies them at each point with the weights of some output channels, and transforms the products into
//! the output, the phases of a row side by side. Vectors are along tiles. The results of a tile depend on its inputs
//! alone, and not on how the work is cut.
//!
//! Phases that read the same inputs share their points: along an axis there are two groups of them where the padding is
//! no multiple of the stride, and one otherwise. Both groups along w are computed before a row is stored, those along h
//! one after the other. A third axis is not transformed: the products add up its taps, which read other planes of inputs.

mod axis;
mod cut;
mod input;
mod matrix;
mod output;
mod segment;
#[cfg(test)]
mod tests;
mod weights;
mod work;

use super::element::Stored;
use super::memory::{Result, grow, unless_stopped};
use super::output::Slot;
use super::scratch::Pool;
use super::simd::{Instructions, Level};
use super::task::Task;
use crate::accuracy::Accuracy;
use crate::layout::Layout;
use crate::op::{ConvTranspose, Geometry};
use crate::stop::Stop;
use crate::winograd::{Filter, filters, wide_three_by_three};
use axis::{Depth, Group, groups};
use rayon::prelude::*;
use weights::Block;
use work::Work;

/// An operation with its weights, for the transforms.
#[derive(Clone, Debug)]
pub(super) struct Winograd {
    level: Level,
    instructions: Instructions,
    filters: [Filter; 2],
    /// Along h and w.
    groups: [Vec<Group>; 2],
    depth: Depth,
    inputs: usize,
    blocks: Vec<Block>,
}

/// The fewest input and output channels with which two taps for each phase are faster than the products, by the lanes of
/// a vector: the wider it is, the less of the time goes into the multiply-adds that are saved. On two cores of a Xeon
/// (Sapphire Rapids), 64² pictures of 32 and 64 channels take 1/1.3 and 1/1.55 of the time with AVX2, 1 and 1/1.25 of it
/// with AVX-512.
fn least_channels(level: Level) -> usize {
    if level.lanes::<f32>() > 8 { 64 } else { 32 }
}

/// The most products of input and output channels. Where networks have more, their pictures are so small that the
/// weights serve few tiles: 256 channels of 8² pixels would take twice the time.
const MOST_WEIGHTS: usize = 256 * 128;

/// Whether an operation allows the error of the transforms, and they are faster: whatever its shape, so that a picture in
/// tiles stays the same picture.
pub(super) fn pays(op: &ConvTranspose, level: Level) -> bool {
    let (inputs, outputs) = (op.in_channels(), op.out_channels());
    let two_taps = || {
        inputs.min(outputs) >= least_channels(level)
            && inputs.saturating_mul(outputs) <= MOST_WEIGHTS
            && Winograd::plan(op).is_some_and(|(filters, _)| filters[0].taps == 2)
    };
    let allowed = op.accuracy() != Accuracy::Elementwise && op.layout() == Layout::ChannelsFirst;
    allowed && (wide_three_by_three(op) || two_taps())
}

impl Winograd {
    /// The filters along h and w and what is along d, of an operation that is computed here.
    fn plan(op: &ConvTranspose) -> Option<([Filter; 2], Depth)> {
        let filters = filters(op).filter(|[h, w]| h.taps == w.taps)?;
        Some((filters, Depth::new(&op.axes3()[0])?))
    }

    /// Packs the weights of an operation for which this [pays]; `None` where it cannot be computed so. `bias` may be empty.
    ///
    /// # Errors
    /// [`Error::Memory`](crate::Error::Memory).
    pub(super) fn new(op: &ConvTranspose, weight: &[f32], bias: &[f32], level: Level) -> crate::Result<Option<Self>> {
        let Some((filters, depth)) = Self::plan(op) else { return Ok(None) };
        let groups = filters.map(groups);
        let blocks = weights::blocks(op, filters, &depth, (weight, bias), level)?;
        Ok(Some(Self {
            level,
            instructions: level.instructions(),
            filters,
            groups,
            inputs: op.in_channels(),
            depth,
            blocks,
        }))
    }

    /// Computes the output, and returns how many of its elements were written: all.
    pub(super) fn run<T: Stored<Computed = f32>>(
        &self,
        geometry: &Geometry,
        pool: &Pool<f32>,
        x: &[f32],
        y: &mut [Slot<T>],
    ) -> Result<usize> {
        let (cut, outputs) = self.cut(geometry, rayon::current_num_threads());
        let stop = Stop::watched();
        let run = |Task { shape, mut parts }: Task<'_, T>| {
            unless_stopped(stop.as_ref())?;
            let work = Work::new(self, geometry, x, &shape);
            pool.with(|scratch| match self.filters[0].taps {
                3 => work.run::<T, 3, 6>(&mut parts, scratch),
                _ => work.run::<T, 2, 5>(&mut parts, scratch),
            })
        };
        Task::with_outputs(geometry, &cut, &outputs, y)?.into_par_iter().with_max_len(1).map(run).sum()
    }
}

/// So many elements of a scratch buffer, from the start of a line of the cache on: vectors of 64 bytes then lie in one.
fn aligned(buffer: &mut Vec<f32>, len: usize) -> Result<&mut [f32]> {
    const LINE: usize = 64;
    grow(buffer, len.saturating_add(LINE / size_of::<f32>()))?;
    let skip = buffer.as_ptr().align_offset(LINE).min(LINE / size_of::<f32>());
    Ok(&mut buffer[skip..][..len])
}
