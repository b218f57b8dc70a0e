//! Where a layer's operands lie, and what is fused around its products: channels of larger tensors, residuals,
//! pre-activations, one buffer for all, and sizes that change.
//!
//! Without a device every test fails. `UPCONV_SKIP_GPU_TESTS=1` is how a person asks for them to be skipped; they then
//! show as ignored.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;
#[path = "common/device.rs"]
mod device;

use common::{Case, Values, random_case, tensor};
use device::{context, fresh_context};
use fastrand::Rng;
use std::process::ExitCode;
use upconv::gpu::{Context, Layer, Prepared, Request};
use upconv::{
    Activation, ConvTranspose, DeviceClass, DeviceProfile, Error, Kernel, Layout, Storage, Tensor, reference, wgpu,
};

fn main() -> ExitCode {
    device::run(&[
        ("every_kernel_takes_its_operands_where_they_lie", every_kernel_takes_its_operands_where_they_lie),
        ("channels_last_are_read_and_written_in_fours", channels_last_are_read_and_written_in_fours),
        ("so_it_does_in_bands", so_it_does_in_bands),
        ("splits_add_the_residual_once", splits_add_the_residual_once),
        ("a_dense_block_grows_in_one_buffer", a_dense_block_grows_in_one_buffer),
        ("one_buffer_holds_input_and_output_apart", one_buffer_holds_input_and_output_apart),
        ("operands_that_do_not_fit_are_refused", operands_that_do_not_fit_are_refused),
        ("a_new_size_compiles_nothing", a_new_size_compiles_nothing),
        ("small_work_is_compiled_for_where_it_is_done_often", small_work_is_compiled_for_where_it_is_done_often),
    ])
}

/// Some channels among others, all of which have values.
struct Placed {
    first: usize,
    of: usize,
    /// The larger tensor.
    all: Tensor,
}

/// The axis of the channels.
fn channel_axis(layout: Layout, shape: &[usize], rank: usize) -> usize {
    match layout {
        Layout::ChannelsFirst => shape.len() - rank - 1,
        Layout::ChannelsLast => shape.len() - 1,
    }
}

/// For each element of a tensor, its index in a tensor of `of` channels whose channel `first` is its channel 0.
fn indices(shape: &[usize], axis: usize, first: usize, of: usize) -> Vec<usize> {
    let inner: usize = shape[axis + 1..].iter().product();
    let channels = shape[axis];
    (0..shape.iter().product())
        .map(|index| {
            let (outer, channel, rest) = (index / inner / channels, index / inner % channels, index % inner);
            (outer * of + first + channel) * inner + rest
        })
        .collect()
}

impl Placed {
    fn new(rng: &mut Rng, own: &Tensor, axis: usize) -> Self {
        // Half of the time whole vectors of four lie before and behind.
        let unit = if rng.bool() { 1 } else { 4 };
        let (first, beyond) = (unit * rng.usize(0..4), unit * rng.usize(0..4));
        let mut shape = own.shape().to_vec();
        let of = first + shape[axis] + beyond;
        shape[axis] = of;
        let mut all = tensor(rng, &shape, Values::Reals).into_f32();
        let at = indices(own.shape(), axis, first, of);
        at.into_iter().zip(own.to_f32()).for_each(|(at, value)| all[at] = value);
        Self { first, of, all: Tensor::f32(shape, all).unwrap() }
    }
}

fn pre_activation(rng: &mut Rng, channels: usize) -> Activation {
    match rng.u8(0..6) {
        0 | 1 => Activation::None,
        2 => Activation::LeakyRelu { alpha: 0.1 },
        // It does not leave 0 as it is: beyond the input there must be nothing all the same.
        3 => Activation::Sigmoid,
        4 => Activation::Prelu { slopes: (0..channels).map(|_| rng.f32() - 0.5).collect() },
        _ => Activation::Snake { alphas: (0..channels).map(|_| rng.f32() * 4.0).collect() },
    }
}

