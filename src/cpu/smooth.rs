//! The smooth activations in f32, and their derivatives: straight lines of arithmetic and selections, which the compiler turns into vectors.
//!
//! All are within 4 units in the last place of 1 or of the result, whichever is larger (see the test), and closer
//! where the result is small; NaN stays NaN.

/// `y` within these bounds, by comparison, so that NaN stays.
#[inline(always)]
pub(super) fn clip(y: f32, min: f32, max: f32) -> f32 {
    let y = if y < min { min } else { y };
    if y > max { max } else { y }
}

/// eˣ; 0 below −87, and no larger than e⁸⁸.
#[inline(always)]
pub(super) fn exp(x: f32) -> f32 {
    // Adding it leaves the nearest integer in the last bits of the sum.
    const ROUND: f32 = 12_582_912.0;
    const LN_2_HIGH: f32 = 0.693_359_4;
    const LN_2_LOW: f32 = -2.121_944_4e-4;
    let clipped = clip(x, -87.0, 88.0);
    let rounded = clipped * std::f32::consts::LOG2_E + ROUND;
    let power = f32::from_bits(rounded.to_bits().wrapping_sub(ROUND.to_bits()).wrapping_add(127) << 23);
    let n = rounded - ROUND;
    let r = clipped - n * LN_2_HIGH - n * LN_2_LOW;
    // Cephes' polynomial for e^r on |r| ≤ ln(2)/2.
    let p = 1.987_569_1e-4;
    let p = p * r + 1.398_199_9e-3;
    let p = p * r + 8.333_452e-3;
    let p = p * r + 4.166_579_6e-2;
    let p = p * r + 1.666_666_5e-1;
    let p = p * r + 0.5;
    let y = (p * r * r + r + 1.0) * power;
    if x < -87.0 { 0.0 } else { y }
}

/// `1 / (1 + exp(−x))`
#[inline(always)]
pub(super) fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// The hyperbolic tangent.
#[inline(always)]
pub(super) fn tanh(x: f32) -> f32 {
    // Cephes' polynomial near 0, where the other form would lose the last digits.
    let z = x * x;
    let p = -5.704_988_7e-3;
    let p = p * z + 2.063_909e-2;
    let p = p * z - 5.373_971_6e-2;
    let p = p * z + 1.333_144_2e-1;
    let p = p * z - 3.333_328e-1;
    let near = p * z * x + x;
    let magnitude = x.abs();
    let far = 1.0 - 2.0 / (exp(2.0 * magnitude) + 1.0);
    let far = if x < 0.0 { -far } else { far };
    if magnitude < 0.625 { near } else { far }
}

/// `x·tanh(ln(1 + exp(x)))`
#[inline(always)]
pub(super) fn mish(x: f32) -> f32 {
    // With e = exp(x) the hyperbolic tangent is (e² + 2e) / (e² + 2e + 2), which is 1 from x = 20 on.
    let e = exp(if x > 20.0 { 20.0 } else { x });
    let n = e * (e + 2.0);
    x * (n / (n + 2.0))
}

/// `Φ(x)`, the normal distribution function, through erfc.
#[inline(always)]
fn normal(x: f32) -> f32 {
    // Abramowitz and Stegun 7.1.26: erfc(z) for z ≥ 0 with an absolute error of 1.5e-7.
    let z = x.abs() * std::f32::consts::FRAC_1_SQRT_2;
    let t = 1.0 / (1.0 + 0.327_591_1 * z);
    let p = 1.061_405_4;
    let p = p * t - 1.453_152;
    let p = p * t + 1.421_413_7;
    let p = p * t - 0.284_496_74;
    let p = p * t + 0.254_829_6;
    let erfc = p * t * exp(-z * z);
    if x < 0.0 { 0.5 * erfc } else { 1.0 - 0.5 * erfc }
}

/// `x·Φ(x)`
#[inline(always)]
pub(super) fn gelu(x: f32) -> f32 {
    x * normal(x)
}

/// `x / (1 + exp(−x))`
#[inline(always)]
pub(super) fn silu(x: f32) -> f32 {
    x * vanishing(x)
}

/// The sigmoid, and 0 where it is 0 in f32 but exp no longer grows: so that a product with −∞ gives NaN, as everywhere.
#[inline(always)]
fn vanishing(x: f32) -> f32 {
    if x < -88.0 { 0.0 } else { sigmoid(x) }
}

/// `x` where it is positive, else `alpha·(exp(x) − 1)`.
#[inline(always)]
pub(super) fn elu(x: f32, alpha: f32) -> f32 {
    if x < 0.0 { alpha * (exp(x) - 1.0) } else { x }
}

