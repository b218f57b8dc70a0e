//! The kernels on a device, against the reference.
//!
//! Without a device every test fails. `UPCONV_SKIP_GPU_TESTS=1` is how a person asks for them to be skipped; they then
//! show as ignored.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;
#[path = "common/device.rs"]
mod device;

use common::{Case, Values, d2l_examples, no_activation, random_case, tensor};
use device::{context, result_of};
use fastrand::Rng;
use std::collections::BTreeMap;
use std::process::ExitCode;
use upconv::convention::AutoPad;
use upconv::gpu::{AdapterRequest, Band, Context, Layer, Matrices, Prepared, Request, adapters};
use upconv::reference::{self, Comparison};
use upconv::{
    Accuracy, Activation, Candidate, ConvTranspose, Convention, DType, Data, DeviceClass, DeviceProfile, Error, Kernel,
    Layout, Refusal, Storage, Tensor, wgpu,
};

fn main() -> ExitCode {
    device::run(&[
        ("the_examples_of_the_book", the_examples_of_the_book),
        ("integers_are_exact_in_a_random_sweep", integers_are_exact_in_a_random_sweep),
        ("reals_are_within_their_bound_in_a_random_sweep", reals_are_within_their_bound_in_a_random_sweep),
        ("every_type_and_activation_in_a_random_sweep", every_type_and_activation_in_a_random_sweep),
        ("activations_pass_nan_on_and_keep_infinities", activations_pass_nan_on_and_keep_infinities),
        ("winograd_is_within_its_bound", winograd_is_within_its_bound),
        ("cooperative_matrices_are_only_used_where_they_are", cooperative_matrices_are_only_used_where_they_are),
        ("products_of_cooperative_matrices_are_right", products_of_cooperative_matrices_are_right),
        ("matrices_round_to_f16_where_it_is_allowed", matrices_round_to_f16_where_it_is_allowed),
        ("tiles_of_every_kind_are_exact", tiles_of_every_kind_are_exact),
        ("tiles_of_every_class_are_exact", tiles_of_every_class_are_exact),
        ("every_tile_adds_in_the_same_order", every_tile_adds_in_the_same_order),
        ("splits_of_the_input_channels_are_exact", splits_of_the_input_channels_are_exact),
        ("splits_give_the_same_bits_in_bands_and_again", splits_give_the_same_bits_in_bands_and_again),
        ("two_runs_give_the_same_bits", two_runs_give_the_same_bits),
        ("a_layer_runs_into_the_callers_memory", a_layer_runs_into_the_callers_memory),
        ("bands_give_the_same_bits", bands_give_the_same_bits),
        ("workgroups_give_the_same_bits_however_they_lie", workgroups_give_the_same_bits_however_they_lie),
        ("long_sums_are_complete", long_sums_are_complete),
        ("sums_in_parts_have_the_same_bits", sums_in_parts_have_the_same_bits),
        ("the_holes_of_a_large_stride_hold_the_bias", the_holes_of_a_large_stride_hold_the_bias),
        ("a_tap_outside_the_input_is_not_multiplied", a_tap_outside_the_input_is_not_multiplied),
        ("an_empty_batch_gives_an_empty_output", an_empty_batch_gives_an_empty_output),
        ("layers_are_recorded_into_the_callers_pass", layers_are_recorded_into_the_callers_pass),
        ("a_convention_is_resolved_without_packing_again", a_convention_is_resolved_without_packing_again),
        ("more_than_65535_workgroups_are_folded", more_than_65535_workgroups_are_folded),
        ("unfit_buffers_are_refused", unfit_buffers_are_refused),
        ("an_unknown_adapter_is_refused_with_those_here", an_unknown_adapter_is_refused_with_those_here),
        ("a_huge_stride_and_dilation_run", a_huge_stride_and_dilation_run),
    ])
}

/// Runs a layer with every kernel that accepts it, each into an output full of NaN, which an element that is not
/// written would keep.
fn run_poisoned(context: &Context, case: &Case) -> Vec<(Kernel, Tensor)> {
    run_with(context, case, Kernel::EXACT)
}

/// As [`run_poisoned`], with those of the kernels that accept the case.
fn run_with(context: &Context, case: &Case, kernels: &[Kernel]) -> Vec<(Kernel, Tensor)> {
    let Case { op, input, weight, bias } = case;
    let layer = Layer::new(context, op, weight, bias.as_ref()).unwrap();
    let storage = if input.dtype() == DType::F16 && context.profile().f16 { Storage::F16 } else { Storage::F32 };
    let run = |prepared: Prepared| (prepared.plan().kernel(), result_of(context, &prepared, input));
    prepare_each(&layer, input.shape(), storage, kernels).into_iter().map(run).collect()
}

/// The layer prepared with those of the kernels that accept it, within the limits of its device; `gather` always does.
fn prepare_each(layer: &Layer, input_shape: &[usize], storage: Storage, kernels: &[Kernel]) -> Vec<Prepared> {
    let prepare = |&kernel| match layer.prepare(input_shape, Request::new(storage).kernel(kernel)) {
        Ok(prepared) => Some(prepared),
        Err(Error::Kernel { .. }) if kernel != Kernel::Gather => None,
        Err(Error::Limit { .. }) => None,
        Err(error) => panic!("{kernel}: {error}"),
    };
    kernels.iter().filter_map(prepare).collect()
}

fn compare(case: &Case, got: &Tensor) -> Comparison {
    let Case { op, input, weight, bias } = case;
    reference::conv_transpose(op, input, weight, bias.as_ref()).unwrap().compare(got).unwrap()
}

fn the_examples_of_the_book() {
    for (name, case, expected) in d2l_examples() {
        for (kernel, got) in run_poisoned(context(), &case) {
            assert_eq!(got, expected, "{name}, {kernel}");
        }
        let layer = Layer::new(context(), &case.op, &case.weight, case.bias.as_ref()).unwrap();
        assert_eq!(layer.run(&case.input).unwrap(), expected, "{name}");
    }
}

fn integers_are_exact_in_a_random_sweep() {
    let mut rng = Rng::with_seed(14);
    let mut runs = [0; Kernel::EXACT.len()];
    // Compilers take long for large tiles: most cases get the small ones of an unknown device.
    let small_tiles = context().limited(DeviceProfile { class: DeviceClass::Unknown, ..context().profile().clone() });
    for number in 0..600 {
        let case = random_case(&mut rng, Values::Integers, no_activation);
        let got = match number % 24 {
            0 => run_poisoned(context(), &case),
            6 | 12 | 18 => run_poisoned(&small_tiles, &case),
            _ => run_with(context(), &case, &[Kernel::Gather]),
        };
        for (kernel, got) in got {
            let comparison = compare(&case, &got);
            assert_eq!(comparison.inexact, 0, "case {number}, {kernel}: {comparison:?}, {case:?}");
            runs[kernel as usize] += 1;
        }
    }
    assert_eq!(runs[Kernel::Gather as usize], 600);
    assert!(runs.iter().all(|&runs| runs >= 80), "{runs:?} of 600 cases were run by each kernel");
}

fn reals_are_within_their_bound_in_a_random_sweep() {
    let mut rng = Rng::with_seed(15);
    let mut worst: f64 = 0.0;
    let small_tiles = context().limited(DeviceProfile { class: DeviceClass::Unknown, ..context().profile().clone() });
    for number in 0..200 {
        let case = random_case(&mut rng, Values::Reals, no_activation);
        let kernels = if number % 8 == 0 { Kernel::EXACT } else { &[Kernel::Gather] };
        for (kernel, got) in run_with(&small_tiles, &case, kernels) {
            let comparison = compare(&case, &got);
            assert!(comparison.passed(), "case {number}, {kernel}: {comparison:?}, {case:?}");
            worst = worst.max(comparison.worst_share);
        }
    }
    assert!(worst > 0.0, "reals are rounded somewhere, or nothing was compared");
}

