//! The layers of a file as nodes of a graph.

use super::activation::{activation, fused};
use super::bin::{Reader, transpose};
use super::interp::fraction;
use super::param::{Line, Read};
use super::shape::{Shape, input_channels, shape_of};
use crate::activation::Activation;
use crate::graph::by_channel::{by_channel, normalised};
use crate::graph::resample::{Filter, resample};
use crate::graph::{Graph, Value};
use crate::op::{ConvTranspose, Convolution};
use crate::tensor::Tensor;
use std::collections::BTreeMap;
use std::fmt::Display;
use std::sync::Arc;

/// A blob.
#[derive(Clone, Copy, Debug)]
pub(super) struct Blob {
    pub(super) value: Value,
    /// Whether it is a number for each channel, which ncnn has as a vector.
    pub(super) flat: bool,
}

/// A graph under construction.
pub(super) struct Maker<'a> {
    pub(super) graph: Graph,
    blobs: BTreeMap<&'a str, Blob>,
    weights: Reader<'a>,
}

pub(super) fn told(error: impl Display) -> String {
    error.to_string()
}

/// The graph of these layers.
pub(super) fn graph(lines: &[Line], bin: &[u8]) -> Read<Graph> {
    let graph = Graph::new(2).map_err(told)?;
    let mut maker = Maker { graph, blobs: BTreeMap::new(), weights: Reader::new(bin) };
    for line in lines {
        let named = |error: String| format!("layer {:?} ({}) {error}", line.name, line.kind);
        let made = maker.layer(line, lines).map_err(named)?;
        if made.len() != line.outputs.len() {
            return Err(named(format!("writes {} blobs, expected {}", line.outputs.len(), made.len())));
        }
        for (name, blob) in line.outputs.iter().zip(made) {
            if maker.blobs.insert(name, blob).is_some() {
                return Err(named(format!("writes the blob {name:?}, which there is already")));
            }
        }
    }
    let Maker { mut graph, blobs, weights } = maker;
    weights.finish()?;
    let unread = lines
        .iter()
        .flat_map(|line| &line.outputs)
        .filter(|output| !lines.iter().any(|line| line.inputs.contains(output)));
    for output in unread {
        if let Some(blob) = blobs.get(output.as_str()) {
            graph.output(blob.value).map_err(|error| format!("blob {output:?}: {error}"))?;
        }
    }
    Ok(graph)
}

impl<'a> Maker<'a> {
    pub(super) fn input(&self, line: &Line, number: usize) -> Read<Blob> {
        let name = line.inputs.get(number).ok_or_else(|| format!("reads {number} blobs, expected more"))?;
        let blob = self.blobs.get(name.as_str()).copied();
        blob.ok_or_else(|| format!("reads the blob {name:?}, which no layer before it writes"))
    }

    /// The only blob that a layer reads.
    fn only_input(&self, line: &Line) -> Read<Blob> {
        match line.inputs.len() {
            1 => self.input(line, 0),
            given => Err(format!("reads {given} blobs, expected 1")),
        }
    }

    pub(super) fn channels(&self, blob: Blob) -> usize {
        self.graph.node(blob.value).channels()
    }

