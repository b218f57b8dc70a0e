// Transposed convolution out of the workgroup's memory: as direct.wgsl, but what the invocations of a workgroup read
// they bring from the buffers together, each input and each weight once.
//
// This file is written by src/gpu/kernels/tiles/wgsl.rs; a test keeps it so. What follows is the kernel of a 4x4 layer
// of stride 2 and padding 1. Other layers and devices get other tiles of the same make.
//
// A workgroup computes a box of cells of some items of the batch, for some blocks of output channels; an invocation
// computes a tile of the box for one block. All phases of a cell read the same few inputs, and neighbouring tiles share
// some, so that the box with its halo serves them all. A few input channels at a time (a K-chunk) are brought. Barriers
// stand before and after the multiplying: nothing is read before it is written, or overwritten before it is read. Every
// element of the memory is written by one invocation, every output too: nothing can race. An accumulator takes its
// products in the order of direct.wgsl and has its bits.
//
// Addresses in the memory are one number of the invocation and constants, so that reading takes little else.

// What varies between uses of this file; the host replaces everything above the line of dashes.
alias Elem = f32;
fn activate(y: f32, alpha: f32, beta: f32) -> f32 { return y; }
// ---
