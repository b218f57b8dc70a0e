//! The ways in which an operation may be computed at a shape, to be measured or forced.

use super::choice::Choice;
use super::{Plan, check, cut, kernel_of};
use crate::error::{Error, Result};
use crate::gpu::kernels::gather;
use crate::gpu::kernels::tiles::tile::Tile;
use crate::gpu::kernels::tiles::{register_search, workgroup_search};
use crate::gpu::profile::DeviceProfile;
use crate::gpu::storage::Storage;
use crate::kernel::{Kernel, Refusal};
use crate::op::{ConvTranspose, Geometry};
use std::fmt;

/// A kernel with its tile. Its `Display` names it: no two candidates of an operation have the same name.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Candidate {
    tile: Option<Tile>,
    cost: f64,
}

impl Candidate {
    /// The kernel.
    pub fn kernel(&self) -> Kernel {
        kernel_of(self.tile.as_ref())
    }

    /// What one invocation computes; `None` for `gather`.
    #[cfg(test)]
    pub(crate) fn tile(&self) -> Option<&Tile> {
        self.tile.as_ref()
    }

    /// The estimated cost, in units that mean something only beside other candidates of the same operation, shape and
    /// device.
    pub fn cost(&self) -> f64 {
        self.cost
    }
}

impl fmt::Display for Candidate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&name(self.kernel(), self.tile.as_ref()))
    }
}

impl Plan {
    /// The name of the [`Candidate`] that it runs: its `Display`. Of a kernel that is no candidate, the kernel's.
    pub fn candidate_name(&self) -> String {
        name(self.kernel, self.tile.as_ref())
    }
}

/// Tuning files have these names.
fn name(kernel: Kernel, tile: Option<&Tile>) -> String {
    tile.map_or_else(|| kernel.to_string(), |tile| format!("{kernel}: {tile}"))
}

/// All candidates for `op` at the shapes of `geometry`, those with the least estimated cost first; `gather` is always
/// one of them.
pub fn candidates(op: &ConvTranspose, geometry: &Geometry, profile: &DeviceProfile) -> Vec<Candidate> {
    let mut candidates = vec![Candidate { tile: None, cost: gather::cost::cost(op, geometry, profile) }];
    // Where `direct` has no tile there is `gather` alone.
    let _ = register_search::visit(op, geometry, profile, |cost, tile| {
        candidates.push(Candidate { tile: Some(tile), cost });
    });
    if profile.class.hardware().shared.is_some()
        && let Ok((cost, tile)) = workgroup_search::best(op, geometry, profile)
    {
        candidates.push(Candidate { tile: Some(tile), cost });
    }
    candidates.sort_by(|a, b| a.cost.total_cmp(&b.cost));
    candidates
}

/// Plans with a candidate; `reason` is what [`Plan::explain`] says of the choice.
///
/// # Errors
/// As [`plan`](fn@super::plan), and [`Error::Kernel`] for what is no candidate of the operation, shape and device.
pub fn plan_candidate(
    op: &ConvTranspose,
    geometry: &Geometry,
    storage: Storage,
    profile: &DeviceProfile,
    candidate: &Candidate,
    reason: &str,
) -> Result<Plan> {
    check(op, geometry, storage, profile)?;
    if !candidates(op, geometry, profile).contains(candidate) {
        let reason = Refusal::NotACandidate { candidate: candidate.to_string() };
        return Err(Error::Kernel { kernel: candidate.kernel(), reason });
    }
    cut(op, geometry, storage, profile, Choice { tile: candidate.tile, reason: reason.into() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DeviceClass;
    use std::collections::HashSet;

    fn deep() -> (ConvTranspose, Geometry) {
        let op = ConvTranspose::builder().in_channels(512).out_channels(256).kernel([4, 4]).stride([2, 2]);
        let op = op.padding([1, 1]).build().unwrap();
        let geometry = op.at(&[1, 512, 4, 4]).unwrap();
        (op, geometry)
    }

    #[test]
    fn candidates_have_names_of_their_own_and_the_plan_takes_the_first() {
        let (op, geometry) = deep();
        for class in [DeviceClass::Software, DeviceClass::Desktop, DeviceClass::Nvidia, DeviceClass::Mobile] {
            let profile = DeviceProfile { class, ..DeviceProfile::default() };
            let candidates = candidates(&op, &geometry, &profile);
            let names: HashSet<String> = candidates.iter().map(ToString::to_string).collect();
            assert_eq!(names.len(), candidates.len());
            assert!(candidates.iter().any(|candidate| candidate.kernel() == Kernel::Gather));
            let plan = super::super::plan(&op, &geometry, Storage::F32, &profile).unwrap();
            assert_eq!(plan.tile.as_ref(), candidates[0].tile());
            assert_eq!(plan.candidate_name(), candidates[0].to_string());
        }
    }

    #[test]
    fn a_candidate_of_another_shape_is_refused() {
        let (op, geometry) = deep();
        let profile = DeviceProfile::default();
        let candidate = candidates(&op, &geometry, &profile)[0];
        let plan = |geometry: &Geometry| plan_candidate(&op, geometry, Storage::F32, &profile, &candidate, "why not");
        assert!(plan(&geometry).unwrap().explain().to_string().contains("direct: why not"));
        let refusal = plan(&op.at(&[1, 512, 5, 5]).unwrap()).unwrap_err().to_string();
        assert!(refusal.ends_with("is no candidate of this operation, shape and device"), "{refusal}");
    }
}
