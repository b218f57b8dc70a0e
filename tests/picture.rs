//! Pictures in pieces: whatever the pieces, the source and the form of the call, the result is that of the whole.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::ops::Range;
use upconv::upscale::picture::{AlphaBy, Backend, Options, Pixels, Plan, Sample, Shape, Source, Upscaler, Window};
use upconv::upscale::{Method, Network};
use upconv::{Error, Result};

fn network() -> Network {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/assets/waifu2x-photo.safetensors");
    Network::from_safetensors(&std::fs::read(path).unwrap()).unwrap()
}

/// Waves, of which the last channel of 2 or 4, alpha, has a hole and an edge.
fn picture(shape: Shape) -> Vec<u8> {
    let Shape { width, height, channels, .. } = shape;
    let mut samples = Vec::new();
    for y in 0..height {
        for x in 0..width {
            for channel in 0..channels {
                let is_hole = (x as i64 - 20).pow(2) + (y as i64 - 12).pow(2) < 60;
                samples.push(match (shape.has_alpha() && channel + 1 == channels, is_hole, x % 7) {
                    (true, true, _) => 0,
                    (true, false, 0) => 100,
                    (true, false, _) => 255,
                    (false, ..) => (127.0 + 100.0 * ((x * (channel + 2) + y) as f32 * 0.2).sin()) as u8,
                });
            }
        }
    }
    samples
}

fn shape(width: usize, height: usize, channels: usize) -> Shape {
    Shape { width, height, channels, sample_bytes: 1 }
}

/// Copies what is asked for, as a picture in another memory must.
struct Copied<'a>(&'a [u8], Shape);

impl Source for Copied<'_> {
    type Sample = u8;

    fn window(&self, rows: Range<usize>, columns: Range<usize>) -> Result<Window<'_, u8>> {
        let Shape { width, height, channels, .. } = self.1;
        assert!(rows.end <= height && columns.end <= width && !rows.is_empty() && !columns.is_empty());
        let row = |y: usize| &self.0[(y * width + columns.start) * channels..(y * width + columns.end) * channels];
        let samples: Vec<u8> = rows.clone().flat_map(row).copied().collect();
        Window::new(samples, rows, columns, channels)
    }
}

fn run<S: Source>(upscaler: &Upscaler, plan: &Plan, source: &S) -> Vec<S::Sample> {
    let (mut made, mut done) = (Vec::new(), 0);
    let emit = |rows: Vec<S::Sample>| {
        made.extend(rows);
        Ok::<_, Error>(())
    };
    let advance = |pixels| {
        done += pixels;
        Ok(())
    };
    upscaler.run(plan, source, emit, advance).unwrap();
    assert_eq!(done, plan.pixels());
    made
}

fn by_network(from: Shape, to: [usize; 2], options: Options) -> Plan {
    Plan::network(&network(), from, to, options).unwrap()
}

/// Grey and colour, with and without alpha, once, twice and reduced.
#[test]
fn tiles_and_windows_do_not_show() {
    let upscaler = Upscaler::network(network(), Backend::Cpu).unwrap();
    for (channels, to) in
        [(3, [60, 92]), (4, [60, 92]), (2, [60, 92]), (4, [75, 100]), (1, [120, 184]), (3, [100, 100])]
    {
        let from = shape(46, 30, channels);
        let samples = picture(from);
        let whole =
            run(&upscaler, &by_network(from, to, Options::default()), &Pixels::new(&samples, 46, channels).unwrap());
        assert_eq!(whole.len(), to[0] * to[1] * channels);
        let tiled = by_network(from, to, Options { tile: Some(16), ..Options::default() });
        assert_eq!(run(&upscaler, &tiled, &Copied(&samples, from)), whole, "{channels} channels, {to:?}");
    }
}

#[test]
fn a_filter_in_bands_is_that_of_the_whole() {
    for (method, channels, to) in [
        (Method::Bicubic, 4, [60, 92]),
        (Method::Nearest, 4, [90, 138]),
        (Method::Lanczos3, 3, [41, 57]),
        (Method::Bilinear, 2, [15, 23]),
    ] {
        let (from, upscaler) = (shape(46, 30, channels), Upscaler::filter(method, Backend::Cpu));
        let samples = picture(from);
        let plan = |memory| Plan::filter(method, from, to, Options { memory, ..Options::default() }).unwrap();
        let whole = run(&upscaler, &plan(1 << 30), &Pixels::new(&samples, 46, channels).unwrap());
        assert_eq!(whole.len(), to[0] * to[1] * channels);
        for memory in [0, 60_000] {
            assert!(plan(memory).bytes() <= plan(1 << 30).bytes());
            assert_eq!(run(&upscaler, &plan(memory), &Copied(&samples, from)), whole, "{method}, {memory}");
        }
    }
}

