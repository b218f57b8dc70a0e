//! Plans write every output once, within the device's limits, or are refused.

#![no_main]

use arbitrary::{Result, Unstructured};
use libfuzzer_sys::fuzz_target;
use upconv::gpu::{Matrices, candidates};
use upconv::{DeviceClass, DeviceProfile, Geometry, Kernel, Plan, Storage};
use upconv_fuzz::{number, operation, small};

fn profile(u: &mut Unstructured<'_>) -> Result<DeviceProfile> {
    let classes = [
        DeviceClass::Software,
        DeviceClass::Desktop,
        DeviceClass::Nvidia,
        DeviceClass::Mobile,
        DeviceClass::Unknown,
    ];
    let usual = DeviceProfile { class: *u.choose(&classes)?, f16: u.arbitrary()?, ..DeviceProfile::default() };
    let mut number = |usual: u64| {
        Ok(match u.int_in_range(0..=15u8)? {
            0 => number(u)? as u64,
            1..=4 => usual >> u.int_in_range(0..=24u32)?,
            _ => usual,
        })
    };
    let mut profile = DeviceProfile {
        max_binding: number(usual.max_binding)?,
        max_buffer: number(usual.max_buffer)?,
        max_workgroups: number(usual.max_workgroups.into())? as u32,
        binding_alignment: number(usual.binding_alignment)?,
        max_multiply_adds: number(usual.max_multiply_adds)?,
        max_iterations: number(usual.max_iterations)?,
        max_invocations: number(usual.max_invocations.into())? as u32,
        max_workgroup_memory: number(usual.max_workgroup_memory)?,
        ..usual
    };
    if u.arbitrary()? {
        let factors = if u.arbitrary()? { Storage::F16 } else { Storage::F32 };
        let subgroup = *u.choose(&[8, 32, 64])?;
        profile.matrices = Some(Matrices { side: *u.choose(&[8, 16, 4])?, factors, subgroup, largest_subgroup: 64 });
    }
    Ok(profile)
}

fn weights(geometry: &Geometry) -> u128 {
    geometry.op().weight_shape().iter().map(|&extent| extent as u128).product()
}

fn run(mut u: Unstructured<'_>) -> Result<()> {
    let profile = profile(&mut u)?;
    let (op, shape) = if u.ratio(1, 4)? { operation(&mut u, number)? } else { operation(&mut u, |u| small(u, 9))? };
    let Ok(geometry) = op.and_then(|op| op.at(&shape)) else { return Ok(()) };
    // Plans of hundreds of dispatches are cut as smaller ones are, and take longer.
    let many = |needed: u128, limit: u64| needed > 24 * u128::from(limit);
    let (elements, weights) = (geometry.input_len().max(geometry.output_len()) as u128, weights(&geometry));
    let many = many(geometry.effective_multiply_adds(), profile.max_multiply_adds)
        || many(4 * elements.max(weights), profile.max_binding)
        || many(10 * weights, profile.max_iterations)
        || many(elements, profile.max_workgroups.into());
    if many {
        return Ok(());
    }
    let storage = if u.ratio(1, 4)? { Storage::F16 } else { Storage::F32 };
    // Searching for a tile takes a hundred times as long as the rest: it is done less often.
    let plan = match u.int_in_range(0..=159u8)? {
        0 => Plan::new(&geometry, storage, &profile),
        1 => match candidates(&geometry, &profile).last() {
            Some(candidate) => Plan::with_candidate(&geometry, storage, &profile, candidate, "fuzzed"),
            None => panic!("gather is always a candidate"),
        },
        2 => Plan::with_kernel(&geometry, storage, &profile, Kernel::Direct),
        3 => Plan::with_kernel(&geometry, storage, &profile, Kernel::Tiled),
        4 => Plan::with_kernel(&geometry, storage, &profile, Kernel::Winograd),
        5 => Plan::with_kernel(&geometry, storage, &profile, Kernel::Matrix),
        _ => Plan::with_kernel(&geometry, storage, &profile, Kernel::Gather),
    };
    match plan {
        Ok(plan) => {
            plan.check(&profile);
            let _ = plan.explain().to_string();
        }
        Err(refusal) => {
            let _ = refusal.to_string();
        }
    }
    Ok(())
}

fuzz_target!(|data: &[u8]| {
    // Bytes that do not suffice are no operation.
    let _ = run(Unstructured::new(data));
});
