//! The device of the tests.

#[path = "harness.rs"]
mod harness;

use std::process::ExitCode;
use std::sync::OnceLock;
use upconv::gpu::{AdapterRequest, Context};
use upconv::wgpu;

static CONTEXT: OnceLock<Context> = OnceLock::new();

/// Runs the tests, then waits for what is still in flight: a device in a `static` is never dropped, and SwiftShader's
/// threads crash where they compute while the process ends.
pub(crate) fn run(tests: &[(&str, fn())]) -> ExitCode {
    let code = harness::run(tests);
    if let Some(context) = CONTEXT.get() {
        context.device().poll(wgpu::PollType::wait_indefinitely()).unwrap();
    }
    code
}

/// The device of all tests.
#[allow(dead_code, reason = "not every test file uses it")]
pub(crate) fn context() -> &'static Context {
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

/// A device of a test's own, with these features and limits.
#[allow(dead_code, reason = "not every test file uses it")]
pub(crate) fn device_with(features: wgpu::Features, limits: fn(wgpu::Limits) -> wgpu::Limits) -> Context {
    let adapters = pollster::block_on(upconv::gpu::adapters(false));
    let adapter = adapters.first().unwrap();
    let descriptor = wgpu::DeviceDescriptor {
        required_features: features,
        required_limits: limits(adapter.limits()),
        ..Default::default()
    };
    let (device, queue) = pollster::block_on(adapter.request_device(&descriptor)).unwrap();
    Context::new(device, queue)
}
