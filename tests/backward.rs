//! The backward pass on a device, through activations, against the reference.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;
#[path = "common/device.rs"]
mod device;

use common::{Case, Values, no_activation, random_case, tensor};
use device::context;
use fastrand::Rng;
use std::process::ExitCode;
use upconv::gpu::{BackwardBuffers, Context, GradientRequest, Layer, Request, Saved};
use upconv::reference::Expected;
use upconv::wgpu::{self, Buffer, BufferUsages};
use upconv::{
    Activation, ConvTranspose, DType, DeviceClass, DeviceProfile, Error, OutputGradient, Storage, Tensor, reference,
};

fn main() -> ExitCode {
    device::run(&[
        ("integers_are_exact_in_a_random_sweep", integers_are_exact_in_a_random_sweep),
        ("convolutions_have_the_gradient_in_their_own_order", convolutions_have_the_gradient_in_their_own_order),
        ("derivatives_far_out_and_at_nan_are_the_references", derivatives_far_out_and_at_nan_are_the_references),
        ("an_empty_batch_gives_zeros", an_empty_batch_gives_zeros),
        ("every_activation_is_led_through", every_activation_is_led_through),
        ("f16_is_within_its_bound", f16_is_within_its_bound),
        ("a_training_step_stays_on_the_device", a_training_step_stays_on_the_device),
        ("gradients_are_added_and_have_the_same_bits_again", gradients_are_added_and_have_the_same_bits_again),
        ("what_is_missing_or_does_not_fit_is_refused", what_is_missing_or_does_not_fit_is_refused),
    ])
}

/// Compilers take long for large tiles: these get the small ones of an unknown device.
fn small_tiles() -> Context {
    context().limited(DeviceProfile { class: DeviceClass::Unknown, ..context().profile().clone() })
}

/// What the reference expects of the gradients of input, weight and bias.
fn expected(case: &Case, gradient: OutputGradient<'_>) -> [Expected; 3] {
    let Case { op, input, weight, .. } = case;
    [
        reference::input_gradient(op, input.shape(), gradient, weight).unwrap(),
        reference::weight_gradient(op, input, gradient).unwrap(),
        reference::bias_gradient(op, input.shape(), gradient).unwrap(),
    ]
}

/// The sums before the activation, in f32.
fn sums(case: &Case) -> Tensor {
    let op = case.op.to_builder().activation(Activation::None).build().unwrap();
    reference::run(&op, &case.input, &case.weight, case.bias.as_ref()).unwrap()
}

fn gradient_of_output(rng: &mut Rng, case: &Case, values: Values) -> Tensor {
    tensor(rng, &case.op.at(case.input.shape()).unwrap().output_shape(), values)
}

fn integers_are_exact_in_a_random_sweep() {
    let mut rng = Rng::with_seed(161);
    let device = small_tiles();
    for number in 0..120 {
        let case = random_case(&mut rng, Values::Integers, no_activation);
        let dy = gradient_of_output(&mut rng, &case, Values::Integers);
        let layer = Layer::new(&device, &case.op, &case.weight, None).unwrap();
        let got = layer.backward(&case.input, &dy).unwrap();
        for (expected, got) in expected(&case, (&dy).into()).iter().zip([got.input, got.weight, got.bias]) {
            let comparison = expected.compare(&got).unwrap();
            assert_eq!(comparison.inexact, 0, "case {number}: {comparison:?}, {case:?}");
        }
    }
}

