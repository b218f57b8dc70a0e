// The weights of `matrix` from those of `gather`: one invocation writes one number, so that nothing can race.
//
// `gather` has for each output channel a record [bias, taps [group_in_channels][d][h][w], alpha]. `matrix` has for each
// block of output channels, each tap and each `side` input channels the matrices that it multiplies by, column by
// column: [channels of the block][in channels]. Channels beyond a group's last are 0.

// What varies between uses of this file; the host replaces everything above the line of dashes.
alias Factor = f32;
// ---

struct Params {
    elements: u32,
    side: u32,                  // input channels of a matrix
    channels: u32,              // output channels of a block
    blocks: u32,                // of a group
    taps: u32,                  // of one input and one output channel
    packed_in_channels: u32,
    group_in_channels: u32,
    group_out_channels: u32,
    source_record: u32,
    padding_1: u32,
    padding_2: u32,
    padding_3: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> source: array<f32>;
@group(0) @binding(2) var<storage, read_write> packed: array<Factor>;

fn number(index: u32) -> f32 {
    let column = index / params.side;
    let first = column / params.channels * params.side;
    let ci = first % params.packed_in_channels + index % params.side;
    let tap = first / params.packed_in_channels % params.taps;
    let block = first / params.packed_in_channels / params.taps;
    let in_group = block % params.blocks * params.channels + column % params.channels;
    if ci >= params.group_in_channels || in_group >= params.group_out_channels {
        return 0.0;
    }
    let co = block / params.blocks * params.group_out_channels + in_group;
    return source[co * params.source_record + 1u + ci * params.taps + tap];
}

@compute @workgroup_size(64)
fn pack(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let index = id.y * groups.x * 64u + id.x;
    if index < params.elements {
        packed[index] = Factor(number(index));
    }
}
