//! The plan of a layer's gradients: a pure function of the operation, its shape, the request and the device.

use super::bias::{BiasCut, BiasSums};
use super::cut::{Demand, MAX_DISPATCHES};
use super::parts::{BiasParts, Parts};
use super::request::{GradientKernel, GradientRequest};
use super::weight::{WeightCut, WeightSums};
use crate::error::{Error, Result};
use crate::gpu::kernels::weight_gradient::search;
use crate::gpu::kernels::weight_gradient::tile::WeightTile;
use crate::gpu::plan::planner::check;
use crate::gpu::profile::DeviceProfile;
use crate::gpu::storage::Storage;
use crate::layout::WeightLayout;
use crate::op::Geometry;
use std::fmt;

/// Everything that is decided before a device is touched: which kernel computes the gradient of a weight, in which parts
/// its sums and the bias's are cut, and in which dispatches these are added up.
#[derive(Clone, Debug, PartialEq)]
pub struct GradientPlan {
    pub(crate) geometry: Geometry,
    pub(crate) products: Products,
    pub(crate) request: GradientRequest,
    pub(crate) kernel: GradientKernel,
    pub(crate) weight: WeightSums,
    pub(crate) bias: BiasSums,
    reason: String,
    scratch: u64,
}

/// The transposed convolution of whose weight the gradient is computed.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Products {
    pub(crate) geometry: Geometry,
    /// Whether it is the adjoint of an ordinary convolution: with their roles exchanged, its input is the gradient of the
    /// convolution's output, and the gradient of its output is the convolution's input.
    pub(crate) is_adjoint: bool,
}

impl Products {
    /// Those of an operation; for an ordinary convolution with the order of its own weight.
    ///
    /// As the convolution C of a weight w is linear in it, `⟨dy, C(w)·x⟩ = ⟨Cᵀ(w)·dy, x⟩`, and both have the same gradient
    /// with respect to w. On the right there is a transposed convolution, and w in its own order.
    fn new(geometry: &Geometry, convolution: Option<WeightLayout>, weight: bool) -> Result<Self> {
        let is_decimated = geometry.op.is_decimated();
        if convolution.is_none() && !is_decimated {
            return Ok(Self { geometry: geometry.clone(), is_adjoint: false });
        }
        let Some(weight_layout) = convolution.or((!weight).then_some(WeightLayout::Oihw)) else {
            let problem = "of the weight of an ordinary convolution with a stride is computed for a layer that \
                           `Layer::convolution` makes"
                .into();
            return Err(Error::Gradient { problem });
        };
        let op = geometry.adjoint().to_builder().weight_layout(weight_layout.exchanged()).build()?;
        Ok(Self { geometry: op.at(&geometry.output_shape())?, is_adjoint: true })
    }
}

impl GradientPlan {
    /// Plans the gradients of an operation's weight and bias at a shape on a device.
    ///
    /// # Errors
    /// [`Error::Gradient`] for the transposed form of an ordinary convolution with a stride; [`Error::Limit`] where one
    /// part of one tile needs more than the device offers, [`Error::OutOfRange`] where a coordinate exceeds the 32 bits of a
    /// shader's integers, [`Error::DType`] for f16 storage on a device without it.
    pub fn new(geometry: &Geometry, request: GradientRequest, profile: &DeviceProfile) -> Result<Self> {
        Self::of(geometry, None, request, profile)
    }

    /// As [`new`](Self::new), of an ordinary convolution whose own weight is in this order, where there is one.
    pub(crate) fn of(
        whole: &Geometry,
        convolution: Option<WeightLayout>,
        request: GradientRequest,
        profile: &DeviceProfile,
    ) -> Result<Self> {
        let products = Products::new(whole, convolution, request.wanted.weight)?;
        let geometry = &products.geometry;
        check(whole, request.storage, profile)?;
        check(geometry, request.storage, profile)?;
        check_landings(geometry)?;
        let plan = |kernel, reason: String| Self::with_kernel(whole, &products, request, profile, kernel, reason);
        match request.kernel {
            Some(kernel) => plan(kernel, "it was asked for".into()),
            None => {
                let (gather, (tiles, _)) = (search::readable(geometry, profile), search::best(geometry, profile));
                if gather <= tiles {
                    return plan(
                        GradientKernel::Gather,
                        format!("`tiles` is estimated at {:.1} times its cost", tiles / gather),
                    );
                }
                let reason = format!("`gather` is estimated at {:.1} times its cost", gather / tiles);
                match plan(GradientKernel::Tiles, reason) {
                    // A tile may need more than a single weight.
                    Err(Error::Limit { .. }) => {
                        plan(GradientKernel::Gather, "one tile needs more than the device's limits".into())
                    }
                    result => result,
                }
            }
        }
    }

