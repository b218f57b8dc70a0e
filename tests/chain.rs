//! Chains of layers on a device, and the shipped network as one.
//!
//! Without a device every test fails. `UPCONV_SKIP_GPU_TESTS=1` is how a person asks for them to be skipped; they then
//! show as ignored.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;
#[path = "common/device.rs"]
mod device;
#[path = "common/network.rs"]
mod shipped;

use common::{Values, tensor};
use device::{context, fresh_context};
use fastrand::Rng;
use shipped::{check, network, picture};
use std::process::ExitCode;
use upconv::gpu::{Chain, Context, Layer, PreparedChain};
use upconv::{Activation, ConvTranspose, DeviceProfile, Error, Kernel, Storage, Tensor, wgpu};

fn main() -> ExitCode {
    device::run(&[
        ("a_chain_is_its_layers_one_after_another", a_chain_is_its_layers_one_after_another),
        ("chains_share_what_stands_between_their_layers", chains_share_what_stands_between_their_layers),
        ("a_chain_is_timed_layer_by_layer_and_cut_into_pieces", a_chain_is_timed_layer_by_layer_and_cut_into_pieces),
        ("runs_overlap_and_keep_their_order", runs_overlap_and_keep_their_order),
        ("runs_of_one_chain_do_not_mix", runs_of_one_chain_do_not_mix),
        ("a_chain_is_recorded_into_the_callers_pass", a_chain_is_recorded_into_the_callers_pass),
        ("chains_and_inputs_that_do_not_fit_are_refused", chains_and_inputs_that_do_not_fit_are_refused),
        ("the_shipped_network_gives_what_is_expected", the_shipped_network_gives_what_is_expected),
        ("a_tile_has_the_bits_of_the_whole_picture", a_tile_has_the_bits_of_the_whole_picture),
    ])
}

type Operations = Vec<(ConvTranspose, Tensor, Option<Tensor>)>;

/// A chain of so many layers with few channels, each with its own kernel, from 3 channels to as many as chance has it.
fn operations(rng: &mut Rng, layers: usize) -> Operations {
    let mut channels = 3;
    (0..layers)
        .map(|_| {
            let next = rng.usize(1..=9);
            let op = ConvTranspose::builder()
                .in_channels(channels)
                .out_channels(next)
                .kernel([rng.usize(2..=4), rng.usize(2..=4)])
                .stride([rng.usize(1..=2), 1])
                .padding([1, rng.usize(0..=1)])
                .activation(Activation::LeakyRelu { alpha: 0.25 })
                .build()
                .unwrap();
            channels = next;
            let weight = tensor(rng, &op.weight_shape(), Values::Reals);
            let bias = tensor(rng, &[next], Values::Reals);
            (op, weight, Some(bias))
        })
        .collect()
}

fn one_after_another(context: &Context, operations: &Operations, input: &Tensor) -> Tensor {
    operations.iter().fold(input.clone(), |x, (op, weight, bias)| {
        Layer::new(context, op, weight, bias.as_ref()).unwrap().run(&x).unwrap()
    })
}

fn a_chain_is_its_layers_one_after_another() {
    let mut rng = Rng::with_seed(31);
    // Limits that cut each layer into several dispatches, some with sums that are carried on.
    let small =
        DeviceProfile { max_binding: 4096, max_workgroups: 16, binding_alignment: 256, ..context().profile().clone() };
    let limited = Context::with_profile(context().device().clone(), context().queue().clone(), small);
    for context in [context(), &limited] {
        for layers in 1..=5 {
            let operations = operations(&mut rng, layers);
            let input = tensor(&mut rng, &[1, 3, 9, 11], Values::Reals);
            let prepared = Chain::new(context, &operations).unwrap().prepare(input.shape(), Storage::F32).unwrap();
            let made = prepared.run(std::slice::from_ref(&input)).unwrap();
            assert_eq!(made, [one_after_another(context, &operations, &input)], "{layers} layers");
        }
    }
}

