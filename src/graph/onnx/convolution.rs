//! Layers with weights.

use super::arithmetic::{ByChannel, scaled};
use super::constant::{Constant, Read};
use super::maker::{Blob, Item, Maker, told};
use super::node::Node;
use crate::convention::{AutoPad, Convention};
use crate::graph::by_channel::normalised;
use crate::op::{ConvTranspose, Convolution};
use crate::tensor::Tensor;
use std::sync::Arc;

pub(super) const CONV: [&str; 6] = ["auto_pad", "dilations", "group", "kernel_shape", "pads", "strides"];
pub(super) const CONV_TRANSPOSE: [&str; 8] =
    ["auto_pad", "dilations", "group", "kernel_shape", "output_padding", "output_shape", "pads", "strides"];
pub(super) const POOL: [&str; 7] =
    ["auto_pad", "ceil_mode", "count_include_pad", "dilations", "kernel_shape", "pads", "strides"];

/// What a node says of its axes.
struct Axes {
    kernel: Vec<usize>,
    strides: Vec<usize>,
    dilations: Vec<usize>,
    pads: Vec<(i64, i64)>,
    auto_pad: AutoPad,
}

fn sizes(node: &Node, name: &str, missing: usize, rank: usize) -> Read<Vec<usize>> {
    let Some(given) = node.integers(name)? else { return Ok(vec![missing; rank]) };
    let sizes = given.iter().map(|&size| usize::try_from(size).ok()).collect::<Option<Vec<_>>>();
    let sizes = sizes.filter(|sizes| sizes.len() == rank);
    sizes.ok_or_else(|| format!("has {name} {given:?}, expected {rank} whole numbers from 0 on"))
}

impl Axes {
    fn of(node: &Node, rank: usize, kernel: &[usize]) -> Read<Self> {
        let (strides, dilations) = (sizes(node, "strides", 1, rank)?, sizes(node, "dilations", 1, rank)?);
        let auto_pad = match node.text("auto_pad", "NOTSET")?.as_str() {
            "" | "NOTSET" => AutoPad::NotSet,
            "VALID" => AutoPad::Valid,
            "SAME_UPPER" => AutoPad::SameUpper,
            "SAME_LOWER" => AutoPad::SameLower,
            other => return Err(format!("has auto_pad {other:?}")),
        };
        let pads = match node.integers("pads")? {
            None => vec![(0, 0); rank],
            Some(pads) if pads.len() == 2 * rank => {
                pads[..rank].iter().copied().zip(pads[rank..].iter().copied()).collect()
            }
            Some(pads) => return Err(format!("has pads {pads:?}, expected {}", 2 * rank)),
        };
        let said = sizes(node, "kernel_shape", 0, rank)?;
        if kernel.len() != rank || (node.has("kernel_shape") && said != kernel) {
            return Err(format!("has a kernel of {kernel:?}, but says {said:?} on {rank} axes"));
        }
        Ok(Self { kernel: kernel.to_vec(), strides, dilations, pads, auto_pad })
    }
}

/// The shape of inputs for padding that depends on it: as it is fixed, or any where it does not matter.
fn example(maker: &mut Maker, blob: Blob, matters: bool) -> Read<Vec<usize>> {
    let (channels, rank) = (maker.channels(blob), maker.graph.rank());
    let any = vec![1 << 20; rank];
    let extents = match maker.extents(blob.value) {
        Some(extents) => extents,
        None if matters => {
            return Err("pads so much as depends on the extents of the input, which are not fixed".into());
        }
        None => &any,
    };
    Ok([&[1, channels], extents].concat())
}

fn groups(node: &Node) -> Read<usize> {
    let groups = node.integer("group", 1)?;
    usize::try_from(groups).ok().filter(|&groups| groups > 0).ok_or_else(|| format!("has {groups} groups"))
}

/// The weight and the bias of a layer.
fn weights(maker: &mut Maker, node: &Node) -> Read<(Arc<Tensor>, Option<Arc<Tensor>>)> {
    let weight = maker.needed(node, 1)?;
    let weight = weight.weights()?.clone();
    maker.spend([weight.data().len(), 2], weight.dtype().size())?;
    let bias = match maker.constant(node, 2)? {
        Some(bias) => Some(Arc::new(bias.weights()?.clone())),
        None => None,
    };
    maker.spend([bias.as_ref().map_or(0, |bias| bias.data().len())], size_of::<f32>())?;
    Ok((Arc::new(weight), bias))
}

