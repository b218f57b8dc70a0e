//! Networks in the format of the library ncnn.
//!
//! A network is two files. The `.param` file has the layers: as text (a magic number, the numbers of layers and blobs, and
//! a line for each layer with its type, its name, the blobs that it reads and writes, and `key=value` parameters, whose keys
//! are numbers), or the same in binary. The `.bin` file has the weights in the order of the layers: tagged ones (f32, f16,
//! int8 with a scale for each output channel, or bytes that choose from 256 values) and plain f32.
//!
//! What is read: convolutions and transposed ones with all of their parameters but automatic padding, inner products behind
//! a mean, global means, sums, products, scales, concatenations of channels, crops, padding, enlargements, pixel shuffles,
//! batch normalisation and the activations. What is not is refused by the layer's name and type. int8 weights are computed
//! with as the numbers they stand for; ncnn rounds what enters such a layer too.

mod activation;
mod bin;
mod border;
mod interp;
mod layers;
mod param;
mod shape;

use super::{Graph, problem};
use crate::error::Result;

/// Reads the two files of a network. The graph's inputs are those of the file, in its order; its outputs the blobs that no
/// layer reads.
///
/// # Errors
/// [`Error::Graph`](crate::Error::Graph), which names the layer, for files that are unsound or that lie, for what is not
/// [read](self), and for weights that are infinite or NaN.
pub fn read(param: &[u8], bin: &[u8]) -> Result<Graph> {
    let file = param::parse(param).map_err(|error| problem(format!("the .param file {error}")))?;
    layers::graph(&file, bin).map_err(problem)
}
