//! The reference against the book, against the explicit matrix and against the convolution it transposes; and the
//! comparator against results that are wrong.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{Case, Values, d2l_examples, no_activation, random_case, tensor};
use fastrand::Rng;
use upconv::{Accuracy, Activation, ConvTranspose, Convolution, DType, Data, Error, Tensor, reference};

#[test]
fn the_examples_of_the_book() {
    for (name, Case { op, input, weight, bias }, expected) in d2l_examples() {
        let got = reference::run(&op, &input, &weight, bias.as_ref()).unwrap();
        assert_eq!(got, expected, "{name}");
    }
}

#[test]
fn the_scatter_is_the_transposed_matrix_and_the_gather_the_matrix() {
    let mut rng = Rng::with_seed(1);
    for _ in 0..200 {
        let case = random_case(&mut rng, Values::Integers, no_activation);
        let Case { op, input, weight, .. } = &case;
        let geometry = op.at(input.shape()).unwrap();
        let matrix = reference::matrix(op, input.shape(), weight).unwrap();
        let (x, got) = (input.to_f64(), reference::conv_transpose(op, input, weight, None).unwrap());
        let y = tensor(&mut rng, &geometry.output_shape(), Values::Integers);
        let convolved = reference::conv(op, input.shape(), &y, weight).unwrap();
        assert_eq!(convolved.shape(), input.shape(), "conv(conv_transpose(x)) has x's shape");
        for n in 0..geometry.batch() {
            let x = &x[n * matrix.rows..][..matrix.rows];
            let expected = matrix.multiply_transposed(x);
            assert_eq!(got.value()[n * matrix.columns..][..matrix.columns], expected, "{case:?}");
            let y = &y.to_f64()[n * matrix.columns..][..matrix.columns];
            assert_eq!(convolved.to_f64()[n * matrix.rows..][..matrix.rows], matrix.multiply(y), "{case:?}");
        }
    }
}

#[test]
fn it_is_the_adjoint_of_the_convolution() {
    let mut rng = Rng::with_seed(2);
    for _ in 0..100 {
        let case = random_case(&mut rng, Values::Integers, no_activation);
        let Case { op, input, weight, .. } = &case;
        let transposed = reference::conv_transpose(op, input, weight, None).unwrap();
        let y = tensor(&mut rng, transposed.shape(), Values::Integers);
        let convolved = reference::conv(op, input.shape(), &y, weight).unwrap();
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let (left, right) = (dot(&convolved.to_f64(), &input.to_f64()), dot(&y.to_f64(), transposed.value()));
        assert_eq!(left, right, "<conv(y), x> = <y, conv_transpose(x)>: {case:?}");
    }
}

#[test]
fn counts_and_magnitudes_are_those_of_the_products() {
    let op = ConvTranspose::builder().kernel([2]).build().unwrap();
    let input = Tensor::f32([1, 1, 3], [1.0, -2.0, 3.0]).unwrap();
    let weight = Tensor::f32([1, 1, 2], [10.0, -1.0]).unwrap();
    let bias = Tensor::f32([1], [-0.5]).unwrap();
    let expected = reference::conv_transpose(&op, &input, &weight, Some(&bias)).unwrap();
    assert_eq!(expected.value(), [9.5, -21.5, 31.5, -3.5]);
    assert_eq!(expected.products(), [2, 3, 3, 2]);
    assert_eq!(expected.magnitude(), [10.5, 21.5, 32.5, 3.5]);
    assert_eq!(expected.bound(1, DType::F32), 3.0 * (21.5 * f64::from(f32::EPSILON) + f64::from(f32::MIN_POSITIVE)));
}

/// A case whose output can be read backwards, with strides that can be swapped: square, but different along its axes.
fn square(stride: [usize; 2]) -> Case {
    let mut rng = Rng::with_seed(3);
    let op = ConvTranspose::builder()
        .in_channels(2)
        .out_channels(2)
        .kernel([4, 4])
        .stride(stride)
        .output_padding([stride[0] - 1, stride[1] - 1])
        .build()
        .unwrap();
    let input = tensor(&mut rng, &[1, 2, 6, 6], Values::Reals);
    let weight = tensor(&mut rng, &[2, 2, 4, 4], Values::Reals);
    Case { op, input, weight, bias: None }
}

fn judge(right: &Case, wrong: &Tensor) -> reference::Comparison {
    let expected = reference::conv_transpose(&right.op, &right.input, &right.weight, None).unwrap();
    let own = reference::run(&right.op, &right.input, &right.weight, None).unwrap();
    assert!(expected.compare(&own).unwrap().passed(), "the right result passes");
    expected.compare(wrong).unwrap()
}

