//! What a backward pass is given: the gradient of the output, and what the forward pass left for the activation.

use crate::activation::Activation;
use crate::error::{Error, Result};
use crate::op::{ConvTranspose, Geometry};
use crate::tensor::{Tensor, TensorView};

/// The gradient of a loss with respect to an operation's output, `dy`, and, where the operation has an activation, what
/// the forward pass left, which tells the activation's derivative.
///
/// All of them have the shape of the output, in the operation's layout; any [`DType`](crate::DType). `&dy` and a
/// [`TensorView`] convert to it for operations without an activation. With an activation `f`, where `y = f(z)`,
///
/// | activation | what it needs |
/// |---|---|
/// | `none` | `dy` alone |
/// | `relu`, `sigmoid`, `tanh`; `leaky_relu`, `prelu` and `elu` where no slope or alpha is negative | the output `y` ([`with_output`](Self::with_output)), or `z` |
/// | all others | the sum `z`, bias and residual included ([`with_sum`](Self::with_sum)) |
///
/// What is taken back through the sums is `dz = dy·f'(z)`, and 0 wherever `f'` is 0, whatever `dy` is there. Where `f` has
/// a kink, `f'` is PyTorch's: 0 at 0 for `relu`; the slope (alpha for `elu`) at 0 for `leaky_relu`, `prelu` and `elu`; 1 at
/// both bounds of a `clip`, as `torch.clamp` has it, which is why the output does not suffice there: it cannot be told
/// from what was clipped; 0 at the lower kink of `hard_swish`, 1 at the upper.
///
/// ```
/// use upconv::{Activation, ConvTranspose, OutputGradient, Tensor, reference};
/// # fn main() -> upconv::Result<()> {
/// let op = ConvTranspose::builder().kernel([2]).stride([2]).activation(Activation::Relu).build()?;
/// let weight = Tensor::f32([1, 1, 2], [1.0, -1.0])?;
/// let x = Tensor::f32([1, 1, 2], [3.0, -5.0])?;
/// let y = reference::run(&op, &x, &weight, None)?;
/// assert_eq!(y.to_f32(), [3.0, 0.0, 0.0, 5.0]);
/// let dy = Tensor::f32([1, 1, 4], [1.0; 4])?;
/// let dx = reference::input_gradient(&op, x.shape(), OutputGradient::with_output(&dy, &y), &weight)?;
/// assert_eq!(dx.value(), [1.0, -1.0]);
/// let refused = reference::input_gradient(&op, x.shape(), &dy, &weight).unwrap_err();
/// assert!(refused.to_string().starts_with("the gradient through relu needs the output or the sum"));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OutputGradient<'a> {
    gradient: TensorView<'a>,
    saved: Saved<'a>,
}

/// What a backward pass gives: the gradients of a loss with respect to what an operation reads.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Gradients {
    /// With respect to the input, of its shape.
    pub input: Tensor,
    /// With respect to the weight, of its shape and in its layout.
    pub weight: Tensor,
    /// With respect to the bias, whether the operation was given one or not: `[out_channels]`.
    pub bias: Tensor,
    /// With respect to the slopes of an operation whose activation is [`Activation::Prelu`], `[out_channels]`, where its sums
    /// were given ([`with_sum`](OutputGradient::with_sum)).
    pub slopes: Option<Tensor>,
}

/// Refuses operations with an activation before the products, through which no gradient is computed.
pub(crate) fn refuse_pre_activation(op: &ConvTranspose) -> Result<()> {
    match op.pre_activation() {
        Activation::None => Ok(()),
        pre => Err(Error::Gradient { problem: format!("through {} before the products is not computed", pre.name()) }),
    }
}

const NOTHING: &str = "only the gradient of the output is given";

/// What tells an activation's derivative.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Saved<'a> {
    /// Nothing does, or there is no activation.
    Nothing,
    /// The operation's output.
    Output(TensorView<'a>),
    /// What the activation was applied to.
    Sum(TensorView<'a>),
}

#[cfg(all(feature = "gpu", not(target_family = "wasm")))]
impl<'a> Saved<'a> {
    /// The tensor, if there is one.
    pub(crate) fn tensor(self) -> Option<TensorView<'a>> {
        match self {
            Saved::Nothing => None,
            Saved::Output(tensor) | Saved::Sum(tensor) => Some(tensor),
        }
    }
}

impl<'a> OutputGradient<'a> {
    /// The gradient `dy` with the output `y` of the forward pass.
    pub fn with_output(dy: impl Into<TensorView<'a>>, y: impl Into<TensorView<'a>>) -> Self {
        Self { gradient: dy.into(), saved: Saved::Output(y.into()) }
    }

    /// The gradient `dy` with the sums `z` of the forward pass: what the activation was applied to, with the bias and a
    /// residual in it. It suffices for every activation.
    pub fn with_sum(dy: impl Into<TensorView<'a>>, z: impl Into<TensorView<'a>>) -> Self {
        Self { gradient: dy.into(), saved: Saved::Sum(z.into()) }
    }

    /// The gradient itself, `dy`.
    pub fn gradient(&self) -> TensorView<'a> {
        self.gradient
    }

    /// Checks the tensors' shapes, and what tells the derivative of the operation's activation:
    /// [`Nothing`](Saved::Nothing) where it has none.
    ///
    /// # Errors
    /// [`Error::Shape`]; [`Error::Gradient`] where what the activation needs is missing, and for operations with an
    /// activation before the products, whose gradients are not computed.
    pub(crate) fn check(&self, geometry: &Geometry) -> Result<Saved<'a>> {
        let op = geometry.op();
        refuse_pre_activation(op)?;
        let expected = geometry.output_shape();
        let saved = match self.saved {
            Saved::Nothing => None,
            Saved::Output(output) => Some(("output of the forward pass", output)),
            Saved::Sum(sum) => Some(("sum before the activation", sum)),
        };
        for (what, tensor) in [("gradient of the output", self.gradient)].into_iter().chain(saved) {
            if tensor.shape() != expected {
                let expected = format!("{expected:?}, the output's");
                return Err(Error::Shape { what, given: tensor.shape().to_vec(), expected });
            }
        }
        let activation = op.activation();
        let (needs, given) = match (self.saved, activation.tells_derivative()) {
            _ if *activation == Activation::None => return Ok(Saved::Nothing),
            (Saved::Sum(_), _) | (Saved::Output(_), true) => return Ok(self.saved),
            (Saved::Output(_), false) => ("the sum before it (with_sum)", "the output does not tell its derivative"),
            (Saved::Nothing, true) => ("the output or the sum before it (with_output, with_sum)", NOTHING),
            (Saved::Nothing, false) => ("the sum before it (with_sum)", NOTHING),
        };
        Err(Error::Gradient { problem: format!("through {} needs {needs}; {given}", activation.name()) })
    }
}

impl<'a> From<TensorView<'a>> for OutputGradient<'a> {
    fn from(gradient: TensorView<'a>) -> Self {
        Self { gradient, saved: Saved::Nothing }
    }
}

impl<'a> From<&'a Tensor> for OutputGradient<'a> {
    fn from(gradient: &'a Tensor) -> Self {
        gradient.view().into()
    }
}
