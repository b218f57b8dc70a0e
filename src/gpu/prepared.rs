//! A layer that is planned and compiled for a shape: bound to the caller's buffers, and recorded.

use crate::error::{Error, Result};
use crate::gpu::compiled::{Compiled, CompiledKernel};
use crate::gpu::device::binding::{Slices, check};
use crate::gpu::device::context::Context;
use crate::gpu::device::span::span;
use crate::gpu::device::step::{Recorder, Step, piece};
use crate::gpu::kernels::winograd::machine::Machine;
use crate::gpu::plan::body::{Body, Plan};
use crate::gpu::storage::Storage;
use crate::gpu::weights::Weights;
use crate::layout::Channels;
use crate::op::{Geometry, Operands, Residual};
use std::sync::Arc;
use wgpu::{BufferSlice, CommandEncoder, ComputePass, ComputePassDescriptor};

/// A layer planned for one input shape. Cheap to clone.
///
/// ```no_run
/// use upconv::gpu::Layer;
/// use upconv::wgpu::{BufferDescriptor, BufferUsages};
/// # fn example(layer: Layer, pass: &mut upconv::wgpu::ComputePass<'_>) -> upconv::Result<()> {
/// let prepared = layer.prepare(&[1, 64, 128, 128], upconv::Storage::F32)?;
/// let buffer = |size| {
///     let usage = BufferUsages::STORAGE | BufferUsages::COPY_SRC | BufferUsages::COPY_DST;
///     let descriptor = BufferDescriptor { label: None, size, usage, mapped_at_creation: false };
///     prepared.context().device().create_buffer(&descriptor)
/// };
/// let (input, output) = (buffer(prepared.input_bytes()), buffer(prepared.output_bytes()));
/// let bound = prepared.bind(input.slice(..), output.slice(..))?;
/// bound.encode(pass); // in each frame; nothing is submitted or read back
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Prepared {
    context: Context,
    plan: Arc<Plan>,
    kernels: Kernels,
}

/// What runs a plan.
#[derive(Clone, Debug)]
enum Kernels {
    One(Arc<Compiled>),
    Winograd(Arc<Machine>),
}

