//! How a picture lies in what a network reads and makes.

use super::check::{CHANNELS, problem};
use crate::error::Result;
use crate::graph::{Beyond, Graph, Operation};
use crate::op::ConvTranspose;
use crate::upscale::resample::MAX_SCALE;

/// The largest border of a network.
pub const MAX_BORDER: usize = 1024;

/// The largest number that the sides of what a network reads must be multiples of.
pub const MAX_MULTIPLE: usize = 64;

/// The border of a network that makes as much as it reads, and whose layers see zeros beyond: as programs have it that run
/// such networks.
const PADDED_BORDER: usize = 10;

/// A picture for which frames are checked, in pixels along each side.
const LARGE_ENOUGH: usize = 128;

/// What a network reads around a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    /// The factor, 1 to [`MAX_SCALE`].
    pub scale: usize,
    /// The pixels on each side, 0 to [`MAX_BORDER`].
    pub border: usize,
    /// What stands there: not [`Beyond::Zero`].
    pub beyond: Beyond,
    /// The sides of a picture are extended at their ends to multiples of this, 1 to [`MAX_MULTIPLE`].
    pub multiple: usize,
}

impl Frame {
    /// The frame of a border in which the outermost pixels are replicated.
    pub fn new(scale: usize, border: usize) -> Self {
        Self { scale, border, beyond: Beyond::Replicate, multiple: 1 }
    }

    /// What a network reads along a side of so many pixels.
    pub(super) fn read(&self, pixels: usize) -> usize {
        pixels.div_ceil(self.multiple).saturating_mul(self.multiple).saturating_add(2 * self.border)
    }

    /// The pixel that stands at a coordinate, which is 0 for the first pixel of the picture, along a side of so many.
    pub(super) fn pixel(&self, coordinate: i64, pixels: usize) -> usize {
        let last = pixels as i64 - 1;
        let inside = match self.beyond {
            // A picture smaller than the border is mirrored again and again.
            Beyond::Reflect if last > 0 => last - (last - coordinate.rem_euclid(2 * last)).abs(),
            Beyond::Reflect | Beyond::Replicate | Beyond::Zero => coordinate.clamp(0, last),
        };
        inside as usize
    }

    fn check(&self) -> std::result::Result<(), String> {
        let Self { scale, border, beyond, multiple } = *self;
        if !(1..=MAX_SCALE).contains(&scale) {
            return Err(format!("scale is {scale}, expected 1 to {MAX_SCALE}"));
        }
        if border > MAX_BORDER {
            return Err(format!("border is {border}, expected 0 to {MAX_BORDER}"));
        }
        if !(1..=MAX_MULTIPLE).contains(&multiple) {
            return Err(format!("multiple is {multiple}, expected 1 to {MAX_MULTIPLE}"));
        }
        match beyond {
            Beyond::Zero => Err("zeros beyond the picture, expected its pixels replicated or reflected".into()),
            Beyond::Replicate | Beyond::Reflect => Ok(()),
        }
    }

    /// What a graph makes before the picture's first pixel; or why the frame does not fit the graph.
    ///
    /// Extents grow by the same number with each further `multiple` of pixels, so that two sizes speak for all, where they are
    /// large enough for what the graph mirrors.
    pub(super) fn crop(&self, graph: &Graph) -> std::result::Result<usize, String> {
        self.check()?;
        let mut crops = Vec::new();
        let sizes = [0, self.multiple].map(|more| LARGE_ENOUGH.next_multiple_of(self.multiple) + more);
        for pixels in sizes {
            let side = self.read(pixels);
            let shapes = graph.shapes(&[[1, CHANNELS, side, side]]);
            let shapes =
                shapes.map_err(|error| format!("of {pixels} pixels with a border of {}: {error}", self.border))?;
            let made = graph.outputs().first().map(|output| shapes[output.index()][2..].to_vec()).unwrap_or_default();
            for (axis, &made) in made.iter().enumerate() {
                let surplus = made.checked_sub(self.scale * pixels).filter(|surplus| surplus % 2 == 0);
                crops.push(surplus.map(|surplus| surplus / 2).ok_or_else(|| {
                    format!(
                        "of {pixels} pixels with a border of {} the layers make {made} on axis {axis}, expected {} times \
                         the pixels or an even number more",
                        self.border, self.scale
                    )
                })?);
            }
        }
        match crops[..] {
            [crop, ..] if crops.iter().all(|&other| other == crop) => Ok(crop),
            _ => Err(format!(
                "with a border of {} the layers make {} times the pixels and not always the same number more ({:?} of {} \
                 and {} pixels along h, then w)",
                self.border,
                self.scale,
                crops.iter().map(|crop| 2 * crop).collect::<Vec<_>>(),
                sizes[0],
                sizes[1],
            )),
        }
    }

