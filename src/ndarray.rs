//! From and to the arrays of `ndarray` (feature `ndarray`): of f16, bfloat16, f32 or f64, with any number of axes.
//!
//! ```
//! use ndarray::{ArrayD, array};
//! use upconv::{ConvTranspose, Tensor, TensorView, reference};
//! # fn main() -> upconv::Result<()> {
//! let op = ConvTranspose::builder().kernel([2]).stride([2]).build()?;
//! let (x, k) = (array![[[1.0_f32, 2.0]]], array![[[1.0_f32, 10.0]]]);
//! let y = reference::run(&op, TensorView::try_from(&x)?, TensorView::try_from(&k)?, None)?; // no copy of x and k
//! let y = ArrayD::<f32>::try_from(y)?; // no copy either
//! assert_eq!(y, array![[[1.0, 10.0, 2.0, 20.0]]].into_dyn());
//! # Ok(())
//! # }
//! ```

use crate::error::{Error, Result};
use crate::tensor::{Data, DataMut, DataView, Tensor, TensorView};
use ::ndarray::{Array, ArrayBase, ArrayD, ArrayViewD, DataMut as WritableData, Dimension, RawData};
use half::{bf16, f16};

/// Borrows an array in C order; [`Error::Strides`] for any other.
impl<'a, S, D> TryFrom<&'a ArrayBase<S, D>> for TensorView<'a>
where
    S: ::ndarray::Data,
    D: Dimension,
    &'a [S::Elem]: Into<DataView<'a>>,
{
    type Error = Error;

    fn try_from(array: &'a ArrayBase<S, D>) -> Result<Self> {
        let elements = array.as_slice().ok_or_else(|| strides(array))?;
        Self::new(array.shape(), elements)
    }
}

/// Borrows an array in C order to write into it; [`Error::Strides`] for any other.
impl<'a, S, D> TryFrom<&'a mut ArrayBase<S, D>> for DataMut<'a>
where
    S: WritableData,
    D: Dimension,
    &'a mut [S::Elem]: Into<DataMut<'a>>,
{
    type Error = Error;

    fn try_from(array: &'a mut ArrayBase<S, D>) -> Result<Self> {
        if !array.is_standard_layout() {
            return Err(strides(array));
        }
        Ok(array.as_slice_mut().unwrap_or_default().into())
    }
}

/// Takes an array's elements: those in C order without a copy.
impl<T: Clone, D: Dimension> From<Array<T, D>> for Tensor
where
    Data: From<Vec<T>>,
{
    fn from(array: Array<T, D>) -> Self {
        let (shape, len) = (array.shape().to_vec(), array.len());
        if !array.is_standard_layout() {
            return Self::filled(shape, array.iter().cloned().collect::<Vec<_>>().into());
        }
        let (mut elements, offset) = array.into_raw_vec_and_offset();
        elements.truncate(offset.unwrap_or(0) + len);
        elements.drain(..offset.unwrap_or(0));
        Self::filled(shape, elements.into())
    }
}

fn strides<S: RawData, D: Dimension>(array: &ArrayBase<S, D>) -> Error {
    Error::Strides { shape: array.shape().to_vec(), strides: array.strides().to_vec() }
}

macro_rules! to_array {
    ($($variant:ident $element:ty),*) => {$(
        /// Takes a tensor's elements without a copy; [`Error::DType`] for another element type.
        impl TryFrom<Tensor> for ArrayD<$element> {
            type Error = Error;

            fn try_from(tensor: Tensor) -> Result<Self> {
                let (shape, given) = (tensor.shape().to_vec(), tensor.dtype());
                match tensor.into_data() {
                    Data::$variant(elements) => Self::from_shape_vec(shape, elements).map_err(|error| refused(&error)),
                    _ => Err(Error::DType { what: "tensor", given, expected: crate::DType::$variant.name() }),
                }
            }
        }

        /// Borrows a tensor's elements; [`Error::DType`] for another element type.
        impl<'a> TryFrom<TensorView<'a>> for ArrayViewD<'a, $element> {
            type Error = Error;

            fn try_from(tensor: TensorView<'a>) -> Result<Self> {
                match tensor.data() {
                    DataView::$variant(elements) => {
                        Self::from_shape(tensor.shape(), elements).map_err(|error| refused(&error))
                    }
                    _ => {
                        let (given, expected) = (tensor.dtype(), crate::DType::$variant.name());
                        Err(Error::DType { what: "tensor", given, expected })
                    }
                }
            }
        }
    )*};
}
to_array!(F16 f16, Bf16 bf16, F32 f32, F64 f64);

