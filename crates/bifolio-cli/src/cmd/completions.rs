//! `bifolio completions`: what a shell needs to complete the arguments.

use crate::cli;
use crate::console::Console;
use crate::failure::{Exit, Failure};
use clap_complete::Shell;
use std::io::Write;

/// Print the completions for a shell
///
/// Where they go is the shell's matter. For bash, for one session:
/// `source <(bifolio completions bash)`.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// The shell
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

pub(crate) fn run(args: &Args, console: &mut Console) -> Result<Exit, Failure> {
    let mut command = cli::command();
    let name = command.get_name().to_owned();
    // Not into the console itself: the generator panics where its output is closed.
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command, name, &mut script);
    console.write_all(&script)?;
    Ok(Exit::Success)
}
