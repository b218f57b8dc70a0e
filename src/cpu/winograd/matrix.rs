//! The matrices of the transforms, applied to vectors along tiles: written out, because the points ±p share the sums of
//! what has the same sign in both and of what has not.

use crate::cpu::element::Element;
use crate::winograd::{F4_2, F4_3, TILE, Transform};
use pulp::Simd;

/// A transform whose sums are written out here.
pub(super) trait Sums<const TAPS: usize, const POINTS: usize> {
    /// The taps of a phase to the points.
    fn weights<S: Simd>(simd: S, x: [S::f32s; TAPS]) -> [S::f32s; POINTS];

    /// The inputs of a tile to its points.
    fn points<S: Simd>(simd: S, x: [S::f32s; POINTS]) -> [S::f32s; POINTS];

    /// The products at the points to the outputs.
    fn outputs<S: Simd>(simd: S, x: [S::f32s; POINTS]) -> [S::f32s; TILE];
}

impl Sums<3, 6> for Transform<3, 6> {
    #[inline(always)]
    fn weights<S: Simd>(simd: S, [a, b, c]: [S::f32s; 3]) -> [S::f32s; 6] {
        let [_, one, _, two, _, _] = &F4_3.kernel;
        let even = add_times(simd, times(simd, a, one[0]), c, one[2]);
        let odd = times(simd, b, one[1]);
        let later_even = add_times(simd, times(simd, a, two[0]), c, two[2]);
        let later_odd = times(simd, b, two[1]);
        [
            a,
            simd.add_f32s(even, odd),
            simd.sub_f32s(even, odd),
            simd.add_f32s(later_even, later_odd),
            simd.sub_f32s(later_even, later_odd),
            c,
        ]
    }

    #[inline(always)]
    fn points<S: Simd>(simd: S, [a, b, c, d, e, f]: [S::f32s; 6]) -> [S::f32s; 6] {
        let [first, one, _, two, _, last] = &F4_3.input;
        let even = add_times(simd, e, c, one[2]);
        let odd = add_times(simd, times(simd, b, one[1]), d, one[3]);
        let later_even = add_times(simd, e, c, two[2]);
        let later_odd = add_times(simd, times(simd, b, two[1]), d, two[3]);
        [
            simd.add_f32s(add_times(simd, a, c, first[2]), e),
            simd.add_f32s(even, odd),
            simd.sub_f32s(even, odd),
            simd.add_f32s(later_even, later_odd),
            simd.sub_f32s(later_even, later_odd),
            simd.add_f32s(add_times(simd, b, d, last[3]), f),
        ]
    }

    #[inline(always)]
    fn outputs<S: Simd>(simd: S, [a, b, c, d, e, f]: [S::f32s; 6]) -> [S::f32s; TILE] {
        let (even, odd) = (simd.add_f32s(b, c), simd.sub_f32s(b, c));
        let (later_even, later_odd) = (simd.add_f32s(d, e), simd.sub_f32s(d, e));
        let [_, second, third, fourth] = &F4_3.output;
        [
            simd.add_f32s(simd.add_f32s(a, even), later_even),
            add_times(simd, times(simd, odd, second[1]), later_odd, second[3]),
            add_times(simd, times(simd, even, third[1]), later_even, third[3]),
            add_times(simd, add_times(simd, f, odd, fourth[1]), later_odd, fourth[3]),
        ]
    }
}

impl Sums<2, 5> for Transform<2, 5> {
    #[inline(always)]
    fn weights<S: Simd>(simd: S, [a, b]: [S::f32s; 2]) -> [S::f32s; 5] {
        let [one, _, two, _, _] = &F4_2.kernel;
        let (odd, even) = (times(simd, b, one[1]), times(simd, a, one[0]));
        let (later_odd, later_even) = (times(simd, b, two[1]), times(simd, a, two[0]));
        [
            simd.add_f32s(odd, even),
            simd.sub_f32s(odd, even),
            simd.add_f32s(later_odd, later_even),
            simd.sub_f32s(later_odd, later_even),
            b,
        ]
    }

