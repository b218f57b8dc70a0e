//! Textures in and out, for upsampling inside a renderer: a texture becomes the input of a layer, and a layer's output
//! becomes a texture, all in the caller's pass.
//!
//! A texture is read as its view's format says: an `…Srgb` view gives linear light, a `…Unorm` view the stored values.
//! Upsampling in linear light keeps the energy of highlights, upsampling the stored values is what picture programs
//! do. Storage textures are never encoded by themselves, so that linear light must be written with
//! [`Encoding::Srgb`] where the texture is later viewed as sRGB.

use crate::error::{Error, Result};
use crate::gpu::device::context::Context;
use crate::gpu::kernels::variant::{body, elem};
use crate::gpu::storage::Storage;
use wgpu::{
    BindGroup, BindGroupDescriptor, BindGroupEntry, BindGroupLayout, BindGroupLayoutDescriptor, BindGroupLayoutEntry,
    BindingResource, BindingType, BufferBinding, BufferBindingType, BufferSize, BufferSlice, BufferUsages, ComputePass,
    ComputePipeline, ComputePipelineDescriptor, PipelineLayoutDescriptor, ShaderModuleDescriptor, ShaderSource,
    ShaderStages, StorageTextureAccess, TextureFormat, TextureSampleType, TextureUsages, TextureView,
    TextureViewDimension,
};

const FROM: &str = include_str!("../../shaders/from_texture.wgsl");
const TO: &str = include_str!("../../shaders/to_texture.wgsl");

/// Reads textures into the planes `[1, channels, height + 2·border, width + 2·border]` of an input.
#[derive(Clone, Debug)]
pub struct TextureReader {
    context: Context,
    pipeline: ComputePipeline,
    layout: BindGroupLayout,
    channels: usize,
    border: usize,
    storage: Storage,
}

/// Writes the planes `[1, channels, height, width]` of an output into textures.
#[derive(Clone, Debug)]
pub struct TextureWriter {
    context: Context,
    pipeline: ComputePipeline,
    layout: BindGroupLayout,
    channels: usize,
    encoding: Encoding,
    storage: Storage,
}

/// What is done to the colours that a [`TextureWriter`] writes; alpha is never changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// Nothing: they are stored as they are.
    #[default]
    Linear,
    /// They are linear light, and stored with the curve of sRGB.
    Srgb,
}

/// A copy between a texture and a buffer, ready to be recorded.
#[derive(Clone, Debug)]
pub struct BoundTexture {
    pipeline: ComputePipeline,
    bind_group: BindGroup,
    workgroups: [u32; 2],
}

impl BoundTexture {
    /// Records the copy: one dispatch.
    pub fn encode(&self, pass: &mut ComputePass<'_>) {
        pass.set_pipeline(&self.pipeline);
        pass.set_bind_group(0, &self.bind_group, &[]);
        pass.dispatch_workgroups(self.workgroups[0], self.workgroups[1], 1);
    }
}

impl TextureReader {
    /// A reader of the first `channels` of red, green, blue and alpha, which replicates the outermost pixels `border`
    /// times on each side (see [`Upsampler::border`](crate::upscale::Upsampler::border)).
    ///
    /// # Errors
    /// [`Error::OutOfRange`] for channels other than 1 to 4, [`Error::Device`].
    pub fn new(context: &Context, channels: usize, border: usize, storage: Storage) -> Result<Self> {
        check_channels(channels)?;
        let texture = BindingType::Texture {
            sample_type: TextureSampleType::Float { filterable: false },
            view_dimension: TextureViewDimension::D2,
            multisampled: false,
        };
        let source = format!("{}\n{}", elem(storage), body(FROM));
        let (pipeline, layout) = compile(context, "from_texture", source, [texture, planes(false)])?;
        Ok(Self { context: context.clone(), pipeline, layout, channels, border, storage })
    }

