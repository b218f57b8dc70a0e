//! What the plots share: the frame of the file, the legend and the logarithmic scale.
//!
//! The background is transparent and the text is a grey that can be read on white and on black.

use std::fmt::{self, Write};
use std::ops::RangeInclusive;

/// In pixels.
pub(super) const WIDTH: f64 = 880.0;
/// The baseline of the first line of the legend, and the step to the next one.
const LEGEND: f64 = 58.0;
const LEGEND_STEP: f64 = 20.0;

const STYLE: &str = "\
text{font:12px system-ui,-apple-system,'Segoe UI',Helvetica,Arial,sans-serif;fill:#768390}\
.title{font-size:17px;font-weight:600}\
.name{font-size:13px;font-weight:600}\
.small{font-size:11px}\
.value{font-size:11px;font-weight:600;font-variant-numeric:tabular-nums}\
.grid{stroke:#768390;stroke-opacity:.28}\
.failed{fill:#e5484d}";

/// A file of this height in pixels, with what `draw` adds to it.
pub(super) fn document(title: &str, height: f64, draw: impl FnOnce(&mut String) -> fmt::Result) -> String {
    let mut out = String::new();
    let write = |out: &mut String| {
        writeln!(
            out,
            r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" role="img">"#
        )?;
        writeln!(out, "<title>{title}</title>\n<style>{STYLE}</style>")?;
        writeln!(out, r#"<text class="title" x="20" y="32">{title}</text>"#)?;
        draw(out)?;
        writeln!(out, "</svg>")
    };
    // Writing to a String cannot fail.
    let _ = write(&mut out);
    out
}

/// Line `index` of the legend.
pub(super) fn legend(out: &mut String, index: usize, colour: &str, name: &str, adapter: &str) -> fmt::Result {
    let y = legend_end(index);
    writeln!(out, r#"<rect x="20" y="{}" width="12" height="12" rx="3" fill="{colour}"/>"#, y - 10.0)?;
    let (name, adapter) = (escape(name), escape(adapter));
    writeln!(out, r#"<text x="40" y="{y}"><tspan font-weight="600">{name}</tspan> {adapter}</text>"#)
}

/// Where a legend of this many lines ends.
pub(super) fn legend_end(lines: usize) -> f64 {
    LEGEND + LEGEND_STEP * lines as f64
}

pub(super) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// The exponents of the powers of 10 around the values; 0 and 1 where there are none.
pub(super) fn decades(values: impl Iterator<Item = f64>) -> RangeInclusive<i32> {
    let (least, most) = values.fold((f64::INFINITY, 0.0f64), |(least, most), v| (least.min(v), most.max(v)));
    if !least.is_finite() || least <= 0.0 || !most.is_finite() {
        return 0..=1;
    }
    let low = least.log10().floor() as i32;
    low..=(most.log10().ceil() as i32).max(low + 1)
}

/// A logarithmic scale: where the least and the greatest value lie, in pixels.
pub(super) struct Scale {
    pub(super) values: [f64; 2],
    pub(super) pixels: [f64; 2],
}

impl Scale {
    /// Over whole decades.
    pub(super) fn over(decades: &RangeInclusive<i32>, pixels: [f64; 2]) -> Self {
        Self { values: [*decades.start(), *decades.end()].map(|decade| 10f64.powi(decade)), pixels }
    }

    pub(super) fn at(&self, value: f64) -> f64 {
        let [least, greatest] = self.values.map(f64::log10);
        let [first, last] = self.pixels;
        first + (last - first) * (value.log10() - least) / (greatest - least)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scale_is_logarithmic() {
        let scale = Scale { values: [1.0, 100.0], pixels: [50.0, 10.0] };
        assert_eq!([1.0, 10.0, 100.0].map(|value| scale.at(value)), [50.0, 30.0, 10.0]);
        assert_eq!(Scale::over(&(0..=2), [50.0, 10.0]).at(10.0), 30.0);
    }

    #[test]
    fn decades_are_whole_and_at_least_one() {
        assert_eq!(decades([3.0, 30.0].into_iter()), 0..=2);
        assert_eq!(decades(std::iter::once(10.0)), 1..=2);
        assert_eq!(decades(std::iter::empty()), 0..=1);
    }
}
