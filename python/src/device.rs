//! Where it is computed: devices by name, each opened once for a process.

use crate::error::DeviceError;
use crate::work::{ANY_TIME, work};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyInt};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use upconv::gpu::{self, AdapterRequest, Context};
use upconv::{DType, DeviceClass, DeviceProfile, Error, cpu, wgpu};

/// A device that is open.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) backend: Backend,
    name: String,
    /// The process that opened it: a device does not survive a fork.
    process: u32,
    closed: AtomicBool,
    /// Held by who uses it: wgpu panics where a device goes while a kernel is compiled.
    using: RwLock<()>,
}

#[derive(Debug)]
pub(crate) enum Backend {
    Gpu(Context),
    Cpu,
    Reference,
}

/// The multiply-adds of one submission to a GPU in software, which takes a part of a second for them.
const IN_SOFTWARE: u64 = 1 << 32;

/// The device with submissions that end soon: an interruption is heard between them. One in hardware ends soon enough.
fn interruptible(context: &Context) -> Context {
    let profile = context.profile();
    match profile.class {
        DeviceClass::Software => context.limited(DeviceProfile { max_multiply_adds: IN_SOFTWARE, ..profile.clone() }),
        _ => context.clone(),
    }
}

/// The devices that are open, by the names that they were asked for.
static OPEN: Mutex<Option<HashMap<String, Arc<Opened>>>> = Mutex::new(None);

fn open_devices() -> MutexGuard<'static, Option<HashMap<String, Arc<Opened>>>> {
    OPEN.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Opened {
    fn new(backend: Backend, name: String) -> Arc<Self> {
        let (process, closed) = (std::process::id(), AtomicBool::new(false));
        Arc::new(Self { backend, name, process, closed, using: RwLock::default() })
    }

    /// Opens the device of this name.
    fn open(name: &str) -> upconv::Result<Arc<Self>> {
        let gpu = |context: Context| {
            let name = context.adapter_name();
            Self::new(Backend::Gpu(interruptible(&context)), name)
        };
        let request = |name: Option<&str>, hardware_only| {
            Context::request(&AdapterRequest { name: name.map(Into::into), hardware_only }).map(gpu)
        };
        match name {
            "cpu" => Ok(Self::new(Backend::Cpu, "cpu".into())),
            "reference" => Ok(Self::new(Backend::Reference, "reference".into())),
            "gpu" => request(None, false),
            "auto" => match request(None, true) {
                Err(Error::NoAdapter { .. } | Error::NoDevice { .. }) => Self::open("cpu"),
                opened => opened,
            },
            other => request(Some(other), false),
        }
    }

    /// That of this name which is open, or which this opens.
    fn named(name: &str) -> upconv::Result<Arc<Self>> {
        let mut open = open_devices();
        let open = open.get_or_insert_default();
        match open.get(name) {
            Some(opened) if opened.process == std::process::id() => Ok(opened.clone()),
            before => {
                // What the process before had is not there to be freed.
                std::mem::forget(before.cloned());
                let opened = Self::open(name)?;
                open.insert(name.into(), opened.clone());
                Ok(opened)
            }
        }
    }

    /// Refuses a device that was closed, or opened by the process that this one was forked off.
    ///
    /// # Errors
    /// `DeviceError`.
    pub(crate) fn check(&self) -> PyResult<()> {
        let problem = if self.closed.load(Ordering::Acquire) {
            "was closed"
        } else if matches!(self.backend, Backend::Gpu(_)) && self.process != std::process::id() {
            "was opened before this process was forked off, and GPUs do not survive that: start processes by \"spawn\""
        } else {
            return Ok(());
        };
        Err(DeviceError::new_err(format!("the device {} {problem}", self.name)))
    }

    /// [`work`] on the device, which is not closed meanwhile.
    ///
    /// # Errors
    /// As [`work`], and `DeviceError` where it was closed just before.
    pub(crate) fn work<T: Send>(
        &self,
        py: Python<'_>,
        multiply_adds: u128,
        task: impl FnOnce() -> upconv::Result<T> + Send,
    ) -> PyResult<T> {
        work(py, multiply_adds, || {
            let _using = self.using.read().unwrap_or_else(PoisonError::into_inner);
            match self.closed.load(Ordering::Acquire) {
                true => Err(Error::DeviceLost { during: "taking it", reason: "it was closed".into() }),
                false => task(),
            }
        })
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }
}

/// The device that an argument means, for arrays of this type.
///
/// # Errors
/// `TypeError` for other than a name, a number or a device; `DeviceError`.
pub(crate) fn device(given: &Bound<'_, PyAny>, dtype: DType) -> PyResult<Arc<Opened>> {
    if let Ok(device) = given.cast::<Device>() {
        let opened = &device.get().0;
        opened.check()?;
        return Ok(opened.clone());
    }
    let py = given.py();
    let name = match given.extract::<String>() {
        Ok(name) => name,
        Err(_) if given.is_instance_of::<PyInt>() && !given.is_instance_of::<PyBool>() => given.str()?.to_string(),
        Err(_) => {
            let given = given.get_type().name()?;
            return Err(PyTypeError::new_err(format!("device is a {given}, expected a str, an int or a Device")));
        }
    };
    // GPUs have no f64.
    let name = if name == "auto" && dtype == DType::F64 { "cpu".into() } else { name };
    // Without waiting for somebody who is opening another.
    if let Ok(open) = OPEN.try_lock()
        && let Some(opened) = open.as_ref().and_then(|open| open.get(&name))
        && opened.process == std::process::id()
    {
        return Ok(opened.clone());
    }
    work(py, 0, || Opened::named(&name))
}

