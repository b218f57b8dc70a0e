//! The text of a program. `shaders/direct.wgsl` and `shaders/tiled.wgsl` are those of one tile each, the places to read
//! what the kernels do.

use super::build::program;
use super::program::{Condition, Input, InputAt, Memory, Program, Statement, Weight, WeightAt, plus};
use super::register_tile::LETTERS;
use super::tile::Tile;
use crate::gpu::kernels::pack::tiles::Packing;
use std::fmt::{self, Write};

/// The part that is the same for every tile.
const HEAD: &str = include_str!("head.wgsl");

const COMPONENTS: [&str; 4] = [".x", ".y", ".z", ".w"];

/// The kernel's text behind the header of `Elem` and `activate`; `in_parts` is whether several dispatches share the
/// input channels of an output.
pub(crate) fn generate(tile: &Tile, packing: &Packing, in_parts: bool) -> String {
    let program = program(tile, packing, in_parts);
    let mut text = String::new();
    // Writing to a String does not fail.
    let _ = Printer { program: &program, out: &mut text, depth: 0 }.kernel();
    text
}

/// A complete file: the kernel with a header that explains it, for people to read.
#[cfg(test)]
pub(crate) fn canonical(tile: &Tile, packing: &Packing) -> String {
    let head = if tile.workgroup().is_some() { include_str!("tiled.wgsl") } else { include_str!("direct.wgsl") };
    format!("{head}\n{}", generate(tile, packing, false))
}

struct Printer<'a> {
    program: &'a Program,
    out: &'a mut String,
    /// Of the braces around a statement.
    depth: usize,
}

fn input_name(Input { channel, at: [z, y, x] }: Input) -> String {
    if channel == 0 { format!("i{z}_{y}_{x}") } else { format!("i{z}_{y}_{x}_{channel}") }
}

fn weight_name(Weight { vector, index }: Weight) -> String {
    format!("w{vector}_{index}")
}

fn output_name(axis: usize, (cell, slot): (usize, usize)) -> String {
    format!("o{}{cell}_{slot}", LETTERS[axis])
}

