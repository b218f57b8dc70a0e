//! Which adapters there are, and which one is meant.

use crate::error::{Error, Result};
use crate::gpu::profile::Matrices;
use crate::gpu::storage::Storage;
use wgpu::{Adapter, AdapterInfo, Backends, CooperativeScalarType, Device, DeviceType, Instance, InstanceDescriptor};

/// Which adapter is wanted. The default takes the best one, software devices included.
///
/// ```no_run
/// use upconv::gpu::{AdapterRequest, Context};
/// # fn main() -> upconv::Result<()> {
/// let best = Context::request(&AdapterRequest::default())?;
/// let hardware = Context::request(&AdapterRequest { hardware_only: true, ..Default::default() })?;
/// let lavapipe = Context::request(&AdapterRequest { name: Some("llvmpipe".into()), ..Default::default() })?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AdapterRequest {
    /// A part of the adapter's name, driver or backend, whatever the case: `radeon`, `lavapipe`, `gl`. Or its number in
    /// [`adapters`]`(true)`, which tells equal devices apart; a number that no adapter has is a part of a name, too.
    ///
    /// Of a device that several backends reach, and of devices of several kinds, the best is taken. A part of the names
    /// of several devices of one kind is refused.
    pub name: Option<String>,
    /// Whether software devices (`DeviceType::Cpu`) are left out.
    pub hardware_only: bool,
}

/// The names of a backend in the variable `WGPU_BACKEND`, the usual one first, as wgpu reads it.
const BACKENDS: [&[&str]; 6] =
    [&["vulkan", "vk"], &["metal", "mtl"], &["dx12", "d3d12"], &["gl", "gles", "opengl"], &["webgpu"], &["noop"]];

/// Refuses a variable `WGPU_BACKEND` that names a backend that does not exist: wgpu would leave it out without a word, and
/// find no adapter.
///
/// # Errors
/// [`Error::Backend`], with the names that exist.
pub fn check_environment() -> Result<()> {
    match backends_from_environment() {
        Some(value) => check_backends(&value),
        None => Ok(()),
    }
}

fn backends_from_environment() -> Option<String> {
    std::env::var_os("WGPU_BACKEND").map(|value| value.to_string_lossy().into_owned())
}

fn check_backends(value: &str) -> Result<()> {
    let known = |name: &str| BACKENDS.iter().any(|names| names.contains(&name));
    match value.to_lowercase().split(',').map(str::trim).find(|name| !known(name)) {
        Some(wrong) => Err(Error::Backend {
            value: value.to_string(),
            wrong: wrong.to_string(),
            known: BACKENDS.iter().map(|names| names[0]).collect(),
        }),
        None => Ok(()),
    }
}

