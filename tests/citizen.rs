//! upconv inside somebody else's application: faults, lost devices, threads, allocations, memory.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;
#[path = "common/device.rs"]
mod device;

use common::{Case, Values, no_activation, random_case, tensor};
use device::{context, device_with, fresh_context};
use fastrand::Rng;
use std::alloc::{GlobalAlloc, Layout, System};
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use upconv::gpu::{Context, Layer, Prepared, Request};
use upconv::{ConvTranspose, Convention, DeviceProfile, Error, Kernel, Stop, Storage, Tensor, reference, wgpu};

fn main() -> ExitCode {
    if std::env::var_os(OUT_OF_MEMORY_CHILD).is_some() {
        run_out_of_memory();
        return ExitCode::SUCCESS;
    }
    device::run(&[
        ("encode_allocates_what_the_same_calls_by_hand_do", encode_allocates_what_the_same_calls_by_hand_do),
        ("repeated_runs_and_encodes_leave_memory_flat", repeated_runs_and_encodes_leave_memory_flat),
        ("what_is_warm_compiles_no_more", what_is_warm_compiles_no_more),
        ("warming_up_takes_no_more_memory_than_a_kernel_needs", warming_up_takes_no_more_memory_than_a_kernel_needs),
        ("a_preparation_is_kept_for_what_it_was_made_for", a_preparation_is_kept_for_what_it_was_made_for),
        ("work_is_submitted_in_pieces", work_is_submitted_in_pieces),
        ("work_is_stopped_between_submissions", work_is_stopped_between_submissions),
        ("a_chunk_of_winograd_is_one_piece", a_chunk_of_winograd_is_one_piece),
        ("each_dispatch_is_timed", each_dispatch_is_timed),
        ("pipelines_go_from_one_run_to_the_next", pipelines_go_from_one_run_to_the_next),
        ("pipelines_of_an_earlier_run_leave_the_matrices", pipelines_of_an_earlier_run_leave_the_matrices),
        ("memory_that_runs_out_is_an_error", memory_that_runs_out_is_an_error),
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

fn submit(context: &Context, record: impl FnOnce(&mut wgpu::ComputePass<'_>)) {
    let mut encoder = context.device().create_command_encoder(&Default::default());
    record(&mut encoder.begin_compute_pass(&Default::default()));
    context.queue().submit([encoder.finish()]);
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
    let dispatches = prepared.plan().dispatch_count();
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

fn repeated_runs_and_encodes_leave_memory_flat() {
    let context = context();
    let (layer, case) = small_layer(context);
    let run = || drop(layer.run(&case.input).unwrap());
    let x = context.upload(&case.input, Storage::F32).unwrap();
    let prepared = layer.prepare(case.input.shape(), Storage::F32).unwrap();
    let y = buffer(context, prepared.output_bytes());
    let encode = || {
        let mut encoder = context.device().create_command_encoder(&Default::default());
        prepared.encode(&mut encoder, x.slice(..), y.slice(..)).unwrap();
        context.queue().submit([encoder.finish()]);
        context.device().poll(wgpu::PollType::wait_indefinitely()).unwrap();
    };
    if let Some(before) = resident() {
        let held = std::hint::black_box(vec![1u8; 32 << 20]);
        let after = resident().unwrap();
        assert!(after > before + (held.len() >> 1), "a leak would show: {before} bytes, then {after}");
    }
    let repeated: [(&str, usize, &dyn Fn()); 2] = [("runs", 1_000, &run), ("encodes", 10_000, &encode)];
    for (what, times, once) in repeated {
        for _ in 0..100 {
            once();
        }
        let before = resident();
        for _ in 0..times {
            once();
        }
        if let (Some(before), Some(after)) = (before, resident()) {
            eprintln!("resident before and after {times} {what}: {} and {} KiB", before >> 10, after >> 10);
            assert!(after < before + (8 << 20), "{what}: {before} bytes grew to {after}");
        }
    }
}

fn what_is_warm_compiles_no_more() {
    let context = fresh_context();
    let (layer, case) = small_layer(&context);
    let (other, shape) = (layer.clone(), case.input.shape().to_vec());
    let warming = std::thread::spawn(move || {
        let prepared = other.prepare(&shape, Request::new(Storage::F32).kernel(Kernel::Direct))?;
        prepared.warm_up()
    });
    // Meanwhile another layer runs, with a kernel of its own.
    let expected = reference::run(&case.op, &case.input, &case.weight, None).unwrap();
    assert_eq!(layer.run(&case.input).unwrap(), expected);
    warming.join().unwrap().unwrap();
    let compiled = context.pipeline_count();
    finish(&context, layer.prepare(case.input.shape(), Storage::F32).unwrap().warm_up_async()).unwrap();
    let prepared = layer.prepare(case.input.shape(), Request::new(Storage::F32).kernel(Kernel::Direct)).unwrap();
    assert_eq!(computed(&context, &prepared, &case.input), expected);
    assert_eq!(context.pipeline_count(), compiled);
}

/// Its tensors would exceed the largest buffer of the profile by far.
fn warming_up_takes_no_more_memory_than_a_kernel_needs() {
    let fresh = fresh_context();
    let mut rng = Rng::with_seed(41);
    let small = fresh.limited(DeviceProfile { max_buffer: 1 << 20, ..fresh.profile().clone() });
    let op = ConvTranspose::builder().in_channels(3).out_channels(4).kernel([3, 3]).build().unwrap();
    let layer = Layer::new(&small, &op, &tensor(&mut rng, &op.weight_shape(), Values::Integers), None).unwrap();
    for kernel in Kernel::EXACT {
        layer.prepare(&[1, 3, 600, 600], Request::new(Storage::F32).kernel(*kernel)).unwrap().warm_up().unwrap();
    }
    // What is split has two kernels, and Winograd's filtering three.
    let deep = ConvTranspose::builder().in_channels(2048).out_channels(4).kernel([2, 2]).build().unwrap();
    let case = Case {
        input: tensor(&mut rng, &[1, 2048, 3, 3], Values::Integers),
        weight: tensor(&mut rng, &deep.weight_shape(), Values::Integers),
        bias: None,
        op: deep,
    };
    let layer = Layer::new(&fresh, &case.op, &case.weight, None).unwrap();
    let candidates = layer.candidates(case.input.shape()).unwrap();
    let split =
        candidates.iter().find(|candidate| candidate.to_string().contains(" splits of the input channels")).unwrap();
    let prepared = layer.prepare(case.input.shape(), Request::new(Storage::F32).candidate(*split)).unwrap();
    prepared.warm_up().unwrap();
    let expected = reference::run(&case.op, &case.input, &case.weight, None).unwrap();
    assert_eq!(computed(&fresh, &prepared, &case.input), expected);
    let layer = Layer::new(&fresh, &op, &tensor(&mut rng, &op.weight_shape(), Values::Reals), None).unwrap();
    layer.prepare(&[1, 3, 40, 40], Request::new(Storage::F32).kernel(Kernel::Winograd)).unwrap().warm_up().unwrap();
}

/// Polls a future and the device in turn.
fn finish<F: Future>(context: &Context, future: F) -> F::Output {
    let mut future = Box::pin(future);
    loop {
        let waker = std::task::Waker::noop();
        if let Poll::Ready(output) = future.as_mut().poll(&mut std::task::Context::from_waker(waker)) {
            return output;
        }
        context.device().poll(wgpu::PollType::Poll).unwrap();
    }
}

/// What a prepared layer makes of an input, through buffers of the caller; elements that are not written are NaN.
fn computed(context: &Context, prepared: &Prepared, input: &Tensor) -> Tensor {
    let shape = prepared.geometry().output_shape();
    let poison = Tensor::f32(shape.clone(), vec![f32::NAN; prepared.geometry().output_len()]).unwrap();
    let (x, y) = (context.upload(input, Storage::F32).unwrap(), context.upload(&poison, Storage::F32).unwrap());
    let bound = prepared.bind(x.slice(..), y.slice(..)).unwrap();
    submit(context, |pass| bound.encode(pass));
    context.download(&y, &shape, Storage::F32).unwrap()
}

fn a_preparation_is_kept_for_what_it_was_made_for() {
    let context = context();
    let (layer, case) = small_layer(context);
    let shape = case.input.shape();
    // Each with another convention, storage, kernel or shape; in every order, from many threads.
    let conventions = [17, 18].map(|size| Convention::OutputSize(vec![size; 2]));
    let expected: Vec<Tensor> = conventions
        .iter()
        .map(|convention| {
            let op = convention.resolve(&case.op, shape).unwrap();
            reference::run(&op, &case.input, &case.weight, None).unwrap()
        })
        .collect();
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let (layer, case, conventions, expected) = (&layer, &case, &conventions, &expected);
            scope.spawn(move || {
                for turn in 0..20 {
                    let which = (turn + thread) % 2;
                    let prepared = layer.prepare_to(&conventions[which], shape, Storage::F32).unwrap();
                    assert_eq!(computed(context, &prepared, &case.input), expected[which]);
                    let kernel = Kernel::EXACT[which];
                    assert_eq!(
                        layer.prepare(shape, Request::new(Storage::F32).kernel(kernel)).unwrap().plan().kernel(),
                        kernel
                    );
                    let wide = [1, 3, 8, 9 + which];
                    assert_eq!(layer.prepare(&wide, Storage::F32).unwrap().geometry().input_shape(), wide);
                    if context.profile().f16 {
                        let storage = [Storage::F32, Storage::F16][which];
                        assert_eq!(layer.prepare(shape, storage).unwrap().plan().storage(), storage);
                    }
                }
            });
        }
    });
}

/// The device of all tests, with so low a bound of multiply-adds that a small layer takes several dispatches.
fn bounded() -> Context {
    let context = context();
    context.limited(DeviceProfile { max_multiply_adds: 2_000, ..context.profile().clone() })
}

fn work_is_submitted_in_pieces() {
    let bounded = bounded();
    let (layer, case) = small_layer(&bounded);
    let expected = reference::run(&case.op, &case.input, &case.weight, None).unwrap();
    assert_eq!(layer.run(&case.input).unwrap(), expected);

    let prepared = layer.prepare(case.input.shape(), Storage::F32).unwrap();
    let x = bounded.upload(&case.input, Storage::F32).unwrap();
    let y = buffer(&bounded, prepared.output_bytes());
    let bound = prepared.bind(x.slice(..), y.slice(..)).unwrap();
    let pieces: Vec<_> = bound.pieces().collect();
    assert!(pieces.len() > 1 && pieces.len() <= prepared.plan().dispatch_count(), "{}", pieces.len());
    for piece in pieces {
        submit(&bounded, |pass| piece.encode(pass));
    }
    assert_eq!(bounded.download(&y, expected.shape(), Storage::F32).unwrap(), expected);
}

/// What was submitted is waited for, or left alone; the device serves on.
fn work_is_stopped_between_submissions() {
    let bounded = bounded();
    let (layer, case) = small_layer(&bounded);
    let expected = reference::run(&case.op, &case.input, &case.weight, None).unwrap();
    let prepared = layer.prepare(case.input.shape(), Storage::F32).unwrap();
    let x = bounded.upload(&case.input, Storage::F32).unwrap();
    let y = bounded.allocate(prepared.geometry().output_len(), Storage::F32).unwrap();
    let bound = prepared.bind(x.slice(..), y.slice(..)).unwrap();
    let stop = Stop::new();
    stop.watch(|| bound.submit()).unwrap();
    assert_eq!(bounded.download(&y, expected.shape(), Storage::F32).unwrap(), expected);
    assert_eq!(stop.watch(|| layer.run(&case.input)).unwrap(), expected);

    stop.request();
    for stopped in [stop.watch(|| bound.submit()), stop.watch(|| layer.run(&case.input).map(drop))] {
        assert!(matches!(stopped, Err(Error::Stopped)), "{stopped:?}");
    }
    let y = bounded.allocate(prepared.geometry().output_len(), Storage::F32).unwrap();
    prepared.bind(x.slice(..), y.slice(..)).unwrap().submit().unwrap();
    assert_eq!(bounded.download(&y, expected.shape(), Storage::F32).unwrap(), expected);
    assert!(matches!(bounded.allocate(usize::MAX, Storage::F16), Err(Error::Limit { .. })));
}

/// The chunks of Winograd's filtering share a scratch with all other calls: no other work may come inside of one.
fn a_chunk_of_winograd_is_one_piece() {
    let context = context();
    let mut rng = Rng::with_seed(6);
    let op = ConvTranspose::builder().in_channels(256).out_channels(256).kernel([3, 3]).build().unwrap();
    let weight = tensor(&mut rng, &op.weight_shape(), Values::Reals);
    let layer = Layer::new(context, &op, &weight, None).unwrap();
    let input = tensor(&mut rng, &[1, 256, 90, 90], Values::Reals);
    let prepared = layer.prepare(input.shape(), Request::new(Storage::F32).kernel(Kernel::Winograd)).unwrap();
    // So low a bound that each chunk is a piece; between them another call fills the scratch with its own.
    let low = context.limited(DeviceProfile { max_multiply_adds: 1 << 28, ..context.profile().clone() });
    let layer = Layer::new(&low, &op, &weight, None).unwrap();
    let low = layer.prepare(input.shape(), Request::new(Storage::F32).kernel(Kernel::Winograd)).unwrap();
    // Two transforms and one dispatch of products for each.
    let chunks = low.plan().dispatch_count() / 3;
    assert!(chunks > 1);
    let other = tensor(&mut rng, input.shape(), Values::Reals);
    let (x, disturbing) =
        (context.upload(&input, Storage::F32).unwrap(), context.upload(&other, Storage::F32).unwrap());
    let (y, ignored) = (buffer(context, prepared.output_bytes()), buffer(context, prepared.output_bytes()));
    let bound = low.bind(x.slice(..), y.slice(..)).unwrap();
    let disturbing = prepared.bind(disturbing.slice(..), ignored.slice(..)).unwrap();
    let pieces: Vec<_> = bound.pieces().collect();
    assert_eq!(pieces.len(), chunks);
    for piece in pieces {
        submit(context, |pass| piece.encode(pass));
        submit(context, |pass| disturbing.encode(pass));
    }
    let shape = prepared.geometry().output_shape();
    let whole = computed(context, &prepared, &input);
    assert_eq!(context.download(&y, &shape, Storage::F32).unwrap(), whole);
}

fn each_dispatch_is_timed() {
    let bounded = bounded();
    let (layer, case) = small_layer(&bounded);
    let prepared = layer.prepare(case.input.shape(), Storage::F32).unwrap();
    let x = bounded.upload(&case.input, Storage::F32).unwrap();
    let y = buffer(&bounded, prepared.output_bytes());
    let bound = prepared.bind(x.slice(..), y.slice(..)).unwrap();
    let times = bound.time().unwrap();
    let mut encoder = bounded.device().create_command_encoder(&Default::default());
    let timestamps = bound.encode_timed(&mut encoder).unwrap();
    bounded.queue().submit([encoder.finish()]);
    assert_eq!(finish(&bounded, timestamps.read_async()).unwrap().len(), times.len());
    let bands: Vec<_> = prepared.plan().bands().collect();
    assert!(bands.len() > 1);
    assert_eq!(times.iter().filter_map(|time| time.band.as_ref()).collect::<Vec<_>>(), bands);
    assert!(times.iter().all(|time| time.kernel == "gather"));
    assert!(times.iter().any(|time| !time.duration.is_zero()), "{times:?}");
    let expected = reference::run(&case.op, &case.input, &case.weight, None).unwrap();
    assert_eq!(bounded.download(&y, expected.shape(), Storage::F32).unwrap(), expected);

    // What is never submitted has no times.
    let mut encoder = bounded.device().create_command_encoder(&Default::default());
    let timestamps = bound.encode_timed(&mut encoder).unwrap();
    assert!(matches!(timestamps.read(), Err(Error::Timestamps { .. })));

    let plain = device_with(wgpu::Features::empty(), |limits| limits);
    let (layer, case) = small_layer(&plain);
    let prepared = layer.prepare(case.input.shape(), Storage::F32).unwrap();
    let (x, y) = (buffer(&plain, prepared.input_bytes()), buffer(&plain, prepared.output_bytes()));
    let refusal = prepared.bind(x.slice(..), y.slice(..)).unwrap().time().unwrap_err();
    assert_eq!(refusal.to_string(), "timing a dispatch needs the feature TIMESTAMP_QUERY, which the device lacks");
}

fn pipelines_go_from_one_run_to_the_next() {
    let (first, plain) = (fresh_context(), device_with(wgpu::Features::empty(), |limits| limits));
    assert_eq!(plain.pipeline_data(), None);
    assert_eq!(first.pipeline_data().is_some(), first.device().features().contains(wgpu::Features::PIPELINE_CACHE));
    let (layer, _) = small_layer(&first);
    layer.prepare(&[1, 3, 8, 8], Storage::F32).unwrap();
    let data = first.pipeline_data().unwrap_or_default();
    let mut damaged = data.clone();
    if let Some(byte) = damaged.last_mut() {
        *byte ^= 1;
    }
    let contexts =
        [(fresh_context(), &data[..]), (fresh_context(), &damaged), (fresh_context(), b"none"), (plain, &data)];
    for (context, data) in contexts {
        #[allow(unsafe_code, reason = "whoever keeps such data answers for them")]
        // SAFETY: they are what another context gave, or bear no whole seal.
        let context = unsafe { context.with_pipeline_data(data) };
        let (layer, case) = small_layer(&context);
        let expected = reference::run(&case.op, &case.input, &case.weight, None).unwrap();
        assert_eq!(layer.run(&case.input).unwrap(), expected);
    }
}

/// Where a device has cooperative matrices of its own.
fn pipelines_of_an_earlier_run_leave_the_matrices() {
    let adapter = pollster::block_on(upconv::gpu::adapters(false)).swap_remove(0);
    let context = Context::from_adapter_with_cooperative_matrices(&adapter).unwrap();
    let Some(matrices) = context.profile().matrices else {
        eprintln!("not tested on {}: it has no cooperative matrices", context.adapter_name());
        return;
    };
    #[allow(unsafe_code, reason = "whoever keeps such data answers for them")]
    // SAFETY: there are none.
    let context = unsafe { context.with_pipeline_data(&[]) };
    let op = ConvTranspose::builder().in_channels(32).out_channels(32).kernel([2, 2]).build().unwrap();
    let layer = Layer::new(&context, &op, &Tensor::f32(op.weight_shape(), vec![1.0; 32 * 32 * 4]).unwrap(), None);
    layer.unwrap().prepare(&[1, 32, 16, 16], Request::new(matrices.factors).kernel(Kernel::Matrix)).unwrap();
}

/// The variable that tells this program that it is the child of [`memory_that_runs_out_is_an_error`].
const OUT_OF_MEMORY_CHILD: &str = "UPCONV_OUT_OF_MEMORY_CHILD";

/// In a process of its own, whose address space is bounded: drivers in software promise more memory than there is.
fn memory_that_runs_out_is_an_error() {
    let backend = context().device().adapter_info().backend;
    if !cfg!(target_os = "linux") || backend != wgpu::Backend::Vulkan {
        eprintln!(
            "not tested on {backend}: only on Linux with Vulkan; through OpenGL wgpu learns of no lack of memory"
        );
        return;
    }
    // What is mapped now, with a device open, and 512 MiB more.
    let mapped: u64 = std::fs::read_to_string("/proc/self/statm").unwrap().split(' ').next().unwrap().parse().unwrap();
    let limit = mapped * 4 + (512 << 10);
    let program = std::env::current_exe().unwrap();
    let output = std::process::Command::new("sh")
        .args(["-c", "ulimit -v \"$1\" && exec \"$2\"", "sh", &limit.to_string()])
        .arg(program)
        .env(OUT_OF_MEMORY_CHILD, "1")
        .output()
        .unwrap();
    assert!(output.status.success(), "{limit} KiB: {}", String::from_utf8_lossy(&output.stderr));
}

fn run_out_of_memory() {
    let context = fresh_context();
    let (layer, case) = small_layer(&context);
    let expected = reference::run(&case.op, &case.input, &case.weight, None).unwrap();
    assert_eq!(layer.run(&case.input).unwrap(), expected);
    // An output of 960 MiB, for an input of next to nothing.
    let op = ConvTranspose::builder().out_channels(60).kernel([4, 4]).stride([4, 4]).build().unwrap();
    let (weight, input) = (vec![1.0; 60 * 16], vec![1.0; 512 * 512]);
    let large = Layer::new(&context, &op, &Tensor::f32(op.weight_shape(), weight).unwrap(), None).unwrap();
    let error = large.run(&Tensor::f32([1, 1, 512, 512], input).unwrap()).unwrap_err();
    assert!(matches!(error, Error::Device { source: wgpu::Error::OutOfMemory { .. }, .. }), "{error:?}");
    assert!(std::error::Error::source(&error).unwrap().to_string().contains("Out of Memory"), "{error:?}");
    // The device goes on.
    assert_eq!(layer.run(&case.input).unwrap(), expected);
    // Where there is no room for the few bytes by which an error is looked into, either, it is the same error.
    let taken = all_memory(&context);
    let error = large.run(&Tensor::f32([1, 1, 512, 512], vec![1.0; 512 * 512]).unwrap()).unwrap_err();
    assert!(matches!(error, Error::Device { source: wgpu::Error::OutOfMemory { .. }, .. }), "{error:?}");
    drop(taken);
    assert_eq!(layer.run(&case.input).unwrap(), expected);
    // An upload for which there is less and less lacking: its buffer, then the one through which it is written.
    let input = Tensor::f32([25 << 20], vec![1.0; 25 << 20]).unwrap();
    let (mut taken, mut refusals) = (all_memory(&context), 0);
    while let Err(error) = context.upload(&input, Storage::F32) {
        assert!(matches!(error, Error::Device { source: wgpu::Error::OutOfMemory { .. }, .. }), "{error:?}");
        refusals += 1;
        taken.pop().unwrap();
    }
    assert!(refusals > 1, "{refusals}");
    drop(taken);
    assert_eq!(layer.run(&case.input).unwrap(), expected);
}

/// Buffers that leave no room for another one.
fn all_memory(context: &Context) -> Vec<wgpu::Buffer> {
    let (mut taken, mut size) = (Vec::new(), 256 << 20);
    while size >= 4 {
        let scope = context.device().push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        let usage = wgpu::BufferUsages::MAP_WRITE | wgpu::BufferUsages::COPY_SRC;
        let descriptor = wgpu::BufferDescriptor { label: None, size, usage, mapped_at_creation: false };
        let buffer = context.device().create_buffer(&descriptor);
        match pollster::block_on(scope.pop()) {
            None => taken.push(buffer),
            Some(_) => size /= 2,
        }
    }
    taken
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
    let low = device_with(wgpu::Features::empty(), |limits| wgpu::Limits {
        max_storage_buffer_binding_size: 16 << 20,
        max_compute_invocations_per_workgroup: 64,
        max_compute_workgroup_size_x: 64,
        max_storage_buffers_per_shader_stage: 4,
        ..limits
    });
    // 32 MiB of input, in bands; and a few small ones with every kernel, their input channels in parts too.
    let op = ConvTranspose::builder().in_channels(8).out_channels(1).kernel([1]).build().unwrap();
    let input = Tensor::f32([1, 8, 1 << 20], vec![1.0; 8 << 20]).unwrap();
    let layer = Layer::new(&low, &op, &Tensor::f32([8, 1, 1], [1.0; 8]).unwrap(), None).unwrap();
    let prepared = layer.prepare(input.shape(), Storage::F32).unwrap();
    assert!(prepared.plan().dispatch_count() > 1);
    assert!(layer.run(&input).unwrap().to_f32().iter().all(|&v| v == 8.0));
    let mut rng = Rng::with_seed(4);
    for _ in 0..20 {
        let Case { op, input, weight, bias } = random_case(&mut rng, Values::Integers, no_activation);
        let layer = Layer::new(&low, &op, &weight, bias.as_ref()).unwrap();
        let expected = reference::run(&op, &input, &weight, bias.as_ref()).unwrap();
        for &kernel in Kernel::EXACT {
            let Ok(prepared) = layer.prepare(input.shape(), Request::new(Storage::F32).kernel(kernel)) else {
                continue;
            };
            assert_eq!(computed(&low, &prepared, &input), expected, "{kernel}: {op:?}");
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
    shared::<Prepared>();
    shared::<upconv::gpu::Bound>();
};
