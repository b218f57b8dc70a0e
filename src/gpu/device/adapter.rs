//! Which adapters there are, and which one is meant.

use crate::error::{Error, Result};
use crate::gpu::profile::Matrices;
use crate::gpu::storage::Storage;
use wgpu::{Adapter, AdapterInfo, Backends, CooperativeScalarType, DeviceType, Instance, InstanceDescriptor};

/// Which adapter is wanted. The default takes the best one, software devices included.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AdapterRequest {
    /// A part of the adapter's name, driver or backend, whatever the case: `radeon`, `lavapipe`, `gl`.
    pub name: Option<String>,
    /// Whether software devices (`DeviceType::Cpu`) are left out.
    pub hardware_only: bool,
}

/// The adapters of this machine, best first: discrete, integrated and virtual GPUs, then software devices.
///
/// The environment decides where it says so (`WGPU_BACKEND` and the other variables of wgpu). Otherwise GL is asked
/// only where no other backend has an adapter, or where `with_gl` wants it: its drivers write to the terminal.
pub async fn adapters(with_gl: bool) -> Vec<Adapter> {
    let chosen = Backends::from_env();
    let mut found = enumerate(chosen.unwrap_or(Backends::PRIMARY)).await;
    if chosen.is_none() && (with_gl || found.is_empty()) {
        found.extend(enumerate(Backends::GL).await);
    }
    found.sort_by_key(|adapter| rank(adapter.get_info().device_type));
    found
}

async fn enumerate(backends: Backends) -> Vec<Adapter> {
    let descriptor = InstanceDescriptor { backends, ..InstanceDescriptor::new_without_display_handle_from_env() };
    Instance::new(descriptor).enumerate_adapters(backends).await
}

fn rank(device_type: DeviceType) -> u8 {
    match device_type {
        DeviceType::DiscreteGpu => 0,
        DeviceType::IntegratedGpu => 1,
        DeviceType::VirtualGpu => 2,
        DeviceType::Other => 3,
        DeviceType::Cpu => 4,
    }
}

impl AdapterRequest {
    /// The best adapter that answers.
    ///
    /// # Errors
    /// [`Error::NoAdapter`] with the names of those that are here.
    pub(crate) async fn find(&self) -> Result<Adapter> {
        let first = adapters(false).await;
        let mut seen: Vec<String> = first.iter().map(|adapter| describe(&adapter.get_info())).collect();
        if let Some(adapter) = first.into_iter().find(|adapter| self.accepts(adapter)) {
            return Ok(adapter);
        }
        if self.name.is_some() && Backends::from_env().is_none() {
            let all = adapters(true).await;
            seen = all.iter().map(|adapter| describe(&adapter.get_info())).collect();
            if let Some(adapter) = all.into_iter().find(|adapter| self.accepts(adapter)) {
                return Ok(adapter);
            }
        }
        Err(Error::NoAdapter { wanted: self.words(), found: seen })
    }

    fn accepts(&self, adapter: &Adapter) -> bool {
        if self.hardware_only && adapter.get_info().device_type == DeviceType::Cpu {
            return false;
        }
        let description = describe(&adapter.get_info()).to_lowercase();
        self.name.as_ref().is_none_or(|name| description.contains(&name.to_lowercase()))
    }

    fn words(&self) -> String {
        let kind = if self.hardware_only { "that is not a software device " } else { "" };
        let name = self.name.as_ref().map_or("was found".to_string(), |name| format!("with {name:?} in its name"));
        format!("{kind}{name}")
    }
}

/// Those of an adapter's cooperative matrices that serve the kernel `matrix`: squares of 8 or 16, with sums in f32. Of
/// f32 where there are such, because these are for every tensor; otherwise of f16, the largest.
pub(crate) fn matrices(adapter: &Adapter) -> Option<Matrices> {
    let (properties, info) = (adapter.cooperative_matrix_properties(), adapter.get_info());
    let has = |side: u32, factors: CooperativeScalarType| {
        properties.iter().any(|p| {
            [p.m_size, p.n_size, p.k_size] == [side; 3]
                && p.ab_type == factors
                && p.cr_type == CooperativeScalarType::F32
        })
    };
    let (f16, f32) = (CooperativeScalarType::F16, CooperativeScalarType::F32);
    let kinds = [(8, f32, Storage::F32), (16, f16, Storage::F16), (8, f16, Storage::F16)];
    let &(side, _, factors) = kinds.iter().find(|&&(side, kind, _)| has(side, kind))?;
    // Where a driver has several sizes of subgroups, 32 is the usual one: AMD's, Intel's and Apple's.
    let subgroup = info.subgroup_min_size.max(info.subgroup_max_size.min(32));
    Some(Matrices { side: side as usize, factors, subgroup, largest_subgroup: info.subgroup_max_size })
}

/// An adapter in one line: its name, backend, kind and driver.
pub(crate) fn describe(info: &AdapterInfo) -> String {
    let driver = format!("{} {}", info.driver, info.driver_info);
    format!("{} ({}, {:?}, {})", info.name, info.backend, info.device_type, driver.trim())
}
