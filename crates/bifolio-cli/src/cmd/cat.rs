//! `bifolio cat`: files to standard output, whatever others do to them meanwhile.

use crate::console::Console;
use crate::failure::{Exit, Failure};
use crate::input::{Chunk, Input, Part};
use std::io::Write;
use std::path::{Path, PathBuf};

/// What is written for a hole, piece by piece.
static ZEROS: [u8; 64 << 10] = [0; 64 << 10];

/// Write files to standard output
///
/// A file that another process shortens meanwhile is an error and not a crash: what was there is
/// written before it is reported.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// The files, one after the other; `-` is standard input
    #[arg(value_name = "FILE", default_value = "-")]
    files: Vec<PathBuf>,

    #[command(flatten)]
    part: Part,
}

pub(crate) fn run(args: &Args, console: &mut Console) -> Result<Exit, Failure> {
    for path in &args.files {
        match copy(path, args.part, console) {
            Ok(()) => {}
            Err(failure @ Failure::Output(_)) => return Err(failure),
            Err(failure) => console.report(&failure)?,
        }
    }
    Ok(Exit::Success)
}

fn copy(path: &Path, part: Part, console: &mut Console) -> Result<(), Failure> {
    let input = Input::open(path)?;
    let is_live = input.is_live();
    input.read(part, ZEROS.len(), |chunk| {
        match chunk {
            Chunk::Data(bytes) => console.write_all(bytes)?,
            Chunk::Hole(len) => console.write_all(&ZEROS[..len as usize])?,
        }
        if is_live {
            console.flush()?;
        }
        Ok(())
    })
}