    /// What a layer writes.
    fn layer(&mut self, line: &'a Line, lines: &[Line]) -> Read<Vec<Blob>> {
        Ok(vec![match line.kind.as_str() {
            "Input" => {
                let channels = input_channels(line, lines)?;
                Blob { value: self.graph.input(channels).map_err(told)?, flat: false }
            }
            "Split" => return Ok(vec![self.only_input(line)?; line.outputs.len()]),
            "Noop" => self.only_input(line)?,
            "Dropout" => {
                line.only(&[0])?;
                let (x, scale) = (self.only_input(line)?, line.real(0, 1.0)?);
                self.affine(x, scale, 0.0)?
            }
            "Convolution" | "ConvolutionDepthWise" | "Deconvolution" | "DeconvolutionDepthWise" => {
                self.weighted(line)?
            }
            "InnerProduct" => self.inner_product(line)?,
            "Pooling" => {
                line.only(&[0, 1, 11, 2, 12, 3, 13, 14, 15, 4, 5])?;
                if (line.whole(0, 0)?, line.whole(4, 0)?) != (1, 1) {
                    return Err("is no global mean (0=1 4=1)".into());
                }
                self.mean(line)?
            }
            "Reduction" => {
                line.only(&[0, 1, 2, 3, 4, 5])?;
                let mut axes = line.integers(3)?;
                axes.iter_mut().filter(|axis| **axis < 0).for_each(|axis| *axis += 3);
                axes.sort_unstable();
                if line.whole(0, 0)? != 3 || axes != [1, 2] || line.whole(1, 1)? != 0 || line.real(2, 1.0)? != 1.0 {
                    return Err("is no mean over h and w (0=3 1=0 and the axes 1, 2)".into());
                }
                // With the axes kept it is a picture of one pixel.
                Blob { flat: line.whole(4, 0)? == 0, ..self.mean(line)? }
            }
            "Flatten" | "Reshape" => {
                let blob = self.only_input(line)?;
                let wanted = [line.integer(0, -233)?, line.integer(1, -233)?, line.integer(2, -233)?];
                let there = self.channels(blob) as i64;
                let same = wanted.iter().all(|extent| [there, 1, -1, 0, -233].contains(extent));
                if !blob.flat || !same {
                    return Err("changes the shape of more than a number for each channel".into());
                }
                blob
            }
            "BinaryOp" => self.binary(line)?,
            "Eltwise" => self.eltwise(line)?,
            "Scale" => self.scale(line)?,
            "BatchNorm" => self.batch_norm(line)?,
            "Concat" => {
                line.only(&[0])?;
                let axis = line.integer(0, 0)?;
                let blobs = (0..line.inputs.len()).map(|number| self.input(line, number)).collect::<Read<Vec<_>>>()?;
                let flat = blobs.iter().all(|blob| blob.flat);
                if (axis != 0 && axis != -3 && !(flat && axis == -1)) || (!flat && blobs.iter().any(|blob| blob.flat)) {
                    return Err(format!("puts blobs side by side along axis {axis}, expected the channels, 0"));
                }
                let values: Vec<Value> = blobs.iter().map(|blob| blob.value).collect();
                Blob { value: self.graph.concatenate(&values).map_err(told)?, flat }
            }
            "Crop" => self.crop(line)?,
            "Padding" => self.padding(line)?,
            "Interp" => self.interp(line)?,
            "PixelShuffle" => {
                line.only(&[0, 1])?;
                let blob = self.picture(line)?;
                if line.whole(1, 0)? != 0 {
                    return Err("has the channels of a block outermost (1=1), expected innermost (1=0)".into());
                }
                let value = self.graph.pixel_shuffle(blob.value, line.whole(0, 1)?).map_err(told)?;
                Blob { value, ..blob }
            }
            _ => {
                let blob = self.only_input(line)?;
                let activation = activation(line, self.channels(blob), &mut self.weights)?;
                self.activate(blob, activation)?
            }
        }])
    }

    /// The only blob that a layer reads, which is a picture.
    pub(super) fn picture(&self, line: &Line) -> Read<Blob> {
        let blob = self.only_input(line)?;
        if blob.flat { Err("reads a number for each channel, expected a picture".into()) } else { Ok(blob) }
    }

    fn activate(&mut self, blob: Blob, activation: Activation) -> Read<Blob> {
        if activation == Activation::None {
            return Ok(blob);
        }
        Ok(Blob { value: self.graph.activation(blob.value, activation).map_err(told)?, ..blob })
    }

    fn affine(&mut self, blob: Blob, scale: f32, offset: f32) -> Read<Blob> {
        if (scale, offset) == (1.0, 0.0) {
            return Ok(blob);
        }
        Ok(Blob { value: self.graph.affine(blob.value, scale, offset).map_err(told)?, ..blob })
    }

    fn mean(&mut self, line: &Line) -> Read<Blob> {
        let blob = self.picture(line)?;
        Ok(Blob { value: self.graph.mean(blob.value).map_err(told)?, flat: true })
    }

