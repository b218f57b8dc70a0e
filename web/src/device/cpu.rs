//! The module itself, in vectors of WebAssembly, on one thread.

use crate::failure::{Failure, Result};
use upconv::cpu::Layer;
use upconv::upscale::picture::Backend;
use upconv::{ConvTranspose, Tensor};
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;

/// What computes where there is no WebGPU. Its methods are those of the device of the other module.
#[wasm_bindgen]
#[derive(Clone)]
pub struct Device {}

#[wasm_bindgen]
impl Device {
    /// Is there at once.
    ///
    /// # Errors
    /// None.
    #[expect(clippy::unused_async, reason = "of a GPU it is asked for")]
    pub async fn request() -> std::result::Result<Device, JsValue> {
        Ok(Self {})
    }

    /// What to call it.
    #[wasm_bindgen(getter)]
    pub fn name(&self) -> String {
        "the CPU, one thread".into()
    }

    /// `Cpu`.
    #[wasm_bindgen(getter)]
    pub fn class(&self) -> String {
        "Cpu".into()
    }

    /// It is the CPU.
    #[wasm_bindgen(getter)]
    pub fn software(&self) -> bool {
        true
    }

    /// Never.
    #[wasm_bindgen(getter)]
    pub fn lost(&self) -> bool {
        false
    }
}

impl Device {
    pub(crate) fn backend(&self) -> Backend {
        Backend::Cpu
    }

    pub(crate) fn layer(&self, op: &ConvTranspose, weight: &Tensor, bias: Option<&Tensor>) -> Result<DeviceLayer> {
        Ok(DeviceLayer(Layer::new(op, weight, bias)?))
    }

    /// It reports nothing.
    pub(crate) fn check(&self) -> Result<()> {
        Ok(())
    }
}

/// An operation with its weights, packed.
pub(crate) struct DeviceLayer(Layer);

impl DeviceLayer {
    #[expect(clippy::unused_async, reason = "a GPU is waited for")]
    pub(crate) async fn run(&self, x: &Tensor, kernel: Option<&str>) -> Result<Tensor> {
        match kernel {
            None => Ok(self.0.run(x)?),
            Some(name) => {
                let sentence = format!("{name:?} is a kernel of GPUs, and this is the CPU, which has none by name");
                Err(Failure::Said(sentence))
            }
        }
    }
}
