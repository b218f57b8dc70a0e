struct Axis {
    origin: i32,          // the input that the first tile reads first
    extent: i32,          // of the tensor
    stride: i32,          // distance in elements between neighbours along this axis
    padding: i32,
}

struct Params {
    axes: array<Axis, 2>,         // h, w
    invocations: i32,             // for one channel
    first_tile: i32,              // of the chunk
    tiles_x: i32,                 // tiles of a row, and rows of an item of the batch
    tiles_y: i32,
    slice: i32,                   // between the kernels, from one slice along d to the next,
    channel: i32,                 // from one channel to the next,
    phase: i32,                   // from one phase of a class to the next,
    point: i32,                   // and from one point to the next
    batch_stride: i32,            // of the tensor
    channel_stride: i32,
    slice_stride: i32,
    record: i32,                  // from one output channel's record in `weights` to the next
    beta: f32,                    // parameter of the activation; the other one is in the record
    padding_1: i32,
    padding_2: i32,
    padding_3: i32,
}

@group(0) @binding(0) var<uniform> params: Params;

fn inside(at: i32, extent: i32) -> bool {
    return u32(at) < u32(extent);
}

// The distance of a coordinate from the first, kept inside the tensor.
fn offset(at: i32, axis: i32) -> i32 {
    return clamp(at, 0, params.axes[axis].extent - 1) * params.axes[axis].stride;
}
