// Transposed convolution by register tiles: one invocation computes a tile of outputs for a vector of channels.
//
// This file is written by src/gpu/kernels/tiles/wgsl.rs; a test keeps it so. What follows is the kernel of a 4x4 layer
// of stride 2 and padding 1. Other layers and devices get other tiles of the same make.
//
// Along each axis the outputs come in cells of `stride` neighbours, one of each phase; those that a tap reaches are
// known, so that every multiply-add below is useful, and no two invocations write the same place: nothing can race, and
// an accumulator always takes its products in the same order. An input is read once and multiplies all taps and channels
// that want it; a weight is read once, at an address that is the same for the whole workgroup, and multiplies all cells.

// What varies between uses of this file; the host replaces everything above the line of dashes.
alias Elem = f32;
fn activate(y: f32, alpha: f32, beta: f32) -> f32 { return y; }
// ---
