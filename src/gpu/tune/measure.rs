//! Trying candidates and timing those that are right.

use super::choices::{Choice, Subject, Tuning};
use crate::error::{Error, Result};
use crate::gpu::device::step::Step;
use crate::gpu::device::transfer::storage_for;
#[cfg(not(target_family = "wasm"))]
use crate::gpu::device::wait::{block_on, finished};
use crate::gpu::layer::Layer;
use crate::gpu::plan::candidate::Candidate;
use crate::gpu::prepared::Bound;
use crate::gpu::request::Request;
use crate::gpu::storage::Storage;
use crate::gpu::timing::DispatchTime;
use crate::kernel::Kernel;
use crate::op::Geometry;
use crate::tensor::{Tensor, TensorView};
use std::time::Duration;
#[cfg(not(target_family = "wasm"))]
use std::time::Instant;
#[cfg(target_family = "wasm")]
use web_time::Instant;
use wgpu::{Buffer, BufferUsages};

/// How much [`Tuning::measure`] tries, and for how long.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Effort {
    /// How many candidates are tried: those with the least estimated cost, and besides of every kernel the first two.
    pub candidates: usize,
    /// How long each is timed, on average; each runs at least [`Effort::LEAST_RUNS`] times, but one whose first run takes
    /// more than [`Effort::HOPELESS`] times as long as the fastest's only that once.
    pub time: Duration,
}

impl Effort {
    /// The fewest runs of which a median is taken.
    pub const LEAST_RUNS: usize = 5;

    /// A candidate whose first run takes more than so many times as long as the fastest's is not run again.
    pub const HOPELESS: u32 = 3;
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
    /// The median time of a run: by the device's timestamps where all runs of all candidates have them, otherwise until it
    /// is done.
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
    #[cfg(not(target_family = "wasm"))]
    pub fn measure<'a, E: From<Error>>(
        &mut self,
        layer: &Layer,
        input: impl Into<TensorView<'a>>,
        effort: Effort,
        accept: impl FnMut(&Tensor) -> std::result::Result<bool, E>,
    ) -> std::result::Result<Vec<Trial>, E> {
        block_on(self.measure_async(layer, input, effort, accept))
    }

    /// [`measure`](Self::measure) as a future, for a browser, where it waits for the device; elsewhere it waits inside.
    ///
    /// # Errors
    /// As [`measure`](Self::measure).
    pub async fn measure_async<'a, E: From<Error>>(
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
            let outcome = match bench.try_out(&candidate).await {
                Ok((run, output)) if accept(&output)? => Ok(run),
                Ok(_) => Err(Outcome::Wrong),
                Err(error @ Error::DeviceLost { .. }) => return Err(error.into()),
                Err(error) => Err(Outcome::Failed(error)),
            };
            trials.push((candidate, outcome));
        }
        let trials = bench.time(trials, effort).await?;
        let subject = Subject::new(&context.adapter_name(), &geometry, storage);
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

