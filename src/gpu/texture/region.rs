//! Which part of a texture is read or written, and whether it can be.

use crate::error::{Error, Result};
use crate::gpu::device::context::Context;
use std::fmt;
use wgpu::{
    Backend, Texture, TextureDimension, TextureFormat, TextureSampleType, TextureUsages, TextureView,
    TextureViewDescriptor, TextureViewDimension,
};

/// A rectangle of pixels, counted from the left and from the top.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the names say it")]
pub struct Rectangle {
    pub x: u32,
    pub y: u32,
    pub width: u32,
    pub height: u32,
}

/// What is read or written of a texture: a rectangle of one level and layer, seen in one format. `From<&Texture>` takes
/// all of the first level, in the texture's own format.
///
/// A [`TextureView`] would say less: wgpu tells neither the level that a view shows, nor its size, its dimension or its
/// format. Of a view at hand, `view.texture()` gives the texture.
///
/// ```no_run
/// use upconv::gpu::{Rectangle, TextureRegion};
/// # fn example(atlas: &upconv::wgpu::Texture) {
/// let sprite = Rectangle { x: 64, y: 0, width: 32, height: 32 };
/// let region = TextureRegion::new(atlas).level(0).layer(3).rectangle(sprite);
/// # }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct TextureRegion<'a> {
    texture: &'a Texture,
    format: TextureFormat,
    level: u32,
    layer: Option<u32>,
    rectangle: Option<Rectangle>,
}

impl<'a> From<&'a Texture> for TextureRegion<'a> {
    fn from(texture: &'a Texture) -> Self {
        Self::new(texture)
    }
}

impl<'a> TextureRegion<'a> {
    /// All of a texture's first level, in its own format.
    pub fn new(texture: &'a Texture) -> Self {
        Self { texture, format: texture.format(), level: 0, layer: None, rectangle: None }
    }

    /// Seen in another format: the texture's own with or without `Srgb`, one of the view formats that it was made with.
    #[must_use]
    pub fn format(self, format: TextureFormat) -> Self {
        Self { format, ..self }
    }

    /// Of another mip level.
    #[must_use]
    pub fn level(self, level: u32) -> Self {
        Self { level, ..self }
    }

    /// Of this layer. Of a texture with several, one must be named.
    #[must_use]
    pub fn layer(self, layer: u32) -> Self {
        Self { layer: Some(layer), ..self }
    }

    /// Of the level only this rectangle.
    #[must_use]
    pub fn rectangle(self, rectangle: Rectangle) -> Self {
        Self { rectangle: Some(rectangle), ..self }
    }

    pub(crate) fn seen_as(&self) -> TextureFormat {
        self.format
    }

    /// A view for one usage, and the rectangle of it.
    pub(super) fn open(&self, context: &Context, usage: TextureUsages) -> Result<(TextureView, Rectangle)> {
        self.check_texture(usage)?;
        self.check_level(context, usage)?;
        let rectangle = self.pixels()?;
        let descriptor = TextureViewDescriptor {
            label: Some("upconv texture"),
            format: Some(self.format),
            dimension: Some(TextureViewDimension::D2),
            usage: Some(usage),
            base_mip_level: self.level,
            mip_level_count: Some(1),
            base_array_layer: self.layer.unwrap_or(0),
            array_layer_count: Some(1),
            ..TextureViewDescriptor::default()
        };
        match context.checked("making a view of a texture", || self.texture.create_view(&descriptor)) {
            Err(Error::Device { .. }) if self.format != self.texture.format() => {
                let own = self.texture.format();
                problem(format!(
                    "format {:?} is none of the view formats that it was made with, of {own:?}",
                    self.format
                ))
            }
            view => Ok((view?, rectangle)),
        }
    }

    /// All pixels of the level, or the rectangle of them.
    pub(crate) fn pixels(&self) -> Result<Rectangle> {
        let levels = self.texture.mip_level_count();
        if self.level >= levels {
            return problem(format!("it has {levels} mip levels, and no level {}", self.level));
        }
        let size = self.texture.size().mip_level_size(self.level, self.texture.dimension());
        match self.rectangle {
            None => Ok(Rectangle { x: 0, y: 0, width: size.width, height: size.height }),
            Some(rectangle) if rectangle.is_inside(size.width.into(), size.height.into()) => Ok(rectangle),
            Some(rectangle) => problem(format!(
                "{rectangle} is not inside the {}x{} pixels of level {}",
                size.width, size.height, self.level
            )),
        }
    }

    /// Whether a rectangle is all of the level.
    pub(super) fn covers_its_level(&self, rectangle: Rectangle) -> bool {
        Self { rectangle: None, ..*self }.pixels().is_ok_and(|all| all == rectangle)
    }

    fn check_texture(&self, usage: TextureUsages) -> Result<()> {
        let texture = self.texture;
        if texture.dimension() != TextureDimension::D2 {
            return problem(format!("its dimension is {:?}, expected D2", texture.dimension()));
        }
        if texture.sample_count() != 1 {
            let samples = texture.sample_count();
            return problem(format!("it has {samples} samples for each pixel, expected 1: resolve it first"));
        }
        if !texture.usage().contains(usage) {
            return problem(format!("usage {:?} lacks {usage:?}", texture.usage()));
        }
        if self.format.remove_srgb_suffix() != texture.format().remove_srgb_suffix() {
            return problem(format!("its format {:?} cannot be seen as {:?}", texture.format(), self.format));
        }
        Ok(())
    }

    fn check_level(&self, context: &Context, usage: TextureUsages) -> Result<()> {
        let (levels, layers) = (self.texture.mip_level_count(), self.texture.depth_or_array_layers());
        match self.layer {
            None if layers > 1 => return problem(format!("it has {layers} layers, and none of them is named")),
            Some(layer) if layer >= layers => return problem(format!("it has {layers} layers, and no layer {layer}")),
            _ => {}
        }
        if context.device().adapter_info().backend == Backend::Gl
            && usage != TextureUsages::RENDER_ATTACHMENT
            && (levels, layers) != (1, 1)
        {
            // wgpu binds another part of the texture there, or none, without an error.
            return problem(format!(
                "it has {levels} mip levels and {layers} layers; through OpenGL it can have only 1 of each"
            ));
        }
        Ok(())
    }
}

impl Rectangle {
    /// Whether it has pixels, all of them within so many.
    pub(super) fn is_inside(&self, width: u64, height: u64) -> bool {
        let end = |first: u32, extent: u32| u64::from(first) + u64::from(extent);
        self.width > 0 && self.height > 0 && end(self.x, self.width) <= width && end(self.y, self.height) <= height
    }
}

impl fmt::Display for Rectangle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the rectangle of {}x{} pixels at ({}, {})", self.width, self.height, self.x, self.y)
    }
}

pub(super) fn problem<T>(problem: String) -> Result<T> {
    Err(Error::Texture { problem })
}

/// Refuses a format whose pixels are no floats for a shader.
pub(super) fn check_floats(context: &Context, format: TextureFormat) -> Result<()> {
    let holds = match format.sample_type(None, Some(context.device().features())) {
        Some(TextureSampleType::Float { .. }) => return Ok(()),
        Some(TextureSampleType::Uint | TextureSampleType::Sint) => "integers",
        Some(TextureSampleType::Depth) => "depths",
        None => "several aspects",
    };
    problem(format!("format {format:?} holds {holds}, expected a format of floats or normalised integers"))
}
