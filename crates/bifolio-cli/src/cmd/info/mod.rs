//! `bifolio info`: what a file is made of, and how much of it is in memory.

mod mounts;
mod pages;

use crate::bytes::{counted, grouped, human, share};
use crate::cell::{self, Cell};
use crate::console::Console;
use crate::failure::{Exit, Failure};
use crate::input::file_path;
use crate::json;
use crate::name::shown;
use anstyle::Style;
use bifolio::page::{page_size, thp_size};
use bifolio::{Access, FileMap, Route};
use mounts::Mount;
use pages::{Document, Known};
use serde::Serialize;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The unit of `st_blocks` (stat(2)), in bytes.
const BLOCK_BYTES: u64 = 512;

const NAME: Style = Style::new().bold();

/// Show what files are made of, and how much of them is in memory
///
/// Size and holes, file system, how Bifolio reaches the bytes and why, and the pages in memory, all
/// without reading the file. What the kernel does not tell is unknown, and the exit code is 3:
/// of a file that you neither own nor may write it does not tell which pages are in memory.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// The files; `-` is the file that standard input comes from
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,

    /// Write the answer as JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args, console: &mut Console) -> Result<Exit, Failure> {
    let mut files = Vec::new();
    for path in &args.files {
        let info = match Info::of(file_path(path)) {
            Ok(info) => info,
            Err(failure) => {
                console.report(&failure)?;
                continue;
            }
        };
        if matches!(info.pages, Known::Untold(_)) {
            console.decide(Exit::Partial);
        }
        if args.json {
            files.push(info);
        } else {
            info.show(console)?;
        }
    }
    if args.json {
        #[derive(Serialize)]
        struct All<'a> {
            files: Vec<InfoDocument<'a>>,
        }
        console.json(&All { files: files.iter().map(Info::document).collect() })?;
    }
    Ok(Exit::Success)
}

/// What is known of a file.
struct Info<'a> {
    path: &'a Path,
    size_bytes: u64,
    allocated_bytes: u64,
    len_bytes: u64,
    /// The runs of bytes that hold data, and the bytes in them.
    data: (u64, u64),
    holes: (u64, u64),
    mount: Option<Mount>,
    route: Route,
    pages: Known,
}

impl<'a> Info<'a> {
    fn of(path: &'a Path) -> Result<Self, Failure> {
        let map = FileMap::open(path)?;
        let stat = std::fs::metadata(path).map_err(|error| Failure::file(path, error))?;
        let (mut data, mut holes, mut at) = ((0, 0), (0, 0), 0);
        let mut add_hole = |bytes: usize| {
            holes = (holes.0 + u64::from(bytes > 0), holes.1 + bytes as u64);
        };
        for run in map.data_ranges(0..map.len())? {
            let run = run?;
            add_hole(run.start - at);
            data = (data.0 + 1, data.1 + run.len() as u64);
            at = run.end;
        }
        add_hole(map.len() - at);
        Ok(Info {
            path,
            size_bytes: stat.len(),
            allocated_bytes: stat.blocks() * BLOCK_BYTES,
            len_bytes: map.len() as u64,
            data,
            holes,
            mount: mounts::holding(path),
            route: map.backend(),
            pages: pages::look(&map)?,
        })
    }

    fn show(&self, console: &mut Console) -> Result<(), Failure> {
        let title = console.paint(NAME, shown(self.path)).to_string();
        writeln!(console, "{title}")?;
        let mut line = |name: &str, text: String| writeln!(console, "  {name:<12}{text}");
        line("size", exact(self.size_bytes))?;
        if self.route == Route::Loaded {
            line("bytes", format!("{} were read: it tells no true size", grouped(self.len_bytes)))?;
        } else {
            line("allocated", exact(self.allocated_bytes))?;
            line("data", runs(self.data, "run", "runs"))?;
            line("holes", runs(self.holes, "hole", "holes"))?;
        }
        let mount = self.mount.as_ref().map_or_else(
            || "unknown".to_owned(),
            |mount| format!("{}, mounted at {}", mount.kind, shown(&mount.point)),
        );
        line("file system", mount)?;
        line("reached", how(self.route))?;
        let page = page_size().bytes() as u64;
        let huge = thp_size().map_or_else(
            |_| "huge ones unknown".to_owned(),
            |size| format!("huge ones {}", human(size.bytes() as u64)),
        );
        line("page size", format!("{}, {huge}", human(page)))?;
        self.show_pages(console)?;
        Ok(writeln!(console)?)
    }

