//! The work cut into dispatches that respect the device's limits.

use crate::error::{Error, Result};
use crate::gpu::dispatch::{Band, Dispatch, GATHER_WORKGROUP, MAX_ELEMENTS, Window, folded, products, split_stride};
use crate::gpu::kernels::gather;
use crate::gpu::kernels::pack::records::Record;
use crate::gpu::kernels::pack::tiles::vec4_bytes;
use crate::gpu::kernels::tiles::tile::Tile;
use crate::gpu::profile::DeviceProfile;
use crate::gpu::storage::Storage;
use crate::layout::Strides;
use crate::op::{Geometry, Operands};
use std::ops::Range;

/// The largest number of dispatches: what needs more is refused, not queued for hours.
const MAX_DISPATCHES: usize = 1 << 16;

impl Band {
    /// The dimensions of the output box, outermost first.
    fn dimensions(&mut self) -> [&mut Range<usize>; 5] {
        let [z, y, x] = &mut self.output;
        [&mut self.batch, z, y, x, &mut self.out_channels]
    }

    /// Both halves along a dimension, cut at a multiple of `unit`; `None` where there is none inside.
    fn halves(&self, dimension: usize, unit: usize) -> Option<[Band; 2]> {
        let (mut low, mut high) = (self.clone(), self.clone());
        let (l, h) = (&mut *low.dimensions()[dimension], &mut *high.dimensions()[dimension]);
        let middle = ((l.start + l.len() / 2) / unit * unit).max((l.start + 1).next_multiple_of(unit));
        if middle >= l.end {
            return None;
        }
        (l.end, h.start) = (middle, middle);
        Some([low, high])
    }
}

/// A range of elements of a tensor, `None` if nothing of it is touched.
type Span = Option<(u64, u64)>;

/// Cuts the operation into dispatches that respect the device's limits.
pub(crate) struct Bander<'a> {
    geometry: &'a Geometry,
    storage: Storage,
    profile: &'a DeviceProfile,
    /// The share of an invocation of `direct` or `tiled`; `None` for the other kernels.
    tile: Option<Tile>,
    record: Record,
    /// The input channels of a group.
    channels: usize,
    /// The most taps along (d, h, w) that an output element has for one input channel.
    taps: [usize; 3],
}

impl<'a> Bander<'a> {
    pub(crate) fn new(
        geometry: &'a Geometry,
        storage: Storage,
        profile: &'a DeviceProfile,
        tile: Option<Tile>,
    ) -> Self {
        let (channels, taps) = products(geometry);
        Self { geometry, storage, profile, tile, record: Record::new(&geometry.op), channels, taps }
    }

    /// The fewest dispatches that suffice, and into how many parts the products of an output are cut for it.
    pub(crate) fn dispatches(&self) -> Result<(Vec<Dispatch>, usize)> {
        if self.least_dispatches() > MAX_DISPATCHES as u64 {
            return Err(self.too_many());
        }
        let unit = self.tile.map_or(1, |tile| tile.source().channel_unit(self.channels));
        let units = self.channels.div_ceil(unit);
        let mut best: Option<(Vec<Dispatch>, usize)> = None;
        let mut refusal = None;
        let mut parts = 1;
        loop {
            match self.cut(units.div_ceil(parts) * unit) {
                Ok((dispatches, parts)) => {
                    if best.as_ref().is_none_or(|(fewest, _)| dispatches.len() < fewest.len()) {
                        best = Some((dispatches, parts));
                    }
                    // More parts only help where the input, or the loop, is what does not fit.
                    if best.as_ref().is_some_and(|(fewest, _)| fewest.len() <= 2 * parts) {
                        break;
                    }
                }
                Err(error) => refusal = Some(error),
            }
            if parts >= units {
                break;
            }
            parts = (parts * 2).min(units);
        }
        match (best, refusal) {
            (Some(best), _) => Ok(best),
            (None, Some(error)) => Err(error),
            (None, None) => Ok((Vec::new(), 1)),
        }
    }

