//! The WGSL of every kernel. Each file under `shaders/` is valid as it stands; the host replaces its header, which ends
//! with a line `// ---`, to make the variants.

use super::fused::{Adds, Fused};
use super::header::{body, elem};
use super::map::MapKernel;
use super::pack::tiles::Packing;
use super::pointwise::Function;
use super::tiles::tile::Tile;
use super::weight_gradient::tile::WeightTile;
use super::winograd::wgsl::Stores;
use super::{activation, matrix, tiles, weight_gradient, winograd};
use crate::activation::Activation;
use crate::gpu::kernels::matrix::layout::Matrix;
use crate::gpu::plan::body::{Body, Plan};
use crate::gpu::storage::Storage;
use crate::winograd::Filter;

const GATHER: &str = include_str!("../../../shaders/gather.wgsl");
const SUM: &str = include_str!("../../../shaders/sum.wgsl");
const PACK: &str = include_str!("../../../shaders/pack.wgsl");
const WEIGHT_GRADIENT: &str = include_str!("../../../shaders/weight_gradient.wgsl");
const BIAS_GRADIENT: &str = include_str!("../../../shaders/bias_gradient.wgsl");
const GRADIENT_SUM: &str = include_str!("../../../shaders/gradient_sum.wgsl");
const BLOCK_SUMS: &str = include_str!("../../../shaders/block_sums.wgsl");
const MEANS: &str = include_str!("../../../shaders/means.wgsl");
const MATRIX_WEIGHTS: &str = include_str!("../../../shaders/matrix_weights.wgsl");
const ADJOINT_WEIGHTS: &str = include_str!("../../../shaders/adjoint_weights.wgsl");
const SET_WEIGHTS: &str = include_str!("../../../shaders/set_weights.wgsl");
const WINOGRAD_WEIGHTS: &str = include_str!("../../../shaders/winograd_weights.wgsl");

