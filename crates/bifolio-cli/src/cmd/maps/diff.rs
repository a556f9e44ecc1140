//! What changed between two moments.
//!
//! Mappings of one process are the same where they are of one kind and name and share addresses; of
//! two processes, whose addresses mean nothing to each other, where one comes as the same of its
//! kind, name, permissions and place in the file.

use super::kind::Kind;
use super::memory::Memory;
use super::snapshot::{Moment, Row, Snapshot};
use super::table::{self, Column, OF_CHANGES, WIDE};
use crate::console::Console;
use crate::failure::Failure;
use anstyle::{AnsiColor, Style};
use serde::Serialize;
use std::collections::BTreeMap;
use std::io::Write;

const HEADING: Style = Style::new().underline();
const MORE: Style = AnsiColor::Green.on_default();
const LESS: Style = AnsiColor::Red.on_default();

/// Two moments, and what became of each mapping.
#[derive(Serialize)]
pub(super) struct Diff<'a> {
    before: Side,
    after: Side,
    kinds: Vec<KindDiff>,
    changes: Vec<Change<'a>>,
}

#[derive(Serialize)]
struct Side {
    process: u32,
    moment: Option<Moment>,
    consistent: bool,
    total: Memory,
}

#[derive(Serialize)]
struct KindDiff {
    kind: Kind,
    before: Memory,
    after: Memory,
}

/// What became of a mapping: it is new, gone, or another.
#[derive(Serialize)]
struct Change<'a> {
    before: Option<&'a Row>,
    after: Option<&'a Row>,
}

impl Side {
    fn of(snapshot: &Snapshot) -> Side {
        Side {
            process: snapshot.process,
            moment: snapshot.moment,
            consistent: snapshot.consistent,
            total: snapshot.total(),
        }
    }
}

impl<'a> Diff<'a> {
    pub(super) fn of(before: &'a Snapshot, after: &'a Snapshot) -> Diff<'a> {
        let sum = |snapshot: &Snapshot, kind| snapshot.rows(kind).map(|row| row.memory).sum();
        let kinds = Kind::ALL.map(|kind| KindDiff {
            kind,
            before: sum(before, kind),
            after: sum(after, kind),
        });
        Diff {
            before: Side::of(before),
            after: Side::of(after),
            kinds: kinds
                .into_iter()
                .filter(|kind| by_itself(&kind.before) != by_itself(&kind.after))
                .collect(),
            changes: changes(before, after),
        }
    }

    /// Whether nothing changed.
    pub(super) fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    pub(super) fn show(&self, only_sums: bool, console: &mut Console) -> Result<(), Failure> {
        if self.is_empty() {
            return Ok(writeln!(console, "nothing changed")?);
        }
        self.show_kinds(console)?;
        if only_sums {
            return Ok(());
        }
        let room = console.columns().saturating_sub(32 + OF_CHANGES.len() * 8 + 1).max(8);
        let headings: String =
            OF_CHANGES.iter().map(|column| format!("{:>8}", column.heading())).collect();
        let line = format!("\n{:<32}{headings} {:<room$}", "  ADDRESSES", "NAME");
        let heading = console.paint(HEADING, line).to_string();
        writeln!(console, "{heading}")?;
        for Change { before, after } in &self.changes {
            let (sign, row) = match (before, after) {
                (None, Some(row)) => ('+', row),
                (Some(row), None) => ('-', row),
                (_, Some(row)) => ('~', row),
                (None, None) => continue,
            };
            let memory = |row: &Option<&Row>| row.map_or_else(Memory::none, |row| row.memory);
            let numbers = deltas(console, OF_CHANGES, &memory(before), &memory(after));
            let sharing = if row.shared { 's' } else { 'p' };
            let (start, end, permissions) = (row.start, row.end, &row.permissions);
            let label = table::shorten(&row.label(), room);
            writeln!(
                console,
                "{sign} {start:>12x}-{end:<12x} {permissions}{sharing}{numbers} {label}"
            )?;
        }
        Ok(())
    }

    fn show_kinds(&self, console: &mut Console) -> Result<(), Failure> {
        let headings: String =
            WIDE.iter().map(|column| format!("{:>8}", column.heading())).collect();
        let heading = console.paint(HEADING, format_args!("{:<16}{headings}", "KIND")).to_string();
        writeln!(console, "{heading}")?;
        for kind in &self.kinds {
            let numbers = deltas(console, WIDE, &kind.before, &kind.after);
            writeln!(console, "{:<16}{numbers}", kind.kind)?;
        }
        let numbers = deltas(console, WIDE, &self.before.total, &self.after.total);
        Ok(writeln!(console, "{:<16}{numbers}", "all")?)
    }
}