/// Layouts, weight layouts, ranks, groups, dilation, element types and activations, crossed.
fn every_type_and_activation_in_a_random_sweep() {
    let mut rng = Rng::with_seed(20);
    let (mut exact, mut bounded) = (0, 0);
    let small_tiles = context().limited(DeviceProfile { class: DeviceClass::Unknown, ..context().profile().clone() });
    for number in 0..1000 {
        let values = if rng.bool() { Values::Integers } else { Values::Reals };
        let mut case = random_case(&mut rng, values, random_activation);
        let dtype = [DType::F32, DType::F16, DType::Bf16][rng.usize(0..3)];
        // What a weight's rounding to f16 or bf16 changes is no business of the comparison: it is rounded first.
        case.input = case.input.cast(dtype);
        case.weight = case.weight.cast(dtype);
        let kernels = if number % 10 == 0 { Kernel::EXACT } else { &[Kernel::Gather] };
        let results = run_with(&small_tiles, &case, kernels);
        let smooth = matches!(
            case.op.activation(),
            Activation::Sigmoid
                | Activation::Tanh
                | Activation::HardSwish { .. }
                | Activation::Mish
                | Activation::Gelu
                | Activation::Silu
                | Activation::Elu { .. }
                | Activation::Snake { .. }
        );
        for (kernel, got) in &results {
            let comparison = compare(&case, got);
            assert!(comparison.passed(), "case {number}, {kernel}, {dtype}: {comparison:?}, {case:?}");
            if values == Values::Integers && !smooth && got.dtype() == DType::F32 {
                assert_eq!(comparison.inexact, 0, "case {number}, {kernel}, {dtype}: {comparison:?}, {case:?}");
                exact += 1;
            } else {
                bounded += 1;
            }
        }
        let layer = Layer::new(context(), &case.op, &case.weight, case.bias.as_ref()).unwrap();
        let result = layer.run(&case.input).unwrap();
        let expected = if dtype == DType::F16 { DType::F16 } else { DType::F32 };
        assert_eq!(result.dtype(), expected, "case {number}: {case:?}");
        assert!(results.iter().any(|(_, got)| got.cast(expected) == result), "case {number}: {case:?}");
    }
    assert!(exact > 100 && bounded > 500, "{exact} exact, {bounded} within their bound");
}

/// How many activations [`activation_number`] has.
const ACTIVATIONS: usize = 13;

fn random_activation(rng: &mut Rng, out_channels: usize) -> Activation {
    let number = rng.usize(0..ACTIVATIONS);
    activation_number(number, rng, out_channels)
}

/// An activation, with slopes that are powers of two and integer bounds, so that the piecewise linear ones are exact.
fn activation_number(number: usize, rng: &mut Rng, out_channels: usize) -> Activation {
    let mut slope = || [-2.0, -0.5, 0.0, 0.125, 0.25, 4.0][rng.usize(0..6)];
    let (alpha, slopes) = (slope(), (0..out_channels).map(|_| slope()).collect());
    match number {
        0 => Activation::None,
        1 => Activation::Relu,
        2 => Activation::LeakyRelu { alpha },
        3 => Activation::Prelu { slopes },
        4 => Activation::Clip { min: -20.0, max: 6.0 },
        5 => Activation::Sigmoid,
        6 => Activation::Tanh,
        7 => Activation::HardSwish { alpha: 1.0 / 6.0, beta: 0.5 },
        8 => Activation::Mish,
        9 => Activation::Gelu,
        10 => Activation::Silu,
        11 => Activation::Elu { alpha },
        _ => Activation::Snake { alphas: slopes },
    }
}

fn activations_pass_nan_on_and_keep_infinities() {
    let values = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, -0.0, 100.0, -100.0, 1e30, -1e30];
    let mut rng = Rng::with_seed(21);
    let mut activations: Vec<_> = (0..4 * ACTIVATIONS).map(|i| activation_number(i / 4, &mut rng, 1)).collect();
    // Its angle overflows where its result does not.
    activations.push(Activation::Snake { alphas: vec![1e10] });
    for activation in activations {
        let op = ConvTranspose::builder().kernel([1]).activation(activation).build().unwrap();
        let case = Case {
            input: Tensor::f32([1, 1, values.len()], values).unwrap(),
            weight: Tensor::f32([1, 1, 1], [1.0]).unwrap(),
            bias: None,
            op,
        };
        let name = case.op.activation().name();
        for (kernel, got) in run_poisoned(context(), &case) {
            assert!(got.to_f32()[0].is_nan(), "{kernel}: {name} of NaN is {}", got.to_f32()[0]);
            assert!(compare(&case, &got).passed(), "{kernel}: {name}: {got:?}");
        }
    }
}

/// Every layout, padding, activation and type; quads and single stores; one chunk of tiles and several.
fn winograd_is_within_its_bound() {
    let mut rng = Rng::with_seed(23);
    let relu = Activation::LeakyRelu { alpha: 0.1 };
    let (op, f32) = (ConvTranspose::builder, DType::F32);
    let cases = [
        (op().kernel([3, 3]), vec![1, 1, 1, 1], DType::F32),
        (op().in_channels(3).out_channels(8).kernel([3, 3]).padding([2, 2]), vec![2, 3, 14, 18], DType::F32),
        (op().in_channels(5).out_channels(2).kernel([3, 3]).padding([(0, 3), (1, -2)]), vec![3, 5, 9, 7], DType::F32),
        (
            op().in_channels(4).out_channels(6).kernel([3, 3]).padding([1, 1]).activation(relu),
            vec![4, 8, 20],
            DType::F16,
        ),
        (op().in_channels(64).out_channels(64).kernel([3, 3]).padding([1, 1]), vec![1, 64, 170, 171], DType::F32),
        (
            op().in_channels(6).out_channels(7).kernel([3, 3]).padding([1, 0]).layout(Layout::ChannelsLast),
            vec![2, 11, 13, 6],
            DType::F32,
        ),
        (op().in_channels(6).out_channels(5).kernel([4, 4]).stride([2, 2]).padding([1, 1]), vec![2, 6, 12, 16], f32),
        (op().in_channels(3).out_channels(4).kernel([4, 4]).stride([2, 2]).padding([3, 3]), vec![1, 3, 7, 33], f32),
        (
            op().in_channels(3).out_channels(4).kernel([4, 4]).stride([2, 2]).padding([(0, 1), (2, 0)]),
            vec![1, 3, 5, 4],
            f32,
        ),
        (
            op().in_channels(5)
                .out_channels(6)
                .kernel([4, 4])
                .stride([2, 2])
                .padding([1, 1])
                .layout(Layout::ChannelsLast),
            vec![2, 9, 8, 5],
            DType::F16,
        ),
        (op().in_channels(9).out_channels(4).kernel([16]).stride([8]).padding([4]), vec![2, 9, 50], f32),
        (
            op().in_channels(4).out_channels(3).kernel([10]).stride([5]).padding([3]).output_padding([1]),
            vec![4, 41],
            f32,
        ),
        (op().in_channels(4).out_channels(3).kernel([3, 4]).stride([1, 2]).padding([1, -2]), vec![2, 4, 6, 9], f32),
        (op().in_channels(4).out_channels(3).kernel([4, 1]).stride([2, 1]), vec![2, 4, 6, 9], f32),
        (op().in_channels(4).out_channels(6).kernel([4; 3]).stride([2; 3]).padding([1; 3]), vec![2, 4, 5, 8, 8], f32),
        (
            op().in_channels(3)
                .out_channels(2)
                .kernel([3, 4, 4])
                .stride([3, 2, 2])
                .dilation([2, 1, 1])
                .padding([1, 0, 1]),
            vec![1, 3, 4, 9, 6],
            f32,
        ),
    ];
    let mut chunks = 0;
    for (builder, shape, dtype) in cases {
        let op = builder.build().unwrap();
        let input = tensor(&mut rng, &shape, Values::Reals).cast(dtype);
        let weight = tensor(&mut rng, &op.weight_shape(), Values::Reals);
        let bias = Some(tensor(&mut rng, &[op.out_channels()], Values::Reals));
        let expected = reference::conv_transpose(&op, &input, &weight, bias.as_ref()).unwrap();
        let case = Case { op, input, weight, bias };
        for class in [DeviceClass::Software, DeviceClass::Desktop] {
            let profile = DeviceProfile { class, ..context().profile().clone() };
            for (kernel, got) in run_with(&context().limited(profile), &case, &[Kernel::Winograd]) {
                let comparison = expected.compare_normwise(&got).unwrap();
                assert!(comparison.passed(), "{kernel} {class:?}: {comparison:?}, {shape:?}, {:?}", case.op);
                let layer = Layer::new(context(), &case.op, &case.weight, None).unwrap();
                let plan = layer.prepare(&shape, Request::new(Storage::F32).kernel(kernel)).unwrap().plan().clone();
                // Two transforms and at least one dispatch of products for each chunk of tiles.
                chunks = chunks.max(plan.dispatch_count() / 3);
            }
        }
    }
    assert!(chunks > 1);
}

