//! What enlarges pictures, as JavaScript sees it.

use crate::array::Samples;
use crate::colours::Colours;
use crate::device::Device;
use crate::failure::{Failure, Result};
use crate::filter::Filter;
use crate::job::Job;
use crate::network::Trained;
use crate::picture::Picture;
use js_sys::{Function, Promise, Uint8ClampedArray};
use std::ops::Range;
use upconv::upscale::network::CHANNELS;
use upconv::upscale::{MAX_SCALE, Method, Network};
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen_futures::JsFuture;

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

    /// Enlarges a picture of RGBA, alpha straight, sRGB; `opaque` says that alpha is full everywhere. `on_band` is given the
    /// rows of the result, from the top, as they are made, and awaited; `on_progress` hears the share that is done, from 0 to 1;
    /// between pieces `is_cancelled` is asked.
    ///
    /// # Errors
    /// A picture of another size than is said, a factor out of reach, a result beyond the memory; what the device reports;
    /// `cancelled`, where `is_cancelled` gave true; what `on_band` throws.
    #[expect(clippy::too_many_arguments, reason = "a picture and three functions, from JavaScript")]
    pub async fn upscale(
        &self,
        rgba: Uint8ClampedArray,
        width: usize,
        height: usize,
        opaque: bool,
        scale: usize,
        on_band: Function,
        on_progress: Function,
        is_cancelled: Function,
    ) -> std::result::Result<(), JsValue> {
        let from = Picture::new(Samples::Eight(rgba), width, height, 4)?;
        let passes = self.passes(scale)?;
        let made = Made { width: width as u64 * scale as u64, on_band };
        match &self.how {
            How::Filter(method) => {
                let colours = match (opaque, method) {
                    (true, _) => Colours::Opaque,
                    (false, Method::Nearest) => Colours::Straight,
                    (false, _) => Colours::Premultiplied,
                };
                let filter = Filter::new(&self.device, *method, scale, colours)?;
                let mut job = Job::new(&self.device, on_progress, is_cancelled, from.pixels());
                for rows in filter.bands(&from) {
                    let band = made.band(rows.start * scale..rows.end * scale)?;
                    filter.enlarge(&from, rows, &band, &mut job).await?;
                    made.give(band).await?;
                }
            }
            How::Trained(trained) => {
                let own = trained.network.scale();
                let second = if passes == 2 { from.pixels() * (own * own) as u64 } else { 0 };
                let mut job = Job::new(&self.device, on_progress, is_cancelled.clone(), from.pixels() + second);
                let between = if passes == 2 { Some(between(&from, own)?) } else { None };
                if let Some(between) = &between {
                    for rows in trained.bands(&from)? {
                        trained.enlarge(&from, opaque, rows, between, &mut job).await?;
                    }
                }
                // Alpha is in proportion to what covers a pixel, and no network sees it otherwise. It takes next to no time, of
                // which nothing is told.
                let filter = Filter::new(&self.device, Method::Bicubic, scale, Colours::Alpha)?;
                let mut silent = Job::new(&self.device, Function::new_no_args(""), is_cancelled, 1);
                let (last, opaque_last) = between.as_ref().map_or((&from, opaque), |between| (between, true));
                for rows in trained.bands(last)? {
                    let all = rows.start * own..rows.end * own;
                    let band = made.band(all.clone())?;
                    if !opaque {
                        filter.enlarge(&from, all.start / scale..all.end.div_ceil(scale), &band, &mut silent).await?;
                    }
                    trained.enlarge(last, opaque_last, rows, &band, &mut job).await?;
                    made.give(band).await?;
                }
            }
        }
        Ok(())
    }
}

/// Where the result goes, band by band.
struct Made {
    width: u64,
    on_band: Function,
}

impl Made {
    /// Rows of the result, white and opaque.
    fn band(&self, rows: Range<usize>) -> Result<Picture> {
        let what = format!("a band of {}x{} pixels", self.width, rows.len());
        let samples = Samples::eight(&what, self.width * rows.len() as u64 * 4)?;
        Ok(Picture { first_row: rows.start, ..Picture::new(samples, self.width as usize, rows.len(), 4)? })
    }

    async fn give(&self, band: Picture) -> std::result::Result<(), JsValue> {
        if let Samples::Eight(rows) = band.samples {
            let taken = self.on_band.call1(&JsValue::NULL, &rows)?;
            JsFuture::from(Promise::resolve(&taken)).await?;
        }
        Ok(())
    }
}

/// What is between two passes of a network: the colours, in 16 bits.
fn between(from: &Picture, scale: usize) -> Result<Picture> {
    let (width, height) = (from.width * scale, from.height * scale);
    let length = from.pixels() * (scale * scale * CHANNELS) as u64;
    Picture::new(Samples::sixteen("what is between the two passes of the network", length)?, width, height, CHANNELS)
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