#[test]
fn the_comparator_sees_one_dropped_tap() {
    let case = square([2, 2]);
    let mut weight = case.weight.to_f32();
    weight[21] = 0.0;
    let weight = Tensor::f32(case.weight.shape(), weight).unwrap();
    let wrong = reference::run(&case.op, &case.input, &weight, None).unwrap();
    let comparison = judge(&case, &wrong);
    assert!(!comparison.passed() && comparison.worst_share > 100.0, "{comparison:?}");
}

#[test]
fn the_comparator_sees_swapped_strides() {
    let (case, swapped) = (square([2, 3]), square([3, 2]));
    let wrong = reference::run(&swapped.op, &case.input, &case.weight, None).unwrap();
    let shape = case.op.at(case.input.shape()).unwrap().output_shape();
    assert_ne!(wrong.shape(), shape);
    let expected = reference::conv_transpose(&case.op, &case.input, &case.weight, None).unwrap();
    assert!(expected.compare(&wrong).is_err(), "another shape is refused");
    let reshaped = Tensor::f32(shape, wrong.to_f32()).unwrap();
    assert!(!judge(&case, &reshaped).passed());
}

#[test]
fn the_comparator_sees_a_mirrored_output_and_missing_values() {
    let case = square([2, 2]);
    let right = reference::run(&case.op, &case.input, &case.weight, None).unwrap();
    let mut mirrored = right.to_f32();
    mirrored.reverse();
    assert!(!judge(&case, &Tensor::f32(right.shape(), mirrored).unwrap()).passed());
    for poison in [f32::NAN, f32::INFINITY] {
        let mut unwritten = right.to_f32();
        unwritten[17] = poison;
        let comparison = judge(&case, &Tensor::f32(right.shape(), unwritten).unwrap());
        assert_eq!((comparison.beyond, comparison.worst_index), (1, 17), "{poison}");
        assert_eq!(comparison.worst_share, f64::INFINITY);
    }
    let mut close = right.to_f32();
    close[17] *= 1.0 + 2.0 * f32::EPSILON;
    let comparison = judge(&case, &Tensor::f32(right.shape(), close).unwrap());
    assert!(comparison.passed() && comparison.worst_share > 0.0 && comparison.inexact == 1, "{comparison:?}");
}

#[test]
fn a_tap_outside_the_input_is_not_multiplied() {
    // The values PyTorch gives: a NaN tap leaves the outputs that it does not reach alone.
    let op = ConvTranspose::builder().kernel([3]).stride([2]).padding([1]).build().unwrap();
    let input = Tensor::f32([1, 1, 3], [1.0, 1.0, 1.0]).unwrap();
    let weight = Tensor::f32([1, 1, 3], [1.0, 1.0, f32::NAN]).unwrap();
    let got = reference::run(&op, &input, &weight, None).unwrap().to_f32();
    assert_eq!(got.iter().map(|v| v.is_nan()).collect::<Vec<_>>(), [false, true, false, true, false]);
}

#[test]
fn results_keep_the_element_type_of_the_input() {
    let op = ConvTranspose::builder().kernel([1]).build().unwrap();
    let weight = Tensor::f32([1, 1, 1], [3.0]).unwrap();
    let input = Tensor::new([1, 1, 1], Data::F64(vec![0.1])).unwrap();
    assert_eq!(reference::run(&op, &input, &weight, None).unwrap().data(), &Data::F64(vec![0.1 * 3.0]));
    let half = reference::run(&op, &input.cast(DType::F16), &weight, None).unwrap();
    assert_eq!((half.dtype(), half.to_f32()[0]), (DType::F16, 0.2998047));
    let brain = reference::run(&op, &input.cast(DType::Bf16), &weight, None).unwrap();
    assert_eq!(brain.dtype(), DType::F32);
}

