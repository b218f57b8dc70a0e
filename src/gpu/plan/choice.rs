//! Which kernel: the one with the least estimated cost, and why.

use crate::accuracy::Accuracy;
use crate::activation::Activation;
use crate::gpu::kernels::gather;
use crate::gpu::kernels::tiles::register_search::{self, Sums};
use crate::gpu::kernels::tiles::tile::Tile;
use crate::gpu::kernels::tiles::workgroup_search;
use crate::gpu::kernels::{matrix, winograd};
use crate::gpu::profile::DeviceProfile;
use crate::kernel::{Kernel, Refusal};
use crate::op::{Geometry, Operands, Residual};
use std::fmt;

/// What was chosen, and why.
pub(crate) struct Choice {
    pub(crate) way: Way,
    pub(crate) reason: String,
}

/// A kernel with what it is chosen with.
#[derive(Clone, Copy, Debug, PartialEq)]
#[allow(clippy::large_enum_variant, reason = "most are tiles, and a few hundred are kept for as long as one is chosen")]
pub(crate) enum Way {
    Gather,
    /// `direct` or `tiled`.
    Tile(Tile),
    Winograd,
    /// Cooperative matrices.
    Matrix,
}

impl Way {
    pub(crate) fn kernel(&self) -> Kernel {
        match self {
            Way::Gather => Kernel::Gather,
            Way::Tile(tile) => tile.kernel(),
            Way::Winograd => Kernel::Winograd,
            Way::Matrix => Kernel::Matrix,
        }
    }
}

/// Its name: no two of an operation at a shape on a device have the same.
impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Way::Tile(tile) => write!(f, "{}: {tile}", tile.kernel()),
            Way::Gather | Way::Winograd | Way::Matrix => self.kernel().fmt(f),
        }
    }
}

impl Choice {
    pub(crate) fn gather(reason: &str) -> Self {
        let reason = format!("one invocation for one output element; {reason}");
        Self { way: Way::Gather, reason }
    }
}

/// Refuses what only the kernels of [`Kernel::EXACT`] have fused.
pub(crate) fn check_plain(geometry: &Geometry) -> Result<(), Refusal> {
    let Operands { input, output, residual, one_buffer } = geometry.operands;
    let fused = [
        ("a pre-activation", *geometry.op.pre_activation() != Activation::None),
        ("a residual", residual != Residual::None),
        ("channels of a larger tensor", input.is_some() || output.is_some()),
        ("operands in one buffer", one_buffer),
        ("the stride of an ordinary convolution", geometry.op.is_decimated()),
    ];
    match fused.into_iter().find(|(_, wanted)| *wanted) {
        Some((what, _)) => Err(Refusal::NotFused { what }),
        None => Ok(()),
    }
}

/// What the operation's accuracy allows beyond the kernels that keep every one, as far as it can be used, with its cost.
pub(crate) fn inexact(geometry: &Geometry, profile: &DeviceProfile) -> Vec<(f64, Way)> {
    let accuracy = geometry.op.accuracy();
    if accuracy == Accuracy::Elementwise || check_plain(geometry).is_err() {
        return Vec::new();
    }
    let winograd = winograd::cost::cost(geometry, profile).ok();
    let matrix = if accuracy == Accuracy::Half { matrix::cost::cost(geometry, profile) } else { None };
    let ways = [(winograd, Way::Winograd), (matrix, Way::Matrix)];
    ways.into_iter().filter_map(|(cost, way)| Some((cost?, way))).collect()
}

/// How often a layer will run at a shape: what compiling a kernel of its own is worth.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Reuse {
    /// Once or a few times: a small layer is left to `gather`, which serves every operation and is done before another
    /// kernel is compiled.
    Once,
    /// Often, at this shape: what takes the least time, compiling left aside.
    #[default]
    Often,
    /// Often, at sizes that change: one kernel for all of them, so that a new size compiles nothing.
    AnySize,
}

impl Reuse {
    /// With fewer useful multiply-adds a layer is left to `gather`, and why.
    ///
    /// Compiling takes 10 to 500 ms; submitting anything at all some 10 µs.
    fn least_multiply_adds(self) -> (u128, &'static str) {
        match self {
            Reuse::Once => (1 << 22, "it is done before another kernel is compiled"),
            Reuse::Often | Reuse::AnySize => (1 << 15, "it takes no longer than a dispatch by itself"),
        }
    }
}

/// The inputs along each axis at which a tile for every size is chosen, by the number of axes: enough to fill a device,
/// and prime, so that no size is preferred.
const ANY_SIZE: [usize; 3] = [65_521, 251, 41];

