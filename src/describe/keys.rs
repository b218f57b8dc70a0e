//! The keys of a description, and what they mean together with a weight's shape.

use super::framework::{Framework, translate};
use super::json::{OneOrMany, natural, quoted, read, told};
use crate::accuracy::Accuracy;
use crate::activation::Activation;
use crate::convention::{AutoPad, Convention, Padding};
use crate::layout::{Layout, WeightLayout};
use crate::op::{Axis, Builder, ConvTranspose};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

/// What is wrong is said in words.
type Told<T> = Result<T, String>;

/// One number for all spatial axes, or one for each.
type PerAxis = OneOrMany<i64>;

/// What is cropped off both ends of each axis, or added to them: pairs, or as a framework has it.
type Ends = OneOrMany<PerAxis>;

/// The keys, under our names.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Keys {
    convention: Option<Framework>,
    strides: Option<PerAxis>,
    dilations: Option<PerAxis>,
    pads: Option<Ends>,
    padding: Option<Around>,
    output_padding: Option<PerAxis>,
    auto_pad: Option<String>,
    output_shape: Option<PerAxis>,
    output_shape_rule: Option<ShapeRule>,
    pub(super) transpose_kernel: Option<bool>,
    groups: Option<i64>,
    kernel_shape: Option<PerAxis>,
    input_layout: Option<String>,
    filter_layout: Option<String>,
    activation: Option<Activation>,
    pre_activation: Option<Activation>,
    accuracy: Option<String>,
    pub(super) bias: Option<bool>,
    op: Option<String>,
    dims: Option<usize>,
    pub(super) x_shape: Option<Vec<usize>>,
    pub(super) w_shape: Option<Vec<usize>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum ShapeRule {
    Onnx,
    Webnn,
    Tf,
}

/// The argument `padding` of TensorFlow, Keras and JAX.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
enum Around {
    Word(String),
    Ends(Ends),
}

impl<'de> Deserialize<'de> for Around {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Value::deserialize(deserializer)? {
            Value::String(word) => Ok(Self::Word(word)),
            other => Ends::deserialize(other).map(Self::Ends).map_err(D::Error::custom),
        }
    }
}

impl Keys {
    pub(super) fn read(value: Value) -> Told<Self> {
        let Value::Object(map) = value else { return Err(format!("expected a JSON object, got {}", kind(&value))) };
        read(Value::Object(translate(map)?))
    }

    pub(super) fn framework(&self) -> Framework {
        self.convention.unwrap_or_default()
    }

    /// The builder for a weight of this shape, without the policy of its output padding, and the rank.
    pub(super) fn builder(&self, weight_shape: &[usize], input_shape: Option<&[usize]>) -> Told<(usize, Builder)> {
        let Some(rank @ 1..=3) = weight_shape.len().checked_sub(2) else {
            return Err(format!(
                "weight has shape {weight_shape:?}, expected 3 to 5 axes: channels twice and 1 to 3 spatial ones"
            ));
        };
        self.check_rank(rank)?;
        let weight_layout = self.weight_layout(rank)?;
        let extent = |letter: char| weight_shape[weight_layout.letters(rank).find(letter).unwrap_or_default()];
        let kernel: Vec<usize> = "dhw"[3 - rank..].chars().map(extent).collect();
        let sizes = |what: &str, given: &Option<PerAxis>, least| sizes(what, given.as_ref(), Some(rank), least);
        if let Some(said) = sizes("kernel_shape", &self.kernel_shape, 1)?.filter(|said| *said != kernel) {
            return Err(format!(
                "kernel_shape is {}, but the weight's kernel is {kernel:?}",
                told(format_args!("{said:?}"))
            ));
        }
        let groups = natural("groups", self.groups.unwrap_or(1), 1)?;
        let out_channels = extent('o')
            .checked_mul(groups)
            .ok_or_else(|| format!("{} output channels for each of {groups} groups overflow", extent('o')))?;
        let mut builder = ConvTranspose::builder()
            .in_channels(extent('i'))
            .out_channels(out_channels)
            .groups(groups)
            .kernel(kernel)
            .layout(self.layout(rank, input_shape)?)
            .weight_layout(weight_layout)
            .activation(self.activation.clone().unwrap_or_default())
            .pre_activation(self.pre_activation.clone().unwrap_or_default())
            .accuracy(self.accuracy()?);
        if let Some(strides) = sizes("strides", &self.strides, 1)? {
            builder = builder.stride(strides);
        }
        if let Some(dilations) = sizes("dilations", &self.dilations, 1)? {
            builder = builder.dilation(dilations);
        }
        if takes_output_padding(&self.convention(Some(rank))?)
            && let Some(output_padding) = sizes("output_padding", &self.output_padding, 0)?
        {
            builder = builder.output_padding(output_padding);
        }
        if let Some(pads) = self.ends(rank)? {
            builder = builder.padding(pads);
        }
        Ok((rank, builder))
    }

