//! What the plan knows of a device.

use super::storage::Storage;
use crate::error::{Error, Result};
use wgpu::{AdapterInfo, DeviceType};

/// What the plan needs to know of a device. The default is what WebGPU guarantees on every one.
///
/// ```
/// use upconv::{DeviceClass, DeviceProfile};
/// let weakest = DeviceProfile::default();
/// assert_eq!(weakest.max_binding, 128 << 20);
/// let nvidia = DeviceProfile { class: DeviceClass::Nvidia, f16: true, ..weakest };
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceProfile {
    /// The largest part of a buffer that a shader can see, in bytes.
    pub max_binding: u64,
    /// The largest buffer, in bytes.
    pub max_buffer: u64,
    /// The largest number of workgroups along each dimension of a dispatch.
    pub max_workgroups: u32,
    /// What the offset of a binding must be a multiple of, in bytes.
    pub binding_alignment: u64,
    /// The largest number of multiply-adds that one dispatch may do. Operating systems reset a device that is busy
    /// for some seconds; the default of 2³⁶ keeps a device of 100 GFLOP/s below 2 s.
    pub max_multiply_adds: u64,
    /// The most iterations that the loops of one invocation may make together, inner ones each time they are run.
    /// Mesa's drivers in software end a shader's loops at 65,535, without an error; the default is no bound.
    pub max_iterations: u64,
    /// Whether tensors can be stored in binary16 (`SHADER_F16`).
    pub f16: bool,
    /// The largest number of invocations in a workgroup.
    pub max_invocations: u32,
    /// The largest memory of a workgroup, in bytes.
    pub max_workgroup_memory: u64,
    /// What kind of device it is: limits alone do not tell.
    pub class: DeviceClass,
    /// The cooperative matrices that the device was made with, if it was.
    pub matrices: Option<Matrices>,
}

impl Default for DeviceProfile {
    fn default() -> Self {
        Self {
            max_binding: 128 << 20,
            max_buffer: 256 << 20,
            max_workgroups: 65_535,
            binding_alignment: 256,
            max_multiply_adds: 1 << 36,
            max_iterations: u64::MAX,
            f16: false,
            max_invocations: 256,
            max_workgroup_memory: 16 << 10,
            class: DeviceClass::Unknown,
            matrices: None,
        }
    }
}

impl DeviceProfile {
    /// Refuses limits with which nothing can be planned.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] with the field's name.
    pub(crate) fn check(&self) -> Result<()> {
        let least = [
            ("max_binding", self.max_binding, 4),
            ("max_buffer", self.max_buffer, 4),
            ("max_workgroups", self.max_workgroups.into(), 1),
            ("binding_alignment", self.binding_alignment, 4),
            ("max_multiply_adds", self.max_multiply_adds, 1),
            ("max_iterations", self.max_iterations, 1),
            ("max_invocations", self.max_invocations.into(), 1),
        ];
        let refuse = |name, given: u64, expected| {
            Err(Error::OutOfRange { what: format!("DeviceProfile::{name}"), given: given.into(), expected })
        };
        if let Some(&(name, given, least)) = least.iter().find(|(_, given, least)| given < least) {
            return refuse(name, given, format!("at least {least}"));
        }
        if !self.binding_alignment.is_multiple_of(4) {
            return refuse("binding_alignment", self.binding_alignment, "a multiple of 4".into());
        }
        Ok(())
    }
}

/// The cooperative matrices of a device: squares that the invocations of a subgroup multiply together, their sums in
/// f32.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Matrices {
    /// Rows and columns of each: 8 or 16.
    pub side: usize,
    /// The type of the factors. Matrices of f16 are for tensors and weights of f16.
    pub factors: Storage,
    /// Invocations of a subgroup; the usual number where the device has several.
    pub subgroup: u32,
    /// The largest number of them, of which a workgroup is a multiple.
    pub largest_subgroup: u32,
}

/// Kinds of devices that want different tiles.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DeviceClass {
    /// A GPU in software: lavapipe, `SwiftShader`, llvmpipe, WARP.
    Software,
    /// A GPU with 128 registers or more for each invocation at a good occupancy: AMD's, Intel's.
    Desktop,
    /// As many registers, and weights that no scalar unit reads: what a workgroup shares counts for more.
    Nvidia,
    /// A phone's GPU, or Apple's, with some 100 registers for each invocation: Apple's, Adreno.
    Mobile,
    /// An unknown GPU, or one with 64 registers for each invocation: planned for as the weakest hardware.
    Unknown,
}

/// The vendors of GPUs, by the numbers that the PCI-SIG and Khronos gave them, and their class. A driver in software is
/// known by its device type; Mesa's number says no more than that.
const VENDORS: [(u32, DeviceClass); 9] = [
    (0x1002, DeviceClass::Desktop), // AMD
    (0x8086, DeviceClass::Desktop), // Intel
    (0x144d, DeviceClass::Desktop), // Samsung, with AMD's RDNA
    (0x10de, DeviceClass::Nvidia),
    (0x106b, DeviceClass::Mobile),  // Apple
    (0x5143, DeviceClass::Mobile),  // Qualcomm
    (0x13b5, DeviceClass::Unknown), // Arm
    (0x1010, DeviceClass::Unknown), // Imagination
    (0x14e4, DeviceClass::Unknown), // Broadcom
];

