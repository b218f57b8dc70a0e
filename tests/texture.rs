//! Textures in and out, as renderers have them; upscalers between textures.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "common/device.rs"]
mod device;
#[path = "common/network.rs"]
mod shipped;

use device::{context, device_with};
use fastrand::Rng;
use std::process::ExitCode;
use upconv::gpu::{
    Components, Context, Curve, Layer, Pixels, Planes, Rectangle, TextureReader, TextureRegion, TextureRenderer,
    TextureWriter,
};
use upconv::upscale::network::{Kind, Layer as NetworkLayer};
use upconv::upscale::{Encoding, Method, Network};
use upconv::{DType, Error, Storage, Tensor, reference, wgpu};
use wgpu::{TextureFormat, TextureUsages};

fn main() -> ExitCode {
    device::run(&[
        ("a_texture_becomes_planes_with_its_border_replicated", a_texture_becomes_planes_with_its_border_replicated),
        ("a_rectangle_becomes_planes_with_uneven_borders", a_rectangle_becomes_planes_with_uneven_borders),
        ("textures_are_upsampled_in_one_pass", textures_are_upsampled_in_one_pass),
        ("each_set_of_components_is_read_and_written", each_set_of_components_is_read_and_written),
        ("stored_values_go_through_linear_light_unchanged", stored_values_go_through_linear_light_unchanged),
        ("transparent_colours_do_not_bleed_on_any_device", transparent_colours_do_not_bleed_on_any_device),
        ("every_format_that_can_be_drawn_to_is_written", every_format_that_can_be_drawn_to_is_written),
        ("a_part_of_the_planes_goes_into_a_rectangle", a_part_of_the_planes_goes_into_a_rectangle),
        ("planes_are_drawn_in_the_pass_of_the_caller", planes_are_drawn_in_the_pass_of_the_caller),
        ("planes_beyond_a_binding_are_copied_in_bands", planes_beyond_a_binding_are_copied_in_bands),
        ("levels_and_layers_have_their_own_sizes", levels_and_layers_have_their_own_sizes),
        ("levels_and_layers_are_drawn_to", levels_and_layers_are_drawn_to),
        ("unfit_textures_are_refused_in_their_own_line", unfit_textures_are_refused_in_their_own_line),
        ("unfit_formats_are_refused_in_their_own_line", unfit_formats_are_refused_in_their_own_line),
        ("unfit_planes_are_refused_in_their_own_line", unfit_planes_are_refused_in_their_own_line),
        ("a_network_enlarges_textures_as_it_does_tensors", a_network_enlarges_textures_as_it_does_tensors),
        ("alpha_is_drawn_into_the_colours_of_a_network", alpha_is_drawn_into_the_colours_of_a_network),
        ("an_upscaler_is_drawn_in_the_pass_of_the_caller", an_upscaler_is_drawn_in_the_pass_of_the_caller),
        ("a_network_is_given_the_encoding_that_it_wants", a_network_is_given_the_encoding_that_it_wants),
        ("unfit_textures_of_upscalers_are_refused", unfit_textures_of_upscalers_are_refused),
    ])
}

fn buffer(context: &Context, size: u64) -> wgpu::Buffer {
    let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST;
    context.device().create_buffer(&wgpu::BufferDescriptor { label: None, size, usage, mapped_at_creation: false })
}

/// What readers need, and the tests themselves.
const READ: TextureUsages =
    TextureUsages::TEXTURE_BINDING.union(TextureUsages::COPY_DST).union(TextureUsages::COPY_SRC);
const STORAGE: TextureUsages = READ.union(TextureUsages::STORAGE_BINDING);
const TARGET: TextureUsages = READ.union(TextureUsages::RENDER_ATTACHMENT);

fn descriptor(
    [width, height]: [u32; 2],
    format: TextureFormat,
    usage: TextureUsages,
) -> wgpu::TextureDescriptor<'static> {
    wgpu::TextureDescriptor {
        label: None,
        size: wgpu::Extent3d { width, height, depth_or_array_layers: 1 },
        mip_level_count: 1,
        sample_count: 1,
        dimension: wgpu::TextureDimension::D2,
        format,
        usage,
        view_formats: &[],
    }
}

fn texture(context: &Context, size: [u32; 2], format: TextureFormat, usage: TextureUsages) -> wgpu::Texture {
    context.device().create_texture(&descriptor(size, format, usage))
}

/// A texture with these bytes.
fn filled(
    context: &Context,
    size: [u32; 2],
    format: TextureFormat,
    usage: TextureUsages,
    bytes: &[u8],
) -> wgpu::Texture {
    let texture = texture(context, size, format, usage);
    let row = bytes.len() as u32 / size[1];
    context.queue().write_texture(
        texture.as_image_copy(),
        bytes,
        wgpu::TexelCopyBufferLayout { offset: 0, bytes_per_row: Some(row), rows_per_image: None },
        texture.size(),
    );
    texture
}

/// A texture of four floats a pixel, of 16 or 32 bits, with these values.
fn float_texture(
    context: &Context,
    size: [u32; 2],
    format: TextureFormat,
    usage: TextureUsages,
    values: &[f32],
) -> wgpu::Texture {
    match format {
        TextureFormat::Rgba16Float => {
            let halves = Tensor::f32([values.len()], values).unwrap().cast(DType::F16);
            let halves: Vec<u8> = halves.as_f16().unwrap().iter().flat_map(|half| half.to_le_bytes()).collect();
            filled(context, size, format, usage, &halves)
        }
        _ => filled(context, size, format, usage, bytemuck::cast_slice(values)),
    }
}

/// The bytes of a texture of 4 bytes a pixel.
fn bytes(context: &Context, texture: &wgpu::Texture) -> Vec<u8> {
    bytes_of(context, texture, 0, 0)
}

/// The bytes of a level and layer of a texture of 4 bytes a pixel.
fn bytes_of(context: &Context, texture: &wgpu::Texture, level: u32, layer: u32) -> Vec<u8> {
    let size = wgpu::Extent3d { depth_or_array_layers: 1, ..texture.size() };
    let size = size.mip_level_size(level, wgpu::TextureDimension::D2);
    let (width, height) = (size.width as usize, size.height as usize);
    let row = (width * 4).next_multiple_of(wgpu::COPY_BYTES_PER_ROW_ALIGNMENT as usize);
    let copied = buffer(context, (row * height) as u64);
    record(context, |encoder| {
        encoder.copy_texture_to_buffer(
            wgpu::TexelCopyTextureInfo {
                mip_level: level,
                origin: wgpu::Origin3d { z: layer, ..Default::default() },
                ..texture.as_image_copy()
            },
            wgpu::TexelCopyBufferInfo {
                buffer: &copied,
                layout: wgpu::TexelCopyBufferLayout {
                    offset: 0,
                    bytes_per_row: Some(row as u32),
                    rows_per_image: None,
                },
            },
            size,
        );
    });
    let words = context.download(&copied, &[row * height / 4], Storage::F32).unwrap().to_f32();
    let rows = words.chunks(row / 4).flat_map(|row| &row[..width]);
    rows.flat_map(|word| word.to_bits().to_le_bytes()).collect()
}

