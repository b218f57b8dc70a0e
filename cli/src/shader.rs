//! Kernels of the program's own, beside the library's: compiled and run.

use anyhow::{Result, bail};
use upconv::gpu::Context;
use upconv::wgpu::{
    BindGroup, BindGroupDescriptor, BindGroupEntry, Buffer, ComputePipeline, ComputePipelineDescriptor, ErrorFilter,
    PollType, ShaderModuleDescriptor, ShaderSource,
};

/// A compiled kernel with its buffers.
pub(crate) struct Shader<'a> {
    context: &'a Context,
    pipeline: ComputePipeline,
    bindings: BindGroup,
}

impl<'a> Shader<'a> {
    /// Compiles WGSL with one entry point, which binds these buffers from binding 0 on.
    pub(crate) fn new(context: &'a Context, text: &str, buffers: &[&Buffer]) -> Result<Self> {
        let device = context.device();
        let scope = device.push_error_scope(ErrorFilter::Validation);
        let source = ShaderSource::Wgsl(text.into());
        let module = device.create_shader_module(ShaderModuleDescriptor { label: None, source });
        let pipeline = device.create_compute_pipeline(&ComputePipelineDescriptor {
            label: None,
            layout: None,
            module: &module,
            entry_point: None,
            compilation_options: Default::default(),
            cache: None,
        });
        let entries: Vec<BindGroupEntry<'_>> = buffers
            .iter()
            .zip(0..)
            .map(|(buffer, binding)| BindGroupEntry { binding, resource: buffer.as_entire_binding() })
            .collect();
        let bindings = device.create_bind_group(&BindGroupDescriptor {
            label: None,
            layout: &pipeline.get_bind_group_layout(0),
            entries: &entries,
        });
        if let Some(error) = pollster::block_on(scope.pop()) {
            bail!("{error}");
        }
        Ok(Self { context, pipeline, bindings })
    }

    /// Submits one dispatch of so many workgroups along x and y, and waits for it.
    pub(crate) fn run(&self, groups: [usize; 2]) -> Result<()> {
        let device = self.context.device();
        let mut encoder = device.create_command_encoder(&Default::default());
        let mut pass = encoder.begin_compute_pass(&Default::default());
        pass.set_pipeline(&self.pipeline);
        pass.set_bind_group(0, &self.bindings, &[]);
        pass.dispatch_workgroups(groups[0] as u32, groups[1] as u32, 1);
        drop(pass);
        self.context.queue().submit([encoder.finish()]);
        device.poll(PollType::wait_indefinitely())?;
        Ok(())
    }
}
