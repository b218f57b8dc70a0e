//! Whole numbers, of which some depend on the input. What is computed of those is `None` where it is neither known nor a
//! multiple of an extent.

use crate::graph::Value;

/// A whole number. Those that shapes consist of may depend on the input.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Whole {
    Known(i64),
    Batch,
    /// So many times the extent of a value on an axis behind the channels.
    Extent {
        of: Value,
        axis: usize,
        times: i64,
    },
}

pub(super) fn add(a: Whole, b: Whole) -> Option<Whole> {
    match (a, b) {
        (Whole::Known(a), Whole::Known(b)) => a.checked_add(b).map(Whole::Known),
        (unknown, Whole::Known(0)) | (Whole::Known(0), unknown) => Some(unknown),
        (Whole::Extent { of, axis, times }, Whole::Extent { of: b, axis: on, times: more })
            if (of, axis) == (b, on) =>
        {
            Some(Whole::Extent { of, axis, times: times.checked_add(more)? })
        }
        _ => None,
    }
}

pub(super) fn sub(a: Whole, b: Whole) -> Option<Whole> {
    match (a, b) {
        (Whole::Known(a), Whole::Known(b)) => a.checked_sub(b).map(Whole::Known),
        (unknown, Whole::Known(0)) => Some(unknown),
        (a, b) if a == b => Some(Whole::Known(0)),
        _ => None,
    }
}

pub(super) fn mul(a: Whole, b: Whole) -> Option<Whole> {
    match (a, b) {
        (Whole::Known(a), Whole::Known(b)) => a.checked_mul(b).map(Whole::Known),
        (unknown, Whole::Known(1)) | (Whole::Known(1), unknown) => Some(unknown),
        (Whole::Extent { of, axis, times }, Whole::Known(factor @ 1..))
        | (Whole::Known(factor @ 1..), Whole::Extent { of, axis, times }) => {
            Some(Whole::Extent { of, axis, times: times.checked_mul(factor)? })
        }
        _ => None,
    }
}

/// Towards zero, as the operator is defined; of an extent only without a rest, so that it may be one of real numbers, too.
pub(super) fn div(a: Whole, b: Whole) -> Option<Whole> {
    match (a, b) {
        (Whole::Known(a), Whole::Known(b)) => a.checked_div(b).map(Whole::Known),
        (unknown, Whole::Known(1)) => Some(unknown),
        (Whole::Extent { of, axis, times }, Whole::Known(b @ 1..)) if times % b == 0 => {
            Some(Whole::Extent { of, axis, times: times / b })
        }
        (a, b) if a == b => Some(Whole::Known(1)),
        _ => None,
    }
}
