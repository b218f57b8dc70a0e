//! Which operator is read by which function.

use super::constant::{Constant, Read};
use super::fold::folded;
use super::maker::{Blob, Item, Maker};
use super::node::Node;
use super::{activation, arithmetic, border, channels, convolution, resize, shape};
use std::sync::Arc;

/// What reads an operator.
type Make = fn(&mut Maker, &Node) -> Read<Vec<Item>>;

impl From<Blob> for Vec<Item> {
    fn from(blob: Blob) -> Self {
        vec![Item::Blob(blob)]
    }
}

impl From<Constant> for Vec<Item> {
    fn from(constant: Constant) -> Self {
        vec![Item::Constant(Arc::new(constant))]
    }
}

/// Operators whose further outputs are for training; whoever reads them finds them missing.
pub(super) const LEAVES_OUTPUTS: [&str; 2] = ["BatchNormalization", "Dropout"];

/// Operators with the attributes that they may have.
const OPERATORS: &[(&str, &[&str], Make)] = &[
    ("Add", &[], arithmetic::add),
    ("AveragePool", &convolution::POOL, convolution::average_pool),
    ("BatchNormalization", &["epsilon", "momentum", "training_mode"], convolution::batch_normalization),
    ("Cast", &["to", "saturate"], shape::cast),
    ("Celu", &["alpha"], activation::celu),
    ("Clip", &["min", "max"], activation::clip),
    ("Concat", &["axis"], channels::concat),
    ("Conv", &convolution::CONV, convolution::conv),
    ("ConvTranspose", &convolution::CONV_TRANSPOSE, convolution::conv_transpose),
    ("DepthToSpace", &["blocksize", "mode"], channels::depth_to_space),
    ("Div", &[], arithmetic::div),
    ("Dropout", &["ratio", "seed"], shape::dropout),
    ("Elu", &["alpha"], activation::elu),
    ("Erf", &[], activation::erf),
    ("Expand", &[], shape::expand),
    ("Flatten", &["axis"], shape::flatten),
    ("Gather", &["axis"], channels::gather),
    ("Gelu", &["approximate"], activation::gelu),
    ("Gemm", &["alpha", "beta", "transA", "transB"], convolution::gemm),
    ("GlobalAveragePool", &[], shape::global_average_pool),
    ("HardSigmoid", &["alpha", "beta"], activation::hard_sigmoid),
    ("HardSwish", &[], activation::hard_swish),
    ("Identity", &[], shape::identity),
    ("LeakyRelu", &["alpha"], activation::leaky_relu),
    ("MatMul", &[], convolution::mat_mul),
    ("Mish", &[], activation::mish),
    ("Mul", &[], arithmetic::mul),
    ("Neg", &[], arithmetic::neg),
    ("PRelu", &[], activation::prelu),
    ("Pad", &["mode", "pads", "value"], border::pad),
    ("Pow", &[], arithmetic::pow),
    ("ReduceMean", &["axes", "keepdims", "noop_with_empty_axes"], shape::reduce_mean),
    ("Relu", &[], activation::relu),
    ("Reshape", &["allowzero"], shape::reshape),
    ("Resize", &resize::RESIZE, resize::resize),
    ("Selu", &["alpha", "gamma"], activation::selu),
    ("Shape", &["start", "end"], shape::shape),
    ("Sigmoid", &[], activation::sigmoid),
    ("Sin", &[], activation::sin),
    ("Slice", &["starts", "ends", "axes"], border::slice),
    ("Softplus", &[], activation::softplus),
    ("SpaceToDepth", &["blocksize"], channels::space_to_depth),
    ("Split", &["axis", "split", "num_outputs"], channels::split),
    ("Squeeze", &["axes"], shape::squeeze),
    ("Sub", &[], arithmetic::sub),
    ("Sum", &[], arithmetic::sum),
    ("Tanh", &[], activation::tanh),
    ("Unsqueeze", &["axes"], shape::unsqueeze),
    ("Upsample", &["mode", "scales"], resize::upsample),
];

/// What a node writes.
pub(super) fn made(maker: &mut Maker, node: &Node) -> Read<Vec<Item>> {
    let mut constants = Vec::new();
    for number in 0..node.inputs.len() {
        match maker.item(node, number)? {
            Some(Item::Constant(constant)) => constants.push(Some(constant)),
            None => constants.push(None),
            Some(_) => {
                let operator = OPERATORS.iter().find(|(kind, ..)| *kind == node.kind);
                let (_, attributes, make) = operator.ok_or("is of a type that is not read")?;
                node.only(attributes)?;
                return make(maker, node);
            }
        }
    }
    folded(maker, node, &constants).map(Into::into)
}