fn record(context: &Context, record: impl FnOnce(&mut wgpu::CommandEncoder)) {
    let mut encoder = context.device().create_command_encoder(&Default::default());
    record(&mut encoder);
    context.queue().submit([encoder.finish()]);
}

fn submit(context: &Context, passes: impl FnOnce(&mut wgpu::ComputePass<'_>)) {
    record(context, |encoder| passes(&mut encoder.begin_compute_pass(&Default::default())));
}

fn of(components: Components) -> Pixels {
    Pixels { components, ..Pixels::default() }
}

/// The planes of a region, read through a [`TextureReader`].
fn planes<'a>(
    context: &Context,
    region: impl Into<TextureRegion<'a>>,
    [width, height]: [u32; 2],
    border: [usize; 2],
    pixels: Pixels,
) -> Tensor {
    let reader = TextureReader::new(context, border, pixels).unwrap();
    let shape = reader.shape(width, height);
    let planes = buffer(context, (shape.iter().product::<usize>() as u64 * pixels.storage.size()).next_multiple_of(4));
    let bound = reader.bind(region, planes.slice(..)).unwrap();
    submit(context, |pass| bound.encode(pass));
    context.download(&planes, &shape, pixels.storage).unwrap()
}

/// The four planes of a whole texture.
fn rgba(context: &Context, texture: &wgpu::Texture) -> Vec<f32> {
    planes(context, texture, [texture.width(), texture.height()], [0; 2], of(Components::Rgba)).to_f32()
}

/// Random planes from 0 to 1, exactly representable in f16.
fn random(rng: &mut Rng, shape: [usize; 4]) -> Tensor {
    let values: Vec<f32> = (0..shape.iter().product()).map(|_| rng.u16(0..=1024) as f32 / 1024.0).collect();
    Tensor::f32(shape, values).unwrap()
}

fn assert_near(got: &[f32], expected: &[f32], tolerance: f32) {
    assert_eq!(got.len(), expected.len());
    for (index, (got, expected)) in got.iter().zip(expected).enumerate() {
        assert!((got - expected).abs() <= tolerance, "element {index} is {got}, not {expected}");
    }
}

fn refusal<T>(result: upconv::Result<T>) -> String {
    match result {
        Ok(_) => panic!("it was accepted"),
        Err(error) => error.to_string(),
    }
}

fn a_texture_becomes_planes_with_its_border_replicated() {
    let context = context();
    let bytes = [0, 51, 102, 255, 255, 204, 153, 51];
    let texture = filled(context, [2, 1], TextureFormat::Rgba8Unorm, READ, &bytes);
    let got = planes(context, &texture, [2, 1], [1; 2], of(Components::Rgb));
    assert_eq!(got.shape(), [1, 3, 3, 4]);
    let expected: Vec<f32> = [[0.0, 255.0], [51.0, 204.0], [102.0, 153.0]]
        .iter()
        .flat_map(|&[a, b]| [[a, a, b, b]; 3].concat())
        .map(|v: f32| v / 255.0)
        .collect();
    assert_near(&got.to_f32(), &expected, 1e-6);
}

fn a_rectangle_becomes_planes_with_uneven_borders() {
    let context = context();
    let (width, height) = (7, 6);
    let values: Vec<f32> = (0..width * height).map(|index| index as f32).collect();
    let format = TextureFormat::R32Float;
    let texture = filled(context, [width as u32, height as u32], format, READ, bytemuck::cast_slice(&values));
    for (x, y, w, h, border) in
        [(2, 1, 4, 3, [1, 3]), (0, 0, 7, 6, [0, 2]), (6, 5, 1, 1, [7, 15]), (0, 2, 3, 1, [2, 0])]
    {
        let rectangle = Rectangle { x: x as u32, y: y as u32, width: w as u32, height: h as u32 };
        let region = TextureRegion::new(&texture).rectangle(rectangle);
        let got = planes(context, region, [w as u32, h as u32], border, of(Components::Grey));
        let (rows, columns) = (h + border[0] + border[1], w + border[0] + border[1]);
        assert_eq!(got.shape(), [1, 1, rows, columns]);
        for (index, got) in got.to_f32().into_iter().enumerate() {
            let inside = |at: usize, extent: usize| at.saturating_sub(border[0]).min(extent - 1);
            let (row, column) = (y + inside(index / columns, h), x + inside(index % columns, w));
            assert_eq!(got, values[row * width + column], "{rectangle}, borders {border:?}, element {index}");
        }
    }
}

fn textures_are_upsampled_in_one_pass() {
    let context = context();
    let mut rng = Rng::with_seed(1);
    let (width, height) = (13, 9);
    let pixels: Vec<f32> = (0..width * height * 4).map(|_| rng.f32()).collect();
    let format = TextureFormat::Rgba32Float;
    let small = filled(context, [width, height], format, READ, bytemuck::cast_slice(&pixels));
    let large = texture(context, [width * 3, height * 3], format, STORAGE);

    let up = Method::Bicubic.upsampler(3, 4).unwrap();
    let reader = TextureReader::new(context, [up.border; 2], Pixels::default()).unwrap();
    let writer = TextureWriter::new(context, format, Pixels::default()).unwrap();
    let layer = Layer::new(context, &up.op, &up.weight, None).unwrap();
    let prepared = layer.prepare(&reader.shape(width, height), Storage::F32).unwrap();
    let (x, y) = (buffer(context, prepared.input_bytes()), buffer(context, prepared.output_bytes()));
    let read = reader.bind(&small, x.slice(..)).unwrap();
    let bound = prepared.bind(x.slice(..), y.slice(..)).unwrap();
    let write = writer.bind(y.slice(..), &large).unwrap();
    submit(context, |pass| {
        read.encode(pass);
        bound.encode(pass);
        write.encode(pass);
    });
    let got = planes(context, &large, [width * 3, height * 3], [0; 2], Pixels::default());

    let input = planes(context, &small, [width, height], [up.border; 2], Pixels::default());
    let expected = reference::conv_transpose(&up.op, &input, &up.weight, None).unwrap();
    let comparison = expected.compare(&got).unwrap();
    assert!(comparison.passed(), "{comparison:?}");
}

/// What planes are written to: a storage texture, or the target of a render pass.
fn written<'a>(
    context: &Context,
    pixels: Pixels,
    planes: impl Into<Planes<'a>>,
    region: TextureRegion<'_>,
    format: TextureFormat,
    drawn: bool,
) {
    if drawn {
        let bound = TextureRenderer::new(context, format, pixels).unwrap().bind(planes, region).unwrap();
        record(context, |encoder| bound.encode(encoder));
    } else {
        let bound = TextureWriter::new(context, format, pixels).unwrap().bind(planes, region).unwrap();
        submit(context, |pass| bound.encode(pass));
    }
}

/// A format of floats that can be drawn to: through OpenGL they have 16 bits.
fn drawable(context: &Context) -> TextureFormat {
    if is_gl(context) { TextureFormat::Rgba16Float } else { TextureFormat::Rgba32Float }
}

