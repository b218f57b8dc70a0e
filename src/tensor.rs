//! Host tensors: a shape and contiguous data in C order (the last axis varies fastest).

use crate::error::{Error, Result};
use half::{bf16, f16};

pub use crate::dtype::DType;
pub use crate::view::{DataMut, DataView, TensorView};

pub(crate) use crate::view::{check_len, element_count};

/// The elements of a [`Tensor`].
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Data {
    /// binary16
    F16(Vec<f16>),
    /// bfloat16
    Bf16(Vec<bf16>),
    /// binary32
    F32(Vec<f32>),
    /// binary64
    F64(Vec<f64>),
}

impl Data {
    /// The elements, borrowed.
    pub fn view(&self) -> DataView<'_> {
        match self {
            Data::F16(v) => DataView::F16(v),
            Data::Bf16(v) => DataView::Bf16(v),
            Data::F32(v) => DataView::F32(v),
            Data::F64(v) => DataView::F64(v),
        }
    }

    /// The number of elements.
    pub fn len(&self) -> usize {
        self.view().len()
    }

    /// Whether there is no element.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A dense array on the host. What its axes mean is said by the operation that reads it.
///
/// ```
/// use upconv::{DType, Tensor};
/// # fn main() -> upconv::Result<()> {
/// let x = Tensor::f32([1, 2, 3], [0.5, 1.0, 1.5, 2.0, 2.5, 3.0])?;
/// assert_eq!((x.shape(), x.dtype()), (&[1, 2, 3][..], DType::F32));
/// assert_eq!(x.as_f32().map(|elements| elements[3]), Some(2.0)); // [0, 1, 0]
/// assert_eq!(x.cast(DType::F16).to_f32(), x.to_f32()); // these are numbers of f16
/// assert!(Tensor::f32([2, 2], [1.0]).is_err(), "one element does not fill four");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    shape: Vec<usize>,
    data: Data,
}

macro_rules! element {
    ($($variant:ident $element:ty, $constructor:ident $getter:ident $what:literal),*) => {
        $(
            impl From<Vec<$element>> for Data {
                fn from(elements: Vec<$element>) -> Self {
                    Data::$variant(elements)
                }
            }
        )*

        impl Tensor {
            $(
                #[doc = concat!("A tensor of ", $what, " elements.")]
                ///
                /// # Errors
                /// As [`Tensor::new`].
                pub fn $constructor(shape: impl Into<Vec<usize>>, data: impl Into<Vec<$element>>) -> Result<Self> {
                    Self::new(shape, data.into())
                }

                #[doc = concat!("The elements if they are ", $what, ".")]
                pub fn $getter(&self) -> Option<&[$element]> {
                    self.view().$getter()
                }
            )*
        }

        impl TensorView<'_> {
            /// A tensor of `shape` with the elements at these flat indices, which may come in any order and number.
            ///
            /// # Errors
            /// [`Error::OutOfRange`] for an index that is no element's, and as [`Tensor::new`].
            pub fn select(
                &self,
                shape: impl Into<Vec<usize>>,
                indices: impl IntoIterator<Item = usize>,
            ) -> Result<Tensor> {
                let data = match self.data() {
                    $(DataView::$variant(elements) => Data::$variant(picked(elements, indices)?),)*
                };
                Tensor::new(shape, data)
            }
        }
    };
}
element!(
    F16 f16, f16 as_f16 "binary16",
    Bf16 bf16, bf16 as_bf16 "bfloat16",
    F32 f32, f32 as_f32 "binary32",
    F64 f64, f64 as_f64 "binary64"
);

impl Tensor {
    /// A tensor of `shape` over `data`, in C order.
    ///
    /// # Errors
    /// [`Error::DataLength`] where the data do not fill the shape, [`Error::Overflow`] where the shape's product does
    /// not fit.
    pub fn new(shape: impl Into<Vec<usize>>, data: impl Into<Data>) -> Result<Self> {
        let (shape, data) = (shape.into(), data.into());
        check_len(&shape, data.len())?;
        Ok(Self { shape, data })
    }

    /// The same elements, in C order, with another shape.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn reshape(self, shape: impl Into<Vec<usize>>) -> Result<Self> {
        Self::new(shape, self.data)
    }

    /// A tensor whose data are known to fill its shape.
    #[cfg(feature = "ndarray")]
    pub(crate) fn filled(shape: Vec<usize>, data: Data) -> Self {
        Self { shape, data }
    }

    /// This tensor, borrowed.
    pub fn view(&self) -> TensorView<'_> {
        TensorView::filled(&self.shape, self.data.view())
    }

    /// The extent of each axis.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The elements, in C order.
    pub fn data(&self) -> &Data {
        &self.data
    }

    /// The elements, without a copy.
    pub fn into_data(self) -> Data {
        self.data
    }

    /// The element type.
    pub fn dtype(&self) -> DType {
        self.view().dtype()
    }

    /// The elements as f32: f64 is rounded to nearest, the others are exact.
    pub fn to_f32(&self) -> Vec<f32> {
        self.view().to_f32()
    }

    /// The elements as f64, exactly.
    pub fn to_f64(&self) -> Vec<f64> {
        self.view().to_f64()
    }

    /// [`to_f32`](Self::to_f32), without a copy where the type is the same.
    pub fn into_f32(self) -> Vec<f32> {
        match self.data {
            Data::F32(elements) => elements,
            _ => self.to_f32(),
        }
    }

    /// [`cast`](Self::cast), without a copy where the type is the same.
    pub fn into_dtype(self, dtype: DType) -> Self {
        if dtype == self.dtype() { self } else { self.cast(dtype) }
    }

    /// This tensor with its elements converted to `dtype`, each rounded once: to nearest, ties to even.
    pub fn cast(&self, dtype: DType) -> Self {
        self.view().cast(dtype)
    }
}

