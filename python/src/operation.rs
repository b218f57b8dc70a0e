//! What is computed: from Python's arguments or as JSON, and then resolved at the shapes of an input and a weight.

use crate::error::python;
use crate::parameters::{PerAxis, accuracy, activation, layout, shortened};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use upconv::convention::{AutoPad, flip_kernel};
use upconv::{
    Accuracy, Activation, Bias, ConvTranspose, Convention, Convolution, Error, Layout, OutputPaddingPolicy, Tensor,
    TensorView, describe,
};

/// A description of an operation: all but the channels and the kernel, which are the weight's.
#[pyclass(frozen, module = "upconv._upconv")]
pub(crate) struct Operation(Description);

enum Description {
    Transposed { common: Common, output_padding: Vec<usize>, output_size: Option<Vec<usize>> },
    Ordinary { common: Common, auto_pad: AutoPad },
    Described { operation: Box<describe::Operation>, policy: OutputPaddingPolicy },
}

/// What both kinds have.
struct Common {
    rank: usize,
    stride: Vec<usize>,
    padding: Vec<usize>,
    dilation: Vec<usize>,
    groups: usize,
    layout: Layout,
    activation: Activation,
    accuracy: Accuracy,
}

/// An operation at the shapes of an input and a weight.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Resolved {
    /// With the weight turned first where that is said.
    Transposed {
        op: ConvTranspose,
        flipped: bool,
    },
    Ordinary(Convolution),
}

#[pymethods]
impl Operation {
    /// A transposed convolution.
    #[staticmethod]
    #[allow(clippy::too_many_arguments, reason = "they are PyTorch's")]
    #[pyo3(signature = (rank, stride, padding, output_padding, groups, dilation, layout, activation, accuracy, output_size))]
    fn transposed(
        rank: usize,
        stride: &Bound<'_, PyAny>,
        padding: &Bound<'_, PyAny>,
        output_padding: &Bound<'_, PyAny>,
        groups: &Bound<'_, PyAny>,
        dilation: &Bound<'_, PyAny>,
        layout: &str,
        activation: Option<&str>,
        accuracy: &str,
        output_size: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Self> {
        let padding = PerAxis::new("padding", padding)?.expand(rank, 0)?;
        let common = Common::new(rank, stride, padding, dilation, groups, layout, activation, accuracy)?;
        let output_padding = PerAxis::new("output_padding", output_padding)?.expand(rank, 0)?;
        let output_size = output_size.map(|size| PerAxis::new("output_size", size)?.expand(rank, 1)).transpose()?;
        if output_size.is_some() && output_padding.iter().any(|&padding| padding > 0) {
            return Err(PyValueError::new_err(format!(
                "output_size and output_padding {output_padding:?} are given, expected one of them: the size says the padding"
            )));
        }
        Ok(Self(Description::Transposed { common, output_padding, output_size }))
    }

    /// An ordinary convolution; `padding` may be `"same"` or `"valid"`.
    #[staticmethod]
    #[allow(clippy::too_many_arguments, reason = "they are PyTorch's")]
    fn ordinary(
        rank: usize,
        stride: &Bound<'_, PyAny>,
        padding: &Bound<'_, PyAny>,
        dilation: &Bound<'_, PyAny>,
        groups: &Bound<'_, PyAny>,
        layout: &str,
        activation: Option<&str>,
        accuracy: &str,
    ) -> PyResult<Self> {
        let (padding, auto_pad) = match padding.extract::<String>() {
            Ok(name) => (vec![0; rank], auto_pad(&name)?),
            Err(_) => (PerAxis::new("padding", padding)?.expand(rank, 0)?, AutoPad::NotSet),
        };
        let common = Common::new(rank, stride, padding, dilation, groups, layout, activation, accuracy)?;
        if auto_pad == AutoPad::SameUpper && common.stride.iter().any(|&stride| stride > 1) {
            let problem = format!("padding \"same\" needs stride 1, and stride is {:?}", common.stride);
            return Err(PyValueError::new_err(problem));
        }
        Ok(Self(Description::Ordinary { common, auto_pad }))
    }

    /// A transposed convolution in the keys of `upconv::describe`.
    #[staticmethod]
    fn described(json: &str, lenient: bool) -> PyResult<Self> {
        let operation = Box::new(describe::Operation::from_json(json).map_err(python)?);
        let policy = if lenient { OutputPaddingPolicy::Lenient } else { OutputPaddingPolicy::Strict };
        Ok(Self(Description::Described { operation, policy }))
    }

    /// The shape of the output for an input and a weight of these shapes.
    #[allow(clippy::needless_pass_by_value, reason = "Python's lists are copied")]
    fn output_shape(&self, input: Vec<usize>, weight: Vec<usize>) -> PyResult<Vec<usize>> {
        Ok(self.resolve(&input, &weight, None).and_then(|op| op.op().at(&input)).map_err(python)?.output_shape())
    }
}

fn auto_pad(name: &str) -> PyResult<AutoPad> {
    match name {
        "same" => Ok(AutoPad::SameUpper),
        "valid" => Ok(AutoPad::Valid),
        _ => {
            let problem = format!("padding is {:?}, expected ints, \"same\" or \"valid\"", shortened(name));
            Err(PyValueError::new_err(problem))
        }
    }
}

impl Common {
    #[allow(clippy::too_many_arguments, reason = "they are PyTorch's")]
    fn new(
        rank: usize,
        stride: &Bound<'_, PyAny>,
        padding: Vec<usize>,
        dilation: &Bound<'_, PyAny>,
        groups: &Bound<'_, PyAny>,
        layout_name: &str,
        activation_json: Option<&str>,
        accuracy_name: &str,
    ) -> PyResult<Self> {
        Ok(Self {
            rank,
            stride: PerAxis::new("stride", stride)?.expand(rank, 1)?,
            padding,
            dilation: PerAxis::new("dilation", dilation)?.expand(rank, 1)?,
            groups: PerAxis::new("groups", groups)?.expand(1, 1)?[0],
            layout: layout(layout_name, rank)?,
            activation: activation(activation_json)?,
            accuracy: accuracy(accuracy_name)?,
        })
    }

