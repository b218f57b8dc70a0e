//! The ordinary convolution: its description, and the kernels that compute it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;
#[path = "common/device.rs"]
mod device;
#[path = "common/onnx_conv.rs"]
mod onnx_conv;

use common::{Case, Values, no_activation, random_case, tensor};
use device::{context, result_of};
use fastrand::Rng;
use std::process::ExitCode;
use upconv::convention::AutoPad;
use upconv::gpu::{Layer, Request};
use upconv::{Activation, Convolution, DeviceClass, DeviceProfile, Error, Kernel, Storage, Tensor, reference};

fn main() -> ExitCode {
    device::run(&[
        ("integers_are_exact_in_a_random_sweep", integers_are_exact_in_a_random_sweep),
        ("reals_are_within_their_bound_in_a_random_sweep", reals_are_within_their_bound_in_a_random_sweep),
        ("deep_layers_are_exact_by_every_kernel_and_split", deep_layers_are_exact_by_every_kernel_and_split),
        ("taps_taken_in_rounds_are_added_as_by_gather", taps_taken_in_rounds_are_added_as_by_gather),
        ("bands_give_the_same_bits", bands_give_the_same_bits),
        ("the_cases_of_onnx", the_cases_of_onnx),
        ("a_kernel_of_4096_taps_finishes", a_kernel_of_4096_taps_finishes),
        ("kernels_that_cannot_are_refused", kernels_that_cannot_are_refused),
    ])
}

/// The input gradient of a layer, and the convolution with its weights: by those of the kernels that can.
fn by_each(case: &Case, dy: &Tensor, kernels: &[Kernel]) -> Vec<(&'static str, Kernel, Tensor)> {
    let conv = case.op.adjoint();
    // Compilers take long for large tiles: these get the small ones of an unknown device.
    let device = context().limited(DeviceProfile { class: DeviceClass::Unknown, ..context().profile().clone() });
    let layer = Layer::new(&device, &case.op, &case.weight, None).unwrap();
    let ordinary = Layer::convolution(&device, &conv, &case.weight, None).unwrap();
    let mut results = Vec::new();
    for &kernel in kernels {
        let request = Request::new(Storage::F32).kernel(kernel);
        for (name, prepared) in [
            ("input gradient", layer.prepare_input_gradient(case.input.shape(), request)),
            ("convolution", ordinary.prepare(dy.shape(), request)),
        ] {
            match prepared {
                Ok(prepared) => results.push((name, kernel, result_of(context(), &prepared, dy))),
                Err(Error::Kernel { .. } | Error::Limit { .. }) if kernel != Kernel::Gather => {}
                Err(error) => panic!("{name}, {kernel}: {error}"),
            }
        }
    }
    results
}

fn gradient_of_output(rng: &mut Rng, case: &Case, values: Values) -> Tensor {
    tensor(rng, &case.op.at(case.input.shape()).unwrap().output_shape(), values)
}

fn integers_are_exact_in_a_random_sweep() {
    let mut rng = Rng::with_seed(151);
    let mut runs = [0; Kernel::EXACT.len()];
    let mut strided = 0;
    for number in 0..600 {
        let case = random_case(&mut rng, Values::Integers, no_activation);
        let dy = gradient_of_output(&mut rng, &case, Values::Integers);
        // Literal loops, which know neither the turned kernel nor what is kept of an output.
        let expected = reference::conv(&case.op, case.input.shape(), &dy, &case.weight).unwrap();
        let conv = case.op.adjoint();
        let turned = conv.turned(&case.weight).unwrap();
        assert_eq!(reference::run(conv.transposed(), &dy, &turned, None).unwrap().to_f64(), expected.to_f64());
        let kernels = if number % 16 == 0 { Kernel::EXACT } else { &[Kernel::Gather] };
        for (name, kernel, got) in by_each(&case, &dy, kernels) {
            assert_eq!(got.shape(), case.input.shape(), "case {number}, {name}, {kernel}: {case:?}");
            assert_eq!(got.to_f64(), expected.to_f64(), "case {number}, {name}, {kernel}: {case:?}");
            runs[kernel as usize] += 1;
        }
        strided += usize::from(conv.stride().iter().any(|&stride| stride > 1));
    }
    assert_eq!(runs[Kernel::Gather as usize], 1200);
    assert!(runs.iter().all(|&runs| runs >= 40), "{runs:?}");
    assert!(strided > 400, "{strided}");
}

