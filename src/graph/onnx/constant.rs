//! Tensors that are known before anything is computed: weights, and numbers that shapes are computed of.

use super::proto;
use super::whole::Whole;
use crate::tensor::{DType, Data, Tensor};
use half::{bf16, f16};

pub(super) type Read<T> = Result<T, String>;

/// The most axes of a tensor, and the most elements of one of whole numbers.
const MAX_AXES: usize = 8;
const MAX_WHOLES: usize = 1 << 16;

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Constant {
    Real(Tensor),
    Whole { shape: Vec<usize>, elements: Vec<Whole> },
}

/// The elements of a shape. Of those that are empty the other extents must be small, as loops run over them.
pub(super) fn elements_of(shape: &[usize]) -> Read<usize> {
    let product = shape.iter().try_fold(1_usize, |product, &extent| product.checked_mul(extent.max(1)));
    let empty = shape.contains(&0);
    let product = product.filter(|&product| shape.len() <= MAX_AXES && (!empty || product <= MAX_WHOLES));
    let product = product.ok_or_else(|| format!("has a constant of the shape {shape:?}"))?;
    Ok(if empty { 0 } else { product })
}

/// The distances between neighbours along each axis.
fn strides_of(shape: &[usize]) -> Vec<usize> {
    let mut strides = vec![1_usize; shape.len()];
    for axis in (1..shape.len()).rev() {
        strides[axis - 1] = strides[axis].saturating_mul(shape[axis]);
    }
    strides
}

/// An axis, which may be counted from the end, as a number below `rank`.
pub(super) fn axis_of(axis: i64, rank: usize) -> Read<usize> {
    let from_the_begin = if axis < 0 { axis.saturating_add(rank as i64) } else { axis };
    let axis_in = usize::try_from(from_the_begin).ok().filter(|&axis| axis < rank);
    axis_in.ok_or_else(|| format!("has axis {axis} of {rank}"))
}

impl Constant {
    /// A list of whole numbers.
    pub(super) fn list(elements: Vec<Whole>) -> Self {
        Constant::Whole { shape: vec![elements.len()], elements }
    }

    pub(super) fn whole(shape: Vec<usize>, elements: Vec<Whole>) -> Read<Self> {
        if elements_of(&shape)? != elements.len() {
            return Err(format!("has {} whole numbers for the shape {shape:?}", elements.len()));
        }
        Ok(Constant::Whole { shape, elements })
    }

    pub(super) fn real(shape: Vec<usize>, elements: impl Into<Data>) -> Read<Self> {
        elements_of(&shape)?;
        Tensor::new(shape, elements).map(Constant::Real).map_err(|error| error.to_string())
    }

    pub(super) fn shape(&self) -> &[usize] {
        match self {
            Constant::Real(tensor) => tensor.shape(),
            Constant::Whole { shape, .. } => shape,
        }
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Constant::Real(tensor) => tensor.data().len(),
            Constant::Whole { elements, .. } => elements.len(),
        }
    }

    /// The bytes that an element takes.
    pub(super) fn size(&self) -> usize {
        match self {
            Constant::Real(tensor) => tensor.dtype().size(),
            Constant::Whole { .. } => size_of::<Whole>(),
        }
    }

    /// The elements at these indices.
    pub(super) fn select(&self, shape: Vec<usize>, indices: impl IntoIterator<Item = usize>) -> Read<Self> {
        match self {
            Constant::Real(tensor) => {
                let selected = tensor.view().select(shape, indices);
                selected.map(Constant::Real).map_err(|error| error.to_string())
            }
            Constant::Whole { elements, .. } => {
                let selected = indices.into_iter().map(|index| elements.get(index).copied()).collect::<Option<_>>();
                Constant::whole(shape, selected.ok_or("picks elements that are not there")?)
            }
        }
    }

    /// The elements of a shape of another rank or size, whose places lead along each axis of this one's shape.
    pub(super) fn gather(&self, shape: &[usize], source: impl Fn(&[usize]) -> Vec<usize>) -> Read<Self> {
        let (count, inner, outer) = (elements_of(shape)?, strides_of(self.shape()), strides_of(shape));
        let index = |at: usize| -> usize {
            let place: Vec<usize> = outer.iter().zip(shape).map(|(stride, extent)| at / stride % extent).collect();
            source(&place).iter().zip(&inner).map(|(at, stride)| at * stride).sum()
        };
        self.select(shape.to_vec(), (0..count).map(index))
    }

    pub(super) fn reshaped(&self, shape: Vec<usize>) -> Read<Self> {
        if elements_of(&shape)? != self.len() {
            return Err(format!("changes the shape {:?} to {shape:?}", self.shape()));
        }
        match self {
            Constant::Real(tensor) => Constant::real(shape, tensor.data().clone()),
            Constant::Whole { elements, .. } => Constant::whole(shape, elements.clone()),
        }
    }

    /// Whole numbers, of which some may be unknown.
    pub(super) fn wholes(&self) -> Read<&[Whole]> {
        match self {
            Constant::Whole { elements, .. } => Ok(elements),
            Constant::Real(_) => Err("has numbers with a point, expected whole ones".into()),
        }
    }

    pub(super) fn integers(&self) -> Read<Vec<i64>> {
        let known = |whole: &Whole| match whole {
            Whole::Known(number) => Ok(*number),
            Whole::Batch => Err("depends on the size of the batch".to_owned()),
            Whole::Extent { .. } => Err("depends on the extents of the input".to_owned()),
        };
        self.wholes()?.iter().map(known).collect()
    }

    pub(super) fn reals(&self) -> Read<Vec<f64>> {
        match self {
            Constant::Real(tensor) => Ok(tensor.to_f64()),
            Constant::Whole { .. } => Ok(self.integers()?.into_iter().map(|number| number as f64).collect()),
        }
    }

    /// The only number.
    pub(super) fn only_real(&self) -> Read<f64> {
        match self.reals()?[..] {
            [number] => Ok(number),
            ref numbers => Err(format!("has {} numbers, expected 1", numbers.len())),
        }
    }

    /// Numbers to compute with, all finite.
    pub(super) fn weights(&self) -> Read<&Tensor> {
        let Constant::Real(tensor) = self else { return Err("has whole numbers as weights".into()) };
        let values = tensor.to_f32();
        match values.iter().position(|value| !value.is_finite()) {
            Some(at) => Err(format!("has {} as weight {at} of {}, expected finite ones", values[at], values.len())),
            None => Ok(tensor),
        }
    }
}

