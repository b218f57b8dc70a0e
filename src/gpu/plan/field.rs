//! Operations that the field knows, at their shapes: what the tests of plans and of kernels go through.

use crate::accuracy::Accuracy;
use crate::activation::Activation;
use crate::layout::Layout;
use crate::op::ConvTranspose;

/// Their names, the operations, and the shapes of their inputs.
pub(crate) fn operations() -> Vec<(&'static str, ConvTranspose, Vec<usize>)> {
    let op = ConvTranspose::builder;
    let table = [
        (
            "deep",
            op().in_channels(512).out_channels(256).kernel([4, 4]).stride([2, 2]).padding([1, 1]),
            vec![16, 512, 4, 4],
        ),
        ("u-net", op().in_channels(128).out_channels(64).kernel([2, 2]).stride([2, 2]), vec![1, 128, 128, 128]),
        (
            "fsrcnn",
            op().in_channels(56).kernel([9, 9]).stride([2, 2]).padding([4, 4]).output_padding([1, 1]),
            vec![1, 56, 256, 256],
        ),
        (
            "fcn",
            op().in_channels(21).out_channels(21).kernel([64, 64]).stride([32, 32]).padding([16, 16]),
            vec![1, 21, 10, 15],
        ),
        (
            "picture",
            op().in_channels(256).out_channels(3).kernel([4, 4]).stride([2, 2]).padding([3, 3]),
            vec![1, 256, 128, 128],
        ),
        ("sound", op().in_channels(512).out_channels(256).kernel([16]).stride([8]).padding([4]), vec![1, 512, 200]),
        (
            "depthwise",
            op().in_channels(64).out_channels(64).groups(64).kernel([4, 4]).stride([2, 2]).padding([1, 1]),
            vec![1, 64, 128, 128],
        ),
        (
            "volume",
            op().in_channels(32).out_channels(16).kernel([4; 3]).stride([2; 3]).padding([1; 3]),
            vec![1, 32, 16, 16, 16],
        ),
        (
            "stride 1",
            op().in_channels(64).out_channels(64).kernel([3, 3]).padding([1, 1]).activation(Activation::Gelu),
            vec![1, 64, 64, 64],
        ),
    ];
    table.into_iter().map(|(name, op, shape)| (name, op.build().unwrap(), shape)).collect()
}

/// Convolutions with many taps, which tiles take in rounds: the gradients of the inputs of two of the operations.
pub(crate) fn convolutions() -> Vec<(&'static str, ConvTranspose, Vec<usize>)> {
    let gradient = |(name, op, shape): (&str, ConvTranspose, Vec<usize>)| {
        let name = match name {
            "fsrcnn" => "gradient of fsrcnn",
            "fcn" => "gradient of fcn",
            _ => return None,
        };
        Some((name, op.adjoint().transposed().clone(), op.at(&shape).unwrap().output_shape()))
    };
    operations().into_iter().filter_map(gradient).collect()
}

/// The operations and the convolutions.
pub(crate) fn all() -> Vec<(&'static str, ConvTranspose, Vec<usize>)> {
    [operations(), convolutions()].concat()
}

/// Those of the operations that have products of f16 where these are allowed: several output channels in a group, and many
/// products for each output.
pub(crate) fn in_half() -> Vec<(&'static str, ConvTranspose, Vec<usize>)> {
    let of = |(name, op, shape): (_, ConvTranspose, _)| {
        (name, op.to_builder().accuracy(Accuracy::Half).build().unwrap(), shape)
    };
    let has = |(name, ..): &(&str, ConvTranspose, Vec<usize>)| {
        ["deep", "u-net", "sound", "volume", "stride 1"].contains(name)
    };
    operations().into_iter().filter(has).map(of).collect()
}

/// An operation at a shape with the channels last.
pub(crate) fn channels_last(op: &ConvTranspose, shape: &[usize]) -> (ConvTranspose, Vec<usize>) {
    let last = op.to_builder().layout(Layout::ChannelsLast).build().unwrap();
    let turned = [&shape[..1], &shape[2..], &shape[1..2]].concat();
    (last, turned)
}
