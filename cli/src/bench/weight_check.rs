//! Whether the gradient of a weight is right, which is checked before it is timed.

use super::check::{BUDGET, pick, spread};
use super::workloads::Case;
use anyhow::Result;
use upconv::Tensor;
use upconv::reference::{self, Comparison, Expected};

/// The reference for the gradient of a weight, or for that of some channels where the whole would take minutes.
pub(crate) struct WeightCheck {
    expected: Expected,
    in_channels: Vec<usize>,
    out_channels: Vec<usize>,
    all: [usize; 2],
}

impl WeightCheck {
    /// Runs the reference on a case of `multiply_adds`, with this gradient of the output. Beyond the budget it takes some
    /// input and output channels, the first and the last among them; all where there are groups.
    pub(crate) fn new(case: &Case, gradient: &Tensor, multiply_adds: u128) -> Result<Self> {
        let (op, all) = (&case.op, [case.op.in_channels(), case.op.out_channels()]);
        let pairs = (all[0] * all[1]) as u128;
        let most = (BUDGET * pairs / multiply_adds.max(1)).max(1);
        let side = most.isqrt().max(1) as usize;
        let in_count = all[0].min(side);
        let counts = if op.groups() > 1 { all } else { [in_count, all[1].min((most as usize / in_count).max(1))] };
        let [in_channels, out_channels] = [0, 1].map(|at| spread(all[at], counts[at]));
        let part = op.to_builder().in_channels(counts[0]).out_channels(counts[1]).build()?;
        let axis = |tensor: &Tensor| match op.layout() {
            upconv::Layout::ChannelsFirst => tensor.shape().len() - op.rank() - 1,
            upconv::Layout::ChannelsLast => tensor.shape().len() - 1,
        };
        let input = pick(&case.input, axis(&case.input), &in_channels)?;
        let gradient = pick(gradient, axis(gradient), &out_channels)?;
        let expected = reference::weight_gradient(&part, &input, &gradient)?;
        Ok(Self { expected, in_channels, out_channels, all })
    }

    /// Compares a gradient in the order `iohw`, or the part of it that is checked.
    pub(crate) fn compare(&self, gradient: &Tensor) -> Result<Comparison> {
        let part = if self.part().is_some() {
            pick(&pick(gradient, 0, &self.in_channels)?, 1, &self.out_channels)?
        } else {
            gradient.clone()
        };
        Ok(self.expected.compare(&part)?)
    }

    /// A description of the part that is checked; `None` where it is the whole.
    pub(crate) fn part(&self) -> Option<String> {
        let counts = [self.in_channels.len(), self.out_channels.len()];
        (counts != self.all).then(|| {
            format!("{} of {} input and {} of {} output channels", counts[0], self.all[0], counts[1], self.all[1])
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use upconv::ConvTranspose;

    #[test]
    fn a_part_is_compared_with_the_whole_gradient() {
        let op = ConvTranspose::builder().in_channels(5).out_channels(7).kernel([2, 3]).stride([2, 1]).build().unwrap();
        let case = Case::new(op, &[2, 5, 4, 6], false).unwrap();
        let gradient = case.gradient().unwrap();
        let right = reference::weight_gradient(&case.op, &case.input, &gradient).unwrap();
        let right = Tensor::f64(right.shape(), right.value().to_vec()).unwrap().into_dtype(upconv::DType::F32);
        for (multiply_adds, part) in
            [(1, None), (4 * BUDGET, Some("2 of 5 input and 4 of 7 output channels".to_string()))]
        {
            let check = WeightCheck::new(&case, &gradient, multiply_adds).unwrap();
            assert_eq!(check.part(), part);
            assert!(check.compare(&right).unwrap().passed());
            let wrong: Vec<f32> = right.to_f32().into_iter().map(|value| value + 1.0).collect();
            assert!(!check.compare(&Tensor::f32(right.shape(), wrong).unwrap()).unwrap().passed());
        }
    }
}
