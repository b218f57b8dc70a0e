//! Where the work is done: the options that every command shares, and one interface to the three backends.

use crate::output::note;
use crate::pipelines::CachedContext;
use crate::tuning::TuningArgs;
use anyhow::{Result, bail};
use clap::ValueEnum;
use upconv::gpu::{self, AdapterRequest, Context};
use upconv::{ConvTranspose, Error, Tensor, cpu, reference, wgpu};

/// The options that choose a device.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct DeviceArgs {
    /// Where to compute: `auto` takes the best hardware GPU or else the CPU, `gpu` also accepts a GPU in software,
    /// `reference` is the f64 reference.
    #[arg(long, value_enum, default_value_t)]
    device: Choice,
    /// Take the GPU adapter with this number in `upconv info`, or whose name, driver or backend contains this.
    #[arg(long, value_name = "NUMBER|SUBSTRING")]
    adapter: Option<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Choice {
    #[default]
    Auto,
    Gpu,
    Cpu,
    Reference,
}

/// An opened device.
pub(crate) enum Backend {
    Gpu(CachedContext),
    Cpu,
    Reference,
}

/// An operation with its weights on a device.
pub(crate) enum Layer {
    Gpu(gpu::Layer),
    Cpu(cpu::Layer),
    Reference(Box<Oracle>),
}

/// The reference keeps an operation as it was given.
pub(crate) struct Oracle {
    op: ConvTranspose,
    weight: Tensor,
    bias: Option<Tensor>,
}

impl DeviceArgs {
    /// Opens the device; one line on standard error names the choice.
    pub(crate) fn open(&self) -> Result<Backend> {
        let (backend, line) = self.choose()?;
        note!("device: {line}");
        Ok(backend)
    }

    /// Whether nothing but a GPU is asked for.
    pub(crate) fn names_a_gpu(&self) -> bool {
        self.device == Choice::Gpu || self.adapter.is_some()
    }

    /// As [`open`](Self::open); on a GPU, plans use the measured choices, and a second line says so.
    pub(crate) fn open_tuned(&self, tuning: &TuningArgs) -> Result<Backend> {
        // A bad file is refused before a device is touched.
        let tuning = tuning.load()?;
        Ok(match self.open()? {
            Backend::Gpu(mut context) if !tuning.is_empty() => {
                note!("tuning: {} measured choices; --no-tuning plans without them", tuning.len());
                context.tune(tuning);
                Backend::Gpu(context)
            }
            other => other,
        })
    }

    fn choose(&self) -> Result<(Backend, String)> {
        let name = self.adapter.clone();
        let gpu = |context: &Context| {
            let line = context.adapter_name();
            (Backend::Gpu(CachedContext::new(context)), line)
        };
        match (self.device, &self.adapter) {
            (Choice::Gpu, _) | (Choice::Auto, Some(_)) => {
                Ok(gpu(&Context::request(&AdapterRequest { name, hardware_only: false })?))
            }
            (Choice::Cpu | Choice::Reference, Some(name)) => {
                bail!("--adapter {name:?} names a GPU, but --device {:?} is not one", self.device)
            }
            (Choice::Auto, None) => match Context::request(&AdapterRequest { name, hardware_only: true }) {
                Ok(context) => Ok(gpu(&context)),
                Err(error @ (Error::NoAdapter { .. } | Error::NoDevice { .. })) => {
                    let threads = std::thread::available_parallelism().map_or(1, usize::from);
                    Ok((Backend::Cpu, format!("the CPU, {threads} threads ({error})")))
                }
                Err(error) => Err(error.into()),
            },
            (Choice::Cpu, None) => Ok((Backend::Cpu, "the CPU".into())),
            (Choice::Reference, None) => Ok((Backend::Reference, "the f64 reference".into())),
        }
    }
}

/// Every adapter of this machine, those of GL included.
///
/// # Errors
/// A `WGPU_BACKEND` that names a backend that does not exist.
pub(crate) fn all_adapters() -> Result<Vec<wgpu::Adapter>> {
    gpu::check_environment()?;
    Ok(pollster::block_on(gpu::adapters(true)))
}

impl Backend {
    /// Puts an operation with its weights on the device.
    pub(crate) fn layer(&self, op: &ConvTranspose, weight: &Tensor, bias: Option<&Tensor>) -> Result<Layer> {
        Ok(match self {
            Backend::Gpu(context) => Layer::Gpu(gpu::Layer::new(context, op, weight, bias)?),
            Backend::Cpu => Layer::Cpu(cpu::Layer::new(op, weight, bias)?),
            Backend::Reference => {
                Layer::Reference(Box::new(Oracle { op: op.clone(), weight: weight.clone(), bias: bias.cloned() }))
            }
        })
    }
}

impl Layer {
    /// Computes the output for an input.
    pub(crate) fn run(&self, input: &Tensor) -> upconv::Result<Tensor> {
        match self {
            Layer::Gpu(layer) => layer.run(input),
            Layer::Cpu(layer) => layer.run(input),
            Layer::Reference(oracle) => reference::run(&oracle.op, input, &oracle.weight, oracle.bias.as_ref()),
        }
    }
}
