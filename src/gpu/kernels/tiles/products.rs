//! What an invocation adds up, and in which order: seen from one accumulator, the same in every order.

use super::program::{Input, InputAt, Statement, Weight, WeightAt};
use super::register_tile::{Access, RegisterTile};
use crate::gpu::hardware::Order;
use crate::gpu::kernels::pack::tiles::{Packing, lanes};
use std::collections::{BTreeSet, HashSet};

/// A product that is added to an accumulator.
pub(crate) struct Product {
    pub(crate) accumulator: usize,
    /// Its vector of output channels, and which output of its cell it is.
    vector: usize,
    slots: [usize; 3],
    /// The input channel, counted from the first in registers.
    pub(crate) channel: usize,
    /// The number of the tap along each axis.
    pub(crate) taps: [usize; 3],
    /// The offset of the input along each axis.
    reads: [i64; 3],
}

/// The products of so many input channels, or of a round of one.
pub(crate) fn products(tile: &RegisterTile, order: Order, channels: usize) -> Vec<Product> {
    let taps = tile.axes.map(|axis| axis.taps());
    let accumulators = tile.accumulators();
    let mut crossed = Vec::new();
    for z in &taps[0] {
        for y in &taps[1] {
            crossed.extend(taps[2].iter().map(|x| [z, y, x]));
        }
    }
    let mut products = Vec::new();
    for (channel, taps) in (0..channels).flat_map(|channel| crossed.iter().map(move |taps| (channel, taps))) {
        let slots = taps.map(|tap| tap.slot);
        let mine = accumulators.iter().enumerate().filter(|(_, accumulator)| accumulator.slots() == slots);
        products.extend(mine.map(|(number, accumulator)| Product {
            accumulator: number,
            vector: accumulator.vector,
            slots,
            channel,
            taps: taps.map(|tap| tap.tap),
            reads: [0, 1, 2].map(|a| tile.axes[a].read(accumulator.at[a].0 as i64, taps[a].offset)),
        }));
    }
    // The sorts are stable: the channels and taps of an accumulator stay in their order.
    match order {
        Order::Taps => products.sort_by_key(|product| product.vector),
        Order::Rows => {
            products.sort_by_key(|product| (product.channel, [product.taps[0], product.taps[1]], product.vector));
        }
        Order::Accumulators(together) => {
            // Which of a vector's accumulators for the same output of a cell it is, in the order of the cells.
            let cell = |product: &Product| {
                let before = accumulators[..product.accumulator].iter();
                before.filter(|other| other.vector == product.vector && other.slots() == product.slots).count()
            };
            products.sort_by_cached_key(|product| (product.vector, product.slots, cell(product) / together));
        }
    }
    products
}

/// The loads and multiply-adds of so many input channels, or of a round of one. `offsets` are those of the inputs that are loaded along each
/// axis, along w of vectors of four where `reads` says so; `input` and `weight` say where they are. An input and a
/// vec4 of weights are read once, before their first use: inputs all at first, or by rows of taps.
pub(crate) fn multiply(
    (tile, packing): (&RegisterTile, &Packing),
    (order, channels): (Order, usize),
    (offsets, reads): (&[Vec<i64>; 3], Access),
    input: impl Fn(Input) -> InputAt,
    weight: impl Fn(Weight) -> WeightAt,
) -> Vec<Statement> {
    // The load that has an offset.
    let load = |a: usize, offset: i64| offsets[a].partition_point(|&first| first <= offset).saturating_sub(1);
    // The first channel of a load.
    let first_channel = |channel: usize| if reads == Access::Channels { channel / 4 * 4 } else { channel };
    let row_of_taps =
        |product: &Product| (order == Order::Rows).then_some((product.channel, product.taps[0], product.taps[1]));
    let [_, written_y, written_x] = tile.axes.map(|axis| axis.written);
    let taps_of_vec4 = 4 / lanes(tile.width);
    let (mut rows, mut weights, mut statements) = (BTreeSet::new(), HashSet::new(), Vec::new());
    for products in products(tile, order, channels).chunk_by(|a, b| row_of_taps(a) == row_of_taps(b)) {
        let row = |product: &Product| (first_channel(product.channel), [0, 1].map(|a| load(a, product.reads[a])));
        let wanted: BTreeSet<_> = products.iter().map(row).collect();
        for &(channel, [z, y]) in wanted.difference(&rows) {
            let inputs = (0..offsets[2].len()).map(|x| Input { channel, at: [z, y, x] });
            statements.extend(inputs.map(|read| Statement::LoadInput(read, input(read))));
        }
        rows.extend(wanted);
        for product in products {
            let [z, y, x] = product.taps;
            let tap = (z * written_y + y) * written_x + x;
            let index = product.channel * packing.channel + tap / taps_of_vec4;
            let read = Weight { vector: product.vector, index };
            if weights.insert(read) {
                statements.push(Statement::LoadWeight(read, weight(read)));
            }
            let at = [0, 1, 2].map(|a| load(a, product.reads[a]));
            statements.push(Statement::Fma {
                accumulator: product.accumulator,
                input: Input { channel: first_channel(product.channel), at },
                component: match reads {
                    Access::Element => None,
                    Access::Columns => Some((product.reads[2] - offsets[2][at[2]]) as usize),
                    Access::Channels => Some(product.channel % 4),
                },
                weight: read,
                part: tap % taps_of_vec4,
            });
        }
    }
    statements
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DeviceProfile;
    use crate::gpu::plan::candidate::candidates;
    use crate::gpu::plan::field;
    use std::collections::HashMap;

    /// The channels and taps of each accumulator, in the order in which they are added.
    fn of_each(tile: &RegisterTile, order: Order) -> HashMap<usize, Vec<(usize, [usize; 3])>> {
        let mut found: HashMap<_, Vec<_>> = HashMap::new();
        for product in products(tile, order, 2) {
            found.entry(product.accumulator).or_default().push((product.channel, product.taps));
        }
        found
    }

    #[test]
    fn an_accumulator_takes_its_taps_in_the_same_order_whatever_the_tile_s() {
        for (name, op, shape) in field::operations() {
            let candidates = candidates(&op.at(&shape).unwrap(), &DeviceProfile::default());
            for tile in candidates.iter().filter_map(|candidate| candidate.tile()).take(12) {
                let expected = of_each(&tile.shape, Order::Taps);
                assert_eq!(expected.len(), tile.shape.accumulators().len(), "{name}: {tile}");
                assert!(expected.values().all(|taps| taps.is_sorted()), "{name}: {tile}");
                for order in [Order::Rows, Order::Accumulators(1), Order::Accumulators(2), Order::Accumulators(8)] {
                    assert_eq!(of_each(&tile.shape, order), expected, "{name}: {tile}, {order:?}");
                }
            }
        }
    }

    #[test]
    fn accumulators_that_come_together_have_all_their_products_before_the_next() {
        let (_, op, shape) = field::operations().swap_remove(0);
        let tile = *candidates(&op.at(&shape).unwrap(), &DeviceProfile::default())[0].tile().unwrap();
        let products = products(&tile.shape, Order::Accumulators(1), 2);
        let mut seen: Vec<usize> = products.iter().map(|product| product.accumulator).collect();
        seen.dedup();
        assert_eq!(seen.len(), tile.shape.accumulators().len(), "an accumulator is come back to");
    }
}
