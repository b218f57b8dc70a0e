// Winograd's filtering, first kernel: the inputs of 4x4 outputs, which are 6x6, to the 36 points at which they are
// multiplied. One invocation takes one channel of one tile and writes its 36 numbers, so that nothing can race.
//
// This file is written by the generator src/gpu/kernels/winograd/wgsl.rs for kernel 3x3 at stride 1; a test keeps it so. For
// kernel 4x4 at stride 2x2 there are more points of fewer inputs each. The matrices, and why there are so few products,
// stand in src/winograd.rs; the products are computed by `direct`, as an operation of 36 groups with one tap.

// What varies between uses of this file; the host replaces everything above the line of dashes.
alias Elem = f32;
// ---
