//! The arguments of the program, and the way from them to an exit code.
//!
//! A command is a file under `cmd/` with `Args` and `run(Args, &mut Console) -> Result<Exit,
//! Failure>`; here it has a line in [`Command`], one in [`Command::name`] and one in
//! [`Command::run`].

use crate::cmd;
use crate::console::{ColorWhen, Console};
use crate::failure::{Exit, Failure};
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use std::ffi::OsString;
use std::process::ExitCode;

/// Stands under the help of every command, and on its manual page.
pub(crate) const EXIT_CODES: &str = "\
Exit codes:
  0    done, or the answer is yes
  1    the answer is no: the files differ, nothing was found
  2    wrong usage, or an error, if only with one of several files: the others are answered for
  3    no error, but the system does not tell a part of the answer, which is shown as unknown
  130  interrupted
Where several hold, 2 goes before 3, and 3 before 1.";

/// Files and memory, seen through mappings that survive what others do to the file.
#[derive(Debug, Parser)]
#[command(name = "bifolio", version, arg_required_else_help = true)]
struct Cli {
    /// Use colours: by default on a terminal, and as NO_COLOR, CLICOLOR_FORCE and TERM ask
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    color: ColorWhen,

    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Cat(cmd::cat::Args),
    Cmp(cmd::cmp::Args),
    Doctor(cmd::doctor::Args),
    Evict(cmd::evict::Args),
    Find(cmd::find::Args),
    Hex(cmd::hex::Args),
    Info(cmd::info::Args),
    Maps(cmd::maps::Args),
    Lock(cmd::lock::Args),
    Patch(cmd::patch::Args),
    Picture(cmd::picture::Args),
    Residency(cmd::residency::Args),
    Touch(cmd::touch::Args),
    Tour(cmd::tour::Args),
    Watch(cmd::watch::Args),
    Completions(cmd::completions::Args),
    Man(cmd::man::Args),
}

impl Command {
    /// The name that errors carry.
    fn name(&self) -> &'static str {
        match self {
            Command::Cat(_) => "cat",
            Command::Cmp(_) => "cmp",
            Command::Doctor(_) => "doctor",
            Command::Evict(_) => "evict",
            Command::Find(_) => "find",
            Command::Hex(_) => "hex",
            Command::Info(_) => "info",
            Command::Maps(_) => "maps",
            Command::Lock(_) => "lock",
            Command::Patch(_) => "patch",
            Command::Picture(_) => "picture",
            Command::Residency(_) => "residency",
            Command::Touch(_) => "touch",
            Command::Tour(_) => "tour",
            Command::Watch(_) => "watch",
            Command::Completions(_) => "completions",
            Command::Man(_) => "man",
        }
    }

    fn run(self, console: &mut Console) -> Result<Exit, Failure> {
        match self {
            Command::Cat(args) => cmd::cat::run(&args, console),
            Command::Cmp(args) => cmd::cmp::run(&args, console),
            Command::Doctor(args) => cmd::doctor::run(&args, console),
            Command::Evict(args) => cmd::evict::run(&args, console),
            Command::Find(args) => cmd::find::run(&args, console),
            Command::Hex(args) => cmd::hex::run(&args, console),
            Command::Info(args) => cmd::info::run(&args, console),
            Command::Maps(args) => cmd::maps::run(&args, console),
            Command::Lock(args) => cmd::lock::run(&args, console),
            Command::Patch(args) => cmd::patch::run(&args, console),
            Command::Picture(args) => cmd::picture::run(&args, console),
            Command::Residency(args) => cmd::residency::run(&args, console),
            Command::Touch(args) => cmd::touch::run(&args, console),
            Command::Tour(args) => cmd::tour::run(&args, console),
            Command::Watch(args) => cmd::watch::run(&args, console),
            Command::Completions(args) => cmd::completions::run(&args, console),
            Command::Man(args) => cmd::man::run(&args, console),
        }
    }
}

/// The whole program as clap sees it; completions and manual pages are made of it too.
pub(crate) fn command() -> clap::Command {
    Cli::command().after_help(EXIT_CODES).mut_subcommands(|sub| sub.after_help(EXIT_CODES))
}

/// Reads the arguments, runs the command, and ends with its exit code.
pub(crate) fn main() -> ExitCode {
    let args: Vec<OsString> = std::env::args_os().collect();
    ColorWhen::from_raw(&args).apply();
    let cli = command().try_get_matches_from(args).and_then(|found| Cli::from_arg_matches(&found));
    let cli = match cli {
        Ok(cli) => cli,
        Err(error) => {
            let asked = if error.use_stderr() { Exit::Error } else { Exit::Success };
            return match error.print().map_err(Failure::Output) {
                Err(failure) if !failure.is_closed_pipe() => {
                    failure.print("help");
                    Exit::Error
                }
                _ => asked,
            }
            .into();
        }
    };
    cli.color.apply();
    let command = cli.command.name();
    let mut console = match Console::new(command) {
        Ok(console) => console,
        Err(failure) => {
            failure.print(command);
            return Exit::Error.into();
        }
    };
    let answer = cli.command.run(&mut console);
    console.finish(answer).into()
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_arguments_contradict_each_other_nowhere() {
        super::command().debug_assert();
    }
}
