//! Resampling by a filter: by a whole factor as a transposed convolution on the device, to any other size on the CPU.

use super::planes::{Sample, View};
use super::resize::{Plan, Resize};
use super::tiling::{BANDS, Job, Tiling};
use super::wanted::whole_factor;
use crate::device::{Backend, Layer};
use crate::picture::Shape;
use anyhow::{Context as _, Result, bail};
use std::ops::Range;
use upconv::upscale::Method;
use upconv::{Data, Tensor};

/// How many times the tensors of a piece are in memory: on their way to a device and back, and on a device that
/// computes in the same memory.
const COPIES: u64 = 6;

/// A filter for a picture, and how the work is cut.
pub(super) struct Filter {
    method: Method,
    /// Whether colours are multiplied by the picture's alpha.
    premultiply: bool,
    cut: Cut,
}

enum Cut {
    /// By a whole factor, in pieces.
    Whole(Job, Tiling),
    /// To another size, row by row.
    Any(Plan),
}

impl Filter {
    /// Cuts the work so that it takes at most `rest` bytes if that is possible, and returns how many bytes it takes, with
    /// its bands of samples. The shapes differ in their sides alone.
    pub(super) fn new(method: Method, from: Shape, to: Shape, rest: u64) -> (Self, u64) {
        // `nearest` mixes no pixels, so it can keep the colours of transparent ones.
        let premultiply = from.colour.has_alpha() && method != Method::Nearest;
        let sides = |shape: Shape| (shape.width as usize, shape.height as usize);
        let channels = from.colour.channels();
        let (cut, bytes) = match whole_factor(sides(from), sides(to)) {
            Some(scale) => {
                let (width, height) = sides(from);
                let job = Job { width, height, channels, scale, border: method.border() };
                let tiling = Tiling::new(&job, rest / (2 * COPIES));
                let band = Shape { height: (tiling.rows * scale) as u32, ..to };
                (Cut::Whole(job, tiling), COPIES * tiling.tensor_bytes(&job) + BANDS * band.bytes())
            }
            None => {
                let depth = u64::from(from.depth.bits() / 8);
                let (plan, bytes) = Plan::new(method, sides(from), sides(to), channels, premultiply, depth, rest);
                (Cut::Any(plan), bytes)
            }
        };
        (Self { method, premultiply, cut }, bytes)
    }

    /// Whether a device computes it; otherwise the CPU does.
    pub(super) fn is_on_device(&self) -> bool {
        matches!(self.cut, Cut::Whole(..))
    }

    /// Computes the bands and gives them, in their order, to `emit`. `advance` hears how many pixels of the picture are
    /// done.
    pub(super) fn run<T: Sample>(
        &self,
        samples: &[T],
        backend: Option<&Backend>,
        advance: &(dyn Fn(u64) + Sync),
        mut emit: impl FnMut(Vec<T>) -> Result<()>,
    ) -> Result<()> {
        match &self.cut {
            Cut::Whole(job, tiling) => {
                let upsampler = self.method.upsampler(job.scale, job.channels)?;
                let backend = backend.context("no device was opened")?;
                let layer = backend.layer(&upsampler.op, &upsampler.weight, None)?;
                let (width, height, channels) = (job.width, job.height, job.channels);
                let view = View { samples, width, height, channels, premultiply: self.premultiply };
                for rows in tiling.bands(job) {
                    let band = enlarge(job, *tiling, &view, &rows, &layer)?;
                    advance((rows.len() * job.width) as u64);
                    emit(band)?;
                }
            }
            Cut::Any(plan) => {
                let mut resize = Resize::new(*plan);
                for rows in samples.chunks(plan.taken_samples()) {
                    resize.push(rows, &mut emit)?;
                    advance((rows.len() / plan.channels) as u64);
                }
            }
        }
        Ok(())
    }
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
