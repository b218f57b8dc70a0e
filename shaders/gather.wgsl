// Transposed convolution, the readable way: one invocation computes one output element.
//
// Seen from the input, each element multiplies the whole kernel and adds the result to the output where it lands: on
// one axis, input i and tap k land on u = i*stride + k*dilation of the full output, of which padding crops the ends,
// so that the output coordinate is o = u - pad_begin. Two inputs may land on the same element: a race.
//
// Seen from the output, the same products are *gathered*: an element looks up the inputs whose windows cover it. Only
// this invocation writes it, so that nothing can race, and it adds in a fixed order, so that the bits never change.
// Which taps are they? Those with k*dilation ≡ u (mod stride). Write u = q*stride + r; then, with
// g = gcd(stride, dilation), there are none where g does not divide r, and otherwise they are k0, k0 + stride/g,
// k0 + 2*stride/g, ..., reading the inputs i0, i0 - dilation/g, i0 - 2*dilation/g, ... No tap is tried in vain.
//
// Tensors of 1 or 2 spatial axes have extents of 1 on the missing ones.

// What varies between uses of this file; the host replaces everything above the line of dashes. Here nothing is done to
// the inputs or the sums, and there is no residual: adding -0 changes no bit.
alias Elem = f32;
fn activate(y: f32, alpha: f32, beta: f32) -> f32 { return y; }
fn pre_activate(y: f32, alpha: f32, beta: f32) -> f32 { return y; }
fn pre_alpha(channel: i32) -> f32 { return params.pre_alpha; }
fn residual_at(at: i32, residual: i32) -> f32 { return -0.0; }
// ---

struct Axis {
    stride: i32,
    dilation: i32,
    gcd: i32,            // of stride and dilation
    tap_step: i32,       // stride/gcd: from one tap of a phase to the next
    input_step: i32,     // dilation/gcd: from the input that a tap reads back to the one that the next tap reads
    inverse: i32,        // of input_step modulo tap_step: it leads from a phase to its first tap
    kernel: i32,
    pad_begin: i32,
    input_extent: i32,
    input_stride: i32,   // distances in elements between neighbours along this axis
    weight_stride: i32,
    output_stride: i32,
    residual_stride: i32,
    output_begin: i32,   // the part of the output that this dispatch computes
    output_extent: i32,
    taps_begin: i32,     // of an element's taps, those that this dispatch adds up
    taps_end: i32,
    decimation: i32,     // of the full output every so many elements are kept: 1, unless this is an ordinary convolution
    padding_1: i32,
    padding_2: i32,
}

