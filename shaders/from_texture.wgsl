// A texture's pixels to the planes of a tensor [channels][height + 2*border][width + 2*border], with the outermost
// pixels replicated into the border: what an upsampler reads. One invocation copies one pixel and writes nothing else.

// What varies between uses of this file; the host replaces everything above the line of dashes.
alias Elem = f32;
// ---

struct Params {
    width: i32,      // of the planes, borders included
    height: i32,
    border: i32,
    channels: i32,   // 1 to 4: red, green, blue, alpha
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var picture: texture_2d<f32>;
@group(0) @binding(2) var<storage, read_write> planes: array<Elem>;

@compute @workgroup_size(8, 8)
fn from_texture(@builtin(global_invocation_id) id: vec3<u32>) {
    let at = vec2<i32>(id.xy);
    if at.x >= params.width || at.y >= params.height {
        return;
    }
    let last = vec2<i32>(textureDimensions(picture)) - 1;
    let pixel = textureLoad(picture, clamp(at - params.border, vec2(0), last), 0);
    for (var c = 0; c < params.channels; c++) {
        planes[(c * params.height + at.y) * params.width + at.x] = Elem(pixel[c]);
    }
}
