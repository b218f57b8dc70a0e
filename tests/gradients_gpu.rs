//! The gradients of weight and bias on a device, against literal sums in f64.
//!
//! Without a device every test fails. `UPCONV_SKIP_GPU_TESTS=1` is how a person asks for them to be skipped; they then
//! show as ignored.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;
#[path = "common/device.rs"]
mod device;

use common::{Case, Values, no_activation, random_case, tensor};
use device::context;
use fastrand::Rng;
use std::process::ExitCode;
use upconv::gpu::{Context, GradientKernel, GradientRequest, Layer, PreparedWeightGradient};
use upconv::wgpu::{Buffer, BufferDescriptor, BufferUsages};
use upconv::{
    Activation, ConvTranspose, DType, DeviceClass, DeviceProfile, Error, Layout, Storage, Tensor, WeightLayout,
};

fn main() -> ExitCode {
    device::run(&[
        ("integers_are_exact_in_a_random_sweep", integers_are_exact_in_a_random_sweep),
        ("reals_are_within_their_bound_and_the_same_again", reals_are_within_their_bound_and_the_same_again),
        ("tiles_of_every_kind_are_exact", tiles_of_every_kind_are_exact),
        ("long_sums_have_many_parts", long_sums_have_many_parts),
        ("limits_change_no_bit", limits_change_no_bit),
        ("gradients_are_added_to_what_is_there", gradients_are_added_to_what_is_there),
        ("f16_is_read_as_it_is", f16_is_read_as_it_is),
        ("an_empty_batch_gives_zeros", an_empty_batch_gives_zeros),
        ("a_layer_gives_both_gradients", a_layer_gives_both_gradients),
        ("what_does_not_fit_is_refused", what_does_not_fit_is_refused),
    ])
}

/// An operation with an input and the gradient of its output.
struct Pass {
    case: Case,
    gradient: Tensor,
}

impl Pass {
    fn new(rng: &mut Rng, case: Case, values: Values) -> Self {
        let gradient = tensor(rng, &case.op.at(case.input.shape()).unwrap().output_shape(), values);
        Self { case, gradient }
    }

    fn of(rng: &mut Rng, op: ConvTranspose, shape: &[usize], values: Values) -> Self {
        let input = tensor(rng, shape, values);
        let weight = tensor(rng, &op.weight_shape(), values);
        Self::new(rng, Case { op, input, weight, bias: None }, values)
    }
}

/// For each weight and each bias its gradient, the sum of its products' magnitudes, and their number.
#[derive(Default)]
struct Expected {
    weight: Vec<[f64; 3]>,
    bias: Vec<[f64; 3]>,
}

