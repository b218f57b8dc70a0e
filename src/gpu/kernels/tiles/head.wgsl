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
