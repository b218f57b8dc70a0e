//! The plan in words.

use super::Plan;
use crate::gpu::kernels::tiles::tile::Tile;
use crate::gpu::kernels::winograd::layout::Winograd;
use crate::op::{ConvTranspose, Geometry};
use crate::phase::{AxisPhases, effective_multiply_adds, useful_multiply_adds};
use std::fmt;

/// What the plan says of itself beyond its dispatches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Explanation {
    input: Vec<usize>,
    output: Vec<usize>,
    phases: Vec<(usize, usize)>,
    useful: u128,
    effective: u128,
    parts: usize,
    reason: String,
    pub(crate) workgroup_memory: u64,
}

impl Explanation {
    pub(crate) fn new(op: &ConvTranspose, geometry: &Geometry, parts: usize, reason: String) -> Self {
        Self {
            input: geometry.input_shape(),
            output: geometry.output_shape(),
            phases: op.axes().iter().map(|axis| (AxisPhases::new(axis).phases.len(), axis.stride)).collect(),
            useful: useful_multiply_adds(op.axes3(), geometry, op.groups()),
            effective: effective_multiply_adds(op.axes3(), geometry, op.groups()),
            parts,
            reason,
            workgroup_memory: 0,
        }
    }
}

impl Plan {
    /// The multiply-adds that reach the output.
    pub fn useful_multiply_adds(&self) -> u128 {
        self.explanation.useful
    }

    /// The multiply-adds of the operation's definition: every input element times every tap and output channel.
    pub fn effective_multiply_adds(&self) -> u128 {
        self.explanation.effective
    }

    /// For each axis the number of phases that taps reach, and the number of all.
    pub fn phases(&self) -> &[(usize, usize)] {
        &self.explanation.phases
    }

    /// The memory of each workgroup, in bytes.
    pub fn workgroup_memory(&self) -> u64 {
        let products = self.winograd.as_ref().map(|laid| laid.plan.workgroup_memory());
        products.unwrap_or(self.explanation.workgroup_memory)
    }

    /// Why this kernel and not another.
    pub fn reason(&self) -> &str {
        &self.explanation.reason
    }

    /// What one invocation computes; for `winograd`, one of its matrix products, and for `matrix`, its subgroup.
    pub fn invocation(&self) -> String {
        if let Some(matrix) = &self.matrix {
            return matrix.to_string();
        }
        match &self.winograd.as_ref().map_or(self, |winograd| &winograd.plan).tile {
            Some(tile) => format!("{tile}, {} sums in registers", tile.shape.outputs()),
            None => "one output element".into(),
        }
    }

    /// The plan in words, one fact a line.
    pub fn explain(&self) -> impl fmt::Display + '_ {
        ExplainDisplay(self)
    }
}

struct ExplainDisplay<'a>(&'a Plan);

impl fmt::Display for ExplainDisplay<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plan = self.0;
        let Explanation { input, output, phases, useful, effective, parts, reason, .. } = &plan.explanation;
        let shares: Vec<String> = phases.iter().map(|(reached, all)| format!("{reached} of {all}")).collect();
        writeln!(f, "shapes         {input:?} -> {output:?}")?;
        writeln!(f, "kernel         {}: {reason}", plan.kernel)?;
        match &plan.winograd {
            None => writeln!(f, "invocation     {}", plan.invocation())?,
            Some(Winograd { tiles: [height, width], chunk, chunks, plan, .. }) => {
                writeln!(f, "tiles          {height} x {width} of 4x4 outputs, {chunks} times {chunk} of them")?;
                let how = plan.tile.map_or_else(|| "one product each".into(), |tile| tile.to_string());
                writeln!(f, "products       36 matrix products by {}: {how}", plan.kernel)?;
            }
        }
        if let Some(workgroup) = plan.tile.as_ref().and_then(Tile::workgroup) {
            writeln!(f, "workgroup      {workgroup}")?;
        }
        writeln!(f, "phases         {} (those that taps reach, for each axis)", shares.join(" x "))?;
        let share = if *effective == 0 { 100.0 } else { *useful as f64 / *effective as f64 * 100.0 };
        writeln!(f, "multiply-adds  {useful} useful of {effective} ({share:.1} %, the rest is cropped)")?;
        writeln!(f, "dispatches     {}, input channels in {parts} part{}", plan.dispatch_count(), plural(*parts))?;
        if plan.splits() > 1 {
            writeln!(f, "splits         {}, added up in their order by another kernel", plan.splits())?;
        }
        let shared = plan.workgroup_memory();
        write!(f, "memory         {} bytes of scratch, {shared} of each workgroup's", plan.scratch)
    }
}

fn plural(count: usize) -> &'static str {
    if count == 1 { "" } else { "s" }
}
