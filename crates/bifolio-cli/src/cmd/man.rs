//! `bifolio man`: the manual pages, made of the very arguments that the program reads.

use crate::cli;
use crate::console::Console;
use crate::failure::{Exit, Failure};
use clap_mangen::Man;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Print the manual page, or write those of all commands into a directory
///
/// Look at it with `bifolio man | man -l -`.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// Write bifolio.1 and bifolio-COMMAND.1 of each command into this directory, which must exist
    #[arg(value_name = "DIR")]
    dir: Option<PathBuf>,
}

pub(crate) fn run(args: &Args, console: &mut Console) -> Result<Exit, Failure> {
    let mut program = cli::command().disable_help_subcommand(true);
    // Gives the commands their whole names: `bifolio cat`, and bifolio-cat for the page.
    program.build();
    let Some(dir) = &args.dir else {
        console.write_all(&render(&program)?)?;
        return Ok(Exit::Success);
    };
    for command in program.get_subcommands().filter(|command| !command.is_hide_set()) {
        write(dir, command)?;
    }
    write(dir, &program)?;
    Ok(Exit::Success)
}

/// One page, with the exit codes in a section of their own instead of clap's text below the help.
fn render(command: &clap::Command) -> Result<Vec<u8>, Failure> {
    let page = Man::new(command.clone().version(env!("CARGO_PKG_VERSION")));
    let mut text = Vec::new();
    page.render_title(&mut text)?;
    page.render_name_section(&mut text)?;
    page.render_synopsis_section(&mut text)?;
    page.render_description_section(&mut text)?;
    page.render_options_section(&mut text)?;
    if command.has_subcommands() {
        page.render_subcommands_section(&mut text)?;
    }
    writeln!(text, ".SH EXIT STATUS")?;
    for line in cli::EXIT_CODES.lines().skip(1) {
        match line.strip_prefix("  ").and_then(|line| line.split_once(' ')) {
            Some((code, meaning)) => {
                writeln!(text, ".TP\n\\fB{code}\\fR\n{}", meaning.trim_start())?;
            }
            None => writeln!(text, ".PP\n{line}")?,
        }
    }
    page.render_version_section(&mut text)?;
    Ok(text)
}

fn write(dir: &Path, command: &clap::Command) -> Result<(), Failure> {
    let path = dir.join(Man::new(command.clone()).get_filename());
    std::fs::write(&path, render(command)?).map_err(|error| Failure::file(&path, error))
}
