//! The choice of a kernel and of its dispatches: a pure function of the operation, its shapes and the device.
//!
//! Nothing here touches a device, so that every choice and every refusal can be tested without one.

use crate::error::{Error, Result};
use crate::op::{ConvTranspose, Geometry};
use crate::phase::{AxisPhases, effective_multiply_adds, useful_multiply_adds};
use std::fmt;
use std::ops::Range;

/// What the plan needs to know of a device. The default is what WebGPU guarantees on every one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceProfile {
    /// The largest part of a buffer that a shader can see, in bytes.
    pub max_binding: u64,
    /// The largest buffer, in bytes.
    pub max_buffer: u64,
    /// The largest number of workgroups along each dimension of a dispatch.
    pub max_workgroups: u32,
    /// What the offset of a binding must be a multiple of, in bytes.
    pub binding_alignment: u64,
    /// The largest number of multiply-adds that one dispatch may do. Operating systems reset a device that is busy
    /// for some seconds; the default of 2³⁶ keeps a device of 100 GFLOP/s below 2 s.
    pub max_multiply_adds: u64,
    /// Whether tensors can be stored in binary16 (`SHADER_F16`).
    pub f16: bool,
}

impl Default for DeviceProfile {
    fn default() -> Self {
        Self {
            max_binding: 128 << 20,
            max_buffer: 256 << 20,
            max_workgroups: 65_535,
            binding_alignment: 256,
            max_multiply_adds: 1 << 36,
            f16: false,
        }
    }
}

/// How the elements of input and output are stored in a device's buffers. Sums are f32 in both cases.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Storage {
    /// binary32
    #[default]
    F32,
    /// binary16
    F16,
}

impl Storage {
    /// The size of one element in bytes.
    pub fn size(self) -> u64 {
        match self {
            Storage::F32 => 4,
            Storage::F16 => 2,
        }
    }
}

/// The kernels there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kernel {
    /// `shaders/gather.wgsl`: one invocation for one output element; any operation.
    Gather,
}

impl fmt::Display for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kernel::Gather => "gather",
        })
    }
}

/// A part of the operation: a box of the output, and the share of the input channels that is added up for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Band {
    /// Items of the batch.
    pub batch: Range<usize>,
    /// Output channels.
    pub out_channels: Range<usize>,
    /// Output coordinates (d, h, w).
    pub output: [Range<usize>; 3],
    /// Input channels of each group.
    pub group_in_channels: Range<usize>,
}

/// The part of a buffer that one dispatch sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Where it begins, in bytes; a multiple of the device's alignment.
    pub offset: u64,
    /// Its size in bytes; a multiple of 4, at least 4.
    pub size: u64,
}

/// One dispatch of the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dispatch {
    /// What it computes.
    pub band: Band,
    /// What it sees of the input.
    pub input: Window,
    /// What it sees of the packed weights.
    pub weights: Window,
    /// What it sees of the output.
    pub output: Window,
    /// The workgroups along x and y.
    pub workgroups: [u32; 2],
}

/// Everything that is decided before a device is touched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The kernel.
    pub kernel: Kernel,
    /// How the elements are stored.
    pub storage: Storage,
    /// The dispatches, to be run in this order.
    pub dispatches: Vec<Dispatch>,
    /// Bytes of scratch memory for the sums that a later dispatch continues; 0 where there are none.
    pub scratch: u64,
    explanation: Explanation,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Explanation {
    input: Vec<usize>,
    output: Vec<usize>,
    phases: Vec<(usize, usize)>,
    useful: u128,
    effective: u128,
    parts: usize,
}

/// The number of invocations in a workgroup of `gather`.
const WORKGROUP: u64 = 64;

/// The largest number of elements one dispatch writes: indices in the shaders are `i32`.
const MAX_ELEMENTS: u64 = 1 << 30;

/// The largest number of dispatches: what needs more is refused, not queued for hours.
const MAX_DISPATCHES: usize = 1 << 16;

/// The distances inside the packed weights: for each output channel a record of its bias, its taps
/// `[group_in_channels][d][h][w]`, and its slope.
pub(crate) struct Record {
    /// Elements of one record.
    pub(crate) stride: usize,
    /// Elements from one input channel to the next: the number of taps.
    pub(crate) channel: usize,
    /// Elements from one tap to the next along (d, h, w).
    pub(crate) spatial: [usize; 3],
}

