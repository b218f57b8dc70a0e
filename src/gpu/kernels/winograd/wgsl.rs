//! The generator of the two transforms around the products: the matrices of [`crate::winograd`], written out.

use crate::winograd::{F4, PATCH, TILE};
use std::fmt::Write;

/// The part that is the same for both.
const HEAD: &str = include_str!("head.wgsl");

/// How an output transform stores: four neighbours at once, or one by one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Stores {
    Quads,
    Single,
}

/// The transform of the inputs. An invocation takes one channel of `wide` (1 or 4) neighbouring tiles.
pub(crate) fn input(wide: usize, workgroup: u32) -> String {
    let mut out = format!("alias Tiles = {};\n\n{HEAD}\n", tiles(wide));
    out.push_str(
        "@group(0) @binding(1) var<storage, read> input: array<Elem>;\n\
         // For each point the channels, for each channel the tiles of the chunk.\n\
         @group(0) @binding(2) var<storage, read_write> points: array<Tiles>;\n\n\
         // Inputs, 0 outside.\n\
         fn load(at: i32, has: bool) -> f32 {\n    return select(0.0, f32(input[at]), has);\n}\n\n",
    );
    begin(&mut out, "to_points", wide, workgroup);
    let columns = TILE * (wide - 1) + PATCH;
    let w = &mut out;
    let _ = writeln!(w, "    let base = n * params.batch_stride + channel * params.channel_stride;");
    for (letter, axis, count) in [("y", 0, PATCH), ("x", 1, columns)] {
        let _ = writeln!(w, "    let first_{letter} = tile_{letter} * {TILE} + params.axes[{axis}].origin;");
        for i in 0..count {
            let _ = writeln!(
                w,
                "    let has_{letter}{i} = inside(first_{letter} + {i}, params.axes[{axis}].extent);\n    \
                 let {letter}{i} = offset(first_{letter} + {i}, {axis});"
            );
        }
    }
    for x in 0..columns {
        for y in 0..PATCH {
            let _ = writeln!(w, "    let d{y}_{x} = load(base + y{y} + x{x}, has_y{y} && has_x{x});");
        }
        for (point, row) in F4.input.iter().enumerate() {
            let _ = writeln!(w, "    let t{point}_{x} = {};", combination(row, "f32", |y| format!("d{y}_{x}")));
        }
    }
    for y in 0..PATCH {
        for x in 0..PATCH {
            let lanes: Vec<String> = (0..wide).map(|tile| format!("t{y}_{}", x + tile * TILE)).collect();
            let _ = writeln!(w, "    let v{y}_{x} = Tiles({});", lanes.join(", "));
        }
        for (point, row) in F4.input.iter().enumerate() {
            let value = combination(row, "Tiles", |x| format!("v{y}_{x}"));
            let _ = writeln!(w, "    points[at + {} * params.point] = {value};", y * PATCH + point);
        }
    }
    out.push_str("}\n");
    out
}

