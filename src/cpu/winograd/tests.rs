use super::*;
use crate::activation::Activation;
use crate::cpu::output::slots;
use crate::op::OutputPaddingPolicy;
use crate::reference;
use crate::tensor::Tensor;
use crate::winograd::TILE;
use fastrand::Rng;
use half::f16;

fn tensor(rng: &mut Rng, shape: &[usize]) -> Tensor {
    let len = shape.iter().product();
    Tensor::f32(shape, (0..len).map(|_| rng.f32() * 2.0 - 1.0).collect::<Vec<_>>()).unwrap()
}

fn run_as<T: Stored<Computed = f32>>(
    op: &ConvTranspose,
    [x, weight, bias]: [&Tensor; 3],
    level: Level,
    empty: T,
) -> Vec<T> {
    let winograd = Winograd::new(op, weight.as_f32().unwrap(), bias.as_f32().unwrap(), level).unwrap().unwrap();
    let geometry = op.at(x.shape()).unwrap();
    let mut y = vec![empty; geometry.output_len()];
    // The second time with what the first one left in the scratch.
    for pool in [&Pool::default(); 2] {
        y.fill(empty);
        let written = winograd.run(&geometry, pool, x.as_f32().unwrap(), slots(&mut y)).unwrap();
        assert_eq!(written, y.len(), "{op:?} at {:?}", x.shape());
    }
    y
}

fn run(op: &ConvTranspose, tensors: [&Tensor; 3], level: Level) -> Vec<f32> {
    run_as(op, tensors, level, f32::NAN)
}

fn levels() -> impl Iterator<Item = Level> {
    Level::ALL.into_iter().filter(|level| level.is_available())
}

/// Compares every level with the reference, in f32 and rounded to f16.
fn check(rng: &mut Rng, op: &ConvTranspose, shape: &[usize]) {
    let (x, weight) = (tensor(rng, shape), tensor(rng, &op.weight_shape()));
    let bias = tensor(rng, &[op.out_channels()]);
    let expected = reference::conv_transpose(op, &x, &weight, Some(&bias)).unwrap();
    for level in levels() {
        let single = run(op, [&x, &weight, &bias], level);
        let half = run_as(op, [&x, &weight, &bias], level, f16::NAN);
        assert!(half.iter().zip(&single).all(|(half, &single)| *half == f16::from_f32(single)), "{op:?} {shape:?}");
        let got = Tensor::f32(expected.shape(), single).unwrap();
        let share = expected.compare_normwise(&got).unwrap().worst_share;
        assert!(share <= 0.25, "{level:?}: {share} of the bound: {op:?} {shape:?}");
    }
}

fn activation(rng: &mut Rng, channels: usize) -> Activation {
    match rng.usize(0..4) {
        0 => Activation::Prelu { slopes: (0..channels).map(|_| rng.f32()).collect() },
        1 => Activation::Relu,
        _ => Activation::None,
    }
}

#[test]
fn errors_are_within_the_bound_in_all_shapes() {
    let mut rng = Rng::with_seed(81);
    for _ in 0..24 {
        let (inputs, outputs) = (rng.usize(1..=20), rng.usize(1..=40));
        let mut pads = || (rng.i64(-1..=4), rng.i64(-1..=4));
        let op = ConvTranspose::builder().in_channels(inputs).out_channels(outputs).kernel([3, 3]);
        let op = op.padding([pads(), pads()]).build().unwrap();
        let shape = [rng.usize(1..=2), inputs, rng.usize(7..=24), rng.usize(7..=90)];
        check(&mut rng, &op, &shape);
    }
}

/// Kernels of twice the stride, with every number of phases that share their points.
#[test]
fn errors_are_within_the_bound_with_two_taps_for_each_phase() {
    let mut rng = Rng::with_seed(83);
    let mut groups = [0; 2];
    for _ in 0..60 {
        let (inputs, outputs) = (rng.usize(1..=20), rng.usize(1..=20));
        let strides = [rng.usize(2..=4), if rng.bool() { 2 } else { rng.usize(2..=8) }];
        let mut pads = || (rng.i64(-1..=4), rng.i64(-1..=3));
        let padding = [pads(), pads()];
        let op = ConvTranspose::builder()
            .in_channels(inputs)
            .out_channels(outputs)
            .activation(activation(&mut rng, outputs));
        let op = op.kernel(strides.map(|stride| 2 * stride)).stride(strides).padding(padding);
        let op = op.output_padding(strides.map(|stride| rng.usize(0..stride))).build().unwrap();
        let shape = [rng.usize(1..=3), inputs, rng.usize(3..=20), rng.usize(3..=40)];
        groups[Winograd::plan(&op).unwrap().0.map(groups_of)[1] - 1] += 1;
        check(&mut rng, &op, &shape);
    }
    assert!(groups.iter().all(|&count| count > 10), "{groups:?}");
}

fn groups_of(filter: Filter) -> usize {
    groups(filter).len()
}

/// Inputs of a single row, column or pixel.
#[test]
fn small_inputs_are_computed() {
    let mut rng = Rng::with_seed(84);
    for padding in 0..=3 {
        for [h, w] in [[1, 1], [1, 2], [2, 1], [1, 37], [5, 5], [4, 9]] {
            for batch in [1, 2, 17] {
                let op = ConvTranspose::builder().in_channels(3).out_channels(9).kernel([4, 4]).stride([2, 2]);
                let op = op.padding([padding, padding]).output_padding([1, 1]).build().unwrap();
                if op.at(&[batch, 3, h, w]).is_ok() {
                    check(&mut rng, &op, &[batch, 3, h, w]);
                }
            }
        }
    }
}

