//! libjpeg, as the crate `mozjpeg-sys` builds it, behind one safe function.

#![allow(unsafe_code, reason = "a C library is called")]

use std::any::Any;
use std::ffi::c_long;
use std::mem;
use std::panic::{self, AssertUnwindSafe};
use std::ptr;

use anyhow::{Result, anyhow, bail, ensure};
use mozjpeg_sys::{
    self as ffi, J_COLOR_SPACE, jpeg_common_struct, jpeg_decompress_struct, jpeg_error_mgr, jpeg_source_mgr,
};

use super::damage::Report;

/// What the samples are decoded to.
#[derive(Clone, Copy, Debug)]
pub(super) enum Space {
    Grey,
    Rgb,
    /// Converted to RGB without a profile. Adobe's files hold 255 where there is no ink.
    Cmyk {
        inverted: bool,
    },
}

impl Space {
    fn decoded(self) -> J_COLOR_SPACE {
        match self {
            Self::Grey => J_COLOR_SPACE::JCS_GRAYSCALE,
            Self::Rgb => J_COLOR_SPACE::JCS_RGB,
            Self::Cmyk { .. } => J_COLOR_SPACE::JCS_CMYK,
        }
    }

    /// Channels decoded, and channels made.
    fn channels(self) -> (usize, usize) {
        match self {
            Self::Grey => (1, 1),
            Self::Rgb => (3, 3),
            Self::Cmyk { .. } => (4, 3),
        }
    }
}

/// Decodes a file into `samples`, which are all those of a picture of this size (width, height).
///
/// After each row of blocks, `note` is told what libjpeg found wrong there, with the number of the scan and of the row,
/// both from 0; it stops the decoding by an error.
pub(super) fn decode(
    bytes: &[u8],
    size: (u32, u32),
    space: Space,
    samples: &mut [u8],
    note: impl FnMut(usize, u32, Report) -> Result<()>,
) -> Result<()> {
    // An error of libjpeg unwinds through its frames, which own nothing, to here.
    let result = panic::catch_unwind(AssertUnwindSafe(|| {
        let mut session = Session::new(bytes);
        session.decode(size, space, samples, note)
    }));
    result.unwrap_or_else(|payload| match payload.downcast::<Failure>() {
        Ok(failure) => Err(anyhow!("cannot be decoded as JPEG: {}", failure.0)),
        // Not of libjpeg: a panic in `note`, say.
        Err(other) => panic::resume_unwind(other),
    })
}

/// The message of an error of libjpeg, as the payload of an unwinding.
struct Failure(String);

/// How many bytes libjpeg sees at a time. With 512 for each block of a unit in sight, it decodes baseline data by a fast
/// path that takes codes that are none for others without a word.
const WINDOW: usize = 256;

/// What libjpeg puts at the end of a file without end marker, as its own sources do.
static END: [u8; 2] = [0xff, 0xd9];

/// A decompressor. What it points to lives in boxes that nothing else touches while it runs.
struct Session<'a> {
    cinfo: Box<jpeg_decompress_struct>,
    errors: *mut jpeg_error_mgr,
    source: *mut jpeg_source_mgr,
    shared: *mut Shared<'a>,
}

/// What the functions that libjpeg calls work on.
struct Shared<'a> {
    /// What was not yet shown to libjpeg.
    rest: &'a [u8],
    report: Report,
}