impl Record {
    pub(crate) fn new(op: &ConvTranspose) -> Self {
        let [kd, kh, kw] = op.axes3().map(|axis| axis.kernel);
        let channel = kd * kh * kw;
        Self { stride: 2 + op.in_channels() / op.groups() * channel, channel, spatial: [kh * kw, kw, 1] }
    }
}

/// Plans `op` at the shapes of `geometry` on a device.
///
/// # Errors
/// [`Error::Limit`] where a single element needs more than the device offers, [`Error::OutOfRange`] where a coordinate
/// exceeds the 32 bits of a shader's integers, [`Error::DType`] for f16 storage on a device without it.
pub fn plan(op: &ConvTranspose, geometry: &Geometry, storage: Storage, profile: &DeviceProfile) -> Result<Plan> {
    if storage == Storage::F16 && !profile.f16 {
        return Err(Error::DType {
            what: "storage",
            given: crate::DType::F16,
            expected: "float32: the device lacks SHADER_F16",
        });
    }
    check_coordinates(op, geometry)?;
    let bander = Bander::new(op, geometry, storage, profile);
    let (dispatches, parts) = if geometry.output_len() == 0 { (Vec::new(), 1) } else { bander.dispatches()? };
    let scratch = if parts == 1 { 0 } else { dispatches.iter().map(|d| d.band.elements() * 4).max().unwrap_or(0) };
    let phases = op.axes().iter().map(|axis| (AxisPhases::new(axis).phases.len(), axis.stride)).collect();
    let explanation = Explanation {
        input: geometry.input_shape(),
        output: geometry.output_shape(),
        phases,
        useful: useful_multiply_adds(op.axes3(), geometry, op.groups()),
        effective: effective_multiply_adds(op.axes3(), geometry, op.groups()),
        parts,
    };
    Ok(Plan { kernel: Kernel::Gather, storage, dispatches, scratch, explanation })
}

/// Refuses what does not fit the shaders' `i32` coordinates.
fn check_coordinates(op: &ConvTranspose, geometry: &Geometry) -> Result<()> {
    let limit = i64::from(i32::MAX) / 2;
    for (index, axis) in op.axes3().iter().enumerate() {
        let (input, output) = (geometry.input[index] as i64, geometry.output[index] as i64);
        let reach = (axis.kernel as i64 - 1) * axis.dilation as i64;
        let stride = axis.stride as i64;
        for value in
            [input, output, reach, stride, axis.dilation as i64, axis.pad_begin.abs(), output + axis.pad_begin.abs()]
        {
            if value > limit {
                return Err(Error::OutOfRange {
                    what: format!("a coordinate on axis {} of 3 on the GPU", index + 1),
                    given: value.into(),
                    expected: format!("at most {limit}"),
                });
            }
        }
        // The shader multiplies two residues of stride/gcd in u32.
        let steps = axis.stride / crate::phase::gcd(axis.stride, axis.dilation);
        if axis.dilation % axis.stride != 1 % axis.stride && steps > 1 << 16 {
            return Err(Error::OutOfRange {
                what: format!("stride / gcd(stride, dilation) on axis {} of 3 on the GPU", index + 1),
                given: steps as i128,
                expected: format!("at most {} with a dilation", 1 << 16),
            });
        }
    }
    Ok(())
}

impl Band {
    /// The output elements it computes.
    pub(crate) fn elements(&self) -> u64 {
        let spatial: usize = self.output.iter().map(ExactSizeIterator::len).product();
        (self.batch.len() * self.out_channels.len() * spatial) as u64
    }

    /// The dimensions of the output box, outermost first.
    fn dimensions(&mut self) -> [&mut Range<usize>; 5] {
        let [z, y, x] = &mut self.output;
        [&mut self.batch, z, y, x, &mut self.out_channels]
    }

    /// Both halves along a dimension; `None` where it has only one element.
    fn halves(&self, dimension: usize) -> Option<[Band; 2]> {
        let (mut low, mut high) = (self.clone(), self.clone());
        let (l, h) = (&mut *low.dimensions()[dimension], &mut *high.dimensions()[dimension]);
        if l.len() < 2 {
            return None;
        }
        let middle = l.start + l.len() / 2;
        (l.end, h.start) = (middle, middle);
        Some([low, high])
    }
}

