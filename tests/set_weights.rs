//! Weights that are set on the device: every order is packed again, and what was prepared or bound computes with them.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;
#[path = "common/device.rs"]
mod device;

use common::{Case, Values, no_activation, random_case, tensor};
use device::context;
use fastrand::Rng;
use std::process::ExitCode;
use upconv::gpu::{Bound, Context, Layer, Matrices, Prepared, Request};
use upconv::wgpu::{self, Buffer, BufferUsages};
use upconv::{
    Activation, ConvTranspose, Convolution, DeviceClass, DeviceProfile, Error, Kernel, Refusal, Storage, Tensor,
    WeightLayout, reference,
};

fn main() -> ExitCode {
    device::run(&[
        ("integers_are_exact_in_a_random_sweep", integers_are_exact_in_a_random_sweep),
        ("convolutions_are_set_in_their_own_order", convolutions_are_set_in_their_own_order),
        ("every_layout_and_kernel_is_exact", every_layout_and_kernel_is_exact),
        ("winograd_is_packed_again", winograd_is_packed_again),
        ("what_is_submitted_before_has_the_old_weights", what_is_submitted_before_has_the_old_weights),
        ("biases_and_slopes_stay", biases_and_slopes_stay),
        ("threads_may_prepare_meanwhile", threads_may_prepare_meanwhile),
        ("matrices_are_not_given_what_they_might_round", matrices_are_not_given_what_they_might_round),
        ("what_does_not_fit_is_refused", what_does_not_fit_is_refused),
    ])
}

/// Compilers take long for large tiles: these get the small ones of an unknown device.
fn small_tiles() -> Context {
    context().limited(DeviceProfile { class: DeviceClass::Unknown, ..context().profile().clone() })
}

fn upload(tensor: &Tensor) -> Buffer {
    context().upload(tensor, Storage::F32).unwrap()
}

/// A layer at a shape, bound to an input and an output of its own.
struct Ready {
    bound: Bound,
    output: Buffer,
    shape: Vec<usize>,
}

impl Ready {
    fn new(prepared: &Prepared, input: &Tensor) -> Self {
        let (shape, x) = (prepared.geometry().output_shape(), upload(input));
        let output = upload(&Tensor::f32(shape.clone(), vec![f32::NAN; prepared.geometry().output_len()]).unwrap());
        Self { bound: prepared.bind(x.slice(..), output.slice(..)).unwrap(), output, shape }
    }

    fn submit(&self) {
        let mut encoder = context().device().create_command_encoder(&Default::default());
        self.bound.encode(&mut encoder.begin_compute_pass(&Default::default()));
        context().queue().submit([encoder.finish()]);
    }

    fn run(&self) -> Tensor {
        self.submit();
        context().download(&self.output, &self.shape, Storage::F32).unwrap()
    }
}

/// The layer and its input gradient by each kernel that can: those that are prepared are all alike but for the weights.
fn ready(layer: &Layer, case: &Case, dy: &Tensor, kernels: &[Kernel]) -> Vec<(Kernel, bool, Ready)> {
    let mut all = Vec::new();
    for &kernel in kernels {
        let request = Request::new(Storage::F32).kernel(kernel);
        for (is_gradient, input, prepared) in [
            (false, &case.input, layer.prepare(case.input.shape(), request)),
            (true, dy, layer.prepare_input_gradient(case.input.shape(), request)),
        ] {
            match prepared {
                Ok(prepared) => all.push((kernel, is_gradient, Ready::new(&prepared, input))),
                Err(Error::Kernel { .. } | Error::Limit { .. }) if kernel != Kernel::Gather => {}
                Err(error) => panic!("{kernel}: {error}"),
            }
        }
    }
    all
}

/// Sets the weights of a layer that was made with others, prepared before or after, and compares with the reference. How
/// many results were compared.
fn check_exact(case: &Case, dy: &Tensor, layer: &Layer, weight: &Tensor, before: bool, kernels: &[Kernel]) -> usize {
    let Case { op, input, weight: turned, bias } = case;
    let prepared = before.then(|| ready(layer, case, dy, kernels));
    // Their bits are compared below only after the weights were set: here they leave the old results.
    prepared.iter().flatten().for_each(|(_, _, ready)| ready.submit());
    let (weight, bias) = (upload(weight), bias.as_ref().map(upload));
    layer.set_weights(weight.slice(..), bias.as_ref().map(|bias| bias.slice(..))).unwrap();
    let expected = reference::run(op, input, turned, case.bias.as_ref()).unwrap();
    let gradient = reference::input_gradient(op, input.shape(), dy, turned).unwrap();
    let prepared = prepared.unwrap_or_else(|| ready(layer, case, dy, kernels));
    for (kernel, is_gradient, ready) in &prepared {
        let expected = if *is_gradient { gradient.value().to_vec() } else { expected.to_f64() };
        assert_eq!(ready.run().to_f64(), expected, "{kernel}, gradient {is_gradient}, before {before}: {case:?}");
    }
    prepared.len()
}

