//! Whether an output is right, which is checked before anything is timed.

use super::workloads::Case;
use anyhow::Result;
use std::time::{Duration, Instant};
use upconv::reference::{self, Comparison, Expected};
use upconv::{Layout, Tensor};

/// The multiply-adds that the f64 reference may do for one check: about 5 s.
pub(super) const BUDGET: u128 = 1_000_000_000;

/// The reference for a workload's output, or for a stated part of it where the whole would take minutes.
pub(crate) struct Check {
    expected: Expected,
    /// How many items of the batch are checked, from the first, and how many there are.
    batch: (usize, usize),
    /// The output channels that are checked.
    channels: Vec<usize>,
    out_channels: usize,
    /// How many columns of the input have their outputs checked, from the first, and how many there are.
    columns: (usize, usize),
    /// The columns of the output that no other column of the input reaches.
    out_columns: usize,
    layout: Layout,
    /// The time the reference took for the part.
    pub(crate) reference: Duration,
}

impl Check {
    /// Runs the reference on a case of `multiply_adds`.
    ///
    /// Beyond the budget it takes the first items of the batch, then some output channels, the first and the last
    /// among them (all of them where there are groups), then the first columns.
    pub(crate) fn new(case: &Case, multiply_adds: u128) -> Result<Self> {
        let (op, layout) = (&case.op, case.op.layout());
        let geometry = op.at(case.input.shape())?;
        let [_, _, width] = geometry.input();
        let per_item = multiply_adds / geometry.batch().max(1) as u128;
        let items = at_most(geometry.batch(), per_item);
        let per_channel = items as u128 * per_item / op.out_channels() as u128;
        let count = if op.groups() > 1 { op.out_channels() } else { at_most(op.out_channels(), per_channel) };
        let channels = spread(op.out_channels(), count);
        let wide = at_most(width, count as u128 * per_channel / width as u128);

        let axes = op.axes();
        let mut pads: Vec<(i64, i64)> = axes.iter().map(|axis| (axis.pad_begin, axis.pad_end)).collect();
        let mut output_padding: Vec<usize> = axes.iter().map(|axis| axis.output_padding).collect();
        if let [.., axis] = axes
            && wide < width
        {
            // The output ends before the first column that the next column of the input would reach.
            let last = axes.len() - 1;
            pads[last].1 = (axis.dilation * (axis.kernel - 1) + 1) as i64 - axis.stride as i64;
            output_padding[last] = 0;
        }
        let part = op.to_builder().out_channels(count).padding(pads).output_padding(output_padding).build()?;
        let items_of = pick(&case.input, 0, &spread(items, items))?;
        let input = pick(&items_of, column_axis(layout, &items_of), &spread(wide, wide))?;
        let weight = if count < op.out_channels() { pick(&case.weight, 1, &channels)? } else { case.weight.clone() };
        let bias = pick(&case.bias, 0, &channels)?;
        let start = Instant::now();
        let expected = reference::conv_transpose(&part, &input, &weight, Some(&bias))?;
        Ok(Self {
            reference: start.elapsed(),
            out_columns: part.at(input.shape())?.output()[2],
            expected,
            batch: (items, geometry.batch()),
            channels,
            out_channels: op.out_channels(),
            columns: (wide, width),
            layout,
        })
    }

    /// Compares an output, or the part of it that is checked.
    pub(crate) fn compare(&self, output: &Tensor) -> Result<Comparison> {
        let items = pick(output, 0, &spread(self.batch.0, self.batch.0))?;
        let channel_axis = if self.layout == Layout::ChannelsFirst { 1 } else { items.shape().len() - 1 };
        let channels = pick(&items, channel_axis, &self.channels)?;
        let columns = spread(self.out_columns, self.out_columns);
        Ok(self.expected.compare(&pick(&channels, column_axis(self.layout, &channels), &columns)?)?)
    }

    /// The share of the multiply-adds that the reference did.
    pub(crate) fn share(&self) -> f64 {
        let share = |(part, all): (usize, usize)| part as f64 / all as f64;
        share(self.batch) * share((self.channels.len(), self.out_channels)) * share(self.columns)
    }

    /// A description of the part that is checked; `None` where it is the whole.
    pub(crate) fn part(&self) -> Option<String> {
        let mut parts = Vec::new();
        if self.batch.0 < self.batch.1 {
            parts.push(format!("the first {} of {} items of the batch", self.batch.0, self.batch.1));
        }
        if self.channels.len() < self.out_channels {
            parts.push(format!("{} of {} output channels", self.channels.len(), self.out_channels));
        }
        if self.columns.0 < self.columns.1 {
            parts.push(format!(
                "the outputs of the first {} of {} columns of the input",
                self.columns.0, self.columns.1
            ));
        }
        (!parts.is_empty()).then(|| parts.join(", "))
    }
}

