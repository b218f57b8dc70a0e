//! Compiles a kernel and times its dispatch.

use crate::bench::timing::{Budget, timed};
use anyhow::{Result, bail};
use upconv::gpu::Context;
use upconv::wgpu::{
    BindGroupDescriptor, BindGroupEntry, Buffer, ComputePipelineDescriptor, ErrorFilter, PollType,
    ShaderModuleDescriptor, ShaderSource,
};

/// The median seconds of a dispatch, submitted and waited for.
pub(super) fn seconds(
    context: &Context,
    text: &str,
    buffers: &[&Buffer],
    groups: [usize; 2],
    budget: Budget,
) -> Result<f64> {
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
    let once = || {
        let mut encoder = device.create_command_encoder(&Default::default());
        let mut pass = encoder.begin_compute_pass(&Default::default());
        pass.set_pipeline(&pipeline);
        pass.set_bind_group(0, &bindings, &[]);
        pass.dispatch_workgroups(groups[0] as u32, groups[1] as u32, 1);
        drop(pass);
        context.queue().submit([encoder.finish()]);
        device.poll(PollType::wait_indefinitely())?;
        Ok(())
    };
    // The first dispatch includes what the driver compiles late.
    once()?;
    Ok(budget.sample(|| Ok(timed(once)?.1))?.median())
}
