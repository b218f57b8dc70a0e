//! The weights of `winograd` at the points of its tiles: those of its products, in the order of `gather`.

use super::records::Record;
use crate::gpu::dispatch::rows;
use crate::gpu::kernels::params::shader_struct;
use crate::op::ConvTranspose;
use crate::winograd::Filter;

shader_struct! {
    /// `Filter` of `winograd_weights.wgsl`, field by field.
    GpuFilter {
        kernel: [[f32; 4]; 6],
        taps: u32,
        stride: u32,
        residue: u32,
        points: u32,
        classes: u32,
        phases: u32,
        padding_1: u32,
        padding_2: u32,
    }
}

shader_struct! {
    /// `Params` of `winograd_weights.wgsl`, field by field.
    PointParams {
        filters: [GpuFilter; 2],
        elements: u32,
        depth: u32,
        in_channels: u32,
        out_channels: u32,
        rows: u32,
        columns: u32,
        source_record: u32,
        target_record: u32,
    }
}

impl GpuFilter {
    fn new(filter: Filter) -> Self {
        let mut kernel = [[0.0; 4]; 6];
        for (to, row) in kernel.iter_mut().zip(filter.kernel()) {
            for (to, &factor) in to.iter_mut().zip(row) {
                *to = factor as f32;
            }
        }
        Self {
            kernel,
            taps: filter.taps as u32,
            stride: filter.stride as u32,
            residue: filter.residue as u32,
            points: filter.points() as u32,
            classes: filter.classes() as u32,
            phases: filter.phases() as u32,
            ..Self::default()
        }
    }
}

impl PointParams {
    /// Those of an operation with its filters along (h, w) and its products.
    pub(crate) fn new(op: &ConvTranspose, filters: [Filter; 2], product: &ConvTranspose) -> Self {
        let [depth, rows, columns] = op.axes3().map(|axis| axis.kernel);
        let numbers = product.out_channels() * op.in_channels() * depth;
        Self {
            filters: filters.map(GpuFilter::new),
            elements: numbers as u32,
            depth: depth as u32,
            in_channels: op.in_channels() as u32,
            out_channels: op.out_channels() as u32,
            rows: rows as u32,
            columns: columns as u32,
            source_record: Record::new(op).stride as u32,
            target_record: Record::new(product).stride as u32,
        }
    }

    /// The workgroups along x and y.
    pub(crate) fn workgroups(&self, most: u32) -> [u32; 2] {
        rows(self.elements.div_ceil(64).into(), most)
    }
}
