//! Enlargements.

use super::constant::{Constant, Read, axis_of};
use super::maker::{Blob, Item, Maker, told};
use super::node::Node;
use super::whole::Whole;
use crate::graph::resample::{Filter, resample, weights};
use std::sync::Arc;

/// The attributes of `Resize`.
pub(super) const RESIZE: [&str; 9] = [
    "antialias",
    "axes",
    "coordinate_transformation_mode",
    "cubic_coeff_a",
    "exclude_outside",
    "extrapolation_value",
    "keep_aspect_ratio_policy",
    "mode",
    "nearest_mode",
];

/// The largest factor of linear and cubic resampling, and of nearest.
const MOST: usize = 16;
const MOST_NEAREST: usize = 64;

pub(super) fn upsample(maker: &mut Maker, node: &Node) -> Read<Vec<Item>> {
    let blob = maker.full(node, 0)?;
    let scales = match node.reals("scales")? {
        Some(scales) => scales.iter().map(|&scale| scale.into()).collect(),
        None => maker.needed(node, 1)?.reals()?,
    };
    enlarged(maker, node, blob, &scales, ("asymmetric", "floor"))
}

pub(super) fn resize(maker: &mut Maker, node: &Node) -> Read<Vec<Item>> {
    let blob = maker.full(node, 0)?;
    // Opset 10 has the scales as the second input, and one rule.
    if maker.opset == 10 {
        let scales = maker.needed(node, 1)?.reals()?;
        return enlarged(maker, node, blob, &scales, ("asymmetric", "floor"));
    }
    let axes = match node.integers("axes")? {
        Some(axes) => axes.iter().map(|&axis| axis_of(axis, blob.axes + 2)).collect::<Read<Vec<_>>>()?,
        None => (0..blob.axes + 2).collect(),
    };
    let given = |constant: Option<Arc<Constant>>| constant.filter(|constant| constant.len() > 0);
    let some = match (given(maker.constant(node, 2)?), given(maker.constant(node, 3)?)) {
        (Some(scales), None) => scales.reals()?,
        (None, Some(sizes)) => {
            let policy = node.text("keep_aspect_ratio_policy", "stretch")?;
            if policy != "stretch" {
                return Err(format!("has the policy {policy:?}, expected \"stretch\""));
            }
            scales_of(maker, blob, sizes.wholes()?, &axes)?
        }
        _ => return Err("has scales and sizes, or none of both".into()),
    };
    if some.len() != axes.len() {
        return Err(format!("has {} scales for {} axes", some.len(), axes.len()));
    }
    let mut scales = vec![1.0; blob.axes + 2];
    axes.into_iter().zip(some).for_each(|(axis, scale)| scales[axis] = scale);
    enlarged(maker, node, blob, &scales, ("half_pixel", "round_prefer_floor"))
}

/// Sizes over the value's own.
fn scales_of(maker: &mut Maker, blob: Blob, sizes: &[Whole], axes: &[usize]) -> Read<Vec<f64>> {
    let own = maker.shape(blob);
    let scale = |(size, &axis): (&Whole, &usize)| match (*size, own[axis]) {
        // A file made for a batch of one is read for any.
        (Whole::Known(1), Whole::Batch) if axis == 0 => Ok(1.0),
        (size, own) if size == own => Ok(1.0),
        (Whole::Known(size), Whole::Known(own)) if own > 0 => Ok(size as f64 / own as f64),
        (Whole::Extent { of, axis, times }, Whole::Extent { of: own, axis: own_axis, times: 1 })
            if (of, axis) == (own, own_axis) =>
        {
            Ok(times as f64)
        }
        _ => Err(format!("has a size on axis {axis} that is no fixed multiple of its input's")),
    };
    sizes.iter().zip(axes).map(scale).collect()
}

