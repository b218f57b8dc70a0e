//! The rows of the results, as a table and as JSON.

use super::ceiling::Ceilings;
use super::cost::Cost;
use super::figure::figure;
use super::pass::Pass;
use super::subject::{Measured, Subject};
use super::timing::Samples;
use super::workloads::Workload;
use serde::Serialize;
use std::collections::BTreeSet;
use upconv::DType;

/// One workload on one device: an object of the JSON list. Times are in milliseconds.
///
/// Where the check failed or the device refused, the numbers are null and `error` says why.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Row {
    pub(crate) workload: String,
    pub(crate) title: String,
    pub(crate) layer: String,
    /// `forward`, `input-gradient` or `weight-gradient`.
    pub(crate) pass: &'static str,
    /// `gpu`, `cpu` or `reference`.
    pub(crate) device: &'static str,
    /// The adapter with its driver, or the processor with its threads.
    pub(crate) adapter: String,
    pub(crate) kernel: Option<String>,
    pub(crate) dtype: String,
    /// The largest error as a share of its bound; null for the reference.
    pub(crate) verified_share: Option<f64>,
    /// What was checked, or what the reference computed: `all`, or a stated part.
    pub(crate) verified_part: Option<String>,
    /// Runs of the prepared call.
    pub(crate) runs: Option<usize>,
    pub(crate) first_call_ms: Option<f64>,
    pub(crate) end_to_end_ms: Option<f64>,
    /// The prepared call.
    pub(crate) median_ms: Option<f64>,
    pub(crate) min_ms: Option<f64>,
    /// The median of the pass by the device's own clock.
    pub(crate) kernel_ms: Option<f64>,
    /// 10⁹ floating-point operations a second, two for each multiply-add of the definition, by `median_ms`.
    pub(crate) gflops: Option<f64>,
    /// The same by `kernel_ms`.
    pub(crate) kernel_gflops: Option<f64>,
    /// Bytes of input, weights and output, each counted once, by `median_ms`; 10⁹ bytes a second.
    pub(crate) gbps: Option<f64>,
    /// `gflops` or `gbps` as a share of what the GPU does in a product of matrices or a copy, the greater of the two.
    pub(crate) ceiling_share: Option<f64>,
    pub(crate) error: Option<String>,
}

impl Row {
    /// A row without numbers.
    pub(crate) fn new(workload: &Workload, pass: Pass, subject: &Subject) -> Self {
        Self {
            workload: workload.name.clone(),
            title: workload.title.clone(),
            layer: workload.describe(),
            pass: pass.name(),
            device: subject.device(),
            adapter: subject.adapter(),
            kernel: None,
            dtype: if workload.f16 { DType::F16 } else { DType::F32 }.to_string(),
            verified_share: None,
            verified_part: None,
            runs: None,
            first_call_ms: None,
            end_to_end_ms: None,
            median_ms: None,
            min_ms: None,
            kernel_ms: None,
            gflops: None,
            kernel_gflops: None,
            gbps: None,
            ceiling_share: None,
            error: None,
        }
    }

    /// Fills in the measurements.
    pub(crate) fn fill(&mut self, measured: Measured, cost: Cost, part: Option<String>) {
        self.kernel = Some(measured.kernel);
        self.verified_part = Some(part.unwrap_or_else(|| "all".into()));
        if let Some(comparison) = measured.comparison {
            self.verified_share = Some(comparison.worst_share);
            if !comparison.passed() {
                self.error = Some(format!(
                    "{} elements are beyond their bound, the worst by {:.3e}",
                    comparison.beyond, comparison.worst_error
                ));
            }
        }
        let Some(times) = measured.times else { return };
        let (median, kernel) = (times.call.median(), times.kernel.as_ref().map(Samples::median));
        let gflops = |seconds: f64| 2.0 * cost.multiply_adds as f64 / seconds / 1e9;
        self.runs = Some(times.call.runs());
        self.first_call_ms = Some(times.first_call.as_secs_f64() * 1e3);
        self.end_to_end_ms = Some(times.end_to_end.median() * 1e3);
        self.median_ms = Some(median * 1e3);
        self.min_ms = Some(times.call.min() * 1e3);
        self.kernel_ms = kernel.map(|seconds| seconds * 1e3);
        self.gflops = Some(gflops(median));
        self.kernel_gflops = kernel.map(gflops);
        self.gbps = Some(cost.bytes as f64 / median / 1e9);
    }

    /// Sets the row's share of its device's ceilings.
    pub(crate) fn compare_with(&mut self, ceilings: &Ceilings) {
        self.ceiling_share = self.gflops.zip(self.gbps).map(|(gflops, gbps)| ceilings.share(gflops, gbps));
    }

