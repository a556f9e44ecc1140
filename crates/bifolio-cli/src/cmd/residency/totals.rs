//! The sums over all files, and what is said of what was not counted.

use crate::bytes::{counted, human, share};
use crate::cell::why;
use crate::console::Console;
use crate::failure::Failure;
use crate::select::walk::LeftOut;
use bifolio::page::page_size;
use bifolio::{CacheState, Residency, Untold};
use serde::Serialize;
use std::io::Write;

/// What all files come to. Pages are those of files of which the kernel tells.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Totals {
    pub(super) files: u64,
    pub(super) directories: u64,
    /// Of the parts that were looked at, whether or not the kernel tells of them.
    pub(super) len_bytes: u64,
    pub(super) total_pages: u64,
    pub(super) resident_pages: u64,
    pub(super) resident_bytes: u64,
    /// `null` where the kernel does not tell them of every one of these files, as for the next two.
    dirty_pages: Sum,
    writeback_pages: Sum,
    evicted_pages: Sum,
    pub(super) unknown_files: u64,
    pub(super) unknown_bytes: u64,
    /// Files that could not be looked at: each was reported.
    pub(super) failed_files: u64,
    pub(super) left_out: Left,
    #[serde(skip)]
    untold: Vec<Untold>,
}

/// A sum; nothing where a part of it is unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
struct Sum(Option<u64>);

impl Default for Sum {
    fn default() -> Sum {
        Sum(Some(0))
    }
}

impl Sum {
    fn add(&mut self, more: Option<u64>) {
        self.0 = self.0.zip(more).map(|(sum, more)| sum + more);
    }
}

/// What was found and not counted, on purpose.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Left {
    pub(super) symbolic_links: u64,
    pub(super) special_files: u64,
    pub(super) other_file_systems: u64,
    pub(super) more_names: u64,
    pub(super) larger_files: u64,
}

impl Totals {
    /// Adds the part of a file.
    pub(super) fn add(&mut self, len_bytes: u64, residency: Residency) {
        self.files += 1;
        self.len_bytes += len_bytes;
        let reason = match residency {
            Residency::Known(pages) => {
                self.total_pages += pages.total_pages;
                self.resident_pages += pages.resident_pages;
                self.resident_bytes += pages.resident_bytes();
                // Of no pages all is known, whoever was asked.
                let cache = |of: fn(&CacheState) -> u64| match pages.total_pages {
                    0 => Some(0),
                    _ => pages.cache.as_ref().map(of),
                };
                self.dirty_pages.add(cache(|cache| cache.dirty_pages));
                self.writeback_pages.add(cache(|cache| cache.writeback_pages));
                self.evicted_pages.add(cache(|cache| cache.evicted_pages));
                return;
            }
            Residency::Unknown(reason) => reason,
            _ => Untold::NotAsked,
        };
        self.unknown_files += 1;
        self.unknown_bytes += len_bytes;
        if !self.untold.contains(&reason) {
            self.untold.push(reason);
        }
    }

    /// Adds what the walk passed over.
    pub(super) fn add_left_out(&mut self, left_out: LeftOut) {
        self.left_out.symbolic_links = left_out.links;
        self.left_out.special_files += left_out.special;
        self.left_out.other_file_systems = left_out.mounts;
    }

    pub(super) fn print(&self, console: &mut Console) -> Result<(), Failure> {
        let mut what = counted(self.files, "file");
        if self.directories > 0 {
            what = match self.directories {
                1 => format!("{what} in 1 directory"),
                count => format!("{what} in {} directories", crate::bytes::grouped(count)),
            };
        }
        let pages = counted(self.total_pages + self.unknown_pages(), "page");
        writeln!(console, "{what}: {} in {pages}", human(self.len_bytes))?;
        if self.total_pages > 0 || self.unknown_files == 0 {
            self.print_known(console)?;
        }
        if self.unknown_files > 0 {
            let reasons: Vec<_> = self.untold.iter().map(|&reason| why(reason)).collect();
            let (files, bytes) = (counted(self.unknown_files, "file"), human(self.unknown_bytes));
            writeln!(console, "  unknown         {bytes} of {files}:")?;
            for reason in reasons {
                writeln!(console, "    {reason}")?;
            }
        }
        self.print_left_out(console)
    }

    /// Those of files of which the kernel does not tell, as many as their bytes take at least.
    fn unknown_pages(&self) -> u64 {
        self.unknown_bytes.div_ceil(page_size().bytes() as u64)
    }

    fn print_known(&self, console: &mut Console) -> Result<(), Failure> {
        let line = |pages: u64| {
            let bytes = human(pages.saturating_mul(page_size().bytes() as u64));
            format!("{bytes} in {}", counted(pages, "page"))
        };
        let share = share(self.resident_pages, self.total_pages);
        writeln!(console, "  in memory       {}{share}", line(self.resident_pages))?;
        for (name, Sum(pages)) in [
            ("newer than disk", self.dirty_pages),
            ("being written", self.writeback_pages),
            ("pushed out", self.evicted_pages),
        ] {
            let text = match pages {
                Some(0) => continue,
                Some(pages) => line(pages),
                None => "unknown".to_owned(),
            };
            writeln!(console, "  {name:<15} {text}")?;
        }
        Ok(())
    }

    fn print_left_out(&self, console: &mut Console) -> Result<(), Failure> {
        let Left { symbolic_links, special_files, other_file_systems, more_names, larger_files } =
            self.left_out;
        for (count, one, note) in [
            (symbolic_links, "symbolic link", " (-f follows them)"),
            (special_files, "pipe, socket or device", ""),
            (other_file_systems, "mounted file system", ""),
            (more_names, "more name", " of files that are counted"),
            (larger_files, "larger file", ""),
        ] {
            if count > 0 {
                let what = match (one, count) {
                    ("pipe, socket or device", 2..) => {
                        format!("{} pipes, sockets or devices", crate::bytes::grouped(count))
                    }
                    _ => counted(count, one),
                };
                writeln!(console, "  left out        {what}{note}")?;
            }
        }
        Ok(())
    }
}