fn enlarged(
    maker: &mut Maker,
    node: &Node,
    blob: Blob,
    scales: &[f64],
    (coordinates, rounding): (&str, &str),
) -> Read<Vec<Item>> {
    if scales.len() != blob.axes + 2 || scales[..2] != [1.0, 1.0] {
        return Err(format!("enlarges {scales:?} times, expected {} numbers of which two are 1", blob.axes + 2));
    }
    let scales = &scales[2..];
    if scales.iter().all(|&scale| scale == 1.0) {
        return Ok(blob.into());
    }
    let whole = |most: usize| {
        let factor = |&scale: &f64| (1..=most).find(|&factor| factor as f64 == scale);
        let factors = scales.iter().map(factor).collect::<Option<Vec<_>>>();
        factors.ok_or_else(|| format!("enlarges {scales:?} times, expected whole factors of 1 to {most}"))
    };
    let coordinates = node.text("coordinate_transformation_mode", coordinates)?;
    let mode = node.text("mode", "nearest")?;
    let value = match mode.as_str() {
        "nearest" => {
            let (factors, rounding) = (whole(MOST_NEAREST)?, node.text("nearest_mode", rounding)?);
            if let Some(factor) = factors.iter().find(|&&factor| !repeats(&coordinates, &rounding, factor)) {
                return Err(format!(
                    "enlarges {factor} times with the coordinates {coordinates:?} and {rounding:?}, which does not repeat \
                     each element as often"
                ));
            }
            maker.graph.nearest(blob.value, &factors)
        }
        "linear" | "cubic" => {
            let filter = if mode == "linear" { Filter::Linear } else { Filter::Cubic };
            let (a, outside) = (node.real("cubic_coeff_a", -0.75)?, node.integer("exclude_outside", 0)?);
            if mode == "cubic" && (a, outside) != (-0.75, 0) {
                return Err(format!("has cubic_coeff_a {a} and exclude_outside {outside}, expected -0.75 and 0"));
            }
            // Where one element is left, "pytorch_half_pixel" is the first of its inputs; PyTorch computes no such exception.
            if !["half_pixel", "pytorch_half_pixel", "half_pixel_symmetric"].contains(&&*coordinates) {
                return Err(format!("is {mode} with the coordinates {coordinates:?}, expected \"half_pixel\""));
            }
            // Where it is smaller, the symmetric coordinates depend on the extents.
            let larger = node.integer("antialias", 0)? != 0 || coordinates == "half_pixel_symmetric";
            let scale = fraction(scales, larger)?;
            let channels = maker.channels(blob);
            let count = weights(filter, scale, channels, maker.graph.rank());
            maker.spend([count.unwrap_or(usize::MAX), 3], size_of::<f32>())?;
            resample(&mut maker.graph, blob.value, filter, scale)
        }
        other => return Err(format!("has mode {other:?}, expected \"nearest\", \"linear\" or \"cubic\"")),
    };
    Ok(Blob { value: value.map_err(told)?, unit: false, ..blob }.into())
}

/// A scale that is the same on all axes as a fraction p/q, of which q is 1, or p where it need not be larger.
fn fraction(scales: &[f64], larger: bool) -> Read<[usize; 2]> {
    let fraction = (1..=MOST).find_map(|number| match scales[0] {
        scale if scale as f32 == number as f32 => Some([number, 1]),
        scale if scale as f32 == 1.0 / number as f32 && !larger => Some([1, number]),
        _ => None,
    });
    let alike = scales.iter().all(|scale| *scale == scales[0]);
    fraction.filter(|_| alike).ok_or_else(|| {
        let or_less = if larger { "" } else { ", or 1 over it," };
        format!("enlarges {scales:?} times, expected a whole factor of 1 to {MOST}{or_less} on all axes")
    })
}

/// Whether the nearest element is that of the block in which a place lies.
fn repeats(coordinates: &str, rounding: &str, factor: usize) -> bool {
    let scale = factor as f64;
    let position = |at: f64| match coordinates {
        "asymmetric" => Some(at / scale),
        "half_pixel" | "pytorch_half_pixel" | "half_pixel_symmetric" => Some((at + 0.5) / scale - 0.5),
        "tf_half_pixel_for_nn" => Some((at + 0.5) / scale),
        _ => None,
    };
    let rounded = |position: f64| match rounding {
        "floor" => Some(position.floor()),
        "ceil" => Some(position.ceil()),
        "round_prefer_floor" => Some((position - 0.5).ceil()),
        "round_prefer_ceil" => Some((position + 0.5).floor()),
        _ => None,
    };
    // The second block, which no border reaches.
    (factor..2 * factor).all(|at| position(at as f64).and_then(rounded) == Some(1.0))
}