fn refused(error: &::ndarray::ShapeError) -> Error {
    Error::Overflow { what: "shape of an array", detail: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ::ndarray::{Axis, arr0, array, s};

    #[test]
    fn arrays_are_borrowed_where_they_are_in_c_order() {
        let array = array![[1.0_f32, 2.0, 3.0], [4.0, 5.0, 6.0]];
        let view = TensorView::try_from(&array).unwrap();
        assert_eq!((view.shape(), view.as_f32()), (&[2, 3][..], array.as_slice()));
        let rows = array.slice(s![1.., ..]);
        assert_eq!(TensorView::try_from(&rows).unwrap().as_f32(), Some(&[4.0, 5.0, 6.0][..]));
        let columns = array.slice(s![.., 1..]);
        assert_eq!(
            TensorView::try_from(&columns).unwrap_err().to_string(),
            "the array of shape [2, 2] has strides [3, 1], expected C order without gaps: copy it, for instance with \
             as_standard_layout()"
        );
        assert!(TensorView::try_from(&array.t()).is_err());
        let halves = array.mapv(f16::from_f32).into_dyn();
        assert_eq!(TensorView::try_from(&halves).unwrap().as_f16(), halves.as_slice());
    }

    #[test]
    fn arrays_become_tensors_in_any_order() {
        let array = array![[1.0_f64, 2.0, 3.0], [4.0, 5.0, 6.0]];
        let turned = Tensor::from(array.t().to_owned());
        assert_eq!((turned.shape(), turned.as_f64()), (&[3, 2][..], Some(&[1.0, 4.0, 2.0, 5.0, 3.0, 6.0][..])));
        // A part of an array that keeps the whole one's memory.
        let mut part = array.clone();
        part.slice_collapse(s![1.., 1..]);
        let tensor = Tensor::from(part);
        assert_eq!((tensor.shape(), tensor.as_f64()), (&[1, 2][..], Some(&[5.0, 6.0][..])));
        let mut mirrored = array![1.0_f32, 2.0, 3.0];
        mirrored.invert_axis(Axis(0));
        assert_eq!(Tensor::from(mirrored).as_f32(), Some(&[3.0, 2.0, 1.0][..]));
        assert_eq!(Tensor::from(Array::<bf16, _>::from_elem((0, 2), bf16::ONE)).shape(), [0, 2]);
        assert_eq!(Tensor::from(arr0(7.0_f32)).as_f32(), Some(&[7.0][..]));
    }

    #[test]
    fn tensors_become_arrays_and_views() {
        let tensor = Tensor::f32([1, 2, 2], [1.0, 2.0, 3.0, 4.0]).unwrap();
        let view = ArrayViewD::<f32>::try_from(tensor.view()).unwrap();
        assert_eq!(view, array![[[1.0, 2.0], [3.0, 4.0]]].into_dyn());
        assert_eq!(
            ArrayD::<f16>::try_from(tensor.clone()).unwrap_err().to_string(),
            "tensor is float32, expected float16"
        );
        assert_eq!(ArrayD::<f32>::try_from(tensor).unwrap(), array![[[1.0, 2.0], [3.0, 4.0]]].into_dyn());
    }

    #[test]
    fn results_are_written_into_arrays() {
        let op = crate::ConvTranspose::builder().kernel([1]).build().unwrap();
        let (x, w, mut y) = (array![[[2.0_f64, 3.0]]], array![[[0.5_f64]]], Array::<f32, _>::zeros((1, 1, 2)));
        let [x, w] = [&x, &w].map(|array| TensorView::try_from(array).unwrap());
        let output = DataMut::try_from(&mut y).unwrap();
        crate::reference::run_into(&op, x, w, None, output).unwrap();
        assert_eq!(y, array![[[1.0_f32, 1.5]]]);
        assert!(DataMut::try_from(&mut y.permuted_axes([2, 1, 0])).is_ok(), "axes of one element have no order");
        let mut square = Array::<f32, _>::zeros((2, 2));
        square.swap_axes(0, 1);
        assert!(matches!(DataMut::try_from(&mut square), Err(Error::Strides { .. })));
    }
}
