//! Long sums cut into dispatches that respect the device's limits.

use crate::gpu::dispatch::{MAX_ELEMENTS, Window};
use crate::gpu::profile::DeviceProfile;
use std::ops::Range;

/// The largest number of dispatches: what needs more is refused, not queued for hours.
pub(crate) const MAX_DISPATCHES: usize = 1 << 16;

/// The numbers that the parts of a slab leave take at most so many bytes, where one tile's do not take more.
pub(crate) const MAX_SCRATCH: u64 = 64 << 20;

/// What is needed of a device, and what it offers: the limit's name, and both.
pub(crate) type Demand = (&'static str, u64, u64);

/// A box of results, whose parts are all in the scratch memory when they are added up.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Slab<const D: usize> {
    pub(crate) ranges: [Range<usize>; D],
    /// The parts that each dispatch adds up.
    pub(crate) dispatches: Vec<Range<usize>>,
}

/// Cuts a box of results, whose sums are cut into `parts`, into slabs and these into dispatches. `demands` are those of a
/// slab, or of some of its parts.
///
/// # Errors
/// The demand that is furthest beyond its limit, where nothing can be cut any more.
pub(crate) fn slabs<const D: usize>(
    whole: [Range<usize>; D],
    parts: usize,
    demands: impl Fn(&[Range<usize>; D], Option<&Range<usize>>) -> Vec<Demand>,
) -> Result<Vec<Slab<D>>, Demand> {
    let excess = |demands: &[Demand]| -> f64 {
        demands.iter().map(|&(_, needed, limit)| (needed as f64 / limit as f64).log2().max(0.0)).sum()
    };
    // By how many halvings a slab is too large, as its parts one by one.
    let too_large = |ranges: &[Range<usize>; D]| {
        match excess(&demands(ranges, None)) {
            0.0 => (0..parts).map(|part| excess(&demands(ranges, Some(&(part..part + 1))))).fold(0.0, f64::max),
            // No cut of the parts makes it fit: it counts more than all that they need.
            slab => 1e3 + slab,
        }
    };
    let mut slabs: Vec<Slab<D>> = Vec::new();
    let mut count = 0;
    let mut pending = vec![whole];
    while let Some(ranges) = pending.pop() {
        if too_large(&ranges) > 0.0 {
            let halves = (0..D).filter(|&dimension| ranges[dimension].len() > 1).map(|dimension| {
                let Range { start, end } = ranges[dimension];
                let middle = start.midpoint(end);
                let with = |range: Range<usize>| {
                    let mut ranges = ranges.clone();
                    ranges[dimension] = range;
                    ranges
                };
                let halves = [with(start..middle), with(middle..end)];
                (halves.iter().map(too_large).fold(0.0, f64::max), halves)
            });
            let Some((_, [low, high])) = halves.min_by(|(a, _), (b, _)| a.total_cmp(b)) else {
                let single = (0..parts).flat_map(|part| demands(&ranges, Some(&(part..part + 1))));
                let share = |&(_, needed, limit): &Demand| needed as f64 / limit as f64;
                let all = single.chain(demands(&ranges, None));
                return Err(all.max_by(|a, b| share(a).total_cmp(&share(b))).unwrap_or_default());
            };
            pending.extend([high, low]);
            continue;
        }
        let mut dispatches = Vec::new();
        let mut left: Vec<Range<usize>> = (parts > 0).then_some(0..parts).into_iter().collect();
        while let Some(range) = left.pop() {
            if excess(&demands(&ranges, Some(&range))) == 0.0 {
                dispatches.push(range);
            } else {
                let middle = range.start.midpoint(range.end);
                left.extend([middle..range.end, range.start..middle]);
            }
        }
        count += dispatches.len() + 1;
        if count + pending.len() > MAX_DISPATCHES {
            return Err(("max_dispatches", (count + pending.len()) as u64, MAX_DISPATCHES as u64));
        }
        slabs.push(Slab { ranges, dispatches });
    }
    Ok(slabs)
}

/// The window around some elements of `size` bytes, from a multiple of the device's alignment and of four elements on, to
/// one of four elements where `vectors` are read.
pub(crate) fn window(elements: &Range<u64>, size: u64, vectors: bool, profile: &DeviceProfile) -> Window {
    let unit = profile.binding_alignment;
    // Both are multiples of 4; a device's alignment is a power of two.
    let unit = if unit.is_multiple_of(16) { unit } else { unit * 4 };
    let offset = elements.start * size / unit * unit;
    let end = (elements.end.max(elements.start + 1) * size).next_multiple_of(if vectors { 4 * size } else { 4 });
    Window { offset, size: end - offset }
}

/// The largest part of a buffer that a kernel sees, for elements of `size` bytes: its indices are `i32`.
pub(crate) fn largest_window(size: u64, profile: &DeviceProfile) -> u64 {
    profile.max_binding.min(MAX_ELEMENTS * size) & !3
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Cells of a plane, some parts of each, and a limit of what a dispatch takes.
    fn cut(parts: usize, most: u64) -> Result<Vec<Slab<2>>, Demand> {
        slabs([0..5, 0..3], parts, |ranges, parts| {
            let cells = (ranges[0].len() * ranges[1].len()) as u64;
            match parts {
                None => vec![("slab", cells, 8)],
                Some(parts) => vec![("dispatch", cells * parts.len() as u64, most)],
            }
        })
    }

    #[test]
    fn slabs_and_dispatches_cover_everything_once() {
        for (parts, most) in [(0, 1), (1, 1), (7, 1), (7, 4), (7, 100)] {
            let slabs = cut(parts, most).unwrap();
            let mut seen = [[0; 3]; 5];
            for Slab { ranges, dispatches } in &slabs {
                let covered: Vec<usize> = dispatches.iter().cloned().flatten().collect();
                assert_eq!(covered, (0..parts).collect::<Vec<_>>());
                for y in ranges[0].clone() {
                    ranges[1].clone().for_each(|x| seen[y][x] += 1);
                }
            }
            assert_eq!(seen, [[1; 3]; 5]);
        }
        assert_eq!(cut(7, 0).unwrap_err(), ("dispatch", 1, 0));
    }

    #[test]
    fn windows_are_aligned_and_hold_what_is_read() {
        let profile = DeviceProfile { binding_alignment: 4, ..DeviceProfile::default() };
        assert_eq!(window(&(7..9), 4, true, &profile), Window { offset: 16, size: 32 });
        assert_eq!(window(&(7..9), 2, false, &profile), Window { offset: 0, size: 20 });
        assert_eq!(window(&(70..70), 4, false, &DeviceProfile::default()), Window { offset: 256, size: 28 });
    }
}
