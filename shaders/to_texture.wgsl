// The planes of a tensor [channels][height][width] to a texture's pixels. One invocation writes one pixel.

// What varies between uses of this file; the host replaces everything above the line of dashes.
alias Elem = f32;
alias Picture = texture_storage_2d<rgba8unorm, write>;
// ---

struct Params {
    width: i32,
    first_row: i32,       // the part of the picture that this dispatch writes
    rows: i32,
    channels: i32,        // 1 is grey; 2 is grey and alpha; 3 is red, green, blue; 4 has alpha too
    begin: vec4<i32>,     // where the first of these rows begins in what is bound of each channel
    srgb: i32,            // whether colours are encoded, which storage textures do not do by themselves
    padding_1: i32,
    padding_2: i32,
    padding_3: i32,
}

@group(0) @binding(0) var<uniform> params: Params;
// The planes may be larger than a binding. Channels that there are not are never read.
@group(0) @binding(1) var<storage, read> plane_0: array<Elem>;
@group(0) @binding(2) var<storage, read> plane_1: array<Elem>;
@group(0) @binding(3) var<storage, read> plane_2: array<Elem>;
@group(0) @binding(4) var<storage, read> plane_3: array<Elem>;
@group(0) @binding(5) var picture: Picture;

// IEC 61966-2-1, from linear light.
fn encoded(linear: vec3<f32>) -> vec3<f32> {
    let high = fma(vec3(1.055), pow(max(linear, vec3(0.0)), vec3(1.0 / 2.4)), vec3(-0.055));
    return select(high, linear * 12.92, linear <= vec3(0.0031308));
}

@compute @workgroup_size(8, 8)
fn to_texture(@builtin(global_invocation_id) id: vec3<u32>) {
    if i32(id.x) >= params.width || i32(id.y) >= params.rows {
        return;
    }
    let at = params.begin + i32(id.y) * params.width + i32(id.x);
    var colour = vec3(f32(plane_0[at[0]]));
    var alpha = 1.0;
    if params.channels == 2 {
        alpha = f32(plane_1[at[1]]);
    }
    if params.channels >= 3 {
        colour = vec3(colour.x, f32(plane_1[at[1]]), f32(plane_2[at[2]]));
    }
    if params.channels == 4 {
        alpha = f32(plane_3[at[3]]);
    }
    if params.srgb != 0 {
        colour = encoded(colour);
    }
    textureStore(picture, vec2(i32(id.x), params.first_row + i32(id.y)), vec4(colour, alpha));
}
