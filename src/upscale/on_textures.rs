//! Upscalers inside a renderer: from a texture to a larger one, in the caller's encoder.

use super::encoding::Encoding;
use super::network::{self, Network};
use super::resample::Upsampler;
use crate::error::{Error, Result};
use crate::gpu::{
    Bound, BoundDraw, BoundTarget, BoundTexture, Components, Context, Curve, Graph, Pixels, Planes, PreparedGraph,
    Rectangle, Storage, TextureReader, TextureRegion, TextureRenderer,
};
use crate::graph::{self, Beyond};
use wgpu::{Buffer, BufferUsages, CommandEncoder, ComputePass, ComputePassDescriptor, RenderPass, TextureFormat};

/// A network or a filter that enlarges what is in a texture into another. Cheap to clone.
///
/// ```no_run
/// # fn example(context: upconv::gpu::Context, network: upconv::upscale::Network, scene: upconv::wgpu::Texture,
/// #     screen: upconv::wgpu::Texture, mut encoder: upconv::wgpu::CommandEncoder) -> upconv::Result<()> {
/// use upconv::Storage;
/// // Once: packs the weights, compiles what reads and writes.
/// let upscaler = network.on_textures(&context, scene.format(), screen.format(), Storage::F32)?;
/// // For each size: plans, compiles, allocates.
/// let prepared = upscaler.prepare(scene.width(), scene.height())?;
/// // For each pair of textures.
/// let bound = prepared.bind(&scene, &screen)?;
/// // In each frame: records a compute pass and a render pass; submits and reads back nothing.
/// bound.encode(&mut encoder);
/// # Ok(())
/// # }
/// ```
///
/// # Linear light and stored values
/// Of a `…Srgb` format a shader sees linear light, and that is also taken to be in formats of floats; others are taken to
/// hold stored values. A network is given what it [was trained on](Network::encoding), and a filter mixes what the
/// shader sees. On the way from the source and to the target, colours are encoded or decoded as these differ. Textures
/// that hold something else get [other pixels](Self::with_pixels).
///
/// # Alpha
/// Networks enlarge colours: alpha is not looked at, and that of the target is 1. A filter of 4 channels, or of 2, takes
/// straight alpha, multiplies before it mixes, and divides after. Textures with premultiplied colours get
/// [other pixels](Self::with_pixels), and so does a filter of one channel that enlarges alpha alone, into a target with a
/// network's colours: [`Components::Alpha`].
#[derive(Clone, Debug)]
pub struct OnTextures {
    graph: Graph,
    scale: usize,
    /// What is cut off the output's top and left.
    crop: usize,
    border: usize,
    source: TextureFormat,
    target: TextureFormat,
    reader: TextureReader,
    renderer: TextureRenderer,
}

/// [`OnTextures`] for a size of the source, with the buffers between the textures. Cheap to clone; clones share them.
#[derive(Clone, Debug)]
pub struct PreparedOnTextures {
    upscaler: OnTextures,
    graph: PreparedGraph,
    /// Of the source, width and height.
    size: [u32; 2],
    input: Buffer,
    output: Buffer,
}

/// [`PreparedOnTextures`] with its textures.
#[derive(Clone, Debug)]
pub struct BoundOnTextures {
    enlarge: Enlarge,
    write: BoundTarget,
}

/// [`PreparedOnTextures`] with the texture that is read, and its place in the target of a caller's pass.
#[derive(Clone, Debug)]
pub struct PlacedOnTextures {
    enlarge: Enlarge,
    draw: BoundDraw,
}

/// What comes before the writing.
#[derive(Clone, Debug)]
struct Enlarge {
    read: BoundTexture,
    graph: Bound,
}

impl Network {
    /// The network from textures seen as `source` to textures seen as `target`, in any formats that can be read as
    /// floats and drawn to; `storage` is that of everything between them.
    ///
    /// # Errors
    /// [`Error::Texture`] for a network that mirrors pictures or takes only some sizes; what [`Graph::new`],
    /// [`TextureReader::new`] and [`TextureRenderer::new`] refuse.
    pub fn on_textures(
        &self,
        context: &Context,
        source: TextureFormat,
        target: TextureFormat,
        storage: Storage,
    ) -> Result<OnTextures> {
        let pixels = Pixels { components: Components::Rgb, storage, ..Pixels::default() };
        let network::Frame { scale, border, beyond, multiple } = self.frame();
        if (beyond, multiple) != (Beyond::Replicate, 1) {
            let problem = format!(
                "the network takes sides that are multiples of {multiple} and pixels beyond its border that {beyond:?}, expected 1, \
                 Replicate"
            );
            return Err(Error::Texture { problem });
        }
        let inside = self.encoding();
        OnTextures::new(
            self.on_gpu(context)?,
            pixels,
            (source, inside, target),
            Frame { scale, crop: self.crop(), border },
        )
    }
}

