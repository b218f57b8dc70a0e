//! Trained networks, on the CPU and the reference: against an f64 evaluation made elsewhere, against convolution as it
//! is defined, and files that are refused.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;
#[path = "common/network.rs"]
mod shipped;

use fastrand::Rng;
use shipped::{check, expected, network, picture, pixels};
use upconv::graph::{Beyond, Graph, Operation};
use upconv::upscale::network::{Frame, Kind, Layer};
use upconv::upscale::{Encoding, Network};
use upconv::{Accuracy, Activation, ConvTranspose, DType, Tensor, reference};

/// A convolution of stride 1 as it is defined, in f64.
fn convolution(x: &Tensor, weight: &Tensor, groups: usize, padding: [usize; 2], dilation: [usize; 2]) -> Vec<f64> {
    let (&[_, _, h, w], &[out_channels, in_group, kh, kw]) = (x.shape(), weight.shape()) else { panic!() };
    let extent = |size: usize, kernel: usize, axis: usize| size + 2 * padding[axis] - dilation[axis] * (kernel - 1);
    let (oh, ow) = (extent(h, kh, 0), extent(w, kw, 1));
    let (x, weight) = (x.to_f64(), weight.to_f64());
    let mut y = Vec::new();
    for co in 0..out_channels {
        let group = co / (out_channels / groups);
        for oy in 0..oh {
            for ox in 0..ow {
                let mut sum = 0.0;
                for ci in 0..in_group {
                    for ky in 0..kh {
                        for kx in 0..kw {
                            let iy = (oy + ky * dilation[0]).wrapping_sub(padding[0]);
                            let ix = (ox + kx * dilation[1]).wrapping_sub(padding[1]);
                            if iy < h && ix < w {
                                sum += x[((group * in_group + ci) * h + iy) * w + ix]
                                    * weight[((co * in_group + ci) * kh + ky) * kw + kx];
                            }
                        }
                    }
                }
                y.push(sum);
            }
        }
    }
    y
}

#[test]
fn a_convolution_is_a_transposed_one() {
    let mut rng = Rng::with_seed(5);
    for _ in 0..50 {
        let mut upto = |most: usize| rng.usize(1..=most);
        let (groups, in_group, out_group) = (upto(3), upto(3), upto(3));
        let (kernel, dilation) = ([upto(4), upto(4)], [upto(3), upto(3)]);
        let padding = [upto(4) - 1, upto(4) - 1];
        let size = [10 + upto(5), 10 + upto(5)];
        let shape = [1, groups * in_group, size[0], size[1]];
        let x = common::tensor(&mut rng, &shape, common::Values::Integers);
        let shape = [groups * out_group, in_group, kernel[0], kernel[1]];
        let weight = common::tensor(&mut rng, &shape, common::Values::Integers);

        let pads = [0, 1].map(|axis| (dilation[axis] * (kernel[axis] - 1)) as i64 - padding[axis] as i64);
        let op = ConvTranspose::builder()
            .in_channels(groups * in_group)
            .out_channels(groups * out_group)
            .groups(groups)
            .kernel(kernel)
            .dilation(dilation)
            .padding(pads)
            .build()
            .unwrap();
        let (same, rotated) = ConvTranspose::from_convolution(&weight, padding, dilation, groups).unwrap();
        assert_eq!(same, op);
        let given = reference::run(&op, &x, &rotated, None).unwrap();
        let layer = Layer { padding, dilation, groups, ..Layer::new(Kind::Convolution, weight.clone()) };
        assert_eq!(layer.operation().unwrap().0, op);
        assert_eq!(given.to_f64(), convolution(&x, &weight, groups, padding, dilation));
    }
}

#[test]
fn the_shipped_network_gives_what_is_expected() {
    let network = network();
    assert_eq!((network.scale(), network.border(), network.crop(), network.graph().nodes().len()), (2, 7, 0, 8));
    let input = network.pad(&picture("chelsea_67x45.png")).unwrap();
    let on_cpu = network.on_cpu().unwrap();
    let run = |input: &Tensor| on_cpu.run(std::slice::from_ref(input)).unwrap().remove(0);
    check(&network.trim(&run(&input), [45, 67]).unwrap(), 1e-5);
    assert_eq!(run(&input), run(&input), "in the memory of the run before");
    // A picture in f16: eleven bits of it.
    check(&network.trim(&run(&input.cast(DType::F16)), [45, 67]).unwrap(), 2e-3);
}

