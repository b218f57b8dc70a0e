//! The names that frameworks give to what a description says, and which of it each of them has.

use super::json::{nearest, quoted};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The key that names the framework.
pub(super) const CONVENTION: &str = "convention";

/// Whose rules place the output, and whose names its keys may have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Framework {
    /// None is named: all rules that `auto_pad` and `output_shape_rule` can say.
    #[default]
    #[serde(skip)]
    Unnamed,
    Explicit,
    PyTorch,
    Onnx,
    WebNn,
    TensorFlow,
    Keras,
    Jax,
    MxNet,
}

/// What any description may say.
const COMMON: [&str; 14] = [
    CONVENTION,
    "strides",
    "dilations",
    "groups",
    "kernel_shape",
    "input_layout",
    "filter_layout",
    "activation",
    "pre_activation",
    "accuracy",
    "bias",
    "op",
    "dims",
    "w_shape",
];

/// What says nothing of the operation: notes, and what a test suite records beside it.
const NOTES: [&str; 25] = [
    "schema",
    "suite",
    "name",
    "notes",
    "source",
    "tags",
    "dtype",
    "expect",
    "error_text",
    "error_kind",
    "error_agreed",
    "resolved",
    "rtol",
    "atol",
    "grad_tol",
    "verified",
    "ref_max_abs_err",
    "y_from",
    "disagree_note",
    "b_shape",
    "y_shape",
    "dx_shape",
    "dw_shape",
    "db_shape",
    "dy_shape",
];

/// Further words for keys of ours.
const SYNONYMS: [(&str, &str); 14] = [
    ("paddings", "pads"),
    ("output_paddings", "output_padding"),
    ("output_sizes", "output_shape"),
    ("weight_layout", "filter_layout"),
    ("kernel_layout", "filter_layout"),
    ("dimension_numbers", "input_layout"),
    ("activations", "activation"),
    ("framework", CONVENTION),
    ("flip_kernel", "transpose_kernel"),
    ("no_bias", "bias"),
    ("in_channels", "w_shape"),
    ("out_channels", "w_shape"),
    ("filters", "w_shape"),
    ("num_filter", "w_shape"),
];

impl Framework {
    const NAMED: [Self; 8] =
        [Self::Explicit, Self::PyTorch, Self::Onnx, Self::WebNn, Self::TensorFlow, Self::Keras, Self::Jax, Self::MxNet];

