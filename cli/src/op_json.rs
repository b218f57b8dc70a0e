//! The description of an operation in a JSON file, and what it means together with the tensors it is applied to.
//!
//! All keys are optional:
//!
//! | key | meaning | default |
//! |---|---|---|
//! | `strides`, `dilations` | one number for each spatial axis | 1 |
//! | `pads` | `[begin, end]` for each spatial axis | 0 |
//! | `output_padding` | one number for each spatial axis | 0 |
//! | `auto_pad` | `explicit` (or `notset`), `same_upper`, `same_lower`, `valid` | `explicit` |
//! | `output_shape` | spatial extents of the output | computed |
//! | `output_shape_rule` | `onnx`, `webnn` (PyTorch's `output_size`), `tf` (TensorFlow, Keras, JAX) | `webnn` for explicit pads, else `onnx` |
//! | `groups` | | 1 |
//! | `input_layout` | letters `n` (may be missing), `c`, `d`, `h`, `w` | `nchw`, `ncw` or `ncdhw` |
//! | `filter_layout` | letters `i`, `o`, `d`, `h`, `w` | `iohw`, `iow` or `iodhw` |
//! | `activation` | `{"type": …, "alpha": …, "beta": …}` | none |
//! | `bias` | whether there must be one | as given |
//!
//! `auto_pad` and the layouts may be in capitals, as ONNX writes them, and a number may be `NaN` or `Infinity`, as Python
//! writes them. `activation` has the `type` `none`, `relu`, `relu6`, `leaky_relu` (`alpha`), `prelu` (`slopes`), `clip` (`alpha` to
//! `beta`), `sigmoid`, `tanh`, `hard_swish` (`alpha`, `beta`), `mish` or `gelu`. `op` and `dims` are checked where they are given.
//! Other keys are ignored, but for those that look like one of these.

use anyhow::{Context, Result, anyhow, bail, ensure};
use serde::Deserialize;
use std::path::Path;
use upconv::convention::{AutoPad, Padding};
use upconv::{Activation, ConvTranspose, Convention, Layout, OutputPaddingPolicy, WeightLayout};

