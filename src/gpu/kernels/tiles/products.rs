//! What an invocation adds up, and in which order: the same for every order that a tile may have, seen from one sum.

use crate::gpu::kernels::tiles::tile::{Order, Tile, TileAxis};

/// A sum that the invocation keeps: the vector of output channels at one output.
pub(crate) struct Sum {
    pub(crate) vector: usize,
    /// Cell and output of the cell, for each axis.
    pub(crate) at: [(usize, usize); 3],
}

/// A product that is added to a sum.
pub(crate) struct Product {
    /// The number of the sum.
    pub(crate) sum: usize,
    /// Its vector of output channels, and which output of its cell it is.
    pub(crate) vector: usize,
    pub(crate) slots: [usize; 3],
    /// The input channel, counted from the first of the turn.
    pub(crate) channel: usize,
    /// The number of the tap along each axis.
    pub(crate) taps: [usize; 3],
    /// The offset of the input along each axis.
    pub(crate) reads: [i64; 3],
}

/// A tap of an invocation on one axis: which input it reads, counted from a cell's first, for which output of the cell.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Tap {
    tap: usize,
    offset: i64,
    slot: usize,
}

/// Those of an axis, by their numbers.
fn taps_in_order(axis: &TileAxis) -> Vec<Tap> {
    let of = |slot| axis.taps(slot).into_iter().map(move |(tap, offset)| Tap { tap, offset, slot });
    let mut taps: Vec<Tap> = (0..axis.phases).flat_map(of).collect();
    taps.sort_unstable();
    taps
}

/// Every sum, in the order of their names.
pub(crate) fn sums(tile: &Tile) -> Vec<Sum> {
    let places = tile.axes.map(|axis| {
        (0..axis.cells).flat_map(|cell| (0..axis.phases).map(move |slot| (cell, slot))).collect::<Vec<_>>()
    });
    let mut sums = Vec::new();
    for vector in 0..tile.vectors {
        for &z in &places[0] {
            for &y in &places[1] {
                sums.extend(places[2].iter().map(|&x| Sum { vector, at: [z, y, x] }));
            }
        }
    }
    sums
}

/// The products of so many input channels in the tile's order.
pub(crate) fn products(tile: &Tile, channels: usize) -> Vec<Product> {
    let taps = tile.axes.map(|axis| taps_in_order(&axis));
    let sums = sums(tile);
    let mut crossed = Vec::new();
    for z in &taps[0] {
        for y in &taps[1] {
            crossed.extend(taps[2].iter().map(|x| [z, y, x]));
        }
    }
    let mut products = Vec::new();
    for (channel, &[z, y, x]) in (0..channels).flat_map(|channel| crossed.iter().map(move |taps| (channel, taps))) {
        let slots = [z, y, x].map(|tap| tap.slot);
        let mine = sums.iter().enumerate().filter(|(_, sum)| sum.at.map(|(_, slot)| slot) == slots);
        products.extend(mine.map(|(number, sum)| {
            let [cz, cy, cx] = sum.at.map(|(cell, _)| cell as i64);
            Product {
                sum: number,
                vector: sum.vector,
                slots,
                channel,
                taps: [z, y, x].map(|tap| tap.tap),
                reads: [cz + z.offset, cy + y.offset, cx + x.offset],
            }
        }));
    }
    // The sorts are stable: the channels and taps of a sum stay in their order.
    match tile.order {
        Order::Taps => products.sort_by_key(|product| product.vector),
        Order::Rows => {
            products.sort_by_key(|product| (product.channel, [product.taps[0], product.taps[1]], product.vector));
        }
        Order::Sums(together) => {
            // Which of a vector's sums for the same output of a cell it is, in the order of the cells.
            let cell = |product: &Product| {
                let slots = |sum: &Sum| sum.at.map(|(_, slot)| slot);
                let before = sums[..product.sum].iter().filter(|sum| sum.vector == product.vector);
                before.filter(|sum| slots(sum) == product.slots).count()
            };
            products.sort_by_cached_key(|product| (product.vector, product.slots, cell(product) / together));
        }
    }
    products
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DeviceProfile;
    use crate::gpu::plan::candidate::candidates;
    use crate::gpu::plan::field;
    use std::collections::HashMap;

    /// The channels and taps of each sum, in the order in which they are added.
    fn of_each_sum(tile: &Tile, channels: usize) -> HashMap<usize, Vec<(usize, [usize; 3])>> {
        let mut found: HashMap<_, Vec<_>> = HashMap::new();
        for product in products(tile, channels) {
            found.entry(product.sum).or_default().push((product.channel, product.taps));
        }
        found
    }

    #[test]
    fn a_sum_takes_its_taps_in_the_same_order_whatever_the_tile_s() {
        for (name, op, shape) in field::operations() {
            let candidates = candidates(&op.at(&shape).unwrap(), &DeviceProfile::default());
            for tile in candidates.iter().filter_map(|candidate| candidate.tile()).take(12) {
                let expected = of_each_sum(&Tile { order: Order::Taps, ..*tile }, 2);
                assert_eq!(expected.len(), sums(tile).len(), "{name}: {tile}");
                let sorted = |taps: &Vec<_>| taps.is_sorted();
                assert!(expected.values().all(sorted), "{name}: {tile}");
                for order in [Order::Rows, Order::Sums(1), Order::Sums(2), Order::Sums(8)] {
                    assert_eq!(of_each_sum(&Tile { order, ..*tile }, 2), expected, "{name}: {tile}, {order:?}");
                }
            }
        }
    }

    #[test]
    fn sums_that_come_together_have_all_their_products_before_the_next() {
        let (_, op, shape) = field::operations().swap_remove(0);
        let geometry = op.at(&shape).unwrap();
        let tile = *candidates(&geometry, &DeviceProfile::default())[0].tile().unwrap();
        let products = products(&Tile { order: Order::Sums(1), ..tile }, 2);
        let mut seen: Vec<usize> = products.iter().map(|product| product.sum).collect();
        seen.dedup();
        assert_eq!(seen.len(), sums(&tile).len(), "a sum is come back to");
    }
}
