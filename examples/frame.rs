//! A renderer's frame: a scene with transparent pixels is drawn, enlarged by 2 with a bicubic filter and with a network,
//! and presented, the two side by side, all in one submission. Runs without a window; at the end the picture is read back
//! and compared with what PyTorch makes of the scene (`scripts/example-values/frame.py`).
//!
//! `cargo run --release --example frame`

use upconv::Storage;
use upconv::gpu::{AdapterRequest, Context, Pixels, Rectangle, TextureRegion};
use upconv::upscale::{Method, Network};
use upconv::wgpu::{self, TextureFormat, TextureUsages};

const WIDTH: u32 = 32;
const HEIGHT: u32 = 24;
const SCENE: TextureFormat = TextureFormat::Rgba8Unorm;
const SCREEN: TextureFormat = TextureFormat::Rgba8UnormSrgb;

/// A disc, half transparent at its rim; what nobody sees is red.
const SHADER: &str = "
@vertex fn corner(@builtin(vertex_index) i: u32) -> @builtin(position) vec4<f32> {
    return vec4(select(-1.0, 3.0, i == 1u), select(-1.0, 3.0, i == 2u), 0.0, 1.0);
}
@fragment fn scene(@builtin(position) position: vec4<f32>) -> @location(0) vec4<f32> {
    let p = vec2<i32>(position.xy);
    let d = 2 * p - vec2(31, 23);
    let distance = d.x * d.x + d.y * d.y;
    if distance >= 484 {
        return vec4(1.0, 0.0, 0.0, 0.0);
    }
    let alpha = select(128, 255, distance < 256);
    return vec4(vec4<f32>(vec4(8 * p.x, 10 * p.y, 255 - 6 * (p.x ^ p.y), alpha))) / 255.0;
}";

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let context = Context::request(&AdapterRequest::default())?;
    println!("{}", context.adapter_name());
    let drawn = TextureUsages::RENDER_ATTACHMENT;
    let scene = texture(&context, [WIDTH, HEIGHT], SCENE, drawn | TextureUsages::TEXTURE_BINDING);
    let screen = texture(&context, [4 * WIDTH, 2 * HEIGHT], SCREEN, drawn | TextureUsages::COPY_SRC);

    // Once: two upscalers for the size of the scene, bound to it and to their halves of the screen.
    let filter = Method::Bicubic.upsampler(2, 4)?.on_textures(&context, SCENE, SCREEN, Storage::F32)?;
    let model = std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/assets/waifu2x-photo.safetensors"))?;
    let network = Network::from_safetensors(&model)?.on_textures(&context, SCENE, SCREEN, Storage::F32)?;
    // A network enlarges colours only: it is given the scene as it looks over black.
    let [read, written] = network.pixels();
    let network = network.with_pixels([Pixels { premultiplied: true, ..read }, written])?;
    let half = |x| {
        let half = Rectangle { x, y: 0, width: 2 * WIDTH, height: 2 * HEIGHT };
        TextureRegion::new(&screen).rectangle(half)
    };
    let left = filter.prepare(WIDTH, HEIGHT)?.bind(&scene, half(0))?;
    let right = network.prepare(WIDTH, HEIGHT)?.bind(&scene, half(2 * WIDTH))?;
    let pipeline = pipeline(&context);

    // Every frame: the application's own passes, and a call for each upscaler. Nothing is waited for or read back.
    for _ in 0..3 {
        let mut encoder = context.device().create_command_encoder(&Default::default());
        draw_scene(&mut encoder, &pipeline, &scene);
        left.encode(&mut encoder);
        right.encode(&mut encoder);
        context.queue().submit([encoder.finish()]);
    }

    let (got, expected) = (pixels(&context, &screen)?, expected()?);
    let worst = got.chunks(4).zip(expected.chunks(4)).map(|(got, expected)| {
        // Of a pixel that nobody sees only the alpha counts.
        let seen = if expected[3] == 0 { 3..4 } else { 0..4 };
        seen.map(|channel| got[channel].abs_diff(expected[channel])).max().unwrap_or(0)
    });
    let worst = worst.max().unwrap_or(u8::MAX);
    println!("{}x{} pixels, the largest difference from PyTorch's: {worst} of 255", screen.width(), screen.height());
    if got.len() != expected.len() || worst > 1 {
        return Err("expected the same number of pixels, and a difference of at most 1".into());
    }
    Ok(())
}

