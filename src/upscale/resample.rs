//! Resampling filters as transposed convolutions; and the initialiser of a learnable upsampler.
//!
//! # The mathematics
//! A resampling filter `f` makes the output pixel at position `p`, measured in input pixels, from the inputs around
//! it: `y(p) = Σ_i x_i·f(p − i)`, with `f(x) = 0` for `|x| ≥ R`. Pixels are squares and a picture keeps its outline
//! when it is enlarged, so it is their *centres* that line up: for a factor of N, output pixel `o` has the position
//! `p = (o + ½)/N − ½`. There are N different fractional parts of `p`, the *phases* of a transposed convolution of
//! stride N, and its weight is the filter sampled at all of them:
//!
//! ```text
//! K = 2·R·N − (N mod 2)        w[t] = f((t − (K − 1)/2) / N),  t = 0 … K − 1
//! ```
//!
//! `K` has the parity of N, so that the weight is symmetric and `(K − N)/2` is whole. (For odd N a tap at `|x| = R`,
//! where the filter is zero, is left out.) In two dimensions the weight is the product of two such, and it is the same
//! for all channels: a depthwise operation, `groups = channels`.
//!
//! At the borders the filter needs R pixels that are not there. They are replicated from the outermost ones before the
//! operation, which crops `pad_begin = pad_end = R·N + (K − N)/2`, so that I inputs, padded to `I + 2R`, give exactly
//! `I·N` outputs. (Others leave the missing pixels out and renormalise the weights: the same for [`Method::Bilinear`],
//! different near a border for the others.)
//!
//! The samples of one phase do not quite sum to 1 for [`Method::Lanczos3`]. Each phase is divided by its sum, in f64,
//! so that a constant picture stays what it is; the products are then rounded to f32.
//!
//! # Factors that are not whole
//! For a factor of p/q the output pixel `o` lies at `(o + ½)·q/p − ½`, which is where the enlargement by p has its pixel
//! `o·q + (q − 1)/2`: for odd q, every q-th output of a transposed convolution of stride p is the result, and for even q it
//! falls between two of them. Either way q² outputs are computed for each one that is kept. [`Method::value`] is the filter
//! itself, from which a table of weights for any size can be made; the program `upconv` does so.
//!
//! ```
//! use upconv::upscale::Method;
//! use upconv::{Tensor, reference};
//! # fn main() -> upconv::Result<()> {
//! let up = Method::Bilinear.upsampler(2, 1)?;
//! let row = up.pad(&Tensor::f32([1, 1, 1, 3], [0.0, 4.0, 8.0])?)?;
//! let doubled = reference::run(&up.op, &row, &up.weight, None)?;
//! assert_eq!(doubled.shape(), [1, 1, 2, 6]);
//! assert_eq!(doubled.as_f32().unwrap()[..6], [0.0, 1.0, 3.0, 5.0, 7.0, 8.0]);
//! # Ok(())
//! # }
//! ```

use super::padded::padded;
use crate::error::{Error, Result};
use crate::op::ConvTranspose;
use crate::tensor::{Tensor, TensorView, element_count, filled};
use std::fmt;

/// The largest factor of an [`Upsampler`].
pub const MAX_SCALE: usize = 64;

/// A resampling filter.
///
/// ```
/// use upconv::upscale::Method;
/// assert_eq!(Method::Bilinear.value(0.25), 0.75);
/// assert_eq!(Method::Bicubic.border(), 2); // how many pixels it reads to each side
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Method {
    /// Every pixel becomes a square of N×N equal ones; K = N, and no border is needed. For pixel art and masks.
    Nearest,
    /// Linear between the two nearest pixels of each axis, R = 1: `1 − |x|`. Never beyond the values around it.
    Bilinear,
    /// Cubic convolution over four pixels, R = 2, with the a = −½ of R. Keys, "Cubic convolution interpolation for
    /// digital image processing", 1981: the Catmull-Rom spline. Sharper; overshoots a little at edges.
    #[default]
    Bicubic,
    /// The sinc function windowed by its own main lobe, over six pixels, R = 3: `sinc(x)·sinc(x/3)`. The sharpest; rings
    /// at hard edges.
    Lanczos3,
}

impl Method {
    /// All of them, from the simplest.
    pub const ALL: [Method; 4] = [Method::Nearest, Method::Bilinear, Method::Bicubic, Method::Lanczos3];