    /// The convention; without a rank, one number cannot stand for all axes.
    pub(super) fn convention(&self, rank: Option<usize>) -> Told<Convention> {
        let shape = || sizes("output_shape", self.output_shape.as_ref(), rank, 0);
        Ok(match self.framework() {
            Framework::Unnamed => self.by_rule(shape()?)?,
            Framework::Explicit => Convention::Explicit,
            Framework::PyTorch | Framework::WebNn => shape()?.map_or(Convention::Explicit, Convention::OutputSize),
            Framework::Onnx => Convention::Onnx { auto_pad: self.auto_pad()?, output_shape: shape()? },
            Framework::TensorFlow => {
                Convention::TensorFlow { padding: self.same_or_valid(Padding::Same)?, output_shape: shape()? }
            }
            Framework::Keras => {
                let padding = self.same_or_valid(Padding::Valid)?;
                match sizes("output_padding", self.output_padding.as_ref(), rank, 0)? {
                    None => Convention::TensorFlow { padding, output_shape: None },
                    Some(output_padding) => Convention::Keras { padding, output_padding },
                }
            }
            Framework::Jax => match &self.padding {
                Some(Around::Ends(OneOrMany::Many(ends))) => {
                    Convention::Jax { padding: ends.iter().map(|end| pair("padding", end)).collect::<Told<_>>()? }
                }
                Some(Around::Word(_)) => {
                    Convention::TensorFlow { padding: self.same_or_valid(Padding::Valid)?, output_shape: None }
                }
                _ => return Err("padding must be \"same\", \"valid\" or [begin, end] for each axis".into()),
            },
            Framework::MxNet => {
                shape()?.map_or(Convention::Explicit, |target_shape| Convention::MxNet { target_shape })
            }
        })
    }

    /// What `auto_pad`, `output_shape` and `output_shape_rule` say where no framework is named.
    fn by_rule(&self, shape: Option<Vec<usize>>) -> Told<Convention> {
        let auto_pad = self.auto_pad()?;
        let default = if auto_pad == AutoPad::NotSet { ShapeRule::Webnn } else { ShapeRule::Onnx };
        Ok(match (self.output_shape_rule.unwrap_or(default), auto_pad, shape) {
            (ShapeRule::Webnn | ShapeRule::Tf, AutoPad::NotSet, None) => Convention::Explicit,
            (ShapeRule::Webnn | ShapeRule::Tf, AutoPad::NotSet, Some(shape)) => Convention::OutputSize(shape),
            (ShapeRule::Webnn | ShapeRule::Onnx, auto_pad, output_shape) => Convention::Onnx { auto_pad, output_shape },
            (ShapeRule::Tf, AutoPad::SameUpper, output_shape) => {
                Convention::TensorFlow { padding: Padding::Same, output_shape }
            }
            (ShapeRule::Tf, AutoPad::Valid, output_shape) => {
                Convention::TensorFlow { padding: Padding::Valid, output_shape }
            }
            (ShapeRule::Tf, AutoPad::SameLower, _) => {
                return Err(
                    "auto_pad \"same_lower\" is unknown to output_shape_rule \"tf\", expected \"same_upper\" or \"valid\""
                        .into(),
                );
            }
        })
    }