/// A device of the tests' adapter, with cooperative matrices where that has any.
fn with_matrices() -> Context {
    let adapter = pollster::block_on(adapters(false)).into_iter().next().unwrap();
    Context::from_adapter_with_cooperative_matrices(&adapter).unwrap()
}

fn refusal(context: &Context, case: &Case, storage: Storage) -> String {
    let layer = Layer::new(context, &case.op, &case.weight, case.bias.as_ref()).unwrap();
    match layer.prepare(case.input.shape(), Request::new(storage).kernel(Kernel::Matrix)) {
        Err(Error::Kernel { kernel: Kernel::Matrix, reason }) => reason.to_string(),
        prepared => panic!("{prepared:?}"),
    }
}

fn cooperative_matrices_are_only_used_where_they_are() {
    let mut case = random_case(&mut Rng::with_seed(26), Values::Reals, no_activation);
    assert!(refusal(context(), &case, Storage::F32).contains("no cooperative matrices"), "nobody asked for them");
    let context = with_matrices();
    match context.profile().matrices {
        None => assert!(refusal(&context, &case, Storage::F32).contains("no cooperative matrices")),
        Some(matrices) if matrices.factors == Storage::F16 => {
            assert!(refusal(&context, &case, Storage::F32).contains("of f16"));
            assert!(refusal(&context, &case, Storage::F16).contains("cast the weights to float16"));
        }
        Some(_) => {
            case.weight = Tensor::f32(case.weight.shape(), vec![f32::NAN; case.weight.data().len()]).unwrap();
            assert!(refusal(&context, &case, Storage::F32).contains("NaN"));
        }
    }
}

/// Where the device has no matrices, it says so even if a profile claims some.
fn products_of_cooperative_matrices_are_right() {
    let context = with_matrices();
    let Some(matrices) = context.profile().matrices else {
        let claimed = Matrices { side: 8, factors: Storage::F32, subgroup: 8, largest_subgroup: 8 };
        let context = context.limited(DeviceProfile { matrices: Some(claimed), ..context.profile().clone() });
        let case = random_case(&mut Rng::with_seed(26), Values::Reals, no_activation);
        assert!(refusal(&context, &case, Storage::F32).contains("the device has None"));
        return;
    };
    let storage = matrices.factors;
    let dtype = if storage == Storage::F16 { DType::F16 } else { DType::F32 };
    let mut rng = Rng::with_seed(27);
    let op = ConvTranspose::builder;
    let relu = Activation::LeakyRelu { alpha: 0.125 };
    let mut cases: Vec<Case> = [
        // Several chunks of channels, several blocks, more pairs than a workgroup computes.
        (op().in_channels(96).out_channels(40).kernel([4, 4]).stride([2, 2]).padding([1, 1]), vec![2, 96, 9, 11]),
        (op().in_channels(20).out_channels(70).kernel([3, 3]).padding([1, 1]).activation(relu), vec![1, 20, 13, 35]),
        (op().in_channels(64).out_channels(3).kernel([9, 9]).stride([2, 2]).padding([4, 4]), vec![1, 64, 7, 10]),
        (op().in_channels(32).out_channels(66).groups(2).kernel([2, 2]).stride([2, 2]), vec![3, 32, 6, 5]),
        (op().in_channels(12).out_channels(24).kernel([16]).stride([8]).padding([(4, 3)]), vec![2, 12, 100]),
        (op().in_channels(9).out_channels(6).kernel([4, 4, 4]).stride([2, 2, 2]).padding([1, 1, 1]), vec![9, 4, 5, 6]),
        (
            op().in_channels(33).out_channels(17).kernel([5, 3]).stride([3, 2]).layout(Layout::ChannelsLast),
            vec![2, 6, 9, 33],
        ),
        (
            op().in_channels(16).out_channels(8).kernel([3]).stride([7]).dilation([3]).padding([(-3, 5)]),
            vec![1, 16, 50],
        ),
        (op().in_channels(8).out_channels(8).kernel([1, 1]).padding([-2, 3]), vec![1, 8, 9, 9]),
    ]
    .into_iter()
    .flat_map(|(builder, shape)| {
        let op = builder.build().unwrap();
        [Values::Integers, Values::Reals].map(|values| {
            let mut input = tensor(&mut rng, &shape, values);
            if values == Values::Integers {
                // Smaller ones: f16 has the integers up to 2048.
                let small = input.to_f32().iter().map(|value| (value / 3.0).trunc()).collect::<Vec<_>>();
                input = Tensor::f32(shape.clone(), small).unwrap();
            }
            let weight = tensor(&mut rng, &op.weight_shape(), values);
            let bias = Some(tensor(&mut rng, &[op.out_channels()], values));
            Case { op: op.clone(), input, weight, bias }
        })
    })
    .collect();
    let known = cases.len();
    cases.extend((0..24).map(|number| {
        let values = if number % 2 == 0 { Values::Integers } else { Values::Reals };
        random_case(&mut rng, values, random_activation)
    }));
    // A NaN reaches the outputs that read it, and no others.
    let Case { op, input, weight, .. } = &cases[0];
    let mut broken = input.to_f32();
    broken[100] = f32::NAN;
    let input = Tensor::f32(input.shape(), broken).unwrap();
    cases.push(Case { op: op.clone(), input, weight: weight.clone(), bias: None });

    let (mut exact, mut worst) = (0, 0.0_f64);
    for (number, case) in cases.iter_mut().enumerate() {
        (case.input, case.weight) = (case.input.cast(dtype), case.weight.cast(dtype));
        let expected = reference::conv_transpose(&case.op, &case.input, &case.weight, case.bias.as_ref()).unwrap();
        // Workgroups with more subgroups than pairs of a phase and a block, as many, and fewer: they take turns.
        let subgroup = [matrices.subgroup, 2 * matrices.subgroup, matrices.subgroup / 2, 1][number % 4];
        let matrices = Some(Matrices { subgroup, ..matrices });
        let context = context.limited(DeviceProfile { matrices, ..context.profile().clone() });
        let results = run_with(&context, case, &[Kernel::Matrix]);
        if results.is_empty() && number >= known {
            // Wide halos of small random volumes.
            assert!(refusal(&context, case, storage).contains("of a workgroup's memory"), "case {number}: {case:?}");
            continue;
        }
        let comparison = expected.compare(&results[0].1).unwrap();
        assert!(comparison.passed(), "case {number}: {comparison:?}, {case:?}");
        worst = worst.max(comparison.worst_share);
        // What is an integer, in the type it is stored as, has no error at all.
        let is_exact = |value: &f64| value.abs() <= 2048.0 && value.fract() == 0.0;
        if expected.value().iter().all(is_exact) {
            assert_eq!(comparison.inexact, 0, "case {number}: {comparison:?}, {case:?}");
            exact += 1;
        }
    }
    eprintln!("{exact} of {} cases exact, {worst:.3} of the bound at worst", cases.len());
    // Every known case of integers, at least.
    assert!(exact >= known / 2 && worst > 0.0);
}

