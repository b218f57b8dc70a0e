//! Nodes of a file as those of a graph.

use super::{Activation, Kind, NodeKeys, Wrong, sizes, told};
use crate::describe::json::{OneOrMany, Strict, listed, natural};
use crate::error::Result;
use crate::graph::{Graph, Value};
use crate::op::{ConvTranspose, Convolution};
use crate::upscale::network::CHANNELS;
use crate::upscale::network::check::problem;
use crate::upscale::network::safetensors::File;
use crate::upscale::network::turned::Turned;

/// Reads the nodes of a graph; the number of its output.
pub(in crate::upscale::network) fn read(
    file: &mut File<'_>,
    nodes: Vec<Strict<NodeKeys>>,
    output: i64,
) -> Result<Graph> {
    let mut graph = Graph::new(2)?;
    let (mut values, mut turned) = (vec![graph.input(CHANNELS)?], Turned::default());
    for (index, Strict(keys)) in nodes.into_iter().enumerate() {
        let number = index + 1;
        let wrong = |error: String| problem(format!("node {number}: {error}"));
        let value = node(file, &mut graph, (&values, &mut turned), keys);
        values.push(value.map_err(wrong)?);
    }
    let output = at(&values, "output", output).map_err(problem)?;
    graph.output(output)?;
    Ok(graph)
}

/// The value with a number.
fn at(values: &[Value], what: &str, number: i64) -> Wrong<Value> {
    let value = usize::try_from(number).ok().and_then(|number| values.get(number));
    value.copied().ok_or_else(|| format!("{what} is {number}, expected 0 to {}", values.len() - 1))
}

fn node(
    file: &mut File<'_>,
    graph: &mut Graph,
    (values, turned): (&[Value], &mut Turned),
    mut keys: NodeKeys,
) -> Wrong<Value> {
    let of = match &keys.of {
        OneOrMany::One(number) => vec![*number],
        OneOrMany::Many(numbers) => numbers.clone(),
    };
    let of = of.into_iter().map(|number| at(values, "of", number)).collect::<Wrong<Vec<_>>>()?;
    let kind = keys.kind;
    let expected = match kind {
        Kind::Add | Kind::Multiply => 2..=2,
        Kind::Concatenate => 1..=values.len(),
        _ => 1..=1,
    };
    if !expected.contains(&of.len()) {
        return Err(format!("{kind:?} of {} nodes, expected {} to {}", of.len(), expected.start(), expected.end()));
    }
    let x = of[0];
    let pairs = |borders: Vec<[i64; 2]>| -> Wrong<Vec<[usize; 2]>> {
        let pair = |[a, b]: [i64; 2]| Ok([natural("borders", a, 0)?, natural("borders", b, 0)?]);
        borders.into_iter().map(pair).collect()
    };
    let made = match kind {
        Kind::Conv | Kind::Deconv => layer(file, graph, (x, turned), &mut keys)?,
        Kind::Activation => {
            let given = needed("activation", keys.activation.take())?;
            let activation = activation(file, given, graph.node(x).channels())?;
            graph.activation(x, activation).map_err(told)?
        }
        Kind::Add => graph.add(x, of[1]).map_err(told)?,
        Kind::Multiply => graph.multiply(x, of[1]).map_err(told)?,
        Kind::Concatenate => graph.concatenate(&of).map_err(told)?,
        Kind::Affine => {
            let (scale, offset) = (needed("scale", keys.scale.take())?, needed("offset", keys.offset.take())?);
            graph.affine(x, scale, offset).map_err(told)?
        }
        Kind::Channels => {
            let first = natural("first", needed("first", keys.first.take())?, 0)?;
            let count = natural("count", needed("count", keys.count.take())?, 1)?;
            graph.channels(x, first..first.saturating_add(count)).map_err(told)?
        }
        Kind::Crop => {
            let borders = pairs(needed("borders", keys.borders.take())?)?;
            graph.crop(x, &borders).map_err(told)?
        }
        Kind::Pad => {
            let borders = pairs(needed("borders", keys.borders.take())?)?;
            graph.pad(x, &borders, needed("beyond", keys.beyond.take())?.into()).map_err(told)?
        }
        Kind::Nearest => {
            let factors = needed("factors", keys.factors.take())?;
            let factors = factors.into_iter().map(|factor| natural("factors", factor, 1)).collect::<Wrong<Vec<_>>>()?;
            graph.nearest(x, &factors).map_err(told)?
        }
        Kind::PixelShuffle => {
            let factor = natural("factor", needed("factor", keys.factor.take())?, 1)?;
            graph.pixel_shuffle(x, factor).map_err(told)?
        }
        Kind::Mean => graph.mean(x).map_err(told)?,
    };
    match keys.there()[..] {
        [] => Ok(made),
        ref more => Err(format!("{kind:?} has no {}", listed(more.iter()))),
    }
}

