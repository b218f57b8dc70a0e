//! Trained networks, on the CPU and the reference: against an f64 evaluation made elsewhere, against convolution as it
//! is defined, and files that are refused.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;
#[path = "common/network.rs"]
mod shipped;

use fastrand::Rng;
use shipped::{check, expected, network, picture, pixels};
use upconv::upscale::Network;
use upconv::upscale::network::{Kind, Layer, from_convolution};
use upconv::{Activation, ConvTranspose, DType, Tensor, reference};

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
        let given = reference::run(&op, &x, &from_convolution(&weight, groups).unwrap(), None).unwrap();
        let layer = Layer { padding, dilation, groups, ..Layer::new(Kind::Convolution, weight.clone()) };
        assert_eq!(layer.operation().unwrap().0, op);
        assert_eq!(given.to_f64(), convolution(&x, &weight, groups, padding, dilation));
    }
}

#[test]
fn the_shipped_network_gives_what_is_expected() {
    let network = network();
    assert_eq!((network.scale(), network.border(), network.crop(), network.layers().len()), (2, 7, 0, 7));
    let input = network.pad(&picture("chelsea_67x45.png")).unwrap();
    let on_cpu = network.on_cpu().unwrap();
    check(&network.trim(&on_cpu.run(&input).unwrap()).unwrap(), 1e-5);
    assert_eq!(on_cpu.run(&input).unwrap(), on_cpu.run(&input).unwrap(), "in the memory of the run before");
    // What stands between the layers in f16: eleven bits of it.
    check(&network.trim(&on_cpu.run(&input.cast(DType::F16)).unwrap()).unwrap(), 2e-3);
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
    let both = border + network.border_end();
    let cut = |top: usize, left: usize, h: usize, w: usize| {
        let data = whole.to_f64();
        let rows = (0..3).flat_map(|channel| (top..top + h).map(move |y| (channel * 45 + y) * 67 + left));
        let values: Vec<f64> = rows.flat_map(|first| data[first..first + w].to_vec()).collect();
        Tensor::new([1, 3, h, w], upconv::Data::F64(values)).unwrap()
    };
    let (h, w) = (8, 5);
    let exact = network.on_reference(&cut(2, 20, h + both, w + both)).unwrap();
    let (exact, expected) = (network.trim(&exact).unwrap(), expected());
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
            bias: Some(Tensor::f32([3], [0.0; 3]).unwrap()),
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
        Activation::Prelu { slopes },
        Activation::Clip { min: -0.5, max: 1e30 },
        Activation::Sigmoid,
        Activation::Tanh,
        Activation::HardSwish { alpha: 1.0 / 6.0, beta: 0.5 },
        Activation::Mish,
        Activation::Gelu,
    ] {
        let network = Network::with_least_border(small(1, activation)).unwrap();
        let bytes = network.to_safetensors(&[("licence", "none")]);
        assert_eq!(Network::from_safetensors(&bytes).unwrap(), network);
    }
    let shipped = network();
    assert_eq!(Network::from_safetensors(&shipped.to_safetensors(&[])).unwrap(), shipped);
}

