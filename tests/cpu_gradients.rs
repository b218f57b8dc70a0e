//! The ordinary convolution and the gradients of the CPU backend against the reference.

#![cfg(feature = "cpu")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use common::{Case, Values, no_activation, random_case, tensor};
use fastrand::Rng;
use upconv::cpu::{Layer, Level};
use upconv::reference::{self, Comparison, Expected};
use upconv::{
    Accuracy, Activation, ConvTranspose, Convolution, DType, Gradients, Layout, OutputGradient, Tensor, WeightLayout,
};

/// The vector instructions of this machine.
fn levels() -> impl Iterator<Item = Level> {
    Level::ALL.into_iter().filter(|level| level.is_available())
}

/// A convolution with its data.
struct Ordinary {
    conv: Convolution,
    input: Tensor,
    weight: Tensor,
    bias: Option<Tensor>,
}

impl Ordinary {
    fn run(&self, level: Level) -> Tensor {
        let turned = self.conv.turned(&self.weight).unwrap();
        let layer = Layer::with_level(self.conv.transposed(), &turned, self.bias.as_ref(), level).unwrap();
        layer.run(&self.input).unwrap()
    }

    fn compare(&self, got: &Tensor) -> Comparison {
        let turned = self.conv.turned(&self.weight).unwrap();
        let expected = reference::conv_transpose(self.conv.transposed(), &self.input, &turned, self.bias.as_ref());
        expected.unwrap().compare(got).unwrap()
    }
}

impl std::fmt::Debug for Ordinary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} at {:?}, bias {}", self.conv, self.input.shape(), self.bias.is_some())
    }
}

/// A random convolution at a batch and an extent of the last axis, most of them with a stride.
fn random_convolution(rng: &mut Rng, values: Values, batch: usize, width: usize) -> Ordinary {
    loop {
        let case = random_case(rng, values, no_activation);
        let (conv, rank) = (case.op.adjoint(), case.op.rank());
        let Ok(output) = case.op.at(case.input.shape()) else { continue };
        let mut shape = output.output_shape()[usize::from(output.is_batched())..].to_vec();
        shape[if conv.layout() == Layout::ChannelsFirst { rank } else { rank - 1 }] = width;
        shape.insert(0, batch);
        if conv.at(&shape).is_ok() {
            let bias = rng.bool().then(|| tensor(rng, &[conv.out_channels()], values));
            return Ordinary { input: tensor(rng, &shape, values), weight: case.weight, conv, bias };
        }
    }
}

#[test]
fn convolutions_of_integers_are_exact_in_a_random_sweep() {
    let mut rng = Rng::with_seed(161);
    let mut strided = 0;
    for number in 0..600 {
        let case = random_case(&mut rng, Values::Integers, no_activation);
        let dy = tensor(&mut rng, &case.op.at(case.input.shape()).unwrap().output_shape(), Values::Integers);
        // Literal loops, which know neither the turned kernel nor what is kept of an output.
        let expected = reference::conv(&case.op, case.input.shape(), &dy, &case.weight).unwrap();
        let conv = case.op.adjoint();
        strided += usize::from(conv.stride().iter().any(|&stride| stride > 1));
        let turned = conv.turned(&case.weight).unwrap();
        for level in levels() {
            let layer = Layer::with_level(conv.transposed(), &turned, None, level).unwrap();
            let got = layer.run(&dy).unwrap();
            assert_eq!(got.shape(), case.input.shape(), "case {number}, {level:?}: {case:?}");
            assert_eq!(got.to_f64(), expected.to_f64(), "case {number}, {level:?}: {case:?}");
        }
        let layer = Layer::convolution(&conv, &case.weight, None).unwrap();
        assert_eq!(layer.run(&dy.cast(DType::F64)).unwrap().to_f64(), expected.to_f64(), "case {number}: {case:?}");
    }
    assert!(strided > 400, "{strided}");
}

#[test]
fn convolutions_of_integers_are_exact_in_wide_inputs_and_in_batches() {
    let mut rng = Rng::with_seed(162);
    for number in 0..400 {
        // Rows of outputs longer and shorter than vectors, by themselves and in batches that fill vectors.
        let (batch, width) =
            if number % 2 == 0 { (1, rng.usize(20..=300)) } else { (rng.usize(6..=35), rng.usize(1..=20)) };
        let case = random_convolution(&mut rng, Values::Integers, batch, width);
        for level in levels() {
            let comparison = case.compare(&case.run(level));
            assert_eq!(comparison.inexact, 0, "case {number}, {level:?}: {comparison:?}, {case:?}");
        }
    }
}

