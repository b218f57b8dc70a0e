//! The gradients of a layer's weight and bias: their plan, which is pure, and its execution.

mod backward;
mod bias;
mod cut;
mod layer;
mod parts;
mod plan;
mod prepared;
mod request;
#[cfg(not(target_family = "wasm"))]
mod run;
mod training;
mod weight;

pub use backward::{BackwardBuffers, PreparedBackward, Saved};
pub use plan::GradientPlan;
pub use prepared::PreparedWeightGradient;
pub use request::{GradientKernel, GradientRequest};
pub use training::PreparedTraining;