    fn auto_pad(&self) -> Told<AutoPad> {
        match self.auto_pad.as_deref().unwrap_or("explicit").to_ascii_lowercase().as_str() {
            "explicit" | "notset" => Ok(AutoPad::NotSet),
            "same_upper" => Ok(AutoPad::SameUpper),
            "same_lower" => Ok(AutoPad::SameLower),
            "valid" => Ok(AutoPad::Valid),
            other => Err(format!(
                "auto_pad is {}, expected \"explicit\", \"same_upper\", \"same_lower\" or \"valid\"",
                quoted(other)
            )),
        }
    }

    fn same_or_valid(&self, missing: Padding) -> Told<Padding> {
        let word = match &self.padding {
            None => return Ok(missing),
            Some(Around::Word(word)) => word.to_ascii_lowercase(),
            Some(Around::Ends(_)) => return Err("padding is no word, expected \"same\" or \"valid\"".into()),
        };
        match word.as_str() {
            "same" => Ok(Padding::Same),
            "valid" => Ok(Padding::Valid),
            other => Err(format!("padding is {}, expected \"same\" or \"valid\"", quoted(other))),
        }
    }

    /// What is cropped off the ends of each axis.
    pub(super) fn ends(&self, rank: usize) -> Told<Option<Vec<(i64, i64)>>> {
        let framework = self.framework();
        let both = matches!(framework, Framework::PyTorch | Framework::MxNet);
        let list = match &self.pads {
            None => return Ok(None),
            Some(OneOrMany::One(end)) if both => return Ok(Some(vec![(*end, *end); rank])),
            Some(OneOrMany::One(end)) => return Err(format!("pads is {end}, expected [begin, end] for each axis")),
            Some(OneOrMany::Many(list)) => list,
        };
        let numbers = list.iter().map(|end| match end {
            OneOrMany::One(number) => Some(*number),
            OneOrMany::Many(_) => None,
        });
        let pads = match (framework, numbers.collect::<Option<Vec<_>>>()) {
            (_, Some(ends)) if both => ends.into_iter().map(|end| (end, end)).collect(),
            (Framework::Onnx, Some(ends)) if ends.len() == 2 * rank => {
                (0..rank).map(|axis| (ends[axis], ends[rank + axis])).collect()
            }
            (Framework::WebNn, Some(ends)) if ends.len() == 2 * rank => {
                ends.chunks_exact(2).map(|ends| (ends[0], ends[1])).collect()
            }
            _ => list.iter().map(|end| pair("pads", end)).collect::<Told<_>>()?,
        };
        Ok(Some(pads))
    }

    /// Checks what the description says of its rank against the weight's.
    fn check_rank(&self, rank: usize) -> Told<()> {
        if let Some(dims) = self.dims.filter(|&dims| dims != rank) {
            return Err(format!("dims is {dims}, but the weight has {rank} spatial axes"));
        }
        let name = format!("conv_transpose{rank}d");
        match &self.op {
            Some(op) if op != &name => {
                Err(format!("op is {}, expected {name:?} for a weight of {rank} spatial axes", quoted(op)))
            }
            _ => Ok(()),
        }
    }

    fn accuracy(&self) -> Told<Accuracy> {
        let Some(name) = &self.accuracy else { return Ok(Accuracy::default()) };
        let named = Accuracy::named(&name.to_ascii_lowercase());
        named.map_err(|expected| format!("accuracy is {}, {expected}", quoted(name)))
    }