impl TensorView<'_> {
    /// A tensor of these elements.
    pub fn to_tensor(&self) -> Tensor {
        self.cast(self.dtype())
    }

    /// A tensor of these elements converted to `dtype`, each rounded once: to nearest, ties to even.
    pub fn cast(&self, dtype: DType) -> Tensor {
        let data = match dtype {
            DType::F16 => self.to_f16().into(),
            DType::Bf16 => self.to_bf16().into(),
            DType::F32 => self.to_f32().into(),
            DType::F64 => self.to_f64().into(),
        };
        Tensor { shape: self.shape().to_vec(), data }
    }
}

impl<'a> From<&'a Tensor> for TensorView<'a> {
    fn from(tensor: &'a Tensor) -> Self {
        tensor.view()
    }
}

impl<'a> From<&TensorView<'a>> for TensorView<'a> {
    fn from(view: &TensorView<'a>) -> Self {
        *view
    }
}

/// A bias, or none: `None`, `&tensor`, `Some(&tensor)` and a [`TensorView`] convert to it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Bias<'a>(pub Option<TensorView<'a>>);

impl<'a> From<Option<&'a Tensor>> for Bias<'a> {
    fn from(bias: Option<&'a Tensor>) -> Self {
        Self(bias.map(Tensor::view))
    }
}

impl<'a> From<&'a Tensor> for Bias<'a> {
    fn from(bias: &'a Tensor) -> Self {
        Self(Some(bias.view()))
    }
}

impl<'a> From<TensorView<'a>> for Bias<'a> {
    fn from(bias: TensorView<'a>) -> Self {
        Self(Some(bias))
    }
}

fn picked<T: Copy>(elements: &[T], indices: impl IntoIterator<Item = usize>) -> Result<Vec<T>> {
    let pick = |index: usize| {
        elements.get(index).copied().ok_or_else(|| Error::OutOfRange {
            what: "index of an element".into(),
            given: index as i128,
            expected: format!("below {}", elements.len()),
        })
    };
    indices.into_iter().map(pick).collect()
}

/// A vector of `len` times the same element, or an error where there is no memory for it.
///
/// # Errors
/// [`Error::Memory`].
pub(crate) fn filled<T: Clone>(what: &'static str, value: T, len: usize) -> Result<Vec<T>> {
    let mut elements = reserved(what, len as u128)?;
    elements.resize(len, value);
    Ok(elements)
}

/// A vector with room for `len` elements, or an error where there is no memory for it.
///
/// # Errors
/// [`Error::Memory`].
pub(crate) fn reserved<T>(what: &'static str, len: u128) -> Result<Vec<T>> {
    let mut elements = Vec::new();
    match usize::try_from(len).map(|len| elements.try_reserve_exact(len)) {
        Ok(Ok(())) => Ok(elements),
        _ => Err(Error::Memory { what, bytes: len.saturating_mul(size_of::<T>() as u128) }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_must_fill_the_shape() {
        let error = Tensor::f32([2, 3], [0.0; 5]).unwrap_err();
        assert_eq!(error.to_string(), "shape [2, 3] holds 6 elements, but 5 were given");
        assert!(matches!(Tensor::f32([usize::MAX, 2, 0], []), Err(Error::Overflow { .. })));
        assert_eq!(Tensor::f32([0, 4], []).unwrap().shape(), [0, 4]);
    }

    #[test]
    fn casts_round_to_nearest() {
        let x = Tensor::new([3], Data::F64(vec![1.0 + 1.0 / 2048.0, 65520.0, -0.1])).unwrap();
        assert_eq!(x.cast(DType::F16).to_f64(), [1.0, f64::INFINITY, -0.0999755859375]);
        assert_eq!(x.cast(DType::F32).dtype(), DType::F32);
        // Just above a midpoint.
        let above = Tensor::f32([1], [f32::from_bits(0x3f808001)]).unwrap();
        assert_eq!(above.cast(DType::Bf16).to_f64(), [1.0078125]);
        let above = Tensor::f64([1], [1.0 + 2f64.powi(-11) + 2f64.powi(-40)]).unwrap();
        assert_eq!(above.cast(DType::F16).to_f64(), [1.0009765625]);
    }
}
