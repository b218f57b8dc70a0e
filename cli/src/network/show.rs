//! `upconv network`: what a network computes, and what it takes.

use super::file::{Undescribed, load};
use crate::output::print;
use crate::threads;
use anyhow::Result;
use std::path::PathBuf;
use upconv::graph::{Graph, Operation};
use upconv::upscale::Network;
use upconv::upscale::network::Frame;

/// The options of `network`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// A built-in network (see `upconv models`), or a file that `upconv convert` reads.
    #[arg(value_name = "NET")]
    network: PathBuf,
    #[command(flatten)]
    more: Undescribed,
    /// The picture for which memory and work are told.
    #[arg(long, value_name = "WxH", default_value = "512x512", value_parser = parse_size)]
    size: [usize; 2],
}

/// Height and width.
fn parse_size(text: &str) -> Result<[usize; 2], String> {
    let side = |text: &str| text.parse::<u32>().ok().filter(|&side| side > 0).map(|side| side as usize);
    let sides = text.split_once('x').and_then(|(width, height)| Some([side(height)?, side(width)?]));
    sides.ok_or_else(|| "expected WxH, such as 512x512".into())
}

pub(crate) fn run(args: &Args) -> Result<()> {
    threads::start()?;
    let network = load(&args.network, &args.more)?;
    let (graph, Frame { scale, border, beyond, multiple }) = (network.graph(), network.frame());
    let mut text = String::new();
    for (index, node) in graph.nodes().iter().enumerate() {
        let of: Vec<String> = node.inputs().iter().map(|value| value.index().to_string()).collect();
        let of = if of.is_empty() { String::new() } else { format!(" of {}", of.join(", ")) };
        text += &format!("{index:>4}  {}{of}: {} channels\n", described(node.operation()), node.channels());
    }
    let [height, width] = args.size;
    let work = network.multiply_adds(args.size)? as f64;
    let whole = network.tile_cost(args.size)?(args.size)?;
    let mib = |elements: u64| elements as f64 * 4.0 / f64::from(1 << 20);
    text += &format!(
        "{} nodes, {} layers, {} parameters; {scale}x\n\
         border: {border} pixels, {beyond:?}{}{}\n\
         multiply-adds for each pixel of the picture: {:.0}\n\
         memory of {width}x{height} in one piece, f32: {:.1} MiB between input and output, {:.1} MiB for both\n",
        graph.nodes().len(),
        layers(graph),
        network.parameters(),
        if multiple > 1 { format!(", sides extended to multiples of {multiple}") } else { String::new() },
        means(&network),
        work / (height * width) as f64,
        mib(whole.between),
        mib(whole.ends),
    );
    print(&text)
}

fn layers(graph: &Graph) -> usize {
    graph.nodes().iter().filter(|node| matches!(node.operation(), Operation::Layer(_))).count()
}

/// How often a picture in tiles is gone through.
fn means(network: &Network) -> String {
    match network.graph().means().len() {
        0 => String::new(),
        levels => format!("; means of the picture: {levels} passes more where it is in tiles"),
    }
}

fn described(operation: &Operation) -> String {
    let list = |values: &[usize]| values.iter().map(ToString::to_string).collect::<Vec<_>>().join("x");
    match operation {
        Operation::Layer(layer) => {
            let each = |of: fn(&upconv::Axis) -> usize| layer.op.axes().iter().map(of).collect::<Vec<_>>();
            let kernel = list(&each(|axis| axis.kernel));
            let (name, stride) = match &layer.convolution {
                Some(convolution) => ("conv", convolution.stride()),
                None => ("deconv", each(|axis| axis.stride)),
            };
            let groups = if layer.op.groups() > 1 { format!(", {} groups", layer.op.groups()) } else { String::new() };
            format!("{name} {kernel}, stride {}{groups}", list(&stride))
        }
        Operation::Activation(activation) => activation.name().to_owned(),
        Operation::Affine { scale, offset } => format!("x * {scale} + {offset}"),
        Operation::Nearest(factors) => format!("nearest {}", list(factors)),
        Operation::PixelShuffle(factor) => format!("pixel shuffle {factor}"),
        Operation::Channels(range) => format!("channels {} to {}", range.start, range.end - 1),
        other => other.name().to_owned(),
    }
}
