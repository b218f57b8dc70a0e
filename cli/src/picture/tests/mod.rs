//! Files written and read back, and everything that is refused.

mod jpeg;
mod made;
mod metadata;
mod others;
mod palette;
mod refused;
mod support;
mod tags;
mod tiff;
