//! What the kernel `matrix` reads: its parameters with the table of phases and taps, and its weights, packed from those
//! of `gather`.

use super::layout::{Matrix, box_phases, cells, first_reads};
use crate::gpu::kernels::activation;
use crate::gpu::kernels::pack::matrix::Packing;
use crate::gpu::kernels::pack::records::Record;
use crate::gpu::kernels::params::shader_struct;
use crate::op::Geometry;

shader_struct! {
    /// `Axis` of `matrix.wgsl`, field by field.
    GpuAxis {
        first_cell: i32,
        boxes: i32,
        reach: i32,
        stride: i32,
        pad_begin: i32,
        input_extent: i32,
        input_stride: i32,
        output_extent: i32,
        output_stride: i32,
        padding_1: i32,
        padding_2: i32,
        padding_3: i32,
    }
}

shader_struct! {
    /// `Params` of `matrix.wgsl`, field by field.
    Params {
        axes: [GpuAxis; 3],
        boxes: i32,
        phases: i32,
        pairs: i32,
        sets: i32,
        taps: i32,
        group_in_channels: i32,
        group_out_channels: i32,
        packed_in_channels: i32,
        input_batch_stride: i32,
        input_channel_stride: i32,
        output_batch_stride: i32,
        output_channel_stride: i32,
        record_stride: i32,
        beta: f32,
        padding_1: i32,
        padding_2: i32,
    }
}

