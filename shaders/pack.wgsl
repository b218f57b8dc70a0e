// The weights of `direct` from those of `gather`: one invocation writes four numbers, so that nothing can race.
//
// `gather` has for each output channel a record [bias, taps [group_in_channels][d][h][w], alpha]. `direct` computes
// vectors of up to 4 output channels at once, and has for each vector a record of whole vec4s
// [biases, taps [group_in_channels][d][h][w][channel of the vector], alphas]: it reads a tap of all of them together.
// Channels beyond the group's last are 0, and so is what fills each of the three up. Where its products are of f16, biases
// and alphas are the sum of two vec4s: their first bits, and the others.

// What varies between uses of this file; the host replaces everything above the line of dashes.
alias Factor = f32;
// ---

const ALL_BITS = 0xffffffffu;

struct Params {
    quads: u32,               // to be written
    width: u32,               // output channels of a vector
    lanes: u32,               // what one tap of a vector takes: the width, or 4 for 3; a power of two
    vectors: u32,             // vectors of a group
    channel: u32,             // quads from one input channel to the next in a packed record
    record: u32,              // quads of a packed record
    group_out_channels: u32,
    taps: u32,                // of one input and one output channel
    source_record: u32,
    head: u32,                // quads of the biases, and as many of the alphas
    first_bits: u32,          // of a bias or an alpha those that its first quad has: all, or those that f16 has
    padding_1: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> source: array<f32>;
@group(0) @binding(2) var<storage, read_write> packed: array<vec4<Factor>>;

// Where a quad is from: `taps` numbers of each channel's record in a row, from `origin` on, `lanes` channels beside each
// other; `first` is the place of the quad's first number among them. Of biases and alphas `bits` are those of the number that are kept, or 0
// where only the others are.
struct Part {
    origin: u32,
    taps: u32,
    lanes: u32,
    first: u32,
    bits: u32,
}

fn part_of(at: u32) -> Part {
    if at < params.head {
        return of_head(0u, at);
    }
    if at >= params.record - params.head {
        return of_head(params.source_record - 1u, at - (params.record - params.head));
    }
    let ci = (at - params.head) / params.channel;
    return Part(1u + ci * params.taps, params.taps, params.lanes, (at - params.head - ci * params.channel) * 4u, ALL_BITS);
}

// Quad `at` of the biases or of the alphas; those after the second are 0.
fn of_head(origin: u32, at: u32) -> Part {
    return Part(origin, select(0u, 1u, at < 2u), 4u, 0u, select(0u, params.first_bits, at == 0u));
}

// Number `i` of a quad of a vector.
fn number(vector: u32, part: Part, i: u32) -> Factor {
    let tap = (part.first + i) >> countTrailingZeros(part.lanes);
    let lane = (part.first + i) & (part.lanes - 1u);
    let in_group = vector % params.vectors * params.width + lane;
    if tap >= part.taps || lane >= params.width || in_group >= params.group_out_channels {
        return Factor(0.0);
    }
    let co = vector / params.vectors * params.group_out_channels + in_group;
    let value = source[co * params.source_record + part.origin + tap];
    if part.bits == ALL_BITS {
        return Factor(value);
    }
    // Not the rounding of f16: compilers take what is rounded and widened for what it was.
    let first = bitcast<f32>(bitcast<u32>(value) & params.first_bits);
    return Factor(select(first, value - first, part.bits == 0u));
}

@compute @workgroup_size(64)
fn pack(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let index = id.y * groups.x * 64u + id.x;
    if index < params.quads {
        let vector = index / params.record;
        let part = part_of(index - vector * params.record);
        packed[index] = vec4(
            number(vector, part, 0u),
            number(vector, part, 1u),
            number(vector, part, 2u),
            number(vector, part, 3u),
        );
    }
}
