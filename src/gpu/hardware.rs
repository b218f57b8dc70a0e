//! What instructions cost on each class of devices: one table.

use super::kernels::tiles::tile::Order;
use super::profile::DeviceClass;

/// What a class of devices can do. Costs are in multiply-adds of one lane.
pub(crate) struct Traits {
    /// The most numbers that an invocation's sums and inputs may take.
    pub(crate) registers: usize,
    /// The order of a tile's products; [`Order::Rows`] only where its inputs do not all fit beside the sums.
    pub(crate) order: Order,
    /// Reading or writing one element.
    pub(crate) read: f64,
    /// Reading or writing four neighbouring ones at once.
    pub(crate) quad: f64,
    /// Testing whether a number is inside, where that is not part of reading it.
    pub(crate) test: f64,
    /// Reading four weights, at an address that all lanes share.
    pub(crate) weights: f64,
    /// Reading a unit of weights, besides.
    pub(crate) unit: f64,
    /// The most multiply-adds of a turn of the loop over input channels that has several of them.
    pub(crate) turn: usize,
    /// Reading four neighbouring ones from the workgroup's memory, or writing one there; `None` where nothing tells
    /// that it pays, and `tiled` is not chosen.
    pub(crate) shared: Option<f64>,
    /// The invocations that occupy the device.
    pub(crate) invocations: f64,
    /// Invocations of a workgroup.
    pub(crate) workgroup: u32,
}

impl DeviceClass {
    pub(crate) fn traits(self) -> Traits {
        match self {
            // Measured on lavapipe 22.3: 95 G multiply-adds/s, 2.3 G reads/s, 1.3 to 2 G reads/s of a quad. Spilling a
            // sum costs less there than reading an input again, and little where it takes all its taps at once: of the 16
            // vector registers of AVX2, 8 sums leave as many for their inputs and weights.
            DeviceClass::Software => {
                let (read, quad, weights) = (41.0, 50.0, 50.0);
                let (order, turn, invocations, workgroup) = (Order::Sums(8), 600, 64.0, 16);
                Traits { registers: 360, order, turn, read, quad, weights, invocations, workgroup, ..Traits::WEAKEST }
            }
            // By the compilers' statistics (benches/STATIC.md): 84 numbers leave RADV 96 registers, which is 8 waves. A
            // test is an instruction for each number, beside the joining of conditions. Weights are read by a unit of
            // their own, up to four vec4s at once, into few registers: beyond 100 numbers they are moved about. Occupied
            // are 64 SIMDs of 32 lanes with two waves each: a card of the middle. `direct` has enough independent sums to
            // keep a lane busy alone. `tiled` leaves fewer waves and a smaller share of multiply-adds, because a read
            // from the workgroup's memory takes two instructions.
            DeviceClass::Desktop => Traits {
                registers: 84,
                order: Order::Rows,
                test: 2.5,
                weights: 2.0,
                unit: 5.0,
                turn: 320,
                invocations: 4096.0,
                ..Traits::WEAKEST
            },
            // A read from the workgroup's memory takes one instruction, one from a buffer several, with its test and its
            // address.
            DeviceClass::Nvidia => {
                let (quad, weights, shared) = (4.0, 3.0, Some(1.5));
                Traits { registers: 82, quad, weights, shared, invocations: 4096.0, ..Traits::WEAKEST }
            }
            // No spills on Adreno and Apple; their drivers test each read, those of weights too.
            DeviceClass::Mobile => {
                let (read, quad, weights) = (12.0, 12.0, 12.0);
                Traits { registers: 80, read, quad, weights, invocations: 4096.0, ..Traits::WEAKEST }
            }
            DeviceClass::Unknown => Traits::WEAKEST,
        }
    }
}

impl Traits {
    /// Those of a device of which nothing is known.
    const WEAKEST: Self = Self {
        registers: 64,
        order: Order::Taps,
        read: 6.0,
        quad: 6.0,
        test: 0.0,
        weights: 6.0,
        unit: 0.0,
        turn: 128,
        shared: None,
        invocations: 8192.0,
        workgroup: 64,
    };
}