/// The last spatial axis.
fn column_axis(layout: Layout, tensor: &Tensor) -> usize {
    tensor.shape().len() - if layout == Layout::ChannelsFirst { 1 } else { 2 }
}

/// How many of `count` pieces of `each` multiply-adds fit the budget; at least 1.
fn at_most(count: usize, each: u128) -> usize {
    (BUDGET / each.max(1)).clamp(1, count as u128) as usize
}

/// `count` of the numbers below `end`, evenly spread, the first and the last among them.
pub(super) fn spread(end: usize, count: usize) -> Vec<usize> {
    match count {
        1 => vec![0],
        _ => (0..count).map(|index| index * (end - 1) / (count - 1)).collect(),
    }
}

/// The slices of a tensor at these indices of an axis.
pub(super) fn pick(tensor: &Tensor, axis: usize, indices: &[usize]) -> Result<Tensor> {
    let mut shape = tensor.shape().to_vec();
    let (outer, inner): (usize, usize) = (shape[..axis].iter().product(), shape[axis + 1..].iter().product());
    let extent = std::mem::replace(&mut shape[axis], indices.len());
    let rows = (0..outer).flat_map(|block| indices.iter().map(move |index| (block * extent + index) * inner));
    Ok(tensor.view().select(shape, rows.flat_map(|start| start..start + inner))?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use upconv::ConvTranspose;

    #[test]
    fn slices_are_picked_along_any_axis() {
        let tensor = Tensor::f32([2, 3, 2], (0..12).map(|v| v as f32).collect::<Vec<_>>()).unwrap();
        let picked = pick(&tensor, 1, &[0, 2]).unwrap();
        assert_eq!(picked.shape(), [2, 2, 2]);
        assert_eq!(picked.as_f32().unwrap(), [0.0, 1.0, 4.0, 5.0, 6.0, 7.0, 10.0, 11.0]);
        assert_eq!(pick(&tensor, 2, &[1]).unwrap().as_f32().unwrap(), [1.0, 3.0, 5.0, 7.0, 9.0, 11.0]);
    }

    #[test]
    fn a_part_takes_the_first_and_the_last() {
        assert_eq!(spread(256, 4), [0, 85, 170, 255]);
        assert_eq!(spread(5, 5), [0, 1, 2, 3, 4]);
        assert_eq!(spread(5, 1), [0]);
    }

    /// A case with `out_channels`, checked as if it had `multiply_adds`.
    fn partial(layout: Layout, shape: [usize; 4], out_channels: usize, multiply_adds: u128) -> (Case, Check) {
        let op = ConvTranspose::builder()
            .in_channels(3)
            .out_channels(out_channels)
            .kernel([4, 3])
            .stride([2, 2])
            .padding([1, 1])
            .output_padding([1, 1])
            .layout(layout)
            .build()
            .unwrap();
        let numbers = |shape: &[usize]| {
            let data: Vec<f32> = (0..shape.iter().product()).map(|i: usize| (i * i % 23) as f32 - 11.0).collect();
            Tensor::f32(shape, data).unwrap()
        };
        let (weight, bias) = (numbers(&op.weight_shape()), numbers(&[out_channels]));
        let case = Case { input: numbers(&shape), weight, bias, op };
        let check = Check::new(&case, multiply_adds).unwrap();
        (case, check)
    }

    #[test]
    fn a_part_of_the_output_is_compared_with_the_whole_operation() {
        let channels = "the first 1 of 2 items of the batch, 3 of 6 output channels";
        let columns = "the first 1 of 2 items of the batch, the outputs of the first 3 of 7 columns of the input";
        for (out_channels, multiply_adds, part) in [(6, 4 * BUDGET, channels), (1, 4 * BUDGET, columns)] {
            for (layout, shape) in [(Layout::ChannelsFirst, [2, 3, 5, 7]), (Layout::ChannelsLast, [2, 5, 7, 3])] {
                let (case, check) = partial(layout, shape, out_channels, multiply_adds);
                assert_eq!(check.part().unwrap(), part);
                let right = reference::run(&case.op, &case.input, &case.weight, Some(&case.bias)).unwrap();
                let comparison = check.compare(&right).unwrap();
                assert!(comparison.passed(), "{comparison:?}");
                let wrong: Vec<f32> = right.to_f32().into_iter().map(|value| value + 1.0).collect();
                assert!(!check.compare(&Tensor::f32(right.shape(), wrong).unwrap()).unwrap().passed());
            }
        }
    }

    #[test]
    fn what_fits_the_budget_is_checked_whole() {
        let (case, check) = partial(Layout::ChannelsFirst, [2, 3, 5, 7], 6, BUDGET);
        assert_eq!((check.part(), check.share()), (None, 1.0));
        let right = reference::run(&case.op, &case.input, &case.weight, Some(&case.bias)).unwrap();
        assert_eq!(check.expected.shape(), right.shape());
    }
}
