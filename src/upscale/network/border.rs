//! The proof that a border suffices: no output that is kept depends on anything beyond it, at any layer.

use crate::op::ConvTranspose;
use crate::upscale::resample::MAX_SCALE;

/// The largest border of a network.
pub const MAX_BORDER: usize = 1024;

/// How much is to be cut off each side of the output; or why the border or the scale is wrong.
///
/// A layer's extents grow by its stride with each pixel of the picture, and what an output reads lies at fixed
/// distances from both ends, so that two sizes of a picture speak for all.
pub(super) fn fit(operations: &[ConvTranspose], scale: usize, border: usize) -> Result<usize, String> {
    if !(1..=MAX_SCALE).contains(&scale) {
        return Err(format!("scale is {scale}, expected 1 to {MAX_SCALE}"));
    }
    if border > MAX_BORDER {
        return Err(format!("border is {border}, expected 0 to {MAX_BORDER}"));
    }
    let mut crops = Vec::new();
    for axis in 0..2 {
        for pixels in [1, 2] {
            let mut extents = vec![pixels + 2 * border];
            for (index, op) in operations.iter().enumerate() {
                let before = extents[index];
                let extent = op.axes()[axis].output_extent(axis, before);
                extents.push(extent.map_err(|error| format!("layer {index}, with a border of {border}: {error}"))?);
            }
            let made = extents[operations.len()];
            let surplus = made.checked_sub(scale * pixels).filter(|surplus| surplus % 2 == 0).ok_or_else(|| {
                format!(
                    "of {pixels} pixels with a border of {border} the layers make {made} on axis {axis}, expected \
                     {scale} times the pixels or an even number more"
                )
            })?;
            crops.push(surplus / 2);
            let crop = (surplus / 2) as i64;
            let (mut least, mut most) = (crop, crop + (scale * pixels) as i64 - 1);
            for (index, op) in operations.iter().enumerate().rev() {
                let a = &op.axes()[axis];
                let (stride, reach) = (a.stride as i64, (a.dilation * (a.kernel - 1)) as i64);
                least = -(reach - least - a.pad_begin).div_euclid(stride);
                most = (most + a.pad_begin).div_euclid(stride);
                let last = extents[index] as i64 - 1;
                if least < 0 || most > last {
                    return Err(format!(
                        "a border of {border} does not suffice: on axis {axis} layer {index} reads its input from \
                         {least} to {most}, which goes from 0 to {last}"
                    ));
                }
            }
        }
    }
    match crops[..] {
        [crop, ..] if crops.iter().all(|&other| other == crop) => Ok(crop),
        _ => Err(format!(
            "with a border of {border} the layers make {} times the pixels and not always the same number more \
             ({:?} of 1 and 2 pixels along h, then w)",
            scale,
            crops.iter().map(|crop| 2 * crop).collect::<Vec<_>>()
        )),
    }
}
