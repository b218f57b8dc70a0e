//! One spatial axis, and the formula of its output size.

use crate::error::{Error, Result};

/// One spatial axis of the operation.
///
/// ```
/// use upconv::Axis;
/// # fn main() -> upconv::Result<()> {
/// let axis = Axis { kernel: 4, stride: 2, pad_begin: 1, pad_end: 1, ..Axis::UNIT };
/// assert_eq!(axis.output_extent(0, 16)?, 32);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Axis {
    /// Number of taps, at least 1.
    pub kernel: usize,
    /// Distance on the output between the windows of two neighbouring inputs, at least 1.
    pub stride: usize,
    /// Distance on the output between two neighbouring taps of a window, at least 1.
    pub dilation: usize,
    /// Number of elements cropped from the beginning of the full output; negative pads it instead.
    pub pad_begin: i64,
    /// Number of elements cropped from the end of the full output; negative pads it instead.
    pub pad_end: i64,
    /// Number of elements by which the output is longer at its end.
    pub output_padding: usize,
    /// Of what padding leaves, every so many elements are the output, from the first on: 1 for a transposed convolution, the
    /// stride of an ordinary one, which is the transposed convolution of stride 1 with its kernel turned.
    pub decimation: usize,
}

impl Axis {
    /// The axis that changes nothing: what an operation of lower rank has in place of the missing axes.
    pub const UNIT: Axis =
        Axis { kernel: 1, stride: 1, dilation: 1, pad_begin: 0, pad_end: 0, output_padding: 0, decimation: 1 };

    /// The output extent for `input` elements; `index` numbers the axis in the error.
    ///
    /// `(input − 1)·stride + dilation·(kernel − 1) + 1 + output_padding − pad_begin − pad_end`, checked, in 64 bits; of
    /// these elements every `decimation`-th. This is the one place where an output size is computed.
    ///
    /// # Errors
    /// [`Error::OutputSize`] where less than one element is left, [`Error::Overflow`] where 64 bits do not suffice,
    /// [`Error::OutOfRange`] for no input.
    pub fn output_extent(&self, index: usize, input: usize) -> Result<usize> {
        if input == 0 {
            let what = format!("input size on axis {index}");
            return Err(Error::OutOfRange { what, given: 0, expected: "at least 1".into() });
        }
        let computed = self.full_extent(index, input)?;
        match usize::try_from(computed) {
            Ok(extent) if extent > 0 => Ok(extent.div_ceil(self.decimation)),
            _ => Err(Error::OutputSize {
                axis: index,
                computed,
                input,
                stride: self.stride,
                dilation: self.dilation,
                kernel: self.kernel,
                output_padding: self.output_padding,
                pad_begin: self.pad_begin,
                pad_end: self.pad_end,
            }),
        }
    }

    /// How far a window reaches: the distance of its last tap from its first.
    pub(crate) fn reach(&self) -> i64 {
        (self.kernel as i64 - 1) * self.dilation as i64
    }

    /// The coordinate `u` of the full output where output `o` is.
    pub(crate) fn full_coordinate(&self, o: i64) -> i64 {
        o * self.decimation as i64 + self.pad_begin
    }

    /// The axis that leads back from `output` elements to `input`, with the kernel turned: input `i` and output `o` meet in
    /// tap `k` where `i·stride + k·dilation = o·decimation + pad_begin`, and with `kernel − 1 − k` for `k` that is an axis
    /// again, on which stride and decimation have changed places. It needs no output padding: `pad_end` is chosen so that
    /// there are `input` elements.
    pub(crate) fn adjoint(&self, input: usize, output: usize) -> Self {
        let (input, output) = (input as i64, output as i64);
        let pad_begin = self.reach() - self.pad_begin;
        let full = (output - 1) * self.decimation as i64 + self.reach() + 1;
        let pad_end = full - pad_begin - ((input - 1) * self.stride as i64 + 1);
        Self { stride: self.decimation, decimation: self.stride, pad_begin, pad_end, output_padding: 0, ..*self }
    }

    /// How many pairs of an input and a tap land on the output: those that padding crops are not counted.
    pub(crate) fn landings(&self, input: usize, output: usize) -> u128 {
        if self.decimation > 1 {
            return self.adjoint(input, output).landings(output, input);
        }
        let pad_begin = i128::from(self.pad_begin);
        self.pairs_up_to(input, pad_begin + output as i128 - 1) - self.pairs_up_to(input, pad_begin - 1)
    }

    /// How many pairs of an input and a tap land on coordinates of the full output that are at most `last`.
    fn pairs_up_to(&self, input: usize, last: i128) -> u128 {
        let [input, kernel, stride, dilation] =
            [input, self.kernel, self.stride, self.dilation].map(|extent| extent as i128);
        // Tap k lands there with ⌊(last − k·dilation) / stride⌋ + 1 inputs, but at least none and at most all.
        let with_all = (last - (input - 1) * stride).div_euclid(dilation) + 1;
        let with_any = last.div_euclid(dilation) + 1;
        let (with_all, with_any) = (with_all.clamp(0, kernel), with_any.clamp(0, kernel));
        let between = with_any - with_all;
        let least = if between == 0 { 0 } else { last - (with_any - 1) * dilation };
        (input * with_all + between) as u128
            + floor_sum(between as u128, stride as u128, dilation as u128, least as u128)
    }

    /// The formula, whatever its sign.
    pub(super) fn full_extent(&self, index: usize, input: usize) -> Result<i64> {
        let int = |x: usize| i64::try_from(x).ok();
        let extent = || {
            int(input - 1)?
                .checked_mul(int(self.stride)?)?
                .checked_add(int(self.dilation)?.checked_mul(int(self.kernel)? - 1)?)?
                .checked_add(1)?
                .checked_add(int(self.output_padding)?)?
                .checked_sub(self.pad_begin)?
                .checked_sub(self.pad_end)
        };
        extent().ok_or_else(|| Error::Overflow {
            what: "output size",
            detail: format!("axis {index} of {self:?} at input {input} does not fit in 64 bits"),
        })
    }
}

/// The sum of ⌊(step·t + first) / divisor⌋ over t in 0 to n − 1, in as many rounds as Euclid's algorithm.
fn floor_sum(mut n: u128, mut divisor: u128, mut step: u128, mut first: u128) -> u128 {
    let mut sum = 0;
    while n > 0 {
        sum += n * (n - 1) / 2 * (step / divisor) + n * (first / divisor);
        (step, first) = (step % divisor, first % divisor);
        // The columns of lattice points under the line become rows.
        let last = step * n + first;
        n = last / divisor;
        first = last % divisor;
        (divisor, step) = (step, divisor);
    }
    sum
}
