//! Products of f16 on a device, against the reference.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;
#[path = "common/device.rs"]
mod device;

use common::{Values, tensor};
use device::{context, result_of};
use fastrand::Rng;
use std::process::ExitCode;
use upconv::gpu::{Layer, Request};
use upconv::op::Builder;
use upconv::reference;
use upconv::{
    Accuracy, Activation, Bias, Candidate, ConvTranspose, DeviceClass, DeviceProfile, Kernel, Layout, Plan, Storage,
    Tensor,
};

fn main() -> ExitCode {
    device::run(&[
        ("integers_are_exact", integers_are_exact),
        ("reals_are_within_their_bound", reals_are_within_their_bound),
        ("biases_and_slopes_keep_more_than_f16_has", biases_and_slopes_keep_more_than_f16_has),
        ("weights_beyond_f16_are_not_rounded_to_infinity", weights_beyond_f16_are_not_rounded_to_infinity),
        ("it_is_chosen_only_where_it_is_allowed", it_is_chosen_only_where_it_is_allowed),
    ])
}

fn of(in_channels: usize, out_channels: usize) -> Builder {
    ConvTranspose::builder().in_channels(in_channels).out_channels(out_channels).accuracy(Accuracy::Half)
}

/// Operations of every kind that tiles differ by, with the shapes of their inputs.
fn operations() -> Vec<(Builder, Vec<usize>)> {
    let slopes = Activation::Prelu { slopes: (0..12).map(|channel| channel as f32 / 16.0).collect() };
    let leaky = Activation::LeakyRelu { alpha: 0.25 };
    vec![
        (of(16, 8).kernel([4, 4]).stride([2, 2]).padding([1, 1]), vec![2, 16, 8, 12]),
        (of(24, 6).kernel([3, 3]).padding([1, 1]).activation(leaky.clone()), vec![1, 24, 7, 9]),
        (of(32, 12).kernel([2, 2]).stride([2, 2]).activation(slopes), vec![1, 32, 9, 8]),
        (of(8, 4).kernel([3, 3]).stride([2, 2]).output_padding([1, 1]).pre_activation(leaky), vec![1, 8, 11, 6]),
        (of(32, 16).groups(2).kernel([5, 5]).stride([2, 2]).layout(Layout::ChannelsLast), vec![1, 10, 6, 32]),
        (of(12, 3).kernel([9, 9]).stride([3, 3]).padding([4, 4]), vec![1, 12, 7, 8]),
        (of(20, 2).kernel([10]).stride([5]), vec![3, 20, 33]),
        (of(16, 8).kernel([3; 3]).stride([2; 3]).padding([1; 3]), vec![1, 16, 3, 4, 5]),
        (of(16, 16).kernel([3, 3]).dilation([2, 2]), vec![1, 16, 8, 8]),
        (of(128, 8).kernel([1, 1]), vec![1, 128, 5, 4]),
    ]
}

/// A layer on this device as if it were of this class.
fn layer<'a>(class: DeviceClass, op: &ConvTranspose, weight: &'a Tensor, bias: impl Into<Bias<'a>>) -> Layer {
    let device = context().limited(DeviceProfile { class, ..context().profile().clone() });
    Layer::new(&device, op, weight, bias).unwrap()
}

fn is_half(candidate: &Candidate) -> bool {
    candidate.to_string().contains("products of f16")
}

/// Runs some of the candidates whose products are of f16: the best of two classes of devices, which have other orders of
/// products, and one with splits; stored as f32 and as f16 in turn.
fn each_half(values: Values, mut judge: impl FnMut(&reference::Expected, &Tensor, &Candidate, Storage)) {
    let mut rng = Rng::with_seed(58);
    for (op, shape) in operations() {
        let op = op.build().unwrap();
        let x = tensor(&mut rng, &shape, values);
        let weight = tensor(&mut rng, &op.weight_shape(), values);
        let bias = tensor(&mut rng, &[op.out_channels()], values);
        let expected = reference::conv_transpose(&op, &x, &weight, &bias).unwrap();
        let mut ran = 0;
        for class in [DeviceClass::Desktop, DeviceClass::Nvidia] {
            let layer = layer(class, &op, &weight, &bias);
            let candidates = layer.candidates(&shape).unwrap();
            let half = candidates.iter().filter(|candidate| is_half(candidate));
            let split = half.clone().find(|candidate| candidate.to_string().contains("splits"));
            for candidate in half.take(1).chain(split) {
                let storage = [Storage::F32, Storage::F16][ran % 2];
                let prepared = layer.prepare(&shape, Request::new(storage).candidate(*candidate)).unwrap();
                judge(&expected, &result_of(context(), &prepared, &x), candidate, storage);
                ran += 1;
            }
        }
        assert!(ran > 0 || !context().profile().f16, "no product of f16 for {op:?}");
    }
}

