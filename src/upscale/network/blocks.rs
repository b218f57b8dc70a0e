//! Layers that are computed in blocks of 4×4 outputs, and what they need so that a picture in tiles stays the same
//! picture, bit for bit.
//!
//! Winograd's filtering ([`Kernel::Winograd`](crate::Kernel::Winograd)) computes the 16 outputs of a block from 6×6
//! inputs at once: each output depends, in its last bits, on inputs that its own 3×3 taps do not reach. So each layer
//! makes whole blocks, and the one before makes all that these read; the network then reads some pixels more at the
//! bottom and at the right. Blocks begin at the first output of a layer, so that the tiles of a picture must begin at
//! multiples of 4.

use crate::accuracy::Accuracy;
use crate::error::Result;
use crate::op::ConvTranspose;
use crate::winograd::{TILE, wide_three_by_three};

/// The layers in blocks.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Blocks {
    /// The operations, which crop at their ends what no block needs; those in blocks allow the error of the transforms.
    pub(super) operations: Vec<ConvTranspose>,
    /// Which layers are computed in blocks.
    pub(super) blocked: Vec<bool>,
    /// The pixels that the network reads beyond the bottom and the right of what it enlarges.
    pub(super) border_end: usize,
}

/// Puts into blocks the layers for which that pays; `None` where there are none, or where a block would read what
/// another tile has and this one has not. `crop` is what is cut off before the output that is kept, of which there are
/// `scale` for each pixel; `border` is what the network reads before the first pixel.
pub(super) fn blocks(operations: &[ConvTranspose], crop: usize, border: usize) -> Result<Option<Blocks>> {
    let blocked: Vec<bool> = operations.iter().map(wide_three_by_three).collect();
    if !blocked.contains(&true) {
        return Ok(None);
    }
    // What each layer makes, and before them what the network reads, on each axis: so much more than `scale` for each
    // pixel, of which the first that must be right is `first`.
    let mut ends = vec![[crop as i64; 2]];
    let mut firsts = [crop as i64; 2];
    for (op, &blocked) in operations.iter().zip(&blocked).rev() {
        let [last, ..] = &mut ends[..] else { return Ok(None) };
        let block = if blocked { TILE as i64 } else { 1 };
        *last = last.map(|end| end.div_euclid(block) * block + if end.rem_euclid(block) == 0 { 0 } else { block });
        let mut end = [0; 2];
        for (axis, a) in op.axes().iter().enumerate() {
            let stride = a.stride as i64;
            end[axis] = (last[axis] - 1 + a.pad_begin).div_euclid(stride) + 1;
            let first = firsts[axis].div_euclid(block) * block;
            firsts[axis] = -(a.reach() - first - a.pad_begin).div_euclid(stride);
        }
        if firsts.iter().any(|&first| first < 0) {
            return Ok(None);
        }
        ends.insert(0, end);
    }
    // Layers pad both ends alike and blocks read further at the end, so that at least as much is read there as at the
    // beginning.
    let read = ends[0].into_iter().max().unwrap_or_default().max(2 * border as i64);
    ends[0] = [read; 2];
    let cropped = operations.iter().zip(&blocked).zip(ends.windows(2)).map(|((op, &blocked), ends)| {
        let pads: Vec<(i64, i64, usize)> = op
            .axes()
            .iter()
            .enumerate()
            .map(|(axis, a)| {
                let full = (ends[0][axis] - 1) * a.stride as i64 + a.reach() + 1;
                (a.pad_begin, full - a.pad_begin - ends[1][axis], 0)
            })
            .collect();
        let accuracy = if blocked { Accuracy::Normwise } else { Accuracy::Elementwise };
        op.with_pads(&pads)?.to_builder().accuracy(accuracy).build()
    });
    let operations = cropped.collect::<Result<_>>()?;
    Ok(Some(Blocks { operations, blocked, border_end: (read - border as i64) as usize }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layer(channels: [usize; 2], crop: i64) -> ConvTranspose {
        let op = ConvTranspose::builder().in_channels(channels[0]).out_channels(channels[1]).kernel([3, 3]);
        op.padding([crop; 2]).build().unwrap()
    }

    #[test]
    fn each_layer_makes_whole_blocks_of_what_the_next_reads() {
        let double = ConvTranspose::builder().in_channels(64).out_channels(3).kernel([4, 4]).stride([2, 2]);
        let operations =
            [layer([3, 32], 2), layer([32, 64], 2), layer([64, 64], 2), double.padding([3, 3]).build().unwrap()];
        let Blocks { operations, blocked, border_end } = blocks(&operations, 0, 4).unwrap().unwrap();
        assert_eq!(blocked, [false, true, true, false]);
        // The last layer reads 2 pixels more than there are, which is 4 in blocks, from 6, which is 8, from 10, from 12.
        assert_eq!(border_end, 12 - 4);
        for pixels in [8, 40] {
            let mut shape = vec![1, 3, pixels + 12, pixels + 12];
            for (op, extent) in operations.iter().zip([pixels + 10, pixels + 8, pixels + 4, 2 * pixels]) {
                shape = op.at(&shape).unwrap().output_shape();
                assert_eq!(shape[2..], [extent; 2]);
            }
        }
    }

    #[test]
    fn what_would_read_before_the_first_pixel_is_not_put_into_blocks() {
        // Padded with zeros on both sides: what stands before the first output is another tile's.
        assert_eq!(blocks(&[layer([3, 32], 1), layer([32, 32], 1), layer([32, 3], 1)], 0, 0).unwrap(), None);
        assert_eq!(blocks(&[layer([3, 8], 2), layer([8, 3], 2)], 0, 2).unwrap(), None, "few channels");
    }
}
