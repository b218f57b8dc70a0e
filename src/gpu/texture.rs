//! Textures in and out, for upsampling inside a renderer: a texture becomes the input of a layer, and a layer's output
//! becomes a texture, all in the caller's pass.
//!
//! A texture is read as its view's format says: an `…Srgb` view gives linear light, a `…Unorm` view the stored values.
//! Upsampling in linear light keeps the energy of highlights, upsampling the stored values is what picture programs
//! do. Storage textures are never encoded by themselves, so that linear light must be written with
//! [`Encoding::Srgb`] where the texture is later viewed as sRGB.

use crate::error::{Error, Result};
use crate::gpu::device::binding::check;
use crate::gpu::device::context::Context;
use crate::gpu::device::step::{Recorder, Step};
use crate::gpu::dispatch::Window;
use crate::gpu::kernels::variant::{body, elem};
use crate::gpu::profile::DeviceProfile;
use crate::gpu::storage::Storage;
use std::ops::Range;
use wgpu::{
    Backend, BindGroupDescriptor, BindGroupEntry, BindGroupLayout, BindGroupLayoutDescriptor, BindGroupLayoutEntry,
    BindingResource, BindingType, BufferBinding, BufferBindingType, BufferSize, BufferSlice, ComputePass,
    ComputePipeline, ComputePipelineDescriptor, PipelineLayoutDescriptor, ShaderModuleDescriptor, ShaderSource,
    ShaderStages, StorageTextureAccess, Texture, TextureFormat, TextureSampleType, TextureUsages, TextureView,
    TextureViewDescriptor, TextureViewDimension,
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
    steps: Vec<Step>,
}

impl BoundTexture {
    /// Records the copy: one dispatch where the planes fit into one binding, otherwise one for each band of rows.
    pub fn encode(&self, pass: &mut ComputePass<'_>) {
        let mut recorder = Recorder::default();
        self.steps.iter().for_each(|step| recorder.record(step, pass));
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
        let (pipeline, layout) = compile(context, "from_texture", source, &[texture, planes(false)])?;
        Ok(Self { context: context.clone(), pipeline, layout, channels, border, storage })
    }

    /// The shape of the planes for a texture, or a level of one, of `width` × `height` pixels.
    pub fn shape(&self, width: u32, height: u32) -> [usize; 4] {
        let extent = |pixels: u32| (pixels as usize).saturating_add(self.border.saturating_mul(2));
        [1, self.channels, extent(height), extent(width)]
    }

    /// Binds a texture with a single mip level, with usage `TEXTURE_BINDING` and a format that can be read as floats,
    /// and the buffer slice that receives the planes, of [`shape`](Self::shape).
    ///
    /// # Errors
    /// [`Error::Buffer`] where the slice is too small or not aligned, [`Error::Texture`] for another usage or several
    /// levels, [`Error::Limit`] where a row exceeds what one dispatch can do, [`Error::Device`].
    pub fn bind(&self, texture: &TextureView, planes: BufferSlice<'_>) -> Result<BoundTexture> {
        self.bind_level(texture, only_level(texture.texture())?, planes)
    }

    /// As [`bind`](Self::bind), for a view of any level and layer of a texture: a view itself does not tell its size.
    ///
    /// # Errors
    /// As [`bind`](Self::bind), and [`Error::Texture`] for a level that the texture lacks.
    pub fn bind_view(
        &self,
        texture: &Texture,
        view: &TextureViewDescriptor<'_>,
        planes: BufferSlice<'_>,
    ) -> Result<BoundTexture> {
        let (view, size) = described(&self.context, texture, view)?;
        self.bind_level(&view, size, planes)
    }

    fn bind_level(
        &self,
        view: &TextureView,
        [width, height]: [u32; 2],
        slice: BufferSlice<'_>,
    ) -> Result<BoundTexture> {
        check_usage(view, TextureUsages::TEXTURE_BINDING)?;
        let [_, channels, height, width] = self.shape(width, height);
        let planes = Planes { channels, height, width, storage: self.storage };
        check(&self.context, "planes", &slice, planes.bytes())?;
        let bands = planes.bands(self.context.profile())?;
        let mut dispatches = Vec::new();
        for rows in &bands.rows {
            let each = if bands.whole { channels } else { 1 };
            for channel in (0..channels).step_by(each) {
                let window = planes.window(&self.context, &bands, channel, rows);
                let first = window.offset / self.storage.size();
                let (plane, rows_here) = (height * width, rows.len());
                let params = [width, self.border, rows.start, rows_here, channel, each, plane, first as usize];
                let bindings = vec![BindingResource::TextureView(view), window_of(&slice, window)];
                dispatches.push(Dispatch {
                    params: params.map(|value| value as i32).to_vec(),
                    bindings,
                    rows: rows_here,
                });
            }
        }
        bind(&self.context, "from_texture", (&self.pipeline, &self.layout), width, &dispatches)
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
        let bindings = [planes(true), planes(true), planes(true), planes(true), texture];
        let (pipeline, layout) = compile(context, "to_texture", source, &bindings)?;
        Ok(Self { context: context.clone(), pipeline, layout, channels, encoding, storage })
    }

