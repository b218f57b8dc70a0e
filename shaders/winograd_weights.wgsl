// The weights of Winograd's products: one invocation transforms one kernel of 3x3 taps, so that nothing can race.
//
// It reads them from `gather`'s record of an output channel, [bias, taps [in_channels][3][3], alpha], and writes one
// number for each of the 36 points into the record of that point and output channel, [bias, in_channels, alpha], which
// is what `gather` and `pack` read for an operation with one tap and 36 groups. Its bias and alpha stay 0.

struct Params {
    in_channels: u32,
    out_channels: u32,
    padding_1: u32,
    padding_2: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> source: array<f32>;
@group(0) @binding(2) var<storage, read_write> points: array<f32>;

// From 3 taps to the 6 points; what they are chosen by stands in src/winograd.rs, and a test compares them.
fn at_points(g: vec3<f32>) -> array<f32, 6> {
    return array<f32, 6>(
        g.x,
        dot(g, vec3(-0.6666667, -0.47140452, -0.33333334)),
        dot(g, vec3(-0.6666667, 0.47140452, -0.33333334)),
        dot(g, vec3(0.16666667, 0.23570226, 0.33333334)),
        dot(g, vec3(0.16666667, -0.23570226, 0.33333334)),
        g.z,
    );
}

@compute @workgroup_size(64)
fn weights(@builtin(global_invocation_id) id: vec3<u32>) {
    let ci = id.x;
    let co = id.y;
    if ci >= params.in_channels {
        return;
    }
    // The kernel is turned: the last tap meets the first input of a patch.
    let taps = co * (params.in_channels * 9u + 2u) + 1u + ci * 9u;
    var columns: array<array<f32, 6>, 3>;
    for (var x = 0u; x < 3u; x++) {
        let tap = taps + 2u - x;
        columns[x] = at_points(vec3(source[tap + 6u], source[tap + 3u], source[tap]));
    }
    for (var y = 0u; y < 6u; y++) {
        var row = at_points(vec3(columns[0][y], columns[1][y], columns[2][y]));
        for (var x = 0u; x < 6u; x++) {
            let record = ((y * 6u + x) * params.out_channels + co) * (params.in_channels + 2u);
            points[record + 1u + ci] = row[x];
        }
    }
}
