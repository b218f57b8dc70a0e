//! What the caller hears of the work, and how it ends it.

use crate::device::Device;
use crate::failure::{Failure, Result};
use js_sys::Function;
use wasm_bindgen::JsValue;

/// A picture on its way.
pub(crate) struct Job {
    device: Device,
    on_progress: Function,
    is_cancelled: Function,
    /// Pixels, of all passes.
    done: u64,
    all: u64,
}

impl Job {
    pub(crate) fn new(device: &Device, on_progress: Function, is_cancelled: Function, all: u64) -> Self {
        Self { device: device.clone(), on_progress, is_cancelled, done: 0, all }
    }

    /// Says that a piece is done, and fails where the work is to end: it was cancelled, or the device has failed.
    pub(crate) fn advance(&mut self, pixels: u64) -> Result<()> {
        self.done += pixels;
        let thrown = |_| Failure::Said("a function that was given for progress has thrown".into());
        let share = self.done as f64 / self.all.max(1) as f64;
        self.on_progress.call1(&JsValue::NULL, &share.into()).map_err(thrown)?;
        self.device.check()?;
        match self.is_cancelled.call0(&JsValue::NULL).map_err(thrown)?.is_truthy() {
            true => Err(Failure::Cancelled),
            false => Ok(()),
        }
    }
}
