//! The device of the tests.

#[path = "harness.rs"]
mod harness;

use std::process::ExitCode;
use std::sync::OnceLock;
use upconv::gpu::{AdapterRequest, Context, Prepared};
use upconv::{Tensor, wgpu};

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

/// What a layer makes of an input, in an output that was full of NaN, which an element that is not written would keep.
#[allow(dead_code, reason = "not every test file uses it")]
pub(crate) fn result_of(context: &Context, prepared: &Prepared, input: &Tensor) -> Tensor {
    let (shape, storage) = (prepared.geometry().output_shape(), prepared.plan().storage());
    let poison = Tensor::f32(shape.clone(), vec![f32::NAN; prepared.geometry().output_len()]).unwrap();
    let [x, y] = [input, &poison].map(|tensor| context.upload(tensor, storage).unwrap());
    let mut encoder = context.device().create_command_encoder(&Default::default());
    prepared.encode(&mut encoder, x.slice(..), y.slice(..)).unwrap();
    context.queue().submit([encoder.finish()]);
    context.download(&y, &shape, storage).unwrap()
}
