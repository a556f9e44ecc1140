//! `bifolio residency --restore`: brings back what a snapshot says was in memory.
//!
//! It reads what is absent and nothing else, and never writes.

use super::Args;
use super::snapshot::{self, Record, nanoseconds};
use crate::bytes::{counted, human};
use crate::console::Console;
use crate::failure::{Exit, Failure};
use crate::json;
use crate::load::load;
use crate::name::shown;
use crate::progress::Progress;
use crate::select::Selection;
use crate::select::look::Subject;
use crate::select::walk::Found;
use serde::Serialize;
use std::io::Write;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// What became of all files.
#[derive(Default, Serialize)]
struct Restored {
    files: u64,
    /// What the snapshot names, as far as the files still have it.
    snapshot_bytes: u64,
    /// What of it was not in memory, and was read.
    read_bytes: u64,
    seconds: f64,
    failed_files: u64,
    changed: Vec<Changed>,
}

/// A file that is not as it was.
#[derive(Serialize)]
struct Changed {
    #[serde(serialize_with = "json::path")]
    path: PathBuf,
    was_bytes: u64,
    is_bytes: u64,
    /// Whether it was changed or replaced since, by its time.
    is_newer: bool,
}

pub(super) fn run(path: &Path, args: &Args, console: &mut Console) -> Result<Exit, Failure> {
    let start = Instant::now();
    let records = snapshot::read(path)?;
    let total = records.iter().flat_map(|record| record.ranges(u64::MAX));
    let total = total.map(|range| range.end - range.start).sum();
    let mut progress = Progress::new(shown(path), total);
    let (mut restored, mut done) = (Restored::default(), 0);
    for record in records {
        let size: u64 = record.ranges(u64::MAX).iter().map(|range| range.end - range.start).sum();
        match bring_back(&record, &mut restored, |bytes| progress.at(done + bytes)) {
            Ok(()) => {}
            Err(failure) => {
                progress.wipe();
                restored.failed_files += 1;
                console.report(&failure)?;
            }
        }
        done += size;
        progress.at(done);
    }
    drop(progress);
    restored.seconds = start.elapsed().as_secs_f64();
    if args.json {
        console.json(&restored)?;
    } else if !args.quiet {
        restored.print(console)?;
    }
    Ok(Exit::Success)
}

fn bring_back(
    record: &Record,
    restored: &mut Restored,
    mut progress: impl FnMut(u64),
) -> Result<(), Failure> {
    let found = Found::named(record.path.clone());
    let Ok(subject) = Subject::open(&found, &Selection::default())? else { return Ok(()) };
    restored.files += 1;
    let is_newer = record.modified_ns != nanoseconds(subject.file.modified());
    if is_newer || record.size_bytes != subject.len_bytes {
        restored.changed.push(Changed {
            path: record.path.clone(),
            was_bytes: record.size_bytes,
            is_bytes: subject.len_bytes,
            is_newer,
        });
    }
    let failed = |error: bifolio::Error| found.failed(error.into());
    let wanted = record.ranges(subject.len_bytes);
    let absent = match subject.ranges(false).map_err(failed)? {
        Some(absent) => both(&wanted, &absent),
        // Nobody knows what is absent: all is read.
        None => wanted.clone(),
    };
    let sum =
        |ranges: &[Range<u64>]| ranges.iter().map(|range| range.end - range.start).sum::<u64>();
    restored.snapshot_bytes += sum(&wanted);
    let mut read_bytes = 0;
    let loaded = match absent.is_empty() {
        true => Ok(()),
        false => load(subject.file.into_file(), &absent, |bytes| {
            read_bytes += bytes;
            progress(read_bytes);
        }),
    };
    restored.read_bytes += read_bytes;
    loaded.map_err(failed)
}

/// What lies in a range of both lists; each is in order, and its ranges lie apart.
fn both(a: &[Range<u64>], b: &[Range<u64>]) -> Vec<Range<u64>> {
    let (mut shared, mut a, mut b) = (vec![], a.iter().peekable(), b.iter().peekable());
    while let (Some(left), Some(right)) = (a.peek(), b.peek()) {
        let range = left.start.max(right.start)..left.end.min(right.end);
        if left.end < right.end {
            a.next()
        } else {
            b.next()
        };
        if !range.is_empty() {
            shared.push(range);
        }
    }
    shared
}

impl Restored {
    fn print(&self, console: &mut Console) -> Result<(), Failure> {
        for changed in &self.changed {
            let path = shown(&changed.path);
            let size = match (changed.was_bytes, changed.is_bytes) {
                (was, is) if was == is => String::new(),
                (was, is) => format!(", from {} to {}", human(was), human(is)),
            };
            let what = if changed.is_newer { "changed" } else { "cut or grown" };
            writeln!(console, "{what} since it was saved{size}: {path}")?;
        }
        let Restored { files, snapshot_bytes, read_bytes, seconds, .. } = *self;
        let (files, all) = (counted(files, "file"), human(snapshot_bytes));
        let read = human(read_bytes);
        writeln!(
            console,
            "{files}: {read} of {all} were not in memory, and were read in {seconds:.1} s"
        )?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::both;

    #[test]
    fn what_is_absent_and_wanted_lies_in_both() {
        let one = [0..10, 20..30, 40..50];
        let two = [5..25, 28..29, 45..60];
        assert_eq!(both(&one, &two), [5..10, 20..25, 28..29, 45..50]);
        assert_eq!(both(&two, &one), both(&one, &two));
        assert_eq!(both(&one, &[]), []);
    }
}
