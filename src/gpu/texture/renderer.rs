//! From planes to the targets of render passes.

use super::binding::{Program, Set, bind_groups, planes, window_of};
use super::pixels::{Components, Pixels};
use super::planes::{Planes, check_buffers};
use super::region::{Rectangle, TextureRegion, check_floats, problem};
use super::writer::{check_format, source};
use crate::error::{Error, Result};
use crate::gpu::device::context::Context;
use wgpu::{
    BindGroup, BindGroupLayout, Color, ColorTargetState, ColorWrites, CommandEncoder, Extent3d, Features,
    FragmentState, LoadOp, MultisampleState, Operations, RenderPass, RenderPassColorAttachment, RenderPassDescriptor,
    RenderPipeline, RenderPipelineDescriptor, ShaderStages, StoreOp, TextureDescriptor, TextureDimension,
    TextureFormat, TextureUsages, TextureView, VertexState,
};

/// Draws the planes of an output to the target of a render pass, in any format that can be drawn to: R8, Rg8, R16, Rg16,
/// 10 bits, sRGB, those of surfaces. Where the target is seen as `…Srgb`, the hardware encodes the linear light that it is
/// given; for planes of stored values there is [`Curve::Decode`](super::Curve::Decode).
///
/// Either into a pass of its own, on a target whose fitness is [checked](Self::bind). Or into the [caller's
/// pass](Self::place): a frame is presented in the pass that draws what lies above it, without loading and storing the
/// target once more; and as the target is not bound, one binding serves the textures of a surface, of which there is
/// another in each frame.
///
/// ```no_run
/// use upconv::gpu::{Context, Pixels, TextureRenderer};
/// # fn example(context: Context, planes: upconv::wgpu::Buffer, target: upconv::wgpu::Texture,
/// #     encoder: &mut upconv::wgpu::CommandEncoder) -> upconv::Result<()> {
/// let renderer = TextureRenderer::new(&context, target.format(), Pixels::default())?;
/// renderer.bind(planes.slice(..), &target)?.encode(encoder); // in a render pass of its own
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct TextureRenderer {
    context: Context,
    pipeline: RenderPipeline,
    bindings: BindGroupLayout,
    format: TextureFormat,
    pixels: Pixels,
}

/// Planes with their place in the target of a caller's pass.
#[derive(Clone, Debug)]
pub struct BoundDraw {
    pipeline: RenderPipeline,
    place: Rectangle,
    /// Each with the rectangle that it draws.
    draws: Vec<(BindGroup, Rectangle)>,
}

/// Planes with their target.
#[derive(Clone, Debug)]
pub struct BoundTarget {
    draw: BoundDraw,
    view: TextureView,
    /// Whether no pixel is left as it was.
    covers: bool,
}

impl TextureRenderer {
    /// A renderer to targets of a format. Of every target, [`Components::Alpha`] writes the alpha only.
    ///
    /// # Errors
    /// [`Error::Texture`] for a format that cannot be drawn to, for [`Components::Alpha`] and a format without alpha, and
    /// for premultiplied planes without alpha; [`Error::Feature`] for `Rg11b10Ufloat` without `RG11B10UFLOAT_RENDERABLE`;
    /// [`Error::DType`] for planes of f16 on a device without `SHADER_F16`; [`Error::Limit`] where shaders cannot see
    /// four buffers: the limit is that of the weakest kind of shader, which through OpenGL may see none;
    /// [`Error::Device`].
    pub fn new(context: &Context, format: TextureFormat, pixels: Pixels) -> Result<Self> {
        pixels.check_storage(context)?;
        pixels.check_writable()?;
        check_buffers(context)?;
        check_target(context, format)?;
        let write_mask = match pixels.components {
            Components::Alpha if format.components() < 4 => {
                return problem(format!("format {format:?} has no alpha that could be written"));
            }
            Components::Alpha => ColorWrites::ALPHA,
            _ => ColorWrites::ALL,
        };
        let device = context.device();
        let (pipeline, bindings) = context.checked("compiling a texture's shader", || {
            let name = "to_target";
            let source = source(pixels, "rgba8unorm");
            let stages = ShaderStages::FRAGMENT;
            let Program { module, bindings, layout } = Program::new(context, name, source, stages, &[planes(true); 4]);
            let pipeline = device.create_render_pipeline(&RenderPipelineDescriptor {
                label: Some(name),
                layout: Some(&layout),
                vertex: VertexState {
                    module: &module,
                    entry_point: Some("triangle"),
                    compilation_options: Default::default(),
                    buffers: &[],
                },
                primitive: Default::default(),
                depth_stencil: None,
                multisample: MultisampleState::default(),
                fragment: Some(FragmentState {
                    module: &module,
                    entry_point: Some(name),
                    compilation_options: Default::default(),
                    targets: &[Some(ColorTargetState { format, blend: None, write_mask })],
                }),
                multiview_mask: None,
                cache: context.pipeline_cache(),
            });
            (pipeline, bindings)
        })?;
        Ok(Self { context: context.clone(), pipeline, bindings, format, pixels })
    }

    /// What it does to each pixel.
    pub fn pixels(&self) -> Pixels {
        self.pixels
    }

