//! Error scopes: what a device reports of wgpu calls, as our error.

use crate::error::Result;
use wgpu::Device;
#[cfg(not(target_family = "wasm"))]
use {
    crate::error::Error,
    crate::gpu::device::wait::block_on,
    wgpu::{BufferDescriptor, BufferUsages, ErrorFilter},
};

/// Runs wgpu calls and turns what the device reports of them into our error.
///
/// In a browser the report arrives later than a call that does not wait can return; there it goes to wgpu's handler of
/// uncaptured errors.
#[cfg(target_family = "wasm")]
pub(crate) fn checked<T>(_: &Device, _: &'static str, calls: impl FnOnce() -> T) -> Result<T> {
    Ok(calls())
}

/// Runs wgpu calls and turns what the device reports of them into our error.
#[cfg(not(target_family = "wasm"))]
pub(crate) fn checked<T>(device: &Device, during: &'static str, calls: impl FnOnce() -> T) -> Result<T> {
    let (value, reported) = reported(device, calls);
    match reported {
        None => Ok(value),
        Some(source) if is_lost(device) => Err(Error::DeviceLost { during, reason: source.to_string() }),
        Some(source) => Err(Error::Device { during, source }),
    }
}

/// Runs wgpu calls, and gives what the device reports of them.
#[cfg(not(target_family = "wasm"))]
fn reported<T>(device: &Device, calls: impl FnOnce() -> T) -> (T, Option<wgpu::Error>) {
    let scopes = [ErrorFilter::Validation, ErrorFilter::OutOfMemory, ErrorFilter::Internal]
        .map(|filter| device.push_error_scope(filter));
    let value = calls();
    // The scopes are a stack: the last one pushed is popped first.
    let reported = scopes.into_iter().rev().fold(None, |reported, scope| block_on(scope.pop()).or(reported));
    (value, reported)
}

/// Whether the device is lost or destroyed. wgpu tells only the one callback of the device's owner; but a buffer that is
/// made on such a device is invalid without any report. One for which there is no memory is reported.
#[cfg(not(target_family = "wasm"))]
fn is_lost(device: &Device) -> bool {
    let descriptor = BufferDescriptor {
        label: Some("upconv probe"),
        size: 4,
        usage: BufferUsages::MAP_WRITE | BufferUsages::COPY_SRC,
        mapped_at_creation: true,
    };
    let (probe, reported) = reported(device, || device.create_buffer(&descriptor));
    reported.is_none() && probe.get_mapped_range_mut(..).is_err()
}