/// The kernel with the least estimated cost among those that add up in this order; Winograd's filtering and matrices only
/// where any is allowed.
pub(crate) fn choose(geometry: &Geometry, profile: &DeviceProfile, sums: Sums, reuse: Reuse) -> Choice {
    if reuse == Reuse::AnySize {
        return any_size(geometry, profile);
    }
    let (choice, cost) = in_tiles(geometry, profile, sums, reuse);
    let Some(cost) = cost.filter(|_| sums == Sums::AnyOrder) else { return choice };
    let least = inexact(geometry, profile).into_iter().min_by(|a, b| a.0.total_cmp(&b.0));
    match least.filter(|(least, _)| *least < cost) {
        Some((least, way)) => {
            let (other, times) = (choice.way.kernel(), cost / least);
            let reason = format!("its error is allowed; `{other}` is estimated at {times:.2} times its cost");
            Choice { way, reason }
        }
        None => choice,
    }
}

/// That of `gather`, `direct` and `tiled`, and its cost where it is worth comparing.
fn in_tiles(geometry: &Geometry, profile: &DeviceProfile, sums: Sums, reuse: Reuse) -> (Choice, Option<f64>) {
    let useful = geometry.useful_multiply_adds();
    let (least, reason) = reuse.least_multiply_adds();
    if useful < least {
        return (Choice::gather(&format!("below {least} multiply-adds {reason}")), None);
    }
    let gather = gather::cost::cost(geometry, profile);
    let (direct, tile) = match register_search::best(geometry, profile, sums) {
        Ok(best) => best,
        Err(reason) => return (Choice::gather(&format!("`direct` cannot: {reason}")), Some(gather)),
    };
    let ratio = gather / direct;
    if ratio < 1.0 {
        let reason = format!("`direct` is estimated at {:.1} times its cost", 1.0 / ratio);
        return (Choice::gather(&reason), Some(gather));
    }
    if profile.class.hardware().shared.is_some()
        && let Ok((tiled, tile)) = workgroup_search::best(geometry, profile)
        && tiled < direct
    {
        let (ratio, direct) = (gather / tiled, direct / tiled);
        let reason = format!(
            "the workgroup's memory shared; `direct` is estimated at {direct:.2} times its cost, `gather` at {ratio:.1}"
        );
        return (Choice { way: Way::Tile(tile), reason }, Some(tiled));
    }
    let reason = format!("a tile in registers; `gather` is estimated at {ratio:.1} times its cost");
    (Choice { way: Way::Tile(tile), reason }, Some(direct))
}

