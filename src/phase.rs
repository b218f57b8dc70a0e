//! The phase table: which taps reach which output.
//!
//! On one axis, input `i` and tap `k` land on `u = i·s + k·d` of the full output (stride `s`, dilation `d`). Read
//! backwards: write an output as `u = q·s + r` with the *phase* `r = u mod s`, and let `g = gcd(s, d)`. Then tap `k`
//! reaches it where `k·d ≡ r (mod s)`, which is
//!
//! - no tap where `r mod g ≠ 0`: the output is exactly the bias;
//! - otherwise the taps `k₀, k₀ + s/g, k₀ + 2s/g, …` below the kernel's size, `k₀` being the least that satisfies it;
//!   tap `k` reads input `i = q − (k·d − r)/s`.
//!
//! So each phase is an ordinary convolution of stride 1 and dilation `d/g` over the input grid: every multiply-add is
//! useful, and there is no test, modulo or division inside. A tap belongs to exactly one phase.

use crate::op::Axis;

/// The taps that reach one phase of an axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Phase {
    /// `r = u mod stride`.
    pub(crate) residue: usize,
    /// The first tap, `k₀`.
    pub(crate) first_tap: usize,
    /// How many taps there are, at least 1.
    pub(crate) taps: usize,
    /// The first tap reads input `q − first_offset`.
    pub(crate) first_offset: i64,
}

/// The phases of one axis that any tap reaches, each computed when it is asked for. All others hold exactly the bias.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AxisPhases {
    /// The stride, which is the number of phases, empty ones included.
    pub(crate) stride: usize,
    /// Distance between two neighbouring taps of a phase: `stride / gcd(stride, dilation)`.
    pub(crate) tap_step: usize,
    /// Distance between the inputs that two neighbouring taps read: `dilation / gcd(stride, dilation)`.
    pub(crate) input_step: usize,
    kernel: usize,
    gcd: usize,
    inverse: usize,
}

impl AxisPhases {
    /// The table of an axis of a built operation.
    pub(crate) fn new(axis: &Axis) -> Self {
        let Axis { kernel, stride, dilation, .. } = *axis;
        let gcd = gcd(stride, dilation);
        let (tap_step, input_step) = (stride / gcd, dilation / gcd);
        Self { stride, tap_step, input_step, kernel, gcd, inverse: inverse(input_step, tap_step) }
    }

    /// The inverse of `dilation / gcd` modulo `stride / gcd`, which leads from a phase to its first tap:
    /// `k₀ = r / gcd · inverse mod stride / gcd`. 0 where the modulus is 1.
    pub(crate) fn inverse(&self) -> usize {
        self.inverse
    }

    /// How many phases have taps: `min(kernel, stride / gcd)`.
    pub(crate) fn phase_count(&self) -> usize {
        self.kernel.min(self.tap_step)
    }

    /// The most taps that a phase has.
    pub(crate) fn most_taps(&self) -> usize {
        self.kernel.div_ceil(self.tap_step)
    }

