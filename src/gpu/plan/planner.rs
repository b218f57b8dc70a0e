//! From an operation at a shape to its plan.

use super::bands::Bander;
use super::body::{Body, Cut, Plan};
use super::choice::{self, Choice, Reuse, Way, check_plain};
use crate::error::{Error, Result};
use crate::gpu::kernels::fused::MAX_PRE_ALPHAS;
use crate::gpu::kernels::tiles::register_search::{self, Sums};
use crate::gpu::kernels::tiles::workgroup_search;
use crate::gpu::kernels::{matrix, winograd};
use crate::gpu::profile::DeviceProfile;
use crate::gpu::storage::Storage;
use crate::kernel::Kernel;
use crate::op::Geometry;

/// Inputs and weights with more elements exceed every device by far; up to here their bytes can be counted.
const MAX_ELEMENTS: usize = if usize::BITS == 32 { usize::MAX >> 2 } else { usize::MAX >> 8 };

/// Why a kernel of the caller's choice is planned.
const REQUESTED: &str = "it was asked for";

impl Plan {
    /// Plans an operation at a shape on a device, with the kernel that promises to be the fastest, compiling left aside.
    ///
    /// # Errors
    /// [`Error::Limit`] where a single element needs more than the device offers, [`Error::OutOfRange`] where a
    /// coordinate exceeds the 32 bits of a shader's integers, [`Error::DType`] for f16 storage on a device without it.
    pub fn new(geometry: &Geometry, storage: Storage, profile: &DeviceProfile) -> Result<Self> {
        Self::for_reuse(geometry, storage, profile, Reuse::Often)
    }

    /// As [`new`](Self::new), for a layer that will run so often.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn for_reuse(geometry: &Geometry, storage: Storage, profile: &DeviceProfile, reuse: Reuse) -> Result<Self> {
        Self::adding(geometry, storage, profile, Sums::AnyOrder, reuse)
    }

    /// As [`for_reuse`](Self::for_reuse), where an output's products are added up in such an order.
    pub(crate) fn adding(
        geometry: &Geometry,
        storage: Storage,
        profile: &DeviceProfile,
        sums: Sums,
        reuse: Reuse,
    ) -> Result<Self> {
        check(geometry, storage, profile)?;
        let choice = choice::choose(geometry, profile, sums, reuse);
        match Self::cut(geometry, storage, profile, choice) {
            // A tile may need more of a binding than a single element.
            Err(Error::Limit { .. }) => {
                Self::cut(geometry, storage, profile, Choice::gather("one tile needs more than the device's limits"))
            }
            result => result,
        }
    }

    /// Plans with a kernel of the caller's choice, its input channels not split.
    ///
    /// # Errors
    /// As [`new`](Self::new), and [`Error::Kernel`] where the kernel cannot run the operation.
    pub fn with_kernel(geometry: &Geometry, storage: Storage, profile: &DeviceProfile, kernel: Kernel) -> Result<Self> {
        check(geometry, storage, profile)?;
        let refuse = |reason| Error::Kernel { kernel, reason };
        if !Kernel::EXACT.contains(&kernel) {
            check_plain(geometry).map_err(refuse)?;
        }
        let tile = match kernel {
            Kernel::Gather => return Self::cut(geometry, storage, profile, Choice::gather(REQUESTED)),
            Kernel::Direct => register_search::best(geometry, profile, Sums::Unsplit),
            Kernel::Tiled => workgroup_search::best(geometry, profile),
            Kernel::Winograd => return Self::winograd(geometry, storage, profile, REQUESTED.into()),
            Kernel::Matrix => return Self::matrix(geometry, storage, profile, REQUESTED.into()),
        };
        let (_, tile) = tile.map_err(refuse)?;
        Self::cut(geometry, storage, profile, Choice { way: Way::Tile(tile), reason: REQUESTED.into() })
    }

    /// Plans Winograd's filtering of an operation that has nothing fused that it lacks.
    fn winograd(geometry: &Geometry, storage: Storage, profile: &DeviceProfile, reason: String) -> Result<Self> {
        let refuse = |reason| Error::Kernel { kernel: Kernel::Winograd, reason };
        let winograd = winograd::layout::winograd(geometry, storage, profile).map_err(refuse)?;
        let products = winograd.product.at(&winograd.product_shape())?;
        let products = Self::with_kernel(&products, Storage::F32, profile, Kernel::Direct)
            .or_else(|_| Self::with_kernel(&products, Storage::F32, profile, Kernel::Gather))?;
        let body = Body::Winograd(winograd, Box::new(products));
        Ok(Self { geometry: geometry.clone(), storage, body, reason })
    }

    /// Plans products of cooperative matrices for such an operation.
    fn matrix(geometry: &Geometry, storage: Storage, profile: &DeviceProfile, reason: String) -> Result<Self> {
        let refuse = |reason| Error::Kernel { kernel: Kernel::Matrix, reason };
        let (matrix, dispatch) = matrix::layout::matrix(geometry, storage, profile).map_err(refuse)?;
        Ok(Self { geometry: geometry.clone(), storage, body: Body::Matrix(matrix, dispatch), reason })
    }

    /// Cuts the work of the chosen kernel into dispatches.
    pub(crate) fn cut(geometry: &Geometry, storage: Storage, profile: &DeviceProfile, choice: Choice) -> Result<Self> {
        let Choice { way, reason } = choice;
        let tile = match way {
            Way::Gather => None,
            Way::Tile(tile) => Some(tile),
            Way::Winograd => return Self::winograd(geometry, storage, profile, reason),
            Way::Matrix => return Self::matrix(geometry, storage, profile, reason),
        };
        let bander = Bander::new(geometry, storage, profile, tile);
        let (dispatches, parts) = if geometry.output_len() == 0 { (Vec::new(), 1) } else { bander.dispatches()? };
        let scratch = dispatches.iter().map(|dispatch| bander.scratch(&dispatch.band)).max().unwrap_or(0);
        let cut = Cut { dispatches, parts, scratch };
        let body = match tile {
            None => Body::Gather(cut),
            Some(tile) => Body::Tiles(tile, cut),
        };
        Ok(Self { geometry: geometry.clone(), storage, body, reason })
    }
}

