//! `upconv bench --ceilings`: how fast the device copies memory and multiplies matrices, to compare the layers with.
//!
//! The copy is of vec4s; each invocation of the matrix product keeps a tile of the result in registers. Several
//! variants of both are run and checked; the fastest is the ceiling.

mod copy;
mod product;

use super::figure::figure;
use super::timing::{Budget, timed};
use crate::device::all_adapters;
use crate::shader::Shader;
use anyhow::{Context as _, Result, bail};
use copy::{COPIES, copy};
use product::PRODUCTS;
use std::fmt;
use upconv::gpu::{AdapterRequest, Context};
use upconv::wgpu::{DeviceDescriptor, Features};

/// The fastest copy and the fastest product.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Ceilings {
    /// Bytes read and written, in 10⁹ a second.
    copy_gbps: f64,
    /// 10⁹ floating-point operations a second in f32, two for each multiply-add.
    product_gflops: f64,
    /// What an invocation of the fastest product does.
    product: String,
}

impl Ceilings {
    /// Tries all copies and products on the adapter that answers the request.
    pub(crate) fn measure(request: &AdapterRequest, budget: Budget) -> Result<Self> {
        let context = with_subgroups(request)?;
        let mut copy_gbps: f64 = 0.0;
        for quads in COPIES {
            copy_gbps = copy_gbps.max(copy(&context, quads, budget)?);
        }
        let mut best = (0.0, None);
        let subgroups = context.device().features().contains(Features::SUBGROUP)
            && context.device().adapter_info().subgroup_min_size >= 8;
        for product in PRODUCTS.into_iter().filter(|product| subgroups || !product.broadcast) {
            let gflops = product.measure(&context, budget)?;
            if gflops > best.0 {
                best = (gflops, Some(product));
            }
        }
        match best {
            (product_gflops, Some(product)) => Ok(Self { copy_gbps, product_gflops, product: product.to_string() }),
            _ => bail!("no product of matrices ran on {}", context.adapter_name()),
        }
    }

    /// These rates as a share of the ceiling that they come nearer to.
    pub(crate) fn share(&self, gflops: f64, gbps: f64) -> f64 {
        (gflops / self.product_gflops).max(gbps / self.copy_gbps)
    }
}

impl fmt::Display for Ceilings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (copy, product) = (figure(self.copy_gbps), figure(self.product_gflops));
        write!(f, "copies vec4s at {copy} GB/s, multiplies matrices at {product} GFLOP/s ({})", self.product)
    }
}

/// A device on the adapter that answers, with subgroups where it has them: the library does not request them.
fn with_subgroups(request: &AdapterRequest) -> Result<Context> {
    let wanted = Context::request(request)?.device().adapter_info();
    let adapter = all_adapters()?.into_iter().find(|adapter| adapter.get_info() == wanted);
    let adapter = adapter.with_context(|| format!("{} is no longer available", wanted.name))?;
    let descriptor = DeviceDescriptor {
        required_features: adapter.features() & Features::SUBGROUP,
        required_limits: adapter.limits(),
        ..DeviceDescriptor::default()
    };
    let (device, queue) = pollster::block_on(adapter.request_device(&descriptor))?;
    Ok(Context::new(device, queue))
}

/// The median seconds of a dispatch, submitted and waited for.
fn seconds(shader: &Shader<'_>, groups: [usize; 2], budget: Budget) -> Result<f64> {
    // The first dispatch includes what the driver compiles late.
    shader.run(groups)?;
    Ok(budget.sample(|| Ok(timed(|| shader.run(groups))?.1))?.median())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearer_ceiling_counts() {
        let ceilings = Ceilings { copy_gbps: 10.0, product_gflops: 50.0, product: String::new() };
        assert_eq!((ceilings.share(25.0, 1.0), ceilings.share(1.0, 8.0)), (0.5, 0.8));
    }
}
