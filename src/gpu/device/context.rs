//! A device with what upconv keeps on it: the compiled pipelines.

use crate::error::{Error, Result};
use crate::gpu::device::adapter::{AdapterRequest, describe, info, matrices};
use crate::gpu::device::arena::{Arena, For};
use crate::gpu::device::cache::Cache;
use crate::gpu::device::compile::compile;
use crate::gpu::device::lock::lock;
use crate::gpu::device::pipeline_cache;
use crate::gpu::device::scope::{self, Reports};
use crate::gpu::device::span::span;
use crate::gpu::device::staging::Pool;
#[cfg(not(target_family = "wasm"))]
use crate::gpu::device::wait::block_on;
use crate::gpu::kernels::variant::Variant;
use crate::gpu::profile::{DeviceClass, DeviceProfile, Matrices};
use crate::gpu::storage::Storage;
use crate::gpu::tune::choices::Tuning;
use crate::kernel::{Kernel, Refusal};
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Weak};
use wgpu::{
    Adapter, Buffer, BufferUsages, ComputePipeline, Device, DeviceDescriptor, ExperimentalFeatures, Features,
    PipelineCache, Queue,
};

/// A device and its queue, the caller's own or one made here. Cheap to clone; clones share their pipelines.
///
/// The pipelines used last are kept, with at most 2 MiB of WGSL together: some 300 MiB on lavapipe, far less on hardware.
/// Layers keep those that they are prepared with, too.
///
/// ```no_run
/// use upconv::gpu::{AdapterRequest, Context};
/// # fn example(device: upconv::wgpu::Device, queue: upconv::wgpu::Queue) -> upconv::Result<()> {
/// let yours = Context::new(device, queue); // the device of your application
/// let ours = Context::request(&AdapterRequest::default())?; // or one made here: the best there is
/// println!("{}", ours.adapter_name());
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Context {
    inner: Arc<Inner>,
}

#[derive(Clone)]
struct Inner {
    device: Device,
    queue: Queue,
    profile: DeviceProfile,
    tuning: Tuning,
    /// The device's own cooperative matrices, where it was made with them.
    matrices: Option<Matrices>,
    shared: Arc<Shared>,
}

/// What contexts of the same device share.
struct Shared {
    pipelines: Cache<Variant, ComputePipeline>,
    compiled: AtomicUsize,
    /// The driver's, where the device has the feature.
    pipeline_cache: Option<PipelineCache>,
    staging: Mutex<Pool<Buffer>>,
    /// See [`Context::scratch`].
    scratch: Mutex<[Option<Buffer>; 2]>,
    /// See [`Context::arena`].
    arenas: Mutex<[Weak<Arena>; 2]>,
    reports: Mutex<Reports>,
}

impl Shared {
    fn new(pipeline_cache: Option<PipelineCache>) -> Arc<Self> {
        Arc::new(Self {
            pipelines: Cache::new(MAX_SOURCE),
            compiled: AtomicUsize::default(),
            pipeline_cache,
            staging: Mutex::default(),
            scratch: Mutex::default(),
            arenas: Mutex::default(),
            reports: Mutex::default(),
        })
    }
}

/// Pipelines are kept whose WGSL is at most so many bytes together, the last one in any case; `direct` has one for each
/// operation and tile, of 5 to 60 kB. lavapipe takes up to 180 bytes for each byte of it, hardware far less.
const MAX_SOURCE: usize = 2 << 20;

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context").field("adapter", &self.adapter_name()).finish_non_exhaustive()
    }
}

/// Features that are used where a device has them; none is needed.
const OPTIONAL: Features = Features::SHADER_F16
    .union(Features::TIMESTAMP_QUERY)
    .union(Features::PIPELINE_CACHE)
    .union(Features::BGRA8UNORM_STORAGE)
    .union(Features::RG11B10UFLOAT_RENDERABLE);

/// What the kernel `matrix` needs, beside `SHADER_F16` where the matrices are of f16.
const COOPERATIVE: Features = Features::EXPERIMENTAL_COOPERATIVE_MATRIX.union(Features::SUBGROUP);

