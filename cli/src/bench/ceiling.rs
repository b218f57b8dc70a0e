//! `upconv bench --ceilings`: how fast the device copies memory and multiplies matrices, to compare the layers with.
//!
//! The copy is of vec4s; each invocation of the matrix product keeps a tile of the result in registers. Several
//! variants of both are run and checked; the fastest is the ceiling.

use super::figure::figure;
use super::timing::{Budget, timed};
use crate::device::all_adapters;
use anyhow::{Context as _, Result, bail, ensure};
use std::fmt::{self, Write};
use upconv::gpu::{AdapterRequest, Context};
use upconv::wgpu::{
    BindGroupDescriptor, BindGroupEntry, Buffer, ComputePipelineDescriptor, DeviceDescriptor, ErrorFilter, Features,
    PollType, ShaderModuleDescriptor, ShaderSource,
};
use upconv::{Storage, Tensor};

/// The fastest copy and the fastest product.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Ceilings {
    /// Bytes read and written, in 10⁹ a second.
    copy_gbps: f64,
    /// 10⁹ floating-point operations a second in f32, two for each multiply-add.
    product_gflops: f64,
    /// What an invocation of the fastest product does.
    product: String,
}

impl Ceilings {
    /// Tries all copies and products on the adapter that answers the request.
    pub(crate) fn measure(request: &AdapterRequest, budget: Budget) -> Result<Self> {
        let context = with_subgroups(request)?;
        let mut copy_gbps: f64 = 0.0;
        for quads in COPIES {
            copy_gbps = copy_gbps.max(copy(&context, quads, budget)?);
        }
        let mut best = (0.0, None);
        let subgroups = context.device().features().contains(Features::SUBGROUP)
            && context.device().adapter_info().subgroup_min_size >= 8;
        for product in PRODUCTS.into_iter().filter(|product| subgroups || !product.broadcast) {
            let gflops = product.measure(&context, budget)?;
            if gflops > best.0 {
                best = (gflops, Some(product));
            }
        }
        match best {
            (product_gflops, Some(product)) => Ok(Self { copy_gbps, product_gflops, product: product.to_string() }),
            _ => bail!("no product of matrices ran on {}", context.adapter_name()),
        }
    }

    /// These rates as a share of the ceiling that they come nearer to.
    pub(crate) fn share(&self, gflops: f64, gbps: f64) -> f64 {
        (gflops / self.product_gflops).max(gbps / self.copy_gbps)
    }
}

impl fmt::Display for Ceilings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (copy, product) = (figure(self.copy_gbps), figure(self.product_gflops));
        write!(f, "copies vec4s at {copy} GB/s, multiplies matrices at {product} GFLOP/s ({})", self.product)
    }
}

/// A device on the adapter that answers, with subgroups where it has them: the library does not request them.
fn with_subgroups(request: &AdapterRequest) -> Result<Context> {
    let wanted = Context::request(request)?.device().adapter_info();
    let adapter = all_adapters().into_iter().find(|adapter| adapter.get_info() == wanted);
    let adapter = adapter.with_context(|| format!("{} is no longer available", wanted.name))?;
    let descriptor = DeviceDescriptor {
        required_features: adapter.features() & Features::SUBGROUP,
        required_limits: adapter.limits(),
        ..DeviceDescriptor::default()
    };
    let (device, queue) = pollster::block_on(adapter.request_device(&descriptor))?;
    Ok(Context::new(device, queue))
}

/// vec4s that an invocation copies.
const COPIES: [usize; 3] = [1, 4, 16];

/// The bytes that are copied: beyond what most caches hold.
const COPIED: usize = 64 << 20;

/// Invocations of a workgroup that copies.
const COPYING: usize = 64;

