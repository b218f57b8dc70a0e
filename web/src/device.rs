//! The browser's device, and what it reports.

use crate::failure::{Failure, Result};
use js_sys::Reflect;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use upconv::gpu::{AdapterRequest, Context};
use upconv::wgpu::{AdapterInfo, Backend, DeviceType};
use upconv::{DeviceClass, DeviceProfile};
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
    name: String,
    class: DeviceClass,
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
        let (name, class) = describe(&context);
        // Of an unknown device the plans would be those for the weakest hardware.
        let profile = DeviceProfile { class, max_iterations: class.max_iterations(), ..context.profile().clone() };
        let context = context.limited(profile);
        let reported = Arc::new(Mutex::new(Reported::default()));
        let (errors, losses) = (reported.clone(), reported.clone());
        context.device().on_uncaptured_error(Arc::new(move |error: upconv::wgpu::Error| {
            errors.lock().unwrap_or_else(PoisonError::into_inner).error.get_or_insert(error.to_string());
        }));
        context.device().set_device_lost_callback(move |_, reason| {
            losses.lock().unwrap_or_else(PoisonError::into_inner).lost.get_or_insert(reason);
        });
        Ok(Self { inner: Rc::new(Inner { context, name, class, reported }) })
    }

    /// What the browser calls the adapter.
    #[wasm_bindgen(getter)]
    pub fn name(&self) -> String {
        self.inner.name.clone()
    }

    /// The kind of hardware: `Desktop`, `Nvidia`, `Mobile`, `Software` or `Unknown`.
    #[wasm_bindgen(getter)]
    pub fn class(&self) -> String {
        format!("{:?}", self.inner.class)
    }

    /// Whether it computes on the CPU.
    #[wasm_bindgen(getter)]
    pub fn software(&self) -> bool {
        self.inner.class == DeviceClass::Software
    }

    /// Whether it is lost: nothing can be computed on it any more.
    #[wasm_bindgen(getter)]
    pub fn lost(&self) -> bool {
        self.inner.reported.lock().unwrap_or_else(PoisonError::into_inner).lost.is_some()
    }
}

impl Device {
    pub(crate) fn context(&self) -> &Context {
        &self.inner.context
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

/// The adapter's name, and its class as far as the name tells.
fn describe(context: &Context) -> (String, DeviceClass) {
    let info = context.device().as_webgpu().and_then(|device| Reflect::get(device, &"adapterInfo".into()).ok());
    let word = |key: &str| {
        let info = info.as_ref()?;
        Reflect::get(info, &key.into()).ok()?.as_string().filter(|word| !word.is_empty())
    };
    let words: Vec<String> = ["vendor", "architecture"].into_iter().filter_map(word).collect();
    let own = context.device().adapter_info();
    let all = AdapterInfo {
        name: format!("{} {}", own.name, words.join(" ")),
        device_type: own.device_type,
        ..AdapterInfo::new(DeviceType::Other, Backend::BrowserWebGpu)
    };
    let name = word("description").unwrap_or_else(|| words.join(" "));
    let name = if name.is_empty() { "a GPU that the browser does not name".into() } else { name };
    (name, DeviceClass::of(&all))
}
