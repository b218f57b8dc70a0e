//! The gradients of a layer, planned and compiled for a shape: bound to the caller's buffers.

use super::bias::BiasCut;
use super::plan::GradientPlan;
use super::request::GradientKernel;
use super::weight::WeightCut;
#[cfg(doc)]
use crate::error::Error;
use crate::error::Result;
use crate::gpu::device::binding::{check_apart, entry, whole};
use crate::gpu::device::context::Context;
use crate::gpu::device::span::span;
use crate::gpu::device::step::Step;
use crate::gpu::dispatch::{GATHER_WORKGROUP, Window, rows};
use crate::gpu::kernels::variant::Variant;
use crate::gpu::prepared::Bound;
use crate::gpu::storage::Storage;
use crate::op::Geometry;
use std::sync::Arc;
use wgpu::{BindGroupDescriptor, Buffer, BufferSlice, BufferUsages, ComputePipeline};

/// The gradients of a layer's weight and bias, planned for one input shape. Cheap to clone.
#[derive(Clone, Debug)]
pub struct PreparedWeightGradient {
    context: Context,
    plan: Arc<GradientPlan>,
    compiled: Arc<Compiled>,
}

#[derive(Debug)]
struct Compiled {
    weight: Vec<Call>,
    bias: Vec<Call>,
    /// The parameters of all calls, which depend on the plan alone.
    uniform: Buffer,
}

/// One dispatch: its parameters, at binding 0, and what it sees of the buffers.
#[derive(Debug)]
struct Call {
    pipeline: ComputePipeline,
    params: Window,
    /// From binding 1 on.
    operands: Vec<(Operand, Window)>,
    workgroups: [u32; 3],
    kernel: &'static str,
    multiply_adds: u64,
}

#[derive(Clone, Copy, Debug)]
enum Operand {
    Input,
    Gradient,
    Sums,
    Result,
}

/// All of the scratch memory.
const SUMS: (Operand, Window) = (Operand::Sums, Window { offset: 0, size: 0 });

impl PreparedWeightGradient {
    /// Compiles what a plan needs. The gradient of the output that is bound is the one before the activation: the
    /// operation's is not looked at.
    /// Without `weight`, only the bias's can be computed.
    pub(crate) fn new(context: &Context, plan: GradientPlan, weight: bool) -> Result<Self> {
        let (weight, mut all_params) = if weight { weight_calls(context, &plan)? } else { Default::default() };
        let (bias, bias_params) = bias_calls(context, &plan)?;
        all_params.extend(bias_params);
        let (uniform, windows) = context.uniforms(&all_params.iter().map(Vec::as_slice).collect::<Vec<_>>())?;
        let mut windows = windows.into_iter();
        let mut placed = |calls: Vec<Call>| -> Vec<Call> {
            calls.into_iter().zip(windows.by_ref()).map(|(call, params)| Call { params, ..call }).collect()
        };
        let (weight, bias) = (placed(weight), placed(bias));
        let compiled = Arc::new(Compiled { weight, bias, uniform });
        Ok(Self { context: context.clone(), plan: Arc::new(plan), compiled })
    }

    /// The device.
    pub fn context(&self) -> &Context {
        &self.context
    }

    /// The sizes.
    pub fn geometry(&self) -> &Geometry {
        self.plan.geometry()
    }

    /// What was decided.
    pub fn plan(&self) -> &GradientPlan {
        &self.plan
    }

    /// The bytes that the input's buffer must have.
    pub fn input_bytes(&self) -> u64 {
        bytes(self.geometry().input_len(), self.plan.storage())
    }

    /// The bytes that the buffer of the output's gradient must have: those of the output.
    pub fn gradient_bytes(&self) -> u64 {
        bytes(self.geometry().output_len(), self.plan.storage())
    }

    /// The bytes that the buffer of the weight's gradient must have: f32 in the order of the weight that the layer was made
    /// of.
    pub fn weight_gradient_bytes(&self) -> u64 {
        bytes(self.plan.weight_shape().iter().product(), Storage::F32)
    }

    /// The bytes that the buffer of the bias's gradient must have: f32, one for each output channel.
    pub fn bias_gradient_bytes(&self) -> u64 {
        bytes(self.geometry().op().out_channels(), Storage::F32)
    }

