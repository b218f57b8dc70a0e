//! How the CPU computes an operation at a shape, in words.

use super::choice::{Choice, Cut, Panel};
use super::layer::Layer;
use super::simd::Level;
use crate::error::Result;
use crate::op::Geometry;
use std::fmt;

/// How a [`Layer`] would compute an input of a shape: its `Display` says it, one fact a line.
#[derive(Clone, Debug)]
pub struct Explanation {
    geometry: Geometry,
    algorithm: Algorithm,
    level: Level,
    threads: usize,
}

#[derive(Clone, Debug)]
enum Algorithm {
    Winograd,
    Gather,
    Products(Cut),
}

impl Layer {
    /// How an input of f32 of this shape would be computed, on rayon's current pool; NaN or infinity among the inputs may
    /// change it.
    ///
    /// # Errors
    /// An input shape that [`ConvTranspose::at`](crate::ConvTranspose::at) refuses.
    pub fn explain(&self, input_shape: &[usize]) -> Result<Explanation> {
        let geometry = self.op().at(input_shape)?;
        let algorithm = match self.chosen(&geometry) {
            None => Algorithm::Winograd,
            Some(choice) => match &*choice {
                Choice::Gather => Algorithm::Gather,
                Choice::Products(cut) => Algorithm::Products(cut.clone()),
            },
        };
        Ok(Explanation { geometry, algorithm, level: self.level(), threads: rayon::current_num_threads() })
    }
}

impl Explanation {
    /// The operation at its shape.
    pub fn geometry(&self) -> &Geometry {
        &self.geometry
    }

    /// `products`, `winograd` or `gather`.
    pub fn algorithm(&self) -> &'static str {
        match self.algorithm {
            Algorithm::Winograd => "winograd",
            Algorithm::Gather => "gather",
            Algorithm::Products(_) => "products",
        }
    }

    /// What that does.
    pub fn description(&self) -> &'static str {
        match &self.algorithm {
            Algorithm::Winograd => "by Winograd's transforms, whose error is allowed",
            Algorithm::Gather => "row by row, each output from the inputs that reach it",
            Algorithm::Products(cut) => match cut.panel {
                Panel::Box => "matrix products, phase by phase, over boxes of the input",
                Panel::Im2col => "matrix products, phase by phase, over the inputs of each tap side by side",
                Panel::Batched => "matrix products, phase by phase, with vectors along the batch",
            },
        }
    }

    /// Into how many tasks the products are cut; `None` for the other algorithms.
    pub fn tasks(&self) -> Option<usize> {
        let Algorithm::Products(Cut { items, channels, bands, .. }) = &self.algorithm else { return None };
        let parts: usize = bands.iter().map(Vec::len).product();
        Some(self.geometry.batch().div_ceil(*items) * channels.len() * parts)
    }

    /// The threads that share them.
    pub fn threads(&self) -> usize {
        self.threads
    }

    /// The vector instructions.
    pub fn level(&self) -> Level {
        self.level
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let geometry = &self.geometry;
        writeln!(f, "shapes         {:?} -> {:?}", geometry.input_shape(), geometry.output_shape())?;
        writeln!(f, "algorithm      {}: {}", self.algorithm(), self.description())?;
        writeln!(f, "instructions   {:?}", self.level)?;
        if let Some(tasks) = self.tasks() {
            writeln!(f, "tasks          {tasks}, for {} threads", self.threads)?;
        }
        write!(f, "multiply-adds  {}", geometry.multiply_adds_in_words())
    }
}