/// Under `Accuracy::Half` tensors of f32 and weights that f16 does not have are rounded, before they are set and after.
fn matrices_round_to_f16_where_it_is_allowed() {
    let context = with_matrices();
    if context.profile().matrices.is_none_or(|matrices| matrices.factors != Storage::F16) {
        return;
    }
    let op = ConvTranspose::builder().in_channels(48).out_channels(24).kernel([4, 4]).stride([2, 2]).padding([1, 1]);
    let op = op.accuracy(Accuracy::Half).build().unwrap();
    let mut rng = Rng::with_seed(28);
    let input = tensor(&mut rng, &[2, 48, 7, 9], Values::Reals);
    let weight = tensor(&mut rng, &op.weight_shape(), Values::Reals);
    let case = Case { op, input, weight, bias: None };
    let expected = reference::conv_transpose(&case.op, &case.input, &case.weight, None).unwrap();
    let results = run_with(&context, &case, &[Kernel::Matrix]);
    let comparison = expected.compare(&results[0].1).unwrap();
    assert!(comparison.passed() && comparison.worst_share > 1e-3, "{comparison:?}");
    let layer = Layer::new(&context, &case.op, &case.weight, None).unwrap();
    let buffer = context.upload(&case.weight, Storage::F32).unwrap();
    layer.set_weights(buffer.slice(..), None).unwrap();
    let prepared = layer.prepare(case.input.shape(), Request::new(Storage::F32).kernel(Kernel::Matrix)).unwrap();
    assert_eq!(result_of(&context, &prepared, &case.input), results[0].1);
}

/// The number before some words of a text; 0 where these are not.
fn number_before(text: &str, words: &str) -> usize {
    let before = text.split_once(words).map_or("", |(before, _)| before);
    before.rsplit(|c: char| !c.is_ascii_digit()).next().unwrap().parse().unwrap_or(0)
}

/// What the text of a kernel of `direct` tells of its loop over input channels.
struct Round {
    /// The input channels of a round, and whether there is only one.
    channels: usize,
    only: bool,
    /// Whether inputs are read when multiplying has begun.
    by_rows: bool,
    /// The loads that are tested, and those that are not.
    tested: usize,
    untested: usize,
}

impl Round {
    fn of(prepared: &Prepared) -> Self {
        let text = prepared.plan().wgsl();
        let advances = text.lines().filter_map(|line| line.trim().strip_prefix("at += "));
        let (first, _) = text.split_once(" at += ").unwrap();
        let (_, multiplying) = first.split_once("fma(").unwrap();
        let loads = || text.lines().filter(|line| line.contains("Loaded(input["));
        Self {
            channels: advances.map(|distance| number_before(distance, " * ").max(1)).sum(),
            only: !text.contains("for (var ci"),
            by_rows: multiplying.contains("Loaded(input["),
            tested: loads().filter(|line| line.contains("select(")).count(),
            untested: loads().filter(|line| !line.contains("select(")).count(),
        }
    }
}

/// Rows of whole quads with every lead, few and ragged channels, parted phases, groups; whole and in bands.
fn tiles_of_every_kind_are_exact() {
    let mut rng = Rng::with_seed(20);
    let (mut input_vectors, mut output_vectors, mut ragged, mut parted, mut banded, mut in_parts) = (0, 0, 0, 0, 0, 0);
    let (mut several_channels, mut several_items, mut several_blocks) = (0, 0, 0);
    let op = ConvTranspose::builder;
    let cases = [
        (op().in_channels(3).out_channels(8).kernel([4, 4]).stride([2, 2]).padding([1, 1]), vec![2, 3, 6, 16]),
        (op().in_channels(2).out_channels(3).kernel([4, 4]).stride([2, 2]).padding([3, 3]), vec![1, 2, 5, 12]),
        (op().in_channels(3).out_channels(6).kernel([3, 3]).padding([2, 2]), vec![1, 3, 4, 20]),
        (op().in_channels(2).out_channels(10).groups(2).kernel([2, 2]).stride([2, 2]), vec![1, 2, 4, 16]),
        (op().in_channels(4).out_channels(4).groups(4).kernel([9]).stride([2]).padding([(5, 4)]), vec![1, 4, 32]),
        (op().in_channels(3).out_channels(4).kernel([5]).padding([(-3, 8)]), vec![2, 3, 24]),
        (op().in_channels(2).out_channels(21).kernel([16, 16]).stride([8, 8]).padding([4, 4]), vec![1, 2, 3, 8]),
        (op().in_channels(2).out_channels(5).kernel([4, 4, 4]).stride([2, 2, 2]).padding([1, 1, 1]), vec![2, 3, 4, 8]),
        (op().in_channels(2).out_channels(4).kernel([3]).dilation([3]).padding([2]), vec![2, 40]),
    ];
    for (builder, shape) in cases {
        let op = builder.build().unwrap();
        let input = tensor(&mut rng, &shape, Values::Integers);
        let weight = tensor(&mut rng, &op.weight_shape(), Values::Integers);
        let bias = Some(tensor(&mut rng, &[op.out_channels()], Values::Integers));
        let case = Case { op, input, weight, bias };
        let (small_tiles, large_tiles) = (DeviceClass::Unknown, DeviceClass::Software);
        for (class, max_multiply_adds) in [(small_tiles, u64::MAX), (large_tiles, u64::MAX), (large_tiles, 500)] {
            let max_binding = if max_multiply_adds == 500 { 1 << 14 } else { context().profile().max_binding };
            let small = context().limited(DeviceProfile {
                class,
                max_multiply_adds,
                max_binding,
                ..context().profile().clone()
            });
            let layer = Layer::new(&small, &case.op, &case.weight, case.bias.as_ref()).unwrap();
            for kernel in [Kernel::Direct, Kernel::Tiled] {
                let prepared = match layer.prepare(case.input.shape(), Request::new(Storage::F32).kernel(kernel)) {
                    Err(Error::Kernel { reason: Refusal::Binding { .. }, .. }) => continue,
                    Err(Error::Kernel { kernel: Kernel::Tiled, reason: Refusal::NoTile { .. } }) => continue,
                    prepared => prepared.unwrap(),
                };
                let plan = prepared.plan();
                let (text, words) = (plan.wgsl(), plan.explain().to_string());
                input_vectors += usize::from(text.contains("alias Input = vec4<"));
                output_vectors += usize::from(text.contains("alias Output = vec4<"));
                ragged += usize::from(text.contains("let kept0 = "));
                parted += usize::from(text.contains("let phase_x = "));
                banded += usize::from(plan.dispatch_count() > 1);
                in_parts += usize::from(plan.scratch_bytes() > 0);
                several_channels += usize::from(number_before(&words, " input channels at a time") > 1);
                several_items += usize::from(number_before(&words, " of the batch") > 1);
                several_blocks += usize::from(number_before(&words, " blocks of channels") > 1);
                let comparison = compare(&case, &result_of(&small, &prepared, &case.input));
                assert_eq!(comparison.inexact, 0, "{comparison:?}, {case:?}, {}", plan.explain());
            }
        }
    }
    let seen = [input_vectors, output_vectors, ragged, parted, banded, in_parts];
    let shared = [several_channels, several_items, several_blocks];
    assert!(shared.iter().all(|&seen| seen > 0), "{shared:?}");
    assert!(seen.iter().all(|&seen| seen > 0), "{seen:?}");
}

