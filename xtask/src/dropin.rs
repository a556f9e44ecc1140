//! Programs of others over the drop-in memmap2: their own tests, with the crate of crates.io and
//! then with ours, and memmap2's own tests and examples over ours.
//!
//! cargo fetches the packages from crates.io, as they were published. Nothing in them is changed
//! but the line of `Cargo.lock` that names memmap2, which is cargo's to write; what was built is
//! asked of `cargo tree`.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{fs, io};

use serde_json::Value;

use crate::workspace::Workspace;

/// The version whose interface ours is.
const EMULATED: &str = "0.9.12";

/// A program that maps files by memmap2 and has tests that do so.
struct Program {
    name: &'static str,
    version: &'static str,
    /// What `cargo update` is given to make room for ours: nothing is everything, where what the
    /// package has locked is older than what ours stands on. Then memmap2 gets the same.
    unlocked: &'static str,
}

const PROGRAMS: &[Program] = &[
    Program { name: "ripgrep", version: "15.2.0", unlocked: "memmap2" },
    Program { name: "b3sum", version: "1.8.7", unlocked: "memmap2" },
    Program { name: "sd", version: "1.0.0", unlocked: "" },
];

/// memmap2's own package made into one that tests ours: its tests are a module of a test, its
/// documentation that of a library, and both mean ours by the name.
const SUITE_MANIFEST: &str = r#"
[package]
name = "suite"
version = "0.0.0"
edition = "2021"
autoexamples = false

[dependencies]
libc = "0.2"
memmap2 = { path = "OURS", features = ["stable_deref_trait"] }
stable_deref_trait = { version = "1", optional = true }

[dev-dependencies]
owning_ref = "0.4"
tempfile = "3"

[features]
default = ["stable_deref_trait"]

[workspace]

[lib]
path = "src/lib.rs"
test = false

[[test]]
name = "map"
path = "map.rs"
"#;
const SUITE_TEST: &str = r#"
pub use memmap2::{Advice, Mmap, MmapMut, MmapOptions, RemapOptions, UncheckedAdvice};
pub mod advice {
    pub use memmap2::Advice;
}
#[path = "test/map.rs"]
mod test;
"#;

/// The extra step `dropin`.
pub(crate) fn run(workspace: &Workspace) -> Result<(), String> {
    let scratch = Scratch::new(workspace)?;
    let registry = scratch.fetch()?;
    let mut lines = vec![format!(
        "memmap2 {EMULATED}: {} of its own tests and examples over ours",
        scratch.suite(&registry)?
    )];
    for program @ Program { name, version, .. } in PROGRAMS {
        let theirs = scratch.test(&registry, program, false)?;
        let ours = scratch.test(&registry, program, true)?;
        lines.push(format!("{name} {version}: {ours} tests over ours, {theirs} over memmap2"));
        if ours != theirs {
            return Err(lines.pop().unwrap_or_default());
        }
    }
    lines.iter().for_each(|line| eprintln!("    {line}"));
    Ok(())
}

/// A directory for packages and what is built of them.
struct Scratch<'a> {
    workspace: &'a Workspace,
    directory: PathBuf,
    ours: PathBuf,
}

impl<'a> Scratch<'a> {
    fn new(workspace: &'a Workspace) -> Result<Self, String> {
        let root = workspace.root().canonicalize().map_err(|error| error.to_string())?;
        let directory = root.join("target/dropin");
        let ours = root.join("crates/memmap2");
        fs::create_dir_all(&directory).map_err(|error| error.to_string())?;
        Ok(Scratch { workspace, directory, ours })
    }

    /// Has cargo fetch the packages, and returns the directory that it keeps sources in.
    fn fetch(&self) -> Result<PathBuf, String> {
        let look = self.directory.join("look");
        let mut manifest = String::from(
            "[package]\nname = \"look\"\nversion = \"0.0.0\"\n[workspace]\n[dependencies]\n",
        );
        let programs = PROGRAMS.iter().map(|program| (program.name, program.version));
        for (name, version) in programs.chain([("memmap2", EMULATED)]) {
            manifest.push_str(&format!("{name} = \"={version}\"\n"));
        }
        write(&look.join("Cargo.toml"), &manifest)?;
        write(&look.join("src/lib.rs"), "")?;
        let text = self.cargo(&look, "metadata --format-version 1", &[])?;
        let metadata: Value = serde_json::from_str(&text).map_err(|error| error.to_string())?;
        let mut packages = metadata["packages"].as_array().into_iter().flatten();
        let peer = packages.find(|package| package["name"] == "memmap2");
        let manifest = peer.and_then(|package| package["manifest_path"].as_str());
        let source = manifest.map(Path::new).and_then(|path| path.parent()?.parent());
        source.map(Path::to_path_buf).ok_or_else(|| "cargo names no memmap2".into())
    }

