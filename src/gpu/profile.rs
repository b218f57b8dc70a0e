//! What the plan knows of a device.

use super::storage::Storage;
use crate::error::{Error, Result};

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

/// Words in the name or the driver of an adapter, and the class they tell; the first that fits decides.
const CLASSES: [(&str, DeviceClass); 19] = [
    ("llvmpipe", DeviceClass::Software),
    ("softpipe", DeviceClass::Software),
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

    /// See [`DeviceProfile::max_iterations`].
    pub fn max_iterations(self) -> u64 {
        if self == DeviceClass::Software { 65_535 } else { u64::MAX }
    }

    /// The class of an adapter, by its name and its driver's.
    pub fn of(name: &str, driver: &str) -> Self {
        let text = format!("{name} {driver}").to_lowercase();
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
