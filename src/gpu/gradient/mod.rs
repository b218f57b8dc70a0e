//! The gradients of a layer's weight and bias: their plan, which is pure, and its execution.

mod bias;
mod cut;
mod layer;
mod parts;
mod plan;
mod prepared;
mod request;
mod weight;

pub use plan::GradientPlan;
pub use prepared::PreparedWeightGradient;
pub use request::{GradientKernel, GradientRequest};