    /// Binds the planes, and what is written of a texture with usage `RENDER_ATTACHMENT`, seen in the renderer's format.
    ///
    /// # Errors
    /// [`Error::Shape`] and [`Error::Buffer`] for planes that do not fit, [`Error::Texture`] for a texture that is
    /// multisampled, not 2-D, of another format or without the usage, and for a level, layer or rectangle that it has
    /// not, [`Error::Limit`] where a row exceeds a binding, [`Error::Device`].
    pub fn bind<'p, 't>(
        &self,
        planes: impl Into<Planes<'p>>,
        region: impl Into<TextureRegion<'t>>,
    ) -> Result<BoundTarget> {
        let region = region.into();
        check_format(region.seen_as(), self.format)?;
        let (view, place) = region.open(&self.context, TextureUsages::RENDER_ATTACHMENT)?;
        let covers = self.pixels.components != Components::Alpha && region.covers_its_level(place);
        Ok(BoundTarget { draw: self.place(planes, place)?, view, covers })
    }

    /// Binds the planes, with their place in the target of the pass that they will be drawn in.
    ///
    /// # Errors
    /// [`Error::Shape`] and [`Error::Buffer`] for planes that do not fit, [`Error::Limit`] where a row exceeds a binding,
    /// [`Error::Device`].
    pub fn place<'p>(&self, planes: impl Into<Planes<'p>>, place: Rectangle) -> Result<BoundDraw> {
        let kind = (self.pixels.components.count(), self.pixels.storage);
        let bands = planes.into().bands(&self.context, kind, place, usize::MAX)?;
        let sets: Vec<Set<'_>> = bands
            .iter()
            .map(|band| {
                let bindings = band.windows.map(|window| window_of(&band.slice, window)).to_vec();
                Set { params: band.params.clone(), bindings }
            })
            .collect();
        let groups = bind_groups(&self.context, &self.bindings, sets.iter())?;
        let draws = groups.into_iter().zip(bands.iter().map(|band| band.target)).collect();
        Ok(BoundDraw { pipeline: self.pipeline.clone(), place, draws })
    }
}

impl BoundDraw {
    /// Records the drawing, in one draw where the planes fit into one binding, otherwise in one for each band of rows. The
    /// pass has one colour attachment, of the renderer's format, of 1 sample, in which the place lies, and no attachment
    /// of depth or stencil; wgpu reports what does not fit.
    ///
    /// The pass's pipeline, bind group 0, viewport and scissor rectangle are other ones afterwards.
    pub fn draw(&self, pass: &mut RenderPass<'_>) {
        let Rectangle { x, y, width, height } = self.place;
        pass.set_pipeline(&self.pipeline);
        pass.set_viewport(x as f32, y as f32, width as f32, height as f32, 0.0, 1.0);
        for (bind_group, Rectangle { x, y, width, height }) in &self.draws {
            pass.set_scissor_rect(*x, *y, *width, *height);
            pass.set_bind_group(0, bind_group, &[]);
            pass.draw(0..3, 0..1);
        }
    }
}

impl BoundTarget {
    /// Records a render pass with the drawing. Pixels beside it stay as they are.
    pub fn encode(&self, encoder: &mut CommandEncoder) {
        let load = if self.covers { LoadOp::Clear(Color::TRANSPARENT) } else { LoadOp::Load };
        let attachment = RenderPassColorAttachment {
            view: &self.view,
            depth_slice: None,
            resolve_target: None,
            ops: Operations { load, store: StoreOp::Store },
        };
        let mut pass = encoder.begin_render_pass(&RenderPassDescriptor {
            label: Some("upconv texture"),
            color_attachments: &[Some(attachment)],
            ..RenderPassDescriptor::default()
        });
        self.draw.draw(&mut pass);
    }
}

/// Refuses a format that no render pass can have as its target on this device.
fn check_target(context: &Context, format: TextureFormat) -> Result<()> {
    check_floats(context, format)?;
    let features = context.device().features();
    if format == TextureFormat::Rg11b10Ufloat && !features.contains(Features::RG11B10UFLOAT_RENDERABLE) {
        return Err(Error::Feature { what: "drawing to Rg11b10Ufloat", feature: "RG11B10UFLOAT_RENDERABLE" });
    }
    // With that feature a device may have more formats than WebGPU guarantees.
    let guaranteed = format.guaranteed_format_features(features).allowed_usages;
    if guaranteed.contains(TextureUsages::RENDER_ATTACHMENT)
        || features.contains(Features::TEXTURE_ADAPTER_SPECIFIC_FORMAT_FEATURES)
    {
        // Through OpenGL it may have fewer, which only making one tells.
        match context.checked("trying a texture's format", || context.device().create_texture(&smallest(format))) {
            Err(Error::Device { .. }) => {}
            made => return made.map(drop),
        }
    }
    problem(format!("format {format:?} cannot be drawn to"))
}

fn smallest(format: TextureFormat) -> TextureDescriptor<'static> {
    TextureDescriptor {
        label: Some("upconv texture"),
        size: Extent3d::default(),
        mip_level_count: 1,
        sample_count: 1,
        dimension: TextureDimension::D2,
        format,
        usage: TextureUsages::RENDER_ATTACHMENT,
        view_formats: &[],
    }
}
