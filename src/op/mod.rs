//! What is computed: the description of a transposed convolution, its validation, and the formula of its output size; and
//! the ordinary convolution, its adjoint.

mod axis;
mod builder;
mod conv_transpose;
mod convolution;
mod from_convolution;
mod geometry;
#[cfg_attr(not(feature = "gpu"), allow(dead_code, reason = "only the GPU backend has operands that lie elsewhere"))]
mod operands;

pub use axis::Axis;
pub use builder::{Builder, OutputPaddingPolicy, Pad};
pub use conv_transpose::ConvTranspose;
pub use convolution::{Convolution, ConvolutionBuilder};
pub use geometry::Geometry;

pub(crate) use builder::check_pad;
#[cfg(feature = "picture")]
pub(crate) use from_convolution::described;
#[cfg(feature = "gpu")]
pub(crate) use operands::{Operands, Residual};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Error, Layout};

    fn refusal(builder: Builder) -> String {
        builder.build().unwrap_err().to_string()
    }

    #[test]
    fn output_size_is_the_formula() {
        let axis =
            Axis { kernel: 4, stride: 3, dilation: 2, pad_begin: 1, pad_end: 2, output_padding: 1, ..Axis::UNIT };
        assert_eq!(axis.output_extent(0, 5).unwrap(), 4 * 3 + 2 * 3 + 1 + 1 - 1 - 2);
        let negative = Axis { pad_begin: -3, pad_end: -1, ..axis };
        assert_eq!(negative.output_extent(0, 1).unwrap(), 6 + 1 + 1 + 4);
    }

    #[test]
    fn an_empty_output_is_refused_with_its_numbers() {
        let op = ConvTranspose::builder().kernel([1, 3]).padding([0, 9]).build().unwrap();
        assert_eq!(
            op.at(&[1, 1, 2, 4]).unwrap_err().to_string(),
            "output size on axis 1 is -12, expected at least 1: (input 4 - 1) * stride 1 + dilation 1 * (kernel 3 - 1) \
             + 1 + output_padding 0 - padding (9, 9)"
        );
    }

    #[test]
    fn padding_beyond_the_kernel_is_valid_while_something_is_left() {
        let op = ConvTranspose::builder().kernel([3]).padding([4]).build().unwrap();
        assert_eq!(op.at(&[1, 1, 7]).unwrap().output, [1, 1, 1]);
    }

    #[test]
    fn sizes_that_overflow_are_refused() {
        let op = ConvTranspose::builder().kernel([2]).stride([1 << 40]).build().unwrap();
        assert!(matches!(op.at(&[1, 1, 1 << 30]), Err(Error::Overflow { .. })));
        assert_eq!(
            refusal(ConvTranspose::builder().kernel([2]).stride([1 << 41])),
            "stride on axis 0 is 2199023255552, expected 1 to 1099511627776"
        );
        assert!(matches!(
            ConvTranspose::builder().kernel([1 << 30]).dilation([1 << 40]).build(),
            Err(Error::Overflow { .. })
        ));
        let op = ConvTranspose::builder().kernel([1, 1]).stride([1 << 32, 1 << 32]).build().unwrap();
        assert!(matches!(op.at(&[1, 1, 2, 2]), Err(Error::Overflow { .. })));
        assert!(matches!(ConvTranspose::builder().kernel([1 << 33, 1 << 33]).build(), Err(Error::Overflow { .. })));
    }

    #[test]
    fn descriptions_are_refused_with_their_numbers() {
        let base = || ConvTranspose::builder().in_channels(4).out_channels(6).kernel([3, 3]);
        assert_eq!(refusal(ConvTranspose::builder()), "the kernel has 0 axes, expected 1, 2 or 3");
        assert_eq!(
            refusal(base().groups(4)),
            "groups 4 must divide in_channels 4 and out_channels 6 (remainders 0 and 2)"
        );
        assert_eq!(refusal(base().groups(0)), "groups is 0, expected at least 1");
        assert_eq!(refusal(base().stride([1, 0])), "stride on axis 1 is 0, expected at least 1");
        assert_eq!(refusal(base().stride([2])), "stride has 1 values, expected 2: one for each spatial axis");
        assert_eq!(
            refusal(base().stride([2, 2]).dilation([1, 3]).output_padding([1, 3])),
            "output_padding 3 on axis 1 must be smaller than stride 2 or dilation 3"
        );
        let lenient = base().output_padding([5, 5]).output_padding_policy(OutputPaddingPolicy::Lenient);
        assert_eq!(lenient.build().unwrap().at(&[4, 2, 2]).unwrap().output_shape(), [6, 9, 9]);
    }

    #[test]
    fn inputs_may_come_without_a_batch_and_with_the_channels_last() {
        let op = ConvTranspose::builder()
            .in_channels(2)
            .out_channels(3)
            .kernel([2, 2])
            .stride([2, 2])
            .layout(Layout::ChannelsLast)
            .build()
            .unwrap();
        assert_eq!(op.at(&[4, 5, 2]).unwrap().output_shape(), [8, 10, 3]);
        assert_eq!(op.at(&[0, 4, 5, 2]).unwrap().output_shape(), [0, 8, 10, 3]);
        assert_eq!(
            op.at(&[1, 2, 4, 5]).unwrap_err().to_string(),
            "input has shape [1, 2, 4, 5], expected nhwc with 2 channels, the batch optional"
        );
        assert!(op.at(&[0, 5, 2]).is_err(), "a spatial extent of 0 is an error");
    }
}
