//! The memory of a process as tables that fit the page: every mapping, the kinds, the sums.

use super::kind::Kind;
use super::memory::Memory;
use super::snapshot::{Row, Snapshot};
use crate::bytes::counted;
use crate::console::Console;
use crate::failure::Failure;
use crate::wrap::wrap;
use anstyle::{AnsiColor, Style};
use std::io::Write;

const TITLE: Style = Style::new().bold();
const HEADING: Style = Style::new().underline();
const UNKNOWN: Style = AnsiColor::Yellow.on_default();

/// Columns of numbers that a page has room for.
pub(super) struct Column {
    heading: &'static str,
    pub(super) of: fn(&Memory) -> Option<u64>,
}

impl Column {
    pub(super) fn heading(&self) -> &'static str {
        self.heading
    }
}

const MAPPED: Column = Column { heading: "MAPPED", of: |memory| Some(memory.mapped_bytes) };
const RESIDENT: Column = Column { heading: "RESID", of: |memory| memory.resident_bytes };
const PROPORTIONAL: Column = Column { heading: "PROP", of: |memory| memory.proportional_bytes };
const PRIVATE: Column = Column { heading: "PRIV", of: |memory| memory.private_bytes };
const DIRTY: Column = Column { heading: "DIRTY", of: |memory| memory.dirty_bytes };
const SWAPPED: Column = Column { heading: "SWAP", of: |memory| memory.swapped_bytes };
const RECLAIMABLE: Column = Column { heading: "RECLM", of: |memory| memory.reclaimable_bytes };
const HUGE: Column = Column { heading: "HUGE", of: |memory| memory.huge_bytes };
const LOCKED: Column = Column { heading: "LOCKED", of: |memory| memory.locked_bytes };

const NARROW: &[Column] = &[MAPPED, RESIDENT, PROPORTIONAL, DIRTY, SWAPPED];
pub(super) const WIDE: &[Column] =
    &[MAPPED, RESIDENT, PROPORTIONAL, PRIVATE, DIRTY, SWAPPED, RECLAIMABLE];
const WIDEST: &[Column] =
    &[MAPPED, RESIDENT, PROPORTIONAL, PRIVATE, DIRTY, SWAPPED, RECLAIMABLE, HUGE, LOCKED];

pub(super) const OF_CHANGES: &[Column] = &[MAPPED, RESIDENT, DIRTY, SWAPPED];

/// From so many columns of the page on there are those of [`WIDE`], and the purpose of each
/// mapping.
const WIDE_FROM: usize = 120;

/// And those of [`WIDEST`].
const WIDEST_FROM: usize = 150;

/// The width of a purpose, with the space behind it.
const PURPOSE: usize = 20;

/// The width of a number, with the space before it.
const NUMBER: usize = 7;

/// The width of addresses and permissions: `7f0000000000-7f0000001000 rw-p`.
const ADDRESSES: usize = 30;

/// A size in five characters: `0`, `4K`, `13.4M`.
pub(super) fn short(bytes: u64) -> String {
    const UNITS: [char; 7] = ['B', 'K', 'M', 'G', 'T', 'P', 'E'];
    if bytes == 0 {
        return "0".to_owned();
    }
    let power = (bytes.ilog2() / 10) as usize;
    let scaled = bytes as f64 / (1_u64 << (10 * power)) as f64;
    let decimals = match scaled {
        _ if bytes.is_multiple_of(1 << (10 * power)) => 0,
        // What rounds up to more digits has them.
        ..9.995 => 2,
        ..99.95 => 1,
        _ => 0,
    };
    format!("{scaled:.decimals$}{}", UNITS[power])
}

/// A number as a cell, `?` where it is not known.
fn cell(console: &Console, bytes: Option<u64>, width: usize) -> String {
    match bytes {
        Some(bytes) => format!("{:>width$}", short(bytes)),
        None => console.paint(UNKNOWN, format_args!("{:>width$}", "?")).to_string(),
    }
}

fn cells(console: &Console, columns: &[Column], memory: &Memory, width: usize) -> String {
    columns.iter().map(|column| cell(console, (column.of)(memory), width)).collect()
}

/// A text that fits: of a path the last name, and of a long name both ends.
pub(super) fn shorten(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let name: Vec<char> = text.rsplit('/').next().unwrap_or(text).chars().collect();
    if name.len() <= width {
        return name.into_iter().collect();
    }
    let end = width / 2;
    let start = width.saturating_sub(end + 1);
    let (first, last) = (&name[..start], &name[name.len() - end..]);
    first.iter().chain(&['\u{2026}']).chain(last).collect()
}

/// Who it is.
pub(super) fn title(snapshot: &Snapshot, console: &mut Console) -> Result<(), Failure> {
    let words: Vec<_> = snapshot.command.iter().map(|word| word.shown()).collect();
    let mut line = format!("process {}", snapshot.process);
    if !words.is_empty() {
        line = format!("{line}: {}", words.join(" "));
    }
    let columns = console.columns();
    if line.chars().count() > columns {
        line = line.chars().take(columns - 1).chain(['\u{2026}']).collect();
    }
    let title = console.paint(TITLE, line).to_string();
    writeln!(console, "{title}")?;
    if let Some(moment) = snapshot.moment {
        let mut text = format!("{:.3} s after its start", moment.after_start_seconds);
        if let Some(seconds) = moment.before_end_seconds {
            text = format!("{text}, {seconds:.3} s before its end");
        }
        writeln!(console, "{text}")?;
    }
    Ok(())
}