    fn show_pages(&self, console: &mut Console) -> Result<(), Failure> {
        let (all, parts) = match &self.pages {
            _ if self.route == Route::Loaded => {
                return Ok(writeln!(console, "  in memory   the copy that was made to read it")?);
            }
            Known::Untold(reason) => {
                let unknown = console.paint(Cell::Unknown.style(), "unknown").to_string();
                return Ok(writeln!(console, "  in memory   {unknown}: {reason}")?);
            }
            Known::Told { all, parts } => (all, parts),
        };
        writeln!(
            console,
            "  in memory   {} of {} pages, {} of {}{}",
            grouped(all.resident_pages),
            grouped(all.total_pages),
            human(all.resident_bytes()),
            human(all.total_pages * page_size().bytes() as u64),
            share(all.resident_pages, all.total_pages),
        )?;
        if let Some(cache) = all.cache {
            writeln!(
                console,
                "  cache       {} dirty, {} being written back, {} evicted",
                grouped(cache.dirty_pages),
                grouped(cache.writeback_pages),
                grouped(cache.evicted_pages),
            )?;
        }
        if !parts.is_empty() {
            let cells: Vec<Cell> = parts.iter().map(|part| part.cell).collect();
            let bar = cell::bar(&cells, console);
            writeln!(console, "  [{bar}]")?;
            for line in cell::legend(&cells, console, console.columns() - 2) {
                writeln!(console, "  {line}")?;
            }
        }
        Ok(())
    }

    fn document(&self) -> InfoDocument<'_> {
        InfoDocument {
            path: json::Path(self.path),
            size_bytes: self.size_bytes,
            allocated_bytes: self.allocated_bytes,
            len_bytes: self.len_bytes,
            data_runs: self.data.0,
            data_bytes: self.data.1,
            holes: self.holes.0,
            hole_bytes: self.holes.1,
            file_system: self.mount.as_ref().map(|mount| mount.kind.as_str()),
            mount_point: self.mount.as_ref().map(|mount| json::Path(&mount.point)),
            route: match self.route {
                Route::Mapped => "mapped",
                Route::Loaded => "loaded",
                _ => "read",
            },
            route_reason: how(self.route),
            page_bytes: page_size().bytes() as u64,
            huge_page_bytes: thp_size().ok().map(|size| size.bytes() as u64),
            pages: Document::from(&self.pages),
        }
    }
}

#[derive(Serialize)]
struct InfoDocument<'a> {
    path: json::Path<'a>,
    size_bytes: u64,
    allocated_bytes: u64,
    /// What can be read, which differs from the size where that is not true.
    len_bytes: u64,
    data_runs: u64,
    data_bytes: u64,
    holes: u64,
    hole_bytes: u64,
    file_system: Option<&'a str>,
    mount_point: Option<json::Path<'a>>,
    route: &'static str,
    route_reason: String,
    page_bytes: u64,
    huge_page_bytes: Option<u64>,
    pages: Document,
}

/// How the bytes are reached, and why so.
fn how(route: Route) -> String {
    match route {
        Route::Mapped => "by a mapping: a page comes in when it is first read".to_owned(),
        _ => route.to_string(),
    }
}

/// A size in bytes, and shorter where it is long.
fn exact(bytes: u64) -> String {
    match bytes {
        0..1024 => counted(bytes, "byte"),
        _ => format!("{} bytes ({})", grouped(bytes), human(bytes)),
    }
}

fn runs((count, bytes): (u64, u64), one: &str, many: &str) -> String {
    match count {
        0 => "none".to_owned(),
        1 => format!("{} in 1 {one}", human(bytes)),
        _ => format!("{} in {} {many}", human(bytes), grouped(count)),
    }
}
