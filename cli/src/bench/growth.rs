//! `upconv bench --growth`: the time of one layer against the size of its output.

use super::check::Check;
use super::cost::Cost;
use super::figure::figure;
use super::subject::Subject;
use super::timing::Budget;
use super::workloads::Case;
use anyhow::{Result, bail, ensure};
use serde::Serialize;
use upconv::{ConvTranspose, Kernel};

/// The layer that is timed.
pub(crate) const LAYER: &str = "16 → 16 channels, k4 s2 p1, f32";

/// The sides of the square outputs. With 16 channels `gather` passes 65,535 workgroups at 512², the output a binding of
/// 128 MiB at 1536².
const SIDES: [usize; 13] = [32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048];

/// Sizes that take less than this multiple of the smallest one's time are dominated by the fixed cost.
const BEYOND_FIXED: f64 = 8.0;

/// The times of a kernel on a device.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Curve {
    /// `gpu` or `cpu`.
    pub(crate) device: &'static str,
    pub(crate) adapter: String,
    pub(crate) kernel: String,
    pub(crate) points: Vec<Point>,
    /// The exponent by which the time grows with the outputs, past the fixed cost; null with fewer than three points
    /// there.
    pub(crate) slope: Option<f64>,
    /// The largest exponent from one point to the next.
    pub(crate) steepest: Option<f64>,
}

/// One size.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Point {
    pub(crate) side: usize,
    pub(crate) outputs: usize,
    /// The shortest of the prepared calls: what else the machine does only adds to it.
    pub(crate) milliseconds: f64,
}

/// Measures every kernel with an error bound for each element on GPUs, and the CPU backend; `report` is called for each
/// size.
pub(crate) fn measure(subjects: &[Subject], budget: Budget, report: impl Fn(&str)) -> Result<Vec<Curve>> {
    let mut curves: Vec<Curve> = subjects.iter().flat_map(curves_of).collect();
    ensure!(!curves.is_empty(), "--growth times GPUs and the CPU backend, not the reference");
    for side in SIDES {
        let case = case(side)?;
        let check = Check::new(&case, Cost::new(&case.op, &case.input)?.multiply_adds)?;
        let outputs = case.op.at(case.input.shape())?.output_len();
        for curve in &mut curves {
            report(&format!("{side} x {side}: {} {}", curve.device, curve.kernel));
            let subject = subjects.iter().find(|subject| subject.adapter() == curve.adapter);
            let Some(subject) = subject else { bail!("{} is no longer available", curve.adapter) };
            let kernel = Kernel::EXACT.iter().copied().find(|kernel| kernel.to_string() == curve.kernel);
            let (comparison, samples) = subject.time_call(&case, &check, kernel, budget)?;
            ensure!(
                comparison.passed(),
                "{} {}, {side} x {side}: {} elements are beyond their bound",
                curve.device,
                curve.kernel,
                comparison.beyond
            );
            curve.points.push(Point { side, outputs, milliseconds: samples.min() * 1e3 });
        }
    }
    for curve in &mut curves {
        (curve.slope, curve.steepest) = slopes(&curve.points);
    }
    Ok(curves)
}

fn curves_of(subject: &Subject) -> Vec<Curve> {
    let kernels = match subject {
        Subject::Gpu { .. } => Kernel::EXACT.iter().map(ToString::to_string).collect(),
        Subject::Cpu => vec!["vectors".to_string()],
        Subject::Reference => Vec::new(),
    };
    let curve = |kernel| Curve {
        device: subject.device(),
        adapter: subject.adapter(),
        kernel,
        points: Vec::new(),
        slope: None,
        steepest: None,
    };
    kernels.into_iter().map(curve).collect()
}

fn case(side: usize) -> Result<Case> {
    let op = ConvTranspose::builder().in_channels(16).out_channels(16).kernel([4, 4]).stride([2, 2]).padding([1, 1]);
    Case::new(op.build()?, &[1, 16, side / 2, side / 2], false)
}

/// The slope of the logarithms past the fixed cost, by least squares, and the steepest step there.
fn slopes(points: &[Point]) -> (Option<f64>, Option<f64>) {
    let Some(first) = points.first() else { return (None, None) };
    let logarithms: Vec<(f64, f64)> = points
        .iter()
        .filter(|point| point.milliseconds >= BEYOND_FIXED * first.milliseconds)
        .map(|point| ((point.outputs as f64).ln(), point.milliseconds.ln()))
        .collect();
    if logarithms.len() < 3 {
        return (None, None);
    }
    let mean = |pick: fn(&(f64, f64)) -> f64| logarithms.iter().map(pick).sum::<f64>() / logarithms.len() as f64;
    let (x, y) = (mean(|point| point.0), mean(|point| point.1));
    let covariance: f64 = logarithms.iter().map(|point| (point.0 - x) * (point.1 - y)).sum();
    let variance: f64 = logarithms.iter().map(|point| (point.0 - x).powi(2)).sum();
    let steps = logarithms.windows(2).map(|pair| (pair[1].1 - pair[0].1) / (pair[1].0 - pair[0].0));
    (Some(covariance / variance), steps.max_by(f64::total_cmp))
}

/// A table with a row for each size, and the slopes below.
pub(crate) fn table(curves: &[Curve]) -> String {
    let mut rows = vec!["output".to_string(), String::new()];
    rows.extend(SIDES.map(|side| format!("{side} x {side}")));
    rows.extend(["slope".to_string(), "steepest".to_string()]);
    for row in &mut rows {
        *row = format!("{row:<13}");
    }
    for curve in curves {
        let number = |value: Option<f64>| value.map_or_else(|| "-".into(), |value| format!("{value:.2}"));
        let mut cells = vec![format!("{} {}", curve.device, curve.kernel), "ms".to_string()];
        cells.extend(curve.points.iter().map(|point| figure(point.milliseconds)));
        cells.extend([number(curve.slope), number(curve.steepest)]);
        for (row, cell) in rows.iter_mut().zip(cells) {
            *row += &format!("{cell:>14}");
        }
    }
    rows.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn points(time: impl Fn(f64) -> f64) -> Vec<Point> {
        let point = |side: usize| {
            let outputs = 16 * side * side;
            Point { side, outputs, milliseconds: time(outputs as f64) }
        };
        SIDES.map(point).to_vec()
    }

    #[test]
    fn the_slope_is_that_of_the_work() {
        let (slope, steepest) = slopes(&points(|outputs| 0.1 + outputs * 1e-6));
        assert!((slope.unwrap() - 1.0).abs() < 0.05, "{slope:?}");
        assert!((steepest.unwrap() - 1.0).abs() < 0.1, "{steepest:?}");
        let (slope, _) = slopes(&points(|outputs| outputs.powf(1.5)));
        assert!((slope.unwrap() - 1.5).abs() < 1e-9, "{slope:?}");
        // A cliff shows in the steepest step.
        let (_, steepest) = slopes(&points(|outputs| outputs * if outputs > 16e6 { 3.0 } else { 1.0 }));
        assert!(steepest.unwrap() > 2.0, "{steepest:?}");
        assert_eq!(slopes(&points(|_| 1.0)), (None, None));
    }
}
