//! Rounding to the narrow types: to nearest, ties to even, once.

use half::{bf16, f16};

/// The nearest f16; from 65520 on, infinity.
pub(crate) fn to_f16(x: f64) -> f16 {
    f16::from_bits(nearest::<10, 5>(x))
}

/// The nearest bfloat16.
pub(crate) fn to_bf16(x: f64) -> bf16 {
    bf16::from_bits(nearest::<7, 8>(x))
}

/// The bits of the nearest number with so many stored bits of significand and exponent. NaN stays NaN.
fn nearest<const SIGNIFICAND: u32, const EXPONENT: u32>(x: f64) -> u16 {
    const STORED: u32 = f64::MANTISSA_DIGITS - 1;
    let sign = (x.to_bits() >> 63 << (SIGNIFICAND + EXPONENT)) as u16;
    let magnitude = x.abs().to_bits();
    let infinity = ((1u64 << EXPONENT) - 1) << SIGNIFICAND;
    if x.is_nan() {
        let quiet = 1 << (SIGNIFICAND - 1);
        let payload = magnitude >> (STORED - SIGNIFICAND) & ((1 << SIGNIFICAND) - 1);
        return sign | (infinity | quiet | payload) as u16;
    }
    // f64's subnormals are far below half of the least number of either type, as if their exponent were one less.
    let exponent = (magnitude >> STORED) as i64 - 1023;
    let significand = magnitude & ((1 << STORED) - 1) | 1 << STORED;
    let least = 2 - (1i64 << (EXPONENT - 1));
    // Below the least normal number the distance between neighbours stays the same.
    let dropped = i64::from(STORED - SIGNIFICAND) + (least - exponent).max(0);
    if dropped > i64::from(STORED) + 1 {
        return sign;
    }
    let (kept, rest, half) = (significand >> dropped, significand & ((1 << dropped) - 1), 1 << (dropped - 1));
    let up = rest > half || rest == half && kept % 2 == 1;
    // A significand that is rounded up to the next power of two carries into the exponent. That of a normal number has
    // a leading 1, which counts as one step of the exponent.
    let bits = (((exponent - least).max(0) as u64) << SIGNIFICAND) + kept + u64::from(up);
    sign | bits.min(infinity) as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The nearest of all finite numbers of a type and of what would follow the greatest, which is infinity; of two
    /// that are equally near the one with even bits.
    fn by_search(x: f64, finite: &[f64], beyond: f64) -> u16 {
        let at = finite.partition_point(|&number| number < x);
        let number = |index: usize| finite.get(index).copied().unwrap_or(beyond);
        if at == 0 || number(at) <= x {
            return at.min(finite.len()) as u16;
        }
        let (below, above) = (x - number(at - 1), number(at) - x);
        (if below < above || below == above && at % 2 == 1 { at - 1 } else { at }) as u16
    }

    /// All numbers, all midpoints between neighbours, and what is next to both in f64.
    fn check(beyond: f64, value: impl Fn(u16) -> f64, round: impl Fn(f64) -> u16) {
        let finite: Vec<f64> = (0..u16::MAX).map(&value).take_while(|number| number.is_finite()).collect();
        let mut numbers = finite.clone();
        numbers.push(beyond);
        for pair in numbers.windows(2) {
            let middle = (pair[0] + pair[1]) / 2.0;
            for x in [pair[0], middle, pair[1]] {
                for x in [x.next_down().max(0.0), x, x.next_up(), x * (1.0 + 1e-12)] {
                    let expected = by_search(x, &finite, beyond);
                    assert_eq!(round(x), expected, "{x:e}");
                    assert_eq!(round(-x), expected | 0x8000, "-{x:e}");
                }
            }
        }
        for x in [f64::MAX, f64::INFINITY, 1e300] {
            assert_eq!(round(x), finite.len() as u16, "{x:e}");
        }
        for x in [0.0, f64::from_bits(1), f64::MIN_POSITIVE, 1e-300] {
            assert_eq!((round(x), round(-x)), (0, 0x8000), "{x:e}");
        }
        for bits in [0x7ff8 << 48, 0x7ff0 << 48 | 1, 0xffff << 48] {
            assert!(value(round(f64::from_bits(bits))).is_nan(), "{bits:x}");
        }
    }

    #[test]
    fn the_nearest_is_found_of_every_number_and_every_midpoint() {
        check(65536.0, |bits| f16::from_bits(bits).to_f64(), |x| to_f16(x).to_bits());
        check(2f64.powi(128), |bits| bf16::from_bits(bits).to_f64(), |x| to_bf16(x).to_bits());
    }

    #[test]
    fn what_half_rounds_from_f32_is_the_same() {
        // Every f16 and midpoint, and its neighbours in f32; 2²⁰ more, evenly spread over the bits.
        let near = (0..=0x7c00u32).flat_map(|bits| {
            let [from, to] = [bits, bits + 1].map(|bits| f16::from_bits(bits.min(0x7c00) as u16).to_f32().min(65536.0));
            [from, (from + to) / 2.0]
        });
        let near = near.flat_map(|x| [x.next_down(), x, x.next_up()]);
        for x in near.chain((0..1 << 20).map(|step| f32::from_bits(step << 12 | step >> 8))) {
            let narrow = f16::from_f32(x);
            assert!(narrow == to_f16(x.into()) || narrow.is_nan() && x.is_nan(), "{x:e}");
            let brain = bf16::from_f32(x);
            assert!(brain == to_bf16(x.into()) || brain.is_nan() && x.is_nan(), "{x:e}");
        }
    }
}
