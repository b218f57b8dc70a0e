//! The weights of an operation on a device, in the order of each kernel that has used them.

use crate::error::{Error, Result};
use crate::gpu::device::binding::{entry, whole};
use crate::gpu::device::context::Context;
use crate::gpu::device::span::span;
use crate::gpu::kernels::fused::MAX_PRE_ALPHAS;
use crate::gpu::kernels::matrix::layout::Matrix;
use crate::gpu::kernels::pack::adjoint::AdjointParams;
use crate::gpu::kernels::pack::records::{Record, pack, record_bytes};
use crate::gpu::kernels::pack::{matrix, points, tiles};
use crate::gpu::kernels::variant::Variant;
use crate::gpu::profile::Matrices;
use crate::gpu::storage::Storage;
use crate::kernel::{Kernel, Refusal};
use crate::op::ConvTranspose;
use crate::tensor::TensorView;
use std::sync::{Arc, OnceLock};
use wgpu::{BindGroupDescriptor, Buffer, BufferUsages};

/// Weights and biases on a device. Other orders than `gather`'s are packed from it when a kernel first needs them; where
/// two threads do so at once, either result serves.
#[derive(Debug)]
pub(crate) struct Weights {
    pub(crate) context: Context,
    pub(crate) op: ConvTranspose,
    /// In the order of `gather`: the biases, taps and slopes of each output channel.
    pub(crate) records: Buffer,
    /// The parameters of the pre-activation, where each input channel has one of its own: a uniform buffer.
    pub(crate) pre_alphas: Option<Buffer>,
    tiles: OnceLock<Buffer>,
    matrix: OnceLock<Buffer>,
    /// At the points of Winograd's filtering: those of its products.
    points: OnceLock<Arc<Weights>>,
    /// Whether no weight is NaN or infinite. Kernels other than `gather` multiply weights by 0 where it skips them.
    pub(crate) finite: bool,
    /// A weight that f16 cannot represent exactly, where the device has cooperative matrices of f16 and there is one.
    beyond_f16: Option<f32>,
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
        let halved = context.profile().matrices.is_some_and(|matrices| matrices.factors == Storage::F16);
        Ok(Self {
            pre_alphas: pre_alphas.transpose()?,
            finite: packed.iter().all(|weight| weight.is_finite()),
            beyond_f16: if halved { beyond_f16(op, &packed) } else { None },
            ..Self::of_records(context, op, records)
        })
    }

    /// Finite weights that are on the device in the order of `gather`.
    fn of_records(context: &Context, op: &ConvTranspose, records: Buffer) -> Self {
        Self {
            context: context.clone(),
            op: op.clone(),
            records,
            pre_alphas: None,
            tiles: OnceLock::new(),
            matrix: OnceLock::new(),
            points: OnceLock::new(),
            finite: true,
            beyond_f16: None,
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
            (Kernel::Matrix, Some(weight)) => Refusal::RoundedWeight { weight },
            _ => return Ok(()),
        };
        Err(Error::Kernel { kernel, reason })
    }

    /// In the order of `direct` and `tiled`.
    pub(crate) fn for_tiles(&self) -> Result<Buffer> {
        once(&self.tiles, || {
            let (params, bytes) = (tiles::PackParams::new(&self.op), tiles::packed_bytes(&self.op));
            let workgroups = params.workgroups(self.context.profile().max_workgroups);
            span!("pack", kernel = "direct", bytes);
            self.pack(&Variant::Pack, bytemuck::bytes_of(&params), workgroups, bytes)
        })
    }

    /// In the order of `matrix`.
    pub(crate) fn for_matrix(&self, matrix: &Matrix) -> Result<Buffer> {
        once(&self.matrix, || {
            let Matrices { side, factors, .. } = matrix.matrices;
            let params = matrix::PackParams::new(&self.op, side);
            let workgroups = params.workgroups(self.context.profile().max_workgroups);
            let (variant, bytes) = (Variant::MatrixWeights { factors }, params.bytes(factors));
            span!("pack", kernel = "matrix", bytes);
            self.pack(&variant, bytemuck::bytes_of(&params), workgroups, bytes)
        })
    }

    /// Those of the products of Winograd's filtering.
    pub(crate) fn at_points(&self, product: &ConvTranspose) -> Result<Arc<Weights>> {
        once(&self.points, || {
            let (params, bytes) = (points::PointParams::new(&self.op), record_bytes(product));
            let variant = Variant::WinogradWeights;
            span!("pack", kernel = "winograd", bytes);
            let records = self.pack(&variant, bytemuck::bytes_of(&params), params.workgroups(), bytes)?;
            Ok(Arc::new(Self::of_records(&self.context, product, records)))
        })
    }

    /// Those of the adjoint, whose forward pass is this operation's input gradient.
    pub(crate) fn adjoint(&self) -> Result<Self> {
        let adjoint = self.op.adjoint().transposed().clone();
        let params = AdjointParams::new(&self.op, &adjoint);
        let workgroups = params.workgroups(self.context.profile().max_workgroups);
        let bytes = record_bytes(&adjoint);
        span!("pack", kernel = "adjoint", bytes);
        let records = self.pack(&Variant::AdjointWeights, bytemuck::bytes_of(&params), workgroups, bytes)?;
        let (finite, beyond_f16) = (self.finite, self.beyond_f16);
        Ok(Self { finite, beyond_f16, ..Self::of_records(&self.context, &adjoint, records) })
    }

    /// The weights in another order, which takes so many bytes.
    fn pack(&self, variant: &Variant, params: &[u8], [x, y]: [u32; 2], bytes: u64) -> Result<Buffer> {
        let Self { context, records, .. } = self;
        let packed = context.buffer("upconv packed weights", bytes, BufferUsages::STORAGE)?;
        let uniform = context.uniform(params)?;
        let pipeline = context.pipeline(variant)?;
        context.checked("packing weights", || {
            let entries = [
                entry(0, &uniform, whole(&uniform)),
                entry(1, records, whole(records)),
                entry(2, &packed, whole(&packed)),
            ];
            let layout = pipeline.get_bind_group_layout(0);
            let descriptor = BindGroupDescriptor { label: Some("upconv packing"), layout: &layout, entries: &entries };
            let bind_group = context.device().create_bind_group(&descriptor);
            let mut encoder = context.device().create_command_encoder(&Default::default());
            {
                let mut pass = encoder.begin_compute_pass(&Default::default());
                pass.set_pipeline(&pipeline);
                pass.set_bind_group(0, &bind_group, &[]);
                pass.dispatch_workgroups(x, y, 1);
            }
            context.queue().submit([encoder.finish()]);
        })?;
        Ok(packed)
    }
}

/// What is kept, or made now. Two threads may both make it.
fn once<T: Clone>(kept: &OnceLock<T>, make: impl FnOnce() -> Result<T>) -> Result<T> {
    match kept.get() {
        Some(value) => Ok(value.clone()),
        None => make().map(|value| kept.get_or_init(|| value).clone()),
    }
}

/// The first of the weights, in the order of `gather`, that f16 cannot represent exactly.
fn beyond_f16(op: &ConvTranspose, packed: &[f32]) -> Option<f32> {
    let Record { stride, .. } = Record::new(op);
    let taps = packed.chunks_exact(stride).flat_map(|record| &record[1..stride - 1]);
    taps.copied().find(|&weight| half::f16::from_f32(weight).to_f32() != weight)
}