fn reals_are_within_their_bound_in_a_random_sweep() {
    let mut rng = Rng::with_seed(152);
    for number in 0..100 {
        let case = random_case(&mut rng, Values::Reals, no_activation);
        let dy = gradient_of_output(&mut rng, &case, Values::Reals);
        let conv = case.op.adjoint();
        let expected =
            reference::conv_transpose(conv.transposed(), &dy, &conv.turned(&case.weight).unwrap(), None).unwrap();
        let kernels = if number % 10 == 0 { Kernel::EXACT } else { &[Kernel::Gather] };
        for (name, kernel, got) in by_each(&case, &dy, kernels) {
            let comparison = expected.compare(&got).unwrap();
            assert!(comparison.passed(), "case {number}, {name}, {kernel}: {comparison:?}, {case:?}");
        }
    }
}

/// The kinds of layers that networks have, with the tiles of every class of devices, split and not.
fn deep_layers_are_exact_by_every_kernel_and_split() {
    let mut rng = Rng::with_seed(153);
    let conv = Convolution::builder;
    let relu = Activation::LeakyRelu { alpha: 0.25 };
    for (conv, shape) in [
        (conv().in_channels(32).out_channels(48).kernel([4, 4]).stride([2, 2]).padding([1, 1]), vec![1, 32, 20, 24]),
        (conv().in_channels(64).out_channels(20).kernel([3, 3]).stride([2, 2]).padding([1, 1]), vec![2, 64, 16, 16]),
        (conv().in_channels(3).out_channels(16).kernel([7, 7]).stride([2, 2]).padding([3, 3]), vec![1, 3, 33, 41]),
        (conv().in_channels(48).out_channels(48).groups(48).kernel([3, 3]).stride([2, 2]), vec![1, 48, 17, 18]),
        (conv().in_channels(16).out_channels(8).kernel([3, 3]).dilation([2, 2]).stride([3, 3]), vec![1, 16, 24, 24]),
        (conv().in_channels(40).out_channels(32).kernel([16]).stride([8]).padding([4]), vec![1, 40, 400]),
        (conv().in_channels(16).out_channels(16).kernel([4; 3]).stride([2; 3]).padding([1; 3]), vec![1, 16, 8, 8, 8]),
        (conv().in_channels(32).out_channels(32).kernel([2, 2]).stride([2, 2]), vec![1, 32, 16, 16]),
    ] {
        let conv = conv.activation(relu.clone()).build().unwrap();
        let x = tensor(&mut rng, &shape, Values::Integers);
        let weight = tensor(&mut rng, &conv.weight_shape(), Values::Integers);
        let bias = tensor(&mut rng, &[conv.out_channels()], Values::Integers);
        let turned = conv.turned(&weight).unwrap();
        let expected = reference::conv_transpose(conv.transposed(), &x, &turned, &bias).unwrap();
        let mut kernels = [0; Kernel::EXACT.len()];
        for class in [DeviceClass::Software, DeviceClass::Nvidia, DeviceClass::Desktop, DeviceClass::Unknown] {
            let device = context().limited(DeviceProfile { class, ..context().profile().clone() });
            let layer = Layer::convolution(&device, &conv, &weight, &bias).unwrap();
            let candidates = layer.candidates(&shape).unwrap();
            let splits = candidates.iter().filter(|candidate| candidate.to_string().contains("split")).take(1);
            let mut prepared: Vec<_> = candidates.iter().take(1).chain(splits).collect();
            prepared.extend(
                Kernel::EXACT
                    .iter()
                    .filter_map(|kernel| candidates.iter().find(|candidate| candidate.kernel() == *kernel)),
            );
            for candidate in prepared {
                let prepared = match layer.prepare(&shape, Request::new(Storage::F32).candidate(*candidate)) {
                    Ok(prepared) => prepared,
                    Err(Error::Limit { .. }) => continue,
                    Err(error) => panic!("{candidate}: {error}"),
                };
                let comparison = expected.compare(&result_of(context(), &prepared, &x)).unwrap();
                assert_eq!(comparison.inexact, 0, "{candidate}: {comparison:?}, {conv:?}");
                kernels[candidate.kernel() as usize] += 1;
            }
        }
        assert!(kernels[Kernel::Direct as usize] >= 5, "{kernels:?}, {conv:?}");
    }
}

