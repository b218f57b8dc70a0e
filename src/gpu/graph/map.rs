//! A map of a graph, compiled for its shapes.

use super::kernel::Kernel;
use crate::error::{Error, Result};
use crate::gpu::device::binding::{entry, whole};
use crate::gpu::device::context::Context;
use crate::gpu::device::step::Step;
use crate::gpu::dispatch::{GATHER_WORKGROUP, MAX_ELEMENTS, Window, rows};
use crate::gpu::kernels::map::{ALPHAS, Lies, MapKernel, Numbers};
use crate::gpu::kernels::variant::Variant;
use crate::gpu::storage::Storage;
use crate::graph::action::extents;
use crate::graph::program::{Map, Operand};
use crate::graph::schedule::{Place, Schedule, Slot};
use wgpu::{Buffer, BufferSlice};

/// What computes a value element by element.
#[derive(Debug)]
pub(super) struct MapStage {
    kernel: Kernel,
    alphas: Option<Buffer>,
    /// Where each operand lies, and its bytes.
    operands: Vec<(Slot, u64)>,
    output_bytes: u64,
}

/// Where a value lies that something reads.
pub(super) fn placed(schedule: &Schedule, value: usize) -> Result<Place> {
    let nowhere = || Error::Buffer { what: "a value of a graph", problem: "is nowhere".into() };
    schedule.place(value).ok_or_else(nowhere)
}

/// The bytes that a dispatch sees of the tensor that a value lies in.
///
/// # Errors
/// [`Error::Limit`] where the device cannot bind so many.
pub(super) fn bound_bytes(context: &Context, shape: &[usize], place: Place, storage: Storage) -> Result<u64> {
    let elements = shape[2..].iter().product::<usize>() as u64 * shape[0] as u64 * place.of as u64;
    let needed = (elements * storage.size()).next_multiple_of(4).max(4);
    let limit = context.profile().max_binding.min(MAX_ELEMENTS * storage.size());
    if needed > limit {
        let (what, limit_name) = ("a value of a graph".into(), "max_storage_buffer_binding_size");
        return Err(Error::Limit { what, needed, limit, limit_name });
    }
    Ok(needed)
}

impl MapStage {
    /// For what has this shape.
    pub(super) fn new(
        context: &Context,
        schedule: &Schedule,
        map: &Map,
        shape: &[usize],
        place: Place,
        storage: Storage,
    ) -> Result<Self> {
        let of = |value: usize| extents(&schedule.whole[value]);
        let kernel = MapKernel::new(map);
        let operands = map.operands().map(|operand| {
            let place = placed(schedule, operand.value)?;
            Ok((place.slot, bound_bytes(context, schedule.shape(operand.value), place, storage)?))
        });
        let operands = operands.collect::<Result<Vec<_>>>()?;
        let lies = |operand: &Operand| {
            let [d, h, w] = extents(schedule.shape(operand.value));
            let (first, all) = schedule.place(operand.value).map_or((0, 0), |place| (place.first, place.of));
            Lies { strides: [all * d * h * w, d * h * w, h * w, w], first: first * d * h * w }
        };
        let Numbers { numbers, alphas } = Numbers::new(map, shape[1], lies, of);
        let [d, h, w] = extents(shape);
        let (plane, elements) = (d * h * w, shape.iter().product::<usize>());
        let mut words = vec![elements, shape[1], place.of * plane, place.first * plane, d, h, w, 0]
            .into_iter()
            .map(|word| word as u32)
            .collect::<Vec<_>>();
        words.extend(numbers.as_flattened());
        let (uniform, _) = context.uniforms(&[bytemuck::cast_slice(&words)])?;
        let alphas = match kernel.has_alphas() {
            true => Some(context.upload_bytes("upconv activation", bytemuck::cast_slice(&alphas))?),
            false => None,
        };
        let multiply_adds = (elements * operands.len()) as u64;
        let workgroups = rows((elements as u64).div_ceil(GATHER_WORKGROUP), context.profile().max_workgroups);
        let pipeline = context.pipeline(&Variant::Map { map: Box::new(kernel), storage })?;
        let kernel = Kernel { name: "map", pipeline, uniform, workgroups, multiply_adds };
        Ok(Self { kernel, alphas, operands, output_bytes: bound_bytes(context, shape, place, storage)? })
    }

    pub(super) fn step<'b>(
        &self,
        context: &Context,
        slice: &impl Fn(Slot) -> Result<BufferSlice<'b>>,
        output: BufferSlice<'b>,
    ) -> Result<Step> {
        let operands =
            self.operands.iter().map(|&(slot, size)| Ok((slice(slot)?, size))).collect::<Result<Vec<_>>>()?;
        let window = |slice: &BufferSlice<'_>, size| Window { offset: slice.offset(), size };
        let mut entries = vec![entry(5, output.buffer(), window(&output, self.output_bytes))];
        for (binding, (operand, size)) in (1..).zip(&operands) {
            entries.push(entry(binding, operand.buffer(), window(operand, *size)));
        }
        entries.extend(self.alphas.as_ref().map(|alphas| entry(ALPHAS, alphas, whole(alphas))));
        self.kernel.step(context, entries)
    }
}
