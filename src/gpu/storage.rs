//! How elements lie in a device's buffers.

/// How the elements of input and output are stored in a device's buffers. Sums are f32 in both cases.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Storage {
    /// binary32
    #[default]
    F32,
    /// binary16
    F16,
}

impl Storage {
    /// The type's name in WGSL.
    pub(crate) fn wgsl(self) -> &'static str {
        match self {
            Storage::F32 => "f32",
            Storage::F16 => "f16",
        }
    }

    /// The size of one element in bytes.
    pub fn size(self) -> u64 {
        match self {
            Storage::F32 => 4,
            Storage::F16 => 2,
        }
    }
}