fn each_set_of_components_is_read_and_written() {
    let context = context();
    let (r, g, b, a) = (0.125, 0.25, 0.5, 0.75);
    let before = [0.25, 0.375, 0.625, 0.875];
    for (components, read, pixel) in [
        (Components::Alpha, &[a][..], [0.0, 0.0, 0.0, a]),
        (Components::Grey, &[r], [r, r, r, 1.0]),
        (Components::GreyAlpha, &[r, a], [r, r, r, a]),
        (Components::RedGreen, &[r, g], [r, g, 0.0, 1.0]),
        (Components::Rgb, &[r, g, b], [r, g, b, 1.0]),
        (Components::Rgba, &[r, g, b, a], [r, g, b, a]),
    ] {
        assert_eq!(components.count(), read.len());
        let source = float_texture(context, [1, 1], TextureFormat::Rgba32Float, READ, &[r, g, b, a]);
        let values = planes(context, &source, [1, 1], [0; 2], of(components));
        assert_eq!(values.to_f32(), read, "{components:?}");
        let buffer = context.upload(&values, Storage::F32).unwrap();
        for (usage, drawn) in [(STORAGE, false), (TARGET, true)] {
            let format = drawable(context);
            let target = float_texture(context, [1, 1], format, usage, &before);
            written(context, of(components), buffer.slice(..), (&target).into(), format, drawn);
            let expected = match (components, drawn) {
                (Components::Alpha, true) => [before[0], before[1], before[2], a],
                _ => pixel,
            };
            assert_eq!(rgba(context, &target), expected, "{components:?}, drawn: {drawn}");
        }
    }
}

/// All 256 stored values, and every way around the curve.
fn stored_values_go_through_linear_light_unchanged() {
    let context = context();
    let stored: Vec<u8> = (0..=255u8).flat_map(|v| [v, 255 - v, v / 2, v]).collect();
    let (srgb, unorm) = (TextureFormat::Rgba8UnormSrgb, TextureFormat::Rgba8Unorm);
    let with = |curve| Pixels { curve, ..Pixels::default() };
    for (source, read, target, write) in [
        (srgb, Curve::None, unorm, Curve::Encode),
        (srgb, Curve::None, srgb, Curve::None),
        (srgb, Curve::Encode, unorm, Curve::None),
        (srgb, Curve::Encode, srgb, Curve::Decode),
        (unorm, Curve::Decode, unorm, Curve::Encode),
        (unorm, Curve::Decode, srgb, Curve::None),
        (unorm, Curve::None, srgb, Curve::Decode),
    ] {
        let from = filled(context, [256, 1], source, READ, &stored);
        let values = planes(context, &from, [256, 1], [0; 2], with(read));
        let mean = values.to_f32()[..256].iter().sum::<f32>() / 256.0;
        let linear = read == Curve::Decode || (source == srgb && read == Curve::None);
        assert!(if linear { mean < 0.4 } else { mean > 0.49 }, "{source:?}, {read:?}: the mean is {mean}");
        let buffer = context.upload(&values, Storage::F32).unwrap();
        for drawn in [true, false] {
            if !drawn && target == srgb {
                continue;
            }
            let to = texture(context, [256, 1], target, if drawn { TARGET } else { STORAGE });
            written(context, with(write), buffer.slice(..), (&to).into(), target, drawn);
            assert_eq!(bytes(context, &to), stored, "{source:?}, {read:?} to {target:?}, {write:?}, drawn: {drawn}");
        }
    }
}

/// On a device with WebGPU's default limits and no features.
fn transparent_colours_do_not_bleed_on_any_device() {
    let context = &device_with(wgpu::Features::empty(), |_| wgpu::Limits::default());
    // Transparent red, which nobody sees, beside opaque green.
    let row: Vec<u8> = [[255, 0, 0, 0]; 4].into_iter().chain([[0, 255, 0, 255]; 4]).flatten().collect();
    let format = TextureFormat::Rgba8Unorm;
    let source = filled(context, [8, 8], format, READ, &row.repeat(8));
    let target = texture(context, [16, 16], format, TARGET);
    let up = Method::Bicubic.upsampler(2, 4).unwrap();
    let upscaler = up.on_textures(context, format, format, Storage::F32).unwrap();
    let bound = upscaler.prepare(8, 8).unwrap().bind(&source, &target).unwrap();
    record(context, |encoder| bound.encode(encoder));
    let got = bytes(context, &target);
    assert_eq!(got[..4], [0, 0, 0, 0]);
    assert_eq!(got[60..64], [0, 255, 0, 255]);
    let mut partly = 0;
    for pixel in got.chunks(4) {
        let [r, g, b, a] = *pixel else { panic!() };
        assert!(r == 0 && b == 0 && (a == 0 || g == 255), "{pixel:?}");
        partly += usize::from(a > 0 && a < 255);
    }
    assert!(partly >= 16, "{partly} pixels are neither opaque nor transparent");

    // As straight colours they do bleed: that they do not is what the multiplication does.
    let straight = upscaler.with_pixels([Pixels::default(); 2]).unwrap();
    let bound = straight.prepare(8, 8).unwrap().bind(&source, &target).unwrap();
    record(context, |encoder| bound.encode(encoder));
    assert!(bytes(context, &target).chunks(4).any(|pixel| pixel[0] > 40 && pixel[3] > 128));
}

/// The curve of sRGB.
fn encoded(linear: f32) -> f32 {
    if linear <= 0.003_130_8 { linear * 12.92 } else { 1.055 * linear.powf(1.0 / 2.4) - 0.055 }
}

fn every_format_that_can_be_drawn_to_is_written() {
    use TextureFormat as F;
    let context = context();
    let mut rng = Rng::with_seed(3);
    let values = random(&mut rng, [1, 4, 5, 6]);
    let buffer = context.upload(&values, Storage::F32).unwrap();
    // How far a value may be rounded: by so much, and by so much of itself, for each channel.
    let eight = [(0.5 / 255.0 + 1e-6, 0.0); 4];
    let half = [(1e-6, 1.0 / 1024.0); 4];
    for (format, rounding) in [
        (F::R8Unorm, eight),
        (F::Rg8Unorm, eight),
        (F::Rgba8Unorm, eight),
        (F::Rgba8UnormSrgb, eight),
        (F::Bgra8Unorm, eight),
        (F::Bgra8UnormSrgb, eight),
        (F::Rgb10a2Unorm, [1.0 / 1023.0, 1.0 / 1023.0, 1.0 / 1023.0, 0.5 / 3.0].map(|step| (step + 1e-6, 0.0))),
        (F::R16Float, half),
        (F::Rg16Float, half),
        (F::Rgba16Float, half),
        (F::Rg11b10Ufloat, [1.0 / 64.0, 1.0 / 64.0, 1.0 / 32.0, 0.0].map(|part| (1e-6, part))),
        (F::R32Float, [(0.0, 0.0); 4]),
        (F::Rg32Float, [(0.0, 0.0); 4]),
        (F::Rgba32Float, [(0.0, 0.0); 4]),
    ] {
        if is_gl(context) && matches!(format, F::R32Float | F::Rg32Float | F::Rgba32Float) {
            let refused = refusal(TextureRenderer::new(context, format, Pixels::default()));
            assert_eq!(refused, format!("texture: format {format:?} cannot be drawn to"));
            continue;
        }
        if format == F::Rg11b10Ufloat && !context.device().features().contains(wgpu::Features::RG11B10UFLOAT_RENDERABLE)
        {
            continue;
        }
        let target = texture(context, [6, 5], format, TARGET);
        written(context, Pixels::default(), buffer.slice(..), (&target).into(), format, true);
        let (got, given) = (rgba(context, &target), values.to_f32());
        let kept = if format == F::Rg11b10Ufloat { 3 } else { usize::from(format.components()) };
        for (index, (got, given)) in got.into_iter().zip(given).enumerate() {
            let channel = index / 30;
            let (got, given) = match channel {
                _ if channel >= kept => (got, if channel == 3 { 1.0 } else { 0.0 }),
                0..3 if format.is_srgb() => (encoded(got), encoded(given)),
                _ => (got, given),
            };
            let (by, part) = rounding[channel];
            // The hardware need not round to the nearest value where it encodes.
            let by = if format.is_srgb() { by * 2.0 } else { by };
            let most = if channel >= kept { 0.0 } else { by + part * given };
            assert!((got - given).abs() <= most, "{format:?}, channel {channel}: {got}, not {given}");
        }
    }
}

