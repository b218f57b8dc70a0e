//! Networks in the ONNX format: small ones against what ONNX Runtime makes of them, and files that are wrong.

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
    assert!(cases.len() >= 33);
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

/// Writes messages of protocol buffers.
mod write {
    pub(crate) fn varint(mut number: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        while number >= 0x80 {
            bytes.push(number as u8 | 0x80);
            number >>= 7;
        }
        bytes.push(number as u8);
        bytes
    }

    pub(crate) fn number(tag: u64, number: i64) -> Vec<u8> {
        [varint(tag << 3), varint(number.cast_unsigned())].concat()
    }

    pub(crate) fn bytes(tag: u64, bytes: impl AsRef<[u8]>) -> Vec<u8> {
        let bytes = bytes.as_ref();
        [varint(tag << 3 | 2), varint(bytes.len() as u64), bytes.to_vec()].concat()
    }

    pub(crate) fn float(tag: u64, float: f32) -> Vec<u8> {
        [varint(tag << 3 | 5), float.to_le_bytes().to_vec()].concat()
    }

    pub(crate) fn tensor(name: &str, kind: i64, dims: &[i64], raw: &[u8]) -> Vec<u8> {
        let dims: Vec<u8> = dims.iter().flat_map(|&extent| number(1, extent)).collect();
        [dims, number(2, kind), bytes(8, name), bytes(9, raw)].concat()
    }

    pub(crate) fn reals(name: &str, dims: &[i64], reals: &[f32]) -> Vec<u8> {
        tensor(name, 1, dims, &reals.iter().flat_map(|real| real.to_le_bytes()).collect::<Vec<_>>())
    }

    pub(crate) fn wholes(name: &str, wholes: &[i64]) -> Vec<u8> {
        let raw: Vec<u8> = wholes.iter().flat_map(|whole| whole.to_le_bytes()).collect();
        tensor(name, 7, &[wholes.len() as i64], &raw)
    }

    pub(crate) fn attribute(name: &str, kind: i64, fields: &[Vec<u8>]) -> Vec<u8> {
        bytes(5, [bytes(1, name), fields.concat(), number(20, kind)].concat())
    }

    pub(crate) fn ints(name: &str, ints: &[i64]) -> Vec<u8> {
        attribute(name, 7, &ints.iter().map(|&int| number(8, int)).collect::<Vec<_>>())
    }

    pub(crate) fn int(name: &str, int: i64) -> Vec<u8> {
        attribute(name, 2, &[number(3, int)])
    }

    pub(crate) fn text(name: &str, text: &str) -> Vec<u8> {
        attribute(name, 3, &[bytes(4, text)])
    }

    /// The operator, what it reads and what it writes; its name is `n`.
    pub(crate) fn node(kind: &str, inputs: &str, outputs: &str, attributes: &[Vec<u8>]) -> Vec<u8> {
        let named = |tag: u64, names: &str| -> Vec<u8> {
            let given = |name: &str| if name == "-" { String::new() } else { name.to_owned() };
            names.split_whitespace().flat_map(|name| bytes(tag, given(name))).collect()
        };
        [named(1, inputs), named(2, outputs), bytes(3, "n"), bytes(4, kind), attributes.concat()].concat()
    }

    /// With these extents, of which those that are 0 are not fixed.
    pub(crate) fn input(name: &str, kind: i64, shape: &[i64]) -> Vec<u8> {
        let extent = |&extent: &i64| bytes(1, if extent == 0 { Vec::new() } else { number(1, extent) });
        let shape: Vec<u8> = shape.iter().flat_map(extent).collect();
        [bytes(1, name), bytes(2, bytes(1, [number(1, kind), bytes(2, shape)].concat()))].concat()
    }

    pub(crate) fn model(opset: i64, input: &[u8], nodes: &[Vec<u8>], tensors: &[Vec<u8>]) -> Vec<u8> {
        let nodes: Vec<u8> = nodes.iter().flat_map(|node| bytes(1, node)).collect();
        let tensors: Vec<u8> = tensors.iter().flat_map(|tensor| bytes(5, tensor)).collect();
        let graph = [nodes, tensors, bytes(11, input), bytes(12, bytes(1, "y"))].concat();
        [bytes(7, graph), bytes(8, number(2, opset))].concat()
    }
}

/// What is wrong with a network of these nodes behind an input `x` of 4 channels whose extents are not fixed.
fn refusal(nodes: &[Vec<u8>], tensors: &[Vec<u8>]) -> String {
    let model = write::model(13, &write::input("x", 1, &[0, 4, 0, 0]), nodes, tensors);
    onnx::read(&model).map(|_| ()).unwrap_err().to_string()
}

