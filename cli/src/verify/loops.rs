//! Whether a driver runs loops to their end: Mesa's in software stop them, and report no error.

use crate::shader::Shader;
use anyhow::{Context as _, Result, ensure};
use upconv::gpu::Context;
use upconv::{Storage, Tensor};

/// The iterations that are tried; a whole number in f32.
const TRIED: usize = 1 << 20;

/// A line about a driver that ends loops early, which plans for this device know and respect.
///
/// # Errors
/// A driver that ends them earlier than the device's profile says: sums in one dispatch may lack products.
pub(super) fn check(context: &Context) -> Result<Option<String>> {
    let run = iterations(context)?;
    let known = context.profile().max_iterations;
    // Finding that the loop ends may have counted as an iteration, or two.
    ensure!(
        run == TRIED || known <= run as u64 + 2,
        "the driver ends a loop after {run} of {TRIED} iterations without an error, and nothing was known of it: sums of \
         as many products are wrong on this device. Please report it"
    );
    Ok((run < TRIED).then(|| format!("its driver ends loops after {run} iterations; dispatches are kept below that")))
}

/// How many of the iterations of a loop are run.
fn iterations(context: &Context) -> Result<usize> {
    let upload = |value: f32| context.upload(&Tensor::f32([1], [value])?, Storage::F32);
    let (wanted, value) = (upload(TRIED as f32)?, upload(f32::NAN)?);
    Shader::new(context, include_str!("loop.wgsl"), &[&wanted, &value])?.run([1, 1])?;
    let value = context.download(&value, &[1], Storage::F32)?.to_f32()[0];
    after(value).with_context(|| format!("a loop of {TRIED} iterations gave {value}, which none of them gives"))
}

/// The iterations after which `loop.wgsl` has a value.
fn after(value: f32) -> Option<usize> {
    let states =
        std::iter::successors(Some(0u32), |state| Some(state.wrapping_mul(69_069).wrapping_add(1) & 0xff_ffff));
    states.take(TRIED + 1).position(|state| state as f32 == value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_value_tells_the_iterations() {
        let first = [0.0, 1.0, 69_070.0];
        assert_eq!(first.map(after), [Some(0), Some(1), Some(2)]);
        assert_eq!(after(f32::NAN), None);
    }
}
