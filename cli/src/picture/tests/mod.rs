//! Files written and read back, and everything that is refused.

mod jpeg;
mod made;
mod refused;
mod support;
mod tags;