    /// Runs memmap2's own tests and the examples of its documentation over ours.
    fn suite(&self, registry: &Path) -> Result<u32, String> {
        let place = self.copy(registry, "memmap2", EMULATED, "suite")?;
        let ours = self.ours.display().to_string();
        write(&place.join("Cargo.toml"), &SUITE_MANIFEST.replace("OURS", &ours))?;
        write(&place.join("map.rs"), SUITE_TEST)?;
        self.assert_ours(&place, &[])?;
        passed(&self.cargo(&place, "test --no-fail-fast", &[])?)
    }

    /// Runs the tests of a program, with ours or as it is, and returns how many passed.
    fn test(&self, registry: &Path, program: &Program, with_ours: bool) -> Result<u32, String> {
        let to = if with_ours { "ours" } else { "theirs" };
        let place = self.copy(registry, program.name, program.version, to)?;
        let patch = format!("patch.crates-io.memmap2.path=\"{}\"", self.ours.display());
        let config: &[&str] = if with_ours { &["--config", &patch] } else { &[] };
        if with_ours || program.unlocked.is_empty() {
            self.cargo(&place, &format!("update --quiet {}", program.unlocked), config)?;
        }
        if with_ours {
            self.assert_ours(&place, config)?;
        }
        passed(&self.cargo(&place, "test --no-fail-fast", config)?)
    }

    /// That the one memmap2 in the tree is ours.
    fn assert_ours(&self, place: &Path, config: &[&str]) -> Result<(), String> {
        let tree = self.cargo(place, "tree --invert memmap2 --depth 0 --prefix none", config)?;
        let ours = format!("memmap2 v{EMULATED} ({})", self.ours.display());
        let found: Vec<&str> = tree.lines().filter(|line| line.starts_with("memmap2 ")).collect();
        if found == [ours] {
            Ok(())
        } else {
            Err(format!("{}: built of {found:?}", place.display()))
        }
    }

    /// A copy of a package, fresh but for what was built of it.
    fn copy(
        &self,
        registry: &Path,
        name: &str,
        version: &str,
        to: &str,
    ) -> Result<PathBuf, String> {
        let to = self.directory.join(to).join(name);
        let copied = match fs::remove_dir_all(&to) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => copy_directory(&registry.join(format!("{name}-{version}")), &to),
        };
        copied.map_err(|error| format!("{name}: {error}"))?;
        Ok(to)
    }

    /// What cargo prints in a directory; what it says meanwhile goes to the terminal.
    fn cargo(&self, place: &Path, line: &str, more: &[&str]) -> Result<String, String> {
        eprintln!("    $ cd {}; cargo {line} {}", place.display(), more.join(" "));
        let output = Command::new(self.workspace.program())
            .args(line.split_whitespace().chain(more.iter().copied()))
            .current_dir(place)
            .env("CARGO_TARGET_DIR", self.directory.join("build"))
            .stderr(Stdio::inherit())
            .output()
            .map_err(|error| format!("cargo did not start: {error}"))?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        if output.status.success() {
            return Ok(text);
        }
        let failures: Vec<&str> = text.lines().filter(|line| line.contains("FAILED")).collect();
        Err(format!("cargo {line} in {}: {}", place.display(), failures.join("; ")))
    }
}

/// How many tests passed, by what cargo printed.
fn passed(text: &str) -> Result<u32, String> {
    let words = text.lines().filter_map(|line| line.strip_prefix("test result: ok. "));
    let count = words.filter_map(|line| line.split(' ').next()?.parse::<u32>().ok()).sum();
    if count > 0 { Ok(count) } else { Err("no test ran".into()) }
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    let parent = path.parent().unwrap_or(path);
    let written = fs::create_dir_all(parent).and_then(|()| fs::write(path, text));
    written.map_err(|error| format!("{}: {error}", path.display()))
}

fn copy_directory(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_directory(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_that_passed_are_counted_over_all_binaries() {
        let text = "test result: ok. 40 passed; 0 failed\n\ntest result: ok. 2 passed; 0 failed\n";
        assert_eq!(passed(text), Ok(42));
        assert!(passed("test result: ok. 0 passed; 0 failed\n").is_err());
        assert!(passed("").is_err());
    }
}