fn needed<T>(key: &str, given: Option<T>) -> Wrong<T> {
    given.ok_or_else(|| format!("missing field `{key}`"))
}

/// Slopes are copied: there must be as many as channels.
fn activation(file: &mut File<'_>, given: Activation, channels: usize) -> Wrong<crate::Activation> {
    given.resolve(|name: String| match file.elements(&name) {
        Some(given) if given != channels => {
            Err(format!("{name:?} has {given} parameters of the activation, expected {channels}, one for each channel"))
        }
        _ => Ok(file.tensor(&name).map_err(told)?.to_f32()),
    })
}

fn layer(
    file: &mut File<'_>,
    graph: &mut Graph,
    (x, turned): (Value, &mut Turned),
    keys: &mut NodeKeys,
) -> Wrong<Value> {
    let weight = file.tensor(&needed("weight", keys.weight.take())?).map_err(told)?;
    let bias = keys.bias.take().map(|name| file.tensor(&name)).transpose().map_err(told)?;
    let Ok([first, second, height, width]) = <[usize; 4]>::try_from(weight.shape()) else {
        return Err(format!("weight has shape {:?}, expected four axes", weight.shape()));
    };
    let kernel = [height, width];
    let groups = natural("groups", keys.groups.take().unwrap_or(1), 1)?;
    let stride = sizes("stride", keys.stride.take(), 1)?;
    let dilation = sizes("dilation", keys.dilation.take(), 1)?;
    let padding = pads(keys.padding.take())?;
    let times =
        |count: usize| count.checked_mul(groups).ok_or_else(|| format!("{count} channels in each of {groups} groups"));
    let (pre, post) = (keys.pre_activation.take(), keys.activation.take());
    let inputs = graph.node(x).channels();
    let mut found = |given: Option<Activation>, channels: usize| match given {
        Some(given) => activation(file, given, channels),
        None => Ok(crate::Activation::None),
    };
    if keys.kind == Kind::Conv {
        let op = Convolution::builder().in_channels(times(second)?).out_channels(first).groups(groups).kernel(kernel);
        let op = op.stride(stride).dilation(dilation).padding(padding);
        let op = op.activation(found(post, first)?).pre_activation(found(pre, inputs)?).build().map_err(told)?;
        let weight = turned.of(&op, &weight).map_err(told)?;
        return graph.turned_convolution(x, &op, weight, bias).map_err(told);
    }
    let outputs = times(second)?;
    let op = ConvTranspose::builder().in_channels(first).out_channels(outputs).groups(groups).kernel(kernel);
    let op = op.stride(stride).dilation(dilation).padding(padding);
    let op = op.output_padding(sizes("output_padding", keys.output_padding.take(), 0)?);
    let op = op.activation(found(post, outputs)?).pre_activation(found(pre, inputs)?).build().map_err(told)?;
    graph.layer(x, &op, weight, bias).map_err(told)
}

/// One number for all four ends, one for each axis, or two for each.
fn pads(given: Option<OneOrMany<OneOrMany<i64>>>) -> Wrong<[(i64, i64); 2]> {
    let ends = |given: &OneOrMany<i64>| match given {
        OneOrMany::One(both) => Ok((*both, *both)),
        OneOrMany::Many(list) => match list[..] {
            [begin, end] => Ok((begin, end)),
            _ => Err(format!("padding has {} values for an axis, expected one or two", list.len())),
        },
    };
    match given {
        None => Ok([(0, 0); 2]),
        Some(OneOrMany::One(all)) => Ok([(all, all); 2]),
        Some(OneOrMany::Many(list)) => match &list[..] {
            [y, x] => Ok([ends(y)?, ends(x)?]),
            _ => Err(format!("padding has {} values, expected one, or two for (h, w)", list.len())),
        },
    }
}
