//! Every order in which a kernel reads its weights.

pub(crate) mod adjoint;
pub(crate) mod matrix;
pub(crate) mod points;
pub(crate) mod records;
pub(crate) mod set;
pub(crate) mod tiles;
