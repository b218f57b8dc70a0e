//! The weights of an operation on a device, in the order of each kernel that has used them.

use crate::accuracy::Accuracy;
use crate::error::{Error, Result};
use crate::gpu::device::binding::{check, entry, whole};
use crate::gpu::device::context::Context;
use crate::gpu::device::lock::lock;
use crate::gpu::device::span::span;
use crate::gpu::device::step::Step;
use crate::gpu::dispatch::{MAX_ELEMENTS, Window};
use crate::gpu::kernels::fused::MAX_PRE_ALPHAS;
use crate::gpu::kernels::matrix::layout::Matrix;
use crate::gpu::kernels::pack::adjoint::AdjointParams;
use crate::gpu::kernels::pack::records::{Record, pack, record_bytes};
use crate::gpu::kernels::pack::set::SetParams;
use crate::gpu::kernels::pack::{matrix, points, tiles};
use crate::gpu::kernels::variant::Variant;
use crate::gpu::kernels::winograd::layout::Winograd;
use crate::gpu::profile::Matrices;
use crate::gpu::storage::Storage;
use crate::kernel::{Kernel, Refusal};
use crate::op::ConvTranspose;
use crate::tensor::TensorView;
use std::sync::{Arc, Mutex, OnceLock};
use wgpu::{BindGroupDescriptor, BindGroupEntry, Buffer, BufferSlice, BufferUsages};

/// Weights and biases on a device. Other orders than `gather`'s are packed from it when a kernel first needs them, and
/// again, into the same buffers, when weights are set.
#[derive(Debug)]
pub(crate) struct Weights {
    pub(crate) context: Context,
    pub(crate) op: ConvTranspose,
    /// In the order of `gather`: the biases, taps and slopes of each output channel.
    pub(crate) records: Buffer,
    /// The parameters of the pre-activation, where each input channel has one of its own: a uniform buffer.
    pub(crate) pre_alphas: Option<Buffer>,
    /// By what the products' factors are: f32, f16.
    tiles: [OnceLock<Packed<Buffer>>; 2],
    matrix: OnceLock<Packed<Buffer>>,
    /// At the points of Winograd's filtering: those of its products.
    points: OnceLock<Packed<Arc<Weights>>>,
    adjoint: OnceLock<Packed<Arc<Weights>>>,
    /// Whether no weight is NaN or infinite, as a factor of the products that the operation allows. Kernels other than
    /// `gather` multiply weights by 0 where it skips them.
    pub(crate) finite: bool,
    /// A weight that f16 cannot represent exactly, where the device has cooperative matrices of f16 and there is one.
    /// [`Accuracy::Half`] allows it.
    beyond_f16: Option<f32>,
    /// Whether weights were set on the device, whose values the host does not know. It is locked while these weights, or
    /// those that are packed from them, are packed or set: so no order is left with what was there before.
    set: Arc<Mutex<bool>>,
}

/// What is packed, and the dispatch that does it.
#[derive(Clone, Debug)]
struct Packed<T> {
    value: T,
    step: Step,
}

impl Weights {
    /// Packs weights and biases onto the device.
    ///
    /// # Errors
    /// Shapes that do not fit the operation, [`Error::Limit`] for weights beyond the device's largest buffer,
    /// [`Error::Device`].
    pub(crate) fn new(
        context: &Context,
        op: &ConvTranspose,
        weight: TensorView<'_>,
        bias: Option<TensorView<'_>>,
    ) -> Result<Self> {
        span!("pack", shape = ?weight.shape(), bytes = weight.data().len() as u64 * 4);
        let packed = pack(op, weight, bias)?;
        let records = context.upload_bytes("upconv weights", bytemuck::cast_slice(&packed))?;
        let pre_alphas = op.pre_activation().by_channel().is_some().then(|| {
            let mut alphas = vec![0.0; MAX_PRE_ALPHAS];
            for (channel, alpha) in alphas.iter_mut().enumerate().take(op.in_channels()) {
                *alpha = op.pre_activation().parameters(channel).0;
            }
            context.uniform(bytemuck::cast_slice::<f32, u8>(&alphas))
        });
        let weights = Self::of_records(context, op, records);
        let half = op.accuracy() == Accuracy::Half;
        Ok(Self {
            pre_alphas: pre_alphas.transpose()?,
            finite: packed.iter().all(|weight| weight.is_finite()) && (!half || fits_f16(&packed)),
            beyond_f16: if weights.halved() { beyond_f16(op, &packed) } else { None },
            ..weights
        })
    }

    /// Whether the device's matrices round weights to f16.
    fn halved(&self) -> bool {
        self.context.profile().matrices.is_some_and(|matrices| matrices.factors == Storage::F16)
    }