/// A pixel whose largest products padding crops enters Winograd's transforms all the same.
#[cfg(feature = "cpu")]
#[test]
fn winograd_is_within_its_bound_where_the_brightest_products_are_cropped() {
    let op = ConvTranspose::builder().in_channels(32).out_channels(32).kernel([3, 3]).padding([2, 2]);
    let op = op.accuracy(Accuracy::Normwise).build().unwrap();
    let mut rng = Rng::with_seed(4);
    let mut input = tensor(&mut rng, &[2, 32, 18, 22], Values::Reals).to_f32();
    let mut weight = tensor(&mut rng, &op.weight_shape(), Values::Reals).to_f32();
    for channel in 0..64 {
        input[channel * 18 * 22 + 22 + 1] = 1e6;
    }
    for (tap, weight) in weight.iter_mut().enumerate() {
        *weight *= if tap % 9 == 0 { 1.0 } else { 1e-6 };
    }
    let input = Tensor::f32([2, 32, 18, 22], input).unwrap();
    let weight = Tensor::f32(op.weight_shape(), weight).unwrap();
    let expected = reference::conv_transpose(&op, &input, &weight, None).unwrap();
    let layer = upconv::cpu::Layer::new(&op, &weight, None).unwrap();
    assert_eq!(layer.explain(input.shape()).unwrap().algorithm(), "winograd");
    let comparison = expected.compare(&layer.run(&input).unwrap()).unwrap();
    assert!(comparison.passed(), "{comparison:?}");
    let largest = expected.magnitude().iter().copied().fold(0.0, f64::max);
    assert!(comparison.worst_error > 100.0 * f64::from(f32::EPSILON) * largest, "{comparison:?} beside {largest}");
}

#[test]
fn a_description_is_changed_as_far_as_it_can_be() {
    let line = ConvTranspose::builder().kernel([3]).build().unwrap();
    let plane = line.to_builder().kernel([3, 3]).stride([2, 2]).padding([1, 1]).dilation([1, 1]).output_padding([0, 0]);
    assert_eq!(plane.build().unwrap().rank(), 2);
    let conv = Convolution::builder().kernel([3]).stride([2]).build().unwrap();
    let refusal = conv.transposed().to_builder().stride([2]).build().unwrap_err().to_string();
    assert!(refusal.contains("transposed form of an ordinary convolution"), "{refusal}");
    let more = conv.transposed().to_builder().kernel([3, 3]).stride([1, 1]).padding([0, 0]).dilation([1, 1]);
    let refusal = more.output_padding([0, 0]).build().unwrap_err().to_string();
    assert!(refusal.contains("decimation"), "{refusal}");
}

#[test]
fn an_infinity_that_rounding_explains_is_right() {
    // 65504 + 15.99 is within its bound of 65520, which f16 rounds to infinity.
    let op = ConvTranspose::builder().in_channels(2).kernel([1]).build().unwrap();
    let input = Tensor::f64([1, 2, 1], [65504.0, 15.9999]).unwrap();
    let weight = Tensor::f32([2, 1, 1], [1.0, 1.0]).unwrap();
    let expected = reference::conv_transpose(&op, &input, &weight, None).unwrap();
    let infinite = |sign: f64| Tensor::f64([1, 1, 1], [sign * f64::INFINITY]).unwrap().cast(DType::F16);
    let comparison = expected.compare(&infinite(1.0)).unwrap();
    assert!(comparison.passed() && comparison.worst_share > 0.0 && comparison.inexact == 1, "{comparison:?}");
    assert!(!expected.compare(&infinite(-1.0)).unwrap().passed());
    assert!(!expected.compare(&infinite(1.0).cast(DType::F32)).unwrap().passed(), "far below what f32 holds");
    let less = Tensor::f64([1, 2, 1], [65504.0, 15.9]).unwrap();
    let expected = reference::conv_transpose(&op, &less, &weight, None).unwrap();
    let comparison = expected.compare(&infinite(1.0)).unwrap();
    assert_eq!((comparison.beyond, comparison.worst_share), (1, f64::INFINITY));
}

#[test]
fn what_does_not_fit_the_memory_is_an_error() {
    let op = ConvTranspose::builder().kernel([1]).stride([1 << 40]).build().unwrap();
    let (input, weight) = (Tensor::f32([1, 1, 1024], [1.0; 1024]).unwrap(), Tensor::f32([1, 1, 1], [1.0]).unwrap());
    assert!(matches!(reference::run(&op, &input, &weight, None), Err(Error::Memory { .. })));
    assert!(matches!(reference::matrix(&op, &[1, 1, 1024], &weight), Err(Error::Memory { .. })));
    let rows = ConvTranspose::builder().kernel([1]).build().unwrap();
    let error = reference::matrix(&rows, &[1, 1, 1 << 40], &weight).unwrap_err();
    assert_eq!(error.to_string(), format!("no memory for the matrix: {} bytes", 1u128 << 83));
}