    /// Halves the output until each band fits, with at most `chunk` input channels of a group at a time; and into how
    /// many parts the products of an output are cut.
    fn cut(&self, chunk: usize) -> Result<(Vec<Dispatch>, usize)> {
        let channels = self.channels;
        let taps = self.tap_parts(chunk.min(channels))?;
        let whole = Band {
            batch: 0..self.geometry.batch,
            out_channels: 0..self.geometry.op.out_channels(),
            output: self.geometry.output.map(|extent| 0..extent),
            group_in_channels: 0..chunk.min(channels),
            taps: taps[0].clone(),
        };
        let count = channels.div_ceil(chunk) * taps.len();
        let channel_parts = |band: &Band| {
            let band = band.clone();
            (0..channels)
                .step_by(chunk)
                .map(move |first| Band { group_in_channels: first..(first + chunk).min(channels), ..band.clone() })
        };
        let parts = |band: &Band| {
            channel_parts(band)
                .flat_map(|part| taps.iter().map(move |taps| Band { taps: taps.clone(), ..part.clone() }))
        };
        // Of the parts of the taps the first is the largest.
        let excess = |band: &Band| channel_parts(band).map(|part| self.excess(&part)).fold(0.0, f64::max);
        let mut dispatches = Vec::new();
        let mut pending = vec![whole];
        while let Some(band) = pending.pop() {
            if dispatches.len() + (pending.len() + 1) * count > MAX_DISPATCHES {
                return Err(self.too_many());
            }
            if excess(&band) == 0.0 {
                dispatches.extend(parts(&band).map(|part| self.dispatch(part)));
                continue;
            }
            let (_, [low, high]) = (0..5)
                .filter_map(|dimension| {
                    let halves = band.halves(dimension, self.unit(dimension))?;
                    Some((excess(&halves[0]).max(excess(&halves[1])), halves))
                })
                .min_by(|(a, _), (b, _)| a.total_cmp(b))
                .ok_or_else(|| self.refusal(&band))?;
            pending.push(high);
            pending.push(low);
        }
        Ok((dispatches, count))
    }

    /// The taps that one dispatch adds up for `channels` input channels, in the order of the sum: all of them, or for a
    /// single channel of `gather` as many at a time as the device's bound on iterations lets it.
    fn tap_parts(&self, channels: usize) -> Result<Vec<[Range<usize>; 3]>> {
        let iterations = |taps| match &self.tile {
            None => gather::cost::iterations(channels, taps),
            Some(tile) => tile.iterations(&self.geometry.op, channels),
        };
        let limit = self.profile.max_iterations;
        let mut at_once = self.taps;
        if self.tile.is_none() && channels == 1 {
            // Inner axes stay whole as long as an outer one can be cut: each part continues where the last one ended.
            for axis in 0..3 {
                while iterations(at_once) > limit && at_once[axis] > 1 {
                    at_once[axis] = at_once[axis].div_ceil(2);
                }
            }
        }
        let needed = iterations(at_once);
        if needed > limit {
            return Err(self.beyond(("max_iterations", needed, limit)));
        }
        let count = |a: usize| self.taps[a].div_ceil(at_once[a]);
        if count(0).saturating_mul(count(1)).saturating_mul(count(2)) > MAX_DISPATCHES {
            return Err(self.too_many());
        }
        let part = |a: usize, number: usize| number * at_once[a]..((number + 1) * at_once[a]).min(self.taps[a]);
        let rows = (0..count(0)).flat_map(|z| (0..count(1)).map(move |y| (z, y)));
        Ok(rows.flat_map(|(z, y)| (0..count(2)).map(move |x| [part(0, z), part(1, y), part(2, x)])).collect())
    }

    /// The refusal of what would take too many dispatches, whichever limit makes them small.
    fn too_many(&self) -> Error {
        Error::Limit {
            what: format!("{:?} -> {:?}, in dispatches", self.geometry.input_shape(), self.geometry.output_shape()),
            needed: self.least_dispatches().max(MAX_DISPATCHES as u64 + 1),
            limit: MAX_DISPATCHES as u64,
            limit_name: "max_dispatches",
        }
    }

    /// The dispatches that the multiply-adds and the outputs alone make necessary.
    fn least_dispatches(&self) -> u64 {
        let outputs = self.geometry.output_len() as u64;
        let multiply_adds = outputs.saturating_mul(self.channels as u64).saturating_mul(product(self.taps));
        multiply_adds.div_ceil(self.profile.max_multiply_adds).max(outputs.div_ceil(MAX_ELEMENTS))
    }

    /// What cuts along a dimension must be multiples of.
    fn unit(&self, dimension: usize) -> usize {
        match (&self.tile, dimension) {
            (Some(tile), 3) => tile.column_unit(),
            (Some(tile), 4) => tile.out_channel_unit(&self.geometry.op),
            _ => 1,
        }
    }

