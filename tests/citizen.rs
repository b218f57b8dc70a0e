//! upconv inside somebody else's application: textures, faults, lost devices, threads, allocations, memory.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;
#[path = "common/device.rs"]
mod device;

use common::{Case, Values, no_activation, random_case, tensor};
use device::{context, fresh_context};
use fastrand::Rng;
use std::alloc::{GlobalAlloc, Layout, System};
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use upconv::gpu::{Context, Encoding, Layer, TextureReader, TextureWriter};
use upconv::upscale::Method;
use upconv::{ConvTranspose, Error, Storage, Tensor, reference, wgpu};

fn main() -> ExitCode {
    device::run(&[
        ("a_texture_becomes_planes_with_its_border_replicated", a_texture_becomes_planes_with_its_border_replicated),
        ("textures_are_upsampled_in_one_pass", textures_are_upsampled_in_one_pass),
        ("linear_light_is_encoded", linear_light_is_encoded),
        ("unfit_textures_are_refused", unfit_textures_are_refused),
        ("encode_allocates_what_the_same_calls_by_hand_do", encode_allocates_what_the_same_calls_by_hand_do),
        ("repeated_runs_leave_memory_flat", repeated_runs_leave_memory_flat),
        ("many_threads_share_one_device", many_threads_share_one_device),
        ("a_destroyed_device_is_an_error_and_a_new_one_works", a_destroyed_device_is_an_error_and_a_new_one_works),
        ("a_device_with_low_limits_suffices", a_device_with_low_limits_suffices),
        ("dropped_futures_leave_nothing_behind", dropped_futures_leave_nothing_behind),
        ("things_may_be_dropped_in_any_order", things_may_be_dropped_in_any_order),
    ])
}

/// Counts the allocations of the thread that asks.
struct Counting;

thread_local! {
    static ALLOCATIONS: AtomicUsize = const { AtomicUsize::new(0) };
}

#[allow(unsafe_code, reason = "an allocator is unsafe to implement")]
// SAFETY: every call is passed on to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // A thread that ends has no counter any more; nobody counts it then.
        let _ = ALLOCATIONS.try_with(|count| count.fetch_add(1, Ordering::Relaxed));
        // SAFETY: the caller's promises are those the system's allocator asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn allocations() -> usize {
    ALLOCATIONS.with(|count| count.load(Ordering::Relaxed))
}

fn buffer(context: &Context, size: u64) -> wgpu::Buffer {
    let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST;
    context.device().create_buffer(&wgpu::BufferDescriptor { label: None, size, usage, mapped_at_creation: false })
}

fn texture(context: &Context, [width, height]: [u32; 2], format: wgpu::TextureFormat) -> wgpu::Texture {
    let writable = if format.is_srgb() { wgpu::TextureUsages::empty() } else { wgpu::TextureUsages::STORAGE_BINDING };
    context.device().create_texture(&wgpu::TextureDescriptor {
        label: None,
        size: wgpu::Extent3d { width, height, depth_or_array_layers: 1 },
        mip_level_count: 1,
        sample_count: 1,
        dimension: wgpu::TextureDimension::D2,
        format,
        usage: wgpu::TextureUsages::TEXTURE_BINDING
            | wgpu::TextureUsages::COPY_DST
            | wgpu::TextureUsages::COPY_SRC
            | writable,
        view_formats: &[],
    })
}

/// A texture with these bytes.
fn filled(context: &Context, size: [u32; 2], format: wgpu::TextureFormat, bytes: &[u8]) -> wgpu::Texture {
    let texture = texture(context, size, format);
    let row = bytes.len() as u32 / size[1];
    context.queue().write_texture(
        texture.as_image_copy(),
        bytes,
        wgpu::TexelCopyBufferLayout { offset: 0, bytes_per_row: Some(row), rows_per_image: None },
        texture.size(),
    );
    texture
}

