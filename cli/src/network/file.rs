//! Reads a network: a built-in one, or one in a file of a format that its name or its content says.

use crate::input::{self, Input};
use crate::originals;
use anyhow::{Context as _, Result, anyhow, bail, ensure};
use clap::ValueEnum;
use std::path::{Path, PathBuf};
use upconv::Tensor;
use upconv::graph::{Beyond, Graph, ncnn, onnx};
use upconv::upscale::network::{CHANNELS, Frame};
use upconv::upscale::{Model, Network};

/// The largest files that are read, in bytes.
const MAX_PARAM: u64 = 16 << 20;
const MAX_WEIGHTS: u64 = 1 << 30;

/// What a file without a description does not say.
#[derive(clap::Args, Clone, Debug, Default)]
pub(crate) struct Undescribed {
    /// ncnn's weights; by default the file beside NET.param with the extension .bin.
    #[arg(long, value_name = "NET.bin")]
    bin: Option<PathBuf>,
    /// The pixels that the network reads on each side of the picture; by default as many as it needs to make a whole number
    /// of times the picture, or 10 where it makes that of none.
    #[arg(long, value_name = "PIXELS")]
    border: Option<usize>,
    /// What stands beyond the picture: its outermost pixels again, or those inside mirrored.
    #[arg(long, value_enum)]
    beyond: Option<BeyondName>,
    /// The network gives the difference from the picture, enlarged to the nearest pixel, which is added.
    #[arg(long)]
    add_picture: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum BeyondName {
    Replicate,
    Reflect,
}

impl From<BeyondName> for Beyond {
    fn from(name: BeyondName) -> Self {
        match name {
            BeyondName::Replicate => Beyond::Replicate,
            BeyondName::Reflect => Beyond::Reflect,
        }
    }
}

impl Undescribed {
    fn is_given(&self) -> bool {
        self.bin.is_some() || self.border.is_some() || self.beyond.is_some() || self.add_picture
    }
}

/// The built-in network of this name, or the one in a file: ncnn's, ONNX, or safetensors with a description.
pub(crate) fn load(name: &Path, more: &Undescribed) -> Result<Network> {
    let shown = name.display();
    let described = || ensure_described(more).with_context(|| shown.to_string());
    if let Some(model) = name.to_str().and_then(Model::named) {
        described()?;
        return Ok(model.network()?);
    }
    originals::protect(name);
    let is = |extension: &str| name.extension().is_some_and(|given| given.eq_ignore_ascii_case(extension));
    if is("param") {
        let bin = more.bin.clone().unwrap_or_else(|| name.with_extension("bin"));
        originals::protect(&bin);
        let (param, weights) = (input::read(name, MAX_PARAM)?, input::read(&bin, MAX_WEIGHTS)?);
        let network = ncnn::read(&param, &weights).map_err(anyhow::Error::from).and_then(|graph| framed(graph, more));
        return network.with_context(|| format!("{shown}, {}", bin.display()));
    }
    if is("onnx") {
        ensure!(more.bin.is_none(), "{shown}: --bin is for files of ncnn");
        let bytes = input::read(name, MAX_WEIGHTS)?;
        let network = onnx::read(&bytes).map_err(anyhow::Error::from).and_then(|graph| framed(graph, more));
        return network.with_context(|| shown.to_string());
    }
    let names = Model::ALL.map(|model| model.name).join(", ");
    let file = Input::open(name)
        .map_err(|e| anyhow!("{e}; expected {names}, which are built in, or a file .safetensors, .onnx or .param"))
        .with_context(|| format!("model {shown}"))?;
    described()?;
    let length = file.length()?;
    let bytes = input::up_to(file, length, MAX_WEIGHTS)?;
    Network::from_safetensors(&bytes).with_context(|| format!("model {shown}"))
}

fn ensure_described(more: &Undescribed) -> Result<()> {
    ensure!(!more.is_given(), "--bin, --border, --beyond and --add-picture are for files without a description");
    Ok(())
}

/// The network of a graph that says nothing about pictures.
fn framed(graph: Graph, more: &Undescribed) -> Result<Network> {
    let network = Network::from_graph(graph)?;
    let frame = network.frame();
    let border = more.border.unwrap_or(frame.border);
    let beyond = more.beyond.map_or(frame.beyond, Beyond::from);
    let network = network.with_frame(Frame { border, beyond, ..frame })?;
    let network = if more.add_picture { network.with_picture_added()? } else { network };
    let grey = of_grey(&network)?;
    if grey.abs() < 0.1 {
        bail!(
            "of a grey picture of 0.5 the network makes {grey:.3}: it gives the difference from the picture; with \
             --add-picture (of `upconv convert`) that is added"
        );
    }
    if more.add_picture && grey > 0.9 {
        bail!(
            "of a grey picture of 0.5 the network makes {grey:.3}: without --add-picture it gives the picture itself"
        );
    }
    Ok(network)
}

/// What the network makes of a grey picture, in its middle.
fn of_grey(network: &Network) -> Result<f32> {
    const SIDE: usize = 8;
    let picture = Tensor::f32([1, CHANNELS, SIDE, SIDE], vec![0.5; CHANNELS * SIDE * SIDE])?;
    let made = network.on_cpu()?.run(&[network.pad(&picture)?])?;
    let made = made.first().context("the network makes nothing")?;
    let made = network.trim(made, [SIDE; 2])?.into_f32();
    Ok(made.iter().sum::<f32>() / made.len().max(1) as f32)
}