fn a_part_of_the_planes_goes_into_a_rectangle() {
    let context = context();
    let mut rng = Rng::with_seed(4);
    let shape = [1, 4, 9, 11];
    let values = random(&mut rng, shape);
    let buffer = context.upload(&values, Storage::F32).unwrap();
    let format = drawable(context);
    let before = [0.5; 8 * 7 * 4];
    let part = Rectangle { x: 4, y: 3, width: 5, height: 4 };
    let place = Rectangle { x: 2, y: 1, width: 5, height: 4 };
    for (usage, drawn) in [(STORAGE, false), (TARGET, true)] {
        let target = float_texture(context, [8, 7], format, usage, &before);
        let region = TextureRegion::new(&target).rectangle(place);
        let planes = Planes::new(buffer.slice(..), &shape).part(part);
        written(context, Pixels::default(), planes, region, format, drawn);
        let (got, values) = (rgba(context, &target), values.to_f32());
        for (index, got) in got.into_iter().enumerate() {
            let (c, y, x) = (index / 56, index / 8 % 7, index % 8);
            let inside = (1..5).contains(&y) && (2..7).contains(&x);
            let expected = if inside { values[(c * 9 + y - 1 + 3) * 11 + x - 2 + 4] } else { 0.5 };
            assert_eq!(got, expected, "drawn: {drawn}, channel {c}, row {y}, column {x}");
        }
    }
}

/// In a pass that has drawn something else, with its own scissor rectangle.
fn planes_are_drawn_in_the_pass_of_the_caller() {
    let context = context();
    let format = TextureFormat::Rgba8Unorm;
    let values: Vec<f32> = (0..24).map(|index| index as f32 / 51.0).collect();
    let buffer = context.upload(&Tensor::f32([1, 4, 2, 3], values.clone()).unwrap(), Storage::F32).unwrap();
    let renderer = TextureRenderer::new(context, format, Pixels::default()).unwrap();
    let place = Rectangle { x: 1, y: 2, width: 3, height: 2 };
    let bound = renderer.place(buffer.slice(..), place).unwrap();
    // One binding serves many targets.
    for _ in 0..2 {
        let target = texture(context, [5, 5], format, TARGET);
        let view = target.create_view(&Default::default());
        record(context, |encoder| {
            let clear = wgpu::Operations { load: wgpu::LoadOp::Clear(wgpu::Color::WHITE), store: wgpu::StoreOp::Store };
            let mut pass = encoder.begin_render_pass(&wgpu::RenderPassDescriptor {
                color_attachments: &[Some(wgpu::RenderPassColorAttachment {
                    view: &view,
                    depth_slice: None,
                    resolve_target: None,
                    ops: clear,
                })],
                ..Default::default()
            });
            pass.set_scissor_rect(0, 0, 1, 1);
            bound.draw(&mut pass);
        });
        for (index, got) in rgba(context, &target).into_iter().enumerate() {
            let (c, y, x) = (index / 25, index / 5 % 5, index % 5);
            let inside = (2..4).contains(&y) && (1..4).contains(&x);
            let expected = if inside { values[(c * 2 + y - 2) * 3 + x - 1] } else { 1.0 };
            assert!((got - expected).abs() < 0.5 / 255.0, "channel {c}, row {y}, column {x}: {got}, not {expected}");
        }
    }
}

/// A device with the smallest bindings, on which the planes of a small texture are already too large, and 6 workgroups
/// along an axis.
fn device_of_small_bindings() -> Context {
    let features = context().device().features() & wgpu::Features::SHADER_F16;
    device_with(features, |limits| wgpu::Limits {
        max_storage_buffer_binding_size: 4096,
        max_compute_workgroups_per_dimension: 6,
        ..limits
    })
}

fn planes_beyond_a_binding_are_copied_in_bands() {
    let small = device_of_small_bindings();
    let mut rng = Rng::with_seed(40);
    let (width, height, border) = (37, 61, [3, 4]);
    let size = [width as u32, height as u32];
    // Numbers of f16 too.
    let pixels: Vec<f32> = (0..width * height * 4).map(|_| rng.u8(..).into()).collect();
    let format = drawable(&small);
    let texture = float_texture(&small, size, format, READ, &pixels);
    let storages = [Storage::F32, Storage::F16];
    for &storage in if small.profile().f16 { &storages[..] } else { &storages[..1] } {
        for components in [Components::Grey, Components::GreyAlpha, Components::Rgb, Components::Rgba] {
            let with = Pixels { storage, ..of(components) };
            let component = |channel: usize| if components == Components::GreyAlpha { channel * 3 } else { channel };
            let got = planes(&small, &texture, size, border, with);
            let (shape, got) = (got.shape().to_vec(), got.to_f32());
            for (index, got) in got.into_iter().enumerate() {
                let [c, y, x] = [index / shape[3] / shape[2], index / shape[3] % shape[2], index % shape[3]];
                let inside = |at: usize, extent: usize| at.saturating_sub(border[0]).min(extent - 1);
                let expected = pixels[(inside(y, height) * width + inside(x, width)) * 4 + component(c)];
                assert_eq!(got, expected, "{storage:?}, channel {c} of {components:?}, row {y}, column {x}");
            }

            let values = planes(&small, &texture, size, [0; 2], with);
            let buffer = small.upload(&values, storage).unwrap();
            for (usage, drawn) in [(STORAGE, false), (TARGET, true)] {
                // All, and a rectangle in the middle of both.
                for cut in [0u32, 9] {
                    let target = self::texture(&small, size, format, usage);
                    let place = Rectangle { x: cut, y: cut, width: size[0] - 2 * cut, height: size[1] - 2 * cut };
                    let planes = Planes::new(buffer.slice(..), values.shape()).part(place);
                    let region = TextureRegion::new(&target).rectangle(place);
                    written(&small, with, planes, region, format, drawn);
                    for (index, got) in rgba(&small, &target).into_iter().enumerate() {
                        let (c, at) = (index / (width * height), index % (width * height));
                        let (y, x, cut) = (at / width, at % width, cut as usize);
                        let inside = (cut..height - cut).contains(&y) && (cut..width - cut).contains(&x);
                        let pixel = &pixels[at * 4..][..4];
                        let expected = match (components, c) {
                            _ if !inside => 0.0,
                            (Components::GreyAlpha | Components::Rgba, 3) => pixel[3],
                            (_, 3) => 1.0,
                            (Components::Grey | Components::GreyAlpha, _) => pixel[0],
                            _ => pixel[c],
                        };
                        assert_eq!(got, expected, "{with:?}, drawn: {drawn}, cut {cut}, element {index}");
                    }
                }
            }
        }
    }
    // A row is not cut.
    let wide = self::texture(&small, [49, 1], format, READ);
    let reader = TextureReader::new(&small, [0; 2], of(Components::Grey)).unwrap();
    let refusal = reader.bind(&wide, buffer(&small, 196).slice(..)).unwrap_err();
    assert!(matches!(refusal, Error::Limit { needed: 7, limit: 6, .. }), "{refusal}");
    let renderer = TextureRenderer::new(&small, format, of(Components::Grey)).unwrap();
    let place = Rectangle { x: 0, y: 0, width: 2000, height: 1 };
    let refusal = renderer.place(buffer(&small, 8000).slice(..), place).unwrap_err();
    assert!(matches!(refusal, Error::Limit { limit: 4096, .. }), "{refusal}");
}

