//! Plans with what was measured.

use crate::error::{Error, Result};
use crate::gpu::device::context::Context;
use crate::gpu::plan::body::Plan;
use crate::gpu::plan::candidate::candidates;
use crate::gpu::plan::choice::Reuse;
use crate::gpu::storage::Storage;
use crate::op::Geometry;

impl Context {
    /// The plan of a layer without NaN and infinite weights on this device: what was measured to be the fastest, or
    /// else what is estimated to be.
    ///
    /// # Errors
    /// As [`Plan::new`].
    pub fn plan(&self, geometry: &Geometry, storage: Storage) -> Result<Plan> {
        self.plan_for(geometry, storage, Reuse::Often)
    }

    /// As [`plan`](Self::plan), for a layer that will run so often. What was measured to be the fastest at one size is not
    /// used for [`Reuse::AnySize`].
    ///
    /// # Errors
    /// As [`Plan::new`].
    pub fn plan_for(&self, geometry: &Geometry, storage: Storage, reuse: Reuse) -> Result<Plan> {
        let measured = if reuse == Reuse::AnySize { None } else { self.measured(geometry, storage)? };
        match measured {
            Some(tuned) => Ok(tuned),
            None => Plan::for_reuse(geometry, storage, self.profile(), reuse),
        }
    }

    /// The plan that was the fastest; `None` where nothing was measured, or where it is no candidate within the limits
    /// of this context.
    fn measured(&self, geometry: &Geometry, storage: Storage) -> Result<Option<Plan>> {
        let profile = self.profile();
        let Some(choice) = self.tuning().choice(&self.adapter_name(), geometry, storage) else { return Ok(None) };
        let candidates = candidates(geometry, profile);
        let Some(candidate) = candidates.iter().find(|candidate| candidate.to_string() == choice.candidate) else {
            return Ok(None);
        };
        let reason = format!("tuned: the fastest that was measured on this adapter, {:.3} ms", choice.milliseconds);
        match Plan::with_candidate(geometry, storage, profile, candidate, &reason) {
            Err(Error::Limit { .. }) => Ok(None),
            plan => plan.map(Some),
        }
    }
}
