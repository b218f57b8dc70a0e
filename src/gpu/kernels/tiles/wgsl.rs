//! The text of a program. `shaders/direct.wgsl` and `shaders/tiled.wgsl` are those of one tile each, the places to read
//! what the kernels do.

use super::build::program;
use super::program::{
    Brought, COMPONENTS, Condition, InputAt, Memory, Operands, Program, Statement, WeightAt, part, plus,
};
use super::register_tile::{Access, LETTERS};
use super::tile::Tile;
use crate::gpu::kernels::fused::{Adds, Fused, RESIDUAL};
use crate::gpu::kernels::pack::tiles::Packing;
use crate::gpu::storage::Storage;
use std::fmt::{self, Write};

/// The part that is the same for every tile.
const HEAD: &str = include_str!("head.wgsl");

/// The kernel's text behind the header of `Elem` and `activate`; `in_parts` is whether several dispatches share the
/// input channels of an output.
pub(crate) fn generate(tile: &Tile, packing: &Packing, fused: &Fused, in_parts: bool) -> String {
    let program = program(tile, packing, fused, in_parts);
    let mut text = String::new();
    // Writing to a String does not fail.
    let _ = Printer { program: &program, fused, out: &mut text, depth: 0 }.kernel();
    text
}

/// A complete file: the kernel with a header that explains it, for people to read.
#[cfg(test)]
pub(crate) fn canonical(tile: &Tile, packing: &Packing) -> String {
    let head = if tile.workgroup().is_some() { include_str!("tiled.wgsl") } else { include_str!("direct.wgsl") };
    format!("{head}\n{}", generate(tile, packing, &Fused::behind("y"), false))
}

struct Printer<'a> {
    program: &'a Program,
    fused: &'a Fused,
    out: &'a mut String,
    /// Of the braces around a statement.
    depth: usize,
}

