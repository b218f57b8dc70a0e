//! Which kernel: the one with the least estimated cost, and why.

use crate::gpu::kernels::gather;
use crate::gpu::kernels::tiles::tile::Tile;
use crate::gpu::kernels::tiles::{register_search, workgroup_search};
use crate::gpu::profile::DeviceProfile;
use crate::op::Geometry;

/// What was chosen, and why.
pub(crate) struct Choice {
    /// The tile of `direct` or `tiled`; `None` for `gather`.
    pub(crate) tile: Option<Tile>,
    pub(crate) reason: String,
}

impl Choice {
    pub(crate) fn gather(reason: &str) -> Self {
        let reason = format!("one invocation for one output element; {reason}");
        Self { tile: None, reason }
    }
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

/// The kernel with the least estimated cost.
pub(crate) fn choose(geometry: &Geometry, profile: &DeviceProfile, most_splits: usize, reuse: Reuse) -> Choice {
    let useful = geometry.useful_multiply_adds();
    if reuse == Reuse::AnySize {
        return any_size(geometry, profile);
    }
    let (least, reason) = reuse.least_multiply_adds();
    if useful < least {
        return Choice::gather(&format!("below {least} multiply-adds {reason}"));
    }
    let (direct, tile) = match register_search::best(geometry, profile, most_splits) {
        Ok(best) => best,
        Err(reason) => return Choice::gather(&format!("`direct` cannot: {reason}")),
    };
    let ratio = gather::cost::cost(geometry, profile) / direct;
    if ratio < 1.0 {
        return Choice::gather(&format!("`direct` is estimated at {:.1} times its cost", 1.0 / ratio));
    }
    if profile.class.hardware().shared.is_some()
        && let Ok((tiled, tile)) = workgroup_search::best(geometry, profile)
        && tiled < direct
    {
        let (ratio, direct) = (ratio * direct / tiled, direct / tiled);
        let reason = format!(
            "the workgroup's memory shared; `direct` is estimated at {direct:.2} times its cost, `gather` at {ratio:.1}"
        );
        return Choice { tile: Some(tile), reason };
    }
    let reason = format!("a tile in registers; `gather` is estimated at {ratio:.1} times its cost");
    Choice { tile: Some(tile), reason }
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
        Ok((_, tile)) => Choice { tile: Some(tile), reason: "a tile in registers that serves at every size".into() },
        Err(reason) => Choice::gather(&format!("`direct` cannot: {reason}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gpu::plan::field;
    use crate::gpu::profile::DeviceClass;
    use crate::op::ConvTranspose;

    fn profile(class: DeviceClass) -> DeviceProfile {
        DeviceProfile { class, ..DeviceProfile::default() }
    }

    #[test]
    fn the_fields_operations_get_a_tile_on_every_class() {
        for class in DeviceClass::ALL {
            for (name, op, shape) in field::operations() {
                let choice = choose(&op.at(&shape).unwrap(), &profile(class), usize::MAX, Reuse::Once);
                assert!(choice.tile.is_some(), "{name} on {class:?}: {}", choice.reason);
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
        let choice = |width: usize| choose(&op.at(&[1, 1, 512, width]).unwrap(), &desktop, 1, Reuse::Once);
        assert!(choice(511).reason.contains("below 4194304 multiply-adds"), "{}", choice(511).reason);
        assert!(!choice(512).reason.contains("below"), "{}", choice(512).reason);
    }

    #[test]
    fn what_direct_cannot_do_is_said() {
        let refusal = |op: &ConvTranspose, shape: &[usize]| {
            let geometry = op.at(shape).unwrap();
            let reason =
                register_search::best(&geometry, &profile(DeviceClass::Desktop), usize::MAX).unwrap_err().to_string();
            let choice = choose(&geometry, &profile(DeviceClass::Desktop), usize::MAX, Reuse::Once);
            assert!(choice.tile.is_none() && choice.reason.contains(&reason), "{}", choice.reason);
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
