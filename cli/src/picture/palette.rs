//! Pixels written by few bits: the indices of a palette, or grey of less than 8 bits.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use super::shape::Colour;

/// The most colours of a palette.
const MAX_COLOURS: usize = 256;

/// Every colour that a picture has, with the bits that stand for it.
#[derive(Debug)]
pub(super) struct Indexed {
    colour: Colour,
    /// Bits of an index: 1, 2, 4 or 8.
    pub(super) bits: u8,
    /// The colours in the order of their indices; none of grey, whose values are what the indices say.
    pub(super) palette: Option<Vec<[u8; 4]>>,
    index: HashMap<[u8; 4], u8>,
}

/// The colours of a picture, as far as they were seen.
pub(super) struct Colours {
    colour: Colour,
    /// In the order in which they came.
    seen: Vec<[u8; 4]>,
    index: HashMap<[u8; 4], u8>,
    last: Option<[u8; 4]>,
}

impl Colours {
    /// None yet; nothing where pixels of this kind are not written so.
    pub(super) fn new(colour: Colour) -> Option<Self> {
        // A palette is of RGB: grey with alpha would not come back as that.
        let possible = colour != Colour::GreyAlpha;
        possible.then(|| Self { colour, seen: Vec::new(), index: HashMap::new(), last: None })
    }

    /// Takes some pixels; nothing is left where there are too many colours.
    pub(super) fn add(mut self, pixels: &[u8]) -> Option<Self> {
        for pixel in pixels.chunks_exact(self.colour.channels()) {
            let colour = key(pixel);
            if self.last == Some(colour) {
                continue;
            }
            self.last = Some(colour);
            if let Entry::Vacant(place) = self.index.entry(colour) {
                if self.seen.len() == MAX_COLOURS {
                    return None;
                }
                place.insert(0);
                self.seen.push(colour);
            }
        }
        Some(self)
    }

    /// How they are written; nothing where that would be no shorter.
    pub(super) fn indexed(mut self) -> Option<Indexed> {
        if self.colour == Colour::Grey {
            // Values that are multiples of the step that the bits have.
            let bits = [1, 2, 4].into_iter().find(|bits| {
                let step = 255 / ((1 << bits) - 1);
                self.seen.iter().all(|[value, ..]| value % step == 0)
            })?;
            let step = 255 / ((1 << bits) - 1);
            self.index.iter_mut().for_each(|([value, ..], index)| *index = value / step);
            return Some(Indexed { colour: self.colour, bits, palette: None, index: self.index });
        }
        let bits = [1, 2, 4, 8].into_iter().find(|&bits| self.seen.len() <= 1 << bits)?;
        // Opaque ones last: the chunk of their alphas ends before them.
        self.seen.sort_by_key(|colour| colour[3] == 255);
        for (index, colour) in (0..=255).zip(&self.seen) {
            self.index.insert(*colour, index);
        }
        Some(Indexed { colour: self.colour, bits, palette: Some(self.seen), index: self.index })
    }
}

impl Indexed {
    /// Whether the pixels have alpha.
    pub(super) fn has_alpha(&self) -> bool {
        self.colour.has_alpha()
    }

    /// The bytes of rows of so many pixels, which fill whole bytes; nothing if there is a colour that was not foreseen.
    pub(super) fn pack(&self, rows: &[u8], width: usize) -> Option<Vec<u8>> {
        let channels = self.colour.channels();
        let in_byte = usize::from(8 / self.bits);
        let mut packed = Vec::with_capacity(rows.len() / channels / in_byte + rows.len() / (width * channels));
        let mut last = None;
        for row in rows.chunks_exact(width * channels) {
            for pixels in row.chunks(in_byte * channels) {
                let mut byte = 0;
                for (place, pixel) in pixels.chunks_exact(channels).enumerate() {
                    let colour = key(pixel);
                    let index = match last {
                        Some((before, index)) if before == colour => index,
                        _ => *self.index.get(&colour)?,
                    };
                    last = Some((colour, index));
                    byte |= index << (8 - self.bits as usize * (place + 1));
                }
                packed.push(byte);
            }
        }
        Some(packed)
    }
}

/// A pixel as a colour of four bytes.
fn key(pixel: &[u8]) -> [u8; 4] {
    match *pixel {
        [grey] => [grey, grey, grey, 255],
        [red, green, blue] => [red, green, blue, 255],
        [red, green, blue, alpha] => [red, green, blue, alpha],
        _ => [0; 4],
    }
}
