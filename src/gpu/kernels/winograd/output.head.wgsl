// Winograd's filtering, last kernel: the products at 36 points to 4x4 outputs, with bias and activation. One invocation
// takes one channel of one tile and writes its 16 outputs, so that nothing can race.
//
// This file is written by the generator src/gpu/kernels/winograd/wgsl.rs; a test keeps it so. Where rows of outputs are not
// whole quads they are written one by one.

// What varies between uses of this file; the host replaces everything above the line of dashes.
alias Elem = f32;
fn activate(y: f32, alpha: f32, beta: f32) -> f32 { return y; }
// ---