/// What distinguishes one compiled kernel from another.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Variant {
    /// `gather.wgsl`; `in_parts` is whether several dispatches share the input channels of an output.
    Gather { storage: Storage, fused: Fused, in_parts: bool },
    /// `direct.wgsl` or `tiled.wgsl` for a tile.
    Direct { tile: Box<Tile>, packing: Packing, storage: Storage, fused: Fused, in_parts: bool },
    /// `sum.wgsl`
    Sum { storage: Storage, fused: Fused },
    /// `pack.wgsl`
    Pack { factors: Storage },
    /// `matrix.wgsl`; `activation` is the call of `activation.wgsl` that it is.
    Matrix { matrix: Box<Matrix>, storage: Storage, activation: &'static str },
    /// `matrix_weights.wgsl`
    MatrixWeights { factors: Storage },
    /// `adjoint_weights.wgsl`
    AdjointWeights,
    /// `set_weights.wgsl`
    SetWeights,
    /// `pointwise.wgsl`
    Pointwise { function: Function, storage: Storage },
    /// `winograd_weights.wgsl`
    WinogradWeights,
    /// `winograd_input.wgsl`
    WinogradInput { storage: Storage, filters: [Filter; 2], workgroup: u32 },
    /// `winograd_output.wgsl`
    WinogradOutput { storage: Storage, filters: [Filter; 2], activation: &'static str, workgroup: u32, stores: Stores },
    /// `weight_gradient.wgsl`
    WeightGradient { storage: Storage },
    /// A tile of the weight's gradient.
    WeightTiles { tile: WeightTile, storage: Storage },
    /// `bias_gradient.wgsl`
    BiasGradient { storage: Storage },
    /// `gradient_sum.wgsl`
    GradientSum,
    /// `map.wgsl`
    Map { map: Box<MapKernel>, storage: Storage },
    /// `block_sums.wgsl`
    BlockSums { storage: Storage },
    /// `means.wgsl`
    Means { storage: Storage },
}

impl Variant {
    /// The kernel of a plan; for `winograd`, that of its products.
    pub(crate) fn of(plan: &Plan) -> Self {
        let (storage, op, fused) = (plan.storage, &plan.geometry.op, Fused::of(&plan.geometry));
        match &plan.body {
            Body::Gather(cut) => Variant::Gather { storage, fused, in_parts: cut.scratch > 0 },
            Body::Tiles(tile, cut) => {
                let in_parts = cut.scratch > 0 && plan.splits() == 1;
                // What differs only between layers of other sizes must not make another variant.
                let packing = Packing { vectors: 0, record: 0, ..Packing::new(op, tile.factors()) };
                // What `sum` does is not done before it.
                let fused = match plan.splits() {
                    1 => fused,
                    _ => Fused { adds: Adds::Nothing, activation: activation::call(&Activation::None), ..fused },
                };
                Variant::Direct { tile: Box::new(tile.compiled()), packing, storage, fused, in_parts }
            }
            Body::Winograd(_, products) => Self::of(products),
            Body::Matrix(matrix, _) => {
                Variant::Matrix { matrix: Box::new(*matrix), storage, activation: fused.activation }
            }
        }
    }

    /// The kernel that adds up the splits of a plan, where there are any.
    pub(crate) fn sum(plan: &Plan) -> Option<Self> {
        let fused = Fused { pre_activation: activation::call(&Activation::None), ..Fused::of(&plan.geometry) };
        (plan.splits() > 1).then_some(Variant::Sum { storage: plan.storage, fused })
    }

    /// The variant's WGSL.
    pub(crate) fn source(&self) -> String {
        match self {
            Variant::Gather { storage, fused, .. } => {
                // It always calls what is done to the inputs.
                let pre = if fused.pre_activates() { String::new() } else { fused.pre_functions() };
                let head = format!("{}{pre}{}", fused.header(*storage), fused.residual_function());
                let input = format!("var<storage, {}> input", fused.read());
                format!("{head}\n{}", body(GATHER).replace("var<storage, read> input", &input))
            }
            Variant::Sum { storage, fused } => {
                format!("{}{}\n{}", fused.header(*storage), fused.residual_function(), body(SUM))
            }
            Variant::Direct { tile, packing, storage, fused, in_parts } => {
                let kernel = tiles::wgsl::generate(tile, packing, fused, *in_parts);
                let rounds = tile.factors() == Storage::F16 && *storage == Storage::F32;
                format!("{}{}\n{kernel}", if rounds { "enable f16;\n" } else { "" }, fused.header(*storage))
            }
            Variant::Pack { factors } => factor_header(*factors) + "\n" + body(PACK),
            Variant::Matrix { matrix, storage, activation } => {
                let (elem, kernel) = (matrix::wgsl::elem(matrix, *storage), matrix::wgsl::generate(matrix));
                let header = Fused::behind(activation).header(*storage);
                format!("{}\n{kernel}", header.replace(super::header::elem(*storage), &elem))
            }
            Variant::MatrixWeights { factors } => factor_header(*factors) + "\n" + body(MATRIX_WEIGHTS),
            Variant::Pointwise { function, storage } => function.source(*storage),
            Variant::AdjointWeights => ADJOINT_WEIGHTS.to_string(),
            Variant::SetWeights => SET_WEIGHTS.to_string(),
            Variant::WinogradWeights => WINOGRAD_WEIGHTS.to_string(),
            Variant::WinogradInput { storage, filters, workgroup } => {
                format!("{}\n{}", elem(*storage), winograd::wgsl::input(*filters, *workgroup))
            }
            Variant::WinogradOutput { storage, filters, activation, workgroup, stores } => {
                format!(
                    "{}\n{}",
                    Fused::behind(activation).header(*storage),
                    winograd::wgsl::output(*filters, *workgroup, *stores)
                )
            }
            Variant::WeightGradient { storage } => format!("{}\n{}", elem(*storage), body(WEIGHT_GRADIENT)),
            Variant::WeightTiles { tile, storage } => {
                format!("{}\n{}", elem(*storage), weight_gradient::wgsl::generate(tile))
            }
            Variant::BiasGradient { storage } => format!("{}\n{}", elem(*storage), body(BIAS_GRADIENT)),
            Variant::GradientSum => GRADIENT_SUM.to_string(),
            Variant::Map { map, storage } => map.source(*storage),
            Variant::BlockSums { storage } => format!("{}\n{}", elem(*storage), body(BLOCK_SUMS)),
            Variant::Means { storage } => format!("{}\n{}", elem(*storage), body(MEANS)),
        }
    }

    pub(crate) fn entry_point(&self) -> &'static str {
        match self {
            Variant::Gather { in_parts: false, .. } => "whole",
            Variant::Gather { in_parts: true, .. } => "part",
            Variant::Direct { tile, .. } => tile.kernel().name(),
            Variant::Sum { .. } => "sum",
            Variant::Pack { .. } | Variant::MatrixWeights { .. } => "pack",
            Variant::Matrix { .. } => "matrix",
            Variant::Pointwise { .. } => "pointwise",
            Variant::AdjointWeights => "turn",
            Variant::SetWeights => "set_weights",
            Variant::WinogradWeights => "weights",
            Variant::WinogradInput { .. } => "to_points",
            Variant::WinogradOutput { .. } => "to_outputs",
            Variant::WeightGradient { .. } => "weight_gradient",
            Variant::WeightTiles { .. } => "weight_tiles",
            Variant::BiasGradient { .. } => "bias_gradient",
            Variant::GradientSum => "gradient_sum",
            Variant::Map { .. } => "map",
            Variant::BlockSums { .. } => "block_sums",
            Variant::Means { .. } => "means",
        }
    }
}

