//! Networks from files.

use crate::array::{Array, numpy};
use crate::device::{Backend, Device, Opened, check_same, device};
use crate::device_array::storage;
use crate::device_array::{DeviceArray, Elements};
use crate::error::python;
use crate::work::{ANY_TIME, work};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use upconv::gpu::PreparedGraph;
use upconv::graph::{Graph, Operation, ncnn, onnx};
use upconv::wgpu::BufferSlice;
use upconv::{DType, Error, Storage, Tensor, TensorView, cpu, gpu, upscale};

/// The largest files that are read, in bytes.
const MAX_PARAM: u64 = 16 << 20;
const MAX_WEIGHTS: u64 = 1 << 30;

/// A network with its weights on a device.
#[pyclass(frozen, name = "Network", module = "upconv")]
pub(crate) struct Network {
    device: Arc<Opened>,
    made: Made,
}

enum Made {
    /// With what was prepared last, which is for the same shapes as a rule.
    Gpu(gpu::Graph, Mutex<Option<Prepared>>),
    Cpu(cpu::Graph),
    Reference(Graph),
}

#[derive(Clone)]
struct Prepared {
    shapes: Vec<Vec<usize>>,
    storage: Storage,
    graph: PreparedGraph,
}

#[pymethods]
impl Network {
    /// Reads a network from a file and packs its weights.
    #[staticmethod]
    #[allow(clippy::needless_pass_by_value, reason = "Python's texts are copied")]
    fn load(py: Python<'_>, path: PathBuf, bin: Option<PathBuf>, device_name: &Bound<'_, PyAny>) -> PyResult<Self> {
        let graph = read(py, &path, bin)?;
        let device = device(device_name, DType::F32)?;
        let made = device.work(py, ANY_TIME, || {
            Ok(match &device.backend {
                Backend::Gpu(context) => Made::Gpu(gpu::Graph::new(context, &graph)?, Mutex::default()),
                Backend::Cpu => Made::Cpu(cpu::Graph::new(&graph)?),
                Backend::Reference => Made::Reference(graph),
            })
        })?;
        Ok(Self { device, made })
    }

    /// The outputs for these inputs: of arrays of the host as such, of arrays on the device as arrays there.
    #[allow(clippy::needless_pass_by_value, reason = "Python's lists are copied")]
    fn run<'py>(&self, py: Python<'py>, inputs: Vec<Bound<'py, PyAny>>) -> PyResult<Vec<Bound<'py, PyAny>>> {
        self.device.check()?;
        let there: Vec<_> = inputs.iter().filter_map(|input| input.cast::<DeviceArray>().ok()).collect();
        if there.is_empty() {
            return self.run_numpy(py, &inputs);
        }
        if there.len() < inputs.len() {
            let (there, all) = (there.len(), inputs.len());
            return Err(PyTypeError::new_err(format!(
                "{there} of {all} inputs are DeviceArrays, expected all or none"
            )));
        }
        let there: Vec<&DeviceArray> = there.into_iter().map(Bound::get).collect();
        self.run_there(py, &there)
    }

    /// The channels of each input.
    #[getter]
    fn inputs(&self) -> Vec<usize> {
        self.graph().inputs().iter().map(|&value| self.graph().node(value).channels()).collect()
    }

    /// The channels of each output.
    #[getter]
    fn outputs(&self) -> Vec<usize> {
        self.graph().outputs().iter().map(|&value| self.graph().node(value).channels()).collect()
    }

    /// The axes behind the channels.
    #[getter]
    fn rank(&self) -> usize {
        self.graph().rank()
    }

    /// The numbers in its weights and biases.
    #[getter]
    fn parameters(&self) -> u64 {
        let of = |tensor: &Tensor| tensor.data().len() as u64;
        let layers = self.graph().nodes().iter().map(|node| match node.operation() {
            Operation::Layer(layer) => of(&layer.weight) + layer.bias.as_deref().map_or(0, of),
            _ => 0,
        });
        layers.sum()
    }

