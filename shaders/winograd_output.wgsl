// Winograd's filtering, last kernel: the products at 36 points to 4x4 outputs, with bias and activation. One invocation
// takes one channel of one tile and writes its 16 outputs, so that nothing can race.
//
// This file is written by the generator src/gpu/kernels/winograd/wgsl.rs; a test keeps it so. Where rows of outputs are not
// whole quads they are written one by one.

// What varies between uses of this file; the host replaces everything above the line of dashes.
alias Elem = f32;
fn activate(y: f32, alpha: f32, beta: f32) -> f32 { return y; }
// ---

alias Output = vec4<Elem>;

struct Axis {
    origin: i32,          // the input that the first tile reads first
    extent: i32,          // of the tensor
    stride: i32,          // distance in elements between neighbours along this axis
    padding: i32,
}

struct Params {
    axes: array<Axis, 2>,         // h, w
    invocations: i32,             // for one channel
    first_tile: i32,              // of the chunk
    tiles_x: i32,                 // tiles of a row, and rows of an item of the batch
    tiles_y: i32,
    slice: i32,                   // between the kernels, from one slice along d to the next,
    channel: i32,                 // from one channel to the next,
    phase: i32,                   // from one phase of a class to the next,
    point: i32,                   // and from one point to the next
    batch_stride: i32,            // of the tensor
    channel_stride: i32,
    slice_stride: i32,
    record: i32,                  // from one output channel's record in `weights` to the next
    beta: f32,                    // parameter of the activation; the other one is in the record
    padding_1: i32,
    padding_2: i32,
    padding_3: i32,
}

@group(0) @binding(0) var<uniform> params: Params;

fn inside(at: i32, extent: i32) -> bool {
    return u32(at) < u32(extent);
}

// The distance of a coordinate from the first, kept inside the tensor.
fn offset(at: i32, axis: i32) -> i32 {
    return clamp(at, 0, params.axes[axis].extent - 1) * params.axes[axis].stride;
}

@group(0) @binding(1) var<storage, read> products: array<f32>;
// For each output channel a record: its bias first, the activation's alpha last.
@group(0) @binding(2) var<storage, read> weights: array<f32>;
@group(0) @binding(3) var<storage, read_write> output: array<Output>;

