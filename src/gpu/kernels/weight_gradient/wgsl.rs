//! The text of `weight_tiles`.

use super::tile::{Read, WeightTile};
use std::fmt::{self, Write};

const READABLE: &str = include_str!("../../../../shaders/weight_gradient.wgsl");

/// So many accumulators take their products before the next do: as many vectors as the registers of a processor hold
/// beside their factors.
const AT_ONCE: usize = 8;

/// Before it comes what `weight_gradient.wgsl` and `weight_tiles` share.
const SEPARATOR: &str = "// --- What stands between";

/// The kernel's text behind the header of `Elem`.
pub(crate) fn generate(tile: &WeightTile) -> String {
    let shared = crate::gpu::kernels::header::body(READABLE);
    let shared = shared.split_once(SEPARATOR).map_or(shared, |(shared, _)| shared);
    let stored = |read: Read| if read.vectors() { "array<vec4<Elem>>" } else { "array<Elem>" };
    let mut text = shared
        .replace("input: array<Elem>", &format!("input: {}", stored(tile.input)))
        .replace("gradient: array<Elem>", &format!("gradient: {}", stored(tile.gradient)));
    // Writing to a String does not fail.
    let _ = Printer { tile, out: &mut text, reads: tile.reads() }.kernel();
    text
}

struct Printer<'a> {
    tile: &'a WeightTile,
    out: &'a mut String,
    /// See [`WeightTile::reads`].
    reads: Vec<usize>,
}

/// A component of a vector.
fn part(number: usize) -> char {
    ['x', 'y', 'z', 'w'][number % 4]
}

