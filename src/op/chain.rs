//! Operations one after another.

use super::conv_transpose::ConvTranspose;
use crate::error::{Error, Result};

/// Refuses no operation at all, and operations of which one cannot read what the one before writes.
pub(crate) fn check_chain<'a>(operations: impl IntoIterator<Item = &'a ConvTranspose>) -> Result<()> {
    let mut operations = operations.into_iter();
    let Some(mut before) = operations.next() else {
        return Err(Error::OutOfRange { what: "layers".into(), given: 0, expected: "at least 1".into() });
    };
    for next in operations {
        let given = before.out_channels();
        if given != next.in_channels() || before.rank() != next.rank() || before.layout() != next.layout() {
            let expected = format!("[{}], the channels of the next layer, and its rank and layout", next.in_channels());
            return Err(Error::Shape { what: "a layer's output", given: vec![given], expected });
        }
        before = next;
    }
    Ok(())
}
