// The gradient of the weight, the readable way: one invocation adds up one part of the sum of one weight.
//
// On one axis, input i and tap k land on output o = i*stride + k*dilation - pad_begin. So a weight (ci, co, k) has
// multiplied every input i of its channel ci, and each time the product was added to output o of its channel co. Its
// gradient is the sum, over the items n of the batch and all inputs i whose o lies in the output, of
// x[n, ci, i] * dy[n, co, o], where dy is the gradient of the output.
//
// There are few weights and long sums: the sum is cut into parts, which run side by side. Each leaves its own number in
// `sums`, and `gradient_sum.wgsl` adds these in their order. Only this invocation writes its number, so that nothing can
// race, and the parts follow from the operation, its shape and the class of the device, so that the bits never change.
//
// `weight_tiles` is the same for a tile of weights in an invocation; here a tile is one tap, and a block one channel.
//
// The inputs are counted in segments: at most `segment_positions` neighbours of one row along w. A part is some segments
// that follow each other in one item of the batch, or some whole items. Tensors of 1 or 2 spatial axes have extents of 1 on the missing ones.

// What varies between uses of this file; the host replaces everything above the line of dashes.
alias Elem = f32;
// ---

struct Axis {
    stride: i32,
    dilation: i32,
    pad_begin: i32,
    input_extent: i32,
    output_extent: i32,
    input_stride: i32,      // distances in elements between neighbours along this axis
    gradient_stride: i32,
    first_tile: i32,        // the tiles of taps that this dispatch computes
    tiles: i32,
    padding_1: i32,
    padding_2: i32,
    padding_3: i32,
}

struct Params {
    axes: array<Axis, 3>,         // d, h, w
    group_in_channels: i32,       // channels of one group
    group_out_channels: i32,
    in_blocks: i32,               // blocks of input channels of one group
    first_in_block: i32,          // counted over all groups
    first_out_block: i32,         // blocks of output channels, counted in their group, that this dispatch computes
    out_blocks: i32,
    tiles: i32,                   // the invocations for one part
    invocations: i32,
    first_part: i32,              // of this dispatch
    part_segments: i32,           // the segments of a part
    unit_segments: i32,           // those of one item that is cut into parts, or of the items that make one
    unit_parts: i32,              // the parts of an item, or 1
    segments: i32,                // of the whole batch
    row_segments: i32,            // of one row
    segment_positions: i32,       // the inputs of a segment
    input_batch_stride: i32,
    input_channel_stride: i32,
    gradient_batch_stride: i32,
    gradient_channel_stride: i32,
    input_window: i32,            // the bound window of each buffer begins at this element, counted from the tensor's first
    gradient_window: i32,
    padding_1: i32,
    padding_2: i32,
    padding_3: i32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> input: array<Elem>;
// The gradient of the output.
@group(0) @binding(2) var<storage, read> gradient: array<Elem>;
// For each part, one number for each tile.
@group(0) @binding(3) var<storage, read_write> sums: array<f32>;

fn inside(at: i32, extent: i32) -> bool {
    return u32(at) < u32(extent);
}

// Where input `i` and tap `k` land.
fn landing(axis: i32, i: i32, k: i32) -> i32 {
    return i * params.axes[axis].stride + k * params.axes[axis].dilation - params.axes[axis].pad_begin;
}

// The segments of a part: the first, and the one behind the last.
fn first_segment(part: i32) -> i32 {
    return part / params.unit_parts * params.unit_segments + part % params.unit_parts * params.part_segments;
}

fn past_segment(part: i32) -> i32 {
    let unit = min((part / params.unit_parts + 1) * params.unit_segments, params.segments);
    return min(first_segment(part) + params.part_segments, unit);
}

// --- What stands between the lines of dashes is the beginning of `weight_tiles` too.

// ⌈a / b⌉, at least 0.
fn least(a: i32, b: i32) -> i32 {
    return select((a - 1) / b + 1, 0, a <= 0);
}

@compute @workgroup_size(64)
fn weight_gradient(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let index = i32(id.y * groups.x * 64u + id.x);
    if index >= params.invocations {
        return;
    }
    let tile = index % params.tiles;
    let part = params.first_part + index / params.tiles;

    // Which weight it is.
    var rest = tile;
    let kx = params.axes[2].first_tile + rest % params.axes[2].tiles;
    rest /= params.axes[2].tiles;
    let ky = params.axes[1].first_tile + rest % params.axes[1].tiles;
    rest /= params.axes[1].tiles;
    let kz = params.axes[0].first_tile + rest % params.axes[0].tiles;
    rest /= params.axes[0].tiles;
    let out_block = params.first_out_block + rest % params.out_blocks;
    let ci = params.first_in_block + rest / params.out_blocks;
    let co = ci / params.in_blocks * params.group_out_channels + out_block;
    let input_channel = ci * params.input_channel_stride - params.input_window;
    let gradient_channel = co * params.gradient_channel_stride - params.gradient_window;

    // Of a row, the inputs from `begin` to `end` land in the output.
    let first_landing = landing(2, 0, kx);
    let begin = least(-first_landing, params.axes[2].stride);
    let end = least(params.axes[2].output_extent - first_landing, params.axes[2].stride);

    var sum = 0.0;
    let last = past_segment(part);
    for (var segment = first_segment(part); segment < last; segment++) {
        let row = segment / params.row_segments;
        let first = segment % params.row_segments * params.segment_positions;
        let iy = row % params.axes[1].input_extent;
        let iz = row / params.axes[1].input_extent % params.axes[0].input_extent;
        let n = row / params.axes[1].input_extent / params.axes[0].input_extent;
        let oy = landing(1, iy, ky);
        let oz = landing(0, iz, kz);
        if !inside(oy, params.axes[1].output_extent) || !inside(oz, params.axes[0].output_extent) {
            continue;
        }
        let input_row = input_channel + n * params.input_batch_stride
            + iz * params.axes[0].input_stride + iy * params.axes[1].input_stride;
        let gradient_row = gradient_channel + n * params.gradient_batch_stride
            + oz * params.axes[0].gradient_stride + oy * params.axes[1].gradient_stride;
        let past = min(min(first + params.segment_positions, params.axes[2].input_extent), end);
        for (var ix = max(first, begin); ix < past; ix++) {
            let x = f32(input[input_row + ix * params.axes[2].input_stride]);
            let dy = f32(gradient[gradient_row + landing(2, ix, kx) * params.axes[2].gradient_stride]);
            sum = fma(x, dy, sum);
        }
    }
    sums[part * params.tiles + tile] = sum;
}
