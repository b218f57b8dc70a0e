//! Constants rearranged: their elements stay what they are.

use super::constant::{Constant, Read, axis_of};
use super::fold::{Given, attribute_or, extents, first, input, integers};
use super::node::Node;
use super::whole::Whole;

pub(super) fn gather(node: &Node, given: Given<'_>) -> Read<Constant> {
    let (data, indices) = (first(given)?, input(given, 1)?);
    let shape = data.shape();
    let axis = axis_of(node.integer("axis", 0)?, shape.len())?;
    let (extent, rank) = (shape[axis], indices.shape().len());
    let places = indices.integers()?.into_iter().map(|index| axis_of(index, extent));
    let places =
        places.collect::<Read<Vec<_>>>().map_err(|error| format!("gathers an element that is not there: {error}"))?;
    let made = [&shape[..axis], indices.shape(), &shape[axis + 1..]].concat();
    let inner = indices.shape();
    let source = |place: &[usize]| {
        let index = place[axis..axis + rank].iter().zip(inner).fold(0, |index, (at, extent)| index * extent + at);
        [&place[..axis], &[places[index]], &place[axis + rank..]].concat()
    };
    data.gather(&made, source)
}

pub(super) fn concat(node: &Node, given: Given<'_>) -> Read<Constant> {
    let rank = first(given)?.shape().len();
    let axis = axis_of(node.integer("axis", 0)?, rank)?;
    let parts = (0..given.len()).map(|number| input(given, number)).collect::<Read<Vec<_>>>()?;
    let mut shape = first(given)?.shape().to_vec();
    shape[axis] = 0;
    for part in &parts {
        let other = part.shape();
        let fits = other.len() == rank && (0..rank).all(|at| at == axis || other[at] == shape[at]);
        let extent = if fits { shape[axis].checked_add(other[axis]) } else { None };
        shape[axis] =
            extent.ok_or_else(|| format!("concatenates constants of {:?} and {other:?}", parts[0].shape()))?;
    }
    let outer: usize = shape[..axis].iter().product();
    let rows = |part: &Constant| part.len() / outer.max(1);
    let ordered =
        (0..outer).flat_map(|row| parts.iter().map(move |part| (row * rows(part)..(row + 1) * rows(part), *part)));
    if parts.iter().all(|part| part.wholes().is_ok()) {
        let all = ordered.flat_map(|(range, part)| part.wholes().unwrap_or_default()[range].iter().copied());
        return Constant::whole(shape, all.collect());
    }
    let reals = parts.iter().map(|part| part.reals()).collect::<Read<Vec<_>>>()?;
    let all = (0..outer).flat_map(|row| {
        reals.iter().flat_map(move |part| {
            let each = part.len() / outer;
            part[row * each..(row + 1) * each].iter().map(|&real| real as f32)
        })
    });
    Constant::real(shape, all.collect::<Vec<_>>())
}

pub(super) fn slice(node: &Node, given: Given<'_>) -> Read<Constant> {
    let data = first(given)?;
    let rank = data.shape().len();
    let needed =
        |name: &str, number: usize| attribute_or(node, name, given, number)?.ok_or_else(|| format!("has no {name}"));
    let (starts, ends) = (needed("starts", 1)?, needed("ends", 2)?);
    let axes = attribute_or(node, "axes", given, 3)?.unwrap_or_else(|| (0..starts.len() as i64).collect());
    let steps = attribute_or(node, "steps", given, 4)?.unwrap_or_else(|| vec![1; starts.len()]);
    if [&ends, &axes, &steps].iter().any(|list| list.len() != starts.len()) {
        return Err(format!("has {} starts, {} ends and {} axes", starts.len(), ends.len(), axes.len()));
    }
    let mut kept: Vec<Vec<usize>> = data.shape().iter().map(|&extent| (0..extent).collect()).collect();
    for (((start, end), axis), step) in starts.into_iter().zip(ends).zip(axes).zip(steps) {
        let axis = axis_of(axis, rank)?;
        let extent = data.shape()[axis] as i64;
        let from_begin = |at: i64| if at < 0 { at.saturating_add(extent) } else { at };
        let by = usize::try_from(step.unsigned_abs()).unwrap_or(usize::MAX);
        kept[axis] = match step {
            0 => return Err("slices in steps of 0".into()),
            1.. => {
                let (start, end) = (from_begin(start).clamp(0, extent), from_begin(end).clamp(0, extent));
                (start as usize..end as usize).step_by(by).collect()
            }
            _ => {
                let (start, end) = (from_begin(start).clamp(-1, extent - 1), from_begin(end).clamp(-1, extent - 1));
                (end + 1..start + 1).rev().step_by(by).map(|at| at as usize).collect()
            }
        };
    }
    let shape: Vec<usize> = kept.iter().map(Vec::len).collect();
    data.gather(&shape, |place| place.iter().zip(&kept).map(|(&at, kept)| kept[at]).collect())
}

