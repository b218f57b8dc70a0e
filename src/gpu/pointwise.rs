//! A function of each element of an output, compiled for a shape.

use super::device::binding::{entry, whole};
use super::device::context::Context;
use super::device::step::Step;
use super::dispatch::{GATHER_WORKGROUP, MAX_ELEMENTS, Window, rows};
use super::kernels::pointwise::{Function, Params};
use super::kernels::variant::Variant;
use super::storage::Storage;
use crate::error::{Error, Result};
use crate::op::Geometry;
use wgpu::{BindGroupDescriptor, Buffer, BufferSlice, ComputePipeline};

/// A function of the elements of an operation's outputs, with the parameters of the operation's activation.
#[derive(Clone, Debug)]
pub(crate) struct Pointwise {
    context: Context,
    function: Function,
    pipeline: ComputePipeline,
    calls: Vec<Call>,
    uniform: Buffer,
    /// One parameter for each channel.
    alphas: Buffer,
}

/// One dispatch.
#[derive(Clone, Debug)]
struct Call {
    params: Window,
    /// What it sees of each operand.
    window: Window,
    elements: usize,
    workgroups: [u32; 2],
}

impl Pointwise {
    /// Compiles it.
    ///
    /// # Errors
    /// [`Error::Limit`] for a device whose bindings hold less than its alignment, [`Error::Device`].
    pub(crate) fn new(context: &Context, geometry: &Geometry, storage: Storage, function: Function) -> Result<Self> {
        let (op, profile) = (geometry.op(), context.profile());
        let alphas: Vec<f32> = (0..op.out_channels()).map(|channel| op.activation().parameters(channel).0).collect();
        let parts = parts(geometry.output_len(), storage, profile.max_binding, profile.binding_alignment, {
            u64::from(profile.max_workgroups).pow(2).saturating_mul(GATHER_WORKGROUP)
        })?;
        let params: Vec<Params> =
            parts.iter().map(|&(begin, elements)| Params::new(geometry, begin, elements)).collect();
        let bytes: Vec<&[u8]> = params.iter().map(bytemuck::bytes_of).collect();
        let (uniform, windows) = context.uniforms(&bytes)?;
        let call = |((begin, elements), params): ((usize, usize), Window)| Call {
            params,
            window: Window {
                offset: begin as u64 * storage.size(),
                size: (elements as u64 * storage.size()).next_multiple_of(4),
            },
            elements,
            workgroups: rows((elements as u64).div_ceil(GATHER_WORKGROUP), profile.max_workgroups),
        };
        Ok(Self {
            context: context.clone(),
            function,
            pipeline: context.pipeline(&Variant::Pointwise { function, storage })?,
            calls: parts.into_iter().zip(windows).map(call).collect(),
            uniform,
            alphas: context.upload_bytes("upconv activation", bytemuck::cast_slice(&alphas))?,
        })
    }

    /// The dispatches over these buffers, of which only the last is written. `second` is looked at where the function has
    /// a second operand.
    pub(crate) fn steps(
        &self,
        first: BufferSlice<'_>,
        second: BufferSlice<'_>,
        result: BufferSlice<'_>,
    ) -> Result<Vec<Step>> {
        self.context.checked("binding buffers", || {
            let layout = self.pipeline.get_bind_group_layout(0);
            let step = |call: &Call| {
                let window =
                    |slice: BufferSlice<'_>| Window { offset: slice.offset() + call.window.offset, ..call.window };
                let mut entries = vec![
                    entry(0, &self.uniform, call.params),
                    entry(1, first.buffer(), window(first)),
                    entry(3, result.buffer(), window(result)),
                    entry(4, &self.alphas, whole(&self.alphas)),
                ];
                if self.function.has_second() {
                    entries.push(entry(2, second.buffer(), window(second)));
                }
                let descriptor =
                    BindGroupDescriptor { label: Some("upconv pointwise"), layout: &layout, entries: &entries };
                let [x, y] = call.workgroups;
                Step {
                    pipeline: self.pipeline.clone(),
                    bind_group: self.context.device().create_bind_group(&descriptor),
                    workgroups: [x, y, 1],
                    layer: 0,
                    kernel: "pointwise",
                    band: None,
                    multiply_adds: call.elements as u64,
                }
            };
            self.calls.iter().map(step).collect()
        })
    }
}

/// Cuts so many elements into `(begin, elements)` that a binding, the device's workgroups and the shaders' integers have room
/// for; each begins where a binding may.
fn parts(
    elements: usize,
    storage: Storage,
    max_binding: u64,
    alignment: u64,
    most_invocations: u64,
) -> Result<Vec<(usize, usize)>> {
    let most = (max_binding / storage.size()).min(most_invocations).min(MAX_ELEMENTS);
    let most = most / alignment.max(4) * alignment.max(4);
    if most == 0 {
        let (what, limit_name) = ("the elements of an output".into(), "max_storage_buffer_binding_size");
        return Err(Error::Limit { what, needed: alignment.max(4) * storage.size(), limit: max_binding, limit_name });
    }
    let most = most as usize;
    Ok((0..elements).step_by(most).map(|begin| (begin, most.min(elements - begin))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_cover_all_and_begin_where_a_binding_may() {
        for (elements, max_binding) in [(0, 4096), (5, 4096), (1024, 4096), (5000, 4096), (100_000, 1 << 27)] {
            for storage in [Storage::F32, Storage::F16] {
                let parts = parts(elements, storage, max_binding, 256, 1 << 20).unwrap();
                let mut end = 0;
                for (begin, count) in parts {
                    assert!(begin == end && count > 0 && (begin as u64 * storage.size()).is_multiple_of(256));
                    assert!(count as u64 * storage.size() <= max_binding);
                    end = begin + count;
                }
                assert_eq!(end, elements);
            }
        }
        assert!(parts(10, Storage::F32, 512, 256, 1 << 20).is_err());
    }
}
