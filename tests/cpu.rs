//! The CPU backend against the reference.

#![cfg(feature = "cpu")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use common::{Case, Values, d2l_examples, no_activation, random_case, tensor};
use fastrand::Rng;
use half::f16;
use upconv::cpu::{Graph, Layer, Level};
use upconv::graph;
use upconv::reference::{self, Comparison};
use upconv::{Accuracy, Activation, ConvTranspose, DType, Data, Error, Layout, Tensor};

fn run(case: &Case) -> Tensor {
    let Case { op, input, weight, bias } = case;
    Layer::new(op, weight, bias.as_ref()).unwrap().run(input).unwrap()
}

fn run_with(case: &Case, level: Level) -> Tensor {
    let Case { op, input, weight, bias } = case;
    Layer::with_level(op, weight, bias.as_ref(), level).unwrap().run(input).unwrap()
}

/// The vector instructions of this machine.
fn levels() -> impl Iterator<Item = Level> {
    Level::ALL.into_iter().filter(|level| level.is_available())
}

/// At every level, computed in f32 and in f64.
fn assert_exact(number: usize, case: &Case) {
    for dtype in [DType::F32, DType::F64] {
        let case = Case { input: case.input.cast(dtype), ..case.clone() };
        for level in levels() {
            let comparison = compare(&case, &run_with(&case, level));
            assert_eq!(comparison.inexact, 0, "case {number}, {dtype}, {level:?}: {comparison:?}, {case:?}");
        }
    }
}

fn compare(case: &Case, got: &Tensor) -> Comparison {
    let Case { op, input, weight, bias } = case;
    reference::conv_transpose(op, input, weight, bias.as_ref()).unwrap().compare(got).unwrap()
}

fn any_activation(rng: &mut Rng, channels: usize) -> Activation {
    match rng.u8(0..13) {
        0 => Activation::None,
        1 => Activation::Relu,
        2 => Activation::LeakyRelu { alpha: 0.25 },
        3 => Activation::Prelu { slopes: (0..channels).map(|_| rng.f32() * 2.0 - 1.0).collect() },
        4 => Activation::Clip { min: -1.5, max: 6.0 },
        5 => Activation::Sigmoid,
        6 => Activation::Tanh,
        7 => Activation::HardSwish { alpha: 1.0 / 6.0, beta: 0.5 },
        8 => Activation::Mish,
        9 => Activation::Gelu,
        10 => Activation::Silu,
        11 => Activation::Elu { alpha: 0.7 },
        _ => Activation::Snake { alphas: (0..channels).map(|_| rng.f32() * 8.0 - 4.0).collect() },
    }
}

#[test]
fn inputs_go_through_an_activation_first() {
    let mut rng = Rng::with_seed(41);
    for _ in 0..200 {
        let mut case = random_case(&mut rng, Values::Reals, any_activation);
        let before = any_activation(&mut rng, case.op.in_channels());
        case.op = case.op.to_builder().pre_activation(before).build().unwrap();
        case.input = case.input.cast([DType::F32, DType::F16, DType::F64][rng.usize(0..3)]);
        let got = run(&case);
        let comparison = compare(&case, &got);
        assert!(comparison.passed(), "{comparison:?}, {case:?}");
    }
}

/// Long enough for several threads, each of which begins in the middle of a channel.
#[test]
fn so_do_long_inputs() {
    let mut rng = Rng::with_seed(42);
    for layout in [Layout::ChannelsFirst, Layout::ChannelsLast] {
        let op = ConvTranspose::builder().in_channels(3).kernel([2]).stride([2]).layout(layout);
        let op = op.pre_activation(Activation::Prelu { slopes: vec![0.5, -2.0, 4.0] }).build().unwrap();
        let shape = if layout == Layout::ChannelsFirst { [1, 3, 20_001] } else { [1, 20_001, 3] };
        let input = tensor(&mut rng, &shape, Values::Integers);
        let weight = tensor(&mut rng, &op.weight_shape(), Values::Integers);
        let case = Case { op, input, weight, bias: None };
        assert_eq!(compare(&case, &run(&case)).inexact, 0);
    }
}