pub(super) fn conv(maker: &mut Maker, node: &Node) -> Read<Vec<Item>> {
    let (blob, rank) = (maker.full(node, 0)?, maker.graph.rank());
    let (weight, bias) = weights(maker, node)?;
    let &[out_channels, in_group, ref kernel @ ..] = weight.shape() else {
        return Err(format!("has a weight of {:?}", weight.shape()));
    };
    let (axes, groups) = (Axes::of(node, rank, kernel)?, groups(node)?);
    let in_channels = in_group.checked_mul(groups).ok_or("has too many channels")?;
    let given = maker.channels(blob);
    if in_channels != given {
        return Err(format!("takes {in_channels} channels, but {given} are given"));
    }
    let op = Convolution::builder().in_channels(in_channels).out_channels(out_channels).groups(groups);
    let op = op.kernel(axes.kernel).stride(axes.strides.iter().copied()).dilation(axes.dilations).padding(axes.pads);
    let op = op.build().map_err(told)?;
    let same = matches!(axes.auto_pad, AutoPad::SameUpper | AutoPad::SameLower);
    let matters = same && axes.strides.iter().any(|&stride| stride > 1);
    let op = op.auto_padded(axes.auto_pad, &example(maker, blob, matters)?).map_err(told)?;
    let value = maker.graph.convolution(blob.value, &op, &weight, bias).map_err(told)?;
    Ok(Blob { value, unit: false, ..blob }.into())
}

pub(super) fn conv_transpose(maker: &mut Maker, node: &Node) -> Read<Vec<Item>> {
    let (blob, rank) = (maker.full(node, 0)?, maker.graph.rank());
    if node.integers("output_shape")?.is_some_and(|shape| !shape.is_empty()) {
        return Err("has an output_shape, which is not read".into());
    }
    let (weight, bias) = weights(maker, node)?;
    let &[in_channels, out_group, ref kernel @ ..] = weight.shape() else {
        return Err(format!("has a weight of {:?}", weight.shape()));
    };
    let (axes, groups) = (Axes::of(node, rank, kernel)?, groups(node)?);
    let given = maker.channels(blob);
    if in_channels != given {
        return Err(format!("takes {in_channels} channels, but {given} are given"));
    }
    let out_channels = out_group.checked_mul(groups).ok_or("has too many channels")?;
    let op = ConvTranspose::builder().in_channels(in_channels).out_channels(out_channels).groups(groups);
    let op = op.kernel(axes.kernel).stride(axes.strides).dilation(axes.dilations).padding(axes.pads);
    let op = op.output_padding(sizes(node, "output_padding", 0, rank)?).build().map_err(told)?;
    let convention = Convention::Onnx { auto_pad: axes.auto_pad, output_shape: None };
    let example = example(maker, blob, false)?;
    let op = if axes.auto_pad == AutoPad::NotSet { op } else { convention.resolve(&op, &example).map_err(told)? };
    let value = maker.graph.layer(blob.value, &op, weight, bias).map_err(told)?;
    Ok(Blob { value, unit: false, ..blob }.into())
}

pub(super) fn batch_normalization(maker: &mut Maker, node: &Node) -> Read<Vec<Item>> {
    let blob = maker.blob(node, 0)?;
    if node.integer("training_mode", 0)? != 0 {
        return Err("is for training".into());
    }
    let (channels, epsilon) = (maker.channels(blob), node.real("epsilon", 1e-5)?);
    let mut read = |number: usize| {
        let constant = maker.needed(node, number)?;
        let numbers = constant.weights()?.to_f64();
        if numbers.len() != channels {
            return Err(format!("has {} numbers as input {number}, expected {channels}", numbers.len()));
        }
        Ok(numbers)
    };
    let normalised = normalised([read(1)?, read(2)?, read(3)?, read(4)?], epsilon);
    let (factors, offsets) = normalised.ok_or("divides by a variance that is not above 0")?;
    let each = |numbers: Vec<f32>| ByChannel::Each(numbers.into_iter().map(f64::from).collect());
    Ok(scaled(maker, blob, &each(factors), &each(offsets))?.into())
}

