//! The gradients of a layer: a backward pass.

use super::channel_sums::channel_sums;
use super::correlation::Correlation;
use super::derivative::{Left, of_slopes, of_sums, of_sums_f64};
use super::element::Element;
use super::layer::{Layer, result_type, to_f32, to_f64};
use super::memory::collect;
use super::scratch::Pool;
use super::{outer, threads};
use crate::activation::Activation;
use crate::error::Result;
use crate::gradient::{Gradients, OutputGradient, Saved};
use crate::op::Geometry;
use crate::tensor::{DType, Data, DataView, Tensor, TensorView};
use std::borrow::Cow;

/// Gradients.
///
/// All of them are sums of products of the gradient of the sums, `dz = dy·f'(z)`; see [`OutputGradient`] for what an
/// activation `f` needs. Any [`DType`]; f64 is computed in f64, all else in f32, each once over all that is given: a
/// gradient is computed in f64 where any tensor that it depends on, other than the weights, is f64. The input's gradient
/// then has the type that a forward pass of such an element type has: f16 for a `dy` of f16, f32 for bf16. Those of the
/// parameters are f32, or f64.
///
/// Every element is within `n·ε·Σ|a·b|` of the exact sum of its `n` products `a·b`, ε = 2⁻²³, and further off by what
/// rounding `dz` adds, which [`Expected::bound`](crate::reference::Expected::bound) says; the bits depend neither on the
/// number of threads nor on the run. The sums of the weight's and the bias's gradients, which are long, are taken in parts:
/// what is observed grows with the length of a part. A product with a position that padding crops is not computed: a NaN or
/// an infinity shows only where it reaches.
impl Layer {
    /// The gradient with respect to the input, `dx`: the ordinary convolution of `dz` with the weight.
    ///
    /// `input_shape` is one that [`ConvTranspose::at`](crate::ConvTranspose::at) takes, and that of the result; the gradient has the output's. The
    /// weights are turned and packed anew when they are first needed.
    ///
    /// # Errors
    /// Shapes that do not fit the operation; [`Error::Gradient`](crate::Error::Gradient) where [`OutputGradient`] lacks what
    /// the activation needs, and for operations with an activation before the products; as [`Layer::run`].
    pub fn input_gradient<'a>(&self, input_shape: &[usize], gradient: impl Into<OutputGradient<'a>>) -> Result<Tensor> {
        OfSums::new(self, self.op().at(input_shape)?, gradient.into())?.input()
    }

    /// The gradient with respect to the weight, `dw`: for each tap, the input times `dz` where the tap lands, summed over the
    /// batch and the input's positions. For a batch of 0 it is 0, and so is the gradient of a tap that is cropped everywhere.
    ///
    /// The gradient has the shape of the output for `input`; the result has the shape and the order of the weight that the
    /// layer was made of, the convolution's own for [`Layer::convolution`].
    ///
    /// # Errors
    /// As [`input_gradient`](Self::input_gradient).
    pub fn weight_gradient<'a>(
        &self,
        input: impl Into<TensorView<'a>>,
        gradient: impl Into<OutputGradient<'a>>,
    ) -> Result<Tensor> {
        let input = input.into();
        OfSums::new(self, self.op().at(input.shape())?, gradient.into())?.weight(input)
    }

    /// The gradient with respect to the bias, `db`: `dz` summed over the batch and the output's positions. Its shape is
    /// `[out_channels]`.
    ///
    /// # Errors
    /// As [`input_gradient`](Self::input_gradient).
    pub fn bias_gradient<'a>(&self, input_shape: &[usize], gradient: impl Into<OutputGradient<'a>>) -> Result<Tensor> {
        OfSums::new(self, self.op().at(input_shape)?, gradient.into())?.bias()
    }

    /// All gradients, for which `dz` is computed once: bit for bit what the other functions return.
    ///
    /// # Errors
    /// As [`input_gradient`](Self::input_gradient).
    ///
    /// ```
    /// # fn main() -> upconv::Result<()> {
    /// use upconv::{ConvTranspose, Tensor, cpu::Layer};
    /// let op = ConvTranspose::builder().kernel([2]).stride([2]).build()?;
    /// let layer = Layer::new(&op, &Tensor::f32([1, 1, 2], [1.0, 2.0])?, None)?;
    /// let x = Tensor::f32([1, 1, 2], [3.0, 4.0])?;
    /// let dy = Tensor::f32([1, 1, 4], [1.0, 0.0, 1.0, 1.0])?;
    /// let gradients = layer.backward(&x, &dy)?;
    /// assert_eq!(gradients.input.to_f32(), [1.0, 3.0]);
    /// assert_eq!(gradients.weight.to_f32(), [7.0, 4.0]);
    /// assert_eq!(gradients.bias.to_f32(), [3.0]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn backward<'a>(
        &self,
        input: impl Into<TensorView<'a>>,
        gradient: impl Into<OutputGradient<'a>>,
    ) -> Result<Gradients> {
        let (input, gradient) = (input.into(), gradient.into());
        let dz = OfSums::new(self, self.op().at(input.shape())?, gradient)?;
        Ok(Gradients { input: dz.input()?, weight: dz.weight(input)?, bias: dz.bias()?, slopes: dz.slopes(gradient)? })
    }
}

