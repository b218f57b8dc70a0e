//! Sums and products, of values and with numbers.

use super::constant::{Constant, Read};
use super::maker::{Blob, Item, Maker, told};
use super::node::Node;
use super::pattern::Part;
use crate::graph::by_channel::by_channel;
use crate::op::Convolution;
use crate::tensor::Tensor;
use std::sync::Arc;

/// A number, or one for each channel.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum ByChannel {
    One(f64),
    Each(Vec<f64>),
}

impl ByChannel {
    fn map(&self, function: impl Fn(f64) -> f64) -> Self {
        match self {
            ByChannel::One(number) => ByChannel::One(function(*number)),
            ByChannel::Each(numbers) => ByChannel::Each(numbers.iter().map(|&number| function(number)).collect()),
        }
    }
}

/// The numbers that a constant has for a value: its axes are the last of the value's.
pub(super) fn numbers(maker: &Maker, blob: Blob, constant: &Constant) -> Read<ByChannel> {
    let (channels, rank) = (maker.channels(blob), blob.axes + 2);
    let shape = constant.shape();
    let values = constant.reals()?;
    match values[..] {
        [number] if shape.len() <= rank => return Ok(ByChannel::One(number)),
        [] => return Err("has a constant without elements".into()),
        _ => {}
    }
    let by_channel = |(axis, &extent): (usize, &usize)| extent == if axis == 1 { channels } else { 1 };
    let aligned =
        shape.len() <= rank && [&vec![1; rank - shape.len()], shape].concat().iter().enumerate().all(by_channel);
    match values.first().copied().filter(|&first| values.iter().all(|&value| value == first)) {
        _ if !aligned => {
            let all = vec![1; blob.axes];
            let expected = [&[1, channels], &all[..]].concat();
            Err(format!(
                "has a constant of the shape {shape:?}, expected one number, or one for each channel, {expected:?}"
            ))
        }
        Some(same) => Ok(ByChannel::One(same)),
        None => Ok(ByChannel::Each(values)),
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Operator {
    Add,
    Sub,
    Mul,
    Div,
}

pub(super) fn add(maker: &mut Maker, node: &Node) -> Read<Vec<Item>> {
    binary(maker, node, Operator::Add)
}

pub(super) fn sub(maker: &mut Maker, node: &Node) -> Read<Vec<Item>> {
    binary(maker, node, Operator::Sub)
}

pub(super) fn mul(maker: &mut Maker, node: &Node) -> Read<Vec<Item>> {
    binary(maker, node, Operator::Mul)
}

pub(super) fn div(maker: &mut Maker, node: &Node) -> Read<Vec<Item>> {
    binary(maker, node, Operator::Div)
}

pub(super) fn neg(maker: &mut Maker, node: &Node) -> Read<Vec<Item>> {
    let blob = maker.blob(node, 0)?;
    Ok(maker.affine(blob, -1.0, 0.0)?.into())
}

pub(super) fn sum(maker: &mut Maker, node: &Node) -> Read<Vec<Item>> {
    let mut sum = None;
    for number in 0..node.inputs.len() {
        let item = maker.item(node, number)?.ok_or("has an input that is not given")?;
        sum = Some(match sum {
            None => item,
            Some(sum) => combined(maker, Operator::Add, sum, item)?,
        });
    }
    Ok(sum.into_iter().collect())
}

pub(super) fn pow(maker: &mut Maker, node: &Node) -> Read<Vec<Item>> {
    let exponent = maker.needed(node, 1)?.only_real()?;
    if exponent != 2.0 {
        return Err(format!("has the exponent {exponent}, expected 2"));
    }
    if let Some(Item::Part(part)) = maker.item(node, 0)? {
        spend_for(maker, &part)?;
        return Ok(vec![Item::Part(Arc::new(part.squared()?))]);
    }
    let blob = maker.blob(node, 0)?;
    let value = maker.graph.multiply(blob.value, blob.value).map_err(told)?;
    Ok(Blob { value, ..blob }.into())
}

fn binary(maker: &mut Maker, node: &Node, operator: Operator) -> Read<Vec<Item>> {
    let operand = |maker: &mut Maker, number: usize| {
        maker.item(node, number)?.ok_or_else(|| format!("has {} inputs, expected 2", node.inputs.len()))
    };
    let (a, b) = (operand(maker, 0)?, operand(maker, 1)?);
    Ok(vec![combined(maker, operator, a, b)?])
}

fn combined(maker: &mut Maker, operator: Operator, a: Item, b: Item) -> Read<Item> {
    use Operator::{Add, Div, Mul, Sub};
    match (a, b) {
        (Item::Blob(a), Item::Blob(b)) => of_values(maker, operator, a, b).map(Item::Blob),
        (Item::Blob(x), Item::Constant(constant)) => {
            let (x, numbers) = (widened_to(maker, x, &constant)?, constant);
            let numbers = self::numbers(maker, x, &numbers)?;
            match operator {
                Add => scaled(maker, x, &ByChannel::One(1.0), &numbers),
                Sub => scaled(maker, x, &ByChannel::One(1.0), &numbers.map(|number| -number)),
                Mul => scaled(maker, x, &numbers, &ByChannel::One(0.0)),
                Div => scaled(maker, x, &numbers.map(|number| 1.0 / number), &ByChannel::One(0.0)),
            }
            .map(Item::Blob)
        }
        (Item::Constant(constant), Item::Blob(x)) => match operator {
            Add | Mul => combined(maker, operator, Item::Blob(x), Item::Constant(constant)),
            Sub => {
                let x = widened_to(maker, x, &constant)?;
                let numbers = numbers(maker, x, &constant)?;
                scaled(maker, x, &ByChannel::One(-1.0), &numbers).map(Item::Blob)
            }
            Div => Err("divides by what is computed".into()),
        },
        (Item::Part(part), Item::Constant(constant)) | (Item::Constant(constant), Item::Part(part)) => {
            spend_for(maker, &part)?;
            let numbers = numbers(maker, part.x(), &constant)?;
            let part = match (operator, &numbers) {
                (Add, &ByChannel::One(number)) => part.plus(number),
                (Mul, _) => part.times(&numbers),
                _ => Err(part.alone()),
            };
            part.map(|part| Item::Part(Arc::new(part)))
        }
        (Item::Part(part), Item::Blob(blob)) | (Item::Blob(blob), Item::Part(part)) => {
            spend_for(maker, &part)?;
            match operator {
                Add => part.plus_blob(maker, blob),
                Mul => part.times_blob(maker, blob),
                _ => Err(part.alone()),
            }
            .map(Item::Blob)
        }
        (Item::Part(a), Item::Part(b)) if operator == Mul && a == b => {
            spend_for(maker, &a)?;
            Ok(Item::Part(Arc::new(a.squared()?)))
        }
        (Item::Part(part), Item::Part(_)) => Err(part.alone()),
        (Item::Constant(_), Item::Constant(_)) => Err("adds constants among values".into()),
    }
}

/// Takes what the next part, or the function, needs for its numbers.
fn spend_for(maker: &mut Maker, part: &Part) -> Read<()> {
    if let Part::Sine { alphas, factors, .. } = part {
        maker.spend([alphas.len() + factors.len()], size_of::<f64>())?;
    }
    Ok(())
}

/// Times numbers, and others added.
pub(super) fn scaled(maker: &mut Maker, x: Blob, factors: &ByChannel, offsets: &ByChannel) -> Read<Blob> {
    if let (&ByChannel::One(factor), &ByChannel::One(offset)) = (factors, offsets) {
        return maker.affine(x, factor, offset);
    }
    let channels = maker.channels(x);
    maker.spend([channels, 4], size_of::<f64>())?;
    let each = |numbers: &ByChannel| match numbers {
        ByChannel::One(number) => vec![*number as f32; channels],
        ByChannel::Each(numbers) => numbers.iter().map(|&number| number as f32).collect(),
    };
    let (scales, bias) = (each(factors), each(offsets));
    for number in [&scales, &bias].into_iter().flatten() {
        if !number.is_finite() {
            return Err(format!("computes with {number} in some channel, expected finite numbers"));
        }
    }
    let none = *offsets == ByChannel::One(0.0);
    let bias = if none { None } else { Some(Tensor::f32([channels], bias).map_err(told)?) };
    let value = by_channel(&mut maker.graph, x.value, scales, bias).map_err(told)?;
    if let (ByChannel::Each(factors), true) = (factors, none) {
        maker.multiples.insert(value, (x, factors.clone()));
    }
    Ok(Blob { value, ..x })
}

/// A value of one channel with as many as a constant has numbers for.
fn widened_to(maker: &mut Maker, x: Blob, constant: &Constant) -> Read<Blob> {
    let axis = constant.shape().len().checked_sub(x.axes + 1);
    match axis.map(|axis| constant.shape()[axis]) {
        Some(channels) if channels > 1 && maker.channels(x) == 1 => widened(maker, x, channels),
        _ => Ok(x),
    }
}

/// The only channel so many times.
pub(super) fn widened(maker: &mut Maker, x: Blob, channels: usize) -> Read<Blob> {
    maker.spend([channels, 2], size_of::<f32>())?;
    let rank = maker.graph.rank();
    let op =
        Convolution::builder().in_channels(1).out_channels(channels).kernel(vec![1; rank]).build().map_err(told)?;
    let weight = Tensor::f32(op.weight_shape(), vec![1.0; channels]).map_err(told)?;
    Ok(Blob { value: maker.graph.convolution(x.value, &op, &weight, None).map_err(told)?, ..x })
}

/// A number for each channel, everywhere where another value has elements.
pub(super) fn spread(maker: &mut Maker, x: Blob, like: Blob) -> Read<Blob> {
    let ones = maker.graph.affine(like.value, 0.0, 1.0).map_err(told)?;
    let channels = maker.channels(x);
    let mut ones = Blob { value: ones, ..like };
    if maker.channels(ones) != channels {
        ones.value = maker.graph.channels(ones.value, 0..1).map_err(told)?;
        ones = widened(maker, ones, channels)?;
    }
    Ok(Blob { value: maker.graph.multiply(ones.value, x.value).map_err(told)?, ..ones })
}

fn of_values(maker: &mut Maker, operator: Operator, mut a: Blob, mut b: Blob) -> Read<Blob> {
    if operator == Operator::Mul
        && let Some(function) = maker.function(a, b)?
    {
        return Ok(function);
    }
    if a.axes != b.axes {
        return Err(format!("computes with tensors of {} and {} axes, expected as many", a.axes + 2, b.axes + 2));
    }
    match [maker.channels(a), maker.channels(b)] {
        [1, channels] if channels > 1 => a = widened(maker, a, channels)?,
        [channels, 1] if channels > 1 => b = widened(maker, b, channels)?,
        _ => {}
    }
    let [unit_a, unit_b] = [maker.is_unit(a), maker.is_unit(b)];
    if operator != Operator::Mul && unit_a != unit_b {
        (a, b) = if unit_a { (spread(maker, a, b)?, b) } else { (a, spread(maker, b, a)?) };
    }
    let value = match operator {
        Operator::Add => maker.graph.add(a.value, b.value),
        Operator::Mul => maker.graph.multiply(a.value, b.value),
        Operator::Sub => {
            let negative = maker.affine(b, -1.0, 0.0)?;
            maker.graph.add(a.value, negative.value)
        }
        Operator::Div => return Err("divides by what is computed".into()),
    };
    let expanded = [a, b].iter().all(|blob| blob.expanded || (unit_a && unit_b)) && (a.expanded || b.expanded);
    Ok(Blob { value: value.map_err(told)?, axes: a.axes, unit: unit_a && unit_b, expanded })
}

impl Part {
    /// What the numbers beside it are for.
    fn x(&self) -> Blob {
        match self {
            Part::Softplus(x) | Part::TanhOfSoftplus(x) | Part::OneAndErf(x) => *x,
            Part::Erf { x, .. } | Part::Sine { x, .. } => *x,
        }
    }
}
