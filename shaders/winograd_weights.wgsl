// The weights of Winograd's products: one invocation computes one number, so that nothing can race.
//
// It reads the taps of a phase from `gather`'s record of an output channel, [bias, taps [in_channels][d][h][w], alpha], and
// writes the number that they have at a point into the record of a product's output channel, [bias, taps
// [in_channels][d], alpha], which is what `gather` and `pack` read for an operation with a group of channels for each
// class of phases and point: in a group, the phases of the class one after another, each with all output channels. The
// records' biases and alphas stay 0.
//
// What points, classes and phases are stands in src/winograd.rs.

struct Filter {
    kernel: array<vec4<f32>, 6>,  // from the taps of a phase to each point
    taps: u32,
    stride: u32,
    residue: u32,                 // of the padding, modulo the stride
    points: u32,
    classes: u32,
    phases: u32,                  // of a class
    padding_1: u32,
    padding_2: u32,
}

struct Params {
    filters: array<Filter, 2>,    // h, w
    elements: u32,
    depth: u32,                   // taps along d
    in_channels: u32,
    out_channels: u32,
    rows: u32,                    // taps along h and w
    columns: u32,
    source_record: u32,           // the distances between records
    target_record: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> source: array<f32>;
@group(0) @binding(2) var<storage, read_write> points: array<f32>;

// The tap of the kernel that is number `tap` of a phase: the last one meets the first input of a tile.
fn tap_of(axis: u32, phase: u32, tap: u32) -> u32 {
    let stride = params.filters[axis].stride;
    return (phase + params.filters[axis].residue) % stride + stride * (params.filters[axis].taps - 1u - tap);
}

@compute @workgroup_size(64)
fn weights(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let index = id.y * groups.x * 64u + id.x;
    if index >= params.elements {
        return;
    }
    let z = index % params.depth;
    let ci = index / params.depth % params.in_channels;
    let row = index / params.depth / params.in_channels;      // an output channel of the products

    let co = row % params.out_channels;
    var rest = row / params.out_channels;
    let phase_x = rest % params.filters[1].phases;
    rest /= params.filters[1].phases;
    let phase_y = rest % params.filters[0].phases;
    rest /= params.filters[0].phases;
    let point_x = rest % params.filters[1].points;
    rest /= params.filters[1].points;
    let point_y = rest % params.filters[0].points;
    rest /= params.filters[0].points;
    let x = rest % params.filters[1].classes * params.filters[1].phases + phase_x;
    let y = rest / params.filters[1].classes * params.filters[0].phases + phase_y;

    let first = co * params.source_record + 1u + (ci * params.depth + z) * params.rows * params.columns;
    var sum = 0.0;
    for (var i = 0u; i < params.filters[0].taps; i++) {
        let taps = first + tap_of(0u, y, i) * params.columns;
        var along_w = 0.0;
        for (var j = 0u; j < params.filters[1].taps; j++) {
            along_w = fma(params.filters[1].kernel[point_x][j], source[taps + tap_of(1u, x, j)], along_w);
        }
        sum = fma(params.filters[0].kernel[point_y][i], along_w, sum);
    }
    points[row * params.target_record + 1u + ci * params.depth + z] = sum;
}
