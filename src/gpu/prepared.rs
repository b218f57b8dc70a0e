//! A layer that is planned and compiled for a shape: bound to the caller's buffers, and recorded.

use crate::error::{Error, Result};
use crate::gpu::device::context::Context;
use crate::gpu::device::slice;
use crate::gpu::device::span::span;
use crate::gpu::device::step::{Recorder, Step, piece};
use crate::gpu::dispatch::folded;
use crate::gpu::dispatch::{Band, Dispatch, Window};
use crate::gpu::kernels::sum;
use crate::gpu::kernels::winograd::machine as winograd;
use crate::gpu::kernels::{gather, matrix, tiles};
use crate::gpu::plan::Plan;
use crate::gpu::storage::Storage;
use crate::op::{ConvTranspose, Geometry};
use std::sync::Arc;
use wgpu::{
    BindGroupDescriptor, BindGroupEntry, BindingResource, Buffer, BufferBinding, BufferSize, BufferSlice, BufferUsages,
    CommandEncoder, ComputePass, ComputePassDescriptor, ComputePipeline,
};

/// A layer planned for one input shape. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Prepared {
    pub(crate) context: Context,
    /// The layer's, but for its padding.
    pub(crate) op: Arc<ConvTranspose>,
    pub(crate) geometry: Geometry,
    pub(crate) plan: Arc<Plan>,
    pub(crate) machine: Machine,
}

/// What runs a plan.
#[derive(Clone, Debug)]
pub(crate) enum Machine {
    Kernel(Compiled),
    Winograd(Arc<winograd::Machine>),
}

/// A compiled kernel.
#[derive(Clone, Debug)]
pub(crate) struct Compiled {
    pub(crate) pipeline: ComputePipeline,
    /// What adds up the splits of the input channels, where there are any.
    pub(crate) sum: Option<ComputePipeline>,
    /// In the kernel's order.
    pub(crate) weights: Buffer,
    /// In the order of `gather`, for the biases that `sum` and `matrix` add.
    pub(crate) records: Buffer,
}

/// A prepared layer with the caller's buffers.
#[derive(Clone, Debug)]
pub struct Bound {
    context: Context,
    /// In the order in which they run.
    steps: Vec<Step>,
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

impl Prepared {
    /// The device.
    pub fn context(&self) -> &Context {
        &self.context
    }

    /// The sizes.
    pub fn geometry(&self) -> &Geometry {
        &self.geometry
    }

    /// What was decided.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The bytes the input buffer must have.
    pub fn input_bytes(&self) -> u64 {
        bytes(self.geometry.input_len(), self.plan.storage)
    }

    /// The bytes the output buffer must have.
    pub fn output_bytes(&self) -> u64 {
        bytes(self.geometry.output_len(), self.plan.storage)
    }

    /// Binds the caller's buffers: two different ones, with usage STORAGE, from offsets that are multiples of the
    /// device's `min_storage_buffer_offset_alignment`, holding at least [`input_bytes`](Self::input_bytes) and
    /// [`output_bytes`](Self::output_bytes).
    ///
    /// # Errors
    /// [`Error::Buffer`] saying which of this does not hold, [`Error::Device`].
    pub fn bind(&self, input: BufferSlice<'_>, output: BufferSlice<'_>) -> Result<Bound> {
        let context = &self.context;
        span!("bind", kernel = self.plan.kernel.name(), dispatches = self.plan.dispatch_count());
        slice::check(context, "input", &input, self.input_bytes())?;
        slice::check(context, "output", &output, self.output_bytes())?;
        if input.buffer() == output.buffer() {
            let problem = "is the input's buffer too; wgpu tracks each buffer as a whole, so it must be another".into();
            return Err(Error::Buffer { what: "output", problem });
        }
        let kernel = match &self.machine {
            Machine::Kernel(kernel) => kernel,
            Machine::Winograd(machine) => {
                let bytes = [self.input_bytes(), self.output_bytes()];
                let steps = machine.steps(context, &self.op, &self.geometry, input, output, bytes)?;
                return Ok(Bound { context: context.clone(), steps });
            }
        };
        let scratch = match self.plan.scratch {
            0 => None,
            size => Some(context.buffer("upconv sums", size, BufferUsages::STORAGE)?),
        };
        let calls = self.calls(kernel, &input, &output, scratch.as_ref());
        let (uniform, windows) = context.uniforms(&calls.iter().map(|call| &call.params[..]).collect::<Vec<_>>())?;
        let steps = context.checked("binding buffers", || {
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
        })?;
        Ok(Bound { context: context.clone(), steps })
    }

    /// Each compiled kernel once, with the bytes of its parameters and the number of buffers behind them.
    pub(crate) fn kernels(&self, any: &Buffer) -> Vec<(ComputePipeline, usize, usize)> {
        let kernel = match &self.machine {
            Machine::Kernel(kernel) => kernel,
            Machine::Winograd(machine) => return machine.kernels(any),
        };
        let mut kernels: Vec<(ComputePipeline, usize, usize)> = Vec::new();
        for call in self.calls(kernel, &any.slice(..), &any.slice(..), (self.plan.scratch > 0).then_some(any)) {
            if kernels.iter().all(|(pipeline, ..)| pipeline != call.pipeline) {
                kernels.push((call.pipeline.clone(), call.params.len(), call.buffers.len()));
            }
        }
        kernels
    }

