// The weights of the adjoint, which leads from outputs back to inputs: one invocation moves one tap, so that nothing can
// race.
//
// It reads it from `gather`'s record of an output channel, [bias, taps [group_in_channels][taps], alpha], and writes it
// into the record of an input channel, with the kernel turned: its last tap is the adjoint's first. There is neither bias
// nor activation, so that the bias and alpha of a record stay 0.

struct Params {
    elements: u32,
    taps: u32,
    group_in_channels: u32,
    group_out_channels: u32,
    source_record: u32,   // the distances between records
    target_record: u32,
    padding_1: u32,
    padding_2: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> source: array<f32>;
@group(0) @binding(2) var<storage, read_write> turned: array<f32>;

@compute @workgroup_size(64)
fn turn(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let index = id.y * groups.x * 64u + id.x;
    if index >= params.elements {
        return;
    }
    let tap = index % params.taps;
    let co = index / params.taps % params.group_out_channels;      // in its group
    let ci = index / params.taps / params.group_out_channels;      // of all
    let group = ci / params.group_in_channels;
    let tap_there = (group * params.group_out_channels + co) * params.source_record
        + 1u + ci % params.group_in_channels * params.taps + params.taps - 1u - tap;
    turned[ci * params.target_record + 1u + co * params.taps + tap] = source[tap_there];
}