/// The uniforms of a layer's one dispatch: its parameters, and behind them the table.
pub(crate) fn uniforms(geometry: &Geometry, matrix: &Matrix) -> Vec<u8> {
    let op = &geometry.op;
    let (xs, ys, reads) = (geometry.input_strides(), geometry.output_strides(), first_reads(op));
    let (packing, cells, phases) =
        (Packing::new(op, matrix.matrices.side), cells(geometry), box_phases(op, matrix.extents));
    let axes = [0, 1, 2].map(|a| {
        let axis = &op.axes3()[a];
        GpuAxis {
            first_cell: cells[a].0 as i32,
            boxes: cells[a].1.div_ceil(matrix.cells()[a]) as i32,
            reach: reads[a] as i32,
            stride: axis.stride as i32,
            pad_begin: axis.pad_begin as i32,
            input_extent: geometry.input[a] as i32,
            input_stride: xs.spatial[a] as i32,
            output_extent: geometry.output[a] as i32,
            output_stride: ys.spatial[a] as i32,
            ..GpuAxis::default()
        }
    });
    let pairs = phases.len() * packing.blocks;
    let params = Params {
        boxes: axes.iter().map(|axis| axis.boxes).product::<i32>() * geometry.batch as i32,
        axes,
        phases: phases.len() as i32,
        pairs: pairs as i32,
        sets: pairs.div_ceil(matrix.pairs) as i32,
        taps: packing.taps as i32,
        group_in_channels: (op.in_channels() / op.groups()) as i32,
        group_out_channels: (op.out_channels() / op.groups()) as i32,
        packed_in_channels: packing.in_channels as i32,
        input_batch_stride: xs.batch as i32,
        input_channel_stride: xs.channel as i32,
        output_batch_stride: ys.batch as i32,
        output_channel_stride: ys.channel as i32,
        record_stride: Record::new(op).stride as i32,
        beta: activation::parameters(op.activation(), 0).1,
        ..Params::default()
    };
    let mut table = Vec::with_capacity(matrix.entries);
    let mut first = 2 * phases.len() as i32;
    for phase in &phases {
        let [z, y, x] = phase.residues.map(|residue| residue as i32);
        let end = first + phase.taps.len() as i32;
        table.extend([[first, end, 0, 0], [z, y, x, 0]]);
        first = end;
    }
    table.extend(phases.iter().flat_map(|phase| &phase.taps).map(|&(tap, place)| [tap as i32, place as i32, 0, 0]));
    let mut bytes = bytemuck::bytes_of(&params).to_vec();
    bytes.extend_from_slice(bytemuck::cast_slice(&table));
    bytes
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::gpu::kernels::matrix::layout::MAX_ENTRIES;
    use crate::gpu::kernels::matrix::layout::tests::{ALL, profile};
    use crate::gpu::kernels::pack::matrix::PackParams;
    use crate::gpu::kernels::variant::Variant;
    use crate::gpu::kernels::variant::tests::{layout, validate};
    use crate::gpu::plan::body::{Body, Plan};
    use crate::gpu::plan::field;
    use crate::gpu::storage::Storage;
    use crate::kernel::Kernel;
    use crate::op::ConvTranspose;
    use crate::{DeviceProfile, Error};

    fn planned(op: &ConvTranspose, shape: &[usize], storage: Storage, profile: &DeviceProfile) -> Option<Plan> {
        match Plan::with_kernel(&op.at(shape).unwrap(), storage, profile, Kernel::Matrix) {
            Err(Error::Kernel { .. }) => None,
            plan => Some(plan.unwrap()),
        }
    }

    /// The kernels for the operations of the field on every device's matrices, and those that pack their weights.
    pub(crate) fn variants() -> Vec<Variant> {
        let mut variants = [Storage::F32, Storage::F16].map(|factors| Variant::MatrixWeights { factors }).to_vec();
        for (storage, matrices) in [Storage::F32, Storage::F16].into_iter().flat_map(|s| ALL.map(|m| (s, m))) {
            for (_, op, shape) in field::operations() {
                let plan = planned(&op, &shape, storage, &profile(matrices));
                variants.extend(plan.map(|plan| Variant::of(&plan)));
            }
        }
        assert!(variants.len() > 30, "{}", variants.len());
        variants
    }

    #[test]
    fn parameters_have_the_same_layout_in_rust_and_in_wgsl() {
        let pack = validate(&Variant::MatrixWeights { factors: Storage::F32 }.source());
        assert_eq!(PackParams::layout(), layout(&pack, "Params"));
        let kernel = validate(include_str!("../../../../shaders/matrix.wgsl"));
        assert_eq!(Params::layout(), layout(&kernel, "Params"));
        assert_eq!(GpuAxis::layout(), layout(&kernel, "Axis"));
        // The table follows the parameters.
        let (fields, _) = layout(&kernel, "Uniforms");
        assert_eq!(fields[1], ("table".into(), Params::layout().1));
        assert!(Params::layout().1 as usize + 16 * MAX_ENTRIES <= 16 << 10, "as much as every device can see");
    }

    #[test]
    fn the_uniforms_are_as_long_as_the_shader_wants_them() {
        for (_, op, shape) in field::operations() {
            let Some(plan) = planned(&op, &shape, Storage::F16, &profile(ALL[1])) else { continue };
            let Body::Matrix(matrix, _) = plan.body else { panic!("no matrices: {plan:?}") };
            let bytes = uniforms(&plan.geometry, &matrix).len();
            assert_eq!(bytes, Params::layout().1 as usize + 16 * matrix.entries);
        }
    }

    /// The canonical text is the kernel of a 4x4 layer of stride 2 for matrices of 8x8.
    #[test]
    fn the_canonical_text_is_what_the_generator_writes() {
        let (_, op, _) = field::operations().swap_remove(0);
        let plan = planned(&op, &[16, 512, 32, 32], Storage::F16, &profile(ALL[0])).unwrap();
        let Body::Matrix(matrix, _) = &plan.body else { panic!("no matrices: {plan:?}") };
        let text = format!("{}\n{}", include_str!("head.wgsl"), super::super::wgsl::generate(matrix));
        validate(&text);
        let path = format!("{}/shaders/matrix.wgsl", env!("CARGO_MANIFEST_DIR"));
        if std::env::var_os("UPCONV_WRITE_SHADERS").is_some() {
            std::fs::write(&path, &text).unwrap();
        }
        let committed = std::fs::read_to_string(&path).unwrap();
        assert!(text == committed, "{path} is out of date: run this test with UPCONV_WRITE_SHADERS=1");
    }
}
