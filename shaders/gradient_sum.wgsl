// The parts of the sums of a gradient, added up: one invocation finishes one weight, or one bias.
//
// Another kernel has cut each sum into parts and left one number for each in `sums`: for each part, for each accumulator
// of a tile, one number for each tile. Here they are added from the first part to the last, so that the bits never
// change. A weight is written by this invocation alone, so that nothing can race.

struct Axis {
    first_tap: i32,         // the taps that this dispatch finishes
    taps: i32,
    tile: i32,              // the taps of a tile along this axis
    first_tile: i32,        // the tiles of taps that are in `sums`
    tiles: i32,
    stride: i32,            // the distance in the result between two taps, in elements
    padding_1: i32,
    padding_2: i32,
}

struct Params {
    axes: array<Axis, 3>,         // d, h, w
    first_in_channel: i32,        // the channels that this dispatch finishes: input channels over all groups,
    first_out_channel: i32,       // output channels of one group
    out_channels: i32,
    group_in_channels: i32,
    in_blocks: i32,               // blocks of input channels of one group
    first_in_block: i32,          // the blocks that are in `sums`
    first_out_block: i32,
    out_blocks: i32,
    in_tile: i32,                 // the channels of a block
    out_tile: i32,
    vector: i32,                  // so many input channels of a tile follow each other among its accumulators
    tiles: i32,
    elements: i32,                // the weights that this dispatch finishes
    parts: i32,
    part_stride: i32,             // from the numbers of one part to those of the next
    in_stride: i32,               // distances in the result, in elements
    out_stride: i32,
    window: i32,                  // the bound window of the result begins at this element
    accumulate: i32,              // whether the sum is added to what the result holds
    padding: i32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> sums: array<f32>;
@group(0) @binding(2) var<storage, read_write> result: array<f32>;

@compute @workgroup_size(64)
fn gradient_sum(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let index = i32(id.y * groups.x * 64u + id.x);
    if index >= params.elements {
        return;
    }
    // Which weight it is, and where it lies.
    var rest = index;
    var at = -params.window;
    var taps = array<i32, 3>();
    for (var a = 2; a >= 0; a--) {
        taps[a] = params.axes[a].first_tap + rest % params.axes[a].taps;
        rest /= params.axes[a].taps;
        at += taps[a] * params.axes[a].stride;
    }
    let co = params.first_out_channel + rest % params.out_channels;
    let ci = params.first_in_channel + rest / params.out_channels;
    at += ci * params.in_stride + co * params.out_stride;

    // In which tile it is, and which of its accumulators.
    let group = ci / params.group_in_channels;
    let in_group = ci % params.group_in_channels;
    let in_block = group * params.in_blocks + in_group / params.in_tile - params.first_in_block;
    var tile = in_block * params.out_blocks + co / params.out_tile - params.first_out_block;
    let in_tile = in_group % params.in_tile;
    var accumulator = in_tile / params.vector;
    for (var a = 0; a < 3; a++) {
        tile = tile * params.axes[a].tiles + taps[a] / params.axes[a].tile - params.axes[a].first_tile;
    }
    accumulator = accumulator * params.axes[1].tile + taps[1] % params.axes[1].tile;
    accumulator = accumulator * params.out_tile + co % params.out_tile;
    accumulator = accumulator * params.axes[2].tile + taps[2] % params.axes[2].tile;
    accumulator = accumulator * params.vector + in_tile % params.vector;

    let first = accumulator * params.tiles + tile;
    var total = 0.0;
    for (var part = 0; part < params.parts; part++) {
        total += sums[part * params.part_stride + first];
    }
    if params.accumulate != 0 {
        total += result[at];
    }
    result[at] = total;
}
