//! The one door to vector instructions: `pulp` keeps every operation behind it safe.

use pulp::{Scalar, Simd, WithSimd};

/// The vector instructions that a [`Layer`](super::Layer) is computed with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Level {
    /// One element at a time; on every machine.
    Scalar,
    /// Eight elements of f32, four of f64: AVX2 with FMA, on x86-64.
    Avx2,
    /// Sixteen elements of f32, eight of f64: AVX-512 (F, BW, CD, DQ, VL), on x86-64.
    Avx512,
    /// Four elements of f32, two of f64: NEON, on 64-bit ARM.
    Neon,
    /// Four elements of f32, two of f64, and no fused multiply-add: on WebAssembly that was compiled with
    /// `-C target-feature=+simd128`.
    Simd128,
}

impl Level {
    /// All levels, the best of this machine last among those it has.
    pub const ALL: [Level; 5] = [Level::Scalar, Level::Simd128, Level::Neon, Level::Avx2, Level::Avx512];

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
            #[cfg(target_arch = "wasm32")]
            Level::Simd128 => pulp::wasm::Simd128::try_new().is_some(),
            #[allow(unreachable_patterns, reason = "which levels remain depends on the target")]
            _ => false,
        }
    }

    /// The elements of one vector.
    pub(super) fn lanes<T>(self) -> usize {
        let bytes = match self {
            Level::Scalar => return 1,
            Level::Neon | Level::Simd128 => 16,
            Level::Avx2 => 32,
            Level::Avx512 => 64,
        };
        bytes / size_of::<T>()
    }

    /// The right to use these instructions; [`Scalar`]'s where the machine lacks them. Asking the processor takes
    /// microseconds in a virtual machine, so that a layer asks once.
    pub(super) fn instructions(self) -> Instructions {
        match self {
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => pulp::x86::V3::try_new().map_or(Instructions::Scalar, Instructions::Avx2),
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 => pulp::x86::V4::try_new().map_or(Instructions::Scalar, Instructions::Avx512),
            #[cfg(target_arch = "aarch64")]
            Level::Neon => pulp::aarch64::Neon::try_new().map_or(Instructions::Scalar, Instructions::Neon),
            #[cfg(target_arch = "wasm32")]
            Level::Simd128 => pulp::wasm::Simd128::try_new().map_or(Instructions::Scalar, Instructions::Simd128),
            _ => Instructions::Scalar,
        }
    }
}

/// A [`Level`] that is known to be there.
#[derive(Clone, Copy, Debug)]
pub(super) enum Instructions {
    Scalar,
    #[cfg(target_arch = "x86_64")]
    Avx2(pulp::x86::V3),
    #[cfg(target_arch = "x86_64")]
    Avx512(pulp::x86::V4),
    #[cfg(target_arch = "aarch64")]
    Neon(pulp::aarch64::Neon),
    #[cfg(target_arch = "wasm32")]
    Simd128(pulp::wasm::Simd128),
}

impl Instructions {
    /// Does the work with these instructions.
    pub(super) fn run<W: WithSimd>(self, work: W) -> W::Output {
        match self {
            Instructions::Scalar => Simd::vectorize(Scalar, work),
            #[cfg(target_arch = "x86_64")]
            Instructions::Avx2(simd) => Simd::vectorize(simd, work),
            #[cfg(target_arch = "x86_64")]
            Instructions::Avx512(simd) => Simd::vectorize(simd, work),
            #[cfg(target_arch = "aarch64")]
            Instructions::Neon(simd) => Simd::vectorize(simd, work),
            #[cfg(target_arch = "wasm32")]
            Instructions::Simd128(simd) => Simd::vectorize(simd, work),
        }
    }
}
