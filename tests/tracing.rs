//! Spans arrive at a subscriber, with their fields (feature `tracing`).

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "common/device.rs"]
mod device;

use std::fmt::{Debug, Write};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};
use upconv::gpu::{Graph, Layer, Request};
use upconv::{ConvTranspose, DeviceProfile, Kernel, Storage, Tensor, graph, wgpu};

fn main() -> ExitCode {
    device::run(&[
        ("spans_tell_what_takes_time", spans_tell_what_takes_time),
        ("a_graph_is_submitted_in_pieces", a_graph_is_submitted_in_pieces),
        ("a_wait_is_for_its_own_submission", a_wait_is_for_its_own_submission),
    ])
}

/// What is done when a span of this name begins.
type AtSpan = dyn Fn(&str) + Send + Sync;

/// Notes each span of `upconv` as a line: its name and its fields.
#[derive(Clone, Default)]
struct Notes {
    lines: Arc<Mutex<Vec<String>>>,
    /// Called at each span's beginning, with its name.
    at: Option<Arc<AtSpan>>,
}

struct Fields<'a>(&'a mut String);

impl Visit for Fields<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        write!(self.0, " {field}={value:?}").unwrap();
    }
}

impl Subscriber for Notes {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "upconv"
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let mut line = span.metadata().name().to_string();
        span.record(&mut Fields(&mut line));
        if let Some(at) = &self.at {
            at(span.metadata().name());
        }
        let mut lines = self.lines.lock().unwrap();
        lines.push(line);
        Id::from_u64(lines.len() as u64)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, _: &Event<'_>) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

fn spans_tell_what_takes_time() {
    let context = device::fresh_context();
    let op = ConvTranspose::builder().in_channels(2).out_channels(2).kernel([3]).build().unwrap();
    let weight = Tensor::f32(op.weight_shape(), vec![1.0; 12]).unwrap();
    let input = Tensor::f32([1, 2, 8], vec![1.0; 16]).unwrap();
    let notes = Notes::default();
    tracing::subscriber::with_default(notes.clone(), || {
        let layer = Layer::new(&context, &op, &weight, None).unwrap();
        layer.prepare(&[1, 2, 8], Request::new(Storage::F32).kernel(Kernel::Direct)).unwrap().warm_up().unwrap();
        layer.run(&input).unwrap();
        let graph = Graph::new(&context, &graph::Graph::of_layers(&[(op, weight, None)]).unwrap()).unwrap();
        graph.prepare(&[[1, 2, 8]], Storage::F32).unwrap().run(&[input]).unwrap();
    });
    let lines = notes.lines.lock().unwrap();
    for expected in [
        "pack shape=[2, 2, 3] bytes=48",
        "prepare shape=[1, 2, 8] storage=F32",
        "compile kernel=\"direct\"",
        "pack kernel=\"direct\"",
        "warm up kernel=\"direct\"",
        "bind kernel=\"gather\" dispatches=1",
        "run shape=[1, 2, 8]",
        "upload shape=[1, 2, 8] bytes=64",
        "compile kernel=\"whole\"",
        "submit label=\"upconv layer\" dispatches=1",
        "read back bytes=80",
        "wait",
        "take bytes=80",
        "run graph steps=1",
    ] {
        assert!(lines.iter().any(|line| line.starts_with(expected)), "{expected:?} is missing in {lines:#?}");
    }
}

/// The graph's multiply-adds exceed what one submission may have; each of its layers stays below.
fn a_graph_is_submitted_in_pieces() {
    let layer = || {
        let op =
            ConvTranspose::builder().in_channels(4).out_channels(4).kernel([3, 3]).padding([1, 1]).build().unwrap();
        let weight =
            Tensor::f32(op.weight_shape(), (0..144).map(|w| (w % 7) as f32 - 3.0).collect::<Vec<_>>()).unwrap();
        (op, weight, None)
    };
    let input = Tensor::f32([1, 4, 10, 10], (0..400).map(|x| (x % 5) as f32).collect::<Vec<_>>()).unwrap();
    let each = 10 * 10 * 4 * 4 * 9;
    let submissions = |most: u64| {
        let context = device::context();
        let context = context.limited(DeviceProfile { max_multiply_adds: most, ..context.profile().clone() });
        let graph = graph::Graph::of_layers(&[layer(), layer(), layer()]).unwrap();
        let prepared = Graph::new(&context, &graph).unwrap().prepare(&[input.shape()], Storage::F32).unwrap();
        let notes = Notes::default();
        let run = || prepared.run(std::slice::from_ref(&input)).unwrap();
        let made = tracing::subscriber::with_default(notes.clone(), run);
        let lines = notes.lines.lock().unwrap();
        (lines.iter().filter(|line| line.starts_with("submit label=\"upconv graph\"")).count(), made)
    };
    let (whole, expected) = submissions(1 << 36);
    assert_eq!(whole, 1);
    for (most, least) in [(2 * each, 2), (each, 3), (each / 4, 12)] {
        let (pieces, made) = submissions(most);
        assert!(pieces >= least, "{pieces} submissions of at most {most} multiply-adds");
        assert_eq!(made, expected);
    }
}

/// What is submitted later, here by whoever sees that the wait begins, takes its time after it.
fn a_wait_is_for_its_own_submission() {
    let context = device::fresh_context();
    if context.device().adapter_info().backend != wgpu::Backend::Vulkan {
        eprintln!("not tested: another backend may compute what is submitted before it returns");
        return;
    }
    let layer = |channels: usize| {
        let op = ConvTranspose::builder().in_channels(channels).out_channels(channels).kernel([5, 5]).build().unwrap();
        let weight = vec![1.0; channels * channels * 25];
        Layer::new(&context, &op, &Tensor::f32(op.weight_shape(), weight).unwrap(), None).unwrap()
    };
    let (small, large) = (layer(1), layer(128));
    let prepared = large.prepare(&[1, 128, 64, 64], Storage::F32).unwrap();
    let buffer = |size: u64| {
        let usage = wgpu::BufferUsages::STORAGE;
        context.device().create_buffer(&wgpu::BufferDescriptor { label: None, size, usage, mapped_at_creation: false })
    };
    let (x, y) = (buffer(prepared.input_bytes()), buffer(prepared.output_bytes()));
    let bound = prepared.bind(x.slice(..), y.slice(..)).unwrap();
    let input = Tensor::f32([1, 1, 8, 8], vec![1.0; 64]).unwrap();
    small.run(&input).unwrap();
    prepared.warm_up().unwrap();

    let done = Arc::new(AtomicBool::new(false));
    let late = {
        let (context, done) = (context.clone(), done.clone());
        move |name: &str| {
            if name == "wait" {
                let mut encoder = context.device().create_command_encoder(&Default::default());
                (0..4).for_each(|_| bound.encode(&mut encoder.begin_compute_pass(&Default::default())));
                context.queue().submit([encoder.finish()]);
                let done = done.clone();
                context.queue().on_submitted_work_done(move || done.store(true, Ordering::Relaxed));
            }
        }
    };
    let notes = Notes { at: Some(Arc::new(late)), ..Notes::default() };
    tracing::subscriber::with_default(notes, || small.run(&input).unwrap());
    assert!(!done.load(Ordering::Relaxed), "the run waited for what was submitted after it");
    context.device().poll(wgpu::PollType::wait_indefinitely()).unwrap();
    assert!(done.load(Ordering::Relaxed));
}
