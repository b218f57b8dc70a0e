//! An operation with its weights on the CPU.

#![allow(unsafe_code, reason = "outputs are not filled with zeros before they are written")]

use super::choice::Choice;
use super::computation::Computation;
use super::element::Stored;
use super::memory::{self, collect, filled};
use super::order::Order;
use super::output::{self, Slot, slots};
use super::panel::Finite;
use super::scratch::Pool;
use super::simd::Level;
use super::winograd::{self, Winograd};
use super::{gather, pre_activation, threads};
use crate::error::{Error, Result};
use crate::op::{ConvTranspose, Convolution, Geometry};
use crate::tensor::{Bias, DType, Data, DataMut, DataView, Tensor, TensorView, check_len};
use half::slice::HalfFloatSliceExt;
use std::borrow::Cow;
use std::sync::{Arc, OnceLock};

/// A transposed convolution with its weights packed for the CPU. Cheap to clone; usable from many threads.
///
/// ```
/// use upconv::{ConvTranspose, Tensor, cpu};
/// # fn main() -> upconv::Result<()> {
/// let op = ConvTranspose::builder().in_channels(2).out_channels(3).kernel([4, 4]).stride([2, 2]).build()?;
/// let weight = Tensor::f32(op.weight_shape(), vec![0.5; 2 * 3 * 4 * 4])?;
/// let layer = cpu::Layer::new(&op, &weight, None)?; // packs the weights, once
/// let x = Tensor::f32([1, 2, 8, 8], vec![1.0; 2 * 8 * 8])?;
/// let mut y = vec![0.0_f32; 3 * 18 * 18];
/// let sizes = layer.run_into(&x, &mut y[..])?; // into memory of your own
/// assert_eq!(sizes.output_shape(), [1, 3, 18, 18]);
/// assert_eq!(y[0], 1.0); // a corner sees one input of each channel
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Layer {
    inner: Arc<Inner>,
    /// The ordinary convolution that it was made of.
    convolution: Option<Arc<Convolution>>,
}

#[derive(Debug)]
struct Inner {
    op: ConvTranspose,
    level: Level,
    winograd: Option<Winograd>,
    single: Computation<f32>,
    /// Made when first needed, unless the weights came in f64.
    double: OnceLock<Computation<f64>>,
    /// Working memory, kept from one run to the next.
    pool: Pool<f32>,
    double_pool: Pool<f64>,
    /// The layer whose forward pass is this one's input gradient, made when it is first needed.
    adjoint: OnceLock<Layer>,
}

