//! A table of what was the fastest: a candidate's name for an adapter, an operation and its shapes.

use crate::accuracy::Accuracy;
use crate::gpu::storage::Storage;
use crate::layout::Layout;
use crate::op::{Axis, Geometry};
use std::collections::BTreeMap;

/// The fastest candidates that were measured. A context that carries it
/// ([`Context::tuned`](crate::gpu::Context::tuned)) plans with them.
///
/// ```no_run
/// use upconv::gpu::{Effort, Layer, Tuning};
/// use upconv::{Error, Tensor};
/// # fn example(layer: Layer, x: Tensor, expected: upconv::reference::Expected) -> upconv::Result<()> {
/// let mut tuning = Tuning::default();
/// let trials = tuning.measure(&layer, &x, Effort::default(), |y| Ok::<_, Error>(expected.compare(y)?.passed()))?;
/// for trial in &trials {
///     println!("{:?}: {:?}", trial.candidate, trial.time());
/// }
/// let context = layer.context().tuned(tuning); // layers made with it use what was the fastest
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tuning {
    pub(super) choices: BTreeMap<Subject, Choice>,
}

/// What a choice is for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Subject {
    /// The adapter's name, backend and driver, with their versions.
    pub(super) adapter: String,
    /// The operation and its shapes in words; without its weights and activation, which no choice depends on.
    pub(super) layer: String,
}

/// What was the fastest.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Choice {
    /// The name of the candidate.
    pub(super) candidate: String,
    pub(super) milliseconds: f64,
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

    /// What was the fastest for a layer on an adapter, if anything was measured.
    pub(super) fn choice(&self, adapter: &str, geometry: &Geometry, storage: Storage) -> Option<&Choice> {
        // Most tables are empty, and the words of a subject take longer than a plan.
        if self.is_empty() { None } else { self.choices.get(&Subject::new(adapter, geometry, storage)) }
    }
}

impl Subject {
    pub(super) fn new(adapter: &str, geometry: &Geometry, storage: Storage) -> Self {
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
        let kept = each(|axis| axis.decimation.to_string());
        let layer = if op.is_decimated() { format!("{layer}, decimation {kept}") } else { layer };
        let layer = match op.accuracy() {
            Accuracy::Elementwise => layer,
            accuracy => format!("{layer}, {accuracy}"),
        };
        Self { adapter: adapter.into(), layer }
    }
}
