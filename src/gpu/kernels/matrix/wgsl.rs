//! The generator of the kernel `matrix`: its constants, and its sums written out, because they must have names.

use super::layout::Matrix;
use crate::gpu::storage::Storage;
use std::fmt::Write;

const BODY: &str = include_str!("body.wgsl");

/// What stands above the line of dashes, but for the activation.
pub(crate) fn elem(matrix: &Matrix, storage: Storage) -> String {
    let f16 = if storage == Storage::F16 || matrix.matrices.factors == Storage::F16 { "enable f16;\n" } else { "" };
    format!("{f16}enable wgpu_cooperative_matrix;\nalias Elem = {};", storage.wgsl())
}

/// The kernel below the line of dashes.
pub(crate) fn generate(matrix: &Matrix) -> String {
    let (side, factor, columns) = (matrix.matrices.side, matrix.matrices.factors.wgsl(), matrix.columns);
    let mut out = String::new();
    let w = &mut out;
    let _ = writeln!(
        w,
        "// A factor of [cells][in channels], one of [in channels][out channels], and their sum.\n\
         alias Factor = {factor};\n\
         alias Inputs = coop_mat{side}x{side}<{factor}, A>;\n\
         alias Weights = coop_mat{side}x{side}<{factor}, B>;\n\
         alias Sum = coop_mat{side}x{side}<f32, C>;\n"
    );
    let ([cells_z, cells_y, cells_x], [_, extent_y, extent_x]) = (matrix.cells(), matrix.extents);
    let [inputs, results] = matrix.shared();
    for (name, value, what) in [
        ("SIDE", side, "rows and columns of a matrix"),
        ("CHANNELS", matrix.channels(), "output channels of a block"),
        ("PAIRS", matrix.pairs, "pairs of a phase and a block of a workgroup"),
        ("WORKGROUP", matrix.workgroup as usize, "invocations"),
        ("CELLS_Z", cells_z, "a box"),
        ("CELLS_Y", cells_y, ""),
        ("CELLS_X", cells_x, ""),
        ("EXTENT_Y", extent_y, "its inputs, with the halo"),
        ("EXTENT_X", extent_x, ""),
        ("POSITIONS", matrix.extents.iter().product(), "all of them"),
        ("CHUNK", matrix.chunk, "input channels at a time"),
        ("PITCH", matrix.pitch(), "from the channels of one input to the next's"),
        ("INPUTS", inputs, "numbers in the memory"),
        ("RESULTS", results, ""),
        ("ENTRIES", matrix.entries, "of the table"),
    ] {
        let constant = format!("const {name} = {value};");
        let _ = writeln!(w, "{}", if what.is_empty() { constant } else { format!("{constant:<24}// {what}") });
    }
    let _ = write!(w, "\n{BODY}");

    let [rows_z, rows_y, rows_x] = matrix.rows;
    // For each matrix of cells its place in the box.
    let rows: Vec<[usize; 3]> = (0..rows_z * rows_y * rows_x)
        .map(|row| [row / rows_x / rows_y, row / rows_x % rows_y, row % rows_x * side])
        .collect();
    for row in 0..rows.len() {
        for column in 0..columns {
            let _ = writeln!(w, "        var s{row}_{column} = Sum();");
        }
    }
    w.push_str(
        "        for (var ci = 0; ci < uniforms.params.packed_in_channels; ci += CHUNK) {
            bring(lane, base + ci * uniforms.params.input_channel_stride, uniforms.params.group_in_channels - ci, cell);
            workgroupBarrier();
            for (var t = first_tap; t < last_tap; t++) {
                let tap = uniforms.table[t];
                let origin = tap.y * PITCH;
                let weight = ((block + tap.x) * uniforms.params.packed_in_channels + ci) * CHANNELS;
",
    );
    // What is given to coopLoad and coopStore has to have a name: naga 30 panics otherwise.
    let _ = writeln!(w, "                let pitch = u32(PITCH);\n                let side = u32(SIDE);");
    for k in (0..matrix.chunk).step_by(side) {
        let _ = writeln!(w, "                {{");
        for column in 0..columns {
            let _ = writeln!(
                w,
                "                let w{column} = weight + {};\n                \
                 let b{column} = coopLoad<Weights>(&weights[w{column}], side);",
                k * matrix.channels() + column * side * side
            );
        }
        for (row, [z, y, x]) in rows.iter().enumerate() {
            let place = (z * extent_y + y) * extent_x + x;
            let _ = writeln!(
                w,
                "                let i{row} = origin + {};\n                \
                 let a{row} = coopLoadT<Inputs>(&inputs[i{row}], pitch);",
                place * matrix.pitch() + k
            );
            for column in 0..columns {
                let sum = format!("s{row}_{column}");
                let _ = writeln!(w, "                {sum} = coopMultiplyAdd(a{row}, b{column}, {sum});");
            }
        }
        let _ = writeln!(w, "                }}");
    }
    let _ = writeln!(
        w,
        "            }}\n            workgroupBarrier();\n        }}\n        \
         let first = first_pair + turn;\n        \
         let count = min(PAIRS - turn, i32(subgroups));\n        \
         let own = slot * SIDE * CHANNELS;\n        \
         let side = u32(SIDE);"
    );
    for (row, [z, y, x]) in rows.iter().enumerate() {
        let _ = writeln!(w, "        if has_pair {{");
        for column in 0..columns {
            let _ = writeln!(
                w,
                "            let r{column} = own + {};\n            \
                 coopStore(s{row}_{column}, &results[r{column}], side);",
                column * side * side
            );
        }
        let _ = writeln!(
            w,
            "        }}\n        workgroupBarrier();\n        \
             finish(lane, first, count, n, channel_group, cell + vec3({z}, {y}, {x}));\n        \
             workgroupBarrier();"
        );
    }
    out.push_str("    }\n}\n");
    out
}