/// The gradient of a layer's sums.
struct OfSums<'l, 'a> {
    layer: &'l Layer,
    geometry: Geometry,
    values: Values<'a>,
    /// The type of the gradient of the output.
    given: DType,
}

/// Elements in the type that is computed in.
enum Values<'a> {
    Single(Cow<'a, [f32]>),
    Double(Cow<'a, [f64]>),
}

impl<'l, 'a> OfSums<'l, 'a> {
    fn new(layer: &'l Layer, geometry: Geometry, gradient: OutputGradient<'a>) -> Result<Self> {
        const LEFT: &str = "what the forward pass left";
        let saved = gradient.check(&geometry)?;
        threads::ensure()?;
        let dy = gradient.gradient();
        let given = dy.dtype();
        let (left, by_output) = match saved {
            Saved::Nothing => (None, false),
            Saved::Output(y) => (Some(y), true),
            Saved::Sum(z) => (Some(z), false),
        };
        let double = given == DType::F64 || left.is_some_and(|left| left.dtype() == DType::F64);
        let values = if double {
            let dy = to_f64("the gradient of the output", dy)?;
            Values::Double(match left {
                None => dy,
                Some(left) => {
                    let left = to_f64(LEFT, left)?;
                    let left = if by_output { Left::Output(&left) } else { Left::Sum(&left) };
                    Cow::Owned(of_sums_f64(&geometry, &dy, left)?)
                }
            })
        } else {
            let dy = to_f32("the gradient of the output", dy)?;
            Values::Single(match left {
                None => dy,
                Some(left) => {
                    let left = to_f32(LEFT, left)?;
                    let left = if by_output { Left::Output(&left) } else { Left::Sum(&left) };
                    Cow::Owned(of_sums(&geometry, &dy, left, layer.level().instructions())?)
                }
            })
        };
        Ok(Self { layer, geometry, values, given })
    }

    fn input(&self) -> Result<Tensor> {
        let shape = self.geometry.output_shape();
        let (dz, dtype) = match &self.values {
            Values::Single(dz) => (DataView::F32(dz), result_type(self.given)),
            Values::Double(dz) => (DataView::F64(dz), DType::F64),
        };
        self.layer.sum_input_gradient(&self.geometry, TensorView::new(&shape, dz)?, dtype)
    }

    fn weight(&self, input: TensorView<'_>) -> Result<Tensor> {
        let (op, what) = (self.geometry.op(), "the input");
        let data = match &self.values {
            Values::Single(dz) if input.dtype() != DType::F64 => {
                Data::F32(self.sums(&to_f32(what, input)?, dz, self.layer.pool())?)
            }
            Values::Single(dz) => {
                let dz = collect("the gradient of the sums", dz.len(), dz.iter().map(|&dz| f64::from(dz)))?;
                Data::F64(self.sums(&to_f64(what, input)?, &dz, self.layer.double_pool())?)
            }
            Values::Double(dz) => Data::F64(self.sums(&to_f64(what, input)?, dz, self.layer.double_pool())?),
        };
        let gradient = Tensor::new(op.weight_shape(), data)?;
        match self.layer.made_of() {
            Some(convolution) => convolution.turned_back(&gradient),
            None => Ok(gradient),
        }
    }

    /// The weight gradient in the weight layout; literally where an infinity or NaN would meet the zeros of the products.
    fn sums<T: Element>(&self, x: &[T], dz: &[T], pool: &Pool<T>) -> Result<Vec<T>> {
        let correlation = Correlation::new(&self.geometry, x, dz);
        let sums = match outer::run(&correlation, self.layer.level(), pool)? {
            Some(sums) => sums,
            None => correlation.literally()?,
        };
        Ok(correlation.in_weight_order(self.geometry.op(), sums)?)
    }

    fn bias(&self) -> Result<Tensor> {
        match &self.values {
            Values::Single(dz) => self.by_channel(dz, false),
            Values::Double(dz) => self.by_channel(dz, true),
        }
    }

    /// The gradient of the slopes of a PReLU whose sums are given.
    fn slopes(&self, gradient: OutputGradient<'_>) -> Result<Option<Tensor>> {
        let (Activation::Prelu { .. }, Saved::Sum(z)) =
            (self.geometry.op().activation(), gradient.check(&self.geometry)?)
        else {
            return Ok(None);
        };
        let dy = gradient.gradient();
        let (of_dy, of_z) = ("the gradient of the output", "the sums");
        let slopes = match &self.values {
            Values::Single(_) => {
                self.by_channel(&of_slopes(&self.geometry, &to_f32(of_dy, dy)?, &to_f32(of_z, z)?)?, false)
            }
            Values::Double(_) => {
                self.by_channel(&of_slopes(&self.geometry, &to_f64(of_dy, dy)?, &to_f64(of_z, z)?)?, true)
            }
        };
        slopes.map(Some)
    }

    fn by_channel<T: Element + Into<f64>>(&self, values: &[T], double: bool) -> Result<Tensor> {
        let channels = self.geometry.op().out_channels();
        let stride = self.geometry.output_strides().channel;
        let sums = channel_sums(values, channels, stride, self.layer.level().instructions())?;
        let sums = Tensor::f64([channels], sums)?;
        Ok(if double { sums } else { sums.into_dtype(DType::F32) })
    }
}