/// The definition, product by product.
fn expected(pass: &Pass) -> Expected {
    let op = &pass.case.op;
    let geometry = op.at(pass.case.input.shape()).unwrap();
    let (x, dy) = (pass.case.input.to_f64(), pass.gradient.to_f64());
    let (xs, ys) = (geometry.input_strides(), geometry.output_strides());
    let [in_group, out_group] = [op.in_channels() / op.groups(), op.out_channels() / op.groups()];
    let kernel = op.axes3().map(|axis| axis.kernel);
    let at = |place: [usize; 3], strides: [usize; 3]| (0..3).map(|a| place[a] * strides[a]).sum::<usize>();
    let places = |extents: [usize; 3]| {
        let plane = move |z: usize| (0..extents[1]).flat_map(move |y| (0..extents[2]).map(move |x| [z, y, x]));
        (0..extents[0]).flat_map(plane)
    };
    let add = |sum: &mut [f64; 3], product: f64| {
        *sum = [sum[0] + product, sum[1] + product.abs(), sum[2] + 1.0];
    };
    let mut all = Expected {
        weight: vec![[0.0; 3]; op.weight_shape().iter().product()],
        bias: vec![[0.0; 3]; op.out_channels()],
    };
    // The place of a weight in its tensor, whatever the order of its axes.
    let [kd, kh, kw] = kernel;
    let weight_at = |ci: usize, co: usize, [z, y, x]: [usize; 3]| match op.weight_layout() {
        WeightLayout::Iohw => (((ci * out_group + co) * kd + z) * kh + y) * kw + x,
        WeightLayout::Hwoi => (((z * kh + y) * kw + x) * out_group + co) * op.in_channels() + ci,
        WeightLayout::Ohwi => (((co * kd + z) * kh + y) * kw + x) * op.in_channels() + ci,
        WeightLayout::Oihw => (((co * op.in_channels() + ci) * kd + z) * kh + y) * kw + x,
        WeightLayout::Hwio => (((z * kh + y) * kw + x) * op.in_channels() + ci) * out_group + co,
        WeightLayout::Ihwo => (((ci * kd + z) * kh + y) * kw + x) * out_group + co,
        other => panic!("{other:?}"),
    };
    for n in 0..geometry.batch() {
        for ci in 0..op.in_channels() {
            for k in places(kernel) {
                for i in places(geometry.input()) {
                    let landing = |a: usize| {
                        let axis = &op.axes3()[a];
                        (i[a] * axis.stride + k[a] * axis.dilation) as i64 - axis.pad_begin
                    };
                    let o = [0, 1, 2].map(landing);
                    if (0..3).any(|a| !(0..geometry.output()[a] as i64).contains(&o[a])) {
                        continue;
                    }
                    let o = o.map(|o| o as usize);
                    let x = x[n * xs.batch + ci * xs.channel + at(i, xs.spatial)];
                    for co in 0..out_group {
                        let channel = ci / in_group * out_group + co;
                        let dy = dy[n * ys.batch + channel * ys.channel + at(o, ys.spatial)];
                        add(&mut all.weight[weight_at(ci, co, k)], x * dy);
                    }
                }
            }
        }
        for co in 0..op.out_channels() {
            for o in places(geometry.output()) {
                add(&mut all.bias[co], dy[n * ys.batch + co * ys.channel + at(o, ys.spatial)]);
            }
        }
    }
    all
}

fn buffer(context: &Context, size: u64, usage: BufferUsages) -> Buffer {
    let descriptor = BufferDescriptor { label: None, size, usage, mapped_at_creation: false };
    context.device().create_buffer(&descriptor)
}

fn prepare(context: &Context, pass: &Pass, request: GradientRequest) -> PreparedWeightGradient {
    let layer = Layer::new(context, &pass.case.op, &pass.case.weight, None).unwrap();
    layer.prepare_weight_gradient(pass.case.input.shape(), request).unwrap()
}

/// Both gradients, computed into buffers that are full of a value.
fn run(prepared: &PreparedWeightGradient, pass: &Pass, before: f32) -> [Vec<f32>; 2] {
    let context = prepared.context();
    let storage = prepared.plan().storage();
    let x = context.upload(&pass.case.input, storage).unwrap();
    let dy = context.upload(&pass.gradient, storage).unwrap();
    let filled = |bytes: u64| {
        let count = bytes as usize / 4;
        context.upload(&Tensor::f32([count], vec![before; count]).unwrap(), Storage::F32).unwrap()
    };
    let (dw, db) = (filled(prepared.weight_gradient_bytes()), filled(prepared.bias_gradient_bytes()));
    let bound = prepared.bind(x.slice(..), dy.slice(..), dw.slice(..), Some(db.slice(..))).unwrap();
    for piece in bound.pieces() {
        let mut encoder = context.device().create_command_encoder(&Default::default());
        piece.encode(&mut encoder.begin_compute_pass(&Default::default()));
        context.queue().submit([encoder.finish()]);
    }
    let op = &pass.case.op;
    let read = |buffer: &Buffer, shape: &[usize]| context.download(buffer, shape, Storage::F32).unwrap().to_f32();
    [read(&dw, &op.weight_shape()), read(&db, &[op.out_channels()])]
}

/// As [`run`], into NaN, which a gradient that is not written would keep.
fn run_poisoned(prepared: &PreparedWeightGradient, pass: &Pass) -> [Vec<f32>; 2] {
    run(prepared, pass, f32::NAN)
}