#[test]
fn what_is_not_understood_is_refused_by_name() {
    use write::{int, ints, node, reals, text, wholes};
    let one = |kind: &str, inputs: &str, attributes: &[Vec<u8>]| vec![node(kind, inputs, "y", attributes)];
    let w = || reals("w", &[2, 4, 1, 1], &[0.5; 8]);
    for (nodes, tensors, expected) in [
        (one("LSTM", "x", &[]), vec![], "node \"n\" (LSTM) is of a type that is not read"),
        (one("If", "c", &[]), vec![wholes("c", &[1])], "node \"n\" (If) holds a graph"),
        (one("Loop", "x", &[]), vec![], "node \"n\" (Loop) is of a type that is not read"),
        (one("Conv", "w w", &[]), vec![w()], "is of a type that is not read of constants"),
        (one("Relu", "z", &[]), vec![], "node \"n\" (Relu) reads \"z\", which no node before it writes"),
        (one("Relu", "", &[]), vec![], "(Relu) is of a type that is not read"),
        (vec![node("Relu", "x", "x", &[])], vec![], "writes \"x\", which there is already"),
        (vec![node("Relu", "x", "y z", &[])], vec![], "writes 2 values, expected 1"),
        (vec![node("Relu", "x", "z", &[])], vec![], "output \"y\" is written by no node"),
        (one("Identity", "w", &[]), vec![w()], "output \"y\" depends on no input"),
        (one("Relu", "x", &[int("alpha", 1)]), vec![], "has the attribute \"alpha\", which is not read"),
        (one("Elu", "x", &[int("alpha", 1)]), vec![], "has a whole number as alpha, expected a number"),
        (one("Conv", "x x", &[]), vec![], "(Conv) has input 1 computed, expected a constant"),
        (one("Conv", "x w", &[]), vec![reals("w", &[2, 3, 1, 1], &[0.5; 6])], "takes 3 channels, but 4 are given"),
        (one("Conv", "x w", &[int("group", 3)]), vec![w()], "takes 12 channels, but 4 are given"),
        (one("Conv", "x w", &[ints("pads", &[1, 1])]), vec![w()], "has pads [1, 1], expected 4"),
        (one("Conv", "x w", &[ints("strides", &[1, -1])]), vec![w()], "has strides [1, -1], expected 2"),
        (one("Conv", "x w", &[ints("kernel_shape", &[3, 3])]), vec![w()], "has a kernel of [1, 1], but says [3, 3]"),
        (
            one("Conv", "x w", &[text("auto_pad", "SAME_UPPER"), ints("strides", &[2, 2])]),
            vec![w()],
            "depends on the extents of the input",
        ),
        (
            one("Conv", "x w", &[]),
            vec![reals("w", &[1, 4, 1, 1], &[1.0, f32::NAN, 0.0, 0.0])],
            "has NaN as weight 1 of 4, expected finite ones",
        ),
        (
            one("ConvTranspose", "x w", &[ints("output_shape", &[8, 8])]),
            vec![reals("w", &[4, 1, 1, 1], &[1.0; 4])],
            "(ConvTranspose) has an output_shape, which is not read",
        ),
        (
            one("BatchNormalization", "x a a a b", &[]),
            vec![reals("a", &[4], &[1.0; 4]), reals("b", &[4], &[-1.0; 4])],
            "divides by a variance that is not above 0",
        ),
        (one("Add", "x w", &[]), vec![reals("w", &[1, 1, 2, 2], &[1.0, 2.0, 3.0, 4.0])], "the shape [1, 1, 2, 2]"),
        (one("Div", "w x", &[]), vec![reals("w", &[1], &[1.0])], "divides by what is computed"),
        (one("Div", "x w", &[]), vec![reals("w", &[1], &[0.0])], "inf · x + 0, expected finite numbers"),
        (one("Softplus", "x", &[]), vec![], "output \"y\" reads a Softplus, which is read only in"),
        (
            vec![node("Erf", "x", "e", &[]), node("Relu", "e", "y", &[])],
            vec![],
            "node \"n\" (Relu) reads an Erf, which is read only in",
        ),
        (one("Concat", "x x", &[int("axis", 2)]), vec![], "concatenates along axis 2, expected the channels, 1"),
        (one("Concat", "x x", &[int("axis", -9)]), vec![], "has axis -9 of 4"),
        (one("Split", "x s", &[int("axis", 1)]), vec![wholes("s", &[3])], "splits 4 channels into 1 parts of [3]"),
        (
            one("Slice", "x a b c", &[]),
            vec![wholes("a", &[0]), wholes("b", &[5]), wholes("c", &[2])],
            "keeps 0 to 5 by 1 on axis 2, expected a start from the beginning and an end from the end",
        ),
        (
            one("Pad", "x p v", &[]),
            vec![wholes("p", &[0, 0, 1, 1, 0, 0, 1, 1]), reals("v", &[], &[2.0])],
            "pads with 2, expected 0",
        ),
        (one("Pad", "x p", &[]), vec![wholes("p", &[0, 1, 0, 0, 0, 0, 0, 0])], "pads the batch and the channels"),
        (
            one("Resize", "x - s", &[text("nearest_mode", "floor")]),
            vec![reals("s", &[4], &[1.0, 1.0, 2.0, 2.0])],
            "enlarges 2 times with the coordinates \"half_pixel\" and \"floor\", which does not repeat",
        ),
        (one("Resize", "x - s", &[]), vec![reals("s", &[4], &[1.0, 1.0, 1.5, 2.0])], "enlarges [1.5, 2.0] times"),
        (
            one("Resize", "x - s", &[text("mode", "linear"), text("coordinate_transformation_mode", "align_corners")]),
            vec![reals("s", &[4], &[1.0, 1.0, 2.0, 2.0])],
            "is linear with the coordinates \"align_corners\", expected \"half_pixel\"",
        ),
        (
            one("Resize", "x - - s", &[]),
            vec![wholes("s", &[1, 4, 32, 32])],
            "has a size on axis 2 that is no fixed multiple of its input's",
        ),
        (
            one("DepthToSpace", "x", &[int("blocksize", 3)]),
            vec![],
            "3 times as large of 4 channels, expected a multiple",
        ),
        (one("ReduceMean", "x", &[ints("axes", &[1])]), vec![], "is the mean over the axes [1], expected [2, 3]"),
        (one("Flatten", "x", &[]), vec![], "changes the shape of more than a number for each channel"),
        (
            one("Reshape", "x s", &[]),
            vec![wholes("s", &[1, 2, -1])],
            "changes the shape [batch, 4, extent 0, extent 1]",
        ),
        (one("MatMul", "x w", &[]), vec![reals("w", &[4, 4], &[0.5; 16])], "reads more than a number for each channel"),
        (one("Cast", "x", &[int("to", 7)]), vec![], "makes elements of type 7, expected real numbers"),
        (one("ConstantOfShape", "s", &[]), vec![wholes("s", &[1 << 40, 1 << 40])], "makes too many numbers"),
        (one("ConstantOfShape", "s", &[]), vec![wholes("s", &[1 << 30])], "needs more memory for constants"),
        (
            one("Range", "a b c", &[]),
            ["a", "b", "c"].iter().zip([0, i64::MAX, 1]).map(|(name, number)| wholes(name, &[number])).collect(),
            "needs more memory for constants",
        ),
        (one("Mul", "a b", &[]), vec![wholes("a", &[i64::MAX]), wholes("b", &[2])], "computes what is no whole number"),
        (
            one("Relu", "t", &[]),
            vec![write::tensor("t", 8, &[1], &[])],
            "the tensor \"t\", which has elements of type 8",
        ),
        (one("Add", "x t", &[]), vec![write::tensor("t", 1, &[3], &[0; 8])], "has 2 elements for the shape [3]"),
        (one("Add", "x t", &[]), vec![write::tensor("t", 1, &[-3], &[])], "has the shape [-3]"),
        (
            one("ReduceL2", "t", &[ints("axes", &[0])]),
            vec![write::tensor("t", 1, &[0, 1 << 40], &[])],
            "has a constant of the shape [0, 1099511627776]",
        ),
        (
            one("Add", "x t", &[]),
            vec![[write::tensor("t", 1, &[4], &[]), write::number(14, 1)].concat()],
            "reads the tensor \"t\", which lies in another file (external data)",
        ),
    ] {
        let refusal = refusal(&nodes, &tensors);
        assert!(refusal.contains(expected), "{refusal}, expected {expected}");
    }
}

