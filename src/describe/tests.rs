use super::Operation;
use crate::convention::{AutoPad, Convention, Padding, flip_kernel};
use crate::{Accuracy, Activation, ConvTranspose, Layout, OutputPaddingPolicy, Tensor, WeightLayout, reference};
use fastrand::Rng;

fn resolve(text: &str) -> crate::Result<ConvTranspose> {
    Operation::from_json(text)?.resolve(&[1, 1, 4, 4], &[1, 1, 3, 3], OutputPaddingPolicy::Strict)
}

#[track_caller]
fn refusal(text: &str) -> String {
    resolve(text).unwrap_err().to_string()
}

/// Pads, dilation and output padding of the first axis.
#[track_caller]
fn first_axis(text: &str) -> (i64, i64, usize, usize) {
    let axis = resolve(text).unwrap().axes()[0];
    (axis.pad_begin, axis.pad_end, axis.dilation, axis.output_padding)
}

#[test]
fn what_is_missing_has_its_default() {
    let op = Operation::from_json("{}").unwrap().resolve(&[4, 5], &[4, 6, 3], OutputPaddingPolicy::Strict).unwrap();
    assert_eq!((op.in_channels(), op.out_channels(), op.rank()), (4, 6, 1));
    assert_eq!(op.at(&[4, 5]).unwrap().output_shape(), [6, 7]);
}

