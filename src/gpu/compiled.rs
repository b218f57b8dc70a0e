//! A plan whose kernel is compiled, with the parameters of its dispatches; over given buffers, its steps.

use crate::error::Result;
use crate::gpu::device::binding::{Slices, entry, whole};
use crate::gpu::device::context::Context;
use crate::gpu::device::step::Step;
use crate::gpu::dispatch::{Band, Dispatch, Window, folded};
use crate::gpu::kernels::fused::{Fused, PRE_ALPHAS, RESIDUAL};
use crate::gpu::kernels::variant::Variant;
use crate::gpu::kernels::{gather, matrix, sum, tiles};
use crate::gpu::plan::body::{Body, Plan};
use crate::gpu::weights::Weights;
use std::ops::Range;
use std::sync::Arc;
use wgpu::{BindGroupDescriptor, BindGroupLayout, Buffer, BufferSlice, BufferUsages, ComputePipeline};

/// A plan of one kernel, compiled, with the weights in its order.
#[derive(Debug)]
pub(crate) struct Compiled {
    context: Context,
    plan: Arc<Plan>,
    calls: Vec<Call>,
    /// The parameters of all calls, which depend on the plan alone.
    uniform: Buffer,
    /// In the kernel's order.
    weights: Buffer,
    /// In the order of `gather`, for the biases that `sum` and `matrix` add.
    records: Buffer,
    /// The parameters of a pre-activation, where each channel has one of its own.
    pre_alphas: Option<Buffer>,
}

/// One dispatch: its parameters, at binding 0, and what it sees of the buffers.
#[derive(Debug)]
struct Call {
    pipeline: ComputePipeline,
    layout: BindGroupLayout,
    params: Window,
    /// By the number of the binding.
    operands: Vec<(u32, Operand, Window)>,
    workgroups: [u32; 3],
    kernel: &'static str,
    band: Band,
    /// See [`Step`].
    multiply_adds: u64,
}

/// What a binding is of.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Operand {
    Input,
    Weights,
    Records,
    PreAlphas,
    Residual,
    Scratch,
    Output,
}

/// A compiled kernel and what it binds.
#[derive(Clone, Debug)]
pub(crate) struct CompiledKernel {
    pub(crate) pipeline: ComputePipeline,
    /// The bytes of its parameters, binding 0.
    pub(crate) params: u64,
    /// The numbers of its storage buffers.
    pub(crate) buffers: Vec<u32>,
    /// Further uniform buffers.
    pub(crate) uniforms: Vec<(u32, Buffer)>,
}

impl Compiled {
    /// Compiles the kernel of a plan (but `winograd`'s, which is made of several) and packs the weights for it.
    pub(crate) fn new(weights: &Weights, plan: Arc<Plan>) -> Result<Self> {
        let context = &weights.context;
        let pipeline = context.pipeline(&Variant::of(&plan))?;
        let sum = Variant::sum(&plan).map(|variant| context.pipeline(&variant)).transpose()?;
        // Of a pipeline that turns out to be invalid the layout is, too.
        let (calls, params) =
            context.checked("compiling a kernel", || calls(context, weights, &plan, &pipeline, sum.as_ref()))?;
        let (uniform, windows) = context.uniforms(&params.iter().map(Vec::as_slice).collect::<Vec<_>>())?;
        Ok(Self {
            calls: calls.into_iter().zip(windows).map(|(call, params)| Call { params, ..call }).collect(),
            uniform,
            weights: match &plan.body {
                Body::Tiles(tile, _) => weights.for_tiles(tile.factors())?,
                Body::Matrix(matrix, _) => weights.for_matrix(matrix)?,
                Body::Gather(_) | Body::Winograd(..) => weights.records.clone(),
            },
            records: weights.records.clone(),
            pre_alphas: weights.pre_alphas.clone(),
            context: context.clone(),
            plan,
        })
    }

    /// The dispatches over the caller's buffers, in their order: nothing but bind groups is made, and the scratch memory
    /// of plans that need some.
    pub(crate) fn steps(&self, slices: Slices<'_>) -> Result<Vec<Step>> {
        let context = &self.context;
        let scratch = match self.plan.scratch_bytes() {
            0 => None,
            size => Some(context.buffer("upconv sums", size, BufferUsages::STORAGE)?),
        };
        context.checked("binding buffers", || {
            let step = |call: &Call| {
                let operand = |&(binding, operand, window): &(u32, Operand, Window)| {
                    let (buffer, offset) = match operand {
                        Operand::Input => (slices.input.buffer(), slices.input.offset()),
                        Operand::Output => (slices.output.buffer(), slices.output.offset()),
                        Operand::Residual => slices.residual.map(|slice| (slice.buffer(), slice.offset()))?,
                        Operand::Weights => (&self.weights, 0),
                        Operand::Records => (&self.records, 0),
                        Operand::PreAlphas => (self.pre_alphas.as_ref()?, 0),
                        Operand::Scratch => (scratch.as_ref()?, 0),
                    };
                    let window = match window.size {
                        0 => whole(buffer),
                        _ => Window { offset: window.offset + offset, ..window },
                    };
                    Some(entry(binding, buffer, window))
                };
                let params = entry(0, &self.uniform, call.params);
                let entries: Vec<_> = std::iter::once(params).chain(call.operands.iter().filter_map(operand)).collect();
                let descriptor =
                    BindGroupDescriptor { label: Some("upconv layer"), layout: &call.layout, entries: &entries };
                Step {
                    pipeline: call.pipeline.clone(),
                    bind_group: context.device().create_bind_group(&descriptor),
                    workgroups: call.workgroups,
                    layer: 0,
                    kernel: call.kernel,
                    band: Some(call.band.clone()),
                    multiply_adds: call.multiply_adds,
                }
            };
            self.calls.iter().map(step).collect()
        })
    }