fn gradient_of_output(rng: &mut Rng, case: &Case) -> Tensor {
    tensor(rng, &case.op.at(case.input.shape()).unwrap().output_shape(), Values::Integers)
}

fn integers_are_exact_in_a_random_sweep() {
    let mut rng = Rng::with_seed(171);
    let device = small_tiles();
    let mut compared = 0;
    for number in 0..120 {
        let case = random_case(&mut rng, Values::Integers, no_activation);
        let dy = gradient_of_output(&mut rng, &case);
        let old = tensor(&mut rng, case.weight.shape(), Values::Integers);
        let layer = Layer::new(&device, &case.op, &old, None).unwrap();
        let kernels = if number % 24 == 0 { Kernel::EXACT } else { &[Kernel::Gather] };
        compared += check_exact(&case, &dy, &layer, &case.weight, rng.bool(), kernels);
    }
    assert!(compared > 250, "{compared}");
}

fn convolutions_are_set_in_their_own_order() {
    let mut rng = Rng::with_seed(172);
    let device = small_tiles();
    for number in 0..120 {
        let case = random_case(&mut rng, Values::Integers, no_activation);
        let conv = case.op.adjoint();
        let input = gradient_of_output(&mut rng, &case);
        let old = tensor(&mut rng, case.weight.shape(), Values::Integers);
        let layer = Layer::convolution(&device, &conv, &old, None).unwrap();
        let bias = rng.bool().then(|| tensor(&mut rng, &[conv.out_channels()], Values::Integers));
        let weight = conv.turned(&case.weight).unwrap();
        let ordinary = Case { op: conv.transposed().clone(), input, weight, bias };
        let dy = gradient_of_output(&mut rng, &ordinary);
        let kernels = if number % 24 == 0 { Kernel::EXACT } else { &[Kernel::Gather] };
        check_exact(&ordinary, &dy, &layer, &case.weight, rng.bool(), kernels);
    }
}

fn every_layout_and_kernel_is_exact() {
    let mut rng = Rng::with_seed(173);
    let device = small_tiles();
    for (number, weight_layout) in WeightLayout::ALL.into_iter().enumerate() {
        let op = ConvTranspose::builder().in_channels(8).out_channels(12).groups(1 + number % 2).kernel([4, 4]);
        let op = op.stride([2, 2]).padding([1, 1]).weight_layout(weight_layout).build().unwrap();
        let weight = tensor(&mut rng, &op.weight_shape(), Values::Integers);
        let input = tensor(&mut rng, &[1, 8, 5, 6], Values::Integers);
        let case = Case { op, input, weight, bias: Some(tensor(&mut rng, &[12], Values::Integers)) };
        let dy = gradient_of_output(&mut rng, &case);
        let old = tensor(&mut rng, case.weight.shape(), Values::Integers);
        for before in [true, false] {
            let layer = Layer::new(&device, &case.op, &old, None).unwrap();
            let compared = check_exact(&case, &dy, &layer, &case.weight, before, Kernel::EXACT);
            assert_eq!(compared, 2 * Kernel::EXACT.len());
        }

        let conv = Convolution::builder().in_channels(8).out_channels(12).groups(1 + number % 2).kernel([2, 3]);
        let conv = conv.stride([1, 2]).padding([1, 1]).weight_layout(weight_layout).build().unwrap();
        let (weight, old) = ([(); 2].map(|()| tensor(&mut rng, &conv.weight_shape(), Values::Integers))).into();
        let (op, turned) = (conv.transposed().clone(), conv.turned(&weight).unwrap());
        let case = Case { op, weight: turned, ..case };
        let dy = gradient_of_output(&mut rng, &case);
        for before in [true, false] {
            let layer = Layer::convolution(&device, &conv, &old, None).unwrap();
            check_exact(&case, &dy, &layer, &weight, before, Kernel::EXACT);
        }
    }
}

