//! The `ConvTranspose` cases of the ONNX package, as `upconv apply --batch` runs them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

fn data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/data/onnx")
}

/// Shape and elements of a float32 file.
pub(crate) fn read(path: &Path) -> (Vec<u64>, Vec<f32>) {
    let bytes = fs::read(path).unwrap();
    let file = npyz::NpyFile::new(&bytes[..]).unwrap();
    (file.shape().to_vec(), file.into_vec().unwrap())
}

/// Runs all cases with such options and compares them with what ONNX expects, within each case's tolerance; what the
/// program said on standard error.
pub(crate) fn check(options: &[&str]) -> String {
    let folder = TempDir::new().unwrap();
    let cases: Vec<PathBuf> =
        fs::read_dir(data()).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()).collect();
    assert_eq!(cases.len(), 14);
    let output = |case: &Path| folder.path().join(case.file_name().unwrap()).with_extension("npy");
    let list: String = cases.iter().map(|case| format!("{}\t{}\n", case.display(), output(case).display())).collect();
    let list_file = folder.path().join("list");
    fs::write(&list_file, list).unwrap();
    let arguments = ["apply", "--batch", list_file.to_str().unwrap()];
    let run = Command::new(env!("CARGO_BIN_EXE_upconv")).args(arguments).args(options).output().unwrap();
    let said = String::from_utf8_lossy(&run.stderr).into_owned();
    assert!(run.status.success(), "{said}");
    for case in &cases {
        let json: serde_json::Value = serde_json::from_slice(&fs::read(case.join("case.json")).unwrap()).unwrap();
        let (rtol, atol) = (json["rtol"].as_f64().unwrap(), json["atol"].as_f64().unwrap());
        let ((shape, got), (expected_shape, expected)) = (read(&output(case)), read(&case.join("y.npy")));
        assert_eq!(shape, expected_shape, "{}", case.display());
        for (got, expected) in got.iter().zip(&expected) {
            let (got, expected) = (f64::from(*got), f64::from(*expected));
            let error = (got - expected).abs();
            assert!(error <= atol + rtol * expected.abs(), "{}: {got}, not {expected}", case.display());
        }
    }
    said
}
