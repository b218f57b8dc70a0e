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

    #[expect(clippy::unused_async, reason = "a GPU is waited for")]
    pub(crate) async fn compute(
        &self,
        op: &ConvTranspose,
        weight: &Tensor,
        bias: Option<&Tensor>,
        x: &Tensor,
        kernel: Option<&str>,
    ) -> Result<Tensor> {
        if let Some(kernel) = kernel {
            return Err(Failure::Said(format!(
                "{kernel:?} is a kernel of GPUs, and this is the CPU, which has none by name"
            )));
        }
        Ok(Layer::new(op, weight, bias)?.run(x)?)
    }

    /// It reports nothing.
    pub(crate) fn check(&self) -> Result<()> {
        Ok(())
    }
}
