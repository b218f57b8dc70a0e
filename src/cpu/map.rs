//! What a graph computes element by element, row by row.
//!
//! A place is (channel, z, y, x). Views lead each of z, y and x to a coordinate of its own, and the channel to a sum of what
//! each contributes; so one table for x, and one look at the others for each row, are all that is needed to read a row.

use super::element::Element;
use super::memory::{Result, collect, grow};
use crate::activation::Activation;
use crate::graph::program::{Map, Operand, Term, View};
use rayon::prelude::*;
use std::cell::RefCell;

/// A map with the elements it reads.
pub(super) struct Rows<'a> {
    first: Source<'a>,
    terms: Vec<Action<'a>>,
    /// `[channels, d, h, w]` of what it writes.
    extents: [usize; 4],
}

enum Action<'a> {
    Add(Source<'a>),
    Multiply(Source<'a>),
    Affine(f32, f32),
    Activation(&'a Activation),
}

/// The elements of one item of a value.
#[derive(Clone, Copy)]
pub(super) struct Elements<'a> {
    pub(super) values: &'a [f32],
    /// `[channels, d, h, w]`
    pub(super) extents: [usize; 4],
}

/// An operand of a map for one item.
struct Source<'a> {
    elements: Elements<'a>,
    views: &'a [View],
    /// The extents of what a view pads, for each of the views.
    padded: Vec<[usize; 3]>,
    /// Whether all places lead to the only one of a channel.
    single: bool,
    /// Where each x leads, from the first element of a row on; [`NOWHERE`] for a zero.
    columns: Vec<usize>,
    /// Whether these are neighbours.
    straight: bool,
}

const NOWHERE: usize = usize::MAX;

/// A place on its way through views.
#[derive(Clone, Copy, Default)]
struct Place {
    channel: usize,
    at: [usize; 3],
}

impl<'a> Source<'a> {
    /// `extents` finds the `[d, h, w]` of a whole value by its index.
    fn new(
        operand: &'a Operand,
        elements: Elements<'a>,
        target: [usize; 4],
        extents: &impl Fn(usize) -> [usize; 3],
    ) -> Result<Self> {
        let padded = operand.views.iter().map(|view| match view {
            View::Pad(_, _, of) => extents(*of),
            _ => [1; 3],
        });
        let padded = padded.collect();
        let single = operand.single;
        let mut source = Self { elements, views: &operand.views, padded, single, columns: Vec::new(), straight: false };
        let plane: usize = last3(elements.extents).iter().product();
        let column = |x: usize| {
            let place = source.lead(Place { channel: 0, at: [0, 0, x] }, [false, false, true]);
            place.map_or(NOWHERE, |place| place.channel * plane + place.at[2])
        };
        let columns = collect("the columns of a row", target[3], (0..target[3]).map(column))?;
        source.straight = columns.first().is_none_or(|&first| first != NOWHERE)
            && columns.windows(2).all(|pair| pair[1] != NOWHERE && pair[1] == pair[0].wrapping_add(1));
        source.columns = columns;
        Ok(source)
    }

    /// Where a place leads, which is watched on some axes; `None` for a zero.
    fn lead(&self, mut place: Place, watched: [bool; 3]) -> Option<Place> {
        if self.single {
            place.at = [0; 3];
        }
        for (view, padded) in self.views.iter().zip(&self.padded) {
            // A graph's axes are the last ones of the three.
            let axes = |count: usize| (3 - count..3).enumerate();
            match view {
                // Of an axis that is not watched, the place is none.
                View::Crop(begin) => axes(begin.len())
                    .for_each(|(i, axis)| place.at[axis] = place.at[axis].wrapping_add_signed(begin[i] as isize)),
                View::Nearest(factors) => axes(factors.len()).for_each(|(i, axis)| place.at[axis] /= factors[i]),
                View::Pad(begin, beyond, _) => {
                    for (i, axis) in axes(begin.len()) {
                        let to = beyond.at(place.at[axis] as i64 - begin[i] as i64, padded[axis]);
                        place.at[axis] = if watched[axis] { to? } else { to.unwrap_or(0) };
                    }
                }
                View::Shuffle(factor, rank) => {
                    for (axis, watched) in watched.into_iter().enumerate().skip(3 - rank) {
                        let inner = if watched { place.at[axis] % factor } else { 0 };
                        place.channel = place.channel * factor + inner;
                        place.at[axis] /= factor;
                    }
                }
            }
        }
        Some(place)
    }

