struct Axis {
    first_cell: i32,
    boxes: i32,           // how many boxes lie side by side
    reach: i32,           // how far before its cells the inputs of a box begin
    stride: i32,
    pad_begin: i32,
    input_extent: i32,
    input_stride: i32,    // distances in elements between neighbours along this axis
    output_extent: i32,
    output_stride: i32,
    padding_1: i32,
    padding_2: i32,
    padding_3: i32,
}

struct Params {
    axes: array<Axis, 3>,         // d, h, w
    boxes: i32,                   // of all axes and the batch
    phases: i32,
    pairs: i32,                   // phases times blocks of output channels of a group
    sets: i32,                    // PAIRS of them each
    taps: i32,
    group_in_channels: i32,       // channels of one group
    group_out_channels: i32,
    packed_in_channels: i32,      // those in `weights`, some of them zeros
    input_batch_stride: i32,
    input_channel_stride: i32,
    output_batch_stride: i32,
    output_channel_stride: i32,
    record_stride: i32,
    beta: f32,                    // parameter of the activation; the other one is in the record
    padding_1: i32,
    padding_2: i32,
}

struct Uniforms {
    params: Params,
    // For each phase where its taps begin and end in this table, and its place in a cell (d, h, w). Then the taps:
    // the number of each, and the place in the box of the input that it reads for the first cell.
    table: array<vec4<i32>, ENTRIES>,
}

@group(0) @binding(0) var<uniform> uniforms: Uniforms;
@group(0) @binding(1) var<storage, read> input: array<Elem>;
// For each block of output channels, each tap and each SIDE input channels: [channels of the block][in channels].
@group(0) @binding(2) var<storage, read> weights: array<Factor>;
// For each output channel a record that begins with its bias and ends with the activation's alpha.
@group(0) @binding(3) var<storage, read> records: array<f32>;
@group(0) @binding(4) var<storage, read_write> output: array<Elem>;

// The inputs of the box, the channels of each together.
var<workgroup> inputs: array<Factor, INPUTS>;
// For each pair the channels of one matrix of cells, the cells of each together.
var<workgroup> results: array<f32, RESULTS>;

fn inside(value: i32, extent: i32) -> bool {
    return value >= 0 && value < extent;
}

// Brings the inputs of CHUNK channels, the first of them at element `base` of the tensor and `left` of them there.
fn bring(lane: i32, base: i32, left: i32, cell: vec3<i32>) {
    for (var e = lane; e < POSITIONS * CHUNK; e += WORKGROUP) {
        let place = e % POSITIONS;
        let channel = e / POSITIONS;
        let z = cell.x - uniforms.params.axes[0].reach + place / EXTENT_X / EXTENT_Y;
        let y = cell.y - uniforms.params.axes[1].reach + place / EXTENT_X % EXTENT_Y;
        let x = cell.z - uniforms.params.axes[2].reach + place % EXTENT_X;
        let has = channel < left && inside(z, uniforms.params.axes[0].input_extent)
            && inside(y, uniforms.params.axes[1].input_extent) && inside(x, uniforms.params.axes[2].input_extent);
        let at = base + channel * uniforms.params.input_channel_stride + z * uniforms.params.axes[0].input_stride
            + y * uniforms.params.axes[1].input_stride + x * uniforms.params.axes[2].input_stride;
        inputs[place * PITCH + channel] = select(Factor(0.0), Factor(input[select(0, at, has)]), has);
    }
}

// Finishes the results of so many pairs from the first one on, for the cells from `cell` on along w.
fn finish(lane: i32, first: i32, count: i32, n: i32, channel_group: i32, cell: vec3<i32>) {
    for (var e = lane; e < count * SIDE * CHANNELS; e += WORKGROUP) {
        let pair = first + e / (SIDE * CHANNELS);
        let channel = pair / uniforms.params.phases * CHANNELS + e / SIDE % CHANNELS;
        let place = uniforms.table[2 * (pair % uniforms.params.phases) + 1];
        let oz = cell.x * uniforms.params.axes[0].stride + place.x - uniforms.params.axes[0].pad_begin;
        let oy = cell.y * uniforms.params.axes[1].stride + place.y - uniforms.params.axes[1].pad_begin;
        let ox = (cell.z + e % SIDE) * uniforms.params.axes[2].stride + place.z - uniforms.params.axes[2].pad_begin;
        if pair < uniforms.params.pairs && channel < uniforms.params.group_out_channels
            && inside(oz, uniforms.params.axes[0].output_extent) && inside(oy, uniforms.params.axes[1].output_extent)
            && inside(ox, uniforms.params.axes[2].output_extent) {
            let co = channel_group * uniforms.params.group_out_channels + channel;
            let record = co * uniforms.params.record_stride;
            let at = n * uniforms.params.output_batch_stride + co * uniforms.params.output_channel_stride
                + oz * uniforms.params.axes[0].output_stride + oy * uniforms.params.axes[1].output_stride
                + ox * uniforms.params.axes[2].output_stride;
            let alpha = records[record + uniforms.params.record_stride - 1];
            let own = pair % PAIRS * SIDE * CHANNELS + e % (SIDE * CHANNELS);
            output[at] = Elem(activate(results[own] + records[record], alpha, uniforms.params.beta));
        }
    }
}

@compute @workgroup_size(WORKGROUP)
fn matrix(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
    @builtin(subgroup_id) subgroup: u32,
    @builtin(num_subgroups) subgroups: u32,
) {
    let index = i32(group.y * groups.x + group.x);
    if index >= uniforms.params.boxes {
        return;
    }
    let lane = i32(local);
    let row = index / uniforms.params.axes[2].boxes;
    let plane = row / uniforms.params.axes[1].boxes;
    let n = plane / uniforms.params.axes[0].boxes;
    let cell = vec3(
        uniforms.params.axes[0].first_cell + plane % uniforms.params.axes[0].boxes * CELLS_Z,
        uniforms.params.axes[1].first_cell + row % uniforms.params.axes[1].boxes * CELLS_Y,
        uniforms.params.axes[2].first_cell + index % uniforms.params.axes[2].boxes * CELLS_X,
    );
    let first_pair = i32(group.z) % uniforms.params.sets * PAIRS;
    let channel_group = i32(group.z) / uniforms.params.sets;
    let base = n * uniforms.params.input_batch_stride
        + channel_group * uniforms.params.group_in_channels * uniforms.params.input_channel_stride;
    let blocks = uniforms.params.pairs / uniforms.params.phases;
    for (var turn = 0; turn < PAIRS; turn += i32(subgroups)) {
        // A subgroup without a pair computes another's again, and does not keep it.
        let has_pair = turn + i32(subgroup) < PAIRS;
        let slot = min(turn + i32(subgroup), PAIRS - 1);
        let pair = min(first_pair + slot, uniforms.params.pairs - 1);
        let first_tap = uniforms.table[2 * (pair % uniforms.params.phases)].x;
        let last_tap = uniforms.table[2 * (pair % uniforms.params.phases)].y;
        let block = (channel_group * blocks + pair / uniforms.params.phases) * uniforms.params.taps;
