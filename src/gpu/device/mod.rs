//! What touches the device: the context, its caches, buffers, dispatches and transfers.

pub(crate) mod adapter;
pub(crate) mod binding;
pub(crate) mod cache;
pub(crate) mod compile;
pub(crate) mod context;
pub(crate) mod pipeline_cache;
pub(crate) mod span;
pub(crate) mod staging;
pub(crate) mod step;
pub(crate) mod transfer;

/// Waits for a future where blocking is possible: everywhere but in a browser.
#[cfg(not(target_family = "wasm"))]
pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    pollster::block_on(future)
}