    /// The frame of a graph that says nothing about one: the scale that its extents grow by, the smallest multiple that its
    /// shapes fit together for, and the least border with which it makes enough. Where that is none, but layers see zeros
    /// beyond what they read, a border of 10.
    pub(super) fn of(graph: &Graph) -> Result<Self> {
        let made = |side: usize| -> Option<[usize; 2]> {
            let shapes = graph.shapes(&[[1, CHANNELS, side, side]]).ok()?;
            shapes[graph.outputs().first()?.index()].last_chunk().copied()
        };
        for multiple in (0..).map(|power| 1 << power).take_while(|&multiple| multiple <= MAX_MULTIPLE) {
            // Whatever the border: some sizes, so large that something is left.
            let offsets = (0..multiple).find(|offset| {
                let sizes = (0..4).map(|more| made(512 + offset + more * multiple));
                sizes.into_iter().all(|size| size.is_some())
            });
            let Some(offset) = offsets else { continue };
            let (Some([a, b]), Some([c, d])) = (made(512 + offset), made(512 + offset + multiple)) else { continue };
            let (along_h, along_w) = (c.saturating_sub(a), d.saturating_sub(b));
            if along_h != along_w || along_h % multiple != 0 || along_h == 0 {
                continue;
            }
            let frame = |border: usize| Self { scale: along_h / multiple, border, beyond: Beyond::Replicate, multiple };
            if let Some(border) = (0..=MAX_BORDER).find(|&border| frame(border).crop(graph).is_ok()) {
                let sees_zeros = border == 0 && graph.nodes().iter().any(|node| pads(node.operation()));
                return Ok(frame(if sees_zeros { PADDED_BORDER } else { border }));
            }
        }
        Err(problem(format!(
            "no border of at most {MAX_BORDER} pixels makes of a picture one that is a whole number of times as large"
        )))
    }
}

/// Whether some outputs of a layer read less than others.
fn pads(operation: &Operation) -> bool {
    match operation {
        Operation::Layer(layer) => {
            layer.op.axes().iter().any(|axis| axis.pad_begin < axis.dilation as i64 * (axis.kernel as i64 - 1))
        }
        Operation::Pad(..) => true,
        _ => false,
    }
}

/// Whether a border suffices for layers one after another: no output that is kept depends on anything beyond it, at any
/// layer. Two sizes of a picture speak for all.
pub(super) fn suffices(operations: &[ConvTranspose], frame: Frame, crop: usize) -> std::result::Result<(), String> {
    for axis in 0..2 {
        for pixels in [1, 2] {
            let mut extents = vec![frame.read(pixels)];
            for (index, op) in operations.iter().enumerate() {
                let extent = op.axes()[axis].output_extent(axis, extents[index]);
                extents.push(extent.map_err(|error| format!("layer {index}: {error}"))?);
            }
            let (mut least, mut most) = (crop as i64, (crop + frame.scale * pixels) as i64 - 1);
            for (index, op) in operations.iter().enumerate().rev() {
                let a = &op.axes()[axis];
                let stride = a.stride as i64;
                least = -(a.reach() - least - a.pad_begin).div_euclid(stride);
                most = (most + a.pad_begin).div_euclid(stride);
                let last = extents[index] as i64 - 1;
                if least < 0 || most > last {
                    return Err(format!(
                        "a border of {} does not suffice: on axis {axis} layer {index} reads its input from {least} to \
                         {most}, which goes from 0 to {last}",
                        frame.border
                    ));
                }
            }
        }
    }
    Ok(())
}