#[test]
fn results_go_into_the_callers_memory() {
    let op = ConvTranspose::builder().kernel([2]).build().unwrap();
    let weight = Tensor::f32([1, 1, 2], [1.0, 0.1]).unwrap();
    let input = Tensor::f64([1, 1, 3], [1.0, 2.0, 3.0]).unwrap();
    let right = reference::run(&op, &input, &weight, None).unwrap();
    let (mut wide, mut single) = ([0.0_f64; 4], vec![0.0_f32; 4]);
    let mut half = [half::f16::ZERO; 4];
    let geometry = reference::run_into(&op, &input, &weight, None, &mut wide[..]).unwrap();
    assert_eq!((geometry.output_shape(), right.as_f64()), (vec![1, 1, 4], Some(&wide[..])));
    reference::run_into(&op, &input, &weight, None, &mut single).unwrap();
    assert_eq!(single, right.to_f32());
    reference::run_into(&op, &input, &weight, None, &mut half[..]).unwrap();
    assert_eq!(half, right.view().to_f16()[..]);
    let error = reference::run_into(&op, &input, &weight, None, &mut wide[1..]).unwrap_err();
    assert_eq!(error.to_string(), "shape [1, 1, 4] holds 4 elements, but 3 were given");
}

/// What PyTorch computes in f64: scripts/example-values/snake.py.
#[test]
fn activations_are_those_of_pytorch() {
    let bytes = std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/data/snake.safetensors")).unwrap();
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let read = |name: &str| bytemuck::pod_collect_to_vec::<u8, f64>(file.tensor(name).unwrap().data());
    let (points, alphas) = (read("points"), read("snake_alpha"));
    let snakes = read("snake");
    let snake = Activation::Snake { alphas: alphas.iter().map(|&alpha| alpha as f32).collect() };
    let mut expected = vec![
        (Activation::Silu, 0, read("silu")),
        (Activation::Elu { alpha: 1.0 }, 0, read("elu_1")),
        (Activation::Elu { alpha: 0.5 }, 0, read("elu_0.5")),
    ];
    let rows = snakes.chunks(points.len()).enumerate();
    expected.extend(rows.map(|(channel, row)| (snake.clone(), channel, row.to_vec())));
    assert_eq!(expected.len(), 7);
    for (activation, channel, expected) in expected {
        for (&y, expected) in points.iter().zip(expected) {
            let value = activation.apply(channel, y);
            assert!((value - expected).abs() <= 1e-14 * expected.abs().max(y.abs()), "{activation:?} of {y}: {value}");
        }
    }
}

/// On 1 to 3 axes, by the convolution that a transposed one of stride 1 with the same weight transposes.
#[test]
fn a_convolution_is_a_transposed_one() {
    let mut rng = Rng::with_seed(15);
    for number in 0..60 {
        let (rank, groups) = (1 + number % 3, rng.usize(1..=2));
        let (inputs, outputs) = (rng.usize(1..=3), groups * rng.usize(1..=3));
        let mut each = |most: usize| (0..rank).map(|_| rng.usize(1..=most)).collect::<Vec<_>>();
        let (kernel, dilation, extents) = (each(3), each(2), each(5));
        let padding: Vec<(i64, i64)> = (0..rank).map(|_| (rng.i64(0..=3), rng.i64(0..=3))).collect();
        let weight = tensor(&mut rng, &[&[outputs, inputs], &kernel[..]].concat(), Values::Integers);
        let transposed = ConvTranspose::builder().in_channels(outputs).out_channels(inputs * groups).groups(groups);
        let transposed = transposed.kernel(kernel).dilation(dilation.clone()).padding(padding.clone()).build().unwrap();
        let convolved = ConvTranspose::from_convolution(&weight, padding, dilation, groups);
        let (op, rotated) = convolved.unwrap();
        let input = tensor(&mut rng, &[&[2, inputs * groups], &extents[..]].concat(), Values::Integers);
        let Ok(geometry) = op.at(input.shape()) else { continue };
        let expected = reference::conv(&transposed, &geometry.output_shape(), &input, &weight).unwrap();
        assert_eq!(reference::run(&op, &input, &rotated, None).unwrap().to_f64(), expected.to_f64(), "{op:?}");
    }
    let weight = Tensor::f32([4, 1, 3], vec![0.0; 12]).unwrap();
    let refusal = |padding: &[i64], groups| {
        ConvTranspose::from_convolution(&weight, padding.iter().copied(), [1], groups).unwrap_err().to_string()
    };
    assert_eq!(refusal(&[1], 3), "groups is 3, expected a divisor of the 4 output channels");
    assert!(refusal(&[1, 1], 1).contains("padding has 2 values, expected 1"), "{}", refusal(&[1, 1], 1));
    let flat = Tensor::f32([3, 4], vec![0.0; 12]).unwrap();
    let refused = ConvTranspose::from_convolution(&flat, [0], [1], 1).unwrap_err().to_string();
    assert!(refused.contains("weight of a convolution has shape [3, 4], expected three to five axes"), "{refused}");
    let refused = flat.reshape([5, 2]).unwrap_err().to_string();
    assert!(refused.contains("[5, 2]"), "{refused}");
}