struct Params {
    axes: array<Axis, 3>,         // d, h, w
    batch_begin: i32,
    batch_extent: i32,
    channel_begin: i32,           // output channels
    channel_extent: i32,
    group_in_channels: i32,       // channels of one group
    group_out_channels: i32,
    input_channel_begin: i32,     // the part of a group's input channels that this dispatch adds up
    input_channel_end: i32,
    input_batch_stride: i32,
    input_channel_stride: i32,
    output_batch_stride: i32,
    output_channel_stride: i32,
    residual_batch_stride: i32,
    residual_channel_stride: i32,
    record_stride: i32,           // from one output channel's record in `weights` to the next
    weight_channel_stride: i32,   // from one input channel to the next inside a record
    input_window: i32,            // the bound window of each buffer begins at this element, counted from the tensor's first
    weight_window: i32,
    output_window: i32,
    residual_window: i32,
    first_part: i32,              // whether this dispatch adds the first products, and so begins with the bias
    last_part: i32,               // whether it adds the last ones, and so finishes the element
    alpha: f32,                   // parameters of the activation; alpha is in the record where it varies by channel
    beta: f32,
    alpha_in_record: i32,
    pre_alpha: f32,               // parameters of the activation of the inputs, where all channels have the same
    pre_beta: f32,
    channels_fastest: i32,        // whether neighbouring invocations have neighbouring channels or columns
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> input: array<Elem>;
// For each output channel a record: its bias, its taps [group_in_channels][d][h][w], its alpha.
@group(0) @binding(2) var<storage, read> weights: array<f32>;
@group(0) @binding(3) var<storage, read_write> output: array<Elem>;
// Sums that a later dispatch continues, where one dispatch cannot add all products of an element.
@group(0) @binding(4) var<storage, read_write> partial: array<f32>;

// The taps of one axis that reach an output coordinate and lie inside the input, as far as this dispatch adds them.
struct Taps {
    count: i32,
    input: i32,   // the input element that the first of them reads
    tap: i32,     // the first of them
}

fn floor_div(a: i32, b: i32) -> i32 {
    return select(a, a - b + 1, a < 0) / b;
}

fn taps_of(axis: Axis, o: i32) -> Taps {
    let u = o * axis.decimation + axis.pad_begin;
    let q = floor_div(u, axis.stride);
    let r = u - q * axis.stride;
    if r % axis.gcd != 0 {
        return Taps(0, 0, 0);
    }
    let k0 = i32(u32(r / axis.gcd) * u32(axis.inverse) % u32(axis.tap_step));
    let i0 = q - (k0 * axis.dilation - r) / axis.stride;
    // Tap number t reads input i0 - t*input_step: skip those past the input's end, stop at its beginning.
    let past_the_end = max(i0 - axis.input_extent + 1, 0);
    let skip = (past_the_end + axis.input_step - 1) / axis.input_step;
    let in_kernel = floor_div(axis.kernel - 1 - k0, axis.tap_step) + 1;
    let in_input = floor_div(i0, axis.input_step) + 1;
    let first = skip + axis.taps_begin;
    let end = min(min(in_kernel, in_input), skip + axis.taps_end);
    return Taps(end - first, i0 - first * axis.input_step, k0 + first * axis.tap_step);
}

// Where an element lies.
struct Place {
    n: i32,
    co: i32,
    o: vec3<i32>,   // d, h, w
}

fn place_of(index: i32) -> Place {
    let extent = vec3(params.axes[0].output_extent, params.axes[1].output_extent, params.axes[2].output_extent);
    let begin = vec3(params.axes[0].output_begin, params.axes[1].output_begin, params.axes[2].output_begin);
    var rest = index;
    var channel = 0;
    if params.channels_fastest != 0 {
        channel = rest % params.channel_extent;
        rest /= params.channel_extent;
    }
    let ox = rest % extent[2];
    rest /= extent[2];
    let oy = rest % extent[1];
    rest /= extent[1];
    let oz = rest % extent[0];
    rest /= extent[0];
    if params.channels_fastest == 0 {
        channel = rest % params.channel_extent;
        rest /= params.channel_extent;
    }
    return Place(params.batch_begin + rest, params.channel_begin + channel, begin + vec3(oz, oy, ox));
}

// `sum` plus the products of one element's taps with its inputs, over this dispatch's taps and input channels.
fn gather(place: Place, record: i32, sum: f32) -> f32 {
    let z = taps_of(params.axes[0], place.o[0]);
    let y = taps_of(params.axes[1], place.o[1]);
    let x = taps_of(params.axes[2], place.o[2]);
    let input_step = vec3(step_in_input(params.axes[0]), step_in_input(params.axes[1]), step_in_input(params.axes[2]));
    let weight_step = vec3(step_in_taps(params.axes[0]), step_in_taps(params.axes[1]), step_in_taps(params.axes[2]));

    let first_channel = place.co / params.group_out_channels * params.group_in_channels + params.input_channel_begin;
    var input_channel = place.n * params.input_batch_stride
        + first_channel * params.input_channel_stride
        + z.input * params.axes[0].input_stride
        + y.input * params.axes[1].input_stride
        + x.input * params.axes[2].input_stride
        - params.input_window;
    var weight_channel = record + 1
        + params.input_channel_begin * params.weight_channel_stride
        + z.tap * params.axes[0].weight_stride
        + y.tap * params.axes[1].weight_stride
        + x.tap * params.axes[2].weight_stride;

    var total = sum;
    for (var ci = params.input_channel_begin; ci < params.input_channel_end; ci++) {
        let alpha = pre_alpha(first_channel - params.input_channel_begin + ci);
        for (var tz = 0; tz < z.count; tz++) {
            for (var ty = 0; ty < y.count; ty++) {
                var i = input_channel + tz * input_step[0] + ty * input_step[1];
                var w = weight_channel + tz * weight_step[0] + ty * weight_step[1];
                for (var tx = 0; tx < x.count; tx++) {
                    total = fma(pre_activate(f32(input[i]), alpha, params.pre_beta), weights[w], total);
                    i += input_step[2];
                    w += weight_step[2];
                }
            }
        }
        input_channel += params.input_channel_stride;
        weight_channel += params.weight_channel_stride;
    }
    return total;
}

fn step_in_input(axis: Axis) -> i32 {
    return -axis.input_step * axis.input_stride;
}

fn step_in_taps(axis: Axis) -> i32 {
    return axis.tap_step * axis.weight_stride;
}

fn finish(place: Place, record: i32, sum: f32) {
    var alpha = params.alpha;
    if params.alpha_in_record != 0 {
        alpha = weights[record + params.record_stride - 1];
    }
    let at = place.n * params.output_batch_stride
        + place.co * params.output_channel_stride
        + place.o[0] * params.axes[0].output_stride
        + place.o[1] * params.axes[1].output_stride
        + place.o[2] * params.axes[2].output_stride
        - params.output_window;
    let residual = place.n * params.residual_batch_stride
        + place.co * params.residual_channel_stride
        + place.o[0] * params.axes[0].residual_stride
        + place.o[1] * params.axes[1].residual_stride
        + place.o[2] * params.axes[2].residual_stride
        - params.residual_window;
    output[at] = Elem(activate(sum + residual_at(at, residual), alpha, params.beta));
}

fn element_count() -> i32 {
    return params.batch_extent * params.channel_extent * params.axes[0].output_extent
        * params.axes[1].output_extent * params.axes[2].output_extent;
}

// All products at once.
@compute @workgroup_size(64)
fn whole(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let index = i32(id.y * groups.x * 64u + id.x);
    if index >= element_count() {
        return;
    }
    let place = place_of(index);
    let record = place.co * params.record_stride - params.weight_window;
    finish(place, record, gather(place, record, weights[record]));
}

// Some of the products: continues the sums of the dispatch before.
@compute @workgroup_size(64)
fn part(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let index = i32(id.y * groups.x * 64u + id.x);
    if index >= element_count() {
        return;
    }
    let place = place_of(index);
    let record = place.co * params.record_stride - params.weight_window;
    var sum = 0.0;
    if params.first_part != 0 {
        sum = weights[record];
    } else {
        sum = partial[index];
    }
    sum = gather(place, record, sum);
    if params.last_part != 0 {
        finish(place, record, sum);
    } else {
        partial[index] = sum;
    }
}
