//! Host tensors: a shape and contiguous data in C order (the last axis varies fastest).

use crate::error::{Error, Result};
use half::{bf16, f16};
use std::fmt;

/// The element type of a tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DType {
    /// IEEE 754 binary16: stored as such, computed with in f32.
    F16,
    /// bfloat16: converted to f32 before anything is computed.
    Bf16,
    /// IEEE 754 binary32.
    F32,
    /// IEEE 754 binary64: on the CPU backend and the reference only.
    F64,
}

impl DType {
    /// The size of one element in bytes.
    pub fn size(self) -> usize {
        match self {
            DType::F16 | DType::Bf16 => 2,
            DType::F32 => 4,
            DType::F64 => 8,
        }
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            DType::F16 => "float16",
            DType::Bf16 => "bfloat16",
            DType::F32 => "float32",
            DType::F64 => "float64",
        })
    }
}

/// The elements of a [`Tensor`].
#[derive(Clone, Debug, PartialEq)]
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
    /// The number of elements.
    pub fn len(&self) -> usize {
        match self {
            Data::F16(v) => v.len(),
            Data::Bf16(v) => v.len(),
            Data::F32(v) => v.len(),
            Data::F64(v) => v.len(),
        }
    }

    /// Whether there is no element.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A dense array on the host. What its axes mean is said by the operation that reads it.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    shape: Vec<usize>,
    data: Data,
}

impl Tensor {
    /// A tensor of `shape` over `data`, in C order.
    ///
    /// # Errors
    /// [`Error::DataLength`] where the data do not fill the shape, [`Error::Overflow`] where the shape's product does
    /// not fit.
    pub fn new(shape: impl Into<Vec<usize>>, data: Data) -> Result<Self> {
        let shape = shape.into();
        let expected = element_count(&shape)?;
        if expected != data.len() {
            return Err(Error::DataLength { shape, expected, given: data.len() });
        }
        Ok(Self { shape, data })
    }

    /// A tensor of binary32 elements.
    ///
    /// # Errors
    /// As [`Tensor::new`].
    pub fn f32(shape: impl Into<Vec<usize>>, data: impl Into<Vec<f32>>) -> Result<Self> {
        Self::new(shape, Data::F32(data.into()))
    }

    /// The extent of each axis.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The elements, in C order.
    pub fn data(&self) -> &Data {
        &self.data
    }

    /// The elements, given away.
    pub fn into_data(self) -> Data {
        self.data
    }

    /// The element type.
    pub fn dtype(&self) -> DType {
        match self.data {
            Data::F16(_) => DType::F16,
            Data::Bf16(_) => DType::Bf16,
            Data::F32(_) => DType::F32,
            Data::F64(_) => DType::F64,
        }
    }

    /// The elements if they are binary32.
    pub fn as_f32(&self) -> Option<&[f32]> {
        match &self.data {
            Data::F32(v) => Some(v),
            _ => None,
        }
    }

    /// The elements as f32: f64 is rounded to nearest, the others are exact.
    pub fn to_f32(&self) -> Vec<f32> {
        match &self.data {
            Data::F16(v) => v.iter().map(|x| x.to_f32()).collect(),
            Data::Bf16(v) => v.iter().map(|x| x.to_f32()).collect(),
            Data::F32(v) => v.clone(),
            Data::F64(v) => v.iter().map(|&x| x as f32).collect(),
        }
    }

    /// The elements as f64, exactly.
    pub fn to_f64(&self) -> Vec<f64> {
        match &self.data {
            Data::F16(v) => v.iter().map(|x| x.to_f64()).collect(),
            Data::Bf16(v) => v.iter().map(|x| x.to_f64()).collect(),
            Data::F32(v) => v.iter().map(|&x| f64::from(x)).collect(),
            Data::F64(v) => v.clone(),
        }
    }

    /// [`cast`](Self::cast), without a copy where the type is the same.
    pub fn into_dtype(self, dtype: DType) -> Self {
        if dtype == self.dtype() { self } else { self.cast(dtype) }
    }

    /// This tensor with its elements converted to `dtype`, rounding to nearest.
    pub fn cast(&self, dtype: DType) -> Self {
        if dtype == self.dtype() {
            return self.clone();
        }
        let data = match dtype {
            DType::F16 => Data::F16(self.to_f64().into_iter().map(f16::from_f64).collect()),
            DType::Bf16 => Data::Bf16(self.to_f64().into_iter().map(bf16::from_f64).collect()),
            DType::F32 => Data::F32(self.to_f32()),
            DType::F64 => Data::F64(self.to_f64()),
        };
        Self { shape: self.shape.clone(), data }
    }
}

/// A vector of `len` times the same element, or an error where there is no memory for it.
///
/// # Errors
/// [`Error::Memory`].
pub(crate) fn filled<T: Clone>(what: &'static str, value: T, len: usize) -> Result<Vec<T>> {
    let mut elements = Vec::new();
    elements.try_reserve_exact(len).map_err(|_| Error::Memory { what, bytes: len as u128 * size_of::<T>() as u128 })?;
    elements.resize(len, value);
    Ok(elements)
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
    }
}
