//! An operation with its weights on the CPU.

use super::choice::{Choice, choose};
use super::gather;
use super::output;
use super::packed::Packed;
use super::products::{self, Pool};
use super::simd::Level;
use super::winograd::{self, Winograd};
use crate::error::{Error, Result};
use crate::op::{ConvTranspose, Geometry};
use crate::tensor::{Bias, DType, Data, DataView, Tensor, TensorView};
use half::f16;
use half::slice::HalfFloatSliceExt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// A transposed convolution with its weights packed for the CPU. Cheap to clone; usable from many threads.
#[derive(Clone, Debug)]
pub struct Layer {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    op: ConvTranspose,
    level: Level,
    winograd: Option<Winograd>,
    /// For the products, unless a weight is infinite or NaN or Winograd's transforms serve.
    packed: Option<Packed>,
    /// Without shared blocks, where those have holes: for inputs that are infinite or NaN.
    plain: Option<Packed>,
    pool: Pool,
    /// The last choice, with what it was made for.
    chosen: Mutex<Option<(Geometry, usize, Arc<Choice>)>>,
    /// Made of the packed weights when first needed; from the beginning where there are none.
    single: OnceLock<gather::Weights<f32>>,
    /// Made when first needed, unless the weights came in f64.
    double: OnceLock<gather::Weights<f64>>,
}