    /// Finite weights that are on the device in the order of `gather`.
    fn of_records(context: &Context, op: &ConvTranspose, records: Buffer) -> Self {
        Self {
            context: context.clone(),
            op: op.clone(),
            records,
            pre_alphas: None,
            tiles: Default::default(),
            matrix: OnceLock::new(),
            points: OnceLock::new(),
            adjoint: OnceLock::new(),
            finite: true,
            beyond_f16: None,
            set: Arc::default(),
        }
    }

    /// Refuses kernels that would multiply NaN and infinity by 0, or round weights.
    ///
    /// # Errors
    /// [`Error::Kernel`].
    pub(crate) fn check(&self, kernel: Kernel) -> Result<()> {
        let reason = match (kernel, self.beyond_f16) {
            (Kernel::Gather, _) => return Ok(()),
            _ if !self.finite => Refusal::NonFiniteWeights,
            (Kernel::Matrix, _) if self.op.accuracy() == Accuracy::Half => return Ok(()),
            (Kernel::Matrix, _) if self.halved() && *lock(&self.set) => Refusal::UnknownWeights,
            (Kernel::Matrix, Some(weight)) => Refusal::RoundedWeight { weight },
            _ => return Ok(()),
        };
        Err(Error::Kernel { kernel, reason })
    }

    /// In the order of `direct` and `tiled`, for products of such factors.
    pub(crate) fn for_tiles(&self, factors: Storage) -> Result<Buffer> {
        self.once(&self.tiles[usize::from(factors == Storage::F16)], || {
            let packing = tiles::Packing::new(&self.op, factors);
            let (params, bytes) = (tiles::PackParams::new(&self.op, &packing), packing.bytes(self.op.groups()));
            let workgroups = params.workgroups(self.context.profile().max_workgroups);
            span!("pack", kernel = "direct", bytes);
            self.pack(&Variant::Pack { factors }, bytemuck::bytes_of(&params), workgroups, bytes)
        })
    }

    /// In the order of `matrix`.
    pub(crate) fn for_matrix(&self, matrix: &Matrix) -> Result<Buffer> {
        self.once(&self.matrix, || {
            let Matrices { side, factors, .. } = matrix.matrices;
            let params = matrix::PackParams::new(&self.op, side);
            let workgroups = params.workgroups(self.context.profile().max_workgroups);
            let (variant, bytes) = (Variant::MatrixWeights { factors }, params.bytes(factors));
            span!("pack", kernel = "matrix", bytes);
            self.pack(&variant, bytemuck::bytes_of(&params), workgroups, bytes)
        })
    }

    /// Those of the products of Winograd's filtering.
    pub(crate) fn at_points(&self, winograd: &Winograd) -> Result<Arc<Weights>> {
        self.once(&self.points, || {
            let product = &winograd.product;
            let params = points::PointParams::new(&self.op, winograd.filters, product);
            let (workgroups, bytes) = (params.workgroups(self.context.profile().max_workgroups), record_bytes(product));
            let variant = Variant::WinogradWeights;
            span!("pack", kernel = "winograd", bytes);
            let packed = self.pack(&variant, bytemuck::bytes_of(&params), workgroups, bytes)?;
            Ok(self.derived(product, packed))
        })
    }

    /// Those of the adjoint, whose forward pass is this operation's input gradient.
    pub(crate) fn adjoint(&self) -> Result<Arc<Weights>> {
        self.once(&self.adjoint, || {
            let adjoint = self.op.adjoint().transposed().clone();
            let params = AdjointParams::new(&self.op, &adjoint);
            let workgroups = params.workgroups(self.context.profile().max_workgroups);
            let bytes = record_bytes(&adjoint);
            span!("pack", kernel = "adjoint", bytes);
            let packed = self.pack(&Variant::AdjointWeights, bytemuck::bytes_of(&params), workgroups, bytes)?;
            Ok(self.derived(&adjoint, packed))
        })
    }

