//! How tests that need a device are run, and how a person skips them.

use libtest_mimic::{Arguments, Failed, Trial};
use std::process::ExitCode;

/// Runs a list of tests that need a device. Without one, they fail; `UPCONV_SKIP_GPU_TESTS=1` is how a person asks for
/// them to be skipped, and they then show as ignored.
pub(crate) fn run(tests: &[(&str, fn())]) -> ExitCode {
    let skip = std::env::var_os("UPCONV_SKIP_GPU_TESTS").is_some_and(|value| value == "1");
    let mut arguments = Arguments::from_args();
    // One device serves all; a software one is busy with one test.
    arguments.test_threads.get_or_insert(1);
    let trials = tests.iter().map(|&(name, test)| {
        let run = move || std::panic::catch_unwind(test).map_err(|_| Failed::without_message());
        Trial::test(name, run).with_ignored_flag(skip)
    });
    libtest_mimic::run(&arguments, trials.collect()).exit_code()
}