fn assert_exact(got: &[Vec<f32>; 2], expected: &Expected, what: &str) {
    for (name, got, expected) in [("weight", &got[0], &expected.weight), ("bias", &got[1], &expected.bias)] {
        assert_eq!(got.len(), expected.len(), "{what}");
        for (index, (&got, &[value, ..])) in got.iter().zip(expected).enumerate() {
            assert!(f64::from(got) == value, "{what}: {name} {index} is {got}, expected {value}");
        }
    }
}

/// Compilers take long for large tiles: most cases get the small ones of an unknown device.
fn small_tiles() -> Context {
    context().limited(DeviceProfile { class: DeviceClass::Unknown, ..context().profile().clone() })
}

fn integers_are_exact_in_a_random_sweep() {
    let (mut rng, small) = (Rng::with_seed(31), small_tiles());
    for number in 0..600 {
        let case = random_case(&mut rng, Values::Integers, no_activation);
        let pass = Pass::new(&mut rng, case, Values::Integers);
        let expected = expected(&pass);
        for &kernel in GradientKernel::ALL {
            let context = if number % 30 == 0 { context() } else { &small };
            let prepared = prepare(context, &pass, GradientRequest::new(Storage::F32).kernel(kernel));
            assert_eq!(prepared.plan().kernel(), kernel);
            let what = format!("case {number}, {kernel}: {:?}\n{}", pass.case, prepared.plan());
            assert_exact(&run_poisoned(&prepared, &pass), &expected, &what);
        }
    }
}
/// Asserts that each gradient is within n·ε·Σ|x·dy| of its sum of n products, as the reference bounds an output.
fn assert_within(got: &[Vec<f32>; 2], expected: &Expected, what: &str) {
    for (name, got, expected) in [("weight", &got[0], &expected.weight), ("bias", &got[1], &expected.bias)] {
        for (index, (&got, &[value, magnitude, products])) in got.iter().zip(expected).enumerate() {
            // One rounding for each product, and one of the result.
            let bound = (products + 1.0) * f64::from(f32::EPSILON) / 2.0 * magnitude;
            let error = (f64::from(got) - value).abs();
            assert!(error <= bound, "{what}: {name} {index} is {got}, expected {value} within {bound}");
        }
    }
}

fn reals_are_within_their_bound_and_the_same_again() {
    let (mut rng, small) = (Rng::with_seed(32), small_tiles());
    for number in 0..120 {
        let case = random_case(&mut rng, Values::Reals, no_activation);
        let pass = Pass::new(&mut rng, case, Values::Reals);
        let expected = expected(&pass);
        for &kernel in GradientKernel::ALL {
            let prepared = prepare(&small, &pass, GradientRequest::new(Storage::F32).kernel(kernel));
            let got = run_poisoned(&prepared, &pass);
            assert_within(&got, &expected, &format!("case {number}, {kernel}: {:?}", pass.case));
            assert_eq!(got, run_poisoned(&prepared, &pass), "case {number}, {kernel}: {:?}", pass.case);
        }
    }
}