#[test]
fn a_graph_is_its_layers_one_after_another() {
    let mut rng = Rng::with_seed(43);
    let mut layers = Vec::new();
    for (inputs, outputs) in [(2, 5), (5, 3), (3, 4)] {
        let op = ConvTranspose::builder().in_channels(inputs).out_channels(outputs).kernel([3]).stride([2]);
        let op = op.build().unwrap();
        let weight = tensor(&mut rng, &op.weight_shape(), Values::Reals);
        let bias = tensor(&mut rng, &[outputs], Values::Reals);
        layers.push((op, weight, Some(bias)));
    }
    let graph = Graph::new(&graph::Graph::of_layers(&layers).unwrap()).unwrap();
    let input = tensor(&mut rng, &[2, 2, 9], Values::Reals);
    let expected = layers
        .iter()
        .fold(input.clone(), |x, (op, weight, bias)| Layer::new(op, weight, bias.as_ref()).unwrap().run(&x).unwrap());
    for _ in 0..2 {
        assert_eq!(graph.run(std::slice::from_ref(&input)).unwrap()[0], expected);
    }
    layers.swap(0, 1);
    let refusal = graph::Graph::of_layers(&layers).unwrap_err().to_string();
    assert!(refusal.contains("a layer takes 2 channels, but 3 are given"), "{refusal}");
    assert!(graph::Graph::of_layers(&[]).unwrap_err().to_string().contains("expected at least 1"));
}

#[test]
fn a_plan_is_explained() {
    let op = ConvTranspose::builder().in_channels(64).out_channels(64).kernel([3, 3]).padding([1, 1]).build().unwrap();
    let weight = Tensor::f32(op.weight_shape(), vec![0.5; 64 * 64 * 9]).unwrap();
    let explained = |layer: Layer| layer.explain(&[1, 64, 20, 20]).unwrap();
    let products = explained(Layer::new(&op, &weight, None).unwrap());
    assert_eq!(products.algorithm(), "products");
    assert!(products.tasks() >= Some(1) && products.to_string().contains("[1, 64, 20, 20] -> [1, 64, 20, 20]"));
    let normwise = op.to_builder().accuracy(Accuracy::Normwise).build().unwrap();
    assert_eq!(explained(Layer::new(&normwise, &weight, None).unwrap()).algorithm(), "winograd");
    // Two taps for each phase, in the range of channels for which that is faster on every machine.
    let doubled = |inputs: usize, accuracy| {
        let op = ConvTranspose::builder().in_channels(inputs).out_channels(64).kernel([4, 4]).stride([2, 2]);
        let op = op.padding([1, 1]).accuracy(accuracy).build().unwrap();
        let weight = Tensor::f32(op.weight_shape(), vec![0.5; inputs * 64 * 16]).unwrap();
        Layer::new(&op, &weight, None).unwrap().explain(&[1, inputs, 20, 20]).unwrap().algorithm()
    };
    assert_eq!(doubled(64, Accuracy::Normwise), "winograd");
    assert_eq!(doubled(64, Accuracy::Half), "winograd");
    assert_eq!(doubled(64, Accuracy::Elementwise), "products");
    assert_eq!(doubled(16, Accuracy::Normwise), "products");
    assert_eq!(doubled(1024, Accuracy::Normwise), "products");
    let infinite = Tensor::f32(op.weight_shape(), vec![f32::INFINITY; 64 * 64 * 9]).unwrap();
    let gather = explained(Layer::new(&op, &infinite, None).unwrap());
    assert_eq!((gather.algorithm(), gather.tasks()), ("gather", None));
}

#[test]
fn the_examples_of_the_book() {
    for (name, case, expected) in d2l_examples() {
        assert_eq!(run(&case), expected, "{name}");
    }
}

#[test]
fn integers_are_exact_in_a_random_sweep() {
    let mut rng = Rng::with_seed(21);
    for number in 0..600 {
        let case = random_case(&mut rng, Values::Integers, no_activation);
        assert_exact(number, &case);
    }
}

/// A random case at another input: another batch, and another extent of the last axis.
fn random_case_at(rng: &mut Rng, values: Values, batch: usize, width: usize) -> Case {
    loop {
        let case = random_case(rng, values, no_activation);
        let rank = case.op.rank();
        let mut shape = case.input.shape()[case.input.shape().len() - rank - 1..].to_vec();
        shape[if case.op.layout() == Layout::ChannelsFirst { rank } else { rank - 1 }] = width;
        shape.insert(0, batch);
        if case.op.at(&shape).is_ok() {
            return Case { input: tensor(rng, &shape, values), ..case };
        }
    }
}

