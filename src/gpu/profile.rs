//! What the plan knows of a device.

use super::storage::Storage;

/// What the plan needs to know of a device. The default is what WebGPU guarantees on every one.
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
            f16: false,
            max_invocations: 256,
            max_workgroup_memory: 16 << 10,
            class: DeviceClass::Unknown,
            matrices: None,
        }
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

/// Words in the name or the driver of an adapter, and the class they tell; the first that fits decides.
const CLASSES: [(&str, DeviceClass); 18] = [
    ("llvmpipe", DeviceClass::Software),
    ("lavapipe", DeviceClass::Software),
    ("swiftshader", DeviceClass::Software),
    ("basic render", DeviceClass::Software),
    ("apple", DeviceClass::Mobile),
    ("adreno", DeviceClass::Mobile),
    ("turnip", DeviceClass::Mobile),
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

    /// The class of an adapter, by its name and its driver's.
    pub fn of(name: &str, driver: &str) -> Self {
        let text = format!("{name} {driver}").to_lowercase();
        CLASSES.iter().find(|(word, _)| text.contains(word)).map_or(DeviceClass::Unknown, |&(_, class)| class)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adapters_are_classed_by_name_and_driver() {
        for (name, driver, class) in [
            ("llvmpipe (LLVM 15.0.6, 256 bits)", "llvmpipe", DeviceClass::Software),
            ("SwiftShader Device (LLVM 10.0.0)", "SwiftShader driver", DeviceClass::Software),
            ("AMD Radeon RX 7900 XTX (RADV NAVI31)", "radv", DeviceClass::Desktop),
            ("NVIDIA GeForce RTX 3080", "NVIDIA", DeviceClass::Nvidia),
            ("Apple M1", "", DeviceClass::Mobile),
            ("Turnip Adreno (TM) 740", "turnip Mesa driver", DeviceClass::Mobile),
            ("Voodoo 2", "", DeviceClass::Unknown),
        ] {
            assert_eq!(DeviceClass::of(name, driver), class, "{name}");
        }
    }
}
