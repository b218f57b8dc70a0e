//! A layer that is planned and compiled for a shape: bound to the caller's buffers, and recorded.

use crate::error::{Error, Result};
use crate::gpu::compiled::{Compiled, CompiledKernel};
use crate::gpu::device::binding::check;
use crate::gpu::device::context::Context;
use crate::gpu::device::span::span;
use crate::gpu::device::step::{Recorder, Step, piece};
use crate::gpu::kernels::winograd::machine::Machine;
use crate::gpu::plan::body::{Body, Plan};
use crate::gpu::storage::Storage;
use crate::gpu::weights::Weights;
use crate::op::Geometry;
use std::sync::Arc;
use wgpu::{Buffer, BufferSlice, CommandEncoder, ComputePass, ComputePassDescriptor};

/// A layer planned for one input shape. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Prepared {
    context: Context,
    plan: Arc<Plan>,
    kernels: Kernels,
}

/// What runs a plan.
#[derive(Clone, Debug)]
enum Kernels {
    One(Compiled),
    Winograd(Arc<Machine>),
}

/// A prepared layer with the caller's buffers.
#[derive(Clone, Debug)]
pub struct Bound {
    context: Context,
    /// In the order in which they run.
    steps: Vec<Step>,
}

impl Prepared {
    /// Compiles what a plan needs.
    pub(crate) fn new(weights: &Weights, plan: Plan) -> Result<Self> {
        let context = &weights.context;
        if let Body::Matrix(matrix, _) = &plan.body {
            context.check_matrices(&matrix.matrices)?;
        }
        let plan = Arc::new(plan);
        let kernels = match &plan.body {
            Body::Winograd(winograd, products) => {
                let products = Compiled::new(&*weights.at_points(&winograd.product)?, Arc::new((**products).clone()))?;
                Kernels::Winograd(Arc::new(Machine::new(weights, &plan, winograd, products)?))
            }
            _ => Kernels::One(Compiled::new(weights, plan.clone())?),
        };
        Ok(Self { context: context.clone(), plan, kernels })
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
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The bytes the input buffer must have.
    pub fn input_bytes(&self) -> u64 {
        bytes(self.geometry().input_len(), self.plan.storage)
    }

    /// The bytes the output buffer must have.
    pub fn output_bytes(&self) -> u64 {
        bytes(self.geometry().output_len(), self.plan.storage)
    }

    /// Binds the caller's buffers: two different ones, with usage STORAGE, from offsets that are multiples of the
    /// device's `min_storage_buffer_offset_alignment`, holding at least [`input_bytes`](Self::input_bytes) and
    /// [`output_bytes`](Self::output_bytes).
    ///
    /// # Errors
    /// [`Error::Buffer`] saying which of this does not hold, [`Error::Device`].
    pub fn bind(&self, input: BufferSlice<'_>, output: BufferSlice<'_>) -> Result<Bound> {
        let context = &self.context;
        span!("bind", kernel = self.plan.kernel().name(), dispatches = self.plan.dispatch_count());
        check(context, "input", &input, self.input_bytes())?;
        check(context, "output", &output, self.output_bytes())?;
        if input.buffer() == output.buffer() {
            let problem = "is the input's buffer too; wgpu tracks each buffer as a whole, so it must be another".into();
            return Err(Error::Buffer { what: "output", problem });
        }
        let steps = match &self.kernels {
            Kernels::One(kernel) => kernel.steps(input, output)?,
            Kernels::Winograd(machine) => machine.steps(input, output, [self.input_bytes(), self.output_bytes()])?,
        };
        Ok(Bound { context: context.clone(), steps })
    }

    /// Each compiled kernel once; `any` buffer will do.
    pub(crate) fn kernels(&self, any: &Buffer) -> Vec<CompiledKernel> {
        match &self.kernels {
            Kernels::One(kernel) => kernel.kernels(any),
            Kernels::Winograd(machine) => machine.kernels(any),
        }
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