/// A layer that pads with zeros makes more than is asked for, and what depends on the zeros is cut off.
#[test]
fn layers_that_pad_need_a_border_too() {
    for (padding, border, crop) in [(0, 3, 4), (1, 3, 6), (2, 3, 8)] {
        let network = Network::with_least_border(small(padding, Activation::None)).unwrap();
        assert_eq!((network.scale(), network.border(), network.crop()), (2, border, crop), "{padding}");
        let picture = picture("chelsea_67x45.png");
        let made = network.on_cpu().unwrap().run(&network.pad(&picture).unwrap()).unwrap();
        let made = network.trim(&made).unwrap();
        assert_eq!(made.shape(), [1, 3, 90, 134]);
        let (made, given) = (made.to_f32(), picture.to_f32());
        assert!(
            made.iter().enumerate().all(|(i, value)| *value == given[i / (134 * 2) * 67 + i % 134 / 2]),
            "{padding}"
        );
    }
    let refusal = Network::new(small(1, Activation::None), 2, 2).unwrap_err().to_string();
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
        let refusal = Network::new(layers, scale, border).unwrap_err().to_string();
        assert!(refusal.starts_with("network: ") && refusal.contains(expected), "{refusal}, expected {expected}");
    };
    let ones = |shape: [usize; 4]| Tensor::f32(shape, vec![1.0; shape.iter().product()]).unwrap();
    refuse(&|layers| layers.clear(), 2, 3, "0 layers, expected 1 to 1024");
    refuse(&|layers| layers[0].weight = ones([3, 4, 3, 3]), 2, 3, "layer 0 takes 4 channels, but the picture has 3");
    refuse(&|layers| layers[0].weight = ones([5, 3, 3, 3]), 2, 3, "layer 0: bias has shape [3], expected [5]");
    refuse(
        &|layers| layers[2].weight = ones([6, 3, 2, 2]),
        2,
        3,
        "layer 2 takes 6 channels, but the layer before has 3",
    );
    refuse(&|layers| layers[2].weight = ones([3, 1, 2, 2]), 2, 3, "the last layer gives 1 channels, expected 3");
    refuse(&|layers| layers[0].weight = Tensor::f32([27], [1.0; 27]).unwrap(), 2, 3, "weight has shape [27]");
    refuse(&|layers| layers[0].stride = [2, 1], 2, 3, "layer 0: stride of a convolution is 2, expected 1");
    refuse(&|layers| layers[0].padding = [usize::MAX; 2], 2, 3, "layer 0: padding of a convolution overflows");
    refuse(&|layers| layers[1].groups = 2, 2, 3, "layer 1");
    refuse(&|layers| layers[1].groups = usize::MAX, 2, 3, "layer 1");
    refuse(&|layers| layers[1].dilation = [usize::MAX; 2], 2, 3, "layer 1");
    refuse(&|layers| layers[2].stride = [3; 2], 2, 3, "expected 2 times the pixels");
    refuse(&|_| {}, 3, 3, "expected 3 times the pixels");
    refuse(&|_| {}, 0, 3, "scale is 0, expected 1 to 64");
    refuse(&|_| {}, 2, 1025, "border is 1025, expected 0 to 1024");
    refuse(&|_| {}, 2, 0, "layer 0, with a border of 0: output size on axis 0 is -1");
    let bad = |at: usize, value: f32| {
        move |layers: &mut Vec<Layer>| {
            let mut values = layers[0].weight.to_f32();
            values[at] = value;
            layers[0].weight = Tensor::f32([3, 3, 3, 3], values).unwrap();
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
        (r#"{\"version\":1"#, r#"\"version\":1"#, "is no JSON"),
        (r#"\"version\":1"#, r#"\"version\":2"#, "version of the description is 2, expected 1"),
        (r#"\"scale\":2"#, r#"\"scale\":3"#, "expected 3 times the pixels"),
        (r#"\"scale\":2"#, r#"\"scale\":1e3"#, "scale of the description is 1000.0, expected a whole number"),
        (r#"\"scale\":2,"#, "", "scale of the description is missing"),
        (r#"\"border\":7"#, r#"\"border\":-7"#, "border of the description is -7"),
        (r#"\"border\":7"#, r#"\"border\":6"#, "layer 6, with a border of 6: output size"),
        (r#"\"border\":7"#, r#"\"border\":7,\"boarder\":8"#, r#"has a key "boarder", expected version"#),
        (r#"\"rgb\""#, r#"\"cmyk\""#, r#"colour of the description is "cmyk", expected "rgb""#),
        (r#"\"kind\":\"deconv\""#, r#"\"kind\":\"pool\""#, r#"kind of layer 6 is "pool""#),
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
        (r#"\"bias\":\"conv3.bias\""#, r#"\"bias\":3"#, "bias of layer 2 is 3, expected a name"),
        (r#"\"stride\":2"#, r#"\"stride\":[2,2,2]"#, "stride of layer 6 is [2,2,2]"),
        (r#"\"alpha\":0.1"#, r#"\"alpha\":1e300"#, "alpha of the activation of layer 0 is 1e+300"),
        (r#"\"kind\":\"leaky_relu\""#, r#"\"kind\":\"swish\""#, "kind of the activation of layer 0"),
        (r#"\"kind\":\"leaky_relu\""#, r#"\"kind\":\"relu\""#, r#"has a key "alpha""#),
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