/// Long kernels, whose tiles take a few taps at a time: on one axis or more, in vectors, beside a dilation, in parts of
/// the input channels.
fn taps_taken_in_rounds_are_added_as_by_gather() {
    let mut rng = Rng::with_seed(167);
    let conv = Convolution::builder;
    let cases = [
        (
            conv().in_channels(3).out_channels(9).kernel([48, 64]).stride([16, 32]).padding([16, 16]),
            vec![1, 3, 80, 160],
        ),
        (conv().in_channels(2).out_channels(5).kernel([9, 9]).stride([2, 2]).padding([4, 4]), vec![2, 2, 21, 23]),
        (conv().in_channels(4).out_channels(3).kernel([5, 8]).dilation([1, 3]), vec![1, 4, 12, 44]),
        (
            conv().in_channels(2).out_channels(6).kernel([5, 3, 4]).stride([2, 1, 3]).dilation([2, 1, 1]),
            vec![2, 2, 17, 6, 16],
        ),
        (conv().in_channels(2).kernel([272]).stride([64]).padding([3]), vec![2, 2, 1162]),
    ];
    let (mut tried, mut vectors, mut in_parts) = (0, 0, 0);
    for (builder, shape) in cases {
        let conv = builder.build().unwrap();
        let input = tensor(&mut rng, &shape, Values::Reals);
        let weight = tensor(&mut rng, &conv.weight_shape(), Values::Reals);
        let gather = Layer::convolution(context(), &conv, &weight, None).unwrap();
        let by_gather = gather.prepare(&shape, Request::new(Storage::F32).kernel(Kernel::Gather)).unwrap();
        let expected = result_of(context(), &by_gather, &input);
        let (op, turned) = (conv.transposed(), conv.turned(&weight).unwrap());
        let checked = reference::conv_transpose(op, &input, &turned, None).unwrap().compare(&expected).unwrap();
        assert!(checked.passed(), "{checked:?}");
        for class in [DeviceClass::Software, DeviceClass::Desktop, DeviceClass::Unknown] {
            let whole = context().profile().clone();
            for max_multiply_adds in [u64::MAX, 1 << 15] {
                let device = context().limited(DeviceProfile { class, max_multiply_adds, ..whole.clone() });
                let layer = Layer::convolution(&device, &conv, &weight, None).unwrap();
                let candidates = layer.candidates(&shape).unwrap();
                let rounds = candidates.iter().filter(|candidate| {
                    let name = candidate.to_string();
                    name.contains("rounds of") && !name.contains("splits")
                });
                for candidate in rounds.step_by(11) {
                    let prepared = layer.prepare(&shape, Request::new(Storage::F32).candidate(*candidate)).unwrap();
                    assert_eq!(
                        result_of(context(), &prepared, &input),
                        expected,
                        "{class:?}: {candidate}, {}",
                        prepared.plan().explain()
                    );
                    tried += 1;
                    vectors += usize::from(prepared.plan().wgsl().contains("alias Input = vec4"));
                    in_parts += usize::from(prepared.plan().scratch_bytes() > 0);
                }
            }
        }
    }
    assert!(tried > 60 && vectors > 5 && in_parts > 5, "{tried}, {vectors} by vectors, {in_parts} in parts");
}