fn winograd_is_packed_again() {
    let mut rng = Rng::with_seed(174);
    let op = ConvTranspose::builder().in_channels(8).out_channels(16).kernel([3, 3]).padding([1, 1]).build().unwrap();
    let [weight, old] = [(); 2].map(|()| tensor(&mut rng, &op.weight_shape(), Values::Reals));
    let (input, bias) = (tensor(&mut rng, &[1, 8, 9, 14], Values::Reals), Some(tensor(&mut rng, &[16], Values::Reals)));
    let case = Case { op, input, weight, bias };
    let dy = tensor(&mut rng, &[1, 16, 9, 14], Values::Reals);
    let expected = reference::conv_transpose(&case.op, &case.input, &case.weight, case.bias.as_ref()).unwrap();
    // As a forward pass, for which the bound of that kernel is known.
    let adjoint = case.op.adjoint();
    let turned = adjoint.turned(&case.weight).unwrap();
    let gradient = reference::conv_transpose(adjoint.transposed(), &dy, &turned, None).unwrap();
    let buffers = (upload(&case.weight), upload(case.bias.as_ref().unwrap()));
    for before in [true, false] {
        let layer = Layer::new(&small_tiles(), &case.op, &old, None).unwrap();
        let prepared = before.then(|| ready(&layer, &case, &dy, &[Kernel::Winograd]));
        layer.set_weights(buffers.0.slice(..), Some(buffers.1.slice(..))).unwrap();
        let prepared = prepared.unwrap_or_else(|| ready(&layer, &case, &dy, &[Kernel::Winograd]));
        assert_eq!(prepared.len(), 2);
        for (_, is_gradient, ready) in prepared {
            let expected = if is_gradient { &gradient } else { &expected };
            let comparison = expected.compare_normwise(&ready.run()).unwrap();
            assert!(comparison.passed(), "gradient {is_gradient}, before {before}: {comparison:?}");
        }
    }
}

fn what_is_submitted_before_has_the_old_weights() {
    let op = ConvTranspose::builder().kernel([2]).stride([2]).build().unwrap();
    let weight = |a: f32, b: f32| Tensor::f32([1, 1, 2], [a, b]).unwrap();
    let input = Tensor::f32([1, 1, 2], [1.0, 10.0]).unwrap();
    let layer = Layer::new(context(), &op, &weight(1.0, 2.0), None).unwrap();
    let [old, new] =
        [(); 2].map(|()| Ready::new(&layer.prepare(input.shape(), Request::new(Storage::F32)).unwrap(), &input));
    let buffer = upload(&weight(3.0, -4.0));
    old.submit();
    layer.set_weights(buffer.slice(..), None).unwrap();
    assert_eq!(new.run().to_f64(), [3.0, -4.0, 30.0, -40.0]);
    let kept = context().download(&old.output, &old.shape, Storage::F32).unwrap();
    assert_eq!(kept.to_f64(), [1.0, 2.0, 10.0, 20.0]);
}

fn biases_and_slopes_stay() {
    let op = ConvTranspose::builder().out_channels(2).kernel([1]);
    let op = op.activation(Activation::Prelu { slopes: vec![0.5, 0.25] }).build().unwrap();
    let (input, weight) = (Tensor::f32([1, 1, 1], [1.0]).unwrap(), Tensor::f32([1, 2, 1], [1.0; 2]).unwrap());
    let bias = Tensor::f32([2], [4.0, 8.0]).unwrap();
    // One that was made with a NaN stays with `gather`, and has the new weights all the same.
    for first in [1.0, f32::NAN] {
        let layer = Layer::new(context(), &op, Tensor::f32([1, 2, 1], [first; 2]).unwrap().view(), &bias).unwrap();
        let run = || layer.run(&input).unwrap().to_f64();
        let set = |weight: &Tensor, bias: Option<&Tensor>| {
            let (weight, bias) = (upload(weight), bias.map(upload));
            layer.set_weights(weight.slice(..), bias.as_ref().map(|bias| bias.slice(..))).unwrap();
        };
        set(&weight, None);
        assert_eq!(run(), [5.0, 9.0]);
        set(&Tensor::f32([1, 2, 1], [-6.0, -16.0]).unwrap(), None);
        assert_eq!(run(), [-1.0, -2.0]);
        set(&weight, Some(&Tensor::f32([2], [-3.0, -9.0]).unwrap()));
        assert_eq!(run(), [-1.0, -2.0]);
    }
}