impl Layer {
    /// Packs the weights.
    ///
    /// `weight` has [`ConvTranspose::weight_shape`], `bias` `[out_channels]`; any [`DType`].
    ///
    /// # Errors
    /// Shapes that do not fit the operation; [`Error::Memory`] where there is no memory for the packed weights.
    pub fn new<'a>(op: &ConvTranspose, weight: impl Into<TensorView<'a>>, bias: impl Into<Bias<'a>>) -> Result<Self> {
        Self::with_level(op, weight, bias, Level::best())
    }

    /// An ordinary convolution as a layer: that of its [`transposed`](Convolution::transposed) form, which
    /// [`op`](Self::op) then is.
    ///
    /// `weight` has [`Convolution::weight_shape`], `bias` `[out_channels]`; any [`DType`].
    ///
    /// # Errors
    /// As [`Layer::new`].
    pub fn convolution<'a>(
        convolution: &Convolution,
        weight: impl Into<TensorView<'a>>,
        bias: impl Into<Bias<'a>>,
    ) -> Result<Self> {
        let (weight, bias) = (convolution.turned(weight)?, bias.into());
        let layer = Self::build(convolution.transposed(), weight.view(), bias, Level::best())?;
        Ok(Self { convolution: Some(Arc::new(convolution.clone())), ..layer })
    }

    /// As [`Layer::new`], for given vector instructions; [`Level::Scalar`] where this machine lacks them.
    ///
    /// # Errors
    /// As [`Layer::new`].
    pub fn with_level<'a>(
        op: &ConvTranspose,
        weight: impl Into<TensorView<'a>>,
        bias: impl Into<Bias<'a>>,
        level: Level,
    ) -> Result<Self> {
        Self::build(op, weight.into(), bias.into(), level)
    }

    fn build(op: &ConvTranspose, weight: TensorView<'_>, Bias(bias): Bias<'_>, level: Level) -> Result<Self> {
        op.check_parameters(weight.shape(), bias.map(|bias| bias.shape()))?;
        let level = if level.is_available() { level } else { Level::Scalar };
        let order = Order::given(op);
        let mut double = OnceLock::new();
        if weight.dtype() == DType::F64 || bias.is_some_and(|bias| bias.dtype() == DType::F64) {
            let bias = bias.map(|bias| to_f64("the bias", bias)).transpose()?.unwrap_or_default();
            double = Computation::new(op, order, &to_f64("the weights", weight)?, &bias, level)?.into();
        }
        let bias = bias.map(|bias| to_f32("the bias", bias)).transpose()?.unwrap_or_default();
        let weight = to_f32("the weights", weight)?;
        let transforms = winograd::pays(op, level) && level.instructions().run(Finite(&weight));
        let winograd = transforms.then(|| Winograd::new(op, &weight, &bias, level)).transpose()?.flatten();
        let single = match winograd {
            Some(_) => Computation::gathered(op, order, &weight, &bias)?,
            None => Computation::new(op, order, &weight, &bias, level)?,
        };
        Ok(Self {
            inner: Arc::new(Inner {
                op: op.clone(),
                level,
                winograd,
                single,
                double,
                pool: Pool::default(),
                double_pool: Pool::default(),
                adjoint: OnceLock::new(),
            }),
            convolution: None,
        })
    }

    /// The vector instructions it is computed with.
    pub fn level(&self) -> Level {
        self.inner.level
    }

    /// The working memory kept for the next run, in bytes: what the runs so far needed at most.
    pub fn scratch_bytes(&self) -> usize {
        self.inner.pool.bytes() + self.inner.double_pool.bytes()
    }

    /// The ordinary convolution that it was made of.
    pub(super) fn made_of(&self) -> Option<&Convolution> {
        self.convolution.as_deref()
    }

    /// The operation.
    pub fn op(&self) -> &ConvTranspose {
        &self.inner.op
    }

    /// Computes the output, on rayon's current pool.
    ///
    /// The output has the input's element type, except that bf16 gives f32. f64 is computed in f64, all else in f32. An
    /// operation with a [pre-activation](ConvTranspose::pre_activation) computes that into a copy of the input.
    ///
    /// # Errors
    /// An input shape that [`ConvTranspose::at`] refuses, [`Error::Memory`] where there is no memory for the output or for
    /// what is needed to compute it, and [`Error::Threads`] where rayon has no pool and the system gives no threads.
    pub fn run<'a>(&self, input: impl Into<TensorView<'a>>) -> Result<Tensor> {
        let input = input.into();
        self.run_at(&self.inner.op.at(input.shape())?, input, result_type(input.dtype()))
    }

    /// The input gradient of the gradient with respect to the sums before the activation, of the output's shape, in this
    /// type. It is the ordinary convolution with this layer's weights, which are turned when they are first needed.
    ///
    /// # Errors
    /// [`Error::Shape`] for a gradient of another shape; as [`Layer::run`].
    pub(super) fn sum_input_gradient(&self, geometry: &Geometry, dz: TensorView<'_>, dtype: DType) -> Result<Tensor> {
        let adjoint = match self.inner.adjoint.get() {
            Some(adjoint) => adjoint,
            None => {
                let made = self.make_adjoint()?;
                self.inner.adjoint.get_or_init(|| made)
            }
        };
        adjoint.run_at(&geometry.adjoint().at(dz.shape())?, dz, dtype)
    }

    fn make_adjoint(&self) -> Result<Self> {
        let Inner { op, single, double, level, .. } = &*self.inner;
        let adjoint = op.adjoint();
        let shape = adjoint.transposed().weight_shape();
        let weight = match double.get() {
            Some(double) => Tensor::f64(shape, double.turned(op)?)?,
            None => Tensor::f32(shape, single.turned(op)?)?,
        };
        Self::build(adjoint.transposed(), weight.view(), Bias(None), *level)
    }

    /// As [`Layer::run`], at a geometry that may have other pads than the operation, with a result of this type.
    fn run_at(&self, geometry: &Geometry, input: TensorView<'_>, dtype: DType) -> Result<Tensor> {
        let data = match dtype {
            DType::F64 => {
                let (x, mut y) = (to_f64("the input", input)?, Vec::new());
                // SAFETY: where `fill_f64` succeeds, it has written every slot.
                unsafe { output::write(&mut y, geometry.output_len(), |y| self.fill_f64(geometry, &x, y)) }?;
                Data::F64(y)
            }
            DType::F16 => Data::F16(self.write(geometry, input, Vec::new())?),
            DType::F32 | DType::Bf16 => Data::F32(self.write(geometry, input, Vec::new())?),
        };
        Tensor::new(geometry.output_shape(), data)
    }

    /// As [`Layer::run`], into the caller's memory. Returns the sizes.
    ///
    /// `output` is f64 for an input of f64; for the others it is f32, or f16, to which results are rounded.
    ///
    /// # Errors
    /// As [`Layer::run`], [`Error::DataLength`] where `output` has another number of elements than the result, and
    /// [`Error::DType`] where it has another type.
    pub fn run_into<'a>(&self, input: impl Into<TensorView<'a>>, output: impl Into<DataMut<'a>>) -> Result<Geometry> {
        let (input, output) = (input.into(), output.into());
        let geometry = self.inner.op.at(input.shape())?;
        check_len(&geometry.output_shape(), output.len())?;
        let x = || to_f32("the input", input);
        match (input.data(), output) {
            (DataView::F64(x), DataMut::F64(y)) => self.fill_f64(&geometry, x, slots(y))?,
            (DataView::F64(_), y) => return Err(wrong_type(&y, "float64 for an input of float64")),
            (_, DataMut::F32(y)) => self.fill(&geometry, &x()?, slots(y))?,
            (_, DataMut::F16(y)) => self.fill(&geometry, &x()?, slots(y))?,
            (_, y) => return Err(wrong_type(&y, "float32 or float16 for an input that is not float64")),
        }
        Ok(geometry)
    }

    /// As [`Layer::run_into`], in f32, of an operation that differs from the layer's in its padding.
    pub(super) fn run_padded(
        &self,
        op: &ConvTranspose,
        shape: &[usize],
        input: &[f32],
        output: &mut [f32],
    ) -> Result<()> {
        let geometry = op.at(shape)?;
        check_len(shape, input.len())?;
        check_len(&geometry.output_shape(), output.len())?;
        self.fill(&geometry, input, slots(output))
    }

    /// The result, in the memory of `y` if that suffices.
    fn write<T: Stored<Computed = f32>>(
        &self,
        geometry: &Geometry,
        input: TensorView<'_>,
        mut y: Vec<T>,
    ) -> Result<Vec<T>> {
        let x = to_f32("the input", input)?;
        // SAFETY: where `fill` succeeds, it has written every slot.
        unsafe { output::write(&mut y, geometry.output_len(), |y| self.fill(geometry, &x, y)) }?;
        Ok(y)
    }

    /// Computes in f32 and writes every slot; Winograd's transforms count what they write, each slot once.
    fn fill<T: Stored<Computed = f32>>(&self, geometry: &Geometry, x: &[f32], y: &mut [Slot<T>]) -> Result<()> {
        threads::ensure()?;
        let x = &*pre_activation::applied(geometry, x)?;
        let Inner { winograd, single, pool, .. } = &*self.inner;
        if let Some(winograd) = winograd
            && winograd.run(geometry, pool, x, y)? == y.len()
        {
            return Ok(());
        }
        Ok(single.fill(geometry, pool, x, y)?)
    }

    /// Computes in f64 and writes every slot.
    fn fill_f64(&self, geometry: &Geometry, x: &[f64], y: &mut [Slot<f64>]) -> Result<()> {
        threads::ensure()?;
        let x = &*pre_activation::applied(geometry, x)?;
        Ok(self.double()?.fill(geometry, &self.inner.double_pool, x, y)?)
    }

    fn double(&self) -> memory::Result<&Computation<f64>> {
        let Inner { op, single, double, level, .. } = &*self.inner;
        if let Some(double) = double.get() {
            return Ok(double);
        }
        let gather::Weights { weight, bias } = single.weights(op)?.map(f64::from)?;
        let made = Computation::new(op, Order::by_output(op), &weight, &bias, *level)?;
        Ok(double.get_or_init(|| made))
    }

    /// Working memory for f32.
    pub(super) fn pool(&self) -> &Pool<f32> {
        &self.inner.pool
    }

    /// Working memory for f64.
    pub(super) fn double_pool(&self) -> &Pool<f64> {
        &self.inner.double_pool
    }

    /// The choice for an input of f32; `None` where Winograd's transforms compute it.
    pub(super) fn chosen(&self, geometry: &Geometry) -> Option<Arc<Choice>> {
        self.inner.winograd.is_none().then(|| self.inner.single.choice(geometry))
    }
}

