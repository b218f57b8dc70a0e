//! The `.bin` file.

use anyhow::{Result, bail, ensure};
use half::f16;
use upconv::{Data, Tensor};

/// The tag of a weight in f16.
const HALF: u32 = 0x0130_6B47;

/// Reads the weights in their order.
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    fn take(&mut self, what: &str, count: Option<usize>) -> Result<&'a [u8]> {
        let rest = &self.bytes[self.at..];
        let Some(taken) = count.and_then(|count| rest.get(..count)) else {
            let needed =
                count.map_or_else(|| "more bytes than can be counted".into(), |count| format!("{count} bytes"));
            bail!("{what} takes {needed} from byte {} on, but the file has {}", self.at, self.bytes.len());
        };
        self.at += taken.len();
        Ok(taken)
    }

    /// A weight with its tag.
    pub(super) fn weight<const N: usize>(&mut self, shape: [usize; N]) -> Result<Tensor> {
        let elements = shape.iter().product::<usize>();
        let at = self.at;
        let tag = self.take("a tag", Some(4))?;
        let data = match tag.first_chunk().map_or(u32::MAX, |&tag| u32::from_le_bytes(tag)) {
            0 => Data::F32(floats(self.take("a weight", elements.checked_mul(4))?)),
            HALF => {
                let size = elements.checked_mul(2).and_then(|size| size.checked_next_multiple_of(4));
                let bytes = self.take("a weight", size)?;
                let halves = bytes.as_chunks::<2>().0.iter().take(elements);
                Data::F16(halves.map(|&bytes| f16::from_le_bytes(bytes)).collect())
            }
            other => bail!("the tag at byte {at} is {other:#010x}, expected 0 for f32 or {HALF:#010x} for f16"),
        };
        Ok(Tensor::new(shape, data)?)
    }

    /// Numbers in f32, without a tag.
    pub(super) fn plain(&mut self, count: usize) -> Result<Tensor> {
        Ok(Tensor::f32([count], floats(self.take("a bias", count.checked_mul(4))?))?)
    }

    /// Nothing may be left.
    pub(super) fn finish(&self) -> Result<()> {
        let (at, length) = (self.at, self.bytes.len());
        ensure!(at == length, "the layers' weights end at byte {at}, but the file has {length}");
        Ok(())
    }
}

fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.as_chunks::<4>().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect()
}

/// From ncnn's order of a transposed convolution, `[out, in / groups, h, w]`, to `[in, out / groups, h, w]`.
pub(super) fn transpose(weight: &Tensor, groups: usize) -> Result<Tensor> {
    let &[out_channels, in_group, h, w] = weight.shape() else { bail!("a weight of {:?}", weight.shape()) };
    let (out_group, taps) = (out_channels / groups, h * w);
    let mut order = Vec::with_capacity(out_channels * in_group * taps);
    for group in 0..groups {
        for ci in 0..in_group {
            for co in group * out_group..(group + 1) * out_group {
                order.extend((0..taps).map(|tap| (co * in_group + ci) * taps + tap));
            }
        }
    }
    Ok(weight.view().select([groups * in_group, out_group, h, w], order)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_read_in_their_order() {
        let mut bytes = Vec::new();
        bytes.extend(HALF.to_le_bytes());
        bytes.extend([1.0, -2.0, 0.5].map(f16::from_f32).iter().flat_map(|x| x.to_le_bytes()));
        bytes.extend([0, 0]);
        bytes.extend(7.0_f32.to_le_bytes());
        bytes.extend([0; 4]);
        bytes.extend(0.1_f32.to_le_bytes());
        let mut reader = Reader::new(&bytes);
        assert_eq!(
            reader.weight([3]).unwrap(),
            Tensor::new([3], Data::F16([1.0, -2.0, 0.5].map(f16::from_f32).to_vec())).unwrap()
        );
        assert_eq!(reader.plain(1).unwrap().to_f32(), [7.0]);
        assert_eq!(reader.finish().unwrap_err().to_string(), "the layers' weights end at byte 16, but the file has 24");
        assert_eq!(reader.weight([1]).unwrap().to_f32(), [0.1]);
        assert!(reader.finish().is_ok());
        assert_eq!(
            reader.weight([1]).unwrap_err().to_string(),
            "a tag takes 4 bytes from byte 24 on, but the file has 24"
        );
    }

    #[test]
    fn other_encodings_and_short_files_are_refused() {
        let refusal = |bytes: &[u8]| Reader::new(bytes).weight([3]).unwrap_err().to_string();
        assert!(refusal(&0x000D_4B38_u32.to_le_bytes()).contains("tag at byte 0 is 0x000d4b38"));
        assert_eq!(refusal(&[0; 15]), "a weight takes 12 bytes from byte 4 on, but the file has 15");
        assert!(
            Reader::new(&[0; 8])
                .weight([usize::MAX])
                .unwrap_err()
                .to_string()
                .contains("more bytes than can be counted")
        );
    }

    #[test]
    fn the_channels_trade_places_in_each_group() {
        // Two groups of two outputs and one input, two taps: out·10 + tap.
        let weight = Tensor::f32([4, 1, 1, 2], [0.0, 1.0, 10.0, 11.0, 20.0, 21.0, 30.0, 31.0]).unwrap();
        let turned = transpose(&weight, 2).unwrap();
        assert_eq!(turned.shape(), [2, 2, 1, 2]);
        assert_eq!(turned.to_f32(), weight.to_f32());
        let weight = Tensor::f32([2, 3, 1, 1], [0.0, 1.0, 2.0, 10.0, 11.0, 12.0]).unwrap();
        assert_eq!(transpose(&weight, 1).unwrap().to_f32(), [0.0, 10.0, 1.0, 11.0, 2.0, 12.0]);
    }
}