/// The number that a text is, for those that name an adapter by its number.
pub fn adapter_number(text: &str) -> Option<usize> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| digits)
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
    // Where there is neither a window nor a worker, as in Node, an instance cannot even be made.
    #[cfg(target_family = "wasm")]
    if !wgpu::util::is_browser_webgpu_supported().await {
        return Vec::new();
    }
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
    /// [`Error::NoAdapter`] with the names of those that are here, [`Error::Adapters`] where several are meant, and those
    /// of [`check_environment`].
    pub(crate) async fn find(&self) -> Result<Adapter> {
        check_environment()?;
        let Some(name) = &self.name else {
            let all = adapters(false).await;
            let seen = all.iter().map(|adapter| describe(&adapter.get_info())).collect();
            let first = all.into_iter().find(|adapter| self.accepts(&adapter.get_info()));
            return first.ok_or_else(|| Error::NoAdapter { wanted: self.words(), found: seen });
        };
        // Without GL where that is not needed, whose drivers write to the terminal.
        let first = if adapter_number(name).is_none() { adapters(false).await } else { Vec::new() };
        let wanted = first.iter().any(|adapter| self.accepts(&adapter.get_info()));
        let mut all = if wanted { first } else { adapters(true).await };
        let infos: Vec<AdapterInfo> = all.iter().map(Adapter::get_info).collect();
        self.choose(name, &infos).map(|index| all.swap_remove(index))
    }

    /// The index of the one that is meant by name or number.
    fn choose(&self, name: &str, infos: &[AdapterInfo]) -> Result<usize> {
        if let Some(number) = adapter_number(name).filter(|&number| number < infos.len()) {
            return match self.hardware_only && infos[number].device_type == DeviceType::Cpu {
                true => Err(Error::NoAdapter { wanted: self.words(), found: infos.iter().map(describe).collect() }),
                false => Ok(number),
            };
        }
        let meant: Vec<usize> = (0..infos.len()).filter(|&index| self.accepts(&infos[index])).collect();
        let Some(&best) = meant.first() else {
            return Err(Error::NoAdapter { wanted: self.words(), found: infos.iter().map(describe).collect() });
        };
        // A backend lists a device once, so that these are different ones, none of a better kind than another.
        let kind = |index: usize| (infos[index].backend, rank(infos[index].device_type));
        let rivals: Vec<usize> = meant.iter().copied().filter(|&index| kind(index) == kind(best)).collect();
        if rivals.len() == 1 {
            return Ok(best);
        }
        let found = rivals.iter().map(|&index| format!("{index}: {}", describe(&infos[index]))).collect();
        Err(Error::Adapters { name: name.to_string(), found })
    }

    fn accepts(&self, info: &AdapterInfo) -> bool {
        if self.hardware_only && info.device_type == DeviceType::Cpu {
            return false;
        }
        let description = describe(info).to_lowercase();
        self.name.as_ref().is_none_or(|name| description.contains(&name.to_lowercase()))
    }

    fn words(&self) -> String {
        let kind = if self.hardware_only { "that is not a software device " } else { "" };
        let name = match (&self.name, self.name.as_deref().and_then(adapter_number)) {
            (None, _) => "was found".to_string(),
            (Some(name), None) => format!("with {name:?} in its name"),
            (Some(name), Some(number)) => format!("with the number {number}, nor with {name:?} in its name"),
        };
        // The environment may have left out the one that is meant.
        let chosen = backends_from_environment().map_or(String::new(), |value| format!(" (WGPU_BACKEND is {value:?})"));
        format!("{kind}{name}{chosen}")
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

/// What is known of a device's adapter. A browser gives it no name, but says its vendor and architecture.
pub(crate) fn info(device: &Device) -> AdapterInfo {
    let info = device.adapter_info();
    #[cfg(all(target_family = "wasm", feature = "webgpu"))]
    if let Some(adapter) = device.as_webgpu().filter(|_| info.name.is_empty()).map(|device| device.adapter_info()) {
        let name = format!("{} {}", adapter.vendor(), adapter.architecture());
        return AdapterInfo { name: name.trim().into(), ..info };
    }
    info
}

/// An adapter in one line: its name, backend, kind and driver.
pub(crate) fn describe(info: &AdapterInfo) -> String {
    let driver = format!("{} {}", info.driver, info.driver_info);
    let driver = if driver == " " { String::new() } else { format!(", {}", driver.trim()) };
    format!("{} ({}, {:?}{driver})", info.name, info.backend, info.device_type)
}

#[cfg(test)]
mod tests {
    use super::*;
    use wgpu::Backend;

    fn request(name: &str) -> AdapterRequest {
        AdapterRequest { name: Some(name.to_string()), hardware_only: false }
    }

    /// Two equal cards and a third one, each by two backends, as a machine with both lists them.
    fn machine() -> Vec<AdapterInfo> {
        let info = |name: &str, backend| AdapterInfo {
            name: name.to_string(),
            ..AdapterInfo::new(DeviceType::DiscreteGpu, backend)
        };
        let names = ["GeForce 4090", "GeForce 4090", "Radeon 7"];
        let mut all: Vec<_> =
            [Backend::Vulkan, Backend::Gl].into_iter().flat_map(|b| names.map(|n| info(n, b))).collect();
        let integrated = AdapterInfo::new(DeviceType::IntegratedGpu, Backend::Vulkan);
        all.push(AdapterInfo { name: "Radeon Graphics".to_string(), ..integrated });
        all
    }

    #[test]
    fn equal_adapters_are_told_apart_by_their_numbers() {
        let machine = machine();
        let choose = |name: &str| request(name).choose(name, &machine);
        for number in 0..6 {
            assert_eq!(choose(&number.to_string()).unwrap(), number);
        }
        // One device by two backends beside one of another kind, and a number that no adapter has.
        assert_eq!((choose("radeon").unwrap(), choose("7").unwrap()), (2, 2));
        let refusal = choose("geforce").unwrap_err().to_string();
        assert!(refusal.contains(r#""geforce" names 2"#) && refusal.contains("0: GeForce 4090 (vulkan"), "{refusal}");
        assert!(refusal.contains("1: GeForce") && !refusal.contains("3: "), "{refusal}");
        assert!(choose("8").unwrap_err().to_string().contains("with the number 8, nor with \"8\" in its name"));
        assert!(choose("intel").unwrap_err().to_string().contains("with \"intel\" in its name"));
    }

    #[test]
    fn only_digits_are_a_number() {
        assert_eq!(["0", "12", "+1", "-1", "1 ", "", "x"].map(adapter_number)[..3], [Some(0), Some(12), None]);
        assert!(["-1", "1 ", "", "x", "99999999999999999999999"].iter().all(|text| adapter_number(text).is_none()));
    }

    #[test]
    fn a_backend_that_does_not_exist_is_named_with_those_that_do() {
        for right in ["vulkan", "VK, gl", "metal,dx12", "d3d12,mtl,opengl,gles,webgpu,noop"] {
            assert!(check_backends(right).is_ok(), "{right}");
        }
        for (value, wrong) in [("vulcan", "vulcan"), ("vk,,gl", ""), ("", ""), ("gl;vk", "gl;vk")] {
            let refusal = check_backends(value).unwrap_err().to_string();
            let expected = format!(
                "WGPU_BACKEND is {value:?}, and there is no backend {wrong:?}; there are vulkan, metal, dx12, gl, webgpu, noop"
            );
            assert_eq!(refusal, expected);
        }
    }

    /// wgpu reads the same names.
    #[test]
    fn every_name_is_one_of_wgpu() {
        for names in BACKENDS {
            let sets: Vec<Backends> = names.iter().map(|name| Backends::from_comma_list(name)).collect();
            assert!(sets.iter().all(|set| *set == sets[0] && !set.is_empty()), "{names:?}");
        }
    }
}