impl Printer<'_> {
    fn kernel(&mut self) -> fmt::Result {
        let Program { name, workgroup, width, operands, writes, split_k, in_parts, .. } = *self.program;
        let Operands { reads, unit, memory, factors } = operands;
        let factor = factors.wgsl();
        let vector = |of: &str| if width == 1 { of.to_string() } else { format!("vec{width}<{of}>") };
        let stored = |elem: &str, access| match access {
            Access::Element => elem.to_string(),
            Access::Columns | Access::Channels => format!("vec4<{elem}>"),
        };
        let (input, loaded, accumulator) = (stored("Elem", reads), stored(factor, reads), vector("f32"));
        let sum = match factors {
            Storage::F32 => String::new(),
            Storage::F16 => format!(
                "// What an accumulator is added in one round of the loop: products of f16, which are added up as such.
                alias Sum = {};\n\n",
                vector(factor)
            ),
        };
        // The accumulators of a split stay f32 until they are added up.
        let output = stored(if split_k { "f32" } else { "Elem" }, writes);
        self.text(&format!(
            "// A vector of output channels.
            alias Accumulator = {accumulator};

            {sum}alias Input = {input};
            alias Loaded = {loaded};
            alias Output = {output};

            // Weights that are read at once.
            alias Weights = array<vec4<{factor}>, {unit}>;\n\n"
        ))?;
        let input = format!("var<storage, {}> input", self.fused.read());
        writeln!(self.out, "{}", HEAD.replace("var<storage, read> input", &input))?;
        self.load()?;
        self.store()?;
        if in_parts {
            self.text(
                "// Accumulators that a later dispatch continues.
                @group(0) @binding(4) var<storage, read_write> partial: array<Accumulator>;\n\n",
            )?;
        }
        if let Some(Memory { k_chunk, units, unit, vectors, weights }) = memory {
            self.text(&format!(
                "// For each input channel of a K-chunk the inputs that the box reads, {unit} a unit: no vector, whose
                // components several invocations may not write.
                var<workgroup> input_chunk: array<array<array<f32, {unit}>, {units}>, {k_chunk}>;
                // For each vector of output channels its weights for the K-chunk.
                var<workgroup> weight_chunk: array<array<vec4<f32>, {weights}>, {vectors}>;\n\n"
            ))?;
        }
        self.text(&format!(
            "@compute @workgroup_size({workgroup})
            fn {name}(
                @builtin(workgroup_id) group: vec3<u32>,
                @builtin(num_workgroups) groups: vec3<u32>,
                @builtin(local_invocation_index) lane: u32,
            ) {{"
        ))?;
        self.program.statements.iter().try_for_each(|statement| self.statement(statement))?;
        self.text("}")
    }

    /// Reading an input or a vector of them where something is done to it first.
    fn load(&mut self) -> fmt::Result {
        if !self.fused.pre_activates() {
            return Ok(());
        }
        let wide = if self.program.operands.reads == Access::Element { "f32" } else { "vec4<f32>" };
        let own = if self.alpha_of_each() { "vec4<f32>" } else { "f32" };
        let value = match self.program.operands.reads {
            Access::Columns | Access::Channels => {
                let alpha = |component| if own == "f32" { String::new() } else { String::from(component) };
                let value =
                    |component| format!("pre_activate(x{component}, alpha{}, params.pre_beta)", alpha(component));
                format!("Loaded(vec4({}))", COMPONENTS.map(value).join(", "))
            }
            Access::Element => "Loaded(pre_activate(x, alpha, params.pre_beta))".into(),
        };
        self.text(&format!(
            "// What is read of the inputs, through the activation before the products.
            fn load(at: i32, alpha: {own}) -> Loaded {{
            let x = {wide}(input[at]);
            return {value};
            }}\n\n"
        ))
    }

    /// Finishing an output or a vector of them, to which is added what stands at `beside` in the residual.
    fn store(&mut self) -> fmt::Result {
        let writes = self.program.writes;
        let vectors = writes != Access::Element;
        let [at, beside] = ["at", "beside"].map(|at| if vectors { format!("u32({at}) / 4u") } else { at.into() });
        let wide = if vectors { "vec4<f32>" } else { "f32" };
        let (parameter, added) = match self.fused.adds {
            Adds::Nothing => ("", String::new()),
            Adds::Output => ("", format!("let added = {wide}(output[{at}]);\n")),
            Adds::Residual => {
                let read = self.fused.read();
                self.text(&format!(
                    "@group(0) @binding({RESIDUAL}) var<storage, {read}> residual: array<Output>;\n\n"
                ))?;
                ("beside: i32, ", format!("let added = {wide}(residual[{beside}]);\n"))
            }
        };
        // Four channels have a slope each.
        let alpha = |component: &'static str| if writes == Access::Channels { component } else { "" };
        let finished = |value: &str, component: &'static str| match (self.program.split_k, self.fused.adds) {
            (true, _) => value.to_string(),
            (false, Adds::Nothing) => format!("Elem(activate({value}, alpha{}, params.beta))", alpha(component)),
            (false, _) => {
                format!("Elem(activate({value} + added{component}, alpha{}, params.beta))", alpha(component))
            }
        };
        let of_each = |name: &dyn Fn(usize, &'static str) -> String| -> String {
            let value = |(number, component)| format!("{},\n", finished(&name(number, component), component));
            COMPONENTS.into_iter().enumerate().map(value).collect()
        };
        let (parameters, value) = match writes {
            Access::Element => ("acc: f32, alpha: f32", finished("acc", "")),
            Access::Columns => (
                "acc0: f32, acc1: f32, acc2: f32, acc3: f32, alpha: f32",
                format!("Output(\n{})", of_each(&|number, _| format!("acc{number}"))),
            ),
            Access::Channels => (
                "acc: vec4<f32>, alpha: vec4<f32>",
                format!("Output(\n{})", of_each(&|_, component| format!("acc{component}"))),
            ),
        };
        self.text(&format!("fn store(at: i32, {parameter}{parameters}) {{\n{added}output[{at}] = {value};\n}}\n\n"))
    }

    fn line(&mut self, text: impl fmt::Display) -> fmt::Result {
        writeln!(self.out, "{:1$}{text}", "", 4 * self.depth)
    }

    /// Lines, indented by the brackets around them.
    fn text(&mut self, lines: &str) -> fmt::Result {
        for line in lines.lines().map(str::trim) {
            self.depth -= usize::from(line.starts_with(['}', ')']));
            if line.is_empty() {
                writeln!(self.out)?;
            } else {
                self.line(line)?;
            }
            self.depth += usize::from(line.ends_with(['{', '(']));
        }
        Ok(())
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
            Statement::Text(lines) => self.text(lines),
            Statement::If(condition, body) => self.block(&format!("if {}", self.condition(condition)), body),
            Statement::Block(body) => self.block("", body),
            Statement::Loop(channels, body) => {
                let (first, end) = match self.program.split_k {
                    true => ("first_ci", "end_ci"),
                    false => ("params.input_channel_begin", "params.input_channel_end"),
                };
                let step = if *channels == 1 { "ci++".into() } else { format!("ci += {channels}") };
                self.block(&format!("for (var ci = {first}; ci < {end}; {step})"), body)
            }
            Statement::Rounds { axis, rounds, back, body } => {
                let letter = LETTERS[*axis];
                self.line(format_args!("var first_{letter} = start_{letter};"))?;
                self.line(format_args!(
                    "for (var round_{letter} = 0; round_{letter} < {rounds}; round_{letter}++) {{"
                ))?;
                self.depth += 1;
                body.iter().try_for_each(|statement| self.statement(statement))?;
                self.line(format_args!("first_{letter} -= {back};"))?;
                self.depth -= 1;
                self.line("}")
            }
            Statement::Barrier => self.line("workgroupBarrier();"),
            Statement::Test { axis, number, offset } => {
                let (letter, extent) = (LETTERS[*axis], format!("params.axes[{axis}].input_extent"));
                let at = plus(&format!("first_{letter}"), *offset);
                self.line(format_args!("let has_{letter}{number} = inside({at}, {extent});"))
            }
            Statement::Distance { axis, number, offset, clamped } => {
                let letter = LETTERS[*axis];
                let at = plus(&format!("first_{letter}"), *offset);
                let at = if *clamped { format!("keep({at}, {axis})") } else { format!("({at})") };
                let distance = self.in_loads(&format!("{at} * params.axes[{axis}].input_stride"));
                self.line(format_args!("let {letter}{number} = {distance};"))
            }
            Statement::LoadInput(input, at) => {
                let value = self.input(at);
                self.line(format_args!("let {input} = {value};"))
            }
            Statement::LoadWeight(weight, WeightAt::Buffer { unit, vec4 }) => {
                self.line(format_args!("let {weight} = weights[w{} + {unit}][{vec4}];", weight.vector))
            }
            Statement::LoadWeight(weight, WeightAt::Memory { vectors, index }) => {
                self.line(format_args!("let {weight} = weight_chunk[own * {vectors} + {}][{index}];", weight.vector))
            }
            Statement::Fma { accumulator: acc, input, component, weight, part: number } => {
                let component = component.map_or("", |component| COMPONENTS[component]);
                let part = part(self.program.width, *number);
                let (to, vector) = match self.program.operands.factors {
                    Storage::F32 => ("acc", "Accumulator"),
                    Storage::F16 => ("sum", "Sum"),
                };
                self.line(format_args!("{to}{acc} = fma({vector}({input}{component}), {weight}{part}, {to}{acc});"))
            }
            Statement::AdvanceInputs(channels) => {
                let distance = self.channels_on(*channels);
                self.line(format_args!("at += {distance};"))?;
                if self.fused.pre_by_channel { self.line(format_args!("channel += {channels};")) } else { Ok(()) }
            }
            Statement::AdvanceWeights { number, units } => self.line(format_args!("w{number} += {units};")),
            Statement::Fill(brought) => {
                let (to, value) = (self.in_memory(*brought), self.brought(*brought));
                self.line(format_args!("{to} = {value};"))
            }
            Statement::ReadAhead(brought) => {
                let value = self.brought(*brought);
                self.line(format_args!("{brought} = {value};"))
            }
            Statement::FillAhead(brought) => {
                let to = self.in_memory(*brought);
                self.line(format_args!("{to} = {brought};"))
            }
            Statement::Store { accumulators, vector, lane } => {
                let whole = self.program.width == 1 || self.program.writes == Access::Channels;
                let component = if whole { "" } else { COMPONENTS[*lane] };
                let values: String = accumulators.iter().map(|number| format!("acc{number}{component}, ")).collect();
                let at = format!("at + {lane} * params.output_channel_stride");
                let beside = match self.fused.adds {
                    Adds::Residual => format!("beside + {lane} * params.residual_channel_stride, "),
                    Adds::Nothing | Adds::Output => String::new(),
                };
                self.line(format_args!("store({at}, {beside}{values}alpha{vector}{component});"))
            }
        }
    }

    fn condition(&self, condition: &Condition) -> String {
        match condition {
            Condition::Inside(outputs) if outputs.is_empty() => "true".into(),
            Condition::Inside(outputs) => {
                let inside = |&(a, (cell, slot)): &(usize, (usize, usize))| {
                    format!("inside(o{}{cell}_{slot}, params.axes[{a}].output_extent)", LETTERS[a])
                };
                outputs.iter().map(inside).collect::<Vec<_>>().join(" && ")
            }
            Condition::IsChannel { vector, lane } => format!("kept{vector} > {lane}"),
            Condition::IsInput { number, total } => format!("e{number} < {total}"),
            Condition::IsWeight { number, total } => format!("f{number} < {total}"),
            Condition::IsMore { channels } => format!("ci + {channels} < params.input_channel_end"),
        }
    }

    /// What an invocation brings into the workgroup's memory, read from a buffer.
    fn brought(&self, brought: Brought) -> String {
        match brought {
            Brought::Input { number, channel } => {
                let at = format!("at + {channel} * params.input_channel_stride + from{number}");
                format!("select(0.0, {}, has{number})", self.loaded(&at, channel))
            }
            Brought::Weight { number } => format!("weights[w{number}][0]"),
        }
    }

    /// Where that stands there.
    fn in_memory(&self, brought: Brought) -> String {
        let (unit, weights) = self.program.operands.memory.map_or((1, 1), |memory| (memory.unit, memory.weights));
        match brought {
            Brought::Input { number, channel } => {
                format!("input_chunk[{channel}][e{number} / {unit}][e{number} % {unit}]")
            }
            Brought::Weight { number } => format!("weight_chunk[f{number} / {weights}][f{number} % {weights}]"),
        }
    }

    /// A distance in elements as one in loads.
    fn in_loads(&self, distance: &str) -> String {
        if self.program.operands.reads == Access::Element { distance.into() } else { format!("({distance}) >> 2u") }
    }

    /// The distance to the input so many channels on, in loads.
    fn channels_on(&self, channels: usize) -> String {
        let one = self.in_loads("params.input_channel_stride");
        match (self.program.operands.reads, channels) {
            (Access::Channels, _) => (channels / 4).to_string(),
            (_, 1) => one,
            (Access::Columns, _) => format!("{channels} * ({one})"),
            (Access::Element, _) => format!("{channels} * {one}"),
        }
    }

    /// Whether a load is of four channels whose activation has a parameter for each.
    fn alpha_of_each(&self) -> bool {
        self.fused.pre_by_channel && self.program.operands.reads == Access::Channels
    }

    /// What is read there, of the input channel so many on.
    fn loaded(&self, at: &str, channel: usize) -> String {
        match (self.fused.pre_activates(), self.fused.pre_by_channel) {
            (false, _) => format!("Loaded(input[{at}])"),
            (true, false) => format!("load({at}, params.pre_alpha)"),
            (true, true) => {
                let alpha = |channel: usize| format!("pre_alpha(channel + {channel})");
                match self.alpha_of_each() {
                    true => format!("load({at}, vec4({}))", [0, 1, 2, 3].map(|on| alpha(channel + on)).join(", ")),
                    false => format!("load({at}, {})", alpha(channel)),
                }
            }
        }
    }

    /// The value of an input.
    fn input(&self, at: &InputAt) -> String {
        match at {
            InputAt::Memory { channel, unit, element } => {
                format!("input_chunk[{channel}][own_unit + {unit}][{element}]")
            }
            InputAt::Buffer { channel, distances, tests } => {
                let mut at = "at".to_string();
                if *channel > 0 {
                    at += &format!(" + ({})", self.channels_on(*channel));
                }
                for &(axis, base, beyond) in distances {
                    at += &format!(" + {}{base}", LETTERS[axis]);
                    at += &if beyond == 0 { String::new() } else { format!(" + {beyond}") };
                }
                let value = self.loaded(&at, *channel);
                let tests: Vec<String> =
                    tests.iter().map(|&(a, number)| format!("has_{}{number}", LETTERS[a])).collect();
                if tests.is_empty() { value } else { format!("select(Loaded(), {value}, {})", tests.join(" && ")) }
            }
        }
    }
}
