//! The program; what it does is in `lib.rs`, where the fuzz targets reach it too.

fn main() -> std::process::ExitCode {
    upconv_cli::main()
}