#[test]
fn integers_are_exact_in_wide_inputs_and_in_batches() {
    let mut rng = Rng::with_seed(26);
    for number in 0..300 {
        // Rows longer and shorter than vectors, by themselves and in batches that fill vectors.
        let (batch, width) =
            if number % 2 == 0 { (1, rng.usize(8..=80)) } else { (rng.usize(6..=35), rng.usize(1..=6)) };
        let case = random_case_at(&mut rng, Values::Integers, batch, width);
        assert_exact(number, &case);
    }
}

#[test]
fn inputs_that_are_infinite_or_nan_show_where_they_reach() {
    let mut rng = Rng::with_seed(27);
    for number in 0..300 {
        let (batch, width) =
            if number % 2 == 0 { (1, rng.usize(1..=60)) } else { (rng.usize(6..=20), rng.usize(1..=6)) };
        let mut case = random_case_at(&mut rng, Values::Integers, batch, width);
        let mut x = case.input.to_f32();
        for special in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let at = rng.usize(0..x.len());
            x[at] = special;
        }
        case.input = Tensor::f32(case.input.shape(), x).unwrap();
        assert_exact(number, &case);
    }
}

#[test]
fn every_type_is_within_its_bound_with_every_activation() {
    let mut rng = Rng::with_seed(22);
    for dtype in [DType::F32, DType::F64, DType::F16, DType::Bf16] {
        let mut worst: f64 = 0.0;
        for number in 0..200 {
            let mut case = random_case(&mut rng, Values::Reals, any_activation);
            case.input = case.input.cast(dtype);
            for level in levels() {
                let got = run_with(&case, level);
                assert_eq!(got.dtype(), if dtype == DType::Bf16 { DType::F32 } else { dtype });
                let comparison = compare(&case, &got);
                assert!(comparison.passed(), "{dtype} case {number}, {level:?}: {comparison:?}, {case:?}");
                worst = worst.max(comparison.worst_share);
            }
        }
        assert!(worst > 0.0 || dtype == DType::F64, "reals are rounded somewhere, or nothing was compared");
    }
}

#[test]
fn a_callers_slice_gets_the_bits_of_a_run() {
    let mut rng = Rng::with_seed(28);
    let wide = |values: Vec<f32>| values.into_iter().map(f32::to_bits).collect::<Vec<_>>();
    for number in 0..120 {
        let mut case = random_case(&mut rng, Values::Reals, any_activation);
        case.input = case.input.cast([DType::F32, DType::F64, DType::F16, DType::Bf16][number % 4]);
        if number % 3 == 0 {
            // Weights that are infinite are for another algorithm.
            let mut weight = case.weight.to_f32();
            weight[0] = f32::INFINITY;
            case.weight = Tensor::f32(case.weight.shape(), weight).unwrap();
        }
        let layer = Layer::new(&case.op, &case.weight, case.bias.as_ref()).unwrap();
        let (input, expected) = (&case.input, layer.run(&case.input).unwrap());
        let len = expected.data().len();
        let (mut single, mut half, mut double) = (vec![7.0; len], vec![f16::ONE; len], vec![7.0; len]);
        match expected.data() {
            Data::F64(expected) => {
                let geometry = layer.run_into(input, &mut double).unwrap();
                assert_eq!(geometry.output_shape(), case.op.at(input.shape()).unwrap().output_shape());
                let bits = |values: &[f64]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
                assert_eq!(bits(&double), bits(expected), "{case:?}");
                let error = layer.run_into(input, &mut single).unwrap_err().to_string();
                assert_eq!(error, "output is float32, expected float64 for an input of float64");
            }
            Data::F16(_) | Data::F32(_) => {
                layer.run_into(input, &mut single).unwrap();
                layer.run_into(input, &mut half).unwrap();
                let expected = expected.to_f32();
                if case.input.dtype() == DType::F16 {
                    assert_eq!(wide(half.iter().map(|y| y.to_f32()).collect()), wide(expected), "{case:?}");
                } else {
                    assert_eq!(wide(single.clone()), wide(expected), "{case:?}");
                }
                let same = |(half, single): (&f16, &f32)| *half == f16::from_f32(*single) || single.is_nan();
                assert!(half.iter().zip(&single).all(same), "{case:?}");
                assert!(matches!(layer.run_into(input, &mut double), Err(Error::DType { .. })));
            }
            _ => unreachable!(),
        }
        match layer.run_into(input, &mut vec![0.0_f32; len + 1]).unwrap_err() {
            Error::DataLength { shape, expected, given } => {
                assert_eq!((shape, expected, given), (case.op.at(input.shape()).unwrap().output_shape(), len, len + 1));
            }
            error => panic!("{error}"),
        }
    }
}