/// The picture has dark places that the network makes darker than black. They must be black: a conversion to an
/// unsigned integer before they are clamped makes them coloured dots.
#[test]
fn values_below_0_are_black() {
    let (raw, (bytes, h, w)) = (expected(), pixels("chelsea_67x45_photo_2x.png"));
    let below = raw.iter().enumerate().filter(|&(_, &value)| value < -0.5 / 255.0);
    let mut count = 0;
    for (index, value) in below {
        let (channel, pixel) = (index / (h * w), index % (h * w));
        assert_eq!(bytes[pixel * 3 + channel], 0, "{value}");
        count += 1;
    }
    assert!(count > 0, "the picture has no such place");
}

/// In f64, against which both are judged, and in pieces: no element depends on what is beyond the border.
#[test]
fn a_piece_of_a_picture_is_a_piece_of_the_result() {
    let network = network();
    let whole = picture("chelsea_67x45.png");
    let (border, scale) = (network.border(), network.scale());
    let both = 2 * border;
    let cut = |top: usize, left: usize, h: usize, w: usize| {
        let data = whole.to_f64();
        let rows = (0..3).flat_map(|channel| (top..top + h).map(move |y| (channel * 45 + y) * 67 + left));
        let values: Vec<f64> = rows.flat_map(|first| data[first..first + w].to_vec()).collect();
        Tensor::new([1, 3, h, w], upconv::Data::F64(values)).unwrap()
    };
    let (h, w) = (8, 5);
    let exact = network.on_reference(&cut(2, 20, h + both, w + both)).unwrap();
    let (exact, expected) = (network.trim(&exact, [h, w]).unwrap(), expected());
    assert_eq!(exact.shape(), [1, 3, h * scale, w * scale]);
    for (index, value) in exact.to_f32().into_iter().enumerate() {
        let (channel, y, x) = (index / (h * w * 4), index / (w * 2) % (h * 2), index % (w * 2));
        let place = (channel * 90 + (2 + border) * 2 + y) * 134 + (20 + border) * 2 + x;
        assert!((value - expected[place]).abs() < 1e-6, "{value} {}", expected[place]);
    }
}

/// Three layers that change nothing, of all kinds that a file can hold.
fn small(padding: usize, activation: Activation) -> Vec<Layer> {
    let mut identity = vec![0.0; 3 * 3 * 9];
    (0..3).for_each(|channel| identity[channel * 27 + channel * 9 + 4] = 1.0);
    let nearest: Vec<f32> = (0..9).flat_map(|pair| [if pair % 4 == 0 { 1.0 } else { 0.0 }; 4]).collect();
    vec![
        Layer {
            padding: [padding; 2],
            bias: Some(Tensor::f32([3], [0.0; 3]).unwrap().into()),
            ..Layer::new(Kind::Convolution, Tensor::f32([3, 3, 3, 3], identity.clone()).unwrap())
        },
        Layer {
            padding: [2; 2],
            dilation: [2; 2],
            groups: 3,
            activation,
            ..Layer::new(
                Kind::Convolution,
                Tensor::f32([3, 1, 3, 3], [0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0].repeat(3)).unwrap(),
            )
        },
        Layer { stride: [2; 2], ..Layer::new(Kind::Transposed, Tensor::f32([3, 3, 2, 2], nearest).unwrap()) },
    ]
}

#[test]
fn files_are_read_as_they_were_written() {
    let slopes = vec![0.5, 0.25, 0.1];
    for activation in [
        Activation::None,
        Activation::Relu,
        Activation::LeakyRelu { alpha: 0.1 },
        Activation::Snake { alphas: slopes.clone() },
        Activation::Elu { alpha: 0.5 },
        Activation::Silu,
        Activation::Prelu { slopes },
        Activation::Clip { min: -0.5, max: 1e30 },
        Activation::Sigmoid,
        Activation::Tanh,
        Activation::HardSwish { alpha: 1.0 / 6.0, beta: 0.5 },
        Activation::Mish,
        Activation::Gelu,
    ] {
        let network = Network::with_least_border(&small(1, activation)).unwrap();
        let bytes = network.to_safetensors(&[("licence", "none")]).unwrap();
        assert_eq!(Network::from_safetensors(&bytes).unwrap(), network);
    }
    let shipped = network();
    assert_eq!(Network::from_safetensors(&shipped.to_safetensors(&[]).unwrap()).unwrap(), shipped);
}

