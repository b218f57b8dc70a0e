//! Which layers `bench` and `tune` measure: those of the table, or one of the user's own.

use super::workloads::{self, Workload};
use crate::op_json;
use anyhow::Result;
use std::path::PathBuf;
use upconv::Accuracy;

/// The options that name layers.
#[derive(clap::Args)]
pub(crate) struct LayerArgs {
    /// A layer of your own: a JSON file, or a folder with `case.json`.
    #[arg(value_name = "OP.json", conflicts_with = "workloads")]
    op: Option<PathBuf>,
    /// The input's shape, as N,C,H,W in the order of its layout.
    #[arg(long, value_name = "N,C,H,W", value_delimiter = ',', requires = "op")]
    input_shape: Option<Vec<usize>>,
    /// The weight's shape, in the order of its layout.
    #[arg(long, value_name = "I,O,H,W", value_delimiter = ',', requires = "op")]
    weight_shape: Option<Vec<usize>>,
    /// Store its input and output as f16.
    #[arg(long, requires = "op")]
    f16: bool,
    /// Layers of well-known networks, by these names (case-insensitive); `bench` without any layer times most of them.
    #[arg(long, value_name = "W1,W3,...", value_delimiter = ',')]
    workloads: Vec<String>,
    /// How exact the results have to be: `elementwise`, `normwise`, which allows Winograd's transforms, or `half`, which
    /// allows products of f16 too; by default as OP.json says, or else elementwise.
    #[arg(long, value_name = "ACCURACY", value_parser = Accuracy::named)]
    accuracy: Option<Accuracy>,
}

impl LayerArgs {
    /// Whether any layer is named.
    pub(crate) fn are_given(&self) -> bool {
        self.op.is_some() || !self.workloads.is_empty()
    }

    /// The layers; without names those of the table that do not run only by name.
    pub(crate) fn workloads(&self) -> Result<Vec<Workload>> {
        let mut workloads = self.named()?;
        if let Some(accuracy) = self.accuracy {
            for workload in &mut workloads {
                workload.op = workload.op.to_builder().accuracy(accuracy).build()?;
                workload.title = format!("{}, {accuracy}", workload.title);
            }
        }
        Ok(workloads)
    }

    fn named(&self) -> Result<Vec<Workload>> {
        let Some(path) = &self.op else { return workloads::select(&self.workloads) };
        let (op, input) = op_json::read_at(path, self.input_shape.as_deref(), self.weight_shape.as_deref())?;
        let name = path.file_stem().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
        let title = path.display().to_string();
        Ok(vec![Workload { name, title, op, input, f16: self.f16, only_by_name: false }])
    }
}
