//! The marker segments of a JPEG file (ITU-T T.81, annex B): what it holds, without decoding a sample.

use anyhow::{Result, anyhow, bail, ensure};

use crate::picture::format::Readable;
use crate::picture::header::truncated;
use crate::picture::metadata::{JPEG_EXIF, JPEG_XMP};
use crate::picture::tags::Density;

/// A plane of the picture.
#[derive(Clone, Copy, Debug)]
pub(super) struct Component {
    id: u8,
    /// Sampling factors, 1 to 4: of two components, that with the larger factor has more samples.
    pub(super) horizontal: u32,
    pub(super) vertical: u32,
}

/// The frame header.
#[derive(Clone, Debug)]
pub(super) struct Frame {
    pub(super) progressive: bool,
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) components: Vec<Component>,
}

impl Frame {
    fn most(&self, factor: impl Fn(&Component) -> u32) -> u32 {
        self.components.iter().map(factor).max().unwrap_or(1)
    }

    /// The blocks of 8x8 samples of a component, in a row and in a column.
    pub(super) fn blocks(&self, component: usize) -> (u64, u64) {
        let Component { horizontal, vertical, .. } = self.components[component];
        let blocks = |extent: u32, factor: u32, most: u32| (extent * factor).div_ceil(most).div_ceil(8).into();
        (
            blocks(self.width, horizontal, self.most(|c| c.horizontal)),
            blocks(self.height, vertical, self.most(|c| c.vertical)),
        )
    }

    /// Rows of blocks: the height of the component with the most rows is this many times 8 of the largest factor.
    pub(super) fn block_rows(&self) -> u32 {
        self.height.div_ceil(8 * self.most(|c| c.vertical))
    }

    /// The units that a row of blocks has in a scan of these components: blocks, or blocks of all components together.
    pub(super) fn units_in_row(&self, components: &[usize]) -> u64 {
        match components {
            [one] => self.blocks(*one).0 * u64::from(self.components[*one].vertical),
            _ => u64::from(self.width.div_ceil(8 * self.most(|c| c.horizontal))),
        }
    }
}

/// A scan: components, which of their coefficients, and to which bit.
#[derive(Clone, Debug)]
pub(super) struct Scan {
    /// Indices into [`Frame::components`].
    pub(super) components: Vec<usize>,
    pub(super) first: u8,
    pub(super) last: u8,
    /// The lowest bit that is sent; 0 where nothing is left to send.
    pub(super) low_bit: u8,
    /// Units between restart markers; 0 without.
    pub(super) restart_interval: u64,
    /// Bytes of coded data.
    pub(super) bytes: u64,
}

/// What a file holds.
#[derive(Debug)]
pub(super) struct Segments<'a> {
    pub(super) frame: Frame,
    pub(super) scans: Vec<Scan>,
    pub(super) density: Option<Density>,
    pub(super) exif: Option<&'a [u8]>,
    pub(super) xmp: Option<&'a [u8]>,
    /// Whether there is more of XMP, in pieces.
    pub(super) more_xmp: bool,
    /// The pieces of the ICC profile with their numbers, and how many there should be.
    profile: Vec<(u8, u8, &'a [u8])>,
    /// Whether Adobe's marker is there: CMYK is then stored inverted.
    pub(super) adobe: bool,
    /// Whether the file reaches its end marker. What follows it does not matter.
    pub(super) ended: bool,
}

/// The most scans: the coefficients of a picture need no more than about a hundred, and each takes the time of the whole
/// picture, even if it has no data.
const MAX_SCANS: usize = 200;

impl<'a> Segments<'a> {
    /// Reads the segments up to the end marker, or to the end of a file without.
    ///
    /// Segments are skipped by their length, so that the end of a thumbnail inside one is not taken for the picture's.
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self> {
        let mut found = Found::default();
        let mut rest = bytes;
        while let Some(start) = rest.iter().position(|&b| b == 0xff) {
            found.data(start as u64);
            rest = &rest[start + 1..];
            let (marker, after) = match rest {
                [0xd9, ..] => {
                    found.ended = true;
                    break;
                }
                // Fill before a marker.
                [0xff, ..] => continue,
                // A stuffed 0xff in the data.
                [0, after @ ..] => {
                    found.data(2);
                    rest = after;
                    continue;
                }
                // The markers that stand alone: TEM, the restarts, SOI.
                [0x01 | 0xd0..=0xd8, after @ ..] => {
                    rest = after;
                    continue;
                }
                [marker, after @ ..] => (*marker, after),
                [] => break,
            };
            let [high, low, ..] = after else { bail!(truncated(Readable::Jpeg)) };
            let length = usize::from(u16::from_be_bytes([*high, *low]));
            ensure!(length >= 2, "cannot be decoded as JPEG: the segment {marker:02x} has the length {length}");
            // Inside a header: what the header announces is missing.
            let body = after.get(2..length).ok_or_else(|| anyhow!(truncated(Readable::Jpeg)))?;
            rest = &after[length..];
            found.segment(marker, body)?;
        }
        // The rest of a scan without end.
        if !found.ended {
            found.data(rest.len() as u64);
        }
        let frame = match found.frame {
            Some(frame) if !found.scans.is_empty() => frame,
            _ => bail!(truncated(Readable::Jpeg)),
        };
        Ok(Self {
            frame,
            scans: found.scans,
            density: found.density,
            exif: found.exif,
            xmp: found.xmp,
            more_xmp: found.more_xmp,
            profile: found.profile,
            adobe: found.adobe,
            ended: found.ended,
        })
    }

