//! Operations from arbitrary bytes.

use arbitrary::{Result, Unstructured};
use upconv::convention::{AutoPad, Convention, Padding};
use upconv::gpu::Matrices;
use upconv::{
    Activation, ConvTranspose, DeviceClass, DeviceProfile, Geometry, Layout, OutputPaddingPolicy, Plan, Storage,
    WeightLayout,
};

/// A number that is small, near a power of two, or any.
pub fn number(u: &mut Unstructured<'_>) -> Result<usize> {
    Ok(match u.int_in_range(0..=9u8)? {
        0..=6 => u.int_in_range(0..=9)?,
        7 => u.int_in_range(0..=300)?,
        8 => (1usize << u.int_in_range(3..=62u32)?).wrapping_add_signed(u.int_in_range(-2..=2)?),
        _ => u.arbitrary::<usize>()? >> u.int_in_range(0..=32u32)?,
    })
}

/// As [`number`], at least 1 and small.
pub fn small(u: &mut Unstructured<'_>, most: usize) -> Result<usize> {
    u.int_in_range(1..=most)
}

/// An operation with an input shape, both as they come: most are refused where `small` is not given.
pub fn operation(
    u: &mut Unstructured<'_>,
    mut number: impl FnMut(&mut Unstructured<'_>) -> Result<usize>,
) -> Result<(upconv::Result<ConvTranspose>, Vec<usize>)> {
    let rank = u.int_in_range(1..=3usize)?;
    let groups = if u.ratio(1, 3)? { number(u)? } else { 1 };
    let (in_channels, out_channels) = (number(u)?.saturating_mul(groups), number(u)?.saturating_mul(groups));
    let mut list = |u: &mut Unstructured<'_>| (0..rank).map(|_| number(u)).collect::<Result<Vec<_>>>();
    let (kernel, stride, dilation, extents) = (list(u)?, list(u)?, list(u)?, list(u)?);
    let (pads, output_padding) = ([list(u)?, list(u)?], list(u)?);
    let mut pad = |index: usize| -> Result<(i64, i64)> {
        let side = |list: &[usize], negative: bool| (list[index] as i64).wrapping_mul(if negative { -1 } else { 1 });
        Ok((side(&pads[0], u.ratio(1, 8)?), side(&pads[1], u.ratio(1, 8)?)))
    };
    let padding = (0..rank).map(&mut pad).collect::<Result<Vec<_>>>()?;
    let layout = if u.arbitrary()? { Layout::ChannelsFirst } else { Layout::ChannelsLast };
    let weight_layouts = WeightLayout::ALL;
    let op = ConvTranspose::builder()
        .in_channels(in_channels)
        .out_channels(out_channels)
        .groups(groups)
        .kernel(kernel)
        .stride(stride)
        .dilation(dilation)
        .padding(padding)
        .output_padding(output_padding)
        .output_padding_policy(if u.arbitrary()? { OutputPaddingPolicy::Lenient } else { OutputPaddingPolicy::Strict })
        .layout(layout)
        .weight_layout(*u.choose(&weight_layouts)?)
        .activation(if u.arbitrary()? { Activation::Relu } else { Activation::None })
        .build();
    let mut shape = extents;
    shape.insert(if layout == Layout::ChannelsFirst { 0 } else { rank }, in_channels);
    if u.ratio(3, 4)? {
        shape.insert(0, u.int_in_range(0..=4)?);
    }
    Ok((op, shape))
}

/// A convention for so many axes.
pub fn convention(u: &mut Unstructured<'_>, rank: usize) -> Result<Convention> {
    let list = |u: &mut Unstructured<'_>| (0..rank).map(|_| number(u)).collect::<Result<Vec<_>>>();
    let some = |u: &mut Unstructured<'_>| if u.arbitrary()? { list(u).map(Some) } else { Ok(None) };
    let auto_pad = *u.choose(&[AutoPad::NotSet, AutoPad::Valid, AutoPad::SameUpper, AutoPad::SameLower])?;
    let padding = *u.choose(&[Padding::Same, Padding::Valid])?;
    Ok(match u.int_in_range(0..=6u8)? {
        0 => Convention::Explicit,
        1 => Convention::OutputSize(list(u)?),
        2 => Convention::Onnx { auto_pad, output_shape: some(u)? },
        3 => Convention::TensorFlow { padding, output_shape: some(u)? },
        4 => Convention::Keras { padding, output_padding: list(u)? },
        5 => Convention::Jax {
            padding: list(u)?.into_iter().zip(list(u)?).map(|(a, b)| (a as i64, (b as i64).wrapping_neg())).collect(),
        },
        _ => Convention::MxNet { target_shape: list(u)? },
    })
}

/// A device: its limits as usual, lower, or any.
pub fn profile(u: &mut Unstructured<'_>) -> Result<DeviceProfile> {
    let classes =
        [DeviceClass::Software, DeviceClass::Desktop, DeviceClass::Nvidia, DeviceClass::Mobile, DeviceClass::Unknown];
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

/// Plans an operation on a device and checks the plan, where it is not refused.
pub fn check_plan(
    u: &mut Unstructured<'_>,
    plan: impl FnOnce(&mut Unstructured<'_>, &Geometry, Storage, &DeviceProfile) -> Result<upconv::Result<Plan>>,
) -> Result<()> {
    let profile = profile(u)?;
    let (op, shape) = if u.ratio(1, 4)? { operation(u, number)? } else { operation(u, |u| small(u, 9))? };
    let Ok(geometry) = op.and_then(|op| op.at(&shape)) else { return Ok(()) };
    // Plans of hundreds of dispatches are cut as smaller ones are, and take longer.
    let many = |needed: u128, limit: u64| needed > 24 * u128::from(limit);
    let elements = geometry.input_len().max(geometry.output_len()) as u128;
    let weights = geometry.op().weight_shape().iter().map(|&extent| extent as u128).product::<u128>();
    if many(geometry.effective_multiply_adds(), profile.max_multiply_adds)
        || many(4 * elements.max(weights), profile.max_binding)
        || many(10 * weights, profile.max_iterations)
        || many(elements, profile.max_workgroups.into())
    {
        return Ok(());
    }
    let storage = if u.ratio(1, 4)? { Storage::F16 } else { Storage::F32 };
    match plan(u, &geometry, storage, &profile)? {
        Ok(plan) => {
            plan.check(&profile);
            let _ = plan.explain().to_string();
        }
        Err(refusal) => drop(refusal.to_string()),
    }
    Ok(())
}
