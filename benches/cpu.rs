//! Times the CPU backend on ten workloads, each verified against the reference first.
//!
//! `cargo bench --bench cpu -- [--threads N] [--seconds S] [--json FILE] [--level scalar|avx2|avx512|neon] [--unchecked]
//! [NAME...]`, the names being the first words of those in the table
//!
//! A figure is the median of single runs of a warm layer: input and output are f32 tensors of the host, the output is
//! allocated anew by each run. GFLOP/s are the effective ones, two for each input element, tap and output channel of
//! its group, whether padding crops them or not.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a benchmark fails by panicking")]

use std::fmt::Write as _;
use std::time::{Duration, Instant};
use upconv::cpu::{Layer, Level};
use upconv::{Activation, ConvTranspose, Tensor, phase, reference};

struct Workload {
    name: &'static str,
    input: &'static [usize],
    out_channels: usize,
    kernel: usize,
    stride: usize,
    padding: i64,
    output_padding: usize,
    groups: usize,
}

const fn workload(
    name: &'static str,
    input: &'static [usize],
    out_channels: usize,
    [kernel, stride, padding]: [usize; 3],
) -> Workload {
    Workload { name, input, out_channels, kernel, stride, padding: padding as i64, output_padding: 0, groups: 1 }
}

/// The same ten as `peers/cpu.py`.
const WORKLOADS: [Workload; 10] = [
    workload("W1 dcgan early", &[16, 512, 4, 4], 256, [4, 2, 1]),
    workload("W2 dcgan late", &[16, 128, 16, 16], 64, [4, 2, 1]),
    workload("W3 unet up", &[1, 128, 128, 128], 64, [2, 2, 0]),
    Workload { output_padding: 1, ..workload("W4 fsrcnn last", &[1, 56, 256, 256], 1, [9, 2, 4]) },
    workload("W5 fcn bilinear", &[1, 21, 10, 15], 21, [64, 32, 16]),
    workload("W6 waifu2x last", &[1, 256, 128, 128], 3, [4, 2, 3]),
    workload("W7 hifigan 1D", &[1, 512, 200], 256, [16, 8, 4]),
    Workload { groups: 64, ..workload("W8 depthwise", &[1, 64, 128, 128], 64, [4, 2, 1]) },
    workload("W9 3D", &[1, 32, 16, 16, 16], 16, [4, 2, 1]),
    workload("W10 stride 1", &[1, 64, 64, 64], 64, [3, 1, 1]),
];

/// The seven layers of the waifu2x network `upconv_7` at 256 × 256 with its border, all but the last with a leaky `ReLU`:
/// run where they are named. A convolution without padding is a transposed one of stride 1 with padding 2.
const NETWORK: [Workload; 7] = [
    workload("N1", &[1, 3, 270, 270], 16, [3, 1, 2]),
    workload("N2", &[1, 16, 268, 268], 32, [3, 1, 2]),
    workload("N3", &[1, 32, 266, 266], 64, [3, 1, 2]),
    workload("N4", &[1, 64, 264, 264], 128, [3, 1, 2]),
    workload("N5", &[1, 128, 262, 262], 128, [3, 1, 2]),
    workload("N6", &[1, 128, 260, 260], 256, [3, 1, 2]),
    workload("N7", &[1, 256, 258, 258], 3, [4, 2, 3]),
];

