//! upconv as a WebAssembly module: pictures enlarged piece by piece, and the operation on arrays, with WebGPU or, in a module
//! of its own, on the CPU.
//!
//! Pictures and results stay in JavaScript's memory; in the module's own is what is being computed, and where a network
//! enlarges, the enlarged alpha and what is between two passes. Every error is a JavaScript `Error` with a sentence, and where a caller may want to
//! tell it from others, a `code`: `cancelled`, `lost`, `no-adapter`.

mod array;
mod device;
mod failure;
mod layer;
mod picture;
mod upscaler;

pub use device::Device;
pub use layer::Layer;
pub use upscaler::Upscaler;

use wasm_bindgen::prelude::wasm_bindgen;

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(js_namespace = console)]
    fn error(text: &str);
}

/// A defect of the module, of which a trap alone says nothing, is told to the console first.
#[wasm_bindgen(start)]
fn start() {
    std::panic::set_hook(Box::new(|panic| error(&panic.to_string())));
}
