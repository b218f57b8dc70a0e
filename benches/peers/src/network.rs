//! The network waifu2x-photo by upconv, on the CPU or on any GPU, from a picture's bytes to the bytes of one twice as large.

use crate::Row;
use crate::timing::{Budget, timed};
use anyhow::{Context as _, Result, bail, ensure};
use std::time::Duration;
use upconv::gpu::{AdapterRequest, Context};
use upconv::upscale::Network;
use upconv::upscale::models::WAIFU2X_PHOTO;
use upconv::{Storage, Tensor};

/// The network on a device, for pictures of one size.
type Run = Box<dyn Fn(&Tensor) -> Result<Tensor>>;

/// Enlarges the red, green and blue bytes of a picture, pixel by pixel and row by row, in `input`, times it for so long,
/// and leaves the bytes of the result in `output`; on `cpu` or `gpu`. All is warm but the first call.
pub(crate) fn time(device: &str, input: &str, output: &str, width: usize, span: Duration) -> Result<Row> {
    let bytes = std::fs::read(input).with_context(|| input.to_string())?;
    let network = WAIFU2X_PHOTO.network()?;
    let (device, context) = match device {
        "cpu" => ("cpu", None),
        "gpu" => ("gpu", Some(Context::request(&AdapterRequest::default())?)),
        other => bail!("unknown device {other:?}, expected cpu or gpu"),
    };
    let ((run, enlarged), first) = timed(|| {
        let run = prepare(&network, context.as_ref(), bytes.len() / 3 / width, width)?;
        let enlarged = enlarge(&network, &run, &bytes, width)?;
        Ok((run, enlarged))
    })?;
    std::fs::write(output, enlarged).with_context(|| output.to_string())?;
    let times =
        Budget::Seconds(span.as_secs_f64()).sample(|| Ok(timed(|| enlarge(&network, &run, &bytes, width))?.1))?;
    let multiply_adds = network.multiply_adds(bytes.len() / 3 / width, width)?;
    Ok(Row {
        workload: "waifu2x-photo".into(),
        engine: "upconv".into(),
        device,
        adapter: context.as_ref().map(Context::adapter_name),
        runs: times.runs(),
        first_call_ms: Some(first.as_secs_f64() * 1e3),
        median_ms: Some(times.median() * 1e3),
        min_ms: Some(times.min() * 1e3),
        gflops: Some(2.0 * multiply_adds as f64 / times.median() / 1e9),
        ..Row::default()
    })
}

fn prepare(network: &Network, context: Option<&Context>, height: usize, width: usize) -> Result<Run> {
    let Some(context) = context else {
        let on_cpu = network.on_cpu()?;
        return Ok(Box::new(move |picture| Ok(on_cpu.run(picture)?)));
    };
    // As the program does: tiles whose tensors a device can bind, one after another.
    let (mut rows, most) = (height, context.profile().max_binding as usize / 4);
    let mut shapes = network.shapes(rows, width)?;
    while shapes.iter().any(|shape| shape.iter().product::<usize>() > most) {
        ensure!(rows.is_multiple_of(8), "{height}x{width} is not cut into equal tiles that begin at multiples of 4");
        rows /= 2;
        shapes = network.shapes(rows, width)?;
    }
    let shape = shapes.swap_remove(0);
    let (chain, both, scale) =
        (network.on_gpu(context)?.prepare(&shape, Storage::F32)?, shape[2] - rows, network.scale());
    Ok(Box::new(move |picture| {
        let pixels = picture.as_f32().context("f32 is given")?;
        let tile = |top: usize| {
            let row = width + both;
            let plane = |channel: usize| &pixels[(channel * (height + both) + top) * row..][..(rows + both) * row];
            Tensor::f32(shape.clone(), [0, 1, 2].map(plane).concat())
        };
        let tiles = (0..height).step_by(rows).map(tile).collect::<upconv::Result<Vec<_>>>()?;
        let made = chain.run(&tiles)?;
        let (made_rows, made_row) = (made[0].shape()[2], made[0].shape()[3]);
        let plane = |channel: usize| {
            made.iter().flat_map(move |tile| {
                let planes = tile.as_f32().unwrap_or_default();
                planes[channel * made_rows * made_row..][..rows * scale * made_row].iter().copied()
            })
        };
        let planes: Vec<f32> = (0..3).flat_map(plane).collect();
        Ok(Tensor::f32([1, 3, height * scale, made_row], planes)?)
    }))
}

fn enlarge(network: &Network, run: &Run, bytes: &[u8], width: usize) -> Result<Vec<u8>> {
    let pixels = bytes.len() / 3;
    let mut planes = Vec::with_capacity(bytes.len());
    for channel in 0..3 {
        planes.extend(bytes.iter().skip(channel).step_by(3).map(|&byte| f32::from(byte) / 255.0));
    }
    let picture = Tensor::f32([1, 3, pixels / width, width], planes)?;
    let made = network.trim(&run(&network.pad(&picture)?)?)?;
    let made = made.as_f32().context("f32 gives f32")?;
    let (red, rest) = made.split_at(made.len() / 3);
    let (green, blue) = rest.split_at(red.len());
    // A conversion to bytes clamps.
    let byte = |value: f32| (value * 255.0 + 0.5) as u8;
    let pixels = red.iter().zip(green).zip(blue);
    Ok(pixels.flat_map(|((&red, &green), &blue)| [byte(red), byte(green), byte(blue)]).collect())
}