/// A range of elements of a tensor, `None` if nothing of it is touched.
type Span = Option<(u64, u64)>;

/// Cuts the operation into dispatches that respect the device's limits.
struct Bander<'a> {
    op: &'a ConvTranspose,
    geometry: &'a Geometry,
    storage: Storage,
    profile: &'a DeviceProfile,
    record: Record,
    /// The most taps that reach one output element, for one input channel.
    taps: u64,
}

impl<'a> Bander<'a> {
    fn new(op: &'a ConvTranspose, geometry: &'a Geometry, storage: Storage, profile: &'a DeviceProfile) -> Self {
        let taps = op
            .axes3()
            .iter()
            .map(|axis| AxisPhases::new(axis).phases.iter().map(|phase| phase.taps as u64).max().unwrap_or(0))
            .product();
        Self { op, geometry, storage, profile, record: Record::new(op), taps }
    }

    /// The fewest dispatches that suffice, and into how many parts the input channels are cut for it.
    fn dispatches(&self) -> Result<(Vec<Dispatch>, usize)> {
        let channels = self.op.in_channels() / self.op.groups();
        let mut best: Option<(Vec<Dispatch>, usize)> = None;
        let mut refusal = None;
        let mut parts = 1;
        loop {
            match self.cut(channels.div_ceil(parts)) {
                Ok(dispatches) => {
                    if best.as_ref().is_none_or(|(fewest, _)| dispatches.len() < fewest.len()) {
                        best = Some((dispatches, parts));
                    }
                    // More parts only help where the input is what does not fit.
                    if best.as_ref().is_some_and(|(fewest, _)| fewest.len() <= 2 * parts) {
                        break;
                    }
                }
                Err(error) => refusal = Some(error),
            }
            if parts >= channels {
                break;
            }
            parts = (parts * 2).min(channels);
        }
        match (best, refusal) {
            (Some(best), _) => Ok(best),
            (None, Some(error)) => Err(error),
            (None, None) => Ok((Vec::new(), 1)),
        }
    }

    /// Halves the output until each band fits, with at most `chunk` input channels of a group at a time.
    fn cut(&self, chunk: usize) -> Result<Vec<Dispatch>> {
        let channels = self.op.in_channels() / self.op.groups();
        let whole = Band {
            batch: 0..self.geometry.batch,
            out_channels: 0..self.op.out_channels(),
            output: self.geometry.output.map(|extent| 0..extent),
            group_in_channels: 0..chunk,
        };
        let mut dispatches = Vec::new();
        let mut pending = vec![whole];
        while let Some(band) = pending.pop() {
            let parts = || {
                (0..channels)
                    .step_by(chunk)
                    .map(|first| Band { group_in_channels: first..(first + chunk).min(channels), ..band.clone() })
            };
            let excess = parts().map(|part| self.excess(&part)).fold(0.0, f64::max);
            if excess == 0.0 {
                dispatches.extend(parts().map(|part| self.dispatch(part)));
            } else {
                let (_, [low, high]) = (0..5)
                    .filter_map(|dimension| {
                        let halves = band.halves(dimension)?;
                        Some((self.excess(&halves[0]).max(self.excess(&halves[1])), halves))
                    })
                    .min_by(|(a, _), (b, _)| a.total_cmp(b))
                    .ok_or_else(|| self.refusal(&band))?;
                pending.push(high);
                pending.push(low);
            }
            if dispatches.len() + pending.len() > MAX_DISPATCHES {
                return Err(self.refusal(&band));
            }
        }
        Ok(dispatches)
    }

    /// By how many halvings a band is too large; 0 where it fits.
    fn excess(&self, band: &Band) -> f64 {
        self.demands(band).iter().map(|&(_, needed, limit)| (needed as f64 / limit as f64).log2().max(0.0)).sum()
    }

