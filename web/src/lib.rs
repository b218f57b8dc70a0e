//! upconv as a WebAssembly module: pictures enlarged piece by piece with WebGPU, and the operation on arrays.
//!
//! Pictures and results stay in JavaScript's memory; of them only the piece that is being computed is in the module's own,
//! which never grows with the picture. Every error is a JavaScript `Error` with a sentence, and where a caller may want to
//! tell it from others, a `code`: `cancelled`, `lost`, `no-adapter`.

mod alpha;
mod array;
mod colours;
mod device;
mod failure;
mod filter;
mod job;
mod layer;
mod network;
mod picture;
mod pieces;
mod upscaler;

pub use device::Device;
pub use layer::conv_transpose;
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
