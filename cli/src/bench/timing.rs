//! How often a measurement is repeated, and the statistics of its times.

use anyhow::Result;
use std::time::{Duration, Instant};

/// How long one measurement may take.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Budget {
    /// This many runs.
    Runs(usize),
    /// Runs until this many seconds have passed, at least [`LEAST`] of them.
    Seconds(f64),
}

/// The fewest runs whose median is reported, where the number is not given.
const LEAST: usize = 3;

/// The most runs within [`Budget::Seconds`].
const MOST: usize = 10_000;

/// The times of some runs, in seconds, shortest first; never empty.
#[derive(Clone, Debug)]
pub(crate) struct Samples(Vec<f64>);

impl Samples {
    /// The number of runs.
    pub(crate) fn runs(&self) -> usize {
        self.0.len()
    }

    /// The median in seconds.
    pub(crate) fn median(&self) -> f64 {
        let middle = self.0.len() / 2;
        if self.0.len() % 2 == 1 { self.0[middle] } else { (self.0[middle - 1] + self.0[middle]) / 2.0 }
    }

    /// The shortest time in seconds.
    pub(crate) fn min(&self) -> f64 {
        self.0[0]
    }
}

impl From<Duration> for Samples {
    fn from(once: Duration) -> Self {
        Self(vec![once.as_secs_f64()])
    }
}

impl Budget {
    /// Runs `once`, which says how long it took, as often as the budget allows.
    pub(crate) fn sample(self, mut once: impl FnMut() -> Result<Duration>) -> Result<Samples> {
        let start = Instant::now();
        let mut seconds = Vec::new();
        loop {
            seconds.push(once()?.as_secs_f64());
            let done = match self {
                Budget::Runs(runs) => seconds.len() >= runs,
                Budget::Seconds(limit) => {
                    seconds.len() >= MOST || seconds.len() >= LEAST && start.elapsed().as_secs_f64() >= limit
                }
            };
            if done {
                break;
            }
        }
        seconds.sort_by(f64::total_cmp);
        Ok(Samples(seconds))
    }
}

/// The result of `call` and how long it took.
pub(crate) fn timed<T>(call: impl FnOnce() -> Result<T>) -> Result<(T, Duration)> {
    let start = Instant::now();
    let value = call()?;
    Ok((value, start.elapsed()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn milliseconds(times: &[u64]) -> Samples {
        let mut left = times.iter();
        let next = || Ok(Duration::from_millis(*left.next().unwrap()));
        Budget::Runs(times.len()).sample(next).unwrap()
    }

    #[test]
    fn the_median_is_the_middle_or_the_mean_of_the_middle_two() {
        assert_eq!(milliseconds(&[30, 10, 20]).median(), 0.020);
        assert_eq!(milliseconds(&[40, 10, 20, 30]).median(), 0.025);
        assert_eq!(milliseconds(&[40, 10, 20, 30]).min(), 0.010);
    }

    #[test]
    fn what_is_slow_is_still_run_three_times() {
        let samples = Budget::Seconds(0.0).sample(|| Ok(Duration::from_secs(9))).unwrap();
        assert_eq!((samples.runs(), samples.median()), (LEAST, 9.0));
    }
}
