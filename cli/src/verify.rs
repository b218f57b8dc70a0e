//! `upconv verify`: every kernel against the reference, on every adapter and on the CPU.

use crate::info::all_adapters;
use anyhow::{Context as _, Result, ensure};
use serde::Serialize;
use upconv::gpu::{self, Context};
use upconv::reference::{self, Comparison, Expected};
use upconv::{Activation, ConvTranspose, DType, Error, Kernel, Layout, Storage, Tensor, WeightLayout, cpu};

/// The options of `verify`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only the adapters with this in their name, driver or backend; `cpu` is the CPU backend.
    #[arg(long, value_name = "SUBSTRING")]
    adapter: Option<String>,
    /// Check the kernel `matrix` too, where a device has cooperative matrices: an experimental feature of wgpu.
    #[arg(long)]
    cooperative_matrices: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// One operation with seeded data, and what the reference makes of it.
struct Case {
    name: &'static str,
    op: ConvTranspose,
    input: Tensor,
    weight: Tensor,
    bias: Tensor,
    expected: Expected,
}

/// One line of the report.
#[derive(Serialize)]
struct Row {
    device: String,
    case: &'static str,
    kernel: String,
    outputs: usize,
    /// The largest error as a share of what rounding may cause; at most 1.
    worst_share: f64,
    worst_error: f64,
    passed: bool,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let cases = cases()?;
    let report = check(devices(args)?, &cases, args.json);
    if args.json {
        println!("{}", serde_json::to_string_pretty(&report.rows)?);
    } else {
        println!("{} passed, {} failed", report.rows.len() - report.failed(), report.failed());
    }
    report.verdict()
}

/// What came of the checks.
#[derive(Default)]
struct Report {
    rows: Vec<Row>,
    /// Devices that could not be checked, or not to the end.
    broken: Vec<String>,
}

impl Report {
    fn failed(&self) -> usize {
        self.rows.iter().filter(|row| !row.passed).count()
    }

    fn verdict(&self) -> Result<()> {
        let (failed, all) = (self.failed(), self.rows.len());
        ensure!(self.broken.is_empty(), "{failed} of {all} checks failed, not checked: {}", self.broken.join("; "));
        ensure!(failed == 0, "{failed} of {all} checks failed");
        Ok(())
    }

    fn add(&mut self, device: &Device, cases: &[Case], quiet: bool) -> Result<()> {
        if !quiet {
            println!("{}", device.name());
        }
        for case in cases {
            for row in device.check(case).with_context(|| format!("{}, {}", device.name(), case.name))? {
                if !quiet {
                    let verdict = if row.passed { "ok" } else { "WRONG" };
                    println!(
                        "  {:<28} {:<8} {:>9} outputs   worst error {:>9.2e} = {:>5.1} % of its bound   {verdict}",
                        row.case,
                        row.kernel,
                        row.outputs,
                        row.worst_error,
                        row.worst_share * 100.0
                    );
                }
                self.rows.push(row);
            }
        }
        Ok(())
    }
}

/// Checks every case on every device. One that fails is told, and stops no other.
fn check(devices: Vec<Result<Device>>, cases: &[Case], quiet: bool) -> Report {
    let mut report = Report::default();
    for device in devices {
        if let Err(error) = device.and_then(|device| report.add(&device, cases, quiet)) {
            if !quiet {
                println!("  BROKEN: {error:#}");
            }
            report.broken.push(format!("{error:#}"));
        }
    }
    report
}

enum Device {
    Gpu(Context),
    Cpu,
}

