//! The weights, inputs and expected values of the examples, which another engine made: see scripts/example-values.

use half::f16;
use safetensors::{Dtype, SafeTensors};
use std::path::Path;
use upconv::Tensor;

/// A file of examples/data.
pub(crate) struct Values(Vec<u8>);

impl Values {
    pub(crate) fn read(name: &str) -> Result<Self, Box<dyn std::error::Error>> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/data").join(name);
        Ok(Self(std::fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?))
    }

    pub(crate) fn tensor(&self, name: &str) -> Result<Tensor, Box<dyn std::error::Error>> {
        let file = SafeTensors::deserialize(&self.0)?;
        let tensor = file.tensor(name).map_err(|error| format!("{name}: {error}"))?;
        let data: Vec<f32> = match tensor.dtype() {
            Dtype::F16 => bytemuck::pod_collect_to_vec::<u8, f16>(tensor.data()).iter().map(|x| x.to_f32()).collect(),
            Dtype::F32 => bytemuck::pod_collect_to_vec(tensor.data()),
            other => return Err(format!("{name} is {other:?}").into()),
        };
        Ok(Tensor::f32(tensor.shape(), data)?)
    }
}

/// Says how far off a backend's result is, and fails where that is too far.
pub(crate) fn check(
    backend: &str,
    got: &Tensor,
    expected: &Tensor,
    tolerance: f32,
) -> Result<(), Box<dyn std::error::Error>> {
    assert_eq!(got.shape(), expected.shape());
    let errors = got.to_f32().into_iter().zip(expected.to_f32()).map(|(a, b)| (a - b).abs());
    let worst = errors.fold(0.0, |worst: f32, error| if error.is_nan() { f32::INFINITY } else { worst.max(error) });
    println!("{backend}: {:?}, within {worst:.1e} of what is expected", got.shape());
    if worst <= tolerance { Ok(()) } else { Err(format!("expected at most {tolerance:e}").into()) }
}