impl Printer<'_> {
    fn kernel(&mut self) -> fmt::Result {
        let Program { name, workgroup, width, input_vectors, output_vectors, unit, split_k, in_parts, memory, .. } =
            *self.program;
        let sum = if width == 1 { "f32".to_string() } else { format!("vec{width}<f32>") };
        writeln!(self.out, "// Output channels of one vector.\nalias Sum = {sum};\n")?;
        let stored = |elem: &str, vectors: bool| if vectors { format!("vec4<{elem}>") } else { elem.to_string() };
        writeln!(self.out, "alias Input = {};", stored("Elem", input_vectors))?;
        writeln!(self.out, "alias Loaded = {};", stored("f32", input_vectors))?;
        // The sums of a split stay f32 until they are added up.
        writeln!(self.out, "alias Output = {};\n", stored(if split_k { "f32" } else { "Elem" }, output_vectors))?;
        writeln!(self.out, "// Taps that lie together.\nalias Taps = array<vec4<f32>, {unit}>;\n")?;
        writeln!(self.out, "{HEAD}")?;
        self.store()?;
        if in_parts {
            writeln!(self.out, "// Sums that a later dispatch continues.")?;
            writeln!(self.out, "@group(0) @binding(4) var<storage, read_write> partial: array<Sum>;\n")?;
        }
        if let Some(Memory { k_chunk, units, unit, vectors, weights }) = memory {
            writeln!(
                self.out,
                "// For each input channel of a chunk the inputs that the box reads, {unit} a unit: no vector, whose\n\
                 // components several invocations may not write.\n\
                 var<workgroup> inputs: array<array<array<f32, {unit}>, {units}>, {k_chunk}>;\n\
                 // For each vector of output channels its weights for the chunk.\n\
                 var<workgroup> factors: array<array<vec4<f32>, {weights}>, {vectors}>;\n"
            )?;
        }
        writeln!(self.out, "@compute @workgroup_size({workgroup})")?;
        writeln!(self.out, "fn {name}(")?;
        writeln!(self.out, "    @builtin(workgroup_id) group: vec3<u32>,")?;
        writeln!(self.out, "    @builtin(num_workgroups) groups: vec3<u32>,")?;
        writeln!(self.out, "    @builtin(local_invocation_index) lane: u32,")?;
        self.block(")", &self.program.statements)
    }

    /// Finishing an output or a vector of them.
    fn store(&mut self) -> fmt::Result {
        // What is stored of a sum.
        let finished = |sum: &str| match self.program.split_k {
            true => sum.to_string(),
            false => format!("Elem(activate({sum}, alpha, params.beta))"),
        };
        if self.program.output_vectors {
            writeln!(self.out, "fn store(at: i32, s0: f32, s1: f32, s2: f32, s3: f32, alpha: f32) {{")?;
            writeln!(self.out, "    output[u32(at) / 4u] = Output(")?;
            for sum in ["s0", "s1", "s2", "s3"] {
                writeln!(self.out, "        {},", finished(sum))?;
            }
            writeln!(self.out, "    );\n}}\n")
        } else {
            writeln!(self.out, "fn store(at: i32, sum: f32, alpha: f32) {{")?;
            writeln!(self.out, "    output[at] = {};\n}}\n", finished("sum"))
        }
    }

    fn line(&mut self, text: impl fmt::Display) -> fmt::Result {
        writeln!(self.out, "{:1$}{text}", "", 4 * self.depth)
    }

    /// Statements in braces, behind what they depend on.
    fn block(&mut self, head: &str, body: &[Statement]) -> fmt::Result {
        self.line(format_args!("{head}{}{{", if head.is_empty() { "" } else { " " }))?;
        self.depth += 1;
        body.iter().try_for_each(|statement| self.statement(statement))?;
        self.depth -= 1;
        self.line("}")
    }

    fn statement(&mut self, statement: &Statement) -> fmt::Result {
        match statement {
            Statement::Line(text) => self.line(text),
            Statement::If(condition, body) => self.conditional(condition, body),
            Statement::Block(body) => self.block("", body),
            Statement::Loop(channels, body) => {
                let (first, end) = match self.program.split_k {
                    true => ("first_ci", "end_ci"),
                    false => ("params.input_channel_begin", "params.input_channel_end"),
                };
                let step = if *channels == 1 { "ci++".into() } else { format!("ci += {channels}") };
                self.block(&format!("for (var ci = {first}; ci < {end}; {step})"), body)
            }
            Statement::Return => self.line("return;"),
            Statement::Barrier => self.line("workgroupBarrier();"),
            Statement::Test(load) => {
                let (axis, letter) = (load.axis, LETTERS[load.axis]);
                let at = plus(&format!("first_{letter}"), load.offset);
                let inside = format!("inside({at}, params.axes[{axis}].input_extent)");
                self.line(format_args!("let has_{letter}{} = {inside};", load.number))
            }
            Statement::Distance { load, clamped } => {
                let (axis, letter) = (load.axis, LETTERS[load.axis]);
                let at = plus(&format!("first_{letter}"), load.offset);
                let at = if *clamped { format!("keep({at}, {axis})") } else { format!("({at})") };
                let distance = self.in_loads(&format!("{at} * params.axes[{axis}].input_stride"));
                self.line(format_args!("let {letter}{} = {distance};", load.number))
            }
            Statement::LoadRecord { name, vector, at } => {
                self.line(format_args!("let {name}{vector} = weights[{at}][0]{};", self.part(0)))
            }
            Statement::Begin { accumulator, vector } => self.line(format_args!("var s{accumulator} = bias{vector};")),
            Statement::Restore { accumulator } => {
                self.line(format_args!("s{accumulator} = partial[{accumulator} * slots + slot];"))
            }
            Statement::Save { accumulator } => {
                self.line(format_args!("partial[{accumulator} * slots + slot] = s{accumulator};"))
            }
            Statement::LoadInput(input, at) => {
                let value = self.input(at);
                self.line(format_args!("let {} = {value};", input_name(*input)))
            }
            Statement::LoadWeight(weight, at) => {
                let value = match at {
                    WeightAt::Buffer { unit, vec4 } => format!("weights[w{} + {unit}][{vec4}]", weight.vector),
                    WeightAt::Memory { vectors, index } => {
                        format!("factors[own * {vectors} + {}][{index}]", weight.vector)
                    }
                };
                self.line(format_args!("let {} = {value};", weight_name(*weight)))
            }
            Statement::Fma { accumulator, input, component, weight, part } => {
                let component = component.map_or("", |component| COMPONENTS[component]);
                let (input, weight, part) = (input_name(*input), weight_name(*weight), self.part(*part));
                self.line(format_args!(
                    "s{accumulator} = fma(Sum({input}{component}), {weight}{part}, s{accumulator});"
                ))
            }
            Statement::AdvanceInputs { channels } => {
                let distance = match self.program.memory {
                    None => self.channels_on(*channels),
                    Some(_) => format!("{channels} * params.input_channel_stride"),
                };
                self.line(format_args!("at += {distance};"))
            }
            Statement::AdvanceWeights { number, units } => self.line(format_args!("w{number} += {units};")),
            Statement::FillInput { number, channel } => {
                let unit = self.program.memory.map_or(1, |memory| memory.unit);
                let from = format!("input[at + {channel} * params.input_channel_stride + from{number}]");
                let to = format!("inputs[{channel}][e{number} / {unit}][e{number} % {unit}]");
                self.line(format_args!("{to} = select(0.0, f32({from}), has{number});"))
            }
            Statement::FillWeight { number } => {
                let weights = self.program.memory.map_or(1, |memory| memory.weights);
                let to = format!("factors[f{number} / {weights}][f{number} % {weights}]");
                self.line(format_args!("{to} = weights[w{number}][0];"))
            }
            Statement::Store { accumulators, vector, lane } => {
                let component = if self.program.width == 1 { "" } else { COMPONENTS[*lane] };
                let sums: String = accumulators.iter().map(|number| format!("s{number}{component}, ")).collect();
                let at = format!("at + {lane} * params.output_channel_stride");
                self.line(format_args!("store({at}, {sums}alpha{vector}{component});"))
            }
        }
    }

    fn conditional(&mut self, condition: &Condition, body: &[Statement]) -> fmt::Result {
        let condition = match condition {
            Condition::Index(text) => text.clone(),
            Condition::Inside(outputs) if outputs.is_empty() => "true".into(),
            Condition::Inside(outputs) => {
                let inside = |&(a, at): &(usize, (usize, usize))| {
                    format!("inside({}, params.axes[{a}].output_extent)", output_name(a, at))
                };
                outputs.iter().map(inside).collect::<Vec<_>>().join(" && ")
            }
            Condition::IsChannel { vector, lane } => format!("kept{vector} > {lane}"),
            Condition::IsInput { number, total } => format!("e{number} < {total}"),
            Condition::IsWeight { number, total } => format!("f{number} < {total}"),
        };
        self.block(&format!("if {condition}"), body)
    }

    /// A distance in elements as one in loads.
    fn in_loads(&self, distance: &str) -> String {
        if self.program.input_vectors { format!("({distance}) >> 2u") } else { distance.into() }
    }

    /// The distance to the input so many channels on, in loads.
    fn channels_on(&self, channels: usize) -> String {
        let one = self.in_loads("params.input_channel_stride");
        if channels == 1 { one } else { format!("{channels} * ({one})") }
    }

    /// The value of an input.
    fn input(&self, at: &InputAt) -> String {
        match at {
            InputAt::Memory { channel, unit, element } => format!("inputs[{channel}][own_unit + {unit}][{element}]"),
            InputAt::Buffer { channel, distances, tests } => {
                let mut at = "at".to_string();
                if *channel > 0 {
                    at += &format!(" + ({})", self.channels_on(*channel));
                }
                for distance in distances {
                    let (letter, base) = (LETTERS[distance.axis], distance.base);
                    at += &format!(" + {letter}{base}");
                    if distance.beyond != 0 {
                        at += &format!(" + {}", distance.beyond);
                    }
                }
                let value = format!("Loaded(input[{at}])");
                let tests: Vec<String> =
                    tests.iter().map(|&(a, number)| format!("has_{}{number}", LETTERS[a])).collect();
                if tests.is_empty() { value } else { format!("select(Loaded(), {value}, {})", tests.join(" && ")) }
            }
        }
    }

    /// The part of a vec4 of weights that belongs to its tap number `number`.
    fn part(&self, number: usize) -> &'static str {
        match (self.program.width, number) {
            (1, _) => COMPONENTS[number],
            (2, 0) => ".xy",
            (2, _) => ".zw",
            (3, _) => ".xyz",
            _ => "",
        }
    }
}
