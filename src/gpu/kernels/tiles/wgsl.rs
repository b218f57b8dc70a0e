//! The generator of `direct`: a pure function from a tile to WGSL, because what it writes out has no loop but the one
//! over input channels. Its text for one tile is `shaders/direct.wgsl`, the place to read what the kernel does.

use super::products::{Product, Sum, products, sums};
use super::tile::{Load, Order, Tile, TileAxis};
use crate::gpu::kernels::pack::tiles::{Packing, lanes};
use std::collections::BTreeSet;
use std::fmt::{self, Write};

/// The part that is the same for every tile.
const HEAD: &str = include_str!("head.wgsl");

/// The kernel's text behind the header of `Elem` and `activate`; `in_parts` is whether several dispatches share the
/// input channels of an output.
pub(crate) fn generate(tile: &Tile, packing: &Packing, in_parts: bool) -> String {
    let mut text = String::new();
    // Writing to a String does not fail.
    let _ = Generator { tile, packing, in_parts, out: &mut text }.kernel();
    text
}

/// The name of the kernel of a tile.
pub(crate) fn entry_point(tile: &Tile) -> &'static str {
    if tile.slab.is_some() { "tiled" } else { "direct" }
}

/// A complete file: the kernel with a header that explains it, for people to read.
#[cfg(test)]
pub(crate) fn canonical(tile: &Tile, packing: &Packing) -> String {
    let head = if tile.slab.is_some() { include_str!("tiled.wgsl") } else { include_str!("direct.wgsl") };
    format!("{head}\n{}", generate(tile, packing, false))
}

pub(crate) struct Generator<'a> {
    pub(crate) tile: &'a Tile,
    pub(crate) packing: &'a Packing,
    in_parts: bool,
    pub(crate) out: &'a mut String,
}

const LETTERS: [&str; 3] = ["z", "y", "x"];
const COMPONENTS: [&str; 4] = [".x", ".y", ".z", ".w"];

/// The name of an input that is read, by its channel and its numbers along the axes.
fn input_name(channel: usize, [z, y, x]: [usize; 3]) -> String {
    if channel == 0 { format!("i{z}_{y}_{x}") } else { format!("i{z}_{y}_{x}_{channel}") }
}

/// Where something is in a list that has it.
fn position(list: &[i64], wanted: i64) -> usize {
    list.iter().position(|&at| at == wanted).unwrap_or_default()
}

