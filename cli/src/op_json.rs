//! OP.json: a file in the keys of [`upconv::describe`].

use crate::input::{self, MAX_TEXT};
use crate::originals;
use anyhow::{Context, Result};
use std::path::Path;
use upconv::describe::Operation;
use upconv::{ConvTranspose, OutputPaddingPolicy};

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
