//! The other side of the definition: the convolution that is transposed, as loops and as a matrix.

use crate::error::{Error, Result};
use crate::op::ConvTranspose;
use crate::tensor::{Tensor, TensorView, filled, reserved};

/// The matrix W of the ordinary convolution, for one item of the batch; row-major.
///
/// The convolution is `vec(conv(Y)) = W·vec(Y)`, its transpose, which is our operation, `vec(y) = Wᵀ·vec(x)`: the last
/// section of *Dive into Deep Learning* 14.10.
#[derive(Clone, Debug, PartialEq)]
pub struct Matrix {
    /// One row for each element of the operation's input.
    pub rows: usize,
    /// One column for each element of the operation's output.
    pub columns: usize,
    /// The elements, row after row.
    pub data: Vec<f64>,
}

impl Matrix {
    /// `W·v`: the ordinary convolution.
    pub fn multiply(&self, v: &[f64]) -> Vec<f64> {
        self.data.chunks(self.columns).map(|row| row.iter().zip(v).map(|(w, v)| w * v).sum()).collect()
    }

    /// `Wᵀ·v`: the transposed convolution.
    pub fn multiply_transposed(&self, v: &[f64]) -> Vec<f64> {
        let mut product = vec![0.0; self.columns];
        for (row, v) in self.data.chunks(self.columns).zip(v) {
            for (sum, w) in product.iter_mut().zip(row) {
                *sum += w * v;
            }
        }
        product
    }
}

/// The explicit matrix of the convolution that `op` transposes, at an input shape of `op`.
///
/// It asks of each pair of an input and an output element which tap joins them, if any: neither how the scatter nor
/// how the phase table goes about it. For small shapes: it has `input × output` elements.
///
/// # Errors
/// Shapes that do not fit the operation, [`Error::Memory`].
pub fn matrix<'a>(op: &ConvTranspose, input_shape: &[usize], weight: impl Into<TensorView<'a>>) -> Result<Matrix> {
    let weight = weight.into();
    op.check_parameters(weight.shape(), None)?;
    let geometry = op.at(input_shape)?;
    let (xs, ys) = (geometry.input_strides(), geometry.output_strides());
    let (in_group, out_group) = (op.in_channels() / op.groups(), op.out_channels() / op.groups());
    let ws = op.weight_layout().strides(op.in_channels(), out_group, &op.axes3().map(|axis| axis.kernel));
    let (rows, columns) = (xs.batch, ys.batch);
    let weight = weight.to_f64();
    let mut data = reserved("the matrix", rows as u128 * columns as u128)?;
    data.resize(rows * columns, 0.0);
    for i in positions(geometry.input) {
        for o in positions(geometry.output) {
            let taps = [0, 1, 2].map(|a| {
                let axis = &op.axes3()[a];
                let reach = axis.full_coordinate(o[a] as i64) - i[a] as i64 * axis.stride as i64;
                let dilation = axis.dilation as i64;
                (reach >= 0 && reach % dilation == 0 && reach / dilation < axis.kernel as i64)
                    .then_some((reach / dilation) as usize)
            });
            let [Some(kz), Some(ky), Some(kx)] = taps else { continue };
            for ci in 0..op.in_channels() {
                for o_in_group in 0..out_group {
                    let co = ci / in_group * out_group + o_in_group;
                    let row = ci * xs.channel + offset(&i, &xs.spatial);
                    let column = co * ys.channel + offset(&o, &ys.spatial);
                    data[row * columns + column] =
                        weight[ci * ws.input + o_in_group * ws.output + offset(&[kz, ky, kx], &ws.spatial)];
                }
            }
        }
    }
    Ok(Matrix { rows, columns, data })
}

/// The ordinary convolution that `op` transposes, without bias and activation, in f64: `y` has the shape of `op`'s
/// output at `input_shape`, the result has `input_shape`.
///
/// `<conv(y), x> = <y, conv_transpose(x)>` for all x and y; and `conv_transpose(conv(y))` has y's shape.
///
/// # Errors
/// Shapes that do not fit the operation, [`Error::Memory`].
pub fn conv<'a>(
    op: &ConvTranspose,
    input_shape: &[usize],
    y: impl Into<TensorView<'a>>,
    weight: impl Into<TensorView<'a>>,
) -> Result<Tensor> {
    let (y, weight) = (y.into(), weight.into());
    op.check_parameters(weight.shape(), None)?;
    let geometry = op.at(input_shape)?;
    if y.shape() != geometry.output_shape() {
        return Err(Error::Shape {
            what: "convolved tensor",
            given: y.shape().to_vec(),
            expected: format!("{:?}", geometry.output_shape()),
        });
    }
    let (xs, ys) = (geometry.input_strides(), geometry.output_strides());
    let (in_group, out_group) = (op.in_channels() / op.groups(), op.out_channels() / op.groups());
    let kernel = op.axes3().map(|axis| axis.kernel);
    let ws = op.weight_layout().strides(op.in_channels(), out_group, &kernel);
    let (y, weight) = (y.to_f64(), weight.to_f64());
    let mut x = filled("the convolution", 0.0, geometry.input_len())?;
    for n in 0..geometry.batch {
        for ci in 0..op.in_channels() {
            for i in positions(geometry.input) {
                let mut sum = 0.0;
                for o_in_group in 0..out_group {
                    let co = ci / in_group * out_group + o_in_group;
                    for k in positions(kernel) {
                        let o = [0, 1, 2].map(|a| {
                            let axis = &op.axes3()[a];
                            let at = i[a] as i64 * axis.stride as i64 + k[a] as i64 * axis.dilation as i64;
                            let (at, kept) = (at - axis.pad_begin, axis.decimation as i64);
                            if at.rem_euclid(kept) == 0 { at.div_euclid(kept) } else { -1 }
                        });
                        if o.iter().zip(&geometry.output).all(|(&o, &extent)| (0..extent as i64).contains(&o)) {
                            let at = n * ys.batch + co * ys.channel + offset(&o.map(|o| o as usize), &ys.spatial);
                            sum += y[at] * weight[ci * ws.input + o_in_group * ws.output + offset(&k, &ws.spatial)];
                        }
                    }
                }
                x[n * xs.batch + ci * xs.channel + offset(&i, &xs.spatial)] = sum;
            }
        }
    }
    Tensor::f64(geometry.input_shape(), x)
}

fn positions([d, h, w]: [usize; 3]) -> impl Iterator<Item = [usize; 3]> {
    (0..d * h * w).map(move |at| [at / (h * w), at / w % h, at % w])
}

fn offset(position: &[usize; 3], strides: &[usize; 3]) -> usize {
    position.iter().zip(strides).map(|(p, s)| p * s).sum()
}