/// Copies `quads` vec4s per invocation; 10⁹ bytes per second, read and written bytes both counted.
fn copy(context: &Context, quads: usize, budget: Budget) -> Result<f64> {
    let group = COPYING * quads;
    let groups = COPIED.min(context.profile().max_binding as usize) / (group * 16);
    // Rows of workgroups, because no dimension may have more than 65,535.
    let rows = groups.div_ceil(1 << 15);
    let values: Vec<f32> = (0..groups / rows * rows * group * 4).map(|i| (i % 8191) as f32).collect();
    let (shape, storage) = ([values.len()], Storage::F32);
    let source = context.upload(&Tensor::f32(shape, &values[..])?, storage)?;
    let copy = context.upload(&Tensor::f32(shape, vec![f32::NAN; values.len()])?, storage)?;
    let lines: String =
        (0..quads).map(|i| format!("    copy[at + {0}u] = source[at + {0}u];\n", i * COPYING)).collect();
    let text = format!(
        "@group(0) @binding(0) var<storage, read> source: array<vec4<f32>>;\n\
         @group(0) @binding(1) var<storage, read_write> copy: array<vec4<f32>>;\n\n\
         @compute @workgroup_size({COPYING})\n\
         fn main(\n    @builtin(workgroup_id) group: vec3<u32>,\n    @builtin(num_workgroups) groups: vec3<u32>,\n    \
         @builtin(local_invocation_index) lane: u32,\n) {{\n    \
         let at = (group.y * groups.x + group.x) * {group}u + lane;\n{lines}}}\n"
    );
    let seconds = run(context, &text, &[&source, &copy], [groups / rows, rows], budget)?;
    let right = context.download(&copy, &shape, storage)?.to_f32() == values;
    ensure!(right, "a copy of {} bytes is wrong on {}", values.len() * 4, context.adapter_name());
    Ok(2.0 * (values.len() * 4) as f64 / seconds / 1e9)
}

/// The rows, the columns and the depth of the product: 2.1 GFLOP.
const SIDE: usize = 1024;

/// A product of matrices, C = Aᵀ·B: a row of A or of B holds one step of the sum, so that tiles are read as vec4s.
#[derive(Clone, Copy)]
struct Product {
    /// vec4s of rows and of columns of C in an invocation's tile.
    rows: usize,
    columns: usize,
    /// Invocations of a workgroup, side by side along the columns.
    workgroup: usize,
    /// The unroll factor of the loop over the sum.
    unroll: usize,
    /// Whether each invocation of a subgroup reads one vec4 of A and broadcasts it to the others.
    broadcast: bool,
}

const fn product(tile: [usize; 2], workgroup: usize, unroll: usize, broadcast: bool) -> Product {
    let [rows, columns] = tile;
    Product { rows, columns, workgroup, unroll, broadcast }
}

/// Small tiles for GPUs, large ones for devices in software.
const PRODUCTS: [Product; 9] = [
    product([2, 1], 64, 4, false),
    product([2, 2], 64, 4, false),
    product([4, 2], 64, 2, false),
    product([4, 4], 16, 1, false),
    product([4, 4], 16, 2, false),
    product([8, 4], 16, 1, false),
    product([4, 8], 16, 1, false),
    product([8, 2], 16, 1, true),
    product([8, 2], 16, 2, true),
];

impl fmt::Display for Product {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let how = if self.broadcast { ", rows broadcast in the subgroup" } else { "" };
        write!(f, "tiles of {}x{}{how}", self.rows * 4, self.columns * 4)
    }
}

impl Product {
    /// Checks the product on integers, exactly, and times it; 10⁹ operations a second.
    fn measure(&self, context: &Context, budget: Budget) -> Result<f64> {
        let integers = |seed: usize| -> Vec<f32> {
            (0..SIDE * SIDE).map(|i| ((i * 7 + i / SIDE * seed) % 7) as f32 - 3.0).collect()
        };
        let (a, b, storage) = (integers(3), integers(5), Storage::F32);
        let upload = |values: &[f32]| context.upload(&Tensor::f32([SIDE, SIDE], values)?, storage);
        let buffers = [upload(&a)?, upload(&b)?, upload(&vec![f32::NAN; SIDE * SIDE])?];
        let groups = [SIDE / (self.columns * 4 * self.workgroup), SIDE / (self.rows * 4)];
        let seconds = run(context, &self.wgsl()?, &buffers.each_ref(), groups, budget)?;
        let c = context.download(&buffers[2], &[SIDE, SIDE], storage)?.to_f32();
        for row in (0..SIDE).step_by(37) {
            let mut sums = vec![0.0; SIDE];
            for k in 0..SIDE {
                let factor = a[k * SIDE + row];
                sums.iter_mut().zip(&b[k * SIDE..]).for_each(|(sum, b)| *sum += factor * b);
            }
            ensure!(c[row * SIDE..][..SIDE] == sums, "{self}: row {row} is wrong on {}", context.adapter_name());
        }
        Ok(2.0 * (SIDE as f64).powi(3) / seconds / 1e9)
    }

