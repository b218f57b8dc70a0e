// The functions fused behind the bias, and those before the products. A kernel's header is this file with the calls of
// `activate` and `pre_activate` that it needs.
//
// Where a sum takes a product it is by `fma`: a compiler may otherwise round once or twice, and differently in each
// kernel that has the function.
//
// NaN passes through all of them. A comparison would not do: some compilers turn `select(y, 0.0, y < 0.0)` into a
// maximum, which drops it, and some `exp` never return it. Its bits tell it apart on every device.

fn activate(y: f32, alpha: f32, beta: f32) -> f32 { return select(leaky_relu(y, alpha), y, is_nan(y)); }
// ---

fn is_nan(y: f32) -> bool {
    return (bitcast<u32>(y) & 0x7fffffffu) > 0x7f800000u;
}

fn relu(y: f32) -> f32 {
    return select(y, 0.0, y < 0.0);
}

// With a slope for each channel it is prelu.
fn leaky_relu(y: f32, slope: f32) -> f32 {
    return select(y, slope * y, y < 0.0);
}

fn clip(y: f32, least: f32, greatest: f32) -> f32 {
    let below = select(y, least, y < least);
    return select(below, greatest, y > greatest);
}

fn sigmoid(y: f32) -> f32 {
    return 1.0 / (1.0 + exp(-y));
}

// It is 1 to the last bit from 9.02 on, and exp overflows further out.
fn tanh_of(y: f32) -> f32 {
    return tanh(clip(y, -10.0, 10.0));
}

fn hard_swish(y: f32, alpha: f32, beta: f32) -> f32 {
    return y * clip(fma(alpha, y, beta), 0.0, 1.0);
}

// tanh(ln(1 + e)) = (e² + 2e) / (e² + 2e + 2)
fn mish(y: f32) -> f32 {
    let e = exp(select(y, 20.0, y > 20.0));
    let n = e * (e + 2.0);
    return y * (n / fma(e, e + 2.0, 2.0));
}

fn gelu(y: f32) -> f32 {
    return 0.5 * y * (1.0 + erf(y * 0.70710678));
}

fn silu(y: f32) -> f32 {
    return y * sigmoid(y);
}

fn elu(y: f32, alpha: f32) -> f32 {
    return select(y, alpha * (exp(select(y, 0.0, y > 0.0)) - 1.0), y < 0.0);
}

// sin² has the period pi, whose three parts are subtracted so many times from the angle; far out, where that has no digits
// left behind the point, any angle will do, a finite one where it overflows.
fn snake(y: f32, alpha: f32) -> f32 {
    let z = clip(alpha * y, -1e38, 1e38);
    let n = round(z * 0.31830988);
    let r = clip(fma(-n, 6.2771141e-7, fma(-n, 9.6702576e-4, fma(-n, 3.140625, z))), -1.6, 1.6);
    let s = sine(r);
    return select(y + s * s / alpha, y, alpha == 0.0);
}

// The series of the sine, to 6e-8 for angles up to pi / 2: WGSL's own may err by 5e-4.
fn sine(r: f32) -> f32 {
    let q = r * r;
    let p = fma(fma(fma(fma(fma(-2.5052108e-8, q, 2.7557319e-6), q, -1.9841270e-4), q, 8.3333333e-3), q, -0.16666667), q, 1.0);
    return r * p;
}

// Abramowitz and Stegun 7.1.26: |error| <= 1.5e-7.
fn erf(x: f32) -> f32 {
    let a = select(x, -x, x < 0.0);
    let t = 1.0 / fma(0.3275911, a, 1.0);
    let p = t * fma(t, fma(t, fma(t, fma(t, 1.061405429, -1.453152027), 1.421413741), -0.284496736), 0.254829592);
    let y = fma(-p, exp(-a * a), 1.0);
    return select(y, -y, x < 0.0);
}
