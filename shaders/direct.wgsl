// Transposed convolution by register tiles: one invocation computes a tile of outputs for a vector of channels.
//
// This file is written by the generator src/gpu/direct/wgsl.rs; a test keeps it so. What follows is the kernel of a
// 4x4 layer of stride 2 and padding 1. Other layers and devices get other tiles of the same make.
//
// Along each axis the outputs come in cells of `stride` neighbours, one of each phase; those that a tap reaches are
// known, so that every multiply-add below is useful, and no two invocations write the same place: nothing can race,
// and sums are always added in the same order. An input is read once and multiplies all taps and channels that want
// it; a weight is read once, at an address that is the same for the whole workgroup, and multiplies all cells.

// What varies between uses of this file; the host replaces everything above the line of dashes.
alias Elem = f32;
fn activate(y: f32, alpha: f32, beta: f32) -> f32 { return y; }
// ---

// Output channels of one vector.
alias Sum = vec4<f32>;

struct Axis {
    first_cell: i32,      // of the dispatch
    tiles: i32,           // how many invocations lie side by side
    origin: i32,          // the input that cell 0 reads at offset 0
    input_extent: i32,
    input_stride: i32,    // distances in elements between neighbours along this axis
    output_stride: i32,
    output_begin: i32,    // the part of the output that this dispatch computes
    output_extent: i32,
}

