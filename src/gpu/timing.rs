//! How long each dispatch of a bound layer, or of a graph of them, takes, by the device's own timestamps.

use crate::error::{Error, Result};
use crate::gpu::device::context::Context;
use crate::gpu::device::step::Recorder;
use crate::gpu::device::transfer::Reading;
use crate::gpu::dispatch::Band;
use crate::gpu::prepared::Bound;
use std::time::Duration;
use wgpu::{
    Buffer, BufferUsages, CommandEncoder, ComputePassDescriptor, ComputePassTimestampWrites, Features,
    QUERY_SET_MAX_QUERIES, QuerySetDescriptor, QueryType,
};

/// One dispatch and the time that the device spent on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DispatchTime {
    /// Which task of a graph the dispatch was of; 0 for a layer by itself.
    pub layer: usize,
    /// The name of the kernel.
    pub kernel: &'static str,
    /// What the dispatch computed, where that is a part of the output; `None` for the transforms and products of
    /// [`Kernel::Winograd`](crate::Kernel::Winograd).
    pub band: Option<Band>,
    /// From the beginning of its pass to the end.
    pub duration: Duration,
}

/// The timestamps of a layer, or a graph of them, that [`Bound::encode_timed`] recorded, to be read after its commands were submitted.
///
/// ```no_run
/// # fn example(context: upconv::gpu::Context, bound: upconv::gpu::Bound) -> upconv::Result<()> {
/// let mut encoder = context.device().create_command_encoder(&Default::default());
/// let timestamps = bound.encode_timed(&mut encoder)?;
/// context.queue().submit([encoder.finish()]);
/// for dispatch in timestamps.read()? {
///     println!("{}: {:?}", dispatch.kernel, dispatch.duration);
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Timestamps {
    context: Context,
    /// Two ticks for each dispatch.
    ticks: Buffer,
    dispatches: Vec<(usize, &'static str, Option<Band>)>,
}

/// The bytes of one tick.
const TICK: usize = size_of::<u64>();

impl Bound {
    /// Records each dispatch in a pass of its own, between two timestamps: the same results as
    /// [`encode`](Self::encode), and some time more for the passes.
    ///
    /// # Errors
    /// [`Error::Feature`] on a device without `TIMESTAMP_QUERY`, [`Error::Device`].
    pub fn encode_timed(&self, encoder: &mut CommandEncoder) -> Result<Timestamps> {
        let (context, steps) = (self.context(), self.steps());
        if !context.device().features().contains(Features::TIMESTAMP_QUERY) {
            return Err(Error::Feature { what: "timing a dispatch", feature: "TIMESTAMP_QUERY" });
        }
        let usage = BufferUsages::QUERY_RESOLVE | BufferUsages::COPY_SRC;
        let ticks = context.buffer("upconv ticks", (steps.len() * 2 * TICK) as u64, usage)?;
        context.checked("timing dispatches", || {
            let mut offset = 0;
            for steps in steps.chunks(QUERY_SET_MAX_QUERIES as usize / 2) {
                let count = steps.len() as u32 * 2;
                let descriptor =
                    QuerySetDescriptor { label: Some("upconv timestamps"), ty: QueryType::Timestamp, count };
                let query_set = context.device().create_query_set(&descriptor);
                for (step, first) in steps.iter().zip((0..).step_by(2)) {
                    let timestamp_writes = Some(ComputePassTimestampWrites {
                        query_set: &query_set,
                        beginning_of_pass_write_index: Some(first),
                        end_of_pass_write_index: Some(first + 1),
                    });
                    let descriptor = ComputePassDescriptor { label: Some("upconv layer"), timestamp_writes };
                    Recorder::default().record(step, &mut encoder.begin_compute_pass(&descriptor));
                }
                encoder.resolve_query_set(&query_set, 0..count, &ticks, offset);
                offset += u64::from(count) * TICK as u64;
            }
        })?;
        let dispatches = steps.iter().map(|step| (step.layer, step.kernel, step.band.clone())).collect();
        Ok(Timestamps { context: context.clone(), ticks, dispatches })
    }

    /// Runs the layer once, waits for it, and says how long each dispatch took.
    ///
    /// # Errors
    /// As [`encode_timed`](Self::encode_timed) and [`Timestamps::read`].
    #[cfg(not(target_family = "wasm"))]
    pub fn time(&self) -> Result<Vec<DispatchTime>> {
        self.start_timed()?.read()
    }

    /// [`time`](Self::time) as a future. The device must be polled meanwhile; a browser does so by itself.
    ///
    /// # Errors
    /// As [`time`](Self::time).
    pub async fn time_async(&self) -> Result<Vec<DispatchTime>> {
        self.start_timed()?.read_async().await
    }

    fn start_timed(&self) -> Result<Timestamps> {
        let context = self.context();
        let mut encoder =
            context.checked("timing dispatches", || context.device().create_command_encoder(&Default::default()))?;
        let timestamps = self.encode_timed(&mut encoder)?;
        context.checked("running a layer", || context.queue().submit([encoder.finish()]))?;
        Ok(timestamps)
    }
}

impl Timestamps {
    /// Waits for the device and gives the times, in the order of the dispatches.
    ///
    /// # Errors
    /// [`Error::Timestamps`] where the device wrote none or they run backwards, [`Error::DeviceLost`].
    #[cfg(not(target_family = "wasm"))]
    pub fn read(self) -> Result<Vec<DispatchTime>> {
        let ticks = self.start()?.wait(ticks)?;
        self.times(&ticks)
    }

    /// [`read`](Self::read) as a future. The device must be polled meanwhile; a browser does so by itself.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub async fn read_async(self) -> Result<Vec<DispatchTime>> {
        let ticks = self.start()?.finish(ticks).await?;
        self.times(&ticks)
    }

    fn start(&self) -> Result<Reading> {
        self.context.start_reading(&self.ticks, (self.dispatches.len() * 2 * TICK) as u64)
    }

    fn times(self, ticks: &[u64]) -> Result<Vec<DispatchTime>> {
        let period = f64::from(self.context.queue().get_timestamp_period());
        let time = |((layer, kernel, band), ticks): ((usize, &'static str, Option<Band>), &[u64])| match *ticks {
            [begin, end] if begin <= end && end > 0 => {
                let duration = Duration::from_secs_f64((end - begin) as f64 * period / 1e9);
                Ok(DispatchTime { layer, kernel, band, duration })
            }
            _ => Err(Error::Timestamps { ticks: ticks.to_vec() }),
        };
        self.dispatches.into_iter().zip(ticks.chunks(2)).map(time).collect()
    }
}

fn ticks(bytes: &[u8]) -> Vec<u64> {
    bytemuck::pod_collect_to_vec(bytes)
}
