//! Bind groups of copies, and the dispatches of those that are computed.

use super::region::Rectangle;
use crate::error::{Error, Result};
use crate::gpu::device::context::Context;
use crate::gpu::device::step::{Recorder, Step};
use crate::gpu::dispatch::Window;
use wgpu::{
    BindGroup, BindGroupDescriptor, BindGroupEntry, BindGroupLayout, BindGroupLayoutDescriptor, BindGroupLayoutEntry,
    BindingResource, BindingType, BufferBinding, BufferBindingType, BufferSize, BufferSlice, ComputePass,
    ComputePipeline, ComputePipelineDescriptor, PipelineLayout, PipelineLayoutDescriptor, ShaderModule,
    ShaderModuleDescriptor, ShaderSource, ShaderStages,
};

/// A copy between a texture and a buffer, ready to be recorded.
#[derive(Clone, Debug)]
pub struct BoundTexture {
    steps: Vec<Step>,
}

impl BoundTexture {
    /// Records the copy: one dispatch where the planes fit into one binding, otherwise one for each band of rows.
    pub fn encode(&self, pass: &mut ComputePass<'_>) {
        let mut recorder = Recorder::default();
        self.steps.iter().for_each(|step| recorder.record(step, pass));
    }
}

/// A shader with the layout of what is bound to it: its parameters, and behind them `bindings`.
pub(super) struct Program {
    pub(super) module: ShaderModule,
    pub(super) bindings: BindGroupLayout,
    pub(super) layout: PipelineLayout,
}

impl Program {
    /// To be called inside an error scope.
    pub(super) fn new(
        context: &Context,
        name: &'static str,
        source: String,
        visibility: ShaderStages,
        bindings: &[BindingType],
    ) -> Self {
        let device = context.device();
        let uniform =
            BindingType::Buffer { ty: BufferBindingType::Uniform, has_dynamic_offset: false, min_binding_size: None };
        let entry = |(binding, &ty)| BindGroupLayoutEntry { binding, visibility, ty, count: None };
        let entries: Vec<_> = (0..).zip([uniform].iter().chain(bindings)).map(entry).collect();
        let bindings =
            device.create_bind_group_layout(&BindGroupLayoutDescriptor { label: Some(name), entries: &entries });
        let module = device.create_shader_module(ShaderModuleDescriptor {
            label: Some(name),
            source: ShaderSource::Wgsl(source.into()),
        });
        let layout = device.create_pipeline_layout(&PipelineLayoutDescriptor {
            label: Some(name),
            bind_group_layouts: &[Some(&bindings)],
            immediate_size: 0,
        });
        Self { module, bindings, layout }
    }
}

/// What a program with its one compute kernel, of this name, is compiled to.
#[derive(Clone, Debug)]
pub(super) struct Kernel {
    name: &'static str,
    pipeline: ComputePipeline,
    bindings: BindGroupLayout,
}

/// What one dispatch or draw sees: its parameters, and what is bound behind them.
pub(super) struct Set<'a> {
    pub(super) params: Vec<i32>,
    pub(super) bindings: Vec<BindingResource<'a>>,
}

impl Kernel {
    pub(super) fn new(context: &Context, name: &'static str, source: String, bindings: &[BindingType]) -> Result<Self> {
        context.checked("compiling a texture's kernel", || {
            let program = Program::new(context, name, source, ShaderStages::COMPUTE, bindings);
            let pipeline = context.device().create_compute_pipeline(&ComputePipelineDescriptor {
                label: Some(name),
                layout: Some(&program.layout),
                module: &program.module,
                entry_point: Some(name),
                compilation_options: Default::default(),
                cache: context.pipeline_cache(),
            });
            Self { name, pipeline, bindings: program.bindings }
        })
    }

    /// Dispatches over so many columns and rows each.
    pub(super) fn bind(&self, context: &Context, dispatches: &[(Set<'_>, [usize; 2])]) -> Result<BoundTexture> {
        let groups = bind_groups(context, &self.bindings, dispatches.iter().map(|(set, _)| set))?;
        let step = |(bind_group, (_, extent)): (BindGroup, &(Set<'_>, [usize; 2]))| {
            let [x, y] = extent.map(|pixels| pixels.div_ceil(SIDE) as u32);
            let (pipeline, kernel) = (self.pipeline.clone(), self.name);
            Step { layer: 0, pipeline, bind_group, workgroups: [x, y, 1], kernel, band: None, multiply_adds: 0 }
        };
        Ok(BoundTexture { steps: groups.into_iter().zip(dispatches).map(step).collect() })
    }
}

/// Invocations of a workgroup along each axis.
const SIDE: usize = 8;

/// The most rows of so many pixels that one dispatch can do.
pub(super) fn most_rows(context: &Context, width: usize) -> Result<usize> {
    let (groups, limit) = (width.div_ceil(SIDE) as u64, context.profile().max_workgroups);
    if groups > limit.into() {
        let (what, limit_name) = (format!("a row of {width} pixels"), "max_compute_workgroups_per_dimension");
        return Err(Error::Limit { what, needed: groups, limit: limit.into(), limit_name });
    }
    Ok((limit as usize).saturating_mul(SIDE))
}

pub(super) fn bind_groups<'a, 'b: 'a>(
    context: &Context,
    layout: &BindGroupLayout,
    sets: impl Iterator<Item = &'a Set<'b>> + Clone,
) -> Result<Vec<BindGroup>> {
    let params: Vec<&[u8]> = sets.clone().map(|set| bytemuck::cast_slice(&set.params)).collect();
    let (uniform, windows) = context.uniforms(&params)?;
    context.checked("binding a texture", || {
        let group = |(set, window): (&Set<'_>, Window)| {
            let params = window_of(&uniform.slice(..), window);
            let resources = std::iter::once(params).chain(set.bindings.iter().cloned());
            let entries: Vec<_> =
                (0..).zip(resources).map(|(binding, resource)| BindGroupEntry { binding, resource }).collect();
            let descriptor = BindGroupDescriptor { label: Some("upconv texture"), layout, entries: &entries };
            context.device().create_bind_group(&descriptor)
        };
        sets.zip(windows).map(group).collect()
    })
}

/// A buffer of planes.
pub(super) fn planes(read_only: bool) -> BindingType {
    BindingType::Buffer {
        ty: BufferBindingType::Storage { read_only },
        has_dynamic_offset: false,
        min_binding_size: None,
    }
}

/// A part of a slice.
pub(super) fn window_of<'a>(slice: &BufferSlice<'a>, window: Window) -> BindingResource<'a> {
    BindingResource::Buffer(BufferBinding {
        buffer: slice.buffer(),
        offset: slice.offset() + window.offset,
        size: BufferSize::new(window.size),
    })
}

/// The columns and rows of a rectangle.
pub(super) fn extent_of(rectangle: &Rectangle) -> [usize; 2] {
    [rectangle.width as usize, rectangle.height as usize]
}
