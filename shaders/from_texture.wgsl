// A texture's pixels to the planes of a tensor [channels][height + 2*border][width + 2*border], with the outermost
// pixels replicated into the border: what an upsampler reads. One invocation copies one pixel and writes nothing else.

// What varies between uses of this file; the host replaces everything above the line of dashes.
alias Elem = f32;
// ---

struct Params {
    width: i32,           // of the planes, borders included
    border: i32,
    first_row: i32,       // the part of the planes that this dispatch writes
    rows: i32,
    first_channel: i32,   // 0 to 3: red, green, blue, alpha
    channels: i32,
    plane: i32,           // from one channel's plane to the next
    window: i32,          // the bound window begins at this element of the planes
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
    let last = vec2<i32>(textureDimensions(picture)) - 1;
    let pixel = textureLoad(picture, clamp(at - params.border, vec2(0), last), 0);
    for (var c = params.first_channel; c < params.first_channel + params.channels; c++) {
        planes[c * params.plane + at.y * params.width + at.x - params.window] = Elem(pixel[c]);
    }
}
