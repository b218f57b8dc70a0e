//! Channels put together, taken apart, and moved between channels and space.

use super::constant::{Read, axis_of};
use super::file::MAX_CHANNELS;
use super::maker::{Blob, Item, Maker, told};
use super::node::Node;
use crate::graph::{Operation, Value};
use crate::op::Convolution;
use crate::tensor::Tensor;
use std::ops::Range;

/// Runs of neighbouring channels that are rather concatenated than picked by a convolution.
const MOST_RUNS: usize = 8;

pub(super) fn concat(maker: &mut Maker, node: &Node) -> Read<Vec<Item>> {
    let blobs = (0..node.inputs.len()).map(|number| maker.blob(node, number)).collect::<Read<Vec<_>>>()?;
    let first = *blobs.first().ok_or("concatenates nothing")?;
    let axis = node.integer("axis", 1)?;
    if axis_of(axis, first.axes + 2)? != 1 {
        return Err(format!("concatenates along axis {axis}, expected the channels, 1"));
    }
    if let Some(other) = blobs.iter().find(|blob| blob.axes != first.axes) {
        return Err(format!("concatenates tensors of {} and {} axes", first.axes + 2, other.axes + 2));
    }
    let units = blobs.iter().map(|&blob| maker.is_unit(blob)).collect::<Vec<_>>();
    let values: Vec<Value> = blobs.iter().map(|blob| blob.value).collect();
    let value = maker.graph.concatenate(&values).map_err(told)?;
    let channels = maker.graph.node(value).channels();
    if channels > MAX_CHANNELS {
        return Err(format!("makes {channels} channels, expected at most {MAX_CHANNELS}"));
    }
    Ok(Blob { value, unit: units.iter().all(|&unit| unit), ..first }.into())
}

pub(super) fn split(maker: &mut Maker, node: &Node) -> Read<Vec<Item>> {
    let (blob, axis) = (maker.blob(node, 0)?, node.integer("axis", 0)?);
    if axis_of(axis, blob.axes + 2)? != 1 {
        return Err(format!("splits along axis {axis}, expected the channels, 1"));
    }
    let (channels, parts) = (maker.channels(blob), node.outputs.len());
    let sizes = match maker.integers(node, "split", 1)? {
        Some(sizes) => sizes,
        None => {
            // The last part is smaller where they cannot all be alike.
            let each = channels.div_ceil(parts.max(1));
            (0..parts).map(|part| channels.saturating_sub(part * each).min(each) as i64).collect()
        }
    };
    let wrong = || format!("splits {channels} channels into {parts} parts of {sizes:?}");
    let mut ends = Vec::new();
    let mut end = 0_usize;
    for &size in &sizes {
        end = usize::try_from(size).ok().and_then(|size| end.checked_add(size)).ok_or_else(wrong)?;
        ends.push(end);
    }
    if end != channels || sizes.len() != parts {
        return Err(wrong());
    }
    let part = |(start, &end): (usize, &usize)| Ok(Item::Blob(ranged(maker, blob, start..end)?));
    [0].into_iter().chain(ends.iter().copied()).zip(&ends).map(part).collect()
}

pub(super) fn ranged(maker: &mut Maker, blob: Blob, range: Range<usize>) -> Read<Blob> {
    Ok(Blob { value: maker.graph.channels(blob.value, range).map_err(told)?, ..blob })
}

pub(super) fn gather(maker: &mut Maker, node: &Node) -> Read<Vec<Item>> {
    let (blob, axis) = (maker.blob(node, 0)?, node.integer("axis", 0)?);
    let indices = maker.needed(node, 1)?;
    if axis_of(axis, blob.axes + 2)? != 1 || indices.shape().len() != 1 {
        let shape = indices.shape();
        return Err(format!("gathers {shape:?} along axis {axis}, expected a list along the channels, 1"));
    }
    let channels = maker.channels(blob);
    let order = indices.integers()?.into_iter().map(|index| axis_of(index, channels)).collect::<Read<Vec<_>>>();
    let order = order.map_err(|_| format!("gathers channels that are not among {channels}"))?;
    Ok(picked(maker, blob, &order)?.into())
}

