//! Spans arrive at a subscriber, with their fields (feature `tracing`).

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "common/device.rs"]
mod device;

use std::fmt::{Debug, Write};
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};
use upconv::gpu::{Chain, Layer};
use upconv::{ConvTranspose, Kernel, Storage, Tensor};

fn main() -> ExitCode {
    device::run(&[("spans_tell_what_takes_time", spans_tell_what_takes_time)])
}

/// Notes each span of `upconv` as a line: its name and its fields.
#[derive(Clone, Default)]
struct Notes(Arc<Mutex<Vec<String>>>);

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
        let mut lines = self.0.lock().unwrap();
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
        layer.prepare_with(&[1, 2, 8], Storage::F32, Kernel::Direct).unwrap().warm_up().unwrap();
        layer.run(&input).unwrap();
        let chain = Chain::new(&context, &[(op, weight, None)]).unwrap();
        chain.prepare(&[1, 2, 8], Storage::F32).unwrap().run(&[input]).unwrap();
    });
    let lines = notes.0.lock().unwrap();
    for expected in [
        "pack shape=[2, 2, 3] bytes=48",
        "prepare shape=[1, 2, 8] storage=F32",
        "compile kernel=\"direct\"",
        "pack kernel=\"direct\"",
        "warm up kernel=\"direct\"",
        "bind kernel=\"direct\" dispatches=1",
        "run shape=[1, 2, 8]",
        "upload shape=[1, 2, 8] bytes=64",
        "compile kernel=\"whole\"",
        "submit label=\"upconv layer\" dispatches=1",
        "read back bytes=80",
        "wait",
        "take bytes=80",
        "run chain shape=[1, 2, 8] inputs=1 layers=1",
    ] {
        assert!(lines.iter().any(|line| line.starts_with(expected)), "{expected:?} is missing in {lines:#?}");
    }
}
