//! What a plan consists of.

use super::choice::Way;
use crate::gpu::dispatch::{Band, Dispatch};
use crate::gpu::kernels::matrix::layout::Matrix;
use crate::gpu::kernels::pack::tiles::Packing;
use crate::gpu::kernels::tiles::tile::Tile;
use crate::gpu::kernels::winograd::layout::Winograd;
use crate::gpu::storage::Storage;
use crate::kernel::Kernel;
use crate::op::Geometry;
use crate::phase::AxisPhases;

/// Everything that is decided before a device is touched: which kernel computes an operation at a shape, and in which
/// dispatches.
///
/// ```
/// use upconv::{ConvTranspose, DeviceProfile, Kernel, Plan, Storage};
/// # fn main() -> upconv::Result<()> {
/// let op = ConvTranspose::builder().kernel([4, 4]).stride([2, 2]).padding([1, 1]).build()?;
/// let geometry = op.at(&[1, 1, 64, 64])?;
/// let plan = Plan::new(&geometry, Storage::F32, &DeviceProfile::default())?; // no device is needed
/// println!("{}: {}, in {} dispatches", plan.kernel(), plan.reason(), plan.dispatch_count());
/// let gather = Plan::with_kernel(&geometry, Storage::F32, &DeviceProfile::default(), Kernel::Gather)?;
/// assert_eq!((gather.kernel(), gather.dispatch_count()), (Kernel::Gather, 1));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    pub(crate) geometry: Geometry,
    pub(crate) storage: Storage,
    pub(crate) body: Body,
    pub(crate) reason: String,
}

/// A kernel with what it alone needs.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Body {
    Gather(Cut),
    Tiles(Tile, Cut),
    /// The transforms, and the plan of the matrix products between them.
    Winograd(Winograd, Box<Plan>),
    /// One dispatch; none for an empty output.
    Matrix(Matrix, Option<Dispatch>),
}

/// Work that is cut into dispatches.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Cut {
    /// To be run in this order.
    pub(crate) dispatches: Vec<Dispatch>,
    /// Into how many parts the products of an output are cut, each continuing the sums of the one before.
    pub(crate) parts: usize,
    /// Bytes of scratch memory for the sums that a later dispatch continues or adds up.
    pub(crate) scratch: u64,
}

impl Plan {
    /// The operation at its shape.
    pub fn geometry(&self) -> &Geometry {
        &self.geometry
    }

    /// How the elements of input and output are stored.
    pub fn storage(&self) -> Storage {
        self.storage
    }

    /// The kernel.
    pub fn kernel(&self) -> Kernel {
        match &self.body {
            Body::Gather(_) => Kernel::Gather,
            Body::Tiles(tile, _) => tile.kernel(),
            Body::Winograd(..) => Kernel::Winograd,
            Body::Matrix(..) => Kernel::Matrix,
        }
    }

    /// The kernel with its tile, as a [`Candidate`](crate::Candidate) is named.
    pub fn candidate_name(&self) -> String {
        match &self.body {
            Body::Tiles(tile, _) => Way::Tile(*tile).to_string(),
            _ => self.kernel().to_string(),
        }
    }

    /// Why this kernel and not another.
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// How many dispatches there are, all kernels of the plan together; those that add up a split-K are not counted.
    pub fn dispatch_count(&self) -> usize {
        match &self.body {
            Body::Winograd(winograd, products) => winograd.chunks * (2 + products.dispatch_count()),
            _ => self.dispatches().len(),
        }
    }

    /// What each dispatch computes; empty for `winograd`, whose dispatches are not parts of the output.
    pub fn bands(&self) -> impl ExactSizeIterator<Item = &Band> {
        self.dispatches().iter().map(|dispatch| &dispatch.band)
    }

    /// The dispatches of the one kernel; none for `winograd`, which has several.
    pub(crate) fn dispatches(&self) -> &[Dispatch] {
        match &self.body {
            Body::Gather(cut) | Body::Tiles(_, cut) => &cut.dispatches,
            Body::Matrix(_, dispatch) => dispatch.as_slice(),
            Body::Winograd(..) => &[],
        }
    }

    /// Into how many parts the products of an output are cut, one after another.
    pub(crate) fn parts(&self) -> usize {
        match &self.body {
            Body::Gather(cut) | Body::Tiles(_, cut) => cut.parts,
            Body::Winograd(..) | Body::Matrix(..) => 1,
        }
    }

    /// The split-K of the input channels of a group: so many partial sums of each output are computed in parallel and
    /// then added up; 1 where they are not split.
    pub fn splits(&self) -> usize {
        match &self.body {
            Body::Tiles(tile, _) => tile.split_k(),
            _ => 1,
        }
    }

    /// Bytes of scratch memory, for sums that a later dispatch continues or adds up and for what is between the
    /// kernels of `winograd`.
    pub fn scratch_bytes(&self) -> u64 {
        match &self.body {
            Body::Gather(cut) | Body::Tiles(_, cut) => cut.scratch,
            Body::Winograd(winograd, _) => winograd.scratch().iter().sum(),
            Body::Matrix(..) => 0,
        }
    }

    /// The memory of each workgroup, in bytes.
    pub fn workgroup_memory(&self) -> u64 {
        match &self.body {
            Body::Gather(_) => 0,
            Body::Tiles(tile, _) => {
                let memory =
                    tile.source().operands(&tile.shape, &Packing::new(&self.geometry.op, tile.factors())).memory;
                memory.map_or(0, |memory| memory.bytes())
            }
            Body::Winograd(_, products) => products.workgroup_memory(),
            Body::Matrix(matrix, _) => matrix.bytes(),
        }
    }

    /// For each axis the number of phases that taps reach, and the number of all.
    pub fn phases(&self) -> Vec<(usize, usize)> {
        let axes = self.geometry.op.axes().iter();
        axes.map(|axis| (AxisPhases::new(axis).phase_count(), axis.stride)).collect()
    }

    /// What one invocation computes; for `winograd`, one of its matrix products, and for `matrix`, its subgroup.
    pub fn invocation(&self) -> String {
        match &self.body {
            Body::Gather(_) => "one output element".into(),
            Body::Tiles(tile, _) => format!("{tile}, {} sums in registers", tile.shape.outputs()),
            Body::Winograd(_, products) => products.invocation(),
            Body::Matrix(matrix, _) => matrix.to_string(),
        }
    }
}
