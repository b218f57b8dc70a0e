//! The Conv cases of ONNX's backend tests, of `tests/data/onnx_conv.safetensors`.

use safetensors::SafeTensors;
use upconv::convention::AutoPad;
use upconv::{Convolution, Tensor};

/// A case, its `auto_pad` resolved.
pub(crate) struct OnnxCase {
    pub(crate) name: String,
    pub(crate) convolution: Convolution,
    pub(crate) input: Tensor,
    pub(crate) weight: Tensor,
    pub(crate) bias: Option<Tensor>,
    pub(crate) expected: Tensor,
}

impl OnnxCase {
    /// As ONNX compares: within a relative 1e-3, which sums in another order need, and an absolute 1e-6.
    pub(crate) fn compare(&self, got: &Tensor) {
        assert_eq!(got.shape(), self.expected.shape(), "{}", self.name);
        for (got, expected) in got.to_f64().iter().zip(self.expected.to_f64()) {
            assert!((got - expected).abs() <= 1e-6 + 1e-3 * expected.abs(), "{}: {got}, not {expected}", self.name);
        }
    }
}

pub(crate) fn onnx_cases() -> Vec<OnnxCase> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/onnx_conv.safetensors");
    let bytes = std::fs::read(path).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let words = |name: &str| -> Option<(Vec<usize>, Vec<[u8; 4]>)> {
        let tensor = file.tensor(name).ok()?;
        Some((tensor.shape().to_vec(), tensor.data().as_chunks::<4>().0.to_vec()))
    };
    let tensor = |name: &str| {
        let (shape, words) = words(name)?;
        Some(Tensor::f32(shape, words.into_iter().map(f32::from_le_bytes).collect::<Vec<_>>()).unwrap())
    };
    let mut names: Vec<String> =
        file.names().into_iter().filter_map(|name| name.strip_suffix(".attributes").map(String::from)).collect();
    names.sort_unstable();
    let case = |name: String| {
        let (_, words) = words(&format!("{name}.attributes")).unwrap();
        let numbers: Vec<i32> = words.into_iter().map(i32::from_le_bytes).collect();
        let rank = numbers[0] as usize;
        let part = |number: usize| numbers[1 + number * rank..1 + (number + 1) * rank].iter().map(|&n| n as usize);
        let [groups, auto_pad] = [1, 2].map(|last| numbers[4 * rank + last] as usize);
        let of = |letter: &str| tensor(&format!("{name}.{letter}"));
        let (input, weight) = (of("x").unwrap(), of("w").unwrap());
        let convolution = Convolution::builder()
            .in_channels(weight.shape()[1] * groups)
            .out_channels(weight.shape()[0])
            .groups(groups)
            .kernel(weight.shape()[2..].iter().copied())
            .stride(part(0))
            .dilation(part(1))
            .padding(part(2).zip(part(3)))
            .build()
            .unwrap();
        let auto_pad = [AutoPad::NotSet, AutoPad::SameUpper, AutoPad::SameLower, AutoPad::Valid][auto_pad];
        let convolution = convolution.auto_padded(auto_pad, input.shape()).unwrap();
        OnnxCase { convolution, input, weight, bias: of("b"), expected: of("y").unwrap(), name }
    };
    let cases: Vec<OnnxCase> = names.into_iter().map(case).collect();
    assert_eq!(cases.len(), 32);
    cases
}
