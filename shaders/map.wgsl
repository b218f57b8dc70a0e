// One invocation computes one element of a value of a graph from elements of others: sums, products and functions of what
// it reads, through views that say where.

// What varies between uses of this file; the host replaces everything above the line of dashes.
alias Elem = f32;
const NUMBERS = 2u;
@group(0) @binding(1) var<storage, read> operand_0: array<Elem>;
fn operand_0_at(p: Place) -> f32 {
    return f32(operand_0[index(p, 0u)]);
}
fn value(p: Place) -> f32 {
    let y = operand_0_at(p);
    return y * 2.0;
}
// ---

struct Params {
    elements: u32,
    channels: u32,
    item_stride: u32,      // from one item of the output to the next, which may be some channels of a larger tensor
    first: u32,            // the output's first element
    extents: vec4<u32>,    // d, h, w of the output
    // Of each operand the strides of items, channels, z and y, then its first element; of each view and term what it needs.
    numbers: array<vec4<u32>, NUMBERS>,
}

struct Place {
    item: i32,
    channel: i32,
    z: i32,
    y: i32,
    x: i32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(5) var<storage, read_write> output: array<Elem>;

// The element of an operand at a place of its own, whose numbers begin there.
fn index(p: Place, numbers: u32) -> u32 {
    let strides = vec4<i32>(params.numbers[numbers]);
    let first = i32(params.numbers[numbers + 1u].x);
    return u32(first + p.item * strides.x + p.channel * strides.y + p.z * strides.z + p.y * strides.w + p.x);
}

@compute @workgroup_size(64)
fn map(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let element = id.y * groups.x * 64u + id.x;
    if element >= params.elements {
        return;
    }
    let row = element / params.extents.z;
    let plane = row / params.extents.y;
    let volume = plane / params.extents.x;
    let item = volume / params.channels;
    let p = Place(
        i32(item),
        i32(volume % params.channels),
        i32(plane % params.extents.x),
        i32(row % params.extents.y),
        i32(element % params.extents.z),
    );
    let within = element - item * params.channels * params.extents.x * params.extents.y * params.extents.z;
    output[params.first + item * params.item_stride + within] = Elem(value(p));
}
