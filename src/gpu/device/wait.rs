//! Waiting, where a thread may wait: everywhere but in a browser.

use crate::error::{Error, Result};
use wgpu::{Device, PollType, SubmissionIndex};

/// Waits for a future.
pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    pollster::block_on(future)
}

/// Waits until the device has finished a submission and calls what was to be called then. What was submitted later is
/// not waited for.
pub(crate) fn finished(device: &Device, submission: SubmissionIndex, during: &'static str) -> Result<()> {
    let poll = PollType::Wait { submission_index: Some(submission), timeout: None };
    match device.poll(poll) {
        Ok(_) => Ok(()),
        Err(error) => Err(Error::DeviceLost { during, reason: error.to_string() }),
    }
}
