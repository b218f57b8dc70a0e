//! The CPU backend gives what the reference gives, on small shapes.

#![no_main]

use arbitrary::{Result, Unstructured};
use libfuzzer_sys::fuzz_target;
use upconv::{Tensor, cpu, reference};
use upconv_fuzz::{operation, small};

/// More elements take too long.
const MOST: usize = 1 << 12;

fn run(mut u: Unstructured<'_>) -> Result<()> {
    let (op, shape) = operation(&mut u, |u| small(u, 7))?;
    let Ok(op) = op else { return Ok(()) };
    let Ok(geometry) = op.at(&shape) else { return Ok(()) };
    let weight_len: usize = op.weight_shape().iter().product();
    if geometry.input_len().max(geometry.output_len()).max(weight_len) > MOST
        || geometry.effective_multiply_adds() > 1 << 20
    {
        return Ok(());
    }
    // Small whole numbers, of which every sum is exact; now and then one that is not finite.
    let special = u.ratio(1, 8)?;
    let mut seed = u.arbitrary::<u32>()?;
    let mut tensor = |shape: Vec<usize>| {
        let len = shape.iter().product();
        let next = || {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            match seed >> 24 {
                0 if special => f32::NAN,
                1 if special => f32::INFINITY,
                bits => (bits % 17) as f32 - 8.0,
            }
        };
        let mut data = Vec::with_capacity(len);
        data.resize_with(len, next);
        Tensor::f32(shape, data).unwrap()
    };
    let (x, weight, bias) = (tensor(shape), tensor(op.weight_shape()), tensor(vec![op.out_channels()]));
    let expected = reference::conv_transpose(&op, &x, &weight, &bias).unwrap();
    let got = cpu::Layer::new(&op, &weight, &bias).unwrap().run(&x).unwrap();
    let comparison = expected.compare(&got).unwrap();
    assert!(comparison.passed() && comparison.inexact == 0, "{comparison:?}: {op:?} at {:?}", x.shape());
    Ok(())
}

fuzz_target!(init: {
    // One thread: others would only wait for each other.
    rayon::ThreadPoolBuilder::new().num_threads(1).build_global().unwrap();
}, |data: &[u8]| {
    // Bytes that do not suffice are no operation.
    let _ = run(Unstructured::new(data));
});
