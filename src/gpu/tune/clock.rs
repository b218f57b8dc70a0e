//! How long a layer takes: by the device's timestamps where it has them, otherwise until it is done.

use crate::error::{Error, Result};
use crate::gpu::context::Context;
use crate::gpu::layer::Bound;
use std::time::{Duration, Instant};
use wgpu::{
    Buffer, BufferDescriptor, BufferUsages, ComputePassDescriptor, ComputePassTimestampWrites, Features, MapMode,
    PollType, QuerySet, QuerySetDescriptor, QueryType,
};

/// Two timestamps, at the beginning and at the end of a pass.
struct Timestamps {
    queries: QuerySet,
    resolved: Buffer,
    readable: Buffer,
}

/// Times passes on a device.
pub(super) struct Clock(Option<Timestamps>);

/// Of two timestamps.
const BYTES: u64 = 16;

impl Clock {
    pub(super) fn new(context: &Context) -> Result<Self> {
        let device = context.device();
        if !device.features().contains(Features::TIMESTAMP_QUERY) {
            return Ok(Self(None));
        }
        let resolved = context.buffer("upconv ticks", BYTES, BufferUsages::QUERY_RESOLVE | BufferUsages::COPY_SRC)?;
        let usage = BufferUsages::MAP_READ | BufferUsages::COPY_DST;
        let (label, ty) = (Some("upconv timestamps"), QueryType::Timestamp);
        context.checked("making a clock", || {
            let readable = BufferDescriptor { label, size: BYTES, usage, mapped_at_creation: false };
            let readable = device.create_buffer(&readable);
            let queries = device.create_query_set(&QuerySetDescriptor { label, ty, count: 2 });
            Self(Some(Timestamps { queries, resolved, readable }))
        })
    }

    /// Runs a layer once and waits for it.
    ///
    /// # Errors
    /// [`Error::Device`], [`Error::DeviceLost`].
    pub(super) fn time(&self, context: &Context, bound: &Bound) -> Result<Duration> {
        let during = "timing a layer";
        let lost = |reason: String| Error::DeviceLost { during, reason };
        let start = Instant::now();
        context.checked(during, || {
            let mut encoder = context.device().create_command_encoder(&Default::default());
            let timestamp_writes = self.0.as_ref().map(|timestamps| ComputePassTimestampWrites {
                query_set: &timestamps.queries,
                beginning_of_pass_write_index: Some(0),
                end_of_pass_write_index: Some(1),
            });
            let descriptor = ComputePassDescriptor { label: Some("upconv layer"), timestamp_writes };
            bound.encode(&mut encoder.begin_compute_pass(&descriptor));
            if let Some(Timestamps { queries, resolved, readable }) = &self.0 {
                encoder.resolve_query_set(queries, 0..2, resolved, 0);
                encoder.copy_buffer_to_buffer(resolved, 0, readable, 0, BYTES);
            }
            context.queue().submit([encoder.finish()]);
        })?;
        let wait = || context.device().poll(PollType::wait_indefinitely()).map_err(|error| lost(error.to_string()));
        wait()?;
        let waited = start.elapsed();
        let Some(Timestamps { readable, .. }) = &self.0 else { return Ok(waited) };
        // The wait below is for the mapping; whether it failed shows where the range is asked for.
        readable.slice(..).map_async(MapMode::Read, |_| {});
        wait()?;
        let ticks: Vec<u64> = {
            let range = readable.slice(..).get_mapped_range().map_err(|error| lost(error.to_string()))?;
            bytemuck::pod_collect_to_vec(&range)
        };
        readable.unmap();
        let [begin, end] = ticks[..] else { return Ok(waited) };
        let ticks = end.checked_sub(begin).filter(|&ticks| ticks > 0);
        // Some drivers leave the timestamps of a short pass at 0 or let them run backwards.
        let period = f64::from(context.queue().get_timestamp_period()) / 1e9;
        Ok(ticks.map_or(waited, |ticks| Duration::from_secs_f64(ticks as f64 * period)))
    }
}