    /// Where the first column of a row would be; `None` for a row of zeros.
    fn row(&self, place: Place) -> Option<&'a [f32]> {
        let Place { channel, at: [z, y, _] } = self.lead(place, [true, true, false])?;
        let [_, d, h, w] = self.elements.extents;
        Some(&self.elements.values[((channel * d + z) * h + y) * w..])
    }

    /// Gives the elements of a row to `take`, from `buffer` where they are no neighbours.
    fn with<R>(&self, place: Place, buffer: &mut Vec<f32>, take: impl FnOnce(&[f32]) -> R) -> Result<R> {
        let row = self.row(place);
        if let (Some(row), true) = (row, self.straight) {
            let first = self.columns.first().copied().unwrap_or_default();
            return Ok(take(&row[first..][..self.columns.len()]));
        }
        grow(buffer, self.columns.len())?;
        let buffer = &mut buffer[..self.columns.len()];
        match row {
            None => buffer.fill(0.0),
            Some(row) => {
                for (to, &column) in buffer.iter_mut().zip(&self.columns) {
                    *to = if column == NOWHERE { 0.0 } else { row[column] };
                }
            }
        }
        Ok(take(buffer))
    }
}

impl<'a> Rows<'a> {
    /// `extents` finds the `[d, h, w]` of a whole value by its index, `elements` what is at hand of one item of it.
    pub(super) fn new(
        map: &'a Map,
        target: [usize; 4],
        extents: impl Fn(usize) -> [usize; 3],
        elements: impl Fn(usize) -> Elements<'a>,
    ) -> Result<Self> {
        let source = |operand: &'a Operand| Source::new(operand, elements(operand.value), target, &extents);
        let term = |term: &'a Term| {
            Ok(match term {
                Term::Add(operand) => Action::Add(source(operand)?),
                Term::Multiply(operand) => Action::Multiply(source(operand)?),
                Term::Affine(scale, offset) => Action::Affine(*scale, *offset),
                Term::Activation(activation) => Action::Activation(activation),
            })
        };
        let terms = map.terms.iter().map(term).collect::<Result<_>>()?;
        Ok(Self { first: source(&map.first)?, terms, extents: target })
    }

    /// Computes one item of the result.
    pub(super) fn run(&self, result: &mut [f32]) -> Result<()> {
        thread_local!(static BUFFER: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) });
        let [_, d, h, w] = self.extents;
        // Some rows at a time: one alone is little work.
        let rows = (4096 / w.max(1)).max(1);
        result.par_chunks_mut(rows * w).enumerate().try_for_each(|(chunk, result)| {
            BUFFER.with_borrow_mut(|buffer| {
                result.chunks_mut(w).enumerate().try_for_each(|(row, result)| {
                    let index = chunk * rows + row;
                    let place = Place { channel: index / h / d, at: [index / h % d, index % h, 0] };
                    self.row(place, result, buffer)
                })
            })
        })
    }

    fn row(&self, place: Place, row: &mut [f32], buffer: &mut Vec<f32>) -> Result<()> {
        self.first.with(place, buffer, |from| row.copy_from_slice(from))?;
        for term in &self.terms {
            match term {
                Action::Add(source) => source.with(place, buffer, |from| {
                    row.iter_mut().zip(from).for_each(|(to, from)| *to += from);
                })?,
                Action::Multiply(source) => source.with(place, buffer, |from| {
                    row.iter_mut().zip(from).for_each(|(to, from)| *to *= from);
                })?,
                Action::Affine(scale, offset) => row.iter_mut().for_each(|to| *to = *to * scale + offset),
                Action::Activation(activation) => f32::activate_all(activation, place.channel, row),
            }
        }
        Ok(())
    }
}

fn last3([_, d, h, w]: [usize; 4]) -> [usize; 3] {
    [d, h, w]
}
