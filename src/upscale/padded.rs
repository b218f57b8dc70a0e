//! The borders of pictures.

use crate::error::{Error, Result};
use crate::tensor::{Tensor, TensorView, element_count, filled};

/// A picture `[batch, channels, h, w]`, as f32, with so many pixels more before the first and behind the last row and column;
/// `pixel` says which pixel of so many stands at a coordinate.
pub(super) fn padded(
    picture: TensorView<'_>,
    channels: usize,
    around: impl Fn(usize) -> [usize; 2],
    pixel: impl Fn(i64, usize) -> usize,
) -> Result<Tensor> {
    let [batch, c, h, w] = match *picture.shape() {
        [n, c, h, w] if c == channels && h > 0 && w > 0 => [n, c, h, w],
        ref given => {
            let expected = format!("[batch, {channels}, h, w] with h and w at least 1");
            return Err(Error::Shape { what: "picture", given: given.to_vec(), expected });
        }
    };
    let data = picture.f32_cow();
    let places = |extent: usize| -> Vec<usize> {
        let [before, after] = around(extent);
        (0..extent + before + after).map(|at| pixel(at as i64 - before as i64, extent)).collect()
    };
    let (rows, columns) = (places(h), places(w));
    let shape = [batch, c, rows.len(), columns.len()];
    let mut out = filled("a padded picture", 0.0, element_count(&shape)?)?;
    for (plane, from) in out.chunks_exact_mut(shape[2] * shape[3]).zip(data.chunks_exact(h * w)) {
        for (row, &y) in plane.chunks_exact_mut(shape[3]).zip(&rows) {
            let from = &from[y * w..][..w];
            row.iter_mut().zip(&columns).for_each(|(to, &x)| *to = from[x]);
        }
    }
    Tensor::f32(shape, out)
}
