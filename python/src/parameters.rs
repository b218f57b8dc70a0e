//! Python's arguments as the library's values, each refused with what was given and what was expected.

use pyo3::exceptions::{PyOverflowError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use upconv::{Accuracy, Activation, Layout};

/// A number, or one for each spatial axis: `stride=2`, `stride=(2, 1)`. One in a sequence counts for all axes, as in PyTorch.
#[derive(Clone, Debug)]
pub(crate) struct PerAxis {
    what: &'static str,
    values: Vec<i64>,
}

impl PerAxis {
    pub(crate) fn new(what: &'static str, given: &Bound<'_, PyAny>) -> PyResult<Self> {
        let values = match given.extract::<i64>() {
            Ok(value) => vec![value],
            Err(error) if error.is_instance_of::<PyOverflowError>(given.py()) => return Err(too_large(what, given)),
            Err(_) => match given.extract::<Vec<i64>>() {
                Ok(values) => values,
                Err(error) if error.is_instance_of::<PyOverflowError>(given.py()) => {
                    return Err(too_large(what, given));
                }
                Err(_) => {
                    let given = given.repr().map_or_else(|_| "something else".into(), |repr| repr.to_string());
                    return Err(PyTypeError::new_err(format!(
                        "{what} is {}, expected an int or a sequence of ints",
                        shortened(&given)
                    )));
                }
            },
        };
        Ok(Self { what, values })
    }

    /// The values for so many axes, each at least `least`.
    ///
    /// # Errors
    /// `ValueError` for another number of values, or one that is less.
    pub(crate) fn expand(&self, rank: usize, least: i64) -> PyResult<Vec<usize>> {
        let Self { what, values } = self;
        let each = |&value: &i64| match usize::try_from(value) {
            Ok(number) if value >= least => Ok(number),
            _ => Err(PyValueError::new_err(format!("{what} is {value}, expected at least {least}"))),
        };
        let values = values.iter().map(each).collect::<PyResult<Vec<usize>>>()?;
        match values.as_slice() {
            &[value] => Ok(vec![value; rank]),
            _ if values.len() == rank => Ok(values),
            _ => {
                let given = values.len();
                let problem = format!("{what} has {given} values, expected {rank}: one for each spatial axis");
                Err(PyValueError::new_err(problem))
            }
        }
    }
}

fn too_large(what: &str, given: &Bound<'_, PyAny>) -> PyErr {
    let given = given.repr().map_or_else(|_| "a number".into(), |repr| repr.to_string());
    PyValueError::new_err(format!("{what} is {}, which is beyond 64 bits", shortened(&given)))
}

/// The beginning of a text that may be of any length.
pub(crate) fn shortened(text: &str) -> String {
    const MOST: usize = 80;
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.into(),
    }
}

/// The layout of this name, for so many spatial axes.
///
/// # Errors
/// `ValueError`.
pub(crate) fn layout(name: &str, rank: usize) -> PyResult<Layout> {
    let wanted = name.to_ascii_lowercase();
    for (layout, other) in [(Layout::ChannelsFirst, "channels_first"), (Layout::ChannelsLast, "channels_last")] {
        let letters = layout.letters(rank, true);
        // PyTorch writes the length of a sequence as L.
        if wanted == letters || wanted == other || rank == 1 && wanted == letters.replace('w', "l") {
            return Ok(layout);
        }
    }
    let [first, last] =
        [Layout::ChannelsFirst, Layout::ChannelsLast].map(|layout| layout.letters(rank, true).to_uppercase());
    Err(PyValueError::new_err(format!("layout is {:?}, expected {first:?} or {last:?}", shortened(name))))
}

/// The activation that a JSON text describes, as in [`upconv::describe`].
///
/// # Errors
/// `ValueError`.
pub(crate) fn activation(json: Option<&str>) -> PyResult<Activation> {
    json.map_or(Ok(Activation::None), |json| {
        serde_json::from_str(json).map_err(|error| PyValueError::new_err(format!("activation: {error}")))
    })
}

/// The accuracy of this name.
///
/// # Errors
/// `ValueError`.
pub(crate) fn accuracy(name: &str) -> PyResult<Accuracy> {
    Accuracy::named(name)
        .map_err(|expected| PyValueError::new_err(format!("accuracy is {:?}, {expected}", shortened(name))))
}
