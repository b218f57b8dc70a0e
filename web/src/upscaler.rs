//! What enlarges pictures, as JavaScript sees it.

use crate::array::Samples;
use crate::colours::Colours;
use crate::device::Device;
use crate::failure::{Failure, Result};
use crate::filter;
use crate::job::Job;
use crate::network::Trained;
use crate::picture::Picture;
use js_sys::{Function, Uint8ClampedArray};
use upconv::upscale::network::CHANNELS;
use upconv::upscale::{MAX_SCALE, Method, Network};
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;

/// A filter, or a network with its weights on a device.
#[wasm_bindgen]
pub struct Upscaler {
    device: Device,
    how: How,
}

enum How {
    Filter(Method),
    Trained(Box<Trained>),
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
        Ok(Self { device: device.clone(), how: How::Filter(method) })
    }

    /// A network, of the bytes of a .safetensors file.
    ///
    /// # Errors
    /// What [`Network::from_safetensors`] and [`Network::on_gpu`] refuse.
    pub fn network(device: &Device, file: &[u8]) -> std::result::Result<Upscaler, JsValue> {
        let network = Network::from_safetensors(file).map_err(Failure::from)?;
        let graph = network.on_gpu(device.context()).map_err(Failure::from)?;
        Ok(Self { device: device.clone(), how: How::Trained(Box::new(Trained { network, graph })) })
    }

    /// The factors that it can enlarge by.
    #[wasm_bindgen(getter)]
    pub fn scales(&self) -> Vec<u32> {
        match &self.how {
            How::Filter(_) => (1..=MAX_SCALE as u32).collect(),
            How::Trained(trained) => {
                let own = trained.network.scale() as u32;
                if own == 1 { vec![1] } else { vec![own, own * own] }
            }
        }
    }

    /// Enlarges a picture of RGBA, alpha straight, sRGB, into another. `on_progress` hears the share that is done, from 0 to
    /// 1; between pieces `is_cancelled` is asked.
    ///
    /// # Errors
    /// A picture of another size than is said, a factor out of reach, a result beyond the memory; what the device reports;
    /// `cancelled`, where `is_cancelled` gave true.
    pub async fn upscale(
        &self,
        rgba: Uint8ClampedArray,
        width: usize,
        height: usize,
        scale: usize,
        on_progress: Function,
        is_cancelled: Function,
    ) -> std::result::Result<Uint8ClampedArray, JsValue> {
        let from = Picture::new(Samples::Eight(rgba), width, height, 4)?;
        let passes = self.passes(scale)?;
        let wide = |side: usize| side as u64 * scale as u64;
        let what = format!("the result of {}x{} pixels", wide(width), wide(height));
        let pixels = from.pixels() * (scale * scale) as u64;
        let to = Picture::new(Samples::eight(&what, pixels * 4)?, width * scale, height * scale, 4)?;
        let opaque = from.is_opaque()?;
        match &self.how {
            How::Filter(method) => {
                let colours = match (opaque, method) {
                    (true, _) => Colours::Opaque,
                    (false, Method::Nearest) => Colours::Straight,
                    (false, _) => Colours::Premultiplied,
                };
                let mut job = Job::new(&self.device, on_progress, is_cancelled, from.pixels());
                filter::enlarge(*method, scale, colours, &from, &to, &mut job).await?;
            }
            How::Trained(trained) => {
                let own = trained.network.scale();
                let second = if passes == 2 { from.pixels() * (own * own) as u64 } else { 0 };
                // Alpha is in proportion to what covers a pixel, and no network sees it otherwise. It takes next to no time,
                // of which nothing is told.
                let silent = Function::new_no_args("");
                let mut job = Job::new(&self.device, silent, is_cancelled.clone(), from.pixels());
                let alpha = if opaque { Method::Nearest } else { Method::Bicubic };
                filter::enlarge(alpha, scale, Colours::Alpha, &from, &to, &mut job).await?;
                let mut job = Job::new(&self.device, on_progress, is_cancelled, from.pixels() + second);
                if passes == 2 {
                    let (width, height) = (width * own, height * own);
                    let length = width as u64 * height as u64 * CHANNELS as u64;
                    let between = Samples::sixteen("what is between the two passes of the network", length)?;
                    let between = Picture::new(between, width, height, CHANNELS)?;
                    trained.enlarge(&from, &between, &mut job).await?;
                    trained.enlarge(&between, &to, &mut job).await?;
                } else {
                    trained.enlarge(&from, &to, &mut job).await?;
                }
            }
        }
        match to.samples {
            Samples::Eight(made) => Ok(made),
            Samples::Sixteen(_) => Err(Failure::Said("the result has 16 bits a sample".into()).into()),
        }
    }
}

impl Upscaler {
    /// How often a filter or the network runs.
    fn passes(&self, scale: usize) -> Result<usize> {
        match &self.how {
            How::Filter(_) if (1..=MAX_SCALE).contains(&scale) => Ok(1),
            How::Filter(_) => Err(Failure::Said(format!("the factor is {scale}, expected 1 to {MAX_SCALE}"))),
            How::Trained(trained) => {
                let own = trained.network.scale();
                match scale {
                    _ if scale == own => Ok(1),
                    _ if own > 1 && scale == own * own => Ok(2),
                    _ => Err(Failure::Said(format!(
                        "the factor is {scale}, expected one of this network: {own} or its square"
                    ))),
                }
            }
        }
    }
}
