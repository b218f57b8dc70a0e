//! The plan in words.

use super::body::{Body, Plan};
use crate::winograd::Filter;
use std::fmt;

impl Plan {
    /// The plan in words, one fact a line.
    pub fn explain(&self) -> impl fmt::Display + '_ {
        Explanation(self)
    }
}

struct Explanation<'a>(&'a Plan);

impl fmt::Display for Explanation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plan = self.0;
        let (geometry, parts) = (plan.geometry(), plan.parts());
        let phases: Vec<String> = plan.phases().iter().map(|(reached, all)| format!("{reached} of {all}")).collect();
        writeln!(f, "shapes         {:?} -> {:?}", geometry.input_shape(), geometry.output_shape())?;
        writeln!(f, "kernel         {}: {}", plan.kernel(), plan.reason())?;
        let mut tiles = plan;
        if let Body::Winograd(winograd, products) = &plan.body {
            let ([height, width], chunk, chunks) = (winograd.tiles, winograd.chunk, winograd.chunks);
            let [rows, columns] = winograd.filters.map(Filter::outputs);
            let of = format!("{rows}x{columns} outputs, {chunks} times {chunk} of them");
            writeln!(f, "tiles          {height} x {width} of {of}")?;
            let how = match &products.body {
                Body::Tiles(tile, _) => tile.to_string(),
                _ => "one product each".into(),
            };
            writeln!(
                f,
                "products       {} matrix products by {}: {how}",
                winograd.product.groups(),
                products.kernel()
            )?;
            tiles = products;
        } else {
            writeln!(f, "invocation     {}", plan.invocation())?;
        }
        if let Body::Tiles(tile, _) = &tiles.body
            && let Some(workgroup) = tile.workgroup()
        {
            writeln!(f, "workgroup      {workgroup}")?;
        }
        writeln!(f, "phases         {} (those that taps reach, for each axis)", phases.join(" x "))?;
        writeln!(f, "multiply-adds  {}", geometry.multiply_adds_in_words())?;
        writeln!(f, "dispatches     {}, each sum in {parts} part{}", plan.dispatch_count(), plural(parts))?;
        if plan.splits() > 1 {
            writeln!(f, "splits         {}, added up in their order by another kernel", plan.splits())?;
        }
        let (scratch, shared) = (plan.scratch_bytes(), plan.workgroup_memory());
        write!(f, "memory         {scratch} bytes of scratch, {shared} of each workgroup's")
    }
}

fn plural(count: usize) -> &'static str {
    if count == 1 { "" } else { "s" }
}