/// The shapes of known layers with two input channels: the tiles are those of the layers.
fn tiles_of_every_class_are_exact() {
    let mut rng = Rng::with_seed(22);
    let op = || ConvTranspose::builder().in_channels(2);
    let cases = [
        (op().out_channels(64).kernel([4, 4]).stride([2, 2]).padding([1, 1]), vec![16, 2, 16, 16]),
        (op().out_channels(64).kernel([2, 2]).stride([2, 2]), vec![1, 2, 64, 64]),
        (op().kernel([9, 9]).stride([2, 2]).padding([4, 4]).output_padding([1, 1]), vec![1, 2, 256, 256]),
        (op().out_channels(21).kernel([64, 64]).stride([32, 32]).padding([16, 16]), vec![1, 2, 10, 15]),
        (op().out_channels(3).kernel([4, 4]).stride([2, 2]).padding([3, 3]), vec![1, 2, 127, 126]),
        (op().out_channels(256).kernel([16]).stride([8]).padding([4]), vec![1, 2, 200]),
        (op().out_channels(32).kernel([4; 3]).stride([2; 3]).padding([1; 3]), vec![1, 2, 16, 16, 16]),
        (op().out_channels(64).kernel([3, 3]).padding([1, 1]), vec![1, 2, 64, 64]),
        (op().out_channels(64).kernel([3, 3]).padding([1, 1]).layout(Layout::ChannelsLast), vec![1, 64, 61, 2]),
        (op().out_channels(2).groups(2).kernel([4, 4]).stride([2, 2]).padding([1, 1]), vec![16, 2, 64, 64]),
    ];
    let (mut large, mut untested, mut tested, mut unrolled, mut by_rows) = (0, 0, 0, 0, 0);
    for (builder, shape) in cases {
        let op = builder.build().unwrap();
        let input = tensor(&mut rng, &shape, Values::Integers);
        let weight = tensor(&mut rng, &op.weight_shape(), Values::Integers);
        let bias = Some(tensor(&mut rng, &[op.out_channels()], Values::Integers));
        let case = Case { op, input, weight, bias };
        let classes = [
            DeviceClass::Software,
            DeviceClass::Desktop,
            DeviceClass::Nvidia,
            DeviceClass::Mobile,
            DeviceClass::Unknown,
        ];
        for class in classes {
            let device = context().limited(DeviceProfile { class, ..context().profile().clone() });
            let layer = Layer::new(&device, &case.op, &case.weight, case.bias.as_ref()).unwrap();
            let prepared =
                layer.prepare(case.input.shape(), Request::new(Storage::F32).kernel(Kernel::Direct)).unwrap();
            let round = Round::of(&prepared);
            large += usize::from(number_before(&prepared.plan().invocation(), " sums in registers") >= 32);
            untested += usize::from(round.untested > 0);
            tested += usize::from(round.tested > 0);
            unrolled += usize::from(round.channels > 1);
            by_rows += usize::from(round.by_rows);
            let comparison = compare(&case, &result_of(&device, &prepared, &case.input));
            assert_eq!(comparison.inexact, 0, "{class:?}: {comparison:?}, {}", prepared.plan().explain());
        }
    }
    assert!(large > 20 && untested > 20 && tested > 20, "{large} large tiles, {untested} in bounds, {tested} tested");
    assert!(unrolled > 2 && by_rows > 2, "{unrolled} with an unrolled loop, {by_rows} that read by rows");
}

/// Whatever the tile: odd and even numbers of input channels, inputs read by rows of taps or at once; whole and in parts.
fn every_tile_adds_in_the_same_order() {
    let mut rng = Rng::with_seed(29);
    let op = ConvTranspose::builder;
    let cases = [
        (op().out_channels(4).kernel([2, 2]).stride([2, 2]), vec![1, 0, 32, 128], vec![1, 2, 3, 4, 20]),
        (op().out_channels(4).kernel([3, 3]).stride([2, 2]).padding([1, 1]), vec![1, 0, 64, 64], vec![5, 6]),
        (op().out_channels(16).kernel([4; 3]).stride([2; 3]).padding([1; 3]), vec![1, 0, 16, 16, 16], vec![3]),
        (op().out_channels(8).kernel([3, 3]).padding([1, 1]), vec![2, 0, 64, 64], vec![5]),
    ];
    let (mut unrolled, mut without_loop, mut by_rows, mut in_parts) = (0, 0, 0, 0);
    for (builder, mut shape, channels) in cases {
        for channels in channels {
            shape[1] = channels;
            let op = builder.clone().in_channels(channels).build().unwrap();
            let input = tensor(&mut rng, &shape, Values::Reals);
            let weight = tensor(&mut rng, &op.weight_shape(), Values::Reals);
            let case = Case { op, input, weight, bias: None };
            let mut expected: Option<Tensor> = None;
            for class in [DeviceClass::Unknown, DeviceClass::Desktop, DeviceClass::Software] {
                // Of 20 channels and more the planes do not fit at once.
                let small = if channels < 20 { context().profile().max_binding } else { 1 << 18 };
                for (max_binding, max_multiply_adds) in [(context().profile().max_binding, u64::MAX), (small, 1 << 18)]
                {
                    let profile =
                        DeviceProfile { class, max_binding, max_multiply_adds, ..context().profile().clone() };
                    let device = context().limited(profile);
                    let layer = Layer::new(&device, &case.op, &case.weight, None).unwrap();
                    let prepared = layer.prepare(&shape, Request::new(Storage::F32).kernel(Kernel::Direct)).unwrap();
                    let plan = prepared.plan();
                    let round = Round::of(&prepared);
                    unrolled += usize::from(round.channels > 1);
                    without_loop += usize::from(round.only);
                    by_rows += usize::from(round.by_rows);
                    in_parts += usize::from(plan.scratch_bytes() > 0 && round.channels > 1);
                    let got = result_of(&device, &prepared, &case.input);
                    match &expected {
                        None => assert!(compare(&case, &got).passed(), "{case:?}, {}", plan.explain()),
                        Some(expected) => assert_eq!(&got, expected, "{case:?}, {}", plan.explain()),
                    }
                    expected.get_or_insert(got);
                }
            }
        }
    }
    let seen = [unrolled, without_loop, by_rows, in_parts];
    assert!(seen.iter().all(|&seen| seen > 1), "unrolled, without a loop, by rows, in parts: {seen:?}");
}

/// Layers whose input channels can be split, evenly and unevenly: every rank, both layouts, groups, parted phases,
/// ragged channels, activations.
fn layers_that_split(rng: &mut Rng, values: Values) -> Vec<Case> {
    let op = ConvTranspose::builder;
    let leaky = Activation::LeakyRelu { alpha: 0.25 };
    let prelu = Activation::Prelu { slopes: vec![0.5, -2.0, 0.0, 4.0, 0.125, 1.0] };
    let (last, relu) = (Layout::ChannelsLast, Activation::Relu);
    [
        (op().in_channels(33).out_channels(3).kernel([5]).stride([2]).padding([1]).activation(leaky), vec![2, 33, 9]),
        (op().in_channels(64).out_channels(8).kernel([4, 4]).stride([2, 2]).padding([1, 1]), vec![2, 64, 4, 4]),
        (op().in_channels(40).out_channels(6).kernel([3, 3]).padding([1, 1]).activation(prelu), vec![1, 40, 3, 5]),
        (op().in_channels(17).out_channels(5).kernel([3, 2]).stride([3, 2]).layout(last), vec![2, 4, 3, 17]),
        (op().in_channels(48).out_channels(4).groups(2).kernel([4, 4]).stride([2, 2]), vec![1, 48, 3, 4]),
        (
            op().in_channels(24).out_channels(2).kernel([2, 3, 3]).stride([1, 2, 2]).activation(relu),
            vec![1, 24, 2, 3, 3],
        ),
        (op().in_channels(16).out_channels(8).kernel([16]).stride([8]).padding([4]).layout(last), vec![1, 20, 16]),
    ]
    .into_iter()
    .map(|(builder, shape)| {
        let op = builder.build().unwrap();
        let (input, weight) = (tensor(rng, &shape, values), tensor(rng, &op.weight_shape(), values));
        let bias = Some(tensor(rng, &[op.out_channels()], values));
        Case { op, input, weight, bias }
    })
    .collect()
}

/// The best few candidates for each number of splits, prepared.
fn prepare_splits(layer: &Layer, input_shape: &[usize], storage: Storage, each: usize) -> Vec<Prepared> {
    let mut taken = BTreeMap::new();
    let mut wanted = |candidate: &&Candidate| {
        let splits = number_before(&candidate.to_string(), " splits of the input channels");
        let count = taken.entry(splits).or_insert(0);
        *count += 1;
        splits > 1 && *count <= each
    };
    let candidates = layer.candidates(input_shape).unwrap();
    let candidates: Vec<_> = candidates.iter().filter(|candidate| wanted(candidate)).collect();
    candidates
        .into_iter()
        .map(|candidate| layer.prepare(input_shape, Request::new(storage).candidate(*candidate)).unwrap())
        .collect()
}

