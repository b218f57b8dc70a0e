//! The `.bin` file.

use super::param::Read;
use crate::tensor::{Data, Tensor};
use half::f16;

/// What stands before a weight says of what type it is; anything else, bytes that choose from 256 numbers.
const F32: [u32; 2] = [0, 0x0002_C056];
const F16: u32 = 0x0130_6B47;
const INT8: u32 = 0x000D_4B38;

/// A weight as it was read.
pub(super) enum Weight {
    Numbers(Tensor),
    /// To be multiplied with a scale for each output channel, which comes later.
    Bytes(Vec<i8>),
}

/// Reads the weights in their order.
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    fn take(&mut self, what: &str, count: Option<usize>) -> Read<&'a [u8]> {
        let rest = &self.bytes[self.at..];
        let Some(taken) = count.and_then(|count| rest.get(..count)) else {
            let needed =
                count.map_or_else(|| "more bytes than can be counted".into(), |count| format!("{count} bytes"));
            return Err(format!("takes {needed} for {what} from byte {} on, of {}", self.at, self.bytes.len()));
        };
        self.at += taken.len();
        Ok(taken)
    }

    /// A weight with its tag.
    pub(super) fn weight<const N: usize>(&mut self, shape: [usize; N]) -> Read<Weight> {
        let elements = shape.iter().try_fold(1_usize, |product, &extent| product.checked_mul(extent));
        let words = |size: usize| elements.and_then(|count| count.checked_mul(size)?.checked_next_multiple_of(4));
        let tag = self.take("a tag", Some(4))?;
        let tag = tag.first_chunk().map_or(0, |&tag| u32::from_le_bytes(tag));
        let count = elements.unwrap_or(usize::MAX);
        let data = match tag {
            tag if F32.contains(&tag) => Data::F32(floats(self.take("a weight", words(4))?)),
            F16 => {
                let halves = self.take("a weight", words(2))?.as_chunks::<2>().0.iter().take(count);
                Data::F16(halves.map(|&bytes| f16::from_le_bytes(bytes)).collect())
            }
            INT8 => {
                let bytes = self.take("a weight", words(1))?.iter().take(count);
                return Ok(Weight::Bytes(bytes.map(|byte| byte.cast_signed()).collect()));
            }
            _ => {
                // What was taken for a tag is the first of 256 numbers.
                self.at -= 4;
                let numbers = floats(self.take("256 numbers", Some(1024))?);
                let chosen = self.take("a weight", words(1))?.iter().take(count);
                Data::F32(chosen.map(|&byte| numbers[usize::from(byte)]).collect())
            }
        };
        Ok(Weight::Numbers(finite(Tensor::new(shape, data).map_err(|error| error.to_string())?)?))
    }

    /// Numbers in f32, without a tag.
    pub(super) fn plain(&mut self, count: usize) -> Read<Tensor> {
        let numbers = floats(self.take("a bias", count.checked_mul(4))?);
        finite(Tensor::f32([count], numbers).map_err(|error| error.to_string())?)
    }

    /// Nothing may be left.
    pub(super) fn finish(&self) -> Read<()> {
        let (at, length) = (self.at, self.bytes.len());
        if at == length {
            Ok(())
        } else {
            Err(format!("the layers' weights end at byte {at}, but the .bin file has {length}"))
        }
    }
}

fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.as_chunks::<4>().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect()
}

fn finite(tensor: Tensor) -> Read<Tensor> {
    let values = tensor.to_f32();
    match values.iter().position(|value| !value.is_finite()) {
        Some(at) => Err(format!("has {} as weight {at} of {}, expected finite ones", values[at], values.len())),
        None => Ok(tensor),
    }
}

impl Weight {
    /// The numbers, of which as many belong to each scale.
    pub(super) fn numbers<const N: usize>(self, shape: [usize; N], scales: Option<&Tensor>) -> Read<Tensor> {
        match (self, scales.map(Tensor::to_f32)) {
            (Weight::Numbers(tensor), _) => Ok(tensor),
            (Weight::Bytes(_), None) => Err("has int8 weights without scales".into()),
            (Weight::Bytes(bytes), Some(scales)) => {
                let each = bytes.len() / scales.len().max(1);
                if let Some(zero) = scales.iter().find(|&&scale| scale == 0.0) {
                    return Err(format!("has {zero} as a scale of its int8 weights"));
                }
                let value = |(at, byte): (usize, &i8)| f32::from(*byte) / scales[at / each];
                let values: Vec<f32> = bytes.iter().enumerate().map(value).collect();
                finite(Tensor::f32(shape, values).map_err(|error| error.to_string())?)
            }
        }
    }
}

/// From ncnn's order of a transposed convolution, `[out, in / groups, h, w]`, to `[in, out / groups, h, w]`.
pub(super) fn transpose(weight: &Tensor, groups: usize) -> Read<Tensor> {
    let &[out_channels, in_group, h, w] = weight.shape() else {
        return Err(format!("has a weight of {:?}", weight.shape()));
    };
    let (out_group, taps) = (out_channels / groups, h * w);
    let mut order = Vec::with_capacity(out_channels * in_group * taps);
    for group in 0..groups {
        for ci in 0..in_group {
            for co in group * out_group..(group + 1) * out_group {
                order.extend((0..taps).map(|tap| (co * in_group + ci) * taps + tap));
            }
        }
    }
    let turned = weight.view().select([groups * in_group, out_group, h, w], order);
    turned.map_err(|error| error.to_string())
}