    /// A convolution or a transposed one.
    fn weighted(&mut self, line: &Line) -> Read<Blob> {
        let (blob, transposed) = (self.picture(line)?, line.kind.starts_with("Deconvolution"));
        let known = [0, 1, 11, 2, 12, 3, 13, 4, 14, 15, 16, 5, 6, 7, 8, 9, 10];
        let padded = if transposed { &[18, 19][..] } else { &[] };
        line.only(&[&known[..], padded].concat())?;
        let Shape { in_channels, out_channels, groups, kernel } = shape_of(line, Some(self.channels(blob)))?;
        let pair = |x: u32, y: u32, missing: usize| -> Read<[usize; 2]> {
            let along_x = line.whole(x, missing)?;
            Ok([line.whole(y, along_x)?, along_x])
        };
        let (dilation, stride) = (pair(2, 12, 1)?, pair(3, 13, 1)?);
        let left = line.whole(4, 0)?;
        let top = line.whole(14, left)?;
        let pads = [(top, line.whole(16, top)?), (left, line.whole(15, left)?)].map(|(a, b)| (a as i64, b as i64));
        let shape = [out_channels, in_channels / groups, kernel[0], kernel[1]];
        let read = self.weights.weight(shape)?;
        let bias = if line.whole(5, 0)? == 0 { None } else { Some(Arc::new(self.weights.plain(out_channels)?)) };
        let scales = match line.whole(8, 0)? {
            0 => None,
            term => {
                let depthwise = line.kind.ends_with("DepthWise");
                let scales = self.weights.plain(if depthwise { groups } else { out_channels })?;
                self.weights.plain(1)?;
                if term > 100 {
                    self.weights.plain(1)?;
                }
                Some(scales)
            }
        };
        let weight = read.numbers(shape, scales.as_ref())?;
        let value = if transposed {
            let weight = transpose(&weight, groups)?;
            let output_padding = pair(18, 19, 0)?;
            let op = ConvTranspose::builder().in_channels(in_channels).out_channels(out_channels).groups(groups);
            let op = op.kernel(kernel).stride(stride).dilation(dilation).padding(pads);
            let op = op.output_padding(output_padding).build().map_err(told)?;
            self.graph.layer(blob.value, &op, weight, bias)
        } else {
            let op = Convolution::builder().in_channels(in_channels).out_channels(out_channels).groups(groups);
            let op = op.kernel(kernel).stride(stride).dilation(dilation).padding(pads).build().map_err(told)?;
            self.graph.convolution(blob.value, &op, &weight, bias)
        };
        let blob = Blob { value: value.map_err(told)?, flat: false };
        self.activate(blob, fused(line)?)
    }

    /// A matrix times a number for each channel: a convolution of one tap.
    fn inner_product(&mut self, line: &Line) -> Read<Blob> {
        line.only(&[0, 1, 2, 8, 9, 10])?;
        let blob = self.only_input(line)?;
        if !blob.flat {
            return Err("reads a picture, expected a number for each channel".into());
        }
        let (inputs, outputs, given) = (self.channels(blob), line.whole(0, 0)?, line.whole(2, 0)?);
        if inputs.checked_mul(outputs) != Some(given) || outputs == 0 {
            return Err(format!("has {given} weights, expected {outputs} for each of {inputs} channels"));
        }
        let shape = [outputs, inputs, 1, 1];
        let read = self.weights.weight(shape)?;
        let bias = if line.whole(1, 0)? == 0 { None } else { Some(Arc::new(self.weights.plain(outputs)?)) };
        let scales = if line.whole(8, 0)? == 0 { None } else { Some(self.weights.plain(outputs)?) };
        if scales.is_some() {
            self.weights.plain(1)?;
        }
        let weight = read.numbers(shape, scales.as_ref())?;
        let op =
            Convolution::builder().in_channels(inputs).out_channels(outputs).kernel([1, 1]).build().map_err(told)?;
        let value = self.graph.convolution(blob.value, &op, &weight, bias).map_err(told)?;
        self.activate(Blob { value, flat: true }, fused(line)?)
    }

    fn binary(&mut self, line: &Line) -> Read<Blob> {
        line.only(&[0, 1, 2])?;
        let kind = line.whole(0, 0)?;
        if line.whole(1, 0)? == 1 {
            let (x, b) = (self.only_input(line)?, line.real(2, 0.0)?);
            let (scale, offset) = match kind {
                0 => (1.0, b),
                1 => (1.0, -b),
                2 => (b, 0.0),
                3 => (1.0 / b, 0.0),
                7 => (-1.0, b),
                _ => return Err(format!("has operation {kind} with a number, which is not read")),
            };
            return self.affine(x, scale, offset);
        }
        let (a, b) = (self.input(line, 0)?, self.input(line, 1)?);
        if line.inputs.len() != 2 {
            return Err(format!("reads {} blobs, expected 2", line.inputs.len()));
        }
        match kind {
            2 => self.multiply(a, b),
            0 => self.add(a, b),
            1 => {
                let b = self.affine(b, -1.0, 0.0)?;
                self.add(a, b)
            }
            _ => Err(format!("has operation {kind}, which is not read")),
        }
    }