    /// Writes weights, and biases where they are given, from the device's own buffers, and packs again what was packed:
    /// one submission.
    ///
    /// # Errors
    /// [`Error::Buffer`] for a slice that is too small, not aligned or of a buffer without usage `STORAGE`;
    /// [`Error::Limit`] for weights that no binding holds; [`Error::Device`]. Nothing is written then.
    pub(crate) fn set(&self, how: SetParams, weight: BufferSlice<'_>, bias: Option<BufferSlice<'_>>) -> Result<()> {
        let Self { context, op, records, .. } = self;
        let bytes = |shape: &[usize]| shape.iter().product::<usize>() as u64 * 4;
        let (weight_bytes, bias_bytes) = (bytes(&op.weight_shape()), bytes(&[op.out_channels()]));
        check(context, "weight", &weight, weight_bytes)?;
        if let Some(bias) = &bias {
            check(context, "bias", bias, bias_bytes)?;
        }
        let limit = context.profile().max_binding.min(MAX_ELEMENTS * 4);
        if records.size() > limit {
            let (what, needed) = ("weights that are set on the device".into(), records.size());
            return Err(Error::Limit { what, needed, limit, limit_name: "max_storage_buffer_binding_size" });
        }
        span!("set weights", bytes = weight_bytes);
        let params = SetParams { biased: bias.is_some().into(), ..how };
        let window = |slice: &BufferSlice<'_>, size| Window { offset: slice.offset(), size };
        let entries = [
            entry(1, weight.buffer(), window(&weight, weight_bytes)),
            match &bias {
                Some(bias) => entry(2, bias.buffer(), window(bias, bias_bytes)),
                // Something must be bound; it is not read.
                None => entry(2, weight.buffer(), window(&weight, weight_bytes)),
            },
            entry(3, records, whole(records)),
        ];
        let workgroups = params.workgroups(context.profile().max_workgroups);
        let first = self.step(&Variant::SetWeights, bytemuck::bytes_of(&params), workgroups, &entries)?;
        let mut set = lock(&self.set);
        let mut steps = vec![&first];
        self.packing(&mut steps);
        context.submit("upconv set weights", &steps, |_| {})?;
        *set = true;
        Ok(())
    }

    /// What packs every order that was packed, each behind what it is packed from.
    fn packing<'a>(&'a self, steps: &mut Vec<&'a Step>) {
        let orders = self.tiles.iter().chain([&self.matrix]).filter_map(OnceLock::get);
        steps.extend(orders.map(|order| &order.step));
        for derived in [&self.points, &self.adjoint].into_iter().filter_map(OnceLock::get) {
            steps.push(&derived.step);
            derived.value.packing(steps);
        }
    }

    /// What is kept, or packed now.
    fn once<T: Clone>(&self, kept: &OnceLock<Packed<T>>, pack: impl FnOnce() -> Result<Packed<T>>) -> Result<T> {
        if let Some(packed) = kept.get() {
            return Ok(packed.value.clone());
        }
        let _none_is_set_meanwhile = lock(&self.set);
        match kept.get() {
            Some(packed) => Ok(packed.value.clone()),
            None => pack().map(|packed| kept.get_or_init(|| packed).value.clone()),
        }
    }

    /// The weights of an operation that were packed from these.
    fn derived(&self, op: &ConvTranspose, Packed { value, step }: Packed<Buffer>) -> Packed<Arc<Weights>> {
        let (finite, beyond_f16, set) = (self.finite, self.beyond_f16, self.set.clone());
        let weights = Self { finite, beyond_f16, set, ..Self::of_records(&self.context, op, value) };
        Packed { value: Arc::new(weights), step }
    }

    /// Packs the weights in another order, which takes so many bytes.
    fn pack(&self, variant: &Variant, params: &[u8], workgroups: [u32; 2], bytes: u64) -> Result<Packed<Buffer>> {
        let Self { context, records, .. } = self;
        let value = context.buffer("upconv packed weights", bytes, BufferUsages::STORAGE)?;
        let entries = [entry(1, records, whole(records)), entry(2, &value, whole(&value))];
        let step = self.step(variant, params, workgroups, &entries)?;
        context.submit("upconv packing", &[&step], |_| {})?;
        Ok(Packed { value, step })
    }

    /// A dispatch over these buffers, behind its parameters at binding 0.
    fn step(&self, variant: &Variant, params: &[u8], [x, y]: [u32; 2], entries: &[BindGroupEntry<'_>]) -> Result<Step> {
        let context = &self.context;
        let uniform = context.uniform(params)?;
        let pipeline = context.pipeline(variant)?;
        let entries = [&[entry(0, &uniform, whole(&uniform))], entries].concat();
        let bind_group = context.checked("packing weights", || {
            let layout = &pipeline.get_bind_group_layout(0);
            let descriptor = BindGroupDescriptor { label: Some("upconv packing"), layout, entries: &entries };
            context.device().create_bind_group(&descriptor)
        })?;
        let kernel = variant.entry_point();
        Ok(Step { pipeline, bind_group, workgroups: [x, y, 1], layer: 0, kernel, band: None, multiply_adds: 0 })
    }
}

/// Whether f16 can represent all of them, rounded, without an infinity.
fn fits_f16(packed: &[f32]) -> bool {
    packed.iter().all(|&weight| half::f16::from_f32(weight).is_finite())
}

/// The first of the weights, in the order of `gather`, that f16 cannot represent exactly.
fn beyond_f16(op: &ConvTranspose, packed: &[f32]) -> Option<f32> {
    let Record { stride, .. } = Record::new(op);
    let taps = packed.chunks_exact(stride).flat_map(|record| &record[1..stride - 1]);
    taps.copied().find(|&weight| half::f16::from_f32(weight).to_f32() != weight)
}