    /// The shape of the planes for a texture of `width` × `height` pixels.
    pub fn shape(&self, width: u32, height: u32) -> [usize; 4] {
        let extent = |pixels: u32| pixels as usize + 2 * self.border;
        [1, self.channels, extent(height), extent(width)]
    }

    /// Binds the base level of a texture, with usage `TEXTURE_BINDING` and a format that can be read as floats, and
    /// the buffer slice that receives the planes.
    ///
    /// # Errors
    /// [`Error::Buffer`] where the slice is too small or not aligned, [`Error::Texture`], [`Error::Device`].
    pub fn bind(&self, texture: &TextureView, planes: BufferSlice<'_>) -> Result<BoundTexture> {
        check_texture(texture, TextureUsages::TEXTURE_BINDING)?;
        let size = texture.texture().size();
        let [_, channels, height, width] = self.shape(size.width, size.height);
        let bytes = (channels * height * width) as u64 * self.storage.size();
        check_slice(&self.context, "planes", &planes, bytes)?;
        let params = [width as i32, height as i32, self.border as i32, channels as i32];
        let entries = [BindingResource::TextureView(texture), buffer(&planes)];
        bind(&self.context, &self.pipeline, &self.layout, params, entries, [width, height])
    }
}

impl TextureWriter {
    /// A writer of 1 (grey), 2 (grey and alpha), 3 (colour) or 4 channels (colour and alpha) into textures of a
    /// format. `rgba8unorm`, `rgba16float`, `rgba32float` and `r32float` can be written on every device.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] for channels other than 1 to 4, [`Error::Texture`] for a format that is no storage format
    /// of WGSL, [`Error::Device`] for one that the device does not write.
    pub fn new(
        context: &Context,
        channels: usize,
        format: TextureFormat,
        encoding: Encoding,
        storage: Storage,
    ) -> Result<Self> {
        check_channels(channels)?;
        let name = format_name(format)?;
        let texture = BindingType::StorageTexture {
            access: StorageTextureAccess::WriteOnly,
            format,
            view_dimension: TextureViewDimension::D2,
        };
        let source = format!("{}\nalias Picture = texture_storage_2d<{name}, write>;\n{}", elem(storage), body(TO));
        let (pipeline, layout) = compile(context, "to_texture", source, [planes(true), texture])?;
        Ok(Self { context: context.clone(), pipeline, layout, channels, encoding, storage })
    }

    /// Binds the buffer slice with the planes, and the base level of a texture with usage `STORAGE_BINDING` and the
    /// writer's format. Its size is that of the planes.
    ///
    /// # Errors
    /// [`Error::Buffer`] where the slice is too small or not aligned, [`Error::Texture`], [`Error::Device`].
    pub fn bind(&self, planes: BufferSlice<'_>, texture: &TextureView) -> Result<BoundTexture> {
        check_texture(texture, TextureUsages::STORAGE_BINDING)?;
        let size = texture.texture().size();
        let (width, height) = (size.width as usize, size.height as usize);
        check_slice(&self.context, "planes", &planes, (self.channels * height * width) as u64 * self.storage.size())?;
        let srgb = i32::from(self.encoding == Encoding::Srgb);
        let params = [width as i32, height as i32, self.channels as i32, srgb];
        let entries = [buffer(&planes), BindingResource::TextureView(texture)];
        bind(&self.context, &self.pipeline, &self.layout, params, entries, [width, height])
    }
}

fn planes(read_only: bool) -> BindingType {
    BindingType::Buffer {
        ty: BufferBindingType::Storage { read_only },
        has_dynamic_offset: false,
        min_binding_size: None,
    }
}

fn buffer<'a>(slice: &BufferSlice<'a>) -> BindingResource<'a> {
    BindingResource::Buffer(BufferBinding {
        buffer: slice.buffer(),
        offset: slice.offset(),
        size: BufferSize::new(slice.size()),
    })
}

