//! A tuning as JSON: `{"upconv": "tuning", "version": 1, "choices": [{"adapter": …, "layer": …, "candidate": …,
//! "milliseconds": …}]}`.

use super::choices::{Choice, Subject, Tuning};
use crate::error::{Error, Result};
use serde_json::{Value, json};

/// The version of the format.
const VERSION: u64 = 1;

impl Tuning {
    /// Reads what [`to_json`](Self::to_json) wrote. Choices for other adapters are kept; those of another version of
    /// this library are not used where it has no such candidate.
    ///
    /// # Errors
    /// [`Error::Tuning`] for anything else.
    pub fn from_json(text: &str) -> Result<Self> {
        let unsound = |problem: String| Error::Tuning { problem };
        let file: Value = serde_json::from_str(text).map_err(|error| unsound(format!("no JSON: {error}")))?;
        if file["upconv"] != "tuning" {
            return Err(unsound("its key \"upconv\" is not \"tuning\"".into()));
        }
        if file["version"] != VERSION {
            return Err(unsound(format!("its version is {}, expected {VERSION}", file["version"])));
        }
        let choices = file["choices"].as_array().ok_or_else(|| unsound("its \"choices\" are no list".into()))?;
        let read = |(index, choice): (usize, &Value)| {
            let text = |key: &str| match choice[key].as_str() {
                Some(text) => Ok(text.to_string()),
                None => Err(unsound(format!("choice {index} has no text {key:?}"))),
            };
            let milliseconds = choice["milliseconds"].as_f64().filter(|time| time.is_finite() && *time >= 0.0);
            let milliseconds =
                milliseconds.ok_or_else(|| unsound(format!("choice {index} has no number \"milliseconds\"")))?;
            let subject = Subject { adapter: text("adapter")?, layer: text("layer")? };
            Ok((subject, Choice { candidate: text("candidate")?, milliseconds }))
        };
        Ok(Self { choices: choices.iter().enumerate().map(read).collect::<Result<_>>()? })
    }

    /// All choices, in the order of adapters and layers.
    pub fn to_json(&self) -> String {
        let choice = |(subject, choice): (&Subject, &Choice)| {
            json!({
                "adapter": subject.adapter,
                "layer": subject.layer,
                "candidate": choice.candidate,
                "milliseconds": choice.milliseconds,
            })
        };
        let choices: Vec<Value> = self.choices.iter().map(choice).collect();
        format!("{:#}\n", json!({ "upconv": "tuning", "version": VERSION, "choices": choices }))
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
            ("}]}", "", "tuning: no JSON: EOF"),
            ("\"tuning\"", "\"x\"", "tuning: its key \"upconv\" is not \"tuning\""),
            ("1, \"ch", "2, \"ch", "tuning: its version is 2, expected 1"),
            ("choices", "choice", "tuning: its \"choices\" are no list"),
            ("layer", "layers", "tuning: choice 0 has no text \"layer\""),
            ("\"milliseconds\": 1", "\"milliseconds\": \"1\"", "tuning: choice 0 has no number \"milliseconds\""),
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
