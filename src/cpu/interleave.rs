//! Laying the phases of a row side by side.

use pulp::{Simd, WithSimd};

/// Runs of sums, and where they go in a row: `(from, to, count)`, the targets `step` apart.
pub(super) struct Interleave {
    pub(super) step: usize,
    pub(super) runs: Vec<(usize, usize, usize)>,
}

/// [`Interleave`] with the memory it reads and writes.
pub(super) struct Laying<'a> {
    interleave: &'a Interleave,
    sums: &'a [f32],
    row: &'a mut [f32],
}

impl Interleave {
    pub(super) fn with<'a>(&'a self, sums: &'a [f32], row: &'a mut [f32]) -> Laying<'a> {
        Laying { interleave: self, sums, row }
    }
}

impl WithSimd for Laying<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Laying { interleave: Interleave { step, runs }, sums, row } = self;
        match (*step, &runs[..]) {
            (1, &[(from, to, count)]) => row[to..][..count].copy_from_slice(&sums[from..][..count]),
            (2, &[a, b]) => pairs(sums, a, b, row),
            _ => {
                for &(from, to, count) in runs {
                    strided(&sums[from..][..count], &mut row[to..], *step);
                }
            }
        }
    }
}

/// Two phases of stride 2: where both are, in pairs, which vectors can shuffle.
#[inline(always)]
fn pairs(sums: &[f32], a: (usize, usize, usize), b: (usize, usize, usize), row: &mut [f32]) {
    let (even, odd) = if a.1 < b.1 { (a, b) } else { (b, a) };
    // Where the second starts before the first does again, they alternate from the first on.
    if odd.1 != even.1 + 1 {
        strided(&sums[even.0..][..even.2], &mut row[even.1..], 2);
        strided(&sums[odd.0..][..odd.2], &mut row[odd.1..], 2);
        return;
    }
    let both = even.2.min(odd.2);
    let (targets, _) = row[even.1..].as_chunks_mut::<2>();
    let (x, y) = (&sums[even.0..][..both], &sums[odd.0..][..both]);
    for ((target, &x), &y) in targets[..both].iter_mut().zip(x).zip(y) {
        *target = [x, y];
    }
    for (run, extra) in [(even, even.2 - both), (odd, odd.2 - both)] {
        if extra > 0 {
            strided(&sums[run.0 + both..][..extra], &mut row[run.1 + 2 * both..], 2);
        }
    }
}

#[inline(always)]
fn strided(from: &[f32], to: &mut [f32], step: usize) {
    for (to, &from) in to.iter_mut().step_by(step).zip(from) {
        *to = from;
    }
}
