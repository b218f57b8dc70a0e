//! Winograd's filtering on a device: the inputs of a chunk of tiles to their points, a matrix product for each point,
//! which is the one operation again, and the products to the outputs.

use super::layout::Winograd;
use super::wgsl::Stores;
use crate::error::Result;
use crate::gpu::compiled::{Compiled, CompiledKernel};
use crate::gpu::device::binding::{Slices, entry};
use crate::gpu::device::context::Context;
use crate::gpu::device::step::Step;
use crate::gpu::dispatch::Window;
use crate::gpu::kernels::activation;
use crate::gpu::kernels::pack::records::Record;
use crate::gpu::kernels::params::shader_struct;
use crate::gpu::kernels::variant::Variant;
use crate::gpu::plan::body::Plan;
use crate::gpu::weights::Weights;
use crate::layout::Strides;
use crate::op::Geometry;
use wgpu::{BindGroupDescriptor, Buffer, BufferSlice, ComputePipeline};

shader_struct! {
    /// `Axis` of the transforms, field by field.
    GpuAxis {
        origin: i32,
        extent: i32,
        stride: i32,
        padding: i32,
    }
}

shader_struct! {
    /// `Params` of the transforms, field by field.
    Params {
        axes: [GpuAxis; 2],
        invocations: i32,
        first_tile: i32,
        tiles_x: i32,
        tiles_y: i32,
        slice: i32,
        channel: i32,
        phase: i32,
        point: i32,
        batch_stride: i32,
        channel_stride: i32,
        slice_stride: i32,
        record: i32,
        beta: f32,
        padding_1: i32,
        padding_2: i32,
        padding_3: i32,
    }
}

/// What runs an operation at one shape.
#[derive(Debug)]
pub(crate) struct Machine {
    context: Context,
    to_points: ComputePipeline,
    to_outputs: ComputePipeline,
    /// The parameters of both transforms, chunk by chunk, and how many invocations they are for.
    uniform: Buffer,
    params: Vec<(Window, u32)>,
    /// The products of a chunk, and their kernels.
    products: Vec<Step>,
    product_kernels: Vec<CompiledKernel>,
    multiply_adds: u64,
    /// The layer's weights in the order of `gather`, for its biases.
    records: Buffer,
    /// Between the kernels: inputs at their points, and products.
    scratch: [Buffer; 2],
    scratch_bytes: [u64; 2],
    /// Of input and output.
    channels: [u32; 2],
    slices: [u32; 2],
    workgroup: u32,
}

impl Machine {
    /// Compiles the transforms around the products.
    pub(crate) fn new(weights: &Weights, plan: &Plan, winograd: &Winograd, products: &Compiled) -> Result<Self> {
        let (context, geometry, storage) = (&weights.context, plan.geometry(), plan.storage());
        let (op, profile) = (&geometry.op, context.profile());
        let filters = winograd.filters;
        let workgroup = profile.class.hardware().workgroup.min(profile.max_invocations);
        let aligned = profile.binding_alignment.is_multiple_of(16);
        let quads = geometry.output[2].is_multiple_of(4) && filters[1].outputs().is_multiple_of(4);
        let rows = geometry.output_strides().spatial[2] == 1 && quads;
        let stores = if aligned && rows { Stores::Quads } else { Stores::Single };
        let activation = activation::call(op.activation());
        let scratch_bytes = winograd.scratch();
        let scratch = [context.scratch(0, scratch_bytes[0])?, context.scratch(1, scratch_bytes[1])?];
        let params: Vec<Params> = (0..winograd.chunks).flat_map(|chunk| params(geometry, winograd, chunk)).collect();
        let (uniform, windows) = context.uniforms(&params.iter().map(bytemuck::bytes_of).collect::<Vec<_>>())?;
        let [input, output] = [0, 1].map(|number: usize| scratch[number].slice(..scratch_bytes[number]));
        let steps = products.steps(Slices { input, output, residual: None })?;
        // All calls share the scratch: nothing may come between the steps of a chunk.
        let alone = |step: &Step| Step { kernel: "winograd_product", band: None, multiply_adds: 0, ..step.clone() };
        Ok(Self {
            to_points: context.pipeline(&Variant::WinogradInput { storage, filters, workgroup })?,
            to_outputs: context.pipeline(&Variant::WinogradOutput {
                storage,
                filters,
                activation,
                workgroup,
                stores,
            })?,
            uniform,
            params: windows.into_iter().zip(&params).map(|(at, params)| (at, params.invocations as u32)).collect(),
            products: steps.iter().map(alone).collect(),
            product_kernels: products.kernels(),
            multiply_adds: steps.iter().map(|step| step.multiply_adds).sum(),
            records: weights.records.clone(),
            scratch,
            scratch_bytes,
            channels: [op.in_channels() as u32, op.out_channels() as u32],
            slices: winograd.depths.map(|slices| slices as u32),
            context: context.clone(),
            workgroup,
        })
    }

