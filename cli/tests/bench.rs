//! `upconv bench`, as a user runs it.

use std::fs;
use std::io;
use std::process::{Command, Output};

fn bench(arguments: &[&str]) -> io::Result<Output> {
    Command::new(env!("CARGO_BIN_EXE_upconv")).arg("bench").args(arguments).output()
}

#[test]
fn a_workload_is_checked_timed_written_and_drawn() {
    let folder = tempfile::tempdir().unwrap();
    let (json, plot) = (folder.path().join("rows.json"), folder.path().join("rows.svg"));
    let [json_path, plot_path] = [&json, &plot].map(|path| path.to_str().unwrap());
    let files = ["--json", json_path, "--plot", plot_path];
    let output = bench(&[&["--workloads", "w10", "--device", "cpu", "--runs", "2"], &files[..]].concat()).unwrap();
    let (table, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{table}\n{errors}");
    assert!(table.contains("W10     stride 1: 1 × 64×64×64 → 64, k3 s1 p1"), "{table}");

    let rows: serde_json::Value = serde_json::from_str(&fs::read_to_string(&json).unwrap()).unwrap();
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

    let svg = fs::read_to_string(&plot).unwrap();
    assert!(well_formed(&svg), "{svg}");
    assert!(svg.contains("W10") && svg.contains("stride 1"), "{svg}");
}

#[test]
fn the_accuracy_is_said_and_one_that_is_not_known_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let json = folder.path().join("rows.json");
    let layer = ["--workloads", "w10", "--device", "cpu", "--runs", "1", "--json", json.to_str().unwrap()];
    let output = bench(&[&layer[..], &["--accuracy", "normwise"]].concat()).unwrap();
    assert!(
        output.status.success() && String::from_utf8_lossy(&output.stdout).contains("stride 1, normwise: "),
        "{output:?}"
    );
    let rows: serde_json::Value = serde_json::from_str(&fs::read_to_string(&json).unwrap()).unwrap();
    assert!(rows[0]["verified_share"].as_f64().is_some_and(|share| share > 0.0 && share <= 1.0), "{rows}");
    let refused = bench(&["--accuracy", "exact"]).unwrap();
    assert!(
        String::from_utf8_lossy(&refused.stderr).contains("expected one of elementwise, normwise, half"),
        "{refused:?}"
    );
}

/// In f16, with what differs between its axes.
#[test]
fn a_layer_of_ones_own_is_checked_and_timed() {
    let folder = tempfile::tempdir().unwrap();
    let (op, json) = (folder.path().join("mine.json"), folder.path().join("rows.json"));
    let described = r#"{"strides": [2, 3], "pads": [[1, 0], [1, 1]], "groups": 2, "w_shape": [4, 3, 3, 5]}"#;
    fs::write(&op, described).unwrap();
    let [op, json] = [&op, &json].map(|path| path.to_str().unwrap());
    let own = ["--input-shape", "2,4,5,6", "--f16", "--device", "cpu", "--runs", "2", "--json", json];
    let output = bench(&[&[op], &own[..]].concat()).unwrap();
    let (table, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{table}\n{errors}");
    assert!(table.contains("mine.json: 2 × 4×5×6 → 6, k3×5 s2×3 p1:0×1 g2"), "{table}");
    let rows: serde_json::Value = serde_json::from_str(&fs::read_to_string(json).unwrap()).unwrap();
    assert_eq!((&rows[0]["workload"], &rows[0]["dtype"]), (&"mine".into(), &"float16".into()), "{rows}");
    assert!(rows[0]["verified_share"].as_f64().is_some_and(|share| share <= 1.0), "{rows}");
    assert!(rows[0]["median_ms"].as_f64().is_some_and(|time| time > 0.0), "{rows}");
    assert_eq!(bench(&[op, "--workloads", "W1"]).unwrap().status.code(), Some(2), "one or the other");
}

#[test]
fn an_unknown_workload_is_refused_with_those_that_are_known() {
    let output = bench(&["--workloads", "W1,W99"]).unwrap();
    assert_eq!(output.status.code(), Some(1));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(errors.starts_with("upconv: there is no workload \"W99\"; known are W1, W2, "), "{errors}");
    assert_eq!(errors.lines().count(), 1, "{errors}");
}

#[test]
fn a_file_that_cannot_be_written_is_refused_before_anything_is_timed() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("missing/rows.json");
    let output = bench(&["--device", "cpu", "--json", file.to_str().unwrap()]).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty());
}

/// Whether every tag is closed by its own name, in order, and every `&` begins an entity.
fn well_formed(xml: &str) -> bool {
    let mut open = Vec::new();
    let mut pieces = xml.split('<');
    let before = pieces.next().unwrap_or_default();
    for piece in pieces {
        let Some((tag, text)) = piece.split_once('>') else { return false };
        let Some(name) = tag.split([' ', '/']).find(|part| !part.is_empty()) else { return false };
        if tag.starts_with('/') {
            if open.pop() != Some(name) {
                return false;
            }
        } else if !tag.ends_with('/') {
            open.push(name);
        }
        let entities = text.split('&').skip(1).all(|entity| entity.contains(';'));
        if text.contains('>') || !entities || tag.matches('"').count() % 2 != 0 {
            return false;
        }
    }
    before.is_empty() && open.is_empty()
}

#[test]
fn the_check_of_the_plot_is_checked() {
    assert!(well_formed("<a b=\"c\"><d/>&amp;</a>\n"));
    for wrong in ["<a>", "<a></b>", "<a><b></a></b>", "<a>b & c</a>", "<a b=\"c></a>", "<a"] {
        assert!(!well_formed(wrong), "{wrong}");
    }
}
