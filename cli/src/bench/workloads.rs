//! The layers that are timed, and their data.
//!
//! They are defined in `workloads.json`, which the criterion benchmark and the programs for other engines read too.

use anyhow::{Result, bail};
use half::f16;
use serde::Deserialize;
use upconv::{Axis, ConvTranspose, Data, Layout, Tensor};

const TABLE: &str = include_str!("workloads.json");

/// One layer at one input shape.
#[derive(Clone, Debug)]
pub(crate) struct Workload {
    pub(crate) name: String,
    pub(crate) title: String,
    pub(crate) op: ConvTranspose,
    /// The input's shape, in the order of its layout.
    pub(crate) input: Vec<usize>,
    /// Whether input and output are stored in binary16.
    pub(crate) f16: bool,
    /// Whether it is so large, or so like another, that it runs only where it is named.
    pub(crate) only_by_name: bool,
}

/// A layer as the table has it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: String,
    title: String,
    /// The input's shape, in the order of its layout.
    input: Vec<usize>,
    out_channels: usize,
    #[serde(default = "one")]
    groups: usize,
    kernel: Vec<usize>,
    stride: Vec<usize>,
    padding: Vec<i64>,
    /// One number for each spatial axis; empty where they are all 0.
    #[serde(default)]
    output_padding: Vec<usize>,
    /// Whether input and output are nhwc instead of nchw.
    #[serde(default)]
    channels_last: bool,
    #[serde(default)]
    f16: bool,
    #[serde(default)]
    only_by_name: bool,
}

fn one() -> usize {
    1
}

/// A workload with its numbers.
pub(crate) struct Case {
    pub(crate) op: ConvTranspose,
    pub(crate) input: Tensor,
    pub(crate) weight: Tensor,
    pub(crate) bias: Tensor,
}

impl Case {
    /// An operation with a seeded input, weight and bias.
    pub(crate) fn new(op: ConvTranspose, input_shape: &[usize], half: bool) -> Result<Self> {
        let mut input = random(1, input_shape)?;
        if half {
            let narrowed = input.to_f32().into_iter().map(f16::from_f32).collect();
            input = Tensor::new(input_shape.to_vec(), Data::F16(narrowed))?;
        }
        let weight = random(2, &op.weight_shape())?;
        let bias = random(3, &[op.out_channels()])?;
        Ok(Self { op, input, weight, bias })
    }
}

/// The workloads, in the order of the table.
pub(crate) fn all() -> Result<Vec<Workload>> {
    serde_json::from_str::<Vec<Entry>>(TABLE)?.into_iter().map(Entry::workload).collect()
}

/// The workloads of these names (case-insensitive), in the order of the table; without names, all but those that run
/// only by name.
pub(crate) fn select(names: &[String]) -> Result<Vec<Workload>> {
    let mut table = all()?;
    let known: Vec<String> = table.iter().map(|workload| workload.name.clone()).collect();
    for name in names {
        if !known.iter().any(|known| known.eq_ignore_ascii_case(name)) {
            bail!("there is no workload {name:?}; known are {}", known.join(", "));
        }
    }
    table.retain(|workload| match names {
        [] => !workload.only_by_name,
        _ => names.iter().any(|name| name.eq_ignore_ascii_case(&workload.name)),
    });
    Ok(table)
}

impl Entry {
    fn workload(self) -> Result<Workload> {
        let op = self.op()?;
        let Self { name, title, input, f16, only_by_name, .. } = self;
        Ok(Workload { name, title, op, input, f16, only_by_name })
    }

    fn op(&self) -> Result<ConvTranspose> {
        let (layout, channels) =
            if self.channels_last { (Layout::ChannelsLast, self.input.len() - 1) } else { (Layout::ChannelsFirst, 1) };
        let rank = self.kernel.len();
        let output_padding = if self.output_padding.is_empty() { vec![0; rank] } else { self.output_padding.clone() };
        let op = ConvTranspose::builder()
            .in_channels(self.input[channels])
            .out_channels(self.out_channels)
            .groups(self.groups)
            .kernel(self.kernel.clone())
            .stride(self.stride.clone())
            .padding(self.padding.clone())
            .output_padding(output_padding)
            .layout(layout)
            .build()?;
        Ok(op)
    }
}

