//! The very `.s` files that the crate is built from, assembled by gcc and called from C: natively,
//! and aarch64's under qemu.
//!
//! The Rust tests run on the CPU that the compiler builds for. This one also runs the other CPU's
//! assembly, if the machine has a cross compiler and an emulator (Debian: `gcc-aarch64-linux-gnu`,
//! `qemu-user`).
#![cfg(not(miri))]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// One way to build and run the harness.
struct Target {
    arch: &'static str,
    /// The files of `src/guard`, one after the other as the crate includes them.
    assembly: &'static [&'static str],
    compiler: &'static str,
    /// So that gcc takes the syntax that Rust takes.
    assembler_flags: &'static [&'static str],
    emulator: Option<&'static str>,
}

const X86_64: Target = Target {
    arch: "x86_64",
    assembly: &["x86_64.s", "x86_64_pair.s", "x86_64_word.s"],
    compiler: "gcc",
    assembler_flags: &["-Wa,-msyntax=intel,-mnaked-reg"],
    emulator: None,
};
const AARCH64: Target = Target {
    arch: "aarch64",
    assembly: &["aarch64.s"],
    compiler: if cfg!(target_arch = "aarch64") { "gcc" } else { "aarch64-linux-gnu-gcc" },
    assembler_flags: &[],
    emulator: if cfg!(target_arch = "aarch64") { None } else { Some("qemu-aarch64") },
};

fn is_there(program: &str) -> bool {
    Command::new(program).arg("--version").output().is_ok_and(|output| output.status.success())
}

fn run(command: &mut Command) -> Output {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(
        output.status.success(),
        "{command:?}: {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    output
}

impl Target {
    fn test(&self) {
        if let Some(missing) =
            [Some(self.compiler), self.emulator].into_iter().flatten().find(|name| !is_there(name))
        {
            println!("skipped: no {missing} for the assembly of {}", self.arch);
            return;
        }
        let program = self.build();
        let mut command = match self.emulator {
            Some(emulator) => Command::new(emulator),
            None => Command::new(&program),
        };
        if self.emulator.is_some() {
            command.arg(&program);
        }
        let output = run(&mut command);
        let report = String::from_utf8_lossy(&output.stdout);
        assert!(report.starts_with("ok: "), "{report}");
        println!("{}: {}", self.arch, report.trim());
    }

    fn build(&self) -> PathBuf {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let out = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let object = out.join(format!("guard_{}.o", self.arch));
        let program = out.join(format!("guard_{}", self.arch));
        let assembly = out.join(format!("guard_{}.s", self.arch));
        let text = self.assembly.iter().map(|name| {
            let path = root.join("src/guard").join(name);
            std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path:?}: {error}"))
        });
        std::fs::write(&assembly, text.collect::<String>()).expect("the directory of the tests");
        run(Command::new(self.compiler)
            .args(self.assembler_flags)
            .args(["-Wa,--fatal-warnings", "-c"])
            .arg(&assembly)
            .arg("-o")
            .arg(&object));
        run(Command::new(self.compiler)
            .args(["-std=gnu11", "-O1", "-Wall", "-Werror", "-static", "-pthread", "-o"])
            .arg(&program)
            .arg(root.join("tests/c/guard_harness.c"))
            .arg(&object));
        program
    }
}

#[test]
fn the_assembly_of_x86_64_holds_in_c() {
    if cfg!(target_arch = "x86_64") {
        X86_64.test();
    } else {
        println!("skipped: not an x86-64 CPU");
    }
}

#[test]
fn the_assembly_of_aarch64_holds_in_c() {
    AARCH64.test();
}
