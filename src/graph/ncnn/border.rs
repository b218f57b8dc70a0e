//! What is cut off pictures, and what is put around them.

use super::layers::{Blob, Maker, told};
use super::param::{Line, Read};
use crate::graph::Beyond;

impl Maker<'_> {
    pub(super) fn crop(&mut self, line: &Line) -> Read<Blob> {
        let from = self.input(line, 0)?;
        let channels = self.channels(from);
        if from.flat {
            return Err("crops a number for each channel".into());
        }
        if line.inputs.len() == 2 {
            line.only(&[0, 1, 2])?;
            let (reference, [x, y, c]) =
                (self.input(line, 1)?, [line.whole(0, 0)?, line.whole(1, 0)?, line.whole(2, 0)?]);
            let wanted = self.channels(reference);
            if reference.flat || c != 0 || wanted != channels {
                return Err(format!("cuts {wanted} channels from {c} on out of {channels}, expected all"));
            }
            let borders = self.borders_to(from, reference, [y, x])?;
            return self.cropped(from, borders);
        }
        if line.inputs.len() != 1 {
            return Err(format!("reads {} blobs, expected 1 or 2", line.inputs.len()));
        }
        if line.has(9) || line.has(10) {
            line.only(&[9, 10, 11])?;
            let (starts, ends, axes) = (line.integers(9)?, line.integers(10)?, line.integers(11)?);
            let axes = if axes.is_empty() { (0..starts.len() as i64).collect() } else { axes };
            if starts.len() != axes.len() || ends.len() != axes.len() {
                return Err(format!("has {} starts and {} ends for {} axes", starts.len(), ends.len(), axes.len()));
            }
            let (mut borders, mut range) = ([[0; 2]; 2], 0..channels);
            for ((axis, start), end) in axes.into_iter().zip(starts).zip(ends) {
                let to_the_end = [0, -233, i64::from(i32::MAX)].contains(&end);
                let axis = if axis < 0 { axis + 3 } else { axis };
                match (axis, usize::try_from(start)) {
                    (0, Ok(start)) => {
                        let end = if to_the_end {
                            channels as i64
                        } else if end < 0 {
                            end + channels as i64
                        } else {
                            end
                        };
                        range = start..usize::try_from(end).unwrap_or(0).min(channels);
                    }
                    (1 | 2, Ok(start)) if to_the_end || end < 0 => {
                        let cut = if to_the_end { 0 } else { end.unsigned_abs() as usize };
                        borders[axis as usize - 1] = [start, cut];
                    }
                    _ => {
                        return Err(format!(
                            "keeps {start} to {end} on axis {axis}, expected a start from the beginning and, behind the \
                             channels, an end from the end"
                        ));
                    }
                }
            }
            let value = self.graph.channels(from.value, range).map_err(told)?;
            return self.cropped(Blob { value, ..from }, borders);
        }
        line.only(&[0, 1, 2, 3, 4, 5, 6, 7, 8])?;
        let rest = [3, 4, 5].map(|key| line.integer(key, 0));
        for extent in rest {
            if extent? != -233 {
                return Err("cuts out a fixed size, expected all but a border".into());
            }
        }
        let borders = [[line.whole(1, 0)?, line.whole(7, 0)?], [line.whole(0, 0)?, line.whole(6, 0)?]];
        let range = line.whole(2, 0)?..channels.saturating_sub(line.whole(8, 0)?);
        let value = self.graph.channels(from.value, range).map_err(told)?;
        self.cropped(Blob { value, ..from }, borders)
    }

    fn cropped(&mut self, blob: Blob, borders: [[usize; 2]; 2]) -> Read<Blob> {
        Ok(Blob { value: self.graph.crop(blob.value, &borders).map_err(told)?, ..blob })
    }

    /// What is cut off a blob, from these offsets on, so that the extents of another are left: the same number at sizes of
    /// the input that differ, or it is none for a graph.
    fn borders_to(&self, from: Blob, to: Blob, begin: [usize; 2]) -> Read<[[usize; 2]; 2]> {
        let mut graph = self.graph.clone();
        for blob in [from, to] {
            // Already an output where both are the same.
            let _ = graph.output(blob.value);
        }
        let inputs: Vec<usize> = graph.inputs().iter().map(|&input| graph.node(input).channels()).collect();
        let ends = |side: usize| -> Option<[i64; 2]> {
            let shapes: Vec<[usize; 4]> = inputs.iter().map(|&channels| [1, channels, side, side]).collect();
            let shapes = graph.shapes(&shapes).ok()?;
            let (from, to) = (&shapes[from.value.index()], &shapes[to.value.index()]);
            Some([0, 1].map(|axis| from[axis + 2] as i64 - to[axis + 2] as i64 - begin[axis] as i64))
        };
        // Strides leave a rest at some sizes; not at all of these.
        let found = (0..16).find_map(|rest| {
            let [small, large] = [ends(256 + rest)?, ends(320 + rest)?];
            (small == large && small.iter().all(|&end| end >= 0)).then_some(small)
        });
        let ends = found.ok_or("cuts off a border that depends on the size of the picture")?;
        Ok([0, 1].map(|axis| [begin[axis], ends[axis] as usize]))
    }

    pub(super) fn padding(&mut self, line: &Line) -> Read<Blob> {
        line.only(&[0, 1, 2, 3, 4])?;
        let blob = self.picture(line)?;
        let [top, bottom, left, right] =
            [line.integer(0, 0)?, line.integer(1, 0)?, line.integer(2, 0)?, line.integer(3, 0)?];
        let sides = [[top, bottom], [left, right]];
        let beyond = match line.whole(4, 0)? {
            0 => Beyond::Zero,
            1 => Beyond::Replicate,
            2 => Beyond::Reflect,
            other => return Err(format!("has padding of type {other}, expected 0 to 2")),
        };
        let part = |sign: i64| sides.map(|side| side.map(|pad| (pad * sign).clamp(0, 1 << 30) as usize));
        let blob = self.cropped(blob, part(-1))?;
        Ok(Blob { value: self.graph.pad(blob.value, &part(1), beyond).map_err(told)?, ..blob })
    }
}
