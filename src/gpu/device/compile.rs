//! From a kernel's WGSL to a pipeline.

use crate::gpu::kernels::variant::Variant;
use wgpu::{
    ComputePipeline, ComputePipelineDescriptor, Device, PipelineCache, PipelineCompilationOptions,
    ShaderModuleDescriptor, ShaderSource,
};

/// `source` is the variant's WGSL.
pub(crate) fn compile(
    device: &Device,
    cache: Option<&PipelineCache>,
    variant: &Variant,
    source: &str,
) -> ComputePipeline {
    let label = format!("upconv {variant:?}");
    let module = device.create_shader_module(ShaderModuleDescriptor {
        label: Some(&label),
        source: ShaderSource::Wgsl(source.into()),
    });
    device.create_compute_pipeline(&ComputePipelineDescriptor {
        label: Some(&label),
        layout: None,
        module: &module,
        entry_point: Some(variant.entry_point()),
        // `tiled` and `matrix` write what they read of the workgroup's memory; no other kernel has any.
        compilation_options: PipelineCompilationOptions {
            zero_initialize_workgroup_memory: false,
            ..PipelineCompilationOptions::default()
        },
        cache,
    })
}