    fn with_kernel(
        whole: &Geometry,
        products: &Products,
        request: GradientRequest,
        profile: &DeviceProfile,
        kernel: GradientKernel,
        reason: String,
    ) -> Result<Self> {
        let geometry = &products.geometry;
        let tile = match kernel {
            GradientKernel::Gather => WeightTile::single(),
            GradientKernel::Tiles => search::best(geometry, profile).1,
        };
        let (parts, bias_parts) = (Parts::new(geometry, &tile, profile), BiasParts::new(whole, profile));
        let refuse = |(limit_name, needed, limit): Demand| Error::Limit {
            what: format!("the gradients of {:?} -> {:?}", whole.input_shape(), whole.output_shape()),
            needed,
            limit,
            limit_name,
        };
        for (what, given) in [("rows of inputs", parts.runs.all), ("outputs of a channel", bias_parts.runs.all)] {
            if given > MAX_COUNT {
                let what = format!("the number of {what} in a batch, for a gradient on the GPU");
                return Err(Error::OutOfRange { what, given: given as i128, expected: format!("at most {MAX_COUNT}") });
            }
        }
        let most_parts = parts.runs.count.max(bias_parts.runs.count);
        if most_parts > MAX_PARTS {
            return Err(refuse(("max_parts", most_parts as u64, MAX_PARTS as u64)));
        }
        let iterations = parts.iterations.max(bias_parts.iterations());
        if iterations > profile.max_iterations {
            return Err(refuse(("max_iterations", iterations, profile.max_iterations)));
        }
        let least = geometry.useful_multiply_adds() / u128::from(profile.max_multiply_adds);
        if least > MAX_DISPATCHES as u128 {
            let least = least.min(u64::MAX.into()) as u64;
            return Err(refuse(("max_dispatches", least, MAX_DISPATCHES as u64)));
        }
        let storage = request.storage;
        let cut = WeightCut { geometry, storage, profile, tile: &tile, parts: &parts };
        let slabs = cut.slabs().map_err(refuse)?;
        let mut scratch = slabs.iter().map(|slab| cut.scratch(&slab.ranges)).max().unwrap_or(4);
        let bias_cut = BiasCut { geometry: whole, storage, profile, parts: &bias_parts };
        let bias_slabs = bias_cut.slabs().map_err(refuse)?;
        scratch = bias_slabs.iter().map(|slab| bias_cut.scratch(&slab.ranges[0])).fold(scratch, u64::max);
        Ok(Self {
            geometry: whole.clone(),
            products: products.clone(),
            request,
            kernel,
            reason,
            scratch,
            weight: WeightSums { tile, parts, slabs },
            bias: BiasSums { parts: bias_parts, slabs: bias_slabs },
        })
    }

    /// The shape of the weight's gradient.
    pub(crate) fn weight_shape(&self) -> Vec<usize> {
        self.products.geometry.op().weight_shape()
    }

    /// The operation at its shape.
    pub fn geometry(&self) -> &Geometry {
        &self.geometry
    }

    /// How the elements of the input and of the output's gradient are stored.
    pub fn storage(&self) -> Storage {
        self.request.storage
    }

    /// The kernel of the weight's gradient.
    pub fn kernel(&self) -> GradientKernel {
        self.kernel
    }

    /// Why this kernel and not another.
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// What one invocation of the weight's kernel computes.
    pub fn invocation(&self) -> String {
        match self.kernel {
            GradientKernel::Gather => "one weight, one part of its sum".into(),
            GradientKernel::Tiles => {
                let tile = &self.weight.tile;
                format!("{tile}, {} sums in registers, one part of each", tile.weights())
            }
        }
    }