    fn wgsl(&self) -> Result<String, fmt::Error> {
        let Product { rows, columns, workgroup, unroll, broadcast } = *self;
        let (quads, wide) = (SIDE / 4, columns * workgroup);
        let mut text = String::from(
            "@group(0) @binding(0) var<storage, read> a: array<vec4<f32>>;\n\
             @group(0) @binding(1) var<storage, read> b: array<vec4<f32>>;\n\
             @group(0) @binding(2) var<storage, read_write> c: array<vec4<f32>>;\n\n",
        );
        writeln!(
            text,
            "@compute @workgroup_size({workgroup})\nfn main(\n    @builtin(workgroup_id) group: vec3<u32>,"
        )?;
        writeln!(text, "    @builtin(local_invocation_index) lane: u32,")?;
        if broadcast {
            writeln!(text, "    @builtin(subgroup_invocation_id) own: u32,")?;
        }
        writeln!(text, ") {{\n    let row = group.y * {rows}u;\n    let column = group.x * {wide}u + lane;")?;
        let accumulators = move || (0..rows * 4).flat_map(move |m| (0..columns).map(move |n| (m, n)));
        for (m, n) in accumulators() {
            writeln!(text, "    var s{m}_{n} = vec4<f32>();")?;
        }
        writeln!(text, "    for (var k = 0u; k < {SIDE}u; k += {unroll}u) {{")?;
        for step in 0..unroll {
            writeln!(text, "        {{\n            let at = (k + {step}u) * {quads}u;")?;
            for n in 0..columns {
                writeln!(text, "            let b{n} = b[at + column + {}u];", n * workgroup)?;
            }
            if broadcast {
                writeln!(text, "            let own_a = a[at + row + own % {rows}u];")?;
            }
            for m in 0..rows {
                let read =
                    if broadcast { format!("subgroupBroadcast(own_a, {m}u)") } else { format!("a[at + row + {m}u]") };
                writeln!(text, "            let a{m} = {read};")?;
            }
            for (m, n) in accumulators() {
                let (quad, component) = (m / 4, ["x", "y", "z", "w"][m % 4]);
                writeln!(text, "            s{m}_{n} = fma(vec4(a{quad}.{component}), b{n}, s{m}_{n});")?;
            }
            writeln!(text, "        }}")?;
        }
        writeln!(text, "    }}")?;
        for (m, n) in accumulators() {
            writeln!(text, "    c[(row * 4u + {m}u) * {quads}u + column + {}u] = s{m}_{n};", n * workgroup)?;
        }
        writeln!(text, "}}")?;
        Ok(text)
    }
}

/// The median seconds of a dispatch, submitted and waited for.
fn run(context: &Context, text: &str, buffers: &[&Buffer], groups: [usize; 2], budget: Budget) -> Result<f64> {
    let device = context.device();
    let scope = device.push_error_scope(ErrorFilter::Validation);
    let source = ShaderSource::Wgsl(text.into());
    let module = device.create_shader_module(ShaderModuleDescriptor { label: None, source });
    let pipeline = device.create_compute_pipeline(&ComputePipelineDescriptor {
        label: None,
        layout: None,
        module: &module,
        entry_point: None,
        compilation_options: Default::default(),
        cache: None,
    });
    let entries: Vec<BindGroupEntry<'_>> = buffers
        .iter()
        .zip(0..)
        .map(|(buffer, binding)| BindGroupEntry { binding, resource: buffer.as_entire_binding() })
        .collect();
    let bindings = device.create_bind_group(&BindGroupDescriptor {
        label: None,
        layout: &pipeline.get_bind_group_layout(0),
        entries: &entries,
    });
    if let Some(error) = pollster::block_on(scope.pop()) {
        bail!("{error}");
    }
    let once = || {
        let mut encoder = device.create_command_encoder(&Default::default());
        let mut pass = encoder.begin_compute_pass(&Default::default());
        pass.set_pipeline(&pipeline);
        pass.set_bind_group(0, &bindings, &[]);
        pass.dispatch_workgroups(groups[0] as u32, groups[1] as u32, 1);
        drop(pass);
        context.queue().submit([encoder.finish()]);
        device.poll(PollType::wait_indefinitely())?;
        Ok(())
    };
    // The first dispatch includes what the driver compiles late.
    once()?;
    Ok(budget.sample(|| Ok(timed(once)?.1))?.median())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_workgroup_of_a_product_is_whole() {
        for Product { rows, columns, workgroup, unroll, .. } in PRODUCTS {
            assert_eq!((SIDE % (rows * 4), SIDE % (columns * 4 * workgroup), SIDE % unroll), (0, 0, 0));
        }
    }

    #[test]
    fn the_nearer_ceiling_counts() {
        let ceilings = Ceilings { copy_gbps: 10.0, product_gflops: 50.0, product: String::new() };
        assert_eq!((ceilings.share(25.0, 1.0), ceilings.share(1.0, 8.0)), (0.5, 0.8));
    }
}