#[test]
fn inputs_of_a_convolution_that_are_infinite_or_nan_show_where_they_reach() {
    let mut rng = Rng::with_seed(163);
    for number in 0..400 {
        let (batch, width) =
            if number % 2 == 0 { (1, rng.usize(1..=200)) } else { (rng.usize(6..=20), rng.usize(1..=20)) };
        let mut case = random_convolution(&mut rng, Values::Integers, batch, width);
        let mut x = case.input.to_f32();
        for special in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let at = rng.usize(0..x.len());
            x[at] = special;
        }
        case.input = Tensor::f32(case.input.shape(), x).unwrap();
        for level in levels() {
            let comparison = case.compare(&case.run(level));
            assert_eq!(comparison.inexact, 0, "case {number}, {level:?}: {comparison:?}, {case:?}");
        }
    }
}

#[test]
fn convolutions_of_every_type_are_within_their_bound() {
    let mut rng = Rng::with_seed(164);
    for dtype in [DType::F32, DType::F64, DType::F16, DType::Bf16] {
        for number in 0..100 {
            let (batch, width) =
                if number % 2 == 0 { (1, rng.usize(1..=200)) } else { (rng.usize(6..=20), rng.usize(1..=20)) };
            let mut case = random_convolution(&mut rng, Values::Reals, batch, width);
            case.input = case.input.cast(dtype);
            for level in levels() {
                let got = case.run(level);
                assert_eq!(got.dtype(), if dtype == DType::Bf16 { DType::F32 } else { dtype });
                let comparison = case.compare(&got);
                assert!(comparison.passed(), "{dtype} case {number}, {level:?}: {comparison:?}, {case:?}");
            }
        }
    }
}

/// The kinds of layers that networks have, each large enough for what it is computed by.
#[test]
fn deep_convolutions_are_exact() {
    let mut rng = Rng::with_seed(165);
    let conv = Convolution::builder;
    for (conv, shape) in [
        (conv().in_channels(32).out_channels(48).kernel([4, 4]).stride([2, 2]).padding([1, 1]), vec![1, 32, 40, 48]),
        (conv().in_channels(64).out_channels(20).kernel([3, 3]).stride([2, 2]).padding([1, 1]), vec![2, 64, 32, 32]),
        (conv().in_channels(3).out_channels(16).kernel([7, 7]).stride([2, 2]).padding([3, 3]), vec![1, 3, 33, 81]),
        (conv().in_channels(48).out_channels(48).groups(48).kernel([3, 3]).stride([2, 2]), vec![1, 48, 37, 38]),
        (conv().in_channels(16).out_channels(8).kernel([3, 3]).dilation([2, 2]).stride([3, 3]), vec![1, 16, 64, 64]),
        (conv().in_channels(40).out_channels(32).kernel([16]).stride([8]).padding([4]), vec![1, 40, 800]),
        (conv().in_channels(16).out_channels(16).kernel([4; 3]).stride([2; 3]).padding([1; 3]), vec![1, 16, 8, 8, 40]),
        (conv().in_channels(32).out_channels(32).kernel([2, 2]).stride([2, 2]), vec![1, 32, 16, 16]),
        (conv().in_channels(32).out_channels(32).kernel([4, 4]).stride([2, 2]).padding([1, 1]), vec![16, 32, 8, 8]),
        (conv().out_channels(2).kernel([4096]).stride([1024]), vec![1, 1, 16384]),
        (conv().out_channels(2).kernel([4096]).stride([1024]), vec![1, 1, 65536]),
    ] {
        let conv = conv.activation(Activation::LeakyRelu { alpha: 0.25 }).build().unwrap();
        let case = Ordinary {
            input: tensor(&mut rng, &shape, Values::Integers),
            weight: tensor(&mut rng, &conv.weight_shape(), Values::Integers),
            bias: Some(tensor(&mut rng, &[conv.out_channels()], Values::Integers)),
            conv,
        };
        for level in levels() {
            let comparison = case.compare(&case.run(level));
            assert_eq!(comparison.inexact, 0, "{level:?}: {comparison:?}, {case:?}");
        }
        let double = case.input.cast(DType::F64);
        let layer = Layer::convolution(&case.conv, &case.weight, case.bias.as_ref()).unwrap();
        assert_eq!(case.compare(&layer.run(&double).unwrap()).inexact, 0, "{case:?}");
    }
}

