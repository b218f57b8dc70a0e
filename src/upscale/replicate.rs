//! The borders of pictures.

use crate::error::{Error, Result};
use crate::tensor::{Tensor, TensorView};

/// Replicates the outermost pixels of a picture `[batch, channels, h, w]`, as f32: so many times above and to the left,
/// and so many times below and to the right.
pub(super) fn replicate(picture: TensorView<'_>, channels: usize, [before, after]: [usize; 2]) -> Result<Tensor> {
    let [batch, c, h, w] = match *picture.shape() {
        [n, c, h, w] if c == channels && h > 0 && w > 0 => [n, c, h, w],
        ref given => {
            let expected = format!("[batch, {channels}, h, w] with h and w at least 1");
            return Err(Error::Shape { what: "picture", given: given.to_vec(), expected });
        }
    };
    let data = picture.f32_cow();
    let padded = |extent: usize| (0..extent + before + after).map(move |i| i.saturating_sub(before).min(extent - 1));
    let [height, width] = [h, w].map(|extent| extent + before + after);
    let mut out = Vec::with_capacity(batch * c * height * width);
    for plane in data.chunks_exact(h * w) {
        for y in padded(h) {
            let row = &plane[y * w..][..w];
            out.extend(padded(w).map(|x| row[x]));
        }
    }
    Tensor::f32([batch, c, height, width], out)
}