    /// The bytes of two operands that a dispatch would see in the same buffer and that overlap there, the second being the
    /// output's.
    pub(crate) fn overlap(&self, slices: Slices<'_>) -> Option<[Range<u64>; 2]> {
        let written = slices.output.buffer();
        self.calls.iter().find_map(|call| {
            let seen = |of: Operand| call.operands.iter().find(|&&(_, operand, _)| operand == of).map(|&(.., at)| at);
            let range = |window: Window, slice: BufferSlice<'_>| {
                let first = slice.offset() + window.offset;
                first..first + window.size
            };
            let output = range(seen(Operand::Output)?, slices.output);
            let read = [(Operand::Input, Some(slices.input)), (Operand::Residual, slices.residual)];
            read.into_iter().find_map(|(operand, slice)| {
                let slice = slice.filter(|slice| slice.buffer() == written)?;
                let read = range(seen(operand)?, slice);
                (read.start < output.end && output.start < read.end).then(|| [read, output.clone()])
            })
        })
    }

    /// Each kernel once.
    pub(crate) fn kernels(&self) -> Vec<CompiledKernel> {
        let mut kernels: Vec<CompiledKernel> = Vec::new();
        for Call { pipeline, params, operands, .. } in &self.calls {
            if kernels.iter().all(|kernel| kernel.pipeline != *pipeline) {
                let storage = |&&(_, operand, _): &&(u32, Operand, Window)| operand != Operand::PreAlphas;
                let buffers = operands.iter().filter(storage).map(|&(binding, ..)| binding).collect();
                let uniforms = self.pre_alphas.iter().map(|buffer| (PRE_ALPHAS, buffer.clone()));
                let uniforms = uniforms.filter(|_| operands.len() > operands.iter().filter(storage).count()).collect();
                let (pipeline, params) = (pipeline.clone(), params.size);
                kernels.push(CompiledKernel { pipeline, params, buffers, uniforms });
            }
        }
        kernels
    }
}

/// A window of all that there is of a buffer.
const WHOLE: Window = Window { offset: 0, size: 0 };

/// The plan's dispatches, each followed by the sum of its splits where these are complete, and their parameters.
fn calls(
    context: &Context,
    weights: &Weights,
    plan: &Plan,
    pipeline: &ComputePipeline,
    sum: Option<&ComputePipeline>,
) -> (Vec<Call>, Vec<Vec<u8>>) {
    let (geometry, layout) = (&plan.geometry, pipeline.get_bind_group_layout(0));
    let carried = plan.scratch_bytes() > 0;
    let by_channel = Fused::of(geometry).pre_by_channel && weights.pre_alphas.is_some();
    let (mut calls, mut all_params) = (Vec::new(), Vec::new());
    for dispatch in plan.dispatches() {
        let input = (1, Operand::Input, dispatch.input);
        let weights = (2, Operand::Weights, dispatch.weights);
        let output = |binding| (binding, Operand::Output, dispatch.output);
        let residual = dispatch.residual.map(|window| (RESIDUAL, Operand::Residual, window));
        let mut operands = match &plan.body {
            Body::Matrix(..) => vec![input, weights, (3, Operand::Records, WHOLE), output(4)],
            _ if sum.is_some() => vec![input, weights, (3, Operand::Scratch, WHOLE)],
            _ => {
                let scratch = carried.then_some((4, Operand::Scratch, WHOLE));
                [input, weights, output(3)].into_iter().chain(scratch).chain(residual).collect()
            }
        };
        operands.extend(by_channel.then_some((PRE_ALPHAS, Operand::PreAlphas, WHOLE)));
        let band = &dispatch.band;
        all_params.push(params(plan, dispatch));
        calls.push(Call {
            pipeline: pipeline.clone(),
            layout: layout.clone(),
            params: WHOLE,
            operands,
            workgroups: dispatch.workgroups,
            kernel: plan.kernel().name(),
            band: band.clone(),
            multiply_adds: dispatch.multiply_adds,
        });
        if let (Some(sum), true) = (sum, band.group_in_channels.end == geometry.op.in_channels() / geometry.op.groups())
        {
            let params = sum::Params::new(geometry, plan.storage, plan.splits(), dispatch);
            all_params.push(bytemuck::bytes_of(&params).to_vec());
            let operands = [(1, Operand::Scratch, WHOLE), (2, Operand::Records, WHOLE), output(3)];
            calls.push(Call {
                pipeline: sum.clone(),
                layout: sum.get_bind_group_layout(0),
                params: WHOLE,
                operands: operands.into_iter().chain(residual).collect(),
                workgroups: folded(band, context.profile()),
                kernel: "sum",
                band: band.clone(),
                // It reads what the dispatches before it left.
                multiply_adds: 0,
            });
        }
    }
    (calls, all_params)
}

/// The kernel's parameters for a dispatch.
fn params(plan: &Plan, dispatch: &Dispatch) -> Vec<u8> {
    let Plan { geometry, storage, body, .. } = plan;
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
