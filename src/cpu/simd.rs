//! The one door to vector instructions: `pulp` keeps every operation behind it safe.

use pulp::{Scalar, Simd, WithSimd};

/// The vector instructions that a [`Layer`](super::Layer) is computed with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Level {
    /// One element at a time; on every machine.
    Scalar,
    /// Eight elements: AVX2 with FMA, on x86-64.
    Avx2,
    /// Sixteen elements: AVX-512 (F, BW, CD, DQ, VL), on x86-64.
    Avx512,
    /// Four elements: NEON, on 64-bit ARM.
    Neon,
}

impl Level {
    /// All levels, the best of this machine last among those it has.
    pub const ALL: [Level; 4] = [Level::Scalar, Level::Neon, Level::Avx2, Level::Avx512];

    /// The best level of this machine.
    pub fn best() -> Self {
        Self::ALL.into_iter().rfind(|level| level.is_available()).unwrap_or(Level::Scalar)
    }

    /// Whether this machine has the instructions.
    pub fn is_available(self) -> bool {
        match self {
            Level::Scalar => true,
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => pulp::x86::V3::try_new().is_some(),
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 => pulp::x86::V4::try_new().is_some(),
            #[cfg(target_arch = "aarch64")]
            Level::Neon => pulp::aarch64::Neon::try_new().is_some(),
            #[allow(unreachable_patterns, reason = "which levels remain depends on the target")]
            _ => false,
        }
    }

    /// The f32 elements of one vector.
    pub(super) fn lanes(self) -> usize {
        match self {
            Level::Scalar => 1,
            Level::Neon => 4,
            Level::Avx2 => 8,
            Level::Avx512 => 16,
        }
    }

    /// Does the work with these instructions, or without any where the machine lacks them.
    pub(super) fn run<W: WithSimd>(self, work: W) -> W::Output {
        match self {
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => match pulp::x86::V3::try_new() {
                Some(simd) => Simd::vectorize(simd, work),
                None => Simd::vectorize(Scalar, work),
            },
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 => match pulp::x86::V4::try_new() {
                Some(simd) => Simd::vectorize(simd, work),
                None => Simd::vectorize(Scalar, work),
            },
            #[cfg(target_arch = "aarch64")]
            Level::Neon => match pulp::aarch64::Neon::try_new() {
                Some(simd) => Simd::vectorize(simd, work),
                None => Simd::vectorize(Scalar, work),
            },
            _ => Simd::vectorize(Scalar, work),
        }
    }
}
