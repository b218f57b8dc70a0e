//! Dispatches ready to be recorded, and their submission.

use crate::error::Result;
use crate::gpu::device::context::Context;
use crate::gpu::device::span::span;
#[cfg(not(target_family = "wasm"))]
use crate::gpu::device::wait::finished;
use crate::gpu::dispatch::Band;
use crate::stop::Stop;
use std::borrow::Borrow;
use wgpu::{
    BindGroup, CommandEncoder, CommandEncoderDescriptor, ComputePass, ComputePassDescriptor, ComputePipeline,
    SubmissionIndex,
};

/// One dispatch, ready to be recorded.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    pub(crate) pipeline: ComputePipeline,
    pub(crate) bind_group: BindGroup,
    pub(crate) workgroups: [u32; 3],
    /// Which layer of a chain it is of.
    pub(crate) layer: usize,
    /// The name of the kernel.
    pub(crate) kernel: &'static str,
    /// What it computes, where that is a part of the output.
    pub(crate) band: Option<Band>,
    /// The most multiply-adds that it does. With 0 it is submitted with the step before, whose scratch it reads.
    pub(crate) multiply_adds: u64,
}

/// Records steps into a pass; a pipeline is set where it is not the one of the step before.
#[derive(Default)]
pub(crate) struct Recorder<'a> {
    set: Option<&'a ComputePipeline>,
}

impl<'a> Recorder<'a> {
    pub(crate) fn record(&mut self, step: &'a Step, pass: &mut ComputePass<'_>) {
        let Step { pipeline, bind_group, workgroups: [x, y, z], .. } = step;
        if self.set.replace(pipeline) != Some(pipeline) {
            pass.set_pipeline(pipeline);
        }
        pass.set_bind_group(0, bind_group, &[]);
        pass.dispatch_workgroups(*x, *y, *z);
    }
}

impl Context {
    /// Submits steps, as many at a time as stay within [`max_multiply_adds`](crate::DeviceProfile::max_multiply_adds):
    /// systems watch over submissions, not over dispatches. `finally` records what comes behind the last step.
    pub(crate) fn submit(
        &self,
        label: &'static str,
        steps: &[&Step],
        finally: impl FnOnce(&mut CommandEncoder),
    ) -> Result<SubmissionIndex> {
        let stop = Stop::watched();
        let mut left = steps;
        self.checked("running a layer", || {
            loop {
                let piece = left.split_off(..piece(left, self.profile().max_multiply_adds)).unwrap_or_default();
                span!("submit", label, dispatches = piece.len());
                let mut encoder =
                    self.device().create_command_encoder(&CommandEncoderDescriptor { label: Some(label) });
                {
                    let descriptor = ComputePassDescriptor { label: Some(label), timestamp_writes: None };
                    let mut pass = encoder.begin_compute_pass(&descriptor);
                    let mut recorder = Recorder::default();
                    piece.iter().for_each(|step| recorder.record(step, &mut pass));
                }
                if left.is_empty() {
                    finally(&mut encoder);
                    return Ok(self.queue().submit([encoder.finish()]));
                }
                let submission = self.queue().submit([encoder.finish()]);
                // What was submitted cannot be taken back: the rest waits for it.
                if let Some(stop) = &stop {
                    stop.check()?;
                    self.finish(&submission)?;
                }
            }
        })?
    }

    #[cfg(not(target_family = "wasm"))]
    fn finish(&self, submission: &SubmissionIndex) -> Result<()> {
        finished(self.device(), submission, "running a layer")
    }

    /// A browser does not let a thread wait.
    #[cfg(target_family = "wasm")]
    #[allow(clippy::unused_self, clippy::unnecessary_wraps, reason = "elsewhere it waits")]
    fn finish(&self, _: &SubmissionIndex) -> Result<()> {
        Ok(())
    }
}

/// How many of the first steps make one submission: as many as stay within `most` multiply-adds together, but at least
/// one, and with it those that must be submitted with it.
pub(crate) fn piece<S: Borrow<Step>>(steps: &[S], most: u64) -> usize {
    first_piece(steps.iter().map(|step| step.borrow().multiply_adds), most)
}

fn first_piece(multiply_adds: impl Iterator<Item = u64>, most: u64) -> usize {
    let mut sum = 0u64;
    let fits = |&(index, next): &(usize, u64)| {
        sum = sum.saturating_add(next);
        index == 0 || next == 0 || sum <= most
    };
    multiply_adds.enumerate().take_while(fits).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_stays_within_the_bound_and_is_never_empty() {
        let piece = |multiply_adds: &[u64], most| first_piece(multiply_adds.iter().copied(), most);
        assert_eq!(piece(&[], 10), 0);
        assert_eq!(piece(&[4, 6, 1], 10), 2);
        assert_eq!(piece(&[11, 1], 10), 1);
        assert_eq!(piece(&[11, 0, 0, 1], 10), 3);
        assert_eq!(piece(&[5, 0, 5, 0, 1], 10), 4);
        assert_eq!(piece(&[1, 2, 3], u64::MAX), 3);
        assert_eq!(piece(&[u64::MAX, u64::MAX], 10), 1);
    }
}
