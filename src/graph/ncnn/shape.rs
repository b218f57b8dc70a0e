//! What layers say of their channels.

use super::param::{Line, Read};

/// What a weighted layer says of its shape.
pub(super) struct Shape {
    pub(super) in_channels: usize,
    pub(super) out_channels: usize,
    pub(super) groups: usize,
    pub(super) kernel: [usize; 2],
}

/// The shape of a weighted layer that reads so many channels; where that is not known, of as many as its weights are for.
pub(super) fn shape_of(line: &Line, given: Option<usize>) -> Read<Shape> {
    let out_channels = line.whole(0, 0)?;
    let across = line.whole(1, 0)?;
    let kernel = [line.whole(11, across)?, across];
    let groups = if line.kind.ends_with("DepthWise") { line.whole(7, 1)? } else { 1 };
    let elements = line.whole(6, 0)?;
    let each = [out_channels, kernel[0], kernel[1]].into_iter().try_fold(1_usize, usize::checked_mul).unwrap_or(0);
    if each == 0 || groups == 0 || elements % each != 0 || elements == 0 {
        return Err(format!(
            "has {elements} weights for {out_channels} channels with a kernel of {kernel:?} in {groups} groups"
        ));
    }
    let in_channels = (elements / each).checked_mul(groups);
    match (in_channels, given) {
        (Some(in_channels), given)
            if given.is_none_or(|given| given == in_channels) && out_channels.is_multiple_of(groups) =>
        {
            Ok(Shape { in_channels, out_channels, groups, kernel })
        }
        _ => Err(format!(
            "has {elements} weights, for {out_channels} channels of {} with a kernel of {kernel:?} in {groups} groups",
            given.unwrap_or_default()
        )),
    }
}

/// The channels of an input: those that the first weighted layer behind it takes, or that it says itself.
pub(super) fn input_channels(line: &Line, lines: &[Line]) -> Read<usize> {
    line.only(&[0, 1, 2, 11])?;
    let mut names: Vec<&str> = line.outputs.iter().map(String::as_str).collect();
    for next in lines {
        if !next.inputs.iter().any(|input| names.contains(&input.as_str())) {
            continue;
        }
        match next.kind.as_str() {
            "Convolution" | "ConvolutionDepthWise" | "Deconvolution" | "DeconvolutionDepthWise" => {
                return Ok(shape_of(next, None)
                    .map_err(|error| format!("is read by {:?}, which {error}", next.name))?
                    .in_channels);
            }
            "Split" | "Noop" | "Dropout" | "Padding" | "Crop" | "Interp" | "BinaryOp" => {
                names.extend(next.outputs.iter().map(String::as_str));
            }
            _ => break,
        }
    }
    match line.whole(2, 0)? {
        0 => Err("does not say how many channels it has, and no convolution behind it does".into()),
        channels => Ok(channels),
    }
}
