//! Faults under the maps, in children that are really hit by them: each scenario is this program
//! run again, and its end and its words are looked at.

#[path = "../common/mod.rs"]
mod common;

mod aborted;
mod attack;
mod others;
mod zeroed;

use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Output};

/// The variable that names a child's scenario.
const SCENARIO: &str = "BIFOLIO_CHILD";
/// The variable that chooses the policy.
const POLICY: &str = memmap2::bifolio::VARIABLE;

/// Does nothing in the parent; in a child, its scenario.
#[test]
fn scenarios() {
    let Ok(name) = std::env::var(SCENARIO) else { return };
    let all = [aborted::SCENARIOS, zeroed::SCENARIOS, others::SCENARIOS];
    let found = all.into_iter().flatten().find(|(known, _)| *known == name);
    found.unwrap_or_else(|| panic!("no scenario {name}")).1();
}

/// How a scenario ended.
struct End {
    output: Output,
    stderr: String,
}

/// Runs a scenario under this value of the variable.
fn run(scenario: &str, policy: Option<&str>) -> End {
    end_of(&mut command(&std::env::current_exe().unwrap(), scenario, policy))
}

/// This program, or a copy of it, about to play a scenario.
fn command(program: &Path, scenario: &str, policy: Option<&str>) -> Command {
    let mut command = Command::new(program);
    command.args(["--exact", "scenarios", "--nocapture", "--test-threads", "1"]);
    command.env(SCENARIO, scenario).env_remove(POLICY);
    if let Some(policy) = policy {
        command.env(POLICY, policy);
    }
    command
}

fn end_of(command: &mut Command) -> End {
    let output = command.output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    End { output, stderr }
}

impl End {
    /// It was ended by this signal.
    #[track_caller]
    fn assert_killed(self, signal: i32) -> End {
        let status = self.output.status;
        assert_eq!(status.signal(), Some(signal), "{status}: {}", self.stderr);
        self
    }

    /// It came to its end.
    #[track_caller]
    fn assert_lived(self) -> End {
        let status = self.output.status;
        let stdout = String::from_utf8_lossy(&self.output.stdout);
        assert!(status.success(), "{status}: {stdout} {}", self.stderr);
        // The child found its scenario.
        assert!(stdout.contains("1 passed"), "{stdout}");
        self
    }

    /// The lines that this crate wrote.
    fn words(&self) -> Vec<&str> {
        self.stderr.lines().filter(|line| line.starts_with("memmap2: ")).collect()
    }

    /// The one line that this crate wrote, which has all of these in it.
    #[track_caller]
    fn assert_said(self, parts: &[&str]) -> End {
        let words = self.words();
        assert_eq!(words.len(), 1, "{}", self.stderr);
        for part in parts {
            assert!(words[0].contains(part), "{part:?} is not in {:?}", words[0]);
        }
        self
    }
}
