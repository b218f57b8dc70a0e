//! Structs that a shader reads from a uniform buffer.

/// Defines such a struct in Rust: 32-bit fields and arrays of such structs, laid out as WGSL lays them out. A test
/// compares the fields with those of the WGSL struct, by name and offset.
macro_rules! shader_struct {
    ($(#[$doc:meta])* $name:ident { $($field:ident: $type:ty,)* }) => {
        $(#[$doc])*
        #[repr(C)]
        #[derive(Clone, Copy, Debug, Default, bytemuck::Pod, bytemuck::Zeroable)]
        pub(crate) struct $name {
            $(pub(crate) $field: $type,)*
        }

        #[cfg(test)]
        impl $name {
            /// The name and the offset of every field, and the size of all.
            pub(crate) fn layout() -> (Vec<(String, u32)>, u32) {
                let fields = vec![$((stringify!($field).into(), std::mem::offset_of!($name, $field) as u32)),*];
                (fields, size_of::<$name>() as u32)
            }
        }
    };
}

pub(crate) use shader_struct;