fn texture(context: &Context, [width, height]: [u32; 2], format: TextureFormat, usage: TextureUsages) -> wgpu::Texture {
    context.device().create_texture(&wgpu::TextureDescriptor {
        label: None,
        size: wgpu::Extent3d { width, height, depth_or_array_layers: 1 },
        mip_level_count: 1,
        sample_count: 1,
        dimension: wgpu::TextureDimension::D2,
        format,
        usage,
        view_formats: &[],
    })
}

fn pipeline(context: &Context) -> wgpu::RenderPipeline {
    let source = wgpu::ShaderSource::Wgsl(SHADER.into());
    let module = &context.device().create_shader_module(wgpu::ShaderModuleDescriptor { label: None, source });
    let compilation_options = wgpu::PipelineCompilationOptions::default();
    context.device().create_render_pipeline(&wgpu::RenderPipelineDescriptor {
        label: None,
        layout: None,
        vertex: wgpu::VertexState {
            module,
            entry_point: None,
            compilation_options: compilation_options.clone(),
            buffers: &[],
        },
        primitive: Default::default(),
        depth_stencil: None,
        multisample: Default::default(),
        fragment: Some(wgpu::FragmentState {
            module,
            entry_point: None,
            compilation_options,
            targets: &[Some(SCENE.into())],
        }),
        multiview_mask: None,
        cache: None,
    })
}

fn draw_scene(encoder: &mut wgpu::CommandEncoder, pipeline: &wgpu::RenderPipeline, scene: &wgpu::Texture) {
    let mut pass = encoder.begin_render_pass(&wgpu::RenderPassDescriptor {
        color_attachments: &[Some(wgpu::RenderPassColorAttachment {
            view: &scene.create_view(&Default::default()),
            depth_slice: None,
            resolve_target: None,
            ops: wgpu::Operations::default(),
        })],
        ..Default::default()
    });
    pass.set_pipeline(pipeline);
    pass.draw(0..3, 0..1);
}

/// The bytes of a texture of 4 bytes a pixel, whose rows are multiples of 256 bytes.
fn pixels(context: &Context, texture: &wgpu::Texture) -> Result<Vec<u8>, Box<dyn std::error::Error>> {
    let (row, rows) = (4 * texture.width(), texture.height());
    let buffer = context.device().create_buffer(&wgpu::BufferDescriptor {
        label: None,
        size: u64::from(row * rows),
        usage: wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::MAP_READ,
        mapped_at_creation: false,
    });
    let layout = wgpu::TexelCopyBufferLayout { offset: 0, bytes_per_row: Some(row), rows_per_image: None };
    let mut encoder = context.device().create_command_encoder(&Default::default());
    let copy = wgpu::TexelCopyBufferInfo { buffer: &buffer, layout };
    encoder.copy_texture_to_buffer(texture.as_image_copy(), copy, texture.size());
    context.queue().submit([encoder.finish()]);
    buffer.map_async(wgpu::MapMode::Read, .., |_| {});
    context.device().poll(wgpu::PollType::wait_indefinitely())?;
    Ok(buffer.get_mapped_range(..)?.to_vec())
}

fn expected() -> Result<Vec<u8>, Box<dyn std::error::Error>> {
    let file = std::fs::File::open(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/data/frame.png"))?;
    let mut reader = png::Decoder::new(std::io::BufReader::new(file)).read_info()?;
    let mut pixels = vec![0; reader.output_buffer_size().ok_or("frame.png is too large")?];
    reader.next_frame(&mut pixels)?;
    Ok(pixels)
}
