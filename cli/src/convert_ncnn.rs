//! `upconv convert-ncnn`: a network in the format of the ncnn library, converted to a file for `upscale --model`.
//!
//! ncnn stores a network in two files. The `.param` file is text: a magic number, the numbers of layers and blobs, and
//! a line for each layer with its type, its name, the blobs that it reads and writes, and `key=value` parameters, whose
//! keys are numbers. The `.bin` file has the weights in the order of the layers: a tag of 32 bits (0 for f32,
//! 0x01306B47 for f16, which is padded to a multiple of 4 bytes), the weight, and the bias in plain f32.

mod bin;
mod param;

use crate::atomic::AtomicFile;
use crate::output::note;
use crate::{input, originals};
use anyhow::{Context as _, Result, bail, ensure};
use bin::Reader;
use param::Line;
use std::io::Write;
use std::path::PathBuf;
use upconv::Activation;
use upconv::upscale::Network;
use upconv::upscale::network::{CHANNELS, Kind, Layer};

/// The options of `convert-ncnn`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The layers: ncnn's text file. Convolutions of stride 1 and transposed convolutions, one after another, with
    /// their activations; RGB in and out, from 0 to 1.
    #[arg(value_name = "NET.param")]
    param: PathBuf,
    /// Their weights, in f32 or f16; the types are kept.
    #[arg(value_name = "NET.bin")]
    bin: PathBuf,
    /// Where to write the network; `-` is standard output. An existing file is replaced when the new one is complete.
    #[arg(value_name = "OUT.safetensors")]
    output: PathBuf,
    /// Refuse to replace an existing file.
    #[arg(long)]
    no_clobber: bool,
    /// Add this to the file's metadata, such as a licence or a source; may be given several times.
    #[arg(long, value_name = "KEY=TEXT", value_parser = parse_note)]
    note: Vec<(String, String)>,
}

fn parse_note(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.into(), value.into())),
        _ => Err("a note is KEY=TEXT".into()),
    }
}

/// The largest files that are read, in bytes.
const MAX_PARAM: u64 = 16 << 20;
const MAX_BIN: u64 = 1 << 30;

pub(crate) fn run(args: &Args) -> Result<()> {
    originals::protect(&args.param);
    originals::protect(&args.bin);
    let param = input::read_text(&args.param, MAX_PARAM)?;
    let bin = input::read(&args.bin, MAX_BIN)?;
    let network = parse(&param, &bin).with_context(|| format!("{}, {}", args.param.display(), args.bin.display()))?;

    let notes: Vec<(&str, &str)> = args.note.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    let mut file = AtomicFile::create_or_standard_output(&args.output, args.no_clobber)?;
    file.write_all(&network.to_safetensors(&notes)?)?;
    file.commit()?;
    let (count, scale, border) = (network.layers().len(), network.scale(), network.border());
    note!("{}: {count} layers, {scale}x, a border of {border} pixels", args.output.display());
    Ok(())
}

/// The network of a .param and a .bin file.
pub(crate) fn parse(param: &str, bin: &[u8]) -> Result<Network> {
    let lines = param::parse(param)?;
    Ok(Network::with_least_border(layers(&lines, &mut Reader::new(bin))?)?)
}

