// One invocation computes one element of a tensor from the elements at the same place of one or two others: an activation
// of sums that were kept, or the gradient of sums from that of their activation.

// What varies between uses of this file; the host replaces everything above the line of dashes.
alias Elem = f32;
@group(0) @binding(2) var<storage, read> second: array<Elem>;
fn second_at(index: u32) -> f32 { return f32(second[index]); }
fn value(first: f32, second: f32, alpha: f32, beta: f32) -> f32 { return first * second; }
// ---

struct Params {
    elements: u32,         // of this dispatch
    begin: u32,            // the first of them, counted from that of its item of the batch
    channel_stride: u32,
    channels: u32,
    beta: f32,             // parameter of the activation; the other one is in `alphas`
    padding_1: u32,
    padding_2: u32,
    padding_3: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> first: array<Elem>;
@group(0) @binding(3) var<storage, read_write> result: array<Elem>;
// One for each channel.
@group(0) @binding(4) var<storage, read> alphas: array<f32>;

@compute @workgroup_size(64)
fn pointwise(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let index = id.y * groups.x * 64u + id.x;
    if index >= params.elements {
        return;
    }
    let alpha = alphas[(params.begin + index) / params.channel_stride % params.channels];
    result[index] = Elem(value(f32(first[index]), second_at(index), alpha, params.beta));
}