/// Refuses what no kernel can run.
pub(crate) fn check(geometry: &Geometry, storage: Storage, profile: &DeviceProfile) -> Result<()> {
    if storage == Storage::F16 && !profile.f16 {
        return Err(Error::DType {
            what: "storage",
            given: crate::DType::F16,
            expected: "float32: the device lacks SHADER_F16",
        });
    }
    profile.check()?;
    let (pre, channels) = (geometry.op.pre_activation(), geometry.op.in_channels());
    if pre.by_channel().is_some() && channels > MAX_PRE_ALPHAS {
        return Err(Error::OutOfRange {
            what: format!("the input channels of a {} before the products on the GPU", pre.name()),
            given: channels as i128,
            expected: format!("at most {MAX_PRE_ALPHAS}"),
        });
    }
    check_sizes(geometry)?;
    check_coordinates(geometry)
}

/// Refuses what is too large to be counted in.
pub(crate) fn check_sizes(geometry: &Geometry) -> Result<()> {
    let weights = geometry.op.weight_shape().iter().fold(1usize, |product, &extent| product.saturating_mul(extent));
    let residual = geometry.residual_tensor().map_or(0, |(len, _)| len);
    let sizes = [
        ("an input", geometry.input_tensor_len()),
        ("an output", geometry.output_tensor_len()),
        ("a residual", residual),
        ("weights", weights),
    ];
    for (what, given) in sizes {
        if given > MAX_ELEMENTS {
            let what = format!("the number of elements of {what} on the GPU");
            return Err(Error::OutOfRange { what, given: given as i128, expected: format!("at most {MAX_ELEMENTS}") });
        }
    }
    Ok(())
}