/// The file's contents.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct OpJson {
    strides: Option<Vec<i64>>,
    pads: Option<Vec<Vec<i64>>>,
    dilations: Option<Vec<i64>>,
    output_padding: Option<Vec<i64>>,
    output_shape: Option<Vec<i64>>,
    output_shape_rule: Option<ShapeRule>,
    auto_pad: Option<String>,
    groups: Option<i64>,
    op: Option<String>,
    dims: Option<usize>,
    input_layout: Option<String>,
    filter_layout: Option<String>,
    activation: Option<JsonActivation>,
    /// Whether there must be a bias.
    pub(crate) bias: Option<bool>,
    x_shape: serde_json::Value,
    w_shape: serde_json::Value,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum ShapeRule {
    Onnx,
    Webnn,
    Tf,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct JsonActivation {
    #[serde(rename = "type")]
    kind: String,
    alpha: Option<f32>,
    beta: Option<f32>,
    slopes: Option<Vec<f32>>,
}

/// Keys of other tools that mean one of ours: refused, because ignoring them would compute something else.
const MISTAKEN: [(&str, &str); 14] = [
    ("stride", "strides"),
    ("pad", "pads"),
    ("padding", "pads"),
    ("paddings", "pads"),
    ("dilation", "dilations"),
    ("group", "groups"),
    ("output_paddings", "output_padding"),
    ("output_size", "output_shape"),
    ("output_sizes", "output_shape"),
    ("layout", "input_layout"),
    ("data_format", "input_layout"),
    ("weight_layout", "filter_layout"),
    ("kernel_layout", "filter_layout"),
    ("activations", "activation"),
];

/// The operation that a file, or a folder with `case.json`, describes at an input's and a weight's shape, and the
/// input's shape. Shapes that are not given must be in the file.
pub(crate) fn read_at(
    path: &Path,
    input_shape: Option<&[usize]>,
    weight_shape: Option<&[usize]>,
) -> Result<(ConvTranspose, Vec<usize>)> {
    let path = if path.is_dir() { path.join("case.json") } else { path.to_path_buf() };
    let json = OpJson::read(&path)?;
    let input = input_shape.map(<[_]>::to_vec).or_else(|| json.input_shape()).context("--input-shape is needed")?;
    let weight = weight_shape.map(<[_]>::to_vec).or_else(|| json.weight_shape()).context("--weight-shape is needed")?;
    let op = json.resolve(&input, &weight, OutputPaddingPolicy::Strict)?;
    op.check_parameters(&weight, None)?;
    Ok((op, input))
}

impl OpJson {
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        Self::parse(&text).with_context(|| path.display().to_string())
    }

    fn parse(text: &str) -> Result<Self> {
        let text = python_numbers(text.trim_start_matches('\u{feff}'));
        let value: serde_json::Value = serde_json::from_str(&text).context("not valid JSON")?;
        let Some(object) = value.as_object() else { bail!("the description must be a JSON object, got {value}") };
        if let Some((given, meant)) = MISTAKEN.iter().find(|(given, _)| object.contains_key(*given)) {
            bail!("unknown key {given:?}, expected {meant:?}");
        }
        serde_path_to_error::deserialize(value).map_err(|error| anyhow!("{}: {}", error.path(), error.inner()))
    }

    /// The shape of the input, where no input is at hand.
    pub(crate) fn input_shape(&self) -> Option<Vec<usize>> {
        serde_json::from_value(self.x_shape.clone()).ok()
    }

    /// The shape of the weight, where no weight is at hand.
    pub(crate) fn weight_shape(&self) -> Option<Vec<usize>> {
        serde_json::from_value(self.w_shape.clone()).ok()
    }

    /// The operation for an input and a weight of these shapes.
    pub(crate) fn resolve(
        &self,
        input_shape: &[usize],
        weight_shape: &[usize],
        policy: OutputPaddingPolicy,
    ) -> Result<ConvTranspose> {
        let Some(rank @ 1..=3) = weight_shape.len().checked_sub(2) else {
            bail!("weight has shape {weight_shape:?}, expected 3 to 5 axes: channels twice and 1 to 3 spatial ones");
        };
        self.check_rank(rank)?;
        let layout = self.layout(rank, input_shape)?;
        let weight_layout = self.weight_layout(rank)?;
        let extent = |letter: char| {
            let index = weight_layout.letters(rank).find(letter).unwrap_or_default();
            weight_shape[index]
        };
        let kernel: Vec<usize> = "dhw"[3 - rank..].chars().map(extent).collect();
        let groups = self.groups.map_or(Ok(1), |groups| natural("groups", groups, 1))?;
        let out_channels = extent('o')
            .checked_mul(groups)
            .with_context(|| format!("{} output channels for each of {groups} groups overflow", extent('o')))?;
        let mut builder = ConvTranspose::builder()
            .in_channels(extent('i'))
            .out_channels(out_channels)
            .groups(groups)
            .kernel(kernel)
            .layout(layout)
            .weight_layout(weight_layout)
            .output_padding_policy(policy)
            .activation(self.activation.as_ref().map_or(Ok(Activation::None), JsonActivation::resolve)?);
        if let Some(strides) = &self.strides {
            builder = builder.stride(naturals("strides", strides, 1)?);
        }
        if let Some(dilations) = &self.dilations {
            builder = builder.dilation(naturals("dilations", dilations, 1)?);
        }
        let convention = self.convention()?;
        let has_output_padding = matches!(convention, Convention::Explicit | Convention::Onnx { .. });
        if let Some(output_padding) = self.output_padding.as_ref().filter(|_| has_output_padding) {
            builder = builder.output_padding(naturals("output_padding", output_padding, 0)?);
        }
        if let Some(pads) = &self.pads {
            builder = builder.padding(pads.iter().map(|pad| pair(pad)).collect::<Result<Vec<_>>>()?);
        }
        Ok(convention.resolve(&builder.build()?, input_shape)?)
    }

    fn convention(&self) -> Result<Convention> {
        let shape = self.output_shape.as_ref().map(|shape| naturals("output_shape", shape, 0)).transpose()?;
        let auto_pad = match self.auto_pad.as_deref().unwrap_or("explicit").to_ascii_lowercase().as_str() {
            "explicit" | "notset" => AutoPad::NotSet,
            "same_upper" => AutoPad::SameUpper,
            "same_lower" => AutoPad::SameLower,
            "valid" => AutoPad::Valid,
            other => bail!("auto_pad is {other:?}, expected \"explicit\", \"same_upper\", \"same_lower\" or \"valid\""),
        };
        let default = if auto_pad == AutoPad::NotSet { ShapeRule::Webnn } else { ShapeRule::Onnx };
        Ok(match (self.output_shape_rule.unwrap_or(default), auto_pad, shape) {
            (ShapeRule::Webnn, AutoPad::NotSet, None) => Convention::Explicit,
            (ShapeRule::Webnn, AutoPad::NotSet, Some(shape)) => Convention::OutputSize(shape),
            (ShapeRule::Webnn | ShapeRule::Onnx, auto_pad, output_shape) => Convention::Onnx { auto_pad, output_shape },
            (ShapeRule::Tf, AutoPad::SameUpper, output_shape) => {
                Convention::TensorFlow { padding: Padding::Same, output_shape }
            }
            (ShapeRule::Tf, AutoPad::Valid, output_shape) => {
                Convention::TensorFlow { padding: Padding::Valid, output_shape }
            }
            (ShapeRule::Tf, AutoPad::NotSet, None) => Convention::Explicit,
            (ShapeRule::Tf, AutoPad::NotSet, Some(shape)) => Convention::OutputSize(shape),
            (ShapeRule::Tf, AutoPad::SameLower, _) => {
                bail!(
                    "auto_pad \"same_lower\" is unknown to output_shape_rule \"tf\", expected \"same_upper\" or \"valid\""
                )
            }
        })
    }

    /// Checks what the description says of its rank against the weight's.
    fn check_rank(&self, rank: usize) -> Result<()> {
        if let Some(dims) = self.dims.filter(|&dims| dims != rank) {
            bail!("dims is {dims}, but the weight has {rank} spatial axes");
        }
        let name = format!("conv_transpose{rank}d");
        match &self.op {
            Some(op) if op != &name => bail!("op is {op:?}, expected {name:?} for a weight of {rank} spatial axes"),
            _ => Ok(()),
        }
    }

    fn layout(&self, rank: usize, input_shape: &[usize]) -> Result<Layout> {
        let Some(letters) = &self.input_layout else { return Ok(Layout::ChannelsFirst) };
        let letters = &letters.to_ascii_lowercase();
        for layout in [Layout::ChannelsFirst, Layout::ChannelsLast] {
            for batched in [true, false] {
                if letters == &layout.letters(rank, batched) {
                    ensure!(
                        input_shape.len() == letters.len(),
                        "input has shape {input_shape:?}, expected {} axes as input_layout {letters:?} says",
                        letters.len()
                    );
                    return Ok(layout);
                }
            }
        }
        let (first, last) = (Layout::ChannelsFirst.letters(rank, true), Layout::ChannelsLast.letters(rank, true));
        bail!(
            "input_layout {letters:?} does not go with a weight of {rank} spatial axes, expected {first:?} or {last:?}"
        )
    }

    fn weight_layout(&self, rank: usize) -> Result<WeightLayout> {
        let all = [WeightLayout::Iohw, WeightLayout::Hwoi, WeightLayout::Ohwi, WeightLayout::Oihw];
        let Some(letters) = &self.filter_layout else { return Ok(WeightLayout::Iohw) };
        let letters = &letters.to_ascii_lowercase();
        all.into_iter().find(|layout| letters == &layout.letters(rank)).with_context(|| {
            let known = all.map(|layout| layout.letters(rank)).join(", ");
            format!(
                "filter_layout {letters:?} does not go with a weight of {rank} spatial axes, expected one of {known}"
            )
        })
    }
}

