//! The weights of convolutions as their transposed forms take them: once for all that share one.

use crate::error::Result;
use crate::op::Convolution;
use crate::tensor::Tensor;
use std::sync::Arc;

/// Weights that were turned, with the numbers of groups and what was made of them.
#[derive(Default)]
pub(super) struct Turned(Vec<(Arc<Tensor>, usize, Arc<Tensor>)>);

impl Turned {
    /// The weight of a convolution, turned.
    pub(super) fn of(&mut self, convolution: &Convolution, weight: &Arc<Tensor>) -> Result<Arc<Tensor>> {
        let groups = convolution.groups();
        let known = self.0.iter().find(|(known, in_groups, _)| Arc::ptr_eq(known, weight) && *in_groups == groups);
        if let Some((.., turned)) = known {
            return Ok(turned.clone());
        }
        let turned = Arc::new(convolution.turned(&**weight)?);
        self.0.push((weight.clone(), groups, turned.clone()));
        Ok(turned)
    }
}