    fn add(&mut self, a: Blob, b: Blob) -> Read<Blob> {
        if a.flat != b.flat {
            return Err("adds a number for each channel to a picture, which is not read".into());
        }
        Ok(Blob { value: self.graph.add(a.value, b.value).map_err(told)?, ..a })
    }

    fn multiply(&mut self, a: Blob, b: Blob) -> Read<Blob> {
        Ok(Blob { value: self.graph.multiply(a.value, b.value).map_err(told)?, flat: a.flat && b.flat })
    }

    fn eltwise(&mut self, line: &Line) -> Read<Blob> {
        line.only(&[0, 1])?;
        let (kind, shares) = (line.whole(0, 0)?, line.reals(1)?);
        let count = line.inputs.len();
        if !(0..=1).contains(&kind) || (!shares.is_empty() && (kind != 1 || shares.len() != count)) {
            return Err(format!("has operation {kind} of {count} blobs with the shares {shares:?}, which is not read"));
        }
        let mut made: Option<Blob> = None;
        for number in 0..count {
            let mut blob = self.input(line, number)?;
            if let Some(&share) = shares.get(number) {
                blob = self.affine(blob, share, 0.0)?;
            }
            made = Some(match made {
                None => blob,
                Some(so_far) if so_far.flat != blob.flat => return Err("is of blobs of two kinds".into()),
                Some(so_far) if kind == 0 => self.multiply(so_far, blob)?,
                Some(so_far) => self.add(so_far, blob)?,
            });
        }
        made.ok_or_else(|| "reads nothing".into())
    }

    fn scale(&mut self, line: &Line) -> Read<Blob> {
        line.only(&[0, 1])?;
        if line.integer(0, 0)? == -233 {
            let (x, factors) = (self.input(line, 0)?, self.input(line, 1)?);
            if !factors.flat || line.whole(1, 0)? != 0 || line.inputs.len() != 2 {
                return Err("multiplies with other than a number for each channel".into());
            }
            return self.multiply(x, factors);
        }
        let blob = self.only_input(line)?;
        let (channels, given) = (self.channels(blob), line.whole(0, 0)?);
        if given != channels {
            return Err(format!("has {given} factors, expected {channels}"));
        }
        let factors = self.weights.plain(channels)?;
        let bias = if line.whole(1, 0)? == 0 { None } else { Some(self.weights.plain(channels)?) };
        self.by_channel(blob, factors.to_f32(), bias)
    }

    fn batch_norm(&mut self, line: &Line) -> Read<Blob> {
        line.only(&[0, 1])?;
        let blob = self.only_input(line)?;
        let (channels, given, epsilon) = (self.channels(blob), line.whole(0, 0)?, line.real(1, 0.0)?);
        if given != channels {
            return Err(format!("has {given} channels, expected {channels}"));
        }
        let mut read = || self.weights.plain(channels).map(|tensor| tensor.to_f64());
        let [slopes, means, variances, biases] = [read()?, read()?, read()?, read()?];
        let normalised = normalised([slopes, biases, means, variances], epsilon);
        let (factors, bias) = normalised.ok_or("divides by a variance that is not above 0")?;
        let bias = Tensor::f32([channels], bias).map_err(told)?;
        self.by_channel(blob, factors, Some(bias))
    }

    fn by_channel(&mut self, blob: Blob, factors: Vec<f32>, bias: Option<Tensor>) -> Read<Blob> {
        Ok(Blob { value: by_channel(&mut self.graph, blob.value, factors, bias).map_err(told)?, ..blob })
    }

    fn interp(&mut self, line: &Line) -> Read<Blob> {
        line.only(&[0, 1, 2])?;
        let blob = self.picture(line)?;
        let (y, x) = (fraction(line.real(1, 1.0)?)?, fraction(line.real(2, 1.0)?)?);
        let value = match line.whole(0, 0)? {
            1 if y[1] == 1 && x[1] == 1 => self.graph.nearest(blob.value, &[y[0], x[0]]),
            kind @ (2 | 3) if y == x => {
                let filter = if kind == 2 { Filter::Linear } else { Filter::Cubic };
                resample(&mut self.graph, blob.value, filter, y)
            }
            kind => return Err(format!("resamples by {y:?} and {x:?} with filter {kind}, which is not read")),
        };
        Ok(Blob { value: value.map_err(told)?, ..blob })
    }
}