fn splits_of_the_input_channels_are_exact() {
    let small_tiles = context().limited(DeviceProfile { class: DeviceClass::Unknown, ..context().profile().clone() });
    for (seed, values) in [(23, Values::Integers), (24, Values::Reals)] {
        for case in layers_that_split(&mut Rng::with_seed(seed), values) {
            let layer = Layer::new(&small_tiles, &case.op, &case.weight, case.bias.as_ref()).unwrap();
            let prepared = prepare_splits(&layer, case.input.shape(), Storage::F32, 2);
            assert!(!prepared.is_empty(), "{case:?}");
            for prepared in prepared {
                let comparison = compare(&case, &result_of(context(), &prepared, &case.input));
                let splits = prepared.plan().explain().to_string();
                assert!(comparison.passed(), "{comparison:?}, {case:?}, {splits}");
                assert!(values == Values::Reals || comparison.inexact == 0, "{comparison:?}, {case:?}, {splits}");
            }
            if context().profile().f16 {
                let case = Case { input: case.input.cast(DType::F16), ..case };
                for prepared in prepare_splits(&layer, case.input.shape(), Storage::F16, 1) {
                    let comparison = compare(&case, &result_of(context(), &prepared, &case.input));
                    assert!(comparison.passed(), "{comparison:?}, {case:?}, {}", prepared.plan().explain());
                }
            }
        }
    }
}

fn splits_give_the_same_bits_in_bands_and_again() {
    let profile = DeviceProfile { class: DeviceClass::Unknown, ..context().profile().clone() };
    let large = context().limited(profile.clone());
    let (mut banded, mut in_parts) = (0, 0);
    for case in layers_that_split(&mut Rng::with_seed(25), Values::Reals) {
        let layer = Layer::new(&large, &case.op, &case.weight, case.bias.as_ref()).unwrap();
        for whole in prepare_splits(&layer, case.input.shape(), Storage::F32, 1) {
            let expected = result_of(&large, &whole, &case.input);
            assert_eq!(result_of(&large, &whole, &case.input), expected, "{case:?}");
            // Many multiply-adds: the channels stay together. Few: they do not.
            for max_multiply_adds in [20_000, 2000, 1000] {
                let small = context().limited(DeviceProfile { max_multiply_adds, ..profile.clone() });
                let layer = Layer::new(&small, &case.op, &case.weight, case.bias.as_ref()).unwrap();
                let same = |candidate: &&Candidate| candidate.to_string() == whole.plan().candidate_name();
                let candidates = layer.candidates(case.input.shape()).unwrap();
                let candidate = candidates.iter().find(same).unwrap();
                let prepared =
                    layer.prepare(case.input.shape(), Request::new(Storage::F32).candidate(*candidate)).unwrap();
                let channels = case.op.in_channels() / case.op.groups();
                let bands = prepared.plan().bands();
                banded += usize::from(bands.len() > 1);
                in_parts += usize::from(prepared.plan().bands().any(|band| band.group_in_channels.len() < channels));
                let got = result_of(&small, &prepared, &case.input);
                assert_eq!(got, expected, "{case:?}, {:?}", prepared.plan());
            }
        }
    }
    assert!(banded > 10 && in_parts > 3, "{banded} banded, {in_parts} in parts");
}

fn a_layer_runs_into_the_callers_memory() {
    let mut rng = Rng::with_seed(19);
    // Without f16 on the device `run` rounds what is f32 there, and a slice of f32 gets it as it is.
    let f16 = context().profile().f16.then_some(DType::F16);
    for dtype in [DType::F32, DType::Bf16].into_iter().chain(f16) {
        let case = random_case(&mut rng, Values::Reals, no_activation);
        let input = case.input.cast(dtype);
        let layer = Layer::new(context(), &case.op, &case.weight, case.bias.as_ref()).unwrap();
        let expected = layer.run(&input).unwrap();
        let (mut single, mut double) = (vec![f32::NAN; expected.data().len()], vec![f64::NAN; expected.data().len()]);
        let geometry = layer.run_into(&input, &mut single).unwrap();
        layer.run_into(&input, &mut double).unwrap();
        assert_eq!((geometry.output_shape(), single), (expected.shape().to_vec(), expected.to_f32()), "{dtype}");
        assert_eq!(double, expected.to_f64(), "{dtype}");
        let mut half = vec![half::f16::NAN; expected.data().len()];
        layer.run_into(&input, &mut half).unwrap();
        assert_eq!(half, expected.cast(DType::F16).as_f16().unwrap(), "{dtype}");
        let error = layer.run_into(&input, &mut vec![0.0_f32; expected.data().len() + 1]).unwrap_err();
        assert!(matches!(error, Error::DataLength { .. }), "{error}");
    }
}

fn two_runs_give_the_same_bits() {
    let mut rng = Rng::with_seed(16);
    for _ in 0..6 {
        let case = random_case(&mut rng, Values::Reals, no_activation);
        let bits = || -> Vec<Vec<u32>> {
            let bits = |tensor: &Tensor| tensor.to_f32().iter().map(|v| v.to_bits()).collect();
            run_poisoned(context(), &case).iter().map(|(_, got)| bits(got)).collect()
        };
        assert_eq!(bits(), bits(), "{case:?}");
    }
}

fn bands_give_the_same_bits() {
    let mut rng = Rng::with_seed(17);
    let (mut banded, mut in_parts) = ([0; Kernel::EXACT.len()], [0; Kernel::EXACT.len()]);
    let mut alike = 0;
    let class = DeviceClass::Unknown;
    let large = context().limited(DeviceProfile { class, ..context().profile().clone() });
    for number in 0..120 {
        let case = random_case(&mut rng, Values::Reals, no_activation);
        let kernels = if number % 4 == 0 { Kernel::EXACT } else { &[Kernel::Gather] };
        let whole = run_with(&large, &case, kernels);
        // `tiled` adds in the order of `direct`.
        let [direct, tiled] = [Kernel::Direct, Kernel::Tiled]
            .map(|kernel| whole.iter().find(|(other, _)| *other == kernel).map(|(_, got)| got));
        if let (Some(direct), Some(tiled)) = (direct, tiled) {
            assert_eq!(direct, tiled, "{case:?}");
            alike += 1;
        }
        for max_binding in [1 << 11, 1 << 12, 1 << 13] {
            let profile = DeviceProfile { max_binding, max_multiply_adds: 1500, class, ..context().profile().clone() };
            let small = context().limited(profile);
            let layer = Layer::new(&small, &case.op, &case.weight, case.bias.as_ref()).unwrap();
            for prepared in prepare_each(&layer, case.input.shape(), Storage::F32, kernels) {
                let kernel = prepared.plan().kernel();
                banded[kernel as usize] += usize::from(prepared.plan().dispatch_count() > 1);
                in_parts[kernel as usize] += usize::from(prepared.plan().scratch_bytes() > 0);
                let got = result_of(&small, &prepared, &case.input);
                let (_, whole) = whole.iter().find(|(other, _)| *other == kernel).unwrap();
                assert_eq!(&got, whole, "binding {max_binding}, {case:?}, {:?}", prepared.plan());
            }
        }
    }
    assert!(banded.iter().all(|&banded| banded > 10), "{banded:?} were banded");
    assert!(alike > 10, "{alike} were run by both kernels of tiles");
    assert!(in_parts.iter().all(|&in_parts| in_parts > 0), "{in_parts:?}: no input channels were cut");
}

