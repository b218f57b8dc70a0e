//! What changes shapes alone, and means: of what has one number for each channel, shapes may change.

use super::arithmetic::{spread, widened};
use super::constant::{Constant, Read, axis_of};
use super::maker::{Blob, Item, Maker, told};
use super::node::Node;
use super::whole::Whole;

pub(super) fn identity(maker: &mut Maker, node: &Node) -> Read<Vec<Item>> {
    Ok(maker.item(node, 0)?.into_iter().collect())
}

pub(super) fn dropout(maker: &mut Maker, node: &Node) -> Read<Vec<Item>> {
    let training = maker.constant(node, 2)?.map(|training| training.integers()).transpose()?;
    if training.is_some_and(|training| training != [0]) {
        return Err("is for training".into());
    }
    identity(maker, node)
}

pub(super) fn cast(maker: &mut Maker, node: &Node) -> Read<Vec<Item>> {
    match node.integer("to", 0)? {
        1 | 10 | 11 | 16 => identity(maker, node),
        other => Err(format!("makes elements of type {other}, expected real numbers")),
    }
}

pub(super) fn shape(maker: &mut Maker, node: &Node) -> Read<Vec<Item>> {
    let blob = maker.blob(node, 0)?;
    let shape = maker.shape(blob);
    let rank = shape.len() as i64;
    let place = |at: i64| (if at < 0 { at.saturating_add(rank) } else { at }).clamp(0, rank) as usize;
    let (start, end) = (place(node.integer("start", 0)?), place(node.integer("end", rank)?));
    let some = shape.get(start..end).ok_or_else(|| format!("begins with axis {start} and ends before {end}"))?;
    Ok(Constant::list(some.to_vec()).into())
}

fn mean(maker: &mut Maker, blob: Blob, axes: usize) -> Read<Vec<Item>> {
    let value = maker.graph.mean(blob.value).map_err(told)?;
    Ok(Blob { value, axes, unit: true, expanded: false }.into())
}

pub(super) fn global_average_pool(maker: &mut Maker, node: &Node) -> Read<Vec<Item>> {
    let blob = maker.full(node, 0)?;
    mean(maker, blob, blob.axes)
}

pub(super) fn reduce_mean(maker: &mut Maker, node: &Node) -> Read<Vec<Item>> {
    let blob = maker.full(node, 0)?;
    let axes = maker.integers(node, "axes", 1)?.unwrap_or_default();
    let mut over = axes.iter().map(|&axis| axis_of(axis, blob.axes + 2)).collect::<Read<Vec<_>>>()?;
    over.sort_unstable();
    over.dedup();
    let all = 2..blob.axes + 2;
    if !over.iter().copied().eq(all.clone()) {
        return Err(format!("is the mean over the axes {axes:?}, expected {:?}", all.collect::<Vec<_>>()));
    }
    let axes = if node.integer("keepdims", 1)? == 0 { 0 } else { blob.axes };
    mean(maker, blob, axes)
}

/// A number for each channel, with so many axes of the extent 1 behind.
fn with_axes(maker: &mut Maker, blob: Blob, axes: usize) -> Read<Vec<Item>> {
    if axes == blob.axes {
        return Ok(blob.into());
    }
    if axes > maker.graph.rank() {
        return Err(format!("makes {} axes, expected at most {}", axes + 2, maker.graph.rank() + 2));
    }
    if !maker.is_unit(blob) {
        return Err("changes the shape of more than a number for each channel".into());
    }
    Ok(Blob { axes, unit: true, ..blob }.into())
}

pub(super) fn flatten(maker: &mut Maker, node: &Node) -> Read<Vec<Item>> {
    let (blob, axis) = (maker.blob(node, 0)?, node.integer("axis", 1)?);
    // An axis behind the last is the last one's other side.
    if axis_of(axis, blob.axes + 2)? != 1 {
        return Err(format!("flattens from axis {axis} on, expected 1"));
    }
    with_axes(maker, blob, 0)
}

/// Axes that are distinct and behind the channels.
fn distinct(axes: &[i64], rank: usize) -> Read<usize> {
    let mut distinct = axes.iter().map(|&axis| axis_of(axis, rank)).collect::<Read<Vec<_>>>()?;
    distinct.sort_unstable();
    distinct.dedup();
    match distinct.first() {
        Some(0 | 1) => Err(format!("has the axes {axes:?}, expected some behind the channels")),
        _ if distinct.len() != axes.len() => Err(format!("has the axes {axes:?}, of which some are the same")),
        _ => Ok(distinct.len()),
    }
}

pub(super) fn squeeze(maker: &mut Maker, node: &Node) -> Read<Vec<Item>> {
    let blob = maker.blob(node, 0)?;
    let axes = maker.integers(node, "axes", 1)?.ok_or("has no axes, so that it may remove the batch")?;
    let fewer = distinct(&axes, blob.axes + 2)?;
    with_axes(maker, blob, blob.axes - fewer)
}

