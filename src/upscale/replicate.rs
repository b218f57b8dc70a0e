//! The borders of pictures.

use crate::error::{Error, Result};
use crate::tensor::{Tensor, TensorView, element_count, filled};

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
    let inner = |padded: usize, extent: usize| padded.saturating_sub(before).min(extent - 1);
    let shape = [batch, c, h + before + after, w + before + after];
    let mut out = filled("a padded picture", 0.0, element_count(&shape)?)?;
    for (plane, from) in out.chunks_exact_mut(shape[2] * shape[3]).zip(data.chunks_exact(h * w)) {
        for (y, row) in plane.chunks_exact_mut(shape[3]).enumerate() {
            let from = &from[inner(y, h) * w..][..w];
            row.iter_mut().enumerate().for_each(|(x, to)| *to = from[inner(x, w)]);
        }
    }
    Tensor::f32(shape, out)
}