#[test]
fn an_output_without_memory_is_an_error() {
    let stride = 1_usize << 40;
    let op = ConvTranspose::builder().kernel([1]).stride([stride]).build().unwrap();
    for weight in [1.0, f32::NAN] {
        let layer = Layer::new(&op, &Tensor::f32([1, 1, 1], [weight]).unwrap(), None).unwrap();
        for (dtype, size) in [(DType::F32, 4), (DType::F64, 8), (DType::F16, 2), (DType::Bf16, 4)] {
            let input = Tensor::f32([1, 1, 1024], vec![1.0; 1024]).unwrap().cast(dtype);
            match layer.run(&input).unwrap_err() {
                Error::Memory { bytes, .. } => assert_eq!(bytes, size * (1023 * stride as u128 + 1), "{dtype}"),
                error => panic!("{error}"),
            }
        }
    }
}

/// Boxes of the input whose number of elements is 0 modulo 2⁶⁴.
#[test]
fn huge_dilations_on_two_axes_run() {
    let mut rng = Rng::with_seed(31);
    for (dilation, padding) in [((1_usize << 32) - 40, (1_i64 << 31) - 20), (1 << 40, 1 << 39), ((1 << 32) - 40, 0)] {
        let op = ConvTranspose::builder().kernel([2, 2]).dilation([dilation; 2]);
        // Cropped to the middle, which no tap reaches, or to the first inputs.
        let end = if padding > 0 { padding } else { dilation as i64 };
        let op = op.padding([(padding, end); 2]).build().unwrap();
        let input = tensor(&mut rng, &[1, 1, 40, 40], Values::Integers);
        let weight = tensor(&mut rng, &[1, 1, 2, 2], Values::Integers);
        let case = Case { op, input, weight, bias: Some(Tensor::f32([1], [3.0]).unwrap()) };
        for level in levels() {
            let got = run_with(&case, level);
            assert_eq!(got.shape(), [1, 1, 40, 40]);
            assert_eq!(compare(&case, &got).inexact, 0, "dilation {dilation}, {level:?}");
        }
    }
}

#[test]
fn half_precision_needs_no_second_output() {
    let op = ConvTranspose::builder().in_channels(4).out_channels(8).kernel([4, 4]).stride([2, 2]).padding([1, 1]);
    let op = op.build().unwrap();
    let mut rng = Rng::with_seed(32);
    let layer = Layer::new(&op, &tensor(&mut rng, &[4, 8, 4, 4], Values::Reals), None).unwrap();
    let input = tensor(&mut rng, &[1, 4, 300, 300], Values::Reals).cast(DType::F16);
    let mut output = vec![f16::ZERO; 8 * 600 * 600];
    layer.run_into(&input, &mut output).unwrap();
    let (scratch, output) = (layer.scratch_bytes(), 2 * output.len());
    assert!(scratch < output / 2, "{scratch} bytes of working memory for an output of {output}");
}

#[test]
fn working_memory_is_smaller_than_input_and_output() {
    let op = ConvTranspose::builder().in_channels(64).out_channels(32).kernel([4, 4]).stride([2, 2]).padding([1, 1]);
    let op = op.build().unwrap();
    let mut rng = Rng::with_seed(29);
    let layer = Layer::new(&op, &tensor(&mut rng, &[64, 32, 4, 4], Values::Reals), None).unwrap();
    let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
    for side in [16, 40, 100, 30] {
        let input = tensor(&mut rng, &[1, 64, side, side], Values::Reals);
        let output = pool.install(|| layer.run(&input)).unwrap();
        let both = 4 * (input.to_f32().len() + output.to_f32().len());
        assert!(layer.scratch_bytes() <= 2 * (1 << 20), "{} bytes at {side}", layer.scratch_bytes());
        assert!(side < 40 || layer.scratch_bytes() <= both, "{} of {both} bytes at {side}", layer.scratch_bytes());
    }
}