impl Generator<'_> {
    fn kernel(&mut self) -> fmt::Result {
        let width = self.tile.width;
        let sum = if width == 1 { "f32".to_string() } else { format!("vec{width}<f32>") };
        writeln!(self.out, "// Output channels of one vector.\nalias Sum = {sum};\n")?;
        let stored = |elem: &str, quads: bool| if quads { format!("vec4<{elem}>") } else { elem.to_string() };
        writeln!(self.out, "alias Input = {};", stored("Elem", self.tile.input_quads.is_some()))?;
        writeln!(self.out, "alias Loaded = {};", stored("f32", self.tile.input_quads.is_some()))?;
        // The sums of a split stay f32 until they are added up.
        let output = stored(if self.split() { "f32" } else { "Elem" }, self.tile.output_quads);
        writeln!(self.out, "alias Output = {output};\n")?;
        writeln!(self.out, "// Taps that lie together.\nalias Taps = array<vec4<f32>, {}>;\n", self.unit())?;
        writeln!(self.out, "{HEAD}")?;
        self.store()?;
        if self.in_parts {
            writeln!(self.out, "// Sums that a later dispatch continues.")?;
            writeln!(self.out, "@group(0) @binding(4) var<storage, read_write> partial: array<Sum>;\n")?;
        }
        if let Some(slab) = self.tile.slab {
            self.memory(&slab)?;
        }
        let workgroup = self.tile.workgroup;
        writeln!(self.out, "@compute @workgroup_size({workgroup})")?;
        writeln!(self.out, "fn {}(", entry_point(self.tile))?;
        writeln!(self.out, "    @builtin(workgroup_id) group: vec3<u32>,")?;
        writeln!(self.out, "    @builtin(num_workgroups) groups: vec3<u32>,")?;
        writeln!(self.out, "    @builtin(local_invocation_index) lane: u32,")?;
        writeln!(self.out, ") {{")?;
        match self.tile.slab {
            None => {
                self.place()?;
                self.inputs()?;
                self.begin()?;
                self.accumulate()?;
            }
            Some(slab) => {
                self.place_in_box(&slab)?;
                self.sources(&slab)?;
                self.begin()?;
                self.accumulate_chunks(&slab)?;
            }
        }
        self.finish()?;
        writeln!(self.out, "}}")
    }

    /// Whether the input channels are split, and this kernel leaves the sums of each split to `sum.wgsl`.
    fn split(&self) -> bool {
        self.tile.splits > 1
    }

    /// The first input channel that an invocation adds, and the one behind its last.
    fn channels(&self) -> [&'static str; 2] {
        if self.split() { ["first_ci", "end_ci"] } else { ["params.input_channel_begin", "params.input_channel_end"] }
    }

    /// The axes in use, with their letters, the fastest first.
    pub(crate) fn axes(&self) -> Vec<(usize, &'static str, TileAxis)> {
        (3 - self.tile.rank..3).rev().map(|a| (a, LETTERS[a], self.tile.axes[a])).collect()
    }

    /// Which cells, phases and channels.
    fn place(&mut self) -> fmt::Result {
        let Tile { workgroup, vectors, .. } = *self.tile;
        // Not negative, and divided without a test for signs.
        writeln!(self.out, "    var rest = group.x * {workgroup}u + lane;")?;
        writeln!(self.out, "    if rest >= u32(params.invocations) {{\n        return;\n    }}")?;
        for (a, letter, axis) in self.axes() {
            let (cells, tiles) = (axis.cells, format!("u32(params.axes[{a}].tiles)"));
            writeln!(self.out, "    let {letter} = params.axes[{a}].first_cell + i32(rest % {tiles}) * {cells};")?;
            writeln!(self.out, "    rest /= {tiles};")?;
        }
        writeln!(self.out, "    let n = params.batch_begin + i32(rest);")?;
        let channels = self.tile.channels();
        writeln!(self.out, "    // The channels are the same for the whole workgroup, and so are its weights.")?;
        writeln!(self.out, "    let block = params.first_block + i32(group.y);")?;
        writeln!(self.out, "    let channel_group = block / params.blocks_per_group;")?;
        writeln!(self.out, "    let first_channel = block % params.blocks_per_group * {channels};")?;
        for vector in 0..vectors {
            let record = format!("(block * {vectors} + {vector}) * params.record_stride - params.weight_window");
            writeln!(self.out, "    let record{vector} = {};", self.in_units(&record))?;
        }
        if self.tile.phase_parts() > 1 {
            self.phases()?;
        }
        if self.split() {
            writeln!(self.out, "    let split = i32(group.z) / {};", self.tile.phase_parts())?;
            writeln!(self.out, "    let first_ci = params.input_channel_begin + split * params.split_channels;")?;
            writeln!(self.out, "    let end_ci = min(first_ci + params.split_channels, params.input_channel_end);")?;
        }
        Ok(())
    }

    /// Which part of the phases.
    fn phases(&mut self) -> fmt::Result {
        writeln!(
            self.out,
            "    // The first phase of this part, its first tap, and whether it begins in the next cell."
        )?;
        writeln!(self.out, "    var part = i32(group.z);")?;
        for (_, letter, axis) in self.axes() {
            let TileAxis { stride, shift, phases, .. } = axis;
            let parts = axis.phase_parts();
            writeln!(self.out, "    let phase_{letter} = part % {parts} * {phases};")?;
            writeln!(self.out, "    part /= {parts};")?;
            // Where the phases of this axis are not parted, its taps are numbered from 0 and the shift is in them.
            let (tap, carry) = if parts == 1 {
                ("0".into(), "0".into())
            } else {
                (format!("(phase_{letter} + {shift}) % {stride}"), format!("(phase_{letter} + {shift}) / {stride}"))
            };
            writeln!(self.out, "    let tap_{letter} = {tap};")?;
            writeln!(self.out, "    let carry_{letter} = {carry};")?;
        }
        Ok(())
    }

    /// vec4s of weights that are read at once.
    fn unit(&self) -> usize {
        self.tile.unit(self.packing)
    }

    /// A distance in vec4s of weights as one in units.
    fn in_units(&self, distance: &str) -> String {
        if self.unit() > 1 { format!("({distance}) / {}", self.unit()) } else { distance.into() }
    }

    /// The load from which the distance of load `number` along an axis is known: the first sure one of a row for all
    /// sure ones, so that compilers see which inputs are neighbours; itself for the others.
    fn base(&self, loads: &[Load], a: usize, number: usize) -> usize {
        let first = loads.iter().position(|load| load.sure).unwrap_or(number);
        if a == 2 && self.tile.rows && loads[number].sure { first } else { number }
    }

    /// The distance of a load from the first element along an axis.
    fn distance(&self, a: usize, number: usize, loads: &[Load]) -> String {
        let base = self.base(loads, a, number);
        let elements = loads[number].offset - loads[base].offset;
        let beyond = if self.tile.input_quads.is_some() { elements / 4 } else { elements };
        if beyond == 0 { format!("{}{base}", LETTERS[a]) } else { format!("{}{base} + {beyond}", LETTERS[a]) }
    }

    /// A distance in elements as one in loads.
    fn in_loads(&self, distance: &str) -> String {
        if self.tile.input_quads.is_some() { format!("({distance}) >> 2u") } else { distance.into() }
    }

    /// Which inputs: their distances along each axis, kept inside, and whether they were.
    fn inputs(&mut self) -> fmt::Result {
        let carried = self.tile.phase_parts() > 1;
        for (a, letter, _) in self.axes() {
            let carry = if carried { format!(" + carry_{letter}") } else { String::new() };
            writeln!(self.out, "    let first_{letter} = {letter} + params.axes[{a}].origin{carry};")?;
            let loads = self.tile.loads(a);
            for (number, load) in loads.iter().enumerate() {
                let at = format!("first_{letter} + {}", load.offset).replace("+ -", "- ");
                if !load.sure {
                    writeln!(self.out, "    let has_{letter}{number} = inside({at}, params.axes[{a}].input_extent);")?;
                }
                if self.base(&loads, a, number) == number {
                    let kept = if load.sure { format!("({at})") } else { format!("keep({at}, {a})") };
                    let distance = self.in_loads(&format!("{kept} * params.axes[{a}].input_stride"));
                    writeln!(self.out, "    let {letter}{number} = {distance};")?;
                }
            }
        }
        let [first_ci, _] = self.channels();
        let first = format!("(channel_group * params.group_in_channels + {first_ci}) * params.input_channel_stride");
        let at = self.in_loads(&format!("n * params.input_batch_stride + {first} - params.input_window"));
        writeln!(self.out, "    var at = {at};")?;
        let (unit, kernel) = (self.unit(), self.tile.axes.map(|axis| axis.kernel));
        let (header, channel) = (self.packing.unit / unit, self.packing.channel / unit);
        let mut tap = String::new();
        if carried {
            let taps: Vec<String> = self
                .axes()
                .iter()
                .map(|&(a, letter, _)| format!("tap_{letter} * {}", kernel[a + 1..].iter().product::<usize>()))
                .collect();
            tap = format!(" + {}", self.in_units(&taps.join(" + ")));
        }
        for vector in 0..self.tile.vectors {
            writeln!(self.out, "    var w{vector} = record{vector} + {header} + {first_ci} * {channel}{tap};")?;
        }
        Ok(())
    }

    fn begin(&mut self) -> fmt::Result {
        for vector in 0..self.tile.vectors {
            let bias =
                if self.split() { "Sum()".into() } else { format!("weights[record{vector}][0]{}", self.swizzle(0)) };
            writeln!(self.out, "    let bias{vector} = {bias};")?;
        }
        let sums = sums(self.tile);
        for (number, sum) in sums.iter().enumerate() {
            writeln!(self.out, "    var s{number} = bias{};", sum.vector)?;
        }
        if self.in_parts {
            let workgroup = self.tile.workgroup;
            writeln!(self.out, "    let slots = i32(groups.x * groups.y * groups.z * {workgroup}u);")?;
            writeln!(
                self.out,
                "    let slot = i32(((group.z * groups.y + group.y) * groups.x + group.x) * {workgroup}u + lane);"
            )?;
            writeln!(self.out, "    if params.input_channel_begin > 0 {{")?;
            for number in 0..sums.len() {
                writeln!(self.out, "        s{number} = partial[{number} * slots + slot];")?;
            }
            writeln!(self.out, "    }}")?;
        }
        Ok(())
    }

    /// The loop over input channels, or what it would do once.
    fn accumulate(&mut self) -> fmt::Result {
        let ([first, end], turn) = (self.channels(), self.tile.turn);
        if self.tile.once {
            writeln!(self.out, "    {{")?;
        } else {
            let step = if turn == 1 { "ci++".into() } else { format!("ci += {turn}") };
            writeln!(self.out, "    for (var ci = {first}; ci < {end}; {step}) {{")?;
        }
        writeln!(
            self.out,
            "        // Outside is 0, which adds nothing: the weights are finite where this kernel is used."
        )?;
        let reads = self.tile.axes.map(|axis| axis.reads());
        // Sums that come one after the other take all channels of a turn at once.
        let channels = if matches!(self.tile.order, Order::Sums(_)) { turn } else { 1 };
        for _ in 0..turn / channels {
            if channels < turn {
                writeln!(self.out, "        {{")?;
            }
            if self.tile.order != Order::Rows {
                let rows = || (0..reads[0].len()).flat_map(|z| (0..reads[1].len()).map(move |y| [z, y]));
                for channel in 0..channels {
                    self.load(rows(), channel)?;
                }
            }
            self.multiply(&reads, 0, channels)?;
            writeln!(self.out, "        at += {};", self.channels_on(channels))?;
            for vector in 0..self.tile.vectors {
                writeln!(self.out, "        w{vector} += {};", channels * self.packing.channel / self.unit())?;
            }
            if channels < turn {
                writeln!(self.out, "        }}")?;
            }
        }
        writeln!(self.out, "    }}")
    }

    /// The distance to the input so many channels on, in loads.
    fn channels_on(&self, channels: usize) -> String {
        let one = self.in_loads("params.input_channel_stride");
        if channels == 1 { one } else { format!("{channels} * ({one})") }
    }

    /// The loads of rows of inputs, by their numbers along d and h, of a channel of the turn.
    fn load(&mut self, rows: impl IntoIterator<Item = [usize; 2]>, channel: usize) -> fmt::Result {
        let channel_at = if channel == 0 { String::new() } else { format!(" + ({})", self.channels_on(channel)) };
        let loads = [0, 1, 2].map(|a| self.tile.loads(a));
        let used = 3 - self.tile.rank..3;
        for [z, y] in rows {
            for x in 0..loads[2].len() {
                let numbers = [z, y, x];
                let at: String =
                    used.clone().map(|a| format!(" + {}", self.distance(a, numbers[a], &loads[a]))).collect();
                let tested = used.clone().filter(|&a| !loads[a][numbers[a]].sure);
                let has: Vec<String> = tested.map(|a| format!("has_{}{}", LETTERS[a], numbers[a])).collect();
                let input = format!("Loaded(input[at{channel_at}{at}])");
                let input =
                    if has.is_empty() { input } else { format!("select(Loaded(), {input}, {})", has.join(" && ")) };
                writeln!(self.out, "        let {} = {input};", input_name(channel, numbers))?;
            }
        }
        Ok(())
    }

    /// The multiply-adds of so many input channels, of a chunk those from `ci` on. A weight is read once, before its first
    /// use.
    pub(crate) fn multiply(&mut self, reads: &[Vec<i64>; 3], ci: usize, channels: usize) -> fmt::Result {
        let products = products(self.tile, channels);
        let mut read_weights = BTreeSet::new();
        let mut read_rows = BTreeSet::new();
        for (number, product) in products.iter().enumerate() {
            if self.tile.order == Order::Rows && (number == 0 || products[number - 1].taps != product.taps) {
                let same = products[number..].iter().take_while(|other| other.taps == product.taps);
                let rows: BTreeSet<[usize; 2]> =
                    same.map(|other| [0, 1].map(|a| position(&reads[a], other.reads[a]))).collect();
                let missing: Vec<[usize; 2]> = rows.difference(&read_rows).copied().collect();
                read_rows.extend(&missing);
                self.load(missing, 0)?;
            }
            let (weight, index) = self.weight(product);
            let vector = product.vector;
            if read_weights.insert((vector, index)) {
                let (units, rest) = (index / self.unit(), index % self.unit());
                let from = match self.tile.slab {
                    None => format!("weights[w{vector} + {units}][{rest}]"),
                    Some(_) => self.factor(vector, ci, index),
                };
                writeln!(self.out, "        let w{vector}_{index} = {from};")?;
            }
            let (column, component) = self.column(&reads[2], product.reads[2]);
            let [z, y] = [0, 1].map(|a| position(&reads[a], product.reads[a]));
            let input = input_name(product.channel, [z, y, column]);
            let sum = product.sum;
            writeln!(self.out, "        s{sum} = fma(Sum({input}{component}), {weight}, s{sum});")?;
        }
        Ok(())
    }

    /// A product's weight, and the number of the vec4 that has it.
    fn weight(&self, product: &Product) -> (String, usize) {
        let [_, kh, kw] = self.tile.axes.map(|axis| axis.kernel);
        let [z, y, x] = product.taps;
        let (tap, taps_of_vec4) = ((z * kh + y) * kw + x, 4 / lanes(self.tile.width));
        let index = product.channel * self.packing.channel + tap / taps_of_vec4;
        (format!("w{}_{index}{}", product.vector, self.swizzle(tap % taps_of_vec4)), index)
    }

    /// Where the input at offset `read` along w is: the number of the load, and the component where that is a quad.
    fn column(&self, reads: &[i64], read: i64) -> (usize, &'static str) {
        match self.tile.input_quads {
            None => (position(reads, read), ""),
            Some(lead) => {
                let at = read + lead as i64;
                let quads = Tile::quads(&self.tile.axes[2], lead);
                (position(&quads, at.div_euclid(4)), COMPONENTS[at.rem_euclid(4) as usize])
            }
        }
    }

    /// The part of a vec4 of weights that belongs to its tap number `number`.
    fn swizzle(&self, number: usize) -> &'static str {
        match (self.tile.width, number) {
            (1, 0) => ".x",
            (1, 1) => ".y",
            (1, 2) => ".z",
            (1, _) => ".w",
            (2, 0) => ".xy",
            (2, _) => ".zw",
            (3, _) => ".xyz",
            _ => "",
        }
    }

    /// Bias, activation and storing of what lies inside the dispatch's part of the output.
    fn finish(&mut self) -> fmt::Result {
        let sums = sums(self.tile);
        if self.in_parts {
            writeln!(self.out, "    if params.input_channel_end < params.group_in_channels {{")?;
            for number in 0..sums.len() {
                writeln!(self.out, "        partial[{number} * slots + slot] = s{number};")?;
            }
            writeln!(self.out, "        return;\n    }}")?;
        }
        if self.tile.slab.is_some() {
            writeln!(self.out, "    if n >= params.batch_end {{\n        return;\n    }}")?;
        }
        let parted = self.tile.phase_parts() > 1;
        for (a, letter, axis) in self.axes() {
            let phase = if parted { format!(" + phase_{letter}") } else { String::new() };
            for cell in 0..axis.cells {
                for slot in 0..axis.phases {
                    let o = cell * axis.stride + slot;
                    writeln!(
                        self.out,
                        "    let o{letter}{cell}_{slot} = {letter} * {}{phase} + {o} - params.axes[{a}].output_begin;",
                        axis.stride
                    )?;
                }
            }
        }
        let width = self.tile.width;
        let first = "channel_group * params.group_out_channels + first_channel";
        let split = if self.split() { " + split * params.split_stride" } else { "" };
        for vector in 0..self.tile.vectors {
            writeln!(
                self.out,
                "    let out{vector} = n * params.output_batch_stride + ({first} + {}) * params.output_channel_stride - params.output_window{split};",
                vector * width
            )?;
            let slopes = self.in_units(&format!("params.record_stride - {}", self.packing.unit));
            let alpha = format!("weights[record{vector} + {slopes}][0]{}", self.swizzle(0));
            writeln!(self.out, "    let alpha{vector} = {alpha};")?;
            if self.tile.ragged {
                writeln!(
                    self.out,
                    "    let kept{vector} = params.group_out_channels - first_channel - {};",
                    vector * width
                )?;
            }
        }
        self.stores(&sums)
    }

    /// The stores, with one test for each row of outputs and one for each output of a row.
    fn stores(&mut self, sums: &[Sum]) -> fmt::Result {
        let coordinate = |sum: &Sum, a: usize| format!("o{}{}_{}", LETTERS[a], sum.at[a].0, sum.at[a].1);
        let rows = 3 - self.tile.rank..2;
        let row_length = self.tile.axes[2].cells * self.tile.axes[2].phases;
        for (row, sums) in sums.chunks(row_length).enumerate() {
            let vector = sums[0].vector;
            let inside: Vec<String> = rows
                .clone()
                .map(|a| format!("inside({}, params.axes[{a}].output_extent)", coordinate(&sums[0], a)))
                .collect();
            let at: Vec<String> = rows
                .clone()
                .map(|a| {
                    format!(
                        " + ({0} + params.axes[{a}].output_begin) * params.axes[{a}].output_stride",
                        coordinate(&sums[0], a)
                    )
                })
                .collect();
            let condition = if inside.is_empty() { "true".into() } else { inside.join(" && ") };
            writeln!(self.out, "    if {condition} {{")?;
            writeln!(self.out, "        let row = out{vector}{};", at.concat())?;
            let size = if self.tile.output_quads { 4 } else { 1 };
            for (quad, sums) in sums.chunks(size).enumerate() {
                let x = coordinate(&sums[0], 2);
                writeln!(self.out, "        if inside({x}, params.axes[2].output_extent) {{")?;
                writeln!(
                    self.out,
                    "            let at = row + ({x} + params.axes[2].output_begin) * params.axes[2].output_stride;"
                )?;
                for (lane, component) in COMPONENTS.into_iter().enumerate().take(self.tile.width) {
                    let component = if self.tile.width == 1 { "" } else { component };
                    let names: Vec<String> = (0..sums.len())
                        .map(|number| format!("s{}{component}", row * row_length + quad * size + number))
                        .collect();
                    let kept = if self.tile.ragged { format!("if kept{vector} > {lane} {{ ") } else { String::new() };
                    let close = if self.tile.ragged { " }" } else { "" };
                    writeln!(
                        self.out,
                        "            {kept}store(at + {lane} * params.output_channel_stride, {}, alpha{vector}{component});{close}",
                        names.join(", ")
                    )?;
                }
                writeln!(self.out, "        }}")?;
            }
            writeln!(self.out, "    }}")?;
        }
        Ok(())
    }

    /// Finishing an output or a quad of them.
    fn store(&mut self) -> fmt::Result {
        if self.tile.output_quads {
            writeln!(self.out, "fn store(at: i32, s0: f32, s1: f32, s2: f32, s3: f32, alpha: f32) {{")?;
            let finished: Vec<String> = (0..4).map(|number| self.finished(&format!("s{number}"))).collect();
            writeln!(self.out, "    output[u32(at) / 4u] = Output(")?;
            for value in finished {
                writeln!(self.out, "        {value},")?;
            }
            writeln!(self.out, "    );\n}}\n")
        } else {
            writeln!(self.out, "fn store(at: i32, sum: f32, alpha: f32) {{")?;
            let finished = self.finished("sum");
            writeln!(self.out, "    output[at] = {finished};\n}}\n")
        }
    }

    /// What is stored of a sum.
    fn finished(&self, sum: &str) -> String {
        if self.split() { sum.into() } else { format!("Elem(activate({sum}, alpha, params.beta))") }
    }
}