    /// Binds the buffer slice with the planes, and a texture with a single mip level, with usage `STORAGE_BINDING` and
    /// the writer's format. Its size is that of the planes.
    ///
    /// # Errors
    /// [`Error::Buffer`] where the slice is too small or not aligned, [`Error::Texture`] for another usage or several
    /// levels, [`Error::Limit`] where a row exceeds what one dispatch can do, [`Error::Device`].
    pub fn bind(&self, planes: BufferSlice<'_>, texture: &TextureView) -> Result<BoundTexture> {
        self.bind_level(planes, texture, only_level(texture.texture())?)
    }

    /// As [`bind`](Self::bind), for a view of any one level and layer of a texture: a view itself does not tell its
    /// size.
    ///
    /// # Errors
    /// As [`bind`](Self::bind), and [`Error::Texture`] for a level that the texture lacks.
    pub fn bind_view(
        &self,
        planes: BufferSlice<'_>,
        texture: &Texture,
        view: &TextureViewDescriptor<'_>,
    ) -> Result<BoundTexture> {
        let (view, size) = described(&self.context, texture, view)?;
        self.bind_level(planes, &view, size)
    }

    fn bind_level(
        &self,
        slice: BufferSlice<'_>,
        view: &TextureView,
        [width, height]: [u32; 2],
    ) -> Result<BoundTexture> {
        check_usage(view, TextureUsages::STORAGE_BINDING)?;
        let (width, height) = (width as usize, height as usize);
        let planes = Planes { channels: self.channels, height, width, storage: self.storage };
        check(&self.context, "planes", &slice, planes.bytes())?;
        let bands = planes.bands(self.context.profile())?;
        let srgb = usize::from(self.encoding == Encoding::Srgb);
        let mut dispatches = Vec::new();
        for rows in &bands.rows {
            // A channel that there is not has the place of the last.
            let channel = |channel: usize| channel.min(self.channels - 1);
            let windows = [0, 1, 2, 3].map(|c| planes.window(&self.context, &bands, channel(c), rows));
            let begin = [0, 1, 2, 3].map(|c| {
                (channel(c) * height + rows.start) * width - (windows[c].offset / self.storage.size()) as usize
            });
            let params = [&[width, rows.start, rows.len(), self.channels][..], &begin, &[srgb, 0, 0, 0]].concat();
            let mut bindings = windows.map(|window| window_of(&slice, window)).to_vec();
            bindings.push(BindingResource::TextureView(view));
            let params = params.into_iter().map(|value| value as i32).collect();
            dispatches.push(Dispatch { params, bindings, rows: rows.len() });
        }
        bind(&self.context, "to_texture", (&self.pipeline, &self.layout), width, &dispatches)
    }
}

/// Invocations of a workgroup along each axis.
const SIDE: usize = 8;

/// The planes of a picture.
struct Planes {
    channels: usize,
    height: usize,
    width: usize,
    storage: Storage,
}

/// How planes are cut into dispatches.
struct Bands {
    /// Whether one binding holds all planes; otherwise it holds rows of one channel.
    whole: bool,
    rows: Vec<Range<usize>>,
}

impl Planes {
    /// The bytes of some elements. What exceeds 64 bits exceeds every buffer too.
    fn bytes_of(&self, extents: &[usize]) -> u64 {
        extents.iter().fold(self.storage.size(), |product, &extent| product.saturating_mul(extent as u64))
    }

    /// The bytes of all of them, as a binding holds them.
    fn bytes(&self) -> u64 {
        self.bytes_of(&[self.channels, self.height, self.width]).checked_next_multiple_of(4).unwrap_or(u64::MAX)
    }

    /// As few bands of rows as a binding and the workgroups of a dispatch allow. A row is not cut.
    fn bands(&self, profile: &DeviceProfile) -> Result<Bands> {
        let groups = self.width.div_ceil(SIDE) as u64;
        let what = || format!("a row of {} pixels", self.width);
        if groups > profile.max_workgroups.into() {
            let (limit, limit_name) = (profile.max_workgroups.into(), "max_compute_workgroups_per_dimension");
            return Err(Error::Limit { what: what(), needed: groups, limit, limit_name });
        }
        let whole = self.bytes() <= profile.max_binding;
        // A binding begins at a multiple of the alignment, up to so many bytes before its first row.
        let (row, before) = (self.bytes_of(&[self.width]), profile.binding_alignment.max(4));
        let fit = if whole { self.height as u64 } else { profile.max_binding.saturating_sub(before) / row };
        if fit == 0 {
            let (needed, limit) = (row.saturating_add(before), profile.max_binding);
            return Err(Error::Limit { what: what(), needed, limit, limit_name: "max_storage_buffer_binding_size" });
        }
        let rows = (fit as usize).min(self.height).min((profile.max_workgroups as usize).saturating_mul(SIDE));
        let rows = (0..self.height).step_by(rows).map(|first| first..self.height.min(first + rows)).collect();
        Ok(Bands { whole, rows })
    }