fn view(texture: &wgpu::Texture) -> wgpu::TextureView {
    texture.create_view(&wgpu::TextureViewDescriptor::default())
}

fn submit(context: &Context, record: impl FnOnce(&mut wgpu::ComputePass<'_>)) {
    let mut encoder = context.device().create_command_encoder(&Default::default());
    record(&mut encoder.begin_compute_pass(&Default::default()));
    context.queue().submit([encoder.finish()]);
}

/// The planes of a texture, read through a [`TextureReader`].
fn planes(context: &Context, texture: &wgpu::Texture, channels: usize, border: usize) -> Tensor {
    let reader = TextureReader::new(context, channels, border, Storage::F32).unwrap();
    let shape = reader.shape(texture.width(), texture.height());
    let planes = buffer(context, (shape.iter().product::<usize>() * 4) as u64);
    let bound = reader.bind(&view(texture), planes.slice(..)).unwrap();
    submit(context, |pass| bound.encode(pass));
    context.download(&planes, &shape, Storage::F32).unwrap()
}

fn a_texture_becomes_planes_with_its_border_replicated() {
    let context = context();
    let bytes = [0, 51, 102, 255, 255, 204, 153, 51];
    let texture = filled(context, [2, 1], wgpu::TextureFormat::Rgba8Unorm, &bytes);
    let got = planes(context, &texture, 3, 1);
    assert_eq!(got.shape(), [1, 3, 3, 4]);
    let expected: Vec<f32> = [[0.0, 255.0], [51.0, 204.0], [102.0, 153.0]]
        .iter()
        .flat_map(|&[a, b]| [[a, a, b, b]; 3].concat())
        .map(|v: f32| v / 255.0)
        .collect();
    for (got, expected) in got.to_f32().iter().zip(expected) {
        assert!((got - expected).abs() < 1e-6, "{got}, not {expected}");
    }
}

fn textures_are_upsampled_in_one_pass() {
    let context = context();
    let mut rng = Rng::with_seed(1);
    let (width, height) = (13, 9);
    let pixels: Vec<f32> = (0..width * height * 4).map(|_| rng.f32()).collect();
    let small = filled(context, [width, height], wgpu::TextureFormat::Rgba32Float, bytemuck::cast_slice(&pixels));
    let large = texture(context, [width * 3, height * 3], wgpu::TextureFormat::Rgba32Float);

    let up = Method::Bicubic.upsampler(3, 4).unwrap();
    let reader = TextureReader::new(context, 4, up.border, Storage::F32).unwrap();
    let writer =
        TextureWriter::new(context, 4, wgpu::TextureFormat::Rgba32Float, Encoding::Linear, Storage::F32).unwrap();
    let layer = Layer::new(context, &up.op, &up.weight, None).unwrap();
    let prepared = layer.prepare(&reader.shape(width, height), Storage::F32).unwrap();
    let (x, y) = (buffer(context, prepared.input_bytes()), buffer(context, prepared.output_bytes()));
    let read = reader.bind(&view(&small), x.slice(..)).unwrap();
    let bound = prepared.bind(x.slice(..), y.slice(..)).unwrap();
    let write = writer.bind(y.slice(..), &view(&large)).unwrap();
    submit(context, |pass| {
        read.encode(pass);
        bound.encode(pass);
        write.encode(pass);
    });
    let got = planes(context, &large, 4, 0);

    let input = planes(context, &small, 4, up.border);
    let expected = reference::conv_transpose(&up.op, &input, &up.weight, None).unwrap();
    let comparison = expected.compare(&got).unwrap();
    assert!(comparison.passed(), "{comparison:?}");
}

fn linear_light_is_encoded() {
    let context = context();
    // A view in sRGB is decoded when it is read, and written back through the curve: the same bytes.
    let bytes: Vec<u8> = (0..=255u8).flat_map(|v| [v, 255 - v, v / 2, v]).collect();
    let stored = filled(context, [256, 1], wgpu::TextureFormat::Rgba8UnormSrgb, &bytes);
    let linear = planes(context, &stored, 4, 0);
    let x = context.upload(&linear, Storage::F32).unwrap();
    let written = texture(context, [256, 1], wgpu::TextureFormat::Rgba8Unorm);
    let writer = TextureWriter::new(context, 4, wgpu::TextureFormat::Rgba8Unorm, Encoding::Srgb, Storage::F32).unwrap();
    let bound = writer.bind(x.slice(..), &view(&written)).unwrap();
    submit(context, |pass| bound.encode(pass));
    let got = planes(context, &written, 4, 0).to_f32();
    for (index, byte) in bytes.iter().enumerate() {
        let got = got[index % 4 * 256 + index / 4] * 255.0;
        assert!((got - f32::from(*byte)).abs() < 1.01, "{got}, not {byte}");
    }
    let mean = linear.to_f32()[..256].iter().sum::<f32>() / 256.0;
    assert!(mean < 0.4, "reading decoded: the mean {mean} of linear light is below that of the stored values");
}

fn unfit_textures_are_refused() {
    let context = context();
    let reader = TextureReader::new(context, 4, 0, Storage::F32).unwrap();
    let small = filled(context, [2, 2], wgpu::TextureFormat::Rgba8Unorm, &[0; 16]);
    let refusal = |result: upconv::Result<_>| match result {
        Ok(_) => panic!("it was accepted"),
        Err(error) => error.to_string(),
    };
    let planes = buffer(context, 60);
    assert_eq!(refusal(reader.bind(&view(&small), planes.slice(..))), "planes buffer: 60 bytes given, but 64 needed");
    let srgb = wgpu::TextureFormat::Rgba8UnormSrgb;
    let writer = |format| TextureWriter::new(context, 4, format, Encoding::Linear, Storage::F32);
    assert!(writer(srgb).unwrap_err().to_string().contains("Rgba8UnormSrgb cannot be written, expected Rgba8Unorm"));
    let writer = writer(wgpu::TextureFormat::Rgba8Unorm).unwrap();
    let read_only = filled(context, [2, 2], srgb, &[0; 16]);
    let planes = buffer(context, 64);
    assert!(refusal(writer.bind(planes.slice(..), &view(&read_only))).contains("lacks TextureUsages(STORAGE_BINDING)"));
    assert_eq!(
        TextureReader::new(context, 5, 0, Storage::F32).unwrap_err().to_string(),
        "channels of a texture is 5, expected 1 to 4"
    );
}

fn small_layer(context: &Context) -> (Layer, Case) {
    let mut rng = Rng::with_seed(2);
    let op = ConvTranspose::builder().in_channels(3).out_channels(4).kernel([3, 3]).stride([2, 2]).build().unwrap();
    let case = Case {
        input: tensor(&mut rng, &[1, 3, 8, 8], Values::Integers),
        weight: tensor(&mut rng, &op.weight_shape(), Values::Integers),
        bias: None,
        op,
    };
    (Layer::new(context, &case.op, &case.weight, None).unwrap(), case)
}

fn encode_allocates_what_the_same_calls_by_hand_do() {
    let context = context();
    let (layer, case) = small_layer(context);
    let prepared = layer.prepare(case.input.shape(), Storage::F32).unwrap();
    let x = context.upload(&case.input, Storage::F32).unwrap();
    let y = buffer(context, prepared.output_bytes());
    let bound = prepared.bind(x.slice(..), y.slice(..)).unwrap();

    // A pipeline that binds nothing: three calls for each dispatch, as `encode` makes.
    let module = context.device().create_shader_module(wgpu::ShaderModuleDescriptor {
        label: None,
        source: wgpu::ShaderSource::Wgsl(
            "@group(0) @binding(0) var<storage, read_write> a: array<f32>;
             @compute @workgroup_size(1) fn main() { a[0] = 1.0; }"
                .into(),
        ),
    });
    let pipeline = context.device().create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
        label: None,
        layout: None,
        module: &module,
        entry_point: None,
        compilation_options: Default::default(),
        cache: None,
    });
    let group = context.device().create_bind_group(&wgpu::BindGroupDescriptor {
        label: None,
        layout: &pipeline.get_bind_group_layout(0),
        entries: &[wgpu::BindGroupEntry { binding: 0, resource: y.as_entire_binding() }],
    });

    const TIMES: usize = 10_000;
    let dispatches = prepared.plan().dispatches.len();
    let mut counts = [0; 2];
    for (count, by_hand) in counts.iter_mut().zip([false, true]) {
        let mut encoder = context.device().create_command_encoder(&Default::default());
        let mut pass = encoder.begin_compute_pass(&Default::default());
        let before = allocations();
        for _ in 0..TIMES {
            if by_hand {
                pass.set_pipeline(&pipeline);
                for _ in 0..dispatches {
                    pass.set_bind_group(0, &group, &[]);
                    pass.dispatch_workgroups(1, 1, 1);
                }
            } else {
                bound.encode(&mut pass);
            }
        }
        *count = allocations() - before;
    }
    let [ours, by_hand] = counts;
    assert_eq!(ours, by_hand, "allocations of {TIMES} encodes");
}

