//! The two types that are computed in.

use crate::activation::Activation;
use std::ops::{AddAssign, Mul};

/// f32 or f64.
pub(super) trait Element: Copy + Default + Send + Sync + AddAssign + Mul<Output = Self> {
    /// The activation's value for an output channel, computed in f64 and rounded once.
    fn activate(self, activation: &Activation, channel: usize) -> Self;
}

impl Element for f32 {
    fn activate(self, activation: &Activation, channel: usize) -> Self {
        activation.apply(channel, self.into()) as f32
    }
}

impl Element for f64 {
    fn activate(self, activation: &Activation, channel: usize) -> Self {
        activation.apply(channel, self)
    }
}
