//! How much of a JPEG picture is missing, and whether it is opened nevertheless.
//!
//! libjpeg fills in what is missing and says where it noticed. Without restart markers everything from there to the end
//! of the scan is lost, with them everything to the next marker. The rows of blocks tell how much that is of the picture.

use anyhow::{Result, bail};

use super::segments::{Scan, Segments};

/// The largest share of a picture that may be missing, as rows of blocks: an eighth.
pub(super) const MAX_MISSING: f64 = 0.125;

/// What libjpeg reported over one row of blocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Report {
    /// Codes that are none, data that ended early, restart markers out of order.
    pub(super) lost: u64,
    /// Bytes that belong to nothing.
    pub(super) skipped: u64,
}

/// What was lost so far.
pub(super) struct Damage<'a> {
    segments: &'a Segments<'a>,
    /// Of each row of blocks, the share that was lost in the scan that lost most of it.
    rows: Vec<f64>,
    skipped: u64,
}

impl<'a> Damage<'a> {
    /// Refuses data that are too few for the size that the header gives, whatever they hold.
    pub(super) fn new(segments: &'a Segments<'a>) -> Result<Self> {
        let frame = &segments.frame;
        for scan in &segments.scans {
            let blocks: u64 = scan.components.iter().map(|&c| frame.blocks(c)).map(|(w, h)| w * h).sum();
            // A block takes a bit for its mean and a bit for its end; the scans of a progressive picture that only
            // hold details may leave any number of blocks out.
            let bits = match (frame.progressive, scan.first) {
                (false, _) => 2 * blocks,
                (true, 0) => blocks,
                (true, _) => 0,
            };
            let share = (scan.bytes * 8) as f64 / bits.max(1) as f64;
            if share < 1.0 - MAX_MISSING {
                bail!(
                    "is largely missing: {} bytes of data are enough for {:.1} % of {}x{} pixels at most",
                    scan.bytes,
                    share * 100.0,
                    frame.width,
                    frame.height
                );
            }
        }
        Ok(Self { segments, rows: vec![0.0; frame.block_rows() as usize], skipped: 0 })
    }

    /// Notes what was reported while this row of blocks of this scan, counted from 0, was decoded.
    pub(super) fn note(&mut self, scan: usize, row: u32, report: Report) -> Result<()> {
        self.skipped += report.skipped;
        if report.lost == 0 {
            return Ok(());
        }
        let row = (row as usize).min(self.rows.len().saturating_sub(1));
        // After the last scan the data that are read belong to no row.
        if let Some(scan) = self.segments.scans.get(scan) {
            self.lose(scan, row, report.lost);
        }
        let missing = self.missing();
        if missing > MAX_MISSING {
            bail!(
                "is largely missing: {:.0} % of its rows are damaged or not there; up to {} % are filled in",
                missing * 100.0,
                MAX_MISSING * 100.0
            );
        }
        Ok(())
    }

    fn lose(&mut self, scan: &Scan, row: usize, times: u64) {
        let in_row = self.segments.frame.units_in_row(&scan.components).max(1);
        let interval = scan.restart_interval;
        if interval > 0 && interval < in_row {
            let share = (times * interval) as f64 / in_row as f64;
            self.rows[row] = (self.rows[row] + share).min(1.0);
            return;
        }
        // Where in its row the damage begins is not known: half of it.
        self.rows[row] = self.rows[row].max(0.5);
        let end = match interval {
            0 => self.rows.len() as u64,
            // The interval that the end of the row is in.
            _ => (((row as u64 + 1) * in_row).div_ceil(interval) * interval).div_ceil(in_row),
        };
        let end = usize::try_from(end).unwrap_or(usize::MAX).min(self.rows.len());
        if let Some(rest) = self.rows.get_mut(row + 1..end) {
            rest.fill(1.0);
        }
    }

    /// The share of the picture that was lost.
    fn missing(&self) -> f64 {
        self.rows.iter().sum::<f64>() / self.rows.len().max(1) as f64
    }

    /// What has to be said of the picture once all is decoded, or why it is refused.
    pub(super) fn judge(&self) -> Result<Vec<String>> {
        let Segments { frame, scans, ended, .. } = self.segments;
        let damaged = self.rows.iter().filter(|&&share| share > 0.0).count();
        let mut parts = Vec::new();
        if !ended {
            parts.push("it has no end marker".to_owned());
        }
        if damaged > 0 {
            parts.push(format!("{damaged} of its {} rows of blocks are damaged and were filled in", self.rows.len()));
        }
        if self.skipped > 0 {
            parts.push(format!("{} bytes of its data belong to nothing and were skipped", self.skipped));
        }
        let cut = !ended || damaged > 0;
        for component in 0..frame.components.len() {
            let Sent { never, coarse } = Sent::of(component, scans);
            if never == 64 {
                bail!("is largely missing: no data of component {} of {}", component + 1, frame.components.len());
            }
            if cut && (never > 0 || coarse > 0) {
                bail!(
                    "is largely missing: the file ends before the last scans of component {} of {}",
                    component + 1,
                    frame.components.len()
                );
            }
            // The first component is grey, or the luma that has the details.
            if component == 0 && f64::from(never) / 64.0 > MAX_MISSING {
                bail!("is largely missing: its scans leave out {never} of the 64 coefficients of each block");
            }
            if never > 0 {
                parts.push(format!("{never} of 64 coefficients of component {} are in no scan", component + 1));
            } else if coarse > 0 {
                parts.push(format!("the last bits of component {} are in no scan", component + 1));
            }
        }
        Ok(match parts.is_empty() {
            true => Vec::new(),
            false => vec![format!("the JPEG file is not whole: {}", parts.join("; "))],
        })
    }
}

/// How many of the 64 coefficients of a component no scan sends, and how many not to the last bit.
struct Sent {
    never: u32,
    coarse: u32,
}

impl Sent {
    fn of(component: usize, scans: &[Scan]) -> Self {
        let mut low_bits = [None; 64];
        for scan in scans.iter().filter(|scan| scan.components.contains(&component)) {
            if let Some(sent) = low_bits.get_mut(usize::from(scan.first)..=usize::from(scan.last)) {
                sent.fill(Some(scan.low_bit));
            }
        }
        let count = |test: fn(&Option<u8>) -> bool| low_bits.iter().filter(|&sent| test(sent)).count() as u32;
        Self { never: count(Option::is_none), coarse: count(|sent| sent.is_some_and(|bit| bit > 0)) }
    }
}
