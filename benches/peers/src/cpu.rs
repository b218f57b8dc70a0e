//! An engine on the CPU, by itself.

use crate::check::Check;
use crate::timing::{Budget, timed};
use crate::workloads::{Case, Workload};
use crate::{Call, Row};
use anyhow::{Context as _, Result};
use std::time::{Duration, Instant};

/// Checks the engine's layer, then times it. What it refuses gives a row that says so.
pub(crate) fn time(
    engine: &'static str,
    workload: &Workload,
    case: &Case,
    span: Duration,
    layer: &dyn Fn(&Case) -> Result<Call>,
) -> Result<Vec<Row>> {
    let row = Row { workload: workload.name.clone(), engine: engine.into(), device: "cpu", ..Row::default() };
    let first = timed(|| {
        let call = layer(case)?;
        let output = call(true)?.context("no output")?;
        Ok((call, output))
    });
    let ((call, output), first) = match first {
        Ok(first) => first,
        Err(error) => return Ok(vec![Row { error: Some(format!("{error:#}")), ..row }]),
    };
    let geometry = case.op.at(case.input.shape())?;
    let multiply_adds = geometry.effective_multiply_adds();
    let output = upconv::Tensor::f32(geometry.output_shape(), output)?;
    let check = Check::new(case, multiply_adds)?.compare(&output)?;

    let start = Instant::now();
    while start.elapsed() < span / 4 {
        call(false)?;
    }
    let times = Budget::Seconds(span.as_secs_f64()).sample(|| Ok(timed(|| call(false))?.1))?;
    Ok(vec![Row {
        verified_share: Some(check.worst_share),
        error: (!check.passed()).then(|| format!("{} elements are beyond their bound", check.beyond)),
        runs: times.runs(),
        first_call_ms: Some(first.as_secs_f64() * 1e3),
        median_ms: Some(times.median() * 1e3),
        min_ms: Some(times.min() * 1e3),
        gflops: Some(2.0 * multiply_adds as f64 / times.median() / 1e9),
        ..row
    }])
}
