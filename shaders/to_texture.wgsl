// The planes of a tensor [channels][height][width] to a texture's pixels. One invocation writes one pixel.

// What varies between uses of this file; the host replaces everything above the line of dashes.
alias Elem = f32;
alias Picture = texture_storage_2d<rgba8unorm, write>;
// ---

struct Params {
    width: i32,
    height: i32,
    channels: i32,   // 1 is grey; 2 is grey and alpha; 3 is red, green, blue; 4 has alpha too
    srgb: i32,       // whether colours are encoded, which storage textures do not do by themselves
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> planes: array<Elem>;
@group(0) @binding(2) var picture: Picture;

fn sample(c: i32, at: vec2<i32>) -> f32 {
    return f32(planes[(c * params.height + at.y) * params.width + at.x]);
}

// IEC 61966-2-1, from linear light.
fn encoded(linear: vec3<f32>) -> vec3<f32> {
    let high = 1.055 * pow(max(linear, vec3(0.0)), vec3(1.0 / 2.4)) - 0.055;
    return select(high, linear * 12.92, linear <= vec3(0.0031308));
}

@compute @workgroup_size(8, 8)
fn to_texture(@builtin(global_invocation_id) id: vec3<u32>) {
    let at = vec2<i32>(id.xy);
    if at.x >= params.width || at.y >= params.height {
        return;
    }
    var colour = vec3(sample(0, at));
    if params.channels >= 3 {
        colour = vec3(colour.x, sample(1, at), sample(2, at));
    }
    var alpha = 1.0;
    if params.channels == 2 || params.channels == 4 {
        alpha = sample(params.channels - 1, at);
    }
    if params.srgb != 0 {
        colour = encoded(colour);
    }
    textureStore(picture, at, vec4(colour, alpha));
}