/// Floats from 0 to 1 are not rounded.
#[test]
fn floats_are_samples() {
    let samples: Vec<f32> = (0..30 * 20 * 3).map(|i| (i % 101) as f32 / 100.0).collect();
    let from = Shape { width: 30, height: 20, channels: 3, sample_bytes: 4 };
    let plan = Plan::filter(Method::Nearest, from, [40, 60], Options::default()).unwrap();
    let made =
        run(&Upscaler::filter(Method::Nearest, Backend::Reference), &plan, &Pixels::new(&samples, 30, 3).unwrap());
    assert!((0..60 * 3).all(|place| made[place] == samples[place / 6 * 3 + place % 3]));
    assert_eq!(<f32 as Sample>::FULL, 1.0);
}

/// An error of the caller's own ends the work: of what hears of progress, and of what takes the rows.
#[test]
fn the_caller_ends_the_work() {
    #[derive(Debug)]
    enum Ended {
        Cancelled,
        Library,
    }
    impl From<Error> for Ended {
        fn from(_: Error) -> Self {
            Self::Library
        }
    }
    let from = shape(46, 30, 3);
    let samples = picture(from);
    let pixels = Pixels::new(&samples, 46, 3).unwrap();
    let upscaler = Upscaler::network(network(), Backend::Cpu).unwrap();
    let plan = by_network(from, [60, 92], Options { tile: Some(8), ..Options::default() });
    let mut heard = 0;
    let advance = |pixels| {
        heard += pixels;
        if heard > 200 { Err(Ended::Cancelled) } else { Ok(()) }
    };
    assert!(matches!(upscaler.run(&plan, &pixels, |_| Ok(()), advance), Err(Ended::Cancelled)));
    assert!((201..46 * 30).contains(&heard));
    assert!(matches!(upscaler.run(&plan, &pixels, |_| Err(Ended::Cancelled), |_| Ok(())), Err(Ended::Cancelled)));
    let other = Plan::filter(Method::Bicubic, from, [60, 92], Options::default()).unwrap();
    assert!(matches!(upscaler.run(&other, &pixels, |_| Ok(()), |_| Ok(())), Err(Ended::Library)));
}

#[test]
fn what_cannot_be_enlarged_is_refused_with_its_numbers() {
    let network = network();
    let by_filter = |from, to| Plan::filter(Method::Bicubic, from, to, Options::default());
    for (refusal, words) in [
        (by_filter(shape(0, 3, 3), [6, 6]), "pixels in a row is 0"),
        (by_filter(shape(3, 3, 5), [6, 6]), "samples of a pixel is 5"),
        (by_filter(shape(3, 3, 3), [0, 6]), "rows wanted is 0"),
        (Plan::network(&network, shape(10, 10, 3), [41, 40], Options::default()), "40x41 pixels are out of reach"),
    ] {
        let error = refusal.unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
    let plan = by_filter(shape(3, 3, 3), [6, 6]).unwrap();
    let wide = [0_u16; 27];
    let upscaler = Upscaler::filter(Method::Bicubic, Backend::Cpu);
    let error = upscaler.run(&plan, &Pixels::new(&wide, 3, 3).unwrap(), |_| Ok::<_, Error>(()), |_| Ok(()));
    assert!(error.unwrap_err().to_string().contains("have 2 bytes, those of the plan 1"));
}

#[test]
fn alpha_by_the_network_is_as_sharp_as_the_colours() {
    let from = shape(46, 30, 4);
    let samples = picture(from);
    let pixels = Pixels::new(&samples, 46, 4).unwrap();
    let upscaler = Upscaler::network(network(), Backend::Cpu).unwrap();
    let by = |alpha| run(&upscaler, &by_network(from, [60, 92], Options { alpha, ..Options::default() }), &pixels);
    let alone: Vec<u8> = samples.iter().skip(3).step_by(4).copied().collect();
    let grey = run(
        &upscaler,
        &by_network(shape(46, 30, 1), [60, 92], Options::default()),
        &Pixels::new(&alone, 46, 1).unwrap(),
    );
    let [network, filter] = [AlphaBy::Network, AlphaBy::Filter].map(by);
    assert!(network.iter().skip(3).step_by(4).eq(&grey));
    assert_ne!(network, filter);
}