    #[inline(always)]
    fn points<S: Simd>(simd: S, [a, b, c, d, e]: [S::f32s; 5]) -> [S::f32s; 5] {
        let [one, _, two, _, last] = &F4_2.input;
        let odd = add_times(simd, d, b, one[1]);
        let even = add_times(simd, times(simd, a, one[0]), c, one[2]);
        let later_odd = add_times(simd, d, b, two[1]);
        let later_even = add_times(simd, times(simd, a, two[0]), c, two[2]);
        [
            simd.add_f32s(odd, even),
            simd.sub_f32s(odd, even),
            simd.add_f32s(later_odd, later_even),
            simd.sub_f32s(later_odd, later_even),
            add_times(simd, add_times(simd, e, a, last[0]), c, last[2]),
        ]
    }

    #[inline(always)]
    fn outputs<S: Simd>(simd: S, [a, b, c, d, e]: [S::f32s; 5]) -> [S::f32s; TILE] {
        let (even, odd) = (simd.add_f32s(a, b), simd.sub_f32s(a, b));
        let (later_even, later_odd) = (simd.add_f32s(c, d), simd.sub_f32s(c, d));
        let [_, second, third, fourth] = &F4_2.output;
        [
            simd.add_f32s(even, later_even),
            add_times(simd, times(simd, odd, second[0]), later_odd, second[2]),
            add_times(simd, times(simd, even, third[0]), later_even, third[2]),
            add_times(simd, add_times(simd, e, odd, fourth[0]), later_odd, fourth[2]),
        ]
    }
}

#[inline(always)]
fn times<S: Simd>(simd: S, x: S::f32s, factor: f64) -> S::f32s {
    simd.mul_f32s(x, simd.splat_f32s(factor as f32))
}

/// `sum + x · factor`
#[inline(always)]
fn add_times<S: Simd>(simd: S, sum: S::f32s, x: S::f32s, factor: f64) -> S::f32s {
    f32::multiply_add(simd, x, simd.splat_f32s(factor as f32), sum)
}

/// The vectors from `at` on that are `pitch` apart.
#[inline(always)]
pub(super) fn load<S: Simd, const C: usize>(simd: S, x: &[S::f32s], at: usize, pitch: usize) -> [S::f32s; C] {
    let mut vectors = [simd.splat_f32s(0.0); C];
    for c in 0..C {
        vectors[c] = x[at + c * pitch];
    }
    vectors
}

#[cfg(test)]
mod tests {
    use super::*;
    use pulp::Scalar;

    /// The sums of each unit vector are a column of the matrix.
    #[test]
    fn the_sums_are_those_of_the_matrices() {
        fn check<const TAPS: usize, const POINTS: usize>(transform: &Transform<TAPS, POINTS>)
        where
            Transform<TAPS, POINTS>: Sums<TAPS, POINTS>,
        {
            for c in 0..TAPS {
                let unit = std::array::from_fn(|i| if i == c { 1.0 } else { 0.0 });
                let points = Transform::<TAPS, POINTS>::weights(Scalar::new(), unit);
                assert_eq!(points, transform.kernel.map(|row| row[c] as f32), "{POINTS} points, tap {c}");
            }
            for c in 0..POINTS {
                let unit = std::array::from_fn(|i| if i == c { 1.0 } else { 0.0 });
                let points = Transform::<TAPS, POINTS>::points(Scalar::new(), unit);
                let outputs = Transform::<TAPS, POINTS>::outputs(Scalar::new(), unit);
                assert_eq!(points, transform.input.map(|row| row[c] as f32), "{POINTS} points, input {c}");
                assert_eq!(outputs, transform.output.map(|row| row[c] as f32), "{POINTS} points, point {c}");
            }
        }
        check(&F4_2);
        check(&F4_3);
    }
}