fn is_gl(context: &Context) -> bool {
    context.device().adapter_info().backend == wgpu::Backend::Gl
}

fn levels_and_layers_have_their_own_sizes() {
    let context = context();
    let format = drawable(context);
    let texture = context.device().create_texture(&wgpu::TextureDescriptor {
        size: wgpu::Extent3d { width: 9, height: 6, depth_or_array_layers: 3 },
        mip_level_count: 2,
        ..descriptor([9, 6], format, STORAGE | TARGET)
    });
    let reader = TextureReader::new(context, [1; 2], of(Components::Grey)).unwrap();
    let writer = TextureWriter::new(context, format, of(Components::Grey)).unwrap();
    let renderer = TextureRenderer::new(context, format, of(Components::Grey)).unwrap();
    for (level, layer, width, height) in [(0, 0, 9, 6), (0, 2, 9, 6), (1, 1, 4, 3)] {
        let region = TextureRegion::new(&texture).level(level).layer(layer);
        for drawn in [false, true] {
            let first = 100.0 * level as f32 + if drawn { 1000.0 } else { 0.0 };
            let values: Vec<f32> = (0..width * height).map(|index| index as f32 + first).collect();
            let x = context.upload(&Tensor::f32([values.len()], values.clone()).unwrap(), Storage::F32).unwrap();
            if is_gl(context) {
                let refusal = refusal(writer.bind(x.slice(..), region));
                assert!(refusal.contains("2 mip levels and 3 layers; through OpenGL"), "{refusal}");
                continue;
            }
            if drawn {
                let bound = renderer.bind(x.slice(..), region).unwrap();
                record(context, |encoder| bound.encode(encoder));
            } else {
                let bound = writer.bind(x.slice(..), region).unwrap();
                submit(context, |pass| bound.encode(pass));
            }
            // It is of the level's size to the byte.
            let [_, _, rows, columns] = reader.shape(width, height);
            let planes = buffer(context, (rows * columns * 4) as u64);
            let read = reader.bind(region, planes.slice(..)).unwrap();
            submit(context, |pass| read.encode(pass));
            let got = context.download(&planes, &[rows, columns], Storage::F32).unwrap().to_f32();
            for (index, got) in got.into_iter().enumerate() {
                let inside = |at: usize, extent: u32| at.saturating_sub(1).min(extent as usize - 1);
                let (y, x) = (inside(index / columns, height), inside(index % columns, width));
                assert_eq!(got, values[y * width as usize + x], "level {level}, layer {layer}, row {y}, column {x}");
            }
        }
    }
    let any = buffer(context, 4);
    for (region, expected) in [
        (TextureRegion::new(&texture).layer(0).level(2), "texture: it has 2 mip levels, and no level 2"),
        (TextureRegion::new(&texture).layer(3), "texture: it has 3 layers, and no layer 3"),
        (TextureRegion::new(&texture), "texture: it has 3 layers, and none of them is named"),
    ] {
        // Through OpenGL there is a refusal of them all.
        if !is_gl(context) || !expected.contains("mip") {
            assert_eq!(refusal(reader.bind(region, any.slice(..))), expected);
        }
    }
}

fn levels_and_layers_are_drawn_to() {
    let context = context();
    let format = TextureFormat::Rgba8Unorm;
    let texture = context.device().create_texture(&wgpu::TextureDescriptor {
        size: wgpu::Extent3d { width: 9, height: 6, depth_or_array_layers: 3 },
        mip_level_count: 2,
        ..descriptor([9, 6], format, TARGET)
    });
    let renderer = TextureRenderer::new(context, format, Pixels::default()).unwrap();
    let places = [(0, 0, 9, 6), (0, 2, 9, 6), (1, 1, 4, 3)];
    let value = |index: usize, level: u32, layer: u32| (index as u32 + 20 * layer + 7 * level) as f32 / 255.0;
    for (level, layer, width, height) in places {
        let values: Vec<f32> = (0..4 * width * height).map(|index| value(index, level, layer)).collect();
        let buffer = context.upload(&Tensor::f32([values.len()], values).unwrap(), Storage::F32).unwrap();
        let region = TextureRegion::new(&texture).level(level).layer(layer);
        let bound = renderer.bind(buffer.slice(..), region).unwrap();
        record(context, |encoder| bound.encode(encoder));
    }
    for (level, layer, width, height) in places {
        for (index, got) in bytes_of(context, &texture, level, layer).into_iter().enumerate() {
            let (channel, at) = (index % 4, index / 4);
            let expected = (value(channel * width * height + at, level, layer) * 255.0).min(255.0);
            assert_eq!(f32::from(got), expected.round(), "level {level}, layer {layer}, pixel {at}");
        }
    }
}

