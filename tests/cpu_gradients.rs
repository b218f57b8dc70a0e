//! The ordinary convolution and the gradients of the CPU backend against the reference.

#![cfg(feature = "cpu")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use common::{Values, no_activation, random_case, tensor};
use fastrand::Rng;
use upconv::cpu::{Layer, Level};
use upconv::{Activation, Convolution, DType, Layout, Tensor, reference};

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

    fn compare(&self, got: &Tensor) -> reference::Comparison {
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
