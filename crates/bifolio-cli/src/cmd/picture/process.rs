//! The pages of a process: each of its regions is an area.

use super::file::{state, whole_cells};
use super::scene::cell_bytes;
use super::snapshot::{Place, Snapshot, State, Subject};
use crate::bytes::{counted, human};
use crate::failure::Failure;
use crate::name::shown;
use bifolio::Residency;
use bifolio::memory::{self, Detail, Permissions, Process, Purpose, Region};
use bifolio::page::page_size;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::ops::Range;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// The most lines of figures beside a picture.
const KINDS_MAX: usize = 14;

/// The pages of a process, in `cells_max` cells at most (or one for each region).
///
/// Addresses that permit nothing and have no page are left out, unless `with_reserved`: programs
/// reserve more of them than they ever use.
pub(super) fn of_process(
    pid: u32,
    cells_max: u64,
    with_reserved: bool,
) -> Result<Snapshot, Failure> {
    let process = Process::from(pid);
    let maps = memory::maps_with(process, Detail::Layout)?;
    let (shown, reserved): (Vec<_>, Vec<_>) =
        maps.regions().iter().partition(|region| with_reserved || !is_reserved(region));
    let page_bytes = page_size().bytes() as u64;
    let lens: Vec<_> = shown.iter().map(|region| region.range.len() as u64).collect();
    let cell = cell_bytes(&lens, page_bytes, cells_max);
    let mut areas = Vec::with_capacity(shown.len());
    for region in &shown {
        let cells = cells_of(process, &region.range, cell as usize)?;
        areas.push(Place {
            label: label(region),
            title: title(region, &cells, page_bytes),
            start: region.range.start as u64,
            len_bytes: region.range.len() as u64,
            cells,
        });
    }
    let mut notes = figures(&shown, &areas, page_bytes);
    if !reserved.is_empty() {
        let bytes = reserved.iter().map(|region| region.range.len() as u64).sum();
        notes.push(String::new());
        notes.push(format!("left out: {} in", human(bytes)));
        notes.push(format!("{} (--all)", counted(reserved.len() as u64, "reservation")));
    }
    if !maps.is_consistent() {
        notes.push("it changed while it was looked at".to_owned());
    }
    let name = program_name(pid);
    let title = format!("{name} ({pid})");
    let subject = Subject::Process;
    Ok(Snapshot { subject, title, page_bytes, cell_bytes: cell, areas, notes })
}

/// Whether nothing can be there.
fn is_reserved(region: &Region) -> bool {
    region.permissions == Permissions::default()
}

/// The state of the cells of one region.
fn cells_of(process: Process, range: &Range<usize>, cell: usize) -> Result<Vec<State>, Failure> {
    let (whole, rest) = whole_cells(range, cell);
    let count = whole.len() / cell;
    let mut answers = vec![Residency::default(); range.len().div_ceil(cell)];
    memory::pages_of(process, whole, &mut answers[..count])?;
    if !rest.is_empty() {
        memory::pages_of(process, rest, &mut answers[count..])?;
    }
    Ok(answers.iter().map(|&answer| state(answer, false)).collect())
}

/// What is written on it: the name of its file, else what it is for.
fn label(region: &Region) -> String {
    let name = Path::new(OsStr::from_bytes(&region.name)).file_name();
    match (region.purpose, name) {
        (
            Purpose::File
            | Purpose::Program(_)
            | Purpose::Library(_)
            | Purpose::SharedMemory
            | Purpose::MemoryFile,
            Some(name),
        ) => shown(name),
        (purpose, _) => purpose.to_string(),
    }
}

/// All that is known of it.
fn title(region: &Region, cells: &[State], page_bytes: u64) -> String {
    let sharing = if region.is_shared { "shared" } else { "private" };
    let mut title = format!(
        "{:#x}-{:#x} {} {sharing}, {}",
        region.range.start, region.range.end, region.permissions, region.purpose
    );
    if !region.name.is_empty() {
        title = format!("{}\n{title}", shown(OsStr::from_bytes(&region.name)));
    }
    let resident = match resident_pages(cells) {
        Some(pages) => human(pages * page_bytes),
        None => "unknown".to_owned(),
    };
    format!("{title}\n{} virtual, {resident} resident", human(region.range.len() as u64))
}

/// The pages in memory, where all is told.
fn resident_pages(cells: &[State]) -> Option<u64> {
    cells.iter().map(|state| state.pages.map(|pages| pages.resident_pages)).sum()
}

/// What each kind of memory has, the largest first.
fn figures(regions: &[&Region], areas: &[Place], page_bytes: u64) -> Vec<String> {
    let mut kinds: BTreeMap<Purpose, (u64, Option<u64>)> = BTreeMap::new();
    for (region, area) in regions.iter().zip(areas) {
        let (bytes, pages) = kinds.entry(region.purpose).or_insert((0, Some(0)));
        *bytes += area.len_bytes;
        *pages = pages.zip(resident_pages(&area.cells)).map(|(one, other)| one + other);
    }
    let mut kinds: Vec<_> = kinds.into_iter().collect();
    kinds.sort_by_key(|(_, (bytes, pages))| std::cmp::Reverse((*pages, *bytes)));
    let total = kinds.iter().fold((0, Some(0)), |(bytes, pages), (_, (more, others))| {
        (bytes + more, pages.zip(*others).map(|(one, other)| one + other))
    });
    let line = |name: &str, (bytes, pages): (u64, Option<u64>)| {
        let resident = pages.map_or("?".to_owned(), |pages| human(pages * page_bytes));
        format!("{name:<17.17}{:>10}{resident:>11}", human(bytes))
    };
    let mut lines = vec![format!("{:<17}{:>10}{:>11}", "", "virtual", "resident")];
    lines.extend(kinds.iter().take(KINDS_MAX).map(|(kind, sums)| line(&kind.to_string(), *sums)));
    lines.push(line("all", total));
    lines
}

/// What the process calls itself.
fn program_name(pid: u32) -> String {
    let name = std::fs::read(format!("/proc/{pid}/comm"));
    name.map_or_else(|_| "?".to_owned(), |name| shown(OsStr::from_bytes(name.trim_ascii_end())))
}