impl Context {
    /// Uses the caller's device. Its limits and features are respected; WebGPU's default limits suffice, and no
    /// feature is needed.
    pub fn new(device: Device, queue: Queue) -> Self {
        let (limits, info) = (device.limits(), info(&device));
        let class = DeviceClass::of(&info);
        let profile = DeviceProfile {
            max_binding: limits.max_storage_buffer_binding_size,
            max_buffer: limits.max_buffer_size,
            max_workgroups: limits.max_compute_workgroups_per_dimension,
            binding_alignment: limits.min_storage_buffer_offset_alignment.into(),
            f16: device.features().contains(Features::SHADER_F16),
            max_invocations: limits.max_compute_invocations_per_workgroup.min(limits.max_compute_workgroup_size_x),
            max_workgroup_memory: limits.max_compute_workgroup_storage_size.into(),
            max_iterations: class.max_iterations(),
            class,
            ..DeviceProfile::default()
        };
        Self::with_profile(device, queue, profile)
    }

    /// As [`Context::new`], with limits of the caller's choice: lower ones cut the work into more dispatches, with
    /// the same bits as result. Higher ones than the device's are the caller's mistake, and wgpu's to report.
    pub fn with_profile(device: Device, queue: Queue, profile: DeviceProfile) -> Self {
        let shared = Shared::new(pipeline_cache::empty(&device));
        let inner = Inner { device, queue, profile, tuning: Tuning::default(), matrices: None, shared };
        Self { inner: Arc::new(inner) }
    }

    /// The same device, its pipelines compiled with the help of what [`pipeline_data`](Self::pipeline_data) returned
    /// in an earlier run of the program. To be called before layers are made: they keep the context they were made
    /// with.
    ///
    /// Data that are damaged, or of another adapter or driver, change nothing; nor do any on a device without the
    /// feature `PIPELINE_CACHE`, which wgpu has on Vulkan.
    ///
    /// # Safety
    /// The driver trusts the data: with others than [`pipeline_data`](Self::pipeline_data) returned it may run any code.
    /// A checksum finds what was damaged by accident, not what was made to deceive. So `data` must come from where
    /// nobody else can write.
    #[must_use]
    #[allow(unsafe_code, reason = "only the caller knows where the data come from")]
    pub unsafe fn with_pipeline_data(&self, data: &[u8]) -> Self {
        // SAFETY: the caller promises what is asked for here.
        let cache = unsafe { pipeline_cache::open(self.device(), data) };
        self.altered(|inner| inner.shared = Shared::new(cache))
    }

    /// What the driver wants to be reminded of in the next run of the program, so that it compiles faster: bytes for
    /// [`with_pipeline_data`](Self::with_pipeline_data), kept under the name that [`wgpu::util::pipeline_cache_key`]
    /// gives. `None` without the feature `PIPELINE_CACHE`.
    pub fn pipeline_data(&self) -> Option<Vec<u8>> {
        self.pipeline_cache().and_then(pipeline_cache::data)
    }

    /// The same device under another profile; what is compiled is shared.
    #[must_use]
    pub fn limited(&self, profile: DeviceProfile) -> Self {
        self.altered(|inner| inner.profile = profile)
    }

    /// The same device; layers made with it are planned as was [measured](Tuning::measure) to be the fastest.
    #[must_use]
    pub fn tuned(&self, tuning: Tuning) -> Self {
        self.altered(|inner| inner.tuning = tuning)
    }

    fn altered(&self, alter: impl FnOnce(&mut Inner)) -> Self {
        let mut inner = Inner::clone(&self.inner);
        alter(&mut inner);
        Self { inner: Arc::new(inner) }
    }

    /// The same device, of this adapter, with [`Kernel::Matrix`](crate::Kernel::Matrix) for those who ask for it: for a
    /// caller's own device, which does not tell what matrices it has. It changes nothing where the device was made
    /// without the features `EXPERIMENTAL_COOPERATIVE_MATRIX` and `SUBGROUP`, of another adapter, or where no matrices of
    /// the adapter serve.
    #[must_use]
    pub fn with_cooperative_matrices(&self, adapter: &Adapter) -> Self {
        let made_with =
            self.device().features().contains(COOPERATIVE) && self.device().adapter_info() == adapter.get_info();
        let serves = |matrices: &Matrices| matrices.factors == Storage::F32 || self.profile().f16;
        let matrices = if made_with { matrices(adapter).filter(serves) } else { None };
        self.altered(|inner| (inner.matrices, inner.profile.matrices) = (matrices.or(inner.matrices), matrices))
    }