impl Upsampler {
    /// The filter from textures seen as `source` to textures seen as `target`, in any formats that can be read as
    /// floats and drawn to; `storage` is that of everything between them. Its 1 to 4 channels are grey, grey and alpha,
    /// colour, colour and alpha.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] for more channels, and what [`Graph::new`], [`TextureReader::new`] and
    /// [`TextureRenderer::new`] refuse.
    pub fn on_textures(
        &self,
        context: &Context,
        source: TextureFormat,
        target: TextureFormat,
        storage: Storage,
    ) -> Result<OnTextures> {
        let (components, premultiplied) = match self.op.in_channels() {
            1 => (Components::Grey, false),
            2 => (Components::GreyAlpha, true),
            3 => (Components::Rgb, false),
            4 => (Components::Rgba, true),
            given => {
                let what = "channels of a filter on textures".into();
                return Err(Error::OutOfRange { what, given: given as i128, expected: "1 to 4".into() });
            }
        };
        let graph = graph::Graph::of_layers(&[(self.op.clone(), self.weight.clone(), None)])?;
        let pixels = Pixels { components, premultiplied, storage, ..Pixels::default() };
        let scale = self.op.axes().first().map_or(1, |axis| axis.stride);
        let frame = Frame { scale, crop: 0, border: self.border };
        OnTextures::new(Graph::new(context, &graph)?, pixels, (source, Encoding::seen_in(source), target), frame)
    }
}

/// How a picture lies in the input and the output of a graph.
struct Frame {
    scale: usize,
    crop: usize,
    border: usize,
}

impl OnTextures {
    fn new(
        graph: Graph,
        pixels: Pixels,
        (source, inside, target): (TextureFormat, Encoding, TextureFormat),
        Frame { scale, crop, border }: Frame,
    ) -> Result<Self> {
        let context = graph.context();
        let read = Pixels { curve: curve(Encoding::seen_in(source), inside), ..pixels };
        let written = Pixels { curve: curve(inside, Encoding::seen_in(target)), ..pixels };
        let reader = TextureReader::new(context, [border; 2], read)?;
        let renderer = TextureRenderer::new(context, target, written)?;
        Ok(Self { graph, scale, crop, border, source, target, reader, renderer })
    }

    /// What is done to the pixels that are read, and to those that are written.
    pub fn pixels(&self) -> [Pixels; 2] {
        [self.reader.pixels(), self.renderer.pixels()]
    }

    /// The same with something else done to the pixels that are read, and to those that are written.
    ///
    /// # Errors
    /// [`Error::Texture`] for other numbers of channels than those of the network or filter and where the two are not
    /// stored alike, and what [`TextureReader::new`] and [`TextureRenderer::new`] refuse.
    pub fn with_pixels(&self, [read, written]: [Pixels; 2]) -> Result<Self> {
        let kind = |pixels: Pixels| (pixels.components.count(), pixels.storage);
        for (given, own) in [read, written].into_iter().zip(self.pixels()) {
            if kind(given) != kind(own) {
                let ((given, stored), (expected, as_this)) = (kind(given), kind(own));
                return Err(Error::Texture {
                    problem: format!("{given} channels of {stored:?} given, expected {expected} of {as_this:?}"),
                });
            }
        }
        let context = self.graph.context();
        let reader = TextureReader::new(context, [self.border; 2], read)?;
        let renderer = TextureRenderer::new(context, self.target, written)?;
        Ok(Self { reader, renderer, ..self.clone() })
    }

    /// The factor.
    pub fn scale(&self) -> usize {
        self.scale
    }

    /// Plans, compiles and allocates for sources of `width` × `height` pixels.
    ///
    /// # Errors
    /// What [`Graph::prepare`] refuses, [`Error::Limit`] where the device has no buffer that large, [`Error::Device`].
    pub fn prepare(&self, width: u32, height: u32) -> Result<PreparedOnTextures> {
        let context = self.graph.context();
        let graph = self.graph.prepare(&[self.reader.shape(width, height)], self.reader.pixels().storage)?;
        let input = context.buffer("upconv pixels", graph.input_bytes(0), BufferUsages::STORAGE)?;
        let output = context.buffer("upconv enlarged pixels", graph.output_bytes(0), BufferUsages::STORAGE)?;
        Ok(PreparedOnTextures { upscaler: self.clone(), graph, size: [width, height], input, output })
    }
}

impl PreparedOnTextures {
    /// Binds the texture that is read, with usage `TEXTURE_BINDING`, and the one that is written, with usage
    /// `RENDER_ATTACHMENT`: regions of the prepared size and of [`scale`](OnTextures::scale) times that, seen in the
    /// formats that were named.
    ///
    /// What is encoded of several of them runs one after another: they share the buffers between the textures.
    ///
    /// # Errors
    /// [`Error::Texture`] saying what of this does not hold, or for a region that its texture has not;
    /// [`Error::Device`].
    pub fn bind<'s, 't>(
        &self,
        source: impl Into<TextureRegion<'s>>,
        target: impl Into<TextureRegion<'t>>,
    ) -> Result<BoundOnTextures> {
        let (planes, target) = (self.enlarged()?, target.into());
        check_size("target", target, self.enlarged_size()?)?;
        let enlarge = self.enlarge(source.into())?;
        Ok(BoundOnTextures { enlarge, write: self.upscaler.renderer.bind(planes, target)? })
    }

