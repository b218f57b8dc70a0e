//! WGSL to pipelines. Each file under `shaders/` is valid as it stands; of what it begins with, up to a line `// ---`,
//! the host makes the variants.

use super::direct;
use crate::activation::Activation;
use crate::op::ConvTranspose;
use crate::plan::tile::{Packing, Tile};
use crate::plan::{Plan, Storage};
use wgpu::{
    ComputePipeline, ComputePipelineDescriptor, Device, PipelineCompilationOptions, ShaderModuleDescriptor,
    ShaderSource,
};

const GATHER: &str = include_str!("../../shaders/gather.wgsl");
const PACK: &str = include_str!("../../shaders/pack.wgsl");
const ACTIVATION: &str = include_str!("../../shaders/activation.wgsl");

/// What distinguishes one compiled kernel from another.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Variant {
    /// `gather.wgsl`; `activation` is the number by which `activation.wgsl` knows it, `in_parts` whether several
    /// dispatches share the input channels of an output.
    Gather { storage: Storage, activation: u32, in_parts: bool },
    /// `direct.wgsl` for a tile.
    Direct { tile: Tile, packing: Packing, storage: Storage, activation: u32, in_parts: bool },
    /// `pack.wgsl`
    Pack,
}

impl Variant {
    /// The kernel of a plan.
    pub(crate) fn of(op: &ConvTranspose, plan: &Plan) -> Self {
        let (storage, activation, in_parts) = (plan.storage, activation_number(op.activation()), plan.scratch > 0);
        match plan.tile {
            None => Variant::Gather { storage, activation, in_parts },
            Some(tile) => {
                // What differs only between layers of other sizes must not make another variant.
                let packing = Packing::new(op);
                Variant::Direct {
                    tile,
                    packing: Packing { vectors: 0, record: 0, ..packing },
                    storage,
                    activation,
                    in_parts,
                }
            }
        }
    }

    /// The variant's WGSL.
    pub(crate) fn source(&self) -> String {
        match self {
            Variant::Gather { storage, activation, .. } => {
                format!("{}\n{}", header(*storage, *activation), body(GATHER))
            }
            Variant::Direct { tile, packing, storage, activation, in_parts } => {
                let kernel = direct::generate(tile, packing, *in_parts);
                format!("{}\n{kernel}", header(*storage, *activation))
            }
            Variant::Pack => PACK.to_string(),
        }
    }

    fn entry_point(&self) -> &'static str {
        match self {
            Variant::Gather { in_parts: false, .. } => "whole",
            Variant::Gather { in_parts: true, .. } => "part",
            Variant::Direct { .. } => "direct",
            Variant::Pack => "pack",
        }
    }
}

/// The header that replaces a kernel's own: the type of the stored elements, and the activation.
fn header(storage: Storage, activation: u32) -> String {
    let elem = match storage {
        Storage::F32 => "alias Elem = f32;",
        Storage::F16 => "enable f16;\nalias Elem = f16;",
    };
    format!("{elem}\nconst ACTIVATION: u32 = {activation}u;\n{}", body(ACTIVATION))
}

fn activation_number(activation: &Activation) -> u32 {
    match activation {
        Activation::None => 0,
        Activation::Relu => 1,
        Activation::LeakyRelu { .. } | Activation::Prelu { .. } => 2,
        Activation::Clip { .. } => 3,
        Activation::Sigmoid => 4,
        Activation::Tanh => 5,
        Activation::HardSwish { .. } => 6,
        Activation::Mish => 7,
        Activation::Gelu => 8,
    }
}

/// What follows the header of a shader file.
pub(super) fn body(file: &str) -> &str {
    file.split_once("// ---\n").map_or(file, |(_, body)| body)
}

pub(crate) fn compile(device: &Device, variant: &Variant) -> ComputePipeline {
    let label = format!("upconv {variant:?}");
    let module = device.create_shader_module(ShaderModuleDescriptor {
        label: Some(&label),
        source: ShaderSource::Wgsl(variant.source().into()),
    });
    device.create_compute_pipeline(&ComputePipelineDescriptor {
        label: Some(&label),
        layout: None,
        module: &module,
        entry_point: Some(variant.entry_point()),
        compilation_options: PipelineCompilationOptions::default(),
        cache: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DeviceProfile;
    use crate::plan::{Kernel, plan_with};

    /// Parses and validates a kernel, as wgpu would.
    fn validate(variant: &Variant) -> naga::Module {
        let source = variant.source();
        let module = naga::front::wgsl::parse_str(&source)
            .unwrap_or_else(|error| panic!("{variant:?}: {}\n{source}", error.emit_to_string(&source)));
        let mut validator =
            naga::valid::Validator::new(naga::valid::ValidationFlags::all(), naga::valid::Capabilities::SHADER_FLOAT16);
        validator.validate(&module).unwrap_or_else(|error| panic!("{variant:?}: {}", error.emit_to_string(&source)));
        module
    }

    #[test]
    fn variants_validate() {
        let op = ConvTranspose::builder().in_channels(8).out_channels(8).kernel([4, 4]).stride([2, 2]).padding([1, 1]);
        let op = op.build().unwrap();
        let geometry = op.at(&[1, 8, 16, 16]).unwrap();
        for kernel in Kernel::ALL {
            let plan = plan_with(&op, &geometry, Storage::F32, &DeviceProfile::default(), kernel).unwrap();
            validate(&Variant::of(&op, &plan));
        }
        validate(&Variant::Pack);
    }
}
