//! `upconv info`: the adapters of this machine and what upconv knows of them.

use crate::device::all_adapters;
use crate::output::{print, say};
use anyhow::Result;
use serde::Serialize;
use upconv::{DeviceClass, wgpu};

/// The options of `info`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Info {
    version: &'static str,
    cpu_threads: usize,
    adapters: Vec<Adapter>,
}

#[derive(Serialize)]
struct Adapter {
    /// What `--adapter` takes.
    number: usize,
    name: String,
    backend: String,
    device_type: String,
    driver: String,
    /// The class of devices that its kernels are planned for.
    class: String,
    /// Where the device is plugged in, which tells equal devices apart; empty where that is not known.
    pci_bus: String,
    /// Whether `--device auto` may choose it.
    auto: bool,
    /// Whether f16 tensors stay f16; otherwise they are stored as f32.
    f16: bool,
    max_binding_bytes: u64,
    max_buffer_bytes: u64,
    max_workgroups: u32,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let adapters = all_adapters()?;
    let info = Info {
        version: env!("CARGO_PKG_VERSION"),
        cpu_threads: std::thread::available_parallelism().map_or(1, usize::from),
        adapters: adapters.iter().enumerate().map(describe).collect(),
    };
    if args.json {
        return say!("{}", serde_json::to_string_pretty(&info)?);
    }
    print(&text(&info))
}

/// The list for people.
fn text(info: &Info) -> String {
    let mut text = String::new();
    let mut line = |line: String| text += &(line + "\n");
    line(format!("upconv {}, {} CPU threads", info.version, info.cpu_threads));
    for adapter in &info.adapters {
        let Adapter { number, name, backend, device_type, driver, .. } = adapter;
        line(format!("\nadapter {number}: {name} ({backend}, {device_type}, {driver})"));
        if !adapter.pci_bus.is_empty() {
            line(format!("  PCI              {}", adapter.pci_bus));
        }
        line(format!("  planned for as   {}", adapter.class));
        line(format!("  --device auto    {}", if adapter.auto { "uses it" } else { "skips it: a software device" }));
        line(format!(
            "  f16 tensors      {}",
            if adapter.f16 { "stored as f16" } else { "converted to f32 on upload" }
        ));
        line(format!("  largest binding  {} MiB", adapter.max_binding_bytes >> 20));
        line(format!("  largest buffer   {} MiB", adapter.max_buffer_bytes >> 20));
        line(format!("  workgroups       {} along each dimension", adapter.max_workgroups));
    }
    if info.adapters.is_empty() {
        line("\nno GPU adapter found: --device auto computes on the CPU".into());
    }
    text
}

/// What a device of the adapter would have. No device is created, so that an adapter that gives none is listed too.
fn describe((number, adapter): (usize, &wgpu::Adapter)) -> Adapter {
    let (info, limits) = (adapter.get_info(), adapter.limits());
    Adapter {
        number,
        class: format!("{:?}", DeviceClass::of(&info)).to_lowercase(),
        name: info.name,
        backend: info.backend.to_string(),
        device_type: format!("{:?}", info.device_type),
        driver: format!("{} {}", info.driver, info.driver_info).trim().to_string(),
        pci_bus: info.device_pci_bus_id,
        auto: info.device_type != wgpu::DeviceType::Cpu,
        f16: adapter.features().contains(wgpu::Features::SHADER_F16),
        max_binding_bytes: limits.max_storage_buffer_binding_size,
        max_buffer_bytes: limits.max_buffer_size,
        max_workgroups: limits.max_compute_workgroups_per_dimension,
    }
}
