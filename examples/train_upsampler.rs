//! An upsampler learns: the transposed convolution of *Dive into Deep Learning*, 14.10 and 14.11, which begins as bilinear
//! interpolation, with three more layers beside it that learn what it lacks. Its task is to enlarge by 2 a photograph
//! that was halved; it is trained on the left of it, and measured on the right, which training never sees, against the
//! bicubic filter. Weights, gradients and Adam's moments stay on the device: nothing is read back but the loss.
//!
//! `cargo run --release --example train_upsampler [PLOT.svg] [--steps N]`

use std::ops::Range;
use std::time::Instant;
use upconv::gpu::{AdapterRequest, BackwardBuffers, Bound, Context, Layer, Request, Saved};
use upconv::upscale::{Method, bilinear_kernel};
use upconv::wgpu::{self, Buffer, BufferUsages};
use upconv::{Activation, ConvTranspose, Storage, Tensor};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

const STEPS: usize = 500;
const EVERY: usize = 50;
const RATE: f64 = 1.5e-3;

const CHANNELS: usize = 16;
/// Crops of a step, and their extent in the halved photograph.
const BATCH: usize = 2;
const CROP: usize = 48;
/// Columns of the halved photograph that are trained on; the others are held out.
const TRAINED: usize = 176;
/// So many outputs at each border count neither in the loss nor in the PSNR: what lies beyond them is missing.
const MARGIN: usize = 8;

/// The gradient of the mean squared error of the outputs, and the error of each row as it is shown: one invocation takes a
/// row.
const LOSS: &str = "
struct Sizes { width: u32, height: u32, margin: u32, rows: u32, count: f32 }
@group(0) @binding(0) var<uniform> sizes: Sizes;
@group(0) @binding(1) var<storage, read> output: array<f32>;
@group(0) @binding(2) var<storage, read> wanted: array<f32>;
@group(0) @binding(3) var<storage, read_write> gradient: array<f32>;
@group(0) @binding(4) var<storage, read_write> errors: array<f32>;

@compute @workgroup_size(64)
fn loss(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x >= sizes.rows { return; }
    let y = id.x % sizes.height;
    var error = 0.0;
    for (var x = 0u; x < sizes.width; x++) {
        let at = id.x * sizes.width + x;
        let inside = min(min(x, sizes.width - 1u - x), min(y, sizes.height - 1u - y)) >= sizes.margin;
        let shown = clamp(output[at], 0.0, 1.0) - wanted[at];
        error += select(0.0, shown * shown, inside);
        gradient[at] = select(0.0, 2.0 * (output[at] - wanted[at]) / sizes.count, inside);
    }
    errors[id.x] = error;
}";

/// Kingma and Ba, 2015; `rate` has the correction of both moments' bias in it.
const ADAM: &str = "
@group(0) @binding(0) var<uniform> rate: vec4<f32>;
@group(0) @binding(1) var<storage, read> gradients: array<f32>;
@group(0) @binding(2) var<storage, read_write> means: array<f32>;
@group(0) @binding(3) var<storage, read_write> squares: array<f32>;
@group(0) @binding(4) var<storage, read_write> parameters: array<f32>;

@compute @workgroup_size(64)
fn adam(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x < arrayLength(&parameters) {
        let g = gradients[id.x];
        means[id.x] = mix(g, means[id.x], 0.9);
        squares[id.x] = mix(g * g, squares[id.x], 0.999);
        parameters[id.x] -= rate.x * means[id.x] / (sqrt(squares[id.x]) + 1e-8);
    }
}";