#[test]
fn weights_in_f64_are_used_as_such() {
    let op = ConvTranspose::builder().kernel([1]).build().unwrap();
    let weight = Tensor::new([1, 1, 1], Data::F64(vec![0.1])).unwrap();
    let layer = Layer::new(&op, &weight, None).unwrap();
    let got = layer.run(&Tensor::new([1, 1, 1], Data::F64(vec![1.0])).unwrap()).unwrap();
    assert_eq!(got.to_f64(), [0.1]);
    let got = layer.run(&Tensor::f32([1, 1, 1], [1.0]).unwrap()).unwrap();
    assert_eq!(got.to_f32(), [0.1]);
}

#[test]
fn the_number_of_threads_does_not_change_a_bit() {
    let mut rng = Rng::with_seed(23);
    let pools = [1, 2, 5].map(|threads| rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap());
    for number in 0..80 {
        let mut case = random_case(&mut rng, Values::Reals, no_activation);
        case.input = case.input.cast([DType::F32, DType::F64][number % 2]);
        let [one, two, five] = pools.each_ref().map(|pool| pool.install(|| run(&case)));
        let bits = |tensor: &Tensor| tensor.to_f64().iter().map(|v| v.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&one), bits(&two), "{case:?}");
        assert_eq!(bits(&one), bits(&five), "{case:?}");
    }
}

#[test]
fn a_tap_outside_the_input_is_not_multiplied() {
    let op = ConvTranspose::builder().kernel([3]).stride([2]).padding([1]).build().unwrap();
    let case = |input: [f32; 3], weight: [f32; 3]| {
        let (input, weight) = (Tensor::f32([1, 1, 3], input).unwrap(), Tensor::f32([1, 1, 3], weight).unwrap());
        run(&Case { op: op.clone(), input, weight, bias: None }).to_f32()
    };
    let got = case([1.0; 3], [1.0, 1.0, f32::NAN]);
    assert_eq!(got.iter().map(|v| v.is_nan()).collect::<Vec<_>>(), [false, true, false, true, false]);
    let got = case([1.0; 3], [1.0, 1.0, f32::INFINITY]);
    assert_eq!(got, [1.0, f32::INFINITY, 1.0, f32::INFINITY, 1.0]);
    let got = case([1.0, f32::INFINITY, 1.0], [1.0, 2.0, 3.0]);
    assert_eq!(got, [2.0, f32::INFINITY, f32::INFINITY, f32::INFINITY, 2.0]);
}

#[test]
fn nan_passes_through_every_activation() {
    let mut rng = Rng::with_seed(24);
    for _ in 0..60 {
        let activation = any_activation(&mut rng, 1);
        let op = ConvTranspose::builder().kernel([2]).stride([2]).activation(activation).build().unwrap();
        let (input, weight) = (vec![1.0, f32::NAN, 1.0], vec![1.0, -1.0]);
        let (input, weight) = (Tensor::f32([1, 1, 3], input).unwrap(), Tensor::f32([1, 1, 2], weight).unwrap());
        let case = Case { op, input, weight, bias: None };
        let got = run(&case);
        assert!(compare(&case, &got).passed(), "{case:?}");
        let nan: Vec<bool> = got.to_f32().iter().map(|v| v.is_nan()).collect();
        assert_eq!(nan, [false, false, true, true, false, false], "{case:?}");
    }
}

#[test]
fn an_empty_batch_gives_an_empty_output() {
    for (layout, input, output) in
        [(Layout::ChannelsFirst, [0, 2, 5], [0, 1, 7]), (Layout::ChannelsLast, [0, 5, 2], [0, 7, 1])]
    {
        let op = ConvTranspose::builder().in_channels(2).kernel([3]).layout(layout).build().unwrap();
        let layer = Layer::new(&op, &Tensor::f32([2, 1, 3], [1.0; 6]).unwrap(), None).unwrap();
        let got = layer.run(&Tensor::f32(input, []).unwrap()).unwrap();
        assert_eq!(got, Tensor::f32(output, []).unwrap());
        let double = layer.run(&Tensor::new(input, Data::F64(vec![])).unwrap()).unwrap();
        assert_eq!(double, Tensor::new(output, Data::F64(vec![])).unwrap());
    }
}

