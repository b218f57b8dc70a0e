//! The operations that are checked, and how a GPU computes them.

use super::Device;
use anyhow::Result;
use upconv::gpu::{self, Context, Request};
use upconv::reference::{self, Comparison, Expected};
use upconv::{
    Activation, ConvTranspose, DType, Error, Kernel, Layout, OutputGradient, Storage, Tensor, WeightLayout, cpu,
};

/// One operation with seeded data, and the result of the reference.
pub(super) struct Case {
    pub(super) name: &'static str,
    pub(super) op: ConvTranspose,
    pub(super) input: Tensor,
    pub(super) weight: Tensor,
    pub(super) bias: Tensor,
    /// What the output holds before, to which a residual layer adds.
    pub(super) residual: Option<Tensor>,
    pub(super) expected: Expected,
}

impl Case {
    /// Runs those of the kernels that accept the case, each into an output full of NaN, so that an element that is not
    /// written shows.
    pub(super) fn on_gpu(
        &self,
        context: &Context,
        storage: Storage,
        kernels: &[Kernel],
    ) -> Result<Vec<(String, Comparison)>> {
        let layer = gpu::Layer::new(context, &self.op, &self.weight, Some(&self.bias))?;
        let x = context.upload(&self.input, storage)?;
        let mut results = Vec::new();
        for &kernel in kernels {
            let request = Request::new(storage).kernel(kernel);
            let request = if self.residual.is_some() { request.accumulating() } else { request };
            let prepared = match layer.prepare(self.input.shape(), request) {
                Err(Error::Kernel { .. }) => continue,
                prepared => prepared?,
            };
            let shape = prepared.geometry().output_shape();
            let poison = Tensor::f32(shape.clone(), vec![f32::NAN; prepared.geometry().output_len()])?;
            let y = context.upload(self.residual.as_ref().unwrap_or(&poison), storage)?;
            let mut encoder = context.device().create_command_encoder(&Default::default());
            prepared.encode(&mut encoder, x.slice(..), y.slice(..))?;
            context.queue().submit([encoder.finish()]);
            let got = context.download(&y, &shape, storage)?;
            let comparison = match kernel {
                Kernel::Winograd => self.expected.compare_normwise(&got)?,
                _ => self.expected.compare(&got)?,
            };
            results.push((kernel.to_string(), comparison));
        }
        Ok(results)
    }

    /// Runs it on the CPU, which adds no residual: it is held against the operation without one.
    pub(super) fn on_cpu(&self) -> Result<Comparison> {
        let Self { op, input, weight, bias, .. } = self;
        let got = cpu::Layer::new(op, weight, Some(bias))?.run(input)?;
        Ok(match self.residual {
            None => self.expected.compare(&got)?,
            Some(_) => reference::conv_transpose(op, input, weight, Some(bias))?.compare(&got)?,
        })
    }

    /// The gradients of input, weight and bias, each with what the reference expects; nothing where an activation before the
    /// products has no gradient.
    pub(super) fn gradients(&self, device: &Device) -> Result<Vec<(&'static str, Expected, Tensor)>> {
        let Self { op, input, weight, bias, .. } = self;
        if *op.pre_activation() != Activation::None {
            return Ok(Vec::new());
        }
        let shape = self.expected.shape().to_vec();
        let len = shape.iter().product::<usize>();
        let dy = Tensor::f32(shape, (0..len).map(|i| (i % 13) as f32 / 8.0 - 0.75).collect::<Vec<_>>())?;
        let sums = op.to_builder().activation(Activation::None).build()?;
        let sums = reference::run(&sums, input, weight, Some(bias))?;
        let gradient = OutputGradient::with_sum(&dy, &sums);
        let got = match device {
            Device::Gpu(context) => gpu::Layer::new(context, op, weight, Some(bias))?.backward(input, gradient)?,
            Device::Cpu => cpu::Layer::new(op, weight, Some(bias))?.backward(input, gradient)?,
        };
        Ok(vec![
            ("dx", reference::input_gradient(op, input.shape(), gradient, weight)?, got.input),
            ("dw", reference::weight_gradient(op, input, gradient)?, got.weight),
            ("db", reference::bias_gradient(op, input.shape(), gradient)?, got.bias),
        ])
    }

    /// With values from `least` to 1.
    fn new(name: &'static str, op: ConvTranspose, shape: &[usize], least: f32, seed: u64) -> Result<Self> {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut random = |shape: &[usize]| {
            let data: Vec<f32> = (0..shape.iter().product()).map(|_| least + rng.f32() * (1.0 - least)).collect();
            Tensor::f32(shape, data)
        };
        let (input, weight, bias) = (random(shape)?, random(&op.weight_shape())?, random(&[op.out_channels()])?);
        let expected = reference::conv_transpose(&op, &input, &weight, Some(&bias))?;
        Ok(Self { name, op, input, weight, bias, residual: None, expected })
    }

    /// The same with a residual that is added in place.
    fn adding(mut self) -> Result<Self> {
        let shape = self.expected.shape().to_vec();
        let residual =
            Tensor::f32(shape.clone(), (0..shape.iter().product()).map(|i| (i % 7) as f32 - 3.0).collect::<Vec<_>>())?;
        self.expected =
            reference::conv_transpose_adding(&self.op, &self.input, &self.weight, Some(&self.bias), &residual)?;
        self.residual = Some(residual);
        Ok(self)
    }

    /// The same with input and weights rounded to f16, for matrices of f16.
    pub(super) fn halved(&self) -> Result<Self> {
        let (input, weight, bias) = (self.input.cast(DType::F16), self.weight.cast(DType::F16), self.bias.clone());
        let expected = match &self.residual {
            None => reference::conv_transpose(&self.op, &input, &weight, Some(&bias))?,
            Some(residual) => reference::conv_transpose_adding(&self.op, &input, &weight, Some(&bias), residual)?,
        };
        Ok(Self {
            name: self.name,
            op: self.op.clone(),
            input,
            weight,
            bias,
            residual: self.residual.clone(),
            expected,
        })
    }
}

