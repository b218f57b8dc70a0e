//! Networks in ncnn's format: small ones against what ncnn makes of them, and files that are wrong.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use fastrand::Rng;
use safetensors::SafeTensors;
use std::collections::BTreeSet;
use upconv::graph::{Graph, ncnn};
use upconv::{DType, Tensor};

/// A network in both forms, an input, and what ncnn gives for it.
struct Case {
    name: String,
    param: Vec<u8>,
    binary: Vec<u8>,
    bin: Vec<u8>,
    input: Tensor,
    outputs: Vec<Tensor>,
}

fn cases() -> Vec<Case> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/ncnn.safetensors");
    let bytes = std::fs::read(path).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let names: BTreeSet<String> = file.names().iter().map(|name| name.split_once('/').unwrap().0.to_string()).collect();
    let case = |name: String| {
        let data = |part: &str| file.tensor(&format!("{name}/{part}")).unwrap().data().to_vec();
        let tensor = |part: &str| {
            let tensor = file.tensor(&format!("{name}/{part}")).ok()?;
            let values: Vec<f32> =
                tensor.data().as_chunks::<4>().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect();
            // A batch of one.
            Some(Tensor::f32([&[1], tensor.shape()].concat(), values).unwrap())
        };
        let outputs = (0..).map_while(|number| tensor(&format!("output {number}"))).collect();
        let (param, binary, bin) = (data("param"), data("binary"), data("bin"));
        Case { param, binary, bin, input: tensor("input").unwrap(), outputs, name }
    };
    names.into_iter().map(case).collect()
}

fn compare(name: &str, graph: &Graph, input: &Tensor, outputs: &[Tensor]) {
    let got = graph.on_reference(&[input.cast(DType::F64)]).unwrap_or_else(|error| panic!("{name}: {error}"));
    assert_eq!(got.len(), outputs.len(), "{name}");
    for (got, expected) in got.iter().zip(outputs) {
        assert_eq!(got.shape(), expected.shape(), "{name}");
        for (got, expected) in got.to_f64().into_iter().zip(expected.to_f64()) {
            assert!((got - expected).abs() <= 2e-5 * expected.abs().max(1.0), "{name}: {got}, ncnn has {expected}");
        }
    }
}

#[test]
fn networks_give_what_ncnn_gives() {
    let cases = cases();
    assert!(cases.len() >= 9);
    for Case { name, param, binary, bin, input, outputs } in &cases {
        for (form, param) in [("text", param), ("binary", binary)] {
            let graph = ncnn::read(param, bin).unwrap_or_else(|error| panic!("{name}, {form}: {error}"));
            compare(name, &graph, input, outputs);
        }
    }
}

/// What is wrong with a network of these lines behind an input of 4 channels, with so many bytes of weights.
fn refusal(lines: &[&str], bin: usize) -> String {
    let text = format!("7767517\n{} 9\nInput x 0 1 x 2=4\n{}\n", lines.len() + 1, lines.join("\n"));
    ncnn::read(text.as_bytes(), &vec![0; bin]).unwrap_err().to_string()
}

