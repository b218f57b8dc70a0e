//! What was measured to be the fastest on an adapter, remembered: a plan's estimate knows the adapter's class alone.
//!
//! ```no_run
//! use upconv::gpu::{AdapterRequest, Context, Effort, Layer, Tuning};
//! use upconv::{Storage, reference};
//! # fn example(op: upconv::ConvTranspose, weight: upconv::Tensor, input: upconv::Tensor) -> upconv::Result<()> {
//! let context = Context::request(&AdapterRequest::default())?;
//! let layer = Layer::new(&context, &op, &weight, None)?;
//! let expected = reference::conv_transpose(&op, &input, &weight, None)?;
//! let mut tuning = Tuning::default(); // or Tuning::from_json(&text)?
//! tuning.measure(&layer, &input, Effort::default(), |output| Ok(expected.compare(output)?.passed()))?;
//! let text = tuning.to_json(); // to be kept for the next run
//!
//! let layer = Layer::new(&context.tuned(tuning), &op, &weight, None)?;
//! let prepared = layer.prepare(input.shape(), Storage::F32)?; // the fastest, from now on
//! # Ok::<(), upconv::Error>(())
//! # }
//! ```

#[cfg(feature = "tune")]
mod json;
#[cfg(not(target_family = "wasm"))]
mod measure;

#[cfg(not(target_family = "wasm"))]
pub use measure::{Effort, Outcome, Trial};

use crate::error::{Error, Result};
use crate::gpu::device::context::Context;
use crate::gpu::plan::body::Plan;
use crate::gpu::plan::candidate::candidates;
use crate::gpu::storage::Storage;
use crate::layout::Layout;
use crate::op::{Axis, Geometry};
use std::collections::BTreeMap;

/// The fastest candidates that were measured. A [`Context`] that carries it ([`Context::tuned`]) plans with them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tuning {
    choices: BTreeMap<Subject, Choice>,
}

/// What a choice is for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Subject {
    /// The adapter's name, backend and driver, with their versions.
    adapter: String,
    /// The operation and its shapes in words; without its weights and activation, which no choice depends on.
    layer: String,
}

/// What was the fastest.
#[derive(Clone, Debug, PartialEq)]
struct Choice {
    /// The name of the candidate.
    candidate: String,
    milliseconds: f64,
}

impl Tuning {
    /// The number of choices.
    pub fn len(&self) -> usize {
        self.choices.len()
    }

    /// Whether there is no choice.
    pub fn is_empty(&self) -> bool {
        self.choices.is_empty()
    }

    /// The plan that was the fastest; `None` where nothing was measured, or where it is no candidate within the limits
    /// of this context.
    fn plan(&self, context: &Context, geometry: &Geometry, storage: Storage) -> Result<Option<Plan>> {
        if self.is_empty() {
            return Ok(None);
        }
        let Some(choice) = self.choices.get(&Subject::new(context, geometry, storage)) else { return Ok(None) };
        let candidates = candidates(geometry, context.profile());
        let Some(candidate) = candidates.iter().find(|candidate| candidate.to_string() == choice.candidate) else {
            return Ok(None);
        };
        let reason = format!("tuned: the fastest that was measured on this adapter, {:.3} ms", choice.milliseconds);
        match Plan::with_candidate(geometry, storage, context.profile(), candidate, &reason) {
            Err(Error::Limit { .. }) => Ok(None),
            plan => plan.map(Some),
        }
    }
}

impl Context {
    /// The plan of a layer without NaN and infinite weights on this device: what was measured to be the fastest, or
    /// else what is estimated to be.
    ///
    /// # Errors
    /// As [`Plan::new`].
    pub fn plan(&self, geometry: &Geometry, storage: Storage) -> Result<Plan> {
        match self.tuning().plan(self, geometry, storage)? {
            Some(tuned) => Ok(tuned),
            None => Plan::new(geometry, storage, self.profile()),
        }
    }
}

impl Subject {
    fn new(context: &Context, geometry: &Geometry, storage: Storage) -> Self {
        let op = geometry.op();
        let each = |value: fn(&Axis) -> String| op.axes().iter().map(value).collect::<Vec<_>>().join("x");
        let layer = format!(
            "{} {:?} to {:?}, channels {}, kernel {}, stride {}, dilation {}, padding {}, groups {}",
            match storage {
                Storage::F32 => "f32",
                Storage::F16 => "f16",
            },
            geometry.input_shape(),
            geometry.output_shape(),
            match op.layout() {
                Layout::ChannelsFirst => "first",
                Layout::ChannelsLast => "last",
            },
            each(|axis| axis.kernel.to_string()),
            each(|axis| axis.stride.to_string()),
            each(|axis| axis.dilation.to_string()),
            each(|axis| axis.pad_begin.to_string()),
            op.groups(),
        );
        Self { adapter: context.adapter_name(), layer }
    }
}