/// The layers with their weights, activations that stand alone put into the layer before.
fn layers(lines: &[Line<'_>], weights: &mut Reader<'_>) -> Result<Vec<Layer>> {
    let mut layers: Vec<Layer> = Vec::new();
    let mut blob: Option<&str> = None;
    for line in lines {
        let named = || format!("layer {:?} ({})", line.name, line.kind);
        let (inputs, outputs) = (&line.inputs[..], &line.outputs[..]);
        let follows = match blob {
            None => inputs.len() <= 1,
            Some(before) => inputs == [before],
        };
        let ([output], true) = (outputs, follows) else {
            bail!(
                "{} reads {inputs:?} and writes {outputs:?}, expected {} and one blob: only layers that follow one \
                 another are converted",
                named(),
                blob.map_or_else(|| "at most one blob".into(), |blob| format!("[{blob:?}]"))
            );
        };
        let channels = layers.last().map_or(CHANNELS, out_channels);
        match line.kind {
            "Input" | "Noop" => {}
            "Convolution" | "ConvolutionDepthWise" | "Deconvolution" | "DeconvolutionDepthWise" => {
                layers.push(weighted(line, channels, weights).with_context(named)?);
            }
            _ => {
                let alone = activation(line, channels, weights).with_context(named)?;
                match layers.last_mut() {
                    Some(layer) if layer.activation == Activation::None => layer.activation = alone,
                    Some(layer) => {
                        bail!(
                            "{} follows the activation {}, expected a weighted layer",
                            named(),
                            layer.activation.name()
                        )
                    }
                    None => bail!("{} is the first, expected a weighted layer before it", named()),
                }
            }
        }
        blob = Some(output);
    }
    weights.finish()?;
    Ok(layers)
}

fn out_channels(layer: &Layer) -> usize {
    match layer.kind {
        Kind::Convolution => layer.weight.shape().first().copied().unwrap_or_default(),
        Kind::Transposed => layer.weight.shape().get(1).copied().unwrap_or_default() * layer.groups,
    }
}

/// A convolution or a transposed one.
fn weighted(line: &Line<'_>, in_channels: usize, weights: &mut Reader<'_>) -> Result<Layer> {
    let transposed = line.kind.starts_with("Deconvolution");
    let out_channels = line.whole(0, 0)?;
    let pair = |x: u32, y: u32, missing: usize| -> Result<[usize; 2]> {
        let along_x = line.whole(x, missing)?;
        Ok([line.whole(y, along_x)?, along_x])
    };
    let (kernel, dilation, stride, padding) = (pair(1, 11, 0)?, pair(2, 12, 1)?, pair(3, 13, 1)?, pair(4, 14, 0)?);
    let ends = [line.whole(16, padding[0])?, line.whole(15, padding[1])?];
    ensure!(ends == padding, "pads {padding:?} at the beginning of (h, w) and {ends:?} at the end, expected the same");
    let groups = if line.kind.ends_with("DepthWise") { line.whole(7, 1)? } else { 1 };
    line.only(&[0, 1, 11, 2, 12, 3, 13, 4, 14, 15, 16, 5, 6, 7, 9, 10])?;
    ensure!(out_channels > 0 && kernel[0] > 0 && kernel[1] > 0, "{out_channels} channels with a kernel of {kernel:?}");
    ensure!(
        groups > 0 && in_channels.is_multiple_of(groups) && out_channels.is_multiple_of(groups),
        "{groups} groups do not divide {in_channels} channels in and {out_channels} out"
    );
    let shape = [out_channels, in_channels / groups, kernel[0], kernel[1]];
    let elements = shape.iter().try_fold(1, |product: usize, &extent| product.checked_mul(extent));
    let given = line.whole(6, 0)?;
    ensure!(
        elements == Some(given),
        "has {given} weights, expected {shape:?}: {out_channels} channels of {in_channels} in {groups} groups"
    );
    let weight = weights.weight(shape)?;
    let weight = if transposed { bin::transpose(&weight, groups)? } else { weight };
    let bias = if line.whole(5, 0)? == 0 { None } else { Some(weights.plain(out_channels)?.into()) };
    let kind = if transposed { Kind::Transposed } else { Kind::Convolution };
    Ok(Layer { bias, stride, padding, dilation, groups, activation: fused(line)?, ..Layer::new(kind, weight) })
}

/// The activation inside a weighted layer.
fn fused(line: &Line<'_>) -> Result<Activation> {
    let number = |index: usize| -> Result<f32> {
        let list = line.list(10)?;
        let count = list.len();
        list.get(index).copied().with_context(|| format!("has {count} activation parameters, expected one more"))
    };
    Ok(match line.whole(9, 0)? {
        0 => Activation::None,
        1 => Activation::Relu,
        2 => Activation::LeakyRelu { alpha: number(0)? },
        3 => Activation::Clip { min: number(0)?, max: number(1)? },
        4 => Activation::Sigmoid,
        5 => Activation::Mish,
        6 => Activation::HardSwish { alpha: number(0)?, beta: number(1)? },
        other => bail!("has activation type {other}, expected 0 to 6"),
    })
}

/// An activation in a separate layer.
fn activation(line: &Line<'_>, channels: usize, weights: &mut Reader<'_>) -> Result<Activation> {
    let (keys, activation): (&[u32], _) = match line.kind {
        "ReLU" => match line.real(0, 0.0)? {
            0.0 => (&[0], Activation::Relu),
            alpha => (&[0], Activation::LeakyRelu { alpha }),
        },
        "PReLU" => {
            let count = line.whole(0, 0)?;
            ensure!(count == 1 || count == channels, "has {count} slopes, expected 1 or {channels}");
            let slopes = weights.plain(count)?.to_f32();
            (&[0], Activation::Prelu { slopes: slopes.into_iter().cycle().take(channels).collect() })
        }
        "Clip" => (&[0, 1], Activation::Clip { min: line.real(0, f32::MIN)?, max: line.real(1, f32::MAX)? }),
        "HardSwish" => (&[0, 1], Activation::HardSwish { alpha: line.real(0, 0.2)?, beta: line.real(1, 0.5)? }),
        "Sigmoid" => (&[], Activation::Sigmoid),
        "TanH" => (&[], Activation::Tanh),
        "Mish" => (&[], Activation::Mish),
        "GELU" => (&[], Activation::Gelu),
        "Swish" => (&[], Activation::Silu),
        "ELU" => (&[0], Activation::Elu { alpha: line.real(0, 0.1)? }),
        other => bail!(
            "{other} layers are not converted; Convolution, Deconvolution and their DepthWise forms are, with ReLU, \
             PReLU, Clip, Sigmoid, TanH, Mish, HardSwish, GELU, Swish and ELU"
        ),
    };
    line.only(keys)?;
    Ok(activation)
}
