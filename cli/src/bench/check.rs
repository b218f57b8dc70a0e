//! Whether an output is right, before anything about it is timed.

use super::workloads::Case;
use anyhow::{Result, bail};
use std::time::{Duration, Instant};
use upconv::reference::{self, Comparison, Expected};
use upconv::{ConvTranspose, Data, Layout, Tensor};

/// The multiply-adds that the f64 reference may do for one check: some 5 s.
const BUDGET: u128 = 1_000_000_000;

/// What the reference says of a workload's output, or of a stated part of it where the whole would take minutes.
pub(crate) struct Check {
    expected: Expected,
    /// The items of the batch that are checked, the first ones, and those there are.
    batch: (usize, usize),
    /// The output channels that are checked.
    channels: Vec<usize>,
    out_channels: usize,
    channel_axis: usize,
    /// The time the reference took for the part.
    pub(crate) reference: Duration,
}

impl Check {
    /// Runs the reference on a case of so many multiply-adds.
    ///
    /// Beyond the budget it takes the first items of the batch, then some output channels, the first and the last
    /// among them (all of them where there are groups).
    pub(crate) fn new(case: &Case, multiply_adds: u128) -> Result<Self> {
        let (op, shape) = (&case.op, case.input.shape());
        let per_item = multiply_adds / shape[0].max(1) as u128;
        let items = at_most(shape[0], per_item);
        let per_channel = items as u128 * per_item / op.out_channels() as u128;
        let count = if op.groups() > 1 { op.out_channels() } else { at_most(op.out_channels(), per_channel) };
        let channels = spread(op.out_channels(), count);
        let part = ConvTranspose::builder()
            .in_channels(op.in_channels())
            .out_channels(count)
            .groups(op.groups())
            .kernel(op.axes().iter().map(|axis| axis.kernel))
            .stride(op.axes().iter().map(|axis| axis.stride))
            .padding(op.axes().iter().map(|axis| (axis.pad_begin, axis.pad_end)))
            .output_padding(op.axes().iter().map(|axis| axis.output_padding))
            .layout(op.layout())
            .build()?;
        let input = pick(&case.input, 0, &spread(items, items))?;
        let weight = if count < op.out_channels() { pick(&case.weight, 1, &channels)? } else { case.weight.clone() };
        let bias = pick(&case.bias, 0, &channels)?;
        let start = Instant::now();
        let expected = reference::conv_transpose(&part, &input, &weight, Some(&bias))?;
        Ok(Self {
            reference: start.elapsed(),
            expected,
            batch: (items, shape[0]),
            channels,
            out_channels: op.out_channels(),
            channel_axis: if op.layout() == Layout::ChannelsFirst { 1 } else { shape.len() - 1 },
        })
    }

    /// Compares an output, or the part of it that is checked.
    pub(crate) fn compare(&self, output: &Tensor) -> Result<Comparison> {
        let items = pick(output, 0, &spread(self.batch.0, self.batch.0))?;
        Ok(self.expected.compare(&pick(&items, self.channel_axis, &self.channels)?)?)
    }

    /// The share of the multiply-adds that the reference did.
    pub(crate) fn share(&self) -> f64 {
        self.batch.0 as f64 / self.batch.1 as f64 * self.channels.len() as f64 / self.out_channels as f64
    }

    /// What is checked, in words; nothing where it is everything.
    pub(crate) fn part(&self) -> Option<String> {
        let mut parts = Vec::new();
        if self.batch.0 < self.batch.1 {
            parts.push(format!("the first {} of {} items of the batch", self.batch.0, self.batch.1));
        }
        if self.channels.len() < self.out_channels {
            parts.push(format!("{} of {} output channels", self.channels.len(), self.out_channels));
        }
        (!parts.is_empty()).then(|| parts.join(", "))
    }
}

/// How many of `count` pieces of so many multiply-adds fit the budget; at least 1.
fn at_most(count: usize, each: u128) -> usize {
    (BUDGET / each.max(1)).clamp(1, count as u128) as usize
}

/// `count` of the numbers below `end`, evenly spread, the first and the last among them.
fn spread(end: usize, count: usize) -> Vec<usize> {
    match count {
        1 => vec![0],
        _ => (0..count).map(|index| index * (end - 1) / (count - 1)).collect(),
    }
}

/// The slices of a tensor at these indices of an axis.
fn pick(tensor: &Tensor, axis: usize, indices: &[usize]) -> Result<Tensor> {
    fn rows<T: Copy>(data: &[T], extent: usize, inner: usize, indices: &[usize]) -> Vec<T> {
        let blocks = data.chunks_exact(extent * inner);
        blocks.flat_map(|block| indices.iter().flat_map(|i| &block[i * inner..(i + 1) * inner])).copied().collect()
    }
    let mut shape = tensor.shape().to_vec();
    let (extent, inner) = (shape[axis], shape[axis + 1..].iter().product());
    shape[axis] = indices.len();
    let data = match tensor.data() {
        Data::F32(values) => Data::F32(rows(values, extent, inner, indices)),
        Data::F16(values) => Data::F16(rows(values, extent, inner, indices)),
        _ => bail!("the workloads are of float32 and float16, not {}", tensor.dtype()),
    };
    Ok(Tensor::new(shape, data)?)
}

#[cfg(test)]
mod tests {
    use super::*;

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

    /// A case that does not fit the budget, by its number of multiply-adds.
    fn partial(layout: Layout, shape: [usize; 4]) -> (Case, Check) {
        let op = ConvTranspose::builder()
            .in_channels(3)
            .out_channels(6)
            .kernel([4, 3])
            .stride([2, 2])
            .padding([1, 1])
            .layout(layout)
            .build()
            .unwrap();
        let numbers = |shape: &[usize]| {
            let data: Vec<f32> = (0..shape.iter().product()).map(|i: usize| (i * i % 23) as f32 - 11.0).collect();
            Tensor::f32(shape, data).unwrap()
        };
        let case = Case { input: numbers(&shape), weight: numbers(&op.weight_shape()), bias: numbers(&[6]), op };
        let check = Check::new(&case, 4 * BUDGET).unwrap();
        (case, check)
    }

    #[test]
    fn a_part_of_the_output_is_compared_with_the_whole_operation() {
        for (layout, shape) in [(Layout::ChannelsFirst, [2, 3, 5, 7]), (Layout::ChannelsLast, [2, 5, 7, 3])] {
            let (case, check) = partial(layout, shape);
            assert_eq!(check.part().unwrap(), "the first 1 of 2 items of the batch, 3 of 6 output channels");
            assert_eq!(check.share(), 0.25);
            let right = reference::run(&case.op, &case.input, &case.weight, Some(&case.bias)).unwrap();
            assert!(check.compare(&right).unwrap().passed());
            let wrong: Vec<f32> = right.to_f32().into_iter().map(|value| value + 1.0).collect();
            assert!(!check.compare(&Tensor::f32(right.shape(), wrong).unwrap()).unwrap().passed());
        }
    }
}
