//! Runs Python's tests with the module that this build made, so that nothing is compiled for them anew.
//!
//! `UPCONV_PYTHON` names the interpreter; otherwise it is the first of `python3` and `/usr/bin/python3` that has numpy and
//! pytest. Where none has, the tests show as ignored.

use libtest_mimic::{Arguments, Failed, Trial};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::{env, fs, io};

const FOLDER: &str = env!("CARGO_MANIFEST_DIR");

fn main() -> ExitCode {
    let python = python();
    let ignored = python.is_none();
    let run = move || python.map_or(Ok(()), |python| tests(&python).map_err(Failed::from));
    let name = if ignored { "pytest, for which there is no Python with numpy and pytest" } else { "pytest" };
    libtest_mimic::run(&Arguments::from_args(), vec![Trial::test(name, run).with_ignored_flag(ignored)]).exit_code()
}

/// The interpreter.
fn python() -> Option<PathBuf> {
    if let Some(named) = env::var_os("UPCONV_PYTHON") {
        return Some(named.into());
    }
    let serves = |python: &str| {
        let needed = "import sys, numpy, pytest; sys.exit(sys.version_info < (3, 10))";
        Command::new(python).args(["-c", needed]).output().is_ok_and(|output| output.status.success())
    };
    ["python3", "/usr/bin/python3"].iter().find(|python| serves(python)).map(PathBuf::from)
}

/// Puts the package together in a folder of its own and runs the tests with it.
fn tests(python: &Path) -> Result<(), String> {
    let package = package().map_err(|error| format!("the package cannot be put together: {error}"))?;
    let status = Command::new(python)
        .args(["-m", "pytest", "-q", "-rs", "-p", "no:cacheprovider", "--color=no", "."])
        // Python looks for modules in the folder that it runs in; the package's own has no extension.
        .current_dir(Path::new(FOLDER).join("tests"))
        .env("PYTHONPATH", &package)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .status()
        .map_err(|error| format!("{}: {error}", python.display()))?;
    if status.success() { Ok(()) } else { Err(format!("pytest ended with {status}")) }
}

/// The folder with the package: its Python files and the module.
fn package() -> io::Result<PathBuf> {
    let here = env::current_exe()?;
    let built = here.parent().unwrap_or(Path::new("."));
    let names = ["lib_upconv.so", "lib_upconv.dylib", "_upconv.dll"];
    let module = names.iter().map(|name| built.join(name)).find(|path| path.is_file());
    let module = module.ok_or_else(|| io::Error::other(format!("no {} in {}", names.join(", "), built.display())))?;
    let root = built.join("python");
    let package = root.join("upconv");
    fs::create_dir_all(&package)?;
    for entry in fs::read_dir(Path::new(FOLDER).join("upconv"))? {
        let path = entry?.path();
        if let (true, Some(name)) = (path.is_file(), path.file_name()) {
            fs::copy(&path, package.join(name))?;
        }
    }
    let name =
        if module.extension().is_some_and(|extension| extension == "dll") { "_upconv.pyd" } else { "_upconv.abi3.so" };
    // One that is loaded just now must not change.
    let new = package.join("new");
    fs::copy(&module, &new)?;
    fs::rename(&new, package.join(name))?;
    Ok(root)
}