    /// A weight's channels, the first and the second axis, and its kernel.
    fn weight<'a>(&self, shape: &'a [usize], names: &str) -> upconv::Result<(usize, usize, &'a [usize])> {
        match shape {
            [first, second, kernel @ ..] if kernel.len() == self.rank => Ok((*first, *second, kernel)),
            _ => {
                let expected = format!("{} axes: {names} and the kernel's {}", self.rank + 2, self.rank);
                Err(Error::Shape { what: "weight", given: shape.to_vec(), expected })
            }
        }
    }

    /// The channels of all groups.
    fn of_groups(&self, channels: usize) -> upconv::Result<usize> {
        let overflow = || Error::Overflow { what: "channels", detail: format!("{channels} · groups {}", self.groups) };
        channels.checked_mul(self.groups).ok_or_else(overflow)
    }
}

impl Operation {
    /// The operation for an input and a weight of these shapes.
    ///
    /// # Errors
    /// What does not fit, and a bias that the description says there is, or is none.
    pub(crate) fn resolve(&self, input: &[usize], weight: &[usize], bias: Option<bool>) -> upconv::Result<Resolved> {
        match &self.0 {
            Description::Transposed { common, output_padding, output_size } => {
                let (in_channels, of_group, kernel) = common.weight(weight, "in_channels, out_channels / groups")?;
                let op = ConvTranspose::builder()
                    .in_channels(in_channels)
                    .out_channels(common.of_groups(of_group)?)
                    .groups(common.groups)
                    .kernel(kernel.iter().copied())
                    .stride(common.stride.iter().copied())
                    .padding(common.padding.iter().copied())
                    .output_padding(output_padding.iter().copied())
                    .dilation(common.dilation.iter().copied())
                    .layout(common.layout)
                    .activation(common.activation.clone())
                    .accuracy(common.accuracy)
                    .build()?;
                let op = match output_size {
                    Some(size) => Convention::OutputSize(size.clone()).resolve(&op, input)?,
                    None => op,
                };
                Ok(Resolved::Transposed { op, flipped: false })
            }
            Description::Ordinary { common, auto_pad } => {
                let (out_channels, of_group, kernel) = common.weight(weight, "out_channels, in_channels / groups")?;
                let convolution = Convolution::builder()
                    .in_channels(common.of_groups(of_group)?)
                    .out_channels(out_channels)
                    .groups(common.groups)
                    .kernel(kernel.iter().copied())
                    .stride(common.stride.iter().copied())
                    .padding(common.padding.iter().copied())
                    .dilation(common.dilation.iter().copied())
                    .layout(common.layout)
                    .activation(common.activation.clone())
                    .accuracy(common.accuracy)
                    .build()?;
                Ok(Resolved::Ordinary(convolution.auto_padded(*auto_pad, input)?))
            }
            Description::Described { operation, policy } => {
                let op = operation.resolve(input, weight, *policy)?;
                if let (Some(said), Some(given)) = (operation.bias(), bias)
                    && said != given
                {
                    let is = |there: bool| if there { "a bias" } else { "no bias" };
                    let problem =
                        format!("the description says that there is {}, but {} is given", is(said), is(given));
                    return Err(Error::Description { problem });
                }
                op.check_parameters(weight, None)?;
                Ok(Resolved::Transposed { op, flipped: operation.flips_kernel() })
            }
        }
    }
}

impl Resolved {
    /// The transposed convolution that computes it.
    pub(crate) fn op(&self) -> &ConvTranspose {
        match self {
            Resolved::Transposed { op, .. } => op,
            Resolved::Ordinary(convolution) => convolution.transposed(),
        }
    }

    /// The same without an activation behind.
    pub(crate) fn sums(&self) -> upconv::Result<ConvTranspose> {
        self.op().to_builder().activation(Activation::None).build()
    }

    /// A weight turned by 180° where the convention does so; `None` where the one that is given serves.
    pub(crate) fn flip(&self, weight: TensorView<'_>) -> upconv::Result<Option<Tensor>> {
        match self {
            Resolved::Transposed { op, flipped: true } => flip_kernel(op, weight).map(Some),
            _ => Ok(None),
        }
    }

    /// Checks the shapes of weight and bias.
    pub(crate) fn check(&self, weight: &[usize], Bias(bias): Bias<'_>) -> upconv::Result<()> {
        let bias = bias.map(|bias| bias.shape());
        match self {
            Resolved::Transposed { op, .. } => op.check_parameters(weight, bias),
            // Its weight was the one that it was described by.
            Resolved::Ordinary(convolution) => {
                let op = convolution.transposed();
                op.check_parameters(&op.weight_shape(), bias)
            }
        }
    }
}