    /// The shapes of the outputs for these of the inputs.
    #[allow(clippy::needless_pass_by_value, reason = "Python's lists are copied")]
    fn output_shapes(&self, inputs: Vec<Vec<usize>>) -> PyResult<Vec<Vec<usize>>> {
        output_shapes(self.graph(), &inputs).map_err(python)
    }

    #[getter]
    fn device(&self) -> Device {
        Device(self.device.clone())
    }
}

/// Reads a file in the format that its name says.
fn read(py: Python<'_>, path: &PathBuf, bin: Option<PathBuf>) -> PyResult<Graph> {
    let is = |extension: &str| path.extension().is_some_and(|given| given.eq_ignore_ascii_case(extension));
    let shown = path.display();
    if bin.is_some() && !is("param") {
        return Err(PyValueError::new_err(format!("{shown}: bin is for files of ncnn, which end in .param")));
    }
    let bytes = |path: &PathBuf, most: u64| {
        let length = std::fs::metadata(path)?.len();
        if length > most {
            let problem = format!("{} has {length} bytes, expected at most {most}", path.display());
            return Err(PyValueError::new_err(problem));
        }
        Ok(std::fs::read(path)?)
    };
    let graph = if is("param") {
        let bin = bin.unwrap_or_else(|| path.with_extension("bin"));
        let (param, weights) = (bytes(path, MAX_PARAM)?, bytes(&bin, MAX_WEIGHTS)?);
        work(py, ANY_TIME, || Ok(ncnn::read(&param, &weights)))?
    } else if is("onnx") {
        let bytes = bytes(path, MAX_WEIGHTS)?;
        work(py, ANY_TIME, || Ok(onnx::read(&bytes)))?
    } else if is("safetensors") {
        let bytes = bytes(path, MAX_WEIGHTS)?;
        work(py, ANY_TIME, || Ok(upscale::Network::from_safetensors(&bytes).map(|network| network.graph().clone())))?
    } else {
        return Err(PyValueError::new_err(format!("{shown}, expected a file .onnx, .param (of ncnn) or .safetensors")));
    };
    graph.map_err(|error| PyValueError::new_err(format!("{shown}: {error}")))
}

fn output_shapes<S: AsRef<[usize]>>(graph: &Graph, inputs: &[S]) -> upconv::Result<Vec<Vec<usize>>> {
    let shapes = graph.shapes(inputs)?;
    Ok(graph.outputs().iter().map(|output| shapes[output.index()].clone()).collect())
}

impl Network {
    fn graph(&self) -> &Graph {
        match &self.made {
            Made::Gpu(graph, _) => graph.graph(),
            Made::Cpu(graph) => graph.graph(),
            Made::Reference(graph) => graph,
        }
    }