/// The transform to the outputs. An invocation takes one channel of `wide` (1 or 4) neighbouring tiles.
pub(crate) fn output(wide: usize, workgroup: u32, stores: Stores) -> String {
    let stored = if stores == Stores::Quads { "vec4<Elem>" } else { "Elem" };
    let mut out = format!("alias Tiles = {};\nalias Output = {stored};\n\n{HEAD}\n", tiles(wide));
    out.push_str(
        "@group(0) @binding(1) var<storage, read> products: array<Tiles>;\n\
         // For each output channel a record: its bias first, the activation's alpha last.\n\
         @group(0) @binding(2) var<storage, read> weights: array<f32>;\n\
         @group(0) @binding(3) var<storage, read_write> output: array<Output>;\n\n",
    );
    begin(&mut out, "to_outputs", wide, workgroup);
    let w = &mut out;
    for x in 0..PATCH {
        for y in 0..PATCH {
            let _ = writeln!(w, "    let m{y}_{x} = products[at + {} * params.point];", y * PATCH + x);
        }
        for (i, row) in F4.output.iter().enumerate() {
            let _ = writeln!(w, "    let r{i}_{x} = {};", combination(row, "Tiles", |y| format!("m{y}_{x}")));
        }
    }
    let _ = writeln!(w, "    let bias = weights[channel * params.record];");
    let _ = writeln!(w, "    let alpha = weights[(channel + 1) * params.record - 1];");
    let _ = writeln!(w, "    let base = n * params.batch_stride + channel * params.channel_stride;");
    for y in 0..TILE {
        for (x, row) in F4.output.iter().enumerate() {
            let value = combination(row, "Tiles", |x| format!("r{y}_{x}"));
            let _ = writeln!(w, "    let s{y}_{x} = {value} + bias;");
        }
        let _ = writeln!(w, "    if inside(tile_y * {TILE} + {y}, params.axes[0].extent) {{");
        let _ = writeln!(w, "        let row = base + (tile_y * {TILE} + {y}) * params.axes[0].stride;");
        for tile in 0..wide {
            let finished = |x: usize| {
                let lane = if wide == 1 { "" } else { [".x", ".y", ".z", ".w"][tile] };
                format!("Elem(activate(s{y}_{x}{lane}, alpha, params.beta))")
            };
            let first = format!("(tile_x + {tile}) * {TILE}");
            match stores {
                Stores::Quads => {
                    let quad: Vec<String> = (0..TILE).map(finished).collect();
                    let _ = writeln!(
                        w,
                        "        if inside({first}, params.axes[1].extent) {{\n            \
                         output[u32(row + {first}) / 4u] = Output({});\n        }}",
                        quad.join(", ")
                    );
                }
                Stores::Single => {
                    for x in 0..TILE {
                        let at = format!("{first} + {x}");
                        let _ = writeln!(
                            w,
                            "        if inside({at}, params.axes[1].extent) {{\n            \
                             output[row + ({at}) * params.axes[1].stride] = {};\n        }}",
                            finished(x)
                        );
                    }
                }
            }
        }
        let _ = writeln!(w, "    }}");
    }
    out.push_str("}\n");
    out
}

fn tiles(wide: usize) -> &'static str {
    if wide == 1 { "f32" } else { "vec4<f32>" }
}

/// Which channel and which tiles, and where these are between the kernels.
fn begin(out: &mut String, name: &str, wide: usize, workgroup: u32) {
    let _ = writeln!(
        out,
        "@compute @workgroup_size({workgroup})
fn {name}(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {{
    let invocation = i32(group.x * {workgroup}u + lane);
    if invocation >= params.invocations {{
        return;
    }}
    let channel = i32(group.y);
    let at = channel * params.channel + invocation;
    let tile = params.first_tile + invocation * {wide};
    let tile_x = tile % params.tiles_x;
    let tile_y = tile / params.tiles_x % params.tiles_y;
    let n = tile / params.tiles_x / params.tiles_y;"
    );
}

/// A row of a matrix times named values: the terms one after another, the first one whose factor is 1 before the
/// others.
fn combination(row: &[f64], kind: &str, name: impl Fn(usize) -> String) -> String {
    let mut terms: Vec<(usize, f64)> = row.iter().copied().enumerate().filter(|&(_, factor)| factor != 0.0).collect();
    if let Some(one) = terms.iter().position(|&(_, factor)| factor == 1.0) {
        terms.swap(0, one);
    }
    let mut text = String::new();
    for (number, (index, factor)) in terms.into_iter().enumerate() {
        let value = name(index);
        text = match (number, factor == 1.0) {
            (0, true) => value,
            (0, false) => format!("{:?} * {value}", factor as f32),
            (_, true) => format!("({text} + {value})"),
            (_, false) => format!("fma({kind}({:?}), {value}, {text})", factor as f32),
        };
    }
    text
}
