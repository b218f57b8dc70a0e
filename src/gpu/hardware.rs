//! What instructions cost on each class of devices: one table.

use super::profile::DeviceClass;

/// What a class of devices can do. Costs are in multiply-adds of one lane.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hardware {
    /// The most numbers that an invocation's accumulators and inputs may take.
    pub(crate) registers: usize,
    /// The order of an invocation's products.
    pub(crate) order: Order,
    /// Reading or writing one element of a buffer.
    pub(crate) read: f64,
    /// Reading or writing four neighbouring ones at once.
    pub(crate) vector: f64,
    /// Testing whether a number is in bounds, where that is not part of reading it.
    pub(crate) test: f64,
    /// Reading four weights, at an address that all lanes share.
    pub(crate) weights: f64,
    /// Besides that, reading what lies together of them at once.
    pub(crate) weight_unit: f64,
    /// The most multiply-adds of a round of the unrolled loop over input channels.
    pub(crate) unrolled: usize,
    /// Carrying an accumulator from one round of a loop to the next: in software it lies in memory, and NVK copies it
    /// where loops meet.
    pub(crate) carry: f64,
    /// The share of the cost of reading inputs and weights that is left where an input channel has a single tap.
    pub(crate) one_tap: f64,
    /// A multiply-add of f16, of which an instruction does two.
    pub(crate) f16: f64,
    /// A multiply-add in cooperative matrices; `None` where these are not known to pay.
    pub(crate) matrix: Option<f64>,
    /// Reading four neighbouring numbers of the workgroup's memory, or writing one there; `None` where it is not known
    /// to pay, and `tiled` is not chosen.
    pub(crate) shared: Option<f64>,
    /// The invocations that occupy the device.
    pub(crate) invocations: f64,
    /// Invocations that run in step: a workgroup that has fewer leaves the others idle.
    pub(crate) lanes: usize,
    /// Invocations of a workgroup.
    pub(crate) workgroup: u32,
}

/// In which order an invocation multiplies. An accumulator always takes its taps in the order of their numbers, so that
/// no bit depends on it; what does is how much has to be kept in registers at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Order {
    /// Vector by vector of output channels and tap by tap: a weight is read once and multiplies the inputs of all
    /// cells.
    Taps,
    /// By rows of taps where the inputs do not all fit beside the accumulators, each read when its row is reached.
    Rows,
    /// So many accumulators for the same output of neighbouring cells, each with all its taps, before the next.
    Accumulators(usize),
}

impl DeviceClass {
    /// - Software: measured on lavapipe 22.3, 95 G multiply-adds/s, 2.3 G reads/s, 1.3 to 2 G reads/s of a vector.
    ///   Spilling an accumulator costs less there than reading an input again, and little where it takes all its taps
    ///   at once: of the 16 vector registers of AVX2, 8 accumulators leave as many for their inputs and weights.
    ///   Of a single tap, as the products of Winograd's filtering have it, reading takes 0.4 of these costs.
    /// - Desktop: by the compilers' statistics (benches/STATIC.md), 84 numbers leave RADV 96 registers, which is 8
    ///   waves. A test is an instruction for each number, beside the joining of conditions. Weights are read by a unit
    ///   of their own, up to four vec4s at once, into few registers: beyond 100 numbers they are moved about. Occupied
    ///   are 64 SIMDs of 32 lanes with two waves each, a card of the middle: `direct` has enough independent
    ///   accumulators to keep a lane busy alone. `tiled` leaves fewer waves and a smaller share of multiply-adds,
    ///   because a read from the workgroup's memory takes two instructions.
    /// - Nvidia: a read from the workgroup's memory takes one instruction, one from a buffer several, with its test and
    ///   its address. Since Ampere f16 outside of matrices is no faster than f32 on most cards.
    /// - Matrices: by the makers' figures 4 to 8 times f32, of which half is counted.
    /// - Mobile: no spills on Adreno and Apple; their drivers test each read, those of weights too. Adreno and Mali do two
    ///   products of f16 at a time, Apple's do not.
    /// - Unknown: the weakest of all.
    #[rustfmt::skip]
    pub(crate) fn hardware(self) -> Hardware {
        use Order::{Accumulators, Rows, Taps};
        let class = self;
        Hardware {
            //                        Software         Desktop Nvidia     Mobile  Unknown
            registers:   of(class, [ 360,              84,     82,        80,     64    ]),
            order:       of(class, [ Accumulators(8),  Rows,   Taps,      Taps,   Taps  ]),
            read:        of(class, [ 41.0,             6.0,    6.0,       12.0,   6.0   ]),
            vector:      of(class, [ 50.0,             6.0,    4.0,       12.0,   6.0   ]),
            test:        of(class, [ 0.0,              2.5,    0.0,       0.0,    0.0   ]),
            weights:     of(class, [ 50.0,             2.0,    3.0,       12.0,   6.0   ]),
            weight_unit: of(class, [ 0.0,              5.0,    0.0,       0.0,    0.0   ]),
            unrolled:    of(class, [ 600,              320,    128,       128,    128   ]),
            carry:       of(class, [ 4.0,              0.0,    4.0,       0.0,    0.0   ]),
            one_tap:     of(class, [ 0.4,              1.0,    1.0,       1.0,    1.0   ]),
            f16:         of(class, [ 2.0,              0.5,    1.0,       0.6,    1.0   ]),
            matrix:      of(class, [ None,             Some(0.25), Some(0.25), None, None  ]),
            shared:      of(class, [ None,             None,   Some(1.5), None,   None  ]),
            invocations: of(class, [ 64.0,             4096.0, 4096.0,    4096.0, 8192.0]),
            lanes:       of(class, [ 8,                32,     32,        64,     32    ]),
            workgroup:   of(class, [ 16,               64,     64,        64,     64    ]),
        }
    }
}

/// A class's column of a row of the table.
fn of<T: Copy>(class: DeviceClass, row: [T; 5]) -> T {
    match class {
        DeviceClass::Software => row[0],
        DeviceClass::Desktop => row[1],
        DeviceClass::Nvidia => row[2],
        DeviceClass::Mobile => row[3],
        DeviceClass::Unknown => row[4],
    }
}
