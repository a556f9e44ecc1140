//! The workspace: where it lies, and programs run at its root.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Where the workspace lies and which cargo builds it.
pub(crate) struct Workspace {
    root: PathBuf,
    cargo: PathBuf,
}

impl Workspace {
    /// Asks the environment that `cargo xtask` sets; without it, the current directory.
    pub(crate) fn find() -> Self {
        let manifest_dir = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
        let parent = manifest_dir.as_deref().and_then(Path::parent).map(Path::to_path_buf);
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        Self { root: parent.unwrap_or_else(|| PathBuf::from(".")), cargo: cargo.into() }
    }

    /// The directory of the workspace's manifest.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// The cargo that builds it.
    pub(crate) fn program(&self) -> &Path {
        &self.cargo
    }

    /// Runs cargo with what it prints left on the terminal.
    pub(crate) fn cargo(&self, line: &str) -> Result<(), String> {
        self.cargo_with(line, &[])
    }

    pub(crate) fn cargo_with(&self, line: &str, variables: &[(&str, &str)]) -> Result<(), String> {
        let set: String =
            variables.iter().map(|(name, value)| format!("{name}='{value}' ")).collect();
        eprintln!("    $ {set}cargo {line}");
        let mut command = Command::new(&self.cargo);
        command.args(line.split_whitespace()).current_dir(&self.root);
        command.envs(variables.iter().copied());
        let status = command.status().map_err(|error| format!("cargo did not start: {error}"))?;
        if status.success() { Ok(()) } else { Err(format!("`{set}cargo {line}`: {status}")) }
    }

    /// What cargo prints on its standard output.
    pub(crate) fn cargo_output(&self, line: &str) -> Result<String, String> {
        self.cargo_output_with(line, &[])
    }

    pub(crate) fn cargo_output_with(
        &self,
        line: &str,
        variables: &[(&str, &str)],
    ) -> Result<String, String> {
        output(Command::new(&self.cargo).envs(variables.iter().copied()), &self.root, line)
    }

    /// What git prints on its standard output.
    pub(crate) fn git_output(&self, line: &str) -> Result<String, String> {
        output(&mut Command::new("git"), &self.root, line)
    }
}

/// What a program prints on its standard output when it is run in a directory.
fn output(program: &mut Command, directory: &Path, line: &str) -> Result<String, String> {
    let name = format!("`{} {line}`", program.get_program().to_string_lossy());
    let command = program.args(line.split_whitespace()).current_dir(directory);
    let output = command.output().map_err(|error| format!("{name}: {error}"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(format!("{name}: {}\n{}", output.status, said.trim_end()));
    }
    String::from_utf8(output.stdout).map_err(|error| format!("{name}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_that_fails_is_named() {
        let workspace = Workspace { root: PathBuf::from("."), cargo: PathBuf::from("false") };
        assert!(workspace.cargo("build").unwrap_err().contains("cargo build"));
        assert!(workspace.cargo_output("tree").unwrap_err().contains("false tree"));
    }
}
