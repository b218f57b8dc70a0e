//! OP.json: a file in the keys of [`upconv::describe`].

use crate::input::{self, MAX_TEXT};
use crate::originals;
use anyhow::{Context, Result};
use std::path::Path;
use upconv::describe::Operation;
use upconv::{ConvTranspose, OutputPaddingPolicy};

/// The keys, for `upconv help apply`.
pub(crate) const KEYS: &str = include_str!("op_json.txt");

/// Where other commands send those who look for the keys.
pub(crate) const KEYS_ARE_IN: &str = "`upconv help apply` lists the keys of OP.json.";

/// Reads a description.
pub(crate) fn read(path: &Path) -> Result<Operation> {
    originals::protect(path);
    Operation::from_json(&input::read_text(path, MAX_TEXT)?).with_context(|| input::shown(path))
}

/// The operation that a file, or a folder with `case.json`, describes at an input's and a weight's shape, and the
/// input's shape. Shapes that are not given must be in the file.
pub(crate) fn read_at(
    path: &Path,
    input_shape: Option<&[usize]>,
    weight_shape: Option<&[usize]>,
) -> Result<(ConvTranspose, Vec<usize>)> {
    let path = if path.is_dir() { path.join("case.json") } else { path.to_path_buf() };
    let described = read(&path)?;
    let input = input_shape.or_else(|| described.input_shape()).context("--input-shape is needed")?;
    let weight = weight_shape.or_else(|| described.weight_shape()).context("--weight-shape is needed")?;
    let op = described.resolve(input, weight, OutputPaddingPolicy::Strict)?;
    op.check_parameters(weight, None)?;
    Ok((op, input.to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::fs;

    /// What is between backticks.
    fn quoted(text: &str) -> impl Iterator<Item = String> {
        text.split('`').skip(1).step_by(2).map(str::to_string)
    }

    #[test]
    fn the_help_has_the_keys_that_the_library_documents() {
        let documented = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../src/describe/mod.rs")).unwrap();
        let (_, documented) = documented.split_once("//! # Keys").unwrap();
        let (keys, conventions) = documented.split_once("//! # Conventions").unwrap();
        let (conventions, _) = conventions.split_once("//! # Activations").unwrap();
        let rows = |start: &str, table: &str| -> Vec<String> {
            table.lines().filter_map(|line| line.strip_prefix(start)).map(str::to_string).collect()
        };
        let mut names = BTreeSet::new();
        for row in rows("//! | ", keys).iter().filter(|row| !row.starts_with("`name`")) {
            names.extend(quoted(row.split('|').next().unwrap()));
        }
        for row in rows("//! | `", conventions) {
            let [_, placing, others, ..] = row.split('|').collect::<Vec<_>>()[..] else { panic!("{row}") };
            let is_word = |name: &String| name.chars().all(|c| c.is_alphanumeric() || c == '_');
            names.extend(quoted(placing).chain(quoted(others)).filter(is_word));
        }
        assert!(names.len() > 35, "{names:?}");
        let words: BTreeSet<&str> = KEYS.split(|c: char| !c.is_alphanumeric() && c != '_').collect();
        let missing: Vec<&String> = names.iter().filter(|name| !words.contains(name.as_str())).collect();
        assert!(missing.is_empty(), "the help lacks {missing:?}");
    }

    #[test]
    fn the_examples_of_the_help_are_read() {
        let examples: Vec<&str> = KEYS.lines().map(str::trim).filter(|line| line.starts_with('{')).collect();
        assert_eq!(examples.len(), 2);
        for example in examples {
            Operation::from_json(example).unwrap();
        }
    }
}