    /// Makes a device on the best adapter that answers the request, with the adapter's own limits.
    ///
    /// # Errors
    /// [`Error::NoAdapter`] naming the adapters that are here, [`Error::NoDevice`] where the adapter refuses.
    pub async fn request_async(request: &AdapterRequest) -> Result<Self> {
        Self::from_adapter_async(&request.find().await?).await
    }

    /// Makes a device on this adapter, with the adapter's own limits.
    ///
    /// # Errors
    /// [`Error::NoDevice`] where the adapter refuses.
    pub async fn from_adapter_async(adapter: &Adapter) -> Result<Self> {
        Self::open(adapter, OPTIONAL, ExperimentalFeatures::disabled()).await
    }

    /// As [`from_adapter_async`](Self::from_adapter_async), with the adapter's cooperative matrices for
    /// [`Kernel::Matrix`](crate::Kernel::Matrix) where it has any that serve. No plan chooses that kernel by itself.
    ///
    /// They are an *experimental* feature of wgpu: its validation of them may have gaps, through which a faulty shader
    /// that uses them could do on this device what safe code cannot. The library gives it only its own, which stay
    /// inside their buffers; do not give this device other people's shaders, and report what goes wrong.
    ///
    /// # Errors
    /// As [`from_adapter_async`](Self::from_adapter_async).
    pub async fn from_adapter_with_cooperative_matrices_async(adapter: &Adapter) -> Result<Self> {
        if !adapter.features().contains(COOPERATIVE) {
            return Self::from_adapter_async(adapter).await;
        }
        // SAFETY: `enabled` asks its caller to know that what is experimental in wgpu may still have bugs by which safe
        // calls are undefined behaviour, and to report them. The caller of this function is told so, and asks for it by
        // name; nothing else in the library calls it. One feature is made available by it, and of the library's shaders
        // only `matrix.wgsl` uses that: its matrices are of a shape that the driver lists (`check_matrices`), loaded and
        // stored by whole subgroups in uniform control flow, inside arrays whose sizes follow from the same numbers as the
        // indices, at multiples of 16 bytes.
        #[expect(unsafe_code, reason = "wgpu has no other way to make a device with an experimental feature")]
        let consent = unsafe { ExperimentalFeatures::enabled() };
        Ok(Self::open(adapter, OPTIONAL | COOPERATIVE, consent).await?.with_cooperative_matrices(adapter))
    }

    async fn open(adapter: &Adapter, optional: Features, experimental_features: ExperimentalFeatures) -> Result<Self> {
        let descriptor = DeviceDescriptor {
            label: Some("upconv"),
            required_features: adapter.features() & optional,
            required_limits: adapter.limits(),
            experimental_features,
            ..DeviceDescriptor::default()
        };
        match adapter.request_device(&descriptor).await {
            Ok((device, queue)) => Ok(Self::new(device, queue)),
            Err(source) => Err(Error::NoDevice { adapter: describe(&adapter.get_info()), source }),
        }
    }

    /// [`Context::request_async`], waiting for it.
    ///
    /// # Errors
    /// As [`Context::request_async`].
    #[cfg(not(target_family = "wasm"))]
    pub fn request(request: &AdapterRequest) -> Result<Self> {
        block_on(Self::request_async(request))
    }

    /// [`Context::from_adapter_async`], waiting for it.
    ///
    /// # Errors
    /// As [`Context::from_adapter_async`].
    #[cfg(not(target_family = "wasm"))]
    pub fn from_adapter(adapter: &Adapter) -> Result<Self> {
        block_on(Self::from_adapter_async(adapter))
    }

    /// [`Context::from_adapter_with_cooperative_matrices_async`], waiting for it.
    ///
    /// # Errors
    /// As [`Context::from_adapter_with_cooperative_matrices_async`].
    #[cfg(not(target_family = "wasm"))]
    pub fn from_adapter_with_cooperative_matrices(adapter: &Adapter) -> Result<Self> {
        block_on(Self::from_adapter_with_cooperative_matrices_async(adapter))
    }

    /// The device that everything runs on.
    pub fn device(&self) -> &Device {
        &self.inner.device
    }

    /// The queue that everything is submitted to.
    pub fn queue(&self) -> &Queue {
        &self.inner.queue
    }

    /// The limits and the kind of the device, which plans are made for.
    pub fn profile(&self) -> &DeviceProfile {
        &self.inner.profile
    }

    /// The choices of [`tuned`](Self::tuned); none without it.
    pub fn tuning(&self) -> &Tuning {
        &self.inner.tuning
    }