    /// By how many halvings a band is too large; 0 where it fits.
    fn excess(&self, band: &Band) -> f64 {
        self.demands(band).iter().map(|&(_, needed, limit)| (needed as f64 / limit as f64).log2().max(0.0)).sum()
    }

    /// What a band needs and what the device offers of it.
    fn demands(&self, band: &Band) -> Vec<(&'static str, u64, u64)> {
        let binding = self.profile.max_binding.min(MAX_ELEMENTS * self.storage.size()) & !3;
        let window = |span: Span, size: u64| self.window(span, size).size;
        let elements = band.elements();
        let mut demands = vec![
            ("max_storage_buffer_binding_size", self.input(band).size, binding),
            ("max_storage_buffer_binding_size", self.weights(band).size, binding),
            ("max_storage_buffer_binding_size", window(self.output_span(band), self.storage.size()), binding),
            ("max_multiply_adds", self.multiply_adds(band), self.profile.max_multiply_adds),
        ];
        demands.push(("max_storage_buffer_binding_size", self.scratch(band), binding));
        demands.extend(self.residual(band).map(|window| ("max_storage_buffer_binding_size", window.size, binding)));
        if self.parts_batch() {
            demands.push((
                "the items of a batch whose channels lie between others in the same buffer",
                band.batch.len() as u64,
                1,
            ));
        }
        let groups = u64::from(self.profile.max_workgroups);
        if let Some(tile) = &self.tile {
            let workgroups = tile.workgroups(&self.geometry.op, band);
            demands.extend(workgroups.map(|count| ("max_compute_workgroups_per_dimension", count, groups)));
        }
        if self.tile.is_none() || self.split_k() > 1 {
            // One invocation for each element, in `gather` or in `sum`.
            let most = groups.pow(2).saturating_mul(GATHER_WORKGROUP).min(MAX_ELEMENTS);
            demands.push(("max_compute_workgroups_per_dimension", elements, most));
        }
        demands
    }

    /// The multiply-adds of a band, if as many taps reached each element as reach the most favoured.
    fn multiply_adds(&self, band: &Band) -> u64 {
        let taps = product([0, 1, 2].map(|a| band.taps[a].len()));
        band.elements().saturating_mul(band.group_in_channels.len() as u64).saturating_mul(taps)
    }

    /// The bytes of the accumulators that a band leaves to the next part of the products, or that its splits leave to
    /// `sum`.
    pub(crate) fn scratch(&self, band: &Band) -> u64 {
        if self.split_k() > 1 {
            let output = self.window(self.output_span(band), self.storage.size());
            return split_stride(output, self.storage) * self.split_k() as u64 * 4;
        }
        match &self.tile {
            _ if band.begins_sums() && band.finishes_sums(self.geometry) => 0,
            None => band.elements() * 4,
            Some(tile) => tile.carried_bytes(&self.geometry.op, band),
        }
    }

    /// Into how many parts invocations share the input channels of a group.
    fn split_k(&self) -> usize {
        self.tile.map_or(1, |tile| tile.split_k())
    }

    fn refusal(&self, band: &Band) -> Error {
        let worst = self
            .demands(band)
            .into_iter()
            .max_by(|a, b| (a.1 as f64 / a.2 as f64).total_cmp(&(b.1 as f64 / b.2 as f64)))
            .unwrap_or_default();
        self.beyond(worst)
    }

