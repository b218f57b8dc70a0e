//! Trying candidates and timing those that are right.

use super::{Choice, Subject, Tuning};
use crate::error::{Error, Result};
use crate::gpu::device::context::Context;
use crate::gpu::device::transfer::storage_for;
use crate::gpu::layer::Layer;
use crate::gpu::plan::candidate::Candidate;
use crate::gpu::prepared::Bound;
use crate::gpu::storage::Storage;
use crate::kernel::Kernel;
use crate::op::Geometry;
use crate::tensor::{Tensor, TensorView};
use std::time::{Duration, Instant};
use wgpu::{Buffer, BufferUsages};

/// How much is measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Effort {
    /// So many of the candidates with the least estimated cost, and `gather`.
    pub candidates: usize,
    /// For so long each on average; each at least [`Effort::LEAST_RUNS`] times.
    pub time: Duration,
}

impl Effort {
    /// The fewest runs whose median counts.
    pub const LEAST_RUNS: usize = 5;
}

impl Default for Effort {
    /// 12 candidates for 0.1 s each.
    fn default() -> Self {
        Self { candidates: 12, time: Duration::from_millis(100) }
    }
}

/// A candidate that was tried.
#[derive(Debug)]
pub struct Trial {
    /// What was tried.
    pub candidate: Candidate,
    /// What came of it.
    pub outcome: Outcome,
}

/// What came of a candidate.
#[derive(Debug)]
pub enum Outcome {
    /// The median time of a run: by the device's timestamps where it has them, otherwise until it is done.
    Time(Duration),
    /// Its output was refused.
    Wrong,
    /// It could not be prepared or run.
    Failed(Error),
}

impl Trial {
    /// The median time of a candidate that ran and whose output was accepted.
    pub fn time(&self) -> Option<Duration> {
        match self.outcome {
            Outcome::Time(time) => Some(time),
            _ => None,
        }
    }
}

impl Tuning {
    /// Measures candidates for a layer at an input's shape and element type, and remembers the fastest of those whose
    /// output `accept` finds right; where there is none, what was remembered for the layer is forgotten. Gives what was
    /// tried, in the order of estimated cost.
    ///
    /// `accept` sees the output of every candidate once, before any is timed: compare it with the
    /// [reference](crate::reference).
    ///
    /// # Errors
    /// What [`Layer::prepare`] refuses at this shape, [`Error::DType`] for f64, [`Error::Limit`] for tensors beyond the
    /// device's largest buffer, [`Error::DeviceLost`], and what `accept` returns.
    pub fn measure<'a, E: From<Error>>(
        &mut self,
        layer: &Layer,
        input: impl Into<TensorView<'a>>,
        effort: Effort,
        mut accept: impl FnMut(&Tensor) -> std::result::Result<bool, E>,
    ) -> std::result::Result<Vec<Trial>, E> {
        let (context, op, input) = (layer.context(), layer.op(), input.into());
        let geometry = op.at(input.shape())?;
        let storage = storage_for(input.dtype(), context)?;
        let bench = Bench::new(layer, input, storage, &geometry)?;
        let mut trials = Vec::new();
        for candidate in few(layer.candidates(input.shape())?, effort.candidates) {
            let outcome = match bench.try_out(&candidate) {
                Ok((run, output)) if accept(&output)? => Ok(run),
                Ok(_) => Err(Outcome::Wrong),
                Err(error @ Error::DeviceLost { .. }) => return Err(error.into()),
                Err(error) => Err(Outcome::Failed(error)),
            };
            trials.push((candidate, outcome));
        }
        let trials = bench.time(trials, effort)?;
        let subject = Subject::new(context, &geometry, storage);
        match trials.iter().filter_map(|trial| Some((trial.time()?, trial.candidate))).min_by_key(|(time, _)| *time) {
            Some((time, candidate)) => {
                let (candidate, milliseconds) = (candidate.to_string(), time.as_secs_f64() * 1e3);
                self.choices.insert(subject, Choice { candidate, milliseconds });
            }
            None => {
                self.choices.remove(&subject);
            }
        }
        Ok(trials)
    }
}