/// What a tensor of a file holds.
pub(super) fn decoded(tensor: &proto::Tensor) -> Read<Constant> {
    if tensor.location != 0 {
        return Err("lies in another file (external data), which is not read".into());
    }
    let shape = tensor.dims.iter().map(|&extent| usize::try_from(extent).ok()).collect::<Option<Vec<_>>>();
    let shape = shape.ok_or_else(|| format!("has the shape {:?}", tensor.dims))?;
    let count = elements_of(&shape)?;
    let data = match tensor.kind {
        1 => Data::F32(numbers(tensor, &tensor.floats, f32::from_le_bytes)?),
        10 => Data::F16(numbers(tensor, &halves(tensor, f16::from_bits), f16::from_le_bytes)?),
        16 => Data::Bf16(numbers(tensor, &halves(tensor, bf16::from_bits), bf16::from_le_bytes)?),
        // The devices do not compute in it.
        11 => Data::F64(numbers(tensor, &tensor.doubles, f64::from_le_bytes)?),
        _ => return wholes(tensor, shape, count),
    };
    if data.len() != count {
        return Err(format!("has {} elements for the shape {shape:?}", data.len()));
    }
    let tensor = Tensor::new(shape, data).map_err(|error| error.to_string())?;
    Ok(Constant::Real(if tensor.dtype() == DType::F64 { tensor.cast(DType::F32) } else { tensor }))
}

fn wholes(tensor: &proto::Tensor, shape: Vec<usize>, count: usize) -> Read<Constant> {
    if count > MAX_WHOLES {
        return Err(format!("has {count} whole numbers, expected at most {MAX_WHOLES}"));
    }
    let small: Vec<i64> = tensor.integers.iter().map(|&number| number.into()).collect();
    let integers = match tensor.kind {
        2 | 9 => numbers(tensor, &small, |[byte]| byte.into())?,
        3 => numbers(tensor, &small, |[byte]| byte.cast_signed().into())?,
        4 => numbers(tensor, &small, |bytes| u16::from_le_bytes(bytes).into())?,
        5 => numbers(tensor, &small, |bytes| i16::from_le_bytes(bytes).into())?,
        6 => numbers(tensor, &small, |bytes| i32::from_le_bytes(bytes).into())?,
        7 => numbers(tensor, &tensor.long_integers, i64::from_le_bytes)?,
        other => return Err(format!("has elements of type {other}, which is not read")),
    };
    if integers.len() != count {
        return Err(format!("has {} elements for the shape {shape:?}", integers.len()));
    }
    Constant::whole(shape, integers.into_iter().map(Whole::Known).collect())
}

/// Raw bytes as elements, or those of a field.
fn numbers<T: Copy, const N: usize>(tensor: &proto::Tensor, field: &[T], read: fn([u8; N]) -> T) -> Read<Vec<T>> {
    let Some(raw) = &tensor.raw else { return Ok(field.to_vec()) };
    match raw.as_chunks::<N>() {
        (chunks, []) => Ok(chunks.iter().map(|&bytes| read(bytes)).collect()),
        _ => Err(format!("has {} bytes for elements of {N}", raw.len())),
    }
}

fn halves<T>(tensor: &proto::Tensor, read: fn(u16) -> T) -> Vec<T> {
    tensor.integers.iter().map(|&bits| read(bits as u16)).collect()
}
