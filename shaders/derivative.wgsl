// The derivatives of the functions in activation.wgsl, at their argument z, or told from their value y. At a kink they are
// PyTorch's. A kernel's header is this file behind activation.wgsl.

fn relu_slope(z: f32) -> f32 {
    return select(1.0, 0.0, z <= 0.0);
}

fn leaky_relu_slope(z: f32, slope: f32) -> f32 {
    return select(slope, 1.0, z > 0.0);
}

fn clip_slope(z: f32, least: f32, greatest: f32) -> f32 {
    return select(0.0, 1.0, z >= least && z <= greatest);
}

fn sigmoid_slope(z: f32) -> f32 {
    return sigmoid(z) * sigmoid(-z);
}

fn sigmoid_slope_at_value(y: f32) -> f32 {
    return y * (1.0 - y);
}

fn tanh_slope(z: f32) -> f32 {
    return tanh_slope_at_value(tanh_of(z));
}

fn tanh_slope_at_value(y: f32) -> f32 {
    return fma(-y, y, 1.0);
}

fn hard_swish_slope(z: f32, alpha: f32, beta: f32) -> f32 {
    let inside = fma(alpha, z, beta);
    let slope = fma(2.0 * alpha, z, beta);
    return select(select(slope, 1.0, inside >= 1.0), 0.0, inside <= 0.0);
}

// With e = exp(z) and n = e² + 2e, tanh(ln(1 + e)) is n / (n + 2), and 1 less its square 4(n + 1) / (n + 2)².
fn mish_slope(z: f32) -> f32 {
    let least = select(z, 20.0, z > 20.0);
    let e = exp(least);
    let n = e * (e + 2.0);
    let more = fma(e, e + 2.0, 2.0);
    return fma(least * (e / (1.0 + e)), 4.0 * fma(e, e + 2.0, 1.0) / (more * more), n / more);
}

fn gelu_slope(z: f32) -> f32 {
    return fma(z * 0.39894228, exp(-0.5 * z * z), 0.5 * (1.0 + erf(z * 0.70710678)));
}

fn silu_slope(z: f32) -> f32 {
    return sigmoid(z) * fma(z, sigmoid(-z), 1.0);
}

fn elu_slope(z: f32, alpha: f32) -> f32 {
    return select(1.0, alpha * exp(select(z, 0.0, z > 0.0)), z <= 0.0);
}

fn elu_slope_at_value(y: f32, alpha: f32) -> f32 {
    return select(1.0, y + alpha, y <= 0.0);
}

// 1 + sin(2·alpha·z), the angle reduced as that of `snake`: sin(2r) = 2·sin(r)·cos(r). 1 at an infinity, which `snake` keeps.
fn snake_slope(z: f32, alpha: f32) -> f32 {
    let angle = clip(alpha * z, -1e38, 1e38);
    let n = round(angle * 0.31830988);
    let r = clip(fma(-n, 6.2771141e-7, fma(-n, 9.6702576e-4, fma(-n, 3.140625, angle))), -1.6, 1.6);
    let slope = fma(2.0 * sine(r), sine(1.5707963 - abs(r)), 1.0);
    return select(slope, 1.0, alpha == 0.0 || abs(z) > 3.4028234e38);
}