#[test]
fn files_that_are_wrong_are_refused() {
    use write::{bytes, float, input, model, node, number, reals};
    let relu = || vec![node("Relu", "x", "y", &[])];
    let x = input("x", 1, &[0, 4, 0, 0]);
    let with = |more: &[u8]| [&model(13, &x, &relu(), &[])[..], more].concat();
    let graph = |parts: &[Vec<u8>]| [bytes(7, parts.concat()), bytes(8, number(2, 13))].concat();
    let foreign = [node("Gelu", "x", "y", &[]), bytes(7, "com.microsoft")].concat();
    for (file, expected) in [
        (vec![], "the file has no graph: is it one of ONNX?"),
        (b"GIF89a".to_vec(), "the file is damaged"),
        (bytes(7, []), "does not say of which opset"),
        (model(23, &x, &relu(), &[]), "the file has opset 23, expected 9 to 22"),
        (model(8, &x, &relu(), &[]), "the file has opset 8, expected 9 to 22"),
        (with(&bytes(25, bytes(1, "f"))), "the file has the function \"f\", which is not read"),
        (model(13, &x, &[foreign], &[]), "node \"n\" (Gelu) is of the domain \"com.microsoft\", which is not read"),
        (model(13, &input("x", 7, &[0, 4, 0, 0]), &relu(), &[]), "input \"x\" has elements of type 7"),
        (model(13, &input("x", 1, &[0, 4]), &relu(), &[]), "the file's tensors have 2 axes, expected 3 to 5"),
        (model(13, &input("x", 1, &[0, 0, 0]), &relu(), &[]), "input \"x\" does not say how many channels it has"),
        (model(13, &bytes(1, "x"), &relu(), &[]), "input \"x\" is no tensor"),
        (model(13, &x, &relu(), &[reals("w", &[1], &[0.0]), reals("w", &[1], &[0.0])]), "tensor \"w\" is there twice"),
        (graph(&[bytes(11, &x)]), "the file has no outputs"),
        (graph(&[bytes(11, &x), bytes(15, bytes(1, bytes(8, "s")))]), "tensor \"s\" is sparse, which is not read"),
        (graph(&vec![bytes(1, []); 20_000]), "the file has 20000 nodes, expected at most 16384"),
        (
            model(13, &x, &[node("Elu", "x", "y", &[write::attribute("alpha", 1, &[float(2, f32::INFINITY)])])], &[]),
            "has alpha inf, expected a finite number",
        ),
    ] {
        let refusal = onnx::read(&file).map(|_| ()).unwrap_err().to_string();
        assert!(refusal.contains(expected), "{refusal}, expected {expected}");
    }
}

