// One workgroup adds up the blocks of one channel of one item, and divides by its elements: the second half of a mean.

// What varies between uses of this file; the host replaces everything above the line of dashes.
alias Elem = f32;
// ---

struct Params {
    means: u32,            // of all items and channels
    channels: u32,
    blocks: u32,           // of each
    input_item: u32,       // from one item of the sums to the next
    input_first: u32,      // their first element
    output_item: u32,      // from one item of the output to the next
    output_first: u32,     // the output's first element
    elements: f32,         // of each, in blocks of 256
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> sums: array<Elem>;
@group(0) @binding(2) var<storage, read_write> output: array<Elem>;

var<workgroup> parts: array<f32, 64>;

@compute @workgroup_size(64)
fn means(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let mean = group.y * groups.x + group.x;
    let item = mean / params.channels;
    let channel = mean % params.channels;
    var sum = 0.0;
    if mean < params.means {
        let first = params.input_first + item * params.input_item + channel * params.blocks;
        for (var block = lane; block < params.blocks; block += 64u) {
            sum += f32(sums[first + block]);
        }
    }
    parts[lane] = sum;
    for (var half = 32u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if lane < half {
            parts[lane] += parts[lane + half];
        }
    }
    if lane == 0u && mean < params.means {
        output[params.output_first + item * params.output_item + channel] = Elem(parts[0] / params.elements);
    }
}