fn unfit_textures_are_refused_in_their_own_line() {
    let context = context();
    let format = TextureFormat::Rgba8Unorm;
    let reader = TextureReader::new(context, [0; 2], Pixels::default()).unwrap();
    let writer = TextureWriter::new(context, format, Pixels::default()).unwrap();
    let renderer = TextureRenderer::new(context, format, Pixels::default()).unwrap();
    let any = buffer(context, 1 << 16);
    let read = |region: TextureRegion<'_>| refusal(reader.bind(region, any.slice(..)));
    let write = |region: TextureRegion<'_>| refusal(writer.bind(any.slice(..), region));
    let draw = |region: TextureRegion<'_>| refusal(renderer.bind(any.slice(..), region));

    let readable = texture(context, [5, 4], format, READ);
    let usage = format!("texture: usage {READ:?} lacks TextureUsages");
    assert_eq!(write((&readable).into()), format!("{usage}(STORAGE_BINDING)"));
    assert_eq!(draw((&readable).into()), format!("{usage}(RENDER_ATTACHMENT)"));
    let target = texture(context, [5, 4], format, TextureUsages::RENDER_ATTACHMENT);
    assert_eq!(
        read((&target).into()),
        "texture: usage TextureUsages(RENDER_ATTACHMENT) lacks TextureUsages(TEXTURE_BINDING)"
    );

    let multisampled = context.device().create_texture(&wgpu::TextureDescriptor {
        sample_count: 4,
        ..descriptor([5, 4], format, TextureUsages::TEXTURE_BINDING | TextureUsages::RENDER_ATTACHMENT)
    });
    let expected = "texture: it has 4 samples for each pixel, expected 1: resolve it first";
    assert_eq!((read((&multisampled).into()), draw((&multisampled).into())), (expected.into(), expected.into()));

    let deep = context.device().create_texture(&wgpu::TextureDescriptor {
        dimension: wgpu::TextureDimension::D3,
        ..descriptor([5, 4], format, STORAGE)
    });
    let expected = "texture: its dimension is D3, expected D2";
    assert_eq!((read((&deep).into()), write((&deep).into())), (expected.into(), expected.into()));

    let all = texture(context, [5, 4], format, STORAGE | TARGET);
    for (x, y, width, height) in [(0, 0, 6, 4), (4, 0, 2, 4), (0, 4, 1, 1), (0, 0, 0, 1), (u32::MAX, 0, 5, 4)] {
        let region = TextureRegion::new(&all).rectangle(Rectangle { x, y, width, height });
        let expected = format!(
            "texture: the rectangle of {width}x{height} pixels at ({x}, {y}) is not inside the 5x4 pixels of level 0"
        );
        assert_eq!((read(region), write(region), draw(region)), (expected.clone(), expected.clone(), expected));
    }
}

fn unfit_formats_are_refused_in_their_own_line() {
    use TextureFormat as F;
    let context = context();
    let reader = TextureReader::new(context, [0; 2], Pixels::default()).unwrap();
    let any = buffer(context, 1 << 12);
    let read = |format| {
        let texture = texture(context, [2, 2], format, TextureUsages::TEXTURE_BINDING);
        refusal(reader.bind(&texture, any.slice(..)))
    };
    let write = |format| refusal(TextureWriter::new(context, format, Pixels::default()));
    let draw = |format| refusal(TextureRenderer::new(context, format, Pixels::default()));
    let expected = "expected a format of floats or normalised integers";
    assert_eq!(read(F::R32Uint), format!("texture: format R32Uint holds integers, {expected}"));
    assert_eq!(read(F::Depth32Float), format!("texture: format Depth32Float holds depths, {expected}"));
    assert_eq!(draw(F::Rgba8Sint), format!("texture: format Rgba8Sint holds integers, {expected}"));
    assert_eq!(
        draw(F::Depth24PlusStencil8),
        format!("texture: format Depth24PlusStencil8 holds several aspects, {expected}")
    );
    assert_eq!(draw(F::Rgb9e5Ufloat), "texture: format Rgb9e5Ufloat cannot be drawn to");
    assert_eq!(
        write(F::Rgba8UnormSrgb),
        "texture: format Rgba8UnormSrgb is not written as a storage texture, expected one of Rgba8Unorm, Bgra8Unorm, \
         Rgba16Float, Rgba32Float, R32Float; a TextureRenderer draws to others"
    );
    let alpha = refusal(TextureRenderer::new(context, F::Rg8Unorm, of(Components::Alpha)));
    assert_eq!(alpha, "texture: format Rg8Unorm has no alpha that could be written");
    let premultiplied = Pixels { premultiplied: true, ..of(Components::Rgb) };
    let expected = "texture: premultiplied planes Rgb have no alpha by which they could be divided";
    assert_eq!(refusal(TextureWriter::new(context, F::Rgba8Unorm, premultiplied)), expected);
    assert_eq!(refusal(TextureRenderer::new(context, F::Rgba8Unorm, premultiplied)), expected);

    // Features that this device has not been asked for.
    let plain = device_with(wgpu::Features::empty(), |limits| limits);
    assert_eq!(
        refusal(TextureWriter::new(&plain, F::Bgra8Unorm, Pixels::default())),
        "writing a texture of Bgra8Unorm needs the feature BGRA8UNORM_STORAGE, which the device lacks"
    );
    assert_eq!(
        refusal(TextureRenderer::new(&plain, F::Rg11b10Ufloat, Pixels::default())),
        "drawing to Rg11b10Ufloat needs the feature RG11B10UFLOAT_RENDERABLE, which the device lacks"
    );

    let halves = Pixels { storage: Storage::F16, ..Pixels::default() };
    let expected = "storage is float16, expected float32: the device lacks SHADER_F16";
    assert_eq!(refusal(TextureReader::new(&plain, [0; 2], halves)), expected);
    assert_eq!(refusal(TextureWriter::new(&plain, F::Rgba8Unorm, halves)), expected);
    assert_eq!(refusal(TextureRenderer::new(&plain, F::Rgba8Unorm, halves)), expected);
    let few = device_with(wgpu::Features::empty(), |limits| wgpu::Limits {
        max_storage_buffers_per_shader_stage: 3,
        ..limits
    });
    let expected =
        "writing planes to a texture: 4 needed, but the device's limit max_storage_buffers_per_shader_stage is 3";
    assert_eq!(refusal(TextureWriter::new(&few, F::Rgba8Unorm, Pixels::default())), expected);
    assert_eq!(refusal(TextureRenderer::new(&few, F::Rgba8Unorm, Pixels::default())), expected);

    // A texture, and what it is seen as.
    let both = texture(context, [2, 2], F::Rgba8Unorm, STORAGE | TARGET);
    let other = TextureRegion::new(&both).format(F::Bgra8Unorm);
    let refused = refusal(reader.bind(other, any.slice(..)));
    assert_eq!(refused, "texture: its format Rgba8Unorm cannot be seen as Bgra8Unorm");
    let undeclared = TextureRegion::new(&both).format(F::Rgba8UnormSrgb);
    let refused = refusal(reader.bind(undeclared, any.slice(..)));
    let expected = "texture: format Rgba8UnormSrgb is none of the view formats that it was made with, of Rgba8Unorm";
    assert_eq!(refused, expected);
    let renderer = TextureRenderer::new(context, F::Rgba8UnormSrgb, Pixels::default()).unwrap();
    let refused = refusal(renderer.bind(any.slice(..), &both));
    assert_eq!(refused, "texture: its format is Rgba8Unorm, but Rgba8UnormSrgb is written");
    let writer = TextureWriter::new(context, F::R32Float, Pixels::default()).unwrap();
    let refused = refusal(writer.bind(any.slice(..), &both));
    assert_eq!(refused, "texture: its format is Rgba8Unorm, but R32Float is written");
    if is_gl(context) {
        return;
    }
    let declared = context.device().create_texture(&wgpu::TextureDescriptor {
        view_formats: &[F::Rgba8UnormSrgb],
        ..descriptor([2, 2], F::Rgba8Unorm, STORAGE | TARGET)
    });
    let half = context.upload(&Tensor::f32([1, 4, 2, 2], [0.5; 16]).unwrap(), Storage::F32).unwrap();
    let bound = renderer.bind(half.slice(..), TextureRegion::new(&declared).format(F::Rgba8UnormSrgb)).unwrap();
    record(context, |encoder| bound.encode(encoder));
    let got = bytes(context, &declared);
    // 187.5, which the hardware need not round to the nearest value.
    assert!((187..=188).contains(&got[0]) && got[3] == 128, "{:?}", &got[..4]);
}

