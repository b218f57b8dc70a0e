//! The program of a tile.

use super::program::{Condition, Program, Statement, line};
use super::register_tile::{Accumulator, RegisterTile};
use super::tile::Tile;
use crate::gpu::kernels::pack::tiles::Packing;

/// `in_parts` is whether several dispatches share the input channels of an output.
pub(crate) fn program(tile: &Tile, packing: &Packing, in_parts: bool) -> Program {
    let Tile { shape, .. } = tile;
    let source = tile.source();
    let (split_k, unit) = (source.split_k() > 1, source.unit(shape, packing));
    let mut program = Program {
        name: source.kernel().name(),
        workgroup: source.invocations(),
        width: shape.width,
        input_vectors: source.reads_vectors(),
        output_vectors: shape.output_vectors,
        unit,
        split_k,
        in_parts,
        memory: source.memory(shape, packing),
        statements: source.place(shape, packing),
    };
    let accumulators = shape.accumulators();
    begin(&mut program, shape, &accumulators);
    program.statements.extend(source.accumulate(shape, packing));
    if in_parts {
        let mut leave: Vec<_> = (0..accumulators.len()).map(|accumulator| Statement::Save { accumulator }).collect();
        leave.push(Statement::Return);
        let unfinished = Condition::Index("params.input_channel_end < params.group_in_channels".into());
        program.statements.push(Statement::If(unfinished, leave));
    }
    if tile.workgroup().is_some() {
        // A workgroup's last items may lie beyond the batch: their invocations helped to bring.
        let beyond = Condition::Index("n >= params.batch_end".into());
        program.statements.push(Statement::If(beyond, vec![Statement::Return]));
    }
    place_outputs(&mut program, shape, packing);
    store(&mut program, shape, &accumulators);
    program
}

/// The accumulators begin with the biases, or with what earlier dispatches left.
fn begin(program: &mut Program, shape: &RegisterTile, accumulators: &[Accumulator]) {
    let Program { workgroup, split_k, in_parts, statements: out, .. } = program;
    for vector in 0..shape.vectors {
        out.push(match split_k {
            true => line(format!("let bias{vector} = Sum();")),
            false => Statement::LoadRecord { name: "bias", vector, at: format!("record{vector}") },
        });
    }
    let begins = accumulators.iter().enumerate();
    out.extend(begins.map(|(accumulator, of)| Statement::Begin { accumulator, vector: of.vector }));
    if *in_parts {
        out.push(line(format!("let slots = i32(groups.x * groups.y * groups.z * {workgroup}u);")));
        let group = "(group.z * groups.y + group.y) * groups.x + group.x";
        out.push(line(format!("let slot = i32(({group}) * {workgroup}u + lane);")));
        let restore = (0..accumulators.len()).map(|accumulator| Statement::Restore { accumulator }).collect();
        out.push(Statement::If(Condition::Index("params.input_channel_begin > 0".into()), restore));
    }
}

/// Where the outputs are, and the slopes of their activation.
fn place_outputs(program: &mut Program, shape: &RegisterTile, packing: &Packing) {
    let Program { unit, split_k, statements: out, .. } = program;
    for (a, letter, axis) in shape.used_axes() {
        let stride = axis.stride;
        let phase = if shape.phase_parts() > 1 { format!(" + phase_{letter}") } else { String::new() };
        for (cell, slot) in (0..axis.cells).flat_map(|cell| (0..axis.phases).map(move |slot| (cell, slot))) {
            let o = format!("{letter} * {stride}{phase} + {}", cell * stride + slot);
            out.push(line(format!("let o{letter}{cell}_{slot} = {o} - params.axes[{a}].output_begin;")));
        }
    }
    let split = if *split_k { " + split * params.split_stride" } else { "" };
    let slopes = format!("params.record_stride - {}", packing.unit);
    let slopes = if *unit > 1 { format!("({slopes}) / {unit}") } else { slopes };
    for vector in 0..shape.vectors {
        let first = vector * shape.width;
        let channel = format!("(channel_group * params.group_out_channels + first_channel + {first})");
        let at = format!("n * params.output_batch_stride + {channel} * params.output_channel_stride");
        out.push(line(format!("let out{vector} = {at} - params.output_window{split};")));
        out.push(Statement::LoadRecord { name: "alpha", vector, at: format!("record{vector} + {slopes}") });
        if shape.ragged {
            out.push(line(format!("let kept{vector} = params.group_out_channels - first_channel - {first};")));
        }
    }
}