#[test]
fn a_huge_stride_and_dilation_run() {
    for (stride, dilation, kernel) in [(1000, 1, 2), (1, 1000, 3), (60_000, 7, 2), (1 << 20, 3 << 19, 2)] {
        let op = ConvTranspose::builder().kernel([kernel]).stride([stride]).dilation([dilation]).build().unwrap();
        let mut rng = Rng::with_seed(25);
        let input = tensor(&mut rng, &[1, 1, 2], Values::Integers);
        let weight = tensor(&mut rng, &[1, 1, kernel], Values::Integers);
        let case = Case { op, input, weight, bias: None };
        assert_eq!(compare(&case, &run(&case)).inexact, 0, "stride {stride}, dilation {dilation}");
    }
}

/// More phases than are computed together, with as many taps each or with one more for some, or none.
#[test]
fn kernels_as_long_as_a_large_stride_are_exact() {
    let mut rng = Rng::with_seed(30);
    for number in 0..40 {
        let (stride, in_channels, out_channels) = (rng.usize(65..=150), rng.usize(1..=2), rng.usize(1..=8));
        let kernel = [stride, 2 * stride, rng.usize(2..=300)][rng.usize(0..3)];
        let layout = if rng.bool() { Layout::ChannelsFirst } else { Layout::ChannelsLast };
        let (batch, width) = [(rng.usize(1..=17), rng.usize(1..=4)), (1, rng.usize(20..=40))][rng.usize(0..2)];
        let op = ConvTranspose::builder().in_channels(in_channels).out_channels(out_channels).layout(layout);
        let op = op.kernel([2, kernel]).stride([1, stride]).build().unwrap();
        let shape = match layout {
            Layout::ChannelsFirst => [batch, in_channels, 2, width],
            Layout::ChannelsLast => [batch, 2, width, in_channels],
        };
        let input = tensor(&mut rng, &shape, Values::Integers);
        let weight = tensor(&mut rng, &op.weight_shape(), Values::Integers);
        let bias = Some(tensor(&mut rng, &[out_channels], Values::Integers));
        let case = Case { op, input, weight, bias };
        assert_exact(number, &case);
    }
}

/// Packing tried every tap of a phase for each, and products multiplied the zeros around a short input by all of them.
#[test]
fn a_long_kernel_takes_time_in_proportion_to_its_length() {
    let op = ConvTranspose::builder().kernel([1 << 19]).build().unwrap();
    let weight: Vec<f32> = (0..1 << 19).map(|tap| (tap % 7) as f32 - 3.0).collect();
    let x = [1.0_f32, -2.0, 3.0, -4.0];
    let (begun, shape) = (std::time::Instant::now(), op.weight_shape());
    let layer = Layer::new(&op, &Tensor::f32(shape, weight.clone()).unwrap(), None).unwrap();
    let y = layer.run(&Tensor::f32([1, 1, 4], x).unwrap()).unwrap();
    assert!(begun.elapsed().as_secs() < 60, "{:?}", begun.elapsed());
    for (o, &y) in y.as_f32().unwrap().iter().enumerate() {
        let tap = |i: usize| o.checked_sub(i).and_then(|tap| weight.get(tap)).copied().unwrap_or(0.0);
        assert_eq!(y, (0..4).map(|i| x[i] * tap(i)).sum::<f32>(), "output {o}");
    }
}

#[test]
fn shapes_that_do_not_fit_are_refused() {
    let op = ConvTranspose::builder().in_channels(2).kernel([3]).build().unwrap();
    let weight = Tensor::f32([2, 1, 3], [1.0; 6]).unwrap();
    assert!(Layer::new(&op, &Tensor::f32([1, 2, 3], [1.0; 6]).unwrap(), None).is_err());
    assert!(Layer::new(&op, &weight, Some(&Tensor::f32([2], [0.0; 2]).unwrap())).is_err());
    assert!(Layer::new(&op, &weight, None).unwrap().run(&Tensor::f32([1, 3, 2], [1.0; 6]).unwrap()).is_err());
}
