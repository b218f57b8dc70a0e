//! Borrowed tensors: what the operations read, and where they write.

use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::rounding::{to_bf16, to_f16};
use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};
use std::borrow::Cow;

/// Borrowed elements.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum DataView<'a> {
    /// binary16
    F16(&'a [f16]),
    /// bfloat16
    Bf16(&'a [bf16]),
    /// binary32
    F32(&'a [f32]),
    /// binary64
    F64(&'a [f64]),
}

/// Elements to be written.
#[derive(Debug, PartialEq)]
#[non_exhaustive]
pub enum DataMut<'a> {
    /// binary16
    F16(&'a mut [f16]),
    /// bfloat16
    Bf16(&'a mut [bf16]),
    /// binary32
    F32(&'a mut [f32]),
    /// binary64
    F64(&'a mut [f64]),
}

macro_rules! element {
    ($($variant:ident $element:ty, $constructor:ident $getter:ident $what:literal),*) => {
        $(
            impl<'a> From<&'a [$element]> for DataView<'a> {
                fn from(elements: &'a [$element]) -> Self {
                    DataView::$variant(elements)
                }
            }

            impl<'a> From<&'a mut [$element]> for DataMut<'a> {
                fn from(elements: &'a mut [$element]) -> Self {
                    DataMut::$variant(elements)
                }
            }

            impl<'a> From<&'a mut Vec<$element>> for DataMut<'a> {
                fn from(elements: &'a mut Vec<$element>) -> Self {
                    DataMut::$variant(elements)
                }
            }
        )*

        impl<'a> TensorView<'a> {
            $(
                #[doc = concat!("A view of ", $what, " elements.")]
                ///
                /// # Errors
                /// As [`TensorView::new`].
                pub fn $constructor(shape: &'a [usize], elements: &'a [$element]) -> Result<Self> {
                    Self::new(shape, elements)
                }

                #[doc = concat!("The elements if they are ", $what, ".")]
                pub fn $getter(&self) -> Option<&'a [$element]> {
                    match self.data {
                        DataView::$variant(elements) => Some(elements),
                        _ => None,
                    }
                }
            )*
        }

        impl DataView<'_> {
            /// The number of elements.
            pub fn len(&self) -> usize {
                match self {
                    $(DataView::$variant(elements) => elements.len(),)*
                }
            }

            /// The element type.
            pub fn dtype(&self) -> DType {
                match self {
                    $(DataView::$variant(_) => DType::$variant,)*
                }
            }
        }

        impl DataMut<'_> {
            /// The number of elements.
            pub fn len(&self) -> usize {
                match self {
                    $(DataMut::$variant(elements) => elements.len(),)*
                }
            }

            /// The element type.
            pub fn dtype(&self) -> DType {
                match self {
                    $(DataMut::$variant(_) => DType::$variant,)*
                }
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

impl DataView<'_> {
    /// Whether there is no element.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl DataMut<'_> {
    /// Whether there is no element.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Writes as many f64, each rounded to nearest, ties to even.
    pub(crate) fn round_from(&mut self, values: &[f64]) {
        match self {
            DataMut::F16(v) => v.iter_mut().zip(values).for_each(|(to, &from)| *to = to_f16(from)),
            DataMut::Bf16(v) => v.iter_mut().zip(values).for_each(|(to, &from)| *to = to_bf16(from)),
            DataMut::F32(v) => v.iter_mut().zip(values).for_each(|(to, &from)| *to = from as f32),
            DataMut::F64(v) => v.copy_from_slice(values),
        }
    }
}

/// A dense array on the host, borrowed: its shape, and contiguous elements in C order (the last axis varies fastest).
///
/// No element is copied to describe it:
///
/// ```
/// use upconv::{ConvTranspose, TensorView, reference};
/// # fn main() -> upconv::Result<()> {
/// let (x, w) = (vec![1.0_f32, 2.0, 3.0], [1.0_f32, 10.0, 100.0]);
/// let op = ConvTranspose::builder().kernel([3]).stride([2]).build()?;
/// let y = reference::run(&op, TensorView::f32(&[1, 1, 3], &x)?, TensorView::f32(&[1, 1, 3], &w)?, None)?;
/// assert_eq!(y.to_f32(), [1.0, 10.0, 102.0, 20.0, 203.0, 30.0, 300.0]);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TensorView<'a> {
    shape: &'a [usize],
    data: DataView<'a>,
}

impl<'a> TensorView<'a> {
    /// A view of `data` with `shape`.
    ///
    /// # Errors
    /// [`Error::DataLength`] where the data do not fill the shape, [`Error::Overflow`] where the shape's product does
    /// not fit.
    pub fn new(shape: &'a [usize], data: impl Into<DataView<'a>>) -> Result<Self> {
        let data = data.into();
        check_len(shape, data.len())?;
        Ok(Self { shape, data })
    }

    /// A view whose data are known to fill its shape.
    pub(crate) fn filled(shape: &'a [usize], data: DataView<'a>) -> Self {
        Self { shape, data }
    }

    /// The extent of each axis.
    pub fn shape(&self) -> &'a [usize] {
        self.shape
    }

    /// The elements, in C order.
    pub fn data(&self) -> DataView<'a> {
        self.data
    }

    /// The element type.
    pub fn dtype(&self) -> DType {
        self.data.dtype()
    }

    /// The elements as f32: f64 is rounded to nearest, the others are exact.
    pub fn to_f32(&self) -> Vec<f32> {
        match self.data {
            DataView::F16(v) => v.iter().map(|x| x.to_f32()).collect(),
            DataView::Bf16(v) => v.iter().map(|x| x.to_f32()).collect(),
            DataView::F32(v) => v.to_vec(),
            DataView::F64(v) => v.iter().map(|&x| x as f32).collect(),
        }
    }

    /// As [`to_f32`](Self::to_f32), borrowed where they are binary32.
    pub(crate) fn f32_cow(&self) -> Cow<'a, [f32]> {
        self.as_f32().map_or_else(|| Cow::Owned(self.to_f32()), Cow::Borrowed)
    }

    /// The elements as f16, each rounded to nearest, ties to even.
    pub fn to_f16(&self) -> Vec<f16> {
        match self.data {
            DataView::F16(v) => v.to_vec(),
            DataView::F64(v) => v.iter().map(|&x| to_f16(x)).collect(),
            DataView::Bf16(_) | DataView::F32(_) => {
                let wide = self.f32_cow();
                let mut narrow = vec![f16::ZERO; wide.len()];
                narrow.convert_from_f32_slice(&wide);
                narrow
            }
        }
    }

    /// The elements as bfloat16, each rounded to nearest, ties to even.
    pub fn to_bf16(&self) -> Vec<bf16> {
        match self.data {
            DataView::Bf16(v) => v.to_vec(),
            _ => self.to_f64().into_iter().map(to_bf16).collect(),
        }
    }

    /// The elements as f64, exactly.
    pub fn to_f64(&self) -> Vec<f64> {
        match self.data {
            DataView::F16(v) => v.iter().map(|x| x.to_f64()).collect(),
            DataView::Bf16(v) => v.iter().map(|x| x.to_f64()).collect(),
            DataView::F32(v) => v.iter().map(|&x| f64::from(x)).collect(),
            DataView::F64(v) => v.to_vec(),
        }
    }
}

/// Checks that so many elements fill a shape.
///
/// # Errors
/// [`Error::DataLength`], [`Error::Overflow`].
pub(crate) fn check_len(shape: &[usize], given: usize) -> Result<()> {
    let expected = element_count(shape)?;
    if expected == given { Ok(()) } else { Err(Error::DataLength { shape: shape.to_vec(), expected, given }) }
}

/// The number of elements of a shape.
///
/// # Errors
/// [`Error::Overflow`] where the product does not fit in 63 bits, whatever zero extents it also has.
pub(crate) fn element_count(shape: &[usize]) -> Result<usize> {
    let overflow = || Error::Overflow { what: "number of elements", detail: format!("product of {shape:?}") };
    let product = |zero_as_one: bool| {
        shape
            .iter()
            .map(|&extent| if zero_as_one { extent.max(1) } else { extent })
            .try_fold(1usize, usize::checked_mul)
            .filter(|&n| i64::try_from(n).is_ok())
    };
    product(true).ok_or_else(overflow)?;
    product(false).ok_or_else(overflow)
}