/// The header of what packs weights as factors of such products.
fn factor_header(factors: Storage) -> String {
    elem(factors).replace("Elem", "Factor")
}

impl Plan {
    /// The WGSL of the plan's kernel, as it is given to the device; for `winograd`, that of its products.
    pub fn wgsl(&self) -> String {
        Variant::of(self).source()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::gpu::plan::candidate::{Candidate, candidates};
    use crate::gpu::plan::field;
    use crate::kernel::Kernel;
    use crate::op::{Operands, Residual};
    use crate::{DeviceClass, DeviceProfile, Error};
    use naga::EntryPoint;
    use naga::back::{glsl, hlsl, msl, spv};
    use naga::proc::{BoundsCheckPolicies, BoundsCheckPolicy};
    use naga::valid::{Capabilities, ModuleInfo, ValidationFlags, Validator};
    use std::collections::BTreeSet;
    use std::io::Write;
    use std::process::{Command, Stdio};

    /// Parses and validates a kernel, as wgpu would.
    fn parse(source: &str) -> (naga::Module, ModuleInfo) {
        let module = naga::front::wgsl::parse_str(source)
            .unwrap_or_else(|error| panic!("{}\n{source}", error.emit_to_string(source)));
        let cooperative = Capabilities::COOPERATIVE_MATRIX | Capabilities::SUBGROUP;
        let more = if is_cooperative(source) { cooperative } else { Capabilities::empty() };
        let info = Validator::new(ValidationFlags::all(), Capabilities::SHADER_FLOAT16 | more)
            .validate(&module)
            .unwrap_or_else(|error| panic!("{}\n{source}", error.emit_to_string(source)));
        (module, info)
    }

    pub(crate) fn validate(source: &str) -> naga::Module {
        parse(source).0
    }

    /// Only Vulkan and Metal have cooperative matrices, and only these can naga translate.
    fn is_cooperative(source: &str) -> bool {
        source.contains("enable wgpu_cooperative_matrix;")
    }

    /// Every kernel that a plan may choose for the operations of the field, on every class of devices, with both
    /// storages, whole and in parts; and those around them.
    fn sources() -> BTreeSet<String> {
        let mut sources: BTreeSet<String> = winograd::machine::tests::variants().iter().map(Variant::source).collect();
        sources.extend([Storage::F32, Storage::F16].map(|factors| Variant::Pack { factors }.source()));
        sources.insert(Variant::AdjointWeights.source());
        sources.insert(Variant::SetWeights.source());
        sources.extend(matrix::params::tests::variants().iter().map(Variant::source));
        sources.insert(Variant::GradientSum.source());
        sources.extend(crate::gpu::kernels::map::tests::variants().iter().map(Variant::source));
        for storage in [Storage::F32, Storage::F16] {
            for plan in split_plans(storage) {
                sources.insert(plan.wgsl());
                sources.extend(Variant::sum(&plan).map(|sum| sum.source()));
            }
            sources.extend(shared_plans(storage).iter().map(Plan::wgsl));
            for plan in fused_plans(storage) {
                sources.insert(plan.wgsl());
                sources.extend(Variant::sum(&plan).map(|sum| sum.source()));
            }
            for class in DeviceClass::ALL {
                let profile = DeviceProfile { class, f16: true, ..DeviceProfile::default() };
                for (name, op, shape) in field::all() {
                    for &kernel in Kernel::EXACT {
                        let mut plan = match Plan::with_kernel(&op.at(&shape).unwrap(), storage, &profile, kernel) {
                            // It does not part the phases, and takes all taps at once.
                            Err(Error::Kernel { kernel: Kernel::Tiled, .. })
                                if ["fcn", "gradient of fcn", "gradient of fsrcnn"].contains(&name) =>
                            {
                                continue;
                            }
                            plan => plan.unwrap(),
                        };
                        sources.insert(plan.wgsl());
                        if let Body::Gather(cut) | Body::Tiles(_, cut) = &mut plan.body {
                            cut.scratch = 4;
                        }
                        sources.insert(plan.wgsl());
                    }
                    let (op, shape) = field::channels_last(&op, &shape);
                    let plan = Plan::with_kernel(&op.at(&shape).unwrap(), storage, &profile, Kernel::Direct);
                    sources.insert(plan.unwrap().wgsl());
                }
            }
            let profile = DeviceProfile { class: DeviceClass::Desktop, f16: true, ..DeviceProfile::default() };
            for (name, op, shape) in field::in_half() {
                let plan = Plan::with_kernel(&op.at(&shape).unwrap(), storage, &profile, Kernel::Direct).unwrap();
                assert!(plan.candidate_name().contains("products of f16"), "{name}: {}", plan.candidate_name());
                sources.insert(plan.wgsl());
            }
            sources.extend(crate::gpu::texture::tests::sources(storage));
            for activation in crate::activation::tests::all() {
                let functions = [false, true].map(|by_value| Function::gradient(&activation, by_value));
                let functions = functions.into_iter().chain([Function::activation(&activation)]);
                sources.extend(functions.map(|function| Variant::Pointwise { function, storage }.source()));
            }
            sources.extend(gradients(storage).iter().map(Variant::source));
        }
        sources
    }

    /// The kernels of gradients, their tiles with every way of reading.
    fn gradients(storage: Storage) -> Vec<Variant> {
        let mut variants = vec![Variant::WeightGradient { storage }, Variant::BiasGradient { storage }];
        for class in [DeviceClass::Software, DeviceClass::Desktop] {
            let profile = DeviceProfile { class, ..DeviceProfile::default() };
            for (_, op, shape) in field::operations() {
                let (last, turned) = field::channels_last(&op, &shape);
                for geometry in [op.at(&shape), last.at(&turned)] {
                    let (_, tile) = weight_gradient::search::best(&geometry.unwrap(), &profile);
                    variants.push(Variant::WeightTiles { tile, storage });
                }
            }
        }
        variants
    }

    /// Kernels with something done to their inputs, residuals, and all operands in one buffer; splits among them.
    fn fused_plans(storage: Storage) -> Vec<Plan> {
        let profile = DeviceProfile { f16: true, ..DeviceProfile::default() };
        let mut plans = Vec::new();
        for (_, op, shape) in field::operations().into_iter().take(3) {
            let alphas = vec![0.5; op.in_channels()];
            for (number, pre) in [Activation::Sigmoid, Activation::Snake { alphas }].into_iter().enumerate() {
                let op = op.to_builder().pre_activation(pre).build().unwrap();
                let residual = [Residual::Output, Residual::Tensor(None)][number];
                let operands = Operands { residual, one_buffer: number == 1, ..Operands::default() };
                let geometry = op.at(&shape).unwrap().with_operands(operands).unwrap();
                for &kernel in Kernel::EXACT {
                    plans.extend(Plan::with_kernel(&geometry, storage, &profile, kernel).ok());
                }
                let split = |candidate: &Candidate| candidate.tile().is_some_and(|tile| tile.split_k() == 2);
                if let Some(candidate) = candidates(&geometry, &profile).into_iter().find(split) {
                    plans.push(Plan::with_candidate(&geometry, storage, &profile, &candidate, "").unwrap());
                }
            }
        }
        assert!(plans.len() > 18, "{}", plans.len());
        plans
    }

    /// Splits with whole and parted phases, one and several vectors, quads and not.
    fn split_plans(storage: Storage) -> Vec<Plan> {
        let profile = DeviceProfile { f16: true, ..DeviceProfile::default() };
        let mut plans = Vec::new();
        for (_, op, shape) in field::operations() {
            let geometry = op.at(&shape).unwrap();
            let split = |candidate: &Candidate| candidate.tile().is_some_and(|tile| tile.split_k() == 2);
            for candidate in candidates(&geometry, &profile).into_iter().filter(split).step_by(8).take(3) {
                plans.push(Plan::with_candidate(&geometry, storage, &profile, &candidate, "").unwrap());
            }
        }
        assert!(plans.len() > 10, "{}", plans.len());
        plans
    }

    /// Workgroups of `tiled` in every arrangement, with what they share read ahead and not.
    fn shared_plans(storage: Storage) -> Vec<Plan> {
        let profile = DeviceProfile { class: DeviceClass::Nvidia, f16: true, ..DeviceProfile::default() };
        let mut plans = Vec::new();
        for (_, op, shape) in field::operations() {
            let geometry = op.at(&shape).unwrap();
            let shared = |candidate: &Candidate| candidate.kernel() == Kernel::Tiled;
            for candidate in candidates(&geometry, &profile).into_iter().filter(shared) {
                plans.push(Plan::with_candidate(&geometry, storage, &profile, &candidate, "").unwrap());
            }
        }
        assert!(plans.len() > 10, "{}", plans.len());
        plans
    }

    #[test]
    fn there_are_few_variants() {
        // Two kernels for 11 operations on 5 classes with 2 storages, whole and in parts, and one with the channels last,
        // if no two were alike; and those around them, some splits among them, those of gradients, and a hundred of graphs.
        let count = sources().len();
        assert!((100..=(2 * 2 + 1) * 11 * 5 * 2 + 300).contains(&count), "{count}");
    }

    /// Where a sum takes a product as it is, a compiler may round once or twice, and otherwise in each kernel.
    #[test]
    fn products_are_added_by_fma() {
        use naga::{BinaryOperator, Expression, ScalarKind};
        for source in sources() {
            let (module, info) = parse(&source);
            let functions = module.functions.iter().map(|(handle, function)| (function, &info[handle]));
            let entries = module.entry_points.iter().enumerate();
            let entries = entries.map(|(index, entry)| (&entry.function, info.get_entry_point(index)));
            for (function, info) in functions.chain(entries) {
                let is_product = |handle| {
                    matches!(function.expressions[handle], Expression::Binary { op: BinaryOperator::Multiply, .. })
                };
                for (handle, expression) in function.expressions.iter() {
                    let is_float = info[handle].ty.inner_with(&module.types).scalar_kind() == Some(ScalarKind::Float);
                    if let Expression::Binary { op: BinaryOperator::Add | BinaryOperator::Subtract, left, right } =
                        expression
                        && is_float
                    {
                        let text = function.expressions.get_span(handle).location(&source);
                        let text = &source[text.offset as usize..][..text.length as usize];
                        assert!(!is_product(*left) && !is_product(*right), "{text}");
                    }
                }
            }
        }
    }

    #[test]
    fn every_variant_is_translated_for_every_backend() {
        for source in sources() {
            let (module, info) = parse(&source);
            for entry in &module.entry_points {
                spirv(&module, &info, entry, BoundsCheckPolicy::Unchecked);
                to_msl(&module, &info, entry);
                if is_cooperative(&source) {
                    continue;
                }
                to_hlsl(&module, &info, entry);
                // GL has no f16.
                if !source.contains("enable f16;") {
                    to_glsl(&module, &info, entry);
                }
            }
        }
    }

    /// Both with `robustBufferAccess2` and without, as wgpu writes it.
    #[test]
    #[ignore = "needs spirv-val, of the package spirv-tools"]
    fn every_variant_is_valid_spirv() {
        let mut unknown = 0;
        for source in &sources() {
            let (module, info) = parse(source);
            for entry in &module.entry_points {
                for buffer in [BoundsCheckPolicy::Unchecked, BoundsCheckPolicy::Restrict] {
                    let words = spirv(&module, &info, entry, buffer);
                    let mut child = Command::new("spirv-val")
                        .args(["--target-env", "vulkan1.3", "-"])
                        .stdin(Stdio::piped())
                        .stderr(Stdio::piped())
                        .spawn()
                        .expect("spirv-val, of the package spirv-tools");
                    child.stdin.take().unwrap().write_all(bytemuck::cast_slice(&words)).unwrap();
                    let output = child.wait_with_output().unwrap();
                    let complaint = String::from_utf8_lossy(&output.stderr);
                    // spirv-val 2023 does not know cooperative matrices.
                    if is_cooperative(source) && complaint.contains("Invalid capability operand: 6022") {
                        unknown += 1;
                    } else {
                        assert!(output.status.success(), "{complaint}\n{source}");
                    }
                }
            }
        }
        println!("not checked, of cooperative matrices that this spirv-val does not know: {unknown}");
    }

    /// For other compilers than naga: `web/test/tint.test.js` gives them to a browser's.
    #[test]
    #[ignore = "writes them all, as JSON, to the file that UPCONV_VARIANTS names"]
    fn every_variant_is_written() {
        let path = std::env::var("UPCONV_VARIANTS").expect("UPCONV_VARIANTS names a file");
        let sources: Vec<String> = sources().into_iter().filter(|source| !is_cooperative(source)).collect();
        std::fs::write(path, serde_json::to_string(&sources).unwrap()).unwrap();
    }

    fn policies(buffer: BoundsCheckPolicy) -> BoundsCheckPolicies {
        let index = BoundsCheckPolicy::Restrict;
        BoundsCheckPolicies { index, buffer, image_load: index, binding_array: BoundsCheckPolicy::Unchecked }
    }

    fn spirv(module: &naga::Module, info: &ModuleInfo, entry: &EntryPoint, buffer: BoundsCheckPolicy) -> Vec<u32> {
        let options = spv::Options {
            lang_version: (1, 6),
            bounds_check_policies: policies(buffer),
            use_storage_input_output_16: true,
            ..spv::Options::default()
        };
        let stage = spv::PipelineOptions { shader_stage: entry.stage, entry_point: entry.name.clone() };
        spv::write_vec(module, info, &options, Some(&stage)).unwrap()
    }

    fn to_hlsl(module: &naga::Module, info: &ModuleInfo, entry: &EntryPoint) {
        let options = hlsl::Options { shader_model: hlsl::ShaderModel::V6_2, ..hlsl::Options::default() };
        let stage = hlsl::PipelineOptions { entry_point: Some((entry.stage, entry.name.clone())) };
        let mut text = String::new();
        let written = hlsl::Writer::new(&mut text, &options, &stage).write(module, info, None).unwrap();
        assert!(written.entry_point_names.iter().all(Result::is_ok));
    }

    fn to_msl(module: &naga::Module, info: &ModuleInfo, entry: &EntryPoint) {
        let options = msl::Options {
            lang_version: (2, 3),
            bounds_check_policies: policies(BoundsCheckPolicy::Restrict),
            ..msl::Options::default()
        };
        let stage = msl::PipelineOptions {
            entry_point: Some((entry.stage, entry.name.clone())),
            ..msl::PipelineOptions::default()
        };
        let (_, written) = msl::write_string(module, info, &options, &stage).unwrap();
        assert!(written.entry_point_names.iter().all(Result::is_ok));
    }

    fn to_glsl(module: &naga::Module, info: &ModuleInfo, entry: &EntryPoint) {
        let options = glsl::Options { version: glsl::Version::new_gles(310), ..glsl::Options::default() };
        let stage =
            glsl::PipelineOptions { shader_stage: entry.stage, entry_point: entry.name.clone(), multiview: None };
        let mut text = String::new();
        let policies = BoundsCheckPolicies::default();
        glsl::Writer::new(&mut text, module, info, &options, &stage, policies).unwrap().write().unwrap();
    }

    /// The canonical texts are the kernels of a 4x4 layer of stride 2 on a device of which nothing is known.
    #[test]
    fn the_canonical_texts_are_what_the_generator_writes() {
        for kernel in [Kernel::Direct, Kernel::Tiled] {
            let (_, op, _) = field::operations().swap_remove(0);
            let geometry = op.at(&[16, 512, 32, 32]).unwrap();
            let plan = Plan::with_kernel(&geometry, Storage::F32, &DeviceProfile::default(), kernel).unwrap();
            let Variant::Direct { tile, packing, .. } = Variant::of(&plan) else { panic!("no tile: {plan:?}") };
            let text = tiles::wgsl::canonical(&tile, &packing);
            validate(&text);
            let path = format!("{}/shaders/{kernel}.wgsl", env!("CARGO_MANIFEST_DIR"));
            if std::env::var_os("UPCONV_WRITE_SHADERS").is_some() {
                std::fs::write(&path, &text).unwrap();
            }
            let committed = std::fs::read_to_string(&path).unwrap();
            assert!(text == committed, "{path} is out of date: run this test with UPCONV_WRITE_SHADERS=1");
        }
    }

    /// The fields of a WGSL struct as (name, offset), and its size.
    pub(crate) fn layout(module: &naga::Module, name: &str) -> (Vec<(String, u32)>, u32) {
        let (_, found) = module.types.iter().find(|(_, kind)| kind.name.as_deref() == Some(name)).unwrap();
        let naga::TypeInner::Struct { members, span } = &found.inner else { panic!("{name} is no struct") };
        (members.iter().map(|member| (member.name.clone().unwrap(), member.offset)).collect(), *span)
    }

    #[test]
    fn parameters_have_the_same_layout_in_rust_and_in_wgsl() {
        use crate::gpu::kernels::weight_gradient::params as gradient;
        use crate::gpu::kernels::{gather::params as gather, means, pack, pointwise, sum, tiles::params as direct};
        let (gather_module, sum_module, pack_module) = (validate(GATHER), validate(SUM), validate(PACK));
        let direct_module = validate(include_str!("../../../shaders/direct.wgsl"));
        assert_eq!(gather::GpuAxis::layout(), layout(&gather_module, "Axis"));
        assert_eq!(gather::Params::layout(), layout(&gather_module, "Params"));
        assert_eq!(direct::GpuAxis::layout(), layout(&direct_module, "Axis"));
        assert_eq!(direct::Params::layout(), layout(&direct_module, "Params"));
        assert_eq!(sum::SumAxis::layout(), layout(&sum_module, "Axis"));
        assert_eq!(sum::Params::layout(), layout(&sum_module, "Params"));
        assert_eq!(pack::tiles::PackParams::layout(), layout(&pack_module, "Params"));
        let pointwise_module = validate(&Function::Gradient("1.0").source(Storage::F32));
        assert_eq!(pointwise::Params::layout(), layout(&pointwise_module, "Params"));
        assert_eq!(means::BlockParams::layout(), layout(&validate(BLOCK_SUMS), "Params"));
        assert_eq!(means::MeanParams::layout(), layout(&validate(MEANS), "Params"));
        assert_eq!(pack::adjoint::AdjointParams::layout(), layout(&validate(ADJOINT_WEIGHTS), "Params"));
        assert_eq!(pack::set::SetParams::layout(), layout(&validate(SET_WEIGHTS), "Params"));
        let [weight, bias, parts] = [WEIGHT_GRADIENT, BIAS_GRADIENT, GRADIENT_SUM].map(validate);
        assert_eq!(gradient::WeightAxis::layout(), layout(&weight, "Axis"));
        assert_eq!(gradient::WeightParams::layout(), layout(&weight, "Params"));
        assert_eq!(gradient::BiasParams::layout(), layout(&bias, "Params"));
        assert_eq!(gradient::SumAxis::layout(), layout(&parts, "Axis"));
        assert_eq!(gradient::SumParams::layout(), layout(&parts, "Params"));
    }
}