/// Every arrangement of a workgroup of `tiled`, with what it shares read ahead and not, whole and with its input channels in
/// several parts.
fn workgroups_give_the_same_bits_however_they_lie() {
    let mut rng = Rng::with_seed(31);
    let op = |inputs, outputs| ConvTranspose::builder().in_channels(inputs).out_channels(outputs);
    let slopes = (0..24).map(|channel| channel as f32 / 24.0).collect();
    let with_slopes = op(24, 10).groups(2).pre_activation(Activation::Prelu { slopes });
    // With a binding that fits the weights, but only some of the input's channels.
    let cases = [
        (with_slopes.kernel([3, 3]), vec![1, 24, 19, 18], 1 << 13),
        (op(24, 64).kernel([8]).stride([4]).padding([2]), vec![2, 24, 333], 1 << 20),
    ];
    let (mut ahead, mut larger, mut in_parts) = (0, 0, 0);
    for (builder, shape, small) in cases {
        let op = builder.build().unwrap();
        let input = tensor(&mut rng, &shape, Values::Reals);
        let weight = tensor(&mut rng, &op.weight_shape(), Values::Reals);
        let layer = Layer::new(context(), &op, &weight, None).unwrap();
        let direct = layer.prepare(&shape, Request::new(Storage::F32).kernel(Kernel::Direct)).unwrap();
        let expected = result_of(context(), &direct, &input);
        for max_binding in [context().profile().max_binding, small] {
            let profile = DeviceProfile { class: DeviceClass::Nvidia, max_binding, ..context().profile().clone() };
            let device = context().limited(profile);
            let layer = Layer::new(&device, &op, &weight, None).unwrap();
            let candidates = layer.candidates(&shape).unwrap();
            for candidate in candidates.iter().filter(|candidate| candidate.kernel() == Kernel::Tiled) {
                let prepared = layer.prepare(&shape, Request::new(Storage::F32).candidate(*candidate)).unwrap();
                assert_eq!(result_of(&device, &prepared, &input), expected, "{op:?}: {}", prepared.plan().explain());
                let name = candidate.to_string();
                ahead += usize::from(name.contains("read ahead"));
                larger += usize::from(number_before(&name, " invocations") > 128);
                in_parts += usize::from(prepared.plan().scratch_bytes() > 0);
            }
        }
    }
    assert!(ahead >= 8 && larger >= 8 && in_parts >= 4, "{ahead} read ahead, {larger} larger, {in_parts} in parts");
}

/// Mesa's drivers in software end a shader's loops after 65,535 iterations, of all its loops together, and report nothing:
/// sums of more products lacked the rest.
fn long_sums_are_complete() {
    let op = |in_channels: usize, out_channels: usize| {
        ConvTranspose::builder().in_channels(in_channels).out_channels(out_channels)
    };
    for (name, builder, shape) in [
        ("8192 channels", op(8192, 1).kernel([2, 2]).stride([2, 2]), &[1, 8192, 4, 4][..]),
        ("4096 channels, 9 taps", op(4096, 1).kernel([3, 3]), &[1, 4096, 4, 4]),
        ("128 of 2048 taps", op(1026, 1).kernel([2048]).stride([16]).padding([1016]), &[1, 1026, 100]),
        ("33x33 taps", op(64, 1).kernel([33, 33]).padding([28, 28]), &[1, 64, 30, 30]),
        ("one tap", op(6555, 1).kernel([1]), &[1, 6555, 3]),
        ("tiles", op(70_000, 4).kernel([2]).stride([2]), &[1, 70_000, 40]),
        ("taps of one channel", op(1, 1).kernel([70_000]).padding([69_990]), &[1, 1, 70_000]),
        ("rows of one channel", op(1, 1).kernel([270, 270]).padding([268, 268]), &[1, 1, 270, 270]),
        ("planes of one channel", op(1, 1).kernel([41, 41, 41]).padding([40, 40, 40]), &[1, 1, 41, 41, 41]),
    ] {
        let op = builder.build().unwrap();
        let mut rng = Rng::with_seed(29);
        // Few values are negative, so that what is missing cannot cancel.
        let mut ones = |shape: &[usize]| {
            let data: Vec<f32> =
                (0..shape.iter().product()).map(|_| if rng.u8(..) < 16 { -1.0 } else { 1.0 }).collect();
            Tensor::f32(shape, data).unwrap()
        };
        let case = Case { input: ones(shape), weight: ones(&op.weight_shape()), op, bias: None };
        for (kernel, got) in run_poisoned(context(), &case) {
            let comparison = compare(&case, &got);
            assert!(comparison.inexact == 0, "{name}, {kernel}: {comparison:?}");
        }
    }
}

fn sums_in_parts_have_the_same_bits() {
    let mut rng = Rng::with_seed(30);
    let (mut channels_cut, mut taps_cut) = (0, 0);
    for _ in 0..60 {
        let case = random_case(&mut rng, Values::Reals, no_activation);
        let whole = run_with(context(), &case, &[Kernel::Gather]);
        for max_iterations in [12, 20, 40] {
            let profile = DeviceProfile { max_iterations, ..context().profile().clone() };
            let short = context().limited(profile);
            let layer = Layer::new(&short, &case.op, &case.weight, case.bias.as_ref()).unwrap();
            let prepared =
                layer.prepare(case.input.shape(), Request::new(Storage::F32).kernel(Kernel::Gather)).unwrap();
            let band = |cut: fn(&Band) -> bool| usize::from(prepared.plan().bands().any(cut));
            channels_cut += band(|band| band.group_in_channels.start > 0);
            taps_cut += band(|band| band.taps.iter().any(|taps| taps.start > 0));
            let got = result_of(&short, &prepared, &case.input);
            assert_eq!(got, whole[0].1, "{max_iterations}, {case:?}, {}", prepared.plan().explain());
        }
    }
    assert!(channels_cut > 20 && taps_cut > 20, "{channels_cut} with channels cut, {taps_cut} with taps cut");
}

fn the_holes_of_a_large_stride_hold_the_bias() {
    let op = ConvTranspose::builder().kernel([2, 1]).stride([5, 4]).build().unwrap();
    let case = Case {
        input: Tensor::f32([1, 1, 2, 2], [1.0; 4]).unwrap(),
        weight: Tensor::f32([1, 1, 2, 1], [1.0; 2]).unwrap(),
        bias: Some(Tensor::f32([1], [0.3]).unwrap()),
        op,
    };
    let runs = run_poisoned(context(), &case);
    assert_eq!(runs.len(), Kernel::EXACT.len());
    for (kernel, got) in runs {
        assert_eq!(got.to_f32().iter().filter(|&&v| v == 0.3).count(), 7 * 5 - 8, "{kernel}");
        assert_eq!(compare(&case, &got).beyond, 0, "{kernel}");
    }
}

fn a_tap_outside_the_input_is_not_multiplied() {
    let op = ConvTranspose::builder().kernel([3]).stride([2]).padding([1]).build().unwrap();
    let case = Case {
        input: Tensor::f32([1, 1, 3], [1.0; 3]).unwrap(),
        weight: Tensor::f32([1, 1, 3], [1.0, 1.0, f32::NAN]).unwrap(),
        bias: None,
        op,
    };
    for (kernel, got) in run_poisoned(context(), &case) {
        let nan: Vec<bool> = got.to_f32().iter().map(|v| v.is_nan()).collect();
        assert_eq!(nan, [false, true, false, true, false], "{kernel}");
    }
    let layer = Layer::new(context(), &case.op, &case.weight, None).unwrap();
    assert_eq!(layer.prepare(&[1, 1, 3], Storage::F32).unwrap().plan().kernel(), Kernel::Gather);
    let refusal = layer.prepare(&[1, 1, 3], Request::new(Storage::F32).kernel(Kernel::Direct)).unwrap_err().to_string();
    assert!(refusal.starts_with("kernel direct cannot run this: a weight is NaN"), "{refusal}");
    let infinite = Case { input: Tensor::f32([1, 1, 3], [1.0, f32::INFINITY, 1.0]).unwrap(), ..case };
    let weight = Tensor::f32([1, 1, 3], [1.0, 2.0, 3.0]).unwrap();
    for (kernel, got) in run_poisoned(context(), &Case { weight, ..infinite }) {
        assert_eq!(got.to_f32(), [2.0, f32::INFINITY, f32::INFINITY, f32::INFINITY, 2.0], "{kernel}");
    }
}