/// The memory of this process that is in use, in bytes.
fn resident() -> Option<usize> {
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    Some(statm.split(' ').nth(1)?.parse::<usize>().ok()? * 4096)
}

fn repeated_runs_leave_memory_flat() {
    let (layer, case) = small_layer(context());
    let run = || layer.run(&case.input).unwrap();
    for _ in 0..100 {
        run();
    }
    let before = resident();
    for _ in 0..1000 {
        run();
    }
    if let (Some(before), Some(after)) = (before, resident()) {
        eprintln!("resident before and after 1000 runs: {} and {} KiB", before >> 10, after >> 10);
        assert!(after < before + (8 << 20), "{before} bytes grew to {after}");
    }
}

fn many_threads_share_one_device() {
    let context = context();
    let mut rng = Rng::with_seed(3);
    let cases: Vec<(Case, Tensor)> = (0..100)
        .map(|_| {
            let case = random_case(&mut rng, Values::Integers, no_activation);
            let expected = reference::run(&case.op, &case.input, &case.weight, case.bias.as_ref()).unwrap();
            (case, expected)
        })
        .collect();
    std::thread::scope(|scope| {
        for thread in 0..16 {
            let cases = &cases;
            scope.spawn(move || {
                for index in 0..cases.len() {
                    let (case, expected) = &cases[(index + thread * 7) % cases.len()];
                    let layer = Layer::new(context, &case.op, &case.weight, case.bias.as_ref()).unwrap();
                    assert_eq!(&layer.run(&case.input).unwrap(), expected, "{case:?}");
                }
            });
        }
    });
}

