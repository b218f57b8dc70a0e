// One invocation adds up one block of a channel, 16 by 16 elements of a plane: the first half of a mean. Blocks begin at
// multiples of 16, so that the sums are the same whatever part of the picture is at hand.

// What varies between uses of this file; the host replaces everything above the line of dashes.
alias Elem = f32;
// ---

struct Params {
    blocks: u32,           // of all items and channels
    channels: u32,
    item_stride: u32,
    channel_stride: u32,
    first: u32,            // the input's first element
    depth: u32,
    height: u32,
    width: u32,
}

const SIDE = 16u;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> input: array<Elem>;
@group(0) @binding(2) var<storage, read_write> sums: array<f32>;

@compute @workgroup_size(64)
fn block_sums(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let block = id.y * groups.x * 64u + id.x;
    if block >= params.blocks {
        return;
    }
    let columns = (params.width + SIDE - 1u) / SIDE;
    let rows = (params.height + SIDE - 1u) / SIDE;
    let plane = block / columns / rows;
    let volume = plane / params.depth;
    let origin = params.first + volume / params.channels * params.item_stride
        + volume % params.channels * params.channel_stride + plane % params.depth * params.height * params.width;
    let top = block / columns % rows * SIDE;
    let left = block % columns * SIDE;
    var sum = 0.0;
    for (var y = top; y < min(top + SIDE, params.height); y += 1u) {
        for (var x = left; x < min(left + SIDE, params.width); x += 1u) {
            sum += f32(input[origin + y * params.width + x]);
        }
    }
    sums[block] = sum;
}