/// Of many sizes, bound and recorded side by side: they have no more between their layers than the largest needs.
fn chains_share_what_stands_between_their_layers() {
    let context = fresh_context();
    let mut rng = Rng::with_seed(36);
    let operations = operations(&mut rng, 4);
    let chain = Chain::new(&context, &operations).unwrap();
    let inputs: Vec<Tensor> =
        (0..12).map(|number| tensor(&mut rng, &[1, 3, 6 + number % 5, 30 - 2 * number], Values::Reals)).collect();
    let prepared: Vec<PreparedChain> =
        inputs.iter().map(|input| chain.prepare(input.shape(), Storage::F32).unwrap()).collect();
    let largest = prepared.iter().map(PreparedChain::between_bytes).max().unwrap();
    let all: u64 = prepared.iter().map(PreparedChain::between_bytes).sum();
    let mut encoder = context.device().create_command_encoder(&Default::default());
    let mut outputs = Vec::new();
    {
        let mut pass = encoder.begin_compute_pass(&Default::default());
        for (chain, input) in prepared.iter().zip(&inputs) {
            let x = context.upload(input, Storage::F32).unwrap();
            let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC;
            let size = chain.output_bytes();
            let descriptor = wgpu::BufferDescriptor { label: None, size, usage, mapped_at_creation: false };
            let y = context.device().create_buffer(&descriptor);
            chain.bind(x.slice(..), y.slice(..)).unwrap().encode(&mut pass);
            outputs.push(y);
        }
    }
    context.queue().submit([encoder.finish()]);
    for ((chain, input), y) in prepared.iter().zip(&inputs).zip(&outputs) {
        let shape = chain.stages().last().unwrap().geometry().output_shape();
        let got = context.download(y, &shape, Storage::F32).unwrap();
        assert_eq!(got, one_after_another(&context, &operations, input));
    }
    let shared = prepared[0].shared_bytes();
    assert!(shared <= 2 * largest && 4 * shared < all, "{shared} bytes for {largest} at most and {all} in all");
    // Runs have buffers of their own, once.
    for (chain, input) in prepared.iter().zip(&inputs) {
        let got = chain.run(std::slice::from_ref(input)).unwrap().remove(0);
        assert_eq!(got, one_after_another(&context, &operations, input));
    }
    assert!(prepared[0].shared_bytes() <= 4 * largest);
    // They go with the last chain.
    drop(prepared);
    let small = chain.prepare(&[1, 3, 5, 5], Storage::F32).unwrap();
    assert_eq!(small.shared_bytes(), 0);
}

fn a_chain_is_timed_layer_by_layer_and_cut_into_pieces() {
    let mut rng = Rng::with_seed(37);
    let operations = operations(&mut rng, 3);
    let input = tensor(&mut rng, &[1, 3, 9, 11], Values::Reals);
    let expected = one_after_another(context(), &operations, &input);
    // Every layer is more than one submission may do.
    let slow = context().limited(DeviceProfile { max_multiply_adds: 2000, ..context().profile().clone() });
    let prepared = Chain::new(&slow, &operations).unwrap().prepare(input.shape(), Storage::F32).unwrap();
    prepared.warm_up().unwrap();
    let x = slow.upload(&input, Storage::F32).unwrap();
    let y = slow.upload(&Tensor::f32(expected.shape(), vec![f32::NAN; expected.data().len()]).unwrap(), Storage::F32);
    let y = y.unwrap();
    let bound = prepared.bind(x.slice(..), y.slice(..)).unwrap();
    let pieces: Vec<_> = bound.pieces().collect();
    assert!(pieces.len() > 3, "{} pieces", pieces.len());
    for piece in pieces {
        let mut encoder = slow.device().create_command_encoder(&Default::default());
        piece.encode(&mut encoder.begin_compute_pass(&Default::default()));
        slow.queue().submit([encoder.finish()]);
    }
    assert_eq!(slow.download(&y, expected.shape(), Storage::F32).unwrap(), expected);
    match bound.time() {
        Err(Error::Feature { feature: "TIMESTAMP_QUERY", .. }) => {}
        times => {
            let layers: Vec<usize> = times.unwrap().iter().map(|time| time.layer).collect();
            assert!(layers.is_sorted() && layers.first() == Some(&0) && layers.last() == Some(&2), "{layers:?}");
        }
    }
}

