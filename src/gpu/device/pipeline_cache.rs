//! Compiled pipelines from one run of a program to the next, where the device has `PIPELINE_CACHE` (Vulkan).
//!
//! A driver trusts such data. wgpu checks that they are of this adapter and driver; a checksum, put before them when they
//! are given out, that they were not damaged. Neither tells who wrote them: that is the caller's promise.

#[cfg(not(target_family = "wasm"))]
use crate::gpu::device::scope::checked;
use wgpu::{Device, Features, PipelineCache, PipelineCacheDescriptor};

/// What sealed data begin with; a checksum of the rest follows.
const MAGIC: [u8; 8] = *b"upconv 1";

/// The bytes of the seal.
const SEAL: usize = 16;

/// An empty cache. `None` on a device without the feature.
pub(crate) fn empty(device: &Device) -> Option<PipelineCache> {
    #[allow(unsafe_code, reason = "`open` is for data too")]
    // SAFETY: no bytes have no seal, so that no data are given to the driver.
    unsafe {
        open(device, &[])
    }
}

/// A cache that begins with sealed data, or empty where they are damaged or another driver's. `None` on a device
/// without the feature.
///
/// # Safety
/// Data with a whole seal must be those that [`data`] returned: the driver trusts them.
#[allow(unsafe_code, reason = "wgpu cannot tell whether bytes came from its own `get_data`")]
pub(crate) unsafe fn open(device: &Device, sealed: &[u8]) -> Option<PipelineCache> {
    if !device.features().contains(Features::PIPELINE_CACHE) {
        return None;
    }
    let descriptor =
        PipelineCacheDescriptor { label: Some("upconv pipelines"), data: unsealed(sealed), fallback: true };
    // SAFETY: the caller promises that the data, if any are left without the seal, are what `PipelineCache::get_data`
    // returned.
    let open = || unsafe { device.create_pipeline_cache(&descriptor) };
    // No browser has the feature.
    #[cfg(target_family = "wasm")]
    return Some(open());
    #[cfg(not(target_family = "wasm"))]
    checked(device, "opening a pipeline cache", open).ok()
}

/// What [`open`] takes of a cache, once its pipelines are compiled.
pub(crate) fn data(cache: &PipelineCache) -> Option<Vec<u8>> {
    cache.get_data().map(|data| sealed(&data))
}

fn sealed(data: &[u8]) -> Vec<u8> {
    [&MAGIC[..], &checksum(data).to_le_bytes(), data].concat()
}

fn unsealed(sealed: &[u8]) -> Option<&[u8]> {
    let (seal, data) = sealed.split_at_checked(SEAL)?;
    let (magic, sum) = seal.split_at(MAGIC.len());
    (magic == MAGIC && sum == checksum(data).to_le_bytes()).then_some(data)
}

/// FNV-1a of 64 bits.
fn checksum(data: &[u8]) -> u64 {
    data.iter().fold(0xcbf2_9ce4_8422_2325, |sum, &byte| (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_damaged_is_not_taken() {
        let data: Vec<u8> = (0..200).collect();
        let good = sealed(&data);
        assert_eq!(unsealed(&good), Some(&data[..]));
        assert_eq!(unsealed(&sealed(&[])), Some(&[][..]));
        for length in 0..good.len() {
            assert_eq!(unsealed(&good[..length]), None, "{length} bytes");
        }
        for index in 0..good.len() {
            let mut bad = good.clone();
            bad[index] ^= 4;
            assert_eq!(unsealed(&bad), None, "byte {index}");
        }
        assert_eq!(unsealed(&[&good[..], &[0]].concat()), None);
    }

    #[test]
    fn the_checksum_is_the_known_one() {
        // The test vectors of its authors.
        assert_eq!(checksum(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(checksum(b"foobar"), 0x8594_4171_f739_67e8);
    }
}