    /// The ICC profile: nothing if there is none, an error if pieces are missing.
    pub(super) fn icc(&self) -> Option<Result<Vec<u8>, ()>> {
        let &(_, count, _) = self.profile.first()?;
        let piece = |number| self.profile.iter().find(|piece| piece.0 == number && piece.1 == count);
        let pieces: Option<Vec<_>> = (1..=count).map(|number| piece(number).map(|piece| piece.2)).collect();
        Some(pieces.filter(|pieces| !pieces.is_empty()).map(|pieces| pieces.concat()).ok_or(()))
    }
}

/// What has been read so far.
#[derive(Default)]
struct Found<'a> {
    frame: Option<Frame>,
    scans: Vec<Scan>,
    density: Option<Density>,
    exif: Option<&'a [u8]>,
    xmp: Option<&'a [u8]>,
    more_xmp: bool,
    profile: Vec<(u8, u8, &'a [u8])>,
    adobe: bool,
    restart_interval: u64,
    ended: bool,
}

impl<'a> Found<'a> {
    /// Counts coded data.
    fn data(&mut self, bytes: u64) {
        if let Some(scan) = self.scans.last_mut() {
            scan.bytes += bytes;
        }
    }

    fn segment(&mut self, marker: u8, body: &'a [u8]) -> Result<()> {
        match marker {
            0xc0..=0xc2 => {
                ensure!(self.frame.is_none(), "cannot be decoded as JPEG: it has two frame headers");
                self.frame = Some(frame(marker == 0xc2, body)?);
            }
            0xc9..=0xcb | 0xcd..=0xcf => {
                bail!("is arithmetic-coded JPEG, which is not supported; Huffman-coded JPEG is")
            }
            0xc3 | 0xc5..=0xc7 => bail!("is lossless or hierarchical JPEG, which is not supported"),
            0xda => {
                let scan = self.scan(body)?;
                self.scans.push(scan);
                ensure!(self.scans.len() <= MAX_SCANS, "cannot be decoded as JPEG: it has more than {MAX_SCANS} scans");
            }
            0xdd => {
                let [high, low, ..] = body else { bail!(bad(marker, body)) };
                self.restart_interval = u16::from_be_bytes([*high, *low]).into();
            }
            0xe0 => {
                if let [b'J', b'F', b'I', b'F', 0, _, _, unit, x1, x0, y1, y0, ..] = *body {
                    let (x, y) = (u16::from_be_bytes([x1, x0]), u16::from_be_bytes([y1, y0]));
                    self.density = match unit {
                        _ if x == 0 || y == 0 => None,
                        // The header cannot leave it out: this says nothing.
                        0 if x == y => None,
                        0 => Some(Density::Ratio(x.into(), y.into())),
                        1 => Some(Density::PerInch(x, y)),
                        2 => Some(Density::PerCentimetre(x, y)),
                        _ => None,
                    };
                }
            }
            0xe1 => {
                if let Some(exif) = body.strip_prefix(JPEG_EXIF) {
                    self.exif.get_or_insert(exif);
                }
                if let Some(xmp) = body.strip_prefix(JPEG_XMP) {
                    self.xmp.get_or_insert(xmp);
                }
                self.more_xmp |= body.starts_with(b"http://ns.adobe.com/xmp/extension/\0");
            }
            0xe2 => {
                if let Some([number, count, piece @ ..]) = body.strip_prefix(b"ICC_PROFILE\0") {
                    self.profile.push((*number, *count, piece));
                }
            }
            0xee => self.adobe |= body.starts_with(b"Adobe"),
            _ => {}
        }
        Ok(())
    }