fn devices(args: &Args) -> Result<Vec<Result<Device>>> {
    let mut devices: Vec<Result<Device>> = Vec::new();
    let open = match args.cooperative_matrices {
        true => Context::from_adapter_with_cooperative_matrices,
        false => Context::from_adapter,
    };
    for adapter in all_adapters() {
        devices.push(open(&adapter).map(Device::Gpu).map_err(Into::into));
    }
    devices.push(Ok(Device::Cpu));
    if let Some(wanted) = &args.adapter {
        // The error names the adapter that gave no device.
        let name = |device: &Result<Device>| device.as_ref().map_or_else(ToString::to_string, Device::name);
        let here: Vec<String> = devices.iter().map(name).collect();
        devices.retain(|device| name(device).to_lowercase().contains(&wanted.to_lowercase()));
        ensure!(!devices.is_empty(), "no device with {wanted:?} in its name; here are: {}", here.join(", "));
    }
    Ok(devices)
}

impl Device {
    fn name(&self) -> String {
        match self {
            Device::Gpu(context) => context.adapter_name(),
            Device::Cpu => "cpu backend".into(),
        }
    }

    /// One row for each kernel that accepts the case.
    fn check(&self, case: &Case) -> Result<Vec<Row>> {
        let results = match self {
            Device::Gpu(context) => {
                let mut results = case.on_gpu(context, Storage::F32, Kernel::ALL)?;
                if context.profile().matrices.is_some_and(|matrices| matrices.factors == Storage::F16) {
                    results.extend(case.halved()?.on_gpu(context, Storage::F16, &[Kernel::Matrix])?);
                }
                results
            }
            Device::Cpu => {
                let got = cpu::Layer::new(&case.op, &case.weight, Some(&case.bias))?.run(&case.input)?;
                vec![("cpu".to_string(), case.expected.compare(&got)?)]
            }
        };
        let row = |(kernel, comparison): (String, Comparison)| Row {
            device: self.name(),
            case: case.name,
            kernel,
            outputs: case.expected.value().len(),
            worst_share: comparison.worst_share,
            worst_error: comparison.worst_error,
            passed: comparison.passed(),
        };
        Ok(results.into_iter().map(row).collect())
    }
}

impl Case {
    /// Runs those of the kernels that accept the case into an output full of NaN, which an element that is not written would
    /// keep.
    fn on_gpu(&self, context: &Context, storage: Storage, kernels: &[Kernel]) -> Result<Vec<(String, Comparison)>> {
        let layer = gpu::Layer::new(context, &self.op, &self.weight, Some(&self.bias))?;
        let x = context.upload(&self.input, storage)?;
        let mut results = Vec::new();
        for &kernel in kernels {
            let prepared = match layer.prepare_with(self.input.shape(), storage, kernel) {
                Err(Error::Kernel { .. }) => continue,
                prepared => prepared?,
            };
            let shape = prepared.geometry().output_shape();
            let poison = Tensor::f32(shape.clone(), vec![f32::NAN; prepared.geometry().output_len()])?;
            let y = context.upload(&poison, storage)?;
            let mut encoder = context.device().create_command_encoder(&Default::default());
            prepared.encode(&mut encoder, x.slice(..), y.slice(..))?;
            context.queue().submit([encoder.finish()]);
            let got = context.download(&y, &shape, storage)?;
            let comparison = match kernel {
                Kernel::Winograd => self.expected.compare_winograd(&got)?,
                _ => self.expected.compare(&got)?,
            };
            results.push((kernel.to_string(), comparison));
        }
        Ok(results)
    }
}

