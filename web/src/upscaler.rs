//! What enlarges pictures, as JavaScript sees it.

use crate::device::Device;
use crate::failure::{Failure, Result};
use crate::picture::Picture;
use js_sys::{Function, Promise, Uint8ClampedArray};
use upconv::upscale::picture::{self, Options, Plan, Shape};
use upconv::upscale::{MAX_SCALE, Method, Network};
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen_futures::JsFuture;

/// What a piece and its bands may take: a tile of a network half of it. More would take long until it can be cancelled; with less,
/// the borders of tiles are computed more often.
const MEMORY: u64 = 512 << 20;

/// A filter, or a network with its weights on a device.
#[wasm_bindgen]
pub struct Upscaler {
    device: Device,
    by: By,
    inner: picture::Upscaler,
}

enum By {
    Filter(Method),
    Network(Box<Network>),
}

#[wasm_bindgen]
impl Upscaler {
    /// A filter by its name.
    ///
    /// # Errors
    /// Where there is none of this name.
    pub fn filter(device: &Device, name: &str) -> std::result::Result<Upscaler, JsValue> {
        let known = || Method::ALL.map(|method| method.to_string()).join(", ");
        let unknown = || Failure::Said(format!("there is no filter {name:?}; there are {}", known()));
        let method = Method::ALL.into_iter().find(|method| method.to_string() == name).ok_or_else(unknown)?;
        let inner = picture::Upscaler::filter(method, device.backend());
        Ok(Self { device: device.clone(), by: By::Filter(method), inner })
    }

    /// A network, of the bytes of a .safetensors file.
    ///
    /// # Errors
    /// What [`Network::from_safetensors`] and [`picture::Upscaler::network`] refuse.
    pub fn network(device: &Device, file: &[u8]) -> std::result::Result<Upscaler, JsValue> {
        let network = Network::from_safetensors(file).map_err(Failure::from)?;
        let inner = picture::Upscaler::network(network.clone(), device.backend()).map_err(Failure::from)?;
        Ok(Self { device: device.clone(), by: By::Network(Box::new(network)), inner })
    }

    /// The whole factors that it enlarges by; up to the largest of them it reaches every other factor, too.
    #[wasm_bindgen(getter)]
    pub fn scales(&self) -> Vec<u32> {
        match &self.by {
            By::Filter(_) => (1..=MAX_SCALE as u32).collect(),
            By::Network(network) => match network.scale() as u32 {
                1 => vec![1],
                own => vec![own, own * own],
            },
        }
    }

    /// Enlarges a picture of RGBA, alpha straight, sRGB, to a size; `opaque` says that alpha is full everywhere. `on_band` is
    /// given the rows of the result, from the top, as they are made, and awaited; `on_progress` hears the share that is done,
    /// from 0 to 1, and is awaited, too; between pieces `is_cancelled` is asked.
    ///
    /// # Errors
    /// A picture of another size than is said, a size out of reach, a result beyond the memory; what the device reports;
    /// `cancelled`, where `is_cancelled` gave true; what `on_band` and `on_progress` throw.
    #[expect(clippy::too_many_arguments, reason = "a picture, a size and three functions, from JavaScript")]
    pub async fn upscale(
        &self,
        rgba: Uint8ClampedArray,
        width: usize,
        height: usize,
        opaque: bool,
        to_width: usize,
        to_height: usize,
        on_band: Function,
        on_progress: Function,
        is_cancelled: Function,
    ) -> std::result::Result<(), JsValue> {
        let from = Picture::new(rgba, width, height, opaque)?;
        let plan = self.plan(from.shape(), [to_height, to_width])?;
        let emit = async |rows: Vec<u8>| awaited(&on_band, &from.rgba(rows)?.into()).await;
        let mut done = 0;
        let advance = async |pixels: u64| {
            done += pixels;
            self.device.check()?;
            awaited(&on_progress, &(done as f64 / plan.pixels() as f64).into()).await?;
            match is_cancelled.call0(&JsValue::NULL).map_err(Failure::Thrown)?.is_truthy() {
                true => Err(Failure::Cancelled),
                false => Ok(()),
            }
        };
        Ok(self.inner.run_async(&plan, &from, emit, advance).await?)
    }
}

impl Upscaler {
    fn plan(&self, from: Shape, to: [usize; 2]) -> Result<Plan> {
        let options = Options { memory: MEMORY, ..Options::default() };
        Ok(match &self.by {
            By::Filter(method) => Plan::filter(*method, from, to, options)?,
            By::Network(network) => Plan::network(network, from, to, options)?,
        })
    }
}

/// Calls a function of JavaScript's with a value, and waits for what it returns.
async fn awaited(function: &Function, value: &JsValue) -> Result<()> {
    let returned = function.call1(&JsValue::NULL, value).map_err(Failure::Thrown)?;
    JsFuture::from(Promise::resolve(&returned)).await.map_err(Failure::Thrown)?;
    Ok(())
}