/// Most of them have a stride.
fn convolutions_have_the_gradient_in_their_own_order() {
    let mut rng = Rng::with_seed(163);
    let device = small_tiles();
    let mut strided = 0;
    for number in 0..120 {
        let case = random_case(&mut rng, Values::Integers, no_activation);
        let conv = case.op.adjoint();
        strided += usize::from(conv.stride() != vec![1; conv.rank()]);
        let input = gradient_of_output(&mut rng, &case, Values::Integers);
        let (own, weight) = (&case.weight, conv.turned(&case.weight).unwrap());
        let bias = Some(tensor(&mut rng, &[conv.out_channels()], Values::Integers));
        let case = Case { op: conv.transposed().clone(), input, weight, bias };
        let dy = gradient_of_output(&mut rng, &case, Values::Integers);
        let layer = Layer::convolution(&device, &conv, own, case.bias.as_ref()).unwrap();
        let got = layer.backward(&case.input, &dy).unwrap();
        assert_eq!(got.weight.shape(), own.shape());
        assert_eq!(layer.weight_gradient(&case.input, &dy).unwrap(), got.weight);
        let turned = conv.turned(&got.weight).unwrap();
        for (expected, got) in expected(&case, (&dy).into()).iter().zip([got.input, turned, got.bias]) {
            let comparison = expected.compare(&got).unwrap();
            assert_eq!(comparison.inexact, 0, "case {number}: {comparison:?}, {case:?}");
        }
        // Its transposed form has no order in which the gradient of a strided one could be computed; the others it has.
        let transposed = Layer::new(&device, &case.op, &case.weight, case.bias.as_ref()).unwrap();
        assert_eq!(transposed.bias_gradient(case.input.shape(), &dy).unwrap().shape(), [conv.out_channels()]);
        if conv.stride() != vec![1; conv.rank()] {
            let refusal = transposed.backward(&case.input, &dy).unwrap_err().to_string();
            assert!(refusal.contains("`Layer::convolution`"), "{refusal}");
        }
    }
    assert!(strided > 60, "{strided}");
}

fn derivatives_far_out_and_at_nan_are_the_references() {
    let z = [f32::NAN, 1e18, -1e18, 3e20, -0.0, 0.0, 2.0, -1.0];
    let z = Tensor::f32([1, 1, 8], z).unwrap();
    let dy = Tensor::f32([1, 1, 8], [1.0; 8]).unwrap();
    for activation in activations(1) {
        let op = ConvTranspose::builder().kernel([1]).activation(activation.clone()).build().unwrap();
        let weight = Tensor::f32([1, 1, 1], [1.0]).unwrap();
        let layer = Layer::new(context(), &op, &weight, None).unwrap();
        let gradient = OutputGradient::with_sum(&dy, &z);
        let got = layer.input_gradient(&[1, 1, 8], gradient).unwrap();
        let comparison = reference::input_gradient(&op, &[1, 1, 8], gradient, &weight).unwrap().compare(&got).unwrap();
        assert!(comparison.passed(), "{activation:?}: {comparison:?}, {got:?}");
    }
    // At an infinity only snake has a derivative that is no limit.
    let op = ConvTranspose::builder().kernel([1]).activation(Activation::Snake { alphas: vec![0.5] }).build().unwrap();
    let layer = Layer::new(context(), &op, &Tensor::f32([1, 1, 1], [1.0]).unwrap(), None).unwrap();
    let z = Tensor::f32([1, 1, 2], [f32::INFINITY, f32::NEG_INFINITY]).unwrap();
    let dy = Tensor::f32([1, 1, 2], [3.0; 2]).unwrap();
    let got = layer.input_gradient(&[1, 1, 2], OutputGradient::with_sum(&dy, &z)).unwrap();
    assert_eq!(got.to_f32(), [3.0; 2]);
}

fn an_empty_batch_gives_zeros() {
    let op = ConvTranspose::builder().in_channels(2).out_channels(3).kernel([3, 3]).stride([2, 2]);
    let op = op.activation(Activation::Prelu { slopes: vec![0.25; 3] }).build().unwrap();
    let weight = Tensor::f32(op.weight_shape(), vec![1.0; 2 * 3 * 9]).unwrap();
    let none = |shape: [usize; 4]| Tensor::f32(shape, vec![]).unwrap();
    let (x, dy) = (none([0, 2, 4, 5]), none([0, 3, 9, 11]));
    let layer = Layer::new(context(), &op, &weight, None).unwrap();
    let got = layer.backward(&x, OutputGradient::with_sum(&dy, &dy)).unwrap();
    assert_eq!(got.input, x);
    assert_eq!(got.weight.to_f32(), [0.0; 54]);
    assert_eq!((got.bias.to_f32(), got.slopes.unwrap().to_f32()), (vec![0.0; 3], vec![0.0; 3]));
}

