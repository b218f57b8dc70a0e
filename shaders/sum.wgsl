// The sums of a split kernel, added up: one invocation computes one output element.
//
// Where a layer has many input channels and few outputs, another kernel splits the channels, so that more invocations
// work side by side: each split leaves its sums, in the order of the output, in a part of `sums` of its own. Here they
// are added to the bias, from the first split to the last, so that the bits never change; the element is written by
// this invocation alone, so that nothing can race.

// What varies between uses of this file; the host replaces everything above the line of dashes.
alias Elem = f32;
fn activate(y: f32, alpha: f32, beta: f32) -> f32 { return y; }
fn residual_at(at: i32, residual: i32) -> f32 { return -0.0; }
// ---

// Batch, channels, d, h and w, those of the nearest neighbours in memory first.
struct Axis {
    begin: i32,           // the part of the output that this dispatch computes
    extent: i32,
    output_stride: i32,   // distances in elements between neighbours along this axis
    residual_stride: i32,
    record_stride: i32,   // the same in `weights`: 0 but for the channels
    padding_1: i32,
    padding_2: i32,
    padding_3: i32,
}

struct Params {
    axes: array<Axis, 5>,
    elements: i32,
    splits: i32,
    split_stride: i32,    // from the sums of one split to those of the next
    output_window: i32,   // the bound window of the output begins at this element, counted from the tensor's first
    residual_window: i32,
    slope: i32,           // from the bias to the slope in a record of `weights`
    beta: f32,            // parameter of the activation; the other one is in the record
    padding: i32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> sums: array<f32>;
// For each output channel a record that begins with its bias and ends with its slope.
@group(0) @binding(2) var<storage, read> weights: array<f32>;
@group(0) @binding(3) var<storage, read_write> output: array<Elem>;

@compute @workgroup_size(64)
fn sum(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let index = i32(id.y * groups.x * 64u + id.x);
    if index >= params.elements {
        return;
    }
    var rest = index;
    var at = -params.output_window;
    var residual = -params.residual_window;
    var record = 0;
    for (var a = 0; a < 5; a++) {
        let place = params.axes[a].begin + rest % params.axes[a].extent;
        rest /= params.axes[a].extent;
        at += place * params.axes[a].output_stride;
        residual += place * params.axes[a].residual_stride;
        record += place * params.axes[a].record_stride;
    }
    var total = weights[record];
    for (var split = 0; split < params.splits; split++) {
        total += sums[split * params.split_stride + at];
    }
    output[at] = Elem(activate(total + residual_at(at, residual), weights[record + params.slope], params.beta));
}
