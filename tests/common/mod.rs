//! What the integration tests share: seeded random operations with their data, and the examples of the book.

#![allow(dead_code, reason = "each test program uses a part of it")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

pub(crate) mod graphs;
pub(crate) mod parts;

use fastrand::Rng;
use upconv::{Activation, ConvTranspose, Layout, Tensor, WeightLayout};

/// An operation with its data.
#[derive(Clone)]
pub(crate) struct Case {
    pub(crate) op: ConvTranspose,
    pub(crate) input: Tensor,
    pub(crate) weight: Tensor,
    pub(crate) bias: Option<Tensor>,
}

impl std::fmt::Debug for Case {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} at {:?}, bias {}", self.op, self.input.shape(), self.bias.is_some())
    }
}

/// What the data look like.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Values {
    /// Small integers: every sum is exact in f32, so that a result is right to the last bit or wrong.
    Integers,
    /// Numbers between −1 and 1.
    Reals,
}

pub(crate) fn tensor(rng: &mut Rng, shape: &[usize], values: Values) -> Tensor {
    let data: Vec<f32> = (0..shape.iter().product())
        .map(|_| match values {
            Values::Integers => rng.i32(-8..=8) as f32,
            Values::Reals => rng.f32() * 2.0 - 1.0,
        })
        .collect();
    Tensor::f32(shape, data).unwrap()
}

/// A random operation of rank 1 to 3 with groups, dilation, uneven and negative pads, both layouts and all weight
/// layouts, small enough for the reference, and its data.
pub(crate) fn random_case(rng: &mut Rng, values: Values, activation: impl Fn(&mut Rng, usize) -> Activation) -> Case {
    loop {
        let rank = rng.usize(1..=3);
        let most = [40, 9, 4][rank - 1];
        let groups = rng.usize(1..=3);
        let [in_channels, out_channels] = [0; 2].map(|_| groups * [1, 2, 3, 1, 2, 3, 4, 8][rng.usize(0..8)]);
        let mut each = |least: usize, most: usize| (0..rank).map(|_| rng.usize(least..=most)).collect::<Vec<_>>();
        let (kernel, stride, dilation) = (each(1, 5), each(1, 5), each(1, 4));
        let (extents, output_padding) = (each(1, most), each(0, 4));
        let padding: Vec<(i64, i64)> = (0..rank).map(|_| (rng.i64(-2..=4), rng.i64(-2..=4))).collect();
        let layout = if rng.bool() { Layout::ChannelsFirst } else { Layout::ChannelsLast };
        let weight_layout = WeightLayout::ALL[rng.usize(0..6)];
        let output_padding: Vec<usize> =
            output_padding.iter().zip(stride.iter().zip(&dilation)).map(|(a, (s, d))| a % s.max(d)).collect();
        let op = ConvTranspose::builder()
            .in_channels(in_channels)
            .out_channels(out_channels)
            .groups(groups)
            .kernel(kernel)
            .stride(stride)
            .dilation(dilation)
            .padding(padding)
            .output_padding(output_padding)
            .layout(layout)
            .weight_layout(weight_layout)
            .activation(activation(rng, out_channels))
            .build()
            .unwrap();
        let mut shape = match layout {
            Layout::ChannelsFirst => [&[in_channels], &extents[..]].concat(),
            Layout::ChannelsLast => [&extents[..], &[in_channels]].concat(),
        };
        if rng.u8(0..4) > 0 {
            shape.insert(0, rng.usize(1..=3));
        }
        if op.at(&shape).is_err() {
            continue;
        }
        let input = tensor(rng, &shape, values);
        let weight = tensor(rng, &op.weight_shape(), values);
        let bias = rng.bool().then(|| tensor(rng, &[out_channels], values));
        return Case { op, input, weight, bias };
    }
}

pub(crate) fn no_activation(_: &mut Rng, _: usize) -> Activation {
    Activation::None
}

/// The examples of *Dive into Deep Learning*, chapter 14.10, with what the book prints.
pub(crate) fn d2l_examples() -> Vec<(&'static str, Case, Tensor)> {
    let x = || Tensor::f32([1, 1, 2, 2], [0.0, 1.0, 2.0, 3.0]).unwrap();
    let one = |stride: usize, padding: i64| {
        let op = ConvTranspose::builder().kernel([2, 2]).stride([stride, stride]).padding([padding, padding]);
        Case { op: op.build().unwrap(), input: x(), weight: x(), bias: None }
    };
    let square = |side: usize, data: &[f32]| Tensor::f32([1, 1, side, side], data).unwrap();
    // Ten input channels of ones, twenty output channels, as `nn.ConvTranspose2d(20, 10, kernel_size=5, padding=2,
    // stride=3)` on the output of its convolution: the shape returns to that of X.
    let channels = ConvTranspose::builder()
        .in_channels(20)
        .out_channels(10)
        .kernel([5, 5])
        .stride([3, 3])
        .padding([2, 2])
        .build()
        .unwrap();
    let shape_case = Case {
        input: Tensor::f32([1, 20, 6, 6], vec![1.0; 720]).unwrap(),
        weight: Tensor::f32([20, 10, 5, 5], vec![0.0; 5000]).unwrap(),
        bias: Some(Tensor::f32([10], vec![2.0; 10]).unwrap()),
        op: channels,
    };
    vec![
        ("basic", one(1, 0), square(3, &[0.0, 0.0, 1.0, 0.0, 4.0, 6.0, 4.0, 12.0, 9.0])),
        ("padding 1", one(1, 1), square(1, &[4.0])),
        (
            "stride 2",
            one(2, 0),
            square(4, &[0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 2.0, 3.0, 0.0, 2.0, 0.0, 3.0, 4.0, 6.0, 6.0, 9.0]),
        ),
        ("channels", shape_case, Tensor::f32([1, 10, 16, 16], vec![2.0; 2560]).unwrap()),
    ]
}
