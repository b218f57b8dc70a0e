// One invocation adds up one block of a channel, 16 by 16 elements of a plane, and divides by 256: the first half of a
// mean. Blocks begin at multiples of 16, so that the sums are the same whatever part of the picture is at hand.

// What varies between uses of this file; the host replaces everything above the line of dashes.
alias Elem = f32;
// ---

struct Params {
    blocks: u32,           // of all items and channels
    channels: u32,
    depth: u32,            // the extents of the output: blocks along the last two axes
    rows: u32,
    columns: u32,
    output_item: u32,      // from one item of the output to the next
    output_first: u32,     // the output's first element
    input_item: u32,       // from one item, channel, plane and row of the input to the next
    input_channel: u32,
    input_plane: u32,
    input_row: u32,
    input_first: u32,      // where the first block begins
    height: u32,           // the elements of the input from there on
    width: u32,
    padding_1: u32,
    padding_2: u32,
}

const SIDE = 16u;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> input: array<Elem>;
@group(0) @binding(2) var<storage, read_write> output: array<Elem>;

@compute @workgroup_size(64)
fn block_sums(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let block = id.y * groups.x * 64u + id.x;
    if block >= params.blocks {
        return;
    }
    let plane = block / params.columns / params.rows;
    let volume = plane / params.depth;
    let item = volume / params.channels;
    let origin = params.input_first + item * params.input_item + volume % params.channels * params.input_channel
        + plane % params.depth * params.input_plane;
    let top = block / params.columns % params.rows * SIDE;
    let left = block % params.columns * SIDE;
    var sum = 0.0;
    for (var y = top; y < min(top + SIDE, params.height); y += 1u) {
        for (var x = left; x < min(left + SIDE, params.width); x += 1u) {
            sum += f32(input[origin + y * params.input_row + x]);
        }
    }
    let within = block - item * params.channels * params.depth * params.rows * params.columns;
    output[params.output_first + item * params.output_item + within] = Elem(sum / f32(SIDE * SIDE));
}
