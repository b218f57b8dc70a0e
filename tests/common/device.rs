//! The device of the tests.

#[path = "harness.rs"]
mod harness;

pub(crate) use harness::run;

use std::sync::OnceLock;
use upconv::gpu::{AdapterRequest, Context};

/// The device of all tests.
#[allow(dead_code, reason = "not every test file uses it")]
pub(crate) fn context() -> &'static Context {
    static CONTEXT: OnceLock<Context> = OnceLock::new();
    CONTEXT.get_or_init(|| {
        let context = fresh_context();
        eprintln!("adapter: {}", context.adapter_name());
        context
    })
}

/// A device of a test's own.
pub(crate) fn fresh_context() -> Context {
    Context::request(&AdapterRequest::default()).unwrap_or_else(|error| {
        panic!("{error}; install a driver (./scripts/test offers it), or set UPCONV_SKIP_GPU_TESTS=1")
    })
}
