//! The rows as a picture: horizontal bars, grouped by workload, on a logarithmic scale.

use super::figure::figure;
use super::report::Row;
use super::svg::{Scale, decades, document, escape, legend, legend_end};
use std::fmt::Write;

/// Lengths in pixels: where the bars begin, and where the largest may end.
const LEFT: f64 = 256.0;
const RIGHT: f64 = 818.0;
const BAR: f64 = 13.0;
const BAR_STEP: f64 = 17.0;
const GROUP_GAP: f64 = 19.0;
/// The two lines of a group's label.
const LABEL: f64 = 32.0;

const GPU_COLOURS: [&str; 4] = ["#3b82f6", "#14a38b", "#9b5de5", "#d6457a"];
const CPU_COLOUR: &str = "#e0862a";
const REFERENCE_COLOUR: &str = "#9aa4af";

/// A device with its colour.
struct Series<'a> {
    device: &'a str,
    adapter: &'a str,
    colour: &'static str,
}

/// Draws GFLOP/s of the median prepared call.
pub(crate) fn svg(rows: &[Row]) -> String {
    let series = series(rows);
    let groups: Vec<&[Row]> = rows.chunk_by(|a, b| a.workload == b.workload).collect();
    let heights: Vec<f64> = groups.iter().map(|group| (group.len() as f64 * BAR_STEP).max(LABEL)).collect();
    let top = legend_end(series.len()) + 16.0;
    let bottom = top + heights.iter().map(|height| height + GROUP_GAP).sum::<f64>();
    document("Transposed convolution: GFLOP/s of a prepared call", bottom + 52.0, |out| {
        for (index, Series { device, adapter, colour }) in series.iter().enumerate() {
            legend(out, index, colour, device, adapter)?;
        }
        draw(out, rows, &series, &groups, &heights, [top, bottom])
    })
}

fn draw(
    out: &mut String,
    rows: &[Row],
    series: &[Series<'_>],
    groups: &[&[Row]],
    heights: &[f64],
    [top, bottom]: [f64; 2],
) -> std::fmt::Result {
    let decades = decades(rows.iter().filter_map(|row| row.gflops));
    let scale = Scale::over(&decades, [LEFT, RIGHT]);
    for decade in decades {
        let x = scale.at(10f64.powi(decade));
        writeln!(out, r#"<line class="grid" x1="{x:.1}" y1="{:.1}" x2="{x:.1}" y2="{bottom:.1}"/>"#, top - 8.0)?;
        for y in [top - 14.0, bottom + 14.0] {
            let label = 10f64.powi(decade);
            writeln!(out, r#"<text class="small" x="{x:.1}" y="{y:.1}" text-anchor="middle">{label}</text>"#)?;
        }
    }
    let mut y = top;
    for (group, height) in groups.iter().zip(heights) {
        let label = y + (height - LABEL) / 2.0;
        let [name, title, layer] = [&group[0].workload, &group[0].title, &group[0].layer].map(|text| escape(text));
        writeln!(
            out,
            r#"<text class="name" x="20" y="{:.1}">{name} <tspan font-weight="400">{title}</tspan></text>"#,
            label + 13.0
        )?;
        writeln!(out, r#"<text class="small" x="20" y="{:.1}">{layer}</text>"#, label + 28.0)?;
        let first = y + (height - (group.len() as f64 * BAR_STEP - (BAR_STEP - BAR))) / 2.0;
        for (index, row) in group.iter().enumerate() {
            bar(out, row, series, &scale, first + index as f64 * BAR_STEP)?;
        }
        y += height + GROUP_GAP;
    }
    writeln!(
        out,
        r#"<text class="small" x="20" y="{:.1}">Logarithmic scale; longer is faster. Two operations for each multiply-add of the definition; median time, tensors on the device. upconv {}</text>"#,
        bottom + 38.0,
        env!("CARGO_PKG_VERSION")
    )
}

fn bar(out: &mut String, row: &Row, series: &[Series<'_>], scale: &Scale, y: f64) -> std::fmt::Result {
    let text = y + BAR - 2.5;
    let Some(gflops) = row.gflops else {
        let x = LEFT + 6.0;
        let device = row.device;
        return writeln!(out, r#"<text class="value failed" x="{x}" y="{text:.1}">{device} failed</text>"#);
    };
    let colour = series.iter().find(|one| one.is_of(row)).map_or(REFERENCE_COLOUR, |one| one.colour);
    let width = (scale.at(gflops) - LEFT).max(2.0);
    writeln!(
        out,
        r#"<rect x="{LEFT}" y="{y:.1}" width="{width:.1}" height="{BAR}" rx="2" fill="{colour}"><title>{}: {} GFLOP/s, {} ms</title></rect>"#,
        escape(&row.adapter),
        figure(gflops),
        figure(row.median_ms.unwrap_or_default())
    )?;
    writeln!(out, r#"<text class="value" x="{:.1}" y="{text:.1}">{}</text>"#, LEFT + width + 6.0, figure(gflops))
}

/// The devices in the order of their first row.
fn series(rows: &[Row]) -> Vec<Series<'_>> {
    let mut series: Vec<Series<'_>> = Vec::new();
    for row in rows {
        if series.iter().any(|one| one.is_of(row)) {
            continue;
        }
        let gpus = series.iter().filter(|one| one.device == "gpu").count();
        let colour = match row.device {
            "gpu" => GPU_COLOURS[gpus % GPU_COLOURS.len()],
            "cpu" => CPU_COLOUR,
            _ => REFERENCE_COLOUR,
        };
        series.push(Series { device: row.device, adapter: &row.adapter, colour });
    }
    series
}

impl Series<'_> {
    fn is_of(&self, row: &Row) -> bool {
        (self.device, self.adapter) == (row.device, row.adapter.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::pass::Pass;
    use crate::bench::subject::Subject;
    use crate::bench::workloads;

    fn row(gflops: Option<f64>) -> Row {
        let workload = &workloads::select(&["W10".into()]).unwrap()[0];
        Row { gflops, ..Row::new(workload, Pass::Forward, &Subject::Reference) }
    }

    #[test]
    fn a_failed_row_is_drawn_as_such() {
        let drawn = svg(&[row(Some(2.0)), Row { device: "gpu", adapter: "A & <B>".into(), ..row(None) }]);
        assert!(drawn.contains(">gpu failed</text>") && drawn.contains(">2.00</text>"), "{drawn}");
        assert!(drawn.contains("A &amp; &lt;B&gt;"), "{drawn}");
    }
}
