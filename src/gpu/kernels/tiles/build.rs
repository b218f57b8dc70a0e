//! The program of a tile.

use super::program::{Condition, Operands, Program, Statement, part, text};
use super::register_tile::{Access, Accumulator, LETTERS, RegisterTile};
use super::source::Grid;
use super::tile::Tile;
use crate::gpu::kernels::fused::{Adds, Fused};
use crate::gpu::kernels::pack::tiles::Packing;
use crate::gpu::storage::Storage;

/// `in_parts` is whether several dispatches share the input channels of an output.
pub(crate) fn program(tile: &Tile, packing: &Packing, fused: &Fused, in_parts: bool) -> Program {
    let (shape, source) = (&tile.shape, tile.source());
    let Grid { kernel, invocations, split_k, .. } = source.grid();
    let (split_k, operands) = (split_k > 1, source.operands(shape, packing));
    let accumulators = shape.accumulators();
    let mut out = source.place(shape, packing);
    if fused.pre_by_channel {
        let first = if split_k { "first_ci" } else { "params.input_channel_begin" };
        text!(out; "var channel = channel_group * params.group_in_channels + {first};");
    }
    begin(shape, &accumulators, (split_k, &operands), &mut out);
    if in_parts {
        let continued = |number: usize| format!("acc{number} = partial[{number} * slots + slot];\n");
        let continued: String = (0..accumulators.len()).map(continued).collect();
        text!(out; "let slots = i32(groups.x * groups.y * groups.z * {invocations}u);
            let slot = i32(((group.z * groups.y + group.y) * groups.x + group.x) * {invocations}u + lane);
            if params.input_channel_begin > 0 {{\n{continued}}}");
    }
    out.extend(source.accumulate(shape, packing));
    if in_parts {
        let left = |number: usize| format!("partial[{number} * slots + slot] = acc{number};\n");
        let left: String = (0..accumulators.len()).map(left).collect();
        text!(out; "if params.input_channel_end < params.group_in_channels {{\n{left}return;\n}}");
    }
    if operands.memory.is_some() {
        // The last items of a workgroup may lie beyond the batch: their invocations helped to fill its memory.
        text!(out; "if n >= params.batch_end {{ return; }}");
    }
    // The residual lies beside the output, in a tensor of its own.
    let residual = fused.adds == Adds::Residual;
    place_outputs(shape, packing, (split_k, &operands), residual, &mut out);
    store(shape, &accumulators, residual, &mut out);
    Program {
        name: kernel.name(),
        workgroup: invocations,
        width: shape.width,
        operands,
        writes: shape.writes,
        split_k,
        in_parts,
        statements: out,
    }
}

/// The accumulators begin with the biases; those of splits with 0.
fn begin(
    shape: &RegisterTile,
    accumulators: &[Accumulator],
    (split_k, operands): (bool, &Operands),
    out: &mut Vec<Statement>,
) {
    for vector in 0..shape.vectors {
        let bias = of_head(&format!("record{vector}"), operands, shape.width);
        text!(out; "let bias{vector} = {};", if split_k { "Accumulator()" } else { &bias });
    }
    for (number, accumulator) in accumulators.iter().enumerate() {
        text!(out; "var acc{number} = bias{};", accumulator.vector);
    }
}

/// The biases or slopes at the unit `first` of `weights`: a vec4, or the sum of two.
fn of_head(first: &str, operands: &Operands, width: usize) -> String {
    let lanes = part(width, 0);
    let (second, vec4) = if operands.unit > 1 { (first.into(), 1) } else { (format!("{first} + 1"), 0) };
    match operands.factors {
        Storage::F32 => format!("weights[{first}][0]{lanes}"),
        Storage::F16 => {
            format!("Accumulator(weights[{first}][0]{lanes}) + Accumulator(weights[{second}][{vec4}]{lanes})")
        }
    }
}

/// Where the outputs are, and the slopes of their activation.
fn place_outputs(
    shape: &RegisterTile,
    packing: &Packing,
    (split_k, operands): (bool, &Operands),
    residual: bool,
    out: &mut Vec<Statement>,
) {
    for (a, letter, axis) in shape.used_axes() {
        let stride = axis.stride;
        let phase = if shape.phase_parts() > 1 { format!(" + phase_{letter}") } else { String::new() };
        for (cell, slot) in (0..axis.cells).flat_map(|cell| (0..axis.phases).map(move |slot| (cell, slot))) {
            let o = format!("{letter} * {stride}{phase} + {}", cell * stride + slot);
            text!(out; "let o{letter}{cell}_{slot} = {o} - params.axes[{a}].output_begin;");
        }
    }
    let split = if split_k { " + split * params.split_stride" } else { "" };
    let (unit, slopes) = (operands.unit, format!("params.record_stride - {}", packing.head));
    let slopes = if unit > 1 { format!("({slopes}) / {unit}") } else { slopes };
    for vector in 0..shape.vectors {
        let first = vector * shape.width;
        let channel = format!("(channel_group * params.group_out_channels + first_channel + {first})");
        let at = format!("n * params.output_batch_stride + {channel} * params.output_channel_stride");
        text!(out; "let out{vector} = {at} - params.output_window{split};");
        if residual {
            let at = format!("n * params.residual_batch_stride + {channel} * params.residual_channel_stride");
            text!(out; "let residual{vector} = {at} - params.residual_window;");
        }
        let alpha = of_head(&format!("record{vector} + {slopes}"), operands, shape.width);
        text!(out; "let alpha{vector} = {alpha};");
        if shape.ragged {
            text!(out; "let kept{vector} = params.group_out_channels - first_channel - {first};");
        }
    }
}

/// The stores, with one test for each row of outputs and one for each output, or vector of them, of a row.
fn store(shape: &RegisterTile, accumulators: &[Accumulator], residual: bool, out: &mut Vec<Statement>) {
    let rows = || 3 - shape.rank..2;
    let distance = |(a, (cell, slot)): (usize, (usize, usize)), of: &str| {
        let letter = LETTERS[a];
        format!(" + (o{letter}{cell}_{slot} + params.axes[{a}].output_begin) * params.axes[{a}].{of}_stride")
    };
    let row_length = shape.axes[2].cells * shape.axes[2].phases;
    let size = shape.writes.columns();
    for (row, of_row) in accumulators.chunks(row_length).enumerate() {
        let vector = of_row[0].vector;
        let at: Vec<_> = rows().map(|a| (a, of_row[0].at[a])).collect();
        let mut body = Vec::new();
        let of_rows = |of: &str| at.iter().map(|&at| distance(at, of)).collect::<String>();
        text!(body; "let row = out{vector}{};", of_rows("output"));
        if residual {
            text!(body; "let residual_row = residual{vector}{};", of_rows("residual"));
        }
        for (number, of_store) in of_row.chunks(size).enumerate() {
            let column = (2, of_store[0].at[2]);
            let mut stores = Vec::new();
            text!(stores; "let at = row{};", distance(column, "output"));
            if residual {
                text!(stores; "let beside = residual_row{};", distance(column, "residual"));
            }
            let first = row * row_length + number * size;
            let lanes = if shape.writes == Access::Channels { 1 } else { shape.width };
            stores.extend((0..lanes).map(|lane| {
                let store = Statement::Store { accumulators: (first..first + size).collect(), vector, lane };
                let is_channel = Condition::IsChannel { vector, lane };
                if shape.ragged { Statement::If(is_channel, vec![store]) } else { store }
            }));
            body.push(Statement::If(Condition::Inside(vec![column]), stores));
        }
        out.push(Statement::If(Condition::Inside(at), body));
    }
}

#[cfg(test)]
mod tests {
    use super::super::axis::{Tap, TileAxis};
    use super::super::cost::{Loads, weight_loads};
    use super::super::program::{Brought, Input, InputAt, Weight, WeightAt};
    use super::super::tile::Reads;
    use super::super::{register_search, workgroup_search};
    use super::*;
    use crate::gpu::kernels::pack::tiles::lanes;
    use crate::gpu::plan::field;
    use crate::{DeviceClass, DeviceProfile};
    use std::collections::{HashMap, HashSet};

    /// What is known on the way through a program.
    #[derive(Default)]
    struct State {
        /// By axis and number of the load: its offset, and whether it is kept inside.
        distances: HashMap<(usize, usize), (i64, bool)>,
        tests: HashSet<(usize, usize)>,
        /// Where the indices into inputs and weights have come to: channels, and vec4s of each vector.
        channel: usize,
        vec4s: [usize; 4],
        /// How far back the rounds through the taps have come along each axis.
        back: [i64; 3],
        /// What is in registers: the channel and the offsets of inputs, the channel and the first tap of weights.
        inputs: HashMap<Input, (usize, [i64; 3])>,
        weights: HashMap<Weight, (usize, usize)>,
        loaded_inputs: HashSet<(usize, [i64; 3])>,
        loads: usize,
        loaded_weights: HashSet<(usize, usize, usize)>,
        /// The inputs whose load is tested, and the elements of them that are used.
        tested: HashSet<Input>,
        used_of_tested: HashSet<(usize, [i64; 3])>,
        /// The channels and taps of each accumulator, in the order in which they are added.
        taken: HashMap<usize, Vec<(usize, [usize; 3])>>,
        stored: HashSet<(usize, usize)>,
        /// What of the workgroup's memory is written, and whether all invocations have waited since; and what of it stands
        /// in registers. Of inputs the channel and the element, of weights the element.
        filled: HashSet<(Option<usize>, usize)>,
        ahead: HashSet<(Option<usize>, usize)>,
        waiting: bool,
    }

    /// The taps of all rounds.
    fn all_taps(axis: &TileAxis) -> Vec<Tap> {
        TileAxis { written: axis.kernel, ..*axis }.taps()
    }

    struct Walk<'a> {
        tile: &'a Tile,
        packing: Packing,
        program: &'a Program,
        state: State,
    }

    impl Walk<'_> {
        fn block(&mut self, statements: &[Statement], conditions: &[&Condition]) {
            let named = (self.state.inputs.clone(), self.state.weights.clone());
            statements.iter().for_each(|statement| self.statement(statement, conditions));
            // What a block has named ends with it.
            (self.state.inputs, self.state.weights) = named;
        }

        fn statement(&mut self, statement: &Statement, conditions: &[&Condition]) {
            let state = &mut self.state;
            match statement {
                Statement::Text(_) => {}
                Statement::If(condition, body) => self.block(body, &[conditions, &[condition]].concat()),
                Statement::Loop(_, body) | Statement::Block(body) => {
                    let reads = |text: &str| ["input", "weight", "fma"].iter().any(|word| text.contains(word));
                    let all_seen = |statement: &Statement| match statement {
                        Statement::Text(text) => text.starts_with("//") || !reads(text),
                        _ => true,
                    };
                    assert!(body.iter().all(all_seen));
                    self.block(body, conditions);
                }
                Statement::Rounds { axis, rounds, back, body } => {
                    for round in 0..*rounds {
                        let placed = (self.state.distances.clone(), self.state.tests.clone());
                        self.state.back[*axis] = (round * back) as i64;
                        self.block(body, conditions);
                        (self.state.distances, self.state.tests) = placed;
                    }
                    self.state.back[*axis] = 0;
                }
                Statement::Barrier => state.waiting = false,
                Statement::Test { axis, number, .. } => assert!(state.tests.insert((*axis, *number))),
                Statement::Distance { axis, number, offset, clamped } => {
                    assert!(state.distances.insert((*axis, *number), (*offset, *clamped)).is_none());
                }
                Statement::LoadInput(input, at) => {
                    let found = self.offsets(*input, at);
                    let again = !self.state.loaded_inputs.insert(found);
                    assert!(!again || self.tile.shape.rounds() > 1, "{found:?} is read twice");
                    self.state.loads += 1;
                    assert!(self.state.inputs.insert(*input, found).is_none());
                }
                Statement::LoadWeight(weight, at) => {
                    let vec4 = match *at {
                        WeightAt::Buffer { unit, vec4 } => {
                            state.vec4s[weight.vector] + unit * self.program.operands.unit + vec4
                        }
                        WeightAt::Memory { index, .. } => index,
                    };
                    assert!(!state.waiting);
                    let (channel, vec4) = (vec4 / self.packing.channel, vec4 % self.packing.channel);
                    assert!(state.loaded_weights.insert((channel, weight.vector, vec4)), "{weight:?} is read twice");
                    let first_tap = vec4 * 4 / lanes(self.program.width);
                    assert!(state.weights.insert(*weight, (channel, first_tap)).is_none());
                }
                Statement::Fma { accumulator, input, component, weight, part } => {
                    self.fma(*accumulator, *input, component.unwrap_or(0), *weight, *part);
                }
                Statement::AdvanceInputs(channels) => state.channel += channels,
                Statement::AdvanceWeights { number, units } => {
                    if self.program.operands.memory.is_none() {
                        state.vec4s[*number] += units * self.program.operands.unit;
                    }
                }
                Statement::ReadAhead(brought) => {
                    let read = self.brought(*brought, conditions);
                    self.state.ahead.extend(read);
                }
                Statement::Fill(brought) | Statement::FillAhead(brought) => {
                    for element in self.brought(*brought, conditions) {
                        let read = matches!(statement, Statement::Fill(_)) || self.state.ahead.remove(&element);
                        assert!(read && self.state.filled.insert(element), "{element:?}");
                    }
                    self.state.waiting = true;
                }
                Statement::Store { accumulators, vector, lane } => {
                    self.store(accumulators, *vector, *lane, conditions);
                }
            }
        }

        /// What all invocations of a workgroup bring by one statement.
        fn brought(&self, brought: Brought, conditions: &[&Condition]) -> Vec<(Option<usize>, usize)> {
            let guard = conditions.iter().find_map(|condition| match condition {
                Condition::IsInput { total, .. } | Condition::IsWeight { total, .. } => Some(*total),
                _ => None,
            });
            let (number, channel) = match brought {
                Brought::Input { number, channel } => (number, Some(channel)),
                Brought::Weight { number } => (number, None),
            };
            let elements = number * self.program.workgroup..(number + 1) * self.program.workgroup;
            let inside = elements.filter(|element| guard.is_none_or(|total| *element < total));
            inside.map(|element| (channel, element)).collect()
        }

        /// The channel and the offsets of a load. It is tested on those axes on which an invocation may be outside, and
        /// on no other.
        fn offsets(&mut self, input: Input, at: &InputAt) -> (usize, [i64; 3]) {
            match (at, &self.tile.reads) {
                (InputAt::Buffer { channel, distances, tests }, Reads::Buffers(buffers)) => {
                    let mut offsets = [0; 3];
                    let width = self.program.operands.reads.columns() as i64;
                    for &(axis, base, beyond) in distances {
                        let (first, clamped) = self.state.distances[&(axis, base)];
                        offsets[axis] = first + beyond * width - self.state.back[axis];
                        let last = offsets[axis] + if axis == 2 { width - 1 } else { 0 };
                        let inside = [offsets[axis], last].iter().all(|at| buffers.in_bounds[axis].contains(*at));
                        let test = (axis, input.at[axis]);
                        let tested = tests.contains(&test) && self.state.tests.contains(&test);
                        assert_eq!((tested, clamped), (!inside, !inside), "{input:?}");
                    }
                    assert!(tests.iter().all(|(axis, _)| distances.iter().any(|(of, ..)| of == axis)));
                    self.state.tested.extend((!tests.is_empty()).then_some(input));
                    (self.state.channel + channel, offsets)
                }
                (InputAt::Memory { channel, unit, element }, Reads::Memory(workgroup)) => {
                    assert!(!self.state.waiting, "{input:?} is read before all of them are there");
                    let [_, rows, units] = workgroup.extents(&self.tile.shape);
                    let of_unit = self.program.operands.memory.unwrap().unit;
                    let at = [unit / units / rows, unit / units % rows, unit % units * of_unit + element];
                    (*channel, [0, 1, 2].map(|a| at[a] as i64 + self.tile.shape.axes[a].reads()[0]))
                }
                other => panic!("{other:?}"),
            }
        }

        /// A product of an input and a weight of the same channel that belongs to the accumulator's output.
        fn fma(&mut self, number: usize, input: Input, component: usize, weight: Weight, part: usize) {
            let (shape, state) = (&self.tile.shape, &mut self.state);
            let accumulator = shape.accumulators()[number];
            let (mut channel, mut offsets) = state.inputs[&input];
            match self.program.operands.reads {
                Access::Channels => channel += component,
                Access::Element | Access::Columns => offsets[2] += component as i64,
            }
            let (weight_channel, first_tap) = state.weights[&weight];
            assert_eq!((channel, accumulator.vector), (weight_channel, weight.vector));
            let ([_, y, x], tap) = (shape.axes.map(|axis| axis.kernel), first_tap + part);
            let taps = [tap / x / y, tap / x % y, tap % x];
            for a in 0..3 {
                let (cell, slot) = accumulator.at[a];
                let wanted = Tap { tap: taps[a], offset: offsets[a] - (cell * shape.axes[a].step) as i64, slot };
                assert!(all_taps(&shape.axes[a]).contains(&wanted), "axis {a} of {taps:?} at {offsets:?}");
            }
            if state.tested.contains(&input) {
                state.used_of_tested.insert((channel, offsets));
            }
            state.taken.entry(number).or_default().push((channel, taps));
        }

        /// An output is stored where it is inside along each axis, and its channel is one of the group.
        fn store(&mut self, numbers: &[usize], vector: usize, lane: usize, conditions: &[&Condition]) {
            let shape = &self.tile.shape;
            let accumulators = shape.accumulators();
            let first = accumulators[numbers[0]];
            let inside: Vec<_> = (3 - shape.rank..3).map(|a| (a, first.at[a])).collect();
            let (rows, column) = inside.split_at(shape.rank - 1);
            let mut expected = vec![Condition::Inside(rows.to_vec()), Condition::Inside(column.to_vec())];
            expected.extend(shape.ragged.then_some(Condition::IsChannel { vector, lane }));
            assert!(conditions.iter().copied().eq(&expected), "{conditions:?}");
            let place = |number: usize| {
                let ([z, y, (cell, slot)], vector) = (accumulators[number].at, accumulators[number].vector);
                (vector, z, y, cell * shape.axes[2].stride + slot)
            };
            let (_, z, y, x) = place(numbers[0]);
            assert!(numbers.len() == shape.writes.columns() && x.is_multiple_of(numbers.len()));
            let lanes = if shape.writes == Access::Channels { 0..shape.width } else { lane..lane + 1 };
            for (beyond, &number) in numbers.iter().enumerate() {
                assert_eq!(place(number), (vector, z, y, x + beyond));
                for lane in lanes.clone() {
                    assert!(self.state.stored.insert((number, lane)), "stored twice");
                }
            }
        }
    }

    fn walk(tile: &Tile, packing: Packing, in_parts: bool) {
        let program = program(tile, &packing, &Fused::behind("y"), in_parts);
        let mut walk = Walk { tile, packing, program: &program, state: State::default() };
        walk.block(&program.statements, &[]);
        let (shape, state) = (&tile.shape, walk.state);
        let channels = match &tile.reads {
            Reads::Buffers(buffers) => buffers.unroll,
            Reads::Memory(workgroup) => workgroup.k_chunk,
        };
        for (number, accumulator) in shape.accumulators().iter().enumerate() {
            // Every tap of all axes that is for this output.
            let mut expected = vec![[0; 3]];
            for a in 0..3 {
                let taps = all_taps(&shape.axes[a]).into_iter().filter(|tap| tap.slot == accumulator.at[a].1);
                let with = |tap: Tap| {
                    expected.iter().map(move |taps| {
                        let mut taps = *taps;
                        taps[a] = tap.tap;
                        taps
                    })
                };
                expected = taps.flat_map(with).collect();
            }
            expected.sort_unstable();
            let expected: Vec<_> = (0..channels).flat_map(|ci| expected.iter().map(move |taps| (ci, *taps))).collect();
            let taken = state.taken.get(&number).cloned().unwrap_or_default();
            assert_eq!(taken, expected, "{tile}: each channel and tap once, in their order");
        }
        // The estimate of cost counts these statements.
        let rounds = channels * shape.rounds();
        assert_eq!(state.taken.values().map(Vec::len).sum::<usize>(), rounds * shape.vector_fmas());
        assert_eq!(state.loaded_weights.len(), rounds * weight_loads(shape));
        assert_eq!(state.stored.len(), shape.outputs());
        if let Reads::Buffers(buffers) = &tile.reads {
            let counted = Loads::crossed(buffers.loads(shape).map(|loads| Loads::of(&loads)));
            let channels_read = if program.operands.reads == Access::Channels { 4 } else { 1 };
            assert_eq!(state.loads * channels_read, rounds * counted.loads);
            if shape.rounds() == 1 {
                assert_eq!(state.used_of_tested.len(), channels * (counted.used - counted.in_bounds));
            }
        }
        if let Some(memory) = program.operands.memory {
            let whole = memory.k_chunk * memory.units * memory.unit + memory.vectors * memory.weights;
            assert_eq!(state.filled.len(), whole);
            // The next K-chunk is in registers, if it is read ahead.
            assert_eq!(state.ahead.len(), if tile.workgroup().unwrap().ahead { whole } else { 0 });
            let body = program.statements.iter().find_map(|statement| match statement {
                Statement::Loop(_, body) => body.last(),
                _ => None,
            });
            assert!(
                matches!(body, Some(Statement::Barrier)),
                "the next K-chunk is brought when all have read this one"
            );
        }
    }

    #[test]
    fn programs_read_once_test_what_they_must_and_add_each_tap_in_its_order() {
        let (mut walked, mut rounds, mut by_channels, mut of_f16) = (0, 0, 0, 0);
        for class in DeviceClass::ALL {
            let profile = DeviceProfile { class, f16: true, ..DeviceProfile::default() };
            let first = field::operations().into_iter().map(|(_, op, shape)| (op, shape, 1));
            // Of others a few: they have long programs.
            let last = field::operations().into_iter().map(|(_, op, shape)| field::channels_last(&op, &shape));
            let long = field::convolutions().into_iter().map(|(_, op, shape)| (op, shape));
            let half = field::in_half().into_iter().map(|(_, op, shape)| (op, shape));
            for (op, shape, every) in first.chain(last.chain(long).chain(half).map(|(op, shape)| (op, shape, 9))) {
                let geometry = op.at(&shape).unwrap();
                let (mut tiles, mut seen) = (HashSet::new(), 0);
                register_search::visit(&geometry, &profile, |_, tile| {
                    if seen % every == 0 {
                        tiles.insert(tile.compiled());
                    }
                    seen += 1;
                })
                .unwrap();
                let _ = workgroup_search::visit(&geometry, &profile, |_, tile| {
                    tiles.insert(tile);
                });
                let packing = |tile: &Tile| Packing::new(&op, tile.factors());
                tiles.iter().enumerate().for_each(|(number, tile)| walk(tile, packing(tile), number % 2 == 0));
                walked += tiles.len();
                rounds += tiles.iter().filter(|tile| tile.shape.rounds() > 1).count();
                by_channels += tiles
                    .iter()
                    .filter(|tile| tile.source().operands(&tile.shape, &packing(tile)).reads == Access::Channels)
                    .count();
                of_f16 += tiles.iter().filter(|tile| tile.factors() == Storage::F16).count();
            }
        }
        assert!(walked > 3000, "{walked} programs");
        assert!(rounds > 50 && by_channels > 50, "{rounds} in rounds, {by_channels} that read four channels at once");
        assert!(of_f16 > 50, "{of_f16} with products of f16");
    }
}