/// Shapes that reach every part of every kernel, from the field's networks and from its odd corners.
fn cases() -> Result<Vec<Case>> {
    let op = ConvTranspose::builder;
    let relu = Activation::LeakyRelu { alpha: 0.1 };
    [
        (
            "dcgan, 4x4 to 8x8",
            op().in_channels(64).out_channels(32).kernel([4, 4]).stride([2, 2]).padding([1, 1]),
            &[2, 64, 4, 4][..],
        ),
        (
            "u-net, kernel = stride",
            op().in_channels(32).out_channels(16).kernel([2, 2]).stride([2, 2]),
            &[1, 32, 24, 24],
        ),
        (
            "fsrcnn, kernel 9",
            op().in_channels(12).kernel([9, 9]).stride([2, 2]).padding([4, 4]).output_padding([1, 1]),
            &[1, 12, 20, 33],
        ),
        (
            "fcn, kernel 64 stride 32",
            op().in_channels(3).out_channels(3).kernel([64, 64]).stride([32, 32]).padding([16, 16]),
            &[1, 3, 3, 4],
        ),
        ("hifigan, 1-D", op().in_channels(48).out_channels(24).kernel([16]).stride([8]).padding([4]), &[1, 48, 50]),
        (
            "depthwise",
            op().in_channels(24).out_channels(24).groups(24).kernel([4, 4]).stride([2, 2]).padding([1, 1]),
            &[1, 24, 17, 19],
        ),
        (
            "groups, multiplier 3",
            op().in_channels(4).out_channels(12).groups(4).kernel([3, 3]).stride([2, 1]),
            &[2, 4, 9, 7],
        ),
        (
            "3-D",
            op().in_channels(8).out_channels(6).kernel([4, 4, 4]).stride([2, 2, 2]).padding([1, 1, 1]),
            &[1, 8, 5, 6, 7],
        ),
        (
            "stride 1",
            op().in_channels(16).out_channels(16).kernel([3, 3]).padding([1, 1]).activation(relu),
            &[1, 16, 21, 21],
        ),
        (
            "dilation 6, stride 4",
            op().in_channels(3).out_channels(5).kernel([5, 3]).stride([4, 4]).dilation([6, 3]),
            &[1, 3, 7, 8],
        ),
        ("stride beyond the kernel", op().in_channels(2).out_channels(3).kernel([2, 1]).stride([5, 3]), &[2, 2, 6, 7]),
        (
            "channels last, uneven pads",
            op().in_channels(7)
                .out_channels(5)
                .kernel([3, 5])
                .stride([2, 3])
                .padding([(0, 2), (3, 1)])
                .layout(Layout::ChannelsLast)
                .weight_layout(WeightLayout::Hwoi),
            &[2, 11, 6, 7],
        ),
    ]
    .into_iter()
    .enumerate()
    .map(|(seed, (name, builder, shape))| Case::new(name, builder.build()?, shape, seed as u64))
    .collect()
}

impl Case {
    fn new(name: &'static str, op: ConvTranspose, shape: &[usize], seed: u64) -> Result<Self> {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut random = |shape: &[usize]| {
            let data: Vec<f32> = (0..shape.iter().product()).map(|_| rng.f32() * 2.0 - 1.0).collect();
            Tensor::f32(shape, data)
        };
        let (input, weight, bias) = (random(shape)?, random(&op.weight_shape())?, random(&[op.out_channels()])?);
        let expected = reference::conv_transpose(&op, &input, &weight, Some(&bias))?;
        Ok(Self { name, op, input, weight, bias, expected })
    }

    /// The same with input and weights that are numbers of f16, for matrices of f16.
    fn halved(&self) -> Result<Self> {
        let (input, weight, bias) = (self.input.cast(DType::F16), self.weight.cast(DType::F16), self.bias.clone());
        let expected = reference::conv_transpose(&self.op, &input, &weight, Some(&bias))?;
        Ok(Self { name: self.name, op: self.op.clone(), input, weight, bias, expected })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::anyhow;

    #[test]
    fn a_broken_device_stops_no_other() {
        let cases = &cases().unwrap()[..1];
        let report = check(vec![Err(anyhow!("adapter a gave no device")), Ok(Device::Cpu)], cases, true);
        assert_eq!((report.rows.len(), report.failed()), (1, 0));
        let verdict = report.verdict().unwrap_err().to_string();
        assert_eq!(verdict, "0 of 1 checks failed, not checked: adapter a gave no device");
        check(vec![Ok(Device::Cpu)], cases, true).verdict().unwrap();
    }
}
