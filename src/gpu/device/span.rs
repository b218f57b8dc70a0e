//! Spans of `tracing` around what takes time, behind the feature `tracing`; without it, nothing.

/// Enters a span of the target `upconv` until the end of the enclosing block. Its fields are only evaluated with the
/// feature, and where a subscriber wants them.
macro_rules! span {
    ($name:literal $($fields:tt)*) => {
        #[cfg(feature = "tracing")]
        let _span = tracing::debug_span!(target: "upconv", $name $($fields)*).entered();
    };
}

pub(crate) use span;
