//! The products of the definition, and what is summed of them.

use crate::error::Result;
use crate::op::{Axis, Geometry};
use crate::tensor::{filled, reserved};

/// One product: the flat indices of the input element, of its weight, and of the output element that it lands on.
pub(super) struct Product {
    pub(super) input: usize,
    pub(super) weight: usize,
    pub(super) output: usize,
}

/// One product on an axis: this input element times this tap lands on this output element.
#[derive(Clone, Copy)]
struct Landing {
    input: usize,
    tap: usize,
    output: usize,
}

/// All products of an axis, in the order of inputs, then taps; those that padding crops are left out.
fn landings(axis: &Axis, input: usize, output: usize) -> Result<Vec<Landing>> {
    let mut landings = reserved("the reference's products on an axis", axis.landings(input, output))?;
    for i in 0..input {
        for tap in 0..axis.kernel {
            let o = i as i64 * axis.stride as i64 + tap as i64 * axis.dilation as i64 - axis.pad_begin;
            let (o, left_out) = (o.div_euclid(axis.decimation as i64), o.rem_euclid(axis.decimation as i64));
            if left_out == 0 && (0..output as i64).contains(&o) {
                landings.push(Landing { input: i, tap, output: o as usize });
            }
        }
    }
    Ok(landings)
}

/// Calls `visit` with every product of the operation.
pub(super) fn each_product(geometry: &Geometry, mut visit: impl FnMut(Product)) -> Result<()> {
    let (op, axes) = (geometry.op(), geometry.op().axes3());
    let on = |a: usize| landings(&axes[a], geometry.input[a], geometry.output[a]);
    let (lz, ly, lx) = (on(0)?, on(1)?, on(2)?);
    let (xs, ys) = (geometry.input_strides(), geometry.output_strides());
    let (in_group, out_group) = (op.in_channels() / op.groups(), op.out_channels() / op.groups());
    let ws = op.weight_layout().strides(op.in_channels(), out_group, &axes.map(|axis| axis.kernel));
    for n in 0..geometry.batch {
        for ci in 0..op.in_channels() {
            for o in 0..out_group {
                let co = ci / in_group * out_group + o;
                let x0 = n * xs.batch + ci * xs.channel;
                let y0 = n * ys.batch + co * ys.channel;
                let w0 = ci * ws.input + o * ws.output;
                for z in &lz {
                    for y in &ly {
                        let x1 = x0 + z.input * xs.spatial[0] + y.input * xs.spatial[1];
                        let y1 = y0 + z.output * ys.spatial[0] + y.output * ys.spatial[1];
                        let w1 = w0 + z.tap * ws.spatial[0] + y.tap * ws.spatial[1];
                        for l in &lx {
                            visit(Product {
                                input: x1 + l.input * xs.spatial[2],
                                weight: w1 + l.tap * ws.spatial[2],
                                output: y1 + l.output * ys.spatial[2],
                            });
                        }
                    }
                }
            }
        }
    }
    Ok(())
}

/// What is summed for each element of a result.
pub(super) struct Sums {
    pub(super) value: Vec<f64>,
    pub(super) magnitude: Vec<f64>,
    pub(super) products: Vec<u32>,
    /// What the errors of the factors add up to; empty where they have none.
    pub(super) inherited: Vec<f64>,
}

impl Sums {
    pub(super) fn new(what: &'static str, len: usize) -> Result<Self> {
        Ok(Self {
            value: filled(what, 0.0, len)?,
            magnitude: filled(what, 0.0, len)?,
            products: filled(what, 0, len)?,
            inherited: Vec::new(),
        })
    }

    pub(super) fn add(&mut self, at: usize, product: f64) {
        self.value[at] += product;
        self.magnitude[at] += product.abs();
        // The weight's gradient may sum over more products than anyone waits for.
        self.products[at] = self.products[at].saturating_add(1);
    }
}