pub(super) fn unsqueeze(maker: &mut Maker, node: &Node) -> Read<Vec<Item>> {
    let blob = maker.blob(node, 0)?;
    let axes = maker.integers(node, "axes", 1)?.ok_or("has no axes")?;
    let more = distinct(&axes, blob.axes.saturating_add(2).saturating_add(axes.len()))?;
    with_axes(maker, blob, blob.axes + more)
}

pub(super) fn reshape(maker: &mut Maker, node: &Node) -> Read<Vec<Item>> {
    let (blob, target) = (maker.blob(node, 0)?, maker.needed(node, 1)?);
    let (wanted, own) = (target.wholes()?, maker.shape(blob));
    let channels = maker.channels(blob) as i64;
    let zero_copies = node.integer("allowzero", 0)? == 0;
    let changes = || format!("changes the shape {} to {}, which is not read", told_shape(&own), told_shape(wanted));
    // One number may be left open.
    let open = wanted.iter().filter(|&&whole| whole == Whole::Known(-1)).count();
    let fits = |(axis, &whole): (usize, &Whole)| {
        let copied = zero_copies && whole == Whole::Known(0) && axis < own.len();
        let expected = match axis {
            // A file made for a batch of one is read for any.
            0 if whole == Whole::Known(1) => true,
            0 | 1 => whole == own[axis],
            _ => own.get(axis).is_some_and(|&own| own == whole) || (whole == Whole::Known(1) && own.len() == 2),
        };
        expected || copied || (whole == Whole::Known(-1) && open == 1)
    };
    let unit = maker.is_unit(blob);
    let ones = wanted.iter().skip(2).all(|whole| matches!(whole, Whole::Known(-1..=1)));
    let same = wanted.len() == own.len() && wanted.iter().enumerate().all(fits);
    if same {
        return Ok(blob.into());
    }
    let first_two = wanted.len() >= 2 && wanted.iter().take(2).enumerate().all(fits);
    // A zero copies an extent, which is 1 where there is one.
    let no_zero_beyond = wanted.iter().skip(own.len()).all(|whole| *whole != Whole::Known(0)) && zero_copies
        || !wanted.contains(&Whole::Known(0));
    if !(unit && ones && first_two && no_zero_beyond && open <= 1 && channels > 0) {
        return Err(changes());
    }
    with_axes(maker, blob, wanted.len() - 2)
}

fn told_shape(shape: &[Whole]) -> String {
    let told = |whole: &Whole| match whole {
        Whole::Known(number) => number.to_string(),
        Whole::Batch => "batch".into(),
        Whole::Extent { axis, times: 1, .. } => format!("extent {axis}"),
        Whole::Extent { axis, times, .. } => format!("{times}·extent {axis}"),
    };
    format!("[{}]", shape.iter().map(told).collect::<Vec<_>>().join(", "))
}

/// To a shape that a value has, or that is fixed: then sums and products expand.
pub(super) fn expand(maker: &mut Maker, node: &Node) -> Read<Vec<Item>> {
    let (mut blob, target) = (maker.blob(node, 0)?, maker.needed(node, 1)?);
    let (wanted, own) = (target.wholes()?, maker.shape(blob));
    let wrong = || format!("expands the shape {} to {}, which is not read", told_shape(&own), told_shape(wanted));
    let one = Whole::Known(1);
    if wanted.len() != own.len() || (wanted[0] != own[0] && wanted[0] != one) {
        return Err(wrong());
    }
    if let (1, &Whole::Known(channels @ 2..)) = (maker.channels(blob), &wanted[1]) {
        let channels = usize::try_from(channels).map_err(|_| wrong())?;
        blob = widened(maker, blob, channels)?;
    } else if wanted[1] != own[1] && wanted[1] != one {
        return Err(wrong());
    }
    let differs = |(wanted, own): (&Whole, &Whole)| wanted != own && *wanted != one;
    if !wanted[2..].iter().zip(&own[2..]).any(differs) {
        return Ok(blob.into());
    }
    if !maker.is_unit(blob) {
        return Err(wrong());
    }
    let like = wanted[2..].iter().enumerate().map(|(number, whole)| match *whole {
        Whole::Extent { of, axis, times: 1 } if axis == number => Some(of),
        _ => None,
    });
    match like.clone().next().flatten().filter(|&first| like.clone().all(|like| like == Some(first))) {
        Some(value) => {
            let like = Blob { value, unit: false, ..blob };
            Ok(Blob { unit: false, ..spread(maker, blob, like)? }.into())
        }
        None if wanted[2..].iter().all(|whole| matches!(whole, Whole::Known(1..))) => {
            Ok(Blob { unit: true, expanded: true, ..blob }.into())
        }
        None => Err(wrong()),
    }
}
