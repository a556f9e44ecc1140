//! A process that is watched: its mappings, and which of their pages it has.

use super::counters;
use super::grid::Window;
use super::source::{Behind, Counters, Item, Source, Subject};
use crate::cell::{self, Cell, Counts};
use crate::failure::Failure;
use crate::name::shown;
use bifolio::Residency;
use bifolio::memory::{Detail, Process, Region, maps_with, pages_of};
use std::collections::HashMap;
use std::ops::Range;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// For how long mappings that do not show are counted at each refresh, so that thousands of them
/// are counted in turn.
const COUNTING: Duration = Duration::from_millis(20);

/// The process, and the list that is made of its mappings.
pub(super) struct Watched {
    process: Process,
    /// What tells it from a later process of the same number.
    started: Option<u64>,
    items: Vec<Item>,
    totals: HashMap<u64, Result<Counts, String>>,
    /// The address from which counting goes on.
    turn: u64,
    /// Whether it has ended: its number may be another's now.
    is_gone: bool,
}

impl Watched {
    /// Looks at the process with this number.
    pub(super) fn open(id: u32) -> Result<Watched, Failure> {
        let mut watched = Watched {
            process: Process::from(id),
            started: counters::start_of_process(id),
            items: vec![],
            totals: HashMap::new(),
            turn: 0,
            is_gone: false,
        };
        watched.list(None)?;
        Ok(watched)
    }

    /// Makes the list anew, and counts pages for so long at most.
    fn list(&mut self, counting: Option<Duration>) -> Result<(), Failure> {
        let id = self.process.id();
        if counters::start_of_process(id) != self.started {
            return Err(Failure::message(format!("process {id} has ended")));
        }
        let maps = maps_with(self.process, Detail::Layout)?;
        let regions = maps.regions();
        self.totals.retain(|&start, _| {
            let find = |region: &Region| (region.range.start as u64).cmp(&start);
            regions.binary_search_by(find).is_ok()
        });
        let began = Instant::now();
        let first = regions.partition_point(|region| (region.range.start as u64) < self.turn);
        for region in regions[first..].iter().chain(&regions[..first]) {
            let start = region.range.start as u64;
            let is_late = counting.is_some_and(|most| began.elapsed() > most);
            if is_late && self.totals.contains_key(&start) {
                self.turn = start;
                break;
            }
            self.totals.insert(start, self.count(&region.range));
        }
        self.items = regions.iter().map(|region| self.item(region)).collect();
        Ok(())
    }

    fn count(&self, range: &Range<usize>) -> Result<Counts, String> {
        let mut answer = [Residency::default()];
        match pages_of(self.process, range.clone(), &mut answer) {
            Ok(()) => match answer[0] {
                Residency::Known(pages) => Ok(pages.into()),
                Residency::Unknown(reason) => Err(cell::why(reason).to_owned()),
                _ => Err("the kernel does not tell".to_owned()),
            },
            Err(error) => Err(error.to_string()),
        }
    }

    fn item(&self, region: &Region) -> Item {
        let start = region.range.start as u64;
        let path = PathBuf::from(std::ffi::OsStr::from_bytes(&region.name));
        let is_file = region.inode != 0 && path.is_absolute();
        let name = match path.file_name() {
            Some(name) if is_file => shown(name),
            _ if region.name.is_empty() => format!("{:x} {}", start, region.purpose),
            _ => shown(&path),
        };
        let totals = self.totals.get(&start).cloned();
        let behind = Behind { path, offset: region.offset_bytes, inode: Some(region.inode) };
        Item {
            id: start,
            name,
            place: start..region.range.end as u64,
            totals: totals.unwrap_or_else(|| Err("not counted yet".to_owned())),
            note: format!("{} {}", region.permissions, region.purpose),
            file: is_file.then_some(behind),
        }
    }
}

impl Source for Watched {
    fn subject(&self) -> Subject {
        Subject::Process(self.process.id())
    }

    fn refresh(&mut self) -> Result<(), Failure> {
        self.list(Some(COUNTING)).inspect_err(|failure| {
            self.is_gone = true;
            for item in &mut self.items {
                item.totals = Err(failure.to_string());
            }
        })
    }

    fn items(&self) -> &[Item] {
        &self.items
    }

    fn look(&mut self, _id: u64, window: &Window, cells: &mut [Cell]) {
        if self.is_gone {
            return cells.fill(Cell::Unknown);
        }
        for part in window.equal_parts() {
            let bytes = window.bytes(part.clone());
            let mut answers = vec![Residency::default(); part.len()];
            // Where the process has ended nothing is known; the next refresh says so.
            let _ = pages_of(self.process, bytes.start as usize..bytes.end as usize, &mut answers);
            for (cell, answer) in cells[part].iter_mut().zip(answers) {
                *cell = Cell::of(answer, false);
            }
        }
    }

    fn counters(&mut self) -> Option<Counters> {
        counters::of_process(self.process.id())
    }
}