fn unfit_planes_are_refused_in_their_own_line() {
    let context = context();
    let format = TextureFormat::Rgba8Unorm;
    let target = texture(context, [3, 2], format, STORAGE | TARGET);
    let reader = TextureReader::new(context, [0; 2], Pixels::default()).unwrap();
    let writer = TextureWriter::new(context, format, Pixels::default()).unwrap();
    let renderer = TextureRenderer::new(context, format, Pixels::default()).unwrap();
    let small = buffer(context, 92);
    let expected = "planes buffer: 92 bytes given, but 96 needed";
    assert_eq!(refusal(reader.bind(&target, small.slice(..))), expected);
    assert_eq!(refusal(writer.bind(small.slice(..), &target)), expected);
    assert_eq!(refusal(renderer.bind(small.slice(..), &target)), expected);
    let large = buffer(context, 4096);
    let shaped = |shape: &[usize]| Planes::new(large.slice(..), shape);
    for (planes, expected) in [
        (shaped(&[1, 3, 2, 3]), "planes has shape [1, 3, 2, 3], expected [1, 4, height, width]"),
        (shaped(&[2, 3]), "planes has shape [2, 3], expected [1, 4, height, width]"),
        (shaped(&[1, 4, 2, 4]), "planes buffer: 4x2 pixels of them given, but 3x2 of the texture are to be written"),
        (
            shaped(&[1, 4, 4, 5]).part(Rectangle { x: 3, y: 0, width: 3, height: 2 }),
            "planes buffer: the rectangle of 3x2 pixels at (3, 0) is not inside the 5x4 pixels of the planes",
        ),
    ] {
        assert_eq!(refusal(writer.bind(planes.clone(), &target)), expected);
        assert_eq!(refusal(renderer.bind(planes, &target)), expected);
    }
}

/// A piece of a photograph as the bytes of pixels, and as the tensor of its stored values.
fn photograph(width: usize, height: usize) -> (Vec<u8>, Tensor) {
    let (rgb, _, columns) = shipped::pixels("chelsea_67x45.png");
    let rows = (0..height).map(|y| &rgb[y * columns * 3..][..width * 3]);
    let pixels: Vec<[u8; 3]> = rows.flat_map(|row| row.chunks(3).map(|pixel| [pixel[0], pixel[1], pixel[2]])).collect();
    let planes: Vec<f32> = (0..3).flat_map(|c| pixels.iter().map(move |pixel| f32::from(pixel[c]) / 255.0)).collect();
    let bytes = pixels.iter().flat_map(|&[r, g, b]| [r, g, b, 255]).collect();
    (bytes, Tensor::f32([1, 3, height, width], planes).unwrap())
}

fn a_network_enlarges_textures_as_it_does_tensors() {
    use TextureFormat as F;
    let context = context();
    let network = shipped::network();
    let (width, height) = (21, 13);
    let (pixels, tensor) = photograph(width, height);
    let graph = network.on_gpu(context).unwrap();
    let enlarged = |picture: &Tensor| {
        let input = network.pad(picture).unwrap();
        let prepared = graph.prepare(&[input.shape()], Storage::F32).unwrap();
        network.trim(&prepared.run(&[input]).unwrap()[0], [height, width]).unwrap().to_f32()
    };
    let size = [width as u32, height as u32];
    let double = [size[0] * 2, size[1] * 2];
    for (source, target) in [
        (F::Rgba8Unorm, F::Rgba8Unorm),
        (F::Rgba8Unorm, F::Bgra8UnormSrgb),
        (F::Rgba8UnormSrgb, F::Rgba8Unorm),
        (F::Rgba8UnormSrgb, F::Rgba8UnormSrgb),
    ] {
        let upscaler = network.on_textures(context, source, target, Storage::F32).unwrap();
        assert_eq!(upscaler.scale(), 2);
        let from = filled(context, size, source, READ, &pixels);
        let to = texture(context, double, target, TARGET);
        let bound = upscaler.prepare(size[0], size[1]).unwrap().bind(&from, &to).unwrap();
        record(context, |encoder| bound.encode(encoder));
        // The hardware decodes approximately.
        let read = planes(context, &from, size, [0; 2], upscaler.pixels()[0]);
        assert_near(&read.to_f32(), &tensor.to_f32(), if source.is_srgb() { 0.5 / 255.0 } else { 1e-6 });
        let (got, expected) = (bytes(context, &to), enlarged(&read));
        for (at, pixel) in got.chunks(4).enumerate() {
            let order = if target == F::Bgra8UnormSrgb { [2, 1, 0] } else { [0, 1, 2] };
            for (channel, byte) in order.into_iter().enumerate() {
                let value = expected[channel * (got.len() / 4) + at].clamp(0.0, 1.0) * 255.0;
                // Between two bytes either may come; the hardware need not round to the nearer one where it encodes.
                let most = if target.is_srgb() { 1.0 } else { 0.501 };
                let byte = f32::from(pixel[byte]);
                assert!((byte - value).abs() <= most, "{source:?} to {target:?}, pixel {at}: {byte}, not {value}");
            }
            assert_eq!(pixel[3], 255);
        }
    }

    // Into floats, out of the middle of a texture and into the middle of another.
    let (format, around) = (drawable(context), 3);
    let upscaler = network.on_textures(context, F::Rgba8Unorm, format, Storage::F32).unwrap();
    let as_seen =
        upscaler.with_pixels(upscaler.pixels().map(|pixels| Pixels { curve: Curve::None, ..pixels })).unwrap();
    let mut framed = vec![77u8; (width + 6) * (height + 6) * 4];
    for (y, row) in pixels.chunks(width * 4).enumerate() {
        framed[((y + 3) * (width + 6) + 3) * 4..][..width * 4].copy_from_slice(row);
    }
    let from = filled(context, size.map(|extent| extent + 6), F::Rgba8Unorm, READ, &framed);
    let to = texture(context, double.map(|extent| extent + 6), format, TARGET);
    let place = |[width, height]: [u32; 2]| Rectangle { x: around, y: around, width, height };
    let (source, target) =
        (TextureRegion::new(&from).rectangle(place(size)), TextureRegion::new(&to).rectangle(place(double)));
    let bound = as_seen.prepare(size[0], size[1]).unwrap().bind(source, target).unwrap();
    record(context, |encoder| bound.encode(encoder));
    let tolerance = if format == F::Rgba32Float { 1e-5 } else { 1e-3 };
    let got = planes(context, target, double, [0; 2], of(Components::Rgb));
    assert_near(&got.to_f32(), &enlarged(&tensor), tolerance);
    assert_eq!(rgba(context, &to)[0], 0.0, "beside the rectangle nothing is written");
}