fn activation(rng: &mut Rng, channels: usize) -> Activation {
    match rng.u8(0..5) {
        0 => Activation::None,
        1 => Activation::Relu,
        2 => Activation::Silu,
        3 => Activation::Elu { alpha: 0.7 },
        _ => Activation::Snake { alphas: (0..channels).map(|_| rng.f32() * 4.0).collect() },
    }
}

fn upload(context: &Context, tensor: &Tensor) -> wgpu::Buffer {
    context.upload(tensor, Storage::F32).unwrap()
}

/// What is left in the output's buffer, which held `before`.
fn run(context: &Context, prepared: &Prepared, input: &Tensor, residual: Option<&Tensor>, before: &Tensor) -> Tensor {
    let (x, y) = (upload(context, input), upload(context, before));
    let bound = match residual.map(|residual| upload(context, residual)) {
        None => prepared.bind(x.slice(..), y.slice(..)).unwrap(),
        Some(residual) => prepared.bind_adding(x.slice(..), residual.slice(..), y.slice(..)).unwrap(),
    };
    for piece in bound.pieces() {
        let mut encoder = context.device().create_command_encoder(&Default::default());
        piece.encode(&mut encoder.begin_compute_pass(&Default::default()));
        context.queue().submit([encoder.finish()]);
    }
    context.download(&y, before.shape(), Storage::F32).unwrap()
}

/// Runs a case with operands that lie anywhere, and compares; `None` where the kernel cannot run it.
fn check(context: &Context, rng: &mut Rng, case: &Case, kernel: Option<Kernel>) -> Option<Prepared> {
    let Case { op, input, weight, bias } = case;
    let layer = Layer::new(context, op, weight, bias.as_ref()).unwrap();
    let shape = op.at(input.shape()).unwrap().output_shape();
    let (in_axis, out_axis) =
        (channel_axis(op.layout(), input.shape(), op.rank()), channel_axis(op.layout(), &shape, op.rank()));
    let mut request = Request::new(Storage::F32);
    request = kernel.map_or(request, |kernel| request.kernel(kernel));

    let mut x = input.clone();
    if rng.bool() {
        let placed = Placed::new(rng, input, in_axis);
        request = request.reading(placed.first, placed.of);
        x = placed.all;
    }
    let before = tensor(rng, &shape, Values::Reals);
    let (mut y, mut at) = (before.clone(), (0..shape.iter().product()).collect::<Vec<_>>());
    if rng.bool() {
        let placed = Placed::new(rng, &before, out_axis);
        request = request.writing(placed.first, placed.of);
        at = indices(&shape, out_axis, placed.first, placed.of);
        y = placed.all;
    }
    let own = tensor(rng, &shape, Values::Reals);
    let (added, residual) = match rng.u8(0..4) {
        0 => (None, None),
        1 => {
            request = request.accumulating();
            (Some(&before), None)
        }
        2 => {
            request = request.adding();
            (Some(&own), Some(own.clone()))
        }
        _ => {
            let placed = Placed::new(rng, &own, out_axis);
            request = request.adding_channels(placed.first, placed.of);
            (Some(&own), Some(placed.all))
        }
    };
    let prepared = match layer.prepare(input.shape(), request) {
        Err(Error::Kernel { .. } | Error::Limit { .. }) if kernel.is_some() => return None,
        prepared => prepared.unwrap(),
    };
    let got = run(context, &prepared, &x, residual.as_ref(), &y).into_f32();
    let expected = match added {
        None => reference::conv_transpose(op, input, weight, bias.as_ref()),
        Some(added) => reference::conv_transpose_adding(op, input, weight, bias.as_ref(), added),
    };
    let own = Tensor::f32(shape, at.iter().map(|&at| got[at]).collect::<Vec<_>>()).unwrap();
    let comparison = expected.unwrap().compare(&own).unwrap();
    assert!(comparison.passed(), "{comparison:?} of {case:?}, {request:?} by {}", prepared.plan().explain());
    let mut others = y.into_f32();
    at.into_iter().for_each(|at| others[at] = got[at]);
    assert_eq!(others, got, "other channels were written: {case:?}, {request:?}");
    Some(prepared)
}

