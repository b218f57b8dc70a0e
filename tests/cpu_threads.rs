//! The CPU backend where the system gives no threads.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::env;
use std::process::Command;
use upconv::{ConvTranspose, DType, Error, Tensor, cpu};

/// A stack that no machine has room for.
const STACK: &str = "100000000000000";

/// Rayon starts its threads once in a process, so that this is tried in a process of its own.
#[test]
fn without_threads_a_layer_is_refused() {
    let arguments = ["--exact", "--ignored", "--test-threads=1", "in_a_process_without_threads"];
    let output =
        Command::new(env::current_exe().unwrap()).args(arguments).env("RUST_MIN_STACK", STACK).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && said.contains("1 passed"),
        "{said}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
#[ignore = "the test above runs it"]
fn in_a_process_without_threads() {
    if env::var("RUST_MIN_STACK").is_ok_and(|stack| stack == STACK) {
        let op = ConvTranspose::builder().kernel([2, 2]).stride([2, 2]).build().unwrap();
        let [weight, input] = [[1, 1, 2, 2], [1, 1, 3, 3]]
            .map(|shape: [usize; 4]| Tensor::f32(shape, vec![1.0; shape.iter().product()]).unwrap());
        let layer = cpu::Layer::new(&op, &weight, None).unwrap();
        for input in [&input, &input.cast(DType::F64), &input] {
            let error = layer.run(input).unwrap_err();
            assert!(matches!(error, Error::Threads { .. }), "{error}");
        }
        // The caller's own pool serves.
        let pool = rayon::ThreadPoolBuilder::new().num_threads(2).stack_size(1 << 20).build().unwrap();
        assert_eq!(pool.install(|| layer.run(&input)).unwrap().shape(), [1, 1, 6, 6]);
    }
}