#[test]
fn a_description_says_what_the_values_of_colours_are() {
    assert_eq!(network().encoding(), Encoding::Srgb, "where it says nothing");
    for (name, encoding) in [("srgb", Encoding::Srgb), ("linear", Encoding::Linear)] {
        let key = format!(r#"\"rgb\",\"encoding\":\"{name}\""#);
        let read = Network::from_safetensors(&described(|header| header.replace(r#"\"rgb\""#, &key))).unwrap();
        assert_eq!(read.encoding(), encoding);
        assert_eq!(read, network().with_encoding(encoding));
        assert_eq!(Network::from_safetensors(&read.to_safetensors(&[]).unwrap()).unwrap(), read);
    }
}

/// A layer that pads with zeros makes more than is asked for, and what depends on the zeros is cut off.
#[test]
fn layers_that_pad_need_a_border_too() {
    for (padding, border, crop) in [(0, 3, 4), (1, 3, 6), (2, 3, 8)] {
        let network = Network::with_least_border(&small(padding, Activation::None)).unwrap();
        assert_eq!((network.scale(), network.border(), network.crop()), (2, border, crop), "{padding}");
        let picture = picture("chelsea_67x45.png");
        let made = network.on_cpu().unwrap().run(&[network.pad(&picture).unwrap()]).unwrap();
        let made = network.trim(&made[0], [45, 67]).unwrap();
        assert_eq!(made.shape(), [1, 3, 90, 134]);
        let (made, given) = (made.to_f32(), picture.to_f32());
        assert!(
            made.iter().enumerate().all(|(i, value)| *value == given[i / (134 * 2) * 67 + i % 134 / 2]),
            "{padding}"
        );
    }
    let refusal = Network::new(&small(1, Activation::None), 2, 2).unwrap_err().to_string();
    assert_eq!(
        refusal,
        "network: a border of 2 does not suffice: on axis 0 layer 0 reads its input from -1 to 5, which goes from 0 to 4"
    );
}

#[test]
fn layers_that_do_not_fit_are_refused_with_their_numbers() {
    let refuse = |change: &dyn Fn(&mut Vec<Layer>), scale, border, expected: &str| {
        let mut layers = small(0, Activation::None);
        change(&mut layers);
        let refusal = Network::new(&layers, scale, border).unwrap_err().to_string();
        assert!(refusal.starts_with("network: ") && refusal.contains(expected), "{refusal}, expected {expected}");
    };
    let ones = |shape: [usize; 4]| Tensor::f32(shape, vec![1.0; shape.iter().product()]).unwrap();
    refuse(&|layers| layers.clear(), 2, 3, "0 layers, expected 1 to 1024");
    refuse(
        &|layers| layers[0].weight = ones([3, 4, 3, 3]).into(),
        2,
        3,
        "layer 0 takes 4 channels, but the picture has 3",
    );
    refuse(&|layers| layers[0].weight = ones([5, 3, 3, 3]).into(), 2, 3, "layer 0: bias has shape [3], expected [5]");
    refuse(
        &|layers| layers[2].weight = ones([6, 3, 2, 2]).into(),
        2,
        3,
        "layer 2 takes 6 channels, but the layer before has 3",
    );
    refuse(&|layers| layers[2].weight = ones([3, 1, 2, 2]).into(), 2, 3, "the last layer gives 1 channels, expected 3");
    refuse(&|layers| layers[0].weight = Tensor::f32([27], [1.0; 27]).unwrap().into(), 2, 3, "weight has shape [27]");
    refuse(&|layers| layers[0].stride = [2, 1], 2, 3, "layer 0: stride of a convolution is 2, expected 1");
    refuse(
        &|layers| layers[0].padding = [usize::MAX; 2],
        2,
        3,
        "layer 0: padding on axis 0 is 9223372036854775807, expected -1099511627776 to 1099511627776",
    );
    refuse(&|layers| layers[1].groups = 2, 2, 3, "layer 1");
    refuse(&|layers| layers[1].groups = usize::MAX, 2, 3, "layer 1");
    refuse(&|layers| layers[1].dilation = [usize::MAX; 2], 2, 3, "layer 1");
    refuse(&|layers| layers[2].stride = [3; 2], 2, 3, "expected 2 times the pixels");
    refuse(&|_| {}, 3, 3, "expected 3 times the pixels");
    refuse(&|_| {}, 0, 3, "scale is 0, expected 1 to 64");
    refuse(&|_| {}, 2, 1025, "border is 1025, expected 0 to 1024");
    refuse(
        &|_| {},
        2,
        0,
        "of 128 pixels with a border of 0 the layers make 252 on axis 0, expected 2 times the pixels",
    );
    let bad = |at: usize, value: f32| {
        move |layers: &mut Vec<Layer>| {
            let mut values = layers[0].weight.to_f32();
            values[at] = value;
            layers[0].weight = Tensor::f32([3, 3, 3, 3], values).unwrap().into();
        }
    };
    refuse(&bad(17, f32::NAN), 2, 3, "layer 0: weight[17] of 81 is NaN");
    refuse(&bad(80, f32::NEG_INFINITY), 2, 3, "layer 0: weight[80] of 81 is -inf");
    refuse(&|layers| layers[1].activation = Activation::LeakyRelu { alpha: f32::NAN }, 2, 3, "its leaky_relu is NaN");
}

/// The shipped file with its description changed, and its header's length set right.
fn described(change: impl Fn(&str) -> String) -> Vec<u8> {
    let file = shipped::shipped();
    let length = u64::from_le_bytes(file[..8].try_into().unwrap()) as usize;
    let header = change(std::str::from_utf8(&file[8..8 + length]).unwrap());
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &file[8 + length..]].concat()
}

#[test]
fn descriptions_that_are_wrong_are_refused() {
    for (from, to, expected) in [
        (r#""upconv":"#, r#""upcnov":"#, r#"no description under "upconv""#),
        (r#"{\"version\":1"#, r#"\"version\":1"#, "not valid JSON"),
        (r#"\"version\":1"#, r#"\"version\":3"#, "version is 3, expected 1 or 2"),
        (r#"\"scale\":2"#, r#"\"scale\":3"#, "expected 3 times the pixels"),
        (r#"\"scale\":2"#, r#"\"scale\":1e3"#, "scale: invalid type: floating point `1000.0`"),
        (r#"\"scale\":2,"#, "", "missing field `scale`"),
        (r#"\"border\":7"#, r#"\"border\":-7"#, "border is -7, expected at least 0"),
        (r#"\"border\":7"#, r#"\"border\":6"#, "with a border of 6 the layers make 252 on axis 0"),
        (r#"\"border\":7"#, r#"\"border\":7,\"boarder\":8"#, r#"unknown key "boarder", expected "border""#),
        (r#"\"rgb\""#, r#"\"cmyk\""#, "colour: unknown variant `cmyk`, expected `rgb`"),
        (
            r#"\"rgb\""#,
            r#"\"rgb\",\"encoding\":\"gamma\""#,
            "encoding: unknown variant `gamma`, expected `srgb` or `linear`",
        ),
        (r#"\"kind\":\"deconv\""#, r#"\"kind\":\"pool\""#, "layers[6]: kind: unknown variant `pool`"),
        (
            r#"\"weight\":\"conv3.weight\""#,
            r#"\"weight\":\"conv9.weight\""#,
            r#"no tensor "conv9.weight" among the 14"#,
        ),
        (
            r#"\"weight\":\"conv3.weight\""#,
            r#"\"weight\":\"conv4.weight\""#,
            "layer 2: bias has shape [64], expected [128]",
        ),
        (r#"\"bias\":\"conv3.bias\""#, r#"\"bias\":3"#, "layers[2]: bias: invalid type: integer `3`"),
        (r#"\"stride\":2"#, r#"\"stride\":[2,2,2]"#, "layer 6: stride has 3 values, expected one, or two for (h, w)"),
        (r#"\"alpha\":0.1"#, r#"\"alpha\":1e300"#, "layer 0: a parameter of its leaky_relu is inf"),
        (
            r#"\"kind\":\"leaky_relu\""#,
            r#"\"kind\":\"softplus\""#,
            "layers[0]: activation: kind: unknown variant `softplus`",
        ),
        (r#"\"stride\":2"#, r#"\"strides\":2"#, r#"layers[6]: unknown key "strides", expected "stride""#),
        (r#"\"scale\":2"#, r#"\"scale\":2,\"scale\":2"#, r#"the key "scale" stands twice"#),
        (r#"\"stride\":2"#, r#"\"stride\":2,\"stride\":2"#, r#"the key "stride" stands twice"#),
        (r#"\"kind\":\"leaky_relu\""#, r#"\"kind\":\"relu\""#, "layers[0]: activation: unknown field `alpha`"),
    ] {
        let bytes = described(|header| {
            assert!(header.contains(from), "{from}");
            header.replacen(from, to, 1)
        });
        let refusal = Network::from_safetensors(&bytes).unwrap_err().to_string();
        assert!(refusal.contains(expected), "{refusal}, expected {expected}");
    }
    let file = shipped::shipped();
    for length in (0..file.len()).step_by(9973) {
        assert!(Network::from_safetensors(&file[..length]).is_err(), "{length}");
    }
}

/// A file with this description of one network, and these tensors.
fn file_of(description: &str, tensors: &[(&str, &[usize])]) -> Vec<u8> {
    let (mut header, mut end) = (String::new(), 0);
    for (name, shape) in tensors {
        let begin = end;
        end += 2 * shape.iter().product::<usize>();
        header += &format!(r#","{name}":{{"dtype":"F16","shape":{shape:?},"data_offsets":[{begin},{end}]}}"#);
    }
    let header = format!(r#"{{"__metadata__":{{"upconv":{description:?}}}{header}}}"#);
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &vec![0; end]].concat()
}

fn description(border: usize, layers: &[String]) -> String {
    format!(r#"{{"version":1,"scale":1,"border":{border},"colour":"rgb","layers":[{}]}}"#, layers.join(","))
}

#[test]
fn layers_that_name_one_tensor_share_it() {
    let layer = r#"{"kind":"conv","weight":"w","bias":"b"}"#.to_owned();
    let file = file_of(&description(3, &[layer.clone(), layer.clone(), layer]), &[("w", &[3, 3, 3, 3]), ("b", &[3])]);
    let network = Network::from_safetensors(&file).unwrap();
    let layers = network.graph().nodes().iter().filter_map(|node| match node.operation() {
        Operation::Layer(layer) => Some(layer),
        _ => None,
    });
    let layers: Vec<_> = layers.collect();
    let [first, others @ ..] = &layers[..] else { panic!() };
    for layer in others {
        assert!(std::sync::Arc::ptr_eq(&first.weight, &layer.weight), "the weight is held twice");
        assert!(std::sync::Arc::ptr_eq(first.bias.as_ref().unwrap(), layer.bias.as_ref().unwrap()));
    }
    let written = network.to_safetensors(&[]).unwrap();
    assert!(written.len() < 1200, "{} bytes: the weight is written once", written.len());
    assert_eq!(Network::from_safetensors(&written).unwrap(), network);
}

/// 1024 layers that name one tensor of 4 MiB would be packed into 8 GiB.
#[test]
fn a_small_file_cannot_ask_for_all_memory() {
    let channels = 512;
    let layer = |weight: &str| format!(r#"{{"kind":"conv","weight":"{weight}"}}"#);
    let mut layers = vec![layer("wide"); 1022];
    layers.insert(0, layer("first"));
    layers.push(layer("last"));
    let tensors: [(&str, &[usize]); 3] =
        [("wide", &[channels, channels, 2, 4]), ("first", &[channels, 3, 1, 1]), ("last", &[3, channels, 1, 1])];
    let refusal = Network::from_safetensors(&file_of(&description(4, &layers), &tensors)).unwrap_err().to_string();
    let bytes = 4 * (1022 * channels * channels * 8 + 2 * 3 * channels);
    assert!(refusal.contains(&format!("have {bytes} bytes as f32, expected at most")), "{refusal}");
    // Slopes are copied for each layer.
    let prelu = r#"{"kind":"conv","weight":"w","activation":{"kind":"prelu","slopes":"many"}}"#.to_owned();
    let file = file_of(&description(0, &[prelu]), &[("w", &[3, 3, 1, 1]), ("many", &[1 << 20])]);
    let refusal = Network::from_safetensors(&file).unwrap_err().to_string();
    assert_eq!(
        refusal,
        "network: layer 0: \"many\" has 1048576 parameters of the activation, expected 3, one for each output channel"
    );
}

#[test]
fn refusals_repeat_little_of_a_file() {
    let long = "x".repeat(100_000);
    let whole = description(0, &[r#"{"kind":"conv","weight":"w"}"#.to_owned()]);
    let tensors: [(&str, &[usize]); 1] = [("w", &[3, 3, 1, 1])];
    assert!(Network::from_safetensors(&file_of(&whole, &tensors)).is_ok());
    for (from, to) in [
        ("\"colour\"", format!("\"{long}\"")),
        ("rgb", long.clone()),
        ("conv", long.clone()),
        ("\"w\"", format!("\"{long}\"")),
        ("\"kind\"", format!("\"{long}\"")),
        ("\"weight\":\"w\"", format!("\"weight\":\"w\",\"activation\":{{\"kind\":\"{long}\"}}")),
        ("\"weight\":\"w\"", format!("\"weight\":\"w\",\"activation\":{{\"kind\":\"relu\",\"{long}\":1}}")),
        ("\"weight\":\"w\"", format!("\"weight\":\"w\",\"{long}\":1,\"{long}\":2")),
    ] {
        let changed = whole.replacen(from, &to, 1);
        assert_ne!(changed, whole);
        let refusal = Network::from_safetensors(&file_of(&changed, &tensors)).unwrap_err().to_string();
        assert!(refusal.len() < 500, "{} bytes for {from}", refusal.len());
    }
    for names in [vec![long.as_str()], vec!["v"; 50]] {
        let named: Vec<String> = names.iter().enumerate().map(|(index, name)| format!("{name}{index}")).collect();
        let tensors: Vec<(&str, &[usize])> = named.iter().map(|name| (name.as_str(), &[1][..])).collect();
        let refusal = Network::from_safetensors(&file_of(&whole, &tensors)).unwrap_err().to_string();
        assert!(refusal.contains("no tensor \"w\"") && refusal.len() < 500, "{} bytes", refusal.len());
    }
}

/// A graph with every kind of node is written and read again, and the frame with it.
#[test]
fn graphs_are_read_as_they_were_written() {
    let mut rng = Rng::with_seed(91);
    let graph = common::parts::branching(&mut rng, Accuracy::Elementwise);
    // It makes of a picture what is twice as large, without a border.
    for (beyond, multiple) in [(Beyond::Replicate, 2), (Beyond::Reflect, 4)] {
        let frame = Frame { scale: 2, border: 0, beyond, multiple };
        let network = Network::of_graph(graph.clone(), frame).unwrap().with_encoding(Encoding::Linear);
        let read = Network::from_safetensors(&network.to_safetensors(&[]).unwrap()).unwrap();
        assert_eq!(read, network);
        assert_eq!((read.frame(), read.crop()), (frame, 0));
    }
    let found = Network::from_graph(graph.clone()).unwrap().frame();
    assert_eq!(found, Frame { scale: 2, border: 10, beyond: Beyond::Replicate, multiple: 2 });
    let refusal = Network::of_graph(graph, Frame::new(2, 0)).unwrap_err().to_string();
    assert!(refusal.starts_with("network: of 129 pixels with a border of 0: graph: node"), "{refusal}");
}

/// Also where the picture is smaller than the border, or smaller than what the sides are multiples of.
#[test]
fn a_frame_continues_pictures_beyond_their_borders() {
    let mut graph = Graph::new(2).unwrap();
    let x = graph.input(3).unwrap();
    let y = graph.affine(x, 2.0, 0.0).unwrap();
    graph.output(y).unwrap();
    let picture = Tensor::f32([1, 3, 1, 3], [[1.0, 2.0, 3.0]; 3].concat()).unwrap();
    for (beyond, expected) in [
        (Beyond::Replicate, [1.0, 1.0, 1.0, 1.0, 2.0, 3.0, 3.0, 3.0, 3.0, 3.0]),
        (Beyond::Reflect, [2.0, 3.0, 2.0, 1.0, 2.0, 3.0, 2.0, 1.0, 2.0, 3.0]),
    ] {
        let network = Network::of_graph(graph.clone(), Frame { scale: 1, border: 3, beyond, multiple: 4 }).unwrap();
        let input = network.pad(&picture).unwrap();
        assert_eq!(input.shape(), [1, 3, 10, 10]);
        assert_eq!(input.to_f32()[..10], expected, "{beyond:?}");
        let pixels: Vec<f32> = (0..10).map(|at| (network.pixel(at, 3) + 1) as f32).collect();
        assert_eq!(pixels, expected);
        let made = network.trim(&network.on_reference(&input).unwrap(), [1, 3]).unwrap();
        assert_eq!((made.shape(), &made.to_f32()[..3]), (&[1, 3, 1, 3][..], &[2.0, 4.0, 6.0][..]));
        // What gives the difference from the picture.
        let with = network.with_picture_added().unwrap();
        let made = with.trim(&with.on_reference(&input).unwrap(), [1, 3]).unwrap();
        assert_eq!(made.to_f32()[..3], [3.0, 6.0, 9.0]);
    }
}

#[test]
fn nodes_that_are_wrong_are_refused() {
    let tensors: [(&str, &[usize]); 2] = [("w", &[3, 3, 1, 1]), ("many", &[7])];
    let file = |nodes: &str| {
        let text = format!(r#"{{"version":2,"scale":1,"border":0,"colour":"rgb","nodes":[{nodes}],"output":1}}"#);
        file_of(&text, &tensors)
    };
    assert!(Network::from_safetensors(&file(r#"{"kind":"conv","of":0,"weight":"w"}"#)).is_ok());
    for (nodes, expected) in [
        (r#"{"kind":"conv","of":0}"#, "node 1: missing field `weight`"),
        (r#"{"kind":"conv","of":1,"weight":"w"}"#, "node 1: of is 1, expected 0 to 0"),
        (r#"{"kind":"conv","of":-1,"weight":"w"}"#, "node 1: of is -1, expected 0 to 0"),
        (r#"{"kind":"conv","of":[0,0],"weight":"w"}"#, "node 1: Conv of 2 nodes, expected 1 to 1"),
        (r#"{"kind":"add","of":0}"#, "node 1: Add of 1 nodes, expected 2 to 2"),
        (r#"{"kind":"add","of":[0,0],"factor":2}"#, "node 1: Add has no factor"),
        (r#"{"kind":"nearest","of":0,"factors":[2]}"#, "factors [2], expected 2 of 1 to 64"),
        (r#"{"kind":"nearest","of":0,"factors":[0,1]}"#, "node 1: factors is 0, expected at least 1"),
        (r#"{"kind":"pixel_shuffle","of":0,"factor":2}"#, "expected a multiple of 4"),
        (r#"{"kind":"crop","of":0,"borders":[[1,-1],[0,0]]}"#, "node 1: borders is -1, expected at least 0"),
        (r#"{"kind":"channels","of":0,"first":2,"count":9223372036854775807}"#, "node 1: graph: "),
        (r#"{"kind":"activation","of":0,"activation":{"kind":"prelu","slopes":"many"}}"#, "\"many\" has 7 parameters"),
        (r#"{"kind":"pool","of":0}"#, "kind: unknown variant `pool`"),
        (r#"{"kind":"conv","of":0,"weight":"w","padding":[[1,2,3],0]}"#, "padding has 3 values for an axis"),
        (r#"{"kind":"deconv","of":0,"weight":"many"}"#, "weight has shape [7], expected four axes"),
        (r#"{"kind":"conv","of":0,"weight":"w","colour":1}"#, "unknown key \"colour\""),
        (r#"{"kind":"nearest","of":0,"factors":[2,2]}"#, "expected 1 times the pixels"),
        ("", "output is 1, expected 0 to 0"),
    ] {
        let refusal = Network::from_safetensors(&file(nodes)).unwrap_err().to_string();
        assert!(refusal.starts_with("network: ") && refusal.contains(expected), "{refusal}, expected {expected}");
    }
}