    /// Binds the texture that is read, on the terms of [`bind`](Self::bind), for a render pass of the caller's, in whose
    /// target the picture's first pixel is at `place`, x and y. One binding serves all textures of a surface.
    ///
    /// # Errors
    /// As [`bind`](Self::bind).
    pub fn place<'s>(&self, source: impl Into<TextureRegion<'s>>, [x, y]: [u32; 2]) -> Result<PlacedOnTextures> {
        let [width, height] = self.enlarged_size()?;
        let enlarge = self.enlarge(source.into())?;
        let place = Rectangle { x, y, width, height };
        Ok(PlacedOnTextures { enlarge, draw: self.upscaler.renderer.place(self.enlarged()?, place)? })
    }

    /// Width and height of the target.
    fn enlarged_size(&self) -> Result<[u32; 2]> {
        let ([width, height], scale) = (self.size, self.upscaler.scale);
        let times = |extent: u32| u32::try_from(scale).ok().and_then(|scale| extent.checked_mul(scale));
        match (times(width), times(height)) {
            (Some(width), Some(height)) => Ok([width, height]),
            _ => Err(Error::Texture {
                problem: format!("{scale} times {width}x{height} pixels are more than a texture can have"),
            }),
        }
    }

    /// The enlarged picture, without what is made beyond it.
    fn enlarged(&self) -> Result<Planes<'_>> {
        let [width, height] = self.enlarged_size()?;
        let crop = u32::try_from(self.upscaler.crop).unwrap_or(u32::MAX);
        let picture = Rectangle { x: crop, y: crop, width, height };
        Ok(Planes::new(self.output.slice(..), self.graph.output_shape(0)).part(picture))
    }

    fn enlarge(&self, source: TextureRegion<'_>) -> Result<Enlarge> {
        let OnTextures { reader, source: format, .. } = &self.upscaler;
        if source.seen_as() != *format {
            let problem = format!("its format is {:?}, but {format:?} is read", source.seen_as());
            return Err(Error::Texture { problem });
        }
        check_size("source", source, self.size)?;
        Ok(Enlarge {
            read: reader.bind(source, self.input.slice(..))?,
            graph: self.graph.bind(&[self.input.slice(..)], &[self.output.slice(..)])?,
        })
    }
}

fn check_size(what: &str, region: TextureRegion<'_>, [width, height]: [u32; 2]) -> Result<()> {
    let Rectangle { width: w, height: h, .. } = region.pixels()?;
    if [w, h] == [width, height] {
        return Ok(());
    }
    Err(Error::Texture { problem: format!("the {what} has {w}x{h} pixels, expected {width}x{height}") })
}

impl Enlarge {
    fn encode(&self, pass: &mut ComputePass<'_>) {
        self.read.encode(pass);
        self.graph.encode(pass);
    }
}

impl BoundOnTextures {
    /// Records a compute pass that reads and enlarges, and a render pass that writes. Both belong into one submission.
    ///
    /// Systems reset a device that is busy with one submission for some seconds: a network on a large source may need
    /// to be bound to parts of it.
    pub fn encode(&self, encoder: &mut CommandEncoder) {
        let descriptor = ComputePassDescriptor { label: Some("upconv upscaling"), timestamp_writes: None };
        self.enlarge.encode(&mut encoder.begin_compute_pass(&descriptor));
        self.write.encode(encoder);
    }
}

impl PlacedOnTextures {
    /// Records the reading and the enlarging; as in [`BoundOnTextures::encode`], not too much for one submission.
    pub fn encode(&self, pass: &mut ComputePass<'_>) {
        self.enlarge.encode(pass);
    }

    /// Records the writing, in a pass of the same submission, on the terms of [`BoundDraw::draw`].
    pub fn draw(&self, pass: &mut RenderPass<'_>) {
        self.draw.draw(pass);
    }
}

impl Encoding {
    /// What a shader sees in textures of a format: linear light in those of sRGB and of floats, stored values in others.
    pub fn seen_in(format: TextureFormat) -> Self {
        use TextureFormat as F;
        let floats = matches!(
            format,
            F::R16Float
                | F::Rg16Float
                | F::Rgba16Float
                | F::R32Float
                | F::Rg32Float
                | F::Rgba32Float
                | F::Rg11b10Ufloat
                | F::Rgb9e5Ufloat
                | F::Bc6hRgbUfloat
                | F::Bc6hRgbFloat
        );
        if floats || format.is_srgb() { Encoding::Linear } else { Encoding::Srgb }
    }
}

/// From colours of one encoding to those of another.
fn curve(from: Encoding, to: Encoding) -> Curve {
    match (from, to) {
        (Encoding::Linear, Encoding::Srgb) => Curve::Encode,
        (Encoding::Srgb, Encoding::Linear) => Curve::Decode,
        (Encoding::Srgb, Encoding::Srgb) | (Encoding::Linear, Encoding::Linear) => Curve::None,
    }
}