/// The first few, and `gather`.
fn few(mut candidates: Vec<Candidate>, count: usize) -> Vec<Candidate> {
    let mut left = count;
    candidates.retain(|candidate| {
        let first = left > 0;
        left = left.saturating_sub(1);
        first || candidate.kernel() == Kernel::Gather
    });
    candidates
}

/// A candidate that was tried: ready to be timed, or why not.
type Tried = (Candidate, std::result::Result<Bound, Outcome>);

/// A layer with its buffers, to try candidates on.
struct Bench<'a> {
    layer: &'a Layer,
    storage: Storage,
    input_shape: &'a [usize],
    output_shape: Vec<usize>,
    x: Buffer,
    y: Buffer,
}

impl<'a> Bench<'a> {
    fn new(layer: &'a Layer, input: TensorView<'a>, storage: Storage, geometry: &Geometry) -> Result<Self> {
        let context = layer.context();
        let bytes = (geometry.output_len() as u64 * storage.size()).next_multiple_of(4);
        let usage = BufferUsages::STORAGE | BufferUsages::COPY_SRC | BufferUsages::COPY_DST;
        Ok(Self {
            layer,
            storage,
            input_shape: input.shape(),
            output_shape: geometry.output_shape(),
            x: context.upload(input, storage)?,
            y: context.buffer("upconv output", bytes, usage)?,
        })
    }

    /// The candidate, ready to run, and its output: an element that it does not write is NaN.
    fn try_out(&self, candidate: &Candidate) -> Result<(Bound, Tensor)> {
        let context = self.layer.context();
        let prepared = self.layer.prepare_candidate(self.input_shape, self.storage, candidate)?;
        context.write(&self.y, &vec![0xff; self.y.size() as usize])?;
        let bound = prepared.bind(self.x.slice(..), self.y.slice(..))?;
        run(context, &bound)?;
        let output = context.download(&self.y, &self.output_shape, self.storage)?;
        Ok((bound, output))
    }

    /// Times what was accepted, one after another in rounds, so that what else the machine does meanwhile slows all of
    /// them.
    fn time(&self, tried: Vec<Tried>, effort: Effort) -> Result<Vec<Trial>> {
        let mut times = vec![Vec::new(); tried.len()];
        let accepted: Vec<(usize, &Bound)> =
            tried.iter().enumerate().filter_map(|(index, (_, tried))| Some((index, tried.as_ref().ok()?))).collect();
        let (start, time) = (Instant::now(), effort.time * accepted.len() as u32);
        let mut rounds = 0;
        while rounds < Effort::LEAST_RUNS || start.elapsed() < time {
            for &(index, bound) in &accepted {
                times[index].push(run(self.layer.context(), bound)?);
            }
            rounds += 1;
        }
        let trial = |((candidate, tried), mut times): (Tried, Vec<Duration>)| {
            times.sort_unstable();
            let outcome = tried.map_or_else(|outcome| outcome, |_| Outcome::Time(times[times.len() / 2]));
            Trial { candidate, outcome }
        };
        Ok(tried.into_iter().zip(times).map(trial).collect())
    }
}

/// Runs a layer once: how long its dispatches took by the device's timestamps where it has them and they tell anything
/// (some drivers leave those of a short pass at 0), otherwise how long it was until it was done.
fn run(context: &Context, bound: &Bound) -> Result<Duration> {
    let start = Instant::now();
    let on_device: Duration = match bound.time() {
        Ok(times) => times.iter().map(|dispatch| dispatch.duration).sum(),
        Err(Error::Feature { .. }) => {
            context.submit("upconv layer", &bound.steps().iter().collect::<Vec<_>>(), |_| {})?;
            let lost =
                |error: wgpu::PollError| Error::DeviceLost { during: "timing a layer", reason: error.to_string() };
            context.device().poll(wgpu::PollType::wait_indefinitely()).map_err(lost)?;
            Duration::ZERO
        }
        Err(error) => return Err(error),
    };
    Ok(if on_device.is_zero() { start.elapsed() } else { on_device })
}