/// What a file makes of its constants is bounded by its size, however often they are used.
#[test]
fn constants_do_not_outgrow_the_file() {
    let values = |count: i64| (0..count).map(|value| value as f32).collect::<Vec<_>>();
    let x = write::input("x", 1, &[0, 4096, 0, 0]);
    let chained = |kind: &str, constant: &str| -> Vec<Vec<u8>> {
        let name = |number: usize| if number == 0 { "x".into() } else { format!("v{number}") };
        let node = |number| write::node(kind, &format!("{} {constant}", name(number)), &name(number + 1), &[]);
        (0..4000).map(node).collect()
    };
    for (kind, tensor) in [
        ("PRelu", write::reals("c", &[4096, 1, 1], &values(4096))),
        ("Mul", write::reals("c", &[4096, 1, 1], &values(4096))),
        ("Conv", write::reals("c", &[4096, 1, 1, 1], &values(4096))),
    ] {
        let mut nodes = chained(kind, "c");
        if kind == "Conv" {
            nodes.iter_mut().for_each(|node| node.extend(write::int("group", 4096)));
        }
        let refusal = onnx::read(&write::model(13, &x, &nodes, &[tensor])).map(|_| ()).unwrap_err().to_string();
        assert!(refusal.contains("needs more memory for constants than fits to the size of the file"), "{refusal}");
    }
}

/// Weights in each of the types, raw.
#[test]
fn every_type_of_real_numbers_is_read() {
    let x = write::input("x", 1, &[0, 1, 0]);
    let numbers = [0.5_f32, -2.0, 3.0];
    for (kind, raw) in [
        (1, numbers.iter().flat_map(|number| number.to_le_bytes()).collect::<Vec<_>>()),
        (10, numbers.iter().flat_map(|&number| half::f16::from_f32(number).to_le_bytes()).collect()),
        (11, numbers.iter().flat_map(|&number| f64::from(number).to_le_bytes()).collect()),
        (16, numbers.iter().flat_map(|&number| half::bf16::from_f32(number).to_le_bytes()).collect()),
    ] {
        let tensor = write::tensor("w", kind, &[1, 1, 3], &raw);
        let graph = onnx::read(&write::model(13, &x, &[write::node("Conv", "x w", "y", &[])], &[tensor])).unwrap();
        let made = graph.on_reference(&[Tensor::f32([1, 1, 3], [1.0, 10.0, 100.0]).unwrap()]).unwrap();
        assert_eq!(made[0].to_f32(), [280.5], "type {kind}");
    }
}

/// The number of channels and of axes, where the input does not say it, is that of the first convolution.
#[test]
fn an_input_without_a_shape_is_what_the_first_convolution_takes() {
    let x = [write::bytes(1, "x"), write::bytes(2, write::bytes(1, write::number(1, 1)))].concat();
    let nodes = [write::node("Relu", "x", "a", &[]), write::node("Conv", "a w", "y", &[write::int("group", 2)])];
    let graph = onnx::read(&write::model(13, &x, &nodes, &[write::reals("w", &[2, 3, 1, 1, 1], &[1.0; 6])])).unwrap();
    assert_eq!((graph.rank(), graph.node(graph.inputs()[0]).channels()), (3, 6));
}
