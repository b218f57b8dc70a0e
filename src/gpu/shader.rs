//! WGSL to pipelines. Each file under `shaders/` is valid as it stands; of what it begins with, up to a line `// ---`,
//! the host makes the variants.

use crate::activation::Activation;
use crate::plan::Storage;
use wgpu::{
    ComputePipeline, ComputePipelineDescriptor, Device, PipelineCompilationOptions, ShaderModuleDescriptor,
    ShaderSource,
};

const GATHER: &str = include_str!("../../shaders/gather.wgsl");
const ACTIVATION: &str = include_str!("../../shaders/activation.wgsl");

/// What distinguishes one compiled kernel from another.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Variant {
    pub(crate) entry_point: &'static str,
    pub(crate) storage: Storage,
    /// The number by which `shaders/activation.wgsl` knows the activation.
    pub(crate) activation: u32,
}

impl Variant {
    pub(crate) fn gather(storage: Storage, activation: &Activation, in_parts: bool) -> Self {
        let entry_point = if in_parts { "part" } else { "whole" };
        Self { entry_point, storage, activation: activation_number(activation) }
    }

    /// The variant's WGSL.
    pub(crate) fn source(&self) -> String {
        let elem = match self.storage {
            Storage::F32 => "alias Elem = f32;",
            Storage::F16 => "enable f16;\nalias Elem = f16;",
        };
        let activation = self.activation;
        format!("{elem}\nconst ACTIVATION: u32 = {activation}u;\n{}\n{}", body(ACTIVATION), body(GATHER))
    }
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
    let label = format!("upconv gather {variant:?}");
    let module = device.create_shader_module(ShaderModuleDescriptor {
        label: Some(&label),
        source: ShaderSource::Wgsl(variant.source().into()),
    });
    device.create_compute_pipeline(&ComputePipelineDescriptor {
        label: Some(&label),
        layout: None,
        module: &module,
        entry_point: Some(variant.entry_point),
        compilation_options: PipelineCompilationOptions::default(),
        cache: None,
    })
}
