//! The program.
mod atomic;
mod picture;

fn main() {}