/// The first few, and of every kernel the first two: estimates compare tiles of a kernel better than kernels.
fn few(mut candidates: Vec<Candidate>, count: usize) -> Vec<Candidate> {
    let (mut taken, mut of_kernels) = (0, Vec::<Kernel>::new());
    candidates.retain(|candidate| {
        let of_kernel = of_kernels.iter().filter(|kernel| **kernel == candidate.kernel()).count();
        of_kernels.push(candidate.kernel());
        taken += 1;
        taken <= count || of_kernel < 2
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
    async fn try_out(&self, candidate: &Candidate) -> Result<(Bound, Tensor)> {
        let context = self.layer.context();
        let prepared = self.layer.prepare(self.input_shape, Request::new(self.storage).candidate(*candidate))?;
        context.write(&self.y, 0, &vec![0xff; self.y.size() as usize])?;
        let bound = prepared.bind(self.x.slice(..), self.y.slice(..))?;
        self.run(&bound).await?;
        #[cfg(not(target_family = "wasm"))]
        let output = context.download(&self.y, &self.output_shape, self.storage)?;
        #[cfg(target_family = "wasm")]
        let output = context.download_async(&self.y, &self.output_shape, self.storage).await?;
        Ok((bound, output))
    }

    /// Times what was accepted, one after another in rounds, so that what else the machine does meanwhile slows all of
    /// them. Those that are hopeless run in the first alone.
    async fn time(&self, tried: Vec<Tried>, effort: Effort) -> Result<Vec<Trial>> {
        let mut runs = vec![Vec::new(); tried.len()];
        let mut accepted: Vec<(usize, &Bound)> =
            tried.iter().enumerate().filter_map(|(index, (_, tried))| Some((index, tried.as_ref().ok()?))).collect();
        let (start, time) = (Instant::now(), effort.time * accepted.len() as u32);
        let mut rounds = 0;
        while rounds < Effort::LEAST_RUNS || start.elapsed() < time {
            for &(index, bound) in &accepted {
                runs[index].push(self.run(bound).await?);
            }
            if rounds == 0 {
                let first = |&(index, _): &(usize, _)| runs[index][0].waited;
                let fastest = accepted.iter().map(first).min().unwrap_or_default();
                accepted.retain(|candidate| !is_hopeless(first(candidate), fastest));
            }
            rounds += 1;
        }
        let times = medians(runs);
        let trial = |((candidate, tried), time): (Tried, Option<Duration>)| {
            let outcome = match (tried, time) {
                (Err(outcome), _) => outcome,
                (Ok(_), time) => Outcome::Time(time.unwrap_or_default()),
            };
            Trial { candidate, outcome }
        };
        Ok(tried.into_iter().zip(times).map(trial).collect())
    }

    /// Runs the layer once.
    async fn run(&self, bound: &Bound) -> Result<Run> {
        let start = Instant::now();
        #[cfg(not(target_family = "wasm"))]
        let timed = bound.time();
        #[cfg(target_family = "wasm")]
        let timed = bound.time_async().await;
        let on_device = match timed {
            Err(Error::Feature { .. }) => {
                let context = self.layer.context();
                let steps: Vec<&Step> = bound.steps().iter().collect();
                let submission = context.submit("upconv layer", &steps, |_| {})?;
                #[cfg(not(target_family = "wasm"))]
                finished(context.device(), &submission, "timing a layer")?;
                // What is read behind it is there when it is done.
                #[cfg(target_family = "wasm")]
                {
                    drop(submission);
                    context.start_reading(&self.y, 4)?.finish(|_| ()).await?;
                }
                None
            }
            timed => on_device(timed)?,
        };
        Ok(Run { waited: start.elapsed(), on_device })
    }
}

/// How long a layer took.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Run {
    /// Until it was done.
    waited: Duration,
    /// All its dispatches, by the device's timestamps where these tell anything.
    on_device: Option<Duration>,
}

/// The time of all dispatches; `None` where the timestamps tell nothing: some drivers leave those of a short pass at 0.
fn on_device(timed: Result<Vec<DispatchTime>>) -> Result<Option<Duration>> {
    match timed {
        Ok(times) => Ok(Some(times.iter().map(|time| time.duration).sum()).filter(|sum: &Duration| !sum.is_zero())),
        Err(Error::Timestamps { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether a candidate whose first run took so long is not run again.
fn is_hopeless(first: Duration, fastest: Duration) -> bool {
    first > fastest.saturating_mul(Effort::HOPELESS)
}

/// The median time of the runs of each candidate, where it has any: by the device's timestamps if all runs of all
/// candidates have them, so that like is compared with like.
fn medians(candidates: Vec<Vec<Run>>) -> Vec<Option<Duration>> {
    let on_device = candidates.iter().flatten().all(|run| run.on_device.is_some());
    let median = |runs: Vec<Run>| {
        let time = |run: Run| run.on_device.filter(|_| on_device).unwrap_or(run.waited);
        let mut times: Vec<Duration> = runs.into_iter().map(time).collect();
        times.sort_unstable();
        times.get(times.len() / 2).copied()
    };
    candidates.into_iter().map(median).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dispatch(nanoseconds: u64) -> DispatchTime {
        DispatchTime { layer: 0, kernel: "direct", band: None, duration: Duration::from_nanos(nanoseconds) }
    }

    #[test]
    fn timestamps_that_tell_nothing_end_no_measuring() {
        let nanoseconds = |timed| on_device(timed).unwrap().map(|time| time.as_nanos());
        assert_eq!(nanoseconds(Ok(vec![dispatch(3), dispatch(4)])), Some(7));
        assert_eq!(nanoseconds(Ok(vec![dispatch(0), dispatch(0)])), None);
        assert_eq!(nanoseconds(Err(Error::Timestamps { ticks: vec![0, 0] })), None);
        assert_eq!(nanoseconds(Err(Error::Timestamps { ticks: vec![9, 2] })), None);
        let lost = Error::DeviceLost { during: "", reason: String::new() };
        assert!(matches!(on_device(Err(lost)), Err(Error::DeviceLost { .. })));
    }

    #[test]
    fn a_candidate_is_hopeless_beyond_three_times_the_fastest() {
        let hopeless = |first| is_hopeless(Duration::from_nanos(first), Duration::from_nanos(10));
        assert_eq!([10, 30, 31, 1000].map(hopeless), [false, false, true, true]);
    }

    #[test]
    fn candidates_are_compared_by_the_same_clock() {
        let run = |waited: u64, on_device: Option<u64>| Run {
            waited: Duration::from_nanos(waited),
            on_device: on_device.map(Duration::from_nanos),
        };
        let medians = |candidates: &[&[Run]]| {
            let medians = medians(candidates.iter().map(|runs| runs.to_vec()).collect());
            medians.into_iter().map(|time| time.map(|time| time.as_nanos())).collect::<Vec<_>>()
        };
        let (a, b) = ([run(50, Some(5)), run(70, Some(4)), run(60, Some(6))], [run(40, Some(9))]);
        assert_eq!(medians(&[&a, &[], &b]), [Some(5), None, Some(9)]);
        assert_eq!(medians(&[&a, &[run(40, None)]]), [Some(60), Some(40)]);
        assert_eq!(medians(&[&a, &[run(40, Some(9)), run(30, None), run(20, Some(8))]]), [Some(60), Some(30)]);
    }
}