fn main() -> Result<()> {
    let (plot, steps) = arguments()?;
    let context = Context::request(&AdapterRequest::default())?;
    println!("{}", context.adapter_name());
    let started = Instant::now();
    let mut rng = fastrand::Rng::with_seed(14);
    let picture = Picture::read(concat!(env!("CARGO_MANIFEST_DIR"), "/assets/astronaut.png"))?;
    let halved = picture.halved();

    let net = Net::new(&context, &mut rng)?;
    let training = Run::new(&net, [BATCH, CROP, CROP])?;
    let backward = net.backward(&training)?;
    let adam = Adam::new(&net)?;

    // The part that is trained on and the one that is held out, as wholes.
    let rows = halved.height;
    let part = |first: usize, last: usize| -> Result<_> {
        let run = Run::new(&net, [1, rows, last - first])?;
        let low = halved.crop([0, first, rows, last - first]);
        run.fill(&context, &low, &picture.crop([0, 2 * first, 2 * rows, 2 * (last - first)]));
        Ok((run, low))
    };
    let ((trained, _), (held_out, low)) = (part(0, TRAINED)?, part(TRAINED, halved.width)?);

    // The bicubic filter's result is measured as the network's is.
    let bicubic = {
        let filter = Method::Bicubic.upsampler(2, 3)?;
        let input = filter.pad(&Tensor::f32([1, 3, rows, halved.width - TRAINED], low)?)?;
        let layer = Layer::new(&context, &filter.op, &filter.weight, None)?.prepare(input.shape(), Storage::F32)?;
        let bound = layer.bind(context.upload(&input, Storage::F32)?.slice(..), held_out.output.slice(..))?;
        submit(&context, &[bound], &held_out.loss);
        psnr(held_out.error(&context)?)
    };
    println!("bicubic: {bicubic:.2} dB on the part that is held out");

    // The step, the loss, and the PSNR of what is held out.
    let mut curve: Vec<[f64; 3]> = Vec::new();
    for step in 0..=steps {
        if step % EVERY == 0 || step == steps {
            let (loss, held_out) = (trained.measure(&context)?, psnr(held_out.measure(&context)?));
            println!("step {step:4}: loss {loss:.6}, held out {held_out:.2} dB");
            curve.push([step as f64, loss, held_out]);
        }
        if step == steps {
            break;
        }
        let (mut input, mut wanted) = (Vec::new(), Vec::new());
        for _ in 0..BATCH {
            let (y, x) = (rng.usize(..=halved.height - CROP), rng.usize(..=TRAINED - CROP));
            input.extend(halved.crop([y, x, CROP, CROP]));
            wanted.extend(picture.crop([2 * y, 2 * x, 2 * CROP, 2 * CROP]));
        }
        training.fill(&context, &input, &wanted);
        submit(&context, &training.forward, &training.loss);
        // Up for a while, until Adam knows the gradients' sizes; down to nothing along a cosine.
        let rise = ((step + 1) as f64 / EVERY as f64).min(1.0);
        let fall = (1.0 + (std::f64::consts::PI * step as f64 / steps as f64).cos()) / 2.0;
        adam.rate(&context, RATE * rise * fall, step as i32 + 1);
        submit(&context, &backward, &adam.dispatch);
        net.set_weights()?;
    }
    let ([_, before, _], [_, after, last]) = (curve[0], curve[curve.len() - 1]);
    let seconds = started.elapsed().as_secs_f64();
    println!("{steps} steps in {seconds:.1} s: {last:.2} dB, {:+.2} dB to bicubic's", last - bicubic);
    if let Some(path) = plot {
        std::fs::write(path, draw(&curve, bicubic))?;
    }
    if steps > 0 && after >= before { Err("the loss has not fallen".into()) } else { Ok(()) }
}

/// The path of the plot, and the number of steps.
fn arguments() -> Result<(Option<String>, usize)> {
    let (mut plot, mut steps, mut arguments) = (None, STEPS, std::env::args().skip(1));
    while let Some(argument) = arguments.next() {
        if argument == "--steps" {
            steps = arguments.next().ok_or("--steps needs a number")?.parse()?;
        } else {
            plot = Some(argument);
        }
    }
    Ok((plot, steps))
}

fn psnr(mean_squared_error: f64) -> f64 {
    -10.0 * mean_squared_error.log10()
}

