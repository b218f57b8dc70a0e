//! WGSL to pipelines. Each file under `shaders/` is valid as it stands; of what it begins with, up to a line `// ---`,
//! the host makes the variants.

use super::direct;
use super::winograd::{self, Stores};
use crate::activation::Activation;
use crate::op::ConvTranspose;
use crate::plan::tile::{Packing, Tile};
use crate::plan::{Plan, Storage};
use wgpu::{
    ComputePipeline, ComputePipelineDescriptor, Device, PipelineCompilationOptions, ShaderModuleDescriptor,
    ShaderSource,
};

const GATHER: &str = include_str!("../../shaders/gather.wgsl");
const SUM: &str = include_str!("../../shaders/sum.wgsl");
const PACK: &str = include_str!("../../shaders/pack.wgsl");
const WINOGRAD_WEIGHTS: &str = include_str!("../../shaders/winograd_weights.wgsl");
const ACTIVATION: &str = include_str!("../../shaders/activation.wgsl");

/// What distinguishes one compiled kernel from another.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Variant {
    /// `gather.wgsl`; `activation` is the number by which `activation.wgsl` knows it, `in_parts` whether several
    /// dispatches share the input channels of an output.
    Gather { storage: Storage, activation: u32, in_parts: bool },
    /// `direct.wgsl` for a tile.
    Direct { tile: Box<Tile>, packing: Packing, storage: Storage, activation: u32, in_parts: bool },
    /// `sum.wgsl`
    Sum { storage: Storage, activation: u32 },
    /// `pack.wgsl`
    Pack,
    /// `winograd_weights.wgsl`
    WinogradWeights,
    /// `winograd_input.wgsl` for `wide` tiles in an invocation.
    WinogradInput { storage: Storage, wide: usize, workgroup: u32 },
    /// `winograd_output.wgsl` for `wide` tiles in an invocation.
    WinogradOutput { storage: Storage, activation: u32, wide: usize, workgroup: u32, stores: Stores },
}

impl Variant {
    /// The kernel of a plan.
    pub(crate) fn of(op: &ConvTranspose, plan: &Plan) -> Self {
        let (storage, activation, in_parts) =
            (plan.storage, activation_number(op.activation()), plan.scratch > 0 && plan.splits() == 1);
        match plan.tile {
            None => Variant::Gather { storage, activation, in_parts },
            Some(tile) => {
                // What differs only between layers of other sizes must not make another variant.
                let tile = Tile { splits: tile.splits.min(2), ..tile };
                let packing = Packing { vectors: 0, record: 0, ..Packing::new(op) };
                Variant::Direct { tile: Box::new(tile), packing, storage, activation, in_parts }
            }
        }
    }

    /// The kernel that adds up the splits of a plan, where there are any.
    pub(crate) fn sum(op: &ConvTranspose, plan: &Plan) -> Option<Self> {
        let (storage, activation) = (plan.storage, activation_number(op.activation()));
        (plan.splits() > 1).then_some(Variant::Sum { storage, activation })
    }

    /// The variant's WGSL.
    pub(crate) fn source(&self) -> String {
        match self {
            Variant::Gather { storage, activation, .. } => {
                format!("{}\n{}", header(*storage, *activation), body(GATHER))
            }
            Variant::Sum { storage, activation } => format!("{}\n{}", header(*storage, *activation), body(SUM)),
            Variant::Direct { tile, packing, storage, activation, in_parts } => {
                let kernel = direct::generate(tile, packing, *in_parts);
                format!("{}\n{kernel}", header(*storage, *activation))
            }
            Variant::Pack => PACK.to_string(),
            Variant::WinogradWeights => WINOGRAD_WEIGHTS.to_string(),
            Variant::WinogradInput { storage, wide, workgroup } => {
                format!("{}\n{}", elem(*storage), winograd::input(*wide, *workgroup))
            }
            Variant::WinogradOutput { storage, activation, wide, workgroup, stores } => {
                format!("{}\n{}", header(*storage, *activation), winograd::output(*wide, *workgroup, *stores))
            }
        }
    }