fn compile(
    context: &Context,
    name: &'static str,
    source: String,
    bindings: [BindingType; 2],
) -> Result<(ComputePipeline, BindGroupLayout)> {
    let uniform =
        BindingType::Buffer { ty: BufferBindingType::Uniform, has_dynamic_offset: false, min_binding_size: None };
    let device = context.device();
    let mut entries = Vec::with_capacity(3);
    for (binding, ty) in [uniform].into_iter().chain(bindings).enumerate() {
        entries.push(BindGroupLayoutEntry {
            binding: binding as u32,
            visibility: ShaderStages::COMPUTE,
            ty,
            count: None,
        });
    }
    context.checked("compiling a texture's kernel", || {
        let layout =
            device.create_bind_group_layout(&BindGroupLayoutDescriptor { label: Some(name), entries: &entries });
        let module = device.create_shader_module(ShaderModuleDescriptor {
            label: Some(name),
            source: ShaderSource::Wgsl(source.into()),
        });
        let pipeline_layout = device.create_pipeline_layout(&PipelineLayoutDescriptor {
            label: Some(name),
            bind_group_layouts: &[Some(&layout)],
            immediate_size: 0,
        });
        let pipeline = device.create_compute_pipeline(&ComputePipelineDescriptor {
            label: Some(name),
            layout: Some(&pipeline_layout),
            module: &module,
            entry_point: Some(name),
            compilation_options: Default::default(),
            cache: context.pipeline_cache(),
        });
        (pipeline, layout)
    })
}

fn bind(
    context: &Context,
    pipeline: &ComputePipeline,
    layout: &BindGroupLayout,
    params: [i32; 4],
    [first, second]: [BindingResource<'_>; 2],
    [width, height]: [usize; 2],
) -> Result<BoundTexture> {
    let uniform = context.buffer("upconv texture parameters", 16, BufferUsages::UNIFORM | BufferUsages::COPY_DST)?;
    context.write(&uniform, bytemuck::cast_slice(&params))?;
    let bind_group = context.checked("binding a texture", || {
        context.device().create_bind_group(&BindGroupDescriptor {
            label: Some("upconv texture"),
            layout,
            entries: &[
                BindGroupEntry { binding: 0, resource: uniform.as_entire_binding() },
                BindGroupEntry { binding: 1, resource: first },
                BindGroupEntry { binding: 2, resource: second },
            ],
        })
    })?;
    let groups = |pixels: usize| pixels.div_ceil(8) as u32;
    Ok(BoundTexture { pipeline: pipeline.clone(), bind_group, workgroups: [groups(width), groups(height)] })
}

fn check_channels(channels: usize) -> Result<()> {
    if (1..=4).contains(&channels) {
        return Ok(());
    }
    let what = "channels of a texture".to_string();
    Err(Error::OutOfRange { what, given: channels as i128, expected: "1 to 4".into() })
}

fn check_texture(view: &TextureView, usage: TextureUsages) -> Result<()> {
    let texture = view.texture();
    if texture.usage().contains(usage) {
        return Ok(());
    }
    Err(Error::Texture { problem: format!("usage {:?} lacks {usage:?}", texture.usage()) })
}

fn check_slice(context: &Context, what: &'static str, slice: &BufferSlice<'_>, needed: u64) -> Result<()> {
    crate::gpu::device::binding::check(context, what, slice, needed.next_multiple_of(4))
}

/// The storage formats' names in WGSL.
fn format_name(format: TextureFormat) -> Result<&'static str> {
    Ok(match format {
        TextureFormat::Rgba8Unorm => "rgba8unorm",
        TextureFormat::Bgra8Unorm => "bgra8unorm",
        TextureFormat::Rgba16Float => "rgba16float",
        TextureFormat::Rgba32Float => "rgba32float",
        TextureFormat::R32Float => "r32float",
        other => {
            let problem = format!(
                "format {other:?} cannot be written, expected Rgba8Unorm, Bgra8Unorm, Rgba16Float, Rgba32Float or R32Float"
            );
            return Err(Error::Texture { problem });
        }
    })
}
