// Winograd's filtering, first kernel: the inputs of 4x4 outputs, which are 6x6, to the 36 points at which they are
// multiplied. One invocation takes one channel of one tile and writes its 36 numbers, so that nothing can race.
//
// This file is written by the generator src/gpu/kernels/winograd/wgsl.rs; a test keeps it so. Devices in software take four
// neighbouring tiles in an invocation. The matrices, and why there are so few products, stand in src/winograd.rs; the
// products are computed by `direct`, as an operation of 36 groups with one tap.

// What varies between uses of this file; the host replaces everything above the line of dashes.
alias Elem = f32;
// ---

alias Tiles = f32;

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
    channel: i32,                 // from one channel to the next between the kernels, and from one point to the next
    point: i32,
    batch_stride: i32,            // of the tensor
    channel_stride: i32,
    record: i32,                  // from one output channel's record in `weights` to the next
    beta: f32,                    // parameter of the activation; the other one is in the record
    padding_1: i32,
    padding_2: i32,
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
// For each point the channels, for each channel the tiles of the chunk.
@group(0) @binding(2) var<storage, read_write> points: array<Tiles>;

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
    let at = channel * params.channel + invocation;
    let tile = params.first_tile + invocation * 1;
    let tile_x = tile % params.tiles_x;
    let tile_y = tile / params.tiles_x % params.tiles_y;
    let n = tile / params.tiles_x / params.tiles_y;
    let base = n * params.batch_stride + channel * params.channel_stride;
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
    let t0_0 = (fma(f32(-2.5), d2_0, d0_0) + d4_0);
    let t1_0 = fma(f32(-1.4142135), d1_0, fma(f32(0.70710677), d3_0, fma(f32(-2.0), d2_0, d4_0)));
    let t2_0 = fma(f32(1.4142135), d1_0, fma(f32(-0.70710677), d3_0, fma(f32(-2.0), d2_0, d4_0)));
    let t3_0 = fma(f32(-0.70710677), d1_0, fma(f32(1.4142135), d3_0, fma(f32(-0.5), d2_0, d4_0)));
    let t4_0 = fma(f32(0.70710677), d1_0, fma(f32(-1.4142135), d3_0, fma(f32(-0.5), d2_0, d4_0)));
    let t5_0 = (fma(f32(-2.5), d3_0, d1_0) + d5_0);
    let d0_1 = load(base + y0 + x1, has_y0 && has_x1);
    let d1_1 = load(base + y1 + x1, has_y1 && has_x1);
    let d2_1 = load(base + y2 + x1, has_y2 && has_x1);
    let d3_1 = load(base + y3 + x1, has_y3 && has_x1);
    let d4_1 = load(base + y4 + x1, has_y4 && has_x1);
    let d5_1 = load(base + y5 + x1, has_y5 && has_x1);
    let t0_1 = (fma(f32(-2.5), d2_1, d0_1) + d4_1);
    let t1_1 = fma(f32(-1.4142135), d1_1, fma(f32(0.70710677), d3_1, fma(f32(-2.0), d2_1, d4_1)));
    let t2_1 = fma(f32(1.4142135), d1_1, fma(f32(-0.70710677), d3_1, fma(f32(-2.0), d2_1, d4_1)));
    let t3_1 = fma(f32(-0.70710677), d1_1, fma(f32(1.4142135), d3_1, fma(f32(-0.5), d2_1, d4_1)));
    let t4_1 = fma(f32(0.70710677), d1_1, fma(f32(-1.4142135), d3_1, fma(f32(-0.5), d2_1, d4_1)));
    let t5_1 = (fma(f32(-2.5), d3_1, d1_1) + d5_1);
    let d0_2 = load(base + y0 + x2, has_y0 && has_x2);
    let d1_2 = load(base + y1 + x2, has_y1 && has_x2);
    let d2_2 = load(base + y2 + x2, has_y2 && has_x2);
    let d3_2 = load(base + y3 + x2, has_y3 && has_x2);
    let d4_2 = load(base + y4 + x2, has_y4 && has_x2);
    let d5_2 = load(base + y5 + x2, has_y5 && has_x2);
    let t0_2 = (fma(f32(-2.5), d2_2, d0_2) + d4_2);
    let t1_2 = fma(f32(-1.4142135), d1_2, fma(f32(0.70710677), d3_2, fma(f32(-2.0), d2_2, d4_2)));
    let t2_2 = fma(f32(1.4142135), d1_2, fma(f32(-0.70710677), d3_2, fma(f32(-2.0), d2_2, d4_2)));
    let t3_2 = fma(f32(-0.70710677), d1_2, fma(f32(1.4142135), d3_2, fma(f32(-0.5), d2_2, d4_2)));
    let t4_2 = fma(f32(0.70710677), d1_2, fma(f32(-1.4142135), d3_2, fma(f32(-0.5), d2_2, d4_2)));
    let t5_2 = (fma(f32(-2.5), d3_2, d1_2) + d5_2);
    let d0_3 = load(base + y0 + x3, has_y0 && has_x3);
    let d1_3 = load(base + y1 + x3, has_y1 && has_x3);
    let d2_3 = load(base + y2 + x3, has_y2 && has_x3);
    let d3_3 = load(base + y3 + x3, has_y3 && has_x3);
    let d4_3 = load(base + y4 + x3, has_y4 && has_x3);
    let d5_3 = load(base + y5 + x3, has_y5 && has_x3);
    let t0_3 = (fma(f32(-2.5), d2_3, d0_3) + d4_3);
    let t1_3 = fma(f32(-1.4142135), d1_3, fma(f32(0.70710677), d3_3, fma(f32(-2.0), d2_3, d4_3)));
    let t2_3 = fma(f32(1.4142135), d1_3, fma(f32(-0.70710677), d3_3, fma(f32(-2.0), d2_3, d4_3)));
    let t3_3 = fma(f32(-0.70710677), d1_3, fma(f32(1.4142135), d3_3, fma(f32(-0.5), d2_3, d4_3)));
    let t4_3 = fma(f32(0.70710677), d1_3, fma(f32(-1.4142135), d3_3, fma(f32(-0.5), d2_3, d4_3)));
    let t5_3 = (fma(f32(-2.5), d3_3, d1_3) + d5_3);
    let d0_4 = load(base + y0 + x4, has_y0 && has_x4);
    let d1_4 = load(base + y1 + x4, has_y1 && has_x4);
    let d2_4 = load(base + y2 + x4, has_y2 && has_x4);
    let d3_4 = load(base + y3 + x4, has_y3 && has_x4);
    let d4_4 = load(base + y4 + x4, has_y4 && has_x4);
    let d5_4 = load(base + y5 + x4, has_y5 && has_x4);
    let t0_4 = (fma(f32(-2.5), d2_4, d0_4) + d4_4);
    let t1_4 = fma(f32(-1.4142135), d1_4, fma(f32(0.70710677), d3_4, fma(f32(-2.0), d2_4, d4_4)));
    let t2_4 = fma(f32(1.4142135), d1_4, fma(f32(-0.70710677), d3_4, fma(f32(-2.0), d2_4, d4_4)));
    let t3_4 = fma(f32(-0.70710677), d1_4, fma(f32(1.4142135), d3_4, fma(f32(-0.5), d2_4, d4_4)));
    let t4_4 = fma(f32(0.70710677), d1_4, fma(f32(-1.4142135), d3_4, fma(f32(-0.5), d2_4, d4_4)));
    let t5_4 = (fma(f32(-2.5), d3_4, d1_4) + d5_4);
    let d0_5 = load(base + y0 + x5, has_y0 && has_x5);
    let d1_5 = load(base + y1 + x5, has_y1 && has_x5);
    let d2_5 = load(base + y2 + x5, has_y2 && has_x5);
    let d3_5 = load(base + y3 + x5, has_y3 && has_x5);
    let d4_5 = load(base + y4 + x5, has_y4 && has_x5);
    let d5_5 = load(base + y5 + x5, has_y5 && has_x5);
    let t0_5 = (fma(f32(-2.5), d2_5, d0_5) + d4_5);
    let t1_5 = fma(f32(-1.4142135), d1_5, fma(f32(0.70710677), d3_5, fma(f32(-2.0), d2_5, d4_5)));
    let t2_5 = fma(f32(1.4142135), d1_5, fma(f32(-0.70710677), d3_5, fma(f32(-2.0), d2_5, d4_5)));
    let t3_5 = fma(f32(-0.70710677), d1_5, fma(f32(1.4142135), d3_5, fma(f32(-0.5), d2_5, d4_5)));
    let t4_5 = fma(f32(0.70710677), d1_5, fma(f32(-1.4142135), d3_5, fma(f32(-0.5), d2_5, d4_5)));
    let t5_5 = (fma(f32(-2.5), d3_5, d1_5) + d5_5);
    let v0_0 = Tiles(t0_0);
    let v0_1 = Tiles(t0_1);
    let v0_2 = Tiles(t0_2);
    let v0_3 = Tiles(t0_3);
    let v0_4 = Tiles(t0_4);
    let v0_5 = Tiles(t0_5);
    points[at + 0 * params.point] = (fma(Tiles(-2.5), v0_2, v0_0) + v0_4);
    points[at + 1 * params.point] = fma(Tiles(-1.4142135), v0_1, fma(Tiles(0.70710677), v0_3, fma(Tiles(-2.0), v0_2, v0_4)));
    points[at + 2 * params.point] = fma(Tiles(1.4142135), v0_1, fma(Tiles(-0.70710677), v0_3, fma(Tiles(-2.0), v0_2, v0_4)));
    points[at + 3 * params.point] = fma(Tiles(-0.70710677), v0_1, fma(Tiles(1.4142135), v0_3, fma(Tiles(-0.5), v0_2, v0_4)));
    points[at + 4 * params.point] = fma(Tiles(0.70710677), v0_1, fma(Tiles(-1.4142135), v0_3, fma(Tiles(-0.5), v0_2, v0_4)));
    points[at + 5 * params.point] = (fma(Tiles(-2.5), v0_3, v0_1) + v0_5);
    let v1_0 = Tiles(t1_0);
    let v1_1 = Tiles(t1_1);
    let v1_2 = Tiles(t1_2);
    let v1_3 = Tiles(t1_3);
    let v1_4 = Tiles(t1_4);
    let v1_5 = Tiles(t1_5);
    points[at + 6 * params.point] = (fma(Tiles(-2.5), v1_2, v1_0) + v1_4);
    points[at + 7 * params.point] = fma(Tiles(-1.4142135), v1_1, fma(Tiles(0.70710677), v1_3, fma(Tiles(-2.0), v1_2, v1_4)));
    points[at + 8 * params.point] = fma(Tiles(1.4142135), v1_1, fma(Tiles(-0.70710677), v1_3, fma(Tiles(-2.0), v1_2, v1_4)));
    points[at + 9 * params.point] = fma(Tiles(-0.70710677), v1_1, fma(Tiles(1.4142135), v1_3, fma(Tiles(-0.5), v1_2, v1_4)));
    points[at + 10 * params.point] = fma(Tiles(0.70710677), v1_1, fma(Tiles(-1.4142135), v1_3, fma(Tiles(-0.5), v1_2, v1_4)));
    points[at + 11 * params.point] = (fma(Tiles(-2.5), v1_3, v1_1) + v1_5);
    let v2_0 = Tiles(t2_0);
    let v2_1 = Tiles(t2_1);
    let v2_2 = Tiles(t2_2);
    let v2_3 = Tiles(t2_3);
    let v2_4 = Tiles(t2_4);
    let v2_5 = Tiles(t2_5);
    points[at + 12 * params.point] = (fma(Tiles(-2.5), v2_2, v2_0) + v2_4);
    points[at + 13 * params.point] = fma(Tiles(-1.4142135), v2_1, fma(Tiles(0.70710677), v2_3, fma(Tiles(-2.0), v2_2, v2_4)));
    points[at + 14 * params.point] = fma(Tiles(1.4142135), v2_1, fma(Tiles(-0.70710677), v2_3, fma(Tiles(-2.0), v2_2, v2_4)));
    points[at + 15 * params.point] = fma(Tiles(-0.70710677), v2_1, fma(Tiles(1.4142135), v2_3, fma(Tiles(-0.5), v2_2, v2_4)));
    points[at + 16 * params.point] = fma(Tiles(0.70710677), v2_1, fma(Tiles(-1.4142135), v2_3, fma(Tiles(-0.5), v2_2, v2_4)));
    points[at + 17 * params.point] = (fma(Tiles(-2.5), v2_3, v2_1) + v2_5);
    let v3_0 = Tiles(t3_0);
    let v3_1 = Tiles(t3_1);
    let v3_2 = Tiles(t3_2);
    let v3_3 = Tiles(t3_3);
    let v3_4 = Tiles(t3_4);
    let v3_5 = Tiles(t3_5);
    points[at + 18 * params.point] = (fma(Tiles(-2.5), v3_2, v3_0) + v3_4);
    points[at + 19 * params.point] = fma(Tiles(-1.4142135), v3_1, fma(Tiles(0.70710677), v3_3, fma(Tiles(-2.0), v3_2, v3_4)));
    points[at + 20 * params.point] = fma(Tiles(1.4142135), v3_1, fma(Tiles(-0.70710677), v3_3, fma(Tiles(-2.0), v3_2, v3_4)));
    points[at + 21 * params.point] = fma(Tiles(-0.70710677), v3_1, fma(Tiles(1.4142135), v3_3, fma(Tiles(-0.5), v3_2, v3_4)));
    points[at + 22 * params.point] = fma(Tiles(0.70710677), v3_1, fma(Tiles(-1.4142135), v3_3, fma(Tiles(-0.5), v3_2, v3_4)));
    points[at + 23 * params.point] = (fma(Tiles(-2.5), v3_3, v3_1) + v3_5);
    let v4_0 = Tiles(t4_0);
    let v4_1 = Tiles(t4_1);
    let v4_2 = Tiles(t4_2);
    let v4_3 = Tiles(t4_3);
    let v4_4 = Tiles(t4_4);
    let v4_5 = Tiles(t4_5);
    points[at + 24 * params.point] = (fma(Tiles(-2.5), v4_2, v4_0) + v4_4);
    points[at + 25 * params.point] = fma(Tiles(-1.4142135), v4_1, fma(Tiles(0.70710677), v4_3, fma(Tiles(-2.0), v4_2, v4_4)));
    points[at + 26 * params.point] = fma(Tiles(1.4142135), v4_1, fma(Tiles(-0.70710677), v4_3, fma(Tiles(-2.0), v4_2, v4_4)));
    points[at + 27 * params.point] = fma(Tiles(-0.70710677), v4_1, fma(Tiles(1.4142135), v4_3, fma(Tiles(-0.5), v4_2, v4_4)));
    points[at + 28 * params.point] = fma(Tiles(0.70710677), v4_1, fma(Tiles(-1.4142135), v4_3, fma(Tiles(-0.5), v4_2, v4_4)));
    points[at + 29 * params.point] = (fma(Tiles(-2.5), v4_3, v4_1) + v4_5);
    let v5_0 = Tiles(t5_0);
    let v5_1 = Tiles(t5_1);
    let v5_2 = Tiles(t5_2);
    let v5_3 = Tiles(t5_3);
    let v5_4 = Tiles(t5_4);
    let v5_5 = Tiles(t5_5);
    points[at + 30 * params.point] = (fma(Tiles(-2.5), v5_2, v5_0) + v5_4);
    points[at + 31 * params.point] = fma(Tiles(-1.4142135), v5_1, fma(Tiles(0.70710677), v5_3, fma(Tiles(-2.0), v5_2, v5_4)));
    points[at + 32 * params.point] = fma(Tiles(1.4142135), v5_1, fma(Tiles(-0.70710677), v5_3, fma(Tiles(-2.0), v5_2, v5_4)));
    points[at + 33 * params.point] = fma(Tiles(-0.70710677), v5_1, fma(Tiles(1.4142135), v5_3, fma(Tiles(-0.5), v5_2, v5_4)));
    points[at + 34 * params.point] = fma(Tiles(0.70710677), v5_1, fma(Tiles(-1.4142135), v5_3, fma(Tiles(-0.5), v5_2, v5_4)));
    points[at + 35 * params.point] = (fma(Tiles(-2.5), v5_3, v5_1) + v5_5);
}
