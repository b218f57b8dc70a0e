//! The orders in which the axes of inputs, outputs and weights may stand.

/// The order of the axes of input and output. Both have the same.
///
/// ```
/// use upconv::Layout;
/// assert_eq!(Layout::ChannelsFirst.letters(2, true), "nchw");
/// assert_eq!(Layout::ChannelsLast.letters(3, false), "dhwc"); // without a batch axis
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Layout {
    /// `ncw`, `nchw`, `ncdhw`: PyTorch, ONNX, MXNet.
    #[default]
    ChannelsFirst,
    /// `nwc`, `nhwc`, `ndhwc`: TensorFlow, JAX, WebNN on request.
    ChannelsLast,
}

/// Distances, in elements, between neighbours of a tensor along each of its axes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Strides {
    /// From the beginning of the buffer to the first element.
    pub first: usize,
    /// Between two items of the batch.
    pub batch: usize,
    /// Between two channels.
    pub channel: usize,
    /// Between neighbours along (d, h, w).
    pub spatial: [usize; 3],
}

impl Layout {
    /// The layout in letters, for `rank` spatial axes.
    pub fn letters(self, rank: usize, batched: bool) -> String {
        let (n, spatial) = (if batched { "n" } else { "" }, spatial_letters(rank));
        match self {
            Layout::ChannelsFirst => format!("{n}c{spatial}"),
            Layout::ChannelsLast => format!("{n}{spatial}c"),
        }
    }

    /// The shape of one item of the batch.
    pub(crate) fn shape(self, channels: usize, spatial: &[usize]) -> Vec<usize> {
        match self {
            Layout::ChannelsFirst => [&[channels], spatial].concat(),
            Layout::ChannelsLast => [spatial, &[channels]].concat(),
        }
    }

    /// The strides of a dense tensor with these extents.
    pub(crate) fn strides(self, channels: usize, extents: &[usize; 3]) -> Strides {
        let [d, h, w] = *extents;
        match self {
            Layout::ChannelsFirst => {
                Strides { first: 0, batch: channels * d * h * w, channel: d * h * w, spatial: [h * w, w, 1] }
            }
            Layout::ChannelsLast => {
                let spatial = [h * w * channels, w * channels, channels];
                Strides { first: 0, batch: channels * d * h * w, channel: 1, spatial }
            }
        }
    }
}

/// Some channels of a larger tensor: those from `first` on, of `of` in all. The tensor has the same layout, batch and
/// spatial extents.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Channels {
    /// The first of them.
    pub(crate) first: usize,
    /// The channels of the larger tensor.
    pub(crate) of: usize,
}

/// The order of the weight's axes: `i` stands for all input channels, `o` for the output channels of one group.
/// In one dimension the letters are `iow`, `woi`, `owi`, `oiw`; in three `iodhw` and so on.
///
/// ```
/// use upconv::{ConvTranspose, WeightLayout};
/// # fn main() -> upconv::Result<()> {
/// let op = ConvTranspose::builder()
///     .in_channels(8)
///     .out_channels(6)
///     .groups(2)
///     .kernel([3, 5])
///     .weight_layout(WeightLayout::Hwoi)
///     .build()?;
/// assert_eq!(op.weight_shape(), [3, 5, 3, 8]); // as TensorFlow has it; the output channels of one group
/// assert_eq!(WeightLayout::Hwoi.letters(2), "hwoi");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum WeightLayout {
    /// `[in_channels, out_channels / groups, h, w]`: PyTorch, ONNX, MXNet.
    #[default]
    Iohw,
    /// `[h, w, out_channels / groups, in_channels]`: TensorFlow, Keras.
    Hwoi,
    /// `[out_channels / groups, h, w, in_channels]`: WebNN, TFLite.
    Ohwi,
    /// `[out_channels / groups, in_channels, h, w]`: tract, and a convolution's own weight read backwards.
    Oihw,
    /// `[h, w, in_channels, out_channels / groups]`.
    Hwio,
    /// `[in_channels, h, w, out_channels / groups]`.
    Ihwo,
}

/// Distances, in elements, between neighbours of a weight along its axes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WeightStrides {
    pub(crate) input: usize,
    pub(crate) output: usize,
    pub(crate) spatial: [usize; 3],
}