/// A device: a GPU, the CPU, or the f64 reference.
#[pyclass(frozen, name = "Device", module = "upconv")]
pub(crate) struct Device(pub(crate) Arc<Opened>);

#[pymethods]
impl Device {
    #[new]
    #[pyo3(signature = (name = None))]
    fn new(py: Python<'_>, name: Option<&Bound<'_, PyAny>>) -> PyResult<Self> {
        let auto = "auto".into_pyobject(py)?.into_any();
        device(name.unwrap_or(&auto), DType::F32).map(Self)
    }

    /// The adapter in one line, or `cpu` or `reference`.
    #[getter]
    fn name(&self) -> &str {
        &self.0.name
    }

    /// `gpu`, `cpu` or `reference`.
    #[getter]
    fn kind(&self) -> &'static str {
        match self.0.backend {
            Backend::Gpu(_) => "gpu",
            Backend::Cpu => "cpu",
            Backend::Reference => "reference",
        }
    }

    /// Whether it was closed.
    #[getter]
    fn closed(&self) -> bool {
        self.0.closed.load(Ordering::Acquire)
    }

    /// Waits for what is under way, and frees all that is on the device. What was made with it raises `DeviceError` from then on; its name opens it anew.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        let opened = &self.0;
        if opened.closed.swap(true, Ordering::AcqRel) {
            return Ok(());
        }
        work(py, 0, || {
            if let Some(open) = open_devices().as_mut() {
                open.retain(|_, other| !Arc::ptr_eq(other, opened));
            }
            let _alone = opened.using.write().unwrap_or_else(PoisonError::into_inner);
            if let (Backend::Gpu(context), true) = (&opened.backend, opened.process == std::process::id()) {
                context.device().destroy();
            }
            Ok(())
        })
    }

    fn __enter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    #[pyo3(signature = (*_error))]
    fn __exit__(&self, py: Python<'_>, _error: &Bound<'_, PyAny>) -> PyResult<()> {
        self.close(py)
    }

    fn __eq__(&self, other: &Bound<'_, PyAny>) -> bool {
        other.cast::<Device>().is_ok_and(|other| Arc::ptr_eq(&self.0, &other.get().0))
    }

    fn __hash__(&self) -> usize {
        Arc::as_ptr(&self.0) as usize
    }

    fn __repr__(&self) -> String {
        format!("<upconv.Device {:?}{}>", self.0.name, if self.closed() { ", closed" } else { "" })
    }
}

/// What is known of the adapters of this machine, in the order of their numbers: a dict for each.
#[pyfunction]
pub(crate) fn adapters(py: Python<'_>) -> PyResult<Vec<Bound<'_, PyDict>>> {
    let adapters = work(py, ANY_TIME, || {
        gpu::check_environment()?;
        Ok(pollster::block_on(gpu::adapters(true)))
    })?;
    let describe = |(number, adapter): (usize, &wgpu::Adapter)| {
        let (info, limits) = (adapter.get_info(), adapter.limits());
        let dict = PyDict::new(py);
        dict.set_item("number", number)?;
        dict.set_item("class", format!("{:?}", DeviceClass::of(&info)).to_lowercase())?;
        dict.set_item("auto", info.device_type != wgpu::DeviceType::Cpu)?;
        dict.set_item("backend", info.backend.to_string())?;
        dict.set_item("driver", format!("{} {}", info.driver, info.driver_info).trim())?;
        dict.set_item("name", info.name)?;
        dict.set_item("pci_bus", info.device_pci_bus_id)?;
        dict.set_item("float16", adapter.features().contains(wgpu::Features::SHADER_F16))?;
        dict.set_item("max_array_bytes", limits.max_storage_buffer_binding_size.min(limits.max_buffer_size))?;
        Ok(dict)
    };
    adapters.iter().enumerate().map(describe).collect()
}

/// The threads of the CPU backend and its vector instructions.
#[pyfunction]
pub(crate) fn processor(py: Python<'_>) -> PyResult<(usize, String)> {
    work(py, 0, || Ok((rayon::current_num_threads(), format!("{:?}", cpu::Level::best()).to_lowercase())))
}

/// Refuses what is on another device than the one where it is used.
///
/// # Errors
/// `DeviceError`.
pub(crate) fn check_same(what: &str, given: &Arc<Opened>, expected: &Arc<Opened>) -> PyResult<()> {
    given.check()?;
    if Arc::ptr_eq(given, expected) {
        return Ok(());
    }
    let also =
        if given.name == expected.name { ", opened under another name: give both the same upconv.Device" } else { "" };
    let problem = format!("{what} is on {}, expected one on {}{also}", given.name, expected.name);
    Err(DeviceError::new_err(problem))
}