fn activations(channels: usize) -> Vec<Activation> {
    let slopes: Vec<f32> = (0..channels).map(|channel| [0.25, 0.5, 0.0][channel % 3]).collect();
    vec![
        Activation::Relu,
        Activation::LeakyRelu { alpha: 0.125 },
        Activation::LeakyRelu { alpha: -0.5 },
        Activation::Prelu { slopes: slopes.clone() },
        Activation::Clip { min: -1.0, max: 2.0 },
        Activation::Sigmoid,
        Activation::Tanh,
        Activation::HardSwish { alpha: 1.0 / 6.0, beta: 0.5 },
        Activation::Mish,
        Activation::Gelu,
        Activation::Silu,
        Activation::Elu { alpha: 0.75 },
        Activation::Snake { alphas: slopes.iter().map(|slope| slope * 3.0).collect() },
    ]
}

/// From the sums, and from the output where that suffices.
fn every_activation_is_led_through() {
    let mut rng = Rng::with_seed(162);
    let device = small_tiles();
    let mut from_output = 0;
    for round in 0..4 {
        for activation in activations(4) {
            let op = ConvTranspose::builder().in_channels(3).out_channels(4).kernel([4, 3]).stride([2, 1]);
            let op =
                op.padding([1, 1]).layout([upconv::Layout::ChannelsFirst, upconv::Layout::ChannelsLast][round % 2]);
            let op = op.activation(activation.clone()).build().unwrap();
            let shape = if round % 2 == 0 { [2, 3, 5, 7] } else { [2, 5, 7, 3] };
            let (input, weight) =
                (tensor(&mut rng, &shape, Values::Reals), tensor(&mut rng, &op.weight_shape(), Values::Reals));
            let bias = Some(tensor(&mut rng, &[4], Values::Reals));
            let case = Case { op, input, weight, bias };
            let (z, dy) = (sums(&case), gradient_of_output(&mut rng, &case, Values::Reals));
            let y = reference::run(&case.op, &case.input, &case.weight, case.bias.as_ref()).unwrap();
            let layer = Layer::new(&device, &case.op, &case.weight, case.bias.as_ref()).unwrap();
            for (what, gradient) in
                [("sums", OutputGradient::with_sum(&dy, &z)), ("output", OutputGradient::with_output(&dy, &y))]
            {
                let got = match layer.backward(&case.input, gradient) {
                    Ok(got) => got,
                    Err(Error::Gradient { .. }) if what == "output" => continue,
                    Err(error) => panic!("{activation:?}: {error}"),
                };
                from_output += usize::from(what == "output");
                for (expected, got) in expected(&case, gradient).iter().zip([&got.input, &got.weight, &got.bias]) {
                    let comparison = expected.compare(got).unwrap();
                    assert!(comparison.passed(), "{activation:?} from {what}: {comparison:?}");
                }
                assert_eq!(layer.input_gradient(case.input.shape(), gradient).unwrap(), got.input);
                assert_eq!(layer.weight_gradient(&case.input, gradient).unwrap(), got.weight);
                assert_eq!(layer.bias_gradient(case.input.shape(), gradient).unwrap(), got.bias);
                let prelu = what == "sums" && matches!(activation, Activation::Prelu { .. });
                assert_eq!(got.slopes.is_some(), prelu, "{activation:?}");
                if let Some(slopes) = &got.slopes {
                    let expected = reference::slope_gradient(&case.op, case.input.shape(), gradient).unwrap();
                    assert!(expected.compare(slopes).unwrap().passed());
                }
            }
        }
    }
    assert_eq!(from_output, 4 * 6);
}

