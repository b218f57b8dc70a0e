//! Plans write every output once, within the device's limits, or are refused.

#![no_main]

use arbitrary::Unstructured;
use libfuzzer_sys::fuzz_target;
use upconv::{Kernel, Plan};
use upconv_fuzz::check_plan;

fuzz_target!(|data: &[u8]| {
    // Bytes that do not suffice are no operation.
    let _ = check_plan(&mut Unstructured::new(data), |u, geometry, storage, profile| {
        let kernel = if u.ratio(1, 8)? { Kernel::Matrix } else { Kernel::Gather };
        Ok(Plan::with_kernel(geometry, storage, profile, kernel))
    });
});
