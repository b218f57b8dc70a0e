//! Waiting, where a thread may wait: everywhere but in a browser.

use crate::error::{Error, Result};
use crate::stop::Stop;
use std::time::Duration;
use wgpu::{Device, PollError, PollType, SubmissionIndex};

/// How often somebody who waits looks whether to stop.
const LOOK: Duration = Duration::from_millis(50);

/// Waits for a future.
pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    pollster::block_on(future)
}

/// Waits until the device has finished a submission and calls what was to be called then. What was submitted later is
/// not waited for.
///
/// # Errors
/// [`Error::DeviceLost`]; [`Error::Stopped`], while the device goes on with what it was given.
pub(crate) fn finished(device: &Device, submission: &SubmissionIndex, during: &'static str) -> Result<()> {
    let stop = Stop::watched();
    let timeout = stop.is_some().then_some(LOOK);
    loop {
        match (device.poll(PollType::Wait { submission_index: Some(submission.clone()), timeout }), &stop) {
            (Ok(_), _) => return Ok(()),
            (Err(PollError::Timeout), Some(stop)) => stop.check()?,
            (Err(error), _) => return Err(Error::DeviceLost { during, reason: error.to_string() }),
        }
    }
}