/// The stores, with one test for each row of outputs and one for each output, or vector of them, of a row.
fn store(program: &mut Program, shape: &RegisterTile, accumulators: &[Accumulator]) {
    let at = |accumulator: &Accumulator, axes: std::ops::Range<usize>| -> Vec<(usize, (usize, usize))> {
        axes.map(|a| (a, accumulator.at[a])).collect()
    };
    let distance = |&(a, (cell, slot)): &(usize, (usize, usize))| {
        let o = format!("o{}{cell}_{slot}", super::register_tile::LETTERS[a]);
        format!(" + ({o} + params.axes[{a}].output_begin) * params.axes[{a}].output_stride")
    };
    let row_length = shape.axes[2].cells * shape.axes[2].phases;
    let size = if shape.output_vectors { 4 } else { 1 };
    for (row, of_row) in accumulators.chunks(row_length).enumerate() {
        let (vector, rows) = (of_row[0].vector, at(&of_row[0], 3 - shape.rank..2));
        let mut body = vec![line(format!("let row = out{vector}{};", rows.iter().map(distance).collect::<String>()))];
        for (number, of_store) in of_row.chunks(size).enumerate() {
            let column = at(&of_store[0], 2..3);
            let mut stores = vec![line(format!("let at = row{};", distance(&column[0])))];
            let first = row * row_length + number * size;
            stores.extend((0..shape.width).map(|lane| {
                let store = Statement::Store { accumulators: (first..first + of_store.len()).collect(), vector, lane };
                let is_channel = Condition::IsChannel { vector, lane };
                if shape.ragged { Statement::If(is_channel, vec![store]) } else { store }
            }));
            body.push(Statement::If(Condition::Inside(column), stores));
        }
        program.statements.push(Statement::If(Condition::Inside(rows), body));
    }
}

#[cfg(test)]
mod tests {
    use super::super::axis::Tap;
    use super::super::buffers::{Buffers, Reading, loads};
    use super::super::cost::{Loads, weight_loads};
    use super::super::program::{AxisLoad, Input, InputAt, Memory, Weight, WeightAt};
    use super::super::tile::Reads;
    use super::super::{register_search, workgroup_search};
    use super::*;
    use crate::gpu::kernels::pack::tiles::lanes;
    use crate::gpu::plan::field;
    use crate::{DeviceClass, DeviceProfile};
    use std::collections::{HashMap, HashSet};