    /// Binds the caller's buffers: the input, the gradient of the output, and what is written, the gradient of the weight
    /// and, where it is wanted, that of the bias. They have usage STORAGE, begin at multiples of the device's
    /// `min_storage_buffer_offset_alignment`, and hold at least [`input_bytes`](Self::input_bytes),
    /// [`gradient_bytes`](Self::gradient_bytes), [`weight_gradient_bytes`](Self::weight_gradient_bytes) and
    /// [`bias_gradient_bytes`](Self::bias_gradient_bytes). No two of them may be in the same buffer, but for the input and
    /// the output's gradient, which are only read, and the two that are written, where their bytes lie apart.
    ///
    /// It makes bind groups and scratch memory; nothing is written.
    ///
    /// # Errors
    /// [`Error::Buffer`] saying which of this does not hold; [`Error::Device`].
    pub fn bind(
        &self,
        input: BufferSlice<'_>,
        gradient: BufferSlice<'_>,
        weight_gradient: BufferSlice<'_>,
        bias_gradient: Option<BufferSlice<'_>>,
    ) -> Result<Bound> {
        let context = &self.context;
        span!("bind", kernel = self.plan.kernel().name(), dispatches = self.plan.dispatch_count());
        let read = [("input", input, self.input_bytes()), ("output gradient", gradient, self.gradient_bytes())];
        let mut written = vec![("weight gradient", weight_gradient, self.weight_gradient_bytes())];
        written.extend(bias_gradient.map(|slice| ("bias gradient", slice, self.bias_gradient_bytes())));
        check_apart(context, &read, &written)?;
        let scratch = self.scratch()?;
        let steps = context.checked("binding buffers", || {
            let weight = self.compiled.weight.iter().map(|call| (call, weight_gradient));
            let bias = bias_gradient.map(|slice| self.compiled.bias.iter().map(move |call| (call, slice)));
            let calls = weight.chain(bias.into_iter().flatten());
            calls.map(|(call, result)| self.step(call, [input, gradient, result], &scratch)).collect()
        })?;
        Ok(Bound::new(context, steps))
    }

    /// The dispatches of the bias's gradient alone, over buffers that were checked.
    pub(crate) fn bias_steps(&self, gradient: BufferSlice<'_>, bias_gradient: BufferSlice<'_>) -> Result<Vec<Step>> {
        let scratch = self.scratch()?;
        self.context.checked("binding buffers", || {
            let operands = [gradient, gradient, bias_gradient];
            self.compiled.bias.iter().map(|call| self.step(call, operands, &scratch)).collect()
        })
    }

    fn scratch(&self) -> Result<Buffer> {
        self.context.buffer("upconv sums", self.plan.scratch_bytes(), BufferUsages::STORAGE)
    }