    /// What a band needs and what the device offers of it.
    fn demands(&self, band: &Band) -> [(&'static str, u64, u64); 5] {
        let binding = self.profile.max_binding.min(MAX_ELEMENTS * self.storage.size()) & !3;
        let window = |span: Span, size: u64| self.window(span, size).size;
        let elements = band.elements();
        let folded = u64::from(self.profile.max_workgroups).pow(2).saturating_mul(WORKGROUP).min(MAX_ELEMENTS);
        let multiply_adds = elements.saturating_mul(band.group_in_channels.len() as u64).saturating_mul(self.taps);
        [
            ("max_storage_buffer_binding_size", window(self.input_span(band), self.storage.size()), binding),
            ("max_storage_buffer_binding_size", window(self.weight_span(band), 4), binding),
            ("max_storage_buffer_binding_size", window(self.output_span(band), self.storage.size()), binding),
            ("max_compute_workgroups_per_dimension", elements, folded),
            ("max_multiply_adds", multiply_adds, self.profile.max_multiply_adds),
        ]
    }

    fn refusal(&self, band: &Band) -> Error {
        let worst = self
            .demands(band)
            .into_iter()
            .max_by(|a, b| (a.1 as f64 / a.2 as f64).total_cmp(&(b.1 as f64 / b.2 as f64)))
            .unwrap_or_default();
        Error::Limit {
            what: format!("{:?} -> {:?}", self.geometry.input_shape(), self.geometry.output_shape()),
            needed: worst.1,
            limit: worst.2,
            limit_name: worst.0,
        }
    }

    fn dispatch(&self, band: Band) -> Dispatch {
        let groups = band.elements().div_ceil(WORKGROUP);
        let x = groups.min(u64::from(self.profile.max_workgroups));
        let window = |span: Span, size: u64| self.window(span, size);
        Dispatch {
            input: window(self.input_span(&band), self.storage.size()),
            weights: window(self.weight_span(&band), 4),
            output: window(self.output_span(&band), self.storage.size()),
            workgroups: [x as u32, groups.div_ceil(x) as u32],
            band,
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
        let per_group = self.op.out_channels() / self.op.groups();
        band.out_channels.start / per_group..(band.out_channels.end - 1) / per_group + 1
    }

    fn input_span(&self, band: &Band) -> Span {
        let strides = self.geometry.input_strides();
        let per_group = self.op.in_channels() / self.op.groups();
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
            let a = &self.op.axes3()[axis];
            let stride = a.stride as i64;
            let reach = (a.kernel as i64 - 1) * a.dilation as i64;
            let first = (output.start as i64 + a.pad_begin - reach).div_euclid(stride).max(0);
            let last =
                (output.end as i64 - 1 + a.pad_begin).div_euclid(stride).min(self.geometry.input[axis] as i64 - 1);
            if first > last {
                return None;
            }
            dimensions.push((first as usize..last as usize + 1, strides.spatial[axis]));
        }
        span(&dimensions)
    }

    fn output_span(&self, band: &Band) -> Span {
        let strides = self.geometry.output_strides();
        let [z, y, x] = &band.output;
        span(&[
            (band.batch.clone(), strides.batch),
            (band.out_channels.clone(), strides.channel),
            (z.clone(), strides.spatial[0]),
            (y.clone(), strides.spatial[1]),
            (x.clone(), strides.spatial[2]),
        ])
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

/// The elements from the first to the last of a box in a strided tensor.
fn span(dimensions: &[(Range<usize>, usize)]) -> Span {
    let at = |pick: fn(&Range<usize>) -> usize| -> u64 {
        dimensions.iter().map(|(range, stride)| (pick(range) * stride) as u64).sum()
    };
    Some((at(|range| range.start), at(|range| range.end - 1) + 1))
}

impl Plan {
    /// The multiply-adds that reach the output.
    pub fn useful_multiply_adds(&self) -> u128 {
        self.explanation.useful
    }

    /// The multiply-adds of the operation's definition: every input element times every tap and output channel.
    pub fn effective_multiply_adds(&self) -> u128 {
        self.explanation.effective
    }

    /// For each axis the number of phases that taps reach, and the number of all.
    pub fn phases(&self) -> &[(usize, usize)] {
        &self.explanation.phases
    }

    /// The plan in words, one fact a line.
    pub fn explain(&self) -> impl fmt::Display + '_ {
        ExplainDisplay(self)
    }
}

struct ExplainDisplay<'a>(&'a Plan);

impl fmt::Display for ExplainDisplay<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plan = self.0;
        let Explanation { input, output, phases, useful, effective, parts } = &plan.explanation;
        let shares: Vec<String> = phases.iter().map(|(reached, all)| format!("{reached} of {all}")).collect();
        writeln!(f, "shapes         {input:?} -> {output:?}")?;
        writeln!(f, "kernel         {}: one invocation for one output element; it runs every operation", plan.kernel)?;
        writeln!(f, "phases         {} (those that taps reach, for each axis)", shares.join(" x "))?;
        let share = if *effective == 0 { 100.0 } else { *useful as f64 / *effective as f64 * 100.0 };
        writeln!(f, "multiply-adds  {useful} useful of {effective} ({share:.1} %, the rest is cropped)")?;
        writeln!(f, "dispatches     {}, input channels in {parts} part{}", plan.dispatches.len(), plural(*parts))?;
        write!(f, "scratch        {} bytes", plan.scratch)
    }
}

