//! The generator of the two transforms around the products: the matrices of [`crate::winograd`], written out.

use crate::winograd::{Filter, crossed};
use std::fmt::Write;

/// The part that is the same for both.
const HEAD: &str = include_str!("head.wgsl");

/// How an output transform stores: four neighbours at once, or one by one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Stores {
    Quads,
    Single,
}

/// The transform of the inputs. An invocation takes one channel of one tile.
pub(crate) fn input([h, w]: [Filter; 2], workgroup: u32) -> String {
    let mut out = format!("{HEAD}\n");
    out.push_str(
        "@group(0) @binding(1) var<storage, read> input: array<Elem>;\n\
         // For each point of each class of phases the channels, for each channel its slices, in each the chunk's tiles.\n\
         @group(0) @binding(2) var<storage, read_write> points: array<f32>;\n\n\
         // Inputs, 0 outside.\n\
         fn load(at: i32, has: bool) -> f32 {\n    return select(0.0, f32(input[at]), has);\n}\n\n",
    );
    begin(&mut out, "to_points", workgroup);
    let to = &mut out;
    for (letter, axis, filter, count) in [("y", 0, h, h.patch()), ("x", 1, w, w.patch())] {
        let tile = filter.tile();
        let _ = writeln!(to, "    let first_{letter} = tile_{letter} * {tile} + params.axes[{axis}].origin;");
        for i in 0..count {
            let _ = writeln!(
                to,
                "    let has_{letter}{i} = inside(first_{letter} + {i}, params.axes[{axis}].extent);\n    \
                 let {letter}{i} = offset(first_{letter} + {i}, {axis});"
            );
        }
    }
    for x in 0..w.patch() {
        for y in 0..h.patch() {
            let _ = writeln!(to, "    let d{y}_{x} = load(base + y{y} + x{x}, has_y{y} && has_x{x});");
        }
        for (class, point) in rows(h) {
            let shift = h.shift(class);
            let sum = combination(h.input()[point], |y| format!("d{}_{x}", y + shift));
            let _ = writeln!(to, "    let t{class}_{point}_{x} = {sum};");
        }
    }
    for (class_y, y) in rows(h) {
        for (class_x, x) in rows(w) {
            let shift = w.shift(class_x);
            let value = combination(w.input()[x], |x| format!("t{class_y}_{y}_{}", x + shift));
            let group = group([h, w], [class_y, class_x], [y, x]);
            let _ = writeln!(to, "    points[at + {group} * params.point] = {value};");
        }
    }
    out.push_str("}\n");
    out
}

/// The transform to the outputs. An invocation takes one channel of one tile.
pub(crate) fn output([h, w]: [Filter; 2], workgroup: u32, stores: Stores) -> String {
    let stored = if stores == Stores::Quads { "vec4<Elem>" } else { "Elem" };
    let mut out = format!("alias Output = {stored};\n\n{HEAD}\n");
    out.push_str(
        "@group(0) @binding(1) var<storage, read> products: array<f32>;\n\
         // For each output channel a record: its bias first, the activation's alpha last.\n\
         @group(0) @binding(2) var<storage, read> weights: array<f32>;\n\
         @group(0) @binding(3) var<storage, read_write> output: array<Output>;\n\n",
    );
    begin(&mut out, "to_outputs", workgroup);
    let to = &mut out;
    let _ = writeln!(to, "    let bias = weights[channel * params.record];");
    let _ = writeln!(to, "    let alpha = weights[(channel + 1) * params.record - 1];");
    for phase_y in 0..h.stride {
        // Of the points of a tile, those of all phases of its rows.
        for phase_x in 0..w.stride {
            let class = [phase_y / h.phases(), phase_x / w.phases()];
            let in_class = phase_y % h.phases() * w.phases() + phase_x % w.phases();
            let name = |what: char, y: usize, x: usize| format!("{what}{phase_y}_{phase_x}_{y}_{x}");
            for x in 0..w.points() {
                for y in 0..h.points() {
                    let group = group([h, w], class, [y, x]);
                    let at = format!("at + {group} * params.point + {in_class} * params.phase");
                    let _ = writeln!(to, "    let {} = products[{at}];", name('m', y, x));
                }
                for (y, row) in h.output().into_iter().enumerate() {
                    let sum = combination(row, |point| name('m', point, x));
                    let _ = writeln!(to, "    let {} = {sum};", name('r', y, x));
                }
            }
            for (y, (x, row)) in (0..h.tile()).flat_map(|y| w.output().into_iter().enumerate().map(move |r| (y, r))) {
                let sum = combination(row, |point| name('r', y, point));
                let _ = writeln!(to, "    let s{phase_y}_{y}_{} = {sum} + bias;", x * w.stride + phase_x);
            }
        }
        for y in 0..h.tile() {
            let row = format!("(tile_y * {} + {})", h.outputs(), y * h.stride + phase_y);
            let _ = writeln!(to, "    if inside{row}, params.axes[0].extent) {{", row = &row[..row.len() - 1]);
            let _ = writeln!(to, "        let row = base + {row} * params.axes[0].stride;");
            let finished = |x: usize| format!("Elem(activate(s{phase_y}_{y}_{x}, alpha, params.beta))");
            let each = if stores == Stores::Quads { 4 } else { 1 };
            for x in (0..w.outputs()).step_by(each) {
                let at = format!("tile_x * {} + {x}", w.outputs());
                let index = match stores {
                    Stores::Quads => format!("u32(row + {at}) / 4u"),
                    Stores::Single => format!("row + ({at}) * params.axes[1].stride"),
                };
                let values: Vec<String> = (x..x + each).map(finished).collect();
                let _ = writeln!(
                    to,
                    "        if inside({at}, params.axes[1].extent) {{\n            \
                     output[{index}] = Output({});\n        }}",
                    values.join(", ")
                );
            }
            let _ = writeln!(to, "    }}");
        }
    }
    out.push_str("}\n");
    out
}

/// The classes of an axis with the points of each.
fn rows(filter: Filter) -> impl Iterator<Item = (usize, usize)> {
    crossed([filter.classes(), filter.points()]).map(|[class, point]| (class, point))
}

/// The group of channels in which the products of a class have a point.
fn group([h, w]: [Filter; 2], class: [usize; 2], point: [usize; 2]) -> usize {
    ((class[0] * w.classes() + class[1]) * h.points() + point[0]) * w.points() + point[1]
}

/// Which channel and which tile, and where these are between the kernels.
fn begin(out: &mut String, name: &str, workgroup: u32) {
    let _ = writeln!(
        out,
        "@compute @workgroup_size({workgroup})
fn {name}(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {{
    let invocation = i32(group.x * {workgroup}u + lane);
    if invocation >= params.invocations {{
        return;
    }}
    let channel = i32(group.y);
    let slice = i32(group.z);
    let at = channel * params.channel + slice * params.slice + invocation;
    let tile = params.first_tile + invocation;
    let tile_x = tile % params.tiles_x;
    let tile_y = tile / params.tiles_x % params.tiles_y;
    let n = tile / params.tiles_x / params.tiles_y;
    let base = n * params.batch_stride + channel * params.channel_stride + slice * params.slice_stride;"
    );
}

/// A row of a matrix times named values: the terms one after another, the first one whose factor is 1 before the
/// others.
fn combination(row: &[f64], name: impl Fn(usize) -> String) -> String {
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
            (_, false) => format!("fma({:?}, {value}, {text})", factor as f32),
        };
    }
    text
}