#[test]
fn what_is_not_understood_is_refused_by_name() {
    for (lines, bin, expected) in [
        (&["LSTM l 1 1 x y 0=3"][..], 0, "layer \"l\" (LSTM) is of a type that is not read"),
        (&["ReLU r 1 1 z y"], 0, "layer \"r\" (ReLU) reads the blob \"z\", which no layer before it writes"),
        (&["ReLU r 1 1 x x"], 0, "writes the blob \"x\", which there is already"),
        (&["ReLU r 1 2 x y z"], 0, "writes 2 blobs, expected 1"),
        (&["ReLU r 1 1 x y 3=1"], 0, "has parameter 3=1, which is not read"),
        (&["Convolution c 1 1 x y 0=2 1=3 6=71"], 0, "has 71 weights for 2 channels with a kernel of [3, 3]"),
        (
            &["Convolution a 1 1 x a 0=4 1=1 6=16", "Convolution c 1 1 a y 0=2 1=3 6=54"],
            68,
            "has 54 weights, for 2 channels of 4 with a kernel of [3, 3]",
        ),
        (&["Convolution c 1 1 x y 0=2 1=3 6=72"], 100, "takes 288 bytes for a weight from byte 4 on, of 100"),
        (&["Convolution c 1 1 x y 0=2 1=3 6=72"], 300, "the layers' weights end at byte 292"),
        (&["Convolution c 1 1 x y 0=2 1=3 4=-233 6=72"], 292, "has 4=-233, expected a whole number from 0 on"),
        (&["Convolution c 1 1 x y 0=2147483647 1=2147483647 6=1"], 0, "has 1 weights for 2147483647 channels"),
        (&["InnerProduct i 1 1 x y 0=2 2=8"], 36, "reads a picture, expected a number for each channel"),
        (&["Pooling p 1 1 x y 0=1 1=2"], 0, "is no global mean"),
        (&["Split s 1 2 x a b", "Pooling p 1 1 a m 0=1 4=1", "BinaryOp b 2 1 m b y"], 0, "adds a number for each"),
        (&["Crop c 1 1 x y -23309=1,0 -23310=1,5 -23311=1,1"], 0, "keeps 0 to 5 on axis 1"),
        (&["Crop c 1 1 x y 3=5 4=5 5=4"], 0, "cuts out a fixed size"),
        (&["Interp i 1 1 x y 0=1 1=2.5 2=2.5"], 0, "resamples by [5, 2] and [5, 2] with filter 1"),
        (&["Interp i 1 1 x y 0=3 1=0.123 2=0.123"], 0, "enlarges 0.123 times"),
        (&["PixelShuffle p 1 1 x y 0=2 1=1"], 0, "has the channels of a block outermost"),
        (&["PixelShuffle p 1 1 x y 0=3"], 0, "3 times as large of 4 channels, expected a multiple of 9"),
        (&["Concat c 1 1 x y 0=1"], 0, "along axis 1, expected the channels"),
        (&["BatchNorm b 1 1 x y 0=4"], 64, "divides by a variance that is not above 0"),
        (&["PReLU p 1 1 x y 0=3"], 12, "has 3 slopes, expected 1 or 4"),
        (&["Split s 1 2 x a b", "Interp i 1 1 b c 0=1 1=2.0 2=2.0", "Crop c 2 1 c a y"], 0, "depends on the size"),
    ] {
        let refusal = refusal(lines, bin);
        assert!(refusal.contains(expected), "{refusal}, expected {expected}");
    }
    for (text, expected) in [
        ("", "the .param file begins with \"\", expected 7767517"),
        ("7767517", "expected the number of layers, 1 to"),
        ("7767517\n-1 3", "has as second line \"-1 3\""),
        ("7767517\n2 2\nInput a 0 1 a", "says it has 2 layers, but has 1"),
        ("7767517\n1 2\nInput a 0 1 a\nInput b 0 1 b", "says it has 1 layers, but has more"),
        ("7767517\n1 1\nInput", "ends before its name"),
        ("7767517\n1 1\nInput a 0 9999999999 a", "expected 0 to 256"),
        ("7767517\n1 1\nInput a 0 1 a 0", "has \"0\", no key=value"),
        ("7767517\n1 1\nInput a 0 1 a x=1", "has key \"x\", no number"),
        ("7767517\n1 1\nInput a 0 1 a 0=1 0=2", "has key 0 twice"),
        ("7767517\n1 1\nInput a 0 1 a -5=1", "has key -5, out of range"),
        ("7767517\n1 1\nInput a 0 1 a -23300=3,1", "expected a list: its length and as many numbers"),
        ("7767517\n1 1\nInput a 0 1 a", "does not say how many channels it has"),
    ] {
        let refusal = ncnn::read(text.as_bytes(), &[]).unwrap_err().to_string();
        assert!(refusal.contains(expected), "{refusal}, expected {expected}");
    }
    assert!(ncnn::read(&[0xff, 0xfe], &[]).unwrap_err().to_string().contains("is no text"));
}

/// Weights of f32, f16, int8 with scales, and bytes that choose.
#[test]
fn every_tag_is_read() {
    let floats = |values: &[f32]| values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<_>>();
    let param = |more: &str| {
        format!("7767517\n2 2\nInput x 0 1 x 2=2\nConvolution c 1 1 x y 0=2 1=1 6=4 {more}\n").into_bytes()
    };
    let int8 = [&0x000D_4B38_u32.to_le_bytes()[..], &[1, 2, 0xff, 0xfe], &floats(&[2.0, 0.5, 7.0])].concat();
    let mut table = vec![0.25_f32; 256];
    (table[3], table[9]) = (-4.0, 1.0);
    let chosen = [&floats(&table)[..], &[3, 9, 0, 1]].concat();
    let plain = [&0x0002_C056_u32.to_le_bytes()[..], &floats(&[1.0, 2.0, 3.0, 4.0])].concat();
    for (more, bin, expected) in [
        ("8=1", int8, [0.5, 1.0, -2.0, -4.0]),
        ("", chosen, [-4.0, 1.0, 0.25, 0.25]),
        ("", plain, [1.0, 2.0, 3.0, 4.0]),
    ] {
        let graph = ncnn::read(&param(more), &bin).unwrap();
        let x = Tensor::f32([1, 2, 1, 2], [1.0, 0.0, 0.0, 1.0]).unwrap();
        let [a, b, c, d] = expected;
        assert_eq!(graph.on_reference(&[x]).unwrap()[0].to_f32(), [a, b, c, d]);
    }
    let refused = ncnn::read(&param(""), &[&0x000D_4B38_u32.to_le_bytes()[..], &[0; 4]].concat()).unwrap_err();
    assert!(refused.to_string().contains("has int8 weights without scales"), "{refused}");
    let infinite = [&[0; 4][..], &floats(&[1.0, f32::INFINITY, 0.0, 0.0])].concat();
    let refused = ncnn::read(&param(""), &infinite).unwrap_err();
    assert!(refused.to_string().contains("has inf as weight 1 of 4"), "{refused}");
}

/// Files with a byte changed or cut off give a network or an error.
#[test]
fn damaged_files_do_not_panic() {
    let mut rng = Rng::with_seed(330);
    for Case { param, binary, bin, .. } in cases() {
        for form in [&param, &binary] {
            for _ in 0..300 {
                let (mut form, mut bin) = (form.clone(), bin.clone());
                for _ in 0..rng.usize(1..4) {
                    let at = rng.usize(0..form.len());
                    form[at] = rng.u8(..);
                }
                if rng.bool() && !bin.is_empty() {
                    bin.truncate(rng.usize(0..bin.len()));
                }
                let _ = ncnn::read(&form, &bin);
                let _ = ncnn::read(&form[..rng.usize(0..form.len())], &bin);
            }
        }
    }
}