fn pools() -> [rayon::ThreadPool; 3] {
    [1, 2, 5].map(|threads| rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap())
}

fn bits(tensor: &Tensor) -> Vec<u64> {
    tensor.to_f64().iter().map(|value| value.to_bits()).collect()
}

#[test]
fn the_number_of_threads_does_not_change_a_bit_of_a_convolution() {
    let (mut rng, pools) = (Rng::with_seed(166), pools());
    for number in 0..60 {
        let (batch, width) =
            if number % 2 == 0 { (1, rng.usize(20..=300)) } else { (rng.usize(6..=35), rng.usize(1..=20)) };
        let case = random_convolution(&mut rng, Values::Reals, batch, width);
        let [one, two, five] = pools.each_ref().map(|pool| bits(&pool.install(|| case.run(Level::best()))));
        assert_eq!(one, two, "{case:?}");
        assert_eq!(one, five, "{case:?}");
    }
}

fn with_level(case: &Case, level: Level) -> Layer {
    Layer::with_level(&case.op, &case.weight, case.bias.as_ref(), level).unwrap()
}

/// The three gradients that the reference expects.
fn expected(case: &Case, gradient: OutputGradient<'_>) -> [Expected; 3] {
    let Case { op, input, weight, .. } = case;
    [
        reference::input_gradient(op, input.shape(), gradient, weight).unwrap(),
        reference::weight_gradient(op, input, gradient).unwrap(),
        reference::bias_gradient(op, input.shape(), gradient).unwrap(),
    ]
}

