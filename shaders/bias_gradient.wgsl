// The gradient of the bias: one invocation adds up one part of the sum of one channel.
//
// A bias was added to every output of its channel, so that its gradient is the sum of the channel's output gradients,
// over the batch and all places. The sum is cut into parts as in `weight_gradient.wgsl`, and `gradient_sum.wgsl` adds
// these in their order.

// What varies between uses of this file; the host replaces everything above the line of dashes.
alias Elem = f32;
// ---

struct Params {
    first_channel: i32,           // the channels that this dispatch computes
    channels: i32,
    invocations: i32,
    first_part: i32,              // of this dispatch
    part_positions: i32,          // the outputs that a part adds
    unit_positions: i32,          // those of one item that is cut into parts, or of the items that make one
    unit_parts: i32,              // the parts of an item, or 1
    positions: i32,               // the outputs of a channel in the whole batch
    item_positions: i32,          // those in one item of it
    batch_stride: i32,            // distances in elements
    channel_stride: i32,
    position_stride: i32,
    window: i32,                  // the bound window begins at this element, counted from the tensor's first
    padding_1: i32,
    padding_2: i32,
    padding_3: i32,
}

@group(0) @binding(0) var<uniform> params: Params;
// The gradient of the output.
@group(0) @binding(1) var<storage, read> gradient: array<Elem>;
// For each part, one number for each channel.
@group(0) @binding(2) var<storage, read_write> sums: array<f32>;

@compute @workgroup_size(64)
fn bias_gradient(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let index = i32(id.y * groups.x * 64u + id.x);
    if index >= params.invocations {
        return;
    }
    let channel = index % params.channels;
    let part = params.first_part + index / params.channels;
    let unit = part / params.unit_parts;
    let first = unit * params.unit_positions + part % params.unit_parts * params.part_positions;
    let past = min(min(first + params.part_positions, (unit + 1) * params.unit_positions), params.positions);
    var place = first % params.item_positions;
    var item = (params.first_channel + channel) * params.channel_stride
        + first / params.item_positions * params.batch_stride - params.window;
    var sum = 0.0;
    for (var position = first; position < past; position++) {
        sum += f32(gradient[item + place * params.position_stride]);
        place++;
        if place == params.item_positions {
            place = 0;
            item += params.batch_stride;
        }
    }
    sums[part * params.channels + channel] = sum;
}
