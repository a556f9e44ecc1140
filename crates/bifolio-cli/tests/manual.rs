//! The manual pages and the completions: they say what the program does, all of it.

mod common;

use common::{Dir, code, complaint, run, text};
use std::process::{Command, Stdio};

const COMMANDS: &[&str] = &[
    "cat",
    "cmp",
    "completions",
    "doctor",
    "evict",
    "find",
    "hex",
    "info",
    "lock",
    "man",
    "maps",
    "patch",
    "picture",
    "residency",
    "touch",
    "tour",
    "watch",
];

#[test]
fn the_manual_has_a_page_for_every_command_and_each_lists_the_exit_codes() {
    let dir = Dir::new();
    let output = run(["man", dir.path().to_str().unwrap()]);
    assert_eq!(code(&output), 0, "{}", complaint(&output));
    let mut found: Vec<_> = std::fs::read_dir(dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    found.sort();
    let mut expected: Vec<_> = COMMANDS.iter().map(|name| format!("bifolio-{name}.1")).collect();
    expected.push("bifolio.1".into());
    expected.sort();
    assert_eq!(found, expected);
    for name in &found {
        let page = std::fs::read_to_string(dir.path().join(name)).unwrap();
        let title = name.strip_suffix(".1").unwrap().replace('-', "\\-");
        assert!(page.contains(&format!(".TH {}", name.strip_suffix(".1").unwrap())), "{page}");
        assert!(page.contains(&title), "{page}");
        for text in [
            "EXIT STATUS",
            "\\fB0\\fR\ndone",
            "\\fB1\\fR\nthe answer is no",
            "\\fB130\\fR\ninterrupted\n.PP\nWhere",
        ] {
            assert!(page.contains(text), "{name} lacks {text:?}:\n{page}");
        }
    }
    let printed = run(["man"]);
    assert_eq!(printed.stdout, std::fs::read(dir.path().join("bifolio.1")).unwrap());
}

#[test]
fn the_manual_pages_are_well_formed() {
    let checks = ["-ww", "-man", "-z", "-Tutf8"];
    let present = Command::new("groff").arg("--version").stdout(Stdio::null()).status();
    if present.is_err() {
        println!("skipped: groff is not installed");
        return;
    }
    let dir = Dir::new();
    run(["man", dir.path().to_str().unwrap()]);
    for entry in std::fs::read_dir(dir.path()).unwrap() {
        let path = entry.unwrap().path();
        let output = Command::new("groff").args(checks).arg(&path).output().unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{path:?}: {output:?}");
    }
}

#[test]
fn a_directory_that_is_not_there_is_an_error_that_names_the_file() {
    let dir = Dir::new();
    let output = run(["man", &dir.file("absent")]);
    assert_eq!(code(&output), 2);
    let said = complaint(&output);
    assert!(said.starts_with("bifolio: man ") && said.contains("absent/bifolio-"), "{said}");
}

#[test]
fn every_shell_gets_completions_that_know_the_commands() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = run(["completions", shell]);
        assert_eq!(code(&output), 0, "{shell}");
        let script = text(&output);
        for name in COMMANDS {
            assert!(script.contains(name), "{shell} does not complete {name}");
        }
    }
    assert_eq!(code(&run(["completions", "abacus"])), 2);
}

#[test]
fn bash_reads_its_completions() {
    let output = run(["completions", "bash"]);
    let dir = Dir::new();
    let script = dir.write("completions", &output.stdout);
    let asked = "source \"$0\"; COMP_WORDS=(bifolio c); COMP_CWORD=1; \
                 _bifolio bifolio c bifolio; echo \"${COMPREPLY[@]}\"";
    match Command::new("bash").args(["-c", asked, &script]).output() {
        Ok(answer) => {
            let words = text(&answer);
            assert!(words.split_whitespace().any(|word| word == "cat"), "{answer:?}");
        }
        Err(error) => println!("skipped: bash does not run: {error}"),
    }
}