/// Planes of red, green and blue, 0 to 1.
struct Picture {
    planes: Vec<f32>,
    height: usize,
    width: usize,
}

impl Picture {
    fn read(path: &str) -> Result<Self> {
        let mut reader = png::Decoder::new(std::io::BufReader::new(std::fs::File::open(path)?)).read_info()?;
        let mut pixels = vec![0; reader.output_buffer_size().ok_or("the picture is too large")?];
        let info = reader.next_frame(&mut pixels)?;
        if (info.color_type, info.bit_depth) != (png::ColorType::Rgb, png::BitDepth::Eight) {
            return Err("expected 8 bits of red, green and blue".into());
        }
        let plane = |channel| pixels.iter().skip(channel).step_by(3).map(|&value| f32::from(value) / 255.0);
        Ok(Self { planes: (0..3).flat_map(plane).collect(), height: info.height as usize, width: info.width as usize })
    }

    /// Each pixel the mean of four.
    fn halved(&self) -> Self {
        let (height, width) = (self.height / 2, self.width / 2);
        let mean = |c: usize, y: usize, x: usize| {
            let at = (c * self.height + 2 * y) * self.width + 2 * x;
            let rows = [at, at + self.width].map(|at| self.planes[at] + self.planes[at + 1]);
            (rows[0] + rows[1]) / 4.0
        };
        let rows = (0..3).flat_map(|c| (0..height).map(move |y| (c, y)));
        let planes = rows.flat_map(|(c, y)| (0..width).map(move |x| mean(c, y, x))).collect();
        Self { planes, height, width }
    }

    fn crop(&self, [y, x, height, width]: [usize; 4]) -> Vec<f32> {
        let rows = (0..3).flat_map(|c| (y..y + height).map(move |y| (c * self.height + y) * self.width + x));
        rows.flat_map(|at| &self.planes[at..at + width]).copied().collect()
    }
}

/// Layers, and their weights and biases in one buffer, so that one dispatch moves them all.
struct Net {
    context: Context,
    /// The bilinear one; then two that keep the extents, and one that enlarges what they found.
    layers: [Layer; 4],
    /// Where the weight and the bias of each layer are, in bytes.
    places: [[Range<u64>; 2]; 4],
    parameters: Buffer,
    gradients: Buffer,
}

impl Net {
    fn new(context: &Context, rng: &mut fastrand::Rng) -> Result<Self> {
        let alignment = context.profile().binding_alignment as usize;
        let mut parameters: Vec<f32> = Vec::new();
        let mut layer = |(op, weight): (ConvTranspose, Tensor)| -> Result<_> {
            let mut place = |values: &[f32]| {
                parameters.resize((parameters.len() * 4).next_multiple_of(alignment) / 4, 0.0);
                let first = parameters.len();
                parameters.extend(values);
                4 * first as u64..4 * parameters.len() as u64
            };
            let places = [place(&weight.to_f32()), place(&vec![0.0; op.out_channels()])];
            Ok((Layer::new(context, &op, &weight, None)?, places))
        };
        let up = |weight: Tensor| -> Result<_> {
            let op = ConvTranspose::builder().in_channels(weight.shape()[0]).out_channels(3);
            Ok((op.kernel([4; 2]).stride([2; 2]).padding([1; 2]).build()?, weight))
        };
        let mut conv = |inputs: usize| -> Result<_> {
            let shape = [CHANNELS, inputs, 3, 3];
            // Uniform, of the variance that He et al. give layers before a relu.
            let most = (6.0 / (inputs * 9) as f32).sqrt();
            let values: Vec<f32> = (0..shape.iter().product()).map(|_| most * (2.0 * rng.f32() - 1.0)).collect();
            let (op, weight) = ConvTranspose::from_convolution(&Tensor::f32(shape, values)?, [1; 2], [1; 2], 1)?;
            Ok((op.to_builder().activation(Activation::Relu).build()?, weight))
        };
        let nothing = Tensor::f32([CHANNELS, 3, 4, 4], vec![0.0; CHANNELS * 3 * 4 * 4])?;
        let all =
            [layer(up(bilinear_kernel(3, 3, 4)?)?)?, layer(conv(3)?)?, layer(conv(CHANNELS)?)?, layer(up(nothing)?)?];
        let parameters = context.upload(&Tensor::f32([parameters.len()], parameters)?, Storage::F32)?;
        let gradients = buffer(context, parameters.size());
        let (layers, places) = (all.each_ref().map(|(layer, _)| layer.clone()), all.map(|(_, places)| places));
        Ok(Self { context: context.clone(), layers, places, parameters, gradients })
    }