fn runs_overlap_and_keep_their_order() {
    let mut rng = Rng::with_seed(32);
    let operations = operations(&mut rng, 4);
    let inputs: Vec<Tensor> = (0..7).map(|_| tensor(&mut rng, &[1, 3, 5, 6], Values::Reals)).collect();
    let expected: Vec<Tensor> = inputs.iter().map(|input| one_after_another(context(), &operations, input)).collect();
    let prepared = Chain::new(context(), &operations).unwrap().prepare(&[1, 3, 5, 6], Storage::F32).unwrap();
    assert_eq!(prepared.run(&inputs).unwrap(), expected);
    // Two are under way while a third is dropped, and their buffers serve again.
    let first = prepared.start(&inputs[..3]).unwrap();
    let second = prepared.start(&inputs[3..6]).unwrap();
    drop(prepared.start(&inputs[6..]).unwrap());
    assert_eq!(second.wait().unwrap(), expected[3..6]);
    assert_eq!(first.wait().unwrap(), expected[..3]);
    assert_eq!(prepared.run(&inputs[4..7]).unwrap(), expected[4..7]);
    std::thread::scope(|scope| {
        for (input, expected) in inputs.iter().zip(&expected) {
            let prepared = &prepared;
            scope.spawn(move || {
                assert_eq!(&prepared.run(std::slice::from_ref(input)).unwrap()[0], expected);
            });
        }
    });
}

/// All runs use the same buffers between the layers: where each is submitted in pieces, none may come between those of
/// another, be it a run or what a caller records.
fn runs_of_one_chain_do_not_mix() {
    let mut rng = Rng::with_seed(34);
    let operations = operations(&mut rng, 4);
    let inputs: Vec<Tensor> = (0..16).map(|_| tensor(&mut rng, &[1, 3, 20, 20], Values::Reals)).collect();
    let expected: Vec<Tensor> = inputs.iter().map(|input| one_after_another(context(), &operations, input)).collect();
    let low = context().limited(DeviceProfile { max_multiply_adds: 100_000, ..context().profile().clone() });
    let prepared = Chain::new(&low, &operations).unwrap().prepare(inputs[0].shape(), Storage::F32).unwrap();
    let x = context().upload(&inputs[0], Storage::F32).unwrap();
    let y = output_buffer(&prepared);
    let recorded = prepared.bind(x.slice(..), y.slice(..)).unwrap();
    std::thread::scope(|scope| {
        let runs: Vec<_> = inputs
            .chunks(2)
            .zip(expected.chunks(2))
            .map(|(pair, expected)| {
                let prepared = &prepared;
                scope.spawn(move || {
                    for _ in 0..10 {
                        assert_eq!(prepared.run(pair).unwrap(), expected);
                    }
                })
            })
            .collect();
        while runs.iter().any(|run| !run.is_finished()) {
            let mut encoder = context().device().create_command_encoder(&Default::default());
            recorded.encode(&mut encoder.begin_compute_pass(&Default::default()));
            context().queue().submit([encoder.finish()]);
            let made = context().download(&y, expected[0].shape(), Storage::F32).unwrap();
            assert_eq!(made, expected[0]);
        }
    });
}

fn output_buffer(prepared: &PreparedChain) -> wgpu::Buffer {
    context().device().create_buffer(&wgpu::BufferDescriptor {
        label: None,
        size: prepared.output_bytes(),
        usage: wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC,
        mapped_at_creation: false,
    })
}

