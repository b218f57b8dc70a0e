//! Planes in buffers: which part of them is written to a texture, and how they are cut where they exceed a binding.

use super::region::Rectangle;
use crate::error::{Error, Result};
use crate::gpu::device::binding::check;
use crate::gpu::device::context::Context;
use crate::gpu::dispatch::Window;
use crate::gpu::profile::DeviceProfile;
use crate::gpu::storage::Storage;
use std::ops::Range;
use wgpu::BufferSlice;

/// The planes `[1, channels, height, width]` that are written to a texture, or a part of them. `From<BufferSlice>` takes
/// planes that are as large as what they are written to.
#[derive(Clone, Debug)]
pub struct Planes<'a> {
    slice: BufferSlice<'a>,
    shape: Option<Vec<usize>>,
    part: Option<Rectangle>,
}

impl<'a> From<BufferSlice<'a>> for Planes<'a> {
    fn from(slice: BufferSlice<'a>) -> Self {
        Self { slice, shape: None, part: None }
    }
}

impl<'a> Planes<'a> {
    /// All of the planes of this shape.
    pub fn new(slice: BufferSlice<'a>, shape: &[usize]) -> Self {
        Self { slice, shape: Some(shape.to_vec()), part: None }
    }

    /// Only this rectangle of each plane: what a network makes beyond the enlarged picture stays out, say.
    #[must_use]
    pub fn part(self, part: Rectangle) -> Self {
        Self { part: Some(part), ..self }
    }

    /// The planes cut into bands, each of which is written to its rectangle of `target`. A band has at most so many rows.
    pub(super) fn bands(
        &self,
        context: &Context,
        (channels, storage): (usize, Storage),
        target: Rectangle,
        most_rows: usize,
    ) -> Result<Vec<PixelBand<'a>>> {
        let Rectangle { width, height, .. } = target;
        let (rows, columns) = match self.shape.as_deref() {
            None => (height as usize, width as usize),
            Some(&[1, given, rows, columns]) if given == channels => (rows, columns),
            Some(given) => {
                let expected = format!("[1, {channels}, height, width]");
                return Err(Error::Shape { what: "planes", given: given.to_vec(), expected });
            }
        };
        let all = Rectangle { x: 0, y: 0, width: bounded(columns), height: bounded(rows) };
        let part = self.part.unwrap_or(all);
        let refuse = |problem: String| Err(Error::Buffer { what: "planes", problem });
        if !part.is_inside(columns as u64, rows as u64) {
            return refuse(format!("{part} is not inside the {columns}x{rows} pixels of the planes"));
        }
        if (part.width, part.height) != (width, height) {
            let Rectangle { width: w, height: h, .. } = part;
            return refuse(format!(
                "{w}x{h} pixels of them given, but {width}x{height} of the texture are to be written"
            ));
        }
        let extents = Extents { channels, height: rows, width: columns, storage };
        check(context, "planes", &self.slice, extents.bytes())?;
        let first = part.y as usize;
        let bands = extents.bands(context.profile(), first..first + height as usize, most_rows)?;
        let band = |rows: &Range<usize>| {
            // A channel that there is not has the place of the last.
            let channel = |channel: usize| channel.min(channels - 1);
            let windows = [0, 1, 2, 3].map(|c| extents.window(context, &bands, channel(c), rows));
            let begin = [0, 1, 2, 3].map(|c| {
                let first = (channel(c) * extents.height + rows.start) * columns + part.x as usize;
                first - (windows[c].offset / storage.size()) as usize
            });
            let below = (rows.start - first) as u32;
            let target = Rectangle { y: target.y + below, height: rows.len() as u32, ..target };
            let numbers = [target.width, target.height, target.x, target.y].map(|number| number as usize);
            let params = [&numbers[..], &begin, &[columns, 0, 0, 0]].concat();
            let params = params.into_iter().map(|number| number as i32).collect();
            PixelBand { params, slice: self.slice, windows, target }
        };
        Ok(bands.rows.iter().map(band).collect())
    }
}

/// Refuses a device whose shaders cannot see as many planes as there may be.
pub(super) fn check_buffers(context: &Context) -> Result<()> {
    let (needed, limit) = (4, context.device().limits().max_storage_buffers_per_shader_stage.into());
    if limit >= needed {
        return Ok(());
    }
    let (what, limit_name) = ("writing planes to a texture".into(), "max_storage_buffers_per_shader_stage");
    Err(Error::Limit { what, needed, limit, limit_name })
}

fn bounded(extent: usize) -> u32 {
    u32::try_from(extent).unwrap_or(u32::MAX)
}

/// Some rows of planes, and where they go.
pub(super) struct PixelBand<'a> {
    /// As `to_texture.wgsl` has them.
    pub(super) params: Vec<i32>,
    pub(super) slice: BufferSlice<'a>,
    /// What is bound of each channel.
    pub(super) windows: [Window; 4],
    pub(super) target: Rectangle,
}

/// The sizes of planes.
pub(super) struct Extents {
    pub(super) channels: usize,
    pub(super) height: usize,
    pub(super) width: usize,
    pub(super) storage: Storage,
}

/// How planes are cut.
pub(super) struct Bands {
    /// Whether one binding holds all planes; otherwise it holds rows of one channel.
    pub(super) whole: bool,
    pub(super) rows: Vec<Range<usize>>,
}

impl Extents {
    /// The bytes of some elements. What exceeds 64 bits exceeds every buffer too.
    fn bytes_of(&self, extents: &[usize]) -> u64 {
        extents.iter().fold(self.storage.size(), |product, &extent| product.saturating_mul(extent as u64))
    }

    /// The bytes of all of them, as a binding holds them.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes_of(&[self.channels, self.height, self.width]).checked_next_multiple_of(4).unwrap_or(u64::MAX)
    }

    /// As few bands of rows as a binding allows, of at most so many. A row is not cut.
    pub(super) fn bands(&self, profile: &DeviceProfile, rows: Range<usize>, most_rows: usize) -> Result<Bands> {
        let whole = self.bytes() <= profile.max_binding;
        // A binding begins at a multiple of the alignment, up to so many bytes before its first row.
        let (row, before) = (self.bytes_of(&[self.width]), profile.binding_alignment.max(4));
        let fit = if whole { u64::MAX } else { profile.max_binding.saturating_sub(before) / row };
        if fit == 0 {
            let (needed, limit) = (row.saturating_add(before), profile.max_binding);
            let what = format!("a row of {} pixels", self.width);
            return Err(Error::Limit { what, needed, limit, limit_name: "max_storage_buffer_binding_size" });
        }
        let fit = usize::try_from(fit).unwrap_or(usize::MAX).min(most_rows);
        let end = rows.end;
        let rows = rows.step_by(fit).map(|first| first..end.min(first.saturating_add(fit))).collect();
        Ok(Bands { whole, rows })
    }

    /// What a dispatch or draw sees of the planes: all, or its rows of one channel.
    pub(super) fn window(&self, context: &Context, bands: &Bands, channel: usize, rows: &Range<usize>) -> Window {
        if bands.whole {
            return Window { offset: 0, size: self.bytes() };
        }
        let alignment = context.profile().binding_alignment;
        let [first, last] = [rows.start, rows.end].map(|row| self.bytes_of(&[channel * self.height + row, self.width]));
        let offset = first / alignment * alignment;
        Window { offset, size: (last - offset).next_multiple_of(4) }
    }
}
