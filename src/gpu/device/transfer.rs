//! Tensors to buffers and back.

use crate::error::{Error, Result};
use crate::gpu::device::context::Context;
use crate::gpu::device::lock::lock;
use crate::gpu::device::scope::Reports;
use crate::gpu::device::span::span;
#[cfg(not(target_family = "wasm"))]
use crate::gpu::device::wait::{block_on, finished};
use crate::gpu::dispatch::Window;
use crate::gpu::storage::Storage;
#[cfg(not(target_family = "wasm"))]
use crate::tensor::DataMut;
use crate::tensor::{DType, Data, DataView, Tensor, TensorView, reserved};
use futures_intrusive::channel::shared::{OneshotReceiver, oneshot_channel};
use wgpu::{Buffer, BufferDescriptor, BufferUsages, MapMode, SubmissionIndex};

/// What is done when a device is lost while bytes are on their way to the host.
const READING: &str = "reading a buffer";

/// What is done when a device is lost while bytes are on their way to it.
const WRITING: &str = "writing a buffer";

/// The usages of a buffer for a tensor.
const TENSOR: BufferUsages = BufferUsages::STORAGE.union(BufferUsages::COPY_SRC).union(BufferUsages::COPY_DST);

/// So many bytes are left to wgpu to bring to the device.
const BY_QUEUE: usize = 64 << 10;