impl<'a> Session<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        // SAFETY: these structs are plain C data, for which zeros are valid: null pointers and absent functions.
        let (mut cinfo, mut errors, mut source) = unsafe {
            (
                Box::new(mem::zeroed::<jpeg_decompress_struct>()),
                Box::new(mem::zeroed::<jpeg_error_mgr>()),
                Box::new(mem::zeroed::<jpeg_source_mgr>()),
            )
        };
        // SAFETY: it fills in the struct it is given.
        unsafe { ffi::jpeg_std_error(&mut errors) };
        errors.error_exit = Some(fail);
        errors.emit_message = Some(hear);
        source.init_source = Some(nothing);
        source.fill_input_buffer = Some(fill);
        source.skip_input_data = Some(skip);
        source.resync_to_restart = Some(ffi::jpeg_resync_to_restart);
        source.term_source = Some(nothing);
        let shared = Box::into_raw(Box::new(Shared { rest: bytes, report: Report::default() }));
        let (errors, source) = (Box::into_raw(errors), Box::into_raw(source));
        cinfo.common.err = errors;
        cinfo.common.client_data = shared.cast();
        let mut session = Self { cinfo, errors, source, shared };
        // SAFETY: the error manager is set, as it must be; it is kept, and so is `client_data`.
        unsafe { ffi::jpeg_create_decompress(&mut *session.cinfo) };
        session.cinfo.src = source;
        session
    }

    /// What was reported since the last time.
    fn heard(&mut self) -> Report {
        // SAFETY: it points to a box of ours, and libjpeg is not running.
        mem::take(unsafe { &mut (*self.shared).report })
    }

    fn decode(
        &mut self,
        size: (u32, u32),
        space: Space,
        samples: &mut [u8],
        mut note: impl FnMut(usize, u32, Report) -> Result<()>,
    ) -> Result<()> {
        // SAFETY: the decompressor was created and has a source.
        unsafe { ffi::jpeg_read_header(&mut self.cinfo, 1) };
        self.cinfo.out_color_space = space.decoded();
        // SAFETY: the header was read.
        let in_scans = unsafe { ffi::jpeg_has_multiple_scans(&self.cinfo) } != 0;
        self.cinfo.buffered_image = in_scans.into();
        // SAFETY: the header was read, and the parameters are set. The source never suspends.
        unsafe { ffi::jpeg_start_decompress(&mut self.cinfo) };
        if in_scans {
            self.read_scans(&mut note)?;
        }
        self.read_rows(size, space, samples, &mut note)?;
        let row = self.cinfo.input_iMCU_row;
        // SAFETY: all rows were read.
        unsafe {
            if in_scans {
                ffi::jpeg_finish_output(&mut self.cinfo);
            }
            ffi::jpeg_finish_decompress(&mut self.cinfo);
        }
        let report = self.heard();
        note(usize::MAX, row, report)
    }

    /// Reads all scans, row of blocks by row of blocks, and starts the output.
    fn read_scans(&mut self, note: &mut impl FnMut(usize, u32, Report) -> Result<()>) -> Result<()> {
        const SUSPENDED: i32 = 0;
        const REACHED_EOI: i32 = 2;
        loop {
            let (scan, row) = (self.cinfo.input_scan_number, self.cinfo.input_iMCU_row);
            // SAFETY: the decompressor was started in buffered-image mode.
            let step = unsafe { ffi::jpeg_consume_input(&mut self.cinfo) };
            let report = self.heard();
            note(usize::try_from(scan - 1).unwrap_or(0), row, report)?;
            match step {
                REACHED_EOI => break,
                SUSPENDED => bail!("cannot be decoded as JPEG: the decoder waits for more data"),
                _ => {}
            }
        }
        let last = self.cinfo.input_scan_number;
        // SAFETY: as above; the scan was read.
        unsafe { ffi::jpeg_start_output(&mut self.cinfo, last) };
        Ok(())
    }

    fn read_rows(
        &mut self,
        size: (u32, u32),
        space: Space,
        samples: &mut [u8],
        note: &mut impl FnMut(usize, u32, Report) -> Result<()>,
    ) -> Result<()> {
        let (decoded, made) = space.channels();
        let cinfo = &self.cinfo;
        let given = (cinfo.output_width, cinfo.output_height, usize::try_from(cinfo.output_components).ok());
        ensure!(given == (size.0, size.1, Some(decoded)), "the decoder makes {given:?} of {size:?} pixels");
        let width = size.0 as usize;
        ensure!(samples.len() == width * size.1 as usize * made, "{} samples for {size:?} pixels", samples.len());
        let mut inks = vec![0; width * 4];
        for out in samples.chunks_exact_mut(width * made) {
            let row = self.cinfo.input_iMCU_row;
            let into: &mut [u8] = if made == decoded { &mut *out } else { &mut inks };
            let mut line = into.as_mut_ptr();
            // SAFETY: the one line has room for the width times the components, as was compared.
            let lines = unsafe { ffi::jpeg_read_scanlines(&mut self.cinfo, ptr::addr_of_mut!(line), 1) };
            let report = self.heard();
            note(0, row, report)?;
            ensure!(lines == 1, "cannot be decoded as JPEG: the decoder waits for more data");
            if let Space::Cmyk { inverted } = space {
                rgb_of_inks(&inks, inverted, out);
            }
        }
        Ok(())
    }
}

