//! `bifolio doctor`: it says what is so, and its exit code whether the promises hold.

mod common;

use common::{bifolio, code, complaint, run, text};
use serde_json::Value;
use std::process::Command;

fn document(output: &std::process::Output) -> Value {
    serde_json::from_str(&text(output)).unwrap()
}

#[test]
fn a_healthy_machine_is_said_to_be_healthy_within_80_columns() {
    let output = run(["doctor"]);
    let shown = text(&output);
    assert_eq!(code(&output), 0, "{shown}{}", complaint(&output));
    assert!(shown.contains("\nHealthy: every promise of Bifolio holds here"), "{shown}");
    for line in shown.lines() {
        assert!(line.chars().count() <= 80, "{line:?} is too long");
    }
}

#[test]
fn every_feature_is_listed_and_every_absent_one_explained() {
    let output = run(["doctor", "--json"]);
    let all = document(&output);
    assert_eq!(all["schema"], 1);
    assert_eq!(all["holds"], true);
    assert_eq!(all["environment"]["page_bytes"], bifolio::page::page_size().bytes());
    let features = all["features"].as_array().unwrap();
    assert_eq!(features.len(), bifolio::features::Feature::ALL.len());
    let shown = text(&run(["doctor"]));
    for (feature, found) in bifolio::features::Feature::ALL.iter().zip(features) {
        assert_eq!(found["name"], feature.name());
        assert!(shown.contains(feature.name()), "{}", feature.name());
        let is_absent = found["available"] == false;
        assert_eq!(found["reason"].is_string(), is_absent, "{found}");
        assert_eq!(found["instead"].is_string(), is_absent, "{found}");
        assert_eq!(found["available"], feature.is_available(), "{found}");
    }
}

#[test]
fn a_blocked_signal_weakens_a_promise() {
    let program = env!("CARGO_BIN_EXE_bifolio");
    for (signal, name) in [("BUS", "SIGBUS"), ("SEGV", "SIGSEGV")] {
        let mut command = Command::new("env");
        command.arg(format!("--block-signal={signal}")).args([program, "doctor", "--json"]);
        let output = command.output().unwrap();
        if output.status.code() == Some(125) {
            println!("skipped: this env(1) blocks no signals");
            return;
        }
        assert_eq!(code(&output), 1, "{}", complaint(&output));
        let all = document(&output);
        assert_eq!(all["holds"], false);
        assert_eq!(all["why"], format!("this thread blocks {name}"));
        for found in all["faults"]["signals"].as_array().unwrap() {
            let is_this = found["name"] == name;
            assert_eq!(found["blocked"], is_this, "{found}");
            assert_eq!(found["survives"], !is_this, "{found}");
        }
    }
}

#[test]
fn settings_are_read_and_not_guessed() {
    let line = "ulimit -l 1024; exec \"$0\" doctor --json";
    let output = Command::new("sh").args(["-c", line, env!("CARGO_BIN_EXE_bifolio")]).output();
    let all = document(&output.unwrap());
    assert_eq!(all["environment"]["lock_limit_bytes"], 1 << 20);
    let narrow = bifolio().arg("doctor").env("COLUMNS", "74").output().unwrap();
    assert!(text(&narrow).lines().all(|line| line.chars().count() <= 74), "{}", text(&narrow));
}