    fn layout(&self, rank: usize, input_shape: Option<&[usize]>) -> Told<Layout> {
        let Some(letters) = &self.input_layout else { return Ok(Layout::ChannelsFirst) };
        let letters = &letters.to_ascii_lowercase();
        for layout in [Layout::ChannelsFirst, Layout::ChannelsLast] {
            if letters == layout_name(layout) {
                return Ok(layout);
            }
            if [true, false].into_iter().any(|batched| *letters == layout.letters(rank, batched)) {
                return match input_shape.filter(|shape| shape.len() != letters.len()) {
                    None => Ok(layout),
                    Some(shape) => Err(format!(
                        "input has shape {shape:?}, expected {} axes as input_layout {letters:?} says",
                        letters.len()
                    )),
                };
            }
        }
        let (first, last) = (Layout::ChannelsFirst.letters(rank, true), Layout::ChannelsLast.letters(rank, true));
        Err(format!(
            "input_layout {} does not go with a weight of {rank} spatial axes, expected {first:?} or {last:?}",
            quoted(letters)
        ))
    }

    fn weight_layout(&self, rank: usize) -> Told<WeightLayout> {
        let all = WeightLayout::ALL;
        let Some(letters) = &self.filter_layout else { return Ok(WeightLayout::Iohw) };
        let letters = letters.to_ascii_lowercase();
        all.into_iter().find(|layout| letters == layout.letters(rank)).ok_or_else(|| {
            let known = all.map(|layout| layout.letters(rank)).join(", ");
            format!(
                "filter_layout {} does not go with a weight of {rank} spatial axes, expected one of {known}",
                quoted(&letters)
            )
        })
    }

    /// What describes an operation.
    pub(super) fn of(op: &ConvTranspose) -> Self {
        let axes = op.axes();
        let each =
            |value: fn(&Axis) -> usize| Some(OneOrMany::Many(axes.iter().map(|axis| value(axis) as i64).collect()));
        let ends = axes.iter().map(|axis| OneOrMany::Many(vec![axis.pad_begin, axis.pad_end]));
        Self {
            strides: each(|axis| axis.stride),
            dilations: each(|axis| axis.dilation),
            pads: Some(OneOrMany::Many(ends.collect())),
            output_padding: each(|axis| axis.output_padding),
            groups: Some(op.groups() as i64),
            input_layout: Some(layout_name(op.layout()).into()),
            filter_layout: Some(op.weight_layout().letters(op.rank())),
            activation: Some(op.activation().clone()).filter(|activation| *activation != Activation::None),
            pre_activation: Some(op.pre_activation().clone()).filter(|activation| *activation != Activation::None),
            accuracy: Some(op.accuracy()).filter(|&a| a != Accuracy::default()).map(|a| a.name().into()),
            w_shape: Some(op.weight_shape()),
            ..Self::default()
        }
    }

    /// What describes a convention.
    pub(super) fn placing(convention: &Convention) -> Self {
        let named = |framework| Self { convention: Some(framework), ..Self::default() };
        let list = |sizes: &[usize]| Some(OneOrMany::Many(sizes.iter().map(|&size| size as i64).collect()));
        let optional = |sizes: &Option<Vec<usize>>| sizes.as_deref().and_then(list);
        let word = |padding: &Padding| {
            let word = match padding {
                Padding::Same => "same",
                Padding::Valid => "valid",
            };
            Some(Around::Word(word.into()))
        };
        match convention {
            Convention::Explicit => named(Framework::Explicit),
            Convention::OutputSize(sizes) => Self { output_shape: list(sizes), ..named(Framework::PyTorch) },
            Convention::Onnx { auto_pad, output_shape } => {
                let auto_pad = match auto_pad {
                    AutoPad::NotSet => "notset",
                    AutoPad::SameUpper => "same_upper",
                    AutoPad::SameLower => "same_lower",
                    AutoPad::Valid => "valid",
                };
                let output_shape = optional(output_shape);
                Self { auto_pad: Some(auto_pad.into()), output_shape, ..named(Framework::Onnx) }
            }
            Convention::TensorFlow { padding, output_shape } => {
                let output_shape = optional(output_shape);
                Self { padding: word(padding), output_shape, ..named(Framework::TensorFlow) }
            }
            Convention::Keras { padding, output_padding } => {
                let output_padding = list(output_padding);
                Self { padding: word(padding), output_padding, ..named(Framework::Keras) }
            }
            Convention::Jax { padding } => {
                let ends = padding.iter().map(|&(begin, end)| OneOrMany::Many(vec![begin, end]));
                let padding = Some(Around::Ends(OneOrMany::Many(ends.collect())));
                Self { padding, ..named(Framework::Jax) }
            }
            Convention::MxNet { target_shape } => Self { output_shape: list(target_shape), ..named(Framework::MxNet) },
        }
    }