    /// R: how far the filter reaches, in input pixels, and how many pixels must be replicated at each border.
    pub fn border(self) -> usize {
        match self {
            Method::Nearest => 0,
            Method::Bilinear => 1,
            Method::Bicubic => 2,
            Method::Lanczos3 => 3,
        }
    }

    /// The transposed convolution that upscales pictures of `channels` channels by `scale`.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] for a scale that is not 1 to [`MAX_SCALE`] or for no channels, [`Error::Overflow`] for
    /// more channels than a weight can have, [`Error::Memory`] for more than there is memory for.
    pub fn upsampler(self, scale: usize, channels: usize) -> Result<Upsampler> {
        if !(1..=MAX_SCALE).contains(&scale) {
            return Err(Error::OutOfRange {
                what: "scale".into(),
                given: scale as i128,
                expected: format!("1 to {MAX_SCALE}"),
            });
        }
        let taps = self.taps(scale);
        let (kernel, border) = (taps.len(), self.border());
        let pad = border * scale + (kernel - scale) / 2;
        let op = ConvTranspose::builder()
            .in_channels(channels)
            .out_channels(channels)
            .groups(channels)
            .kernel([kernel; 2])
            .stride([scale; 2])
            .padding([pad; 2])
            .build()?;
        let plane: Vec<f32> = taps.iter().flat_map(|y| taps.iter().map(move |x| (y * x) as f32)).collect();
        let mut weight = filled("the weights", 0.0, element_count(&op.weight_shape())?)?;
        weight.chunks_exact_mut(plane.len()).for_each(|channel| channel.copy_from_slice(&plane));
        let weight = Tensor::f32(op.weight_shape(), weight)?;
        Ok(Upsampler { op, weight, border })
    }

    /// The weight along one axis, in f64; the sum of each phase is 1.
    fn taps(self, scale: usize) -> Vec<f64> {
        let kernel = match self {
            Method::Nearest => scale,
            _ => 2 * self.border() * scale - scale % 2,
        };
        // Twice the distance from the middle is whole: no rounding before the one division.
        let position = |tap: usize| (2 * tap as i64 - (kernel as i64 - 1)) as f64 / (2 * scale) as f64;
        let taps: Vec<f64> = (0..kernel).map(|tap| self.value(position(tap))).collect();
        let phase_sum = |tap: usize| taps.iter().skip(tap % scale).step_by(scale).sum::<f64>();
        (0..kernel).map(|tap| taps[tap] / phase_sum(tap)).collect()
    }

    /// `f(x)`: the filter at a distance of `x` input pixels, before the weights of an output are divided by their sum. 0
    /// from [`border`](Self::border) on; [`Method::Nearest`] is 1 up to half a pixel.
    pub fn value(self, x: f64) -> f64 {
        let x = x.abs();
        match self {
            Method::Nearest if x > 0.5 => 0.0,
            Method::Nearest => 1.0,
            Method::Bilinear => (1.0 - x).max(0.0),
            Method::Bicubic if x < 1.0 => (1.5 * x - 2.5) * x * x + 1.0,
            Method::Bicubic if x < 2.0 => ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0,
            Method::Lanczos3 if x < 3.0 => sinc(x) * sinc(x / 3.0),
            Method::Bicubic | Method::Lanczos3 => 0.0,
        }
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Method::Nearest => "nearest",
            Method::Bilinear => "bilinear",
            Method::Bicubic => "bicubic",
            Method::Lanczos3 => "lanczos3",
        })
    }
}

/// `sin(πx)/(πx)`, exactly 0 at whole numbers other than 0.
fn sinc(x: f64) -> f64 {
    if x == 0.0 {
        1.0
    } else if x.fract() == 0.0 {
        0.0
    } else {
        let x = x * std::f64::consts::PI;
        // Not the platform's: the weights are the same everywhere.
        libm::sin(x) / x
    }
}