    fn scan(&self, body: &[u8]) -> Result<Scan> {
        let frame =
            self.frame.as_ref().ok_or_else(|| anyhow!("cannot be decoded as JPEG: a scan before the frame header"))?;
        let parsed = body.split_first().and_then(|(&count, rest)| {
            let (selectors, rest) = rest.split_at_checked(2 * usize::from(count))?;
            let &[first, last, bits, ..] = rest else { return None };
            let index = |id: u8| frame.components.iter().position(|component| component.id == id);
            let components = selectors.chunks_exact(2).map(|pair| index(pair[0])).collect::<Option<Vec<_>>>()?;
            let wanted = match frame.progressive {
                true => (first, last, bits & 15),
                false => (0, 63, 0),
            };
            (1..=4).contains(&count).then_some((components, wanted))
        });
        let (components, (first, last, low_bit)) = parsed.ok_or_else(|| anyhow!(bad(0xda, body)))?;
        Ok(Scan { components, first, last, low_bit, restart_interval: self.restart_interval, bytes: 0 })
    }
}

fn frame(progressive: bool, body: &[u8]) -> Result<Frame> {
    let &[precision, h1, h0, w1, w0, count, ref rest @ ..] = body else { bail!(bad(0xc0, body)) };
    ensure!(precision == 8, "has {precision} bits per sample, which is not supported in JPEG; 8 bits are");
    let (width, height) = (u16::from_be_bytes([w1, w0]), u16::from_be_bytes([h1, h0]));
    ensure!(width > 0 && height > 0, "cannot be decoded as JPEG: its header gives {width}x{height} pixels");
    let components: Vec<_> = rest
        .chunks_exact(3)
        .take(count.into())
        .map(|c| Component { id: c[0], horizontal: (c[1] >> 4).into(), vertical: (c[1] & 15).into() })
        .collect();
    ensure!(
        matches!(count, 1 | 3 | 4),
        "has {count} components, which is not supported in JPEG; 1 (grey), 3 (colour) and 4 (CMYK) are"
    );
    ensure!(
        components.len() == usize::from(count)
            && components.iter().all(|c| (1..=4).contains(&c.horizontal) && (1..=4).contains(&c.vertical)),
        bad(0xc0, body)
    );
    Ok(Frame { progressive, width: width.into(), height: height.into(), components })
}

fn bad(marker: u8, body: &[u8]) -> String {
    format!("cannot be decoded as JPEG: its segment {marker:02x} of {} bytes is malformed", body.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A picture of 16x8 grey pixels in outline.
    const WHOLE: &[u8] = &[
        0xff, 0xd8, // start
        0xff, 0xff, 0xe1, 0, 6, 0xff, 0xd9, 1, 2, // a segment that holds an end marker
        0xff, 0xc0, 0, 11, 8, 0, 8, 0, 16, 1, 5, 0x11, 0, // frame
        0xff, 0xdd, 0, 4, 0, 1, // a restart after each block
        0xff, 0xda, 0, 8, 1, 5, 0, 0, 63, 0, // scan
        7, 0xff, 0x00, 8, 0xff, 0xd0, 5, // data with a stuffed byte and a restart
        0xff, 0xd9, // end
    ];

    #[test]
    fn the_end_is_found_where_it_counts() {
        for length in 0..WHOLE.len() {
            let read = Segments::read(&WHOLE[..length]);
            assert!(!read.is_ok_and(|segments| segments.ended), "{length}");
        }
        assert!(Segments::read(WHOLE).unwrap().ended);
        assert!(Segments::read(&[WHOLE, b"trailing"].concat()).unwrap().ended);
    }

    #[test]
    fn a_scan_knows_its_data() {
        let read = Segments::read(WHOLE).unwrap();
        let [scan] = &read.scans[..] else { panic!("{:?}", read.scans) };
        assert_eq!((scan.bytes, scan.restart_interval, &scan.components[..]), (5, 1, &[0][..]));
        assert_eq!((read.frame.blocks(0), read.frame.block_rows(), read.frame.units_in_row(&[0])), ((2, 1), 1, 2));
    }

    #[test]
    fn sampling_factors_count() {
        let component = |horizontal, vertical| Component { id: 0, horizontal, vertical };
        let components = vec![component(2, 2), component(1, 1), component(1, 1)];
        let frame = Frame { progressive: false, width: 33, height: 17, components };
        assert_eq!([0, 1].map(|c| frame.blocks(c)), [(5, 3), (3, 2)]);
        assert_eq!((frame.block_rows(), frame.units_in_row(&[0, 1, 2])), (2, 3));
        assert_eq!((frame.units_in_row(&[0]), frame.units_in_row(&[1])), (10, 3));
    }
}