/// These channels, in this order.
pub(super) fn picked(maker: &mut Maker, blob: Blob, order: &[usize]) -> Read<Blob> {
    let mut runs: Vec<Range<usize>> = Vec::new();
    for &channel in order {
        match runs.last_mut() {
            Some(run) if run.end == channel => run.end += 1,
            _ => runs.push(channel..channel + 1),
        }
    }
    if runs.len() <= MOST_RUNS {
        let parts = runs.into_iter().map(|run| maker.graph.channels(blob.value, run)).collect::<Result<Vec<_>, _>>();
        let value = parts.and_then(|parts| maker.graph.concatenate(&parts)).map_err(told)?;
        return Ok(Blob { value, ..blob });
    }
    if let Some(value) = reordered(maker, blob.value, order)? {
        return Ok(Blob { value, ..blob });
    }
    let (channels, rank) = (maker.channels(blob), maker.graph.rank());
    let count = maker.spend([channels, order.len(), 2], size_of::<f32>())? / 2;
    let op = Convolution::builder().in_channels(channels).out_channels(order.len()).kernel(vec![1; rank]);
    let op = op.build().map_err(told)?;
    let mut weight = vec![0.0; count];
    order.iter().enumerate().for_each(|(to, &from)| weight[to * channels + from] = 1.0);
    let weight = Tensor::f32(op.weight_shape(), weight).map_err(told)?;
    Ok(Blob { value: maker.graph.convolution(blob.value, &op, &weight, None).map_err(told)?, ..blob })
}

/// A convolution without groups that gives its channels in another order; `None` where a value is none.
fn reordered(maker: &mut Maker, value: Value, order: &[usize]) -> Read<Option<Value>> {
    let node = maker.graph.node(value);
    let (Operation::Layer(layer), &[input]) = (node.operation(), node.inputs()) else { return Ok(None) };
    let layer = layer.clone();
    let Some(convolution) = layer.convolution.as_ref().filter(|op| op.groups() == 1) else { return Ok(None) };
    if order.len() != convolution.out_channels() {
        return Ok(None);
    }
    let weight = convolution.turned_back(&*layer.weight).map_err(told)?;
    let shape = weight.shape().to_vec();
    let each = maker.spend([weight.data().len(), 3], weight.dtype().size())? / 3 / order.len().max(1);
    let weight =
        weight.view().select(shape, order.iter().flat_map(|from| from * each..(from + 1) * each)).map_err(told)?;
    let bias = layer.bias.as_ref().map(|bias| bias.view().select(bias.shape(), order.iter().copied()));
    let bias = bias.transpose().map_err(told)?.map(Into::into);
    maker.graph.convolution(input, convolution, &weight, bias).map(Some).map_err(told)
}

/// The side of a block, on two axes.
fn block(maker: &mut Maker, node: &Node) -> Read<(Blob, usize)> {
    let (blob, side) = (maker.full(node, 0)?, node.integer("blocksize", 0)?);
    if maker.graph.rank() != 2 {
        return Err(format!("is on {} axes behind the channels, expected 2", maker.graph.rank()));
    }
    let side = usize::try_from(side).ok().filter(|side| (1..=64).contains(side));
    Ok((
        blob,
        side.ok_or_else(|| format!("has blocks of {}, expected 1 to 64", node.integer("blocksize", 0).unwrap_or(0)))?,
    ))
}

pub(super) fn depth_to_space(maker: &mut Maker, node: &Node) -> Read<Vec<Item>> {
    let (mut blob, side) = block(maker, node)?;
    let channels = maker.channels(blob);
    let made = channels / (side * side);
    match node.text("mode", "DCR")?.as_str() {
        "CRD" => {}
        // A block's channels are outermost there, and innermost in a pixel shuffle.
        "DCR" if made * side * side == channels && side > 1 => {
            maker.spend([channels], size_of::<usize>())?;
            let from = |to: usize| to % (side * side) * made + to / (side * side);
            let order: Vec<usize> = (0..channels).map(from).collect();
            blob = picked(maker, blob, &order)?;
        }
        "DCR" => {}
        other => return Err(format!("has mode {other:?}, expected \"DCR\" or \"CRD\"")),
    }
    let value = maker.graph.pixel_shuffle(blob.value, side).map_err(told)?;
    Ok(Blob { value, unit: false, ..blob }.into())
}

/// A convolution whose stride is its kernel, of which each tap goes to channels of its own.
pub(super) fn space_to_depth(maker: &mut Maker, node: &Node) -> Read<Vec<Item>> {
    let (blob, side) = block(maker, node)?;
    let channels = maker.channels(blob);
    let count = maker.spend([channels, side * side, channels, side * side, 2], size_of::<f32>())? / 2;
    let op = Convolution::builder().in_channels(channels).out_channels(channels * side * side);
    let op = op.kernel([side; 2]).stride([side; 2]).build().map_err(told)?;
    let mut weight = vec![0.0; count];
    for tap in 0..side * side {
        for channel in 0..channels {
            weight[((tap * channels + channel) * channels + channel) * side * side + tap] = 1.0;
        }
    }
    let weight = Tensor::f32(op.weight_shape(), weight).map_err(told)?;
    let value = maker.graph.convolution(blob.value, &op, &weight, None).map_err(told)?;
    Ok(Blob { value, unit: false, ..blob }.into())
}