fn a_chain_is_recorded_into_the_callers_pass() {
    let mut rng = Rng::with_seed(33);
    let operations = operations(&mut rng, 3);
    let input = tensor(&mut rng, &[1, 3, 6, 4], Values::Reals);
    let prepared = Chain::new(context(), &operations).unwrap().prepare(input.shape(), Storage::F32).unwrap();
    let x = context().upload(&input, Storage::F32).unwrap();
    let y = output_buffer(&prepared);
    let bound = prepared.bind(x.slice(..), y.slice(..)).unwrap();
    let mut encoder = context().device().create_command_encoder(&Default::default());
    bound.encode(&mut encoder.begin_compute_pass(&Default::default()));
    context().queue().submit([encoder.finish()]);
    let expected = one_after_another(context(), &operations, &input);
    assert_eq!(context().download(&y, expected.shape(), Storage::F32).unwrap(), expected);
}

fn chains_and_inputs_that_do_not_fit_are_refused() {
    let mut rng = Rng::with_seed(34);
    assert!(matches!(Chain::new(context(), &[]), Err(Error::OutOfRange { given: 0, .. })));
    let mut swapped = operations(&mut rng, 2);
    while swapped[1].0.out_channels() == 3 {
        swapped = operations(&mut rng, 2);
    }
    swapped.reverse();
    assert!(matches!(Chain::new(context(), &swapped), Err(Error::Shape { .. })));
    let prepared =
        Chain::new(context(), &operations(&mut rng, 2)).unwrap().prepare(&[1, 3, 5, 6], Storage::F32).unwrap();
    let other = tensor(&mut rng, &[1, 3, 6, 5], Values::Reals);
    let refusal = prepared.run(&[other]).unwrap_err().to_string();
    assert_eq!(refusal, "input has shape [1, 3, 6, 5], expected [1, 3, 5, 6], for which the chain was prepared");
    assert!(matches!(prepared.run::<Tensor>(&[]), Err(Error::OutOfRange { .. })));
}

fn the_shipped_network_gives_what_is_expected() {
    let network = network();
    let input = network.pad(&picture("chelsea_67x45.png")).unwrap();
    let chain = network.on_gpu(context()).unwrap();
    let run = |storage: Storage| {
        let prepared = chain.prepare(input.shape(), storage).unwrap();
        network.trim(&prepared.run(std::slice::from_ref(&input)).unwrap()[0]).unwrap()
    };
    check(&run(Storage::F32), 1e-5);
    if context().profile().f16 {
        check(&run(Storage::F16), 2e-3);
    }
}

/// Both begin at multiples of the blocks in which wide layers are computed.
fn a_tile_has_the_bits_of_the_whole_picture() {
    let network = network();
    let picture = network.pad(&picture("chelsea_67x45.png")).unwrap();
    let (pixels, both) = (picture.to_f32(), network.border() + network.border_end());
    let &[_, _, height, width] = picture.shape() else { panic!() };
    let chain = network.on_gpu(context()).unwrap();
    let run = |top: usize, left: usize, h: usize, w: usize| {
        let rows = (0..3).flat_map(|c| (top..top + h + both).map(move |y| (c * height + y) * width + left));
        let tile: Vec<f32> = rows.flat_map(|first| &pixels[first..first + w + both]).copied().collect();
        let tile = Tensor::f32([1, 3, h + both, w + both], tile).unwrap();
        let prepared = chain.prepare(tile.shape(), Storage::F32).unwrap();
        let kernels = prepared.stages().iter().map(|stage| stage.plan().kernel());
        assert_eq!(kernels.filter(|&kernel| kernel == Kernel::Winograd).count(), 4);
        network.trim(&prepared.run(&[tile]).unwrap()[0]).unwrap().to_f32()
    };
    let (whole, tile) = (run(0, 0, 40, 64), run(16, 24, 12, 20));
    for (index, value) in tile.into_iter().enumerate() {
        let (channel, y, x) = (index / (24 * 40), index / 40 % 24, index % 40);
        let other = whole[(channel * 80 + 32 + y) * 128 + 48 + x];
        assert_eq!(value.to_bits(), other.to_bits(), "channel {channel}, row {y}, column {x}: {value}, {other}");
    }
}
