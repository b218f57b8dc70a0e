//! Inputs without an end, and those that are longer than what they could be: refused before they fill the memory.

#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::Folder;

/// The address space that a run may take, in KiB: more than the bounds need, less than an endless input fills.
const LIMIT: u64 = 3 << 20;

fn folder() -> Folder {
    let folder = Folder::new();
    folder.write("op.json", "{}");
    let header = "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 1, 2, 2), }\n";
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.extend([0; 16]);
    folder.write("x.npy", bytes);
    folder.write("net.param", "7767517\n1 1\nConvolution c 0 1 b 0=3 1=1 6=9\n");
    folder.write("net.bin", [0; 40]);
    folder
}

#[cfg(target_os = "linux")]
#[test]
fn nothing_is_read_without_a_bound() {
    let folder = folder();
    std::os::unix::fs::symlink("/dev/zero", folder.path("zero.param")).unwrap();
    let before = folder.names();
    let shapes = "--input-shape 1,1,2,2 --weight-shape 1,1,2,2";
    for (line, words) in [
        (
            "apply /dev/zero -i x.npy -w x.npy -o y.npy --device cpu".to_string(),
            "has more than the 16777216 bytes allowed",
        ),
        ("apply op.json -i /dev/zero -w x.npy -o y.npy --device cpu".into(), "/dev/zero: not an .npy file"),
        ("apply op.json -i x.npy -w /dev/zero -o y.npy --device cpu".into(), "/dev/zero: not an .npy file"),
        ("apply op.json -i x.npy -w x.npy -b /dev/zero -o y.npy --device cpu".into(), "/dev/zero: not an .npy file"),
        (
            "apply op.json -i x.npy -w x.npy -o y.npy --device gpu --tuning /dev/zero".into(),
            "has more than the 16777216",
        ),
        ("apply --batch /dev/zero --device cpu".into(), "has more than the 67108864 bytes allowed"),
        ("grad op.json -i x.npy -w x.npy -g /dev/zero --dx y.npy".into(), "/dev/zero: not an .npy file"),
        ("grad --batch /dev/zero".into(), "has more than the 67108864 bytes allowed"),
        (format!("explain /dev/zero {shapes}"), "has more than the 16777216 bytes allowed"),
        (format!("tune /dev/zero {shapes}"), "has more than the 16777216 bytes allowed"),
        (format!("tune op.json {shapes} --tuning /dev/zero"), "has more than the 16777216 bytes allowed"),
        ("bench --workloads w10 --tuning /dev/zero".into(), "has more than the 16777216 bytes allowed"),
        ("convert zero.param out --bin net.bin".into(), "has more than the 16777216 bytes allowed"),
        ("convert net.param out --bin /dev/zero".into(), "has more than the 1073741824 bytes allowed"),
        ("upscale in.png out.png --model /dev/zero".into(), "has more than the 1073741824 bytes allowed"),
    ] {
        let run = folder.shell(&format!("ulimit -v {LIMIT}; exec $UPCONV {line}"));
        assert_eq!(run.code, Some(1), "{line}: {}", run.stderr);
        assert!(run.stderr.starts_with("upconv: ") && run.stderr.contains(words), "{line}: {}", run.stderr);
        assert_eq!((run.stderr.lines().count(), folder.names()), (1, before.clone()), "{line}: {}", run.stderr);
    }
}

/// A header that claims more than --memory, before as much is read or allocated.
#[test]
fn an_array_is_refused_by_its_header() {
    let folder = folder();
    let header = "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 1, 1048576, 262144), }\n";
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.as_bytes());
    folder.write("start", &bytes);
    let run = folder.shell("cat start /dev/zero | $UPCONV apply op.json -i - -w x.npy -o y.npy --device cpu");
    assert_eq!(run.code, Some(1), "{}", run.stderr);
    let words =
        "standard input: shape [1, 1, 1048576, 262144] takes 1099511627776 bytes, more than the 4294967296 allowed";
    assert!(run.stderr.contains(words), "{}", run.stderr);
    // A file with a hole is as long as it says.
    let hole = std::fs::File::options().append(true).open(folder.path("start")).unwrap();
    hole.set_len(bytes.len() as u64 + (1 << 40)).unwrap();
    let run = folder.run("apply op.json -i start -w x.npy -o y.npy --device cpu");
    assert_eq!(run.code, Some(1), "{}", run.stderr);
    assert!(run.stderr.contains("start: shape [1, 1, 1048576, 262144] takes 1099511627776"), "{}", run.stderr);
}
