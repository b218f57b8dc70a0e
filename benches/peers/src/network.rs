//! The network waifu2x-photo on the CPU by upconv, from a picture's bytes to the bytes of one twice as large.

use crate::Row;
use crate::timing::{Budget, timed};
use anyhow::{Context as _, Result};
use std::time::Duration;
use upconv::Tensor;
use upconv::upscale::Network;
use upconv::upscale::network::{OnCpu, WAIFU2X_PHOTO};

/// Enlarges the red, green and blue bytes of a picture, pixel by pixel and row by row, in `input`, times it for so long,
/// and leaves the bytes of the result in `output`. All is warm but the first call.
pub(crate) fn time(input: &str, output: &str, width: usize, span: Duration) -> Result<Row> {
    let bytes = std::fs::read(input).with_context(|| input.to_string())?;
    let network = Network::from_safetensors(WAIFU2X_PHOTO)?;
    let ((on_cpu, enlarged), first) = timed(|| {
        let on_cpu = network.on_cpu()?;
        let enlarged = enlarge(&network, &on_cpu, &bytes, width)?;
        Ok((on_cpu, enlarged))
    })?;
    std::fs::write(output, enlarged).with_context(|| output.to_string())?;
    let times =
        Budget::Seconds(span.as_secs_f64()).sample(|| Ok(timed(|| enlarge(&network, &on_cpu, &bytes, width))?.1))?;
    let multiply_adds = network.multiply_adds(bytes.len() / 3 / width, width)?;
    Ok(Row {
        workload: "waifu2x-photo".into(),
        engine: "upconv",
        device: "cpu",
        runs: times.runs(),
        first_call_ms: Some(first.as_secs_f64() * 1e3),
        median_ms: Some(times.median() * 1e3),
        min_ms: Some(times.min() * 1e3),
        gflops: Some(2.0 * multiply_adds as f64 / times.median() / 1e9),
        ..Row::default()
    })
}

fn enlarge(network: &Network, on_cpu: &OnCpu, bytes: &[u8], width: usize) -> Result<Vec<u8>> {
    let pixels = bytes.len() / 3;
    let mut planes = Vec::with_capacity(bytes.len());
    for channel in 0..3 {
        planes.extend(bytes.iter().skip(channel).step_by(3).map(|&byte| f32::from(byte) / 255.0));
    }
    let picture = Tensor::f32([1, 3, pixels / width, width], planes)?;
    let made = network.trim(&on_cpu.run(&network.pad(&picture)?)?)?;
    let made = made.as_f32().context("f32 gives f32")?;
    let (red, rest) = made.split_at(made.len() / 3);
    let (green, blue) = rest.split_at(red.len());
    // A conversion to bytes clamps.
    let byte = |value: f32| (value * 255.0 + 0.5) as u8;
    let pixels = red.iter().zip(green).zip(blue);
    Ok(pixels.flat_map(|((&red, &green), &blue)| [byte(red), byte(green), byte(blue)]).collect())
}
