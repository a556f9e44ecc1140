//! `bifolio hex`: bytes as people read them, and back.

mod dump;
mod panels;
mod plain;
mod reverse;

use crate::console::Console;
use crate::failure::{Exit, Failure};
use crate::input::{Chunk, Input, Part};
use dump::{Dump, Format, Squeeze};
use panels::Panels;
use plain::Plain;
use std::io::Write;
use std::path::PathBuf;

/// How much of a hole is shown, where it is, before the file is asked whether it still goes on.
const HOLE_BYTES_SHOWN: usize = 64 << 10;

/// Show a file in hexadecimal
///
/// Lines that repeat the one before are shown once, then as `*`. Holes of a sparse file are not
/// read: it costs what its data costs.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// The file to show; with --reverse, the dump to read; `-` is standard input
    #[arg(value_name = "FILE", default_value = "-")]
    file: PathBuf,

    /// With --reverse: the file to write into, at the dump's offsets, without shortening it
    #[arg(value_name = "OUT", requires = "reverse")]
    out: Option<PathBuf>,

    #[command(flatten)]
    part: Part,

    /// Write exactly what `xxd` writes: no colours, no squeezing
    #[arg(long)]
    plain: bool,

    /// Squeeze lines of zeros only; with --plain, exactly what `xxd -a` writes
    #[arg(long, short = 'a')]
    autoskip: bool,

    /// Show every line
    #[arg(long, conflicts_with = "autoskip")]
    no_squeeze: bool,

    /// Draw with ASCII characters only
    #[arg(long, conflicts_with = "plain")]
    ascii: bool,

    /// Turn a plain dump back into bytes, as `xxd -r` does: into OUT, or to standard output
    #[arg(long, short = 'r', conflicts_with_all = ["plain", "autoskip", "no_squeeze", "ascii"])]
    #[arg(conflicts_with_all = ["offset", "length"])]
    reverse: bool,
}

impl Args {
    fn squeeze(&self) -> Squeeze {
        match self {
            Args { autoskip: true, .. } => Squeeze::Zeros,
            Args { no_squeeze: true, .. } | Args { plain: true, .. } => Squeeze::Nothing,
            _ => Squeeze::Repeats,
        }
    }
}

pub(crate) fn run(args: &Args, console: &mut Console) -> Result<Exit, Failure> {
    if args.reverse {
        return reverse::run(&args.file, args.out.as_deref(), console);
    }
    let input = Input::open(&args.file)?;
    if args.plain {
        return show(input, args, Plain, console);
    }
    let end = input.end(args.part);
    let panels = Panels::new(console.columns(), end, console.has_color(), args.ascii);
    show(input, args, panels, console)
}

fn show(
    input: Input,
    args: &Args,
    format: impl Format,
    console: &mut Console,
) -> Result<Exit, Failure> {
    let is_live = input.is_live();
    let mut dump = Dump::new(format, args.squeeze(), args.part.offset);
    let hole_bytes_max = match args.squeeze() {
        Squeeze::Nothing => HOLE_BYTES_SHOWN,
        // Left out in one step.
        Squeeze::Zeros | Squeeze::Repeats => usize::MAX,
    };
    let answer = input.read(args.part, hole_bytes_max, |chunk| {
        match chunk {
            Chunk::Data(bytes) => dump.data(bytes, console)?,
            Chunk::Hole(len) => dump.hole(len, console)?,
        }
        if is_live {
            dump.flush(console)?;
            console.flush()?;
        }
        Ok(())
    });
    // What was read before a failure is shown before it.
    if !matches!(answer, Err(Failure::Output(_))) {
        dump.finish(console)?;
    }
    answer.map(|()| Exit::Success)
}