/// Every mapping, under its kind.
pub(super) fn regions(
    snapshot: &Snapshot,
    kinds: &[Kind],
    order: impl Fn(&mut Vec<&Row>),
    console: &mut Console,
) -> Result<(), Failure> {
    let page = console.columns();
    let (columns, purpose) = match page {
        WIDEST_FROM.. => (WIDEST, PURPOSE),
        WIDE_FROM.. => (WIDE, PURPOSE),
        _ => (NARROW, 0),
    };
    let room = page.saturating_sub(ADDRESSES + columns.len() * NUMBER + 1 + purpose).max(8);
    let headings: String =
        columns.iter().map(|column| format!("{:>NUMBER$}", column.heading)).collect();
    let titles = if purpose > 0 { "PURPOSE             NAME" } else { "NAME" };
    let line =
        format!("{:<ADDRESSES$}{headings} {titles:<width$}", "ADDRESSES", width = purpose + room);
    let heading = console.paint(HEADING, line).to_string();
    writeln!(console, "{}", heading)?;
    for &kind in kinds {
        let mut rows: Vec<_> = snapshot.rows(kind).collect();
        if rows.is_empty() {
            continue;
        }
        order(&mut rows);
        let sum = rows.iter().map(|row| row.memory).sum();
        let numbers = cells(console, columns, &sum, NUMBER);
        let count = counted(rows.len() as u64, "mapping");
        let name = console.paint(TITLE, format_args!("{kind:<ADDRESSES$}")).to_string();
        writeln!(console, "{name}{numbers} {}", shorten(&count, room))?;
        for row in rows {
            let numbers = cells(console, columns, &row.memory, NUMBER);
            let sharing = if row.shared { 's' } else { 'p' };
            let label = shorten(&row.label(), room);
            let purpose =
                if purpose > 0 { format!("{:<PURPOSE$}", row.purpose) } else { String::new() };
            let (start, end, permissions) = (row.start, row.end, &row.permissions);
            let line = format!("{start:>12x}-{end:<12x} {permissions}{sharing}{numbers}");
            writeln!(console, "{line} {purpose}{label}")?;
        }
    }
    Ok(writeln!(console)?)
}

/// The kinds, one line each, and their sum.
pub(super) fn summary(
    snapshot: &Snapshot,
    kinds: &[Kind],
    console: &mut Console,
) -> Result<(), Failure> {
    let headings: String = WIDE.iter().map(|column| format!("{:>8}", column.heading)).collect();
    let line = format!("{:<14}{:>9}{headings}", "KIND", "MAPPINGS");
    let heading = console.paint(HEADING, line).to_string();
    writeln!(console, "{heading}")?;
    for &kind in kinds {
        let rows = snapshot.rows(kind);
        let (count, memory) =
            rows.fold((0, Memory::none()), |(count, sum), row| (count + 1, sum + row.memory));
        if count > 0 {
            let numbers = cells(console, WIDE, &memory, 8);
            writeln!(console, "{kind:<14}{count:>9}{numbers}")?;
        }
    }
    let numbers = cells(console, WIDE, &snapshot.total(), 8);
    let sum = format!("{:<14}{:>9}{numbers}", "all", snapshot.regions.len());
    let sum = console.paint(TITLE, sum).to_string();
    Ok(writeln!(console, "{sum}\n")?)
}

/// What people mistake for one another, apart, and what each is.
pub(super) fn sums(snapshot: &Snapshot, console: &mut Console) -> Result<(), Failure> {
    let total = snapshot.total();
    for (name, bytes, meaning) in [
        ("mapped", Some(total.mapped_bytes), "addresses: they cost nothing until they are touched"),
        ("resident", total.resident_bytes, "in memory now and mapped here, whoever else has it"),
        ("  anonymous", total.anonymous_bytes, "no file's: only swap could take it"),
        ("  of files", total.file_bytes, "pages of the page cache, which stay there without it"),
        ("  shareable", total.shared_memory_bytes, "shared memory, and the kernel's own pages"),
        ("proportional", total.proportional_bytes, "resident, each page divided among its users"),
        ("private", total.private_bytes, "mapped by no other: what its end frees or leaves cached"),
        ("dirty", total.dirty_bytes, "changed: to be written or swapped before it can go"),
        ("reclaimable", total.reclaimable_bytes, "clean: goes at once when memory is short"),
        ("swapped", total.swapped_bytes, "not in memory: in swap"),
    ] {
        let number = cell(console, bytes, 7);
        writeln!(console, "{name:<13}{number}  {meaning}")?;
    }
    let text = "Mapped is not resident, and resident is not its own: to compare processes, or to \
                add them up, take proportional; to see what a leak can be, take anonymous.";
    let width = console.columns();
    Ok(writeln!(console, "{}", wrap(text, width, 0))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_five_characters() {
        for (bytes, text) in [
            (0, "0"),
            (1, "1B"),
            (4096, "4K"),
            (1536, "1.50K"),
            (13 << 20 | 1 << 19, "13.5M"),
            ((10 << 20) - 1, "10.0M"),
            ((100 << 20) - 1, "100M"),
            ((1 << 30) - 1, "1024M"),
            (1 << 30, "1G"),
            (u64::MAX, "16.0E"),
        ] {
            assert_eq!(short(bytes), text, "{bytes}");
        }
    }

    #[test]
    fn a_long_path_keeps_its_name() {
        assert_eq!(shorten("/lib/libc.so.6", 14), "/lib/libc.so.6");
        assert_eq!(shorten("/usr/lib/libc.so.6", 14), "libc.so.6");
        assert_eq!(shorten("/usr/lib/a-very-long-name.so.6", 14), "a-very\u{2026}me.so.6");
        assert_eq!(shorten("(anonymous)", 4), "(\u{2026}s)");
    }
}