/// A prepared layer, or a graph of them, with the caller's buffers. Cheap to keep: it has bind groups, and nothing is
/// computed by cloning it.
///
/// ```no_run
/// # fn example(bound: upconv::gpu::Bound, pass: &mut upconv::wgpu::ComputePass<'_>) -> upconv::Result<()> {
/// bound.encode(pass); // into a pass of yours
/// bound.submit()?; // or by itself
/// for dispatch in bound.time()? {
///     println!("{}: {:?}", dispatch.kernel, dispatch.duration);
/// }
/// # Ok(())
/// # }
/// ```
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
                let products = Compiled::new(&*weights.at_points(winograd)?, Arc::new((**products).clone()))?;
                Kernels::Winograd(Arc::new(Machine::new(weights, &plan, winograd, &products)?))
            }
            _ => Kernels::One(Arc::new(Compiled::new(weights, plan.clone())?)),
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

    /// The bytes the input's buffer must have: those of the larger tensor where the layer
    /// [reads](crate::gpu::Request::reading) some channels of one.
    pub fn input_bytes(&self) -> u64 {
        bytes(self.geometry().input_tensor_len(), self.plan.storage)
    }

    /// The bytes the output's buffer must have: those of the larger tensor where the layer
    /// [writes](crate::gpu::Request::writing) some channels of one.
    pub fn output_bytes(&self) -> u64 {
        bytes(self.geometry().output_tensor_len(), self.plan.storage)
    }

    /// The bytes the residual's buffer must have; 0 where the layer was not prepared to
    /// [add](crate::gpu::Request::adding) one.
    pub fn residual_bytes(&self) -> u64 {
        self.geometry().residual_tensor().map_or(0, |(len, _)| bytes(len, self.plan.storage))
    }

    /// Binds the caller's buffers: two different ones, with usage STORAGE, from offsets that are multiples of the
    /// device's `min_storage_buffer_offset_alignment`, holding at least [`input_bytes`](Self::input_bytes) and
    /// [`output_bytes`](Self::output_bytes). One buffer may hold both where the layer was prepared
    /// [for that](crate::gpu::Request::in_one_buffer).
    ///
    /// It makes bind groups, and scratch memory where the [plan](Plan::scratch_bytes) needs some; nothing is written.
    ///
    /// # Errors
    /// [`Error::Buffer`] saying which of this does not hold, or that there is a residual; [`Error::Device`].
    pub fn bind(&self, input: BufferSlice<'_>, output: BufferSlice<'_>) -> Result<Bound> {
        if self.residual_bytes() > 0 {
            let problem = "is missing: the layer was prepared to add one, which `bind_adding` takes".into();
            return Err(Error::Buffer { what: "residual", problem });
        }
        self.bind_slices(Slices { input, output, residual: None })
    }

    /// As [`bind`](Self::bind), with a residual that is added to the sums before the activation, of the output's shape and
    /// of [`residual_bytes`](Self::residual_bytes). The layer must have been prepared to
    /// [add](crate::gpu::Request::adding) one.
    ///
    /// # Errors
    /// As [`bind`](Self::bind), and [`Error::Buffer`] where the layer was not prepared for a residual, or where it is in
    /// the output's buffer.
    pub fn bind_adding(
        &self,
        input: BufferSlice<'_>,
        residual: BufferSlice<'_>,
        output: BufferSlice<'_>,
    ) -> Result<Bound> {
        if self.residual_bytes() == 0 {
            let problem = "is not expected: the layer was not prepared with `Request::adding`".into();
            return Err(Error::Buffer { what: "residual", problem });
        }
        self.bind_slices(Slices { input, output, residual: Some(residual) })
    }

    fn bind_slices(&self, slices: Slices<'_>) -> Result<Bound> {
        let context = &self.context;
        span!("bind", kernel = self.plan.kernel().name(), dispatches = self.plan.dispatch_count());
        check(context, "input", &slices.input, self.input_bytes())?;
        check(context, "output", &slices.output, self.output_bytes())?;
        if let Some(residual) = &slices.residual {
            check(context, "residual", residual, self.residual_bytes())?;
        }
        self.check_apart(slices)?;
        let steps = match &self.kernels {
            Kernels::One(kernel) => kernel.steps(slices)?,
            Kernels::Winograd(machine) => machine.steps(slices, [self.input_bytes(), self.output_bytes()])?,
        };
        Ok(Bound { context: context.clone(), steps })
    }

    /// Refuses operands in the output's buffer, unless that was asked for and they lie apart.
    fn check_apart(&self, slices: Slices<'_>) -> Result<()> {
        let Operands { input, output, residual, one_buffer } = self.geometry().operands;
        let residual_channels = match residual {
            Residual::Tensor(channels) => channels,
            Residual::None | Residual::Output => None,
        };
        let (inputs, outputs) = (self.geometry().op().in_channels(), self.geometry().op().out_channels());
        let same_extents = self.geometry().input == self.geometry().output;
        let read = [
            ("input", Some(slices.input), self.input_bytes(), input, inputs, same_extents),
            ("residual", slices.residual, self.residual_bytes(), residual_channels, outputs, true),
        ];
        for (what, slice, size, channels, count, alike) in read {
            let Some(slice) = slice.filter(|slice| slice.buffer() == slices.output.buffer()) else { continue };
            if !one_buffer {
                let problem = format!(
                    "is the {what}'s buffer too, which wgpu allows a dispatch only where all are bound as written: \
                     prepare with `Request::in_one_buffer`"
                );
                return Err(Error::Buffer { what: "output", problem });
            }
            let [from, to] = [
                slice.offset()..slice.offset() + size,
                slices.output.offset()..slices.output.offset() + self.output_bytes(),
            ];
            let apart = from.end <= to.start || to.end <= from.start;
            // Or they are other channels of the same tensor.
            let other_channels = match (channels, output) {
                (Some(a), Some(b)) => {
                    let disjoint =
                        |a: Channels, b: Channels| a.first + count <= b.first || b.first + outputs <= a.first;
                    from.start == to.start && alike && a.of == b.of && disjoint(a, b)
                }
                _ => false,
            };
            if !apart && !other_channels {
                let problem = format!("has the bytes {to:?}, which overlap the {what}'s, {from:?} of the same buffer");
                return Err(Error::Buffer { what: "output", problem });
            }
        }
        let Kernels::One(kernel) = &self.kernels else { return Ok(()) };
        match kernel.overlap(slices) {
            None => Ok(()),
            Some([read, written]) => {
                let problem = format!(
                    "is bound as the bytes {written:?}, which overlap what is read of the same buffer, {read:?}: the \
                     channels of an item must begin at multiples of {} bytes and lie together",
                    self.context.profile().binding_alignment
                );
                Err(Error::Buffer { what: "output", problem })
            }
        }
    }

    /// Each compiled kernel once.
    pub(crate) fn kernels(&self) -> Vec<CompiledKernel> {
        match &self.kernels {
            Kernels::One(kernel) => kernel.kernels(),
            Kernels::Winograd(machine) => machine.kernels(),
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
    /// What runs in this order.
    pub(crate) fn new(context: &Context, steps: Vec<Step>) -> Self {
        Self { context: context.clone(), steps }
    }

    /// What runs one after the other, on the same device.
    pub(crate) fn joined(context: &Context, parts: impl IntoIterator<Item = Bound>) -> Self {
        let of = |(layer, part): (usize, Bound)| part.steps.into_iter().map(move |step| Step { layer, ..step });
        Self { context: context.clone(), steps: parts.into_iter().enumerate().flat_map(of).collect() }
    }

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

    /// Submits the dispatches, in [pieces](Self::pieces), without waiting for them.
    ///
    /// # Errors
    /// [`Error::Device`], [`Error::DeviceLost`]; [`Error::Stopped`] between pieces, each of which is waited for where
    /// the thread [watches](crate::Stop::watch) for that.
    pub fn submit(&self) -> Result<()> {
        let steps: Vec<&Step> = self.steps.iter().collect();
        self.context.submit("upconv layer", &steps, |_| {}).map(drop)
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