impl Workload {
    /// The operation with a seeded input, weight and bias.
    pub(crate) fn case(&self) -> Result<Case> {
        Case::new(self.op.clone(), &self.input, self.f16)
    }

    /// The layer as text: `16 × 512×4×4 → 256, k4 s2 p1`. What is the same on all axes stands there once.
    pub(crate) fn describe(&self) -> String {
        let batched = self.input.len() > self.op.rank() + 1;
        let (batch, item) = self.input.split_at(usize::from(batched));
        let batch = batch.first().map_or(String::new(), |batch| format!("{batch} × "));
        let mut text = format!("{batch}{} → {}", joined(item), self.op.out_channels());
        let of = |value: fn(&Axis) -> String| {
            let values: Vec<String> = self.op.axes().iter().map(value).collect();
            if values.iter().all(|value| *value == values[0]) { values[0].clone() } else { values.join("×") }
        };
        let padding = of(|axis| match (axis.pad_begin, axis.pad_end) {
            (begin, end) if begin == end => begin.to_string(),
            (begin, end) => format!("{begin}:{end}"),
        });
        let (kernel, stride) = (of(|axis| axis.kernel.to_string()), of(|axis| axis.stride.to_string()));
        text += &format!(", k{kernel} s{stride} p{padding}");
        let (dilation, output_padding) =
            (of(|axis| axis.dilation.to_string()), of(|axis| axis.output_padding.to_string()));
        // What a layer has by default is not said.
        for (letter, value, default) in [("d", dilation, "1"), ("op", output_padding, "0")] {
            if value != default {
                text += &format!(" {letter}{value}");
            }
        }
        if self.op.groups() > 1 {
            text += &format!(" g{}", self.op.groups());
        }
        text
    }
}

fn joined(values: &[usize]) -> String {
    values.iter().map(usize::to_string).collect::<Vec<_>>().join("×")
}

/// A tensor of [`element`]s.
pub(super) fn random(seed: u64, shape: &[usize]) -> Result<Tensor> {
    let elements = shape.iter().product::<usize>() as u64;
    Ok(Tensor::f32(shape, (0..elements).map(|index| element(seed, index)).collect::<Vec<f32>>())?)
}

/// Element `index` of the sequence of `seed`: the upper 24 bits of `SplitMix64`, spread evenly over [-1, 1).
///
/// Any language can produce the same values, from the index alone and without rounding.
fn element(seed: u64, index: u64) -> f32 {
    let mut z = seed.wrapping_add((index + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((z ^ (z >> 31)) >> 40) as f32 / (1 << 23) as f32 - 1.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_workload_is_a_valid_layer_with_a_name_of_its_own() {
        let table = all().unwrap();
        for (index, workload) in table.iter().enumerate() {
            workload.op.at(&workload.input).unwrap();
            assert!(table[..index].iter().all(|other| !other.name.eq_ignore_ascii_case(&workload.name)));
        }
    }

    #[test]
    fn the_known_sizes_come_out() {
        let sizes = |name: &str| {
            let workload = &select(&[name.to_string()]).unwrap()[0];
            workload.op.at(&workload.input).unwrap().output_shape()
        };
        assert_eq!(sizes("w1"), [16, 256, 8, 8]);
        assert_eq!(sizes("W4"), [1, 1, 512, 512]);
        assert_eq!(sizes("v1"), [1, 256, 256, 256]);
        assert_eq!(sizes("O1"), [8, 1, 448_512]);
    }

    #[test]
    fn a_workload_says_what_it_is() {
        let words = |name: &str| select(&[name.to_string()]).unwrap()[0].describe();
        assert_eq!(words("W1"), "16 × 512×4×4 → 256, k4 s2 p1");
        assert_eq!(words("W4"), "1 × 56×256×256 → 1, k9 s2 p4 op1");
        assert_eq!(words("W8"), "1 × 64×128×128 → 64, k4 s2 p1 g64");
    }

    #[test]
    fn the_numbers_never_change() {
        // As `numbers` of benches/peers/peers.py makes them.
        let first: Vec<f32> = (0..3).map(|index| element(1, index)).collect();
        assert_eq!(first, [9_505_325.0, 12_512_141.0, 16_290_722.0].map(|x: f32| x / 8_388_608.0 - 1.0));
    }
}