/// A transposed convolution that upscales pictures.
///
/// ```
/// use upconv::upscale::Method;
/// use upconv::{Tensor, reference};
/// # fn main() -> upconv::Result<()> {
/// let up = Method::Nearest.upsampler(2, 3)?; // doubles three channels
/// let picture = Tensor::f32([1, 3, 1, 1], [0.1, 0.2, 0.3])?;
/// let doubled = reference::run(&up.op, &up.pad(&picture)?, &up.weight, None)?;
/// assert_eq!(doubled.shape(), [1, 3, 2, 2]);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Upsampler {
    /// The operation: depthwise, of stride N, channels first. The height and width of its input are those of the
    /// picture and the [border](Self::border) twice; those of its output are N times the picture's.
    pub op: ConvTranspose,
    /// Its weight, `[channels, 1, K, K]`, f32.
    pub weight: Tensor,
    /// How many pixels to replicate at each border of the picture.
    pub border: usize,
}

impl Upsampler {
    /// Replicates the outermost pixels of a picture `[batch, channels, h, w]` [`border`](Self::border) times to each
    /// side; the result is f32 `[batch, channels, h + 2·border, w + 2·border]`, what [`op`](Self::op) takes.
    ///
    /// # Errors
    /// [`Error::Shape`] for another number of axes or channels or for a picture without pixels.
    pub fn pad<'a>(&self, picture: impl Into<TensorView<'a>>) -> Result<Tensor> {
        let replicated = |at: i64, extent: usize| at.clamp(0, extent as i64 - 1) as usize;
        padded(picture.into(), self.op.in_channels(), |_| [self.border; 2], replicated)
    }
}