fn an_empty_batch_gives_an_empty_output() {
    let op = ConvTranspose::builder().in_channels(2).kernel([3]).build().unwrap();
    let layer = Layer::new(context(), &op, &Tensor::f32([2, 1, 3], [1.0; 6]).unwrap(), None).unwrap();
    let got = layer.run(&Tensor::f32([0, 2, 5], []).unwrap()).unwrap();
    assert_eq!(got, Tensor::f32([0, 1, 7], []).unwrap());
}

fn layers_are_recorded_into_the_callers_pass() {
    let context = context();
    let mut rng = Rng::with_seed(18);
    let op = ConvTranspose::builder().in_channels(2).out_channels(2).kernel([2]).stride([2]).build().unwrap();
    let weight = tensor(&mut rng, &[2, 2, 2], Values::Integers);
    let layer = Layer::new(context, &op, &weight, None).unwrap();
    let input = tensor(&mut rng, &[1, 2, 5], Values::Integers);

    // Two layers in one pass; input and result lie inside larger buffers, at aligned offsets.
    let alignment = context.profile().binding_alignment.max(256);
    let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::COPY_SRC;
    let buffer = || {
        let descriptor = wgpu::BufferDescriptor { label: None, size: alignment * 2, usage, mapped_at_creation: false };
        context.device().create_buffer(&descriptor)
    };
    let (x, hidden, y) = (buffer(), buffer(), buffer());
    context.queue().write_buffer(&x, alignment, bytemuck::cast_slice(&input.to_f32()));
    let first = layer.prepare(&[1, 2, 5], Storage::F32).unwrap();
    let second = layer.prepare(&[1, 2, 10], Storage::F32).unwrap();
    let mut encoder = context.device().create_command_encoder(&Default::default());
    {
        let mut pass = encoder.begin_compute_pass(&Default::default());
        first.bind(x.slice(alignment..), hidden.slice(..)).unwrap().encode(&mut pass);
        second.bind(hidden.slice(..), y.slice(alignment..)).unwrap().encode(&mut pass);
    }
    encoder.copy_buffer_to_buffer(&y, alignment, &hidden, 0, 160);
    context.queue().submit([encoder.finish()]);
    let got = context.download(&hidden, &[1, 2, 20], Storage::F32).unwrap();

    let once = reference::run(&op, &input, &weight, None).unwrap();
    assert_eq!(got, reference::run(&op, &once, &weight, None).unwrap());
}

fn a_convention_is_resolved_without_packing_again() {
    let mut rng = Rng::with_seed(22);
    let op = ConvTranspose::builder().in_channels(2).kernel([3]).stride([2]).build().unwrap();
    let (input, weight) =
        (tensor(&mut rng, &[1, 2, 5], Values::Integers), tensor(&mut rng, &[2, 1, 3], Values::Integers));
    let layer = Layer::new(context(), &op, &weight, None).unwrap();
    for convention in [
        Convention::Onnx { auto_pad: AutoPad::SameUpper, output_shape: None },
        Convention::Onnx { auto_pad: AutoPad::SameLower, output_shape: None },
        Convention::OutputSize(vec![12]),
        Convention::Explicit,
    ] {
        let prepared = layer.prepare_to(&convention, input.shape(), Storage::F32).unwrap();
        let resolved = convention.resolve(&op, input.shape()).unwrap();
        let expected = reference::run(&resolved, &input, &weight, None).unwrap();
        assert_eq!(result_of(context(), &prepared, &input), expected, "{convention:?}");
    }
}

fn more_than_65535_workgroups_are_folded() {
    // 70,000 workgroups of 64: beyond one dimension of a dispatch.
    let op = ConvTranspose::builder().kernel([2]).stride([2]).build().unwrap();
    let weight = Tensor::f32([1, 1, 2], [1.0, -1.0]).unwrap();
    let values: Vec<f32> = (0..2_240_000).map(|i| (i % 1000) as f32).collect();
    let case = Case { op, input: Tensor::f32([1, 1, values.len()], values.clone()).unwrap(), weight, bias: None };
    for (kernel, got) in run_poisoned(context(), &case) {
        let got = got.to_f32();
        assert!(got.chunks(2).zip(&values).all(|(pair, &v)| pair == [v, -v]), "{kernel}");
        assert_eq!(got.len(), 4_480_000);
    }
}

fn unfit_buffers_are_refused() {
    let context = context();
    let op = ConvTranspose::builder().kernel([2]).build().unwrap();
    let layer = Layer::new(context, &op, &Tensor::f32([1, 1, 2], [1.0; 2]).unwrap(), None).unwrap();
    let prepared = layer.prepare(&[1, 1, 100], Storage::F32).unwrap();
    let buffer = |size, usage| {
        let descriptor = wgpu::BufferDescriptor { label: None, size, usage, mapped_at_creation: false };
        context.device().create_buffer(&descriptor)
    };
    let good = buffer(1 << 12, wgpu::BufferUsages::STORAGE);
    let refusal = |input: wgpu::BufferSlice<'_>, output: wgpu::BufferSlice<'_>| {
        prepared.bind(input, output).unwrap_err().to_string()
    };
    let other = buffer(1 << 12, wgpu::BufferUsages::STORAGE);
    assert_eq!(refusal(good.slice(..396), other.slice(..)), "input buffer: 396 bytes given, but 400 needed");
    assert_eq!(refusal(good.slice(..), other.slice(..400)), "output buffer: 400 bytes given, but 404 needed");
    assert!(refusal(good.slice(4..), other.slice(..)).contains("offset 4 is no multiple of"));
    let wrong = buffer(1 << 12, wgpu::BufferUsages::COPY_DST);
    assert_eq!(refusal(wrong.slice(..), other.slice(..)), "input buffer: usage BufferUsages(COPY_DST) lacks STORAGE");
    assert!(refusal(good.slice(..1024), good.slice(2048..)).contains("is the input's buffer too"));

    let double = Tensor::new([1, 1, 3], Data::F64(vec![0.0; 3])).unwrap();
    assert!(matches!(layer.run(&double), Err(Error::DType { given: DType::F64, .. })));
    let small = context.limited(DeviceProfile { max_buffer: 1024, ..context.profile().clone() });
    let layer = Layer::new(&small, &op, &Tensor::f32([1, 1, 2], [1.0; 2]).unwrap(), None).unwrap();
    assert_eq!(
        layer.run(&Tensor::f32([1, 1, 300], vec![1.0; 300]).unwrap()).unwrap_err().to_string(),
        "upconv tensor: 1200 needed, but the device's limit max_buffer_size is 1024"
    );
}

fn an_unknown_adapter_is_refused_with_those_here() {
    let request = AdapterRequest { name: Some("no such adapter".into()), hardware_only: false };
    let error = Context::request(&request).unwrap_err().to_string();
    // Where the environment names a backend, it is in between.
    assert!(error.starts_with("no GPU adapter with \"no such adapter\" in its name"), "{error}");
    assert!(error.contains("; adapters here: "), "{error}");
}

fn a_huge_stride_and_dilation_run() {
    for (stride, dilation, kernel) in [(1000, 1, 2), (1, 1000, 3), (60_000, 7, 2), (1 << 20, 3 << 19, 2)] {
        let op = ConvTranspose::builder().kernel([kernel]).stride([stride]).dilation([dilation]).build().unwrap();
        let mut rng = Rng::with_seed(19);
        let input = tensor(&mut rng, &[1, 1, 2], Values::Integers);
        let weight = tensor(&mut rng, &[1, 1, kernel], Values::Integers);
        let case = Case { op, input, weight, bias: None };
        for (kernel, got) in run_poisoned(context(), &case) {
            let comparison = compare(&case, &got);
            assert_eq!(comparison.inexact, 0, "{kernel}, stride {stride}, dilation {dilation}: {comparison:?}");
        }
    }
}
