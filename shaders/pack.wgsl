// The weights of `direct` from those of `gather`: one invocation writes one number, so that nothing can race.
//
// `gather` has for each output channel a record [bias, taps [group_in_channels][d][h][w], alpha]. `direct` computes
// vectors of up to 4 output channels at once, and has for each vector a record of whole vec4s
// [biases, taps [group_in_channels][d][h][w][channel of the vector], alphas]: it reads a tap of all of them together.
// Channels beyond the group's last are 0, and so is what fills each of the three up to whole units.

struct Params {
    elements: u32,
    width: u32,               // output channels of a vector
    lanes: u32,               // what one tap of a vector takes: the width, or 4 for 3
    vectors: u32,             // vectors of a group
    channel: u32,             // numbers from one input channel to the next in a packed record
    record: u32,              // numbers of a packed record
    group_in_channels: u32,
    group_out_channels: u32,
    taps: u32,                // of one input and one output channel
    source_record: u32,
    unit: u32,                // what the biases and the alphas are filled up to
    padding: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> source: array<f32>;
@group(0) @binding(2) var<storage, read_write> packed: array<f32>;

// The number at place `at` of the record of vector `vector`.
fn number(vector: u32, at: u32) -> f32 {
    var lane = at % params.unit;
    var origin = 0u;   // the bias
    if at >= params.record - params.unit {
        origin = params.source_record - 1u;
    } else if at >= params.unit {
        let ci = (at - params.unit) / params.channel;
        let tap = (at - params.unit) % params.channel / params.lanes;
        lane = (at - params.unit) % params.lanes;
        if tap >= params.taps {
            return 0.0;
        }
        origin = 1u + ci * params.taps + tap;
    }
    let in_group = vector % params.vectors * params.width + lane;
    if lane >= params.width || in_group >= params.group_out_channels {
        return 0.0;
    }
    let co = vector / params.vectors * params.group_out_channels + in_group;
    return source[co * params.source_record + origin];
}

@compute @workgroup_size(64)
fn pack(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let index = id.y * groups.x * 64u + id.x;
    if index < params.elements {
        packed[index] = number(index / params.record, index % params.record);
    }
}
