//! A plan whose kernel is compiled, and its dispatches over given buffers.

use crate::error::Result;
use crate::gpu::device::binding::{entry, whole};
use crate::gpu::device::context::Context;
use crate::gpu::device::step::Step;
use crate::gpu::dispatch::{Band, Dispatch, Window, folded};
use crate::gpu::kernels::variant::Variant;
use crate::gpu::kernels::{gather, matrix, sum, tiles};
use crate::gpu::plan::body::{Body, Plan};
use crate::gpu::weights::Weights;
use std::sync::Arc;
use wgpu::{BindGroupDescriptor, Buffer, BufferSlice, BufferUsages, ComputePipeline};

/// A plan of one kernel, compiled, with the weights in its order.
#[derive(Clone, Debug)]
pub(crate) struct Compiled {
    context: Context,
    plan: Arc<Plan>,
    pipeline: ComputePipeline,
    /// What adds up the splits of the input channels, where there are any.
    sum: Option<ComputePipeline>,
    /// In the kernel's order.
    weights: Buffer,
    /// In the order of `gather`, for the biases that `sum` and `matrix` add.
    records: Buffer,
}

/// A compiled kernel and what it binds.
pub(crate) struct CompiledKernel {
    pub(crate) pipeline: ComputePipeline,
    /// The bytes of its parameters, binding 0.
    pub(crate) params: usize,
    /// How many storage buffers follow.
    pub(crate) buffers: usize,
}

/// What one dispatch is made of: its parameters at binding 0, behind them the parts of the buffers that it sees.
struct Call<'a> {
    pipeline: &'a ComputePipeline,
    params: Vec<u8>,
    buffers: Vec<(&'a Buffer, Window)>,
    workgroups: [u32; 3],
    kernel: &'static str,
    band: &'a Band,
    /// See [`Step`].
    multiply_adds: u64,
}

impl Compiled {
    /// Compiles the kernel of a plan (but `winograd`'s, which is made of several) and packs the weights for it.
    pub(crate) fn new(weights: &Weights, plan: Arc<Plan>) -> Result<Self> {
        let context = &weights.context;
        Ok(Self {
            pipeline: context.pipeline(&Variant::of(&plan))?,
            sum: Variant::sum(&plan).map(|variant| context.pipeline(&variant)).transpose()?,
            weights: match &plan.body {
                Body::Tiles(..) => weights.for_tiles()?,
                Body::Matrix(matrix, _) => weights.for_matrix(matrix)?,
                Body::Gather(_) | Body::Winograd(..) => weights.records.clone(),
            },
            records: weights.records.clone(),
            context: context.clone(),
            plan,
        })
    }

    /// The dispatches over the caller's buffers, in their order.
    pub(crate) fn steps(&self, input: BufferSlice<'_>, output: BufferSlice<'_>) -> Result<Vec<Step>> {
        let context = &self.context;
        let scratch = match self.plan.scratch_bytes() {
            0 => None,
            size => Some(context.buffer("upconv sums", size, BufferUsages::STORAGE)?),
        };
        let calls = self.calls(&input, &output, scratch.as_ref());
        let (uniform, windows) = context.uniforms(&calls.iter().map(|call| &call.params[..]).collect::<Vec<_>>())?;
        context.checked("binding buffers", || {
            let bind = |(call, &params): (&Call<'_>, &Window)| {
                let buffers = std::iter::once((&uniform, params)).chain(call.buffers.iter().copied());
                let entries: Vec<_> =
                    (0..).zip(buffers).map(|(binding, (buffer, window))| entry(binding, buffer, window)).collect();
                let layout = &call.pipeline.get_bind_group_layout(0);
                let descriptor = BindGroupDescriptor { label: Some("upconv layer"), layout, entries: &entries };
                Step {
                    pipeline: call.pipeline.clone(),
                    bind_group: context.device().create_bind_group(&descriptor),
                    workgroups: call.workgroups,
                    kernel: call.kernel,
                    band: Some(call.band.clone()),
                    multiply_adds: call.multiply_adds,
                }
            };
            calls.iter().zip(&windows).map(bind).collect()
        })
    }

    /// Each kernel once; `any` buffer will do.
    pub(crate) fn kernels(&self, any: &Buffer) -> Vec<CompiledKernel> {
        let scratch = (self.plan.scratch_bytes() > 0).then_some(any);
        let mut kernels: Vec<CompiledKernel> = Vec::new();
        for Call { pipeline, params, buffers, .. } in self.calls(&any.slice(..), &any.slice(..), scratch) {
            if kernels.iter().all(|kernel| kernel.pipeline != *pipeline) {
                let (params, buffers) = (params.len(), buffers.len());
                kernels.push(CompiledKernel { pipeline: pipeline.clone(), params, buffers });
            }
        }
        kernels
    }

    /// The plan's dispatches, each followed by the sum of its splits where these are complete.
    fn calls<'a>(
        &'a self,
        input: &BufferSlice<'a>,
        output: &BufferSlice<'a>,
        scratch: Option<&'a Buffer>,
    ) -> Vec<Call<'a>> {
        let Self { context, plan, .. } = self;
        let geometry = &plan.geometry;
        let scratch = scratch.map(|buffer| (buffer, whole(buffer)));
        let records = (&self.records, whole(&self.records));
        let mut calls = Vec::new();
        for dispatch in plan.dispatches() {
            let x = (input.buffer(), shifted(dispatch.input, input));
            let w = (&self.weights, dispatch.weights);
            let y = (output.buffer(), shifted(dispatch.output, output));
            let buffers = match (&plan.body, &self.sum, scratch) {
                (Body::Matrix(..), ..) => vec![x, w, records, y],
                (_, Some(_), Some(sums)) => vec![x, w, sums],
                _ => [x, w, y].into_iter().chain(scratch).collect(),
            };
            let band = &dispatch.band;
            calls.push(Call {
                pipeline: &self.pipeline,
                params: self.params(dispatch),
                buffers,
                workgroups: dispatch.workgroups,
                kernel: plan.kernel().name(),
                band,
                multiply_adds: dispatch.multiply_adds,
            });
            let last = band.group_in_channels.end == geometry.op.in_channels() / geometry.op.groups();
            if let (Some(sum), Some(sums), true) = (&self.sum, scratch, last) {
                let params = sum::Params::new(geometry, plan.storage, plan.splits(), dispatch);
                calls.push(Call {
                    pipeline: sum,
                    params: bytemuck::bytes_of(&params).to_vec(),
                    buffers: vec![sums, records, y],
                    workgroups: folded(band, context.profile()),
                    kernel: "sum",
                    band,
                    // It reads what the dispatches before it left.
                    multiply_adds: 0,
                });
            }
        }
        calls
    }

    /// The kernel's parameters for a dispatch.
    fn params(&self, dispatch: &Dispatch) -> Vec<u8> {
        let Plan { geometry, storage, body, .. } = &*self.plan;
        match body {
            Body::Gather(_) | Body::Winograd(..) => {
                bytemuck::bytes_of(&gather::params::Params::new(geometry, *storage, dispatch)).to_vec()
            }
            Body::Tiles(tile, _) => {
                let params = tiles::params::Params::new(geometry, *storage, tile, dispatch);
                bytemuck::bytes_of(&params).to_vec()
            }
            Body::Matrix(matrix, _) => matrix::params::uniforms(geometry, matrix),
        }
    }
}

fn shifted(window: Window, slice: &BufferSlice<'_>) -> Window {
    Window { offset: window.offset + slice.offset(), ..window }
}