@compute @workgroup_size(64)
fn to_outputs(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let invocation = i32(group.x * 64u + lane);
    if invocation >= params.invocations {
        return;
    }
    let channel = i32(group.y);
    let slice = i32(group.z);
    let at = channel * params.channel + slice * params.slice + invocation;
    let tile = params.first_tile + invocation;
    let tile_x = tile % params.tiles_x;
    let tile_y = tile / params.tiles_x % params.tiles_y;
    let n = tile / params.tiles_x / params.tiles_y;
    let base = n * params.batch_stride + channel * params.channel_stride + slice * params.slice_stride;
    let bias = weights[channel * params.record];
    let alpha = weights[(channel + 1) * params.record - 1];
    let m0_0_0_0 = products[at + 0 * params.point + 0 * params.phase];
    let m0_0_1_0 = products[at + 6 * params.point + 0 * params.phase];
    let m0_0_2_0 = products[at + 12 * params.point + 0 * params.phase];
    let m0_0_3_0 = products[at + 18 * params.point + 0 * params.phase];
    let m0_0_4_0 = products[at + 24 * params.point + 0 * params.phase];
    let m0_0_5_0 = products[at + 30 * params.point + 0 * params.phase];
    let r0_0_0_0 = ((((m0_0_0_0 + m0_0_1_0) + m0_0_2_0) + m0_0_3_0) + m0_0_4_0);
    let r0_0_1_0 = fma(-1.4142135, m0_0_4_0, fma(1.4142135, m0_0_3_0, fma(-0.70710677, m0_0_2_0, 0.70710677 * m0_0_1_0)));
    let r0_0_2_0 = fma(2.0, m0_0_4_0, fma(2.0, m0_0_3_0, fma(0.5, m0_0_2_0, 0.5 * m0_0_1_0)));
    let r0_0_3_0 = fma(0.35355338, m0_0_1_0, fma(-2.828427, m0_0_4_0, fma(2.828427, m0_0_3_0, fma(-0.35355338, m0_0_2_0, m0_0_5_0))));
    let m0_0_0_1 = products[at + 1 * params.point + 0 * params.phase];
    let m0_0_1_1 = products[at + 7 * params.point + 0 * params.phase];
    let m0_0_2_1 = products[at + 13 * params.point + 0 * params.phase];
    let m0_0_3_1 = products[at + 19 * params.point + 0 * params.phase];
    let m0_0_4_1 = products[at + 25 * params.point + 0 * params.phase];
    let m0_0_5_1 = products[at + 31 * params.point + 0 * params.phase];
    let r0_0_0_1 = ((((m0_0_0_1 + m0_0_1_1) + m0_0_2_1) + m0_0_3_1) + m0_0_4_1);
    let r0_0_1_1 = fma(-1.4142135, m0_0_4_1, fma(1.4142135, m0_0_3_1, fma(-0.70710677, m0_0_2_1, 0.70710677 * m0_0_1_1)));
    let r0_0_2_1 = fma(2.0, m0_0_4_1, fma(2.0, m0_0_3_1, fma(0.5, m0_0_2_1, 0.5 * m0_0_1_1)));
    let r0_0_3_1 = fma(0.35355338, m0_0_1_1, fma(-2.828427, m0_0_4_1, fma(2.828427, m0_0_3_1, fma(-0.35355338, m0_0_2_1, m0_0_5_1))));
    let m0_0_0_2 = products[at + 2 * params.point + 0 * params.phase];
    let m0_0_1_2 = products[at + 8 * params.point + 0 * params.phase];
    let m0_0_2_2 = products[at + 14 * params.point + 0 * params.phase];
    let m0_0_3_2 = products[at + 20 * params.point + 0 * params.phase];
    let m0_0_4_2 = products[at + 26 * params.point + 0 * params.phase];
    let m0_0_5_2 = products[at + 32 * params.point + 0 * params.phase];
    let r0_0_0_2 = ((((m0_0_0_2 + m0_0_1_2) + m0_0_2_2) + m0_0_3_2) + m0_0_4_2);
    let r0_0_1_2 = fma(-1.4142135, m0_0_4_2, fma(1.4142135, m0_0_3_2, fma(-0.70710677, m0_0_2_2, 0.70710677 * m0_0_1_2)));
    let r0_0_2_2 = fma(2.0, m0_0_4_2, fma(2.0, m0_0_3_2, fma(0.5, m0_0_2_2, 0.5 * m0_0_1_2)));
    let r0_0_3_2 = fma(0.35355338, m0_0_1_2, fma(-2.828427, m0_0_4_2, fma(2.828427, m0_0_3_2, fma(-0.35355338, m0_0_2_2, m0_0_5_2))));
    let m0_0_0_3 = products[at + 3 * params.point + 0 * params.phase];
    let m0_0_1_3 = products[at + 9 * params.point + 0 * params.phase];
    let m0_0_2_3 = products[at + 15 * params.point + 0 * params.phase];
    let m0_0_3_3 = products[at + 21 * params.point + 0 * params.phase];
    let m0_0_4_3 = products[at + 27 * params.point + 0 * params.phase];
    let m0_0_5_3 = products[at + 33 * params.point + 0 * params.phase];
    let r0_0_0_3 = ((((m0_0_0_3 + m0_0_1_3) + m0_0_2_3) + m0_0_3_3) + m0_0_4_3);
    let r0_0_1_3 = fma(-1.4142135, m0_0_4_3, fma(1.4142135, m0_0_3_3, fma(-0.70710677, m0_0_2_3, 0.70710677 * m0_0_1_3)));
    let r0_0_2_3 = fma(2.0, m0_0_4_3, fma(2.0, m0_0_3_3, fma(0.5, m0_0_2_3, 0.5 * m0_0_1_3)));
    let r0_0_3_3 = fma(0.35355338, m0_0_1_3, fma(-2.828427, m0_0_4_3, fma(2.828427, m0_0_3_3, fma(-0.35355338, m0_0_2_3, m0_0_5_3))));
    let m0_0_0_4 = products[at + 4 * params.point + 0 * params.phase];
    let m0_0_1_4 = products[at + 10 * params.point + 0 * params.phase];
    let m0_0_2_4 = products[at + 16 * params.point + 0 * params.phase];
    let m0_0_3_4 = products[at + 22 * params.point + 0 * params.phase];
    let m0_0_4_4 = products[at + 28 * params.point + 0 * params.phase];
    let m0_0_5_4 = products[at + 34 * params.point + 0 * params.phase];
    let r0_0_0_4 = ((((m0_0_0_4 + m0_0_1_4) + m0_0_2_4) + m0_0_3_4) + m0_0_4_4);
    let r0_0_1_4 = fma(-1.4142135, m0_0_4_4, fma(1.4142135, m0_0_3_4, fma(-0.70710677, m0_0_2_4, 0.70710677 * m0_0_1_4)));
    let r0_0_2_4 = fma(2.0, m0_0_4_4, fma(2.0, m0_0_3_4, fma(0.5, m0_0_2_4, 0.5 * m0_0_1_4)));
    let r0_0_3_4 = fma(0.35355338, m0_0_1_4, fma(-2.828427, m0_0_4_4, fma(2.828427, m0_0_3_4, fma(-0.35355338, m0_0_2_4, m0_0_5_4))));
    let m0_0_0_5 = products[at + 5 * params.point + 0 * params.phase];
    let m0_0_1_5 = products[at + 11 * params.point + 0 * params.phase];
    let m0_0_2_5 = products[at + 17 * params.point + 0 * params.phase];
    let m0_0_3_5 = products[at + 23 * params.point + 0 * params.phase];
    let m0_0_4_5 = products[at + 29 * params.point + 0 * params.phase];
    let m0_0_5_5 = products[at + 35 * params.point + 0 * params.phase];
    let r0_0_0_5 = ((((m0_0_0_5 + m0_0_1_5) + m0_0_2_5) + m0_0_3_5) + m0_0_4_5);
    let r0_0_1_5 = fma(-1.4142135, m0_0_4_5, fma(1.4142135, m0_0_3_5, fma(-0.70710677, m0_0_2_5, 0.70710677 * m0_0_1_5)));
    let r0_0_2_5 = fma(2.0, m0_0_4_5, fma(2.0, m0_0_3_5, fma(0.5, m0_0_2_5, 0.5 * m0_0_1_5)));
    let r0_0_3_5 = fma(0.35355338, m0_0_1_5, fma(-2.828427, m0_0_4_5, fma(2.828427, m0_0_3_5, fma(-0.35355338, m0_0_2_5, m0_0_5_5))));
    let s0_0_0 = ((((r0_0_0_0 + r0_0_0_1) + r0_0_0_2) + r0_0_0_3) + r0_0_0_4) + bias;
    let s0_0_1 = fma(-1.4142135, r0_0_0_4, fma(1.4142135, r0_0_0_3, fma(-0.70710677, r0_0_0_2, 0.70710677 * r0_0_0_1))) + bias;
    let s0_0_2 = fma(2.0, r0_0_0_4, fma(2.0, r0_0_0_3, fma(0.5, r0_0_0_2, 0.5 * r0_0_0_1))) + bias;
    let s0_0_3 = fma(0.35355338, r0_0_0_1, fma(-2.828427, r0_0_0_4, fma(2.828427, r0_0_0_3, fma(-0.35355338, r0_0_0_2, r0_0_0_5)))) + bias;
    let s0_1_0 = ((((r0_0_1_0 + r0_0_1_1) + r0_0_1_2) + r0_0_1_3) + r0_0_1_4) + bias;
    let s0_1_1 = fma(-1.4142135, r0_0_1_4, fma(1.4142135, r0_0_1_3, fma(-0.70710677, r0_0_1_2, 0.70710677 * r0_0_1_1))) + bias;
    let s0_1_2 = fma(2.0, r0_0_1_4, fma(2.0, r0_0_1_3, fma(0.5, r0_0_1_2, 0.5 * r0_0_1_1))) + bias;
    let s0_1_3 = fma(0.35355338, r0_0_1_1, fma(-2.828427, r0_0_1_4, fma(2.828427, r0_0_1_3, fma(-0.35355338, r0_0_1_2, r0_0_1_5)))) + bias;
    let s0_2_0 = ((((r0_0_2_0 + r0_0_2_1) + r0_0_2_2) + r0_0_2_3) + r0_0_2_4) + bias;
    let s0_2_1 = fma(-1.4142135, r0_0_2_4, fma(1.4142135, r0_0_2_3, fma(-0.70710677, r0_0_2_2, 0.70710677 * r0_0_2_1))) + bias;
    let s0_2_2 = fma(2.0, r0_0_2_4, fma(2.0, r0_0_2_3, fma(0.5, r0_0_2_2, 0.5 * r0_0_2_1))) + bias;
    let s0_2_3 = fma(0.35355338, r0_0_2_1, fma(-2.828427, r0_0_2_4, fma(2.828427, r0_0_2_3, fma(-0.35355338, r0_0_2_2, r0_0_2_5)))) + bias;
    let s0_3_0 = ((((r0_0_3_0 + r0_0_3_1) + r0_0_3_2) + r0_0_3_3) + r0_0_3_4) + bias;
    let s0_3_1 = fma(-1.4142135, r0_0_3_4, fma(1.4142135, r0_0_3_3, fma(-0.70710677, r0_0_3_2, 0.70710677 * r0_0_3_1))) + bias;
    let s0_3_2 = fma(2.0, r0_0_3_4, fma(2.0, r0_0_3_3, fma(0.5, r0_0_3_2, 0.5 * r0_0_3_1))) + bias;
    let s0_3_3 = fma(0.35355338, r0_0_3_1, fma(-2.828427, r0_0_3_4, fma(2.828427, r0_0_3_3, fma(-0.35355338, r0_0_3_2, r0_0_3_5)))) + bias;
    if inside(tile_y * 4 + 0, params.axes[0].extent) {
        let row = base + (tile_y * 4 + 0) * params.axes[0].stride;
        if inside(tile_x * 4 + 0, params.axes[1].extent) {
            output[u32(row + tile_x * 4 + 0) / 4u] = Output(Elem(activate(s0_0_0, alpha, params.beta)), Elem(activate(s0_0_1, alpha, params.beta)), Elem(activate(s0_0_2, alpha, params.beta)), Elem(activate(s0_0_3, alpha, params.beta)));
        }
    }
    if inside(tile_y * 4 + 1, params.axes[0].extent) {
        let row = base + (tile_y * 4 + 1) * params.axes[0].stride;
        if inside(tile_x * 4 + 0, params.axes[1].extent) {
            output[u32(row + tile_x * 4 + 0) / 4u] = Output(Elem(activate(s0_1_0, alpha, params.beta)), Elem(activate(s0_1_1, alpha, params.beta)), Elem(activate(s0_1_2, alpha, params.beta)), Elem(activate(s0_1_3, alpha, params.beta)));
        }
    }
    if inside(tile_y * 4 + 2, params.axes[0].extent) {
        let row = base + (tile_y * 4 + 2) * params.axes[0].stride;
        if inside(tile_x * 4 + 0, params.axes[1].extent) {
            output[u32(row + tile_x * 4 + 0) / 4u] = Output(Elem(activate(s0_2_0, alpha, params.beta)), Elem(activate(s0_2_1, alpha, params.beta)), Elem(activate(s0_2_2, alpha, params.beta)), Elem(activate(s0_2_3, alpha, params.beta)));
        }
    }
    if inside(tile_y * 4 + 3, params.axes[0].extent) {
        let row = base + (tile_y * 4 + 3) * params.axes[0].stride;
        if inside(tile_x * 4 + 0, params.axes[1].extent) {
            output[u32(row + tile_x * 4 + 0) / 4u] = Output(Elem(activate(s0_3_0, alpha, params.beta)), Elem(activate(s0_3_1, alpha, params.beta)), Elem(activate(s0_3_2, alpha, params.beta)), Elem(activate(s0_3_3, alpha, params.beta)));
        }
    }
}