/// Vectors along w and of channels, and single numbers; several tiles of taps; tiles that reach beyond the last channel,
/// tap and input; huge kernels, strides and dilations.
fn tiles_of_every_kind_are_exact() {
    let mut rng = Rng::with_seed(33);
    let op = ConvTranspose::builder;
    let last = Layout::ChannelsLast;
    let cases = [
        (op().in_channels(12).out_channels(8).kernel([4, 4]).stride([2, 2]).padding([1, 1]), vec![3, 12, 8, 12]),
        (op().in_channels(5).out_channels(7).kernel([3, 3]).padding([1, 1]), vec![2, 5, 9, 13]),
        (op().in_channels(8).out_channels(8).kernel([3, 3]).padding([1, -2]).layout(last), vec![2, 7, 9, 8]),
        (op().in_channels(8).out_channels(12).groups(2).kernel([2, 5]).stride([2, 3]).layout(last), vec![6, 10, 8]),
        (op().in_channels(6).out_channels(6).groups(6).kernel([4, 4]).stride([2, 2]).padding([1, 1]), vec![6, 32, 36]),
        (op().in_channels(8).kernel([9, 9]).stride([2, 2]).padding([4, 4]).output_padding([1, 1]), vec![1, 8, 12, 16]),
        (op().in_channels(7).out_channels(3).kernel([64]).stride([32]).padding([16]), vec![2, 7, 15]),
        (op().in_channels(3).out_channels(2).kernel([4096]).stride([1024]), vec![2, 3, 5]),
        (op().in_channels(2).out_channels(2).kernel([3]).stride([100_003]).padding([7]), vec![2, 2, 4]),
        (op().in_channels(4).out_channels(2).kernel([3, 2]).dilation([5, 1000]).padding([3, 480]), vec![1, 4, 9, 40]),
        (op().in_channels(4).out_channels(4).kernel([5]).stride([3]).dilation([2]).padding([(-3, 2)]), vec![2, 4, 64]),
        (op().in_channels(4).out_channels(3).kernel([3, 2, 4]).stride([2, 1, 2]), vec![2, 4, 3, 5, 8]),
        (op().in_channels(16).out_channels(4).kernel([1, 1]), vec![1, 16, 8, 8]),
    ];
    for (builder, shape) in cases {
        for weight_layout in [WeightLayout::Iohw, WeightLayout::Ohwi] {
            let op = builder.clone().weight_layout(weight_layout).build().unwrap();
            let pass = Pass::of(&mut rng, op, &shape, Values::Integers);
            let expected = expected(&pass);
            for class in [DeviceClass::Software, DeviceClass::Nvidia, DeviceClass::Unknown] {
                let context = context().limited(DeviceProfile { class, ..context().profile().clone() });
                for &kernel in GradientKernel::ALL {
                    let prepared = prepare(&context, &pass, GradientRequest::new(Storage::F32).kernel(kernel));
                    let what = format!("{class:?}: {:?}\n{}", pass.case, prepared.plan());
                    assert_exact(&run_poisoned(&prepared, &pass), &expected, &what);
                }
            }
        }
    }
}

/// More rounds than lavapipe lets the loops of an invocation run, so that a sum in one part would be wrong.
fn long_sums_have_many_parts() {
    let mut rng = Rng::with_seed(34);
    let op = ConvTranspose::builder().kernel([3]).stride([2]).padding([1]).build().unwrap();
    for values in [Values::Integers, Values::Reals] {
        let pass = Pass::of(&mut rng, op.clone(), &[2, 1, 150_001], values);
        let expected = expected(&pass);
        for &kernel in GradientKernel::ALL {
            let prepared = prepare(context(), &pass, GradientRequest::new(Storage::F32).kernel(kernel));
            assert!(prepared.plan().parts() > 8, "{}", prepared.plan());
            let got = run_poisoned(&prepared, &pass);
            match values {
                Values::Integers => assert_exact(&got, &expected, kernel.name()),
                Values::Reals => assert_within(&got, &expected, kernel.name()),
            }
        }
    }
}

fn limits_change_no_bit() {
    let mut rng = Rng::with_seed(35);
    let builder = || ConvTranspose::builder().in_channels(12).out_channels(10).kernel([3, 4]).stride([2, 2]);
    let mut most = 0;
    for (layout, shape) in [(Layout::ChannelsFirst, [5, 12, 13, 16]), (Layout::ChannelsLast, [5, 13, 16, 12])] {
        let op = builder().groups(2).padding([1, 1]).layout(layout).build().unwrap();
        let pass = Pass::of(&mut rng, op, &shape, Values::Reals);
        for &kernel in GradientKernel::ALL {
            let request = GradientRequest::new(Storage::F32).kernel(kernel);
            let small = small_tiles();
            let prepared = prepare(&small, &pass, request);
            let whole = run_poisoned(&prepared, &pass);
            assert_eq!(prepared.plan().dispatch_count(), 2);
            let profile = || small.profile().clone();
            for limited in [
                DeviceProfile { max_multiply_adds: 100_000, ..profile() },
                DeviceProfile { max_binding: 32 << 10, ..profile() },
                DeviceProfile { max_binding: 40 << 10, max_multiply_adds: 1 << 18, ..profile() },
                DeviceProfile { max_workgroups: 2, ..profile() },
            ] {
                let prepared = prepare(&small.limited(limited), &pass, request);
                assert_eq!(run_poisoned(&prepared, &pass), whole, "{}", prepared.plan());
                most = most.max(prepared.plan().dispatch_count());
                assert!(prepared.plan().dispatch_count() > 2, "{}", prepared.plan());
            }
        }
    }
    assert!(most > 20, "{most}");
}