fn plural(count: usize) -> &'static str {
    if count == 1 { "" } else { "s" }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Layout;

    fn upsample(layout: Layout) -> ConvTranspose {
        ConvTranspose::builder()
            .in_channels(3)
            .out_channels(3)
            .groups(3)
            .kernel([4, 4])
            .stride([2, 2])
            .padding([1, 1])
            .layout(layout)
            .build()
            .unwrap()
    }

    fn planned(op: &ConvTranspose, shape: &[usize], profile: &DeviceProfile) -> Result<Plan> {
        plan(op, &op.at(shape).unwrap(), Storage::F32, profile)
    }

    /// Every output element is written once, by bands within the limits, each finishing its sums.
    fn check_bands(op: &ConvTranspose, shape: &[usize], profile: &DeviceProfile) -> Plan {
        let plan = planned(op, shape, profile).unwrap();
        let geometry = op.at(shape).unwrap();
        let (strides, channels) = (geometry.output_strides(), op.in_channels() / op.groups());
        let mut written = vec![0; geometry.output_len()];
        for dispatch in &plan.dispatches {
            for window in [dispatch.input, dispatch.weights, dispatch.output] {
                assert!(window.size <= profile.max_binding && window.size % 4 == 0, "{window:?}");
                assert_eq!(window.offset % profile.binding_alignment, 0);
            }
            let [x, y] = dispatch.workgroups;
            assert!(x <= profile.max_workgroups && y <= profile.max_workgroups);
            assert!(u64::from(x) * u64::from(y) * WORKGROUP >= dispatch.band.elements());
            let Band { batch, out_channels, output: [z, y, x], group_in_channels } = &dispatch.band;
            for n in batch.clone() {
                for co in out_channels.clone() {
                    for (z, y) in z.clone().flat_map(|z| y.clone().map(move |y| (z, y))) {
                        for x in x.clone() {
                            let at = n * strides.batch
                                + co * strides.channel
                                + z * strides.spatial[0]
                                + y * strides.spatial[1]
                                + x * strides.spatial[2];
                            let byte = at as u64 * 4;
                            assert!(byte >= dispatch.output.offset);
                            assert!(byte + 4 <= dispatch.output.offset + dispatch.output.size);
                            assert_eq!(written[at], group_in_channels.start, "parts follow each other");
                            written[at] = group_in_channels.end;
                        }
                    }
                }
            }
        }
        assert!(written.iter().all(|&channels_added| channels_added == channels));
        plan
    }

    fn small(max_binding: u64) -> DeviceProfile {
        DeviceProfile { max_binding, ..DeviceProfile::default() }
    }

    #[test]
    fn what_fits_is_one_dispatch() {
        let plan = check_bands(&upsample(Layout::ChannelsFirst), &[2, 3, 5, 7], &DeviceProfile::default());
        assert_eq!(plan.dispatches.len(), 1);
        assert_eq!((plan.scratch, plan.phases()), (0, &[(2, 2), (2, 2)][..]));
    }

    #[test]
    fn bands_cover_the_output_once_within_the_limits() {
        for layout in [Layout::ChannelsFirst, Layout::ChannelsLast] {
            for binding in [768, 1024, 4096] {
                let shape = if layout == Layout::ChannelsFirst { [2, 3, 13, 17] } else { [2, 13, 17, 3] };
                let plan = check_bands(&upsample(layout), &shape, &small(binding));
                assert!(plan.dispatches.len() > 1);
            }
        }
        let wide = ConvTranspose::builder().in_channels(1).out_channels(2).kernel([3]).stride([2]).build().unwrap();
        check_bands(&wide, &[1, 1, 1000], &small(768));
    }

    #[test]
    fn input_channels_are_cut_where_their_planes_do_not_fit() {
        let op = ConvTranspose::builder().in_channels(16).out_channels(2).kernel([3, 3]).build().unwrap();
        let plan = check_bands(&op, &[1, 16, 8, 8], &small(1024));
        assert!(plan.dispatches.iter().any(|d| d.band.group_in_channels.start > 0));
        assert!(plan.scratch > 0);
    }

    #[test]
    fn work_is_cut_by_multiply_adds_and_by_workgroups() {
        let op = upsample(Layout::ChannelsFirst);
        let lazy = DeviceProfile { max_multiply_adds: 1000, ..DeviceProfile::default() };
        let plan = check_bands(&op, &[1, 3, 20, 20], &lazy);
        assert!(plan.dispatches.iter().all(|d| d.band.elements() * 4 <= 1000));
        let few = DeviceProfile { max_workgroups: 2, ..DeviceProfile::default() };
        let plan = check_bands(&op, &[1, 3, 20, 20], &few);
        assert!(plan.dispatches.len() > 1 && plan.dispatches.iter().any(|d| d.workgroups == [2, 2]));
    }

    #[test]
    fn more_than_65535_workgroups_are_folded() {
        let op = upsample(Layout::ChannelsFirst);
        let plan = planned(&op, &[1, 3, 1000, 1000], &DeviceProfile::default()).unwrap();
        assert_eq!(plan.dispatches.len(), 1);
        let [x, y] = plan.dispatches[0].workgroups;
        assert_eq!(x, 65_535);
        assert!(u64::from(x) * u64::from(y) * WORKGROUP >= 12_000_000);
    }

    #[test]
    fn what_cannot_be_cut_further_is_refused_with_its_numbers() {
        let op = ConvTranspose::builder().kernel([100]).build().unwrap();
        let error = planned(&op, &[1, 1, 4], &small(256)).unwrap_err();
        assert_eq!(
            error.to_string(),
            "[1, 1, 4] -> [1, 1, 103]: 408 needed, but the device's limit max_storage_buffer_binding_size is 256"
        );
        let far = ConvTranspose::builder().kernel([3]).dilation([1 << 30]).padding([1 << 30]).build().unwrap();
        assert!(matches!(planned(&far, &[1, 1, 4], &DeviceProfile::default()), Err(Error::OutOfRange { .. })));
        let steps = ConvTranspose::builder().kernel([3]).stride([100_003]).dilation([7]).build().unwrap();
        assert!(matches!(planned(&steps, &[1, 1, 4], &DeviceProfile::default()), Err(Error::OutOfRange { .. })));
        let f16 = plan(&op, &op.at(&[1, 1, 4]).unwrap(), Storage::F16, &DeviceProfile::default());
        assert!(matches!(f16, Err(Error::DType { .. })));
    }

    #[test]
    fn an_empty_batch_needs_no_dispatch() {
        let op = upsample(Layout::ChannelsFirst);
        assert!(planned(&op, &[0, 3, 4, 4], &DeviceProfile::default()).unwrap().dispatches.is_empty());
    }

    #[test]
    fn the_plan_explains_itself() {
        let op = upsample(Layout::ChannelsFirst);
        let plan = planned(&op, &[1, 3, 4, 4], &DeviceProfile::default()).unwrap();
        assert_eq!(
            plan.explain().to_string(),
            "shapes         [1, 3, 4, 4] -> [1, 3, 8, 8]\n\
             kernel         gather: one invocation for one output element; it runs every operation\n\
             phases         2 of 2 x 2 of 2 (those that taps reach, for each axis)\n\
             multiply-adds  588 useful of 768 (76.6 %, the rest is cropped)\n\
             dispatches     1, input channels in 1 part\n\
             scratch        0 bytes"
        );
    }
}
