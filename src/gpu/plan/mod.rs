//! The choice of a kernel and of its dispatches: a pure function of the operation, its shape and the device.
//!
//! Nothing here touches a device, so that every choice and every refusal can be tested without one.

pub(crate) mod bands;
pub(crate) mod body;
pub(crate) mod candidate;
#[cfg(any(test, fuzzing))]
mod check;
pub(crate) mod choice;
mod explain;
#[cfg(test)]
pub(crate) mod field;
pub(crate) mod planner;