/// Sums of so many products that a driver may not run their loops to the end. No product is negative, so that those that
/// are missing cannot cancel.
fn long_sums() -> Result<[Case; 3]> {
    let op = |in_channels: usize| ConvTranspose::builder().in_channels(in_channels);
    let case = |name, op: ConvTranspose, shape: &[usize]| Case::new(name, op, shape, 0.0, 0);
    Ok([
        case("8192 input channels", op(8192).kernel([2, 2]).stride([2, 2]).build()?, &[1, 8192, 2, 3])?,
        case("70,000 input channels", op(70_000).out_channels(2).kernel([1]).build()?, &[1, 70_000, 4])?,
        case("33x33 taps", op(64).kernel([33, 33]).padding([30, 30]).build()?, &[1, 64, 32, 33])?,
    ])
}

/// A layer of a residual block: an activation before it, with a parameter of each channel, and one behind it.
fn residual_unit() -> Result<Case> {
    let alphas = (0..16).map(|channel| 0.25 + channel as f32 / 4.0).collect();
    let op = ConvTranspose::builder().in_channels(16).out_channels(16).kernel([7]).padding([3]);
    let op = op.pre_activation(Activation::Snake { alphas }).activation(Activation::Silu);
    Case::new("residual, snake before, silu behind", op.build()?, &[2, 16, 60], -1.0, 100)
}

/// Shapes that exercise every part of every kernel, from well-known networks and edge cases.
pub(super) fn cases() -> Result<Vec<Case>> {
    let op = ConvTranspose::builder;
    let relu = Activation::LeakyRelu { alpha: 0.1 };
    [
        (
            "dcgan, 4x4 to 8x8",
            op().in_channels(64).out_channels(32).kernel([4, 4]).stride([2, 2]).padding([1, 1]),
            &[2, 64, 4, 4][..],
        ),
        (
            "u-net, kernel = stride",
            op().in_channels(32).out_channels(16).kernel([2, 2]).stride([2, 2]),
            &[1, 32, 24, 24],
        ),
        (
            "fsrcnn, kernel 9",
            op().in_channels(12).kernel([9, 9]).stride([2, 2]).padding([4, 4]).output_padding([1, 1]),
            &[1, 12, 20, 33],
        ),
        (
            "fcn, kernel 64 stride 32",
            op().in_channels(3).out_channels(3).kernel([64, 64]).stride([32, 32]).padding([16, 16]),
            &[1, 3, 3, 4],
        ),
        ("hifigan, 1-D", op().in_channels(48).out_channels(24).kernel([16]).stride([8]).padding([4]), &[1, 48, 50]),
        (
            "depthwise",
            op().in_channels(24).out_channels(24).groups(24).kernel([4, 4]).stride([2, 2]).padding([1, 1]),
            &[1, 24, 17, 19],
        ),
        (
            "groups, multiplier 3",
            op().in_channels(4).out_channels(12).groups(4).kernel([3, 3]).stride([2, 1]),
            &[2, 4, 9, 7],
        ),
        (
            "3-D",
            op().in_channels(8).out_channels(6).kernel([4, 4, 4]).stride([2, 2, 2]).padding([1, 1, 1]),
            &[1, 8, 5, 6, 7],
        ),
        (
            "stride 1",
            op().in_channels(16).out_channels(16).kernel([3, 3]).padding([1, 1]).activation(relu),
            &[1, 16, 21, 21],
        ),
        (
            "dilation 6, stride 4",
            op().in_channels(3).out_channels(5).kernel([5, 3]).stride([4, 4]).dilation([6, 3]),
            &[1, 3, 7, 8],
        ),
        ("stride beyond the kernel", op().in_channels(2).out_channels(3).kernel([2, 1]).stride([5, 3]), &[2, 2, 6, 7]),
        (
            "channels last, uneven pads",
            op().in_channels(7)
                .out_channels(5)
                .kernel([3, 5])
                .stride([2, 3])
                .padding([(0, 2), (3, 1)])
                .layout(Layout::ChannelsLast)
                .weight_layout(WeightLayout::Hwoi),
            &[2, 11, 6, 7],
        ),
    ]
    .into_iter()
    .enumerate()
    .map(|(seed, (name, builder, shape))| Case::new(name, builder.build()?, shape, -1.0, seed as u64))
    .chain([residual_unit().and_then(Case::adding)])
    .chain(long_sums()?.map(Ok))
    .collect()
}
