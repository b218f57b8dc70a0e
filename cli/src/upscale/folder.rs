//! Many pictures: several at a time, whatever becomes of the others.

use super::find::{Found, Task};
use crate::output::{note, one_line};
use crate::threads;
use anyhow::{Context as _, Error, Result, bail};
use std::collections::BTreeMap;
use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

/// Works on all tasks, `jobs` at a time. A failure does not stop the others; the error at the end names those that
/// failed.
pub(super) fn run(found: &Found, jobs: usize, work: impl Fn(&Task) -> Result<()> + Sync) -> Result<()> {
    let tasks = &found.tasks[..];
    let (next, failures) = (AtomicUsize::new(0), Mutex::new(BTreeMap::new()));
    let worker = || {
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(task) = tasks.get(index) else { break };
            if let Err(error) = into_its_folder(task).and_then(|()| work(task)) {
                failures.lock().unwrap_or_else(PoisonError::into_inner).insert(index, error);
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..jobs.min(tasks.len()) {
            if let Err(error) = threads::spawn(scope, "work on a picture", worker) {
                // Those that did start find nothing more to do.
                next.store(tasks.len(), Ordering::Relaxed);
                return Err(error);
            }
        }
        Ok(())
    })?;
    let failures = failures.into_inner().unwrap_or_else(PoisonError::into_inner);
    verdict(found, &failures)
}

/// Makes the folder of a result, where pictures in folders are mirrored.
fn into_its_folder(task: &Task) -> Result<()> {
    let Some(folder) = task.output.parent() else { return Ok(()) };
    fs::create_dir_all(folder).with_context(|| format!("cannot create the folder {}", folder.display()))
}

fn verdict(found: &Found, failures: &BTreeMap<usize, Error>) -> Result<()> {
    let Found { tasks, unreadable, .. } = found;
    for error in failures.values().chain(unreadable) {
        note!("failed: {}", one_line(error));
    }
    let names: Vec<String> = failures.keys().take(10).map(|&index| tasks[index].input.display().to_string()).collect();
    let more = if failures.len() > names.len() { ", …" } else { "" };
    let folders = match unreadable.len() {
        0 => String::new(),
        1 => "1 folder cannot be read".into(),
        count => format!("{count} folders cannot be read"),
    };
    match (failures.is_empty(), unreadable.is_empty()) {
        (true, true) => Ok(()),
        (true, false) => bail!("{folders}"),
        (false, true) => bail!("{} of {} pictures failed: {}{more}", failures.len(), tasks.len(), names.join(", ")),
        (false, false) => {
            bail!("{} of {} pictures failed, and {folders}: {}{more}", failures.len(), tasks.len(), names.join(", "))
        }
    }
}
