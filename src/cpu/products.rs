//! A layer as matrix products: each task fills a panel with its part of the input, multiplies it with each block of
//! weights, and stores the results, phase by phase, in its rows of the output.

use super::choice::{Cut, Panel};
use super::element::{Element, Stored};
use super::memory::{Result, collect, unless_stopped};
use super::output::Slot;
use super::packed::Packed;
use super::range::length;
use super::scratch::{Pool, Scratch};
use super::task::{Parts, Task};
use super::work::Work;
use super::{batched, boxed, im2col};
use crate::op::Geometry;
use crate::stop::Stop;
use rayon::prelude::*;

/// Computes the output, and returns how many of its elements were written: all.
///
/// The second packing serves where an input is infinite or NaN and the first has weights 0 for taps that a phase lacks.
pub(super) fn run<T: Stored>(
    geometry: &Geometry,
    packings: [&Packed<T::Computed>; 2],
    cut: &Cut,
    pool: &Pool<T::Computed>,
    x: &[T::Computed],
    y: &mut [Slot<T>],
) -> Result<usize> {
    let stop = Stop::watched();
    let run = |Task { shape, mut parts }: Task<'_, T>| {
        unless_stopped(stop.as_ref())?;
        let work = Work { geometry, x, shape };
        pool.with(|scratch| task(&work, packings, cut.panel, &mut parts, scratch))
    };
    Task::all(geometry, cut, y)?.into_par_iter().with_max_len(1).map(run).sum()
}

/// Returns how many outputs were written.
fn task<T: Stored>(
    work: &Work<'_, T::Computed>,
    packings: [&Packed<T::Computed>; 2],
    panel: Panel,
    parts: &mut Parts<'_, T>,
    scratch: &mut Scratch<T::Computed>,
) -> Result<usize> {
    let mut written = fill_untouched(work, packings[0], parts)?;
    let op = work.geometry.op();
    let out_group = op.out_channels() / op.groups();
    let channels = &work.shape.channels;
    for group in channels.start / out_group..channels.end.div_ceil(out_group) {
        for packed in packings {
            let within = |tile: &usize| {
                let of_tile = work.channels(packed, (group, *tile));
                channels.start <= of_tile.start && of_tile.end <= channels.end
            };
            let tiles: Vec<usize> = (0..packed.channel_tiles.len()).filter(within).collect();
            let tiles = (group, &tiles[..]);
            let done = match panel {
                Panel::Box => boxed::run(work, packed, tiles, parts, scratch)?,
                Panel::Im2col => im2col::run(work, packed, tiles, parts, scratch)?,
                Panel::Batched => batched::run(work, packed, tiles, parts, scratch)?,
            };
            if let Some(done) = done {
                written += done;
                break;
            }
        }
    }
    Ok(written)
}