/// `x + sin²(alpha·x) / alpha`; `x` where alpha is 0.
#[inline(always)]
pub(super) fn snake(x: f32, alpha: f32) -> f32 {
    let sine = sine(half_turn(alpha * x));
    if alpha == 0.0 { x } else { x + sine * sine / alpha }
}

/// An angle, less the nearest multiple of π. Far out, where it has no digits left behind the point, any will do, a finite
/// one where it overflows.
#[inline(always)]
fn half_turn(angle: f32) -> f32 {
    // Adding it leaves the nearest integer in the last bits of the sum.
    const ROUND: f32 = 12_582_912.0;
    // π in parts of which the first two have few digits, so that few multiples of them are rounded.
    const PI: [f32; 3] = [3.140_625, 9.670_257_6e-4, 6.277_114e-7];
    let z = clip(angle, -1e38, 1e38);
    let n = (z * std::f32::consts::FRAC_1_PI + ROUND) - ROUND;
    clip(z - n * PI[0] - n * PI[1] - n * PI[2], -1.6, 1.6)
}

/// The sine on |r| ≤ π/2: its series, to 6e-8.
#[inline(always)]
fn sine(r: f32) -> f32 {
    let r2 = r * r;
    let p = -1.0 / 39_916_800.0;
    let p = p * r2 + 1.0 / 362_880.0;
    let p = p * r2 - 1.0 / 5_040.0;
    let p = p * r2 + 1.0 / 120.0;
    let p = p * r2 - 1.0 / 6.0;
    p * r2 * r + r
}

/// The derivative of [`mish`].
#[inline(always)]
pub(super) fn mish_slope(x: f32) -> f32 {
    let e = exp(if x > 20.0 { 20.0 } else { x });
    let n = e * (e + 2.0);
    let tanh = n / (n + 2.0);
    tanh + x * vanishing(x) * (1.0 - tanh * tanh)
}

/// The derivative of [`gelu`].
#[inline(always)]
pub(super) fn gelu_slope(x: f32) -> f32 {
    // 1 / √(2π)
    const DENSITY: f32 = 0.398_942_3;
    normal(x) + x * (exp(-0.5 * x * x) * DENSITY)
}

/// The derivative of [`silu`].
#[inline(always)]
pub(super) fn silu_slope(x: f32) -> f32 {
    vanishing(x) * (1.0 + x * vanishing(-x))
}

/// The derivative of [`snake`].
#[inline(always)]
pub(super) fn snake_slope(x: f32, alpha: f32) -> f32 {
    use std::f32::consts::{FRAC_PI_2, PI};
    // The sine of twice an angle has the period π in it; what is beyond a quarter turn is turned back.
    let twice = 2.0 * half_turn(alpha * x);
    let twice = if twice > FRAC_PI_2 { PI - twice } else { twice };
    let twice = if twice < -FRAC_PI_2 { -PI - twice } else { twice };
    if alpha == 0.0 || x.abs() == f32::INFINITY { 1.0 } else { 1.0 + sine(twice) }
}

#[cfg(test)]
mod tests {
    use crate::activation::Activation;

    #[test]
    fn all_are_close_to_their_f64_twins() {
        type Function = fn(f32) -> f32;
        let functions: [(Activation, Function); 8] = [
            (Activation::Sigmoid, super::sigmoid),
            (Activation::Tanh, super::tanh),
            (Activation::Mish, super::mish),
            (Activation::Gelu, super::gelu),
            (Activation::Silu, super::silu),
            (Activation::Elu { alpha: 0.5 }, |x| super::elu(x, 0.5)),
            (Activation::Snake { alphas: vec![0.75] }, |x| super::snake(x, 0.75)),
            (Activation::Snake { alphas: vec![1e10] }, |x| super::snake(x, 1e10)),
        ];
        for (activation, function) in functions {
            let mut worst: f64 = 0.0;
            for i in -40_000..=40_000 {
                let x = i as f32 / 400.0;
                let (got, expected) = (f64::from(function(x)), activation.apply(0, x.into()));
                worst = worst.max((got - expected).abs() / f64::from(f32::EPSILON) / expected.abs().max(1.0));
            }
            assert!(worst <= 4.0, "{activation:?}: {worst} units in the last place");
            assert!(function(f32::NAN).is_nan(), "{activation:?}");
            for x in [f32::INFINITY, f32::NEG_INFINITY, -1e30, 1e30] {
                let (got, expected) = (f64::from(function(x)), activation.apply(0, x.into()));
                let same = got.is_nan() && expected.is_nan() || got == expected;
                assert!(
                    same || (got - expected).abs() < 1e-30 * expected.abs().max(1.0),
                    "{activation:?} of {x}: {got}"
                );
            }
        }
        assert_eq!(super::tanh(1e-20), 1e-20);
        assert!((super::exp(1.0) - std::f32::consts::E).abs() < 5e-7);
    }
}