struct Params {
    axes: array<Axis, 3>,         // d, h, w
    invocations: i32,             // for one block of channels and one part of the phases
    batch_begin: i32,
    channel_begin: i32,           // output channels
    channel_extent: i32,
    first_block: i32,             // a block is the output channels of one invocation
    blocks_per_group: i32,
    group_in_channels: i32,       // channels of one group
    group_out_channels: i32,
    input_channel_begin: i32,     // the part of a group's input channels that this dispatch adds up
    input_channel_end: i32,
    input_batch_stride: i32,
    input_channel_stride: i32,
    output_batch_stride: i32,
    output_channel_stride: i32,
    record_stride: i32,           // from one vector's record in `weights` to the next
    input_window: i32,            // the bound window of each buffer begins at this element of the tensor
    weight_window: i32,
    output_window: i32,
    first_part: i32,              // whether this dispatch adds the first input channels, and so begins with the bias
    last_part: i32,               // whether it adds the last ones, and so finishes the outputs
    beta: f32,                    // parameter of the activation; the other one is in the record
    padding: i32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> input: array<Elem>;
// For each vector of output channels a record: its biases, its taps [group_in_channels][d][h][w], its alphas.
@group(0) @binding(2) var<storage, read> weights: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> output: array<Elem>;

fn inside(at: i32, extent: i32) -> bool {
    return u32(at) < u32(extent);
}

// The distance of an input coordinate from the first, kept inside the input.
fn offset(at: i32, axis: i32) -> i32 {
    return clamp(at, 0, params.axes[axis].input_extent - 1) * params.axes[axis].input_stride;
}

// An input, 0 outside. The weights are finite where this kernel is used, so that it adds nothing.
fn load(at: i32, has: bool) -> f32 {
    return select(0.0, f32(input[at]), has);
}

// Which channels of a vector lie inside the group and the dispatch's part of the output.
fn kept_channels(in_group: i32, channel: i32) -> vec4<bool> {
    let lanes = vec4(0, 1, 2, 3);
    let from_begin = vec4(channel - params.channel_begin) + lanes;
    return (vec4(in_group) + lanes < vec4(params.group_out_channels))
        & (from_begin >= vec4(0)) & (from_begin < vec4(params.channel_extent));
}


// Finishes the channels of a vector that lie inside the dispatch's part of the output.
fn store(at: i32, sum: Sum, alpha: Sum, kept: vec4<bool>) {
    if kept.x {
        output[at + 0 * params.output_channel_stride] = Elem(activate(sum.x, alpha.x, params.beta));
    }
    if kept.y {
        output[at + 1 * params.output_channel_stride] = Elem(activate(sum.y, alpha.y, params.beta));
    }
    if kept.z {
        output[at + 2 * params.output_channel_stride] = Elem(activate(sum.z, alpha.z, params.beta));
    }
    if kept.w {
        output[at + 3 * params.output_channel_stride] = Elem(activate(sum.w, alpha.w, params.beta));
    }
}

@compute @workgroup_size(64)
fn direct(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let invocation = i32(group.x * 64u + lane);
    if invocation >= params.invocations {
        return;
    }
    var rest = invocation;
    let x = params.axes[2].first_cell + rest % params.axes[2].tiles * 2;
    rest /= params.axes[2].tiles;
    let y = params.axes[1].first_cell + rest % params.axes[1].tiles * 2;
    rest /= params.axes[1].tiles;
    let n = params.batch_begin + rest;
    // The channels are the same for the whole workgroup, and so are its weights.
    let block = params.first_block + i32(group.y);
    let channel_group = block / params.blocks_per_group;
    let first_channel = block % params.blocks_per_group * 8;
    let record0 = (block * 2 + 0) * params.record_stride - params.weight_window;
    let record1 = (block * 2 + 1) * params.record_stride - params.weight_window;
    // The first phase of this part, its first tap, and whether it begins in the next cell.
    var part = i32(group.z);
    let phase_x = part % 2 * 1;
    part /= 2;
    let tap_x = (phase_x + 1) % 2;
    let carry_x = (phase_x + 1) / 2;
    let phase_y = part % 2 * 1;
    part /= 2;
    let tap_y = (phase_y + 1) % 2;
    let carry_y = (phase_y + 1) / 2;
    let first_x = x + params.axes[2].origin + carry_x;
    let has_x0 = inside(first_x - 1, params.axes[2].input_extent);
    let x0 = offset(first_x - 1, 2);
    let has_x1 = inside(first_x + 0, params.axes[2].input_extent);
    let x1 = offset(first_x + 0, 2);
    let has_x2 = inside(first_x + 1, params.axes[2].input_extent);
    let x2 = offset(first_x + 1, 2);
    let first_y = y + params.axes[1].origin + carry_y;
    let has_y0 = inside(first_y - 1, params.axes[1].input_extent);
    let y0 = offset(first_y - 1, 1);
    let has_y1 = inside(first_y + 0, params.axes[1].input_extent);
    let y1 = offset(first_y + 0, 1);
    let has_y2 = inside(first_y + 1, params.axes[1].input_extent);
    let y2 = offset(first_y + 1, 1);
    var at = n * params.input_batch_stride + (channel_group * params.group_in_channels + params.input_channel_begin) * params.input_channel_stride - params.input_window;
    var w0 = record0 + 1 + params.input_channel_begin * 16 + tap_x * 1 + tap_y * 4;
    var w1 = record1 + 1 + params.input_channel_begin * 16 + tap_x * 1 + tap_y * 4;
    let bias0 = weights[record0];
    let bias1 = weights[record1];
    var s0 = bias0;
    var s1 = bias0;
    var s2 = bias0;
    var s3 = bias0;
    var s4 = bias1;
    var s5 = bias1;
    var s6 = bias1;
    var s7 = bias1;
    for (var ci = params.input_channel_begin; ci < params.input_channel_end; ci++) {
        let i0_0_0 = load(at + y0 + x0, has_y0 && has_x0);
        let i0_0_1 = load(at + y0 + x1, has_y0 && has_x1);
        let i0_0_2 = load(at + y0 + x2, has_y0 && has_x2);
        let i0_1_0 = load(at + y1 + x0, has_y1 && has_x0);
        let i0_1_1 = load(at + y1 + x1, has_y1 && has_x1);
        let i0_1_2 = load(at + y1 + x2, has_y1 && has_x2);
        let i0_2_0 = load(at + y2 + x0, has_y2 && has_x0);
        let i0_2_1 = load(at + y2 + x1, has_y2 && has_x1);
        let i0_2_2 = load(at + y2 + x2, has_y2 && has_x2);
        let w0_0 = weights[w0 + 0];
        s0 = fma(Sum(i0_1_1), w0_0, s0);
        s1 = fma(Sum(i0_1_2), w0_0, s1);
        s2 = fma(Sum(i0_2_1), w0_0, s2);
        s3 = fma(Sum(i0_2_2), w0_0, s3);
        let w1_0 = weights[w1 + 0];
        s4 = fma(Sum(i0_1_1), w1_0, s4);
        s5 = fma(Sum(i0_1_2), w1_0, s5);
        s6 = fma(Sum(i0_2_1), w1_0, s6);
        s7 = fma(Sum(i0_2_2), w1_0, s7);
        let w0_2 = weights[w0 + 2];
        s0 = fma(Sum(i0_1_0), w0_2, s0);
        s1 = fma(Sum(i0_1_1), w0_2, s1);
        s2 = fma(Sum(i0_2_0), w0_2, s2);
        s3 = fma(Sum(i0_2_1), w0_2, s3);
        let w1_2 = weights[w1 + 2];
        s4 = fma(Sum(i0_1_0), w1_2, s4);
        s5 = fma(Sum(i0_1_1), w1_2, s5);
        s6 = fma(Sum(i0_2_0), w1_2, s6);
        s7 = fma(Sum(i0_2_1), w1_2, s7);
        let w0_8 = weights[w0 + 8];
        s0 = fma(Sum(i0_0_1), w0_8, s0);
        s1 = fma(Sum(i0_0_2), w0_8, s1);
        s2 = fma(Sum(i0_1_1), w0_8, s2);
        s3 = fma(Sum(i0_1_2), w0_8, s3);
        let w1_8 = weights[w1 + 8];
        s4 = fma(Sum(i0_0_1), w1_8, s4);
        s5 = fma(Sum(i0_0_2), w1_8, s5);
        s6 = fma(Sum(i0_1_1), w1_8, s6);
        s7 = fma(Sum(i0_1_2), w1_8, s7);
        let w0_10 = weights[w0 + 10];
        s0 = fma(Sum(i0_0_0), w0_10, s0);
        s1 = fma(Sum(i0_0_1), w0_10, s1);
        s2 = fma(Sum(i0_1_0), w0_10, s2);
        s3 = fma(Sum(i0_1_1), w0_10, s3);
        let w1_10 = weights[w1 + 10];
        s4 = fma(Sum(i0_0_0), w1_10, s4);
        s5 = fma(Sum(i0_0_1), w1_10, s5);
        s6 = fma(Sum(i0_1_0), w1_10, s6);
        s7 = fma(Sum(i0_1_1), w1_10, s7);
        at += params.input_channel_stride;
        w0 += 16;
        w1 += 16;
    }
    let ox0_0 = x * 2 + phase_x + 0 - params.axes[2].output_begin;
    let ox1_0 = x * 2 + phase_x + 2 - params.axes[2].output_begin;
    let oy0_0 = y * 2 + phase_y + 0 - params.axes[1].output_begin;
    let oy1_0 = y * 2 + phase_y + 2 - params.axes[1].output_begin;
    let channel0 = first_channel + 0;
    let out0 = n * params.output_batch_stride + (channel_group * params.group_out_channels + first_channel + 0) * params.output_channel_stride - params.output_window;
    let alpha0 = weights[record0 + params.record_stride - 1];
    let kept0 = kept_channels(channel0, channel_group * params.group_out_channels + first_channel + 0);
    let channel1 = first_channel + 4;
    let out1 = n * params.output_batch_stride + (channel_group * params.group_out_channels + first_channel + 4) * params.output_channel_stride - params.output_window;
    let alpha1 = weights[record1 + params.record_stride - 1];
    let kept1 = kept_channels(channel1, channel_group * params.group_out_channels + first_channel + 4);
    if inside(oy0_0, params.axes[1].output_extent) && inside(ox0_0, params.axes[2].output_extent) {
        store(out0 + (oy0_0 + params.axes[1].output_begin) * params.axes[1].output_stride + (ox0_0 + params.axes[2].output_begin) * params.axes[2].output_stride, s0, alpha0, kept0);
    }
    if inside(oy0_0, params.axes[1].output_extent) && inside(ox1_0, params.axes[2].output_extent) {
        store(out0 + (oy0_0 + params.axes[1].output_begin) * params.axes[1].output_stride + (ox1_0 + params.axes[2].output_begin) * params.axes[2].output_stride, s1, alpha0, kept0);
    }
    if inside(oy1_0, params.axes[1].output_extent) && inside(ox0_0, params.axes[2].output_extent) {
        store(out0 + (oy1_0 + params.axes[1].output_begin) * params.axes[1].output_stride + (ox0_0 + params.axes[2].output_begin) * params.axes[2].output_stride, s2, alpha0, kept0);
    }
    if inside(oy1_0, params.axes[1].output_extent) && inside(ox1_0, params.axes[2].output_extent) {
        store(out0 + (oy1_0 + params.axes[1].output_begin) * params.axes[1].output_stride + (ox1_0 + params.axes[2].output_begin) * params.axes[2].output_stride, s3, alpha0, kept0);
    }
    if inside(oy0_0, params.axes[1].output_extent) && inside(ox0_0, params.axes[2].output_extent) {
        store(out1 + (oy0_0 + params.axes[1].output_begin) * params.axes[1].output_stride + (ox0_0 + params.axes[2].output_begin) * params.axes[2].output_stride, s4, alpha1, kept1);
    }
    if inside(oy0_0, params.axes[1].output_extent) && inside(ox1_0, params.axes[2].output_extent) {
        store(out1 + (oy0_0 + params.axes[1].output_begin) * params.axes[1].output_stride + (ox1_0 + params.axes[2].output_begin) * params.axes[2].output_stride, s5, alpha1, kept1);
    }
    if inside(oy1_0, params.axes[1].output_extent) && inside(ox0_0, params.axes[2].output_extent) {
        store(out1 + (oy1_0 + params.axes[1].output_begin) * params.axes[1].output_stride + (ox0_0 + params.axes[2].output_begin) * params.axes[2].output_stride, s6, alpha1, kept1);
    }
    if inside(oy1_0, params.axes[1].output_extent) && inside(ox1_0, params.axes[2].output_extent) {
        store(out1 + (oy1_0 + params.axes[1].output_begin) * params.axes[1].output_stride + (ox1_0 + params.axes[2].output_begin) * params.axes[2].output_stride, s7, alpha1, kept1);
    }
}