    fn set_weights(&self) -> Result<()> {
        for (layer, [weight, bias]) in self.layers.iter().zip(&self.places) {
            let slice = |place: &Range<u64>| self.parameters.slice(place.clone());
            layer.set_weights(slice(weight), Some(slice(bias)))?;
        }
        Ok(())
    }

    /// The gradients of all weights and biases.
    fn backward(&self, run: &Run) -> Result<Vec<Bound>> {
        let shape = |layer: &Layer| [run.batch, layer.op().in_channels(), run.height, run.width];
        let hidden = [(); 2].map(|()| buffer(&self.context, run.hidden[0].size()));
        let bind =
            |number: usize, input: &Buffer, gradient, saved: Option<&Buffer>, input_gradient: Option<&Buffer>| {
                let (layer, [weight, bias]) = (&self.layers[number], &self.places[number]);
                let slice = |place: &Range<u64>| Some(self.gradients.slice(place.clone()));
                layer.prepare_backward(&shape(layer), Storage::F32)?.bind(&BackwardBuffers {
                    saved: saved.map(|buffer| buffer.slice(..)),
                    input_gradient: input_gradient.map(|buffer| buffer.slice(..)),
                    weight_gradient: slice(weight),
                    bias_gradient: slice(bias),
                    ..BackwardBuffers::new(input.slice(..), gradient)
                })
            };
        let (dy, [d1, d2], [h1, h2]) = (run.gradient.slice(..), &hidden, &run.hidden);
        Ok(vec![
            bind(0, &run.input, dy, None, None)?,
            bind(3, h2, dy, None, Some(d2))?,
            bind(2, h1, d2.slice(..), Some(h2), Some(d1))?,
            bind(1, &run.input, d1.slice(..), Some(h1), None)?,
        ])
    }
}

/// The network at a shape, with a buffer for each tensor.
struct Run {
    batch: usize,
    height: usize,
    width: usize,
    input: Buffer,
    hidden: [Buffer; 2],
    output: Buffer,
    wanted: Buffer,
    gradient: Buffer,
    /// The squared errors of each row; their sum over `count` is the loss.
    errors: Buffer,
    count: f64,
    forward: Vec<Bound>,
    loss: Dispatch,
}

impl Run {
    fn new(net: &Net, [batch, height, width]: [usize; 3]) -> Result<Self> {
        let (context, pixels) = (&net.context, batch * height * width);
        let tensor = |elements: usize| buffer(context, 4 * elements as u64);
        let (input, hidden) = (tensor(3 * pixels), [(); 2].map(|()| tensor(CHANNELS * pixels)));
        let [output, wanted, gradient] = [(); 3].map(|()| tensor(12 * pixels));
        let rows = batch * 3 * 2 * height;
        let errors = tensor(rows);
        let [bilinear, first, second, up] = &net.layers;
        let (shape, wide) = ([batch, 3, height, width], [batch, CHANNELS, height, width]);
        let (request, [h1, h2]) = (Request::new(Storage::F32), &hidden);
        let relu = |layer: &Layer, shape: &[usize], input: &Buffer, output: &Buffer| {
            layer.prepare_for_training(shape, Saved::Output, request)?.bind(input.slice(..), None, output.slice(..))
        };
        let forward = vec![
            bilinear.prepare(&shape, request)?.bind(input.slice(..), output.slice(..))?,
            relu(first, &shape, &input, h1)?,
            relu(second, &wide, h1, h2)?,
            up.prepare(&wide, request.accumulating())?.bind(h2.slice(..), output.slice(..))?,
        ];
        let count = (batch * 3 * (2 * height - 2 * MARGIN) * (2 * width - 2 * MARGIN)) as f64;
        let sizes = [2 * width, 2 * height, MARGIN, rows].map(|size| size as u32);
        let sizes = [&sizes[..], &[(count as f32).to_bits(), 0, 0, 0]].concat();
        let uniform = uniform(context, bytemuck::cast_slice(&sizes));
        let loss = Dispatch::new(context, LOSS, &[&uniform, &output, &wanted, &gradient, &errors], rows.div_ceil(64));
        Ok(Self { batch, height, width, input, hidden, output, wanted, gradient, errors, count, forward, loss })
    }