    /// The phases that have taps, in the order of their residues. Takes memory where the kernel has fewer taps than
    /// `stride / gcd`, for one number for each tap.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Phase> + use<> {
        let table = *self;
        // Where every multiple of the gcd is a phase with taps, they need no sorting.
        let (dense, sparse) = if self.kernel < self.tap_step { (0, self.kernel) } else { (self.tap_step, 0) };
        let mut sparse: Vec<Phase> = (0..sparse).map(|tap| table.starting_at(tap)).collect();
        sparse.sort_unstable_by_key(|phase| phase.residue);
        sparse.into_iter().chain((0..dense).filter_map(move |index| table.phase(index * table.gcd)))
    }

    /// The phase of the full output's coordinate `u` with the quotient `q = ⌊u / stride⌋`; `None` where no tap
    /// reaches it.
    pub(crate) fn at(&self, u: i64) -> Option<(Phase, i64)> {
        let stride = self.stride as i64;
        Some((self.phase(u.rem_euclid(stride) as usize)?, u.div_euclid(stride)))
    }

    /// The taps of a phase as `(tap, offset)`: tap `tap` reads input `q − offset`.
    pub(crate) fn taps(&self, phase: Phase) -> impl Iterator<Item = (usize, i64)> + use<> {
        let (tap_step, input_step) = (self.tap_step, self.input_step as i64);
        (0..phase.taps).map(move |t| (phase.first_tap + t * tap_step, phase.first_offset + t as i64 * input_step))
    }

    /// The tap of a phase that reads input `q − offset`.
    pub(crate) fn tap_at(&self, phase: Phase, offset: i64) -> Option<usize> {
        let (distance, step) = (offset - phase.first_offset, self.input_step as i64);
        let t = usize::try_from(distance / step).ok().filter(|_| distance >= 0 && distance % step == 0)?;
        (t < phase.taps).then(|| phase.first_tap + t * self.tap_step)
    }

    fn phase(&self, residue: usize) -> Option<Phase> {
        if !residue.is_multiple_of(self.gcd) {
            return None;
        }
        let first_tap = (residue / self.gcd) as u128 * self.inverse as u128 % self.tap_step as u128;
        (first_tap < self.kernel as u128).then(|| self.starting_at(first_tap as usize))
    }

    fn starting_at(&self, first_tap: usize) -> Phase {
        // Within 64 bits, because the reach of the kernel is.
        let (u, stride) = (first_tap as i64 * self.input_step as i64 * self.gcd as i64, self.stride as i64);
        let taps = (self.kernel - first_tap).div_ceil(self.tap_step);
        Phase { residue: (u % stride) as usize, first_tap, taps, first_offset: u / stride }
    }
}

/// The inverse of `value` modulo `modulus`, to which it is coprime, by Euclid's extended algorithm.
fn inverse(value: usize, modulus: usize) -> usize {
    let (modulus, value) = (modulus as i64, value as i64);
    // r = modulus·_ + value·t throughout.
    let (mut r, mut next_r, mut t, mut next_t) = (modulus, value % modulus, 0, 1);
    while next_r != 0 {
        let quotient = r / next_r;
        (r, next_r) = (next_r, r - quotient * next_r);
        (t, next_t) = (next_t, t - quotient * next_t);
    }
    t.rem_euclid(modulus) as usize
}

