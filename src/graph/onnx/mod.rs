//! Networks in the ONNX format.
//!
//! A file is one message of protocol buffers, of which the fields that are needed are read and the others skipped: opsets 9 to
//! 22, with all weights inside (f32, f16, bf16 and f64, the last computed with as f32). Its inputs are `[batch, channels, …]`
//! with one to three axes behind the channels. Where the file fixes the extents of all inputs, what it computes of them is
//! taken to be meant so at other extents too: a `Resize` to twice the size of its input doubles, whatever the input is.
//!
//! What is read:
//!
//! - `Conv`, `ConvTranspose` (`auto_pad` where the padding depends on no extent, or the extents are fixed),
//!   `BatchNormalization`, `AveragePool` without padding;
//! - `Relu`, `LeakyRelu`, `PRelu`, `Sigmoid`, `Tanh`, `Elu`, `Celu`, `Selu`, `Clip`, `HardSigmoid`, `HardSwish`, `Mish` and `Gelu`;
//!   these, `SiLU`, `GELU` and Snake also in the parts of which exporters make them;
//! - `Add`, `Sub`, `Mul`, `Div`, `Sum` and `Neg`, of values, and with numbers, one or one for each channel;
//! - `Concat`, `Split`, `Slice` and `Gather` of channels; `Slice` and `Pad` on the axes behind them;
//! - `Resize` and `Upsample`: nearest by whole factors where that repeats each element, and linear and cubic with half pixels;
//!   `DepthToSpace`, `SpaceToDepth`;
//! - `GlobalAveragePool` and `ReduceMean` over all axes behind the channels, and behind them `Gemm`, `MatMul`, `Flatten`,
//!   `Reshape`, `Squeeze`, `Unsqueeze` and `Expand`;
//! - `Identity`, `Dropout`, `Cast` between real numbers, and what is computed of constants and shapes alone.
//!
//! All else is refused by the node's name and type.

mod activation;
mod arithmetic;
mod border;
mod channels;
mod constant;
mod convolution;
mod file;
mod fold;
mod maker;
mod node;
mod operators;
mod pattern;
mod proto;
mod rearrange;
mod resize;
mod shape;
mod whole;

use super::{Graph, problem};
use crate::error::Result;

/// Reads a network. The graph's inputs are those of the file that are no constants, and its outputs the file's, each in their
/// order. What is `[batch, channels]` in the file has further axes of the extent 1 in the graph.
///
/// # Errors
/// [`Error::Graph`](crate::Error::Graph), which names the node, for files that are unsound or that lie, for what is not
/// [read](self), and for weights that are infinite or NaN.
pub fn read(bytes: &[u8]) -> Result<Graph> {
    file::File::decode(bytes).and_then(maker::graph).map_err(problem)
}
