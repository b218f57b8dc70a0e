//! The colours of transparent pixels, which a network would see.

use crate::array::zeros;
use crate::failure::Result;
use crate::picture::Window;

/// Gives transparent pixels of RGBA the colour of the visible ones around them, ring by ring: their hidden colours would
/// otherwise affect the visible pixels at the edge. What a ring becomes depends on as many pixels around it as there are
/// rings, so that a part of a picture with so many more around it has the colours of the whole.
pub(crate) fn fill_transparent(window: &mut Window, rings: usize) -> Result<()> {
    let (width, height) = (window.columns.len(), window.rows.len());
    let mut has_colour = zeros::<bool>(width * height)?;
    for (has, pixel) in has_colour.iter_mut().zip(window.pixels.chunks_exact(4)) {
        *has = pixel[3] > 0.0;
    }
    let around = |pixel: usize| {
        let (y, x) = (pixel / width, pixel % width);
        let rows = y.saturating_sub(1)..(y + 2).min(height);
        rows.flat_map(move |y| (x.saturating_sub(1)..(x + 2).min(width)).map(move |x| y * width + x))
    };
    let mut ring: Vec<usize> = (0..has_colour.len())
        .filter(|&pixel| !has_colour[pixel] && around(pixel).any(|other| has_colour[other]))
        .collect();
    for _ in 0..rings {
        for &pixel in &ring {
            for channel in 0..3 {
                let coloured = around(pixel).filter(|&other| has_colour[other]);
                let (sum, count) = coloured.fold((0.0, 0.0_f32), |(sum, count), other| {
                    (sum + window.pixels[other * 4 + channel], count + 1.0)
                });
                window.pixels[pixel * 4 + channel] = (sum / count.max(1.0) + 0.5).trunc();
            }
        }
        ring.iter().for_each(|&pixel| has_colour[pixel] = true);
        let mut next: Vec<usize> =
            ring.iter().flat_map(|&pixel| around(pixel)).filter(|&pixel| !has_colour[pixel]).collect();
        next.sort_unstable();
        next.dedup();
        ring = next;
    }
    Ok(())
}
