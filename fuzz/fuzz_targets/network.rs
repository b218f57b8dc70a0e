//! A network's file is read or refused, and written as it is read.

#![no_main]

use libfuzzer_sys::fuzz_target;
use upconv::upscale::Network;

fuzz_target!(|bytes: &[u8]| {
    let Ok(network) = Network::from_safetensors(bytes) else { return };
    let _ = network.multiply_adds([64, 48]);
    let written = network.to_safetensors(&[]).unwrap();
    let read = Network::from_safetensors(&written).unwrap();
    assert_eq!(read, network);
});
