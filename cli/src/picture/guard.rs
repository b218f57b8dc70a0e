//! A panic inside a decoder becomes the error of its picture.

use std::cell::{Cell, RefCell};
use std::panic::{self, AssertUnwindSafe, PanicHookInfo};
use std::sync::Once;

use anyhow::{Result, anyhow};

use super::format::Readable;

thread_local! {
    /// Whether this thread is inside [`guarded`].
    static GUARDED: Cell<bool> = const { Cell::new(false) };
    /// Where the last guarded panic of this thread came from.
    static PLACE: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Runs a decoder. A panic in it is an error that names the place, and prints nothing.
///
/// What the decoder worked on must not be used afterwards: `work` owns it.
pub(super) fn guarded<T>(format: Readable, work: impl FnOnce() -> Result<T>) -> Result<T> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        // The hook is one for all threads: the others, and this one outside, keep what there was.
        let usual = panic::take_hook();
        panic::set_hook(Box::new(move |info| match GUARDED.get() {
            true => PLACE.set(place(info)),
            false => usual(info),
        }));
    });
    let outer = GUARDED.replace(true);
    let result = panic::catch_unwind(AssertUnwindSafe(work));
    GUARDED.set(outer);
    result.unwrap_or_else(|payload| {
        let message = match (payload.downcast_ref::<&str>(), payload.downcast_ref::<String>()) {
            (Some(text), _) => text,
            (_, Some(text)) => text.as_str(),
            _ => "no message",
        };
        Err(anyhow!("cannot be decoded as {format}: the decoder panicked: {message} ({})", PLACE.take()))
    })
}

/// The line that panicked; of a crate from a registry its name, version and path within.
fn place(info: &PanicHookInfo<'_>) -> String {
    let Some(location) = info.location() else { return "unknown place".into() };
    let file = location.file().replace('\\', "/");
    let within = file.split_once("registry/src/").and_then(|(_, rest)| rest.split_once('/'));
    format!("{}:{}", within.map_or(file.as_str(), |(_, path)| path), location.line())
}

#[cfg(test)]
mod tests {
    use super::{Readable, guarded};

    #[test]
    fn a_panic_is_an_error_that_names_its_place() {
        let error = guarded::<()>(Readable::Png, || panic!("at {}", 7)).unwrap_err().to_string();
        assert!(
            error.starts_with("cannot be decoded as PNG: the decoder panicked: at 7 (") && error.contains("guard.rs:"),
            "{error}"
        );
        assert_eq!(guarded(Readable::Png, || Ok(3)).unwrap(), 3);
        assert_eq!(guarded::<()>(Readable::Png, || Err(anyhow::anyhow!("no"))).unwrap_err().to_string(), "no");
    }
}
