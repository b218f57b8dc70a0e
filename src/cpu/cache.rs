//! How much of the input is worked on at a time: what stays in a core's second-level cache.

use std::sync::OnceLock;

/// The sizes of a cache that are believed, in bytes.
const SENSIBLE: std::ops::RangeInclusive<usize> = 256 << 10..=4 << 20;

/// Where the processor does not say.
const USUAL: usize = 512 << 10;

/// So many elements of f32 for a cache of 1 MiB are so many of this type for this machine's.
pub(super) fn elements<T>(of_a_mebibyte: usize) -> usize {
    static BYTES: OnceLock<usize> = OnceLock::new();
    let bytes = *BYTES.get_or_init(|| second_level().filter(|bytes| SENSIBLE.contains(bytes)).unwrap_or(USUAL));
    of_a_mebibyte / 1024 * (bytes / 1024) * size_of::<f32>() / size_of::<T>()
}

#[cfg(target_arch = "x86_64")]
fn second_level() -> Option<usize> {
    let caches = raw_cpuid::CpuId::new().get_l2_l3_cache_and_tlb_info()?;
    Some(usize::from(caches.l2cache_size()) << 10)
}

#[cfg(not(target_arch = "x86_64"))]
fn second_level() -> Option<usize> {
    None
}