impl Context {
    /// A buffer with the elements of a tensor, stored as `storage` and rounded to nearest where that is narrower. Its
    /// usages are `STORAGE`, `COPY_SRC` and `COPY_DST`; its size is rounded up to a multiple of 4 bytes.
    ///
    /// # Errors
    /// [`Error::Limit`] where the device has no buffer that large, [`Error::Device`] where it runs out of memory.
    pub fn upload<'a>(&self, tensor: impl Into<TensorView<'a>>, storage: Storage) -> Result<Buffer> {
        let tensor = tensor.into();
        span!("upload", shape = ?tensor.shape(), bytes = tensor.data().len() as u64 * storage.size());
        with_bytes(tensor, storage, |bytes| self.upload_bytes("upconv tensor", bytes))
    }

    /// A buffer for so many elements, with the usages and the size of [`upload`](Self::upload)'s. Nothing is known of
    /// what it holds.
    ///
    /// # Errors
    /// As [`upload`](Self::upload).
    pub fn allocate(&self, elements: usize, storage: Storage) -> Result<Buffer> {
        self.buffer("upconv tensor", (elements as u64).saturating_mul(storage.size()), TENSOR)
    }

    pub(crate) fn upload_bytes(&self, label: &'static str, bytes: &[u8]) -> Result<Buffer> {
        let buffer = self.buffer(label, bytes.len() as u64, TENSOR)?;
        self.write(&buffer, 0, bytes)?;
        Ok(buffer)
    }

    /// Writes bytes into a buffer from `offset` on, a multiple of 4; after a number of them that is no multiple of 4 come
    /// zeros.
    pub(crate) fn write(&self, buffer: &Buffer, offset: u64, bytes: &[u8]) -> Result<()> {
        if bytes.len() > BY_QUEUE {
            return self.write_staged(buffer, offset, bytes);
        }
        let (whole, rest) = bytes.split_at(bytes.len() / 4 * 4);
        self.checked(WRITING, || {
            self.queue().write_buffer(buffer, offset, whole);
            if !rest.is_empty() {
                let mut last = [0; 4];
                last[..rest.len()].copy_from_slice(rest);
                self.queue().write_buffer(buffer, offset + whole.len() as u64, &last);
            }
        })
    }

    /// As [`write`](Self::write), through a staging buffer of ours: for want of memory for its own, wgpu would give up
    /// the device.
    fn write_staged(&self, buffer: &Buffer, offset: u64, bytes: &[u8]) -> Result<()> {
        let size = (bytes.len() as u64).next_multiple_of(4);
        let usage = BufferUsages::MAP_WRITE | BufferUsages::COPY_SRC;
        let descriptor = BufferDescriptor { label: Some("upconv staging"), size, usage, mapped_at_creation: true };
        let staging = self.checked(WRITING, || self.device().create_buffer(&descriptor))?;
        {
            let lost = |error| Error::DeviceLost { during: WRITING, reason: format!("{error}") };
            let mut range = staging.get_mapped_range_mut(..).map_err(lost)?;
            range.slice(..bytes.len()).copy_from_slice(bytes);
        }
        staging.unmap();
        self.checked(WRITING, || {
            let mut encoder = self.device().create_command_encoder(&Default::default());
            encoder.copy_buffer_to_buffer(&staging, 0, buffer, offset, size);
            self.queue().submit([encoder.finish()]);
        })
    }

    /// A buffer of parameters.
    pub(crate) fn uniform(&self, bytes: &[u8]) -> Result<Buffer> {
        let usage = BufferUsages::UNIFORM | BufferUsages::COPY_DST;
        let buffer = self.buffer("upconv parameters", bytes.len() as u64, usage)?;
        self.write(&buffer, 0, bytes)?;
        Ok(buffer)
    }

    /// A buffer of several sets of parameters, and the window of each in it.
    pub(crate) fn uniforms(&self, sets: &[&[u8]]) -> Result<(Buffer, Vec<Window>)> {
        let alignment = self.device().limits().min_uniform_buffer_offset_alignment as usize;
        let slot = sets.iter().map(|set| set.len()).max().unwrap_or(0).next_multiple_of(alignment);
        let mut bytes = vec![0; slot * sets.len()];
        for (slot, set) in bytes.chunks_mut(slot.max(1)).zip(sets) {
            slot[..set.len()].copy_from_slice(set);
        }
        let window = |(index, set): (usize, &&[u8])| Window { offset: (index * slot) as u64, size: set.len() as u64 };
        Ok((self.uniform(&bytes)?, sets.iter().enumerate().map(window).collect()))
    }

    /// A buffer of at least `size` bytes: a multiple of 4, and never empty, which no binding may be.
    pub(crate) fn buffer(&self, label: &'static str, size: u64, usage: BufferUsages) -> Result<Buffer> {
        let size = size.checked_next_multiple_of(4).unwrap_or(u64::MAX).max(4);
        let limit = self.profile().max_buffer;
        if size > limit {
            return Err(Error::Limit { what: label.into(), needed: size, limit, limit_name: "max_buffer_size" });
        }
        let descriptor = BufferDescriptor { label: Some(label), size, usage, mapped_at_creation: false };
        self.checked("making a buffer", || self.device().create_buffer(&descriptor))
    }

    /// Reads a tensor of `shape` from the beginning of a buffer with usage `COPY_SRC`.
    ///
    /// The device must be polled meanwhile, as for every `map_async` of wgpu; a browser does so by itself.
    ///
    /// # Errors
    /// [`Error::Buffer`] where the buffer is too small or cannot be copied from, [`Error::DeviceLost`] where it could
    /// not be mapped.
    pub async fn download_async(&self, buffer: &Buffer, shape: &[usize], storage: Storage) -> Result<Tensor> {
        let mapped = self.start_download(buffer, shape, storage)?;
        mapped.finish().await
    }

    /// [`Context::download_async`], waiting for it.
    ///
    /// # Errors
    /// As [`Context::download_async`].
    #[cfg(not(target_family = "wasm"))]
    pub fn download(&self, buffer: &Buffer, shape: &[usize], storage: Storage) -> Result<Tensor> {
        let download = self.start_download(buffer, shape, storage)?;
        download.wait()
    }

    pub(crate) fn start_download(&self, buffer: &Buffer, shape: &[usize], storage: Storage) -> Result<Download> {
        let bytes = crate::tensor::element_count(shape)? as u64 * storage.size();
        Ok(Download { reading: self.start_reading(buffer, bytes)?, shape: shape.to_vec(), storage })
    }

    /// Copies the first bytes of a buffer to where they can be read.
    pub(crate) fn start_reading(&self, buffer: &Buffer, bytes: u64) -> Result<Reading> {
        span!("read back", bytes);
        let size = bytes.next_multiple_of(4);
        if buffer.size() < size {
            let problem = format!("{} bytes, but {size} are to be read", buffer.size());
            return Err(Error::Buffer { what: "downloaded", problem });
        }
        if !buffer.usage().contains(BufferUsages::COPY_SRC) {
            let problem = format!("usage {:?} lacks COPY_SRC", buffer.usage());
            return Err(Error::Buffer { what: "downloaded", problem });
        }
        let staging = self.take_staging(size)?;
        let submission = self.checked("reading a buffer", || {
            let mut encoder = self.device().create_command_encoder(&Default::default());
            if size > 0 {
                encoder.copy_buffer_to_buffer(buffer, 0, &staging, 0, size);
            }
            self.queue().submit([encoder.finish()])
        })?;
        self.map(staging, bytes, submission)
    }

    /// A buffer of at least so many bytes to be copied to and then [mapped](Self::map).
    pub(crate) fn take_staging(&self, size: u64) -> Result<Buffer> {
        let kept = lock(self.staging()).take(size.max(4));
        match kept {
            Some(buffer) => Ok(buffer),
            None => self.buffer("upconv staging", size, BufferUsages::MAP_READ | BufferUsages::COPY_DST),
        }
    }

    /// Maps a staging buffer, of which the first bytes are written by a submission.
    pub(crate) fn map(&self, staging: Buffer, bytes: u64, submission: SubmissionIndex) -> Result<Reading> {
        let (sender, receiver) = oneshot_channel();
        self.checked("reading a buffer", || {
            staging.map_async(MapMode::Read, .., move |result| {
                // The receiver may be gone: its future was dropped.
                let _ = sender.send(result);
            });
        })?;
        let reports = self.take_reports();
        Ok(Reading { context: self.clone(), staging, receiver, bytes: bytes as usize, submission, reports })
    }
}

type MapResult = std::result::Result<(), wgpu::BufferAsyncError>;

