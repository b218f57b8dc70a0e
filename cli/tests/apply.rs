//! `upconv apply`, as a user runs it: the ONNX package's cases, and bad input.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "common/onnx.rs"]
mod onnx;

use onnx::read;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use tempfile::TempDir;

fn upconv(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_upconv")).args(arguments).output().unwrap()
}

fn write<T: npyz::AutoSerialize + Copy>(path: &Path, shape: &[u64], elements: &[T]) {
    use npyz::WriterBuilder;
    let mut bytes = Vec::new();
    let mut writer = npyz::WriteOptions::new().default_dtype().shape(shape).writer(&mut bytes).begin_nd().unwrap();
    writer.extend(elements.iter().copied()).unwrap();
    writer.finish().unwrap();
    fs::write(path, bytes).unwrap();
}

#[test]
fn the_cases_of_onnx() {
    onnx::check(&["--device", "cpu"]);
    onnx::check(&["--device", "reference"]);
}

/// A folder with a description and tensors that fit it; each test breaks one thing.
struct Bench {
    folder: TempDir,
}

impl Bench {
    fn new() -> Self {
        let bench = Self { folder: TempDir::new().unwrap() };
        fs::write(bench.path("op.json"), r#"{"strides": [2, 2]}"#).unwrap();
        write(&bench.path("x.npy"), &[1, 2, 3, 3], &[1.0f32; 18]);
        write(&bench.path("w.npy"), &[2, 4, 2, 2], &[1.0f32; 32]);
        write(&bench.path("b.npy"), &[4], &[1.0f32; 4]);
        bench
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn op(&self, text: &str) -> &Self {
        fs::write(self.path("op.json"), text).unwrap();
        self
    }

    fn run(&self, output: &str) -> Output {
        let path = |name: &str| self.path(name).to_str().unwrap().to_string();
        let (op, x, w, b, y) = (path("op.json"), path("x.npy"), path("w.npy"), path("b.npy"), path(output));
        upconv(&["apply", &op, "--input", &x, "--weight", &w, "--bias", &b, "-o", &y, "--device", "cpu"])
    }

    /// Runs what must be refused: status 1, one line on standard error with these words, no file left behind.
    fn refuses(&self, words: &str) {
        let before = listing(self.folder.path());
        let run = self.run("y.npy");
        let stderr = String::from_utf8_lossy(&run.stderr).into_owned();
        assert_eq!(run.status.code(), Some(1), "{stderr}");
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
        assert!(stderr.starts_with("upconv: ") && stderr.contains(words), "{stderr:?} lacks {words:?}");
        assert_eq!(listing(self.folder.path()), before);
    }
}

fn listing(folder: &Path) -> Vec<PathBuf> {
    let mut names: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    names.sort();
    names
}

#[test]
fn what_fits_is_computed() {
    let bench = Bench::new();
    let run = bench.run("y.npy");
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    assert_eq!(String::from_utf8_lossy(&run.stderr), "device: the CPU\n");
    assert_eq!(read(&bench.path("y.npy")), (vec![1, 4, 6, 6], vec![3.0; 144]));
}

#[test]
fn a_folder_is_a_case() {
    let bench = Bench::new();
    fs::rename(bench.path("op.json"), bench.path("case.json")).unwrap();
    let (folder, y) = (bench.folder.path().to_str().unwrap(), bench.path("y.npy"));
    let run = upconv(&["apply", folder, "-o", y.to_str().unwrap(), "--device", "reference"]);
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    assert_eq!(read(&y).1, [3.0; 144]);
}

#[test]
fn files_that_are_no_arrays() {
    let bench = Bench::new();
    fs::write(bench.path("x.npy"), "").unwrap();
    bench.refuses("x.npy: not an .npy file: 0 bytes");
    fs::remove_file(bench.path("x.npy")).unwrap();
    bench.refuses("x.npy: No such file");
}

#[test]
fn arrays_of_the_wrong_type_or_rank() {
    let bench = Bench::new();
    write(&bench.path("x.npy"), &[1, 2, 3, 3], &[1i32; 18]);
    bench.refuses("its elements are '<i4', expected float16, float32 or float64");
    write(&bench.path("x.npy"), &[1, 2, 3, 3], &[1.0f64; 18]);
    bench.refuses("weight is float32, expected float64 as the input is");
    write(&bench.path("x.npy"), &[18], &[1.0f32; 18]);
    bench.refuses("input has shape [18], expected nchw with 2 channels");
    write(&bench.path("w.npy"), &[32], &[1.0f32; 32]);
    bench.refuses("weight has shape [32], expected 3 to 5 axes");
}

#[test]
fn channels_that_do_not_fit() {
    let bench = Bench::new();
    write(&bench.path("w.npy"), &[3, 4, 2, 2], &[1.0f32; 48]);
    bench.refuses("input has shape [1, 2, 3, 3], expected nchw with 3 channels");
    write(&bench.path("w.npy"), &[2, 3, 2, 2], &[1.0f32; 24]);
    bench.refuses("bias has shape [4], expected [3]");
}

#[test]
fn parameters_that_are_wrong() {
    let bench = Bench::new();
    bench.op(r#"{"groups": 3}"#).refuses("groups 3 must divide in_channels 2 and out_channels 12");
    bench.op(r#"{"strides": [0, 1]}"#).refuses("strides[0] is 0, expected at least 1");
    bench.op(r#"{"pads": [[3, 3], [0, 0]]}"#).refuses("output size on axis 0 is -2, expected at least 1");
    bench.op(r#"{"output_padding": [1, 1]}"#).refuses("output_padding 1 on axis 0 must be smaller than stride 1");
    bench.op(r#"{"strides": [2000000000000, 1]}"#).refuses("stride on axis 0 is 2000000000000, expected 1 to");
    bench.op(r#"{"strides": [1099511627776, 1099511627776]}"#).refuses("number of elements overflows");
    bench.op(r#"{"strides": "two"}"#).refuses("op.json: strides: invalid type: string \"two\"");
    bench.op(r#"{"strides": [1099511627776, 1]}"#).refuses("bytes, more than the 4294967296 allowed");
    bench.op(r#"{"bias": false}"#).refuses("op.json says that there is no bias, but one is given");
    bench.op("{").refuses("op.json: not valid JSON");
    bench.op(r#"{"dilation_rate": [2, 2]}"#).refuses(r#"op.json: unknown key "dilation_rate", expected "dilations""#);
    bench.op(r#"{"Strides": [2, 2]}"#).refuses(r#"op.json: unknown key "Strides", expected "strides""#);
    bench.op(r#"{"strides": [2, 2], "strides": [1, 1]}"#).refuses(r#"the key "strides" stands twice"#);
    bench.op(r#"{"kernel_shape": [3, 3]}"#).refuses("kernel_shape is [3, 3], but the weight's kernel is [2, 2]");
}

#[test]
fn the_keys_of_a_framework_mean_what_they_mean_there() {
    let bench = Bench::new();
    write(&bench.path("x.npy"), &[1, 1, 1, 1], &[1.0f32]);
    write(&bench.path("w.npy"), &[1, 1, 2, 2], &[1.0f32, 2.0, 3.0, 4.0]);
    write(&bench.path("b.npy"), &[1], &[0.0f32]);
    for (text, expected) in [
        (r#"{"convention": "jax", "padding": "VALID"}"#, vec![4.0, 3.0, 2.0, 1.0]),
        (r#"{"convention": "jax", "padding": "VALID", "transpose_kernel": true}"#, vec![1.0, 2.0, 3.0, 4.0]),
        (r#"{"convention": "keras", "dilation_rate": [1, 2]}"#, vec![1.0, 0.0, 2.0, 3.0, 0.0, 4.0]),
        (r#"{"convention": "mxnet", "target_shape": [1, 2]}"#, vec![3.0, 4.0]),
    ] {
        let run = bench.op(text).run("y.npy");
        assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
        assert_eq!(read(&bench.path("y.npy")).1, expected, "{text}");
    }
}

#[test]
fn an_output_that_cannot_be_written() {
    let bench = Bench::new();
    let run = bench.run("no/such/folder/y.npy");
    assert_eq!(run.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&run.stderr).contains("there is no folder"));
}

#[test]
fn a_batch_goes_on_after_a_refusal() {
    let bench = Bench::new();
    fs::create_dir(bench.path("good")).unwrap();
    fs::create_dir(bench.path("bad")).unwrap();
    for name in ["x.npy", "w.npy"] {
        fs::copy(bench.path(name), bench.path("good").join(name)).unwrap();
    }
    fs::copy(bench.path("op.json"), bench.path("good/case.json")).unwrap();
    let line = |case: &str| format!("{}\t{}\n", bench.path(case).display(), bench.path(case).join("y.npy").display());
    fs::write(bench.path("list"), line("bad") + &line("good")).unwrap();
    let list = bench.path("list");
    let run = upconv(&["apply", "--batch", list.to_str().unwrap(), "--device", "cpu"]);
    assert_eq!(run.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&run.stderr).contains("1 of 2 cases were refused"));
    assert!(fs::read_to_string(bench.path("bad/y.npy.err")).unwrap().contains("case.json"));
    assert_eq!(read(&bench.path("good/y.npy")).0, [1, 4, 6, 6]);
}

#[test]
fn wrong_usage_exits_with_2() {
    assert_eq!(upconv(&["apply", "op.json"]).status.code(), Some(2));
    assert_eq!(upconv(&["apply", "op.json", "-o", "y.npy", "--device", "tpu"]).status.code(), Some(2));
    let named = upconv(&["apply", "--batch", "/dev/null", "--device", "cpu", "--adapter", "radeon"]);
    assert_eq!(named.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&named.stderr).contains("names a GPU"));
    let kernel = upconv(&["apply", "--batch", "/dev/null", "--device", "cpu", "--kernel", "direct"]);
    assert_eq!(kernel.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&kernel.stderr).contains("--kernel direct is for GPUs"));
    let unknown = upconv(&["apply", "--batch", "/dev/null", "--kernel", "im2col"]);
    assert_eq!(unknown.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&unknown.stderr).contains("there are gather, direct, tiled, winograd"));
}