    /// The row in the table; `best` is the shortest median of its workload.
    pub(crate) fn line(&self, best: f64) -> String {
        let number = |value: Option<f64>| value.map_or_else(|| "-".into(), figure);
        let kernel = self.kernel.as_deref().unwrap_or("-");
        if let Some(error) = &self.error {
            return format!("    {:<11}{kernel:<12}FAILED: {error}", self.device);
        }
        let slower = self.median_ms.map(|median| format!("{}x", figure(median / best)));
        let share = self.verified_share.map(|share| format!("{:.1} %", share * 100.0));
        columns([
            self.device.into(),
            kernel.into(),
            number(self.first_call_ms),
            number(self.end_to_end_ms),
            number(self.median_ms),
            number(self.min_ms),
            number(self.kernel_ms),
            number(self.gflops),
            number(self.gbps),
            slower.unwrap_or_else(|| "-".into()),
            share.unwrap_or_else(|| "-".into()),
        ])
    }
}

/// The shares of the ceilings that the rows of each adapter reach, and their geometric mean; empty where no row has
/// one.
pub(crate) fn shares(rows: &[Row]) -> String {
    let mut lines = String::new();
    let mut seen = BTreeSet::new();
    for adapter in rows.iter().map(|row| row.adapter.as_str()).filter(|adapter| seen.insert(*adapter)) {
        let own = rows.iter().filter(|row| row.adapter == adapter);
        let shares: Vec<(&str, f64)> = own.filter_map(|row| Some((&*row.workload, row.ceiling_share?))).collect();
        if shares.is_empty() {
            continue;
        }
        let listed: Vec<String> = shares.iter().map(|(name, share)| format!("{name} {:.0} %", share * 100.0)).collect();
        let mean = (shares.iter().map(|(_, share)| share.ln()).sum::<f64>() / shares.len() as f64).exp() * 100.0;
        lines += &format!("\n{adapter}, of the nearer ceiling:\n{}; geometric mean {mean:.0} %\n", listed.join(", "));
    }
    lines
}

/// The head of the table.
pub(crate) fn head() -> String {
    let rows = [
        ["device", "kernel", "first", "end to end", "call", "call", "kernel", "", "", "slower", "error,"],
        ["", "", "ms", "ms", "median ms", "min ms", "ms", "GFLOP/s", "GB/s", "by", "of bound"],
    ];
    rows.map(|row| columns(row.map(String::from))).join("\n")
}

fn columns(cells: [String; 11]) -> String {
    let [device, kernel, first, end, call, min, inner, gflops, gbps, slower, share] = cells;
    let line = format!(
        "    {device:<11}{kernel:<12}{first:>8}{end:>12}{call:>11}{min:>9}{inner:>9}{gflops:>9}{gbps:>8}{slower:>8}{share:>10}"
    );
    line.trim_end().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::workloads;
    use upconv::reference::Comparison;

    #[test]
    fn a_wrong_output_fails_the_row_and_leaves_it_without_times() {
        let workload = &workloads::select(&["W10".into()]).unwrap()[0];
        let comparison =
            Some(Comparison { worst_share: 7.5, worst_error: 0.25, worst_index: 0, beyond: 3, inexact: 9 });
        let mut row = Row::new(workload, Pass::Forward, &Subject::Cpu);
        row.fill(Measured { kernel: "cpu".into(), comparison, times: None }, Cost { multiply_adds: 1, bytes: 1 }, None);
        assert_eq!(row.error.as_deref(), Some("3 elements are beyond their bound, the worst by 2.500e-1"));
        assert_eq!((row.verified_share, row.median_ms, row.gflops), (Some(7.5), None, None));
        assert!(row.line(1.0).contains("FAILED: 3 elements"), "{}", row.line(1.0));
    }

    #[test]
    fn shares_are_listed_for_each_adapter_that_has_ceilings() {
        let workloads = workloads::select(&["W8".into(), "W10".into()]).unwrap();
        let row = |workload: usize, adapter: &str, ceiling_share: Option<f64>| Row {
            adapter: adapter.into(),
            ceiling_share,
            ..Row::new(&workloads[workload], Pass::Forward, &Subject::Cpu)
        };
        let rows = [row(0, "a", Some(0.5)), row(0, "b", None), row(1, "a", Some(0.125)), row(1, "b", None)];
        assert_eq!(shares(&rows), "\na, of the nearer ceiling:\nW8 50 %, W10 12 %; geometric mean 25 %\n");
    }
}
