//! Parts of buffers as entries of bind groups.

use crate::error::{Error, Result};
use crate::gpu::device::context::Context;
use crate::gpu::dispatch::Window;
use wgpu::{BindGroupEntry, BindingResource, Buffer, BufferBinding, BufferSize, BufferSlice, BufferUsages};

/// Refuses a slice that is too small, not aligned, or of a buffer without usage `STORAGE`; `what` names it.
pub(crate) fn check(context: &Context, what: &'static str, slice: &BufferSlice<'_>, needed: u64) -> Result<()> {
    let alignment = context.profile().binding_alignment;
    let problem = if slice.size() < needed {
        format!("{} bytes given, but {needed} needed", slice.size())
    } else if !slice.offset().is_multiple_of(alignment) {
        format!("offset {} is no multiple of the device's alignment {alignment}", slice.offset())
    } else if !slice.buffer().usage().contains(BufferUsages::STORAGE) {
        format!("usage {:?} lacks STORAGE", slice.buffer().usage())
    } else {
        return Ok(());
    };
    Err(Error::Buffer { what, problem })
}

/// The caller's buffers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slices<'a> {
    pub(crate) input: BufferSlice<'a>,
    pub(crate) output: BufferSlice<'a>,
    pub(crate) residual: Option<BufferSlice<'a>>,
}

/// All of a buffer.
pub(crate) fn whole(buffer: &Buffer) -> Window {
    Window { offset: 0, size: buffer.size() }
}

pub(crate) fn entry(binding: u32, buffer: &Buffer, window: Window) -> BindGroupEntry<'_> {
    let resource =
        BindingResource::Buffer(BufferBinding { buffer, offset: window.offset, size: BufferSize::new(window.size) });
    BindGroupEntry { binding, resource }
}
