//! The reference's gradients against the explicit matrix, against the forward pass and against finite differences; and
//! the comparator against gradients that are wrong.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{Case, Values, no_activation, random_case, tensor};
use fastrand::Rng;
use upconv::{Activation, ConvTranspose, DType, OutputGradient, Tensor, reference};

/// A random case, in some of them with an output padding of any size, and a gradient of its output.
fn random(rng: &mut Rng, values: Values) -> (Case, Tensor) {
    let mut case = random_case(rng, values, no_activation);
    if rng.bool() {
        let longer: Vec<usize> = case.op.axes().iter().map(|axis| axis.output_padding + rng.usize(0..=5)).collect();
        case.op = case.op.to_builder().output_padding(longer).build().unwrap();
    }
    let dy = tensor(rng, &case.op.at(case.input.shape()).unwrap().output_shape(), values);
    (case, dy)
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// A tensor of zeros but for one 1.
fn unit(shape: &[usize], at: usize) -> Tensor {
    let mut data = vec![0.0; shape.iter().product()];
    data[at] = 1.0;
    Tensor::f64(shape, data).unwrap()
}

#[test]
fn the_input_gradient_is_the_matrix_times_the_gradient() {
    let mut rng = Rng::with_seed(1);
    for _ in 0..200 {
        let (case, dy) = random(&mut rng, Values::Integers);
        let Case { op, input, weight, .. } = &case;
        let dx = reference::input_gradient(op, input.shape(), &dy, weight).unwrap();
        assert_eq!(dx.shape(), input.shape());
        let (matrix, dy) = (reference::matrix(op, input.shape(), weight).unwrap(), dy.to_f64());
        for (dx, dy) in dx.value().chunks(matrix.rows).zip(dy.chunks(matrix.columns)) {
            assert_eq!(dx, matrix.multiply(dy), "{case:?}");
        }
    }
}

/// The operation is linear in the weight and in the bias: a partial derivative is the output for a unit of one.
#[test]
fn the_other_gradients_are_the_outputs_of_units() {
    let mut rng = Rng::with_seed(2);
    let (mut groups, mut unbatched) = (0, 0);
    for _ in 0..60 {
        let (case, dy) = random(&mut rng, Values::Integers);
        let Case { op, input, weight, .. } = &case;
        groups += usize::from(op.groups() > 1);
        unbatched += usize::from(input.shape().len() == op.rank() + 1);
        let dw = reference::weight_gradient(op, input, &dy).unwrap();
        assert_eq!(dw.shape(), op.weight_shape());
        for at in 0..dw.value().len() {
            let y = reference::run(op, input, &unit(weight.shape(), at), None).unwrap();
            assert_eq!(dw.value()[at], dot(&dy.to_f64(), &y.to_f64()), "{at} of {case:?}");
        }
        let db = reference::bias_gradient(op, input.shape(), &dy).unwrap();
        assert_eq!(db.shape(), [op.out_channels()]);
        let nothing = Tensor::f32(op.weight_shape(), vec![0.0; weight.data().len()]).unwrap();
        for channel in 0..op.out_channels() {
            let y = reference::run(op, input, &nothing, &unit(db.shape(), channel)).unwrap();
            assert_eq!(db.value()[channel], dot(&dy.to_f64(), &y.to_f64()), "{channel} of {case:?}");
        }
    }
    assert!(groups > 10 && unbatched > 5, "{groups} {unbatched}");
}

#[test]
fn the_gradients_are_adjoint_to_the_forward_pass() {
    let mut rng = Rng::with_seed(3);
    for _ in 0..600 {
        let (case, dy) = random(&mut rng, Values::Integers);
        let Case { op, input, weight, .. } = &case;
        let y = reference::conv_transpose(op, input, weight, None).unwrap();
        let right = dot(&dy.to_f64(), y.value());
        let dx = reference::input_gradient(op, input.shape(), &dy, weight).unwrap();
        assert_eq!(dot(dx.value(), &input.to_f64()), right, "<dx, x> = <dy, y>: {case:?}");
        let dw = reference::weight_gradient(op, input, &dy).unwrap();
        assert_eq!(dot(dw.value(), &weight.to_f64()), right, "<dw, w> = <dy, y>: {case:?}");
        let products = |expected: &reference::Expected| expected.products().iter().map(|&n| u64::from(n)).sum::<u64>();
        assert_eq!([products(&dx), products(&dw)], [products(&y); 2], "all sum over the same products");
    }
}

#[test]
fn counts_and_magnitudes_are_those_of_the_products() {
    let op = ConvTranspose::builder().kernel([2]).stride([2]).padding([(1, 0)]).build().unwrap();
    let x = Tensor::f32([2, 1, 2], [1.0, -2.0, 3.0, 4.0]).unwrap();
    let w = Tensor::f32([1, 1, 2], [10.0, -1.0]).unwrap();
    // On the output, taps 0 and 1 of input 0 are at −1 and 0, those of input 1 at 1 and 2.
    let dy = Tensor::f32([2, 1, 3], [1.0, 2.0, 3.0, -4.0, 5.0, -6.0]).unwrap();
    let dx = reference::input_gradient(&op, x.shape(), &dy, &w).unwrap();
    assert_eq!((dx.value(), dx.products()), (&[-1.0, 17.0, 4.0, 56.0][..], &[1, 2, 1, 2][..]));
    assert_eq!(dx.magnitude(), [1.0, 23.0, 4.0, 56.0]);
    let dw = reference::weight_gradient(&op, &x, &dy).unwrap();
    assert_eq!((dw.value(), dw.products()), (&[16.0, -41.0][..], &[2, 4][..]));
    assert_eq!(dw.magnitude(), [24.0, 43.0]);
    let db = reference::bias_gradient(&op, x.shape(), &dy).unwrap();
    assert_eq!((db.value(), db.products(), db.magnitude()), (&[1.0][..], &[6][..], &[21.0][..]));
    assert_eq!(db.bound(0, DType::F32), 6.0 * (21.0 * f64::from(f32::EPSILON) + f64::from(f32::MIN_POSITIVE)));
    let half = dx.into_tensor(DType::F16).unwrap();
    assert_eq!((half.dtype(), half.shape(), half.to_f32()), (DType::F16, &[2, 1, 2][..], vec![-1.0, 17.0, 4.0, 56.0]));
}

#[test]
fn an_empty_batch_and_taps_that_nothing_reaches_have_gradients_of_0() {
    let op = ConvTranspose::builder().in_channels(2).kernel([3]).padding([2]).build().unwrap();
    let (x, w) = (Tensor::f32([0, 2, 4], []).unwrap(), Tensor::f32([2, 1, 3], [1.0; 6]).unwrap());
    let dy = Tensor::f32([0, 1, 2], []).unwrap();
    assert_eq!(reference::input_gradient(&op, x.shape(), &dy, &w).unwrap().shape(), [0, 2, 4]);
    assert_eq!(reference::weight_gradient(&op, &x, &dy).unwrap().value(), [0.0; 6]);
    assert_eq!(reference::bias_gradient(&op, x.shape(), &dy).unwrap().value(), [0.0]);
    // Of three inputs, only the middle tap of the middle one is left.
    let (x, dy) = (Tensor::f32([2, 3], [5.0; 6]).unwrap(), Tensor::f32([1, 1], [2.0]).unwrap());
    let dw = reference::weight_gradient(&op, &x, &dy).unwrap();
    assert_eq!(dw.value(), [10.0; 6], "each tap lands on the output from one of the inputs");
    let op = op.to_builder().padding([(4, 0)]).build().unwrap();
    let dw = reference::weight_gradient(&op, &x, &dy).unwrap();
    assert_eq!((dw.value(), dw.bound(0, DType::F32)), (&[0.0, 0.0, 10.0, 0.0, 0.0, 10.0][..], 0.0));
}

/// Square, but different along its axes, with a batch; the output has one shape for both orders of the strides.
fn square(stride: [usize; 2]) -> (Case, Tensor) {
    let mut rng = Rng::with_seed(4);
    let op = ConvTranspose::builder().in_channels(2).out_channels(2).kernel([4, 4]).stride(stride);
    let op = op.output_padding(stride.map(|stride| 5 * (3 - stride)));
    let op = op.output_padding_policy(upconv::OutputPaddingPolicy::Lenient).build().unwrap();
    let input = tensor(&mut rng, &[3, 2, 6, 6], Values::Reals);
    let weight = tensor(&mut rng, &[2, 2, 4, 4], Values::Reals);
    let dy = tensor(&mut rng, &op.at(input.shape()).unwrap().output_shape(), Values::Reals);
    (Case { op, input, weight, bias: None }, dy)
}

#[test]
fn the_comparator_sees_what_is_left_out_and_what_is_swapped() {
    let ((case, dy), (swapped, same)) = (square([2, 3]), square([3, 2]));
    assert_eq!(dy, same);
    let Case { op, input, weight, .. } = &case;
    let shape = input.shape();
    let dx = reference::input_gradient(op, shape, &dy, weight).unwrap();
    let dw = reference::weight_gradient(op, input, &dy).unwrap();
    let db = reference::bias_gradient(op, shape, &dy).unwrap();
    for right in [&dx, &dw, &db] {
        let comparison = right.compare(&right.clone().into_tensor(DType::F32).unwrap()).unwrap();
        assert!(comparison.passed() && comparison.inexact == 0, "{comparison:?}");
    }
    let beyond = |right: &reference::Expected, wrong: upconv::Result<reference::Expected>| {
        let comparison = right.compare(&wrong.unwrap().into_tensor(DType::F32).unwrap()).unwrap();
        assert!(comparison.worst_share > 100.0, "{comparison:?}");
        comparison.beyond
    };
    // A tap of one channel, in all positions of the input.
    let mut dropped = weight.to_f32();
    dropped[21] = 0.0;
    let dropped = Tensor::f32(weight.shape(), dropped).unwrap();
    assert!(beyond(&dx, reference::input_gradient(op, shape, &dy, &dropped)) >= 3 * 6 * 6 / 2);
    // The last item of the batch.
    let mut fewer = dy.to_f32();
    let item = fewer.len() / 3;
    fewer[2 * item..].fill(0.0);
    let fewer = Tensor::f32(dy.shape(), fewer).unwrap();
    assert_eq!(beyond(&dw, reference::weight_gradient(op, input, &fewer)), 64);
    assert_eq!(beyond(&db, reference::bias_gradient(op, shape, &fewer)), 2);
    // The strides.
    beyond(&dx, reference::input_gradient(&swapped.op, shape, &dy, weight));
    beyond(&dw, reference::weight_gradient(&swapped.op, input, &dy));
    // One that is NaN.
    let mut unwritten = db.value().to_vec();
    unwritten[1] = f64::NAN;
    let comparison = db.compare(&Tensor::f64([2], unwritten).unwrap()).unwrap();
    assert_eq!((comparison.beyond, comparison.worst_index), (1, 1));
    assert_eq!(
        dx.compare_normwise(input).unwrap_err().to_string(),
        "kernel winograd cannot run this: it does not take gradients"
    );
}

/// One of each for two channels, and whether the output tells the derivative.
fn activations() -> Vec<(Activation, bool)> {
    vec![
        (Activation::None, true),
        (Activation::Relu, true),
        (Activation::LeakyRelu { alpha: 0.25 }, true),
        (Activation::LeakyRelu { alpha: -0.25 }, false),
        (Activation::Prelu { slopes: vec![0.5, 0.125] }, true),
        (Activation::Prelu { slopes: vec![0.5, -0.125] }, false),
        (Activation::Clip { min: -0.75, max: 0.5 }, false),
        (Activation::Sigmoid, true),
        (Activation::Tanh, true),
        (Activation::HardSwish { alpha: 1.0, beta: 0.5 }, false),
        (Activation::Mish, false),
        (Activation::Gelu, false),
        (Activation::Silu, false),
        (Activation::Elu { alpha: 0.5 }, true),
        (Activation::Elu { alpha: -0.5 }, false),
        (Activation::Snake { alphas: vec![0.0, 3.0] }, false),
    ]
}

/// Of the loss `<dy, y>`, by central differences.
#[test]
fn gradients_through_activations_are_finite_differences() {
    let mut rng = Rng::with_seed(5);
    let plain = ConvTranspose::builder().in_channels(2).out_channels(2).kernel([3]).stride([2]).build().unwrap();
    let f64s = |rng: &mut Rng, shape: &[usize]| tensor(rng, shape, Values::Reals).cast(DType::F64);
    let (x, w, b) = (f64s(&mut rng, &[2, 2, 5]), f64s(&mut rng, &plain.weight_shape()), f64s(&mut rng, &[2]));
    let z = reference::run(&plain, &x, &w, &b).unwrap();
    let dy = f64s(&mut rng, z.shape());
    let close =
        |got: f64, expected: f64, what: &str| assert!((got - expected).abs() < 1e-7, "{what}: {got}, {expected}");
    for (activation, by_output) in activations() {
        let op = plain.to_builder().activation(activation.clone()).build().unwrap();
        let y = reference::run(&op, &x, &w, &b).unwrap();
        let loss =
            |x: &Tensor, w: &Tensor, b: &Tensor| dot(&dy.to_f64(), &reference::run(&op, x, w, b).unwrap().to_f64());
        let moved = |tensor: &Tensor, at: usize, step: f64| {
            let mut data = tensor.to_f64();
            data[at] += step;
            Tensor::f64(tensor.shape(), data).unwrap()
        };
        let step = 1e-6;
        let slope = |of: &dyn Fn(f64) -> f64| (of(step) - of(-step)) / (2.0 * step);
        let saved = [OutputGradient::with_sum(&dy, &z), OutputGradient::with_output(&dy, &y)];
        for gradient in &saved[..1 + usize::from(by_output)] {
            let what = format!("{activation:?}");
            let dx = reference::input_gradient(&op, x.shape(), *gradient, &w).unwrap();
            for (at, &got) in dx.value().iter().enumerate() {
                close(got, slope(&|step| loss(&moved(&x, at, step), &w, &b)), &what);
            }
            let dw = reference::weight_gradient(&op, &x, *gradient).unwrap();
            for (at, &got) in dw.value().iter().enumerate() {
                close(got, slope(&|step| loss(&x, &moved(&w, at, step), &b)), &what);
            }
            let db = reference::bias_gradient(&op, x.shape(), *gradient).unwrap();
            for (at, &got) in db.value().iter().enumerate() {
                close(got, slope(&|step| loss(&x, &w, &moved(&b, at, step))), &what);
            }
            let dz = reference::sum_gradient(&op, x.shape(), *gradient).unwrap();
            let dz = dz.into_tensor(DType::F64).unwrap();
            let through = reference::input_gradient(&plain, x.shape(), &dz, &w).unwrap();
            assert_eq!(through.value(), dx.value(), "{what}");
            // What the derivative adds to the bound.
            let wider = (0..dx.value().len()).any(|at| dx.bound(at, DType::F32) > through.bound(at, DType::F32));
            let exact = matches!(activation, Activation::None | Activation::Relu | Activation::Clip { .. });
            assert_eq!(wider, !exact, "{what}");
        }
        if let Activation::Prelu { slopes } = &activation {
            let gradient = reference::slope_gradient(&op, x.shape(), saved[0]).unwrap();
            for (channel, &got) in gradient.value().iter().enumerate() {
                // The slopes are f32, and the loss is linear in them.
                let loss = |step: f32| {
                    let mut slopes = slopes.clone();
                    slopes[channel] += step;
                    let op = plain.to_builder().activation(Activation::Prelu { slopes }).build().unwrap();
                    dot(&dy.to_f64(), &reference::run(&op, &x, &w, &b).unwrap().to_f64())
                };
                close(got, (loss(1.0) - loss(-1.0)) / 2.0, "slopes");
            }
        }
    }
}

#[test]
fn a_constant_piece_takes_nothing_back() {
    let op = ConvTranspose::builder().kernel([1]).activation(Activation::Relu).build().unwrap();
    let w = Tensor::f32([1, 1, 1], [1.0]).unwrap();
    let (dy, z) =
        (Tensor::f32([1, 3], [f32::INFINITY, f32::NAN, 2.0]).unwrap(), Tensor::f32([1, 3], [-1.0, 0.0, 1.0]).unwrap());
    let dx = reference::input_gradient(&op, &[1, 3], OutputGradient::with_sum(&dy, &z), &w).unwrap();
    assert_eq!(dx.value(), [0.0, 0.0, 2.0]);
    assert!((0..3).all(|at| dx.bound(at, DType::F32).is_finite()));
}

#[test]
fn what_does_not_fit_or_is_missing_is_refused() {
    let plain = ConvTranspose::builder().kernel([2]).stride([2]);
    let (x, w) = (Tensor::f32([1, 1, 2], [1.0; 2]).unwrap(), Tensor::f32([1, 1, 2], [1.0; 2]).unwrap());
    let (dy, short) = (Tensor::f32([1, 1, 4], [1.0; 4]).unwrap(), Tensor::f32([1, 1, 3], [1.0; 3]).unwrap());
    let with = |activation: &Activation| plain.clone().activation(activation.clone()).build().unwrap();
    let refused = |op: &ConvTranspose, gradient: OutputGradient<'_>| {
        let by_input = reference::input_gradient(op, x.shape(), gradient, &w).unwrap_err().to_string();
        assert_eq!(reference::weight_gradient(op, &x, gradient).unwrap_err().to_string(), by_input);
        assert_eq!(reference::bias_gradient(op, x.shape(), gradient).unwrap_err().to_string(), by_input);
        assert_eq!(reference::sum_gradient(op, x.shape(), gradient).unwrap_err().to_string(), by_input);
        by_input
    };
    let none = with(&Activation::None);
    assert_eq!(
        refused(&none, (&short).into()),
        "gradient of the output has shape [1, 1, 3], expected [1, 1, 4], the output's"
    );
    let relu = with(&Activation::Relu);
    assert_eq!(
        refused(&relu, OutputGradient::with_output(&dy, &short)),
        "output of the forward pass has shape [1, 1, 3], expected [1, 1, 4], the output's"
    );
    assert_eq!(
        refused(&relu, OutputGradient::with_sum(&dy, &short)),
        "sum before the activation has shape [1, 1, 3], expected [1, 1, 4], the output's"
    );
    assert_eq!(
        refused(&relu, (&dy).into()),
        "the gradient through relu needs the output or the sum before it (with_output, with_sum); only the gradient of \
         the output is given"
    );
    assert_eq!(
        refused(&with(&Activation::Gelu), (&dy).into()),
        "the gradient through gelu needs the sum before it (with_sum); only the gradient of the output is given"
    );
    for activation in [
        Activation::LeakyRelu { alpha: -0.25 },
        Activation::Prelu { slopes: vec![-1.0] },
        Activation::Clip { min: 0.0, max: 1.0 },
        Activation::HardSwish { alpha: 0.5, beta: 0.5 },
        Activation::Mish,
        Activation::Gelu,
        Activation::Silu,
        Activation::Elu { alpha: -1.0 },
        Activation::Snake { alphas: vec![1.0] },
    ] {
        let name = activation.name();
        assert_eq!(
            refused(&with(&activation), OutputGradient::with_output(&dy, &dy)),
            format!(
                "the gradient through {name} needs the sum before it (with_sum); the output does not tell its derivative"
            )
        );
    }
    let before = plain.clone().pre_activation(Activation::Relu).build().unwrap();
    assert_eq!(refused(&before, (&dy).into()), "the gradient through relu before the products is not computed");
    let slopes =
        |op: &ConvTranspose, gradient| reference::slope_gradient(op, x.shape(), gradient).unwrap_err().to_string();
    let prelu = with(&Activation::Prelu { slopes: vec![0.5] });
    assert_eq!(
        slopes(&prelu, OutputGradient::with_output(&dy, &dy)),
        "the gradient of the slopes of prelu needs the sum before it (with_sum)"
    );
    assert_eq!(
        slopes(&relu, OutputGradient::with_sum(&dy, &dy)),
        "the gradient of slopes is for prelu, the operation's activation is relu"
    );
    assert!(reference::input_gradient(&none, x.shape(), &dy, &x.clone().reshape([2, 1, 1]).unwrap()).is_err());
    assert!(reference::input_gradient(&none, &[1, 2, 2], &dy, &w).is_err());
    assert!(reference::weight_gradient(&none, &short, &dy).is_err());
}