fn gradients_are_added_to_what_is_there() {
    let mut rng = Rng::with_seed(36);
    for _ in 0..10 {
        let case = random_case(&mut rng, Values::Integers, no_activation);
        let pass = Pass::new(&mut rng, case, Values::Integers);
        let mut expected = expected(&pass);
        expected.weight.iter_mut().chain(&mut expected.bias).for_each(|sum| sum[0] += 1000.0);
        for &kernel in GradientKernel::ALL {
            let request = GradientRequest::new(Storage::F32).accumulating().kernel(kernel);
            let prepared = prepare(&small_tiles(), &pass, request);
            assert_exact(&run(&prepared, &pass, 1000.0), &expected, &format!("{kernel}: {:?}", pass.case));
        }
    }
}

fn f16_is_read_as_it_is() {
    if !context().profile().f16 {
        let pass = Pass::of(
            &mut Rng::with_seed(37),
            ConvTranspose::builder().kernel([3]).build().unwrap(),
            &[1, 4],
            Values::Reals,
        );
        let layer = Layer::new(context(), &pass.case.op, &pass.case.weight, None).unwrap();
        let refused = layer.prepare_weight_gradient(pass.case.input.shape(), Storage::F16);
        assert!(matches!(refused, Err(Error::DType { .. })));
        return;
    }
    let mut rng = Rng::with_seed(37);
    for number in 0..40 {
        let values = if number % 2 == 0 { Values::Integers } else { Values::Reals };
        let case = random_case(&mut rng, values, no_activation);
        let mut pass = Pass::new(&mut rng, case, values);
        pass.case.input = pass.case.input.cast(DType::F16);
        pass.gradient = pass.gradient.cast(DType::F16);
        let expected = expected(&pass);
        for &kernel in GradientKernel::ALL {
            let prepared = prepare(&small_tiles(), &pass, GradientRequest::new(Storage::F16).kernel(kernel));
            let got = run_poisoned(&prepared, &pass);
            let what = format!("case {number}, {kernel}: {:?}", pass.case);
            if values == Values::Integers {
                assert_exact(&got, &expected, &what);
            } else {
                assert_within(&got, &expected, &what);
            }
        }
    }
}

fn an_empty_batch_gives_zeros() {
    let op = ConvTranspose::builder().in_channels(2).out_channels(3).kernel([2, 2]).build().unwrap();
    let pass = Pass::of(&mut Rng::with_seed(38), op, &[0, 2, 4, 4], Values::Reals);
    for &kernel in GradientKernel::ALL {
        let prepared = prepare(context(), &pass, GradientRequest::new(Storage::F32).kernel(kernel));
        assert_eq!(run_poisoned(&prepared, &pass), [vec![0.0; 24], vec![0.0; 3]]);
    }
}

fn a_layer_gives_both_gradients() {
    let mut rng = Rng::with_seed(39);
    for dtype in [DType::F32, DType::F16, DType::Bf16] {
        let case = random_case(&mut rng, Values::Integers, no_activation);
        let mut pass = Pass::new(&mut rng, case, Values::Integers);
        pass.case.input = pass.case.input.cast(dtype);
        let layer = Layer::new(&small_tiles(), &pass.case.op, &pass.case.weight, None).unwrap();
        let weight = layer.weight_gradient(&pass.case.input, &pass.gradient).unwrap();
        let bias = layer.bias_gradient(pass.case.input.shape(), &pass.gradient).unwrap();
        assert_eq!(
            (weight.shape(), bias.shape()),
            (&pass.case.op.weight_shape()[..], &[pass.case.op.out_channels()][..])
        );
        assert_exact(&[weight.to_f32(), bias.to_f32()], &expected(&pass), &format!("{:?}", pass.case));
    }
}

