pub(crate) mod layout;
pub(crate) mod machine;
pub(crate) mod wgsl;