/// A convolution whose taps are all the same.
pub(super) fn average_pool(maker: &mut Maker, node: &Node) -> Read<Vec<Item>> {
    let (blob, rank) = (maker.full(node, 0)?, maker.graph.rank());
    let kernel = sizes(node, "kernel_shape", 0, rank)?;
    let axes = Axes::of(node, rank, &kernel)?;
    let counts = node.integer("count_include_pad", 0)? != 0 || axes.pads.iter().all(|pads| *pads == (0, 0));
    let padded = !matches!(axes.auto_pad, AutoPad::NotSet | AutoPad::Valid);
    if !counts || padded || node.integer("ceil_mode", 0)? != 0 {
        return Err(
            "leaves the border out of its means, expected no padding, or count_include_pad 1, and ceil_mode 0".into()
        );
    }
    let pads = if axes.auto_pad == AutoPad::Valid { vec![(0, 0); rank] } else { axes.pads };
    let (channels, taps) = (maker.channels(blob), maker.spend(kernel.iter().copied(), 0)?);
    let count = maker.spend([channels, taps, 2], size_of::<f32>())? / 2;
    let op = Convolution::builder().in_channels(channels).out_channels(channels).groups(channels).kernel(kernel);
    let op = op.stride(axes.strides).dilation(axes.dilations).padding(pads).build().map_err(told)?;
    let weight = Tensor::f32(op.weight_shape(), vec![1.0 / taps as f32; count]).map_err(told)?;
    let value = maker.graph.convolution(blob.value, &op, &weight, None).map_err(told)?;
    Ok(Blob { value, unit: false, ..blob }.into())
}

/// A matrix times a number for each channel: a convolution of one tap. `weight` is `[out, in]`.
fn inner_product(maker: &mut Maker, blob: Blob, weight: &Tensor, bias: Option<Vec<f32>>) -> Read<Vec<Item>> {
    let (rank, channels) = (maker.graph.rank(), maker.channels(blob));
    let &[out_channels, in_channels] = weight.shape() else {
        return Err(format!("has a weight of {:?}, expected a matrix", weight.shape()));
    };
    if blob.axes != 0 {
        return Err("reads more than a number for each channel".into());
    }
    if in_channels != channels {
        return Err(format!("takes {in_channels} channels, but {channels} are given"));
    }
    let op = Convolution::builder().in_channels(in_channels).out_channels(out_channels).kernel(vec![1; rank]);
    let op = op.build().map_err(told)?;
    let weight = weight.clone().reshape(op.weight_shape()).map_err(told)?;
    let bias = bias.map(|bias| Tensor::f32([bias.len()], bias)).transpose().map_err(told)?;
    let value = maker.graph.convolution(blob.value, &op, &weight, bias.map(Arc::new)).map_err(told)?;
    Ok(Blob { value, ..blob }.into())
}

/// A matrix, its axes exchanged.
fn exchanged(constant: &Constant) -> Read<Constant> {
    match *constant.shape() {
        [rows, columns] => constant.gather(&[columns, rows], |place| vec![place[1], place[0]]),
        ref shape => Err(format!("has a weight of {shape:?}, expected a matrix")),
    }
}

fn matrix(maker: &mut Maker, node: &Node, transposed: bool) -> Read<Tensor> {
    let constant = maker.needed(node, 1)?;
    constant.weights()?;
    maker.spend([constant.len(), 3], constant.size())?;
    let turned = if transposed { Constant::clone(&constant) } else { exchanged(&constant)? };
    turned.weights().cloned()
}

pub(super) fn mat_mul(maker: &mut Maker, node: &Node) -> Read<Vec<Item>> {
    let (blob, weight) = (maker.blob(node, 0)?, matrix(maker, node, false)?);
    inner_product(maker, blob, &weight, None)
}

pub(super) fn gemm(maker: &mut Maker, node: &Node) -> Read<Vec<Item>> {
    if node.integer("transA", 0)? != 0 {
        return Err("has transA 1, expected 0".into());
    }
    let (alpha, beta) = (node.real("alpha", 1.0)?, node.real("beta", 1.0)?);
    let (blob, mut weight) = (maker.blob(node, 0)?, matrix(maker, node, node.integer("transB", 0)? != 0)?);
    if alpha != 1.0 {
        let scaled: Vec<f32> = weight.to_f32().iter().map(|weight| weight * alpha).collect();
        weight = Tensor::f32(weight.shape(), scaled).map_err(told)?;
    }
    let out_channels = weight.shape().first().copied().unwrap_or(0);
    let bias = maker.constant(node, 2)?.map(|bias| {
        let numbers = bias.weights()?.to_f32();
        let shape = bias.shape();
        let last = shape.last().copied().unwrap_or(1);
        if numbers.len() != last || (last != 1 && last != out_channels) {
            return Err(format!("adds {shape:?}, expected one number, or one for each of {out_channels} channels"));
        }
        Ok(numbers.iter().map(|number| number * beta).cycle().take(out_channels).collect::<Vec<_>>())
    });
    inner_product(maker, blob, &weight, bias.transpose()?)
}
