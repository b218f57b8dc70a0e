//! The names of the GPU's kernels.

use std::fmt;

/// A kernel of the GPU backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kernel {
    /// One invocation for one output element; any operation.
    Gather,
    /// One invocation for a tile of outputs and channels, its accumulators in registers, everything but the loop over
    /// input channels unrolled.
    Direct,
    /// As `direct`, but the invocations of a workgroup load inputs and weights into workgroup memory together, one
    /// K-chunk of input channels at a time, and multiply from there.
    Tiled,
    /// Winograd's filtering F(4×4, 3×3): a quarter of the products, for kernel 3×3 and stride 1. Used only on request:
    /// all outputs share one error bound
    /// ([`Expected::compare_winograd`](crate::reference::Expected::compare_winograd)), and a NaN spreads over the
    /// 4×4 outputs around it.
    Winograd,
    /// Matrix products, phase by phase, on the device's cooperative matrices. Used only on request, and only on a
    /// context made for them, because they are an experimental feature of wgpu. Matrices of f16 need tensors stored as
    /// f16 and weights that are exactly representable in f16; the error bound is that of the others, but a device may
    /// flush subnormal values of f16, those below 2⁻¹⁴, to 0.
    Matrix,
}

impl Kernel {
    /// All of them, the simplest first.
    pub const ALL: &[Kernel] = &[Kernel::Gather, Kernel::Direct, Kernel::Tiled, Kernel::Winograd, Kernel::Matrix];
    /// Those that run on every device, bound the error of each output by itself, and skip taps outside the input.
    pub const EXACT: &[Kernel] = &[Kernel::Gather, Kernel::Direct, Kernel::Tiled];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Kernel::Gather => "gather",
            Kernel::Direct => "direct",
            Kernel::Tiled => "tiled",
            Kernel::Winograd => "winograd",
            Kernel::Matrix => "matrix",
        }
    }
}

impl fmt::Display for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
