//! Files written and read back, and everything that is refused.

mod made;
mod refused;
mod support;
