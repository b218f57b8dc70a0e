//! The kernels by name, and why one of them cannot run an operation.

use std::fmt;

/// The kernels there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kernel {
    /// `shaders/gather.wgsl`: one invocation for one output element; any operation.
    Gather,
    /// `shaders/direct.wgsl`: one invocation for a tile of outputs and channels, its sums in registers, everything but
    /// the loop over input channels written out.
    Direct,
    /// `shaders/tiled.wgsl`: as `direct`, but the invocations of a workgroup bring inputs and weights into its memory
    /// together, a few input channels at a time, and multiply what they read there.
    Tiled,
    /// Winograd's filtering F(4×4, 3×3): a quarter of the products, for kernel 3×3 and stride 1. Never chosen unless
    /// asked for: its errors are in proportion to the largest outputs, not to each
    /// ([`Expected::compare_winograd`](crate::reference::Expected::compare_winograd)), and a NaN spreads over the 4×4
    /// outputs around it.
    Winograd,
    /// `shaders/matrix.wgsl`: matrix products, phase by phase, on the device's cooperative matrices. Never chosen unless
    /// asked for, and only where the device was
    /// [made with them](crate::gpu::Context::from_adapter_with_cooperative_matrices): they are an experimental feature
    /// of wgpu. Where they are of f16, it is for [`Storage::F16`] and weights that are numbers of f16, and its errors
    /// have the bound of the others; but a device may take numbers of f16 below 2⁻¹⁴ for 0.
    Matrix,
}

impl Kernel {
    /// All of them, the simplest first.
    pub const ALL: [Kernel; 5] = [Kernel::Gather, Kernel::Direct, Kernel::Tiled, Kernel::Winograd, Kernel::Matrix];
    /// Those of every device whose error is bounded for each output, and in which taps outside the input add nothing.
    pub const EXACT: [Kernel; 3] = [Kernel::Gather, Kernel::Direct, Kernel::Tiled];

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

    /// Winograd's filtering is for one kind of operation.
    #[error("it is for kernel 3x3, stride 1, dilation 1 and one group on two axes")]
    NotThreeByThree,

    /// More workgroups than a dispatch may have along one axis.
    #[error("{what} exceed the {limit} workgroups of a dispatch")]
    Workgroups { what: String, limit: u64 },

    /// More work than one dispatch may do, into several of which the kernel cannot cut it.
    #[error("{multiply_adds} multiply-adds exceed the {limit} of a dispatch, into which it is not cut")]
    MultiplyAdds { multiply_adds: u64, limit: u64 },

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

    /// The table of phases and taps does not fit a uniform buffer.
    #[error("{taps} taps and {phases} phases make a table of {entries} entries, which exceed {limit}")]
    TableEntries { taps: usize, phases: usize, entries: usize, limit: usize },

    /// The kernel multiplies by 0 where a tap lies outside the input.
    #[error("a weight is NaN or infinite, and taps outside the input are multiplied by 0")]
    NonFiniteWeights,

    /// A candidate of another operation, shape or device.
    #[error("{candidate} is no candidate of this operation, shape and device")]
    NotACandidate { candidate: String },
}

fn join(extents: &[usize]) -> String {
    extents.iter().map(usize::to_string).collect::<Vec<_>>().join("x")
}