fn bands_give_the_same_bits() {
    let mut rng = Rng::with_seed(154);
    let conv =
        Convolution::builder().in_channels(8).out_channels(12).kernel([4, 3]).stride([2, 3]).padding([(1, 2); 2]);
    let conv = conv.build().unwrap();
    let x = tensor(&mut rng, &[2, 8, 31, 30], Values::Reals);
    let weight = tensor(&mut rng, &conv.weight_shape(), Values::Reals);
    for kernel in Kernel::EXACT {
        let on = |max_multiply_adds| {
            let device = context().limited(DeviceProfile { max_multiply_adds, ..context().profile().clone() });
            let layer = Layer::convolution(&device, &conv, &weight, None).unwrap();
            let prepared = layer.prepare(x.shape(), Request::new(Storage::F32).kernel(*kernel)).unwrap();
            (prepared.plan().dispatch_count(), result_of(context(), &prepared, &x))
        };
        let ((whole, expected), (bands, got)) = (on(1 << 34), on(40_000));
        assert!(whole == 1 && bands > 8, "{kernel}: {whole} and {bands} dispatches");
        assert_eq!(got, expected, "{kernel}");
    }
}

fn the_cases_of_onnx() {
    for case in onnx_conv::onnx_cases() {
        let layer = Layer::convolution(context(), &case.convolution, &case.weight, case.bias.as_ref()).unwrap();
        case.compare(&layer.run(&case.input).unwrap());
        for &kernel in Kernel::EXACT {
            match layer.run_with(&case.input, kernel) {
                Ok(got) => case.compare(&got),
                Err(Error::Kernel { .. }) if kernel != Kernel::Gather => {}
                Err(error) => panic!("{}, {kernel}: {error}", case.name),
            }
        }
    }
}

/// Overlap-add of sound, read backwards: few outputs of many taps each.
fn a_kernel_of_4096_taps_finishes() {
    let mut rng = Rng::with_seed(155);
    let conv = Convolution::builder().out_channels(2).kernel([4096]).stride([1024]).build().unwrap();
    let x = tensor(&mut rng, &[1, 1, 16384], Values::Integers);
    let weight = tensor(&mut rng, &conv.weight_shape(), Values::Integers);
    let layer = Layer::convolution(context(), &conv, &weight, None).unwrap();
    let expected = reference::run(conv.transposed(), &x, &conv.turned(&weight).unwrap(), None).unwrap();
    assert_eq!(expected.shape(), [1, 2, 13]);
    assert_eq!(layer.run(&x).unwrap(), expected);
}

fn kernels_that_cannot_are_refused() {
    let conv = Convolution::builder().kernel([3, 3]).stride([2, 2]).build().unwrap();
    let weight = Tensor::f32([1, 1, 3, 3], vec![1.0; 9]).unwrap();
    let layer = Layer::convolution(context(), &conv, &weight, None).unwrap();
    for kernel in [Kernel::Winograd, Kernel::Matrix] {
        let refused = layer.prepare(&[1, 1, 9, 9], Request::new(Storage::F32).kernel(kernel)).unwrap_err().to_string();
        assert!(refused.contains("the stride of an ordinary convolution"), "{refused}");
    }
    let same = conv.auto_padded(AutoPad::SameUpper, &[1, 1, 9, 8]).unwrap();
    assert_eq!(same.padding(), [(1, 1), (0, 1)]);
    assert_eq!(same.at(&[1, 1, 9, 8]).unwrap().output_shape(), [1, 1, 5, 4]);
    let refused = Layer::convolution(context(), &conv, &Tensor::f32([1, 9], vec![1.0; 9]).unwrap(), None).unwrap_err();
    assert_eq!(refused.to_string(), "weight of a convolution has shape [1, 9], expected [1, 1, 3, 3] (oihw)");
}