    /// Each compiled kernel once.
    pub(crate) fn kernels(&self) -> Vec<CompiledKernel> {
        let transform = |pipeline: &ComputePipeline, buffers: &[u32]| CompiledKernel {
            pipeline: pipeline.clone(),
            params: size_of::<Params>() as u64,
            buffers: buffers.to_vec(),
            uniforms: Vec::new(),
        };
        let mut kernels = self.product_kernels.clone();
        kernels.extend([transform(&self.to_points, &[1, 2]), transform(&self.to_outputs, &[1, 2, 3])]);
        kernels
    }

    /// The dispatches over the caller's buffers, of which they see so many bytes, in their order.
    pub(crate) fn steps(&self, slices: Slices<'_>, bytes: [u64; 2]) -> Result<Vec<Step>> {
        let Self { context, scratch: [points, sums], scratch_bytes, .. } = self;
        let caller = |binding: u32, slice: BufferSlice<'_>, size: u64| {
            (binding, slice.buffer().clone(), Window { offset: slice.offset(), size })
        };
        let part = |binding: u32, buffer: &Buffer, size: u64| (binding, buffer.clone(), Window { offset: 0, size });
        let to_points = [caller(1, slices.input, bytes[0]), part(2, points, scratch_bytes[0])];
        let to_outputs = [
            part(1, sums, scratch_bytes[1]),
            part(2, &self.records, self.records.size()),
            caller(3, slices.output, bytes[1]),
        ];
        context.checked("binding buffers", || {
            let layouts = [&self.to_points, &self.to_outputs].map(|pipeline| pipeline.get_bind_group_layout(0));
            let step = |turn: usize, &(params, invocations): &(Window, u32), buffers: &[(u32, Buffer, Window)]| {
                let buffers = buffers.iter().map(|(binding, buffer, window)| entry(*binding, buffer, *window));
                let entries: Vec<_> = std::iter::once(entry(0, &self.uniform, params)).chain(buffers).collect();
                let layout = &layouts[turn];
                let descriptor = BindGroupDescriptor { label: Some("upconv winograd"), layout, entries: &entries };
                Step {
                    pipeline: [&self.to_points, &self.to_outputs][turn].clone(),
                    bind_group: context.device().create_bind_group(&descriptor),
                    workgroups: [invocations.div_ceil(self.workgroup), self.channels[turn], self.slices[turn]],
                    layer: 0,
                    kernel: ["winograd_input", "winograd_output"][turn],
                    band: None,
                    multiply_adds: [self.multiply_adds, 0][turn],
                }
            };
            let chunk = |pair: &[(Window, u32)]| {
                let mut steps = vec![step(0, &pair[0], &to_points)];
                steps.extend_from_slice(&self.products);
                steps.push(step(1, &pair[1], &to_outputs));
                steps
            };
            self.params.chunks_exact(2).flat_map(chunk).collect()
        })
    }
}