fn f16_is_within_its_bound() {
    if !context().profile().f16 {
        return;
    }
    let mut rng = Rng::with_seed(163);
    let case = random_case(&mut rng, Values::Reals, no_activation);
    let dy = gradient_of_output(&mut rng, &case, Values::Reals).cast(DType::F16);
    let case = Case { input: case.input.cast(DType::F16), ..case };
    let layer = Layer::new(context(), &case.op, &case.weight, None).unwrap();
    let got = layer.backward(&case.input, &dy).unwrap();
    assert_eq!((got.input.dtype(), got.weight.dtype()), (DType::F16, DType::F32));
    for (expected, got) in expected(&case, (&dy).into()).iter().zip([&got.input, &got.weight, &got.bias]) {
        let comparison = expected.compare(got).unwrap();
        assert!(comparison.passed(), "{comparison:?}");
    }
}

fn empty(size: u64) -> Buffer {
    let descriptor = wgpu::BufferDescriptor {
        label: None,
        size,
        usage: BufferUsages::STORAGE | BufferUsages::COPY_SRC,
        mapped_at_creation: false,
    };
    context().device().create_buffer(&descriptor)
}

/// Forward and backward in one pass of the caller's.
fn a_training_step_stays_on_the_device() {
    let mut rng = Rng::with_seed(164);
    for activation in [Activation::Gelu, Activation::Relu, Activation::None] {
        let op = ConvTranspose::builder().in_channels(4).out_channels(6).kernel([4, 4]).stride([2, 2]).padding([1, 1]);
        let op = op.activation(activation.clone()).build().unwrap();
        let weight = tensor(&mut rng, &op.weight_shape(), Values::Reals);
        let (input, bias) =
            (tensor(&mut rng, &[2, 4, 6, 5], Values::Reals), Some(tensor(&mut rng, &[6], Values::Reals)));
        let case = Case { op, input, weight, bias };
        let dy = gradient_of_output(&mut rng, &case, Values::Reals);
        let layer = Layer::new(context(), &case.op, &case.weight, case.bias.as_ref()).unwrap();
        let shape = case.input.shape();
        let backward = layer.prepare_backward(shape, Storage::F32).unwrap();
        let forward = layer.prepare_for_training(shape, backward.saved(), Storage::F32).unwrap();
        let upload = |tensor: &Tensor| context().upload(tensor, Storage::F32).unwrap();
        let (x, gradient) = (upload(&case.input), upload(&dy));
        let [y, z] = [(); 2].map(|()| empty(backward.output_bytes()));
        let (dx, dw) = (empty(backward.input_bytes()), empty(backward.weight_bytes()));
        let db = empty(backward.bias_bytes());
        let forward = forward.bind(x.slice(..), Some(z.slice(..)), y.slice(..)).unwrap();
        let saved = match backward.saved() {
            Saved::Nothing => None,
            Saved::Output => Some(y.slice(..)),
            Saved::Sum => Some(z.slice(..)),
        };
        let buffers = BackwardBuffers {
            input: x.slice(..),
            gradient: gradient.slice(..),
            saved,
            input_gradient: Some(dx.slice(..)),
            weight_gradient: Some(dw.slice(..)),
            bias_gradient: Some(db.slice(..)),
            slope_gradient: None,
        };
        let backward = backward.bind(&buffers).unwrap();
        let mut encoder = context().device().create_command_encoder(&Default::default());
        {
            let mut pass = encoder.begin_compute_pass(&Default::default());
            forward.encode(&mut pass);
            backward.encode(&mut pass);
        }
        context().queue().submit([encoder.finish()]);
        let read = |buffer: &Buffer, shape: &[usize]| context().download(buffer, shape, Storage::F32).unwrap();
        let output = read(&y, dy.shape());
        let whole = reference::conv_transpose(&case.op, &case.input, &case.weight, case.bias.as_ref()).unwrap();
        assert!(whole.compare(&output).unwrap().passed(), "{activation:?}");
        let z = sums(&case);
        let gradient = match activation {
            Activation::None => (&dy).into(),
            _ => OutputGradient::with_sum(&dy, &z),
        };
        let got = [read(&dx, shape), read(&dw, case.weight.shape()), read(&db, &[6])];
        for (expected, got) in expected(&case, gradient).iter().zip(&got) {
            // The sums that the device kept have errors of their own.
            let near = expected.value().iter().zip(got.to_f64()).all(|(a, b)| (a - b).abs() < 1e-4);
            assert!(near, "{activation:?}");
        }
    }
}