    /// [`bind`](Self::bind) and [`Bound::encode`] in a pass of its own.
    ///
    /// # Errors
    /// As [`bind`](Self::bind).
    pub fn encode(&self, encoder: &mut CommandEncoder, input: BufferSlice<'_>, output: BufferSlice<'_>) -> Result<()> {
        let bound = self.bind(input, output)?;
        let descriptor = ComputePassDescriptor { label: Some("upconv layer"), timestamp_writes: None };
        bound.encode(&mut encoder.begin_compute_pass(&descriptor));
        Ok(())
    }

    /// The plan's dispatches, each followed by the sum of its splits where these are complete.
    fn calls<'a>(
        &'a self,
        kernel: &'a Compiled,
        input: &BufferSlice<'a>,
        output: &BufferSlice<'a>,
        scratch: Option<&'a Buffer>,
    ) -> Vec<Call<'a>> {
        let Self { context, op, .. } = self;
        let scratch = scratch.map(|buffer| (buffer, whole(buffer)));
        let mut calls = Vec::new();
        for dispatch in &self.plan.dispatches {
            let x = (input.buffer(), shifted(dispatch.input, input));
            let w = (&kernel.weights, dispatch.weights);
            let y = (output.buffer(), shifted(dispatch.output, output));
            let (params, workgroups) = (self.params(dispatch), dispatch.workgroups);
            let buffers = match (&kernel.sum, scratch) {
                (Some(_), Some(sums)) => vec![x, w, sums],
                _ if self.plan.matrix.is_some() => vec![x, w, (&kernel.records, whole(&kernel.records)), y],
                _ => [x, w, y].into_iter().chain(scratch).collect(),
            };
            let (name, band, multiply_adds) = (self.plan.kernel.name(), &dispatch.band, dispatch.multiply_adds);
            let pipeline = &kernel.pipeline;
            calls.push(Call { pipeline, params, buffers, workgroups, kernel: name, band, multiply_adds });
            let last = dispatch.band.group_in_channels.end == op.in_channels() / op.groups();
            if let (Some(sum), Some(sums), true) = (&kernel.sum, scratch, last) {
                let params = sum::Params::new(&self.op, &self.geometry, &self.plan, dispatch);
                calls.push(Call {
                    pipeline: sum,
                    params: bytemuck::bytes_of(&params).to_vec(),
                    buffers: vec![sums, (&kernel.records, whole(&kernel.records)), y],
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
        let (op, geometry) = (&self.op, &self.geometry);
        if let Some(matrix) = &self.plan.matrix {
            return matrix::params::uniforms(op, geometry, matrix);
        }
        match &self.plan.tile {
            None => bytemuck::bytes_of(&gather::params::Params::new(op, geometry, &self.plan, dispatch)).to_vec(),
            Some(tile) => {
                bytemuck::bytes_of(&tiles::params::Params::new(op, geometry, self.plan.storage, tile, dispatch))
                    .to_vec()
            }
        }
    }
}

impl Bound {
    /// Records the dispatches. Nothing is submitted, copied or read back.
    ///
    /// Systems reset a device that is busy with one submission for some seconds. A single dispatch stays within the
    /// [`max_multiply_adds`](crate::DeviceProfile::max_multiply_adds) of the device's profile; where a layer needs more
    /// of them, encode its [`pieces`](Self::pieces) into a submission each.
    pub fn encode(&self, pass: &mut ComputePass<'_>) {
        let mut recorder = Recorder::default();
        self.steps.iter().for_each(|step| recorder.record(step, pass));
    }

    /// The same dispatches in as few pieces as stay within
    /// [`max_multiply_adds`](crate::DeviceProfile::max_multiply_adds) each; in their order they give the same bits.
    pub fn pieces(&self) -> impl Iterator<Item = Bound> + '_ {
        let mut left = &self.steps[..];
        std::iter::from_fn(move || {
            let steps = left.split_off(..piece(left, self.context.profile().max_multiply_adds))?.to_vec();
            (!steps.is_empty()).then(|| Bound { context: self.context.clone(), steps })
        })
    }

    /// The device.
    pub fn context(&self) -> &Context {
        &self.context
    }

    /// The dispatches.
    pub(crate) fn steps(&self) -> &[Step] {
        &self.steps
    }
}

fn bytes(elements: usize, storage: Storage) -> u64 {
    (elements as u64 * storage.size()).next_multiple_of(4).max(4)
}

pub(crate) fn whole(buffer: &Buffer) -> Window {
    Window { offset: 0, size: buffer.size() }
}

fn shifted(window: Window, slice: &BufferSlice<'_>) -> Window {
    Window { offset: window.offset + slice.offset(), ..window }
}

pub(crate) fn entry(binding: u32, buffer: &Buffer, window: Window) -> BindGroupEntry<'_> {
    let resource =
        BindingResource::Buffer(BufferBinding { buffer, offset: window.offset, size: BufferSize::new(window.size) });
    BindGroupEntry { binding, resource }
}