pub(super) fn reshape(node: &Node, given: Given<'_>) -> Read<Constant> {
    let (data, mut target) = (first(given)?, integers(given, 1)?);
    for (axis, extent) in target.iter_mut().enumerate() {
        if let (0, 0, Some(&own)) = (node.integer("allowzero", 0)?, *extent, data.shape().get(axis)) {
            *extent = own as i64;
        }
    }
    if let Some(open) = target.iter().position(|&extent| extent == -1) {
        let others = target.iter().enumerate().filter(|&(axis, _)| axis != open).map(|(_, &extent)| extent);
        let product = others.fold(1_i64, i64::saturating_mul).max(1);
        target[open] = data.len() as i64 / product;
    }
    data.reshaped(extents(&target)?)
}

/// Which of so many axes are named; all of them in range.
fn named(axes: &[i64], rank: usize) -> Read<Vec<bool>> {
    let mut named = vec![false; rank];
    for &axis in axes {
        if std::mem::replace(&mut named[axis_of(axis, rank)?], true) {
            return Err(format!("has the axes {axes:?}, of which some are the same"));
        }
    }
    Ok(named)
}

pub(super) fn squeeze(node: &Node, given: Given<'_>) -> Read<Constant> {
    let data = first(given)?;
    let shape = data.shape();
    let named = match attribute_or(node, "axes", given, 1)? {
        Some(axes) => named(&axes, shape.len())?,
        None => shape.iter().map(|&extent| extent == 1).collect(),
    };
    if let Some((&extent, _)) = shape.iter().zip(&named).find(|&(&extent, &named)| named && extent != 1) {
        return Err(format!("removes an axis of {extent}"));
    }
    data.reshaped(shape.iter().zip(named).filter(|(_, named)| !named).map(|(&extent, _)| extent).collect())
}

pub(super) fn unsqueeze(node: &Node, given: Given<'_>) -> Read<Constant> {
    let data = first(given)?;
    let axes = attribute_or(node, "axes", given, 1)?.ok_or("has no axes")?;
    let mut own = data.shape().iter().copied();
    let named = named(&axes, data.shape().len().saturating_add(axes.len()))?;
    data.reshaped(named.into_iter().map(|new| if new { 1 } else { own.next().unwrap_or(1) }).collect())
}

pub(super) fn transpose(node: &Node, data: &Constant) -> Read<Constant> {
    let shape = data.shape();
    let order = match node.integers("perm")? {
        Some(order) => order.iter().map(|&axis| axis_of(axis, shape.len())).collect::<Read<Vec<_>>>()?,
        None => (0..shape.len()).rev().collect(),
    };
    let mut sorted = order.clone();
    sorted.sort_unstable();
    if !sorted.into_iter().eq(0..shape.len()) {
        return Err(format!("orders {} axes as {order:?}", shape.len()));
    }
    let made: Vec<usize> = order.iter().map(|&axis| shape[axis]).collect();
    let source = |place: &[usize]| {
        let mut from = vec![0; place.len()];
        order.iter().zip(place).for_each(|(&axis, &at)| from[axis] = at);
        from
    };
    data.gather(&made, source)
}

/// The shape of a constant, as whole numbers.
pub(super) fn shape(data: &Constant) -> Read<Constant> {
    Ok(Constant::list(data.shape().iter().map(|&extent| Whole::Known(extent as i64)).collect()))
}
