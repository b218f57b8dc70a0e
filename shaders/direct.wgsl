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

// A vector of output channels.
alias Accumulator = vec4<f32>;

alias Input = vec4<Elem>;
alias Loaded = vec4<f32>;
alias Output = vec4<Elem>;

// Weights that are read at once.
alias Weights = array<vec4<f32>, 4>;

struct Axis {
    first_cell: i32,      // of the dispatch
    tiles: i32,           // how many invocations lie side by side
    origin: i32,          // the input that cell 0 reads at offset 0
    input_extent: i32,
    input_stride: i32,    // distances in elements between neighbours along this axis
    output_stride: i32,
    residual_stride: i32,
    output_begin: i32,    // the part of the output that this dispatch computes
    output_extent: i32,
    padding_1: i32,
    padding_2: i32,
    padding_3: i32,
}

struct Params {
    axes: array<Axis, 3>,         // d, h, w
    invocations: i32,             // for one block of channels and one part of the phases
    batch_begin: i32,
    first_block: i32,             // a block is the output channels of one invocation
    blocks_per_group: i32,
    group_in_channels: i32,       // channels of one group
    group_out_channels: i32,
    input_channel_begin: i32,     // the part of a group's input channels that this dispatch adds up; the first part
    input_channel_end: i32,       // begins with the bias, the last one finishes the outputs
    input_batch_stride: i32,
    input_channel_stride: i32,
    output_batch_stride: i32,
    output_channel_stride: i32,
    residual_batch_stride: i32,
    residual_channel_stride: i32,
    record_stride: i32,           // from one vector's record in `weights` to the next, in vec4s
    input_window: i32,            // the bound window of each buffer begins at this element, counted from its first
    weight_window: i32,           // in vec4s
    output_window: i32,
    residual_window: i32,
    split_channels: i32,          // input channels of one split, where they are split (split-K)
    split_stride: i32,            // from the accumulators of one split to those of the next
    beta: f32,                    // parameter of the activation; the other one is in the record
    pre_alpha: f32,               // parameters of the activation of the inputs, where all channels have the same
    pre_beta: f32,
    batch_end: i32,
    padding_1: i32,
    padding_2: i32,
    padding_3: i32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> input: array<Input>;
// For each vector of output channels a record: its biases, its taps [group_in_channels][d][h][w], its alphas.
@group(0) @binding(2) var<storage, read> weights: array<Weights>;
@group(0) @binding(3) var<storage, read_write> output: array<Output>;

fn inside(at: i32, extent: i32) -> bool {
    return u32(at) < u32(extent);
}

// The input coordinate `at`, or the nearest one inside.
fn keep(at: i32, axis: i32) -> i32 {
    return clamp(at, 0, params.axes[axis].input_extent - 1);
}

fn store(at: i32, acc0: f32, acc1: f32, acc2: f32, acc3: f32, alpha: f32) {
    output[u32(at) / 4u] = Output(
        Elem(activate(acc0, alpha, params.beta)),
        Elem(activate(acc1, alpha, params.beta)),
        Elem(activate(acc2, alpha, params.beta)),
        Elem(activate(acc3, alpha, params.beta)),
    );
}

@compute @workgroup_size(64)
fn direct(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    var rest = group.x * 64u + lane;
    if rest >= u32(params.invocations) { return; }
    let x = params.axes[2].first_cell + i32(rest % u32(params.axes[2].tiles)) * 4;
    rest /= u32(params.axes[2].tiles);
    let y = params.axes[1].first_cell + i32(rest % u32(params.axes[1].tiles)) * 1;
    rest /= u32(params.axes[1].tiles);
    let n = params.batch_begin + i32(rest);
    // The channels are the same for the whole workgroup, and so are its weights.
    let block = params.first_block + i32(group.y);
    let channel_group = block / params.blocks_per_group;
    let first_channel = block % params.blocks_per_group * 4;
    let record0 = ((block * 1 + 0) * params.record_stride - params.weight_window) / 4;
    // The first phase of this part, its first tap, and whether it begins in the next cell.
    var part = i32(group.z);
    let phase_x = part % 1 * 2;
    part /= 1;
    let tap_x = 0;
    let carry_x = 0;
    let phase_y = part % 2 * 1;
    part /= 2;
    let tap_y = (phase_y + 1) % 2;
    let carry_y = (phase_y + 1) / 2;
    let first_x = x + params.axes[2].origin + carry_x;
    let has_x0 = inside(first_x - 4, params.axes[2].input_extent);
    let x0 = (keep(first_x - 4, 2) * params.axes[2].input_stride) >> 2u;
    let x1 = ((first_x + 0) * params.axes[2].input_stride) >> 2u;
    let has_x2 = inside(first_x + 4, params.axes[2].input_extent);
    let x2 = (keep(first_x + 4, 2) * params.axes[2].input_stride) >> 2u;
    let first_y = y + params.axes[1].origin + carry_y;
    let has_y0 = inside(first_y - 1, params.axes[1].input_extent);
    let y0 = (keep(first_y - 1, 1) * params.axes[1].input_stride) >> 2u;
    let has_y1 = inside(first_y + 0, params.axes[1].input_extent);
    let y1 = (keep(first_y + 0, 1) * params.axes[1].input_stride) >> 2u;
    var at = (n * params.input_batch_stride + (channel_group * params.group_in_channels + params.input_channel_begin) * params.input_channel_stride - params.input_window) >> 2u;
    var w0 = record0 + 1 + params.input_channel_begin * 4 + (tap_x * 1 + tap_y * 4) / 4;
    let bias0 = weights[record0][0];
    var acc0 = bias0;
    var acc1 = bias0;
    var acc2 = bias0;
    var acc3 = bias0;
    var acc4 = bias0;
    var acc5 = bias0;
    var acc6 = bias0;
    var acc7 = bias0;
    for (var ci = params.input_channel_begin; ci < params.input_channel_end; ci++) {
        // Outside is 0, which adds nothing: the weights are finite where this kernel is used.
        let i0_0_0 = select(Loaded(), Loaded(input[at + y0 + x0]), has_y0 && has_x0);
        let i0_0_1 = select(Loaded(), Loaded(input[at + y0 + x1]), has_y0);
        let i0_0_2 = select(Loaded(), Loaded(input[at + y0 + x2]), has_y0 && has_x2);
        let i0_1_0 = select(Loaded(), Loaded(input[at + y1 + x0]), has_y1 && has_x0);
        let i0_1_1 = select(Loaded(), Loaded(input[at + y1 + x1]), has_y1);
        let i0_1_2 = select(Loaded(), Loaded(input[at + y1 + x2]), has_y1 && has_x2);
        let w0_0 = weights[w0 + 0][0];
        acc1 = fma(Accumulator(i0_1_1.y), w0_0, acc1);
        acc3 = fma(Accumulator(i0_1_1.z), w0_0, acc3);
        acc5 = fma(Accumulator(i0_1_1.w), w0_0, acc5);
        acc7 = fma(Accumulator(i0_1_2.x), w0_0, acc7);
        let w0_1 = weights[w0 + 0][1];
        acc0 = fma(Accumulator(i0_1_1.x), w0_1, acc0);
        acc2 = fma(Accumulator(i0_1_1.y), w0_1, acc2);
        acc4 = fma(Accumulator(i0_1_1.z), w0_1, acc4);
        acc6 = fma(Accumulator(i0_1_1.w), w0_1, acc6);
        let w0_2 = weights[w0 + 0][2];
        acc1 = fma(Accumulator(i0_1_1.x), w0_2, acc1);
        acc3 = fma(Accumulator(i0_1_1.y), w0_2, acc3);
        acc5 = fma(Accumulator(i0_1_1.z), w0_2, acc5);
        acc7 = fma(Accumulator(i0_1_1.w), w0_2, acc7);
        let w0_3 = weights[w0 + 0][3];
        acc0 = fma(Accumulator(i0_1_0.w), w0_3, acc0);
        acc2 = fma(Accumulator(i0_1_1.x), w0_3, acc2);
        acc4 = fma(Accumulator(i0_1_1.y), w0_3, acc4);
        acc6 = fma(Accumulator(i0_1_1.z), w0_3, acc6);
        let w0_8 = weights[w0 + 2][0];
        acc1 = fma(Accumulator(i0_0_1.y), w0_8, acc1);
        acc3 = fma(Accumulator(i0_0_1.z), w0_8, acc3);
        acc5 = fma(Accumulator(i0_0_1.w), w0_8, acc5);
        acc7 = fma(Accumulator(i0_0_2.x), w0_8, acc7);
        let w0_9 = weights[w0 + 2][1];
        acc0 = fma(Accumulator(i0_0_1.x), w0_9, acc0);
        acc2 = fma(Accumulator(i0_0_1.y), w0_9, acc2);
        acc4 = fma(Accumulator(i0_0_1.z), w0_9, acc4);
        acc6 = fma(Accumulator(i0_0_1.w), w0_9, acc6);
        let w0_10 = weights[w0 + 2][2];
        acc1 = fma(Accumulator(i0_0_1.x), w0_10, acc1);
        acc3 = fma(Accumulator(i0_0_1.y), w0_10, acc3);
        acc5 = fma(Accumulator(i0_0_1.z), w0_10, acc5);
        acc7 = fma(Accumulator(i0_0_1.w), w0_10, acc7);
        let w0_11 = weights[w0 + 2][3];
        acc0 = fma(Accumulator(i0_0_0.w), w0_11, acc0);
        acc2 = fma(Accumulator(i0_0_1.x), w0_11, acc2);
        acc4 = fma(Accumulator(i0_0_1.y), w0_11, acc4);
        acc6 = fma(Accumulator(i0_0_1.z), w0_11, acc6);
        at += (params.input_channel_stride) >> 2u;
        w0 += 4;
    }
    let ox0_0 = x * 2 + phase_x + 0 - params.axes[2].output_begin;
    let ox0_1 = x * 2 + phase_x + 1 - params.axes[2].output_begin;
    let ox1_0 = x * 2 + phase_x + 2 - params.axes[2].output_begin;
    let ox1_1 = x * 2 + phase_x + 3 - params.axes[2].output_begin;
    let ox2_0 = x * 2 + phase_x + 4 - params.axes[2].output_begin;
    let ox2_1 = x * 2 + phase_x + 5 - params.axes[2].output_begin;
    let ox3_0 = x * 2 + phase_x + 6 - params.axes[2].output_begin;
    let ox3_1 = x * 2 + phase_x + 7 - params.axes[2].output_begin;
    let oy0_0 = y * 2 + phase_y + 0 - params.axes[1].output_begin;
    let out0 = n * params.output_batch_stride + (channel_group * params.group_out_channels + first_channel + 0) * params.output_channel_stride - params.output_window;
    let alpha0 = weights[record0 + (params.record_stride - 4) / 4][0];
    if inside(oy0_0, params.axes[1].output_extent) {
        let row = out0 + (oy0_0 + params.axes[1].output_begin) * params.axes[1].output_stride;
        if inside(ox0_0, params.axes[2].output_extent) {
            let at = row + (ox0_0 + params.axes[2].output_begin) * params.axes[2].output_stride;
            store(at + 0 * params.output_channel_stride, acc0.x, acc1.x, acc2.x, acc3.x, alpha0.x);
            store(at + 1 * params.output_channel_stride, acc0.y, acc1.y, acc2.y, acc3.y, alpha0.y);
            store(at + 2 * params.output_channel_stride, acc0.z, acc1.z, acc2.z, acc3.z, alpha0.z);
            store(at + 3 * params.output_channel_stride, acc0.w, acc1.w, acc2.w, acc3.w, alpha0.w);
        }
        if inside(ox2_0, params.axes[2].output_extent) {
            let at = row + (ox2_0 + params.axes[2].output_begin) * params.axes[2].output_stride;
            store(at + 0 * params.output_channel_stride, acc4.x, acc5.x, acc6.x, acc7.x, alpha0.x);
            store(at + 1 * params.output_channel_stride, acc4.y, acc5.y, acc6.y, acc7.y, alpha0.y);
            store(at + 2 * params.output_channel_stride, acc4.z, acc5.z, acc6.z, acc7.z, alpha0.z);
            store(at + 3 * params.output_channel_stride, acc4.w, acc5.w, acc6.w, acc7.w, alpha0.w);
        }
    }
}