/// The parameters of both transforms of a chunk.
fn params(geometry: &Geometry, laid: &Winograd, chunk: usize) -> [Params; 2] {
    let op = &geometry.op;
    let all = geometry.batch * laid.tiles[0] * laid.tiles[1];
    let first = chunk * laid.chunk;
    let tiles = laid.chunk.min(all - first);
    let axes = |extents: [usize; 3], strides: Strides| {
        [1, 2].map(|a| GpuAxis {
            origin: laid.filters[a - 1].first_input(op.axes3()[a].pad_begin) as i32,
            extent: extents[a] as i32,
            stride: strides.spatial[a] as i32,
            padding: 0,
        })
    };
    let slice = laid.chunk;
    let common = Params {
        invocations: tiles as i32,
        first_tile: first as i32,
        tiles_x: laid.tiles[1] as i32,
        tiles_y: laid.tiles[0] as i32,
        slice: slice as i32,
        record: Record::new(op).stride as i32,
        beta: activation::parameters(op.activation(), 0).1,
        ..Params::default()
    };
    let groups = laid.product.groups();
    let side = |side: usize, own: usize, all: usize, extents: [usize; 3], strides: Strides| {
        let channel = slice * laid.depths[side];
        Params {
            axes: axes(extents, strides),
            channel: channel as i32,
            phase: (channel * own) as i32,
            point: (channel * all / groups) as i32,
            batch_stride: strides.batch as i32,
            channel_stride: strides.channel as i32,
            slice_stride: strides.spatial[0] as i32,
            ..common
        }
    };
    let (inputs, outputs) = (geometry.input_strides(), geometry.output_strides());
    [
        side(0, op.in_channels(), laid.product.in_channels(), geometry.input, inputs),
        side(1, op.out_channels(), laid.product.out_channels(), geometry.output, outputs),
    ]
}

#[cfg(test)]
pub(crate) mod tests {
    use super::super::wgsl::{input, output};
    use super::*;
    use crate::gpu::kernels::pack::points::{GpuFilter, PointParams};
    use crate::gpu::kernels::variant::tests::{layout, validate};
    use crate::gpu::storage::Storage;
    use crate::winograd::{Filter, THREE_BY_THREE};

    const FOUR: Filter = Filter { taps: 2, stride: 2, residue: 1 };

    pub(crate) fn variants() -> Vec<Variant> {
        let axis = |taps, stride, residue| Filter { taps, stride, residue };
        let pairs = [
            THREE_BY_THREE,
            [FOUR, FOUR],
            [FOUR, axis(2, 2, 0)],
            [axis(1, 1, 0), axis(2, 8, 4)],
            [axis(2, 5, 3), axis(1, 1, 0)],
        ];
        let mut variants = vec![Variant::WinogradWeights];
        for (filters, storage) in pairs.into_iter().flat_map(|pair| [(pair, Storage::F32), (pair, Storage::F16)]) {
            variants.push(Variant::WinogradInput { storage, filters, workgroup: 64 });
            for stores in [Stores::Quads, Stores::Single] {
                if stores == Stores::Quads && !filters[1].outputs().is_multiple_of(4) {
                    continue;
                }
                let activation = "leaky_relu(y, alpha)";
                variants.push(Variant::WinogradOutput { storage, filters, activation, workgroup: 64, stores });
            }
        }
        variants
    }

    #[test]
    fn every_variant_validates_and_reads_its_parameters_where_they_are() {
        for variant in variants() {
            let module = validate(&variant.source());
            if variant == Variant::WinogradWeights {
                assert_eq!(PointParams::layout(), layout(&module, "Params"));
                assert_eq!(GpuFilter::layout(), layout(&module, "Filter"));
            } else {
                assert_eq!(Params::layout(), layout(&module, "Params"));
                assert_eq!(GpuAxis::layout(), layout(&module, "Axis"));
            }
        }
    }

    #[test]
    fn the_canonical_texts_are_what_the_generator_writes() {
        let texts = [
            ("input", include_str!("input.head.wgsl"), input(THREE_BY_THREE, 64)),
            ("output", include_str!("output.head.wgsl"), output(THREE_BY_THREE, 64, Stores::Quads)),
        ];
        for (name, head, kernel) in texts {
            let text = format!("{head}\n{kernel}");
            validate(&text);
            let path = format!("{}/shaders/winograd_{name}.wgsl", env!("CARGO_MANIFEST_DIR"));
            if std::env::var_os("UPCONV_WRITE_SHADERS").is_some() {
                std::fs::write(&path, &text).unwrap();
            }
            let committed = std::fs::read_to_string(&path).unwrap();
            assert!(text == committed, "{path} is out of date: run this test with UPCONV_WRITE_SHADERS=1");
        }
    }
}