fn random(rng: &mut Rng) -> Case {
    let case = random_case(rng, Values::Reals, activation);
    let pre = pre_activation(rng, case.op.in_channels());
    Case { op: case.op.to_builder().pre_activation(pre).build().unwrap(), ..case }
}

fn every_kernel_takes_its_operands_where_they_lie() {
    let mut rng = Rng::with_seed(140);
    for &kernel in Kernel::EXACT {
        let mut checked = 0;
        while checked < 14 {
            let case = random(&mut rng);
            checked += usize::from(check(context(), &mut rng, &case, Some(kernel)).is_some());
        }
    }
    // Vectors of four on both sides.
    for kernel in [Kernel::Direct, Kernel::Tiled] {
        for _ in 0..4 {
            let groups = rng.usize(1..=2);
            let (inputs, outputs) = (groups * rng.usize(1..=6), groups * rng.usize(1..=9));
            let op = ConvTranspose::builder().in_channels(inputs).out_channels(outputs).groups(groups);
            let op = op.kernel([4, 4]).stride([2, 2]).padding([1, 1]).activation(activation(&mut rng, outputs));
            let op = op.pre_activation(pre_activation(&mut rng, inputs)).build().unwrap();
            let input = tensor(&mut rng, &[2, inputs, 6, 16], Values::Reals);
            let weight = tensor(&mut rng, &op.weight_shape(), Values::Reals);
            assert!(check(context(), &mut rng, &Case { op, input, weight, bias: None }, Some(kernel)).is_some());
        }
    }
}

/// Whole and in bands, on every class of devices; and element by element where the channels lie at other multiples.
fn channels_last_are_read_and_written_in_fours() {
    let mut rng = Rng::with_seed(144);
    let whole = context().profile().clone();
    let small = DeviceProfile { max_binding: 2048, max_workgroups: 16, binding_alignment: 256, ..whole.clone() };
    let (mut read, mut written, mut elements) = (0, 0, 0);
    for number in 0..48 {
        let rank = rng.usize(1..=3);
        let groups = rng.usize(1..=2);
        let [inputs, outputs] = [0; 2].map(|_| groups * [4, 8, 12, 6][rng.usize(0..4)]);
        let mut each = |least: usize, most: usize| (0..rank).map(|_| rng.usize(least..=most)).collect::<Vec<_>>();
        let (kernel, stride, extents) = (each(1, 4), each(1, 3), each(3, 9 - 2 * rank));
        let op = ConvTranspose::builder().in_channels(inputs).out_channels(outputs).groups(groups);
        let op = op.kernel(kernel).stride(stride).layout(Layout::ChannelsLast);
        let op = op.activation(activation(&mut rng, outputs)).pre_activation(pre_activation(&mut rng, inputs));
        let op = op.build().unwrap();
        let shape = [&[2], &extents[..], &[inputs]].concat();
        let input = tensor(&mut rng, &shape, Values::Reals);
        let weight = tensor(&mut rng, &op.weight_shape(), Values::Reals);
        let case = Case { op, input, weight, bias: None };
        let class =
            [DeviceClass::Software, DeviceClass::Desktop, DeviceClass::Nvidia, DeviceClass::Unknown][number % 4];
        let profile = if rng.bool() { whole.clone() } else { small.clone() };
        let device = context().limited(DeviceProfile { class, ..profile });
        let Some(prepared) = check(&device, &mut rng, &case, Some(Kernel::Direct)) else { continue };
        let wgsl = prepared.plan().wgsl();
        read += usize::from(wgsl.contains("alias Input = vec4"));
        written += usize::from(wgsl.contains("acc: vec4<f32>"));
        elements += usize::from(wgsl.contains("alias Input = Elem") && wgsl.contains("acc: f32"));
    }
    assert!(read > 8 && written > 8 && elements > 2, "{read} read, {written} written, {elements} by elements");
}

