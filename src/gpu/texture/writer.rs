//! From planes to storage textures.

use super::binding::{BoundTexture, Kernel, Set, extent_of, most_rows, planes, window_of};
use super::pixels::{Pixels, Way};
use super::planes::{Planes, check_buffers};
use super::region::{TextureRegion, problem};
use crate::error::{Error, Result};
use crate::gpu::device::context::Context;
use crate::gpu::kernels::header::body;
use wgpu::{
    BindingResource, BindingType, Features, StorageTextureAccess, TextureFormat, TextureUsages, TextureViewDimension,
};

pub(super) const SHADER: &str = include_str!("../../../shaders/to_texture.wgsl");

/// The formats that are written, and their names in WGSL.
const FORMATS: [(TextureFormat, &str); 5] = [
    (TextureFormat::Rgba8Unorm, "rgba8unorm"),
    (TextureFormat::Bgra8Unorm, "bgra8unorm"),
    (TextureFormat::Rgba16Float, "rgba16float"),
    (TextureFormat::Rgba32Float, "rgba32float"),
    (TextureFormat::R32Float, "r32float"),
];

/// Writes the planes of an output into storage textures, in a compute pass. For other formats and other targets there is
/// the [`TextureRenderer`](super::TextureRenderer).
///
/// ```no_run
/// use upconv::gpu::{Context, Pixels, TextureWriter};
/// # fn example(context: Context, planes: upconv::wgpu::Buffer, texture: upconv::wgpu::Texture,
/// #     mut pass: upconv::wgpu::ComputePass<'_>) -> upconv::Result<()> {
/// let writer = TextureWriter::new(&context, texture.format(), Pixels::default())?;
/// writer.bind(planes.slice(..), &texture)?.encode(&mut pass); // four planes, as large as the texture
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct TextureWriter {
    context: Context,
    kernel: Kernel,
    format: TextureFormat,
    pixels: Pixels,
}

impl TextureWriter {
    /// A writer into textures of a format: `Rgba8Unorm`, `Rgba16Float`, `Rgba32Float` and `R32Float` on every device,
    /// `Bgra8Unorm` with the feature `BGRA8UNORM_STORAGE`.
    ///
    /// # Errors
    /// [`Error::Texture`] for another format and for premultiplied planes without alpha; [`Error::Feature`];
    /// [`Error::DType`] for planes of f16 on a device without `SHADER_F16`; [`Error::Limit`] where shaders cannot see
    /// four buffers; [`Error::Device`].
    pub fn new(context: &Context, format: TextureFormat, pixels: Pixels) -> Result<Self> {
        pixels.check_storage(context)?;
        pixels.check_writable()?;
        check_buffers(context)?;
        let Some((_, name)) = FORMATS.iter().find(|(known, _)| *known == format) else {
            let known: Vec<String> = FORMATS.iter().map(|(known, _)| format!("{known:?}")).collect();
            let known = known.join(", ");
            return problem(format!(
                "format {format:?} is not written as a storage texture, expected one of {known}; a TextureRenderer draws \
                 to others"
            ));
        };
        if format == TextureFormat::Bgra8Unorm && !context.device().features().contains(Features::BGRA8UNORM_STORAGE) {
            return Err(Error::Feature { what: "writing a texture of Bgra8Unorm", feature: "BGRA8UNORM_STORAGE" });
        }
        let texture = BindingType::StorageTexture {
            access: StorageTextureAccess::WriteOnly,
            format,
            view_dimension: TextureViewDimension::D2,
        };
        let bindings = [planes(true), planes(true), planes(true), planes(true), texture];
        let kernel = Kernel::new(context, "to_texture", source(pixels, name), &bindings)?;
        Ok(Self { context: context.clone(), kernel, format, pixels })
    }

    /// What it does to each pixel.
    pub fn pixels(&self) -> Pixels {
        self.pixels
    }

    /// Binds the planes, and what is written of a texture with usage `STORAGE_BINDING` and the writer's format.
    ///
    /// # Errors
    /// [`Error::Shape`] and [`Error::Buffer`] for planes that do not fit, [`Error::Texture`] for a texture that is
    /// multisampled, not 2-D, of another format or without the usage, and for a level, layer or rectangle that it has
    /// not, [`Error::Limit`] where a row exceeds what one dispatch can do, [`Error::Device`].
    pub fn bind<'p, 't>(
        &self,
        planes: impl Into<Planes<'p>>,
        region: impl Into<TextureRegion<'t>>,
    ) -> Result<BoundTexture> {
        let (context, region) = (&self.context, region.into());
        check_format(region.seen_as(), self.format)?;
        let (view, rectangle) = region.open(context, TextureUsages::STORAGE_BINDING)?;
        let most_rows = most_rows(context, rectangle.width as usize)?;
        let kind = (self.pixels.components.count(), self.pixels.storage);
        let bands = planes.into().bands(context, kind, rectangle, most_rows)?;
        let dispatches = bands.into_iter().map(|band| {
            let windows = band.windows.map(|window| window_of(&band.slice, window));
            let bindings = windows.into_iter().chain([BindingResource::TextureView(&view)]).collect();
            (Set { params: band.params, bindings }, extent_of(&band.target))
        });
        self.kernel.bind(context, &dispatches.collect::<Vec<_>>())
    }
}

/// The shader that writes pixels; the name is that of a storage format, which a render pass has no use for.
pub(super) fn source(pixels: Pixels, storage_format: &str) -> String {
    let header = pixels.header(Way::Write);
    format!("{header}\nalias Picture = texture_storage_2d<{storage_format}, write>;\n{}", body(SHADER))
}

pub(super) fn check_format(given: TextureFormat, expected: TextureFormat) -> Result<()> {
    if given == expected {
        return Ok(());
    }
    problem(format!("its format is {given:?}, but {expected:?} is written"))
}
