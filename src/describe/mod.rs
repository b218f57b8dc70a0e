//! Operations, conventions and activations as JSON and back: the one dialect of the program's OP.json, of network files
//! and of tuning files (feature `serde`).
//!
//! [`Activation`](crate::Activation), [`Convention`](crate::Convention) and [`ConvTranspose`](crate::ConvTranspose)
//! implement serde's traits; what is written is read as the same value. [`Operation`] is an operation and its convention
//! together, as a file has them: the channels and the kernel come from the weight, and the placement of the output from
//! the convention at an input's shape.
//!
//! ```
//! use upconv::describe::Operation;
//! use upconv::{Activation, OutputPaddingPolicy};
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let operation = Operation::from_json(
//!     r#"{"convention": "keras", "strides": 2, "padding": "same", "activation": {"kind": "relu"}}"#,
//! )?;
//! let op = operation.resolve(&[1, 8, 16, 16], &[8, 4, 3, 3], OutputPaddingPolicy::Strict)?;
//! assert_eq!(op.at(&[1, 8, 16, 16])?.output_shape(), [1, 4, 32, 32]);
//!
//! let activation: Activation = serde_json::from_str(r#"{"kind": "clip", "min": 0, "max": 6}"#)?;
//! assert_eq!(serde_json::to_string(&activation)?, r#"{"kind":"clip","min":0.0,"max":6.0}"#);
//! # Ok(())
//! # }
//! ```
//!
//! # Keys
//! All are optional. Unknown ones are refused, with the one that is probably meant, and so is a key that stands twice.
//!
//! | key | meaning | default |
//! |---|---|---|
//! | `strides`, `dilations` | one number for each spatial axis, or one for all | 1 |
//! | `pads` | `[begin, end]` for each spatial axis: what is cropped off the output | 0 |
//! | `output_padding` | one number for each spatial axis, or one for all | 0 |
//! | `convention` | whose rules place the output, below | |
//! | `auto_pad` | `explicit` (or `notset`), `same_upper`, `same_lower`, `valid` | `explicit` |
//! | `output_shape` | spatial extents of the output | computed |
//! | `output_shape_rule` | without `convention`: `onnx`, `webnn` (PyTorch's `output_size`), `tf` (TensorFlow, Keras, JAX) | `webnn` for explicit pads, else `onnx` |
//! | `groups` | | 1 |
//! | `kernel_shape` | the kernel's extents, which must be the weight's | the weight's |
//! | `input_layout` | letters `n` (may be missing), `c`, `d`, `h`, `w`; or `channels_first`, `channels_last` | channels first |
//! | `filter_layout` | letters `i`, `o`, `d`, `h`, `w` | `iohw`, `iow` or `iodhw` |
//! | `activation` | what follows the bias: `{"kind": …}`, below | none |
//! | `pre_activation` | what is applied to each input before the products, likewise | none |
//! | `accuracy` | `elementwise`, `normwise` or `half`: see [`Accuracy`](crate::Accuracy) | `elementwise` |
//! | `bias` | whether there must be one | as given |
//! | `op`, `dims` | `conv_transpose1d`, `2d` or `3d`, and the number of spatial axes: checked against the weight | |
//! | `x_shape`, `w_shape` | the shapes of input and weight, where no tensors are at hand | |
//! | `name`, `notes`, `source` and what test suites record: `schema`, `suite`, `tags`, `dtype`, `expect`, `error_…`, `resolved`, `rtol`, `atol`, `grad_tol`, `verified`, `ref_max_abs_err`, `y_from`, `disagree_note`, `b_shape`, `y_shape`, `d…_shape` | nothing of the operation | |
//!
//! Layouts and `auto_pad` may be in capitals. An object with the key `schema` may have further keys, unless they look like
//! one of a description.
//!
//! # Conventions
//! A description that names one may have its framework's keys in place of ours. Keys that place the output are those in
//! the table, and no others; the layouts stay as above, whatever the framework's own default is.
//!
//! | `convention` | keys that place the output | its names of other keys |
//! |---|---|---|
//! | `explicit` | `pads`, `output_padding` | |
//! | `pytorch` | `padding` (one number for both ends), `output_padding`, `output_size` | `stride`, `dilation`, `kernel_size` |
//! | `onnx` | `pads` (also as `[begin…, end…]`), `output_padding`, `auto_pad`, `output_shape` | `group` |
//! | `webnn` | `padding` (also as `[begin, end, begin, end]`), `outputPadding`, `outputSizes` | `inputLayout`, `filterLayout` |
//! | `tensorflow` | `padding`: `same` (default) or `valid`; `output_shape`, spatial extents alone | `data_format` |
//! | `keras` | `padding`: `same` or `valid` (default); `output_padding` | `dilation_rate`, `kernel_size`, `data_format`, `use_bias` |
//! | `jax` | `padding`: `same`, `valid` or `[begin, end]` for each axis, which it adds | `rhs_dilation`, `transpose_kernel` |
//! | `mxnet` | `pad` (one number for both ends), `adj`, `target_shape` | `stride`, `dilate`, `kernel`, `num_group`, `layout` |
//!
//! What they mean is said at [`Convention`](crate::Convention). JAX mirrors the kernel unless `transpose_kernel` is true:
//! [`Operation::flips_kernel`].
//!
//! # Activations
//! `kind` (or `type`) is `none`, `relu`, `relu6`, `sigmoid`, `tanh`, `mish`, `gelu`, `silu`; `leaky_relu` with `alpha`
//! (0.01); `elu` with `alpha` (1); `prelu` with `slopes` and `snake` with `alphas`, one for each output channel, or input
//! channel before the products; `clip` with `min` and `max` (none), or `alpha` and `beta`;
//! `hard_swish` with `alpha` (1/6) and `beta` (1/2). A number beyond f32 is infinite.

mod activation;
mod framework;
pub(crate) mod json;
mod keys;
mod operation;
#[cfg(test)]
mod tests;

#[cfg(feature = "picture")]
pub(crate) use activation::Described;
pub use operation::Operation;