fn gradients_are_added_and_have_the_same_bits_again() {
    let mut rng = Rng::with_seed(165);
    let op = ConvTranspose::builder().in_channels(8).out_channels(8).kernel([3, 3]).stride([2, 2]).padding([1, 1]);
    let op = op.activation(Activation::Tanh).build().unwrap();
    let weight = tensor(&mut rng, &op.weight_shape(), Values::Reals);
    let case = Case { input: tensor(&mut rng, &[1, 8, 9, 11], Values::Reals), weight, bias: None, op };
    let y = reference::run(&case.op, &case.input, &case.weight, None).unwrap();
    let dy = gradient_of_output(&mut rng, &case, Values::Reals);
    let gradient = OutputGradient::with_output(&dy, &y);
    let on = |max_multiply_adds| {
        let device = context().limited(DeviceProfile { max_multiply_adds, ..context().profile().clone() });
        Layer::new(&device, &case.op, &case.weight, None).unwrap()
    };
    let (whole, cut) = (on(1 << 34), on(20_000));
    let expected = whole.backward(&case.input, gradient).unwrap();
    assert_eq!(whole.backward(&case.input, gradient).unwrap(), expected);
    assert_eq!(cut.backward(&case.input, gradient).unwrap(), expected);

    let prepared =
        whole.prepare_backward(case.input.shape(), GradientRequest::new(Storage::F32).accumulating()).unwrap();
    let upload = |tensor: &Tensor| context().upload(tensor, Storage::F32).unwrap();
    let (x, gradient, saved) = (upload(&case.input), upload(&dy), upload(&y));
    let doubled = |tensor: &Tensor| tensor.to_f64().iter().map(|value| 2.0 * value).collect::<Vec<_>>();
    let (dx, dw, db) = (upload(&expected.input), upload(&expected.weight), upload(&expected.bias));
    let buffers = BackwardBuffers {
        input: x.slice(..),
        gradient: gradient.slice(..),
        saved: Some(saved.slice(..)),
        input_gradient: Some(dx.slice(..)),
        weight_gradient: Some(dw.slice(..)),
        bias_gradient: Some(db.slice(..)),
        slope_gradient: None,
    };
    let bound = prepared.bind(&buffers).unwrap();
    let mut encoder = context().device().create_command_encoder(&Default::default());
    bound.encode(&mut encoder.begin_compute_pass(&Default::default()));
    context().queue().submit([encoder.finish()]);
    for (buffer, once) in [(&dx, &expected.input), (&dw, &expected.weight), (&db, &expected.bias)] {
        let twice = context().download(buffer, once.shape(), Storage::F32).unwrap();
        let near = twice.to_f64().iter().zip(doubled(once)).all(|(a, b)| (a - b).abs() < 1e-4);
        assert!(near, "what was there is added to");
    }
}

