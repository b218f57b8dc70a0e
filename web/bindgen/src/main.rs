//! `bindgen MODULE.wasm FOLDER`: writes the module as a browser loads it, and the JavaScript that calls it.

use std::env;
use std::process::ExitCode;
use wasm_bindgen_cli_support::Bindgen;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [module, folder] = &arguments[..] else {
        eprintln!("usage: bindgen MODULE.wasm FOLDER");
        return ExitCode::from(2);
    };
    match generate(module, folder) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bindgen: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn generate(module: &str, folder: &str) -> Result<(), Box<dyn std::error::Error>> {
    let mut bindgen = Bindgen::new();
    // The caller says where the module is; the types are those of the package, which are written by hand.
    bindgen.input_path(module).out_name("upconv").web(true)?.typescript(false).remove_name_section(true);
    Ok(bindgen.generate(folder)?)
}
