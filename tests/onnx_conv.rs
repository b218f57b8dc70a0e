//! The Conv cases of ONNX's backend tests, on the reference and the CPU; `tests/convolution.rs` has them on a device.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "common/onnx_conv.rs"]
mod onnx_conv;

use upconv::{cpu, reference};

#[test]
fn the_reference_gives_what_onnx_expects() {
    for case in onnx_conv::onnx_cases() {
        let turned = case.convolution.turned(&case.weight).unwrap();
        let got = reference::run(case.convolution.transposed(), &case.input, &turned, case.bias.as_ref());
        case.compare(&got.unwrap());
    }
}

#[test]
fn the_cpu_gives_what_onnx_expects() {
    for case in onnx_conv::onnx_cases() {
        let layer = cpu::Layer::convolution(&case.convolution, &case.weight, case.bias.as_ref()).unwrap();
        case.compare(&layer.run(&case.input).unwrap());
    }
}