fn so_it_does_in_bands() {
    let mut rng = Rng::with_seed(141);
    let small =
        DeviceProfile { max_binding: 2048, max_workgroups: 16, binding_alignment: 256, ..context().profile().clone() };
    let limited = context().limited(small);
    let mut cut = 0;
    for _ in 0..20 {
        let case = random(&mut rng);
        check(&limited, &mut rng, &case, Some(Kernel::Gather));
        cut += usize::from(check(&limited, &mut rng, &case, Some(Kernel::Direct)).is_some());
    }
    assert!(cut > 8, "{cut}");
}

fn splits_add_the_residual_once() {
    let mut rng = Rng::with_seed(142);
    let op = ConvTranspose::builder().in_channels(64).out_channels(8).kernel([4, 4]).stride([2, 2]).padding([1, 1]);
    let op = op.activation(Activation::Relu).pre_activation(pre_activation(&mut rng, 64)).build().unwrap();
    let input = tensor(&mut rng, &[2, 64, 4, 4], Values::Reals);
    let weight = tensor(&mut rng, &op.weight_shape(), Values::Reals);
    let layer = Layer::new(context(), &op, &weight, None).unwrap();
    let shape = op.at(input.shape()).unwrap().output_shape();
    let residual = tensor(&mut rng, &shape, Values::Reals);
    let expected = reference::conv_transpose_adding(&op, &input, &weight, None, &residual).unwrap();
    let candidates = layer.candidates(input.shape()).unwrap();
    let splits: Vec<_> = candidates.iter().filter(|name| name.to_string().contains("2 splits")).take(2).collect();
    assert_eq!(splits.len(), 2);
    for candidate in splits {
        let request = Request::new(Storage::F32).candidate(*candidate);
        let adding = layer.prepare(input.shape(), request.adding()).unwrap();
        let got = run(context(), &adding, &input, Some(&residual), &residual);
        assert!(expected.compare(&got).unwrap().passed());
        let accumulating = layer.prepare(input.shape(), request.accumulating()).unwrap();
        assert_eq!(run(context(), &accumulating, &input, None, &residual), got);
    }
}

/// Each layer reads the channels that there are and writes its own behind them.
fn a_dense_block_grows_in_one_buffer() {
    let mut rng = Rng::with_seed(143);
    let (of, growth) = (16, 4);
    let shape = [2, of, 8, 8];
    let start = tensor(&mut rng, &shape, Values::Reals);
    let y = upload(context(), &start);
    let mut encoder = context().device().create_command_encoder(&Default::default());
    let mut layers = Vec::new();
    {
        let mut pass = encoder.begin_compute_pass(&Default::default());
        for channels in (growth..of).step_by(growth) {
            let op = ConvTranspose::builder().in_channels(channels).out_channels(growth).kernel([3, 3]).padding([1, 1]);
            let op = op.activation(Activation::LeakyRelu { alpha: 0.2 }).build().unwrap();
            let weight = tensor(&mut rng, &op.weight_shape(), Values::Reals);
            let layer = Layer::new(context(), &op, &weight, None).unwrap();
            let request = Request::new(Storage::F32).reading(0, of).writing(channels, of).in_one_buffer();
            let prepared = layer.prepare(&[2, channels, 8, 8], request).unwrap();
            assert_eq!(prepared.plan().dispatch_count(), 2, "one for each item of the batch");
            prepared.bind(y.slice(..), y.slice(..)).unwrap().encode(&mut pass);
            layers.push((op, weight));
        }
    }
    context().queue().submit([encoder.finish()]);
    let got = context().download(&y, &shape, Storage::F32).unwrap();
    // Each layer is judged by what stands before its channels.
    let some = |range: std::ops::Range<usize>| {
        let own = [2, range.len(), 8, 8];
        let at = indices(&own, 1, range.start, of);
        got.view().select(own, at).unwrap()
    };
    assert_eq!(some(0..growth), start.view().select([2, growth, 8, 8], indices(&[2, growth, 8, 8], 1, 0, of)).unwrap());
    for (op, weight) in layers {
        let channels = op.in_channels();
        let expected = reference::conv_transpose(&op, &some(0..channels), &weight, None).unwrap();
        assert!(expected.compare(&some(channels..channels + growth)).unwrap().passed(), "{channels} channels");
    }
}

