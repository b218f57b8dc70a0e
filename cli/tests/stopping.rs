//! Runs that are stopped, killed, or denied what they need.

#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{Folder, astronaut};
use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Many pictures in `in`.
fn folder(pictures: usize) -> Folder {
    let folder = Folder::new();
    fs::create_dir(folder.path("in")).unwrap();
    for index in 0..pictures {
        fs::copy(astronaut(), folder.path(&format!("in/{index:02}.png"))).unwrap();
    }
    folder
}

fn start(folder: &Folder, jobs: usize) -> Child {
    let jobs = jobs.to_string();
    Command::new(env!("CARGO_BIN_EXE_upconv"))
        .args(["upscale", "in", "out", "--scale", "4", "--device", "cpu", "--jobs", &jobs])
        .current_dir(folder.path(""))
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

fn parts(folder: &Folder) -> Vec<String> {
    folder.names().into_iter().filter(|name| name.contains(".upconv-")).collect()
}

fn wait_for_parts(folder: &Folder, child: &mut Child) {
    let begun = Instant::now();
    while parts(folder).is_empty() {
        assert!(child.try_wait().unwrap().is_none() && begun.elapsed() < Duration::from_secs(60), "no file is begun");
        sleep(Duration::from_millis(1));
    }
}

#[test]
fn a_run_that_is_stopped_leaves_nothing_half_done() {
    let folder = folder(70);
    for round in 0..12 {
        let (jobs, signal, code) = match round % 4 {
            0 => (1, Signal::INT, 130),
            1 => (64, Signal::TERM, 143),
            2 if !hangups_are_ignored() => (64, Signal::HUP, 129),
            _ => (64, Signal::INT, 130),
        };
        let mut child = start(&folder, jobs);
        wait_for_parts(&folder, &mut child);
        sleep(Duration::from_millis(7 * round));
        kill_process(Pid::from_child(&child), signal).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(code), "round {round}");
        assert_eq!(parts(&folder), [""; 0], "round {round}");
        let _ = fs::remove_dir_all(folder.path("out"));
    }
}

/// Whether the tests themselves run under `nohup` or the like, which their children inherit.
fn hangups_are_ignored() -> bool {
    Command::new("sh").args(["-c", "kill -HUP $$"]).status().unwrap().success()
}

#[test]
fn a_hangup_that_is_ignored_ends_nothing() {
    let folder = folder(2);
    let line = "trap '' HUP; exec \"$0\" upscale in out --scale 4 --device cpu --jobs 1";
    let mut child = Command::new("sh")
        .args(["-c", line, env!("CARGO_BIN_EXE_upconv")])
        .current_dir(folder.path(""))
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    wait_for_parts(&folder, &mut child);
    kill_process(Pid::from_child(&child), Signal::HUP).unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(fs::read_dir(folder.path("out")).unwrap().count(), 2);
}

#[test]
fn what_a_killed_run_left_is_removed_by_the_next() {
    let folder = folder(8);
    let mut killed = start(&folder, 4);
    wait_for_parts(&folder, &mut killed);
    kill_process(Pid::from_child(&killed), Signal::KILL).unwrap();
    killed.wait().unwrap();
    let left = parts(&folder);
    assert!(!left.is_empty());

    // A run that is alive, and one beside it in the same folder, which removes what is left and nothing else.
    let mut alive = start(&folder, 1);
    let begun = Instant::now();
    while parts(&folder).iter().any(|name| left.contains(name)) {
        assert!(begun.elapsed() < Duration::from_secs(60), "{left:?} stays");
        sleep(Duration::from_millis(1));
    }
    wait_for_parts(&folder, &mut alive);
    folder.succeed("upscale in/00.png out/other.png --scale 1 --device cpu");
    assert!(alive.wait().unwrap().success());
    assert_eq!(parts(&folder), [""; 0]);
    assert_eq!(fs::read_dir(folder.path("out")).unwrap().count(), 9);
}

/// A file that grows beyond the limit on a file's size is a failed write, and not the end by SIGXFSZ.
#[test]
fn a_limit_on_the_size_of_files_is_told_in_one_line() {
    let folder = folder(1);
    for output in ["out.png", "-"] {
        let line = format!("upscale in/00.png {output} --scale 4 --device cpu");
        let run = folder.shell(&format!("ulimit -f 64; exec $UPCONV {line} 2>&1 >result"));
        assert_eq!(run.code, Some(1), "{}", run.stdout);
        let last = run.stdout.lines().last().unwrap();
        assert!(last.starts_with("upconv: cannot write ") && last.contains("File too large"), "{}", run.stdout);
        assert!(parts(&folder).is_empty() && !folder.path("out.png").exists());
    }
}

/// Stacks that no machine has room for: a thread that computes cannot be started.
#[test]
fn threads_that_cannot_be_started_are_told_in_one_line() {
    let folder = folder(3);
    folder.write("op.json", "{}");
    let before = folder.names();
    for line in [
        "upscale in/00.png out.png --scale 2 --device cpu",
        "upscale in out --scale 2 --jobs 3 --device cpu",
        "upscale in/00.png out.png --model waifu2x-photo --device cpu",
        "apply op.json -i x.npy -w w.npy -o y.npy --device cpu",
        "verify --adapter cpu",
        "bench --workloads w10 --device cpu",
        "tune --workloads w10",
    ] {
        let run = folder.shell(&format!("RUST_MIN_STACK=100000000000000 exec $UPCONV {line}"));
        assert_eq!(run.code, Some(1), "{line}: {}", run.stderr);
        assert_eq!(run.stderr.lines().count(), 1, "{line}: {}", run.stderr);
        assert!(run.stderr.starts_with("upconv: cannot start ") && run.stdout.is_empty(), "{line}: {}", run.stderr);
        assert_eq!(folder.names(), before, "{line}");
    }
}
