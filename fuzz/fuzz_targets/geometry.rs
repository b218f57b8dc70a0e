//! Sizes are those of the formula, in every convention, or refused.

#![no_main]

use arbitrary::{Result, Unstructured};
use libfuzzer_sys::fuzz_target;
use upconv::{ConvTranspose, Geometry};
use upconv_fuzz::{convention, number, operation};

fn check(op: &ConvTranspose, shape: &[usize]) -> Option<Geometry> {
    let geometry = op.at(shape).ok()?;
    assert_eq!(geometry.input_shape(), shape);
    for (axis, (input, output)) in op.axes3().iter().zip(geometry.input().into_iter().zip(geometry.output())) {
        let [input, stride, dilation, kernel, extra] =
            [input, axis.stride, axis.dilation, axis.kernel, axis.output_padding].map(|n| n as i128);
        let pads = i128::from(axis.pad_begin) + i128::from(axis.pad_end);
        assert_eq!(output as i128, (input - 1) * stride + dilation * (kernel - 1) + 1 + extra - pads, "{axis:?}");
    }
    let output: u128 = geometry.output_shape().iter().map(|&extent| extent as u128).product();
    assert_eq!(geometry.output_len() as u128, output);
    assert!(geometry.useful_multiply_adds() <= geometry.effective_multiply_adds(), "{geometry:?}");
    Some(geometry)
}

fn run(mut u: Unstructured<'_>) -> Result<()> {
    let (op, shape) = operation(&mut u, number)?;
    let Ok(op) = op else { return Ok(()) };
    check(&op, &shape);
    let convention = convention(&mut u, op.rank())?;
    if let Ok(resolved) = convention.resolve(&op, &shape) {
        assert!(check(&resolved, &shape).is_some(), "{convention:?} of {op:?} at {shape:?}: {resolved:?}");
    }
    Ok(())
}

fuzz_target!(|data: &[u8]| {
    // Bytes that do not suffice are no operation.
    let _ = run(Unstructured::new(data));
});
