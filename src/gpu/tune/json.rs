//! A tuning as JSON: `{"upconv": "tuning", "version": 1, "choices": [{"adapter": …, "layer": …, "candidate": …,
//! "milliseconds": …}]}`.

use super::choices::{Choice, Subject, Tuning};
use crate::describe::json::{Strict, Unique, read};
use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};

/// The version of the format.
const VERSION: u64 = 1;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    upconv: What,
    version: u64,
    choices: Vec<Strict<Line>>,
}

/// What kind of file it is.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum What {
    Tuning,
}

/// One choice, with what it is for.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    adapter: String,
    layer: String,
    candidate: String,
    milliseconds: f64,
}

impl Tuning {
    /// Reads what [`to_json`](Self::to_json) wrote. Choices for other adapters are kept; those of another version of
    /// this library are not used where it has no such candidate.
    ///
    /// # Errors
    /// [`Error::Tuning`] for anything else.
    pub fn from_json(text: &str) -> Result<Self> {
        let unsound = |problem: String| Error::Tuning { problem };
        let File { version, choices, .. } = Unique::parse(text).and_then(read).map_err(unsound)?;
        if version != VERSION {
            return Err(unsound(format!("version is {version}, expected {VERSION}")));
        }
        let entry = |(index, Strict(line)): (usize, Strict<Line>)| {
            let Line { adapter, layer, candidate, milliseconds } = line;
            if milliseconds.is_finite() && milliseconds >= 0.0 {
                return Ok((Subject { adapter, layer }, Choice { candidate, milliseconds }));
            }
            Err(unsound(format!("choices[{index}].milliseconds is {milliseconds}, expected at least 0")))
        };
        Ok(Self { choices: choices.into_iter().enumerate().map(entry).collect::<Result<_>>()? })
    }

    /// All choices, in the order of adapters and layers.
    pub fn to_json(&self) -> String {
        let line = |(subject, choice): (&Subject, &Choice)| {
            Strict(Line {
                adapter: subject.adapter.clone(),
                layer: subject.layer.clone(),
                candidate: choice.candidate.clone(),
                milliseconds: choice.milliseconds,
            })
        };
        let file = File { upconv: What::Tuning, version: VERSION, choices: self.choices.iter().map(line).collect() };
        // Texts and numbers: what derives write of them cannot fail.
        serde_json::to_value(file).map(|file| format!("{file:#}\n")).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let subject = |layer: &str| Subject { adapter: "A \"b\"".into(), layer: layer.into() };
        let choice = |candidate: &str| Choice { candidate: candidate.into(), milliseconds: 0.1 };
        let choices = [(subject("y"), choice("gather")), (subject("x"), choice("direct"))].into();
        let tuning = Tuning { choices };
        assert_eq!(Tuning::from_json(&tuning.to_json()).unwrap(), tuning);
        assert_eq!(Tuning::from_json(&Tuning::default().to_json()).unwrap(), Tuning::default());
    }

    #[test]
    fn what_is_damaged_or_foreign_is_refused() {
        let good = r#"{"upconv": "tuning", "version": 1, "choices": [{"adapter": "a", "layer": "l", "candidate": "c", "milliseconds": 1}]}"#;
        assert_eq!(Tuning::from_json(good).unwrap().len(), 1);
        for (from, to, problem) in [
            ("}]}", "", "tuning: not valid JSON: EOF"),
            ("\"tuning\"", "\"x\"", "tuning: upconv: unknown variant `x`, expected `tuning`"),
            ("1, \"ch", "2, \"ch", "tuning: version is 2, expected 1"),
            ("choices", "choice", "tuning: unknown key \"choice\", expected \"choices\""),
            (
                "\"choices\": [",
                "\"choices\": 3, \"x\": [",
                "tuning: unknown key \"x\", expected one of upconv, version",
            ),
            ("layer", "layers", "tuning: choices[0]: unknown key \"layers\", expected \"layer\""),
            ("\"layer\": \"l\", ", "", "tuning: choices[0]: missing field `layer`"),
            ("\"layer\"", "\"layer\": \"k\", \"layer\"", "tuning: not valid JSON: the key \"layer\" stands twice"),
            (
                "\"milliseconds\": 1",
                "\"milliseconds\": \"1\"",
                "tuning: choices[0]: milliseconds: invalid type: string",
            ),
            ("\"milliseconds\": 1", "\"milliseconds\": -1", "tuning: choices[0].milliseconds is -1, expected"),
        ] {
            let text = good.replace(from, to);
            assert_ne!(text, good);
            let error = Tuning::from_json(&text).unwrap_err().to_string();
            assert!(error.starts_with(problem), "{error}");
        }
        for text in ["", "[]", "null", "\"tuning\"", "{\"upconv\": 3}"] {
            assert!(matches!(Tuning::from_json(text), Err(Error::Tuning { .. })), "{text}");
        }
    }
}