    /// The refusal of what needs more of the device than there is: of what, how much, and how much there is.
    fn beyond(&self, (limit_name, needed, limit): (&'static str, u64, u64)) -> Error {
        let what = format!("{:?} -> {:?}", self.geometry.input_shape(), self.geometry.output_shape());
        Error::Limit { what, needed, limit, limit_name }
    }

    fn dispatch(&self, band: Band) -> Dispatch {
        let workgroups = match &self.tile {
            None => folded(&band, self.profile),
            Some(tile) => tile.workgroups(&self.geometry.op, &band).map(|count| count as u32),
        };
        Dispatch {
            input: self.input(&band),
            weights: self.weights(&band),
            output: self.window(self.output_span(&band), self.storage.size()),
            residual: self.residual(&band),
            workgroups,
            multiply_adds: self.multiply_adds(&band),
            band,
        }
    }

    /// What a band sees of the input: whole vectors, where these are read.
    fn input(&self, band: &Band) -> Window {
        let Window { offset, size } = self.window(self.input_span(band), self.storage.size());
        let read = self.tile.map_or(1, |tile| tile.elements_read());
        Window { offset, size: size.next_multiple_of((read as u64 * self.storage.size()).max(4)) }
    }

    /// What a band sees of the residual, where that is a tensor of its own.
    fn residual(&self, band: &Band) -> Option<Window> {
        let (_, strides) = self.geometry.residual_tensor()?;
        Some(self.window(output_span(band, &strides), self.storage.size()))
    }

    /// Whether a dispatch may see one item of the batch only: in one buffer the ranges of several, each among other
    /// channels, may overlap.
    fn parts_batch(&self) -> bool {
        let Operands { input, output, one_buffer, .. } = self.geometry.operands;
        one_buffer && (input.is_some() || output.is_some())
    }

    /// What a band sees of the weights.
    fn weights(&self, band: &Band) -> Window {
        match &self.tile {
            None => self.window(self.weight_span(band), 4),
            Some(tile) => {
                let vec4s = tile.weights(&self.geometry.op, &band.out_channels);
                self.window(Some((vec4s.start, vec4s.end)), vec4_bytes(tile.factors()))
            }
        }
    }

    /// The aligned window around a span of elements of `size` bytes.
    fn window(&self, span: Span, size: u64) -> Window {
        let (first, end) = span.unwrap_or((0, 1));
        let offset = first * size / self.profile.binding_alignment * self.profile.binding_alignment;
        Window { offset, size: (end * size).next_multiple_of(4) - offset }
    }

    /// The groups whose channels a band computes.
    fn groups(&self, band: &Band) -> Range<usize> {
        let per_group = self.geometry.op.out_channels() / self.geometry.op.groups();
        band.out_channels.start / per_group..(band.out_channels.end - 1) / per_group + 1
    }

    fn input_span(&self, band: &Band) -> Span {
        let strides = self.geometry.input_strides();
        let per_group = self.geometry.op.in_channels() / self.geometry.op.groups();
        let groups = self.groups(band);
        let mut dimensions = vec![
            (band.batch.clone(), strides.batch),
            (
                groups.start * per_group + band.group_in_channels.start
                    ..(groups.end - 1) * per_group + band.group_in_channels.end,
                strides.channel,
            ),
        ];
        for (axis, output) in band.output.iter().enumerate() {
            let a = &self.geometry.op.axes3()[axis];
            let stride = a.stride as i64;
            let reach = a.reach();
            let [first, last] = [output.start, output.end - 1].map(|o| a.full_coordinate(o as i64));
            let first = (first - reach).div_euclid(stride).max(0);
            let last = last.div_euclid(stride).min(self.geometry.input[axis] as i64 - 1);
            if first > last {
                return None;
            }
            dimensions.push((first as usize..last as usize + 1, strides.spatial[axis]));
        }
        span(strides.first, &dimensions)
    }

    fn output_span(&self, band: &Band) -> Span {
        output_span(band, &self.geometry.output_strides())
    }

    /// Of each record the taps of the band's input channels, with the bias before the first and the slope after the
    /// last of them.
    fn weight_span(&self, band: &Band) -> Span {
        let (first, last) = (band.out_channels.start as u64, band.out_channels.end as u64 - 1);
        let stride = self.record.stride as u64;
        let taps = |channel: usize| 1 + (channel * self.record.channel) as u64;
        let begin = if band.group_in_channels.start == 0 { 0 } else { taps(band.group_in_channels.start) };
        let end = taps(band.group_in_channels.end);
        let end = if end + 1 == stride { stride } else { end };
        Some((first * stride + begin, last * stride + end))
    }
}

fn product(counts: [usize; 3]) -> u64 {
    counts.iter().fold(1, |product, &count| product.saturating_mul(count as u64))
}

/// What a band computes of a tensor with these strides.
fn output_span(band: &Band, strides: &Strides) -> Span {
    let [z, y, x] = &band.output;
    let dimensions = [
        (band.batch.clone(), strides.batch),
        (band.out_channels.clone(), strides.channel),
        (z.clone(), strides.spatial[0]),
        (y.clone(), strides.spatial[1]),
        (x.clone(), strides.spatial[2]),
    ];
    span(strides.first, &dimensions)
}

/// The elements from the first to the last of a box in a strided tensor that begins at element `first`.
fn span(first: usize, dimensions: &[(Range<usize>, usize)]) -> Span {
    let at = |pick: fn(&Range<usize>) -> usize| -> u64 {
        dimensions.iter().map(|(range, stride)| (pick(range) * stride) as u64).sum::<u64>() + first as u64
    };
    Some((at(|range| range.start), at(|range| range.end - 1) + 1))
}
