//! NumPy's arrays, borrowed as tensors, and tensors as NumPy's arrays.
//!
//! The Python side has made sure of C order and native bytes (`_arrays.py`); here it is checked once more.

use half::{bf16, f16};
use numpy::prelude::*;
use numpy::{PyArray1, PyArrayDyn, PyReadonlyArrayDyn, PyReadwriteArrayDyn, PyUntypedArray};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use upconv::{DType, Data, DataMut, Tensor, TensorView};

use crate::error::python;

const EXPECTED: &str = "float16, float32, float64 or bfloat16";

/// The element type of an array, by the number that NumPy gives it; that of `ml_dtypes` by its name.
fn dtype_of(what: &str, array: &Bound<'_, PyUntypedArray>) -> PyResult<DType> {
    let dtype = array.dtype();
    match dtype.num() {
        11 => return Ok(DType::F32),
        12 => return Ok(DType::F64),
        23 => return Ok(DType::F16),
        _ => {}
    }
    let name: String = dtype.getattr("name")?.extract()?;
    match name.as_str() {
        "bfloat16" => Ok(DType::Bf16),
        _ => Err(PyTypeError::new_err(format!("{what} is {name}, expected {EXPECTED}"))),
    }
}

fn untyped<'a, 'py>(what: &str, object: &'a Bound<'py, PyAny>) -> PyResult<&'a Bound<'py, PyUntypedArray>> {
    object.cast::<PyUntypedArray>().map_err(|_| {
        let given = object.get_type().name().map_or_else(|_| "something else".into(), |name| name.to_string());
        PyTypeError::new_err(format!("{what} is a {given}, expected a NumPy array"))
    })
}

fn busy(what: &str, error: &numpy::BorrowError) -> PyErr {
    PyValueError::new_err(format!("{what} is in use: {error}; does `out` overlap what is read, or another call's?"))
}

macro_rules! arrays {
    ($($variant:ident $element:ty),*) => {
        /// An array that is read.
        pub(crate) enum Array<'py> {
            $($variant(PyReadonlyArrayDyn<'py, $element>),)*
        }

        /// An array that is written.
        pub(crate) enum OutArray<'py> {
            $($variant(PyReadwriteArrayDyn<'py, $element>),)*
        }

        impl<'py> Array<'py> {
            /// Borrows an array; `what` names it in errors.
            pub(crate) fn new(what: &str, object: &Bound<'py, PyAny>) -> PyResult<Self> {
                match dtype_of(what, untyped(what, object)?)? {
                    $(DType::$variant => {
                        let array = object.cast::<PyArrayDyn<$element>>()?;
                        Ok(Array::$variant(array.try_readonly().map_err(|error| busy(what, &error))?))
                    })*
                    other => Err(PyTypeError::new_err(format!("{what} is {other}, expected {EXPECTED}"))),
                }
            }

            pub(crate) fn shape(&self) -> &[usize] {
                match self {
                    $(Array::$variant(array) => array.shape(),)*
                }
            }

            pub(crate) fn dtype(&self) -> DType {
                match self {
                    $(Array::$variant(_) => DType::$variant,)*
                }
            }

            /// Its elements where they lie.
            pub(crate) fn view(&self) -> PyResult<TensorView<'_>> {
                match self {
                    $(Array::$variant(array) => {
                        let elements = array.as_slice().map_err(|_| not_contiguous("an array", array.as_untyped()))?;
                        TensorView::new(array.shape(), elements).map_err(python)
                    })*
                }
            }
        }

        impl<'py> OutArray<'py> {
            /// Borrows an array for a result of this type and shape.
            pub(crate) fn new(object: &Bound<'py, PyAny>, dtype: DType, shape: &[usize]) -> PyResult<Self> {
                let array = untyped("out", object)?;
                let given = dtype_of("out", array)?;
                if given != dtype {
                    return Err(PyTypeError::new_err(format!("out is {given}, expected {dtype} as the input is")));
                }
                if array.shape() != shape {
                    let problem = format!("out has shape {:?}, expected {shape:?}, the output's", array.shape());
                    return Err(PyValueError::new_err(problem));
                }
                if !array.is_c_contiguous() {
                    return Err(not_contiguous("out", array));
                }
                match given {
                    $(DType::$variant => {
                        let array = object.cast::<PyArrayDyn<$element>>()?;
                        Ok(OutArray::$variant(array.try_readwrite().map_err(|error| busy("out", &error))?))
                    })*
                    other => Err(PyTypeError::new_err(format!("out is {other}, expected {EXPECTED}"))),
                }
            }

            pub(crate) fn data(&mut self) -> PyResult<DataMut<'_>> {
                match self {
                    $(OutArray::$variant(array) => {
                        let elements = array.as_slice_mut();
                        elements.map(DataMut::from).map_err(|_| PyValueError::new_err("out is not in C order"))
                    })*
                }
            }
        }

        /// Copies a tensor into as many elements of its type.
        ///
        /// # Errors
        /// Another type or number: a mistake of ours.
        pub(crate) fn copy(from: &Tensor, to: DataMut<'_>) -> upconv::Result<()> {
            match (from.data(), to) {
                $((Data::$variant(from), DataMut::$variant(to)) if from.len() == to.len() => to.copy_from_slice(from),)*
                (from, to) => {
                    let shape = vec![to.len()];
                    return Err(upconv::Error::DataLength { shape, expected: to.len(), given: from.len() });
                }
            }
            Ok(())
        }

        /// A tensor as an array that owns its elements, without a copy.
        pub(crate) fn numpy(py: Python<'_>, tensor: Tensor) -> PyResult<Bound<'_, PyAny>> {
            let shape = tensor.shape().to_vec();
            match tensor.into_data() {
                $(Data::$variant(elements) => Ok(PyArray1::from_vec(py, elements).reshape(shape)?.into_any()),)*
                _ => Err(PyTypeError::new_err(format!("the result is of no type of NumPy, expected {EXPECTED}"))),
            }
        }
    };
}
arrays!(F16 f16, F32 f32, F64 f64, Bf16 bf16);

fn not_contiguous(what: &str, array: &Bound<'_, PyUntypedArray>) -> PyErr {
    let (shape, strides) = (array.shape(), array.strides());
    let problem =
        format!("{what} of shape {shape:?} has the strides {strides:?} in bytes, expected C order without gaps");
    PyValueError::new_err(problem)
}

/// An array, or none.
pub(crate) fn optional<'py>(what: &str, object: Option<&Bound<'py, PyAny>>) -> PyResult<Option<Array<'py>>> {
    object.map(|object| Array::new(what, object)).transpose()
}
