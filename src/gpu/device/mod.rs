//! What touches the device: the context, its caches, buffers, dispatches and transfers.

pub(crate) mod adapter;
pub(crate) mod arena;
pub(crate) mod binding;
pub(crate) mod cache;
pub(crate) mod compile;
pub(crate) mod context;
pub(crate) mod lock;
pub(crate) mod pipeline_cache;
pub(crate) mod scope;
pub(crate) mod span;
pub(crate) mod staging;
pub(crate) mod step;
pub(crate) mod transfer;
#[cfg(not(target_family = "wasm"))]
pub(crate) mod wait;