fn one_buffer_holds_input_and_output_apart() {
    let mut rng = Rng::with_seed(144);
    let op = ConvTranspose::builder().in_channels(3).out_channels(5).kernel([4]).stride([2]).padding([1]);
    let op = op.build().unwrap();
    let input = tensor(&mut rng, &[2, 3, 50], Values::Reals);
    let weight = tensor(&mut rng, &op.weight_shape(), Values::Reals);
    let layer = Layer::new(context(), &op, &weight, None).unwrap();
    let expected = reference::conv_transpose(&op, &input, &weight, None).unwrap();
    for &kernel in Kernel::EXACT {
        let request = Request::new(Storage::F32).kernel(kernel).in_one_buffer();
        let prepared = layer.prepare(input.shape(), request).unwrap();
        let mut data = input.to_f32();
        // 1,200 bytes of input, then 4,000 of output from 1,280 on; the buffer ends with it.
        data.resize((1280 + 4000) / 4, f32::NAN);
        let all = upload(context(), &Tensor::f32([data.len()], data).unwrap());
        let bound = prepared.bind(all.slice(..1200), all.slice(1280..)).unwrap();
        let mut encoder = context().device().create_command_encoder(&Default::default());
        bound.encode(&mut encoder.begin_compute_pass(&Default::default()));
        context().queue().submit([encoder.finish()]);
        let got = context().download(&all, &[1320], Storage::F32).unwrap().into_f32();
        assert_eq!(got[..300], input.to_f32());
        let got = Tensor::f32([2, 5, 100], got[320..].to_vec()).unwrap();
        assert!(expected.compare(&got).unwrap().passed(), "{kernel}");
    }
}

fn operands_that_do_not_fit_are_refused() {
    let op = ConvTranspose::builder().in_channels(4).out_channels(4).kernel([3, 3]).padding([1, 1]).build().unwrap();
    let layer = Layer::new(context(), &op, &Tensor::f32([4, 4, 3, 3], vec![0.5; 144]).unwrap(), None).unwrap();
    let shape = [1, 4, 5, 5];
    let f32s = Request::new(Storage::F32);
    let refusal = |request: Request| layer.prepare(&shape, request).unwrap_err().to_string();
    let expected = "the first channel of the input, which has 4 of 6 channels is 3, expected 0 to 2";
    assert_eq!(refusal(f32s.reading(3, 6)), expected);
    let expected =
        "the first channel of the output, which has 4 of 3 channels is 0, expected a tensor of at least as many";
    assert_eq!(refusal(f32s.writing(0, 3)), expected);
    assert!(refusal(f32s.adding_channels(usize::MAX, 8)).contains("the first channel of the residual"));
    assert!(refusal(f32s.writing(0, usize::MAX)).contains("overflow"), "{}", refusal(f32s.writing(0, usize::MAX)));
    let winograd = f32s.kernel(Kernel::Winograd);
    assert!(refusal(winograd.adding()).contains("it does not take a residual"));
    assert!(refusal(winograd.reading(0, 8)).contains("it does not take channels of a larger tensor"));
    assert!(refusal(winograd.in_one_buffer()).contains("it does not take operands in one buffer"));

    let buffer = |size: u64| {
        let usage = wgpu::BufferUsages::STORAGE;
        let descriptor = wgpu::BufferDescriptor { label: None, size, usage, mapped_at_creation: false };
        context().device().create_buffer(&descriptor)
    };
    let (x, y, r) = (buffer(1024), buffer(1024), buffer(1024));
    let plain = layer.prepare(&shape, f32s).unwrap();
    let adding = layer.prepare(&shape, f32s.adding()).unwrap();
    let error = |bound: upconv::Result<upconv::gpu::Bound>| bound.unwrap_err().to_string();
    let [x, y, r] = [&x, &y, &r].map(|buffer| buffer.slice(..));
    for (bound, expected) in [
        (plain.bind_adding(x, r, y), "residual buffer: is not expected: the layer was not prepared with"),
        (adding.bind(x, y), "residual buffer: is missing: the layer was prepared to add one"),
        (adding.bind_adding(x, y, y), "output buffer: is the residual's buffer too"),
        (plain.bind(x, x), "output buffer: is the input's buffer too"),
    ] {
        let refused = error(bound);
        assert!(refused.contains(expected), "{refused}");
    }
    let large = layer.prepare(&shape, f32s.writing(4, 16)).unwrap();
    let refused = error(large.bind(x, y));
    assert!(refused.contains("1024 bytes given, but 1600 needed"), "{refused}");

    let one = layer.prepare(&shape, f32s.in_one_buffer()).unwrap();
    let all = buffer(2048);
    let refused = error(one.bind(all.slice(..), all.slice(256..)));
    assert!(refused.contains("has the bytes 256..656, which overlap the input's, 0..400"), "{refused}");
    // Planes of 100 bytes: those that are read and those that are written share a unit of the alignment.
    let beside = layer.prepare(&shape, f32s.reading(0, 8).writing(4, 8).in_one_buffer()).unwrap();
    let refused = error(beside.bind(all.slice(..), all.slice(..)));
    assert!(refused.contains("overlap what is read of the same buffer"), "{refused}");
    let over = layer.prepare(&shape, f32s.reading(0, 8).writing(3, 8).in_one_buffer()).unwrap();
    let refused = error(over.bind(all.slice(..), all.slice(..)));
    assert!(refused.contains("which overlap the input's"), "{refused}");
}