    fn entry_point(&self) -> &'static str {
        match self {
            Variant::Gather { in_parts: false, .. } => "whole",
            Variant::Gather { in_parts: true, .. } => "part",
            Variant::Direct { .. } => "direct",
            Variant::Sum { .. } => "sum",
            Variant::Pack => "pack",
            Variant::WinogradWeights => "weights",
            Variant::WinogradInput { .. } => "to_points",
            Variant::WinogradOutput { .. } => "to_outputs",
        }
    }
}

/// The header that replaces a kernel's own: the type of the stored elements, and the activation.
fn header(storage: Storage, activation: u32) -> String {
    let elem = elem(storage);
    format!("{elem}\nconst ACTIVATION: u32 = {activation}u;\n{}", body(ACTIVATION))
}

/// The header's type of stored elements.
pub(super) fn elem(storage: Storage) -> &'static str {
    match storage {
        Storage::F32 => "alias Elem = f32;",
        Storage::F16 => "enable f16;\nalias Elem = f16;",
    }
}

pub(super) fn activation_number(activation: &Activation) -> u32 {
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
pub(super) mod tests {
    use super::*;
    use crate::plan::{Candidate, Kernel, candidates, plan, plan_candidate, plan_with};
    use crate::{DeviceClass, DeviceProfile};

    /// Parses and validates a kernel, as wgpu would.
    pub(crate) fn validate(source: &str) -> naga::Module {
        let module = naga::front::wgsl::parse_str(source)
            .unwrap_or_else(|error| panic!("{}\n{source}", error.emit_to_string(source)));
        let mut validator =
            naga::valid::Validator::new(naga::valid::ValidationFlags::all(), naga::valid::Capabilities::SHADER_FLOAT16);
        validator.validate(&module).unwrap_or_else(|error| panic!("{}\n{source}", error.emit_to_string(source)));
        module
    }

    fn of(name: &str) -> ConvTranspose {
        let op = ConvTranspose::builder;
        let description = match name {
            "deep" => op().in_channels(512).out_channels(256).kernel([4, 4]).stride([2, 2]).padding([1, 1]),
            "u-net" => op().in_channels(128).out_channels(64).kernel([2, 2]).stride([2, 2]),
            "fsrcnn" => op().in_channels(56).kernel([9, 9]).stride([2, 2]).padding([4, 4]).output_padding([1, 1]),
            "fcn" => op().in_channels(21).out_channels(21).kernel([64, 64]).stride([32, 32]).padding([16, 16]),
            "picture" => op().in_channels(256).out_channels(3).kernel([4, 4]).stride([2, 2]).padding([3, 3]),
            "sound" => op().in_channels(512).out_channels(256).kernel([16]).stride([8]).padding([4]),
            "depthwise" => {
                op().in_channels(64).out_channels(64).groups(64).kernel([4, 4]).stride([2, 2]).padding([1, 1])
            }
            "volume" => op().in_channels(32).out_channels(16).kernel([4; 3]).stride([2; 3]).padding([1; 3]),
            _ => op().in_channels(64).out_channels(64).kernel([3, 3]).padding([1, 1]).activation(Activation::Gelu),
        };
        description.build().unwrap()
    }

    /// What is compared: for each class of devices, the operations of the field with both storages, whole and in parts.
    #[test]
    fn every_variant_of_the_fields_operations_validates() {
        let shapes: [(&str, &[usize]); 9] = [
            ("deep", &[16, 512, 4, 4]),
            ("u-net", &[1, 128, 128, 128]),
            ("fsrcnn", &[1, 56, 256, 256]),
            ("fcn", &[1, 21, 10, 15]),
            ("picture", &[1, 256, 128, 128]),
            ("sound", &[1, 512, 200]),
            ("depthwise", &[1, 64, 128, 128]),
            ("volume", &[1, 32, 16, 16, 16]),
            ("stride 1", &[1, 64, 64, 64]),
        ];
        for class in [DeviceClass::Software, DeviceClass::Desktop, DeviceClass::Mobile] {
            for (name, shape) in shapes {
                for storage in [Storage::F32, Storage::F16] {
                    for kernel in Kernel::EXACT {
                        let profile = DeviceProfile { class, f16: true, ..DeviceProfile::default() };
                        let op = of(name);
                        let mut plan = plan_with(&op, &op.at(shape).unwrap(), storage, &profile, kernel).unwrap();
                        validate(&Variant::of(&op, &plan).source());
                        plan.scratch = 4;
                        validate(&Variant::of(&op, &plan).source());
                    }
                }
            }
        }
        validate(&Variant::Pack.source());
    }

    /// Whole and parted phases, one and several vectors, quads and not.
    #[test]
    fn every_variant_with_splits_validates() {
        let profile = DeviceProfile { f16: true, ..DeviceProfile::default() };
        for (name, shape) in [("deep", &[16, 512, 4, 4][..]), ("sound", &[1, 512, 200]), ("volume", &[1, 32, 4, 4, 4])]
        {
            let op = of(name);
            let geometry = op.at(shape).unwrap();
            let split = |candidate: &Candidate| candidate.tile().is_some_and(|tile| tile.splits == 2);
            let candidates: Vec<_> = candidates(&op, &geometry, &profile).into_iter().filter(split).collect();
            assert!(candidates.len() > 10, "{name}");
            for candidate in candidates.iter().step_by(5) {
                for storage in [Storage::F32, Storage::F16] {
                    let plan = plan_candidate(&op, &geometry, storage, &profile, candidate, "").unwrap();
                    validate(&Variant::of(&op, &plan).source());
                    validate(&Variant::sum(&op, &plan).unwrap().source());
                }
            }
        }
    }

    /// The canonical text is the kernel of a 4x4 layer of stride 2 on a device of which nothing is known.
    #[test]
    fn the_canonical_text_of_direct_is_what_the_generator_writes() {
        let op = of("deep");
        let plan = plan(&op, &op.at(&[16, 512, 32, 32]).unwrap(), Storage::F32, &DeviceProfile::default()).unwrap();
        let Variant::Direct { tile, packing, .. } = Variant::of(&op, &plan) else { panic!("not direct: {plan:?}") };
        let text = direct::canonical(&tile, &packing);
        validate(&text);
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/shaders/direct.wgsl");
        if std::env::var_os("UPCONV_WRITE_SHADERS").is_some() {
            std::fs::write(path, &text).unwrap();
        }
        let committed = std::fs::read_to_string(path).unwrap();
        assert!(text == committed, "shaders/direct.wgsl is out of date: run this test with UPCONV_WRITE_SHADERS=1");
    }

    /// The fields of a WGSL struct as (name, offset), and its size.
    pub(crate) fn layout(module: &naga::Module, name: &str) -> (Vec<(String, u32)>, u32) {
        let (_, found) = module.types.iter().find(|(_, kind)| kind.name.as_deref() == Some(name)).unwrap();
        let naga::TypeInner::Struct { members, span } = &found.inner else { panic!("{name} is no struct") };
        (members.iter().map(|member| (member.name.clone().unwrap(), member.offset)).collect(), *span)
    }

    #[test]
    fn parameters_have_the_same_layout_in_rust_and_in_wgsl() {
        use crate::gpu::{direct, gather, sum};
        let (gather_module, sum_module, pack_module) = (validate(GATHER), validate(SUM), validate(PACK));
        let direct_module = validate(include_str!("../../shaders/direct.wgsl"));
        assert_eq!(gather::GpuAxis::layout(), layout(&gather_module, "Axis"));
        assert_eq!(gather::Params::layout(), layout(&gather_module, "Params"));
        assert_eq!(direct::GpuAxis::layout(), layout(&direct_module, "Axis"));
        assert_eq!(direct::Params::layout(), layout(&direct_module, "Params"));
        assert_eq!(sum::SumAxis::layout(), layout(&sum_module, "Axis"));
        assert_eq!(sum::Params::layout(), layout(&sum_module, "Params"));
        assert_eq!(direct::PackParams::layout(), layout(&pack_module, "Params"));
    }
}