    fn run_numpy<'py>(&self, py: Python<'py>, inputs: &[Bound<'py, PyAny>]) -> PyResult<Vec<Bound<'py, PyAny>>> {
        let arrays = inputs.iter().map(|input| Array::new("input", input)).collect::<PyResult<Vec<_>>>()?;
        let views = arrays.iter().map(Array::view).collect::<PyResult<Vec<_>>>()?;
        let dtype = arrays.first().map_or(DType::F32, Array::dtype);
        let outputs = self.device.work(py, ANY_TIME, || self.compute(&views, dtype))?;
        outputs.into_iter().map(|output| numpy(py, output.into_dtype(dtype))).collect()
    }

    fn compute(&self, inputs: &[TensorView<'_>], dtype: DType) -> upconv::Result<Vec<Tensor>> {
        match &self.made {
            Made::Gpu(graph, last) => {
                let storage = storage(graph.context(), dtype)?;
                let shapes = inputs.iter().map(|input| input.shape().to_vec()).collect();
                prepare(graph, last, shapes, storage)?.run(inputs)
            }
            Made::Cpu(graph) => graph.run(inputs),
            Made::Reference(graph) => {
                let inputs: Vec<Tensor> = inputs.iter().map(TensorView::to_tensor).collect();
                graph.on_reference(&inputs)
            }
        }
    }

    fn run_there<'py>(&self, py: Python<'py>, inputs: &[&DeviceArray]) -> PyResult<Vec<Bound<'py, PyAny>>> {
        for input in inputs {
            check_same("input", input.device(), &self.device)?;
        }
        let elements = inputs.iter().map(|input| input.elements()).collect::<PyResult<Vec<_>>>()?;
        let shapes: Vec<Vec<usize>> = inputs.iter().map(|input| input.shape().to_vec()).collect();
        let dtype = inputs.first().map_or(DType::F32, |input| input.dtype());
        let outputs = self.device.work(py, ANY_TIME, || match &self.made {
            Made::Gpu(graph, last) => {
                let prepared = prepare(graph, last, shapes.clone(), storage(graph.context(), dtype)?)?;
                on_device(graph, &prepared, &elements)
            }
            Made::Cpu(_) | Made::Reference(_) => {
                let host = |elements: &Elements| match elements {
                    Elements::Host(tensor) => Ok(tensor.clone()),
                    Elements::Gpu(..) => Err(elsewhere()),
                };
                let tensors = elements.iter().map(host).collect::<upconv::Result<Vec<_>>>()?;
                let views: Vec<TensorView<'_>> = tensors.iter().map(|tensor| tensor.view()).collect();
                let outputs = self.compute(&views, dtype)?;
                Ok(outputs.into_iter().map(|output| Elements::Host(output.into_dtype(dtype).into())).collect())
            }
        })?;
        let shapes = output_shapes(self.graph(), &shapes).map_err(python)?;
        let array = |(elements, shape)| {
            let array = DeviceArray::new(self.device.clone(), shape, dtype, elements);
            Ok(Bound::new(py, array)?.into_any())
        };
        outputs.into_iter().zip(shapes).map(array).collect()
    }
}

fn elsewhere() -> Error {
    Error::Buffer { what: "input", problem: "is not where the network is".into() }
}

/// The graph prepared for these shapes, by the last run where they were the same.
fn prepare(
    graph: &gpu::Graph,
    last: &Mutex<Option<Prepared>>,
    shapes: Vec<Vec<usize>>,
    storage: Storage,
) -> upconv::Result<PreparedGraph> {
    let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(prepared) = &*last
        && prepared.shapes == shapes
        && prepared.storage == storage
    {
        return Ok(prepared.graph.clone());
    }
    let prepared = graph.prepare(&shapes, storage)?;
    *last = Some(Prepared { shapes, storage, graph: prepared.clone() });
    Ok(prepared)
}

/// Runs a graph from buffers to new ones.
fn on_device(graph: &gpu::Graph, prepared: &PreparedGraph, inputs: &[Elements]) -> upconv::Result<Vec<Elements>> {
    let input = |elements: &Elements| match elements {
        Elements::Gpu(buffer, storage) => Ok((buffer.clone(), *storage)),
        Elements::Host(_) => Err(elsewhere()),
    };
    let inputs = inputs.iter().map(input).collect::<upconv::Result<Vec<_>>>()?;
    let storage = inputs.first().map_or(Storage::F32, |(_, storage)| *storage);
    let allocate = |number: usize| {
        let elements = prepared.output_shape(number).iter().product();
        graph.context().allocate(elements, storage)
    };
    let outputs = (0..graph.graph().outputs().len()).map(allocate).collect::<upconv::Result<Vec<_>>>()?;
    let from: Vec<BufferSlice<'_>> = inputs.iter().map(|(buffer, _)| buffer.slice(..)).collect();
    let to: Vec<BufferSlice<'_>> = outputs.iter().map(|buffer| buffer.slice(..)).collect();
    prepared.bind(&from, &to)?.submit()?;
    Ok(outputs.into_iter().map(|buffer| Elements::Gpu(buffer, storage)).collect())
}