fn a_destroyed_device_is_an_error_and_a_new_one_works() {
    let lost = fresh_context();
    let (layer, case) = small_layer(&lost);
    layer.run(&case.input).unwrap();
    lost.device().destroy();
    let error = layer.run(&case.input).unwrap_err();
    assert!(matches!(error, Error::DeviceLost { .. }), "{error:?}");
    let (layer, case) = small_layer(&fresh_context());
    layer.run(&case.input).unwrap();
}

fn a_device_with_low_limits_suffices() {
    let adapters = pollster::block_on(upconv::gpu::adapters(false));
    let adapter = adapters.first().unwrap();
    let limits = wgpu::Limits {
        max_storage_buffer_binding_size: 16 << 20,
        max_compute_invocations_per_workgroup: 64,
        max_compute_workgroup_size_x: 64,
        max_storage_buffers_per_shader_stage: 4,
        ..adapter.limits()
    };
    let descriptor = wgpu::DeviceDescriptor { required_limits: limits, ..Default::default() };
    let (device, queue) = pollster::block_on(adapter.request_device(&descriptor)).unwrap();
    let low = Context::new(device, queue);
    // 32 MiB of input, in bands; and a few small ones with every kernel, their input channels in parts too.
    let op = ConvTranspose::builder().in_channels(8).out_channels(1).kernel([1]).build().unwrap();
    let input = Tensor::f32([1, 8, 1 << 20], vec![1.0; 8 << 20]).unwrap();
    let layer = Layer::new(&low, &op, &Tensor::f32([8, 1, 1], [1.0; 8]).unwrap(), None).unwrap();
    let prepared = layer.prepare(input.shape(), Storage::F32).unwrap();
    assert!(prepared.plan().dispatches.len() > 1);
    assert!(layer.run(&input).unwrap().to_f32().iter().all(|&v| v == 8.0));
    let mut rng = Rng::with_seed(4);
    for _ in 0..20 {
        let Case { op, input, weight, bias } = random_case(&mut rng, Values::Integers, no_activation);
        let layer = Layer::new(&low, &op, &weight, bias.as_ref()).unwrap();
        let expected = reference::run(&op, &input, &weight, bias.as_ref()).unwrap();
        for kernel in upconv::Kernel::EXACT {
            let Ok(prepared) = layer.prepare_with(input.shape(), Storage::F32, kernel) else { continue };
            let x = low.upload(&input, Storage::F32).unwrap();
            let y = buffer(&low, prepared.output_bytes());
            let bound = prepared.bind(x.slice(..), y.slice(..)).unwrap();
            submit(&low, |pass| bound.encode(pass));
            assert_eq!(low.download(&y, expected.shape(), Storage::F32).unwrap(), expected, "{kernel}: {op:?}");
        }
    }
}