/// Numbers between −1 and 1 that `peers/cpu.py` makes too: the upper bits of a multiplicative hash of the index.
fn tensor(shape: &[usize], seed: u32) -> Tensor {
    let value = |i: usize| {
        let hash = (i as u32).wrapping_add(seed).wrapping_mul(2_654_435_761);
        (hash >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    Tensor::f32(shape, (0..shape.iter().product()).map(value).collect::<Vec<_>>()).unwrap()
}

/// The time that all threads of this process have run, in milliseconds, where Linux tells: what a busy machine does not
/// disturb.
fn busy_ms() -> f64 {
    let threads = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let nanoseconds = threads.filter_map(|thread| {
        let statistics = std::fs::read_to_string(thread.path().join("schedstat")).ok()?;
        statistics.split(' ').next()?.parse::<f64>().ok()
    });
    nanoseconds.sum::<f64>() / 1e6
}

fn main() {
    let mut threads = std::thread::available_parallelism().map_or(1, usize::from);
    let mut seconds = 1.0;
    let (mut json, mut level, mut checked, mut names) = (None, Level::best(), true, Vec::new());
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().unwrap_or_else(|| panic!("{argument} needs a value"));
        match &argument[..] {
            "--threads" => threads = value().parse().unwrap(),
            "--seconds" => seconds = value().parse().unwrap(),
            "--json" => json = Some(value()),
            "--unchecked" => checked = false,
            "--level" => {
                let name = value();
                let named = |level: &Level| format!("{level:?}").eq_ignore_ascii_case(&name);
                level = Level::ALL.into_iter().find(named).unwrap_or_else(|| panic!("no level {name}"));
            }
            "--bench" => {}
            _ => names.push(argument),
        }
    }
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    println!("{threads} threads, {level:?}");
    println!(
        "{:<18} {:>9} {:>9} {:>9} {:>12} {:>10}",
        "", "first ms", "median ms", "GFLOP/s", "scratch KiB", "of bound"
    );
    let mut report = String::new();
    let named = |workload: &&Workload| names.iter().any(|name| workload.name.split(' ').next() == Some(name));
    let network = NETWORK.iter().filter(named);
    for workload in WORKLOADS.iter().filter(|workload| names.is_empty() || named(workload)).chain(network) {
        let activation = match workload.name {
            name if name.starts_with('N') && name != "N7" => Activation::LeakyRelu { alpha: 0.1 },
            _ => Activation::None,
        };
        let rank = workload.input.len() - 2;
        let op = ConvTranspose::builder()
            .in_channels(workload.input[1])
            .out_channels(workload.out_channels)
            .groups(workload.groups)
            .kernel(vec![workload.kernel; rank])
            .stride(vec![workload.stride; rank])
            .padding(vec![workload.padding; rank])
            .output_padding(vec![workload.output_padding; rank])
            .activation(activation)
            .build()
            .unwrap();
        let geometry = op.at(workload.input).unwrap();
        let input = tensor(workload.input, 1);
        let weight = tensor(&op.weight_shape(), 2);
        let bias = tensor(&[workload.out_channels], 3);
        let layer = Layer::with_level(&op, &weight, Some(&bias), level).unwrap();
        let run = || pool.install(|| layer.run(&input)).unwrap();
        let start = Instant::now();
        let first = run();
        let first_ms = start.elapsed().as_secs_f64() * 1e3;
        let share = checked.then(|| {
            let expected = reference::conv_transpose(&op, &input, &weight, Some(&bias)).unwrap();
            let comparison = expected.compare(&first).unwrap();
            assert!(comparison.passed(), "{}: {comparison:?}", workload.name);
            comparison.worst_share
        });
        let mut times = Vec::new();
        let (begin, busy) = (Instant::now(), busy_ms());
        while times.len() < 5 || begin.elapsed() < Duration::from_secs_f64(seconds) {
            let start = Instant::now();
            let output = run();
            times.push(start.elapsed().as_secs_f64() * 1e3);
            drop(output);
        }
        let busy = (busy_ms() - busy) / times.len() as f64;
        times.sort_by(f64::total_cmp);
        let ms = times[times.len() / 2];
        let flop = 2.0 * phase::effective_multiply_adds(op.axes3(), &geometry, op.groups()) as f64;
        let gflops = flop / ms / 1e6;
        println!(
            "{:<18} {first_ms:>9.2} {:>9.3} {ms:>9.3} {busy:>9.3} {gflops:>9.1} {:>12} {:>10}",
            workload.name,
            times[0],
            layer.scratch_bytes() >> 10,
            share.map_or("unchecked".into(), |share| format!("{share:.4}")),
        );
        let sum: f64 = first.to_f64().iter().map(|v| v.abs()).sum();
        let comma = if report.is_empty() { "" } else { ",\n" };
        write!(
            report,
            "{comma}  \"{}\": {{\"ms\": {ms}, \"least_ms\": {}, \"gflops\": {gflops}, \"sum_of_magnitudes\": {sum}}}",
            workload.name, times[0]
        )
        .unwrap();
    }
    if let Some(path) = json {
        std::fs::write(path, format!("{{\n{report}\n}}\n")).unwrap();
    }
}
