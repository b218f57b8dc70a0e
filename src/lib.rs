//! Transposed convolution on any GPU.