impl Drop for Session<'_> {
    fn drop(&mut self) {
        // SAFETY: it was created; afterwards nothing points to the boxes, which came from `Box::into_raw`.
        unsafe {
            ffi::jpeg_destroy_decompress(&mut self.cinfo);
            drop(Box::from_raw(self.errors));
            drop(Box::from_raw(self.source));
            drop(Box::from_raw(self.shared));
        }
    }
}

/// What is left of white light under four inks: the simple formula, as other programs have it.
fn rgb_of_inks(inks: &[u8], inverted: bool, out: &mut [u8]) {
    for (&[c, m, y, k], rgb) in inks.as_chunks().0.iter().zip(out.as_chunks_mut::<3>().0) {
        let light = |ink: u8| u32::from(if inverted { ink } else { 255 - ink });
        *rgb = [c, m, y].map(|ink| ((light(ink) * light(k) + 127) / 255) as u8);
    }
}

/// Ends the decoding: libjpeg does not expect this function to return.
unsafe extern "C-unwind" fn fail(cinfo: &mut jpeg_common_struct) {
    let failure: Box<dyn Any + Send> = Box::new(Failure(message(cinfo)));
    // Unlike a panic, this prints nothing.
    panic::resume_unwind(failure)
}

/// libjpeg's text for the last message.
fn message(cinfo: &mut jpeg_common_struct) -> String {
    type Format = unsafe extern "C-unwind" fn(&mut jpeg_common_struct, *mut [u8; 80]);
    let mut text = [0_u8; 80];
    // SAFETY: the error manager is a box of the session's. The binding gives the buffer as shared, C writes to it; the
    // types differ in nothing else.
    unsafe {
        if let Some(format) = (*cinfo.err).format_message {
            let format =
                mem::transmute::<unsafe extern "C-unwind" fn(&mut jpeg_common_struct, &[u8; 80]), Format>(format);
            format(cinfo, &raw mut text);
        }
    }
    let length = text.iter().position(|&byte| byte == 0).unwrap_or(text.len());
    String::from_utf8_lossy(&text[..length]).into_owned()
}

/// Shows libjpeg the next bytes; after the last of them an end marker.
unsafe extern "C-unwind" fn fill(cinfo: &mut jpeg_decompress_struct) -> ffi::boolean {
    // SAFETY: both point to boxes of the session's, which only it and these functions use, one at a time.
    let (shared, source) = unsafe { (&mut *cinfo.common.client_data.cast::<Shared<'_>>(), &mut *cinfo.src) };
    let (window, rest) = shared.rest.split_at(shared.rest.len().min(WINDOW));
    let window = if window.is_empty() { &END } else { window };
    shared.rest = rest;
    source.next_input_byte = window.as_ptr();
    source.bytes_in_buffer = window.len();
    1
}

/// Passes over a part of a segment.
unsafe extern "C-unwind" fn skip(cinfo: &mut jpeg_decompress_struct, count: c_long) {
    // SAFETY: as above.
    let (shared, source) = unsafe { (&mut *cinfo.common.client_data.cast::<Shared<'_>>(), &mut *cinfo.src) };
    let count = usize::try_from(count).unwrap_or(0);
    let here = count.min(source.bytes_in_buffer);
    // SAFETY: that many bytes follow in the window.
    source.next_input_byte = unsafe { source.next_input_byte.add(here) };
    source.bytes_in_buffer -= here;
    shared.rest = shared.rest.get(count - here..).unwrap_or_default();
}

unsafe extern "C-unwind" fn nothing(_cinfo: &mut jpeg_decompress_struct) {}

/// Takes a warning (level -1) or a remark.
unsafe extern "C-unwind" fn hear(cinfo: &mut jpeg_common_struct, level: i32) {
    if level >= 0 {
        return;
    }
    // SAFETY: both point to boxes of the session's, which only it and these functions use, one at a time.
    let (report, errors) = unsafe { (&mut (*cinfo.client_data.cast::<Shared<'_>>()).report, &*cinfo.err) };
    match errors.msg_code {
        ffi::JWRN_HIT_MARKER | ffi::JWRN_HUFF_BAD_CODE | ffi::JWRN_MUST_RESYNC => report.lost += 1,
        // Its first parameter is their number.
        ffi::JWRN_EXTRANEOUS_DATA => report.skipped += u64::from(errors.msg_parm._bindgen_data_[0]),
        // The end of the file was looked for before; what is odd but decoded as it stands is no damage.
        _ => {}
    }
}