/// The kernel for every size: chosen at another shape, it depends on the operation alone.
fn any_size(geometry: &Geometry, profile: &DeviceProfile) -> Choice {
    let op = &geometry.op;
    let spatial = vec![ANY_SIZE[op.rank() - 1]; op.rank()];
    let mut shape = op.layout().shape(op.in_channels(), &spatial);
    shape.insert(0, 1);
    let Ok(large) = op.at(&shape).and_then(|large| large.with_operands(geometry.operands)) else {
        return Choice::gather("it serves at every size");
    };
    match register_search::any_size(&large, profile) {
        Ok((direct, _)) if gather::cost::cost(&large, profile) < direct => {
            Choice::gather("it serves at every size, and is estimated to be the fastest that does")
        }
        Ok((_, tile)) => {
            Choice { way: Way::Tile(tile), reason: "a tile in registers that serves at every size".into() }
        }
        Err(reason) => Choice::gather(&format!("`direct` cannot: {reason}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gpu::plan::field;
    use crate::gpu::profile::{DeviceClass, Matrices};
    use crate::gpu::storage::Storage;
    use crate::op::ConvTranspose;

    fn profile(class: DeviceClass) -> DeviceProfile {
        DeviceProfile { class, ..DeviceProfile::default() }
    }

    #[test]
    fn the_fields_operations_get_a_tile_on_every_class() {
        for class in DeviceClass::ALL {
            for (name, op, shape) in field::operations() {
                let choice = choose(&op.at(&shape).unwrap(), &profile(class), Sums::AnyOrder, Reuse::Once);
                assert!(matches!(choice.way, Way::Tile(_)), "{name} on {class:?}: {}", choice.reason);
                assert!(
                    choice.reason.contains("is estimated at") && choice.reason.contains("`gather`"),
                    "{}",
                    choice.reason
                );
            }
        }
    }

    #[test]
    fn small_work_is_left_to_gather() {
        // 16 multiply-adds for each input: 2^18 inputs are the least.
        let op = ConvTranspose::builder().kernel([4, 4]).stride([4, 4]).build().unwrap();
        let desktop = profile(DeviceClass::Desktop);
        let choice = |width: usize| choose(&op.at(&[1, 1, 512, width]).unwrap(), &desktop, Sums::OneOrder, Reuse::Once);
        assert!(choice(511).reason.contains("below 4194304 multiply-adds"), "{}", choice(511).reason);
        assert!(!choice(512).reason.contains("below"), "{}", choice(512).reason);
    }

    #[test]
    fn winograd_is_chosen_where_its_error_is_allowed_and_it_pays() {
        let op = ConvTranspose::builder().kernel([4, 4]).stride([2, 2]).padding([1, 1]);
        let choice = |channels: [usize; 2], accuracy, sums, reuse| {
            let op = op.clone().in_channels(channels[0]).out_channels(channels[1]).accuracy(accuracy).build().unwrap();
            choose(&op.at(&[1, channels[0], 64, 64]).unwrap(), &profile(DeviceClass::Software), sums, reuse)
        };
        let wide = [256, 128];
        let chosen = choice(wide, Accuracy::Normwise, Sums::AnyOrder, Reuse::Often);
        assert_eq!(chosen.way, Way::Winograd);
        assert!(chosen.reason.contains("its error is allowed; `direct` is estimated at"), "{}", chosen.reason);
        for other in [
            choice(wide, Accuracy::Elementwise, Sums::AnyOrder, Reuse::Often),
            // The same bits whatever the extents, and a kernel for every size.
            choice(wide, Accuracy::Normwise, Sums::OneOrder, Reuse::Often),
            choice(wide, Accuracy::Normwise, Sums::AnyOrder, Reuse::AnySize),
            // Many points for few products.
            choice([256, 3], Accuracy::Normwise, Sums::AnyOrder, Reuse::Often),
        ] {
            assert!(matches!(other.way, Way::Tile(_)), "{}", other.reason);
        }
    }

    #[test]
    fn matrices_are_chosen_where_rounding_is_allowed_and_they_pay() {
        let op = ConvTranspose::builder().in_channels(256).out_channels(128).kernel([3, 3]).stride([2, 2]);
        let matrices = Matrices { side: 16, factors: Storage::F16, subgroup: 32, largest_subgroup: 64 };
        let chosen = |class, accuracy, sums| {
            let op = op.clone().accuracy(accuracy).build().unwrap();
            let profile = DeviceProfile { matrices: Some(matrices), f16: true, ..profile(class) };
            choose(&op.at(&[1, 256, 64, 64]).unwrap(), &profile, sums, Reuse::Often).way.kernel()
        };
        use Accuracy::{Elementwise, Half, Normwise};
        assert_eq!(chosen(DeviceClass::Nvidia, Half, Sums::AnyOrder), Kernel::Matrix);
        assert_eq!(chosen(DeviceClass::Desktop, Half, Sums::AnyOrder), Kernel::Matrix);
        assert_eq!(chosen(DeviceClass::Desktop, Half, Sums::OneOrder), Kernel::Direct);
        for accuracy in [Elementwise, Normwise] {
            assert_ne!(chosen(DeviceClass::Nvidia, accuracy, Sums::AnyOrder), Kernel::Matrix);
        }
        // Where they are as slow as everything else.
        assert_eq!(chosen(DeviceClass::Software, Half, Sums::AnyOrder), Kernel::Direct);
    }

    #[test]
    fn what_direct_cannot_do_is_said() {
        let refusal = |op: &ConvTranspose, shape: &[usize]| {
            let geometry = op.at(shape).unwrap();
            let reason = register_search::best(&geometry, &profile(DeviceClass::Desktop), Sums::AnyOrder)
                .unwrap_err()
                .to_string();
            let choice = choose(&geometry, &profile(DeviceClass::Desktop), Sums::AnyOrder, Reuse::Once);
            assert!(choice.way == Way::Gather && choice.reason.contains(&reason), "{}", choice.reason);
            reason
        };
        // A dilation keeps the phases together, and their 300 taps are too many.
        let long = ConvTranspose::builder().kernel([300]).stride([2]).dilation([3]).build().unwrap();
        assert_eq!(refusal(&long, &[1, 1, 100_000]), "300 taps for 2 phases are too many to write out");
        let heavy = ConvTranspose::builder().in_channels(4096).out_channels(1024).kernel([3, 3]).build().unwrap();
        let reason = refusal(&heavy, &[1, 4096, 8, 8]);
        assert_eq!(reason, "its weights take 167788544 bytes, which exceed a binding of 134217728");
    }
}
