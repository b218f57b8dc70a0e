//! Enlarging by a resampling filter, band by band.

use super::planes::{Sample, View};
use super::tiling::{BANDS, Job, Tiling};
use crate::device::Layer;
use crate::picture::Shape;
use anyhow::{Result, bail};
use std::ops::Range;
use upconv::{Data, Tensor};

/// How many times the tensors of a piece are in memory: on their way to a device and back, and on a device that
/// computes in the same memory.
const COPIES: u64 = 6;

/// Cuts the picture into pieces that take at most `rest` bytes each if that is possible, and returns how many bytes one
/// takes, with its bands of samples.
pub(super) fn fit(job: &Job, shape: Shape, rest: u64) -> (Tiling, u64) {
    let tiling = Tiling::new(job, rest / (2 * COPIES));
    let band = Shape { width: shape.width * job.scale as u32, height: tiling.rows as u32 * job.scale as u32, ..shape };
    (tiling, COPIES * tiling.tensor_bytes(job) + BANDS * band.bytes())
}

/// Computes the bands and gives them, in their order, to `emit`.
pub(super) fn run<T: Sample>(
    job: &Job,
    tiling: Tiling,
    view: &View<'_, T>,
    layer: &Layer,
    advance: &(dyn Fn(u64) + Sync),
    mut emit: impl FnMut(Vec<T>) -> Result<()>,
) -> Result<()> {
    for rows in tiling.bands(job) {
        let band = enlarge(job, tiling, view, &rows, layer)?;
        advance((rows.len() * job.width) as u64);
        emit(band)?;
    }
    Ok(())
}

/// Computes one band.
fn enlarge<T: Sample>(
    job: &Job,
    tiling: Tiling,
    view: &View<'_, T>,
    rows: &Range<usize>,
    layer: &Layer,
) -> Result<Vec<T>> {
    let row = job.width * job.scale * job.channels;
    let mut band = vec![T::default(); rows.len() * job.scale * row];
    for columns in tiling.tiles(job) {
        let shape = [1, job.channels, rows.len() + 2 * job.border, columns.len() + 2 * job.border];
        let output = layer.run(&Tensor::f32(shape, view.planes(rows, &columns, job.border))?)?.into_data();
        let Data::F32(planes) = output else { bail!("the output is not float32") };
        view.interleave(&planes, columns.len() * job.scale, &mut band, row, columns.start * job.scale);
    }
    Ok(band)
}