impl JsonActivation {
    fn resolve(&self) -> Result<Activation> {
        let (alpha, beta) = (self.alpha, self.beta);
        Ok(match self.kind.as_str() {
            "none" | "linear" => Activation::None,
            "relu" => Activation::Relu,
            "relu6" => Activation::Clip { min: 0.0, max: 6.0 },
            "leaky_relu" => Activation::LeakyRelu { alpha: alpha.unwrap_or(0.01) },
            "prelu" => Activation::Prelu { slopes: self.slopes.clone().context("activation prelu needs \"slopes\"")? },
            "clip" => Activation::Clip { min: alpha.unwrap_or(f32::NEG_INFINITY), max: beta.unwrap_or(f32::INFINITY) },
            "sigmoid" => Activation::Sigmoid,
            "tanh" => Activation::Tanh,
            "hard_swish" => Activation::HardSwish { alpha: alpha.unwrap_or(1.0 / 6.0), beta: beta.unwrap_or(0.5) },
            "mish" => Activation::Mish,
            "gelu" => Activation::Gelu,
            other => bail!(
                "activation {other:?} is unknown, expected none, relu, relu6, leaky_relu, prelu, clip, sigmoid, tanh, \
                 hard_swish, mish or gelu"
            ),
        })
    }
}

fn natural(what: &str, value: i64, least: usize) -> Result<usize> {
    match usize::try_from(value) {
        Ok(value) if value >= least => Ok(value),
        _ => bail!("{what} is {value}, expected at least {least}"),
    }
}

