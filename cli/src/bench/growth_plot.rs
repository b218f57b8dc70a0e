//! The growth as a picture: a line for each kernel, both axes logarithmic, beside the line of slope 1.

use super::figure::figure;
use super::growth::{Curve, LAYER, Point};
use super::svg::{Scale, decades, document, legend, legend_end};
use std::fmt::Write;

/// Lengths in pixels.
const LEFT: f64 = 76.0;
const RIGHT: f64 = 850.0;
const PLOT_HEIGHT: f64 = 400.0;

const COLOURS: [&str; 6] = ["#14a38b", "#3b82f6", "#e0862a", "#9b5de5", "#d6457a", "#9aa4af"];

/// Draws milliseconds against output elements.
pub(crate) fn svg(curves: &[Curve]) -> String {
    let top = legend_end(curves.len()) + 8.0;
    document(&format!("Time against size: {LAYER}"), top + PLOT_HEIGHT + 70.0, |out| draw(out, curves, top))
}

fn draw(out: &mut String, curves: &[Curve], top: f64) -> std::fmt::Result {
    let bottom = top + PLOT_HEIGHT;
    let points = || curves.iter().flat_map(|curve| &curve.points);
    let decades = decades(points().map(|point| point.milliseconds));
    let outputs = || points().map(|point| point.outputs as f64);
    let range = [outputs().fold(f64::INFINITY, f64::min), outputs().fold(0.0, f64::max)];
    let x = Scale { values: range, pixels: [LEFT + 12.0, RIGHT - 12.0] };
    let y = Scale::over(&decades, [bottom, top]);
    for decade in decades {
        let (at, label) = (y.at(10f64.powi(decade)), 10f64.powi(decade));
        writeln!(out, r#"<line class="grid" x1="{LEFT}" y1="{at:.1}" x2="{RIGHT}" y2="{at:.1}"/>"#)?;
        writeln!(
            out,
            r#"<text class="small" x="{}" y="{:.1}" text-anchor="end">{label} ms</text>"#,
            LEFT - 8.0,
            at + 4.0
        )?;
    }
    for point in curves.first().map_or(&[][..], |curve| &curve.points) {
        let at = x.at(point.outputs as f64);
        writeln!(out, r#"<line class="grid" x1="{at:.1}" y1="{top}" x2="{at:.1}" y2="{bottom}"/>"#)?;
        writeln!(
            out,
            r#"<text class="small" x="{at:.1}" y="{}" text-anchor="middle">{}²</text>"#,
            bottom + 18.0,
            point.side
        )?;
    }
    for ((index, curve), colour) in curves.iter().enumerate().zip(COLOURS.iter().cycle()) {
        let slope = curve.slope.map(|slope| format!(": slope {slope:.2}")).unwrap_or_default();
        legend(out, index, colour, &format!("{} {}{slope}", curve.device, curve.kernel), &curve.adapter)?;
        line(out, curve, colour, &x, &y)?;
    }
    let note = format!(
        "Both axes logarithmic: a line of slope 1 is time in proportion to the outputs. Shortest prepared call; outputs of 16 \
         channels. upconv {}",
        env!("CARGO_PKG_VERSION")
    );
    writeln!(out, r#"<text class="small" x="20" y="{}">{note}</text>"#, bottom + 48.0)
}

fn line(out: &mut String, curve: &Curve, colour: &str, x: &Scale, y: &Scale) -> std::fmt::Result {
    let place = |point: &Point| format!("{:.1},{:.1}", x.at(point.outputs as f64), y.at(point.milliseconds));
    let places: Vec<String> = curve.points.iter().map(place).collect();
    writeln!(out, r#"<polyline points="{}" fill="none" stroke="{colour}" stroke-width="2"/>"#, places.join(" "))?;
    for point in &curve.points {
        let (cx, cy) = (x.at(point.outputs as f64), y.at(point.milliseconds));
        let (side, time) = (point.side, figure(point.milliseconds));
        writeln!(
            out,
            r#"<circle cx="{cx:.1}" cy="{cy:.1}" r="3" fill="{colour}"><title>{side}²: {time} ms</title></circle>"#
        )?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_point_is_drawn() {
        let point = |side: usize| Point { side, outputs: side * side, milliseconds: side as f64 };
        let points = vec![point(32), point(64), point(2048)];
        let (adapter, kernel) = ("A & <B>".to_string(), "gather".to_string());
        let curve = Curve { device: "gpu", adapter, kernel, points, slope: Some(0.5), steepest: None };
        let drawn = svg(&[curve]);
        assert_eq!(drawn.matches("<circle").count(), 3);
        assert!(drawn.contains("gpu gather: slope 0.50</tspan> A &amp; &lt;B&gt;"), "{drawn}");
    }
}