/// What is along d is added up by the products: taps that read other planes.
#[test]
fn a_third_axis_may_be_anything_with_a_tap_for_each_output() {
    let mut rng = Rng::with_seed(85);
    for _ in 0..40 {
        let (inputs, outputs) = (rng.usize(1..=6), rng.usize(1..=12));
        let (stride, dilation) = (rng.usize(1..=3), 1);
        let kernel = rng.usize(stride..=stride + 3);
        let dilation = if stride == 1 { rng.usize(1..=3) } else { dilation };
        let op = ConvTranspose::builder().in_channels(inputs).out_channels(outputs).kernel([kernel, 4, 4]);
        let op = op.stride([stride, 2, 2]).dilation([dilation, 1, 1]).padding([rng.i64(-1..=2), 1, 1]);
        let op = op.output_padding_policy(OutputPaddingPolicy::Lenient).output_padding([rng.usize(0..=2), 0, 0]);
        let op = op.build().unwrap();
        let shape = [rng.usize(1..=3), inputs, rng.usize(1..=5), rng.usize(2..=9), rng.usize(2..=20)];
        if op.at(&shape).is_ok() {
            check(&mut rng, &op, &shape);
        }
    }
    let hole = ConvTranspose::builder().kernel([1, 4, 4]).stride([2, 2, 2]).build().unwrap();
    assert!(Winograd::plan(&hole).is_none());
}

/// Rows are cut where tiles begin; a tile's outputs come from its inputs alone.
#[test]
fn a_part_has_the_bits_of_the_whole_on_any_number_of_threads() {
    let cases = [(3, 1, 2), (2, 2, 0), (2, 2, 1), (2, 3, 4)];
    for (level, (taps, scale, padding)) in levels().flat_map(|level| cases.map(|case| (level, case))) {
        let mut rng = Rng::with_seed(82);
        let kernel = if taps == 3 { 3 } else { 2 * scale };
        let op = ConvTranspose::builder().in_channels(70).out_channels(17).kernel([kernel; 2]).stride([scale; 2]);
        let op = op.padding([padding; 2]).activation(Activation::LeakyRelu { alpha: 0.1 }).build().unwrap();
        let (weight, bias) = (tensor(&mut rng, &op.weight_shape()), tensor(&mut rng, &[17]));
        let whole = tensor(&mut rng, &[1, 70, 30, 70]);
        let pools = [1, 2, 5].map(|threads| rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap());
        let [one, two, five] = pools.each_ref().map(|pool| pool.install(|| run(&op, [&whole, &weight, &bias], level)));
        assert!(one == two && one == five, "{op:?}");
        // From the 8th row and the 12th column on, 14×22 of them, which are cropped like the whole.
        let (top, left, h, w) = (8, 12, 14, 22);
        let x = whole.as_f32().unwrap();
        let rows = (0..70).flat_map(|ci| (top..top + h).map(move |y| (ci * 30 + y) * 70 + left));
        let part = rows.flat_map(|at| &x[at..at + w]).copied().collect::<Vec<_>>();
        let part = Tensor::f32([1, 70, h, w], part).unwrap();
        let [_, _, wholes, wide] = op.at(whole.shape()).unwrap().output_shape()[..] else { panic!() };
        let [_, _, high, width] = op.at(part.shape()).unwrap().output_shape()[..] else { panic!() };
        let part = run(&op, [&part, &weight, &bias], level);
        // The tiles that read nothing beyond the part's edges.
        let tile = TILE * scale;
        let first = if padding == 2 && taps == 3 { 0 } else { tile };
        let ends = [high, width].map(|extent| if taps == 3 { extent } else { (extent / tile - 1) * tile });
        let mut compared = 0;
        for (index, value) in part.into_iter().enumerate() {
            let (co, y, x) = (index / (high * width), index / width % high, index % width);
            if (first..ends[0]).contains(&y) && (first..ends[1]).contains(&x) {
                assert_eq!(value, one[(co * wholes + top * scale + y) * wide + left * scale + x], "{co} {y} {x}");
                compared += 1;
            }
        }
        assert!(compared > 17 * tile * tile, "{compared}");
        // An item of a batch is what it is alone.
        let pair: Vec<f32> = [x, x].concat();
        let pair = run(&op, [&Tensor::f32([2, 70, 30, 70], pair).unwrap(), &weight, &bias], level);
        assert!(pair[..one.len()] == one && pair[one.len()..] == one, "{op:?}");
    }
}

/// A NaN reaches the outputs that it belongs to, and others of the same tiles, but no tile that reads no NaN.
#[test]
fn a_nan_spreads_over_its_tiles_only() {
    let op = ConvTranspose::builder().in_channels(2).out_channels(3).kernel([4, 4]).stride([2, 2]).padding([1, 1]);
    let op = op.build().unwrap();
    let (mut rng, mut x) = (Rng::with_seed(86), vec![1.0; 2 * 20 * 20]);
    x[20 * 10 + 10] = f32::NAN;
    let (x, weight) = (Tensor::f32([1, 2, 20, 20], x).unwrap(), tensor(&mut rng, &op.weight_shape()));
    for level in levels() {
        let y = run(&op, [&x, &weight, &Tensor::f32([3], vec![0.0; 3]).unwrap()], level);
        for (index, value) in y.into_iter().enumerate() {
            let (row, column) = (index / 40 % 40, index % 40);
            let belongs = (19..=22).contains(&row) && (19..=22).contains(&column);
            let near = (16..24).contains(&row) && (16..24).contains(&column);
            assert!(if belongs { value.is_nan() } else { near || value.is_finite() }, "{level:?} {row} {column}");
        }
    }
}