    /// The adapter in one line: its name, backend, kind and driver.
    pub fn adapter_name(&self) -> String {
        describe(&info(self.device()))
    }

    /// How many pipelines have been compiled on this device so far, by all contexts that share them.
    pub fn pipeline_count(&self) -> usize {
        self.inner.shared.compiled.load(Ordering::Relaxed)
    }

    /// The pipeline of a variant, compiled at its first use, and again where many others have been used since.
    pub(crate) fn pipeline(&self, variant: &Variant) -> Result<ComputePipeline> {
        let Shared { pipelines, compiled, .. } = &*self.inner.shared;
        pipelines.get(variant, || {
            span!("compile", kernel = variant.entry_point());
            compiled.fetch_add(1, Ordering::Relaxed);
            let source = variant.source();
            let compile = || compile(self.device(), self.pipeline_cache(), variant, &source);
            Ok((self.checked("compiling a kernel", compile)?, source.len()))
        })
    }

    /// Refuses matrices that are not the device's own: a profile may name any.
    pub(crate) fn check_matrices(&self, wanted: &Matrices) -> Result<()> {
        let shape = |matrices: &Matrices| (matrices.side, matrices.factors, matrices.largest_subgroup);
        match &self.inner.matrices {
            Some(own) if shape(own) == shape(wanted) => Ok(()),
            own => {
                let reason = Refusal::OtherMatrices { wanted: format!("{wanted:?}"), own: format!("{own:?}") };
                Err(Error::Kernel { kernel: Kernel::Matrix, reason })
            }
        }
    }

    /// The driver's cache of pipelines.
    pub(crate) fn pipeline_cache(&self) -> Option<&PipelineCache> {
        self.inner.shared.pipeline_cache.as_ref()
    }

    /// A buffer of at least `size` bytes for what one dispatch leaves to the next of the same submission: number 0 or 1.
    /// All submissions share the two, which grow with the largest need: a queue runs them one after another.
    pub(crate) fn scratch(&self, number: usize, size: u64) -> Result<Buffer> {
        let mut scratch = lock(&self.inner.shared.scratch);
        match &scratch[number] {
            Some(buffer) if buffer.size() >= size => Ok(buffer.clone()),
            _ => {
                let buffer = self.buffer("upconv scratch", size, BufferUsages::STORAGE)?;
                Ok(scratch[number].insert(buffer).clone())
            }
        }
    }

    /// What stands between the layers of chains.
    pub(crate) fn arena(&self, whose: For) -> Arc<Arena> {
        let mut arenas = lock(&self.inner.shared.arenas);
        let kept = &mut arenas[whose as usize];
        kept.upgrade().unwrap_or_else(|| {
            let arena = Arc::default();
            *kept = Arc::downgrade(&arena);
            arena
        })
    }

    /// The buffers for reading back.
    pub(crate) fn staging(&self) -> &Mutex<Pool<Buffer>> {
        &self.inner.shared.staging
    }

    /// Waits for what the device reports of all that was done with this context so far and that no asynchronous call has
    /// heard yet, such as making a [`Layer`](crate::gpu::Layer) or [preparing](crate::gpu::Layer::prepare) it.
    ///
    /// It matters in a browser alone, where a call that does not wait returns before the device has judged it. Elsewhere
    /// each call has given its own error.
    ///
    /// # Errors
    /// [`Error::Device`].
    pub async fn reported(&self) -> Result<()> {
        self.hear(self.take_reports()).await
    }

    /// What was done so far and is not heard yet: the work of whoever takes it.
    pub(crate) fn take_reports(&self) -> Reports {
        std::mem::take(&mut *lock(&self.inner.shared.reports))
    }

    /// Waits for reports. Where there is an error no pipeline is trusted any more: one may have failed to compile.
    pub(crate) async fn hear(&self, reports: Reports) -> Result<()> {
        let heard = reports.hear().await;
        if heard.is_err() {
            self.inner.shared.pipelines.clear();
        }
        heard
    }

    /// Runs wgpu calls and turns what the device reports of them into our error; in a browser that of the next
    /// asynchronous call.
    pub(crate) fn checked<T>(&self, during: &'static str, calls: impl FnOnce() -> T) -> Result<T> {
        #[cfg(target_family = "wasm")]
        return Ok(scope::reporting(self.device(), &self.inner.shared.reports, during, calls));
        #[cfg(not(target_family = "wasm"))]
        scope::checked(self.device(), during, calls)
    }
}
