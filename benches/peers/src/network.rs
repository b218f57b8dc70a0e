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
    let multiply_adds = network.multiply_adds([bytes.len() / 3 / width, width])?;
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
        return Ok(Box::new(move |picture| Ok(on_cpu.run(std::slice::from_ref(picture))?.swap_remove(0))));
    };
    // As the program does: bands whose tensors a device can bind, one after another.
    let most = context.profile().max_binding / 4;
    let cost = network.tile_cost([height, width])?;
    let mut rows = height;
    while cost([rows, width])?.largest > most {
        ensure!(rows > 8, "{width} columns are too many");
        rows = rows.div_ceil(2).next_multiple_of(8);
    }
    let (graph, shape) = (network.on_gpu(context)?, network.input_shape([height, width]));
    let bands = (0..height).step_by(rows).map(|top| {
        let wanted = network.wanted(&(top..(top + rows).min(height)), &(0..width)).into_iter().collect::<Vec<_>>();
        let (_, ranges) = wanted.first().context("the network makes nothing")?.clone();
        Ok((graph.prepare_part(&[shape], &[], &wanted, Storage::F32)?, ranges))
    });
    let bands = bands.collect::<Result<Vec<_>>>()?;
    let (crop, scale) = (network.crop(), network.scale());
    let made_shape = [1, 3, 2 * crop + height * scale, 2 * crop + width * scale];
    Ok(Box::new(move |picture| {
        let pixels = picture.as_f32().context("f32 is given")?;
        let mut output = vec![0.0; made_shape.iter().product()];
        for (band, ranges) in &bands {
            let region = band.inputs().next().context("a band reads the picture")?;
            let (top, count) = (region.begin[0], region.shape[2]);
            let plane = |channel: usize| &pixels[(channel * shape[2] + top) * shape[3]..][..count * shape[3]];
            let input = Tensor::f32(&region.shape[..], [0, 1, 2].map(plane).concat())?;
            let made = band.run(&[input])?;
            let region = band.outputs().next().context("a band makes something")?;
            let (first, columns) = (&region.begin, region.shape[3]);
            let values = made[0].as_f32().context("f32 gives f32")?;
            for (line, values) in values.chunks_exact(columns).enumerate() {
                let (channel, row) = (line / region.shape[2], first[0] + line % region.shape[2]);
                if ranges[0].contains(&row) {
                    output[(channel * made_shape[2] + row) * made_shape[3] + first[1]..][..columns]
                        .copy_from_slice(values);
                }
            }
        }
        Ok(Tensor::f32(made_shape, output)?)
    }))
}

fn enlarge(network: &Network, run: &Run, bytes: &[u8], width: usize) -> Result<Vec<u8>> {
    let pixels = bytes.len() / 3;
    let mut planes = Vec::with_capacity(bytes.len());
    for channel in 0..3 {
        planes.extend(bytes.iter().skip(channel).step_by(3).map(|&byte| f32::from(byte) / 255.0));
    }
    let picture = Tensor::f32([1, 3, pixels / width, width], planes)?;
    let made = network.trim(&run(&network.pad(&picture)?)?, [pixels / width, width])?;
    let made = made.as_f32().context("f32 gives f32")?;
    let (red, rest) = made.split_at(made.len() / 3);
    let (green, blue) = rest.split_at(red.len());
    // A conversion to bytes clamps.
    let byte = |value: f32| (value * 255.0 + 0.5) as u8;
    let pixels = red.iter().zip(green).zip(blue);
    Ok(pixels.flat_map(|((&red, &green), &blue)| [byte(red), byte(green), byte(blue)]).collect())
}