impl Printer<'_> {
    fn kernel(&mut self) -> fmt::Result {
        let WeightTile { inputs, outputs, taps: [taps_y, taps_x], positions, workgroup, stride, dilation, .. } =
            *self.tile;
        let width = self.tile.vector();
        let accumulator = if width == 1 { "f32".to_string() } else { format!("vec{width}<f32>") };
        let count = self.tile.weights() / width;
        write!(
            self.out,
            "// Neighbouring input channels.
alias Accumulator = {accumulator};

@compute @workgroup_size({workgroup})
fn weight_tiles(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {{
    let index = i32((group.y * groups.x + group.x) * {workgroup}u + lane);
    if index >= params.invocations {{ return; }}
    let tile = index % params.tiles;
    let part = params.first_part + index / params.tiles;
    var rest = tile;
    let kx = (params.axes[2].first_tile + rest % params.axes[2].tiles) * {taps_x};
    rest /= params.axes[2].tiles;
    let ky = (params.axes[1].first_tile + rest % params.axes[1].tiles) * {taps_y};
    rest /= params.axes[1].tiles;
    let kz = params.axes[0].first_tile + rest % params.axes[0].tiles;
    rest /= params.axes[0].tiles;
    let first_gradient = (params.first_out_block + rest % params.out_blocks) * {outputs};
    let in_block = params.first_in_block + rest / params.out_blocks;
    let channel_group = in_block / params.in_blocks;
    let first_input = in_block % params.in_blocks * {inputs};
    let input_group = channel_group * params.group_in_channels * params.input_channel_stride - params.input_window;
    let gradient_group = channel_group * params.group_out_channels * params.gradient_channel_stride - params.gradient_window;
"
        )?;
        // A tile may reach beyond the last channel, where it takes that one again: nobody reads those sums.
        let channels = |out: &mut String, name: &str, count: usize, unit: usize, all: &str| -> fmt::Result {
            for channel in (0..count).step_by(unit) {
                writeln!(
                    out,
                    "    let {name}{channel} = {name}_group + min(first_{name} + {channel}, params.{all} - {unit}) * params.{name}_channel_stride;"
                )?;
            }
            Ok(())
        };
        let unit = |read: Read| if read == Read::Channels { 4 } else { 1 };
        channels(self.out, "input", inputs, unit(self.tile.input), "group_in_channels")?;
        channels(self.out, "gradient", outputs, unit(self.tile.gradient), "group_out_channels")?;
        for number in 0..count {
            writeln!(self.out, "    var acc{number} = Accumulator();")?;
        }
        let rows = if taps_y == 1 {
            "        if !inside(oy, params.axes[1].output_extent) || !inside(oz, params.axes[0].output_extent) { continue; }\n"
        } else {
            "        if !inside(oz, params.axes[0].output_extent) { continue; }\n"
        };
        write!(
            self.out,
            "    let last = past_segment(part);
    for (var segment = first_segment(part); segment < last; segment++) {{
        let row = segment / params.row_segments;
        let first = segment % params.row_segments * params.segment_positions;
        let past = min(first + params.segment_positions, params.axes[2].input_extent);
        let iy = row % params.axes[1].input_extent;
        let iz = row / params.axes[1].input_extent % params.axes[0].input_extent;
        let n = row / params.axes[1].input_extent / params.axes[0].input_extent;
        let oy = landing(1, iy, ky);
        let oz = landing(0, iz, kz);
{rows}        let input_row = n * params.input_batch_stride + iz * params.axes[0].input_stride + iy * params.axes[1].input_stride;
        let gradient_plane = n * params.gradient_batch_stride + oz * params.axes[0].gradient_stride;
"
        )?;
        for y in 0..taps_y {
            if taps_y == 1 {
                writeln!(self.out, "        let row0 = gradient_plane + oy * params.axes[1].gradient_stride;")?;
                continue;
            }
            writeln!(
                self.out,
                "        let oy{y} = oy + {y} * params.axes[1].dilation;
        let has_row{y} = inside(oy{y}, params.axes[1].output_extent);
        let row{y} = gradient_plane + clamp(oy{y}, 0, params.axes[1].output_extent - 1) * params.axes[1].gradient_stride;"
            )?;
        }
        writeln!(
            self.out,
            "        for (var ix = first; ix < past; ix += {positions}) {{
            let ox = ix * {stride} + kx * {dilation} - params.axes[2].pad_begin;"
        )?;
        if self.tile.is_guarded() {
            writeln!(self.out, "            if !inside(ox, params.axes[2].output_extent) {{ continue; }}")?;
        }
        self.inputs()?;
        self.gradients()?;
        self.products()?;
        writeln!(self.out, "        }}\n    }}\n    let at = part * params.tiles * {} + tile;", count * width)?;
        // Channel by channel, so that NVIDIA's compiler does not keep the addresses of all.
        let of_channel = count / (inputs / width);
        for channel in 0..inputs {
            let (vector, component) = (channel / width, channel % width);
            let value = if width == 1 { String::new() } else { format!(".{}", part(component)) };
            writeln!(self.out, "    if first_input + {channel} < params.group_in_channels {{")?;
            for number in vector * of_channel..(vector + 1) * of_channel {
                writeln!(
                    self.out,
                    "        sums[at + {} * params.tiles] = acc{number}{value};",
                    number * width + component
                )?;
            }
            writeln!(self.out, "    }}")?;
        }
        writeln!(self.out, "}}")
    }

    /// The inputs of a round, as vectors of neighbouring channels: `x{vector}_{position}`.
    fn inputs(&mut self) -> fmt::Result {
        let WeightTile { inputs, positions, input, .. } = *self.tile;
        let width = self.tile.vector();
        let (step, unit) = if matches!(input, Read::Columns { .. }) { (4, 4) } else { (1, 1) };
        for position in (step..positions).step_by(step) {
            writeln!(
                self.out,
                "            let has_x{position} = ix + {position} < past;
            let at_x{position} = min(ix + {position}, past - {unit}) * params.axes[2].input_stride;"
            )?;
        }
        writeln!(self.out, "            let at_x0 = ix * params.axes[2].input_stride;")?;
        for position in (0..positions).step_by(step) {
            writeln!(self.out, "            let input_at{position} = input_row + at_x{position};")?;
        }
        // What is read at once.
        for position in (0..positions).step_by(step) {
            for channel in (0..inputs).step_by(if input == Read::Channels { 4 } else { 1 }) {
                let at = format!("input_at{position} + input{channel}");
                let (kind, index) = match input.vectors() {
                    true => ("vec4<f32>", format!("({at}) >> 2u")),
                    false => ("f32", at),
                };
                let value = format!("{kind}(input[{index}])");
                let value = match position {
                    0 => value,
                    _ => format!("select({kind}(), {value}, has_x{position})"),
                };
                writeln!(self.out, "            let i{channel}_{position} = {value};")?;
            }
        }
        for position in 0..positions {
            for vector in 0..inputs / width {
                let number = |channel: usize| match input {
                    Read::Numbers => format!("i{channel}_{position}"),
                    Read::Columns { .. } => format!("i{channel}_{}.{}", position / 4 * 4, part(position)),
                    Read::Channels => format!("i{}_{position}.{}", channel / 4 * 4, part(channel)),
                };
                let first = vector * width;
                let value = match (input, width) {
                    (Read::Channels, 4) => format!("i{first}_{position}"),
                    _ => {
                        let numbers: Vec<String> = (first..first + width).map(number).collect();
                        format!("Accumulator({})", numbers.join(", "))
                    }
                };
                writeln!(self.out, "            let x{vector}_{position} = {value};")?;
            }
        }
        Ok(())
    }

    /// The outputs' gradients of a round.
    fn gradients(&mut self) -> fmt::Result {
        let WeightTile { outputs, taps: [taps_y, _], gradient, .. } = *self.tile;
        let (first, unit) = match gradient {
            Read::Columns { first } => (first, 4),
            _ => (0, 1),
        };
        let offsets: Vec<i64> = self.reads.iter().map(|&column| column as i64 - first as i64).collect();
        if self.tile.is_guarded() {
            writeln!(self.out, "            let at0 = ox * params.axes[2].gradient_stride;")?;
        } else {
            writeln!(self.out, "            // Outside is 0, which adds nothing.")?;
        }
        for (number, offset) in offsets.iter().enumerate().filter(|_| !self.tile.is_guarded()) {
            writeln!(
                self.out,
                "            let has{number} = inside(ox + {offset}, params.axes[2].output_extent);
            let at{number} = clamp(ox + {offset}, 0, params.axes[2].output_extent - {unit}) * params.axes[2].gradient_stride;"
            )?;
        }
        for y in 0..taps_y {
            for number in 0..offsets.len() {
                writeln!(self.out, "            let gradient_at{y}_{number} = row{y} + at{number};")?;
                for channel in (0..outputs).step_by(if gradient == Read::Channels { 4 } else { 1 }) {
                    let at = format!("gradient_at{y}_{number} + gradient{channel}");
                    let (kind, index) = match gradient.vectors() {
                        true => ("vec4<f32>", format!("({at}) >> 2u")),
                        false => ("f32", at),
                    };
                    let value = format!("{kind}(gradient[{index}])");
                    let tests = match (self.tile.is_guarded(), taps_y) {
                        (true, 1) => String::new(),
                        (true, _) => format!("has_row{y}"),
                        (false, 1) => format!("has{number}"),
                        (false, _) => format!("has{number} && has_row{y}"),
                    };
                    let value = if tests.is_empty() { value } else { format!("select({kind}(), {value}, {tests})") };
                    writeln!(self.out, "            let g{channel}_{y}_{number} = {value};")?;
                }
            }
        }
        Ok(())
    }

    /// The name of the gradient that tap (y, t) of an output channel multiplies with the input at `position`.
    fn gradient(&self, channel: usize, y: usize, t: usize, position: usize) -> String {
        let WeightTile { stride, dilation, gradient, .. } = *self.tile;
        let column = position * stride + t * dilation;
        let number = |read: usize| self.reads.binary_search(&read).unwrap_or_default();
        match gradient {
            Read::Numbers => format!("g{channel}_{y}_{}", number(column)),
            Read::Channels => format!("g{}_{y}_{}.{}", channel / 4 * 4, number(column), part(channel)),
            Read::Columns { first } => {
                let at = column + first;
                format!("g{channel}_{y}_{}.{}", number(at / 4 * 4), part(at))
            }
        }
    }

    fn products(&mut self) -> fmt::Result {
        let WeightTile { inputs, outputs, taps: [taps_y, taps_x], positions, .. } = *self.tile;
        let width = self.tile.vector();
        // In the order in which `gradient_sum.wgsl` counts them.
        let mut accumulators = Vec::new();
        for vector in 0..inputs / width {
            for y in 0..taps_y {
                for channel in 0..outputs {
                    accumulators.extend((0..taps_x).map(|t| (vector, y, channel, t)));
                }
            }
        }
        for (chunk, accumulators) in accumulators.chunks(AT_ONCE / width).enumerate() {
            for position in 0..positions {
                for (index, &(vector, y, channel, t)) in accumulators.iter().enumerate() {
                    let number = chunk * (AT_ONCE / width) + index;
                    let gradient = self.gradient(channel, y, t, position);
                    writeln!(
                        self.out,
                        "            acc{number} = fma(x{vector}_{position}, Accumulator({gradient}), acc{number});"
                    )?;
                }
            }
        }
        Ok(())
    }
}
