//! The cache folder, where others may have put something.

#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::Folder;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

const EXPLAIN: &str = "explain op.json --input-shape 1,1,2,2 --weight-shape 1,1,2,2";

/// A folder with a cache folder `upconv` in it.
fn folder() -> Folder {
    let folder = Folder::new();
    fs::create_dir(folder.path("upconv")).unwrap();
    folder.write("op.json", "{}");
    folder
}

/// `apply` without a GPU reads the measured choices as the other commands do, and goes on without them.
#[test]
fn what_is_no_file_there_is_not_read() {
    for (make, words) in [
        ("mkfifo upconv/tuning.json", "is not a regular file"),
        ("mkdir upconv/tuning.json", "is not a regular file"),
        ("echo {} >elsewhere; ln -s ../elsewhere upconv/tuning.json", "is a symbolic link"),
    ] {
        let folder = folder();
        folder.shell(make);
        let run = folder.run_cached("apply op.json -i no.npy -w no.npy -o y.npy", &folder.path(""));
        assert_eq!(run.code, Some(1), "{}", run.stderr);
        let before = folder.names();
        folder.write("list", "");
        let run = folder.run_cached("apply --batch list --device cpu", &folder.path(""));
        assert_eq!(run.code, Some(0), "{make}: {}", run.stderr);
        assert!(run.stderr.starts_with("tuning: ignored: ") && run.stderr.contains(words), "{make}: {}", run.stderr);
        // A file of choices that cannot be read is not replaced either.
        let run = folder.run_cached(&EXPLAIN.replace("explain", "tune"), &folder.path(""));
        assert!(run.code == Some(1) && run.stderr.contains(words), "{make}: {}", run.stderr);
        fs::remove_file(folder.path("list")).unwrap();
        assert_eq!(folder.names(), before);
    }
}

#[test]
fn a_named_file_of_choices_may_be_a_link() {
    let folder = folder();
    folder.write("real", r#"{}"#);
    symlink("real", folder.path("link")).unwrap();
    folder.write("list", "");
    let run = folder.run("apply --batch list --device cpu --tuning link");
    assert!(run.stderr.contains("link: tuning: missing field"), "{}", run.stderr);
}

/// Only root can make what belongs to somebody else.
#[cfg(target_os = "linux")]
#[test]
fn a_folder_of_somebody_else_is_not_used() {
    let folder = folder();
    folder.write("upconv/tuning.json", "{}");
    folder.write("list", "");
    let apply = |folder: &Folder| folder.run_cached("apply --batch list --device cpu", &folder.path("")).stderr;
    assert!(apply(&folder).contains("tuning: missing field"), "{}", apply(&folder));
    if folder.shell("chown 12345 upconv 2>/dev/null").code == Some(0) {
        assert!(apply(&folder).contains("upconv belongs to another user"), "{}", apply(&folder));
    }
    fs::set_permissions(folder.path("upconv"), fs::Permissions::from_mode(0o755)).unwrap();
}
