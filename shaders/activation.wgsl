// The functions fused behind the bias. A kernel's header is made of this file with ACTIVATION set, so that the switch
// is decided when the kernel is compiled.
//
// NaN passes through all of them. A comparison would not do: some compilers turn `select(y, 0.0, y < 0.0)` into a
// maximum, which drops it, and some `exp` never return it. Its bits tell it apart on every device.

const ACTIVATION: u32 = 0u;
// Whether the results are stored as f16.
const NARROW: bool = false;
// ---

fn activate(y: f32, alpha: f32, beta: f32) -> f32 {
    if ACTIVATION == 0u {
        // beta is -0 here, and changes nothing. But sums of which nothing is wanted but their f16 are rounded by RADV
        // inside the loop that adds them up, in each of its turns.
        return select(y, y + beta, NARROW);
    }
    return select(function(y, alpha, beta), y, is_nan(y));
}

fn is_nan(y: f32) -> bool {
    return (bitcast<u32>(y) & 0x7fffffffu) > 0x7f800000u;
}

fn function(y: f32, alpha: f32, beta: f32) -> f32 {
    switch ACTIVATION {
        case 1u: { // relu
            return select(y, 0.0, y < 0.0);
        }
        case 2u: { // leaky_relu, prelu
            return select(y, alpha * y, y < 0.0);
        }
        case 3u: { // clip
            return clip(y, alpha, beta);
        }
        case 4u: { // sigmoid
            return 1.0 / (1.0 + exp(-y));
        }
        case 5u: { // tanh: it is 1 to the last bit from 9.02 on, and exp overflows further out
            return tanh(clip(y, -10.0, 10.0));
        }
        case 6u: { // hard_swish
            return y * clip(alpha * y + beta, 0.0, 1.0);
        }
        case 7u: { // mish: tanh(ln(1 + e)) = (e² + 2e) / (e² + 2e + 2)
            let e = exp(select(y, 20.0, y > 20.0));
            let n = e * (e + 2.0);
            return y * (n / (n + 2.0));
        }
        case 8u: { // gelu
            return 0.5 * y * (1.0 + erf(y * 0.70710678));
        }
        default: {
            return y;
        }
    }
}

fn clip(y: f32, least: f32, greatest: f32) -> f32 {
    let below = select(y, least, y < least);
    return select(below, greatest, y > greatest);
}

// Abramowitz and Stegun 7.1.26: |error| <= 1.5e-7.
fn erf(x: f32) -> f32 {
    let a = select(x, -x, x < 0.0);
    let t = 1.0 / (1.0 + 0.3275911 * a);
    let p = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))));
    let y = 1.0 - p * exp(-a * a);
    return select(y, -y, x < 0.0);
}