/// The greatest common divisor.
pub(crate) fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op::{ConvTranspose, OutputPaddingPolicy};

    /// The definition: every (tap, input) pair that lands on output `o`, by trying all.
    fn by_definition(axis: &Axis, input: usize, o: i64) -> Vec<(usize, i64)> {
        let mut pairs = Vec::new();
        for k in 0..axis.kernel {
            for i in 0..input as i64 {
                if i * axis.stride as i64 + (k * axis.dilation) as i64 - axis.pad_begin == o {
                    pairs.push((k, i));
                }
            }
        }
        pairs
    }

    fn multiply_adds(axis: &Axis, input: usize) -> u128 {
        let &Axis { kernel, stride, dilation, pad_begin, pad_end, output_padding, .. } = axis;
        let builder = ConvTranspose::builder().kernel([kernel]).stride([stride]).dilation([dilation]);
        let builder = builder.padding([(pad_begin, pad_end)]).output_padding([output_padding]);
        let op = builder.output_padding_policy(OutputPaddingPolicy::Lenient).build().unwrap();
        op.at(&[1, 1, input]).unwrap().useful_multiply_adds()
    }

    fn by_table(axis: &Axis, input: usize, o: i64) -> Vec<(usize, i64)> {
        let table = AxisPhases::new(axis);
        let Some((phase, q)) = table.at(o + axis.pad_begin) else { return Vec::new() };
        table.taps(phase).map(|(k, offset)| (k, q - offset)).filter(|&(_, i)| (0..input as i64).contains(&i)).collect()
    }

    #[test]
    fn the_table_agrees_with_the_definition_tap_by_tap() {
        let mut outputs = 0;
        for stride in 1..=7 {
            for dilation in 1..=7 {
                for kernel in 1..=6 {
                    for (input, pad_begin, pad_end, output_padding) in
                        [(1, 0, 0, 0), (4, 2, 1, 0), (3, -3, -2, 0), (5, 0, 3, 4), (2, 9, -9, 1)]
                    {
                        let axis = Axis { kernel, stride, dilation, pad_begin, pad_end, output_padding, ..Axis::UNIT };
                        let Ok(output) = axis.output_extent(0, input) else { continue };
                        let mut useful = 0;
                        for o in 0..output as i64 {
                            let expected = by_definition(&axis, input, o);
                            assert_eq!(by_table(&axis, input, o), expected, "{axis:?}, input {input}, output {o}");
                            useful += expected.len() as u128;
                            outputs += 1;
                        }
                        assert_eq!(multiply_adds(&axis, input), useful, "{axis:?}, input {input}");
                    }
                }
            }
        }
        assert!(outputs > 10_000, "{outputs} outputs compared");
    }

    #[test]
    fn every_tap_belongs_to_one_phase_and_a_huge_stride_costs_nothing() {
        let axis = Axis { kernel: 9, stride: 1 << 40, dilation: 6, ..Axis::UNIT };
        let table = AxisPhases::new(&axis);
        let mut taps: Vec<usize> = table.iter().flat_map(|phase| table.taps(phase)).map(|(tap, _)| tap).collect();
        taps.sort_unstable();
        assert_eq!(taps, (0..9).collect::<Vec<_>>());
        assert_eq!(table.at(7), None, "7 is no multiple of gcd(stride, dilation) = 2");
    }

    /// The table as it would be written down: each phase that some tap begins.
    #[test]
    fn phases_are_found_by_their_residue() {
        for (stride, dilation, kernel) in
            (1..24).flat_map(|s| (1..24).flat_map(move |d| [1, 2, 5, 24, 50].map(|k| (s, d, k))))
        {
            let axis = Axis { kernel, stride, dilation, ..Axis::UNIT };
            let table = AxisPhases::new(&axis);
            let step = stride / gcd(stride, dilation);
            let mut expected: Vec<Phase> = (0..kernel.min(step))
                .map(|first_tap| {
                    let u = first_tap * dilation;
                    let taps = (first_tap..kernel).step_by(step).count();
                    Phase { residue: u % stride, first_tap, taps, first_offset: (u / stride) as i64 }
                })
                .collect();
            expected.sort_unstable_by_key(|phase| phase.residue);
            assert_eq!(table.iter().collect::<Vec<_>>(), expected, "{axis:?}");
            assert_eq!(table.phase_count(), expected.len(), "{axis:?}");
            assert_eq!(table.most_taps(), expected.iter().map(|phase| phase.taps).max().unwrap(), "{axis:?}");
            for phase in expected {
                for offset in -3..phase.first_offset + (phase.taps as i64 + 1) * table.input_step as i64 {
                    let tap = table.taps(phase).find(|&(_, other)| other == offset).map(|(tap, _)| tap);
                    assert_eq!(table.tap_at(phase, offset), tap, "{axis:?}, {phase:?}, offset {offset}");
                }
                assert_eq!(table.at((stride * 3 + phase.residue) as i64), Some((phase, 3)), "{axis:?}");
            }
        }
    }

    #[test]
    fn a_table_of_many_phases_takes_no_memory() {
        let axis = Axis { kernel: 1 << 29, stride: 1 << 32, dilation: (1 << 31) - 1, ..Axis::UNIT };
        let table = AxisPhases::new(&axis);
        assert_eq!((table.phase_count(), table.most_taps()), (1 << 29, 1));
        let (tap, dilation) = (123_456_789, axis.dilation as i64);
        let (phase, q) = table.at(tap * dilation).unwrap();
        assert_eq!(table.taps(phase).collect::<Vec<_>>(), [(tap as usize, q)]);
        assert_eq!(table.at(tap * dilation - 1), None);
    }
}
