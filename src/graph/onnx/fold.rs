//! What is computed of constants, and of shapes, alone.

use super::constant::{Constant, Read, axis_of, elements_of};
use super::maker::Maker;
use super::node::Node;
use super::whole::Whole;
use super::{rearrange, whole};
use std::sync::Arc;

/// The constants that a node reads; those that are optional and not given, `None`.
pub(super) type Given<'a> = &'a [Option<Arc<Constant>>];

/// What computes an operator.
type Fold = fn(&Node, Given<'_>) -> Read<Constant>;

/// The operators with the attributes that they may have.
const FOLDS: &[(&str, &[&str], Fold)] = &[
    ("Add", &[], |_, given| arithmetic(given, |a, b| a + b, whole::add)),
    ("Cast", &["to", "saturate"], |node, given| cast(node, first(given)?)),
    ("Ceil", &[], |_, given| each(first(given)?, f64::ceil)),
    ("Concat", &["axis"], rearrange::concat),
    ("Constant", &["value", "value_float", "value_floats", "value_int", "value_ints"], |node, _| constant(node)),
    ("ConstantOfShape", &["value"], |node, given| constant_of_shape(node, first(given)?)),
    ("Div", &[], |_, given| arithmetic(given, |a, b| a / b, whole::div)),
    ("Equal", &[], |_, given| equal(given)),
    ("Expand", &[], |_, given| expand(given)),
    ("Floor", &[], |_, given| each(first(given)?, f64::floor)),
    ("Gather", &["axis"], rearrange::gather),
    ("Identity", &[], |_, given| first(given).cloned()),
    ("Mul", &[], |_, given| arithmetic(given, |a, b| a * b, whole::mul)),
    ("Neg", &[], |_, given| negated(first(given)?)),
    ("Range", &[], |_, given| range(given)),
    ("Reciprocal", &[], |_, given| each(first(given)?, f64::recip)),
    ("ReduceL2", &["axes", "keepdims", "noop_with_empty_axes"], reduce_l2),
    ("Reshape", &["allowzero"], rearrange::reshape),
    ("Shape", &[], |_, given| rearrange::shape(first(given)?)),
    ("Slice", &["starts", "ends", "axes"], rearrange::slice),
    ("Sqrt", &[], |_, given| each(first(given)?, f64::sqrt)),
    ("Squeeze", &["axes"], rearrange::squeeze),
    ("Sub", &[], |_, given| arithmetic(given, |a, b| a - b, whole::sub)),
    ("Transpose", &["perm"], |node, given| rearrange::transpose(node, first(given)?)),
    ("Unsqueeze", &["axes"], rearrange::unsqueeze),
    ("Where", &[], |_, given| chosen(given)),
];

pub(super) fn folded(maker: &mut Maker, node: &Node, given: Given<'_>) -> Read<Constant> {
    let Some((_, attributes, fold)) = FOLDS.iter().find(|(kind, ..)| *kind == node.kind) else {
        let subgraph = ["If", "Loop", "Scan"].contains(&&*node.kind);
        return Err(match (subgraph, node.inputs.is_empty()) {
            (true, _) => "holds a graph, which is not read".into(),
            (false, true) => "is of a type that is not read".into(),
            (false, false) => "is of a type that is not read of constants".into(),
        });
    };
    node.only(attributes)?;
    // Before it is made: what it makes is no larger than what this counts.
    let most = bound(node, given)?;
    let whole = given.iter().flatten().all(|constant| constant.wholes().is_ok());
    let size = if whole { size_of::<Whole>() } else { size_of::<f64>() };
    maker.spend([most], size)?;
    fold(node, given)
}

/// At least the elements of what a node gives.
fn bound(node: &Node, given: Given<'_>) -> Read<usize> {
    let sum = given.iter().flatten().try_fold(0_usize, |sum, constant| sum.checked_add(constant.len()));
    let target = || -> Read<Vec<usize>> {
        let target = integers(given, usize::from(node.kind == "Expand"))?;
        Ok(target.into_iter().map(|extent| usize::try_from(extent).unwrap_or(usize::MAX).max(1)).collect())
    };
    let product =
        |extents: Vec<usize>| extents.iter().try_fold(1_usize, |product, &extent| product.checked_mul(extent));
    let count = match node.kind.as_str() {
        "Add" | "Sub" | "Mul" | "Div" | "Equal" | "Where" => {
            let shapes: Vec<&[usize]> = given.iter().flatten().map(|constant| constant.shape()).collect();
            shapes.iter().try_fold(Vec::new(), |so_far, shape| broadcast(&so_far, shape)).map(product)?
        }
        "Gather" => {
            let (data, indices) = (first(given)?, input(given, 1)?.len());
            let extent = data.shape()[axis_of(node.integer("axis", 0)?, data.shape().len())?];
            (data.len() / extent.max(1)).checked_mul(indices)
        }
        "ConstantOfShape" => product(target()?),
        "Expand" => product(target()?).and_then(|count| count.checked_mul(sum?)),
        "Range" => Some(range_length(given)?),
        _ => sum,
    };
    count.ok_or_else(|| "makes too many numbers".into())
}

pub(super) fn input(given: Given<'_>, number: usize) -> Read<&Constant> {
    let constant = given.get(number).and_then(Option::as_deref);
    constant.ok_or_else(|| format!("has {} inputs, expected more", given.len()))
}

pub(super) fn first(given: Given<'_>) -> Read<&Constant> {
    input(given, 0)
}

pub(super) fn integers(given: Given<'_>, number: usize) -> Read<Vec<i64>> {
    input(given, number)?.integers()
}

/// Whole numbers that are an attribute in some opsets and an input in others.
pub(super) fn attribute_or(node: &Node, name: &str, given: Given<'_>, number: usize) -> Read<Option<Vec<i64>>> {
    match (node.integers(name)?, given.get(number).and_then(Option::as_deref)) {
        (Some(integers), _) => Ok(Some(integers.to_vec())),
        (None, Some(constant)) => constant.integers().map(Some),
        (None, None) => Ok(None),
    }
}

/// A shape that both can be expanded to: their last axes are the same ones.
fn broadcast(a: &[usize], b: &[usize]) -> Read<Vec<usize>> {
    let rank = a.len().max(b.len());
    let extent = |shape: &[usize], axis: usize| (axis + shape.len()).checked_sub(rank).map_or(1, |axis| shape[axis]);
    let both = |axis: usize| match (extent(a, axis), extent(b, axis)) {
        (a, b) if a == b || b == 1 => Some(a),
        (1, b) => Some(b),
        _ => None,
    };
    let shape = (0..rank).map(both).collect::<Option<_>>();
    shape.ok_or_else(|| format!("computes with constants of the shapes {a:?} and {b:?}"))
}

fn expanded(constant: &Constant, shape: &[usize]) -> Read<Constant> {
    let own = constant.shape();
    let more = shape.len().checked_sub(own.len()).ok_or("has more axes than it is expanded to")?;
    if own.contains(&0) && !shape.contains(&0) {
        return Err(format!("expands {own:?} to {shape:?}"));
    }
    let source = |place: &[usize]| {
        place[more..].iter().zip(own).map(|(&at, &extent)| if extent == 1 { 0 } else { at }).collect()
    };
    constant.gather(shape, source)
}

fn pair(given: Given<'_>) -> Read<[Constant; 2]> {
    let (a, b) = (first(given)?, input(given, 1)?);
    let shape = broadcast(a.shape(), b.shape())?;
    Ok([expanded(a, &shape)?, expanded(b, &shape)?])
}

fn arithmetic(given: Given<'_>, real: fn(f64, f64) -> f64, whole: fn(Whole, Whole) -> Option<Whole>) -> Read<Constant> {
    let [a, b] = pair(given)?;
    let shape = a.shape().to_vec();
    // Extents that became real numbers are still whole.
    let as_wholes = |constant: &Constant| -> Option<Vec<Whole>> {
        match constant {
            Constant::Whole { elements, .. } => Some(elements.clone()),
            Constant::Real(tensor) => tensor
                .to_f64()
                .into_iter()
                .map(|real| (real == real.trunc()).then_some(Whole::Known(real as i64)))
                .collect(),
        }
    };
    let unknown = |constant: &Constant| constant.wholes().is_ok() && constant.integers().is_err();
    let both_whole = a.wholes().is_ok() && b.wholes().is_ok();
    if both_whole || unknown(&a) || unknown(&b) {
        let (a, b) = as_wholes(&a).zip(as_wholes(&b)).ok_or("computes a fraction of an extent of the input")?;
        let computed = a.into_iter().zip(b).map(|(a, b)| whole(a, b)).collect::<Option<_>>();
        let computed = computed.ok_or("computes what is no whole number, or no multiple of an extent of the input")?;
        return Constant::whole(shape, computed);
    }
    let computed: Vec<f32> = a.reals()?.into_iter().zip(b.reals()?).map(|(a, b)| real(a, b) as f32).collect();
    Constant::real(shape, computed)
}

fn each(constant: &Constant, function: fn(f64) -> f64) -> Read<Constant> {
    match constant {
        // Rounding keeps what is whole.
        Constant::Whole { .. } => Ok(constant.clone()),
        Constant::Real(tensor) => {
            let computed: Vec<f32> = tensor.to_f64().into_iter().map(|number| function(number) as f32).collect();
            Constant::real(tensor.shape().to_vec(), computed)
        }
    }
}

fn negated(constant: &Constant) -> Read<Constant> {
    if constant.wholes().is_err() {
        return each(constant, |number| -number);
    }
    let negated = constant.integers()?.into_iter().map(|number| number.checked_neg().map(Whole::Known));
    let negated = negated.collect::<Option<_>>().ok_or("negates a number beyond 64 bits")?;
    Constant::whole(constant.shape().to_vec(), negated)
}

fn equal(given: Given<'_>) -> Read<Constant> {
    let [a, b] = pair(given)?;
    let same = |(a, b): (&Whole, &Whole)| match (a, b) {
        (Whole::Known(a), Whole::Known(b)) => Some(a == b),
        // Extents are positive.
        (_, Whole::Known(..=0)) | (Whole::Known(..=0), _) => Some(false),
        (a, b) => (a == b).then_some(true),
    };
    let same = a.wholes()?.iter().zip(b.wholes()?).map(same).collect::<Option<Vec<_>>>();
    let same = same.ok_or("compares with an extent of the input")?;
    Constant::whole(a.shape().to_vec(), same.into_iter().map(|same| Whole::Known(same.into())).collect())
}

fn chosen(given: Given<'_>) -> Read<Constant> {
    let (which, a, b) = (first(given)?, input(given, 1)?, input(given, 2)?);
    let shape = broadcast(&broadcast(which.shape(), a.shape())?, b.shape())?;
    let (which, a, b) = (expanded(which, &shape)?.integers()?, expanded(a, &shape)?, expanded(b, &shape)?);
    let (a, b) = (a.wholes()?, b.wholes()?);
    let chosen = which.iter().enumerate().map(|(at, &which)| if which == 0 { b[at] } else { a[at] });
    Constant::whole(shape, chosen.collect())
}

fn cast(node: &Node, constant: &Constant) -> Read<Constant> {
    let shape = constant.shape().to_vec();
    match (node.integer("to", 0)?, constant) {
        (1 | 10 | 11 | 16, Constant::Real(_)) => Ok(constant.clone()),
        (1 | 10 | 11 | 16, Constant::Whole { .. }) => match constant.reals() {
            Ok(reals) => Constant::real(shape, reals.into_iter().map(|real| real as f32).collect::<Vec<_>>()),
            // Extents of the input, which may become whole again.
            Err(_) => Ok(constant.clone()),
        },
        (6 | 7, Constant::Whole { .. }) => Ok(constant.clone()),
        (6 | 7, Constant::Real(tensor)) => {
            let whole = |real: f64| (real.abs() < 9e15).then_some(Whole::Known(real as i64));
            let wholes = tensor.to_f64().into_iter().map(whole).collect::<Option<_>>();
            Constant::whole(shape, wholes.ok_or("makes a whole number of one that is none")?)
        }
        (9, Constant::Whole { .. }) => {
            let flags = constant.integers()?.into_iter().map(|number| Whole::Known((number != 0).into()));
            Constant::whole(shape, flags.collect())
        }
        (other, _) => Err(format!("makes elements of type {other}, which is not read")),
    }
}

fn constant(node: &Node) -> Read<Constant> {
    if let Some(tensor) = node.tensor("value")? {
        return Ok(tensor);
    }
    if let Some(integers) = node.integers("value_ints")? {
        return Ok(Constant::list(integers.iter().copied().map(Whole::Known).collect()));
    }
    if let Some(reals) = node.reals("value_floats")? {
        return Constant::real(vec![reals.len()], reals.to_vec());
    }
    if node.has("value_int") {
        return Constant::whole(vec![], vec![Whole::Known(node.integer("value_int", 0)?)]);
    }
    if node.has("value_float") {
        return Constant::real(vec![], vec![node.real("value_float", 0.0)?]);
    }
    Err("has no tensor and no numbers as its value".into())
}

fn constant_of_shape(node: &Node, shape: &Constant) -> Read<Constant> {
    let shape = extents(&shape.integers()?)?;
    let zero = Constant::real(vec![1], vec![0.0_f32])?;
    let value = node.tensor("value")?.unwrap_or(zero);
    value.select(shape.clone(), vec![0; elements_of(&shape)?])
}

pub(super) fn extents(integers: &[i64]) -> Read<Vec<usize>> {
    let extents = integers.iter().map(|&extent| usize::try_from(extent).ok()).collect::<Option<_>>();
    extents.ok_or_else(|| format!("makes the shape {integers:?}"))
}

fn expand(given: Given<'_>) -> Read<Constant> {
    let target = extents(&integers(given, 1)?)?;
    let shape = broadcast(first(given)?.shape(), &target)?;
    expanded(first(given)?, &shape)
}

/// The length of vectors along axes, by which exporters divide the weights of normalised layers.
fn reduce_l2(node: &Node, given: Given<'_>) -> Read<Constant> {
    let data = first(given)?;
    let (shape, axes) = (data.shape(), attribute_or(node, "axes", given, 1)?.ok_or("has no axes")?);
    let mut reduced = vec![false; shape.len()];
    for axis in axes {
        reduced[axis_of(axis, shape.len())?] = true;
    }
    let kept: Vec<usize> =
        shape.iter().zip(&reduced).map(|(&extent, &reduced)| if reduced { 1 } else { extent }).collect();
    let mut sums = vec![0.0_f64; elements_of(&kept)?];
    for (index, real) in data.reals()?.into_iter().enumerate() {
        // The place in what is kept: reduced axes do not count.
        let (mut rest, mut at, mut stride) = (index, 0, 1);
        for axis in (0..shape.len()).rev() {
            at += if reduced[axis] { 0 } else { rest % shape[axis] * stride };
            stride *= kept[axis];
            rest /= shape[axis];
        }
        sums[at] += real * real;
    }
    let made = Constant::real(kept.clone(), sums.into_iter().map(|sum| sum.sqrt() as f32).collect::<Vec<_>>())?;
    match node.integer("keepdims", 1)? {
        0 => {
            made.reshaped(kept.iter().zip(reduced).filter(|(_, reduced)| !reduced).map(|(&extent, _)| extent).collect())
        }
        _ => Ok(made),
    }
}

fn range_length(given: Given<'_>) -> Read<usize> {
    let [start, limit, step] = range_of(given)?;
    let ahead = if step > 0 { limit.checked_sub(start) } else { start.checked_sub(limit) };
    let ahead = ahead.ok_or("is a range beyond 64 bits")?.max(0).unsigned_abs();
    usize::try_from(ahead.div_ceil(step.unsigned_abs())).map_err(|_| "is a range of too many numbers".into())
}

fn range_of(given: Given<'_>) -> Read<[i64; 3]> {
    let number = |number: usize| match integers(given, number)?[..] {
        [integer] => Ok(integer),
        ref all => Err(format!("has {} numbers as input {number}, expected 1", all.len())),
    };
    match [number(0)?, number(1)?, number(2)?] {
        [_, _, 0] => Err("is a range in steps of 0".into()),
        range => Ok(range),
    }
}

fn range(given: Given<'_>) -> Read<Constant> {
    let ([start, _, step], length) = (range_of(given)?, range_length(given)?);
    Ok(Constant::list((0..length as i64).map(|at| Whole::Known(start.wrapping_add(at.wrapping_mul(step)))).collect()))
}