/// The type of a result for an input of this type.
pub(super) fn result_type(input: DType) -> DType {
    match input {
        DType::Bf16 => DType::F32,
        DType::F16 | DType::F32 | DType::F64 => input,
    }
}

/// The elements as f32, borrowed where they are that already: f64 is rounded to nearest, the others are exact.
pub(super) fn to_f32<'a>(what: &'static str, tensor: TensorView<'a>) -> memory::Result<Cow<'a, [f32]>> {
    let zeros = |len| filled(what, 0.0, len);
    Ok(Cow::Owned(match tensor.data() {
        DataView::F32(x) => return Ok(Cow::Borrowed(x)),
        DataView::F16(x) => {
            let mut wide = zeros(x.len())?;
            x.convert_to_f32_slice(&mut wide);
            wide
        }
        DataView::Bf16(x) => {
            let mut wide = zeros(x.len())?;
            x.convert_to_f32_slice(&mut wide);
            wide
        }
        DataView::F64(x) => collect(what, x.len(), x.iter().map(|&x| x as f32))?,
    }))
}

/// The elements as f64, exactly, borrowed where they are that already.
pub(super) fn to_f64<'a>(what: &'static str, tensor: TensorView<'a>) -> memory::Result<Cow<'a, [f64]>> {
    Ok(Cow::Owned(match tensor.data() {
        DataView::F64(x) => return Ok(Cow::Borrowed(x)),
        DataView::F32(x) => collect(what, x.len(), x.iter().map(|&x| x.into()))?,
        DataView::F16(x) => collect(what, x.len(), x.iter().map(|x| x.to_f64()))?,
        DataView::Bf16(x) => collect(what, x.len(), x.iter().map(|x| x.to_f64()))?,
    }))
}

fn wrong_type(output: &DataMut<'_>, expected: &'static str) -> Error {
    Error::DType { what: "output", given: output.dtype(), expected }
}