fn a_new_size_compiles_nothing() {
    let context = fresh_context();
    let mut rng = Rng::with_seed(145);
    let op = ConvTranspose::builder().in_channels(16).out_channels(8).kernel([4, 4]).stride([2, 2]).padding([1, 1]);
    let op = op.build().unwrap();
    let weight = tensor(&mut rng, &op.weight_shape(), Values::Reals);
    let layer = Layer::new(&context, &op, &weight, None).unwrap();
    let mut compiled = None;
    for (h, w) in [(33, 47), (32, 48), (31, 64), (1, 1), (60, 2), (7, 100)] {
        let input = tensor(&mut rng, &[1, 16, h, w], Values::Reals);
        let prepared = layer.prepare(input.shape(), Request::new(Storage::F32).any_size()).unwrap();
        assert_eq!(prepared.plan().kernel(), Kernel::Direct);
        let shape = op.at(input.shape()).unwrap().output_shape();
        let before = Tensor::f32(shape.clone(), vec![f32::NAN; shape.iter().product()]).unwrap();
        let got = run(&context, &prepared, &input, None, &before);
        let expected = reference::conv_transpose(&op, &input, &weight, None).unwrap();
        assert!(expected.compare(&got).unwrap().passed(), "{h}x{w}");
        let count = context.pipeline_count();
        assert_eq!(*compiled.get_or_insert(count), count, "{h}x{w}");
    }
}

fn small_work_is_compiled_for_where_it_is_done_often() {
    let op = ConvTranspose::builder().in_channels(8).out_channels(8).kernel([4, 4]).stride([2, 2]).padding([1, 1]);
    let op = op.build().unwrap();
    let weight = Tensor::f32(op.weight_shape(), vec![0.5; 8 * 8 * 16]).unwrap();
    let layer = Layer::new(context(), &op, &weight, None).unwrap();
    let kernel = |request: Request| layer.prepare(&[1, 8, 16, 16], request).unwrap().plan().kernel();
    let request = Request::new(Storage::F32);
    assert_eq!((kernel(request.once()), kernel(request)), (Kernel::Gather, Kernel::Direct));
}