fn parts(gradients: &Gradients) -> [(&'static str, &Tensor); 3] {
    [("input", &gradients.input), ("weight", &gradients.weight), ("bias", &gradients.bias)]
}

/// Asserts that every element is the nearest number to what is expected.
fn assert_exact(case: &Case, gradients: &Gradients, expected: &[Expected; 3], what: &str) {
    for ((name, got), expected) in parts(gradients).into_iter().zip(expected) {
        let comparison = expected.compare(got).unwrap();
        assert_eq!(comparison.inexact, 0, "{name}, {what}: {comparison:?}, {case:?}");
    }
}

fn assert_within(case: &Case, gradients: &Gradients, expected: &[Expected; 3], what: &str) {
    for ((name, got), expected) in parts(gradients).into_iter().zip(expected) {
        let comparison = expected.compare(got).unwrap();
        assert!(comparison.passed(), "{name}, {what}: {comparison:?}, {case:?}");
    }
}

fn gradient_of_output(rng: &mut Rng, case: &Case, values: Values) -> Tensor {
    tensor(rng, &case.op.at(case.input.shape()).unwrap().output_shape(), values)
}

#[test]
fn gradients_of_integers_are_exact_in_a_random_sweep() {
    let mut rng = Rng::with_seed(171);
    for number in 0..600 {
        let case = random_case(&mut rng, Values::Integers, no_activation);
        let dy = gradient_of_output(&mut rng, &case, Values::Integers);
        let expected = expected(&case, (&dy).into());
        for level in levels() {
            let gradients = with_level(&case, level).backward(&case.input, &dy).unwrap();
            assert_exact(&case, &gradients, &expected, &format!("case {number}, {level:?}"));
        }
        let layer = with_level(&case, Level::best());
        let gradients = layer.backward(&case.input, &dy.cast(DType::F64)).unwrap();
        assert_exact(&case, &gradients, &expected, &format!("case {number}, f64"));
    }
}

/// Those of an ordinary convolution, whose layer has the turned weight.
#[test]
fn gradients_of_convolutions_of_integers_are_exact() {
    let mut rng = Rng::with_seed(172);
    for number in 0..300 {
        let (batch, width) =
            if number % 2 == 0 { (1, rng.usize(1..=200)) } else { (rng.usize(6..=20), rng.usize(1..=20)) };
        let Ordinary { conv, input, weight, bias } = random_convolution(&mut rng, Values::Integers, batch, width);
        let case = Case { op: conv.transposed().clone(), input, weight: conv.turned(&weight).unwrap(), bias };
        let dy = gradient_of_output(&mut rng, &case, Values::Integers);
        let expected = expected(&case, (&dy).into());
        for level in levels() {
            let gradients = with_level(&case, level).backward(&case.input, &dy).unwrap();
            assert_exact(&case, &gradients, &expected, &format!("case {number}, {level:?}"));
        }
        // Its own layer has the gradient in its own order.
        let dw = Layer::convolution(&conv, &weight, None).unwrap().weight_gradient(&case.input, &dy).unwrap();
        assert_eq!(dw.shape(), conv.weight_shape());
        assert_eq!(conv.turned(&dw).unwrap().to_f64(), expected[1].value(), "case {number}");
        assert_eq!(conv.turned_back(&conv.turned(&dw).unwrap()).unwrap(), dw);
    }
}

/// The kinds of layers that networks have, each large enough for what it is computed by.
fn deep() -> Vec<(ConvTranspose, Vec<usize>)> {
    let op = |inputs: usize, outputs: usize, [kernel, stride]: [usize; 2], padding: i64, rank: usize| {
        let op = ConvTranspose::builder().in_channels(inputs).out_channels(outputs).kernel(vec![kernel; rank]);
        op.stride(vec![stride; rank]).padding(vec![padding; rank])
    };
    vec![
        (op(40, 72, [4, 2], 1, 2).build().unwrap(), vec![16, 40, 4, 4]),
        (op(32, 24, [4, 2], 1, 2).build().unwrap(), vec![4, 32, 16, 16]),
        (op(32, 24, [4, 2], 1, 2).layout(Layout::ChannelsLast).build().unwrap(), vec![4, 16, 16, 32]),
        (op(32, 16, [2, 2], 0, 2).weight_layout(WeightLayout::Hwoi).build().unwrap(), vec![1, 32, 40, 40]),
        (op(14, 1, [9, 2], 4, 2).output_padding([1, 1]).build().unwrap(), vec![1, 14, 64, 64]),
        (op(5, 5, [64, 32], 16, 2).build().unwrap(), vec![1, 5, 5, 7]),
        (op(64, 3, [4, 2], 3, 2).build().unwrap(), vec![1, 64, 40, 40]),
        (op(64, 48, [16, 8], 4, 1).build().unwrap(), vec![1, 64, 200]),
        (op(24, 24, [4, 2], 1, 2).groups(24).build().unwrap(), vec![1, 24, 40, 40]),
        (op(24, 48, [3, 2], 1, 2).groups(12).layout(Layout::ChannelsLast).build().unwrap(), vec![2, 20, 40, 24]),
        (op(8, 12, [4, 2], 1, 3).build().unwrap(), vec![1, 8, 8, 8, 8]),
        (op(24, 24, [3, 1], 1, 2).build().unwrap(), vec![1, 24, 40, 40]),
        (op(12, 20, [3, 1], 2, 2).dilation([2, 2]).build().unwrap(), vec![2, 12, 20, 20]),
        (op(3, 2, [2, 7], 0, 2).dilation([3, 5]).build().unwrap(), vec![2, 3, 12, 20]),
        (op(1, 2, [4096, 1024], 0, 1).build().unwrap(), vec![1, 1, 13]),
        (op(2, 2, [3, 1 << 14], 0, 1).dilation([1 << 13]).build().unwrap(), vec![1, 2, 20]),
        (op(1, 1, [1 << 17, 1], 0, 1).build().unwrap(), vec![1, 1, 5]),
        (op(2, 3, [3, 2], 1, 1).build().unwrap(), vec![2, 2, 20_000]),
    ]
}

fn deep_case(rng: &mut Rng, values: Values, (op, shape): &(ConvTranspose, Vec<usize>)) -> (Case, Tensor) {
    let input = tensor(rng, shape, values);
    let weight = tensor(rng, &op.weight_shape(), values);
    let case = Case { op: op.clone(), input, weight, bias: None };
    let dy = gradient_of_output(rng, &case, values);
    (case, dy)
}

#[test]
fn gradients_of_deep_layers_are_exact_and_within_their_bound() {
    let mut rng = Rng::with_seed(173);
    for deep in deep() {
        for values in [Values::Integers, Values::Reals] {
            let (case, dy) = deep_case(&mut rng, values, &deep);
            let expected = expected(&case, (&dy).into());
            for level in levels() {
                let gradients = with_level(&case, level).backward(&case.input, &dy).unwrap();
                match values {
                    Values::Integers => assert_exact(&case, &gradients, &expected, &format!("{level:?}")),
                    Values::Reals => assert_within(&case, &gradients, &expected, &format!("{level:?}")),
                }
            }
        }
    }
}

/// For long sums the bound says little: what is observed is far below it, because sums are taken in parts.
#[test]
fn long_sums_err_little() {
    let mut rng = Rng::with_seed(174);
    let op = ConvTranspose::builder().in_channels(2).out_channels(3).kernel([2, 2]).stride([2, 2]).build().unwrap();
    let ones = |shape: Vec<usize>, rng: &mut Rng| {
        let len = shape.iter().product();
        Tensor::f32(shape, (0..len).map(|_| 1.0 + rng.f32()).collect::<Vec<_>>()).unwrap()
    };
    let input = ones(vec![1, 2, 400, 400], &mut rng);
    let dy = ones(vec![1, 3, 800, 800], &mut rng);
    let layer = Layer::new(&op, &tensor(&mut rng, &op.weight_shape(), Values::Reals), None).unwrap();
    let off = |got: &Tensor, expected: &Expected| {
        let pairs = got.to_f64().into_iter().zip(expected.value().to_vec());
        pairs.map(|(got, expected)| (got / expected - 1.0).abs()).fold(0.0, f64::max)
    };
    let weight =
        off(&layer.weight_gradient(&input, &dy).unwrap(), &reference::weight_gradient(&op, &input, &dy).unwrap());
    let bias = off(
        &layer.bias_gradient(input.shape(), &dy).unwrap(),
        &reference::bias_gradient(&op, input.shape(), &dy).unwrap(),
    );
    assert!(weight < 1e-5 && bias < 1e-6, "{weight:e} {bias:e}");
}

/// Its weights are kept in another form.
#[test]
fn a_layer_with_winograd_has_the_same_gradients() {
    let mut rng = Rng::with_seed(180);
    let three = ConvTranspose::builder().in_channels(32).out_channels(33).kernel([3, 3]).padding([1, 1]);
    let four = ConvTranspose::builder().in_channels(64).out_channels(65).kernel([4, 4]).stride([2, 2]).padding([1, 1]);
    for op in [three.build().unwrap(), four.build().unwrap()] {
        let shape = vec![2, op.in_channels(), 9, 20];
        let (case, dy) = deep_case(&mut rng, Values::Reals, &(op, shape.clone()));
        let normwise = case.op.to_builder().accuracy(Accuracy::Normwise).build().unwrap();
        let layer = Layer::new(&normwise, &case.weight, None).unwrap();
        assert_eq!(layer.explain(&shape).unwrap().algorithm(), "winograd");
        let expected = with_level(&case, Level::best()).backward(&case.input, &dy).unwrap();
        assert_eq!(layer.backward(&case.input, &dy).unwrap(), expected);
    }
}

#[test]
fn gradients_are_adjoint_to_the_forward_pass() {
    let mut rng = Rng::with_seed(175);
    let dot = |a: &Tensor, b: &Tensor| a.to_f64().iter().zip(b.to_f64()).map(|(a, b)| a * b).sum::<f64>();
    for _ in 0..300 {
        let mut case = random_case(&mut rng, Values::Integers, no_activation);
        case.bias = Some(tensor(&mut rng, &[case.op.out_channels()], Values::Integers));
        let dy = gradient_of_output(&mut rng, &case, Values::Integers);
        let layer = with_level(&case, Level::best());
        let y = layer.run(&case.input).unwrap();
        let Gradients { input, weight, bias, .. } = layer.backward(&case.input, &dy).unwrap();
        // Linear in each: <dy, y> less the bias's share is <dx, x>, and <dw, w>.
        let by_bias = dot(&bias, case.bias.as_ref().unwrap());
        let products = dot(&dy, &y) - by_bias;
        assert_eq!([dot(&input, &case.input), dot(&weight, &case.weight)], [products; 2], "{case:?}");
    }
}

#[test]
fn the_number_of_threads_does_not_change_a_bit_of_a_gradient() {
    let (mut rng, pools) = (Rng::with_seed(176), pools());
    let random: Vec<_> = (0..40)
        .map(|_| {
            let case = random_case(&mut rng, Values::Reals, no_activation);
            let dy = gradient_of_output(&mut rng, &case, Values::Reals);
            (case, dy)
        })
        .collect();
    for (case, dy) in
        random.into_iter().chain(deep().iter().map(|deep| deep_case(&mut Rng::new(), Values::Reals, deep)))
    {
        let bits = pools.each_ref().map(|pool| {
            // Each with a layer of its own, and the second time with its working memory.
            let layer = with_level(&case, Level::best());
            let run = || parts(&layer.backward(&case.input, &dy).unwrap()).map(|(_, gradient)| bits(gradient));
            let first = pool.install(run);
            assert_eq!(pool.install(run), first, "{case:?}");
            first
        });
        assert!(bits[0] == bits[1] && bits[0] == bits[2], "{case:?}");
        // All at once, they are what each is by itself.
        let (layer, shape) = (with_level(&case, Level::best()), case.input.shape());
        let one_by_one = [
            layer.input_gradient(shape, &dy).unwrap(),
            layer.weight_gradient(&case.input, &dy).unwrap(),
            layer.bias_gradient(shape, &dy).unwrap(),
        ];
        assert!(one_by_one.each_ref().map(self::bits) == bits[0], "{case:?}");
    }
}

/// One of each for so many channels, and whether the output tells the derivative.
fn activations(channels: usize) -> Vec<(Activation, bool)> {
    let each = |from: f32, step: f32| (0..channels).map(|channel| from + step * channel as f32).collect();
    vec![
        (Activation::Relu, true),
        (Activation::LeakyRelu { alpha: 0.25 }, true),
        (Activation::LeakyRelu { alpha: -0.25 }, false),
        (Activation::Prelu { slopes: each(0.5, 0.125) }, true),
        (Activation::Prelu { slopes: each(0.5, -0.3) }, false),
        (Activation::Clip { min: -0.75, max: 0.5 }, false),
        (Activation::Sigmoid, true),
        (Activation::Tanh, true),
        (Activation::HardSwish { alpha: 1.0, beta: 0.5 }, false),
        (Activation::Mish, false),
        (Activation::Gelu, false),
        (Activation::Silu, false),
        (Activation::Elu { alpha: 0.5 }, true),
        (Activation::Elu { alpha: -0.5 }, false),
        (Activation::Snake { alphas: each(0.0, 1.5) }, false),
    ]
}

/// Sums that spread, in part so far that activations saturate.
fn spread(rng: &mut Rng, shape: &[usize]) -> Tensor {
    let len = shape.iter().product();
    let values = (0..len).map(|_| (rng.f32() * 2.0 - 1.0) * [2.0, 20.0, 200.0][rng.usize(0..3)]);
    Tensor::f32(shape, values.collect::<Vec<_>>()).unwrap()
}

#[test]
fn gradients_of_every_type_are_within_their_bound_through_every_activation() {
    let mut rng = Rng::with_seed(177);
    for dtype in [DType::F32, DType::F64, DType::F16, DType::Bf16] {
        for _ in 0..8 {
            let plain = random_case(&mut rng, Values::Reals, no_activation);
            for (activation, by_output) in activations(plain.op.out_channels()) {
                let op = plain.op.to_builder().activation(activation.clone()).build().unwrap();
                let case = Case { input: plain.input.cast(dtype), weight: plain.weight.clone(), bias: None, op };
                let dy = gradient_of_output(&mut rng, &case, Values::Reals).cast(dtype);
                let z = spread(&mut rng, dy.shape()).cast(dtype);
                let y = z.to_f64().into_iter().enumerate().map(|(index, z)| {
                    let stride = case.op.at(case.input.shape()).unwrap().output_strides().channel;
                    activation.apply(index / stride % case.op.out_channels(), z)
                });
                let y = Tensor::f64(z.shape(), y.collect::<Vec<_>>()).unwrap().cast(dtype);
                let saved = [OutputGradient::with_sum(&dy, &z), OutputGradient::with_output(&dy, &y)];
                for gradient in &saved[..1 + usize::from(by_output)] {
                    let expected = expected(&case, *gradient);
                    for level in levels() {
                        let gradients = with_level(&case, level).backward(&case.input, *gradient).unwrap();
                        assert_within(&case, &gradients, &expected, &format!("{dtype}, {level:?}"));
                        let single = if dtype == DType::F64 { DType::F64 } else { DType::F32 };
                        let of_input = if dtype == DType::F16 { DType::F16 } else { single };
                        let dtypes = parts(&gradients).map(|(_, tensor)| tensor.dtype());
                        assert_eq!(dtypes, [of_input, single, single]);
                    }
                }
                let gradients = with_level(&case, Level::best()).backward(&case.input, saved[0]).unwrap();
                assert_eq!(gradients.slopes.is_some(), matches!(activation, Activation::Prelu { .. }));
                if let Some(slopes) = gradients.slopes {
                    let expected = reference::slope_gradient(&case.op, case.input.shape(), saved[0]).unwrap();
                    let comparison = expected.compare(&slopes).unwrap();
                    assert!(comparison.passed(), "{dtype}: {comparison:?}, {case:?}");
                }
            }
        }
    }
}

/// Long enough for several threads, each of which begins in the middle of a channel.
#[test]
fn the_derivative_is_the_channels_own() {
    let mut rng = Rng::with_seed(178);
    for layout in [Layout::ChannelsFirst, Layout::ChannelsLast] {
        let op = ConvTranspose::builder().out_channels(3).kernel([2]).stride([2]).layout(layout);
        let op = op.activation(Activation::Prelu { slopes: vec![0.5, -2.0, 4.0] }).build().unwrap();
        let shape = if layout == Layout::ChannelsFirst { [1, 1, 20_001] } else { [1, 20_001, 1] };
        let input = tensor(&mut rng, &shape, Values::Integers);
        let weight = tensor(&mut rng, &op.weight_shape(), Values::Integers);
        let case = Case { op, input, weight, bias: None };
        let dy = gradient_of_output(&mut rng, &case, Values::Integers);
        let z = tensor(&mut rng, dy.shape(), Values::Integers);
        let gradient = OutputGradient::with_sum(&dy, &z);
        let gradients = with_level(&case, Level::best()).backward(&case.input, gradient).unwrap();
        assert_exact(&case, &gradients, &expected(&case, gradient), "prelu");
        let slopes = reference::slope_gradient(&case.op, case.input.shape(), gradient).unwrap();
        assert_eq!(slopes.compare(&gradients.slopes.unwrap()).unwrap().inexact, 0);
    }
}

#[test]
fn what_is_infinite_or_nan_shows_in_the_gradients_that_it_reaches() {
    let mut rng = Rng::with_seed(179);
    let specials = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY];
    for number in 0..400 {
        let mut case = random_case(&mut rng, Values::Integers, no_activation);
        let mut dy = gradient_of_output(&mut rng, &case, Values::Integers);
        let poisoned = [&mut case.input, &mut case.weight, &mut dy];
        let tensor = poisoned.into_iter().nth(number % 3).unwrap();
        let mut values = tensor.to_f32();
        let at = rng.usize(0..values.len());
        values[at] = specials[number % 7 % 3];
        *tensor = Tensor::f32(tensor.shape(), values).unwrap();
        let expected = expected(&case, (&dy).into());
        for level in levels() {
            let gradients = with_level(&case, level).backward(&case.input, &dy).unwrap();
            assert_exact(&case, &gradients, &expected, &format!("case {number}, {level:?}"));
        }
    }
}

