//! As `plan`, for the kernels whose tile is searched for, which takes a hundred times as long.

#![no_main]

use arbitrary::Unstructured;
use libfuzzer_sys::fuzz_target;
use upconv::gpu::{Reuse, candidates};
use upconv::{Kernel, Plan};
use upconv_fuzz::check_plan;

fuzz_target!(|data: &[u8]| {
    // Bytes that do not suffice are no operation.
    let _ = check_plan(&mut Unstructured::new(data), |u, geometry, storage, profile| {
        Ok(match u.int_in_range(0..=5u8)? {
            0 => Plan::new(geometry, storage, profile),
            1 => {
                let candidates = candidates(geometry, profile);
                Plan::with_candidate(geometry, storage, profile, u.choose(&candidates)?, "fuzzed")
            }
            2 => Plan::for_reuse(geometry, storage, profile, Reuse::AnySize),
            3 => Plan::with_kernel(geometry, storage, profile, Kernel::Direct),
            4 => Plan::with_kernel(geometry, storage, profile, Kernel::Tiled),
            _ => Plan::with_kernel(geometry, storage, profile, Kernel::Winograd),
        })
    });
});