impl Layer {
    /// Packs the weights.
    ///
    /// `weight` has [`ConvTranspose::weight_shape`], `bias` `[out_channels]`; any [`DType`].
    ///
    /// # Errors
    /// Shapes that do not fit the operation.
    pub fn new<'a>(op: &ConvTranspose, weight: impl Into<TensorView<'a>>, bias: impl Into<Bias<'a>>) -> Result<Self> {
        Self::with_level(op, weight, bias, Level::best())
    }

    /// As [`Layer::new`], but by Winograd's transforms for two axes, kernel 3×3 at stride 1 and dilation 1, channels
    /// first, one group. With fewer than 32 input or output channels they take as long or longer.
    ///
    /// They do a quarter of the multiply-adds, and err more: by an amount in proportion to the largest sum that any output
    /// of the channel could have, and not to each output's own; see
    /// [`Expected::compare_winograd`](crate::reference::Expected::compare_winograd). An input that is infinite or NaN
    /// shows in outputs up to five rows and columns away. The bits of an element do not depend on what is beyond the 6×6
    /// inputs of its tile; tiles of 4×4 begin at the first output.
    ///
    /// # Errors
    /// As [`Layer::new`].
    pub fn with_winograd<'a>(
        op: &ConvTranspose,
        weight: impl Into<TensorView<'a>>,
        bias: impl Into<Bias<'a>>,
    ) -> Result<Self> {
        Self::build(op, weight.into(), bias.into(), Level::best(), true)
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
        Self::build(op, weight.into(), bias.into(), level, false)
    }

    fn build(
        op: &ConvTranspose,
        weight: TensorView<'_>,
        Bias(bias): Bias<'_>,
        level: Level,
        fewer: bool,
    ) -> Result<Self> {
        op.check_parameters(weight.shape(), bias.map(|bias| bias.shape()))?;
        let level = if level.is_available() { level } else { Level::Scalar };
        let (single, double) = (OnceLock::new(), OnceLock::new());
        if weight.dtype() == DType::F64 || bias.is_some_and(|bias| bias.dtype() == DType::F64) {
            let bias = bias.map(|bias| bias.to_f64()).unwrap_or_default();
            double.get_or_init(|| gather::Weights::new(op, &weight.to_f64(), bias));
        }
        let (weight, bias) = (weight.to_f32(), bias.map(|bias| bias.to_f32()).unwrap_or_default());
        let finite = weight.iter().all(|w| w.is_finite());
        let winograd = (finite && fewer && winograd::serves(op)).then(|| Winograd::new(op, &weight, &bias, level));
        let pack = |share| Packed::new(op, &weight, &bias, level, share);
        let packed = (finite && winograd.is_none()).then(|| pack(true));
        let plain = packed.as_ref().is_some_and(|packed| packed.holes).then(|| pack(false));
        if packed.is_none() {
            single.get_or_init(|| gather::Weights::new(op, &weight, bias));
        }
        Ok(Self {
            inner: Arc::new(Inner {
                op: op.clone(),
                level,
                winograd,
                packed,
                plain,
                pool: Pool::default(),
                chosen: Mutex::default(),
                single,
                double,
            }),
        })
    }

    /// The vector instructions it is computed with.
    pub fn level(&self) -> Level {
        self.inner.level
    }

    /// The working memory kept for the next run, in bytes: what the runs so far needed at most.
    pub fn scratch_bytes(&self) -> usize {
        self.inner.pool.bytes()
    }

    /// The operation.
    pub fn op(&self) -> &ConvTranspose {
        &self.inner.op
    }

    /// Computes the output, on rayon's current pool.
    ///
    /// The output has the input's element type, except that bf16 gives f32. f64 is computed in f64, all else in f32.
    ///
    /// # Errors
    /// An input shape that [`ConvTranspose::at`] refuses.
    pub fn run<'a>(&self, input: impl Into<TensorView<'a>>) -> Result<Tensor> {
        let input = input.into();
        let Inner { op, double, .. } = &*self.inner;
        let geometry = op.at(input.shape())?;
        let run = |x: &[f32]| {
            let mut y = Vec::new();
            self.run_single(&geometry, x, &mut y);
            y
        };
        let data = match input.data() {
            DataView::F64(x) => {
                let double = double.get_or_init(|| self.single().map(f64::from));
                let mut y = vec![0.0; geometry.output_len()];
                gather::run(op, &geometry, double, x, &mut y);
                Data::F64(y)
            }
            DataView::F32(x) => Data::F32(run(x)),
            DataView::Bf16(_) => Data::F32(run(&input.to_f32())),
            DataView::F16(x) => {
                let mut wide = vec![0.0; x.len()];
                x.convert_to_f32_slice(&mut wide);
                let wide = run(&wide);
                let mut y = vec![f16::ZERO; wide.len()];
                y.convert_from_f32_slice(&wide);
                Data::F16(y)
            }
        };
        Tensor::new(geometry.output_shape(), data)
    }

    /// As [`Layer::run`] for f32 without tensors: `output` becomes the result, in the memory it already has if that
    /// suffices. Says the sizes.
    ///
    /// # Errors
    /// An input shape that [`ConvTranspose::at`] refuses, [`Error::DataLength`] where the input does not fill it.
    pub fn run_into(&self, input_shape: &[usize], input: &[f32], output: &mut Vec<f32>) -> Result<Geometry> {
        let geometry = self.inner.op.at(input_shape)?;
        if input.len() != geometry.input_len() {
            let shape = input_shape.to_vec();
            return Err(Error::DataLength { shape, expected: geometry.input_len(), given: input.len() });
        }
        self.run_single(&geometry, input, output);
        Ok(geometry)
    }

    fn run_single(&self, geometry: &Geometry, x: &[f32], y: &mut Vec<f32>) {
        let Inner { op, winograd, packed, plain, pool, .. } = &*self.inner;
        if let Some(winograd) = winograd
            && output::write(y, geometry.output_len(), |y| winograd.run(op, geometry, pool, x, y))
        {
            return;
        }
        let choice = self.choice(geometry);
        if let (Choice::Products(cut), Some(packed)) = (&*choice, packed) {
            let packings = [packed, plain.as_ref().unwrap_or(packed)];
            let fill = |y: &mut [_]| products::run(op, geometry, packings, cut, pool, x, y);
            if output::write(y, geometry.output_len(), fill) {
                return;
            }
        }
        y.clear();
        y.resize(geometry.output_len(), 0.0);
        gather::run(op, geometry, self.single(), x, y);
    }

    fn single(&self) -> &gather::Weights<f32> {
        let Inner { op, packed, single, .. } = &*self.inner;
        single.get_or_init(|| {
            let (weight, bias) = packed.as_ref().map(|packed| packed.unpack(op)).unwrap_or_default();
            gather::Weights::new(op, &weight, bias)
        })
    }

    /// What is chosen, found again if the last run had the same sizes and threads.
    fn choice(&self, geometry: &Geometry) -> Arc<Choice> {
        let Inner { op, packed, chosen, .. } = &*self.inner;
        let threads = rayon::current_num_threads();
        let mut chosen = chosen.lock().unwrap_or_else(PoisonError::into_inner);
        match &*chosen {
            Some((for_geometry, for_threads, choice)) if for_geometry == geometry && *for_threads == threads => {
                choice.clone()
            }
            _ => {
                let choice = Arc::new(choose(op, geometry, packed.as_ref(), threads));
                *chosen = Some((geometry.clone(), threads, choice.clone()));
                choice
            }
        }
    }
}
