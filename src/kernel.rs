//! The GPU's kernels by name, and why one of them cannot run an operation.

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
    /// Winograd's filtering: F(4×4, 3×3) for kernel 3×3 at stride 1, with a quarter of the products; F(4×4, 2×2) for each
    /// phase of a kernel of twice the stride, as 4×4 at stride 2×2, with 100 products for 256; either of them along each
    /// axis. Used where [`Accuracy::Normwise`](crate::Accuracy::Normwise) is asked for, or on request: all outputs share
    /// one error bound ([`Expected::compare_normwise`](crate::reference::Expected::compare_normwise)), and a NaN spreads
    /// over the tile of outputs around it.
    Winograd,
    /// Matrix products, phase by phase, on the device's cooperative matrices. Used where
    /// [`Accuracy::Half`](crate::Accuracy::Half) is asked for, or on request, and only on a context made for them, because
    /// they are an experimental feature of wgpu. Under another accuracy matrices of f16 need tensors stored as f16 and weights
    /// that are exactly representable in f16; the error bound is that of the others, but a device may flush subnormal values
    /// of f16, those below 2⁻¹⁴, to 0.
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

/// Why a kernel cannot run an operation, at a shape, on a device. Its `Display` gives the numbers.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[allow(missing_docs, reason = "each message names its fields")]
#[non_exhaustive]
pub enum Refusal {
    /// A tensor or its packed weights exceed what a shader sees of one buffer.
    #[error("{what} take {bytes} bytes, which exceed a binding of {limit}")]
    Binding { what: &'static str, bytes: u64, limit: u64 },

    /// A tensor has more elements than the kernel's indices reach.
    #[error("a tensor or its weights have {elements} elements, more than {limit}")]
    Elements { elements: u64, limit: u64 },

    /// A generated kernel would have too many statements.
    #[error("{} taps for {} phases are too many to write out", join(kernel), join(stride))]
    TooManyTaps { kernel: Vec<usize>, stride: Vec<usize> },

    /// No tile fits the registers and the workgroup's memory.
    #[error("no tile fits the registers with its inputs in {workgroup_memory} bytes of a workgroup's memory")]
    NoTile { workgroup_memory: u64 },

    /// Winograd's filtering is for some kinds of operations.
    #[error(
        "it is for one group and, along h and w, dilation 1 with kernel 3 at stride 1, a kernel of twice the stride, which \
         is 2 to 8, or kernel 1 at stride 1 along one of the two"
    )]
    NotFiltered,

    /// More workgroups than a dispatch may have along one axis.
    #[error("{what} exceed the {limit} workgroups of a dispatch")]
    Workgroups { what: String, limit: u64 },

    /// More work than one dispatch may do, into several of which the kernel cannot cut it.
    #[error("{multiply_adds} multiply-adds exceed the {limit} of a dispatch, into which it is not cut")]
    MultiplyAdds { multiply_adds: u64, limit: u64 },

    /// Longer loops than the driver runs, which the kernel does not cut into several dispatches.
    #[error("{iterations} iterations of its loops exceed the {limit} of an invocation, into which it is not cut")]
    Iterations { iterations: u64, limit: u64 },

    /// More invocations than a workgroup may have.
    #[error("{invocations} invocations exceed the {limit} of a workgroup")]
    Invocations { invocations: u32, limit: u32 },

    /// More memory than a workgroup has.
    #[error("{} inputs take {bytes} bytes of a workgroup's memory, which has {limit}", join(extents))]
    WorkgroupMemory { extents: Vec<usize>, bytes: u64, limit: u64 },

    /// The device was made without cooperative matrices.
    #[error("this device has no cooperative matrices, or was made without them")]
    NoMatrices,

    /// The profile describes cooperative matrices for which there is no kernel.
    #[error("matrices of {side}x{side} for {least_subgroup} to {largest_subgroup} invocations are not supported")]
    UnsupportedMatrices { side: usize, least_subgroup: u32, largest_subgroup: u32 },

    /// The profile describes cooperative matrices that the device does not have.
    #[error("the profile names {wanted}, the device has {own}")]
    OtherMatrices { wanted: String, own: String },

    /// The device's matrices would round the tensor.
    #[error("the device's matrices are of f16, to which a tensor of f32 would be rounded")]
    RoundedTensor,

    /// The device's matrices would round a weight.
    #[error(
        "the device's matrices are of f16, in which the weight {weight} is not exactly representable; cast the \
         weights to float16 to have them so"
    )]
    RoundedWeight { weight: f32 },

    /// The device's matrices might round weights that were set on the device.
    #[error(
        "the device's matrices are of f16, and whether it represents the weights exactly is not known: they were set \
         on the device"
    )]
    UnknownWeights,

    /// The table of phases and taps does not fit a uniform buffer.
    #[error("{taps} taps and {phases} phases make a table of {entries} entries, which exceed {limit}")]
    TableEntries { taps: usize, phases: usize, entries: usize, limit: usize },

    /// The kernel multiplies by 0 where a tap lies outside the input.
    #[error("a weight is NaN or infinite, and taps outside the input are multiplied by 0")]
    NonFiniteWeights,

    /// The kernel has not fused what the others have.
    #[error("it does not take {what}")]
    NotFused { what: &'static str },

    /// A candidate of another operation, shape or device.
    #[error("{candidate} is no candidate of this operation, shape and device")]
    NotACandidate { candidate: String },
}

fn join(extents: &[usize]) -> String {
    extents.iter().map(usize::to_string).collect::<Vec<_>>().join("x")
}
