//! The browser's device, and what it reports.

use crate::failure::{Failure, Result};
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use upconv::gpu::{AdapterRequest, Context, Layer};
use upconv::upscale::picture::Backend;
use upconv::{ConvTranspose, DeviceClass, Kernel, Tensor};
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;

/// The device that computes. One serves for all pictures.
#[wasm_bindgen]
#[derive(Clone)]
pub struct Device {
    inner: Rc<Inner>,
}

struct Inner {
    context: Context,
    /// The first error that the device reported and nothing else caught, and why it was lost.
    reported: Arc<Mutex<Reported>>,
}

#[derive(Default)]
struct Reported {
    error: Option<String>,
    lost: Option<String>,
}

#[wasm_bindgen]
impl Device {
    /// Asks the browser for its adapter, and that for a device.
    ///
    /// # Errors
    /// What [`Context::request_async`] refuses.
    pub async fn request() -> std::result::Result<Device, JsValue> {
        let context = Context::request_async(&AdapterRequest::default()).await.map_err(Failure::from)?;
        let reported = Arc::new(Mutex::new(Reported::default()));
        let (errors, losses) = (reported.clone(), reported.clone());
        context.device().on_uncaptured_error(Arc::new(move |error: upconv::wgpu::Error| {
            errors.lock().unwrap_or_else(PoisonError::into_inner).error.get_or_insert(error.to_string());
        }));
        context.device().set_device_lost_callback(move |_, reason| {
            losses.lock().unwrap_or_else(PoisonError::into_inner).lost.get_or_insert(reason);
        });
        Ok(Self { inner: Rc::new(Inner { context, reported }) })
    }

    /// What the browser calls the adapter.
    #[wasm_bindgen(getter)]
    pub fn name(&self) -> String {
        let described = self.inner.context.adapter_name();
        match described.split(" (").next().filter(|name| !name.is_empty()) {
            Some(name) => name.into(),
            None => "a GPU that the browser does not name".into(),
        }
    }

    /// The kind of hardware: `Desktop`, `Nvidia`, `Mobile`, `Software` or `Unknown`.
    #[wasm_bindgen(getter)]
    pub fn class(&self) -> String {
        format!("{:?}", self.inner.context.profile().class)
    }

    /// Whether it computes on the CPU.
    #[wasm_bindgen(getter)]
    pub fn software(&self) -> bool {
        self.inner.context.profile().class == DeviceClass::Software
    }

    /// Whether it is lost: nothing can be computed on it any more.
    #[wasm_bindgen(getter)]
    pub fn lost(&self) -> bool {
        self.inner.reported.lock().unwrap_or_else(PoisonError::into_inner).lost.is_some()
    }
}

impl Device {
    pub(crate) fn backend(&self) -> Backend {
        Backend::Gpu(self.inner.context.clone())
    }

    pub(crate) fn layer(&self, op: &ConvTranspose, weight: &Tensor, bias: Option<&Tensor>) -> Result<DeviceLayer> {
        Ok(DeviceLayer(Layer::new(&self.inner.context, op, weight, bias)?))
    }

    /// Fails where the device has reported something since the last time: then results are not to be trusted.
    pub(crate) fn check(&self) -> Result<()> {
        let mut reported = self.inner.reported.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(reason) = &reported.lost {
            return Err(Failure::Lost(reason.clone()));
        }
        match reported.error.take() {
            Some(error) => Err(Failure::Said(format!("the device reported an error: {error}"))),
            None => Ok(()),
        }
    }
}

/// An operation with its weights on the device.
pub(crate) struct DeviceLayer(Layer);

impl DeviceLayer {
    /// By a kernel of this name if one is given.
    pub(crate) async fn run(&self, x: &Tensor, kernel: Option<&str>) -> Result<Tensor> {
        Ok(match kernel {
            None => self.0.run_async(x).await?,
            Some(name) => self.0.run_with_async(x, named(name)?).await?,
        })
    }
}

fn named(name: &str) -> Result<Kernel> {
    let known = || Kernel::ALL.iter().map(|kernel| kernel.name()).collect::<Vec<_>>().join(", ");
    let unknown = || Failure::Said(format!("there is no kernel {name:?}; there are {}", known()));
    Kernel::ALL.iter().copied().find(|kernel| kernel.name() == name).ok_or_else(unknown)
}