fn what_does_not_fit_is_refused() {
    let mut rng = Rng::with_seed(40);
    let builder = ConvTranspose::builder().in_channels(2).out_channels(2).kernel([3, 3]);
    let pass = Pass::of(&mut rng, builder.clone().build().unwrap(), &[1, 2, 4, 4], Values::Reals);
    let layer = Layer::new(context(), &pass.case.op, &pass.case.weight, None).unwrap();
    let (x, dy) = (&pass.case.input, &pass.gradient);
    let shape = layer.weight_gradient(x, x).unwrap_err();
    let expected = "gradient of the output has shape [1, 2, 4, 4], expected [1, 2, 6, 6], the output's";
    assert_eq!(shape.to_string(), expected);
    assert!(matches!(layer.weight_gradient(x, &dy.cast(DType::F64)), Err(Error::DType { .. })));
    for (op, words) in [
        (builder.clone().activation(Activation::Relu), "of a weight through relu is what `prepare_backward` computes"),
        (builder.pre_activation(Activation::Tanh), "through tanh before the products is not computed"),
    ] {
        let layer = Layer::new(context(), &op.build().unwrap(), &pass.case.weight, None).unwrap();
        let error = layer.prepare_weight_gradient(x.shape(), Storage::F32).unwrap_err();
        assert!(matches!(error, Error::Gradient { .. }) && error.to_string().contains(words), "{error}");
    }
    let few = DeviceProfile { max_iterations: 10, ..context().profile().clone() };
    let error = Layer::new(&context().limited(few), &pass.case.op, &pass.case.weight, None)
        .unwrap()
        .prepare_weight_gradient(x.shape(), Storage::F32)
        .unwrap_err();
    assert!(matches!(error, Error::Limit { limit_name: "max_iterations", .. }), "{error}");

    // Buffers.
    let prepared = layer.prepare_weight_gradient(x.shape(), Storage::F32).unwrap();
    assert_eq!(
        [
            prepared.input_bytes(),
            prepared.gradient_bytes(),
            prepared.weight_gradient_bytes(),
            prepared.bias_gradient_bytes()
        ],
        [128, 288, 144, 8]
    );
    let storage = |size: u64| buffer(context(), size, BufferUsages::STORAGE);
    let (x, dy, dw, db) = (storage(4096), storage(4096), storage(4096), storage(4096));
    let copy = buffer(context(), 4096, BufferUsages::COPY_DST);
    let refusal = |error: upconv::Result<_>| error.map(|_: upconv::gpu::Bound| ()).unwrap_err().to_string();
    let bias = Some(db.slice(..));
    prepared.bind(x.slice(..), dy.slice(..), dw.slice(..), bias).unwrap();
    // What is only read may lie in one buffer, and what is written too, apart.
    prepared.bind(x.slice(..), x.slice(..), dw.slice(..), Some(dw.slice(1024..))).unwrap();
    for (bound, words) in [
        (prepared.bind(x.slice(..124), dy.slice(..), dw.slice(..), bias), "input buffer: 124 bytes given, but 128"),
        (prepared.bind(x.slice(..), dy.slice(..287), dw.slice(..), bias), "output gradient buffer: 287 bytes given"),
        (prepared.bind(x.slice(..), dy.slice(..), dw.slice(..143), None), "weight gradient buffer: 143 bytes given"),
        (prepared.bind(x.slice(4..), dy.slice(..), dw.slice(..), None), "offset 4 is no multiple"),
        (prepared.bind(x.slice(..), copy.slice(..), dw.slice(..), None), "lacks STORAGE"),
        (
            prepared.bind(x.slice(..), dy.slice(..), x.slice(1024..), None),
            "weight gradient buffer: is the input's buffer",
        ),
        (
            prepared.bind(x.slice(..), dy.slice(..), dw.slice(..), Some(dy.slice(1024..))),
            "bias gradient buffer: is the output gradient's buffer too",
        ),
        (
            prepared.bind(x.slice(..), dy.slice(..), dw.slice(..), Some(dw.slice(..))),
            "bias gradient buffer: has the bytes",
        ),
    ] {
        let text = refusal(bound);
        assert!(text.contains(words), "{text}");
    }
}