fn dropped_futures_leave_nothing_behind() {
    let context = context();
    let (layer, case) = small_layer(context);
    for _ in 0..50 {
        let mut future = Box::pin(layer.run_async(&case.input));
        // Polled once, so that the work is on its way; then dropped.
        let waker = std::task::Waker::noop();
        let _ = future.as_mut().poll(&mut std::task::Context::from_waker(waker));
    }
    context.device().poll(wgpu::PollType::wait_indefinitely()).unwrap();
    let expected = reference::run(&case.op, &case.input, &case.weight, None).unwrap();
    assert_eq!(layer.run(&case.input).unwrap(), expected);
}

fn things_may_be_dropped_in_any_order() {
    let context = fresh_context();
    let (layer, case) = small_layer(&context);
    let prepared = layer.prepare(case.input.shape(), Storage::F32).unwrap();
    let x = context.upload(&case.input, Storage::F32).unwrap();
    let y = buffer(&context, prepared.output_bytes());
    let bound = prepared.bind(x.slice(..), y.slice(..)).unwrap();
    let mut encoder = context.device().create_command_encoder(&Default::default());
    bound.encode(&mut encoder.begin_compute_pass(&Default::default()));
    let (device, queue) = (context.device().clone(), context.queue().clone());
    drop(context);
    drop(x);
    drop(layer);
    drop(bound);
    drop(prepared);
    queue.submit([encoder.finish()]);
    device.poll(wgpu::PollType::wait_indefinitely()).unwrap();
    let context = Context::new(device, queue);
    let expected = reference::run(&case.op, &case.input, &case.weight, None).unwrap();
    assert_eq!(context.download(&y, expected.shape(), Storage::F32).unwrap(), expected);
}

/// Contexts, layers and what is made of them go between threads.
const _: fn() = || {
    fn shared<T: Send + Sync>() {}
    shared::<Context>();
    shared::<Layer>();
    shared::<upconv::gpu::Prepared>();
    shared::<upconv::gpu::Bound>();
};
