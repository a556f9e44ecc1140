//! `bifolio picture`: the pages of a file or a process as a picture.

mod diff;
mod file;
mod hilbert;
mod outline;
mod png;
mod process;
mod scene;
mod snapshot;
mod svg;
mod tint;

use crate::console::Console;
use crate::failure::{Exit, Failure};
use crate::input::file_path;
use crate::name::shown;
use crate::save;
use snapshot::Snapshot;
use std::io::Write;
use std::path::{Path, PathBuf};
use tint::Theme;

/// The output that means standard output.
const STDOUT: &str = "-";

/// Draw the pages of a file, or of a process, as a picture
///
/// The pages are laid along a Hilbert curve, so that neighbours stay neighbours, and coloured by
/// their state: in memory, dirty, evicted, a hole. An SVG names what the pointer rests on, and
/// follows the reader's light or dark theme; the same state gives the same bytes. A JSON file keeps
/// the state itself, for --diff.
#[derive(clap::Args, Debug)]
#[command(group = clap::ArgGroup::new("subject").required(true))]
pub(crate) struct Args {
    /// The file; `-` is the file that standard input comes from
    #[arg(value_name = "FILE", group = "subject")]
    file: Option<PathBuf>,

    /// The process with this number, instead of a file
    #[arg(long, value_name = "N", group = "subject")]
    pid: Option<u32>,

    /// Draw what changed between two moments, each kept by `-o NAME.json`
    #[arg(long, num_args = 2, value_names = ["BEFORE", "AFTER"], group = "subject")]
    diff: Option<Vec<PathBuf>>,

    /// Where to write: NAME.svg, NAME.png or NAME.json; `-` is standard output
    #[arg(long, short, value_name = "OUT")]
    output: PathBuf,

    /// What to write, where the name does not say it
    #[arg(long, value_name = "FORMAT")]
    format: Option<Format>,

    /// Up to 4^N cells: 7 are 16,384
    #[arg(long, value_name = "N", default_value_t = 7)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=9))]
    order: u32,

    /// With --pid: addresses that are only reserved, too
    #[arg(long, conflicts_with_all = ["file", "diff"])]
    all: bool,

    /// The colours of a PNG; an SVG has both
    #[arg(long, value_name = "THEME", default_value = "light")]
    theme: Theme,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    Svg,
    Png,
    Json,
}

pub(crate) fn run(args: &Args, console: &mut Console) -> Result<Exit, Failure> {
    let format = args.format.or_else(|| Format::of(&args.output)).ok_or_else(|| {
        Failure::message(format!("{}: its name does not say what to write", shown(&args.output)))
            .with_help("name it .svg, .png or .json, or give --format")
    })?;
    let (bytes, exit) = match &args.diff {
        Some(moments) => {
            if format == Format::Json {
                return Err(Failure::message("--diff draws, and keeps no state")
                    .with_help("write it as .svg or .png"));
            }
            let (before, after) = (Snapshot::load(&moments[0])?, Snapshot::load(&moments[1])?);
            diff::check(&before, &after)?;
            (draw(&diff::diff(&before, &after), format, args.theme)?, Exit::Success)
        }
        None => {
            let snapshot = take(args)?;
            let exit = if snapshot.is_told() { Exit::Success } else { Exit::Partial };
            let bytes = match format {
                Format::Json => snapshot.to_json().map_err(std::io::Error::from)?,
                _ => draw(&snapshot.scene(), format, args.theme)?,
            };
            (bytes, exit)
        }
    };
    if args.output == Path::new(STDOUT) {
        console.write_all(&bytes)?;
    } else {
        save::replace(&args.output, &bytes)?;
    }
    Ok(exit)
}

/// The state of what the arguments name.
fn take(args: &Args) -> Result<Snapshot, Failure> {
    let cells_max = 1 << (2 * args.order);
    if let Some(pid) = args.pid {
        return process::of_process(pid, cells_max, args.all);
    }
    let file = args.file.as_deref().expect("the group is required");
    file::of_file(file_path(file), cells_max)
}

fn draw(scene: &scene::Scene, format: Format, theme: Theme) -> Result<Vec<u8>, Failure> {
    match format {
        Format::Png => png::draw(scene, theme)
            .map_err(|error| Failure::message(format!("no picture can be made: {error}"))),
        _ => Ok(svg::draw(scene).into_bytes()),
    }
}

impl Format {
    /// What the name of a file asks for.
    fn of(path: &Path) -> Option<Format> {
        let extension = path.extension()?.to_str()?;
        clap::ValueEnum::from_str(extension, true).ok()
    }
}
