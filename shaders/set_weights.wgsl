// Weights that are on the device already, in the order of `gather`: one invocation writes one number, so that nothing can
// race.
//
// `gather` has for each output channel a record [bias, taps [group_in_channels][d][h][w], alpha]. The weight may have its
// axes in any order: what matters are the distances along them, and from the weight of one group to that of the next. The
// kernels of an ordinary convolution are turned on the way: a kernel's last tap is the record's first. The alphas stay,
// and so do the biases where none are given.

struct Params {
    elements: u32,            // of all records
    record: u32,              // of one record
    group_out_channels: u32,
    taps: u32,                // of one input and one output channel
    rows: u32,                // taps along h
    columns: u32,             // taps along w
    group_stride: u32,        // distances in the weight
    in_stride: u32,           // between input channels of a group
    out_stride: u32,          // between output channels of a group
    d_stride: u32,
    h_stride: u32,
    w_stride: u32,
    turned: u32,              // whether the kernels are turned
    biased: u32,              // whether biases are given
    padding_1: u32,
    padding_2: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> weight: array<f32>;
@group(0) @binding(2) var<storage, read> bias: array<f32>;
@group(0) @binding(3) var<storage, read_write> records: array<f32>;

@compute @workgroup_size(64)
fn set_weights(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let index = id.y * groups.x * 64u + id.x;
    if index >= params.elements {
        return;
    }
    let co = index / params.record;
    let place = index % params.record;
    if place == params.record - 1u {
        return;
    }
    if place == 0u {
        if params.biased != 0u {
            records[index] = bias[co];
        }
        return;
    }
    let ci = (place - 1u) / params.taps;      // in its group
    var tap = (place - 1u) % params.taps;
    if params.turned != 0u {
        tap = params.taps - 1u - tap;
    }
    records[index] = weight[
        co / params.group_out_channels * params.group_stride
        + co % params.group_out_channels * params.out_stride
        + ci * params.in_stride
        + tap / params.columns / params.rows * params.d_stride
        + tap / params.columns % params.rows * params.h_stride
        + tap % params.columns * params.w_stride
    ];
}
