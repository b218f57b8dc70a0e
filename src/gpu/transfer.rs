//! Tensors to buffers and back.

use super::context::Context;
use crate::error::{Error, Result};
use crate::plan::Storage;
use crate::tensor::{DType, Data, Tensor};
use futures_intrusive::channel::shared::oneshot_channel;
use half::f16;
use wgpu::{Buffer, BufferDescriptor, BufferUsages, MapMode};

impl Context {
    /// A buffer with the elements of a tensor, stored as `storage` and rounded to nearest where that is narrower. Its
    /// usages are `STORAGE`, `COPY_SRC` and `COPY_DST`; its size is rounded up to a multiple of 4 bytes.
    ///
    /// # Errors
    /// [`Error::Limit`] where the device has no buffer that large, [`Error::Device`] where it runs out of memory.
    pub fn upload(&self, tensor: &Tensor, storage: Storage) -> Result<Buffer> {
        match (storage, tensor.data()) {
            (Storage::F32, Data::F32(v)) => self.upload_bytes("upconv tensor", bytemuck::cast_slice(v)),
            (Storage::F16, Data::F16(v)) => self.upload_bytes("upconv tensor", bytemuck::cast_slice(v)),
            (Storage::F32, _) => self.upload_bytes("upconv tensor", bytemuck::cast_slice(&tensor.to_f32())),
            (Storage::F16, _) => {
                let narrowed: Vec<f16> = tensor.to_f32().into_iter().map(f16::from_f32).collect();
                self.upload_bytes("upconv tensor", bytemuck::cast_slice(&narrowed))
            }
        }
    }

    pub(super) fn upload_bytes(&self, label: &'static str, bytes: &[u8]) -> Result<Buffer> {
        let usage = BufferUsages::STORAGE | BufferUsages::COPY_SRC | BufferUsages::COPY_DST;
        let buffer = self.buffer(label, bytes.len() as u64, usage)?;
        self.write(&buffer, bytes)?;
        Ok(buffer)
    }

    /// Writes bytes to the beginning of a buffer; after a number of them that is no multiple of 4 come zeros.
    pub(super) fn write(&self, buffer: &Buffer, bytes: &[u8]) -> Result<()> {
        let (whole, rest) = bytes.split_at(bytes.len() / 4 * 4);
        self.checked("writing a buffer", || {
            self.queue().write_buffer(buffer, 0, whole);
            if !rest.is_empty() {
                let mut last = [0; 4];
                last[..rest.len()].copy_from_slice(rest);
                self.queue().write_buffer(buffer, whole.len() as u64, &last);
            }
        })
    }

    /// A buffer of parameters.
    pub(super) fn uniform(&self, bytes: &[u8]) -> Result<Buffer> {
        let usage = BufferUsages::UNIFORM | BufferUsages::COPY_DST;
        let buffer = self.buffer("upconv parameters", bytes.len() as u64, usage)?;
        self.write(&buffer, bytes)?;
        Ok(buffer)
    }

    /// A buffer of at least `size` bytes: a multiple of 4, and never empty, which no binding may be.
    pub(super) fn buffer(&self, label: &'static str, size: u64, usage: BufferUsages) -> Result<Buffer> {
        let size = size.next_multiple_of(4).max(4);
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

    pub(super) fn start_download(&self, buffer: &Buffer, shape: &[usize], storage: Storage) -> Result<Download> {
        let elements = crate::tensor::element_count(shape)?;
        let size = (elements as u64 * storage.size()).next_multiple_of(4);
        if buffer.size() < size {
            let problem = format!("{} bytes, but {size} are to be read", buffer.size());
            return Err(Error::Buffer { what: "downloaded", problem });
        }
        if !buffer.usage().contains(BufferUsages::COPY_SRC) {
            let problem = format!("usage {:?} lacks COPY_SRC", buffer.usage());
            return Err(Error::Buffer { what: "downloaded", problem });
        }
        let staging = match self.staging().take(size.max(4)) {
            Some(buffer) => buffer,
            None => self.buffer("upconv staging", size, BufferUsages::MAP_READ | BufferUsages::COPY_DST)?,
        };
        let (sender, receiver) = oneshot_channel();
        self.checked("reading a buffer", || {
            let mut encoder = self.device().create_command_encoder(&Default::default());
            if size > 0 {
                encoder.copy_buffer_to_buffer(buffer, 0, &staging, 0, size);
            }
            self.queue().submit([encoder.finish()]);
            staging.map_async(MapMode::Read, .., move |result| {
                // The receiver may be gone: its future was dropped.
                let _ = sender.send(result);
            });
        })?;
        Ok(Download { context: self.clone(), staging, receiver, shape: shape.to_vec(), elements, storage })
    }
}

type MapResult = std::result::Result<(), wgpu::BufferAsyncError>;

/// A readback on its way.
pub(super) struct Download {
    context: Context,
    staging: Buffer,
    receiver: futures_intrusive::channel::shared::OneshotReceiver<MapResult>,
    shape: Vec<usize>,
    elements: usize,
    storage: Storage,
}

impl Download {
    /// Waits for the device, then finishes.
    #[cfg(not(target_family = "wasm"))]
    pub(super) fn wait(self) -> Result<Tensor> {
        self.context.device().poll(wgpu::PollType::wait_indefinitely()).map_err(|error| lost(&error))?;
        super::block_on(self.finish())
    }

    pub(super) async fn finish(self) -> Result<Tensor> {
        match self.receiver.receive().await {
            Some(Ok(())) => {}
            Some(Err(error)) => return Err(lost(&error)),
            None => return Err(lost(&"its mapping was dropped")),
        }
        let bytes = self.staging.get_mapped_range(..).map_err(|error| lost(&error))?;
        // A mapped range need not be aligned for f32.
        let data = match self.storage {
            Storage::F32 => Data::F32(bytemuck::pod_collect_to_vec(&bytes[..self.elements * 4])),
            Storage::F16 => Data::F16(bytemuck::pod_collect_to_vec(&bytes[..self.elements * 2])),
        };
        drop(bytes);
        self.staging.unmap();
        self.context.staging().put(self.staging);
        Tensor::new(self.shape, data)
    }
}

fn lost(reason: &dyn std::fmt::Display) -> Error {
    Error::DeviceLost { during: "reading a buffer", reason: reason.to_string() }
}

/// How a tensor's elements are stored on a device: f16 where they are and the device can, f32 otherwise.
///
/// # Errors
/// [`Error::DType`] for f64, which WGSL does not have.
pub(super) fn storage_for(dtype: DType, context: &Context) -> Result<Storage> {
    match dtype {
        DType::F16 if context.profile().f16 => Ok(Storage::F16),
        DType::F16 | DType::Bf16 | DType::F32 => Ok(Storage::F32),
        DType::F64 => {
            Err(Error::DType { what: "input", given: dtype, expected: "float16, bfloat16 or float32 on a GPU" })
        }
    }
}
