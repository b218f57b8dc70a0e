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

// A vector of output channels.
alias Accumulator = vec4<f32>;

alias Input = Elem;
alias Loaded = f32;
alias Output = vec4<Elem>;

// Weights that are read at once.
alias Weights = array<vec4<f32>, 1>;

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

// For each input channel of a K-chunk the inputs that the box reads, 2 a unit: no vector, whose
// components several invocations may not write.
var<workgroup> input_chunk: array<array<array<f32, 2>, 30>, 4>;
// For each vector of output channels its weights for the K-chunk.
var<workgroup> weight_chunk: array<array<vec4<f32>, 64>, 8>;

@compute @workgroup_size(128)
fn tiled(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    // The box of cells that the workgroup computes, and the tile of this invocation in it.
    var rest = i32(group.x);
    var own = i32(lane);
    let box_x = params.axes[2].first_cell + rest % params.axes[2].tiles * 4;
    rest /= params.axes[2].tiles;
    let own_x = own % 2 * 2;
    own /= 2;
    let x = box_x + own_x;
    let box_y = params.axes[1].first_cell + rest % params.axes[1].tiles * 8;
    rest /= params.axes[1].tiles;
    let own_y = own % 8 * 1;
    own /= 8;
    let y = box_y + own_y;
    let box_n = params.batch_begin + rest * 1;
    let own_n = own % 1;
    own /= 1;
    let n = box_n + own_n;
    // What is left of the invocation's number is its block of channels in the workgroup's.
    let block = params.first_block + i32(group.y);
    let channel_group = block / params.blocks_per_group;
    let first_channel = (block % params.blocks_per_group * 8 + own) * 4;
    let record0 = ((block * 8 + own) * 1 + 0) * params.record_stride - params.weight_window;
    let first_x = box_x + params.axes[2].origin - 1;
    let first_y = box_y + params.axes[1].origin - 1;
    // The inputs that this invocation brings, and where they are.
    let e0 = i32(lane) + 0;
    rest = e0 / 2;
    let x0 = first_x + rest % 3 * 2 + e0 % 2;
    rest /= 3;
    let y0 = first_y + rest % 10;
    rest /= 10;
    let n0 = box_n + rest;
    let has0 = inside(x0, params.axes[2].input_extent) && inside(y0, params.axes[1].input_extent) && n0 < params.batch_end;
    let from0 = keep(x0, 2) * params.axes[2].input_stride + keep(y0, 1) * params.axes[1].input_stride + min(n0, params.batch_end - 1) * params.input_batch_stride;
    var at = (channel_group * params.group_in_channels + params.input_channel_begin) * params.input_channel_stride - params.input_window;
    // The weights that it brings.
    let f0 = i32(lane) + 0;
    var w0 = (block * 8 + f0 / 64) * params.record_stride - params.weight_window + 4 + params.input_channel_begin * 16 + f0 % 64;
    let f1 = i32(lane) + 128;
    var w1 = (block * 8 + f1 / 64) * params.record_stride - params.weight_window + 4 + params.input_channel_begin * 16 + f1 % 64;
    let f2 = i32(lane) + 256;
    var w2 = (block * 8 + f2 / 64) * params.record_stride - params.weight_window + 4 + params.input_channel_begin * 16 + f2 % 64;
    let f3 = i32(lane) + 384;
    var w3 = (block * 8 + f3 / 64) * params.record_stride - params.weight_window + 4 + params.input_channel_begin * 16 + f3 % 64;
    // The unit where its own inputs begin.
    var own_unit = own_n;
    own_unit = own_unit * 10 + own_y;
    own_unit = own_unit * 3 + own_x / 2;
    let bias0 = weights[record0][0];
    var acc0 = bias0;
    var acc1 = bias0;
    var acc2 = bias0;
    var acc3 = bias0;
    var acc4 = bias0;
    var acc5 = bias0;
    var acc6 = bias0;
    var acc7 = bias0;
    for (var ci = params.input_channel_begin; ci < params.input_channel_end; ci += 4) {
        if e0 < 60 {
            input_chunk[0][e0 / 2][e0 % 2] = select(0.0, Loaded(input[at + 0 * params.input_channel_stride + from0]), has0);
            input_chunk[1][e0 / 2][e0 % 2] = select(0.0, Loaded(input[at + 1 * params.input_channel_stride + from0]), has0);
            input_chunk[2][e0 / 2][e0 % 2] = select(0.0, Loaded(input[at + 2 * params.input_channel_stride + from0]), has0);
            input_chunk[3][e0 / 2][e0 % 2] = select(0.0, Loaded(input[at + 3 * params.input_channel_stride + from0]), has0);
        }
        weight_chunk[f0 / 64][f0 % 64] = weights[w0][0];
        weight_chunk[f1 / 64][f1 % 64] = weights[w1][0];
        weight_chunk[f2 / 64][f2 % 64] = weights[w2][0];
        weight_chunk[f3 / 64][f3 % 64] = weights[w3][0];
        at += 4 * params.input_channel_stride;
        w0 += 64;
        w1 += 64;
        w2 += 64;
        w3 += 64;
        workgroupBarrier();
        {
            let i0_0_0 = input_chunk[0][own_unit + 0][0];
            let i0_0_1 = input_chunk[0][own_unit + 0][1];
            let i0_0_2 = input_chunk[0][own_unit + 1][0];
            let i0_0_3 = input_chunk[0][own_unit + 1][1];
            let i0_1_0 = input_chunk[0][own_unit + 3][0];
            let i0_1_1 = input_chunk[0][own_unit + 3][1];
            let i0_1_2 = input_chunk[0][own_unit + 4][0];
            let i0_1_3 = input_chunk[0][own_unit + 4][1];
            let i0_2_0 = input_chunk[0][own_unit + 6][0];
            let i0_2_1 = input_chunk[0][own_unit + 6][1];
            let i0_2_2 = input_chunk[0][own_unit + 7][0];
            let i0_2_3 = input_chunk[0][own_unit + 7][1];
            let w0_0 = weight_chunk[own * 1 + 0][0];
            acc5 = fma(Accumulator(i0_2_2), w0_0, acc5);
            acc7 = fma(Accumulator(i0_2_3), w0_0, acc7);
            let w0_1 = weight_chunk[own * 1 + 0][1];
            acc4 = fma(Accumulator(i0_2_1), w0_1, acc4);
            acc6 = fma(Accumulator(i0_2_2), w0_1, acc6);
            let w0_2 = weight_chunk[own * 1 + 0][2];
            acc5 = fma(Accumulator(i0_2_1), w0_2, acc5);
            acc7 = fma(Accumulator(i0_2_2), w0_2, acc7);
            let w0_3 = weight_chunk[own * 1 + 0][3];
            acc4 = fma(Accumulator(i0_2_0), w0_3, acc4);
            acc6 = fma(Accumulator(i0_2_1), w0_3, acc6);
            let w0_4 = weight_chunk[own * 1 + 0][4];
            acc1 = fma(Accumulator(i0_1_2), w0_4, acc1);
            acc3 = fma(Accumulator(i0_1_3), w0_4, acc3);
            let w0_5 = weight_chunk[own * 1 + 0][5];
            acc0 = fma(Accumulator(i0_1_1), w0_5, acc0);
            acc2 = fma(Accumulator(i0_1_2), w0_5, acc2);
            let w0_6 = weight_chunk[own * 1 + 0][6];
            acc1 = fma(Accumulator(i0_1_1), w0_6, acc1);
            acc3 = fma(Accumulator(i0_1_2), w0_6, acc3);
            let w0_7 = weight_chunk[own * 1 + 0][7];
            acc0 = fma(Accumulator(i0_1_0), w0_7, acc0);
            acc2 = fma(Accumulator(i0_1_1), w0_7, acc2);
            let w0_8 = weight_chunk[own * 1 + 0][8];
            acc5 = fma(Accumulator(i0_1_2), w0_8, acc5);
            acc7 = fma(Accumulator(i0_1_3), w0_8, acc7);
            let w0_9 = weight_chunk[own * 1 + 0][9];
            acc4 = fma(Accumulator(i0_1_1), w0_9, acc4);
            acc6 = fma(Accumulator(i0_1_2), w0_9, acc6);
            let w0_10 = weight_chunk[own * 1 + 0][10];
            acc5 = fma(Accumulator(i0_1_1), w0_10, acc5);
            acc7 = fma(Accumulator(i0_1_2), w0_10, acc7);
            let w0_11 = weight_chunk[own * 1 + 0][11];
            acc4 = fma(Accumulator(i0_1_0), w0_11, acc4);
            acc6 = fma(Accumulator(i0_1_1), w0_11, acc6);
            let w0_12 = weight_chunk[own * 1 + 0][12];
            acc1 = fma(Accumulator(i0_0_2), w0_12, acc1);
            acc3 = fma(Accumulator(i0_0_3), w0_12, acc3);
            let w0_13 = weight_chunk[own * 1 + 0][13];
            acc0 = fma(Accumulator(i0_0_1), w0_13, acc0);
            acc2 = fma(Accumulator(i0_0_2), w0_13, acc2);
            let w0_14 = weight_chunk[own * 1 + 0][14];
            acc1 = fma(Accumulator(i0_0_1), w0_14, acc1);
            acc3 = fma(Accumulator(i0_0_2), w0_14, acc3);
            let w0_15 = weight_chunk[own * 1 + 0][15];
            acc0 = fma(Accumulator(i0_0_0), w0_15, acc0);
            acc2 = fma(Accumulator(i0_0_1), w0_15, acc2);
        }
        {
            let i0_0_0 = input_chunk[1][own_unit + 0][0];
            let i0_0_1 = input_chunk[1][own_unit + 0][1];
            let i0_0_2 = input_chunk[1][own_unit + 1][0];
            let i0_0_3 = input_chunk[1][own_unit + 1][1];
            let i0_1_0 = input_chunk[1][own_unit + 3][0];
            let i0_1_1 = input_chunk[1][own_unit + 3][1];
            let i0_1_2 = input_chunk[1][own_unit + 4][0];
            let i0_1_3 = input_chunk[1][own_unit + 4][1];
            let i0_2_0 = input_chunk[1][own_unit + 6][0];
            let i0_2_1 = input_chunk[1][own_unit + 6][1];
            let i0_2_2 = input_chunk[1][own_unit + 7][0];
            let i0_2_3 = input_chunk[1][own_unit + 7][1];
            let w0_0 = weight_chunk[own * 1 + 0][16];
            acc5 = fma(Accumulator(i0_2_2), w0_0, acc5);
            acc7 = fma(Accumulator(i0_2_3), w0_0, acc7);
            let w0_1 = weight_chunk[own * 1 + 0][17];
            acc4 = fma(Accumulator(i0_2_1), w0_1, acc4);
            acc6 = fma(Accumulator(i0_2_2), w0_1, acc6);
            let w0_2 = weight_chunk[own * 1 + 0][18];
            acc5 = fma(Accumulator(i0_2_1), w0_2, acc5);
            acc7 = fma(Accumulator(i0_2_2), w0_2, acc7);
            let w0_3 = weight_chunk[own * 1 + 0][19];
            acc4 = fma(Accumulator(i0_2_0), w0_3, acc4);
            acc6 = fma(Accumulator(i0_2_1), w0_3, acc6);
            let w0_4 = weight_chunk[own * 1 + 0][20];
            acc1 = fma(Accumulator(i0_1_2), w0_4, acc1);
            acc3 = fma(Accumulator(i0_1_3), w0_4, acc3);
            let w0_5 = weight_chunk[own * 1 + 0][21];
            acc0 = fma(Accumulator(i0_1_1), w0_5, acc0);
            acc2 = fma(Accumulator(i0_1_2), w0_5, acc2);
            let w0_6 = weight_chunk[own * 1 + 0][22];
            acc1 = fma(Accumulator(i0_1_1), w0_6, acc1);
            acc3 = fma(Accumulator(i0_1_2), w0_6, acc3);
            let w0_7 = weight_chunk[own * 1 + 0][23];
            acc0 = fma(Accumulator(i0_1_0), w0_7, acc0);
            acc2 = fma(Accumulator(i0_1_1), w0_7, acc2);
            let w0_8 = weight_chunk[own * 1 + 0][24];
            acc5 = fma(Accumulator(i0_1_2), w0_8, acc5);
            acc7 = fma(Accumulator(i0_1_3), w0_8, acc7);
            let w0_9 = weight_chunk[own * 1 + 0][25];
            acc4 = fma(Accumulator(i0_1_1), w0_9, acc4);
            acc6 = fma(Accumulator(i0_1_2), w0_9, acc6);
            let w0_10 = weight_chunk[own * 1 + 0][26];
            acc5 = fma(Accumulator(i0_1_1), w0_10, acc5);
            acc7 = fma(Accumulator(i0_1_2), w0_10, acc7);
            let w0_11 = weight_chunk[own * 1 + 0][27];
            acc4 = fma(Accumulator(i0_1_0), w0_11, acc4);
            acc6 = fma(Accumulator(i0_1_1), w0_11, acc6);
            let w0_12 = weight_chunk[own * 1 + 0][28];
            acc1 = fma(Accumulator(i0_0_2), w0_12, acc1);
            acc3 = fma(Accumulator(i0_0_3), w0_12, acc3);
            let w0_13 = weight_chunk[own * 1 + 0][29];
            acc0 = fma(Accumulator(i0_0_1), w0_13, acc0);
            acc2 = fma(Accumulator(i0_0_2), w0_13, acc2);
            let w0_14 = weight_chunk[own * 1 + 0][30];
            acc1 = fma(Accumulator(i0_0_1), w0_14, acc1);
            acc3 = fma(Accumulator(i0_0_2), w0_14, acc3);
            let w0_15 = weight_chunk[own * 1 + 0][31];
            acc0 = fma(Accumulator(i0_0_0), w0_15, acc0);
            acc2 = fma(Accumulator(i0_0_1), w0_15, acc2);
        }
        {
            let i0_0_0 = input_chunk[2][own_unit + 0][0];
            let i0_0_1 = input_chunk[2][own_unit + 0][1];
            let i0_0_2 = input_chunk[2][own_unit + 1][0];
            let i0_0_3 = input_chunk[2][own_unit + 1][1];
            let i0_1_0 = input_chunk[2][own_unit + 3][0];
            let i0_1_1 = input_chunk[2][own_unit + 3][1];
            let i0_1_2 = input_chunk[2][own_unit + 4][0];
            let i0_1_3 = input_chunk[2][own_unit + 4][1];
            let i0_2_0 = input_chunk[2][own_unit + 6][0];
            let i0_2_1 = input_chunk[2][own_unit + 6][1];
            let i0_2_2 = input_chunk[2][own_unit + 7][0];
            let i0_2_3 = input_chunk[2][own_unit + 7][1];
            let w0_0 = weight_chunk[own * 1 + 0][32];
            acc5 = fma(Accumulator(i0_2_2), w0_0, acc5);
            acc7 = fma(Accumulator(i0_2_3), w0_0, acc7);
            let w0_1 = weight_chunk[own * 1 + 0][33];
            acc4 = fma(Accumulator(i0_2_1), w0_1, acc4);
            acc6 = fma(Accumulator(i0_2_2), w0_1, acc6);
            let w0_2 = weight_chunk[own * 1 + 0][34];
            acc5 = fma(Accumulator(i0_2_1), w0_2, acc5);
            acc7 = fma(Accumulator(i0_2_2), w0_2, acc7);
            let w0_3 = weight_chunk[own * 1 + 0][35];
            acc4 = fma(Accumulator(i0_2_0), w0_3, acc4);
            acc6 = fma(Accumulator(i0_2_1), w0_3, acc6);
            let w0_4 = weight_chunk[own * 1 + 0][36];
            acc1 = fma(Accumulator(i0_1_2), w0_4, acc1);
            acc3 = fma(Accumulator(i0_1_3), w0_4, acc3);
            let w0_5 = weight_chunk[own * 1 + 0][37];
            acc0 = fma(Accumulator(i0_1_1), w0_5, acc0);
            acc2 = fma(Accumulator(i0_1_2), w0_5, acc2);
            let w0_6 = weight_chunk[own * 1 + 0][38];
            acc1 = fma(Accumulator(i0_1_1), w0_6, acc1);
            acc3 = fma(Accumulator(i0_1_2), w0_6, acc3);
            let w0_7 = weight_chunk[own * 1 + 0][39];
            acc0 = fma(Accumulator(i0_1_0), w0_7, acc0);
            acc2 = fma(Accumulator(i0_1_1), w0_7, acc2);
            let w0_8 = weight_chunk[own * 1 + 0][40];
            acc5 = fma(Accumulator(i0_1_2), w0_8, acc5);
            acc7 = fma(Accumulator(i0_1_3), w0_8, acc7);
            let w0_9 = weight_chunk[own * 1 + 0][41];
            acc4 = fma(Accumulator(i0_1_1), w0_9, acc4);
            acc6 = fma(Accumulator(i0_1_2), w0_9, acc6);
            let w0_10 = weight_chunk[own * 1 + 0][42];
            acc5 = fma(Accumulator(i0_1_1), w0_10, acc5);
            acc7 = fma(Accumulator(i0_1_2), w0_10, acc7);
            let w0_11 = weight_chunk[own * 1 + 0][43];
            acc4 = fma(Accumulator(i0_1_0), w0_11, acc4);
            acc6 = fma(Accumulator(i0_1_1), w0_11, acc6);
            let w0_12 = weight_chunk[own * 1 + 0][44];
            acc1 = fma(Accumulator(i0_0_2), w0_12, acc1);
            acc3 = fma(Accumulator(i0_0_3), w0_12, acc3);
            let w0_13 = weight_chunk[own * 1 + 0][45];
            acc0 = fma(Accumulator(i0_0_1), w0_13, acc0);
            acc2 = fma(Accumulator(i0_0_2), w0_13, acc2);
            let w0_14 = weight_chunk[own * 1 + 0][46];
            acc1 = fma(Accumulator(i0_0_1), w0_14, acc1);
            acc3 = fma(Accumulator(i0_0_2), w0_14, acc3);
            let w0_15 = weight_chunk[own * 1 + 0][47];
            acc0 = fma(Accumulator(i0_0_0), w0_15, acc0);
            acc2 = fma(Accumulator(i0_0_1), w0_15, acc2);
        }
        {
            let i0_0_0 = input_chunk[3][own_unit + 0][0];
            let i0_0_1 = input_chunk[3][own_unit + 0][1];
            let i0_0_2 = input_chunk[3][own_unit + 1][0];
            let i0_0_3 = input_chunk[3][own_unit + 1][1];
            let i0_1_0 = input_chunk[3][own_unit + 3][0];
            let i0_1_1 = input_chunk[3][own_unit + 3][1];
            let i0_1_2 = input_chunk[3][own_unit + 4][0];
            let i0_1_3 = input_chunk[3][own_unit + 4][1];
            let i0_2_0 = input_chunk[3][own_unit + 6][0];
            let i0_2_1 = input_chunk[3][own_unit + 6][1];
            let i0_2_2 = input_chunk[3][own_unit + 7][0];
            let i0_2_3 = input_chunk[3][own_unit + 7][1];
            let w0_0 = weight_chunk[own * 1 + 0][48];
            acc5 = fma(Accumulator(i0_2_2), w0_0, acc5);
            acc7 = fma(Accumulator(i0_2_3), w0_0, acc7);
            let w0_1 = weight_chunk[own * 1 + 0][49];
            acc4 = fma(Accumulator(i0_2_1), w0_1, acc4);
            acc6 = fma(Accumulator(i0_2_2), w0_1, acc6);
            let w0_2 = weight_chunk[own * 1 + 0][50];
            acc5 = fma(Accumulator(i0_2_1), w0_2, acc5);
            acc7 = fma(Accumulator(i0_2_2), w0_2, acc7);
            let w0_3 = weight_chunk[own * 1 + 0][51];
            acc4 = fma(Accumulator(i0_2_0), w0_3, acc4);
            acc6 = fma(Accumulator(i0_2_1), w0_3, acc6);
            let w0_4 = weight_chunk[own * 1 + 0][52];
            acc1 = fma(Accumulator(i0_1_2), w0_4, acc1);
            acc3 = fma(Accumulator(i0_1_3), w0_4, acc3);
            let w0_5 = weight_chunk[own * 1 + 0][53];
            acc0 = fma(Accumulator(i0_1_1), w0_5, acc0);
            acc2 = fma(Accumulator(i0_1_2), w0_5, acc2);
            let w0_6 = weight_chunk[own * 1 + 0][54];
            acc1 = fma(Accumulator(i0_1_1), w0_6, acc1);
            acc3 = fma(Accumulator(i0_1_2), w0_6, acc3);
            let w0_7 = weight_chunk[own * 1 + 0][55];
            acc0 = fma(Accumulator(i0_1_0), w0_7, acc0);
            acc2 = fma(Accumulator(i0_1_1), w0_7, acc2);
            let w0_8 = weight_chunk[own * 1 + 0][56];
            acc5 = fma(Accumulator(i0_1_2), w0_8, acc5);
            acc7 = fma(Accumulator(i0_1_3), w0_8, acc7);
            let w0_9 = weight_chunk[own * 1 + 0][57];
            acc4 = fma(Accumulator(i0_1_1), w0_9, acc4);
            acc6 = fma(Accumulator(i0_1_2), w0_9, acc6);
            let w0_10 = weight_chunk[own * 1 + 0][58];
            acc5 = fma(Accumulator(i0_1_1), w0_10, acc5);
            acc7 = fma(Accumulator(i0_1_2), w0_10, acc7);
            let w0_11 = weight_chunk[own * 1 + 0][59];
            acc4 = fma(Accumulator(i0_1_0), w0_11, acc4);
            acc6 = fma(Accumulator(i0_1_1), w0_11, acc6);
            let w0_12 = weight_chunk[own * 1 + 0][60];
            acc1 = fma(Accumulator(i0_0_2), w0_12, acc1);
            acc3 = fma(Accumulator(i0_0_3), w0_12, acc3);
            let w0_13 = weight_chunk[own * 1 + 0][61];
            acc0 = fma(Accumulator(i0_0_1), w0_13, acc0);
            acc2 = fma(Accumulator(i0_0_2), w0_13, acc2);
            let w0_14 = weight_chunk[own * 1 + 0][62];
            acc1 = fma(Accumulator(i0_0_1), w0_14, acc1);
            acc3 = fma(Accumulator(i0_0_2), w0_14, acc3);
            let w0_15 = weight_chunk[own * 1 + 0][63];
            acc0 = fma(Accumulator(i0_0_0), w0_15, acc0);
            acc2 = fma(Accumulator(i0_0_1), w0_15, acc2);
        }
        workgroupBarrier();
    }
    if n >= params.batch_end { return; }
    let ox0_0 = x * 2 + 0 - params.axes[2].output_begin;
    let ox0_1 = x * 2 + 1 - params.axes[2].output_begin;
    let ox1_0 = x * 2 + 2 - params.axes[2].output_begin;
    let ox1_1 = x * 2 + 3 - params.axes[2].output_begin;
    let oy0_0 = y * 2 + 0 - params.axes[1].output_begin;
    let oy0_1 = y * 2 + 1 - params.axes[1].output_begin;
    let out0 = n * params.output_batch_stride + (channel_group * params.group_out_channels + first_channel + 0) * params.output_channel_stride - params.output_window;
    let alpha0 = weights[record0 + params.record_stride - 4][0];
    if inside(oy0_0, params.axes[1].output_extent) {
        let row = out0 + (oy0_0 + params.axes[1].output_begin) * params.axes[1].output_stride;
        if inside(ox0_0, params.axes[2].output_extent) {
            let at = row + (ox0_0 + params.axes[2].output_begin) * params.axes[2].output_stride;
            store(at + 0 * params.output_channel_stride, acc0.x, acc1.x, acc2.x, acc3.x, alpha0.x);
            store(at + 1 * params.output_channel_stride, acc0.y, acc1.y, acc2.y, acc3.y, alpha0.y);
            store(at + 2 * params.output_channel_stride, acc0.z, acc1.z, acc2.z, acc3.z, alpha0.z);
            store(at + 3 * params.output_channel_stride, acc0.w, acc1.w, acc2.w, acc3.w, alpha0.w);
        }
    }
    if inside(oy0_1, params.axes[1].output_extent) {
        let row = out0 + (oy0_1 + params.axes[1].output_begin) * params.axes[1].output_stride;
        if inside(ox0_0, params.axes[2].output_extent) {
            let at = row + (ox0_0 + params.axes[2].output_begin) * params.axes[2].output_stride;
            store(at + 0 * params.output_channel_stride, acc4.x, acc5.x, acc6.x, acc7.x, alpha0.x);
            store(at + 1 * params.output_channel_stride, acc4.y, acc5.y, acc6.y, acc7.y, alpha0.y);
            store(at + 2 * params.output_channel_stride, acc4.z, acc5.z, acc6.z, acc7.z, alpha0.z);
            store(at + 3 * params.output_channel_stride, acc4.w, acc5.w, acc6.w, acc7.w, alpha0.w);
        }
    }
}