    /// What a dispatch sees of the planes: all, or its rows of one channel.
    fn window(&self, context: &Context, bands: &Bands, channel: usize, rows: &Range<usize>) -> Window {
        if bands.whole {
            return Window { offset: 0, size: self.bytes() };
        }
        let alignment = context.profile().binding_alignment;
        let [first, last] = [rows.start, rows.end].map(|row| self.bytes_of(&[channel * self.height + row, self.width]));
        let offset = first / alignment * alignment;
        Window { offset, size: (last - offset).next_multiple_of(4) }
    }
}

/// What one dispatch of a copy is made of: its parameters, and what is bound behind them.
struct Dispatch<'a> {
    params: Vec<i32>,
    bindings: Vec<BindingResource<'a>>,
    rows: usize,
}

fn planes(read_only: bool) -> BindingType {
    BindingType::Buffer {
        ty: BufferBindingType::Storage { read_only },
        has_dynamic_offset: false,
        min_binding_size: None,
    }
}

/// A part of a slice.
fn window_of<'a>(slice: &BufferSlice<'a>, window: Window) -> BindingResource<'a> {
    BindingResource::Buffer(BufferBinding {
        buffer: slice.buffer(),
        offset: slice.offset() + window.offset,
        size: BufferSize::new(window.size),
    })
}

fn compile(
    context: &Context,
    name: &'static str,
    source: String,
    bindings: &[BindingType],
) -> Result<(ComputePipeline, BindGroupLayout)> {
    let uniform =
        BindingType::Buffer { ty: BufferBindingType::Uniform, has_dynamic_offset: false, min_binding_size: None };
    let device = context.device();
    let entry = |(binding, &ty)| BindGroupLayoutEntry { binding, visibility: ShaderStages::COMPUTE, ty, count: None };
    let entries: Vec<_> = (0..).zip([uniform].iter().chain(bindings)).map(entry).collect();
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
    kernel: &'static str,
    (pipeline, layout): (&ComputePipeline, &BindGroupLayout),
    width: usize,
    dispatches: &[Dispatch<'_>],
) -> Result<BoundTexture> {
    let params: Vec<&[u8]> = dispatches.iter().map(|dispatch| bytemuck::cast_slice(&dispatch.params)).collect();
    let (uniform, windows) = context.uniforms(&params)?;
    let steps = context.checked("binding a texture", || {
        let step = |(dispatch, window): (&Dispatch<'_>, Window)| {
            let params = window_of(&uniform.slice(..), window);
            let resources = std::iter::once(params).chain(dispatch.bindings.iter().cloned());
            let entries: Vec<_> =
                (0..).zip(resources).map(|(binding, resource)| BindGroupEntry { binding, resource }).collect();
            let descriptor = BindGroupDescriptor { label: Some("upconv texture"), layout, entries: &entries };
            let groups = |pixels: usize| pixels.div_ceil(SIDE) as u32;
            Step {
                layer: 0,
                pipeline: pipeline.clone(),
                bind_group: context.device().create_bind_group(&descriptor),
                workgroups: [groups(width), groups(dispatch.rows), 1],
                kernel,
                band: None,
                multiply_adds: 0,
            }
        };
        dispatches.iter().zip(windows).map(step).collect()
    })?;
    Ok(BoundTexture { steps })
}

fn check_channels(channels: usize) -> Result<()> {
    if (1..=4).contains(&channels) {
        return Ok(());
    }
    let what = "channels of a texture".to_string();
    Err(Error::OutOfRange { what, given: channels as i128, expected: "1 to 4".into() })
}

fn check_usage(view: &TextureView, usage: TextureUsages) -> Result<()> {
    let texture = view.texture();
    if texture.usage().contains(usage) {
        return Ok(());
    }
    Err(Error::Texture { problem: format!("usage {:?} lacks {usage:?}", texture.usage()) })
}

/// The size of every view of a texture, where all have the same.
fn only_level(texture: &Texture) -> Result<[u32; 2]> {
    match texture.mip_level_count() {
        1 => Ok([texture.width(), texture.height()]),
        levels => {
            let problem = format!("it has {levels} mip levels, and a view does not tell which it is of: use bind_view");
            Err(Error::Texture { problem })
        }
    }
}

/// A view and its size.
fn described(
    context: &Context,
    texture: &Texture,
    descriptor: &TextureViewDescriptor<'_>,
) -> Result<(TextureView, [u32; 2])> {
    let (level, levels) = (descriptor.base_mip_level, texture.mip_level_count());
    if level >= levels {
        return Err(Error::Texture { problem: format!("mip level {level} of a texture that has {levels}") });
    }
    let layers = texture.depth_or_array_layers();
    if context.device().adapter_info().backend == Backend::Gl && (levels, layers) != (1, 1) {
        // wgpu binds another part of the texture there, or none, without an error.
        let problem =
            format!("it has {levels} mip levels and {layers} layers; through OpenGL it can have only 1 of each");
        return Err(Error::Texture { problem });
    }
    let view = context.checked("making a view of a texture", || texture.create_view(descriptor))?;
    let size = texture.size().mip_level_size(level, texture.dimension());
    Ok((view, [size.width, size.height]))
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