/// What is more and what is less, number by number.
fn deltas(console: &Console, columns: &[Column], before: &Memory, after: &Memory) -> String {
    let delta = |column: &Column| match ((column.of)(before), (column.of)(after)) {
        (Some(before), Some(after)) if after > before => {
            let text = format!("+{}", table::short(after - before));
            console.paint(MORE, format_args!("{text:>8}")).to_string()
        }
        (Some(before), Some(after)) if after < before => {
            let text = format!("-{}", table::short(before - after));
            console.paint(LESS, format_args!("{text:>8}")).to_string()
        }
        (Some(_), Some(_)) => format!("{:>8}", "0"),
        _ => format!("{:>8}", "?"),
    };
    columns.iter().map(delta).collect()
}

/// Without what changes when other processes come and go.
fn by_itself(memory: &Memory) -> Memory {
    Memory { proportional_bytes: None, private_bytes: None, ..*memory }
}

fn changes<'a>(before: &'a Snapshot, after: &'a Snapshot) -> Vec<Change<'a>> {
    let pairs = if before.process == after.process {
        by_address(before, after)
    } else {
        by_likeness(before, after)
    };
    // Where it lies is its own matter in another process.
    let is_moved = before.process != after.process;
    let is_same = |row: &Row, old: &Row| {
        let mut old = Row { memory: by_itself(&old.memory), ..old.clone() };
        if is_moved {
            (old.start, old.end) = (row.start, row.end);
        }
        old == Row { memory: by_itself(&row.memory), ..row.clone() }
    };
    let mut is_kept = vec![false; before.regions.len()];
    let mut changes = Vec::new();
    for (row, pair) in after.regions.iter().zip(pairs) {
        let Some(at) = pair else {
            changes.push(Change { before: None, after: Some(row) });
            continue;
        };
        is_kept[at] = true;
        let old = &before.regions[at];
        if !is_same(row, old) {
            changes.push(Change { before: Some(old), after: Some(row) });
        }
    }
    let gone = before.regions.iter().zip(is_kept).filter(|(_, is_kept)| !is_kept);
    changes.extend(gone.map(|(row, _)| Change { before: Some(row), after: None }));
    changes.sort_by_key(|change| change.after.or(change.before).map(|row| row.start));
    changes
}

/// For each mapping after, the one before that it was: of one kind and name, at addresses in
/// common.
fn by_address(before: &Snapshot, after: &Snapshot) -> Vec<Option<usize>> {
    let mut is_taken = vec![false; before.regions.len()];
    let mut first = 0;
    let mut pairs = Vec::new();
    for row in &after.regions {
        while before.regions.get(first).is_some_and(|old| old.end <= row.start) {
            first += 1;
        }
        let overlapping = before.regions[first..].iter().take_while(|old| old.start < row.end);
        let found = overlapping
            .enumerate()
            .map(|(at, old)| (first + at, old))
            .find(|(at, old)| !is_taken[*at] && old.kind == row.kind && old.name == row.name);
        let found = found.map(|(at, _)| at);
        if let Some(at) = found {
            is_taken[at] = true;
        }
        pairs.push(found);
    }
    pairs
}

/// For each mapping after, the one before that is as many of its like.
fn by_likeness(before: &Snapshot, after: &Snapshot) -> Vec<Option<usize>> {
    fn key(row: &Row) -> (Kind, &Option<super::snapshot::Name>, &str, u64) {
        (row.kind, &row.name, &row.permissions, row.offset)
    }
    let mut like: BTreeMap<_, Vec<usize>> = BTreeMap::new();
    for (at, row) in before.regions.iter().enumerate().rev() {
        like.entry(key(row)).or_default().push(at);
    }
    after.regions.iter().map(|row| like.get_mut(&key(row)).and_then(Vec::pop)).collect()
}
