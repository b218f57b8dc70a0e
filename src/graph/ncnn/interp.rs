//! How much layers enlarge.

use super::param::Read;

/// The largest numerator and denominator.
const MOST: usize = 16;

/// A scale as a fraction p/q.
pub(super) fn fraction(scale: f32) -> Read<[usize; 2]> {
    let fits = |q: &usize| {
        let p = f64::from(scale) * *q as f64;
        (p - p.round()).abs() < 1e-6 && (1.0..=MOST as f64).contains(&p.round())
    };
    let q = (1..=MOST).find(fits);
    let q = q.ok_or_else(|| format!("enlarges {scale} times, expected a fraction of numbers up to {MOST}"))?;
    Ok([(f64::from(scale) * q as f64).round() as usize, q])
}
