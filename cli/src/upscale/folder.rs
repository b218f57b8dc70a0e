//! Every picture in a folder.

use crate::picture::Format;
use anyhow::{Context as _, Result, bail, ensure};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

/// A picture to enlarge, and where to write the result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Task {
    pub(super) input: PathBuf,
    pub(super) output: PathBuf,
}

/// The pictures in a folder, by the extensions of their names, and where each goes: the name stays, its extension is
/// that of the format if one is asked for.
pub(super) fn tasks(input: &Path, output: &Path, format: Option<Format>) -> Result<Vec<Task>> {
    let shown = input.display();
    if let (Ok(from), Ok(to)) = (fs::canonicalize(input), fs::canonicalize(output)) {
        ensure!(from != to, "{shown}: the pictures cannot be written to the folder they are in");
    }
    let mut names = Vec::new();
    for entry in fs::read_dir(input).with_context(|| format!("{shown}"))? {
        let path = entry.with_context(|| format!("{shown}"))?.path();
        if Format::of_extension(&path).is_some() && path.is_file() {
            names.push(path);
        }
    }
    names.sort();
    ensure!(
        !names.is_empty(),
        "{shown} is a folder without pictures: no name in it ends in .png, .jpg, .jpeg or .webp"
    );
    let mut taken: BTreeMap<PathBuf, &PathBuf> = BTreeMap::new();
    let mut tasks = Vec::new();
    for name in &names {
        let mut file = PathBuf::from(name.file_name().unwrap_or_default());
        if let Some(format) = format {
            file.set_extension(format.extension());
        }
        if let Some(other) = taken.insert(file.clone(), name) {
            bail!("{} and {} would both become {}", other.display(), name.display(), file.display());
        }
        tasks.push(Task { input: name.clone(), output: output.join(file) });
    }
    Ok(tasks)
}

/// Works on all tasks, `jobs` at a time. A failure does not stop the others; the error at the end names those that
/// failed.
pub(super) fn run(tasks: &[Task], jobs: usize, work: impl Fn(&Task) -> Result<()> + Sync) -> Result<()> {
    let (next, failures) = (AtomicUsize::new(0), Mutex::new(BTreeMap::new()));
    thread::scope(|scope| {
        for _ in 0..jobs.min(tasks.len()) {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(task) = tasks.get(index) else { break };
                    if let Err(error) = work(task) {
                        failures.lock().unwrap_or_else(PoisonError::into_inner).insert(index, error);
                    }
                }
            });
        }
    });
    let failures = failures.into_inner().unwrap_or_else(PoisonError::into_inner);
    if failures.is_empty() {
        return Ok(());
    }
    for error in failures.values() {
        eprintln!("failed: {}", format!("{error:#}").split_whitespace().collect::<Vec<_>>().join(" "));
    }
    let names: Vec<String> = failures.keys().take(10).map(|&index| tasks[index].input.display().to_string()).collect();
    let more = if failures.len() > names.len() { ", …" } else { "" };
    bail!("{} of {} pictures failed: {}{more}", failures.len(), tasks.len(), names.join(", "))
}