/// Refuses what does not fit the shaders' `i32` coordinates.
fn check_coordinates(geometry: &Geometry) -> Result<()> {
    let op = &geometry.op;
    let limit = i64::from(i32::MAX) / 2;
    let missing = 3 - op.rank();
    for (index, axis) in op.axes().iter().enumerate() {
        let (input, output) = (geometry.input[missing + index] as i64, geometry.output[missing + index] as i64);
        let reach = axis.reach();
        let [stride, dilation] = [axis.stride, axis.dilation].map(|step| step as i64);
        // Tiles reach some cells beyond the output.
        let full = (output + 64).saturating_mul(axis.decimation as i64);
        let full = if axis.decimation == 1 { output } else { full };
        for value in [input, full, reach, stride, dilation, axis.pad_begin.abs(), full + axis.pad_begin.abs()] {
            if value > limit {
                return Err(Error::OutOfRange {
                    what: format!("a coordinate on axis {index} on the GPU"),
                    given: value.into(),
                    expected: format!("at most {limit}"),
                });
            }
        }
        // The shader multiplies two residues of stride/gcd in u32.
        let steps = axis.stride / crate::phase::gcd(axis.stride, axis.dilation);
        if axis.dilation % axis.stride != 1 % axis.stride && steps > 1 << 16 {
            return Err(Error::OutOfRange {
                what: format!("stride / gcd(stride, dilation) on axis {index} on the GPU"),
                given: steps as i128,
                expected: format!("at most {} with a dilation", 1 << 16),
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Layout;
    use crate::gpu::dispatch::GATHER_WORKGROUP;
    use crate::gpu::plan::candidate::candidates;
    use crate::gpu::profile::DeviceClass;
    use crate::layout::Channels;
    use crate::op::{ConvTranspose, Operands, Residual};

    fn upsample(layout: Layout) -> ConvTranspose {
        ConvTranspose::builder()
            .in_channels(3)
            .out_channels(3)
            .groups(3)
            .kernel([4, 4])
            .stride([2, 2])
            .padding([1, 1])
            .layout(layout)
            .build()
            .unwrap()
    }

    fn planned(op: &ConvTranspose, shape: &[usize], profile: &DeviceProfile) -> Result<Plan> {
        Plan::with_kernel(&op.at(shape).unwrap(), Storage::F32, profile, Kernel::Gather)
    }

    #[test]
    fn a_kernel_of_half_a_billion_taps_is_planned_without_a_table_of_its_phases() {
        let op = ConvTranspose::builder().kernel([1 << 29]).stride([1 << 29]).build().unwrap();
        let profile = DeviceProfile { max_binding: 1 << 32, ..DeviceProfile::default() };
        let plan = Plan::new(&op.at(&[1, 1, 1]).unwrap(), Storage::F32, &profile).unwrap();
        assert_eq!((plan.kernel(), plan.phases()), (Kernel::Gather, vec![(1 << 29, 1 << 29)]));
    }

    /// A plan that is as every plan must be.
    fn checked(op: &ConvTranspose, shape: &[usize], profile: &DeviceProfile) -> Plan {
        let plan = planned(op, shape, profile).unwrap();
        plan.check(profile);
        plan
    }

    /// Channels of larger tensors, residuals and one buffer for all, in bands and not.
    #[test]
    fn operands_that_lie_elsewhere_are_seen_where_they_lie() {
        let channels = |first: usize| Some(Channels { first, of: 11 });
        for layout in [Layout::ChannelsFirst, Layout::ChannelsLast] {
            for (max_binding, kernel) in [(1 << 27, Kernel::Direct), (1 << 27, Kernel::Gather), (2048, Kernel::Gather)]
            {
                let op = upsample(layout);
                let shape = if layout == Layout::ChannelsFirst { [3, 3, 6, 8] } else { [3, 6, 8, 3] };
                let residual = Residual::Tensor(channels(8));
                let operands = Operands { input: channels(2), output: channels(7), residual, one_buffer: true };
                let geometry = op.at(&shape).unwrap().with_operands(operands).unwrap();
                let plan = Plan::with_kernel(&geometry, Storage::F32, &small(max_binding), kernel).unwrap();
                plan.check(&small(max_binding));
                // An item's other channels are not in between.
                assert!(plan.bands().all(|band| band.batch.len() == 1) && plan.dispatch_count() >= 3);
                let (len, strides) = geometry.residual_tensor().unwrap();
                assert_eq!((len, strides.first), (3 * 11 * 12 * 16, 8 * strides.channel));
                let windows = plan.dispatches().iter().map(|dispatch| dispatch.residual.unwrap());
                assert!(windows.max_by_key(|window| window.offset).unwrap().offset < 4 * len as u64);
            }
        }
    }

    fn small(max_binding: u64) -> DeviceProfile {
        DeviceProfile { max_binding, ..DeviceProfile::default() }
    }

    #[test]
    fn what_fits_is_one_dispatch() {
        let plan = checked(&upsample(Layout::ChannelsFirst), &[2, 3, 5, 7], &DeviceProfile::default());
        assert_eq!(plan.dispatches().len(), 1);
        assert_eq!((plan.scratch_bytes(), plan.phases()), (0, vec![(2, 2), (2, 2)]));
    }

    #[test]
    fn bands_cover_the_output_once_within_the_limits() {
        for layout in [Layout::ChannelsFirst, Layout::ChannelsLast] {
            for binding in [768, 1024, 4096] {
                let shape = if layout == Layout::ChannelsFirst { [2, 3, 13, 17] } else { [2, 13, 17, 3] };
                let plan = checked(&upsample(layout), &shape, &small(binding));
                assert!(plan.dispatches().len() > 1);
            }
        }
        let wide = ConvTranspose::builder().in_channels(1).out_channels(2).kernel([3]).stride([2]).build().unwrap();
        checked(&wide, &[1, 1, 1000], &small(768));
    }

    #[test]
    fn input_channels_are_cut_where_their_planes_do_not_fit() {
        let op = ConvTranspose::builder().in_channels(16).out_channels(2).kernel([3, 3]).build().unwrap();
        let plan = checked(&op, &[1, 16, 8, 8], &small(1024));
        assert!(plan.dispatches().iter().any(|d| d.band.group_in_channels.start > 0));
        assert!(plan.scratch_bytes() > 0);
    }

    #[test]
    fn loops_are_cut_where_the_driver_ends_them() {
        let op = |in_channels: usize, kernel: [usize; 3]| {
            let stride = [1, 2, 1];
            ConvTranspose::builder().in_channels(in_channels).kernel(kernel).stride(stride).build().unwrap()
        };
        let bound = |max_iterations: u64| DeviceProfile { max_iterations, ..DeviceProfile::default() };
        let parts = |op: &ConvTranspose, extents: [usize; 3], limit: u64| {
            let [z, y, x] = extents;
            checked(op, &[1, op.in_channels(), z, y, x], &bound(limit)).parts()
        };
        // Ten iterations for each channel and two at the end, as llvmpipe counts; parts are halved until they fit.
        let single = op(100, [1, 1, 1]);
        assert_eq!(parts(&single, [1, 1, 2], 1002), 1);
        assert_eq!(parts(&single, [1, 1, 2], 1001), 2);
        assert_eq!(parts(&single, [1, 1, 2], 12), 100);
        // Taps are cut along d first, then along h, then along w. Of 9 taps at most 5 read an input of 5,
        // and so do those of every second output.
        let deep = op(2, [9, 9, 9]);
        let cut = |limit: u64| parts(&deep, [5, 5, 9], limit) / 2;
        assert_eq!([400, 200, 100, 40, 20, 12].map(cut), [1, 2, 5, 15, 25, 225]);
        let needed = planned(&single, &[1, 100, 1, 1, 2], &bound(11)).unwrap_err();
        let text = "[1, 100, 1, 1, 2] -> [1, 1, 1, 1, 2]: 12 needed, but the device's limit max_iterations is 11";
        assert_eq!(needed.to_string(), text);
        let long = ConvTranspose::builder().kernel([1 << 28]).build().unwrap();
        let profile = DeviceProfile { max_binding: 1 << 31, ..bound(1000) };
        let refusal = planned(&long, &[1, 1, 1 << 28], &profile).unwrap_err().to_string();
        assert!(refusal.contains("max_dispatches"), "{refusal}");
    }

    #[test]
    fn the_loops_of_tiles_are_cut_too() {
        let op = ConvTranspose::builder().in_channels(256).out_channels(16).kernel([4]).stride([2]).build().unwrap();
        let geometry = op.at(&[1, 256, 4096]).unwrap();
        for kernel in [Kernel::Direct, Kernel::Tiled] {
            for max_iterations in [3, 10, 34, 66] {
                let profile = DeviceProfile { max_iterations, class: DeviceClass::Nvidia, ..DeviceProfile::default() };
                let plan = Plan::with_kernel(&geometry, Storage::F32, &profile, kernel).unwrap();
                let Body::Tiles(tile, _) = &plan.body else { panic!("no tile: {}", plan.explain()) };
                let most = (max_iterations as usize - 2) * tile.source().channels_per_iteration();
                let channels = plan.dispatches().iter().map(|dispatch| dispatch.band.group_in_channels.len());
                assert!(channels.max().unwrap() <= most, "{kernel}, {max_iterations}: {}", plan.explain());
                assert!(plan.parts() <= (2 * 256 / most).max(1), "{kernel}, {max_iterations}: {}", plan.explain());
            }
            // No tile fits: what chooses by itself falls back, until nothing does.
            let profile = DeviceProfile { max_iterations: 2, ..DeviceProfile::default() };
            for plan in [
                Plan::with_kernel(&geometry, Storage::F32, &profile, kernel),
                Plan::new(&geometry, Storage::F32, &profile),
            ] {
                let refusal = plan.unwrap_err();
                assert!(matches!(refusal, Error::Limit { limit_name: "max_iterations", .. }), "{refusal}");
            }
        }
    }

    #[test]
    fn a_profile_that_allows_nothing_is_refused_by_the_fields_name() {
        let op =
            ConvTranspose::builder().in_channels(64).out_channels(32).kernel([4, 4]).stride([2, 2]).build().unwrap();
        let geometry = op.at(&[1, 64, 64, 64]).unwrap();
        let good = DeviceProfile::default;
        for (name, profile) in [
            ("max_binding", DeviceProfile { max_binding: 0, ..good() }),
            ("max_buffer", DeviceProfile { max_buffer: 0, ..good() }),
            ("max_workgroups", DeviceProfile { max_workgroups: 0, ..good() }),
            ("binding_alignment", DeviceProfile { binding_alignment: 0, ..good() }),
            ("binding_alignment", DeviceProfile { binding_alignment: 6, ..good() }),
            ("max_multiply_adds", DeviceProfile { max_multiply_adds: 0, ..good() }),
            ("max_iterations", DeviceProfile { max_iterations: 0, ..good() }),
            ("max_invocations", DeviceProfile { max_invocations: 0, ..good() }),
        ] {
            for class in DeviceClass::ALL {
                let profile = DeviceProfile { class, ..profile.clone() };
                let by_kernel = Kernel::ALL.iter().map(|&k| Plan::with_kernel(&geometry, Storage::F32, &profile, k));
                for plan in by_kernel.chain([Plan::new(&geometry, Storage::F32, &profile)]) {
                    let refusal = plan.unwrap_err().to_string();
                    assert!(refusal.starts_with(&format!("DeviceProfile::{name} is ")), "{refusal}");
                }
                assert!(candidates(&geometry, &profile).iter().all(|candidate| candidate.cost() > 0.0));
            }
        }
    }

    #[test]
    fn sizes_near_the_largest_are_refused_without_overflow() {
        let unbounded = || DeviceProfile {
            max_binding: u64::MAX,
            max_buffer: u64::MAX,
            max_multiply_adds: u64::MAX,
            max_workgroups: u32::MAX,
            ..DeviceProfile::default()
        };
        let op = ConvTranspose::builder().kernel([1, 1, 1]).build().unwrap();
        let refusal = |op: &ConvTranspose, shape: &[usize]| {
            let geometry = op.at(shape).unwrap();
            for kernel in Kernel::EXACT {
                let _ = Plan::with_kernel(&geometry, Storage::F32, &unbounded(), *kernel);
            }
            Plan::new(&geometry, Storage::F32, &unbounded()).unwrap_err().to_string()
        };
        assert!(refusal(&op, &[1, 1, 1 << 29, 1 << 26, 1]).contains("max_dispatches"));
        assert!(refusal(&op, &[1, 1, 1 << 29, 1 << 29, 16]).contains("at most"));
        let wide = ConvTranspose::builder().in_channels(1 << 30).out_channels(1 << 30).kernel([2]).build().unwrap();
        assert!(refusal(&wide, &[1, 1 << 30, 1]).contains("elements of weights on the GPU"));
        assert_eq!(candidates(&wide.at(&[1, 1 << 30, 1]).unwrap(), &unbounded()).len(), 1);
        let cropped =
            ConvTranspose::builder().kernel([1, 1, 1]).padding([(0, (1 << 29) - 1), (0, (1 << 29) - 1), (0, 7)]);
        assert!(refusal(&cropped.build().unwrap(), &[1, 1, 1 << 29, 1 << 29, 8]).contains("at most"));
    }

    #[test]
    fn a_part_of_the_input_channels_has_whole_turns_of_the_loop() {
        let op =
            ConvTranspose::builder().in_channels(20).out_channels(4).kernel([2, 2]).stride([2, 2]).build().unwrap();
        let profile = DeviceProfile { max_binding: 1 << 18, class: DeviceClass::Desktop, ..DeviceProfile::default() };
        let geometry = op.at(&[1, 20, 32, 128]).unwrap();
        let plan = Plan::with_kernel(&geometry, Storage::F32, &profile, Kernel::Direct).unwrap();
        let Body::Tiles(tile, _) = &plan.body else { panic!("no tile: {plan:?}") };
        assert_eq!(tile.source().channel_unit(20), 4);
        let parts = plan.dispatches().iter().map(|dispatch| &dispatch.band.group_in_channels);
        assert!(parts.clone().any(|part| part.start > 0), "{plan:?}");
        for part in parts {
            assert!(part.start % 4 == 0 && part.len() % 4 == 0, "{part:?}");
        }
    }

    #[test]
    fn work_is_cut_by_multiply_adds_and_by_workgroups() {
        let op = upsample(Layout::ChannelsFirst);
        let lazy = DeviceProfile { max_multiply_adds: 1000, ..DeviceProfile::default() };
        let plan = checked(&op, &[1, 3, 20, 20], &lazy);
        assert!(plan.dispatches().iter().all(|d| d.band.elements() * 4 <= 1000));
        let few = DeviceProfile { max_workgroups: 2, ..DeviceProfile::default() };
        let plan = checked(&op, &[1, 3, 20, 20], &few);
        assert!(plan.dispatches().len() > 1 && plan.dispatches().iter().any(|d| d.workgroups == [2, 2, 1]));
    }

    #[test]
    fn halving_regards_all_parts_of_the_input_channels() {
        // Only the later parts were too large, so that every way of halving looked alike: 4096 dispatches.
        let op = ConvTranspose::builder().in_channels(64).out_channels(8).kernel([1, 1]).build().unwrap();
        let plan = checked(&op, &[1, 64, 8, 8], &small(1024));
        assert!(plan.dispatches().len() <= 128, "{} dispatches", plan.dispatches().len());
    }

    #[test]
    fn what_takes_too_many_dispatches_is_refused_at_once() {
        let op = ConvTranspose::builder().in_channels(1_000_000).out_channels(1000).kernel([3, 3]).build().unwrap();
        let error = planned(&op, &[1, 1_000_000, 100_000, 1000], &DeviceProfile::default()).unwrap_err();
        assert!(error.to_string().contains("the device's limit max_dispatches is 65536"), "{error}");
    }

    #[test]
    fn more_than_65535_workgroups_are_folded() {
        let op = upsample(Layout::ChannelsFirst);
        let plan = planned(&op, &[1, 3, 1000, 1000], &DeviceProfile::default()).unwrap();
        assert_eq!(plan.dispatches().len(), 1);
        let [x, y, _] = plan.dispatches()[0].workgroups;
        let groups = 12_000_000_u64.div_ceil(GATHER_WORKGROUP);
        assert_eq!((x, y), (62_500, 3));
        assert_eq!(u64::from(x) * u64::from(y), groups, "no workgroup is idle");
    }

    #[test]
    fn what_cannot_be_cut_further_is_refused_with_its_numbers() {
        let op = ConvTranspose::builder().kernel([100]).build().unwrap();
        let error = planned(&op, &[1, 1, 4], &small(256)).unwrap_err();
        assert_eq!(
            error.to_string(),
            "[1, 1, 4] -> [1, 1, 103]: 408 needed, but the device's limit max_storage_buffer_binding_size is 256"
        );
        let far = ConvTranspose::builder().kernel([3]).dilation([1 << 30]).padding([1 << 30]).build().unwrap();
        assert!(matches!(planned(&far, &[1, 1, 4], &DeviceProfile::default()), Err(Error::OutOfRange { .. })));
        let steps = ConvTranspose::builder().kernel([3]).stride([100_003]).dilation([7]).build().unwrap();
        assert!(matches!(planned(&steps, &[1, 1, 4], &DeviceProfile::default()), Err(Error::OutOfRange { .. })));
        let f16 = Plan::new(&op.at(&[1, 1, 4]).unwrap(), Storage::F16, &DeviceProfile::default());
        assert!(matches!(f16, Err(Error::DType { .. })));
    }

    #[test]
    fn an_empty_batch_needs_no_dispatch() {
        let op = upsample(Layout::ChannelsFirst);
        assert!(planned(&op, &[0, 3, 4, 4], &DeviceProfile::default()).unwrap().dispatches().is_empty());
    }

    #[test]
    fn the_plan_explains_itself() {
        let op = upsample(Layout::ChannelsFirst);
        let plan = planned(&op, &[1, 3, 4, 4], &DeviceProfile::default()).unwrap();
        assert_eq!(
            plan.explain().to_string(),
            "shapes         [1, 3, 4, 4] -> [1, 3, 8, 8]\n\
             kernel         gather: one invocation for one output element; it was asked for\n\
             invocation     one output element\n\
             phases         2 of 2 x 2 of 2 (those that taps reach, for each axis)\n\
             multiply-adds  588 useful of 768 (76.6 %, the rest is cropped)\n\
             dispatches     1, each sum in 1 part\n\
             memory         0 bytes of scratch, 0 of each workgroup's"
        );
    }
}
