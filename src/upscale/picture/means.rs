//! The means over a picture in tiles: the sums of their blocks, tile by tile, and of what was computed on the way as much as
//! the memory holds, so that the passes that follow begin there.

use super::known::Known;
use super::pass::{Colours, Pass};
use super::source::Source;
use crate::error::{Error, Result};
use crate::graph::{Graph, Operation, Region, Value};
use crate::tensor::{Tensor, element_count, filled};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

impl Pass<'_> {
    /// What all tiles need to know of the picture: nothing where there is one tile, or no mean.
    pub(super) async fn known<S: Source, E: From<Error>>(
        &self,
        picture: &Colours<'_, S>,
        advance: &mut impl AsyncFnMut(u64) -> Result<(), E>,
    ) -> Result<Known, E> {
        let (graph, tiles, mut known) = (self.network.graph(), self.tiles, Known::default());
        if !tiles.whole_means() {
            return Ok(known);
        }
        let shapes = graph.shapes(&[self.network.input_shape([tiles.height, tiles.width])])?;
        let bytes = |value: &Value| 4 * shapes[value.index()].iter().product::<usize>() as u64;
        let steps: BTreeSet<Value> = self.on_device.steps().into_iter().collect();
        let mut left = self.kept_bytes;
        for sums in graph.means() {
            // The last ones first: most was done for them.
            let kept = frontier(graph, &steps, &known.0, &sums).into_iter().rev().filter(|value| {
                let fits = bytes(value) <= left;
                left -= if fits { bytes(value) } else { 0 };
                fits
            });
            let wanted: Vec<Value> = sums.iter().copied().chain(kept).collect();
            let made = self.whole(&wanted, &shapes, picture, &known, advance).await?;
            known.0.extend(made);
            // What only led to what is known now goes.
            let needed = needed(graph, &known.0);
            known.0.retain(|value, _| needed.contains(value));
            let held: u64 = known.0.keys().filter(|value| !is_sums(graph, **value)).map(bytes).sum();
            left = self.kept_bytes.saturating_sub(held);
        }
        Ok(known)
    }

    /// Values over the whole picture, tile by tile.
    async fn whole<S: Source, E: From<Error>>(
        &self,
        values: &[Value],
        shapes: &[Vec<usize>],
        picture: &Colours<'_, S>,
        known: &Known,
        advance: &mut impl AsyncFnMut(u64) -> Result<(), E>,
    ) -> Result<Vec<(Value, Tensor)>, E> {
        let tiles = self.tiles;
        let mut whole: BTreeMap<Value, Vec<f32>> = BTreeMap::new();
        for value in values {
            whole.insert(*value, filled("values of the picture", 0.0, element_count(&shapes[value.index()])?)?);
        }
        let mut accept = |made: Vec<(Region, Tensor)>| {
            for (region, tensor) in made {
                if let Some(whole) = whole.get_mut(&region.value) {
                    paste(whole, &shapes[region.value.index()], &region, &tensor);
                }
            }
        };
        let (mut queue, given) = (self.on_device.queue(self.half), known.values());
        for tile in tiles.iter() {
            // A value is cut as the picture is.
            let share = |pixels: &Range<usize>, of: usize, extent: usize| {
                (pixels.start * extent).div_ceil(of)..(pixels.end * extent).div_ceil(of)
            };
            let wanted = values.iter().map(|&value| {
                let [.., rows, columns] = shapes[value.index()][..] else { return (value, Vec::new()) };
                (value, vec![share(&tile.rows, tiles.height, rows), share(&tile.columns, tiles.width, columns)])
            });
            let wanted: Vec<_> = wanted.filter(|(_, ranges)| !ranges.iter().any(Range::is_empty)).collect();
            if !wanted.is_empty()
                && let Some(made) = self.push(&mut queue, &tile, (&given, wanted), picture, known).await?
            {
                accept(made);
            }
            advance(tile.pixels()).await?;
        }
        while let Some(made) = queue.pop().await? {
            accept(made);
        }
        let tensor =
            |(value, elements): (Value, Vec<f32>)| Ok((value, Tensor::f32(&shapes[value.index()][..], elements)?));
        whole.into_iter().map(tensor).collect()
    }
}

fn is_sums(graph: &Graph, value: Value) -> bool {
    *graph.node(value).operation() == Operation::BlockSums
}

/// The nodes that some values are computed from, themselves included, back to what is known.
fn behind(graph: &Graph, known: &BTreeMap<Value, Tensor>, values: &[Value]) -> BTreeSet<Value> {
    let (mut behind, mut open) = (BTreeSet::new(), values.to_vec());
    while let Some(value) = open.pop() {
        if !known.contains_key(&value) && behind.insert(value) {
            open.extend(graph.node(value).inputs());
        }
    }
    behind
}

/// The known values that the outputs are computed from.
fn needed(graph: &Graph, known: &BTreeMap<Value, Tensor>) -> BTreeSet<Value> {
    let behind = behind(graph, known, graph.outputs());
    behind
        .iter()
        .flat_map(|value| graph.node(*value).inputs())
        .filter(|value| known.contains_key(value))
        .copied()
        .collect()
}

/// What is computed on the way to some values and read by something else later, in the order of computing: those that are
/// computed by themselves.
fn frontier(graph: &Graph, steps: &BTreeSet<Value>, known: &BTreeMap<Value, Tensor>, values: &[Value]) -> Vec<Value> {
    let now = behind(graph, known, values);
    let later = behind(graph, known, graph.outputs());
    let mut found = BTreeSet::new();
    let mut open: Vec<Value> = later
        .iter()
        .filter(|value| !now.contains(value))
        .flat_map(|value| graph.node(*value).inputs())
        .filter(|value| now.contains(value))
        .copied()
        .collect();
    while let Some(value) = open.pop() {
        // Of what is a part of what reads it, its own inputs are read.
        match steps.contains(&value) || graph.node(value).inputs().is_empty() {
            true => drop(found.insert(value)),
            false => open.extend(graph.node(value).inputs().iter().filter(|value| now.contains(value))),
        }
    }
    let computed = |value: &Value| !graph.node(*value).inputs().is_empty() && !values.contains(value);
    found.into_iter().filter(computed).collect()
}

/// Puts a region of a value into the whole, which has this shape.
fn paste(whole: &mut [f32], shape: &[usize], region: &Region, tensor: &Tensor) {
    let (&[_, _, h, w], &[_, _, rows, columns]) = (shape, &region.shape[..]) else { return };
    for (line, values) in tensor.to_f32().chunks_exact(columns).enumerate() {
        let first = (line / rows * h + region.begin[0] + line % rows) * w + region.begin[1];
        whole[first..first + columns].copy_from_slice(values);
    }
}
