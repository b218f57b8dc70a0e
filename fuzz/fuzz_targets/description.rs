//! An operation's description in JSON is read or refused, and written as it is read.

#![no_main]

use libfuzzer_sys::fuzz_target;
use upconv::describe::Operation;
use upconv::{Convention, OutputPaddingPolicy};

fuzz_target!(|text: &str| {
    let Ok(described) = Operation::from_json(text) else { return };
    let input = described.input_shape().unwrap_or(&[1, 2, 5, 5]).to_vec();
    let weight = described.weight_shape().unwrap_or(&[2, 3, 3, 3]).to_vec();
    let Ok(op) = described.resolve(&input, &weight, OutputPaddingPolicy::Lenient) else { return };
    let written = serde_json::to_string(&Operation::new(&op, &Convention::Explicit)).unwrap();
    let read = Operation::from_json(&written).unwrap();
    let again = read.resolve(&input, &op.weight_shape(), OutputPaddingPolicy::Lenient);
    assert_eq!(again.unwrap(), op, "{written}");
});