#[test]
fn a_constant_piece_takes_nothing_back() {
    let op = ConvTranspose::builder().kernel([1]).activation(Activation::Relu).build().unwrap();
    let layer = Layer::new(&op, &Tensor::f32([1, 1, 1], [1.0]).unwrap(), None).unwrap();
    let (dy, z) =
        (Tensor::f32([1, 3], [f32::INFINITY, f32::NAN, 2.0]).unwrap(), Tensor::f32([1, 3], [-1.0, 0.0, 1.0]).unwrap());
    for dtype in [DType::F32, DType::F64] {
        let (dy, x) = (dy.cast(dtype), Tensor::f32([1, 3], [5.0, 6.0, 7.0]).unwrap());
        let gradients = layer.backward(&x, OutputGradient::with_sum(&dy, &z)).unwrap();
        assert_eq!(gradients.input.to_f32(), [0.0, 0.0, 2.0]);
        assert_eq!((gradients.weight.to_f32(), gradients.bias.to_f32()), (vec![14.0], vec![2.0]));
    }
}

/// A `z` that f32 cannot tell from 0 decides in f64.
#[test]
fn what_is_computed_in_f64_is_so_throughout() {
    let op = ConvTranspose::builder().kernel([1]).activation(Activation::Relu).build().unwrap();
    let layer = Layer::new(&op, &Tensor::f32([1, 1, 1], [1.0]).unwrap(), None).unwrap();
    let (x, dy) = (Tensor::f32([1, 2], [1.0, 1.0]).unwrap(), Tensor::f32([1, 2], [1.0, 2.0]).unwrap());
    let z = Tensor::f64([1, 2], [1e-300, -1e-300]).unwrap();
    let gradients = layer.backward(&x, OutputGradient::with_sum(&dy, &z)).unwrap();
    assert_eq!(gradients.input, Tensor::f64([1, 2], [1.0, 0.0]).unwrap());
    assert_eq!(gradients.weight, Tensor::f64([1, 1, 1], [1.0]).unwrap());
    assert_eq!(gradients.bias, Tensor::f64([1], [1.0]).unwrap());
    // An input of f64 makes the weight's gradient so.
    let x = Tensor::f64([1, 2], [1e-300, 1.0]).unwrap();
    let (dy, z) = (Tensor::f32([1, 2], [1.0, 2.0]).unwrap(), Tensor::f32([1, 2], [1.0, -1.0]).unwrap());
    let gradients = layer.backward(&x, OutputGradient::with_sum(&dy, &z)).unwrap();
    assert_eq!(gradients.weight, Tensor::f64([1, 1, 1], [1e-300]).unwrap());
    assert_eq!((gradients.input.dtype(), gradients.bias.dtype()), (DType::F32, DType::F32));
}