/// Writes the outputs that no tap reaches, the activation of the bias, and returns how many.
fn fill_untouched<T: Stored>(
    work: &Work<'_, T::Computed>,
    packed: &Packed<T::Computed>,
    parts: &mut Parts<'_, T>,
) -> Result<usize> {
    let (tables, shape, op) = (&packed.tables, &work.shape, work.geometry.op());
    if tables.iter().all(|table| table.phase_count() == table.stride) {
        return Ok(0);
    }
    let reached = |axis: usize| {
        let (table, outputs, pad) = (&tables[axis], shape.outputs[axis].clone(), op.axes3()[axis].pad_begin);
        collect("the rows of a task", length(&outputs), outputs.map(|o| table.at(o + pad).is_some()))
    };
    let reached = [reached(0)?, reached(1)?, reached(2)?];
    let mut written = 0;
    for item in 0..shape.items.len() {
        for co in shape.channels.clone() {
            let value = T::of(packed.bias(co).activate(op.activation(), co));
            for (z, &reached_z) in reached[0].iter().enumerate() {
                for (y, &reached_y) in reached[1].iter().enumerate() {
                    let step = parts.step;
                    let row = parts.row(item, co - shape.channels.start, z, y);
                    for (slot, &reached_x) in row.iter_mut().step_by(step).zip(&reached[2]) {
                        if !(reached_z && reached_y && reached_x) {
                            *slot = Slot::new(value);
                            written += 1;
                        }
                    }
                }
            }
        }
    }
    Ok(written)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::choice::{Choice, PANEL, choose};
    use crate::cpu::output::slots;
    use crate::cpu::simd::Level;
    use crate::op::ConvTranspose;
    use crate::{Layout, OutputPaddingPolicy};
    use fastrand::Rng;
    use half::f16;

    fn cut(geometry: &Geometry, packed: &Packed<f32>) -> Option<Cut> {
        match choose(geometry, Some(packed), 2, PANEL) {
            Choice::Products(cut) => Some(cut),
            Choice::Gather => None,
        }
    }

    /// What a NaN left in the padding of a panel is not taken for an input.
    #[test]
    fn a_nan_is_forgotten_after_its_run() {
        let op = ConvTranspose::builder().kernel([3]).stride([2]).build().unwrap();
        for level in Level::ALL.into_iter().filter(|level| level.is_available() && level.lanes::<f32>() > 1) {
            let shared = Packed::new(&op, &[1.0, 2.0, 3.0], &[], level, true).unwrap();
            assert!(shared.has_zero_taps);
            // Other weights, which show where they are used.
            let other = Packed::new(&op, &[4.0, 5.0, 6.0], &[], level, false).unwrap();
            let lanes = level.lanes::<f32>();
            for (panel, full, partly_full) in [(Panel::Im2col, 2, 1), (Panel::Batched, lanes, lanes - 1)] {
                let pool = Pool::default();
                let run = |batch: usize, value: f32| {
                    let geometry = op.at(&[batch, 1, 1]).unwrap();
                    let cut = cut(&geometry, &shared).unwrap();
                    assert_eq!(cut.panel, panel);
                    let mut y = vec![0.0_f32; geometry.output_len()];
                    run(&geometry, [&shared, &other], &cut, &pool, &vec![value; batch], slots(&mut y)).unwrap();
                    y
                };
                assert!(run(full, f32::NAN).iter().all(|y| y.is_nan()));
                assert_eq!(run(partly_full, 1.0)[..3], [1.0, 2.0, 3.0], "{level:?}, {panel:?}");
            }
        }
    }

    #[test]
    fn every_element_is_written_once_and_rounded_once() {
        let mut rng = Rng::with_seed(84);
        let mut counts = [[0; 3]; 2];
        for number in 0..600 {
            let mut each = |most: usize| [rng.usize(1..=most), rng.usize(1..=most)];
            let (kernel, stride, dilation, extents, output_padding) = (each(5), each(4), each(3), each(20), each(3));
            let (groups, layout) = (rng.usize(1..=2), [Layout::ChannelsFirst, Layout::ChannelsLast][rng.usize(0..2)]);
            let (inputs, outputs) = (groups * rng.usize(1..=3), groups * rng.usize(1..=9));
            let op = ConvTranspose::builder().in_channels(inputs).out_channels(outputs).groups(groups).kernel(kernel);
            let op = op.stride(stride).dilation(dilation).output_padding(output_padding).padding([rng.i64(-2..=2); 2]);
            let mut op = op.layout(layout).output_padding_policy(OutputPaddingPolicy::Lenient).build().unwrap();
            if number % 4 > 1 {
                op = op.adjoint().transposed().clone();
            }
            let (inputs, decimated) = (op.in_channels(), usize::from(op.is_decimated()));
            let batch = [1, rng.usize(6..=16)][number % 2];
            let [h, w] = extents;
            let shape = match layout {
                Layout::ChannelsFirst => [batch, inputs, h, w],
                Layout::ChannelsLast => [batch, h, w, inputs],
            };
            let Ok(geometry) = op.at(&shape) else { continue };
            let mut random = |len: usize| (0..len).map(|_| rng.f32() - 0.5).collect::<Vec<_>>();
            let (x, weight) = (random(geometry.input_len()), random(op.weight_shape().iter().product()));
            for level in Level::ALL.into_iter().filter(|level| level.is_available()) {
                let packed = Packed::new(&op, &weight, &[], level, true).unwrap();
                let Some(cut) = cut(&geometry, &packed) else { continue };
                counts[decimated][cut.panel as usize] += 1;
                let (pool, len) = (Pool::default(), geometry.output_len());
                let mut single = vec![f32::NAN; len];
                let mut half = vec![f16::NAN; len];
                let packings = [&packed, &packed];
                assert_eq!(run(&geometry, packings, &cut, &pool, &x, slots(&mut single)).unwrap(), len, "{op:?}");
                assert_eq!(run(&geometry, packings, &cut, &pool, &x, slots(&mut half)).unwrap(), len, "{op:?}");
                assert!(single.iter().all(|y| y.is_finite()), "{op:?} at {shape:?}");
                let rounded: Vec<_> = single.into_iter().map(f16::from_f32).collect();
                assert_eq!(half, rounded, "{op:?} at {shape:?}");
            }
        }
        assert!(counts.as_flattened().iter().all(|&count| count > 20), "{counts:?}");
    }
}