    /// Into how many parts the sum of each weight is cut.
    pub fn parts(&self) -> usize {
        self.weight.parts.runs.count
    }

    /// How many dispatches there are for the weight, those that add up its parts included.
    pub fn dispatch_count(&self) -> usize {
        self.weight.slabs.iter().map(|slab| slab.dispatches.len() + 1).sum()
    }

    /// Bytes of scratch memory for the parts of the sums.
    pub fn scratch_bytes(&self) -> u64 {
        self.scratch
    }
}

/// Where inputs and taps land is computed for all of them, those that padding crops included, in `i32`.
fn check_landings(geometry: &Geometry) -> Result<()> {
    let missing = 3 - geometry.op.rank();
    for (index, axis) in geometry.op.axes().iter().enumerate() {
        let (last, limit) = (geometry.input[missing + index].saturating_sub(1), i64::from(i32::MAX) / 2);
        let landing = (last as i64).saturating_mul(axis.stride as i64).saturating_add(axis.reach());
        if landing > limit {
            return Err(Error::OutOfRange {
                what: format!("a coordinate before padding on axis {index}, for a gradient on the GPU"),
                given: landing.into(),
                expected: format!("at most {limit}"),
            });
        }
    }
    Ok(())
}

/// The most rows of inputs and outputs of a channel: the kernels count them in `i32`.
const MAX_COUNT: usize = 1 << 30;

/// The most parts of a sum: more are of tensors far beyond every device.
const MAX_PARTS: usize = 1 << 18;

