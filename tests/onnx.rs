//! Networks in the ONNX format: small ones against what ONNX Runtime makes of them, and files that are wrong.

#![cfg(feature = "onnx")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use fastrand::Rng;
use safetensors::SafeTensors;
use std::collections::BTreeSet;
use upconv::graph::{Graph, onnx};
use upconv::{DType, Tensor};

/// A network, inputs, and what ONNX Runtime gives for them.
struct Case {
    name: String,
    model: Vec<u8>,
    inputs: Vec<Tensor>,
    outputs: Vec<Tensor>,
}

fn cases() -> Vec<Case> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/onnx.safetensors");
    let bytes = std::fs::read(path).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let names: BTreeSet<String> = file.names().iter().map(|name| name.split_once('/').unwrap().0.to_string()).collect();
    let case = |name: String| {
        let tensor = |part: &str| {
            let tensor = file.tensor(&format!("{name}/{part}")).ok()?;
            let values: Vec<f32> =
                tensor.data().as_chunks::<4>().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect();
            Some(Tensor::f32(tensor.shape(), values).unwrap())
        };
        let tensors = |kind: &str| (0..).map_while(|number| tensor(&format!("{kind} {number}"))).collect();
        let model = file.tensor(&format!("{name}/model")).unwrap().data().to_vec();
        Case { model, inputs: tensors("input"), outputs: tensors("output"), name }
    };
    names.into_iter().map(case).collect()
}

/// What is wrong with the outputs, if anything.
fn compare(graph: &Graph, inputs: &[Tensor], outputs: &[Tensor]) -> Result<(), String> {
    let inputs: Vec<Tensor> = inputs.iter().map(|input| input.cast(DType::F64)).collect();
    let got = graph.on_reference(&inputs).map_err(|error| error.to_string())?;
    if got.len() != outputs.len() {
        return Err(format!("{} outputs, expected {}", got.len(), outputs.len()));
    }
    for (number, (got, expected)) in got.iter().zip(outputs).enumerate() {
        // Axes of the extent 1 may be missing in the file.
        let missing = got.shape().len().saturating_sub(expected.shape().len());
        let shape = [expected.shape(), &vec![1; missing]].concat();
        if got.shape() != shape {
            return Err(format!("output {number} has the shape {:?}, expected {:?}", got.shape(), expected.shape()));
        }
        let largest = expected.to_f64().into_iter().fold(0.0, |largest: f64, value| largest.max(value.abs()));
        for (got, expected) in got.to_f64().into_iter().zip(expected.to_f64()) {
            if (got - expected).abs() > 1e-5 * largest.max(1e-3) {
                return Err(format!("output {number} has {got}, expected {expected} among up to {largest}"));
            }
        }
    }
    Ok(())
}

#[test]
fn networks_give_what_onnx_runtime_gives() {
    let cases = cases();
    assert!(cases.len() >= 35);
    let mut wrong = Vec::new();
    for Case { name, model, inputs, outputs } in &cases {
        let graph = onnx::read(model).map_err(|error| error.to_string());
        if let Err(error) = graph.and_then(|graph| compare(&graph, inputs, outputs)) {
            wrong.push(format!("{name}: {error}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn no_prefix_and_no_flipped_byte_panics() {
    let mut rng = Rng::with_seed(331);
    for Case { model, .. } in cases() {
        for at in (0..model.len()).step_by(1 + model.len() / 200) {
            let _ = onnx::read(&model[..at]);
            let mut damaged = model.clone();
            damaged[at] = rng.u8(..);
            let _ = onnx::read(&damaged);
        }
    }
}
