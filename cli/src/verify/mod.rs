//! `upconv verify`: every kernel, and the gradients, against the reference, on every adapter and on the CPU.

mod case;
mod loops;

use crate::device::all_adapters;
use crate::output::{Lines, say};
use anyhow::{Context as _, Result, ensure};
use case::{Case, cases};
use serde::Serialize;
use upconv::gpu::{self, Context};
use upconv::reference::Comparison;
use upconv::{Kernel, Storage};

/// The options of `verify`.
#[derive(clap::Args, Default)]
pub(crate) struct Args {
    /// Check only the adapter with this number in `upconv info`, or those whose name, driver or backend contains this;
    /// `cpu` is the CPU backend.
    #[arg(long, value_name = "NUMBER|SUBSTRING")]
    adapter: Option<String>,
    /// Check the kernel `matrix` too, where a device has cooperative matrices: an experimental feature of wgpu.
    #[arg(long)]
    cooperative_matrices: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
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
    let mut lines = Lines::default();
    let report = check(devices(args)?, &cases, if args.json { None } else { Some(&mut lines) });
    lines.end()?;
    if args.json {
        say!("{}", serde_json::to_string_pretty(&report.rows)?)?;
    } else {
        say!("{} passed, {} failed", report.rows.len() - report.failed(), report.failed())?;
    }
    report.verdict()
}

/// The report on the adapters that this names, or on all of them and the CPU, as JSON.
pub(crate) fn as_json(adapter: Option<String>) -> Result<String> {
    let args = Args { adapter, ..Args::default() };
    Ok(serde_json::to_string(&check(devices(&args)?, &cases()?, None))?)
}

/// The results of the checks.
#[derive(Default, Serialize)]
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

    fn add(&mut self, device: &Device, cases: &[Case], lines: &mut Option<&mut Lines>) -> Result<()> {
        let mut print = |line: String| {
            if let Some(lines) = lines {
                lines.print(&line);
            }
            // Who no longer reads the lines waits for no verdict.
            lines.as_ref().is_none_or(|lines| !lines.failed())
        };
        print(format!("{}\n", device.name()));
        if let Device::Gpu(context) = device
            && let Some(bound) = loops::check(context).with_context(|| device.name())?
        {
            print(format!("  {bound}\n"));
        }
        for case in cases {
            for row in device.check(case).with_context(|| format!("{}, {}", device.name(), case.name))? {
                let verdict = if row.passed { "ok" } else { "WRONG" };
                let read = print(format!(
                    "  {:<28} {:<8} {:>9} outputs   worst error {:>9.2e} = {:>5.1} % of its bound   {verdict}\n",
                    row.case,
                    row.kernel,
                    row.outputs,
                    row.worst_error,
                    row.worst_share * 100.0
                ));
                self.rows.push(row);
                if !read {
                    return Ok(());
                }
            }
        }
        Ok(())
    }
}

/// Checks every case on every device, with a line for each result as long as they can be printed. A device that fails is
/// reported, and does not stop the others.
fn check(devices: Vec<Result<Device>>, cases: &[Case], mut lines: Option<&mut Lines>) -> Report {
    let mut report = Report::default();
    for device in devices {
        if lines.as_ref().is_some_and(|lines| lines.failed()) {
            break;
        }
        if let Err(error) = device.and_then(|device| report.add(&device, cases, &mut lines)) {
            if let Some(lines) = &mut lines {
                lines.print(&format!("  BROKEN: {error:#}\n"));
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
    // Whatever adapters in software say of themselves.
    if args.adapter.as_deref().is_some_and(|wanted| wanted.eq_ignore_ascii_case("cpu")) {
        return Ok(vec![Ok(Device::Cpu)]);
    }
    let open = match args.cooperative_matrices {
        true => Context::from_adapter_with_cooperative_matrices,
        false => Context::from_adapter,
    };
    for adapter in all_adapters()? {
        devices.push(open(&adapter).map(Device::Gpu).map_err(Into::into));
    }
    devices.push(Ok(Device::Cpu));
    if let Some(wanted) = &args.adapter {
        // The error names the adapter that gave no device.
        let name = |device: &Result<Device>| device.as_ref().map_or_else(ToString::to_string, Device::name);
        let here: Vec<String> = devices.iter().map(name).collect();
        let number = gpu::adapter_number(wanted).filter(|&number| number + 1 < devices.len());
        match number {
            Some(number) => devices = vec![devices.swap_remove(number)],
            None => devices.retain(|device| name(device).to_lowercase().contains(&wanted.to_lowercase())),
        }
        ensure!(
            !devices.is_empty(),
            "no device has {wanted:?} in its name, driver or backend; there are: {}",
            here.join(", ")
        );
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

    /// One row for each kernel that accepts the case, and one for each of its gradients.
    fn check(&self, case: &Case) -> Result<Vec<Row>> {
        let results = match self {
            Device::Gpu(context) => {
                let mut results = case.on_gpu(context, Storage::F32, Kernel::ALL)?;
                if context.profile().matrices.is_some_and(|matrices| matrices.factors == Storage::F16) {
                    results.extend(case.halved()?.on_gpu(context, Storage::F16, &[Kernel::Matrix])?);
                }
                results
            }
            Device::Cpu => vec![("cpu".to_string(), case.on_cpu()?)],
        };
        let row = |kernel: String, outputs: usize, comparison: Comparison| Row {
            device: self.name(),
            case: case.name,
            kernel,
            outputs,
            worst_share: comparison.worst_share,
            worst_error: comparison.worst_error,
            passed: comparison.passed(),
        };
        let outputs = case.expected.value().len();
        let mut rows: Vec<Row> =
            results.into_iter().map(|(kernel, comparison)| row(kernel, outputs, comparison)).collect();
        for (name, expected, got) in case.gradients(self)? {
            rows.push(row(name.into(), expected.value().len(), expected.compare(&got)?));
        }
        Ok(rows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::anyhow;

    #[test]
    fn a_broken_device_stops_no_other() {
        let cases = &cases().unwrap()[..1];
        let report = check(vec![Err(anyhow!("adapter a gave no device")), Ok(Device::Cpu)], cases, None);
        assert_eq!((report.rows.len(), report.failed()), (4, 0), "the output and three gradients");
        let verdict = report.verdict().unwrap_err().to_string();
        assert_eq!(verdict, "0 of 4 checks failed, not checked: adapter a gave no device");
        check(vec![Ok(Device::Cpu)], cases, None).verdict().unwrap();
    }
}
