//! What is cut off tensors, and what is put around them.

use super::channels::{picked, ranged};
use super::constant::{Read, axis_of};
use super::maker::{Blob, Item, Maker, told};
use super::node::Node;
use crate::graph::Beyond;
use crate::op::Convolution;
use crate::tensor::Tensor;

/// From here on, an end means all that there is.
const FAR: i64 = 1 << 30;

pub(super) fn pad(maker: &mut Maker, node: &Node) -> Read<Vec<Item>> {
    let blob = maker.full(node, 0)?;
    let rank = blob.axes + 2;
    let value = match maker.constant(node, 2)? {
        Some(value) => value.only_real()?,
        None => node.real("value", 0.0)?.into(),
    };
    let beyond = match node.text("mode", "constant")?.as_str() {
        "constant" if value == 0.0 => Beyond::Zero,
        "constant" => return Err(format!("pads with {value}, expected 0")),
        "edge" => Beyond::Replicate,
        "reflect" => Beyond::Reflect,
        other => return Err(format!("has mode {other:?}, expected \"constant\", \"edge\" or \"reflect\"")),
    };
    let pads = maker.integers(node, "pads", 1)?.ok_or("has no pads")?;
    let axes = match maker.constant(node, 3)? {
        Some(axes) => axes.integers()?.into_iter().map(|axis| axis_of(axis, rank)).collect::<Read<Vec<_>>>()?,
        None => (0..rank).collect(),
    };
    if pads.len() != axes.len() * 2 {
        return Err(format!("has {} pads for {} axes", pads.len(), axes.len()));
    }
    let mut sides = vec![[0_i64; 2]; rank];
    for (number, &axis) in axes.iter().enumerate() {
        sides[axis] = [pads[number], pads[axes.len() + number]];
    }
    if sides[..2] != [[0; 2]; 2] {
        return Err(format!("pads the batch and the channels by {:?}, expected 0", &sides[..2]));
    }
    let part = |sign: i64| -> Vec<[usize; 2]> {
        let size = |pad: i64| pad.saturating_mul(sign).clamp(0, FAR) as usize;
        sides[2..].iter().map(|side| side.map(size)).collect()
    };
    let value = maker.graph.crop(blob.value, &part(-1)).map_err(told)?;
    let value = maker.graph.pad(value, &part(1), beyond).map_err(told)?;
    let unit = blob.unit && sides == vec![[0; 2]; rank];
    Ok(Blob { value, unit, ..blob }.into())
}

pub(super) fn slice(maker: &mut Maker, node: &Node) -> Read<Vec<Item>> {
    let mut blob = maker.blob(node, 0)?;
    let rank = blob.axes + 2;
    let starts = maker.integers(node, "starts", 1)?.ok_or("has no starts")?;
    let ends = maker.integers(node, "ends", 2)?.ok_or("has no ends")?;
    let axes = maker.integers(node, "axes", 3)?.unwrap_or_else(|| (0..starts.len() as i64).collect());
    let steps = maker.constant(node, 4)?.map(|steps| steps.integers()).transpose()?;
    let steps = steps.unwrap_or_else(|| vec![1; starts.len()]);
    if [&ends, &axes, &steps].iter().any(|list| list.len() != starts.len()) {
        let counts = [&starts, &ends, &axes, &steps].map(Vec::len);
        return Err(format!("has {counts:?} starts, ends, axes and steps, expected as many of each"));
    }
    let extents = maker.extents(blob.value).map(<[usize]>::to_vec);
    let batch = maker.batch;
    let (mut borders, mut strides) = (vec![[0; 2]; maker.graph.rank()], vec![1; maker.graph.rank()]);
    for (((&start, &end), &axis), &step) in starts.iter().zip(&ends).zip(&axes).zip(&steps) {
        let wrong = |expected: &str| format!("keeps {start} to {end} by {step} on axis {axis}, expected {expected}");
        match axis_of(axis, rank)? {
            0 if (start, step) == (0, 1) && end >= batch.unwrap_or(FAR) => {}
            0 => return Err(wrong("all of the batch")),
            1 => blob = sliced_channels(maker, blob, [start, end, step])?,
            axis => {
                let axis = axis - 2;
                let extent = extents.as_ref().map(|extents| extents[axis] as i64);
                let [begin, after] = cut(start, end, extent)
                    .ok_or_else(|| wrong("a start from the beginning and an end from the end, or fixed extents"))?;
                borders[axis] = [begin, after];
                let stride = usize::try_from(step).ok().filter(|step| (1..=1024).contains(step));
                strides[axis] = stride.ok_or_else(|| wrong("a step of 1 to 1024"))?;
            }
        }
    }
    if blob.axes > 0 {
        blob.value = maker.graph.crop(blob.value, &borders).map_err(told)?;
        blob = strided(maker, blob, &strides)?;
    }
    Ok(blob.into())
}

/// What a slice cuts off at the beginning and the end of an axis; `None` where that depends on an extent that is not fixed.
fn cut(start: i64, end: i64, extent: Option<i64>) -> Option<[usize; 2]> {
    let begin = match (start, extent) {
        (0.., _) => start,
        (_, Some(extent)) => start.saturating_add(extent).max(0),
        _ => return None,
    };
    let after = match (end, extent) {
        (FAR.., _) => 0,
        (0.., Some(extent)) => (extent - end).max(0),
        (..0, _) => end.saturating_neg(),
        _ => return None,
    };
    Some([usize::try_from(begin).ok()?, usize::try_from(after).ok()?])
}

fn sliced_channels(maker: &mut Maker, blob: Blob, [start, end, step]: [i64; 3]) -> Read<Blob> {
    let channels = maker.channels(blob) as i64;
    let wrong = || format!("keeps {start} to {end} by {step} of {channels} channels");
    let from_begin = |at: i64| if at < 0 { at.saturating_add(channels) } else { at };
    if step == 1 {
        let [start, end] = [start, end].map(|at| from_begin(at).clamp(0, channels) as usize);
        if start >= end {
            return Err(wrong());
        }
        return ranged(maker, blob, start..end);
    }
    maker.spend([channels as usize], size_of::<usize>())?;
    let step_size = usize::try_from(step.unsigned_abs()).unwrap_or(usize::MAX);
    let order: Vec<usize> = if step > 0 {
        let [start, end] = [start, end].map(|at| from_begin(at).clamp(0, channels) as usize);
        (start..end).step_by(step_size).collect()
    } else if step < 0 {
        let [start, end] = [start, end].map(|at| from_begin(at).clamp(-1, channels - 1));
        (end + 1..=start).rev().step_by(step_size).map(|at| at as usize).collect()
    } else {
        Vec::new()
    };
    if order.is_empty() { Err(wrong()) } else { picked(maker, blob, &order) }
}

/// Every so many elements along each axis: a convolution of one tap for each channel.
fn strided(maker: &mut Maker, blob: Blob, strides: &[usize]) -> Read<Blob> {
    if strides.iter().all(|&stride| stride == 1) {
        return Ok(blob);
    }
    let (channels, rank) = (maker.channels(blob), maker.graph.rank());
    maker.spend([channels, 2], size_of::<f32>())?;
    let op = Convolution::builder().in_channels(channels).out_channels(channels).groups(channels);
    let op = op.kernel(vec![1; rank]).stride(strides.iter().copied()).build().map_err(told)?;
    let weight = Tensor::f32(op.weight_shape(), vec![1.0; channels]).map_err(told)?;
    Ok(Blob { value: maker.graph.convolution(blob.value, &op, &weight, None).map_err(told)?, ..blob })
}
