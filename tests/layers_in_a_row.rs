//! Layers one after another as graphs on a device, and the shipped network as one.
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
use upconv::gpu::{Context, Graph, Layer, PreparedGraph};
use upconv::{Activation, ConvTranspose, DeviceProfile, Error, Kernel, Storage, Tensor, graph, wgpu};

fn main() -> ExitCode {
    device::run(&[
        ("a_graph_is_its_layers_one_after_another", a_graph_is_its_layers_one_after_another),
        ("graphs_share_what_stands_between_their_layers", graphs_share_what_stands_between_their_layers),
        ("a_graph_is_timed_layer_by_layer_and_cut_into_pieces", a_graph_is_timed_layer_by_layer_and_cut_into_pieces),
        ("runs_overlap_and_keep_their_order", runs_overlap_and_keep_their_order),
        ("runs_of_one_graph_do_not_mix", runs_of_one_graph_do_not_mix),
        ("a_graph_is_recorded_into_the_callers_pass", a_graph_is_recorded_into_the_callers_pass),
        ("layers_and_inputs_that_do_not_fit_are_refused", layers_and_inputs_that_do_not_fit_are_refused),
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

fn on_gpu(context: &Context, operations: &Operations) -> Graph {
    Graph::new(context, &graph::Graph::of_layers(operations).unwrap()).unwrap()
}

/// Runs with several inputs in turn.
fn run_all(prepared: &PreparedGraph, inputs: &[Tensor]) -> Vec<Tensor> {
    inputs.iter().map(|input| prepared.run(std::slice::from_ref(input)).unwrap().remove(0)).collect()
}

fn one_after_another(context: &Context, operations: &Operations, input: &Tensor) -> Tensor {
    operations.iter().fold(input.clone(), |x, (op, weight, bias)| {
        Layer::new(context, op, weight, bias.as_ref()).unwrap().run(&x).unwrap()
    })
}

fn a_graph_is_its_layers_one_after_another() {
    let mut rng = Rng::with_seed(31);
    // Limits that cut each layer into several dispatches, some with sums that are carried on.
    let small =
        DeviceProfile { max_binding: 4096, max_workgroups: 16, binding_alignment: 256, ..context().profile().clone() };
    let limited = Context::with_profile(context().device().clone(), context().queue().clone(), small);
    for context in [context(), &limited] {
        for layers in 1..=5 {
            let operations = operations(&mut rng, layers);
            let input = tensor(&mut rng, &[1, 3, 9, 11], Values::Reals);
            let prepared = on_gpu(context, &operations).prepare(&[input.shape()], Storage::F32).unwrap();
            let made = prepared.run(std::slice::from_ref(&input)).unwrap();
            assert_eq!(made, [one_after_another(context, &operations, &input)], "{layers} layers");
        }
    }
}

/// Of many sizes, bound and recorded side by side: they have no more between their layers than the largest needs.
fn graphs_share_what_stands_between_their_layers() {
    let context = fresh_context();
    let mut rng = Rng::with_seed(36);
    let operations = operations(&mut rng, 4);
    let chain = on_gpu(&context, &operations);
    let inputs: Vec<Tensor> =
        (0..12).map(|number| tensor(&mut rng, &[1, 3, 6 + number % 5, 30 - 2 * number], Values::Reals)).collect();
    let prepared: Vec<PreparedGraph> =
        inputs.iter().map(|input| chain.prepare(&[input.shape()], Storage::F32).unwrap()).collect();
    let largest = prepared.iter().map(PreparedGraph::between_bytes).max().unwrap();
    let all: u64 = prepared.iter().map(PreparedGraph::between_bytes).sum();
    let mut encoder = context.device().create_command_encoder(&Default::default());
    let mut outputs = Vec::new();
    {
        let mut pass = encoder.begin_compute_pass(&Default::default());
        for (chain, input) in prepared.iter().zip(&inputs) {
            let x = context.upload(input, Storage::F32).unwrap();
            let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC;
            let size = chain.output_bytes(0);
            let descriptor = wgpu::BufferDescriptor { label: None, size, usage, mapped_at_creation: false };
            let y = context.device().create_buffer(&descriptor);
            chain.bind(&[x.slice(..)], &[y.slice(..)]).unwrap().encode(&mut pass);
            outputs.push(y);
        }
    }
    context.queue().submit([encoder.finish()]);
    for ((chain, input), y) in prepared.iter().zip(&inputs).zip(&outputs) {
        let got = context.download(y, chain.output_shape(0), Storage::F32).unwrap();
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
    let small = chain.prepare(&[[1, 3, 5, 5]], Storage::F32).unwrap();
    assert_eq!(small.shared_bytes(), 0);
}

fn a_graph_is_timed_layer_by_layer_and_cut_into_pieces() {
    let mut rng = Rng::with_seed(37);
    let operations = operations(&mut rng, 3);
    let input = tensor(&mut rng, &[1, 3, 9, 11], Values::Reals);
    let expected = one_after_another(context(), &operations, &input);
    // Every layer is more than one submission may do.
    let slow = context().limited(DeviceProfile { max_multiply_adds: 2000, ..context().profile().clone() });
    let prepared = on_gpu(&slow, &operations).prepare(&[input.shape()], Storage::F32).unwrap();
    prepared.warm_up().unwrap();
    let x = slow.upload(&input, Storage::F32).unwrap();
    let y = slow.upload(&Tensor::f32(expected.shape(), vec![f32::NAN; expected.data().len()]).unwrap(), Storage::F32);
    let y = y.unwrap();
    let bound = prepared.bind(&[x.slice(..)], &[y.slice(..)]).unwrap();
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
    let prepared = on_gpu(context(), &operations).prepare(&[[1, 3, 5, 6]], Storage::F32).unwrap();
    assert_eq!(run_all(&prepared, &inputs), expected);
    // Two are under way while a third is dropped, and their buffers serve again.
    let first = prepared.start(&inputs[..1]).unwrap();
    let second = prepared.start(&inputs[3..4]).unwrap();
    drop(prepared.start(&inputs[6..]).unwrap());
    assert_eq!(second.wait().unwrap(), expected[3..4]);
    assert_eq!(first.wait().unwrap(), expected[..1]);
    assert_eq!(run_all(&prepared, &inputs[4..7]), expected[4..7]);
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
fn runs_of_one_graph_do_not_mix() {
    let mut rng = Rng::with_seed(34);
    let operations = operations(&mut rng, 4);
    let inputs: Vec<Tensor> = (0..16).map(|_| tensor(&mut rng, &[1, 3, 20, 20], Values::Reals)).collect();
    let expected: Vec<Tensor> = inputs.iter().map(|input| one_after_another(context(), &operations, input)).collect();
    let low = context().limited(DeviceProfile { max_multiply_adds: 100_000, ..context().profile().clone() });
    let prepared = on_gpu(&low, &operations).prepare(&[inputs[0].shape()], Storage::F32).unwrap();
    let x = context().upload(&inputs[0], Storage::F32).unwrap();
    let y = output_buffer(&prepared);
    let recorded = prepared.bind(&[x.slice(..)], &[y.slice(..)]).unwrap();
    std::thread::scope(|scope| {
        let runs: Vec<_> = inputs
            .chunks(2)
            .zip(expected.chunks(2))
            .map(|(pair, expected)| {
                let prepared = &prepared;
                scope.spawn(move || {
                    for _ in 0..10 {
                        assert_eq!(run_all(prepared, pair), expected);
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

fn output_buffer(prepared: &PreparedGraph) -> wgpu::Buffer {
    context().device().create_buffer(&wgpu::BufferDescriptor {
        label: None,
        size: prepared.output_bytes(0),
        usage: wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC,
        mapped_at_creation: false,
    })
}

fn a_graph_is_recorded_into_the_callers_pass() {
    let mut rng = Rng::with_seed(33);
    let operations = operations(&mut rng, 3);
    let input = tensor(&mut rng, &[1, 3, 6, 4], Values::Reals);
    let prepared = on_gpu(context(), &operations).prepare(&[input.shape()], Storage::F32).unwrap();
    let x = context().upload(&input, Storage::F32).unwrap();
    let y = output_buffer(&prepared);
    let bound = prepared.bind(&[x.slice(..)], &[y.slice(..)]).unwrap();
    let mut encoder = context().device().create_command_encoder(&Default::default());
    bound.encode(&mut encoder.begin_compute_pass(&Default::default()));
    context().queue().submit([encoder.finish()]);
    let expected = one_after_another(context(), &operations, &input);
    assert_eq!(context().download(&y, expected.shape(), Storage::F32).unwrap(), expected);
}

fn layers_and_inputs_that_do_not_fit_are_refused() {
    let mut rng = Rng::with_seed(34);
    assert!(matches!(graph::Graph::of_layers(&[]), Err(Error::OutOfRange { given: 0, .. })));
    let mut swapped = operations(&mut rng, 2);
    while swapped[1].0.out_channels() == 3 {
        swapped = operations(&mut rng, 2);
    }
    swapped.reverse();
    assert!(matches!(graph::Graph::of_layers(&swapped), Err(Error::Graph { .. })));
    let prepared = on_gpu(context(), &operations(&mut rng, 2)).prepare(&[[1, 3, 5, 6]], Storage::F32).unwrap();
    let other = tensor(&mut rng, &[1, 3, 6, 5], Values::Reals);
    let refusal = prepared.run(&[other]).unwrap_err().to_string();
    assert_eq!(refusal, "input has shape [1, 3, 6, 5], expected [1, 3, 5, 6], for which the graph was prepared");
    assert!(matches!(prepared.run::<Tensor>(&[]), Err(Error::OutOfRange { .. })));
}

fn the_shipped_network_gives_what_is_expected() {
    let network = network();
    let input = network.pad(&picture("chelsea_67x45.png")).unwrap();
    let graph = network.on_gpu(context()).unwrap();
    let run = |storage: Storage| {
        let prepared = graph.prepare(&[input.shape()], storage).unwrap();
        network.trim(&prepared.run(std::slice::from_ref(&input)).unwrap()[0], [45, 67]).unwrap()
    };
    check(&run(Storage::F32), 1e-5);
    if context().profile().f16 {
        check(&run(Storage::F16), 2e-3);
    }
}

/// Wide layers are computed in blocks, in whatever tile.
fn a_tile_has_the_bits_of_the_whole_picture() {
    let network = network();
    let input = network.pad(&picture("chelsea_67x45.png")).unwrap();
    let graph = network.on_gpu(context()).unwrap();
    let run = |rows: std::ops::Range<usize>, columns: std::ops::Range<usize>| {
        let wanted = network.wanted(&rows, &columns).unwrap();
        let prepared = graph.prepare_part(&[input.shape()], &[], std::slice::from_ref(&wanted), Storage::F32).unwrap();
        let kernels = prepared.layers().map(|layer| layer.plan().kernel());
        assert_eq!(kernels.filter(|&kernel| kernel == Kernel::Winograd).count(), 4);
        let region = |region: &graph::Region| {
            common::parts::cut(&(input.shape().to_vec(), input.to_f32()), &region.begin, &region.shape)
        };
        let made = prepared.run(&prepared.inputs().map(region).collect::<Vec<_>>()).unwrap().remove(0);
        let begin: Vec<usize> = prepared.outputs().next().unwrap().begin.clone();
        let first: Vec<usize> = wanted.1.iter().zip(&begin).map(|(range, begin)| range.start - begin).collect();
        let shape = [1, 3, wanted.1[0].len(), wanted.1[1].len()];
        common::parts::cut(&(made.shape().to_vec(), made.to_f32()), &first, &shape).to_f32()
    };
    let (whole, tile) = (run(0..45, 0..67), run(17..29, 23..43));
    for (index, value) in tile.into_iter().enumerate() {
        let (channel, y, x) = (index / (24 * 40), index / 40 % 24, index % 40);
        let other = whole[(channel * 90 + 34 + y) * 134 + 46 + x];
        assert_eq!(value.to_bits(), other.to_bits(), "channel {channel}, row {y}, column {x}: {value}, {other}");
    }
}