#[test]
fn an_empty_batch_and_taps_that_nothing_reaches_have_gradients_of_0() {
    for layout in [Layout::ChannelsFirst, Layout::ChannelsLast] {
        let op = ConvTranspose::builder().in_channels(2).kernel([3]).padding([2]).layout(layout).build().unwrap();
        let layer = Layer::new(&op, &Tensor::f32([2, 1, 3], [1.0; 6]).unwrap(), None).unwrap();
        let (x, dy) = match layout {
            Layout::ChannelsFirst => ([0, 2, 4], [0, 1, 2]),
            Layout::ChannelsLast => ([0, 4, 2], [0, 2, 1]),
        };
        for dtype in [DType::F32, DType::F64] {
            let (x, dy) = (Tensor::f32(x, []).unwrap().cast(dtype), Tensor::f32(dy, []).unwrap().cast(dtype));
            let gradients = layer.backward(&x, &dy).unwrap();
            assert_eq!(gradients.input, x);
            assert_eq!(gradients.weight.to_f32(), [0.0; 6]);
            assert_eq!(gradients.bias.to_f32(), [0.0]);
        }
    }
    let op = ConvTranspose::builder().in_channels(2).kernel([3]).padding([(4, 0)]).build().unwrap();
    let layer = Layer::new(&op, &Tensor::f32([2, 1, 3], [1.0; 6]).unwrap(), None).unwrap();
    let (x, dy) = (Tensor::f32([2, 3], [5.0; 6]).unwrap(), Tensor::f32([1, 1], [2.0]).unwrap());
    assert_eq!(layer.weight_gradient(&x, &dy).unwrap().to_f32(), [0.0, 0.0, 10.0, 0.0, 0.0, 10.0]);
}