#[test]
fn the_accuracy_is_read_written_and_refused() {
    assert_eq!(resolve("{}").unwrap().accuracy(), Accuracy::Elementwise);
    let op = resolve(r#"{"accuracy": "Normwise"}"#).unwrap();
    assert_eq!(op.accuracy(), Accuracy::Normwise);
    let text = serde_json::to_string(&op).unwrap();
    assert!(text.contains(r#""accuracy":"normwise""#), "{text}");
    assert_eq!(serde_json::from_str::<ConvTranspose>(&text).unwrap(), op);
    let other = refusal(r#"{"accuracy": "exact"}"#);
    assert!(other.contains(r#"accuracy is "exact", expected one of elementwise, normwise, half"#), "{other}");
}

#[test]
fn keys_that_were_ignored_or_guessed_are_refused() {
    for (text, expected) in [
        (
            r#"{"dilation_rate": [2, 2]}"#,
            r#"unknown key "dilation_rate", expected "dilations"; "convention": "keras" has this key"#,
        ),
        (
            r#"{"rhs_dilation": [2, 2]}"#,
            r#"unknown key "rhs_dilation", expected "dilations"; "convention": "jax" has this key"#,
        ),
        (r#"{"dilate": [2, 2]}"#, r#"unknown key "dilate", expected "dilations"; "convention": "mxnet" has this key"#),
        (r#"{"adj": [1, 1]}"#, r#"unknown key "adj", expected "output_padding"; "convention": "mxnet" has this key"#),
        (
            r#"{"target_shape": [6, 6]}"#,
            r#"unknown key "target_shape", expected "output_shape"; "convention": "mxnet" has this key"#,
        ),
        (r#"{"transpose_kernel": true}"#, r#"unknown key "transpose_kernel"; "convention": "jax" has this key"#),
        (
            r#"{"flip_kernel": true}"#,
            r#"unknown key "flip_kernel", expected "transpose_kernel", its opposite, in "convention": "jax""#,
        ),
        (r#"{"Strides": [2, 2]}"#, r#"unknown key "Strides", expected "strides""#),
        (
            r#"{"stride": [2, 2]}"#,
            r#"unknown key "stride", expected "strides"; "convention": "pytorch" or "mxnet" has this key"#,
        ),
        (r#"{"strdies": [2, 2]}"#, r#"unknown key "strdies", expected "strides""#),
        (r#"{"paddings": [2, 2]}"#, r#"unknown key "paddings", expected "pads""#),
        (r#"{"schema": 1, "dilation_rate": [2, 2]}"#, r#"unknown key "dilation_rate""#),
        (r#"{"schema": 1, "Strides": [2, 2]}"#, r#"unknown key "Strides""#),
        (r#"{"kernel_shape": [5, 5]}"#, "kernel_shape is [5, 5], but the weight's kernel is [3, 3]"),
        (
            r#"{"convention": "keras", "rhs_dilation": 2}"#,
            r#"unknown key "rhs_dilation" in convention "keras", expected "dilations"; "convention": "jax" has this key"#,
        ),
        (r#"{"convention": "keras", "auto_pad": "valid"}"#, r#"unknown key "auto_pad" in convention "keras""#),
        (r#"{"convention": "keras", "dilation_rate": 1, "dilations": 1}"#, r#""dilations" and "dilations" say"#),
        (r#"{"convention": "caffe"}"#, "convention: unknown variant `caffe`, expected one of `explicit`, `pytorch`"),
        (r#"{"strides": [2, 2], "groups": 1, "strides": [1, 1]}"#, r#"the key "strides" stands twice in an object"#),
        (r#"{"activation": {"kind": "relu", "kind": "mish"}}"#, r#"the key "kind" stands twice in an object"#),
        (r#"{"entirely_else": 1}"#, r#"unknown key "entirely_else", expected one of convention, strides"#),
    ] {
        let refusal = refusal(text);
        let expected = if expected.contains("say") { "say the same twice" } else { expected };
        assert!(refusal.contains(expected), "{refusal}, expected {expected}");
    }
    let long = "k".repeat(10_000);
    for text in [
        format!(r#"{{"{long}": 1}}"#),
        format!(r#"{{"auto_pad": "{long}"}}"#),
        format!(r#"{{"{long}": 1, "{long}": 1}}"#),
        format!(r#"{{"convention": "{long}"}}"#),
        format!(r#"{{"activation": {{"kind": "{long}"}}}}"#),
        format!(r#"{{"op": "{long}"}}"#),
        format!(r#"{{"strides": "{long}"}}"#),
        format!(r#"{{"input_layout": "{long}"}}"#),
        format!(r#"{{"filter_layout": "{long}"}}"#),
    ] {
        assert!(refusal(&text).len() < 500, "{}", refusal(&text));
    }
}

#[test]
fn notes_are_ignored() {
    assert!(Operation::from_json(r#"{"notes": "mine", "name": 3, "source": null}"#).is_ok());
    assert!(Operation::from_json(r#"{"schema": 1, "tags": [], "y_shape": [1], "tolerance": NaN}"#).is_ok());
    assert!(Operation::from_json(r#"{"tolerance": 0}"#).is_err());
}

#[test]
fn what_other_writers_write_is_read() {
    let text = "\u{feff}{\"notes\": \"a \\\"NaN\\\" stays\", \"auto_pad\": null, \"input_layout\": \"NCHW\",
        \"activation\": {\"type\": \"clip\", \"alpha\": -Infinity, \"beta\": Infinity}}";
    let op = resolve(text).unwrap();
    assert_eq!(op.activation(), &Activation::Clip { min: f32::NEG_INFINITY, max: f32::INFINITY });
    let op = resolve(r#"{"auto_pad": "SAME_UPPER", "strides": [2, 2]}"#).unwrap();
    assert_eq!(op.at(&[1, 1, 4, 4]).unwrap().output_shape(), [1, 1, 8, 8]);
    assert!(
        refusal(r#"{"activation": {"type": "leaky_relu", "alpha": NaN}}"#).contains("invalid type: string \"NaN\"")
    );
}

#[test]
fn an_output_padding_that_the_rule_ignores_is_not_checked() {
    let text = r#"{"strides": [2, 2], "output_padding": [2, 2], "output_shape": [9, 9], "output_shape_rule": "webnn"}"#;
    assert_eq!(resolve(text).unwrap().at(&[1, 1, 4, 4]).unwrap().output_shape(), [1, 1, 9, 9]);
}

#[test]
fn each_framework_has_its_own_keys() {
    // Kernel 3 and input 4 on each axis: stride 2 makes 9, dilation 2 at stride 2 makes 11.
    for (text, expected) in [
        (
            r#"{"convention": "keras", "dilation_rate": [2, 2], "strides": 1, "kernel_size": 3, "data_format": "channels_first"}"#,
            (0, 0, 2, 0),
        ),
        (r#"{"convention": "keras", "strides": 2, "padding": "SAME"}"#, (0, 1, 1, 0)),
        (r#"{"convention": "keras", "strides": 2, "padding": "same", "output_padding": 1}"#, (0, 1, 1, 0)),
        (r#"{"convention": "tensorflow", "strides": 2, "padding": "VALID", "data_format": "NCHW"}"#, (0, 0, 1, 0)),
        (
            r#"{"convention": "jax", "rhs_dilation": [2, 2], "padding": [[4, 4], [4, 4]], "transpose_kernel": true}"#,
            (0, 0, 2, 0),
        ),
        (r#"{"convention": "jax", "padding": [[1, 2], [1, 2]]}"#, (1, 0, 1, 0)),
        (r#"{"convention": "jax", "padding": "SAME", "strides": [2, 2]}"#, (0, 1, 1, 0)),
        (
            r#"{"convention": "mxnet", "kernel": [3, 3], "stride": [2, 2], "pad": [1, 1], "dilate": [2, 2], "adj": [1, 1]}"#,
            (1, 1, 2, 1),
        ),
        (r#"{"convention": "mxnet", "stride": 2, "pad": 1}"#, (1, 1, 1, 0)),
        // Of 3 to crop: 2 at both ends, and one of output padding.
        (r#"{"convention": "mxnet", "stride": 2, "target_shape": [6, 6]}"#, (2, 1, 1, 0)),
        (
            r#"{"convention": "pytorch", "stride": 2, "padding": [1, 1], "output_padding": 1, "kernel_size": [3, 3]}"#,
            (1, 1, 1, 1),
        ),
        (r#"{"convention": "pytorch", "stride": 2, "padding": 1, "output_size": [8, 8]}"#, (1, 0, 1, 0)),
        (
            r#"{"convention": "onnx", "strides": [2, 2], "pads": [1, 0, 2, 0], "kernel_shape": [3, 3], "group": 1}"#,
            (1, 2, 1, 0),
        ),
        (r#"{"convention": "onnx", "strides": [2, 2], "auto_pad": "SAME_LOWER"}"#, (1, 0, 1, 0)),
        (r#"{"convention": "webnn", "strides": [2, 2], "padding": [1, 2, 0, 0], "inputLayout": "nchw"}"#, (1, 2, 1, 0)),
        (r#"{"convention": "explicit", "strides": 2, "pads": [[1, 2], [0, 0]]}"#, (1, 2, 1, 0)),
    ] {
        assert_eq!(first_axis(text), expected, "{text}");
    }
}

#[test]
fn jax_mirrors_the_kernel_unless_it_is_told_not_to() {
    let described = |text: &str| Operation::from_json(text).unwrap();
    let jax = described(r#"{"convention": "jax", "padding": "VALID", "strides": [2], "transpose_kernel": false}"#);
    assert!(jax.flips_kernel() && described(r#"{"convention": "jax"}"#).flips_kernel());
    assert!(!described(r#"{"convention": "jax", "transpose_kernel": true}"#).flips_kernel());
    assert!(!described("{}").flips_kernel());
    // jax.lax.conv_transpose(x, w, (2,), "VALID", dimension_numbers=("NCW", "IOW", "NCW")) of [1 2 3] and [1 10 100].
    let op = jax.resolve(&[1, 1, 3], &[1, 1, 3], OutputPaddingPolicy::Strict).unwrap();
    let x = Tensor::f32([1, 1, 3], [1.0, 2.0, 3.0]).unwrap();
    let w = flip_kernel(&op, &Tensor::f32([1, 1, 3], [1.0, 10.0, 100.0]).unwrap()).unwrap();
    let y = reference::run(&op, &x, &w, None).unwrap();
    assert_eq!(y.to_f32(), [100.0, 10.0, 201.0, 20.0, 302.0, 30.0, 3.0]);
}

#[test]
fn values_are_refused_with_their_numbers() {
    for (text, expected) in [
        (r#"{"strides": [2, -1]}"#, "strides[1] is -1, expected at least 1"),
        (r#"{"strides": [2, 0]}"#, "strides[1] is 0, expected at least 1"),
        (r#"{"strides": [2]}"#, "stride has 1 values, expected 2: one for each spatial axis"),
        (r#"{"strides": "two"}"#, "strides: invalid type: string \"two\", expected a whole number or a list"),
        (r#"{"strides": [1.5, 1]}"#, "strides[0]: invalid type: floating point `1.5`"),
        (r#"{"groups": 0}"#, "groups is 0, expected at least 1"),
        (
            r#"{"op": "conv_transpose1d"}"#,
            "op is \"conv_transpose1d\", expected \"conv_transpose2d\" for a weight of 2 spatial axes",
        ),
        (r#"{"dims": 3}"#, "dims is 3, but the weight has 2 spatial axes"),
        (r#"{"auto_pad": "same"}"#, "auto_pad is \"same\", expected"),
        (r#"{"pads": [1, 1]}"#, "pads has 1 for an axis, expected [begin, end]"),
        (r#"{"pads": 1}"#, "pads is 1, expected [begin, end] for each axis"),
        (r#"{"pads": [[0, 0], [0]]}"#, "pads [0] have 1 values, expected [begin, end]"),
        (r#"{"pads": [[-1, 0], [0, 0]]}"#, "pads [-1, 0] are negative, expected at least 0"),
        (
            r#"{"input_layout": "nhw"}"#,
            "input_layout \"nhw\" does not go with a weight of 2 spatial axes, expected \"nchw\" or \"nhwc\"",
        ),
        (r#"{"input_layout": "chw"}"#, "input has shape [1, 1, 4, 4], expected 3 axes as input_layout \"chw\" says"),
        (r#"{"filter_layout": "whio"}"#, "expected one of iohw, hwoi, ohwi, oihw, hwio, ihwo"),
        (r#"{"activation": {"type": "softplus"}}"#, "activation: kind: unknown variant `softplus`"),
        (r#"{"activation": {"type": "clip", "alpha": 2, "beta": 1}}"#, "min 2 and max 1"),
        (r#"{"convention": "keras", "padding": [1, 1]}"#, "padding is no word, expected \"same\" or \"valid\""),
        (r#"{"convention": "jax"}"#, "padding must be"),
        ("[1]", "expected a JSON object, got a list"),
        ("{", "not valid JSON"),
        (r#"{"groups": 3}"#, "groups 3 must divide in_channels 1"),
    ] {
        let refusal = refusal(text);
        assert!(refusal.contains(expected), "{refusal}, expected {expected}");
    }
}

fn conventions(rank: usize) -> Vec<Convention> {
    let sizes = |size: usize| vec![size; rank];
    let mut all = vec![
        Convention::Explicit,
        Convention::OutputSize(sizes(9)),
        Convention::Jax { padding: vec![(2, 3); rank] },
        Convention::MxNet { target_shape: sizes(6) },
    ];
    for output_shape in [None, Some(sizes(7))] {
        for auto_pad in [AutoPad::NotSet, AutoPad::SameUpper, AutoPad::SameLower, AutoPad::Valid] {
            all.push(Convention::Onnx { auto_pad, output_shape: output_shape.clone() });
        }
        for padding in [Padding::Same, Padding::Valid] {
            all.push(Convention::TensorFlow { padding, output_shape: output_shape.clone() });
            all.push(Convention::Keras { padding, output_padding: sizes(1) });
        }
    }
    all
}

#[test]
fn every_convention_survives_json() {
    for convention in (1..=3).flat_map(conventions) {
        let text = serde_json::to_string(&convention).unwrap();
        assert_eq!(serde_json::from_str::<Convention>(&text).unwrap(), convention, "{text}");
    }
    for (text, expected) in [
        (r#"{"convention": "onnx", "strides": [1]}"#, "strides are of an operation, not of a convention"),
        (r#"{"convention": "jax", "padding": "same", "transpose_kernel": true}"#, "transpose_kernel are of"),
        (r#"{"convention": "onnx", "convention": "jax"}"#, "stands twice"),
    ] {
        let refusal = serde_json::from_str::<Convention>(text).unwrap_err().to_string();
        assert!(refusal.contains(expected), "{refusal}, expected {expected}");
    }
}

/// Some operation of all there can be, negative pads and any output padding included.
fn any_operation(rng: &mut Rng) -> ConvTranspose {
    let rank = rng.usize(1..=3);
    let mut each = |least: usize, most: usize| (0..rank).map(|_| rng.usize(least..=most)).collect::<Vec<_>>();
    let (kernel, stride, dilation, output_padding) = (each(1, 4), each(1, 3), each(1, 3), each(0, 4));
    let padding: Vec<(i64, i64)> = (0..rank).map(|_| (rng.i64(-3..=3), rng.i64(-3..=3))).collect();
    let (groups, out_channels) = (rng.usize(1..=3), rng.usize(1..=3));
    let activations = [
        Activation::None,
        Activation::Gelu,
        Activation::LeakyRelu { alpha: rng.f32() },
        Activation::Prelu { slopes: (0..groups * out_channels).map(|_| rng.f32() - 0.5).collect() },
        Activation::Clip { min: -rng.f32(), max: f32::INFINITY },
    ];
    ConvTranspose::builder()
        .in_channels(groups * rng.usize(1..=3))
        .out_channels(groups * out_channels)
        .groups(groups)
        .kernel(kernel)
        .stride(stride)
        .dilation(dilation)
        .output_padding(output_padding)
        .output_padding_policy(OutputPaddingPolicy::Lenient)
        .padding(padding)
        .layout([Layout::ChannelsFirst, Layout::ChannelsLast][rng.usize(..2)])
        .weight_layout(WeightLayout::ALL[rng.usize(..6)])
        .activation(activations[rng.usize(..5)].clone())
        .build()
        .unwrap()
}

#[test]
fn every_operation_survives_json() {
    let mut rng = Rng::with_seed(6);
    for _ in 0..500 {
        let op = any_operation(&mut rng);
        let text = serde_json::to_string(&op).unwrap();
        assert_eq!(serde_json::from_str::<ConvTranspose>(&text).unwrap(), op, "{text}");
    }
    for (text, expected) in [
        (r#"{"strides": [1]}"#, "w_shape is missing"),
        (r#"{"w_shape": [1, 1, 3], "auto_pad": "same_upper"}"#, "needs an input's shape"),
        (r#"{"w_shape": [1, 1, 3], "dims": 1, "strids": [1]}"#, "expected \"strides\""),
    ] {
        let refusal = serde_json::from_str::<ConvTranspose>(text).unwrap_err().to_string();
        assert!(refusal.contains(expected), "{refusal}, expected {expected}");
    }
}

#[test]
fn an_operation_with_its_convention_survives_json() {
    let mut rng = Rng::with_seed(7);
    let (mut placed, mut refused) = (0, 0);
    for _ in 0..200 {
        let op = any_operation(&mut rng);
        if op.axes().iter().any(|axis| axis.pad_begin < 0 || axis.pad_end < 0) {
            continue;
        }
        let spatial = vec![rng.usize(1..=5); op.rank()];
        let channels = [op.in_channels()];
        let input = match op.layout() {
            Layout::ChannelsFirst => [&[1], &channels[..], &spatial].concat(),
            Layout::ChannelsLast => [&[1], &spatial[..], &channels].concat(),
        };
        for convention in conventions(op.rank()) {
            let described = Operation::new(&op, &convention);
            let text = serde_json::to_string(&described).unwrap();
            let read = Operation::from_json(&text).unwrap();
            assert_eq!(read, described, "{text}");
            assert!(!read.flips_kernel());
            let given = read.resolve(&input, read.weight_shape().unwrap(), OutputPaddingPolicy::Lenient);
            match (convention.resolve(&op, &input), given) {
                (Ok(expected), given) => {
                    assert_eq!(given.unwrap(), expected, "{text}");
                    placed += 1;
                }
                (Err(expected), given) => {
                    assert_eq!(given.unwrap_err().to_string(), expected.to_string(), "{text}");
                    refused += 1;
                }
            }
        }
    }
    assert!(placed > 100 && refused > 10, "{placed} {refused}");
}
