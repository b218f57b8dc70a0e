// The pixels of a rectangle of a texture to the planes of a tensor [channels][before + height + after][before + width +
// after], with the rectangle's outermost pixels replicated into the border: what an upsampler reads. One invocation
// copies one pixel and writes nothing else.

// What varies between uses of this file; the host replaces everything above the line of dashes.
alias Elem = f32;
fn curve(colour: vec3<f32>) -> vec3<f32> { return colour; }
fn weighted(colour: vec3<f32>, alpha: f32) -> vec3<f32> { return colour; }
fn arranged(p: vec4<f32>) -> vec4<f32> { return p; }
// ---

struct Params {
    width: i32,           // of the planes, borders included
    before: i32,          // the border above and to the left
    first_row: i32,       // the part of the planes that this dispatch writes
    rows: i32,
    first_channel: i32,
    channels: i32,
    plane: i32,           // from one channel's plane to the next
    window: i32,          // the bound window begins at this element of the planes
    origin: vec2<i32>,    // the rectangle, x and y
    extent: vec2<i32>,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var picture: texture_2d<f32>;
@group(0) @binding(2) var<storage, read_write> planes: array<Elem>;

@compute @workgroup_size(8, 8)
fn from_texture(@builtin(global_invocation_id) id: vec3<u32>) {
    if i32(id.x) >= params.width || i32(id.y) >= params.rows {
        return;
    }
    let at = vec2(i32(id.x), params.first_row + i32(id.y));
    let inside = clamp(at - params.before, vec2(0), params.extent - 1);
    let texel = textureLoad(picture, params.origin + inside, 0);
    let values = arranged(vec4(weighted(curve(texel.rgb), texel.a), texel.a));
    for (var c = params.first_channel; c < params.first_channel + params.channels; c++) {
        planes[c * params.plane + at.y * params.width + at.x - params.window] = Elem(values[c]);
    }
}
