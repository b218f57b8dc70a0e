//! A layer's kernels run once, before they are needed.

use crate::error::Result;
use crate::gpu::compiled::CompiledKernel;
use crate::gpu::device::binding::{entry, whole};
use crate::gpu::device::span::span;
use crate::gpu::device::step::Step;
use crate::gpu::device::transfer::Reading;
use crate::gpu::kernels::fused::RESIDUAL;
use crate::gpu::prepared::Prepared;
use wgpu::{BindGroupDescriptor, BufferUsages};

/// The bytes of each buffer: a kernel's bindings want one element, the largest of which is a vector.
const ELEMENT: u64 = 256;

/// The largest number of a binding.
const BINDINGS: usize = RESIDUAL as usize;

impl Prepared {
    /// Makes the driver do now what it would leave to the first dispatch: some compile only then. Runs one workgroup of
    /// each kernel, on small buffers of its own that it lets go; waits until the device is done.
    ///
    /// Meanwhile other threads record and submit as usual; the device does what is submitted in its order.
    ///
    /// # Errors
    /// [`Error::Device`](crate::Error::Device), [`Error::DeviceLost`](crate::Error::DeviceLost).
    #[cfg(not(target_family = "wasm"))]
    pub fn warm_up(&self) -> Result<()> {
        self.start_warming_up()?.wait(|_| ())
    }

    /// [`warm_up`](Self::warm_up) as a future. The device must be polled meanwhile; a browser does so by itself.
    ///
    /// # Errors
    /// As [`warm_up`](Self::warm_up).
    pub async fn warm_up_async(&self) -> Result<()> {
        self.start_warming_up()?.finish(|_| ()).await
    }

    /// All parameters are 0: no invocation finds anything to compute, and none reads or writes beyond one element.
    fn start_warming_up(&self) -> Result<Reading> {
        span!("warm up", kernel = self.plan().kernel().name());
        let context = self.context();
        let small = |_| context.buffer("upconv warming up", ELEMENT, BufferUsages::STORAGE | BufferUsages::COPY_SRC);
        // Each binding has its own: some are written to.
        let small = (0..=BINDINGS).map(small).collect::<Result<Vec<_>>>()?;
        let mut steps = Vec::new();
        for CompiledKernel { pipeline, params, buffers, uniforms } in self.kernels() {
            // wgpu fills new buffers with zeros.
            let params = context.buffer("upconv parameters", params, BufferUsages::UNIFORM)?;
            let bind_group = context.checked("binding buffers", || {
                let buffers = buffers.iter().map(|&binding| (binding, &small[binding as usize]));
                let uniforms = uniforms.iter().map(|(binding, buffer)| (*binding, buffer));
                let entries: Vec<_> = std::iter::once((0, &params))
                    .chain(buffers)
                    .chain(uniforms)
                    .map(|(binding, buffer)| entry(binding, buffer, whole(buffer)))
                    .collect();
                let layout = &pipeline.get_bind_group_layout(0);
                let descriptor = BindGroupDescriptor { label: Some("upconv warming up"), layout, entries: &entries };
                context.device().create_bind_group(&descriptor)
            })?;
            let kernel = self.plan().kernel().name();
            steps.push(Step {
                pipeline,
                bind_group,
                workgroups: [1; 3],
                layer: 0,
                kernel,
                band: None,
                multiply_adds: 0,
            });
        }
        context.submit("upconv warming up", &steps.iter().collect::<Vec<_>>(), |_| {})?;
        context.start_reading(&small[0], 0)
    }
}
