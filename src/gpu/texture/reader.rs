//! From textures to planes.

use super::binding::{BoundTexture, Kernel, Set, extent_of, most_rows, planes, window_of};
use super::pixels::{Pixels, Way};
use super::planes::Extents;
use super::region::{TextureRegion, check_floats};
use crate::error::Result;
use crate::gpu::device::binding::check;
use crate::gpu::device::context::Context;
use crate::gpu::kernels::header::body;
use wgpu::{BindingResource, BindingType, BufferSlice, TextureSampleType, TextureUsages, TextureViewDimension};

pub(super) const SHADER: &str = include_str!("../../../shaders/from_texture.wgsl");

/// Reads textures into the planes `[1, channels, height, width]` of an input, borders included.
///
/// What [`OnTextures`](crate::upscale::OnTextures) does for networks and filters, for layers of one's own:
///
/// ```no_run
/// # fn example(context: upconv::gpu::Context, up: upconv::upscale::Upsampler, frame: upconv::wgpu::Texture,
/// #     large: upconv::wgpu::Texture, x: upconv::wgpu::Buffer, y: upconv::wgpu::Buffer,
/// #     mut pass: upconv::wgpu::ComputePass<'_>) -> upconv::Result<()> {
/// use upconv::gpu::{Layer, Pixels, TextureReader, TextureWriter};
/// let pixels = Pixels { premultiplied: true, ..Pixels::default() };
/// let reader = TextureReader::new(&context, [up.border; 2], pixels)?;
/// let layer = Layer::new(&context, &up.op, &up.weight, None)?;
/// let writer = TextureWriter::new(&context, large.format(), pixels)?;
/// let prepared = layer.prepare(&reader.shape(frame.width(), frame.height()), upconv::Storage::F32)?;
/// // x and y: buffers of prepared.input_bytes() and prepared.output_bytes().
/// let read = reader.bind(&frame, x.slice(..))?;
/// let upsample = prepared.bind(x.slice(..), y.slice(..))?;
/// let write = writer.bind(y.slice(..), &large)?;
/// // In each frame:
/// read.encode(&mut pass);
/// upsample.encode(&mut pass);
/// write.encode(&mut pass);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct TextureReader {
    context: Context,
    kernel: Kernel,
    pixels: Pixels,
    border: [usize; 2],
}

impl TextureReader {
    /// A reader that replicates the outermost pixels `border[0]` times above and to the left of what it reads, and
    /// `border[1]` times below and to the right (see [`Upsampler::border`](crate::upscale::Upsampler::border) and
    /// [`Network::border`](crate::upscale::Network::border)).
    ///
    /// # Errors
    /// [`Error::DType`](crate::Error::DType) for planes of f16 on a device without `SHADER_F16`,
    /// [`Error::Device`](crate::Error::Device).
    pub fn new(context: &Context, border: [usize; 2], pixels: Pixels) -> Result<Self> {
        pixels.check_storage(context)?;
        let texture = BindingType::Texture {
            sample_type: TextureSampleType::Float { filterable: false },
            view_dimension: TextureViewDimension::D2,
            multisampled: false,
        };
        let source = format!("{}\n{}", pixels.header(Way::Read), body(SHADER));
        let kernel = Kernel::new(context, "from_texture", source, &[texture, planes(false)])?;
        Ok(Self { context: context.clone(), kernel, pixels, border })
    }

    /// What it does to each pixel.
    pub fn pixels(&self) -> Pixels {
        self.pixels
    }

    /// The shape of the planes for a region of `width` × `height` pixels.
    pub fn shape(&self, width: u32, height: u32) -> [usize; 4] {
        let extent = |pixels: u32| (pixels as usize).saturating_add(self.border[0]).saturating_add(self.border[1]);
        [1, self.pixels.components.count(), extent(height), extent(width)]
    }

    /// Binds what is read of a texture with usage `TEXTURE_BINDING`, in any format that a shader reads as floats, and
    /// the buffer slice that receives the planes, of [`shape`](Self::shape).
    ///
    /// # Errors
    /// [`Error::Buffer`](crate::Error::Buffer) where the slice is too small or not aligned,
    /// [`Error::Texture`](crate::Error::Texture) for a texture that is multisampled, not 2-D, of integers or depths or
    /// without the usage, and for a level, layer, format or rectangle that it has not,
    /// [`Error::Limit`](crate::Error::Limit) where a row exceeds what one dispatch can do,
    /// [`Error::Device`](crate::Error::Device).
    pub fn bind<'a>(&self, region: impl Into<TextureRegion<'a>>, slice: BufferSlice<'_>) -> Result<BoundTexture> {
        let (context, region) = (&self.context, region.into());
        check_floats(context, region.seen_as())?;
        let (view, rectangle) = region.open(context, TextureUsages::TEXTURE_BINDING)?;
        let [_, channels, height, width] = self.shape(rectangle.width, rectangle.height);
        let extents = Extents { channels, height, width, storage: self.pixels.storage };
        check(context, "planes", &slice, extents.bytes())?;
        let bands = extents.bands(context.profile(), 0..height, most_rows(context, width)?)?;
        let [columns, rows_read] = extent_of(&rectangle);
        let mut dispatches = Vec::new();
        for rows in &bands.rows {
            let each = if bands.whole { channels } else { 1 };
            for channel in (0..channels).step_by(each) {
                let window = extents.window(context, &bands, channel, rows);
                let first = (window.offset / self.pixels.storage.size()) as usize;
                let planes = [width, self.border[0], rows.start, rows.len(), channel, each, height * width, first];
                let read = [rectangle.x as usize, rectangle.y as usize, columns, rows_read];
                let params = planes.into_iter().chain(read).map(|number| number as i32).collect();
                let bindings = vec![BindingResource::TextureView(&view), window_of(&slice, window)];
                dispatches.push((Set { params, bindings }, [width, rows.len()]));
            }
        }
        self.kernel.bind(context, &dispatches)
    }
}
