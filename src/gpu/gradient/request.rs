//! What a gradient is prepared for, beside the shape of the layer's input.

use crate::gpu::storage::Storage;
use std::fmt;

/// What the gradients of weight and bias are prepared for, beside the shape of the layer's input: a [`Storage`] alone will
/// do, and turns into one.
///
/// ```
/// use upconv::Storage;
/// use upconv::gpu::GradientRequest;
///
/// // Added to what the gradients' buffers hold, as for a batch that is too large to be run at once.
/// let request = GradientRequest::new(Storage::F32).accumulating();
/// # let _ = request;
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GradientRequest {
    pub(crate) storage: Storage,
    pub(crate) accumulate: bool,
    pub(crate) kernel: Option<GradientKernel>,
    pub(crate) wanted: Wanted,
}

/// What a backward pass is prepared for: nothing else is compiled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) input: bool,
    pub(crate) weight: bool,
    /// The gradient of the bias, and of slopes.
    pub(crate) channels: bool,
}

impl Wanted {
    pub(crate) const ALL: Self = Self { input: true, weight: true, channels: true };
}

#[cfg(not(target_family = "wasm"))]
impl Wanted {
    pub(crate) const INPUT: Self = Self { input: true, weight: false, channels: false };
    pub(crate) const WEIGHT: Self = Self { input: false, weight: true, channels: false };
    pub(crate) const CHANNELS: Self = Self { input: false, weight: false, channels: true };
}

/// A kernel that computes the gradient of a weight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum GradientKernel {
    /// One weight in an invocation.
    Gather,
    /// A tile of weights in an invocation: some input channels, output channels and taps, their sums in registers.
    ///
    /// It multiplies by 0 where an input and a tap land outside the output, and where a row of inputs ends inside a round
    /// of its loop: a NaN or an infinity among the inputs or the output's gradients may reach all weights of its channel,
    /// where [`Gather`](Self::Gather) gives it to those alone that it is multiplied with.
    Tiles,
}

impl GradientKernel {
    /// All of them.
    pub const ALL: &[GradientKernel] = &[GradientKernel::Gather, GradientKernel::Tiles];

    /// The kernel's name.
    pub fn name(self) -> &'static str {
        match self {
            GradientKernel::Gather => "gather",
            GradientKernel::Tiles => "tiles",
        }
    }
}

impl fmt::Display for GradientKernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl From<Storage> for GradientRequest {
    fn from(storage: Storage) -> Self {
        Self::new(storage)
    }
}

impl GradientRequest {
    /// The input and the output's gradient stored so; the gradients of weight and bias, always f32, are overwritten.
    pub fn new(storage: Storage) -> Self {
        Self { storage, accumulate: false, kernel: None, wanted: Wanted::ALL }
    }

    /// The gradients are added to what their buffers hold.
    #[must_use]
    pub fn accumulating(self) -> Self {
        Self { accumulate: true, ..self }
    }

    /// A backward pass without the gradient of the input, as for the first layer of a network: it is not planned, and its
    /// kernel is not compiled. The gradients of weight and bias never need it.
    #[must_use]
    pub fn without_input_gradient(self) -> Self {
        self.wanting(Wanted { input: false, ..self.wanted })
    }

    pub(crate) fn wanting(self, wanted: Wanted) -> Self {
        Self { wanted, ..self }
    }

    /// The gradient of the weight is computed by this kernel.
    #[must_use]
    pub fn kernel(self, kernel: GradientKernel) -> Self {
        Self { kernel: Some(kernel), ..self }
    }
}
