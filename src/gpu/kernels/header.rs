//! The header of a shader file: what the host replaces, above a line `// ---`.

use crate::gpu::storage::Storage;

/// The header's type of stored elements.
pub(crate) fn elem(storage: Storage) -> &'static str {
    match storage {
        Storage::F32 => "alias Elem = f32;",
        Storage::F16 => "enable f16;\nalias Elem = f16;",
    }
}

/// What follows the header of a shader file.
pub(crate) fn body(file: &str) -> &str {
    file.split_once("// ---\n").map_or(file, |(_, body)| body)
}