    /// What is known on the way through a program. Inputs are known by their channel and offsets, weights by their channel
    /// and the first tap of their vec4.
    struct Walk<'a> {
        tile: &'a Tile,
        packing: Packing,
        program: &'a Program,
        /// By axis and number of the load: its offset, and whether it is kept inside.
        distances: HashMap<(usize, usize), (i64, bool)>,
        tests: HashSet<(usize, usize)>,
        /// Where the indices into inputs and weights have come to: channels, and vec4s.
        channel: usize,
        vec4s: Vec<usize>,
        inputs: HashMap<Input, (usize, [i64; 3])>,
        weights: HashMap<Weight, (usize, usize)>,
        loaded_inputs: HashSet<(usize, [i64; 3])>,
        loaded_weights: HashSet<(usize, usize, usize)>,
        /// The inputs whose load is tested, and of those the elements that are used.
        tested: HashSet<Input>,
        used_of_tested: HashSet<(Input, Option<usize>)>,
        begun: Vec<usize>,
        /// The channels and taps of each accumulator, in the order in which they are added.
        taken: Vec<Vec<(usize, [usize; 3])>>,
        stored: HashSet<(usize, usize)>,
        /// The elements of the workgroup's memory that were written, and whether all invocations have waited since.
        filled_inputs: HashSet<(usize, usize)>,
        filled_weights: HashSet<usize>,
        waited: bool,
        fmas: usize,
    }

    fn walk(tile: &Tile, packing: Packing, in_parts: bool) {
        let program = program(tile, &packing, in_parts);
        let accumulators = tile.shape.accumulators();
        let mut walk = Walk {
            tile,
            packing,
            program: &program,
            distances: HashMap::new(),
            tests: HashSet::new(),
            channel: 0,
            vec4s: vec![0; tile.shape.vectors],
            inputs: HashMap::new(),
            weights: HashMap::new(),
            loaded_inputs: HashSet::new(),
            loaded_weights: HashSet::new(),
            tested: HashSet::new(),
            used_of_tested: HashSet::new(),
            begun: Vec::new(),
            taken: vec![Vec::new(); accumulators.len()],
            stored: HashSet::new(),
            filled_inputs: HashSet::new(),
            filled_weights: HashSet::new(),
            waited: true,
            fmas: 0,
        };
        walk.block(&program.statements, &[]);
        walk.check(&accumulators);
    }

    impl Walk<'_> {
        fn block(&mut self, statements: &[Statement], conditions: &[&Condition]) {
            let (inputs, weights) = (self.inputs.clone(), self.weights.clone());
            for statement in statements {
                self.statement(statement, conditions);
            }
            // What a block has named ends with it.
            (self.inputs, self.weights) = (inputs, weights);
        }

        fn statement(&mut self, statement: &Statement, conditions: &[&Condition]) {
            let workgroup = self.program.workgroup;
            match statement {
                Statement::Line(text) => {
                    assert!(!["input[", "weights[", "fma(", "inputs[", "factors["].iter().any(|w| text.contains(w)));
                }
                Statement::Return | Statement::Restore { .. } | Statement::Save { .. } => {
                    assert!(!conditions.is_empty());
                }
                Statement::LoadRecord { name, .. } => assert!(*name == "alpha" || !self.program.split_k),
                Statement::If(condition, body) => self.block(body, &[conditions, &[condition]].concat()),
                Statement::Block(body) | Statement::Loop(_, body) => self.block(body, conditions),
                Statement::Barrier => self.waited = true,
                Statement::Test(AxisLoad { axis, number, .. }) => {
                    assert!(self.tests.insert((*axis, *number)));
                }
                Statement::Distance { load: AxisLoad { axis, number, offset }, clamped } => {
                    assert!(self.distances.insert((*axis, *number), (*offset, *clamped)).is_none());
                }
                Statement::Begin { accumulator, vector } => {
                    assert_eq!(*vector, self.tile.shape.accumulators()[*accumulator].vector);
                    self.begun.push(*accumulator);
                }
                Statement::LoadInput(input, at) => {
                    let found = self.load_input(*input, at);
                    assert!(self.loaded_inputs.insert(found), "{found:?} is read twice");
                    assert!(self.inputs.insert(*input, found).is_none());
                }
                Statement::LoadWeight(weight, at) => {
                    let vec4 = match *at {
                        WeightAt::Buffer { unit, vec4 } => self.vec4s[weight.vector] + unit * self.program.unit + vec4,
                        WeightAt::Memory { index, vectors } => {
                            assert!(self.waited && vectors == self.tile.shape.vectors);
                            index
                        }
                    };
                    let (channel, vec4) = (vec4 / self.packing.channel, vec4 % self.packing.channel);
                    let tap = vec4 * 4 / lanes(self.program.width);
                    assert!(self.loaded_weights.insert((channel, weight.vector, vec4)), "{weight:?} is read twice");
                    assert!(self.weights.insert(*weight, (channel, tap)).is_none());
                }
                Statement::Fma { accumulator, input, component, weight, part } => {
                    self.fma(*accumulator, *input, *component, *weight, *part);
                }
                Statement::AdvanceInputs { channels } => self.channel += channels,
                Statement::AdvanceWeights { number, units } if self.program.memory.is_none() => {
                    self.vec4s[*number] += units * self.program.unit;
                }
                Statement::AdvanceWeights { .. } => {}
                Statement::FillInput { number, channel } => {
                    let brought = (number * workgroup..(number + 1) * workgroup).filter(|&element| {
                        conditions.iter().all(|condition| match condition {
                            Condition::IsInput { total, .. } => element < *total,
                            other => panic!("{other:?}"),
                        })
                    });
                    for element in brought {
                        assert!(self.filled_inputs.insert((*channel, element)), "{element} is written twice");
                    }
                    self.waited = false;
                }
                Statement::FillWeight { number } => {
                    let brought = (number * workgroup..(number + 1) * workgroup).filter(|&vec4| {
                        conditions.iter().all(|condition| match condition {
                            Condition::IsWeight { total, .. } => vec4 < *total,
                            other => panic!("{other:?}"),
                        })
                    });
                    for vec4 in brought {
                        assert!(self.filled_weights.insert(vec4), "{vec4} is written twice");
                    }
                    self.waited = false;
                }
                Statement::Store { accumulators, vector, lane } => {
                    self.store(accumulators, *vector, *lane, conditions);
                }
            }
        }

        /// The channel and the offsets of a load. It is tested on those axes on which an invocation may be outside, and on
        /// no other.
        fn load_input(&mut self, input: Input, at: &InputAt) -> (usize, [i64; 3]) {
            match at {
                InputAt::Buffer { channel, distances, tests } => {
                    let Reads::Buffers(buffers) = &self.tile.reads else { panic!("{:?}", self.tile) };
                    let mut offsets = [0; 3];
                    for distance in distances {
                        let axis = distance.axis;
                        let width = if self.program.input_vectors { 4 } else { 1 };
                        let (offset, clamped) = self.distances[&(axis, distance.base)];
                        offsets[axis] = offset + distance.beyond * width;
                        let ends = [offsets[axis], offsets[axis] + if axis == 2 { width - 1 } else { 0 }];
                        let inside = ends.into_iter().all(|end| buffers.in_bounds[axis].contains(end));
                        let test = (axis, input.at[axis]);
                        assert_eq!(tests.contains(&test), !inside, "{input:?}");
                        assert_eq!(clamped, !inside, "{input:?}");
                        assert!(inside || self.tests.contains(&test), "{input:?}");
                    }
                    if !tests.is_empty() {
                        self.tested.insert(input);
                    }
                    (self.channel + channel, offsets)
                }
                InputAt::Memory { channel, unit, element } => {
                    let workgroup = self.tile.workgroup().unwrap();
                    let [_, rows, units] = workgroup.extents(&self.tile.shape);
                    let at = [unit / units / rows, unit / units % rows, unit % units * self.memory().unit + element];
                    assert!(self.waited, "{input:?} is read before all of them are there");
                    (*channel, [0, 1, 2].map(|a| at[a] as i64 + self.tile.shape.axes[a].reads()[0]))
                }
            }
        }

        fn memory(&self) -> Memory {
            self.program.memory.unwrap()
        }

        /// A product of an input and a weight of one channel, which belong to the accumulator's output.
        fn fma(&mut self, number: usize, input: Input, component: Option<usize>, weight: Weight, part: usize) {
            let shape = &self.tile.shape;
            let accumulator = shape.accumulators()[number];
            let (channel, mut offsets) = self.inputs[&input];
            offsets[2] += component.unwrap_or(0) as i64;
            let (weight_channel, first_tap) = self.weights[&weight];
            assert_eq!((channel, accumulator.vector), (weight_channel, weight.vector));
            let [_, y, x] = shape.axes.map(|axis| axis.kernel);
            let tap = first_tap + part;
            let taps = [tap / x / y, tap / x % y, tap % x];
            for a in 0..3 {
                let (cell, slot) = accumulator.at[a];
                let wanted = Tap { tap: taps[a], offset: offsets[a] - cell as i64, slot };
                assert!(shape.axes[a].taps().contains(&wanted), "axis {a} of {taps:?} at {offsets:?}");
            }
            if self.tested.contains(&input) {
                self.used_of_tested.insert((input, component));
            }
            self.taken[number].push((channel, taps));
            self.fmas += 1;
        }

        /// An output is stored where it is inside along each axis, and its channel is one of the group.
        fn store(&mut self, numbers: &[usize], vector: usize, lane: usize, conditions: &[&Condition]) {
            let shape = &self.tile.shape;
            let all = shape.accumulators();
            let first = all[numbers[0]];
            let mut inside = Vec::new();
            let mut is_channel = false;
            for condition in conditions {
                match condition {
                    Condition::Inside(outputs) => inside.extend(outputs.iter().copied()),
                    other => is_channel |= **other == Condition::IsChannel { vector, lane },
                }
            }
            let expected: Vec<_> = (3 - shape.rank..3).map(|a| (a, first.at[a])).collect();
            assert_eq!((inside, is_channel), (expected, shape.ragged));
            let along_w = |number: usize| {
                let (cell, slot) = all[number].at[2];
                (all[number].vector, [all[number].at[0], all[number].at[1]], cell * shape.axes[2].stride + slot)
            };
            let (_, row, column) = along_w(numbers[0]);
            for (beyond, &number) in numbers.iter().enumerate() {
                assert_eq!(along_w(number), (vector, row, column + beyond));
                assert!(self.stored.insert((number, lane)), "stored twice");
            }
            assert!(if shape.output_vectors { numbers.len() == 4 && column % 4 == 0 } else { numbers.len() == 1 });
        }

        fn check(&self, accumulators: &[Accumulator]) {
            let (shape, source) = (&self.tile.shape, self.tile.source());
            let channels = match &self.tile.reads {
                Reads::Buffers(buffers) => buffers.unroll,
                Reads::Memory(workgroup) => workgroup.k_chunk,
            };
            assert!(self.begun.iter().copied().eq(0..accumulators.len()));
            for (accumulator, taken) in accumulators.iter().zip(&self.taken) {
                let [z, y, x] = [0, 1, 2].map(|a| {
                    let (_, slot) = accumulator.at[a];
                    shape.axes[a].taps().into_iter().filter(|tap| tap.slot == slot).map(|t| t.tap).collect::<Vec<_>>()
                });
                let taps = z.iter().flat_map(|z| y.iter().flat_map(|y| x.iter().map(|x| [*z, *y, *x])));
                let expected: Vec<_> = (0..channels).flat_map(|ci| taps.clone().map(move |taps| (ci, taps))).collect();
                assert_eq!(*taken, expected, "each channel and tap once, in their order");
            }
            assert_eq!(self.stored.len(), accumulators.len() * shape.width);
            // The estimate of cost counts these statements.
            assert_eq!(self.fmas, channels * shape.vector_fmas());
            assert_eq!(self.loaded_weights.len(), channels * weight_loads(shape));
            assert_eq!(self.stored.len(), shape.outputs());
            if let Reads::Buffers(Buffers { reading, in_bounds, .. }) = self.tile.reads {
                let of = |a: usize| {
                    let reading = if a == 2 { reading } else { Reading::Single };
                    Loads::of(&loads(&shape.axes[a], in_bounds[a], reading))
                };
                let counted = Loads::crossed([0, 1, 2].map(of));
                assert_eq!(self.loaded_inputs.len(), channels * counted.loads);
                // Those of all channels have the same names, or names by channel.
                let named = self.tested.iter().map(|input| input.channel).collect::<HashSet<_>>().len().max(1);
                assert_eq!(self.used_of_tested.len(), named * (counted.used - counted.in_bounds));
                assert_eq!((self.channel, source.blocks()), (channels, 1));
            }
            if let Some(memory) = self.program.memory {
                let inputs = memory.units * memory.unit;
                assert_eq!(self.filled_inputs.len(), memory.k_chunk * inputs);
                assert!(self.filled_inputs.iter().all(|&(_, element)| element < inputs));
                assert_eq!(self.filled_weights.len(), memory.vectors * memory.weights);
                assert!(self.waited, "the next K-chunk is brought when all have read this one");
            }
        }
    }

    #[test]
    fn programs_read_once_test_what_they_must_and_add_each_tap_in_its_order() {
        let mut walked = 0;
        for class in DeviceClass::ALL {
            let profile = DeviceProfile { class, ..DeviceProfile::default() };
            for (_, op, shape) in field::operations() {
                let (geometry, packing) = (op.at(&shape).unwrap(), Packing::new(&op));
                let mut tiles = HashSet::new();
                register_search::visit(&op, &geometry, &profile, |_, tile| {
                    tiles.insert(tile.compiled());
                })
                .unwrap();
                tiles.extend(workgroup_search::best(&op, &geometry, &profile).map(|(_, tile)| tile));
                for (number, tile) in tiles.iter().enumerate() {
                    walk(tile, packing, number % 2 == 0);
                }
                walked += tiles.len();
            }
        }
        assert!(walked > 3000, "{walked} programs");
    }
}
