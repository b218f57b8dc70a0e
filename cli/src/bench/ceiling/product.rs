//! Products of matrices.

use super::seconds;
use crate::bench::timing::Budget;
use crate::shader::Shader;
use anyhow::{Result, ensure};
use std::fmt::{self, Write};
use upconv::gpu::Context;
use upconv::{Storage, Tensor};

/// The rows, the columns and the depth of the product: 2.1 GFLOP.
const SIDE: usize = 1024;

/// A product of matrices, C = Aᵀ·B: a row of A or of B holds one step of the sum, so that tiles are read as vec4s.
#[derive(Clone, Copy)]
pub(super) struct Product {
    /// vec4s of rows and of columns of C in an invocation's tile.
    rows: usize,
    columns: usize,
    /// Invocations of a workgroup, side by side along the columns.
    workgroup: usize,
    /// The unroll factor of the loop over the sum.
    unroll: usize,
    /// Whether each invocation of a subgroup reads one vec4 of A and broadcasts it to the others.
    pub(super) broadcast: bool,
}

const fn product(tile: [usize; 2], workgroup: usize, unroll: usize, broadcast: bool) -> Product {
    let [rows, columns] = tile;
    Product { rows, columns, workgroup, unroll, broadcast }
}

/// Small tiles for GPUs, large ones for devices in software.
pub(super) const PRODUCTS: [Product; 9] = [
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
    pub(super) fn measure(&self, context: &Context, budget: Budget) -> Result<f64> {
        let integers = |seed: usize| -> Vec<f32> {
            (0..SIDE * SIDE).map(|i| ((i * 7 + i / SIDE * seed) % 7) as f32 - 3.0).collect()
        };
        let (a, b, storage) = (integers(3), integers(5), Storage::F32);
        let upload = |values: &[f32]| context.upload(&Tensor::f32([SIDE, SIDE], values)?, storage);
        let buffers = [upload(&a)?, upload(&b)?, upload(&vec![f32::NAN; SIDE * SIDE])?];
        let groups = [SIDE / (self.columns * 4 * self.workgroup), SIDE / (self.rows * 4)];
        let shader = Shader::new(context, &self.wgsl()?, &buffers.each_ref())?;
        let seconds = seconds(&shader, groups, budget)?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_workgroup_of_a_product_is_whole() {
        for Product { rows, columns, workgroup, unroll, .. } in PRODUCTS {
            assert_eq!((SIDE % (rows * 4), SIDE % (columns * 4 * workgroup), SIDE % unroll), (0, 0, 0));
        }
    }
}