/// Where no such number is given, as by Metal, OpenGL and browsers: words in the name or the driver of an adapter, and the
/// class they tell; the first that fits decides.
const CLASSES: [(&str, DeviceClass); 21] = [
    ("llvmpipe", DeviceClass::Software),
    ("softpipe", DeviceClass::Software),
    ("lavapipe", DeviceClass::Software),
    ("swiftshader", DeviceClass::Software),
    ("basic render", DeviceClass::Software),
    ("apple", DeviceClass::Mobile),
    ("adreno", DeviceClass::Mobile),
    ("turnip", DeviceClass::Mobile),
    ("qualcomm", DeviceClass::Mobile),
    ("samsung", DeviceClass::Desktop),
    ("mali", DeviceClass::Unknown),
    ("powervr", DeviceClass::Unknown),
    ("radv", DeviceClass::Desktop),
    ("radeon", DeviceClass::Desktop),
    ("amd", DeviceClass::Desktop),
    ("nvidia", DeviceClass::Nvidia),
    ("nvk", DeviceClass::Nvidia),
    ("geforce", DeviceClass::Nvidia),
    ("intel", DeviceClass::Desktop),
    ("arc(tm)", DeviceClass::Desktop),
    ("microsoft direct3d", DeviceClass::Software),
];

impl DeviceClass {
    #[cfg(test)]
    pub(crate) const ALL: [Self; 5] = [Self::Software, Self::Desktop, Self::Nvidia, Self::Mobile, Self::Unknown];

    /// See [`DeviceProfile::max_iterations`].
    pub fn max_iterations(self) -> u64 {
        if self == DeviceClass::Software { 65_535 } else { u64::MAX }
    }

    /// The class of an adapter: by its type where it computes in software, else by its vendor, else by its name and its
    /// driver's. What none of these tells is [`Unknown`](Self::Unknown), and whoever knows better gives the class in a profile
    /// ([`Context::limited`](crate::gpu::Context::limited)). A browser gives vendor and architecture in words, and only of a
    /// device that was made ([`Context::profile`](crate::gpu::Context::profile)).
    pub fn of(adapter: &AdapterInfo) -> Self {
        if adapter.device_type == DeviceType::Cpu {
            return DeviceClass::Software;
        }
        if let Some(&(_, class)) = VENDORS.iter().find(|(vendor, _)| *vendor == adapter.vendor) {
            return class;
        }
        let text = format!("{} {} {}", adapter.name, adapter.driver, adapter.driver_info).to_lowercase();
        CLASSES.iter().find(|(word, _)| text.contains(word)).map_or(DeviceClass::Unknown, |&(_, class)| class)
    }
}

/// What running a loop counts towards [`DeviceProfile::max_iterations`], with so many iterations that count `each` for
/// what is inside. llvmpipe counts two more: one finds that the loop ends, and one comes of how it is translated.
pub(crate) fn loop_iterations(count: u64, each: u64) -> u64 {
    count.saturating_mul(each.saturating_add(1)).saturating_add(2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use wgpu::Backend;

    #[test]
    fn adapters_are_classed_by_type_vendor_and_words() {
        use DeviceType::{Cpu, DiscreteGpu, IntegratedGpu, Other};
        for (device_type, vendor, name, driver, class) in [
            (Cpu, 0x1_0005, "llvmpipe (LLVM 15.0.6, 256 bits)", "llvmpipe", DeviceClass::Software),
            (Cpu, 0x1ae0, "SwiftShader Device (LLVM 10.0.0)", "SwiftShader driver", DeviceClass::Software),
            (Cpu, 0x1414, "Microsoft Basic Render Driver", "", DeviceClass::Software),
            (Other, 0, "softpipe", "", DeviceClass::Software),
            (DiscreteGpu, 0x1002, "AMD Radeon RX 7900 XTX (RADV NAVI31)", "radv", DeviceClass::Desktop),
            // Names without the maker's word.
            (DiscreteGpu, 0x1002, "FirePro W7100", "", DeviceClass::Desktop),
            (DiscreteGpu, 0x10de, "Quadro P2000", "", DeviceClass::Nvidia),
            (DiscreteGpu, 0x10de, "TITAN V", "", DeviceClass::Nvidia),
            (IntegratedGpu, 0x8086, "UHD Graphics 630", "", DeviceClass::Desktop),
            (IntegratedGpu, 0x144d, "Xclipse 920", "", DeviceClass::Desktop),
            (IntegratedGpu, 0x13b5, "Immortalis-G715", "", DeviceClass::Unknown),
            // A translation to another API has the vendor of the device below it.
            (DiscreteGpu, 0x10de, "Microsoft Direct3D12 (GeForce RTX 3080)", "Dozen", DeviceClass::Nvidia),
            (IntegratedGpu, 0, "Apple M1", "", DeviceClass::Mobile),
            (IntegratedGpu, 0, "AMD Radeon Pro 5500M", "", DeviceClass::Desktop),
            (IntegratedGpu, 0x5143, "Turnip Adreno (TM) 740", "turnip Mesa driver", DeviceClass::Mobile),
            (DiscreteGpu, 0x121a, "Voodoo 2", "", DeviceClass::Unknown),
            (Other, 0, "", "", DeviceClass::Unknown),
            // As browsers say it.
            (Other, 0, "nvidia ampere", "", DeviceClass::Nvidia),
            (Other, 0, "qualcomm adreno-7xx", "", DeviceClass::Mobile),
            (Other, 0, "google swiftshader", "", DeviceClass::Software),
        ] {
            let (name, driver) = (name.to_string(), driver.to_string());
            let info = AdapterInfo { name, driver, vendor, ..AdapterInfo::new(device_type, Backend::Vulkan) };
            assert_eq!(DeviceClass::of(&info), class, "{info:?}");
        }
    }
}
