//! What is measured on a device, and what becomes of it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;
#[path = "common/device.rs"]
mod device;

use common::{Case, Values, tensor};
use device::context as device_context;
use fastrand::Rng;
use std::process::ExitCode;
use std::time::Duration;
use upconv::gpu::{Context, Effort, Layer, Outcome, Trial, Tuning};
use upconv::reference::{self, Expected};
use upconv::{ConvTranspose, DeviceClass, DeviceProfile, Error, Kernel, Result, Storage, Tensor};

fn main() -> ExitCode {
    device::run(&[
        ("the_fastest_is_planned_with_and_survives_json", the_fastest_is_planned_with_and_survives_json),
        ("a_wrong_candidate_is_not_chosen", a_wrong_candidate_is_not_chosen),
        ("where_all_are_wrong_nothing_is_remembered", where_all_are_wrong_nothing_is_remembered),
        ("a_choice_that_is_no_candidate_is_not_used", a_choice_that_is_no_candidate_is_not_used),
        ("a_judgement_that_fails_ends_the_measuring", a_judgement_that_fails_ends_the_measuring),
    ])
}

/// With the small tiles of an unknown device: compilers take long for large ones.
fn context() -> Context {
    let profile = device_context().profile().clone();
    device_context().limited(DeviceProfile { class: DeviceClass::Unknown, ..profile })
}

const EFFORT: Effort = Effort { candidates: 3, time: Duration::ZERO };

fn case() -> (Case, Expected) {
    let mut rng = Rng::with_seed(30);
    let op = ConvTranspose::builder().in_channels(16).out_channels(16).kernel([4, 4]).stride([2, 2]).padding([1, 1]);
    let op = op.build().unwrap();
    let input = tensor(&mut rng, &[1, 16, 40, 40], Values::Reals);
    let weight = tensor(&mut rng, &op.weight_shape(), Values::Reals);
    let expected = reference::conv_transpose(&op, &input, &weight, None).unwrap();
    (Case { op, input, weight, bias: None }, expected)
}

fn layer(context: &Context, case: &Case) -> Layer {
    Layer::new(context, &case.op, &case.weight, None).unwrap()
}

fn measure(tuning: &mut Tuning, case: &Case, accept: impl FnMut(&Tensor) -> Result<bool>) -> Vec<Trial> {
    tuning.measure(&layer(&context(), case), &case.input, EFFORT, accept).unwrap()
}

/// How a context plans the case, in words.
fn explained(context: &Context, case: &Case, shape: &[usize]) -> String {
    layer(context, case).prepare(shape, Storage::F32).unwrap().plan().explain().to_string()
}

fn the_fastest_is_planned_with_and_survives_json() {
    let (case, expected) = case();
    let mut tuning = Tuning::default();
    let trials = measure(&mut tuning, &case, |output| Ok(expected.compare(output)?.passed()));
    let of = |kernel| trials.iter().filter(|trial| trial.candidate.kernel() == kernel).count();
    assert_eq!(Kernel::EXACT.iter().map(|kernel| of(*kernel)).collect::<Vec<_>>(), [1, 3, 2], "{trials:?}");
    let fastest = trials.iter().min_by_key(|trial| trial.time().unwrap()).unwrap();

    let untuned = explained(&context(), &case, case.input.shape());
    assert!(!untuned.contains("tuned"), "{untuned}");
    for tuning in [Tuning::from_json(&tuning.to_json()).unwrap(), tuning] {
        let tuned = context().tuned(tuning);
        let layer = layer(&tuned, &case);
        let prepared = layer.prepare(case.input.shape(), Storage::F32).unwrap();
        assert_eq!(prepared.plan().candidate_name(), fastest.candidate.to_string());
        let words = prepared.plan().explain().to_string();
        assert!(words.contains(": tuned: the fastest that was measured on this adapter, "), "{words}");
        assert!(expected.compare(&layer.run(&case.input).unwrap()).unwrap().passed());
        // What was measured says nothing of another shape or another storage.
        assert!(!explained(&tuned, &case, &[1, 16, 40, 41]).contains("tuned"));
        if context().profile().f16 {
            let prepared = layer.prepare(case.input.shape(), Storage::F16).unwrap();
            assert!(!prepared.plan().explain().to_string().contains("tuned"));
        }
    }
}

fn a_wrong_candidate_is_not_chosen() {
    let (case, expected) = case();
    let mut tuning = Tuning::default();
    let count = measure(&mut tuning, &case, |_| Ok(true)).len();
    // All but the last candidate give one element that is off.
    let mut seen = 0;
    let trials = measure(&mut tuning, &case, |output| {
        seen += 1;
        let mut values = output.to_f32();
        values[777] += if seen < count { 1.0 } else { 0.0 };
        Ok(expected.compare(&Tensor::f32(output.shape(), values)?)?.passed())
    });
    let (last, wrong) = trials.split_last().unwrap();
    assert!(wrong.iter().all(|trial| matches!(trial.outcome, Outcome::Wrong)), "{wrong:?}");
    let prepared = layer(&context().tuned(tuning), &case).prepare(case.input.shape(), Storage::F32).unwrap();
    assert_eq!(prepared.plan().candidate_name(), last.candidate.to_string());
}

fn where_all_are_wrong_nothing_is_remembered() {
    let (case, _) = case();
    let mut tuning = Tuning::default();
    measure(&mut tuning, &case, |_| Ok(true));
    assert_eq!(tuning.len(), 1);
    let trials = measure(&mut tuning, &case, |_| Ok(false));
    assert!(trials.iter().all(|trial| trial.time().is_none()), "{trials:?}");
    assert!(tuning.is_empty());
}

fn a_choice_that_is_no_candidate_is_not_used() {
    let (case, _) = case();
    let mut tuning = Tuning::default();
    let trials = measure(&mut tuning, &case, |_| Ok(true));
    let fastest = trials.iter().min_by_key(|trial| trial.time().unwrap()).unwrap().candidate;
    let text = tuning.to_json().replace(&fastest.to_string(), "a kernel of another version");
    let foreign = context().tuned(Tuning::from_json(&text).unwrap());
    let untuned = explained(&context(), &case, case.input.shape());
    assert_eq!(explained(&foreign, &case, case.input.shape()), untuned);
    // Nor is one that the limits of this context do not allow.
    let small = DeviceProfile { max_binding: 8 << 10, ..context().profile().clone() };
    let (plain, tuned) = (context().limited(small.clone()), context().tuned(tuning).limited(small));
    assert_eq!(explained(&tuned, &case, case.input.shape()), explained(&plain, &case, case.input.shape()));
}

fn a_judgement_that_fails_ends_the_measuring() {
    let (case, _) = case();
    let mut tuning = Tuning::default();
    let refuse = |_: &Tensor| Err(Error::Tuning { problem: "no reference".into() });
    let error = tuning.measure(&layer(&context(), &case), &case.input, EFFORT, refuse).unwrap_err();
    assert_eq!(error.to_string(), "tuning: no reference");
    assert!(tuning.is_empty());
}