/// The weight that makes a learnable transposed convolution begin as bilinear upsampling: `[in_channels, out_channels,
/// kernel, kernel]`, f32, with the bilinear kernel where the two channels are the same number and zero elsewhere.
///
/// With `factor = ⌊(K + 1)/2⌋` and `centre = factor − 1` for odd K, `factor − ½` for even K,
///
/// ```text
/// w[c, c, y, x] = (1 − |y − centre| / factor) · (1 − |x − centre| / factor)
/// ```
///
/// This is `bilinear_kernel` of Zhang et al., *Dive into Deep Learning* (d2l), chapter "Fully Convolutional Networks",
/// after Long, Shelhamer and Darrell, "Fully convolutional networks for semantic segmentation", 2015. For a factor of N
/// those use K = 2N with a padding of N/2, which lines the pixel centres up for even N. For odd N half a pixel of
/// padding is missing and the result is shifted by half an output pixel; there K = 2N − 1 with a padding of (N − 1)/2
/// is right, and this function gives its weight as well. Neither replicates a border: a frame of the output, half an
/// input pixel wide, fades towards zero.
///
/// # Errors
/// [`Error::OutOfRange`] where an argument is 0, [`Error::Overflow`] where the number of weights does not fit,
/// [`Error::Memory`] where there is no memory for them.
pub fn bilinear_kernel(in_channels: usize, out_channels: usize, kernel: usize) -> Result<Tensor> {
    let op =
        ConvTranspose::builder().in_channels(in_channels).out_channels(out_channels).kernel([kernel; 2]).build()?;
    let factor = kernel.div_ceil(2) as f64;
    let centre = if kernel % 2 == 1 { factor - 1.0 } else { factor - 0.5 };
    let tap = |t: usize| 1.0 - (t as f64 - centre).abs() / factor;
    let mut weight = filled("the weights", 0.0, element_count(&op.weight_shape())?)?;
    for channel in 0..in_channels.min(out_channels) {
        let first = channel * (out_channels + 1) * kernel * kernel;
        for y in 0..kernel {
            for x in 0..kernel {
                weight[first + y * kernel + x] = (tap(y) * tap(x)) as f32;
            }
        }
    }
    Tensor::f32(op.weight_shape(), weight)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference;

    const SCALES: [usize; 9] = [1, 2, 3, 4, 5, 7, 8, 13, 64];

    fn upscale(method: Method, scale: usize, shape: [usize; 4], data: &[f32]) -> Vec<f32> {
        let up = method.upsampler(scale, shape[1]).unwrap();
        let input = up.pad(&Tensor::f32(shape, data).unwrap()).unwrap();
        let output = reference::run(&up.op, &input, &up.weight, None).unwrap();
        assert_eq!(output.shape(), [shape[0], shape[1], shape[2] * scale, shape[3] * scale]);
        output.to_f32()
    }

    #[test]
    fn weights_are_symmetric_and_each_phase_sums_to_one() {
        for method in Method::ALL {
            for scale in SCALES {
                let taps = method.taps(scale);
                let kernel = taps.len();
                for phase in 0..scale {
                    let sum: f64 = taps.iter().skip(phase).step_by(scale).sum();
                    assert!((sum - 1.0).abs() < 1e-15, "{method} {scale}: {sum}");
                }
                for tap in 0..kernel {
                    let mirrored = taps[kernel - 1 - tap];
                    assert!((taps[tap] - mirrored).abs() < 1e-15, "{method} {scale}, tap {tap}");
                }
            }
        }
    }

    #[test]
    fn the_rounded_weights_of_each_phase_sum_to_one() {
        for method in Method::ALL {
            let scale = 5;
            let up = method.upsampler(scale, 2).unwrap();
            let weight = up.weight.as_f32().unwrap();
            let kernel = up.op.axes()[0].kernel;
            for (channel, (py, px)) in (0..2).flat_map(|c| (0..scale * scale).map(move |p| (c, (p / scale, p % scale))))
            {
                let plane = &weight[channel * kernel * kernel..][..kernel * kernel];
                let rows = (py..kernel).step_by(scale);
                let sum: f64 = rows
                    .flat_map(|y| (px..kernel).step_by(scale).map(move |x| y * kernel + x))
                    .map(|i| f64::from(plane[i]))
                    .sum();
                assert!((sum - 1.0).abs() < 4.0 * f64::from(f32::EPSILON), "{method}, phase {py} {px}: {sum}");
            }
        }
    }

    #[test]
    fn known_taps() {
        assert_eq!(Method::Nearest.taps(3), [1.0; 3]);
        assert_eq!(Method::Bilinear.taps(2), [0.25, 0.75, 0.75, 0.25]);
        let thirds = Method::Bilinear.taps(3).into_iter().map(|w| 3.0 * w);
        assert!(thirds.zip([1.0, 2.0, 3.0, 2.0, 1.0]).all(|(given, expected)| (given - expected).abs() < 1e-15));
        // Keys at distances of 1/4 and 3/4: the numerators of Catmull-Rom over 128.
        let keys = [-3.0, -9.0, 29.0, 111.0, 111.0, 29.0, -9.0, -3.0].map(|x| x / 128.0);
        assert_eq!(Method::Bicubic.taps(2), keys);
    }

    /// The filters at whole distances, between them, and beyond their ends.
    #[test]
    fn values_of_the_filters() {
        for method in Method::ALL {
            let whole: Vec<f64> = (-4..=4).map(|x| method.value(x.into())).collect();
            assert_eq!(whole, [0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0], "{method}");
            assert_eq!(method.value(f64::INFINITY), 0.0, "{method}");
        }
        assert_eq!([0.25, 0.5, 0.51].map(|x| Method::Nearest.value(x)), [1.0, 1.0, 0.0]);
        assert_eq!([0.25, -0.5, 1.5].map(|x| Method::Bilinear.value(x)), [0.75, 0.5, 0.0]);
        assert_eq!([0.5, -1.5].map(|x| Method::Bicubic.value(x)), [0.5625, -0.0625]);
        assert!((Method::Lanczos3.value(1.5) + 0.135_094_911_523_117).abs() < 1e-15);
    }

    #[test]
    fn the_output_is_the_scale_times_the_input() {
        for method in Method::ALL {
            for scale in 1..=MAX_SCALE {
                let up = method.upsampler(scale, 3).unwrap();
                for extent in [1, 2, 3, 10, 511, 12_000] {
                    let padded = extent + 2 * up.border;
                    let output = up.op.at(&[1, 3, padded, padded + 1]).unwrap().output_shape();
                    assert_eq!(output, [1, 3, extent * scale, (extent + 1) * scale], "{method} {scale}");
                }
            }
        }
    }

    #[test]
    fn a_constant_picture_stays_constant() {
        for method in Method::ALL {
            for scale in [1, 2, 3, 4, 7] {
                for value in upscale(method, scale, [1, 2, 3, 5], &[200.0; 30]) {
                    assert!((value - 200.0).abs() < 1e-4, "{method} {scale}: {value}");
                }
            }
        }
    }

    #[test]
    fn a_scale_of_one_changes_nothing() {
        let mut rng = fastrand::Rng::with_seed(3);
        let picture: Vec<f32> = (0..2 * 6 * 5).map(|_| rng.f32() * 255.0).collect();
        for method in Method::ALL {
            assert_eq!(upscale(method, 1, [1, 2, 6, 5], &picture), picture, "{method}");
        }
    }

    /// A linear ramp is what every filter but `nearest` should continue, away from the replicated border.
    #[test]
    fn a_linear_ramp_is_reproduced_inside() {
        let (h, w) = (9, 11);
        let at = |y: f64, x: f64| 3.0 + 2.0 * y - 5.0 * x;
        let ramp: Vec<f32> = (0..h * w).map(|i| at((i / w) as f64, (i % w) as f64) as f32).collect();
        // Lanczos reproduces constants only: it is off by up to 3 % of the slope on each axis.
        for (method, tolerance) in [(Method::Bilinear, 1e-5), (Method::Bicubic, 1e-5), (Method::Lanczos3, 0.03 * 7.0)] {
            for scale in [2, 3, 4, 5] {
                let output = upscale(method, scale, [1, 1, h, w], &ramp);
                let r = method.border() * scale;
                for y in r..h * scale - r {
                    for x in r..w * scale - r {
                        let position = |o: usize| (o as f64 + 0.5) / scale as f64 - 0.5;
                        let expected = at(position(y), position(x));
                        let given = f64::from(output[y * w * scale + x]);
                        assert!((given - expected).abs() < tolerance, "{method} {scale} {y} {x}: {given} {expected}");
                    }
                }
            }
        }
    }

    #[test]
    fn nearest_repeats() {
        let output = upscale(Method::Nearest, 2, [1, 1, 1, 2], &[3.0, 7.0]);
        assert_eq!(output, [3.0, 3.0, 7.0, 7.0, 3.0, 3.0, 7.0, 7.0]);
    }

    #[test]
    fn the_books_kernel_of_size_four() {
        let weight = bilinear_kernel(2, 3, 4).unwrap();
        assert_eq!(weight.shape(), [2, 3, 4, 4]);
        let plane: Vec<f32> =
            [1.0, 3.0, 3.0, 1.0].iter().flat_map(|y| [1.0, 3.0, 3.0, 1.0].map(|x| x * y / 16.0)).collect();
        for (index, given) in weight.as_f32().unwrap().chunks(16).enumerate() {
            let expected = if index == 0 || index == 4 { &plane[..] } else { &[0.0; 16] };
            assert_eq!(given, expected, "channels {} to {}", index / 3, index % 3);
        }
    }

    #[test]
    fn the_initialiser_is_the_filter() {
        for scale in [2, 3, 4, 5, 8] {
            let up = Method::Bilinear.upsampler(scale, 1).unwrap();
            let weight = bilinear_kernel(1, 1, up.op.axes()[0].kernel).unwrap();
            let pairs = weight.to_f32().into_iter().zip(up.weight.to_f32());
            assert!(pairs.into_iter().all(|(a, b)| (a - b).abs() < 1e-7), "{scale}");
        }
    }

    #[test]
    fn weights_without_memory_are_an_error() {
        let error = bilinear_kernel(1, 1, 1 << 30).unwrap_err().to_string();
        assert_eq!(error, "no memory for the weights: 4611686018427387904 bytes");
        assert!(matches!(Method::Nearest.upsampler(64, 1 << 40), Err(Error::Memory { .. })));
    }

    #[test]
    fn refusals_carry_their_numbers() {
        let refusal = |scale, channels| Method::Bicubic.upsampler(scale, channels).unwrap_err().to_string();
        assert_eq!(refusal(0, 3), "scale is 0, expected 1 to 64");
        assert_eq!(refusal(65, 3), "scale is 65, expected 1 to 64");
        assert_eq!(refusal(2, 0), "in_channels is 0, expected at least 1");
        assert_eq!(bilinear_kernel(1, 1, 0).unwrap_err().to_string(), "kernel on axis 0 is 0, expected at least 1");
        let up = Method::Bicubic.upsampler(2, 3).unwrap();
        let picture = Tensor::f32([1, 3, 0, 4], []).unwrap();
        assert_eq!(
            up.pad(&picture).unwrap_err().to_string(),
            "picture has shape [1, 3, 0, 4], expected [batch, 3, h, w] with h and w at least 1"
        );
    }
}
