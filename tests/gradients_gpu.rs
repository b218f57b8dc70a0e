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
fn reals_are_within_their_bound_and_the_same_again() {}
fn tiles_of_every_kind_are_exact() {}
fn long_sums_have_many_parts() {}
fn limits_change_no_bit() {}
fn gradients_are_added_to_what_is_there() {}
fn f16_is_read_as_it_is() {}
fn an_empty_batch_gives_zeros() {}
fn a_layer_gives_both_gradients() {}
fn what_does_not_fit_is_refused() {}