    fn fill(&self, context: &Context, input: &[f32], wanted: &[f32]) {
        context.queue().write_buffer(&self.input, 0, bytemuck::cast_slice(input));
        context.queue().write_buffer(&self.wanted, 0, bytemuck::cast_slice(wanted));
    }

    /// Runs the network and reads the loss.
    fn measure(&self, context: &Context) -> Result<f64> {
        submit(context, &self.forward, &self.loss);
        self.error(context)
    }

    /// The loss of what was submitted last.
    fn error(&self, context: &Context) -> Result<f64> {
        let errors = context.download(&self.errors, &[self.errors.size() as usize / 4], Storage::F32)?;
        Ok(errors.to_f64().iter().sum::<f64>() / self.count)
    }
}

struct Adam {
    rate: Buffer,
    dispatch: Dispatch,
}

impl Adam {
    fn new(net: &Net) -> Result<Self> {
        let (context, size) = (&net.context, net.parameters.size());
        let (rate, [means, squares]) = (uniform(context, &[0; 16]), [(); 2].map(|()| buffer(context, size)));
        let buffers = [&rate, &net.gradients, &means, &squares, &net.parameters];
        let dispatch = Dispatch::new(context, ADAM, &buffers, (size as usize / 4).div_ceil(64));
        Ok(Self { rate, dispatch })
    }

    /// The rate of the next step; `number` counts from 1.
    fn rate(&self, context: &Context, rate: f64, number: i32) {
        let corrected = rate * (1.0 - 0.999f64.powi(number)).sqrt() / (1.0 - 0.9f64.powi(number));
        context.queue().write_buffer(&self.rate, 0, &(corrected as f32).to_ne_bytes());
    }
}

/// A kernel of the example's own, with its buffers.
struct Dispatch {
    pipeline: wgpu::ComputePipeline,
    bind_group: wgpu::BindGroup,
    workgroups: u32,
}

impl Dispatch {
    fn new(context: &Context, source: &str, buffers: &[&Buffer], workgroups: usize) -> Self {
        let device = context.device();
        let source = wgpu::ShaderSource::Wgsl(source.into());
        let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: None,
            layout: None,
            module: &device.create_shader_module(wgpu::ShaderModuleDescriptor { label: None, source }),
            entry_point: None,
            compilation_options: Default::default(),
            cache: None,
        });
        let resources = buffers.iter().map(|buffer| buffer.as_entire_binding());
        let entries = (0..).zip(resources).map(|(binding, resource)| wgpu::BindGroupEntry { binding, resource });
        let bind_group = device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: None,
            layout: &pipeline.get_bind_group_layout(0),
            entries: &entries.collect::<Vec<_>>(),
        });
        Self { pipeline, bind_group, workgroups: workgroups as u32 }
    }
}

fn submit(context: &Context, layers: &[Bound], then: &Dispatch) {
    let mut encoder = context.device().create_command_encoder(&Default::default());
    {
        let mut pass = encoder.begin_compute_pass(&Default::default());
        layers.iter().for_each(|layer| layer.encode(&mut pass));
        pass.set_pipeline(&then.pipeline);
        pass.set_bind_group(0, &then.bind_group, &[]);
        pass.dispatch_workgroups(then.workgroups, 1, 1);
    }
    context.queue().submit([encoder.finish()]);
}

