//! The mean of each channel: the sums of its blocks, and what those come to.

use super::simd::Instructions;
use crate::graph::action::extents;
use crate::graph::part::BLOCK;
use pulp::WithSimd;
use rayon::prelude::*;

/// The sums of the blocks of each channel of one item, each over 256, of the values of this shape from a place on.
pub(super) fn block_sums(
    values: &[f32],
    (shape, [z, y, x]): (&[usize], [usize; 3]),
    sums: &mut [f32],
    blocks: &[usize],
    instructions: Instructions,
) {
    let ([_, h, w], [depth, rows, columns]) = (extents(shape), extents(blocks));
    let channel = values.len() / shape[1];
    sums.par_chunks_exact_mut(columns).enumerate().for_each(|(row, sums)| {
        let (plane, top) = (row / rows, y + row % rows * BLOCK);
        let first = plane / depth * channel + (z + plane % depth) * h * w;
        let lines = (top..(top + BLOCK).min(h)).map(|y| &values[first + y * w + x..first + (y + 1) * w]);
        instructions.run(Sums { lines, sums });
    });
}

/// A row of blocks: in each, 16 columns first, and then those.
struct Sums<'a, L> {
    lines: L,
    sums: &'a mut [f32],
}

impl<'a, L: Iterator<Item = &'a [f32]> + Clone> WithSimd for Sums<'_, L> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, _: S) {
        let Self { lines, sums } = self;
        for (block, sum) in sums.iter_mut().enumerate() {
            let mut columns = [0.0_f32; BLOCK];
            for line in lines.clone() {
                let line = &line[block * BLOCK..];
                match line.first_chunk::<BLOCK>() {
                    Some(line) => columns.iter_mut().zip(line).for_each(|(sum, value)| *sum += value),
                    None => columns.iter_mut().zip(line).for_each(|(sum, value)| *sum += value),
                }
            }
            *sum = columns.iter().sum::<f32>() / (BLOCK * BLOCK) as f32;
        }
    }
}

/// The means of channels of so many elements, from the sums of their blocks.
pub(super) fn means(sums: &[f32], count: usize, means: &mut [f32]) {
    let elements = count as f64 / (BLOCK * BLOCK) as f64;
    for (sums, mean) in sums.chunks_exact(sums.len() / means.len().max(1)).zip(means) {
        *mean = (sums.iter().map(|&sum| f64::from(sum)).sum::<f64>() / elements) as f32;
    }
}
