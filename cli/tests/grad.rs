//! `upconv grad`, as a user runs it: values worked out by hand, and bad input.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::Folder;
use std::fs;
use std::path::Path;

/// A file of one spatial axis: `[batch, channels, extent]`.
fn npy(shape: [usize; 3], values: &[f32]) -> Vec<u8> {
    array(&format!("{}, {}, {}", shape[0], shape[1], shape[2]), "<f4", values.iter().flat_map(|v| v.to_le_bytes()))
}

fn array(shape: &str, descr: &str, data: impl Iterator<Item = u8>) -> Vec<u8> {
    let header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({shape}), }}\n");
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.extend(data);
    bytes
}

fn parse<T: npyz::Deserialize>(bytes: &[u8]) -> (Vec<u64>, Vec<T>) {
    let file = npyz::NpyFile::new(bytes).unwrap();
    (file.shape().to_vec(), file.into_vec().unwrap())
}

fn read(path: &Path) -> (Vec<u64>, Vec<f32>) {
    parse(&fs::read(path).unwrap())
}

/// Stride 2 without padding: the output of `[1, 2]` is `[3, 5, 6, 10]`.
fn folder() -> Folder {
    let folder = Folder::new();
    folder.write("op.json", r#"{"strides": [2]}"#);
    folder.write("x.npy", npy([1, 1, 2], &[1.0, 2.0]));
    folder.write("w.npy", npy([1, 1, 2], &[3.0, 5.0]));
    folder.write("dy.npy", npy([1, 1, 4], &[1.0, 10.0, 100.0, 1000.0]));
    folder.write("b.npy", array("1,", "<f4", (-4f32).to_le_bytes().into_iter()));
    folder
}

const FILES: &str = "-i x.npy -w w.npy -g dy.npy --device reference";
const ALL: &str = "--dx dx.npy --dw dw.npy --db db.npy";

#[test]
fn all_gradients_or_some() {
    let folder = folder();
    let run = folder.succeed(&format!("grad op.json {FILES} {ALL}"));
    assert_eq!(run.stderr, "device: the f64 reference\n");
    assert_eq!(read(&folder.path("dx.npy")), (vec![1, 1, 2], vec![53.0, 5300.0]));
    assert_eq!(read(&folder.path("dw.npy")), (vec![1, 1, 2], vec![201.0, 2010.0]));
    assert_eq!(read(&folder.path("db.npy")), (vec![1], vec![1111.0]));
    let before = folder.names();
    folder.succeed(&format!("grad op.json {FILES} --dw only.npy"));
    assert_eq!(folder.names().len(), before.len() + 1);
    assert_eq!(read(&folder.path("only.npy")).1, [201.0, 2010.0]);
}

#[test]
fn gradients_have_the_inputs_element_type() {
    let folder = folder();
    let half = |values: &[f32]| values.iter().flat_map(|&v| half::f16::from_f32(v).to_le_bytes()).collect::<Vec<_>>();
    folder.write("x.npy", array("1, 1, 2", "<f2", half(&[1.0, 2.0]).into_iter()));
    folder.write("w.npy", array("1, 1, 2", "<f2", half(&[3.0, 5.0]).into_iter()));
    folder.refuse(
        &format!("grad op.json {FILES} {ALL}"),
        1,
        &["gradient is float32, expected float16 as the input is"],
    );
    folder.write("dy.npy", array("1, 1, 4", "<f2", half(&[1.0, 10.0, 100.0, 1000.0]).into_iter()));
    folder.succeed(&format!("grad op.json {FILES} {ALL}"));
    let (_, dx) = parse::<half::f16>(&fs::read(folder.path("dx.npy")).unwrap());
    assert_eq!(dx.iter().map(|v| v.to_f32()).collect::<Vec<_>>(), [53.0, 5300.0]);
}

#[test]
fn a_folder_is_a_case() {
    let folder = folder();
    folder.write("case.json", r#"{"strides": [2]}"#);
    folder.succeed("grad . --device reference --dx dx.npy");
    assert_eq!(read(&folder.path("dx.npy")).1, [53.0, 5300.0]);
    folder.refuse("grad . -g dy.npy --dx dx.npy", 1, &["is a folder that holds its input, weight, bias and gradient"]);
}

/// Through an activation: the sums are `[-1, 1, 2, 6]` with the bias.
#[test]
fn what_the_forward_pass_would_have_left_is_computed() {
    let folder = folder();
    folder.write("op.json", r#"{"strides": [2], "activation": {"type": "relu"}}"#);
    folder.succeed(&format!("grad op.json {FILES} -b b.npy {ALL}"));
    assert_eq!(read(&folder.path("dx.npy")).1, [50.0, 5300.0]);
    assert_eq!(read(&folder.path("dw.npy")).1, [200.0, 2010.0]);
    assert_eq!(read(&folder.path("db.npy")).1, [1110.0]);
    // The output does not tell which of these were clipped: at 2 none was.
    folder.write("op.json", r#"{"strides": [2], "activation": {"type": "clip", "alpha": 0, "beta": 2}}"#);
    folder.succeed(&format!("grad op.json {FILES} -b b.npy {ALL}"));
    assert_eq!(read(&folder.path("db.npy")).1, [110.0]);
    folder.write("op.json", r#"{"strides": [2], "pre_activation": {"type": "relu"}}"#);
    let run = folder.run(&format!("grad op.json {FILES} --dx other.npy"));
    assert!(run.code == Some(1) && !folder.path("other.npy").exists(), "{}", run.stderr);
    assert!(run.stderr.ends_with("the gradient through relu before the products is not computed\n"), "{}", run.stderr);
}

#[test]
fn a_bias_is_needed_only_with_an_activation() {
    let folder = folder();
    folder.write("op.json", r#"{"strides": [2], "bias": true}"#);
    folder.succeed(&format!("grad op.json {FILES} {ALL}"));
    assert_eq!(read(&folder.path("db.npy")).1, [1111.0]);
    folder.write("op.json", r#"{"strides": [2], "bias": true, "activation": {"type": "tanh"}}"#);
    folder.refuse(&format!("grad op.json {FILES} {ALL}"), 1, &["op.json says that there is a bias, but none is given"]);
    folder.write("op.json", r#"{"strides": [2], "bias": false}"#);
    folder.refuse(
        &format!("grad op.json {FILES} -b b.npy {ALL}"),
        1,
        &["says that there is no bias, but one is given"],
    );
}

/// The weight's gradient is that of the file, whose weight this convention mirrors.
#[test]
fn a_kernel_that_is_flipped_has_its_gradient_flipped_back() {
    let folder = folder();
    folder.write("w.npy", npy([1, 1, 2], &[5.0, 3.0]));
    for (key, dx, dw) in
        [("", [53.0, 5300.0], [2010.0, 201.0]), (r#", "transpose_kernel": true"#, [35.0, 3500.0], [201.0, 2010.0])]
    {
        folder.write("op.json", format!(r#"{{"convention": "jax", "padding": "VALID", "strides": [2]{key}}}"#));
        folder.succeed(&format!("grad op.json {FILES} {ALL}"));
        assert_eq!((read(&folder.path("dx.npy")).1, read(&folder.path("dw.npy")).1), (dx.to_vec(), dw.to_vec()));
    }
}

#[test]
fn conventions_place_the_output() {
    let folder = folder();
    // Of the full output of stride 1, `[3, 11, 10]`, the last two.
    folder.write("op.json", r#"{"auto_pad": "same_lower"}"#);
    folder.write("dy.npy", npy([1, 1, 2], &[1.0, 10.0]));
    folder.succeed(&format!("grad op.json {FILES} {ALL}"));
    assert_eq!(read(&folder.path("dx.npy")).1, [5.0, 53.0]);
    assert_eq!(read(&folder.path("dw.npy")).1, [2.0, 21.0]);
    folder.write("op.json", r#"{"strides": [2], "output_padding": [3]}"#);
    folder.write("dy.npy", npy([1, 1, 7], &[1.0, 10.0, 100.0, 1000.0, 7.0, 7.0, 7.0]));
    folder.refuse(&format!("grad op.json {FILES} {ALL}"), 1, &["output_padding 3 on axis 0 must be smaller"]);
    folder.succeed(&format!("grad op.json {FILES} {ALL} --output-padding lenient"));
    assert_eq!(read(&folder.path("dx.npy")).1, [53.0, 5300.0]);
    assert_eq!(read(&folder.path("db.npy")).1, [1132.0]);
}

#[test]
fn what_does_not_fit_is_refused_and_leaves_nothing() {
    let folder = folder();
    let refuse = |line: &str, words: &str| folder.refuse(line, 1, &[words]);
    refuse(&format!("grad no.json {FILES} {ALL}"), "no.json");
    refuse(&format!("grad op.json -i x.npy -w w.npy {ALL}"), "op.json needs --input, --weight and --gradient");
    refuse(&format!("grad op.json -i x.npy -w dy.npy -g no.npy {ALL}"), "cannot read no.npy");
    refuse(&format!("grad op.json {FILES} {ALL} --memory 8"), "takes 16 bytes, more than the 8 allowed");
    refuse(&format!("grad op.json {FILES} --dx y.npy --db y.npy"), "y.npy is named for two gradients");
    refuse(&format!("grad op.json {FILES} --dx dy.npy"), "dy.npy: is the input itself");
    refuse(&format!("grad op.json {FILES} --dx dx.npy --dw no/dw.npy"), "there is no folder no");
    folder.write("dy.npy", npy([1, 1, 3], &[0.0; 3]));
    let (before, run) = (folder.contents(), folder.run(&format!("grad op.json {FILES} {ALL}")));
    let words = "upconv: gradient of the output has shape [1, 1, 3], expected [1, 1, 4], the output's\n";
    assert!(run.code == Some(1) && run.stderr.ends_with(words), "{}", run.stderr);
    assert!(folder.contents() == before);
    for line in [
        format!("grad op.json {FILES}"),
        format!("grad {FILES} {ALL}"),
        format!("grad --batch list {ALL}"),
        "grad op.json --batch list".into(),
        format!("grad op.json {FILES} {ALL} --device tpu"),
    ] {
        assert_eq!(folder.run(&line).code, Some(2), "{line}");
    }
}

#[cfg(unix)]
#[test]
fn pipes_are_read_and_written() {
    let folder = folder();
    let files = FILES.replace("-g dy.npy", "-g -");
    let run = folder.shell(&format!("cat dy.npy | $UPCONV grad op.json {files} --dw - --dx dx.npy | cat >dw.npy"));
    assert_eq!(read(&folder.path("dw.npy")).1, [201.0, 2010.0], "{}", run.stderr);
    assert_eq!(read(&folder.path("dx.npy")).1, [53.0, 5300.0]);
    let run = folder.shell(&format!("cat op.json | $UPCONV grad - {FILES} --db db.npy"));
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    folder.refuse(&format!("grad op.json {FILES} --dx - --dw -"), 1, &["- is named for two gradients"]);
    let run = folder.shell("$UPCONV grad op.json -i - -w w.npy -g - --db db.npy --device reference <x.npy");
    assert!(run.code == Some(1) && run.stderr.contains("standard input can be read only once"), "{}", run.stderr);
    if cfg!(target_os = "linux") {
        // Where one cannot be written, none is.
        let line = format!("$UPCONV grad op.json {FILES} --dx new.npy --dw - >/dev/full");
        let run = folder.shell(&line);
        assert!(run.code == Some(1) && run.stderr.contains("cannot write to standard output"), "{}", run.stderr);
        assert!(!folder.path("new.npy").exists());
    }
    // Two names of one file.
    folder.write("one.npy", "");
    std::os::unix::fs::symlink("one.npy", folder.path("two.npy")).unwrap();
    let run = folder.run(&format!("grad op.json {FILES} --dx one.npy --dw two.npy"));
    assert!(run.code == Some(1) && run.stderr.contains("which this run has just written"), "{}", run.stderr);
}

#[test]
fn a_batch_goes_on_after_a_refusal() {
    let folder = folder();
    for (name, files) in [("good", &["x.npy", "w.npy", "dy.npy"][..]), ("bad", &["x.npy", "w.npy"])] {
        fs::create_dir(folder.path(name)).unwrap();
        folder.write(&format!("{name}/case.json"), r#"{"strides": [2]}"#);
        for file in files {
            fs::copy(folder.path(file), folder.path(&format!("{name}/{file}"))).unwrap();
        }
    }
    // What an earlier run left.
    folder.write("out.dx.npy", "old");
    folder.write("good.err", "old");
    folder.write("list", "bad\tout\n\ngood\tgood\n");
    let run = folder.run("grad --batch list --device reference");
    assert_eq!(run.code, Some(1));
    let said: Vec<&str> = run.stderr.lines().collect();
    assert_eq!(said[..2], ["device: the f64 reference", "2 cases, 1 refused"]);
    assert_eq!(said[2], "upconv: 1 of 2 cases were refused; the .err files say why");
    assert!(fs::read_to_string(folder.path("out.err")).unwrap().contains("dy.npy"));
    let names = folder.names();
    let made: Vec<&String> =
        names.iter().filter(|name| ["out.", "good."].iter().any(|o| name.starts_with(o))).collect();
    assert_eq!(made, ["good.db.npy", "good.dw.npy", "good.dx.npy", "out.err"]);
    assert_eq!(read(&folder.path("good.dw.npy")).1, [201.0, 2010.0]);
    // Where one result cannot be written, none is.
    fs::create_dir(folder.path("part.db.npy")).unwrap();
    folder.write("list", "good\tpart\n");
    assert_eq!(folder.run("grad --batch list --device reference").code, Some(1));
    assert!(folder.path("part.err").exists() && !folder.path("part.dx.npy").exists());
    folder.write("list", "good good\n");
    folder.refuse("grad --batch list", 1, &["list line 1: expected FOLDER<TAB>OUTPUT, got \"good good\""]);
}