impl WeightLayout {
    /// Every one of them.
    pub const ALL: [WeightLayout; 6] = [
        WeightLayout::Iohw,
        WeightLayout::Hwoi,
        WeightLayout::Ohwi,
        WeightLayout::Oihw,
        WeightLayout::Hwio,
        WeightLayout::Ihwo,
    ];

    /// The layout in letters, for `rank` spatial axes.
    pub fn letters(self, rank: usize) -> String {
        let spatial = spatial_letters(rank);
        match self {
            WeightLayout::Iohw => format!("io{spatial}"),
            WeightLayout::Hwoi => format!("{spatial}oi"),
            WeightLayout::Ohwi => format!("o{spatial}i"),
            WeightLayout::Oihw => format!("oi{spatial}"),
            WeightLayout::Hwio => format!("{spatial}io"),
            WeightLayout::Ihwo => format!("i{spatial}o"),
        }
    }

    /// The order in which a convolution and the transposed one have the same weight: the inputs of the one are the outputs
    /// of the other.
    pub fn exchanged(self) -> Self {
        match self {
            WeightLayout::Iohw => WeightLayout::Oihw,
            WeightLayout::Oihw => WeightLayout::Iohw,
            WeightLayout::Hwoi => WeightLayout::Hwio,
            WeightLayout::Hwio => WeightLayout::Hwoi,
            WeightLayout::Ohwi => WeightLayout::Ihwo,
            WeightLayout::Ihwo => WeightLayout::Ohwi,
        }
    }

    pub(crate) fn shape(self, input: usize, output: usize, kernel: &[usize]) -> Vec<usize> {
        match self {
            WeightLayout::Iohw => [&[input, output], kernel].concat(),
            WeightLayout::Hwoi => [kernel, &[output, input]].concat(),
            WeightLayout::Ohwi => [&[output], kernel, &[input]].concat(),
            WeightLayout::Oihw => [&[output, input], kernel].concat(),
            WeightLayout::Hwio => [kernel, &[input, output]].concat(),
            WeightLayout::Ihwo => [&[input], kernel, &[output]].concat(),
        }
    }

    pub(crate) fn strides(self, input: usize, output: usize, kernel: &[usize; 3]) -> WeightStrides {
        let [d, h, w] = *kernel;
        let inner = [h * w, w, 1];
        let outer = |unit: usize| [h * w * unit, w * unit, unit];
        match self {
            WeightLayout::Iohw => WeightStrides { input: output * d * h * w, output: d * h * w, spatial: inner },
            WeightLayout::Hwoi => WeightStrides { input: 1, output: input, spatial: outer(output * input) },
            WeightLayout::Ohwi => WeightStrides { input: 1, output: d * h * w * input, spatial: outer(input) },
            WeightLayout::Oihw => WeightStrides { input: d * h * w, output: input * d * h * w, spatial: inner },
            WeightLayout::Hwio => WeightStrides { input: output, output: 1, spatial: outer(output * input) },
            WeightLayout::Ihwo => WeightStrides { input: d * h * w * output, output: 1, spatial: outer(output) },
        }
    }
}

fn spatial_letters(rank: usize) -> &'static str {
    &"dhw"[3 - rank..]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The strides of a dense array, read off its shape.
    fn dense(shape: &[usize]) -> Vec<usize> {
        (0..shape.len()).map(|axis| shape[axis + 1..].iter().product()).collect()
    }

    #[test]
    fn strides_agree_with_the_shape_in_letters() {
        let (i, o, kernel) = (5, 7, [2, 3, 4]);
        for layout in WeightLayout::ALL {
            let expected = dense(&layout.shape(i, o, &kernel));
            let strides = layout.strides(i, o, &kernel);
            for (letter, expected) in layout.letters(3).chars().zip(expected) {
                let given = match letter {
                    'i' => strides.input,
                    'o' => strides.output,
                    axis => strides.spatial["dhw".find(axis).unwrap()],
                };
                assert_eq!(given, expected, "{letter} of {layout:?}");
            }
        }
        for layout in [Layout::ChannelsFirst, Layout::ChannelsLast] {
            let expected = dense(&[&[9], &layout.shape(i, &kernel)[..]].concat());
            let strides = layout.strides(i, &kernel);
            for (letter, expected) in layout.letters(3, true).chars().zip(expected) {
                let given = match letter {
                    'n' => strides.batch,
                    'c' => strides.channel,
                    axis => strides.spatial["dhw".find(axis).unwrap()],
                };
                assert_eq!(given, expected, "{letter} of {layout:?}");
            }
        }
    }
}