/// Doubles every pixel.
fn doubling() -> Network {
    let nearest: Vec<f32> = (0..9).flat_map(|pair| [if pair % 4 == 0 { 1.0 } else { 0.0 }; 4]).collect();
    let layer = NetworkLayer {
        stride: [2; 2],
        ..NetworkLayer::new(Kind::Transposed, Tensor::f32([3, 3, 2, 2], nearest).unwrap())
    };
    Network::new(&[layer], 2, 0).unwrap()
}

fn alpha_is_drawn_into_the_colours_of_a_network() {
    let context = context();
    let format = TextureFormat::Rgba8Unorm;
    let pixels = [10, 100, 200, 51, 1, 128, 254, 255];
    let from = filled(context, [2, 1], format, READ, &pixels);
    let to = texture(context, [4, 2], format, TARGET);
    let colours = doubling().on_textures(context, format, format, Storage::F32).unwrap();
    let alpha = Method::Nearest.upsampler(2, 1).unwrap().on_textures(context, format, format, Storage::F32).unwrap();
    let alpha = alpha.with_pixels([of(Components::Alpha); 2]).unwrap();
    record(context, |encoder| {
        colours.prepare(2, 1).unwrap().bind(&from, &to).unwrap().encode(encoder);
        alpha.prepare(2, 1).unwrap().bind(&from, &to).unwrap().encode(encoder);
    });
    let row = [&pixels[..4], &pixels[..4], &pixels[4..], &pixels[4..]].concat();
    assert_eq!(bytes(context, &to), row.repeat(2));
}

/// In the passes of the caller: one binding serves every texture of a surface.
fn an_upscaler_is_drawn_in_the_pass_of_the_caller() {
    let context = context();
    let format = TextureFormat::Rgba8Unorm;
    let pixels = [10, 100, 200, 255, 1, 128, 254, 255];
    let from = filled(context, [2, 1], format, READ, &pixels);
    let prepared = doubling().on_textures(context, format, format, Storage::F32).unwrap().prepare(2, 1).unwrap();
    let placed = prepared.place(&from, [3, 1]).unwrap();
    for _ in 0..2 {
        let to = texture(context, [8, 4], format, TARGET);
        let view = to.create_view(&Default::default());
        record(context, |encoder| {
            placed.encode(&mut encoder.begin_compute_pass(&Default::default()));
            placed.draw(&mut encoder.begin_render_pass(&wgpu::RenderPassDescriptor {
                color_attachments: &[Some(wgpu::RenderPassColorAttachment {
                    view: &view,
                    depth_slice: None,
                    resolve_target: None,
                    ops: Default::default(),
                })],
                ..Default::default()
            }));
        });
        let row = [&pixels[..4], &pixels[..4], &pixels[4..], &pixels[4..]].concat();
        for (y, got) in bytes(context, &to).chunks(32).enumerate() {
            let empty = [0; 32];
            let expected =
                if (1..3).contains(&y) { [&empty[..12], &row, &empty[..4]].concat() } else { empty.to_vec() };
            assert_eq!(got, expected, "row {y}");
        }
    }
}

fn a_network_is_given_the_encoding_that_it_wants() {
    use TextureFormat as F;
    let context = context();
    let network = |encoding| doubling().with_encoding(encoding);
    let pixels = |encoding, source, target| {
        let upscaler = network(encoding).on_textures(context, source, target, Storage::F32).unwrap();
        upscaler.pixels().map(|pixels| pixels.curve)
    };
    let (srgb, linear) = (Encoding::Srgb, Encoding::Linear);
    assert_eq!(pixels(srgb, F::Rgba8Unorm, F::Rgba8Unorm), [Curve::None, Curve::None]);
    assert_eq!(pixels(srgb, F::Rgba8UnormSrgb, F::Bgra8UnormSrgb), [Curve::Encode, Curve::Decode]);
    assert_eq!(pixels(srgb, F::Rgba16Float, F::Rgb10a2Unorm), [Curve::Encode, Curve::None]);
    assert_eq!(pixels(linear, F::Rgba8Unorm, F::Rgba8Unorm), [Curve::Decode, Curve::Encode]);
    assert_eq!(pixels(linear, F::Rgba8UnormSrgb, F::Rgba16Float), [Curve::None, Curve::None]);
    // Whatever it wants, doubling a pixel changes no byte.
    let bytes_of = [10, 100, 200, 255, 1, 128, 254, 255];
    for (encoding, source, target) in
        [(srgb, F::Rgba8UnormSrgb, F::Rgba8Unorm), (linear, F::Rgba8Unorm, F::Rgba8UnormSrgb)]
    {
        let from = filled(context, [2, 1], source, READ, &bytes_of);
        let to = texture(context, [4, 2], target, TARGET);
        let upscaler = network(encoding).on_textures(context, source, target, Storage::F32).unwrap();
        let bound = upscaler.prepare(2, 1).unwrap().bind(&from, &to).unwrap();
        record(context, |encoder| bound.encode(encoder));
        let row = [&bytes_of[..4], &bytes_of[..4], &bytes_of[4..], &bytes_of[4..]].concat();
        assert_eq!(bytes(context, &to), row.repeat(2), "{encoding:?}");
    }
}

fn unfit_textures_of_upscalers_are_refused() {
    use TextureFormat as F;
    let context = context();
    let upscaler = doubling().on_textures(context, F::Rgba8Unorm, F::Rgba8Unorm, Storage::F32).unwrap();
    let prepared = upscaler.prepare(4, 3).unwrap();
    let from = texture(context, [4, 3], F::Rgba8Unorm, READ);
    let (small, large) =
        (texture(context, [8, 5], F::Rgba8Unorm, TARGET), texture(context, [8, 6], F::Rgba8Unorm, TARGET));
    assert!(prepared.bind(&from, &large).is_ok());
    assert_eq!(refusal(prepared.bind(&from, &small)), "texture: the target has 8x5 pixels, expected 8x6");
    assert_eq!(refusal(prepared.bind(&large, &large)), "texture: the source has 8x6 pixels, expected 4x3");
    let srgb = texture(context, [4, 3], F::Rgba8UnormSrgb, READ);
    assert_eq!(refusal(prepared.bind(&srgb, &large)), "texture: its format is Rgba8UnormSrgb, but Rgba8Unorm is read");
    let [read, written] = upscaler.pixels();
    assert_eq!(
        refusal(upscaler.with_pixels([Pixels { components: Components::Rgba, ..read }, written])),
        "texture: 4 channels of F32 given, expected 3 of F32"
    );
    let five = Method::Bilinear.upsampler(2, 5).unwrap();
    assert_eq!(
        refusal(five.on_textures(context, F::Rgba8Unorm, F::Rgba8Unorm, Storage::F32)),
        "channels of a filter on textures is 5, expected 1 to 4"
    );
}
