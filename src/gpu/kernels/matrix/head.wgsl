// Transposed convolution on cooperative matrices: squares of numbers that a subgroup keeps among its invocations and
// multiplies together.
//
// This file is written by the generator src/gpu/kernels/matrix/wgsl.rs; a test keeps it so. What follows is the kernel of a
// 4x4 layer of stride 2 for matrices of 8x8 numbers. Other layers and devices get others of the same make.
//
// The outputs that lie `stride` apart have the same taps: a phase. For each tap of it some neighbouring cells read
// neighbouring inputs, so that the phase is a sum of products [cells][in channels] times [in channels][out channels].
// A workgroup brings the inputs of a box of cells and of a few channels into its memory, 0 where there are none; a tap
// is then a distance in it. Each subgroup multiplies them for one phase and one block of output channels, a *pair*;
// where there are fewer subgroups than pairs, they take turns. The sums go through the memory too, so that they are
// finished one by one. Every element of the memory is written by one invocation, or one subgroup, between two barriers,
// and every output by one invocation: nothing can race.

// What varies between uses of this file; the host replaces everything above the line of dashes.
enable f16;
enable wgpu_cooperative_matrix;
alias Elem = f16;
fn activate(y: f32, alpha: f32, beta: f32) -> f32 { return y; }
// ---
