//! The other CPU: everything compiled for aarch64, and the guarded access run under an emulator.
//!
//! It needs that CPU's standard library (`rustup target add aarch64-unknown-linux-gnu`) and, to run
//! anything, Debian's gcc-aarch64-linux-gnu and qemu-user; what is absent is named and skipped. An
//! emulator has no memory ordering of its own and knows neither clone(2) without flags nor
//! process_vm_readv(2), so tests that need them are left out.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::workspace::Workspace;

const TARGET: &str = "aarch64-unknown-linux-gnu";
const LINKER: &str = "aarch64-linux-gnu-gcc";
const EMULATOR: &str = "qemu-aarch64";

/// The step `aarch64`.
pub(crate) fn run(workspace: &Workspace) -> Result<(), String> {
    if cfg!(target_arch = "aarch64") {
        eprintln!("    skipped: this is that CPU, the tests ran on it");
        return Ok(());
    }
    let libraries = Command::new("rustc")
        .args(["--print", "target-libdir", "--target", TARGET])
        .current_dir(workspace.root())
        .output()
        .map_err(|error| format!("rustc did not start: {error}"))?;
    if !Path::new(String::from_utf8_lossy(&libraries.stdout).trim_end()).is_dir() {
        eprintln!("    skipped: no standard library for {TARGET}");
        return Ok(());
    }
    workspace
        .cargo(&format!("check --locked --quiet --workspace --all-targets --target {TARGET}"))?;
    if let Some(absent) = [LINKER, EMULATOR].into_iter().find(|program| !starts(program)) {
        eprintln!("    skipped: nothing is run without {absent}");
        return Ok(());
    }
    let emulator = format!("{EMULATOR} -L /usr/aarch64-linux-gnu");
    let variables = [
        ("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER", LINKER),
        ("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER", &emulator),
    ];
    let test = format!("test --locked --target {TARGET}");
    let sys = format!("{test} -p bifolio-sys --lib --test guard -- --skip attacked::");
    workspace.cargo_with(&sys, &variables)?;
    workspace.cargo_with(&format!("{test} -p bifolio-map --test anon exec::"), &variables)
}

fn starts(program: &str) -> bool {
    Command::new(program)
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok()
}
