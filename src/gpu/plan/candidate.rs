//! The ways in which an operation may be computed at a shape, to be measured or forced.

use super::body::Plan;
use super::choice::{Choice, Way, inexact};
use super::planner::{check, check_sizes};
use crate::error::{Error, Result};
use crate::gpu::kernels::gather;
use crate::gpu::kernels::tiles::{register_search, workgroup_search};
use crate::gpu::profile::DeviceProfile;
use crate::gpu::storage::Storage;
use crate::kernel::{Kernel, Refusal};
use crate::op::Geometry;
use std::fmt;

/// A kernel with its tile. Its `Display` names it: no two candidates of an operation have the same name.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Candidate {
    way: Way,
    cost: f64,
}

impl Candidate {
    /// The kernel.
    pub fn kernel(&self) -> Kernel {
        self.way.kernel()
    }

    /// What one invocation of `direct` or `tiled` computes.
    #[cfg(test)]
    pub(crate) fn tile(&self) -> Option<&crate::gpu::kernels::tiles::tile::Tile> {
        match &self.way {
            Way::Tile(tile) => Some(tile),
            Way::Gather | Way::Winograd | Way::Matrix => None,
        }
    }

    /// The estimated cost, in units that mean something only beside other candidates of the same operation, shape and
    /// device.
    pub fn cost(&self) -> f64 {
        self.cost
    }
}

impl fmt::Display for Candidate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.way.fmt(f)
    }
}

/// All candidates for an operation at a shape on a device, those with the least estimated cost first; `gather` is always
/// one of them.
pub fn candidates(geometry: &Geometry, profile: &DeviceProfile) -> Vec<Candidate> {
    let mut candidates = vec![Candidate { way: Way::Gather, cost: gather::cost::cost(geometry, profile) }];
    if check_sizes(geometry).is_err() {
        return candidates;
    }
    // Where `direct` has no tile there is `gather` alone.
    let _ = register_search::visit(geometry, profile, |cost, tile| {
        candidates.push(Candidate { way: Way::Tile(tile), cost });
    });
    // Where a workgroup's memory is not known to pay, its tiles come behind all others: only measuring can tell.
    let known = profile.class.hardware().shared.is_some();
    let least = if known { 0.0 } else { candidates.iter().map(|candidate| candidate.cost).fold(0.0, f64::max) };
    let _ = workgroup_search::visit(geometry, profile, |cost, tile| {
        candidates.push(Candidate { way: Way::Tile(tile), cost: cost.max(least) });
    });
    candidates.extend(inexact(geometry, profile).into_iter().map(|(cost, way)| Candidate { way, cost }));
    candidates.sort_by(|a, b| a.cost.total_cmp(&b.cost));
    candidates
}

impl Plan {
    /// Plans with a candidate; `reason` is what [`Plan::explain`] says of the choice.
    ///
    /// # Errors
    /// As [`Plan::new`], and [`Error::Kernel`] for what is no candidate of the operation, shape and device.
    pub fn with_candidate(
        geometry: &Geometry,
        storage: Storage,
        profile: &DeviceProfile,
        candidate: &Candidate,
        reason: &str,
    ) -> Result<Self> {
        check(geometry, storage, profile)?;
        if !candidates(geometry, profile).contains(candidate) {
            let reason = Refusal::NotACandidate { candidate: candidate.to_string() };
            return Err(Error::Kernel { kernel: candidate.kernel(), reason });
        }
        Self::cut(geometry, storage, profile, Choice { way: candidate.way, reason: reason.into() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DeviceClass;
    use crate::op::ConvTranspose;
    use std::collections::HashSet;

    fn deep() -> (ConvTranspose, Geometry) {
        let op = ConvTranspose::builder().in_channels(512).out_channels(256).kernel([4, 4]).stride([2, 2]);
        let op = op.padding([1, 1]).build().unwrap();
        let geometry = op.at(&[1, 512, 4, 4]).unwrap();
        (op, geometry)
    }

    #[test]
    fn candidates_have_names_of_their_own_and_the_plan_takes_the_first() {
        let (_, geometry) = deep();
        for class in [DeviceClass::Software, DeviceClass::Desktop, DeviceClass::Nvidia, DeviceClass::Mobile] {
            let profile = DeviceProfile { class, ..DeviceProfile::default() };
            let candidates = candidates(&geometry, &profile);
            let names: HashSet<String> = candidates.iter().map(ToString::to_string).collect();
            assert_eq!(names.len(), candidates.len());
            assert!(candidates.iter().any(|candidate| candidate.kernel() == Kernel::Gather));
            let plan = Plan::new(&geometry, Storage::F32, &profile).unwrap();
            assert_eq!(plan.candidate_name(), candidates[0].to_string());
        }
    }

    #[test]
    fn a_candidate_of_another_shape_is_refused() {
        let (op, geometry) = deep();
        let profile = DeviceProfile::default();
        let candidate = candidates(&geometry, &profile)[0];
        let plan = |geometry: &Geometry| Plan::with_candidate(geometry, Storage::F32, &profile, &candidate, "why not");
        assert!(plan(&geometry).unwrap().explain().to_string().contains("direct: why not"));
        let refusal = plan(&op.at(&[1, 512, 5, 5]).unwrap()).unwrap_err().to_string();
        assert!(refusal.ends_with("is no candidate of this operation, shape and device"), "{refusal}");
    }
}
