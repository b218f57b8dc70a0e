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

/// A buffer of the caller's: its name, where it is, and the bytes that are used of it.
pub(crate) type Given<'a> = (&'static str, BufferSlice<'a>, u64);

/// Refuses buffers that are not fit, of which what is written lies in a buffer that is read, or over the bytes of something
/// else that is written.
pub(crate) fn check_apart(context: &Context, read: &[Given<'_>], written: &[Given<'_>]) -> Result<()> {
    for (what, slice, size) in read.iter().chain(written) {
        check(context, what, slice, *size)?;
    }
    let range = |slice: &BufferSlice<'_>, size: u64| slice.offset()..slice.offset() + size;
    for (number, &(what, slice, size)) in written.iter().enumerate() {
        if let Some((other, ..)) = read.iter().find(|(_, other, _)| other.buffer() == slice.buffer()) {
            let problem =
                format!("is the {other}'s buffer too, which wgpu does not allow a dispatch that writes to it");
            return Err(Error::Buffer { what, problem });
        }
        for &(other, beside, its_size) in &written[..number] {
            let (a, b) = (range(&slice, size), range(&beside, its_size));
            if slice.buffer() == beside.buffer() && a.start < b.end && b.start < a.end {
                let problem = format!("has the bytes {a:?}, which overlap the {other}'s, {b:?} of the same buffer");
                return Err(Error::Buffer { what, problem });
            }
        }
    }
    Ok(())
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
