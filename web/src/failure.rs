//! What goes wrong, as JavaScript's `Error`.

use js_sys::Reflect;
use std::error::Error as _;
use wasm_bindgen::JsValue;

/// Why there is no result.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The library says so.
    Library(upconv::Error),
    /// The device was lost, for this reason.
    #[cfg_attr(feature = "cpu", allow(dead_code, reason = "the CPU is never lost"))]
    Lost(String),
    /// Nobody wants the result any more.
    Cancelled,
    /// In a sentence of our own.
    Said(String),
    /// A function of the caller's threw this.
    Thrown(JsValue),
}

/// The module's result.
pub(crate) type Result<T> = std::result::Result<T, Failure>;

impl From<upconv::Error> for Failure {
    fn from(error: upconv::Error) -> Self {
        Self::Library(error)
    }
}

impl Failure {
    fn code(&self) -> Option<&'static str> {
        match self {
            Self::Library(upconv::Error::DeviceLost { .. }) | Self::Lost(_) => Some("lost"),
            Self::Library(upconv::Error::NoAdapter { .. }) => Some("no-adapter"),
            Self::Cancelled => Some("cancelled"),
            Self::Library(_) | Self::Said(_) | Self::Thrown(_) => None,
        }
    }

    fn sentence(&self) -> String {
        match self {
            Self::Library(error) => {
                let mut sentence = error.to_string();
                let mut source = error.source();
                while let Some(cause) = source {
                    sentence = format!("{sentence}: {cause}");
                    source = cause.source();
                }
                sentence
            }
            Self::Lost(reason) => format!("the device was lost: {reason}"),
            Self::Cancelled => "cancelled".into(),
            Self::Said(sentence) => sentence.clone(),
            Self::Thrown(thrown) => format!("{thrown:?}"),
        }
    }
}

impl From<Failure> for JsValue {
    fn from(failure: Failure) -> Self {
        if let Failure::Thrown(thrown) = failure {
            return thrown;
        }
        let error: JsValue = js_sys::Error::new(&failure.sentence()).into();
        if let Some(code) = failure.code() {
            // It fails for no object that was just made.
            let _ = Reflect::set(&error, &"code".into(), &code.into());
        }
        error
    }
}