/// The plan in words, one fact a line.
impl fmt::Display for GradientPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { geometry, products, weight, bias, .. } = self;
        writeln!(f, "gradients      of {:?} -> {:?}", geometry.input_shape(), geometry.output_shape())?;
        writeln!(f, "kernel         {}: {}", self.kernel, self.reason)?;
        writeln!(f, "invocation     {}", self.invocation())?;
        writeln!(
            f,
            "parts          {} of {} rows of {} {} each",
            weight.parts.runs.count,
            weight.parts.runs.length,
            weight.parts.positions,
            if products.is_adjoint { "outputs" } else { "inputs" }
        )?;
        writeln!(f, "multiply-adds  {}", products.geometry.multiply_adds_in_words())?;
        let bias_dispatches: usize = bias.slabs.iter().map(|slab| slab.dispatches.len() + 1).sum();
        writeln!(f, "dispatches     {}, and {bias_dispatches} for the bias, if it is wanted", self.dispatch_count())?;
        write!(f, "memory         {} bytes of scratch", self.scratch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gpu::dispatch::Window;
    use crate::gpu::plan::field;
    use crate::gpu::profile::DeviceClass;
    use crate::layout::Layout;
    use crate::op::ConvTranspose;

    /// A plan whose dispatches stay within the limits.
    fn checked(geometry: &Geometry, kernel: GradientKernel, profile: &DeviceProfile) -> GradientPlan {
        let storage = Storage::F32;
        let plan = GradientPlan::new(geometry, GradientRequest::new(storage).kernel(kernel), profile).unwrap();
        let fits = |window: Window| {
            assert!(window.size <= profile.max_binding && window.size >= 4, "{window:?}\n{plan}");
            assert!(window.offset.is_multiple_of(profile.binding_alignment), "{window:?}\n{plan}");
        };
        let cut = WeightCut { geometry, storage, profile, tile: &plan.weight.tile, parts: &plan.weight.parts };
        for slab in &plan.weight.slabs {
            fits(cut.result(&slab.ranges));
            for parts in &slab.dispatches {
                let seen = cut.seen(&slab.ranges, parts);
                fits(seen.input);
                fits(seen.gradient);
                assert!(seen.input.offset + seen.input.size <= geometry.input_len() as u64 * 4, "{plan}");
                assert!(seen.gradient.offset + seen.gradient.size <= geometry.output_len() as u64 * 4, "{plan}");
                assert!(cut.multiply_adds(&slab.ranges, parts) <= profile.max_multiply_adds, "{plan}");
            }
        }
        let cut = BiasCut { geometry, storage, profile, parts: &plan.bias.parts };
        for slab in &plan.bias.slabs {
            fits(cut.result(&slab.ranges[0]));
            slab.dispatches.iter().for_each(|parts| fits(cut.seen(&slab.ranges[0], parts)));
        }
        assert!(plan.scratch_bytes() <= profile.max_binding, "{plan}");
        assert!(plan.weight.parts.iterations < 65_535, "{plan}");
        plan
    }

    #[test]
    fn the_fields_operations_are_planned_within_every_limit() {
        for class in DeviceClass::ALL {
            let profile = DeviceProfile { class, ..DeviceProfile::default() };
            let small = DeviceProfile {
                max_binding: 16 << 20,
                max_multiply_adds: 1 << 27,
                max_workgroups: 64,
                ..profile.clone()
            };
            for (name, op, shape) in field::operations() {
                let geometry = op.at(&shape).unwrap();
                for &kernel in GradientKernel::ALL {
                    let (whole, cut) = (checked(&geometry, kernel, &profile), checked(&geometry, kernel, &small));
                    // No limit has a part in the order of the sums.
                    assert_eq!(
                        (whole.weight.tile, &whole.weight.parts),
                        (cut.weight.tile, &cut.weight.parts),
                        "{name}"
                    );
                    assert_eq!(whole.bias.parts, cut.bias.parts, "{name}");
                }
                let chosen = GradientPlan::new(&geometry, Storage::F32.into(), &profile).unwrap();
                assert_eq!(chosen.kernel(), GradientKernel::Tiles, "{name} on {class:?}: {chosen}");
            }
        }
    }

    /// Tensors of 512 MiB to 2 GiB, of which a binding has 128 MiB.
    #[test]
    fn large_tensors_are_seen_in_windows() {
        let op = |layout| {
            let op = ConvTranspose::builder().in_channels(128).out_channels(128).kernel([4, 4]).stride([2, 2]);
            op.padding([1, 1]).layout(layout).build().unwrap()
        };
        for class in [DeviceClass::Software, DeviceClass::Nvidia] {
            let profile = DeviceProfile { class, ..DeviceProfile::default() };
            for &kernel in GradientKernel::ALL {
                for shape in [[64, 128, 128, 128], [1, 128, 1024, 1024]] {
                    let [n, c, h, w] = shape;
                    checked(&op(Layout::ChannelsFirst).at(&shape).unwrap(), kernel, &profile);
                    checked(&op(Layout::ChannelsLast).at(&[n, h, w, c]).unwrap(), kernel, &profile);
                }
            }
        }
    }

    #[test]
    fn what_cannot_be_cut_is_refused_with_its_numbers() {
        let op = ConvTranspose::builder().kernel([100]).build().unwrap();
        let geometry = op.at(&[1, 1, 4]).unwrap();
        let small = DeviceProfile { max_binding: 4, ..DeviceProfile::default() };
        let refusal = GradientPlan::new(&geometry, Storage::F32.into(), &small).unwrap_err();
        assert!(matches!(refusal, Error::Limit { needed: 5.., limit: 4, .. }), "{refusal}");
        let lazy = DeviceProfile { max_multiply_adds: 1, ..DeviceProfile::default() };
        let many = op.at(&[1, 1, 1 << 20]).unwrap();
        let refusal = GradientPlan::new(&many, Storage::F32.into(), &lazy).unwrap_err();
        assert!(matches!(refusal, Error::Limit { limit_name: "max_dispatches", .. }), "{refusal}");
    }

    #[test]
    fn the_plan_explains_itself() {
        let op = ConvTranspose::builder().in_channels(2).kernel([4, 4]).stride([2, 2]).build().unwrap();
        let request = GradientRequest::new(Storage::F32).kernel(GradientKernel::Gather);
        let plan = GradientPlan::new(&op.at(&[1, 2, 3, 5]).unwrap(), request, &DeviceProfile::default()).unwrap();
        assert_eq!(
            plan.to_string(),
            "gradients      of [1, 2, 3, 5] -> [1, 1, 8, 12]\n\
             kernel         gather: it was asked for\n\
             invocation     one weight, one part of its sum\n\
             parts          1 of 3 rows of 5 inputs each\n\
             multiply-adds  480 useful of 480 (100.0 %, the rest is cropped)\n\
             dispatches     2, and 2 for the bias, if it is wanted\n\
             memory         128 bytes of scratch"
        );
    }
}