/// Bytes on their way to the host.
#[derive(Debug)]
pub(crate) struct Reading {
    context: Context,
    staging: Buffer,
    receiver: OneshotReceiver<MapResult>,
    bytes: usize,
    #[cfg_attr(target_family = "wasm", allow(dead_code, reason = "a browser polls by itself"))]
    submission: SubmissionIndex,
    /// Of the calls that led to it.
    reports: Reports,
}

/// A tensor on its way to the host.
pub(crate) struct Download {
    reading: Reading,
    shape: Vec<usize>,
    storage: Storage,
}

impl Reading {
    /// Waits for the submission, then finishes.
    #[cfg(not(target_family = "wasm"))]
    pub(crate) fn wait<T>(self, take: impl FnOnce(&[u8]) -> T) -> Result<T> {
        {
            span!("wait");
            finished(self.context.device(), &self.submission, READING)?;
        }
        block_on(self.finish(take))
    }

    /// Gives the bytes to `take`, which finds them at any alignment.
    pub(crate) async fn finish<T>(self, take: impl FnOnce(&[u8]) -> T) -> Result<T> {
        // What went wrong first is said first: a buffer that could not be made cannot be mapped either.
        self.context.hear(self.reports).await?;
        match self.receiver.receive().await {
            Some(Ok(())) => {}
            Some(Err(error)) => return Err(lost(&error)),
            None => return Err(lost(&"its mapping was dropped")),
        }
        span!("take", bytes = self.bytes);
        let range = self.staging.get_mapped_range(..).map_err(|error| lost(&error))?;
        let taken = take(&range[..self.bytes]);
        drop(range);
        self.staging.unmap();
        lock(self.context.staging()).put(self.staging);
        Ok(taken)
    }
}

impl Download {
    /// Waits for the device, then finishes.
    #[cfg(not(target_family = "wasm"))]
    pub(crate) fn wait(self) -> Result<Tensor> {
        let Download { reading, shape, storage } = self;
        Tensor::new(shape, reading.wait(|bytes| elements(bytes, storage))??)
    }

    /// Waits for the device, then writes as many elements into the caller's memory, rounded to nearest where that is
    /// narrower.
    #[cfg(not(target_family = "wasm"))]
    pub(crate) fn wait_into(self, mut output: DataMut<'_>) -> Result<()> {
        let Download { reading, shape, storage } = self;
        reading.wait(|bytes| {
            match (storage, &mut output) {
                (Storage::F32, DataMut::F32(y)) => bytemuck::cast_slice_mut(y).copy_from_slice(bytes),
                (Storage::F16, DataMut::F16(y)) => bytemuck::cast_slice_mut(y).copy_from_slice(bytes),
                (_, y) => y.round_from(&Tensor::new(shape, elements(bytes, storage)?)?.to_f64()),
            }
            Ok(())
        })?
    }

    pub(crate) async fn finish(self) -> Result<Tensor> {
        let Download { reading, shape, storage } = self;
        Tensor::new(shape, reading.finish(|bytes| elements(bytes, storage)).await??)
    }
}

/// Gives `take` the elements of a tensor, stored as `storage` and rounded to nearest where that is narrower.
pub(crate) fn with_bytes<T>(tensor: TensorView<'_>, storage: Storage, take: impl FnOnce(&[u8]) -> T) -> T {
    match (storage, tensor.data()) {
        (Storage::F32, DataView::F32(v)) => take(bytemuck::cast_slice(v)),
        (Storage::F16, DataView::F16(v)) => take(bytemuck::cast_slice(v)),
        (Storage::F32, _) => take(bytemuck::cast_slice(&tensor.to_f32())),
        (Storage::F16, _) => take(bytemuck::cast_slice(&tensor.to_f16())),
    }
}

/// The elements that are stored in bytes at any alignment.
///
/// # Errors
/// [`Error::Memory`].
pub(crate) fn elements(bytes: &[u8], storage: Storage) -> Result<Data> {
    fn of<T: bytemuck::Pod>(bytes: &[u8]) -> Result<Vec<T>> {
        let mut elements = reserved("what was read back", (bytes.len() / size_of::<T>()) as u128)?;
        elements.extend(bytes.chunks_exact(size_of::<T>()).map(bytemuck::pod_read_unaligned::<T>));
        Ok(elements)
    }
    match storage {
        Storage::F32 => Ok(Data::F32(of(bytes)?)),
        Storage::F16 => Ok(Data::F16(of(bytes)?)),
    }
}

fn lost(reason: &dyn std::fmt::Display) -> Error {
    Error::DeviceLost { during: READING, reason: reason.to_string() }
}

/// How a tensor's elements are stored on a device: f16 where they are and the device can, f32 otherwise.
///
/// # Errors
/// [`Error::DType`] for f64, which WGSL does not have.
pub(crate) fn storage_for(dtype: DType, context: &Context) -> Result<Storage> {
    match dtype {
        DType::F16 if context.profile().f16 => Ok(Storage::F16),
        DType::F16 | DType::Bf16 | DType::F32 => Ok(Storage::F32),
        DType::F64 => {
            Err(Error::DType { what: "input", given: dtype, expected: "float16, bfloat16 or float32 on a GPU" })
        }
    }
}
