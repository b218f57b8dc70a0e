//! Numbers as tables and plots show them.

/// Three significant digits.
pub(crate) fn figure(value: f64) -> String {
    let digits = match value.abs() {
        v if v >= 99.95 => 0,
        v if v >= 9.995 => 1,
        v if v >= 0.9995 => 2,
        _ => 3,
    };
    format!("{value:.digits$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_have_three_digits() {
        let shown = [1234.5, 99.96, 12.345, 9.996, 1.2345, 0.99951, 0.0123].map(figure);
        assert_eq!(shown, ["1234", "100", "12.3", "10.0", "1.23", "1.00", "0.012"]);
    }
}