    fn name(self) -> &'static str {
        match self {
            Self::Unnamed => "none",
            Self::Explicit => "explicit",
            Self::PyTorch => "pytorch",
            Self::Onnx => "onnx",
            Self::WebNn => "webnn",
            Self::TensorFlow => "tensorflow",
            Self::Keras => "keras",
            Self::Jax => "jax",
            Self::MxNet => "mxnet",
        }
    }

    /// The keys that place its output.
    fn placing(self) -> &'static [&'static str] {
        match self {
            Self::Unnamed => &["pads", "output_padding", "auto_pad", "output_shape", "output_shape_rule"],
            Self::Explicit => &["pads", "output_padding"],
            Self::PyTorch | Self::WebNn | Self::MxNet => &["pads", "output_padding", "output_shape"],
            Self::Onnx => &["pads", "output_padding", "auto_pad", "output_shape"],
            Self::TensorFlow => &["padding", "output_shape"],
            Self::Keras => &["padding", "output_padding"],
            Self::Jax => &["padding", "transpose_kernel"],
        }
    }

    /// Its own names, each with the key of ours that it is.
    fn names(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Unnamed | Self::Explicit => &[],
            Self::PyTorch => &[
                ("stride", "strides"),
                ("padding", "pads"),
                ("dilation", "dilations"),
                ("output_size", "output_shape"),
                ("kernel_size", "kernel_shape"),
            ],
            Self::Onnx => &[("group", "groups")],
            Self::WebNn => &[
                ("padding", "pads"),
                ("outputPadding", "output_padding"),
                ("outputSizes", "output_shape"),
                ("inputLayout", "input_layout"),
                ("filterLayout", "filter_layout"),
            ],
            Self::TensorFlow => &[("data_format", "input_layout")],
            Self::Keras => &[
                ("dilation_rate", "dilations"),
                ("kernel_size", "kernel_shape"),
                ("data_format", "input_layout"),
                ("use_bias", "bias"),
            ],
            Self::Jax => &[("rhs_dilation", "dilations")],
            Self::MxNet => &[
                ("kernel", "kernel_shape"),
                ("stride", "strides"),
                ("pad", "pads"),
                ("dilate", "dilations"),
                ("adj", "output_padding"),
                ("target_shape", "output_shape"),
                ("num_group", "groups"),
                ("layout", "input_layout"),
            ],
        }
    }

    /// The key of ours that this one is.
    fn ours(self, key: &str) -> Option<&str> {
        let own = self.names().iter().find(|(name, _)| *name == key).map(|&(_, ours)| ours);
        let known = |keys: &[&str]| keys.contains(&key);
        own.or_else(|| (known(&COMMON) || key == "x_shape" || known(self.placing())).then_some(key))
    }

    /// Why this key is none of a description of this framework.
    fn refusal(self, key: &str) -> String {
        let others: Vec<Self> = Self::NAMED.into_iter().filter(|other| other.ours(key).is_some()).collect();
        let named = |framework: &Self| format!("{:?}", framework.name());
        let takers = others.iter().map(named).collect::<Vec<_>>().join(" or ");
        // What it would be under its own framework, if that is a key here.
        let here = others.iter().filter_map(|other| other.ours(key)).find(|ours| self.ours(ours).is_some());
        let synonym = SYNONYMS.iter().find(|(name, _)| *name == key).map(|&(_, ours)| ours);
        let all: Vec<&str> = COMMON.iter().chain(self.placing()).copied().chain(["x_shape"]).collect();
        let meant = here.or(synonym).or_else(|| nearest(key, &all));
        let mut refusal = match self {
            Self::Unnamed => format!("unknown key {}", quoted(key)),
            _ => format!("unknown key {} in convention {:?}", quoted(key), self.name()),
        };
        if let Some(meant) = meant {
            refusal += &format!(", expected {meant:?}");
        }
        match (takers.is_empty(), meant) {
            (false, _) => refusal += &format!("; \"convention\": {takers} has this key"),
            (true, None) => refusal += &format!(", expected one of {}", all.join(", ")),
            (true, Some("transpose_kernel")) => refusal += ", its opposite, in \"convention\": \"jax\"",
            (true, Some(_)) => {}
        }
        refusal
    }
}

/// A description with our names for its keys.
///
/// Notes are left out. A test suite's record with the key `schema` may have further ones, unless they look like a key of
/// a description.
pub(super) fn translate(given: Map<String, Value>) -> Result<Map<String, Value>, String> {
    let framework = match given.get(CONVENTION) {
        None | Some(Value::Null) => Framework::Unnamed,
        Some(name) => super::json::read_any(name.clone()).map_err(|error| format!("{CONVENTION}: {error}"))?,
    };
    let record = given.contains_key("schema");
    let mut ours = Map::new();
    for (key, value) in given {
        if NOTES.contains(&key.as_str()) || record && is_suites_own(&key) {
            continue;
        }
        let Some(name) = framework.ours(&key) else { return Err(framework.refusal(&key)) };
        if ours.insert(name.to_owned(), value).is_some() {
            return Err(format!("{key:?} and {name:?} say the same twice"));
        }
    }
    Ok(ours)
}

/// Whether a key is like none that any description has.
fn is_suites_own(key: &str) -> bool {
    let everything = Framework::NAMED.into_iter().chain([Framework::Unnamed]).flat_map(|framework| {
        framework.placing().iter().copied().chain(framework.names().iter().map(|&(name, _)| name))
    });
    let known: Vec<&str> = everything.chain(COMMON).chain(["x_shape"]).chain(SYNONYMS.map(|(name, _)| name)).collect();
    nearest(key, &known).is_none()
}