/// Whatever is packed while weights are set ends with those that were set last.
fn threads_may_prepare_meanwhile() {
    let mut rng = Rng::with_seed(175);
    let op = ConvTranspose::builder().in_channels(4).out_channels(4).kernel([2, 2]).stride([2, 2]).build().unwrap();
    let weight = tensor(&mut rng, &op.weight_shape(), Values::Integers);
    let input = tensor(&mut rng, &[1, 4, 3, 3], Values::Integers);
    let case = Case { op, input, weight, bias: None };
    let dy = gradient_of_output(&mut rng, &case);
    let expected = reference::run(&case.op, &case.input, &case.weight, None).unwrap();
    let gradient = reference::input_gradient(&case.op, case.input.shape(), &dy, &case.weight).unwrap();
    let (buffer, kernels) = (upload(&case.weight), [Kernel::Direct]);
    for _ in 0..20 {
        let zeros = Tensor::f32(case.weight.shape(), vec![0.0; 64]).unwrap();
        let layer = Layer::new(&small_tiles(), &case.op, &zeros, None).unwrap();
        let prepared = std::thread::scope(|scope| {
            let preparing = scope.spawn(|| ready(&layer, &case, &dy, &kernels));
            layer.set_weights(buffer.slice(..), None).unwrap();
            preparing.join().unwrap()
        });
        for (_, is_gradient, ready) in prepared {
            let expected = if is_gradient { gradient.value().to_vec() } else { expected.to_f64() };
            assert_eq!(ready.run().to_f64(), expected, "gradient {is_gradient}");
        }
    }
}

/// It is decided before the device's own matrices are looked at, which it may not have.
fn matrices_are_not_given_what_they_might_round() {
    let matrices = |factors| Some(Matrices { side: 16, factors, subgroup: 32, largest_subgroup: 32 });
    for (factors, refused) in [(Storage::F16, true), (Storage::F32, false)] {
        let profile = DeviceProfile { matrices: matrices(factors), ..context().profile().clone() };
        let op = ConvTranspose::builder().in_channels(16).out_channels(16).kernel([2, 2]).stride([2, 2]);
        let weight = Tensor::f32([16, 16, 2, 2], vec![1.0; 1024]).unwrap();
        let layer = Layer::new(&context().limited(profile), &op.build().unwrap(), &weight, None).unwrap();
        let request = Request::new(factors).kernel(Kernel::Matrix);
        let is_unknown = |result: upconv::Result<Prepared>| {
            matches!(result, Err(Error::Kernel { reason: Refusal::UnknownWeights, .. }))
        };
        let prepare =
            || [layer.prepare(&[1, 16, 8, 8], request), layer.prepare_input_gradient(&[1, 16, 8, 8], request)];
        assert_eq!(prepare().map(is_unknown), [false; 2]);
        layer.set_weights(upload(&weight).slice(..), None).unwrap();
        assert_eq!(prepare().map(is_unknown), [refused; 2]);
    }
}

fn what_does_not_fit_is_refused() {
    let op = ConvTranspose::builder().out_channels(3).kernel([3, 3]).build().unwrap();
    let weight = Tensor::f32([1, 3, 3, 3], vec![1.0; 27]).unwrap();
    let layer = Layer::new(context(), &op, &weight, None).unwrap();
    let buffer = |size, usage| {
        let descriptor = wgpu::BufferDescriptor { label: None, size, usage, mapped_at_creation: false };
        context().device().create_buffer(&descriptor)
    };
    let (good, small) = (buffer(1024, BufferUsages::STORAGE), buffer(104, BufferUsages::STORAGE));
    let other = buffer(1024, BufferUsages::COPY_DST);
    layer.set_weights(good.slice(..), Some(good.slice(..))).unwrap();
    for (weight, bias, expected) in [
        (small.slice(..), None, "weight buffer: 104 bytes given, but 108 needed"),
        (good.slice(4..), None, "weight buffer: offset 4 is no multiple"),
        (other.slice(..), None, "weight buffer: usage"),
        (good.slice(..), Some(small.slice(96..)), "bias buffer: 8 bytes given, but 12 needed"),
        (good.slice(..), Some(other.slice(..)), "bias buffer: usage"),
    ] {
        let got = layer.set_weights(weight, bias).unwrap_err().to_string();
        assert!(got.starts_with(expected), "{got:?}, expected {expected:?}");
    }
    let narrow = context().limited(DeviceProfile { max_binding: 128, ..context().profile().clone() });
    let layer = Layer::new(&narrow, &op, &weight, None).unwrap();
    let error = layer.set_weights(good.slice(..), None).unwrap_err();
    assert!(matches!(error, Error::Limit { needed: 132, limit: 128, .. }), "{error}");
}