fn naturals(what: &str, values: &[i64], least: usize) -> Result<Vec<usize>> {
    values.iter().enumerate().map(|(axis, &value)| natural(&format!("{what}[{axis}]"), value, least)).collect()
}

/// The text with the numbers that Python writes and JSON does not have: NaN as null, infinities as numbers beyond f32.
fn python_numbers(text: &str) -> String {
    let mut json = String::with_capacity(text.len());
    let (mut rest, mut in_string) = (text, false);
    while let Some(first) = rest.chars().next() {
        let replaced =
            [("NaN", "null"), ("Infinity", "1e308")].into_iter().find(|(word, _)| !in_string && rest.starts_with(word));
        if let Some((word, number)) = replaced {
            json.push_str(number);
            rest = &rest[word.len()..];
            continue;
        }
        json.push(first);
        rest = &rest[first.len_utf8()..];
        if first == '\\' && in_string {
            let Some(escaped) = rest.chars().next() else { break };
            json.push(escaped);
            rest = &rest[escaped.len_utf8()..];
        }
        in_string ^= first == '"';
    }
    json
}

fn pair(pad: &[i64]) -> Result<(i64, i64)> {
    match *pad {
        [begin, end] => {
            ensure!(begin >= 0 && end >= 0, "pads {pad:?} are negative, expected at least 0");
            Ok((begin, end))
        }
        _ => bail!("pads {pad:?} have {} values, expected [begin, end]", pad.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(text: &str) -> String {
        let resolve = |text| OpJson::parse(text)?.resolve(&[1, 1, 4, 4], &[1, 1, 3, 3], OutputPaddingPolicy::Strict);
        format!("{:#}", resolve(text).unwrap_err())
    }

    #[test]
    fn what_is_missing_has_its_default() {
        let op = OpJson::parse("{}").unwrap().resolve(&[4, 5], &[4, 6, 3], OutputPaddingPolicy::Strict).unwrap();
        assert_eq!((op.in_channels(), op.out_channels(), op.rank()), (4, 6, 1));
        assert_eq!(op.at(&[4, 5]).unwrap().output_shape(), [6, 7]);
    }

    #[test]
    fn keys_of_other_tools_are_refused_and_notes_are_ignored() {
        assert_eq!(refusal(r#"{"stride": [2, 2]}"#), "unknown key \"stride\", expected \"strides\"");
        assert!(OpJson::parse(r#"{"notes": "mine"}"#).is_ok());
    }

    #[test]
    fn what_other_writers_write_is_read() {
        let text = "\u{feff}{\"notes\": \"a \\\"NaN\\\" stays\", \"tolerance\": NaN, \"auto_pad\": null, \"input_layout\": \"NCHW\",
            \"activation\": {\"type\": \"clip\", \"alpha\": -Infinity, \"beta\": Infinity}}";
        let json = OpJson::parse(text).unwrap();
        let op = json.resolve(&[1, 1, 4, 4], &[1, 1, 3, 3], OutputPaddingPolicy::Strict).unwrap();
        assert_eq!(op.activation(), &Activation::Clip { min: f32::NEG_INFINITY, max: f32::INFINITY });
        assert_eq!(python_numbers(r#"{"a": "NaN \" NaN", "b": NaN}"#), r#"{"a": "NaN \" NaN", "b": null}"#);
        let upper = OpJson::parse(r#"{"auto_pad": "SAME_UPPER", "strides": [2, 2]}"#).unwrap();
        let op = upper.resolve(&[1, 1, 4, 4], &[1, 1, 3, 3], OutputPaddingPolicy::Strict).unwrap();
        assert_eq!(op.at(&[1, 1, 4, 4]).unwrap().output_shape(), [1, 1, 8, 8]);
    }

    #[test]
    fn an_output_padding_that_the_rule_ignores_is_not_checked() {
        let text =
            r#"{"strides": [2, 2], "output_padding": [2, 2], "output_shape": [9, 9], "output_shape_rule": "webnn"}"#;
        let json = OpJson::parse(text).unwrap();
        let op = json.resolve(&[1, 1, 4, 4], &[1, 1, 3, 3], OutputPaddingPolicy::Strict).unwrap();
        assert_eq!(op.at(&[1, 1, 4, 4]).unwrap().output_shape(), [1, 1, 9, 9]);
    }

    #[test]
    fn values_are_refused_with_their_numbers() {
        assert_eq!(refusal(r#"{"strides": [2, -1]}"#), "strides[1] is -1, expected at least 1");
        assert_eq!(refusal(r#"{"strides": [2, 0]}"#), "strides[1] is 0, expected at least 1");
        assert_eq!(refusal(r#"{"groups": 0}"#), "groups is 0, expected at least 1");
        assert_eq!(
            refusal(r#"{"op": "conv_transpose1d"}"#),
            "op is \"conv_transpose1d\", expected \"conv_transpose2d\" for a weight of 2 spatial axes"
        );
        assert_eq!(refusal(r#"{"dims": 3}"#), "dims is 3, but the weight has 2 spatial axes");
        assert!(refusal(r#"{"auto_pad": "same"}"#).starts_with("auto_pad is \"same\", expected"));
        assert!(refusal(r#"{"pads": [1, 1]}"#).starts_with("pads[0]: invalid type: integer `1`"));
        assert_eq!(refusal(r#"{"pads": [[0, 0], [0]]}"#), "pads [0] have 1 values, expected [begin, end]");
        assert_eq!(refusal(r#"{"pads": [[-1, 0], [0, 0]]}"#), "pads [-1, 0] are negative, expected at least 0");
        assert_eq!(
            refusal(r#"{"input_layout": "nhw"}"#),
            "input_layout \"nhw\" does not go with a weight of 2 spatial axes, expected \"nchw\" or \"nhwc\""
        );
        assert_eq!(
            refusal(r#"{"input_layout": "chw"}"#),
            "input has shape [1, 1, 4, 4], expected 3 axes as input_layout \"chw\" says"
        );
        assert!(refusal(r#"{"filter_layout": "hwio"}"#).contains("expected one of iohw, hwoi, ohwi, oihw"));
        assert!(refusal(r#"{"activation": {"type": "swish"}}"#).starts_with("activation \"swish\" is unknown"));
        assert!(refusal(r#"{"activation": {"type": "clip", "alpha": 2, "beta": 1}}"#).contains("min 2 and max 1"));
        assert!(refusal("[1]").contains("must be a JSON object"));
        assert!(refusal("{").contains("not valid JSON"));
        assert!(refusal(r#"{"groups": 3}"#).contains("groups 3 must divide in_channels 1"));
    }
}