fn buffer(context: &Context, size: u64) -> Buffer {
    let usage = BufferUsages::STORAGE | BufferUsages::COPY_SRC | BufferUsages::COPY_DST;
    let descriptor = wgpu::BufferDescriptor { label: None, size, usage, mapped_at_creation: false };
    context.device().create_buffer(&descriptor)
}

fn uniform(context: &Context, bytes: &[u8]) -> Buffer {
    let (size, usage) = (bytes.len() as u64, BufferUsages::UNIFORM | BufferUsages::COPY_DST);
    let descriptor = wgpu::BufferDescriptor { label: None, size, usage, mapped_at_creation: false };
    let buffer = context.device().create_buffer(&descriptor);
    context.queue().write_buffer(&buffer, 0, bytes);
    buffer
}

/// Two plots, one above the other, against the steps: the loss on a logarithmic axis, and the PSNR of what is held out,
/// with a dashed line for the bicubic filter. The text is a grey that can be read on white and on black.
fn draw(curve: &[[f64; 3]], bicubic: f64) -> String {
    const STYLE: &str = "text{font:12px system-ui,sans-serif;fill:#768390}line{stroke:#768390;stroke-opacity:.4}\
                         polyline{fill:none;stroke:#3b82f6;stroke-width:2}";
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 760 460\" width=\"760\" height=\"460\">\n\
         <title>An upsampler learns</title>\n<style>{STYLE}</style>\n"
    );
    let steps = curve[curve.len() - 1][0].max(1.0);
    let x = |step: f64| 60.0 + 570.0 * step / steps;
    let ends = |values: &[f64]| values.iter().fold([f64::MAX, f64::MIN], |[a, b], &v| [a.min(v), b.max(v)]);
    let mut plot = |title: &str, top: f64, values: Vec<f64>, label: fn(f64) -> String, dashed: Option<f64>| {
        let lines = ends(&values).map(|value| (value, label(value), "none"));
        let dashed = dashed.map(|value| (value, format!("bicubic {}", label(value)), "6 4"));
        let lines: Vec<_> = lines.into_iter().chain(dashed).collect();
        let [least, most] = ends(&lines.iter().map(|line| line.0).collect::<Vec<_>>());
        let y = |value: f64| top + 160.0 * (most - value) / (most - least).max(1e-9);
        svg += &format!("<text x=\"60\" y=\"{}\">{title}</text>\n", top - 14.0);
        for (value, label, dashes) in lines {
            let y = y(value);
            svg += &format!("<line x1=\"60\" x2=\"630\" y1=\"{y:.1}\" y2=\"{y:.1}\" stroke-dasharray=\"{dashes}\"/>\n");
            svg += &format!("<text x=\"636\" y=\"{:.1}\">{label}</text>\n", y + 4.0);
        }
        let points = curve.iter().zip(&values).map(|(at, &value)| format!("{:.1},{:.1}", x(at[0]), y(value)));
        svg += &format!("<polyline points=\"{}\"/>\n", points.collect::<Vec<_>>().join(" "));
    };
    let [losses, held_out] = [1, 2].map(|what| curve.iter().map(move |at| at[what]));
    let loss = |value| format!("{:.5}", 10f64.powf(value));
    plot("loss of the part that is trained on", 40.0, losses.map(f64::log10).collect(), loss, None);
    let decibels = |value| format!("{value:.2} dB");
    plot("PSNR of the part that is held out", 255.0, held_out.collect(), decibels, Some(bicubic));
    for step in [0.0, steps / 2.0, steps] {
        svg += &format!("<text x=\"{:.1}\" y=\"440\" text-anchor=\"middle\">{step:.0}</text>\n", x(step));
    }
    svg + "<text x=\"60\" y=\"456\">steps</text>\n</svg>\n"
}
