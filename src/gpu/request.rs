//! What a layer is prepared for, beside its input's shape.

use crate::gpu::plan::candidate::Candidate;
use crate::gpu::plan::choice::Reuse;
use crate::gpu::storage::Storage;
use crate::kernel::Kernel;
use crate::layout::Channels;
use crate::op::{Operands, Residual};

/// What a layer is prepared for, beside its input's shape: a [`Storage`] alone will do, and turns into one.
///
/// ```
/// use upconv::{Kernel, Storage};
/// use upconv::gpu::Request;
///
/// // Into the first 64 of 128 channels, where a decoder concatenates; sizes may change without compiling anew.
/// let request = Request::new(Storage::F32).writing(0, 128).any_size();
/// # let _ = request;
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Request {
    pub(crate) storage: Storage,
    pub(crate) operands: Operands,
    pub(crate) wish: Wish,
}

/// What the plan is to be.
#[derive(Clone, Copy, Debug, PartialEq)]
#[allow(clippy::large_enum_variant, reason = "a request is made seldom, and is handy as a plain value")]
pub(crate) enum Wish {
    /// What was measured or else estimated to be the fastest.
    Fastest(Reuse),
    /// What is estimated to be the fastest without splits.
    Unsplit,
    Kernel(Kernel),
    Candidate(Candidate),
}

impl From<Storage> for Request {
    fn from(storage: Storage) -> Self {
        Self::new(storage)
    }
}

impl Request {
    /// Input, output and residual stored so, each in a buffer of its own; the layer will run often at its shape.
    pub fn new(storage: Storage) -> Self {
        Self { storage, operands: Operands::default(), wish: Wish::Fastest(Reuse::Often) }
    }

    /// The layer will run so often at its shape.
    #[must_use]
    pub fn reuse(self, reuse: Reuse) -> Self {
        Self { wish: Wish::Fastest(reuse), ..self }
    }

    /// The layer will run once or a few times: a small one is not worth a kernel of its own.
    #[must_use]
    pub fn once(self) -> Self {
        self.reuse(Reuse::Once)
    }

    /// The layer will run often, at sizes that change, as a window does: what is compiled for one serves all.
    #[must_use]
    pub fn any_size(self) -> Self {
        self.reuse(Reuse::AnySize)
    }

    /// The layer is computed by this kernel, its input channels not split.
    #[must_use]
    pub fn kernel(self, kernel: Kernel) -> Self {
        Self { wish: Wish::Kernel(kernel), ..self }
    }

    /// The layer is computed by one of its [`candidates`](crate::gpu::Layer::candidates).
    #[must_use]
    pub fn candidate(self, candidate: Candidate) -> Self {
        Self { wish: Wish::Candidate(candidate), ..self }
    }

    /// The layer is planned without splits, whatever was measured: a part of a picture as the whole is, but for its size.
    pub(crate) fn unsplit(self) -> Self {
        Self { wish: Wish::Unsplit, ..self }
    }

    /// The input is some channels, from `first` on, of a tensor of `of` channels, which is then what is bound.
    #[must_use]
    pub fn reading(mut self, first: usize, of: usize) -> Self {
        self.operands.input = Some(Channels { first, of });
        self
    }

    /// The output is some channels, from `first` on, of a tensor of `of` channels, which is then what is bound. Its other
    /// channels stay as they are: layers that write beside each other concatenate in place.
    #[must_use]
    pub fn writing(mut self, first: usize, of: usize) -> Self {
        self.operands.output = Some(Channels { first, of });
        self
    }

    /// A residual is added to the sums before the activation: [`bind_adding`](crate::gpu::Prepared::bind_adding) takes
    /// its buffer.
    #[must_use]
    pub fn adding(mut self) -> Self {
        self.operands.residual = Residual::Tensor(None);
        self
    }

    /// As [`adding`](Self::adding), where the residual is some channels, from `first` on, of a tensor of `of` channels.
    #[must_use]
    pub fn adding_channels(mut self, first: usize, of: usize) -> Self {
        self.operands.residual = Residual::Tensor(Some(Channels { first, of }));
        self
    }

    /// What the output's buffer holds is the residual: the layer adds to it in place.
    #[must_use]
    pub fn accumulating(mut self) -> Self {
        self.operands.residual = Residual::Output;
        self
    }

    /// All operands may lie in one buffer, apart from each other: in different ranges of bytes, or, channels first, in
    /// different channels of the same tensor.
    ///
    /// wgpu lets a dispatch use a buffer in one way only, so that the kernel declares all of its operands as written.
    /// What a dispatch sees of them must not overlap, and begins at multiples of the device's
    /// `min_storage_buffer_offset_alignment`: the channels of an item that is read must not share such a unit with those
    /// that are written, which planes of a multiple of its bytes do not. Where channels of the same tensor are meant,
    /// each item of the batch takes a dispatch of its own.
    #[must_use]
    pub fn in_one_buffer(mut self) -> Self {
        self.operands.one_buffer = true;
        self
    }
}