fn integers_are_exact() {
    each_half(Values::Integers, |expected, got, candidate, storage| {
        let comparison = expected.compare(got).unwrap();
        assert_eq!(comparison.inexact, 0, "{candidate}, {storage:?}: {comparison:?}");
    });
}

fn reals_are_within_their_bound() {
    let mut worst: f64 = 0.0;
    each_half(Values::Reals, |expected, got, candidate, storage| {
        let comparison = expected.compare(got).unwrap();
        assert!(comparison.passed(), "{candidate}, {storage:?}: {comparison:?}");
        worst = worst.max(comparison.worst_share);
    });
    if context().profile().f16 {
        // Rounding shows, and is no product left out: the smallest sums are of some ten products.
        assert!((1e-3..0.1).contains(&worst), "{worst}");
    }
}

/// What is added once to an output is not rounded to f16.
fn biases_and_slopes_keep_more_than_f16_has() {
    let (bias, slope) = (1000.123_f32, 0.123_456_7_f32);
    let op = of(16, 4).kernel([4, 4]).stride([2, 2]).activation(Activation::Prelu { slopes: vec![slope; 4] });
    let (op, shape) = (op.build().unwrap(), [1, 16, 5, 6]);
    let (zeros, weight) = (Tensor::f32(shape, vec![0.0; 480]).unwrap(), vec![1.0; 16 * 4 * 16]);
    let weight = Tensor::f32(op.weight_shape(), weight).unwrap();
    let biases = Tensor::f32([4], vec![bias, -bias, bias, -bias]).unwrap();
    let layer = layer(DeviceClass::Desktop, &op, &weight, &biases);
    for candidate in layer.candidates(&shape).unwrap().iter().filter(|candidate| is_half(candidate)).take(2) {
        let prepared = layer.prepare(&shape, Request::new(Storage::F32).candidate(*candidate)).unwrap();
        let plane: usize = prepared.geometry().output_shape()[2..].iter().product();
        let got = result_of(context(), &prepared, &zeros).to_f32();
        for (index, got) in got.iter().enumerate() {
            let expected = if (index / plane).is_multiple_of(2) { bias } else { -bias * slope };
            // Twice 22 bits.
            assert!((got / expected - 1.0).abs() < 1e-6, "{candidate}: {got} for {expected}");
        }
    }
}

fn weights_beyond_f16_are_not_rounded_to_infinity() {
    let (op, shape) = (of(16, 4).kernel([4, 4]).stride([2, 2]).build().unwrap(), [1, 16, 32, 32]);
    let mut rng = Rng::with_seed(3);
    let x = tensor(&mut rng, &shape, Values::Integers);
    let mut weights = vec![1.0; 16 * 4 * 16];
    weights[77] = 65_536.0;
    let weight = Tensor::f32(op.weight_shape(), weights).unwrap();
    let layer = layer(DeviceClass::Desktop, &op, &weight, None);
    assert!(!layer.candidates(&shape).unwrap().iter().any(is_half));
    let prepared = layer.prepare(&shape, Storage::F32).unwrap();
    assert_eq!(prepared.plan().kernel(), Kernel::Gather);
    let expected = reference::conv_transpose(&op, &x, &weight, None).unwrap();
    assert_eq!(expected.compare(&result_of(context(), &prepared, &x)).unwrap().inexact, 0);
}

fn it_is_chosen_only_where_it_is_allowed() {
    // No filter of Winograd's is for this kernel.
    let shape = [1, 64, 64, 64];
    let chosen = |class, accuracy, f16| {
        let op = of(64, 32).kernel([2, 2]).stride([2, 2]).accuracy(accuracy).build().unwrap();
        let profile = DeviceProfile { class, f16, ..DeviceProfile::default() };
        let plan = Plan::new(&op.at(&shape).unwrap(), Storage::F32, &profile).unwrap();
        plan.candidate_name().contains("products of f16")
    };
    assert!(chosen(DeviceClass::Desktop, Accuracy::Half, true));
    assert!(!chosen(DeviceClass::Desktop, Accuracy::Half, false));
    assert!(!chosen(DeviceClass::Desktop, Accuracy::Normwise, true));
    assert!(!chosen(DeviceClass::Desktop, Accuracy::Elementwise, true));
    // A device in software is slower with f16.
    assert!(!chosen(DeviceClass::Software, Accuracy::Half, true));
}
