// Winograd's filtering, first kernel: the inputs of 4x4 outputs, which are 6x6, to the 36 points at which they are
// multiplied. One invocation takes one channel of one tile and writes its 36 numbers, so that nothing can race.
//
// This file is written by the generator src/gpu/kernels/winograd/wgsl.rs for kernel 3x3 at stride 1; a test keeps it so. For
// kernel 4x4 at stride 2x2 there are more points of fewer inputs each. The matrices, and why there are so few products,
// stand in src/winograd.rs; the products are computed by `direct`, as an operation of 36 groups with one tap.

// What varies between uses of this file; the host replaces everything above the line of dashes.
alias Elem = f32;
// ---

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

@group(0) @binding(1) var<storage, read> input: array<Elem>;
// For each point of each class of phases the channels, for each channel its slices, in each the chunk's tiles.
@group(0) @binding(2) var<storage, read_write> points: array<f32>;

// Inputs, 0 outside.
fn load(at: i32, has: bool) -> f32 {
    return select(0.0, f32(input[at]), has);
}

@compute @workgroup_size(64)
fn to_points(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
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
    let first_y = tile_y * 4 + params.axes[0].origin;
    let has_y0 = inside(first_y + 0, params.axes[0].extent);
    let y0 = offset(first_y + 0, 0);
    let has_y1 = inside(first_y + 1, params.axes[0].extent);
    let y1 = offset(first_y + 1, 0);
    let has_y2 = inside(first_y + 2, params.axes[0].extent);
    let y2 = offset(first_y + 2, 0);
    let has_y3 = inside(first_y + 3, params.axes[0].extent);
    let y3 = offset(first_y + 3, 0);
    let has_y4 = inside(first_y + 4, params.axes[0].extent);
    let y4 = offset(first_y + 4, 0);
    let has_y5 = inside(first_y + 5, params.axes[0].extent);
    let y5 = offset(first_y + 5, 0);
    let first_x = tile_x * 4 + params.axes[1].origin;
    let has_x0 = inside(first_x + 0, params.axes[1].extent);
    let x0 = offset(first_x + 0, 1);
    let has_x1 = inside(first_x + 1, params.axes[1].extent);
    let x1 = offset(first_x + 1, 1);
    let has_x2 = inside(first_x + 2, params.axes[1].extent);
    let x2 = offset(first_x + 2, 1);
    let has_x3 = inside(first_x + 3, params.axes[1].extent);
    let x3 = offset(first_x + 3, 1);
    let has_x4 = inside(first_x + 4, params.axes[1].extent);
    let x4 = offset(first_x + 4, 1);
    let has_x5 = inside(first_x + 5, params.axes[1].extent);
    let x5 = offset(first_x + 5, 1);
    let d0_0 = load(base + y0 + x0, has_y0 && has_x0);
    let d1_0 = load(base + y1 + x0, has_y1 && has_x0);
    let d2_0 = load(base + y2 + x0, has_y2 && has_x0);
    let d3_0 = load(base + y3 + x0, has_y3 && has_x0);
    let d4_0 = load(base + y4 + x0, has_y4 && has_x0);
    let d5_0 = load(base + y5 + x0, has_y5 && has_x0);
    let t0_0_0 = (fma(-2.5, d2_0, d0_0) + d4_0);
    let t0_1_0 = fma(-1.4142135, d1_0, fma(0.70710677, d3_0, fma(-2.0, d2_0, d4_0)));
    let t0_2_0 = fma(1.4142135, d1_0, fma(-0.70710677, d3_0, fma(-2.0, d2_0, d4_0)));
    let t0_3_0 = fma(-0.70710677, d1_0, fma(1.4142135, d3_0, fma(-0.5, d2_0, d4_0)));
    let t0_4_0 = fma(0.70710677, d1_0, fma(-1.4142135, d3_0, fma(-0.5, d2_0, d4_0)));
    let t0_5_0 = (fma(-2.5, d3_0, d1_0) + d5_0);
    let d0_1 = load(base + y0 + x1, has_y0 && has_x1);
    let d1_1 = load(base + y1 + x1, has_y1 && has_x1);
    let d2_1 = load(base + y2 + x1, has_y2 && has_x1);
    let d3_1 = load(base + y3 + x1, has_y3 && has_x1);
    let d4_1 = load(base + y4 + x1, has_y4 && has_x1);
    let d5_1 = load(base + y5 + x1, has_y5 && has_x1);
    let t0_0_1 = (fma(-2.5, d2_1, d0_1) + d4_1);
    let t0_1_1 = fma(-1.4142135, d1_1, fma(0.70710677, d3_1, fma(-2.0, d2_1, d4_1)));
    let t0_2_1 = fma(1.4142135, d1_1, fma(-0.70710677, d3_1, fma(-2.0, d2_1, d4_1)));
    let t0_3_1 = fma(-0.70710677, d1_1, fma(1.4142135, d3_1, fma(-0.5, d2_1, d4_1)));
    let t0_4_1 = fma(0.70710677, d1_1, fma(-1.4142135, d3_1, fma(-0.5, d2_1, d4_1)));
    let t0_5_1 = (fma(-2.5, d3_1, d1_1) + d5_1);
    let d0_2 = load(base + y0 + x2, has_y0 && has_x2);
    let d1_2 = load(base + y1 + x2, has_y1 && has_x2);
    let d2_2 = load(base + y2 + x2, has_y2 && has_x2);
    let d3_2 = load(base + y3 + x2, has_y3 && has_x2);
    let d4_2 = load(base + y4 + x2, has_y4 && has_x2);
    let d5_2 = load(base + y5 + x2, has_y5 && has_x2);
    let t0_0_2 = (fma(-2.5, d2_2, d0_2) + d4_2);
    let t0_1_2 = fma(-1.4142135, d1_2, fma(0.70710677, d3_2, fma(-2.0, d2_2, d4_2)));
    let t0_2_2 = fma(1.4142135, d1_2, fma(-0.70710677, d3_2, fma(-2.0, d2_2, d4_2)));
    let t0_3_2 = fma(-0.70710677, d1_2, fma(1.4142135, d3_2, fma(-0.5, d2_2, d4_2)));
    let t0_4_2 = fma(0.70710677, d1_2, fma(-1.4142135, d3_2, fma(-0.5, d2_2, d4_2)));
    let t0_5_2 = (fma(-2.5, d3_2, d1_2) + d5_2);
    let d0_3 = load(base + y0 + x3, has_y0 && has_x3);
    let d1_3 = load(base + y1 + x3, has_y1 && has_x3);
    let d2_3 = load(base + y2 + x3, has_y2 && has_x3);
    let d3_3 = load(base + y3 + x3, has_y3 && has_x3);
    let d4_3 = load(base + y4 + x3, has_y4 && has_x3);
    let d5_3 = load(base + y5 + x3, has_y5 && has_x3);
    let t0_0_3 = (fma(-2.5, d2_3, d0_3) + d4_3);
    let t0_1_3 = fma(-1.4142135, d1_3, fma(0.70710677, d3_3, fma(-2.0, d2_3, d4_3)));
    let t0_2_3 = fma(1.4142135, d1_3, fma(-0.70710677, d3_3, fma(-2.0, d2_3, d4_3)));
    let t0_3_3 = fma(-0.70710677, d1_3, fma(1.4142135, d3_3, fma(-0.5, d2_3, d4_3)));
    let t0_4_3 = fma(0.70710677, d1_3, fma(-1.4142135, d3_3, fma(-0.5, d2_3, d4_3)));
    let t0_5_3 = (fma(-2.5, d3_3, d1_3) + d5_3);
    let d0_4 = load(base + y0 + x4, has_y0 && has_x4);
    let d1_4 = load(base + y1 + x4, has_y1 && has_x4);
    let d2_4 = load(base + y2 + x4, has_y2 && has_x4);
    let d3_4 = load(base + y3 + x4, has_y3 && has_x4);
    let d4_4 = load(base + y4 + x4, has_y4 && has_x4);
    let d5_4 = load(base + y5 + x4, has_y5 && has_x4);
    let t0_0_4 = (fma(-2.5, d2_4, d0_4) + d4_4);
    let t0_1_4 = fma(-1.4142135, d1_4, fma(0.70710677, d3_4, fma(-2.0, d2_4, d4_4)));
    let t0_2_4 = fma(1.4142135, d1_4, fma(-0.70710677, d3_4, fma(-2.0, d2_4, d4_4)));
    let t0_3_4 = fma(-0.70710677, d1_4, fma(1.4142135, d3_4, fma(-0.5, d2_4, d4_4)));
    let t0_4_4 = fma(0.70710677, d1_4, fma(-1.4142135, d3_4, fma(-0.5, d2_4, d4_4)));
    let t0_5_4 = (fma(-2.5, d3_4, d1_4) + d5_4);
    let d0_5 = load(base + y0 + x5, has_y0 && has_x5);
    let d1_5 = load(base + y1 + x5, has_y1 && has_x5);
    let d2_5 = load(base + y2 + x5, has_y2 && has_x5);
    let d3_5 = load(base + y3 + x5, has_y3 && has_x5);
    let d4_5 = load(base + y4 + x5, has_y4 && has_x5);
    let d5_5 = load(base + y5 + x5, has_y5 && has_x5);
    let t0_0_5 = (fma(-2.5, d2_5, d0_5) + d4_5);
    let t0_1_5 = fma(-1.4142135, d1_5, fma(0.70710677, d3_5, fma(-2.0, d2_5, d4_5)));
    let t0_2_5 = fma(1.4142135, d1_5, fma(-0.70710677, d3_5, fma(-2.0, d2_5, d4_5)));
    let t0_3_5 = fma(-0.70710677, d1_5, fma(1.4142135, d3_5, fma(-0.5, d2_5, d4_5)));
    let t0_4_5 = fma(0.70710677, d1_5, fma(-1.4142135, d3_5, fma(-0.5, d2_5, d4_5)));
    let t0_5_5 = (fma(-2.5, d3_5, d1_5) + d5_5);
    points[at + 0 * params.point] = (fma(-2.5, t0_0_2, t0_0_0) + t0_0_4);
    points[at + 1 * params.point] = fma(-1.4142135, t0_0_1, fma(0.70710677, t0_0_3, fma(-2.0, t0_0_2, t0_0_4)));
    points[at + 2 * params.point] = fma(1.4142135, t0_0_1, fma(-0.70710677, t0_0_3, fma(-2.0, t0_0_2, t0_0_4)));
    points[at + 3 * params.point] = fma(-0.70710677, t0_0_1, fma(1.4142135, t0_0_3, fma(-0.5, t0_0_2, t0_0_4)));
    points[at + 4 * params.point] = fma(0.70710677, t0_0_1, fma(-1.4142135, t0_0_3, fma(-0.5, t0_0_2, t0_0_4)));
    points[at + 5 * params.point] = (fma(-2.5, t0_0_3, t0_0_1) + t0_0_5);
    points[at + 6 * params.point] = (fma(-2.5, t0_1_2, t0_1_0) + t0_1_4);
    points[at + 7 * params.point] = fma(-1.4142135, t0_1_1, fma(0.70710677, t0_1_3, fma(-2.0, t0_1_2, t0_1_4)));
    points[at + 8 * params.point] = fma(1.4142135, t0_1_1, fma(-0.70710677, t0_1_3, fma(-2.0, t0_1_2, t0_1_4)));
    points[at + 9 * params.point] = fma(-0.70710677, t0_1_1, fma(1.4142135, t0_1_3, fma(-0.5, t0_1_2, t0_1_4)));
    points[at + 10 * params.point] = fma(0.70710677, t0_1_1, fma(-1.4142135, t0_1_3, fma(-0.5, t0_1_2, t0_1_4)));
    points[at + 11 * params.point] = (fma(-2.5, t0_1_3, t0_1_1) + t0_1_5);
    points[at + 12 * params.point] = (fma(-2.5, t0_2_2, t0_2_0) + t0_2_4);
    points[at + 13 * params.point] = fma(-1.4142135, t0_2_1, fma(0.70710677, t0_2_3, fma(-2.0, t0_2_2, t0_2_4)));
    points[at + 14 * params.point] = fma(1.4142135, t0_2_1, fma(-0.70710677, t0_2_3, fma(-2.0, t0_2_2, t0_2_4)));
    points[at + 15 * params.point] = fma(-0.70710677, t0_2_1, fma(1.4142135, t0_2_3, fma(-0.5, t0_2_2, t0_2_4)));
    points[at + 16 * params.point] = fma(0.70710677, t0_2_1, fma(-1.4142135, t0_2_3, fma(-0.5, t0_2_2, t0_2_4)));
    points[at + 17 * params.point] = (fma(-2.5, t0_2_3, t0_2_1) + t0_2_5);
    points[at + 18 * params.point] = (fma(-2.5, t0_3_2, t0_3_0) + t0_3_4);
    points[at + 19 * params.point] = fma(-1.4142135, t0_3_1, fma(0.70710677, t0_3_3, fma(-2.0, t0_3_2, t0_3_4)));
    points[at + 20 * params.point] = fma(1.4142135, t0_3_1, fma(-0.70710677, t0_3_3, fma(-2.0, t0_3_2, t0_3_4)));
    points[at + 21 * params.point] = fma(-0.70710677, t0_3_1, fma(1.4142135, t0_3_3, fma(-0.5, t0_3_2, t0_3_4)));
    points[at + 22 * params.point] = fma(0.70710677, t0_3_1, fma(-1.4142135, t0_3_3, fma(-0.5, t0_3_2, t0_3_4)));
    points[at + 23 * params.point] = (fma(-2.5, t0_3_3, t0_3_1) + t0_3_5);
    points[at + 24 * params.point] = (fma(-2.5, t0_4_2, t0_4_0) + t0_4_4);
    points[at + 25 * params.point] = fma(-1.4142135, t0_4_1, fma(0.70710677, t0_4_3, fma(-2.0, t0_4_2, t0_4_4)));
    points[at + 26 * params.point] = fma(1.4142135, t0_4_1, fma(-0.70710677, t0_4_3, fma(-2.0, t0_4_2, t0_4_4)));
    points[at + 27 * params.point] = fma(-0.70710677, t0_4_1, fma(1.4142135, t0_4_3, fma(-0.5, t0_4_2, t0_4_4)));
    points[at + 28 * params.point] = fma(0.70710677, t0_4_1, fma(-1.4142135, t0_4_3, fma(-0.5, t0_4_2, t0_4_4)));
    points[at + 29 * params.point] = (fma(-2.5, t0_4_3, t0_4_1) + t0_4_5);
    points[at + 30 * params.point] = (fma(-2.5, t0_5_2, t0_5_0) + t0_5_4);
    points[at + 31 * params.point] = fma(-1.4142135, t0_5_1, fma(0.70710677, t0_5_3, fma(-2.0, t0_5_2, t0_5_4)));
    points[at + 32 * params.point] = fma(1.4142135, t0_5_1, fma(-0.70710677, t0_5_3, fma(-2.0, t0_5_2, t0_5_4)));
    points[at + 33 * params.point] = fma(-0.70710677, t0_5_1, fma(1.4142135, t0_5_3, fma(-0.5, t0_5_2, t0_5_4)));
    points[at + 34 * params.point] = fma(0.70710677, t0_5_1, fma(-1.4142135, t0_5_3, fma(-0.5, t0_5_2, t0_5_4)));
    points[at + 35 * params.point] = (fma(-2.5, t0_5_3, t0_5_1) + t0_5_5);
}
