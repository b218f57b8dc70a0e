//! Copies of vec4s.

use super::seconds;
use crate::bench::timing::Budget;
use crate::shader::Shader;
use anyhow::{Result, ensure};
use upconv::gpu::Context;
use upconv::{Storage, Tensor};

/// vec4s that an invocation copies.
pub(super) const COPIES: [usize; 3] = [1, 4, 16];

/// The bytes that are copied: beyond what most caches hold.
const COPIED: usize = 64 << 20;

/// Invocations of a workgroup that copies.
const COPYING: usize = 64;

/// Copies `quads` vec4s per invocation; 10⁹ bytes per second, read and written bytes both counted.
pub(super) fn copy(context: &Context, quads: usize, budget: Budget) -> Result<f64> {
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
    let seconds = seconds(&Shader::new(context, &text, &[&source, &copy])?, [groups / rows, rows], budget)?;
    let right = context.download(&copy, &shape, storage)?.to_f32() == values;
    ensure!(right, "a copy of {} bytes is wrong on {}", values.len() * 4, context.adapter_name());
    Ok(2.0 * (values.len() * 4) as f64 / seconds / 1e9)
}