    fn step(&self, call: &Call, [input, gradient, result]: [BufferSlice<'_>; 3], scratch: &Buffer) -> Step {
        let operands = (1..).zip(&call.operands).map(|(binding, &(operand, window))| {
            let slice = match operand {
                Operand::Sums => return entry(binding, scratch, whole(scratch)),
                Operand::Input => input,
                Operand::Gradient => gradient,
                Operand::Result => result,
            };
            entry(binding, slice.buffer(), Window { offset: window.offset + slice.offset(), ..window })
        });
        let params = entry(0, &self.compiled.uniform, call.params);
        let entries: Vec<_> = std::iter::once(params).chain(operands).collect();
        let layout = &call.pipeline.get_bind_group_layout(0);
        let descriptor = BindGroupDescriptor { label: Some("upconv gradient"), layout, entries: &entries };
        Step {
            pipeline: call.pipeline.clone(),
            bind_group: self.context.device().create_bind_group(&descriptor),
            workgroups: call.workgroups,
            layer: 0,
            kernel: call.kernel,
            band: None,
            multiply_adds: call.multiply_adds,
        }
    }
}

/// The dispatches of the weight's gradient, and their parameters.
fn weight_calls(context: &Context, plan: &GradientPlan) -> Result<(Vec<Call>, Vec<Vec<u8>>)> {
    let GradientPlan { products, request, weight, .. } = plan;
    let (input, gradient) = match products.is_adjoint {
        true => (Operand::Gradient, Operand::Input),
        false => (Operand::Input, Operand::Gradient),
    };
    let geometry = &products.geometry;
    let (storage, profile) = (request.storage, context.profile());
    let pipeline = context.pipeline(&weight_variant(plan))?;
    let sum = context.pipeline(&Variant::GradientSum)?;
    let cut = WeightCut { geometry, storage, profile, tile: &weight.tile, parts: &weight.parts };
    let (mut calls, mut all_params) = (Vec::new(), Vec::new());
    for slab in &weight.slabs {
        for parts in &slab.dispatches {
            let seen = cut.seen(&slab.ranges, parts);
            let invocations = cut.tiles(&slab.ranges) * parts.len() as u64;
            all_params.push(bytemuck::bytes_of(&cut.params(&slab.ranges, parts, &seen)).to_vec());
            calls.push(Call {
                pipeline: pipeline.clone(),
                params: SUMS.1,
                operands: vec![(input, seen.input), (gradient, seen.gradient), SUMS],
                workgroups: folded(invocations, weight.tile.workgroup.into(), context),
                kernel: weight_variant(plan).entry_point(),
                multiply_adds: cut.multiply_adds(&slab.ranges, parts),
            });
        }
        all_params.push(bytemuck::bytes_of(&cut.sum_params(&slab.ranges, request.accumulate)).to_vec());
        calls.push(sum_call(&sum, cut.result(&slab.ranges), cut.elements(&slab.ranges), context));
    }
    Ok((calls, all_params))
}

/// The dispatches of the bias's gradient, and their parameters.
fn bias_calls(context: &Context, plan: &GradientPlan) -> Result<(Vec<Call>, Vec<Vec<u8>>)> {
    let GradientPlan { geometry, request, bias, .. } = plan;
    let (storage, profile) = (request.storage, context.profile());
    let variant = Variant::BiasGradient { storage };
    let (pipeline, sum) = (context.pipeline(&variant)?, context.pipeline(&Variant::GradientSum)?);
    let cut = BiasCut { geometry, storage, profile, parts: &bias.parts };
    let (mut calls, mut all_params) = (Vec::new(), Vec::new());
    for slab in &bias.slabs {
        let [channels] = &slab.ranges;
        for parts in &slab.dispatches {
            let seen = cut.seen(channels, parts);
            all_params.push(bytemuck::bytes_of(&cut.params(channels, parts, seen)).to_vec());
            calls.push(Call {
                pipeline: pipeline.clone(),
                params: SUMS.1,
                operands: vec![(Operand::Gradient, seen), SUMS],
                workgroups: folded((channels.len() * parts.len()) as u64, GATHER_WORKGROUP, context),
                kernel: variant.entry_point(),
                multiply_adds: cut.additions(channels, parts),
            });
        }
        all_params.push(bytemuck::bytes_of(&cut.sum_params(channels, request.accumulate)).to_vec());
        calls.push(sum_call(&sum, cut.result(channels), channels.len() as u64, context));
    }
    Ok((calls, all_params))
}

fn weight_variant(plan: &GradientPlan) -> Variant {
    let storage = plan.request.storage;
    match plan.kernel {
        GradientKernel::Gather => Variant::WeightGradient { storage },
        GradientKernel::Tiles => Variant::WeightTiles { tile: plan.weight.tile, storage },
    }
}

/// It reads what the dispatches before it left, and so is submitted with them.
fn sum_call(pipeline: &ComputePipeline, result: Window, elements: u64, context: &Context) -> Call {
    Call {
        pipeline: pipeline.clone(),
        params: SUMS.1,
        operands: vec![SUMS, (Operand::Result, result)],
        workgroups: folded(elements, GATHER_WORKGROUP, context),
        kernel: Variant::GradientSum.entry_point(),
        multiply_adds: 0,
    }
}

fn folded(invocations: u64, workgroup: u64, context: &Context) -> [u32; 3] {
    let [x, y] = rows(invocations.div_ceil(workgroup), context.profile().max_workgroups);
    [x, y, 1]
}

/// The bytes that the buffer of a tensor must have.
pub(crate) fn bytes(elements: usize, storage: Storage) -> u64 {
    (elements as u64 * storage.size()).next_multiple_of(4).max(4)
}

impl GradientPlan {
    /// The WGSL of the kernel of the weight's gradient, as it is given to the device.
    pub fn wgsl(&self) -> String {
        weight_variant(self).source()
    }
}