fn what_is_missing_or_does_not_fit_is_refused() {
    let mut rng = Rng::with_seed(166);
    let op = ConvTranspose::builder().kernel([3, 3]).activation(Activation::Gelu).build().unwrap();
    let (weight, x) = (tensor(&mut rng, &[1, 1, 3, 3], Values::Reals), tensor(&mut rng, &[1, 1, 4, 4], Values::Reals));
    let dy = tensor(&mut rng, &[1, 1, 6, 6], Values::Reals);
    let layer = Layer::new(context(), &op, &weight, None).unwrap();
    let refused = |result: upconv::Result<upconv::Gradients>| result.unwrap_err().to_string();
    assert!(refused(layer.backward(&x, &dy)).contains("through gelu needs the sum before it"));
    let small = tensor(&mut rng, &[1, 1, 5, 6], Values::Reals);
    assert_eq!(
        refused(layer.backward(&x, OutputGradient::with_sum(&small, &dy))),
        "gradient of the output has shape [1, 1, 5, 6], expected [1, 1, 6, 6], the output's"
    );
    // Kernels would count beyond 32 bits where nothing but the first input lands.
    let far = ConvTranspose::builder().kernel([1]).stride([1 << 16]).padding([(0, 1_i64 << 32)]).build().unwrap();
    let far = Layer::new(context(), &far, &Tensor::f32([1, 1, 1], [1.0]).unwrap(), None).unwrap();
    let inputs = Tensor::f32([1, 1, 65537], vec![1.0; 65537]).unwrap();
    let gradient = Tensor::f32([1, 1, 1], [1.0]).unwrap();
    let refusal = far.weight_gradient(&inputs, &gradient).unwrap_err().to_string();
    assert!(refusal.contains("4294967296"), "{refusal}");
    // What is kept has a layout of its own.
    for request in [Request::new(Storage::F32).accumulating(), Request::new(Storage::F32).writing(2, 11)] {
        let refusal = layer.prepare_for_training(x.shape(), Saved::Sum, request).unwrap_err().to_string();
        assert!(refusal.contains("sums that are kept"), "{refusal}");
    }
    let double = dy.cast(DType::F64);
    assert!(refused(layer.backward(&x, OutputGradient::with_sum(&double, &dy))).contains("float64"));
    assert_eq!(
        layer.prepare_weight_gradient(x.shape(), Storage::F32).unwrap_err().to_string(),
        "the gradient of a weight through gelu is what `prepare_backward` computes"
    );
    let pre = op.to_builder().pre_activation(Activation::Relu).build().unwrap();
    let pre = Layer::new(context(), &pre, &weight, None).unwrap();
    assert_eq!(
        refused(pre.backward(&x, OutputGradient::with_sum(&dy, &dy))),
        "the gradient through relu before the products is not computed"
    );

    let backward = layer.prepare_backward(x.shape(), Storage::F32).unwrap();
    assert_eq!(backward.saved(), Saved::Sum);
    let [input, gradient, saved, result] = [64, 144, 144, 256].map(empty);
    let good = BackwardBuffers {
        input: input.slice(..),
        gradient: gradient.slice(..),
        saved: Some(saved.slice(..)),
        input_gradient: Some(result.slice(..)),
        weight_gradient: None,
        bias_gradient: None,
        slope_gradient: None,
    };
    backward.bind(&good).unwrap();
    let without = GradientRequest::new(Storage::F32).without_input_gradient();
    let without = layer.prepare_backward(x.shape(), without).unwrap();
    assert!(without.input_gradient().is_none() && without.weight_gradient().is_some());
    let refusal = without.bind(&good).unwrap_err().to_string();
    assert!(refusal.contains("of the input was not prepared"), "{refusal}");
    let refused = |buffers: BackwardBuffers<'_>| backward.bind(&buffers).unwrap_err().to_string();
    for (buffers, expected) in [
        (BackwardBuffers { saved: None, ..good }, "through gelu needs the sums before it"),
        (BackwardBuffers { input_gradient: None, ..good }, "no buffer to write to"),
        (BackwardBuffers { slope_gradient: Some(result.slice(..)), ..good }, "the activation is gelu"),
        (BackwardBuffers { input_gradient: Some(input.slice(..)), ..good }, "is the input's buffer too"),
        (BackwardBuffers { gradient: input.slice(..), ..good }, "64 bytes given, but 144 needed"),
        (BackwardBuffers { bias_gradient: Some(result.slice(..)), ..good }, "overlap the input gradient's"),
    ] {
        let got = refused(buffers);
        assert!(got.contains(expected), "{got:?}, expected {expected:?}");
    }
}
