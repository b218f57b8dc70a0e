// Does the driver run a loop to its end? The value after each iteration differs from all before it, and no compiler finds
// it without running the loop.

@group(0) @binding(0) var<storage, read> iterations: array<f32>;
@group(0) @binding(1) var<storage, read_write> value: array<f32>;

@compute @workgroup_size(1)
fn main() {
    var state = 0u;
    for (var i = 0; i < i32(iterations[0]); i++) {
        state = (state * 69069u + 1u) & 0xffffffu;
    }
    value[0] = f32(state);
}
