// A part of the planes of a tensor [channels][height][width] to the pixels of a rectangle of a texture: into a storage
// texture (one invocation writes one pixel), or by a triangle that covers the rectangle of a render pass's target.

// What varies between uses of this file; the host replaces everything above the line of dashes.
alias Elem = f32;
alias Picture = texture_storage_2d<rgba8unorm, write>;
fn curve(colour: vec3<f32>) -> vec3<f32> { return colour; }
fn weighted(colour: vec3<f32>, alpha: f32) -> vec3<f32> { return colour; }
fn arranged(p: vec4<f32>) -> vec4<f32> { return p; }
// ---

struct Params {
    width: i32,           // of the rectangle
    rows: i32,            // of it, those that this dispatch or draw writes
    origin: vec2<i32>,    // where the first of them begins in the texture, x and y
    begin: vec4<i32>,     // and where in what is bound of each channel
    pitch: i32,           // from one row of the planes to the next
    padding_1: i32,
    padding_2: i32,
    padding_3: i32,
}

@group(0) @binding(0) var<uniform> params: Params;
// The planes may be larger than a binding. Channels that there are not are bound to the last, and not used.
@group(0) @binding(1) var<storage, read> plane_0: array<Elem>;
@group(0) @binding(2) var<storage, read> plane_1: array<Elem>;
@group(0) @binding(3) var<storage, read> plane_2: array<Elem>;
@group(0) @binding(4) var<storage, read> plane_3: array<Elem>;
@group(0) @binding(5) var picture: Picture;

// What stands at a place of the rectangle.
fn pixel(at: vec2<i32>) -> vec4<f32> {
    let i = params.begin + at.y * params.pitch + at.x;
    let p = arranged(vec4(f32(plane_0[i.x]), f32(plane_1[i.y]), f32(plane_2[i.z]), f32(plane_3[i.w])));
    return vec4(curve(weighted(p.rgb, p.a)), p.a);
}

@compute @workgroup_size(8, 8)
fn to_texture(@builtin(global_invocation_id) id: vec3<u32>) {
    let at = vec2<i32>(id.xy);
    if at.x < params.width && at.y < params.rows {
        textureStore(picture, params.origin + at, pixel(at));
    }
}

// One triangle over all of the viewport.
@vertex
fn triangle(@builtin(vertex_index) corner: u32) -> @builtin(position) vec4<f32> {
    return vec4(select(-1.0, 3.0, corner == 1u), select(-1.0, 3.0, corner == 2u), 0.0, 1.0);
}

@fragment
fn to_target(@builtin(position) position: vec4<f32>) -> @location(0) vec4<f32> {
    return pixel(vec2<i32>(position.xy) - params.origin);
}