    /// What describes an operation under a convention, whose weight is as the operation has it.
    pub(super) fn of_placed(op: &ConvTranspose, convention: &Convention) -> Self {
        let (own, placed) = (Self::of(op), Self::placing(convention));
        let own_pads = matches!(convention, Convention::Explicit | Convention::Onnx { .. } | Convention::OutputSize(_));
        let own_output_padding = own.output_padding.filter(|_| takes_output_padding(convention));
        Self {
            convention: placed.convention,
            pads: own.pads.filter(|_| own_pads),
            padding: placed.padding,
            output_padding: placed.output_padding.or(own_output_padding),
            auto_pad: placed.auto_pad,
            output_shape: placed.output_shape,
            transpose_kernel: matches!(convention, Convention::Jax { .. }).then_some(true),
            ..own
        }
    }

    /// The convention, if nothing else is described.
    pub(super) fn only_convention(self) -> Told<Convention> {
        let convention = self.convention(None)?;
        let placed = Self::placing(&convention);
        let output_padding = placed.output_padding.is_none().then_some(self.output_padding).flatten();
        let rest = Self {
            convention: None,
            auto_pad: None,
            output_shape: None,
            output_shape_rule: None,
            padding: None,
            output_padding,
            ..self
        };
        if rest == Self::default() {
            return Ok(convention);
        }
        let more: Vec<String> = rest.object().map_or(Vec::new(), |rest| rest.into_iter().map(|(key, _)| key).collect());
        Err(format!("{} are of an operation, not of a convention", more.join(", ")))
    }

    /// As a JSON object, without what is missing.
    pub(super) fn object(&self) -> serde_json::Result<Map<String, Value>> {
        Ok(match serde_json::to_value(self)? {
            Value::Object(map) => map.into_iter().filter(|(_, value)| !value.is_null()).collect(),
            _ => Map::new(),
        })
    }
}

/// Whether the operation's own output padding counts.
fn takes_output_padding(convention: &Convention) -> bool {
    matches!(convention, Convention::Explicit | Convention::Onnx { .. })
}

fn layout_name(layout: Layout) -> &'static str {
    match layout {
        Layout::ChannelsFirst => "channels_first",
        Layout::ChannelsLast => "channels_last",
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a truth value",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// The sizes of the axes that a key gives.
fn sizes(what: &str, given: Option<&PerAxis>, rank: Option<usize>, least: usize) -> Told<Option<Vec<usize>>> {
    match (given, rank) {
        (None, _) => Ok(None),
        (Some(OneOrMany::One(size)), Some(rank)) => Ok(Some(vec![natural(what, *size, least)?; rank])),
        (Some(OneOrMany::One(size)), None) => Err(format!("{what} is {size}, expected a list")),
        (Some(OneOrMany::Many(list)), _) => {
            let each = list.iter().enumerate();
            each.map(|(axis, &size)| natural(&format!("{what}[{axis}]"), size, least)).collect::<Told<_>>().map(Some)
        }
    }
}

fn pair(what: &str, ends: &PerAxis) -> Told<(i64, i64)> {
    match ends {
        OneOrMany::Many(ends) => match ends[..] {
            [begin, end] => Ok((begin, end)),
            _ => {
                let given = told(format_args!("{ends:?}"));
                Err(format!("{what} {given} have {} values, expected [begin, end]", ends.len()))
            }
        },
        OneOrMany::One(end) => Err(format!("{what} has {end} for an axis, expected [begin, end]")),
    }
}
