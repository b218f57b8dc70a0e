//! `upconv bench`, as a user runs it.

use std::path::Path;
use std::process::{Command, Output};

fn bench(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_upconv")).arg("bench").args(arguments).output().unwrap()
}

fn text(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap()
}

#[test]
fn a_workload_is_checked_timed_written_and_drawn() {
    let folder = tempfile::tempdir().unwrap();
    let (json, plot) = (folder.path().join("rows.json"), folder.path().join("rows.svg"));
    let [json_path, plot_path] = [&json, &plot].map(|path| path.to_str().unwrap());
    let files = ["--json", json_path, "--plot", plot_path];
    let output = bench(&[&["--workloads", "w10", "--device", "cpu", "--runs", "2"], &files[..]].concat());
    let (table, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{table}\n{errors}");
    assert!(table.contains("W10     stride 1: 1 × 64×64×64 → 64, k3 s1 p1"), "{table}");

    let rows: serde_json::Value = serde_json::from_str(&text(&json)).unwrap();
    let [row] = &rows.as_array().unwrap()[..] else { panic!("expected one row, not {rows}") };
    for key in ["workload", "device", "adapter", "kernel", "verified_part"] {
        assert!(row[key].is_string(), "{key}: {row}");
    }
    for key in ["first_call_ms", "end_to_end_ms", "median_ms", "min_ms", "gflops", "gbps"] {
        assert!(row[key].as_f64().is_some_and(|value| value > 0.0), "{key}: {row}");
    }
    assert_eq!((&row["workload"], &row["device"], &row["runs"]), (&"W10".into(), &"cpu".into(), &2.into()));
    assert!(row["verified_share"].as_f64().is_some_and(|share| share <= 1.0), "{row}");
    assert!(row["kernel_ms"].is_null() && row["error"].is_null(), "{row}");
    assert!(row["min_ms"].as_f64() <= row["median_ms"].as_f64());

    let svg = text(&plot);
    well_formed(&svg);
    assert!(svg.contains("W10") && svg.contains("stride 1"), "{svg}");
}

#[test]
fn an_unknown_workload_is_refused_with_those_that_are_known() {
    let output = bench(&["--workloads", "W1,W99"]);
    assert_eq!(output.status.code(), Some(1));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(errors.starts_with("upconv: there is no workload \"W99\"; known are W1, W2, "), "{errors}");
    assert_eq!(errors.lines().count(), 1, "{errors}");
}

#[test]
fn a_file_that_cannot_be_written_is_refused_before_anything_is_timed() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("missing/rows.json");
    let output = bench(&["--device", "cpu", "--json", file.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty());
}

/// Every tag is closed by its own name, in order, and every `&` begins an entity.
fn well_formed(xml: &str) {
    let mut open = Vec::new();
    let mut rest = xml;
    while let Some(begin) = rest.find('<') {
        let end = begin + rest[begin..].find('>').expect("a tag that is not ended");
        let (words, tag) = (&rest[..begin], &rest[begin + 1..end]);
        assert!(!words.contains('>') && words.split('&').skip(1).all(|entity| entity.contains(';')), "{words}");
        assert_eq!(tag.matches('"').count() % 2, 0, "{tag}");
        let name = tag.split([' ', '/']).find(|part| !part.is_empty());
        match tag.strip_prefix('/') {
            Some(_) => assert_eq!(open.pop(), name, "{tag}"),
            None if tag.ends_with('/') => {}
            None => open.push(name),
        }
        rest = &rest[end + 1..];
    }
    assert!(open.iter().flatten().next().is_none(), "never closed: {open:?}");
    assert!(rest.trim().is_empty());
}