#[test]
fn gradients_of_what_does_not_fit_are_refused() {
    let plain = ConvTranspose::builder().in_channels(2).kernel([2]).stride([2]);
    let weight = Tensor::f32([2, 1, 2], [1.0; 4]).unwrap();
    let layer = |op: &upconv::op::Builder| Layer::new(&op.clone().build().unwrap(), &weight, None).unwrap();
    let (x, dy) = (Tensor::f32([1, 2, 2], [1.0; 4]).unwrap(), Tensor::f32([1, 1, 4], [1.0; 4]).unwrap());
    let refused = |layer: &Layer, gradient: OutputGradient<'_>| {
        let by_input = layer.input_gradient(x.shape(), gradient).unwrap_err().to_string();
        assert_eq!(layer.weight_gradient(&x, gradient).unwrap_err().to_string(), by_input);
        assert_eq!(layer.bias_gradient(x.shape(), gradient).unwrap_err().to_string(), by_input);
        assert_eq!(layer.backward(&x, gradient).unwrap_err().to_string(), by_input);
        by_input
    };
    let short = Tensor::f32([1, 1, 3], [1.0; 3]).unwrap();
    let error = refused(&layer(&plain), (&short).into());
    assert_eq!(error, "gradient of the output has shape [1, 1, 3], expected [1, 1, 4], the output's");
    let relu = layer(&plain.clone().activation(Activation::Relu));
    assert!(refused(&relu, (&dy).into()).starts_with("the gradient through relu needs the output or the sum"));
    let gelu = layer(&plain.clone().activation(Activation::Gelu));
    assert!(refused(&gelu, OutputGradient::with_output(&dy, &dy)).contains("needs the sum before it (with_sum)"));
    let before = layer(&plain.clone().pre_activation(Activation::Relu));
    assert_eq!(refused(&before, (&dy).into()), "the gradient through relu before the products is not computed");
    assert!(layer(&plain).backward(&short, &dy).is_err());
    assert!(layer(&plain).input_gradient(&[1, 3, 2], &dy).is_err());
}
