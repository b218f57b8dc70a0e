//! The growth as a picture: a line for each kernel, both axes logarithmic, beside the line of slope 1.

use super::figure::figure;
use super::growth::{Curve, LAYER, Point};
use super::plot::{STYLE, escape};
use std::fmt::Write;

/// Lengths in pixels.
const WIDTH: f64 = 880.0;
const LEFT: f64 = 76.0;
const RIGHT: f64 = 850.0;
const PLOT_HEIGHT: f64 = 400.0;

const COLOURS: [&str; 6] = ["#14a38b", "#3b82f6", "#e0862a", "#9b5de5", "#d6457a", "#9aa4af"];

/// Where a value lies between the pixels of the least and of the greatest.
struct Scale {
    values: [f64; 2],
    pixels: [f64; 2],
}

impl Scale {
    fn at(&self, value: f64) -> f64 {
        let [least, greatest] = self.values.map(f64::ln);
        let [first, last] = self.pixels;
        first + (last - first) * (value.ln() - least) / (greatest - least)
    }
}

/// Draws milliseconds against output elements.
pub(crate) fn svg(curves: &[Curve]) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = draw(&mut out, curves);
    out
}

fn draw(out: &mut String, curves: &[Curve]) -> std::fmt::Result {
    let top = 66.0 + 20.0 * curves.len() as f64;
    let bottom = top + PLOT_HEIGHT;
    let height = bottom + 70.0;
    let points = || curves.iter().flat_map(|curve| &curve.points);
    let range = |value: fn(&Point) -> f64| {
        let fold = |[least, greatest]: [f64; 2], v: f64| [least.min(v), greatest.max(v)];
        points().map(value).fold([f64::INFINITY, 0.0], fold)
    };
    let [fastest, slowest] = range(|point| point.milliseconds);
    let decades = [fastest.log10().floor() as i32, slowest.log10().ceil() as i32];
    let x = Scale { values: range(|point| point.outputs as f64), pixels: [LEFT + 12.0, RIGHT - 12.0] };
    let y = Scale { values: decades.map(|decade| 10f64.powi(decade)), pixels: [bottom, top] };
    writeln!(
        out,
        r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" role="img">"#
    )?;
    let title = format!("Time against size: {LAYER}");
    writeln!(out, "<title>{title}</title>\n<style>{STYLE}</style>")?;
    writeln!(out, r#"<text class="title" x="20" y="32">{title}</text>"#)?;
    for decade in decades[0]..=decades[1] {
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
        line(out, curve, colour, 58.0 + 20.0 * index as f64, &x, &y)?;
    }
    let note = format!(
        "Both axes logarithmic: a line of slope 1 is time in proportion to the outputs. Shortest prepared call; outputs of 16 \
         channels. upconv {}",
        env!("CARGO_PKG_VERSION")
    );
    writeln!(out, r#"<text class="small" x="20" y="{}">{note}</text>"#, bottom + 48.0)?;
    writeln!(out, "</svg>")
}

/// A curve with its line in the legend.
fn line(out: &mut String, curve: &Curve, colour: &str, legend: f64, x: &Scale, y: &Scale) -> std::fmt::Result {
    let (kernel, adapter) = (escape(&curve.kernel), escape(&curve.adapter));
    let slope = curve.slope.map(|slope| format!(": slope {slope:.2}")).unwrap_or_default();
    writeln!(out, r#"<rect x="20" y="{}" width="12" height="12" rx="3" fill="{colour}"/>"#, legend - 10.0)?;
    writeln!(
        out,
        r#"<text x="40" y="{legend}"><tspan font-weight="600">{} {kernel}{slope}</tspan> {adapter}</text>"#,
        curve.device
    )?;
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
    fn a_scale_is_logarithmic() {
        let scale = Scale { values: [1.0, 100.0], pixels: [50.0, 10.0] };
        assert_eq!([1.0, 10.0, 100.0].map(|value| scale.at(value)), [50.0, 30.0, 10.0]);
    }

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
