//! Error scopes: what a device reports of wgpu calls, as our error.

use crate::error::{Error, Result};
use std::fmt;
use wgpu::{Device, ErrorFilter};
#[cfg(target_family = "wasm")]
use {
    crate::gpu::device::lock::lock,
    std::pin::Pin,
    std::sync::Mutex,
    std::task::{Context, Poll, Waker},
};
#[cfg(not(target_family = "wasm"))]
use {
    crate::gpu::device::wait::block_on,
    wgpu::{BufferDescriptor, BufferUsages},
};

/// What is caught: everything. The scopes are a stack: the last one pushed is popped first.
const FILTERS: [ErrorFilter; 3] = [ErrorFilter::Validation, ErrorFilter::OutOfMemory, ErrorFilter::Internal];

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
    let scopes = FILTERS.map(|filter| device.push_error_scope(filter));
    let value = calls();
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

/// Reports that are still to come. In a browser one arrives later than a call that does not wait can return: it is heard by
/// the next asynchronous call. Elsewhere [`checked`] has heard all of them.
#[derive(Default)]
pub(crate) struct Reports {
    #[cfg(target_family = "wasm")]
    open: Vec<Report>,
}

impl fmt::Debug for Reports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reports").finish_non_exhaustive()
    }
}

#[cfg(not(target_family = "wasm"))]
impl Reports {
    /// Waits for them; the error of the first call that has one.
    #[allow(clippy::unused_async, reason = "in a browser it waits")]
    pub(crate) async fn hear(self) -> Result<()> {
        Ok(())
    }
}

/// What the scopes around some calls catch.
#[cfg(target_family = "wasm")]
struct Report {
    during: &'static str,
    scopes: Vec<Pin<Box<dyn Future<Output = Option<wgpu::Error>>>>>,
    found: Option<wgpu::Error>,
}

#[cfg(target_family = "wasm")]
impl Report {
    /// Whether all scopes have reported, and nothing was found.
    fn is_silent(&mut self) -> bool {
        let Self { scopes, found, .. } = self;
        scopes.retain_mut(|scope| match scope.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(error) => {
                *found = error.or(found.take());
                false
            }
            Poll::Pending => true,
        });
        scopes.is_empty() && found.is_none()
    }
}

#[cfg(target_family = "wasm")]
impl Reports {
    /// Waits for them; the error of the first call that has one.
    pub(crate) async fn hear(self) -> Result<()> {
        for Report { during, scopes, mut found } in self.open {
            for scope in scopes {
                found = scope.await.or(found);
            }
            if let Some(source) = found {
                return Err(Error::Device { during, source });
            }
        }
        Ok(())
    }
}

/// Runs wgpu calls; what the device reports of them will be among the `reports`.
#[cfg(target_family = "wasm")]
pub(crate) fn reporting<T>(
    device: &Device,
    reports: &Mutex<Reports>,
    during: &'static str,
    calls: impl FnOnce() -> T,
) -> T {
    let scopes = FILTERS.map(|filter| device.push_error_scope(filter));
    let value = calls();
    let pop = |scope: wgpu::ErrorScopeGuard| Box::pin(scope.pop()) as Pin<Box<dyn Future<Output = _>>>;
    let scopes = scopes.into_iter().rev().map(pop).collect();
    let mut reports = lock(reports);
    // Who only records into passes of their own never hears: their reports must not pile up.
    reports.open.retain_mut(|report| !report.is_silent());
    reports.open.push(Report { during, scopes, found: None });
    value
}
