//! Files that are watched, through what may happen to them meanwhile: they grow, are cut, lose
//! their name, or another file takes it.

use super::cached::{self, Answer};
use super::counters;
use super::grid::Window;
use super::source::{Behind, Counters, Item, Source, Subject};
use crate::cell::{self, Cell};
use crate::console::Console;
use crate::failure::Failure;
use crate::holes;
use crate::input::file_path;
use crate::name::shown;
use bifolio::memory::CachedFile;
use bifolio::{Access, Backend, FileMap, Options, Residency, Route};
use std::fs::Metadata;
use std::ops::Range;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// For how many windows the holes are kept: those of the grid, the bar and a recording.
const WINDOWS_MAX: usize = 3;

/// The files, and the list that is made of them.
pub(super) struct Files {
    files: Vec<Watched>,
    items: Vec<Item>,
}

/// A file.
struct Watched {
    path: PathBuf,
    file: CachedFile,
    /// For its holes; nothing is mapped, which would be one more thing to ask about.
    map: FileMap,
    /// What its metadata said when it was opened.
    opened: State,
    note: &'static str,
    /// The latest last.
    holes: Vec<KnownHoles>,
}

/// What tells one state of a file from another.
#[derive(Clone, Copy, PartialEq)]
struct State {
    device: u64,
    inode: u64,
    len: u64,
    blocks: u64,
    modified_ns: (i64, i64),
}

/// Where the holes were in one state of a file, for one window.
struct KnownHoles {
    window: Window,
    state: State,
    are_holes: Vec<bool>,
}

impl From<&Metadata> for State {
    fn from(stat: &Metadata) -> State {
        State {
            device: stat.dev(),
            inode: stat.ino(),
            len: stat.len(),
            blocks: stat.blocks(),
            modified_ns: (stat.mtime(), stat.mtime_nsec()),
        }
    }
}

impl State {
    fn is_same_file(&self, other: &State) -> bool {
        (self.device, self.inode) == (other.device, other.inode)
    }
}

impl Files {
    /// Opens the files; those that cannot be are reported.
    pub(super) fn open(paths: &[PathBuf], console: &mut Console) -> Result<Files, Failure> {
        let mut files = vec![];
        for path in paths {
            match Watched::open(file_path(path)) {
                Ok(file) => files.push(file),
                Err(failure) => console.report(&failure)?,
            }
        }
        let mut files = Files { files, items: vec![] };
        files.refresh()?;
        Ok(files)
    }
}

impl Source for Files {
    fn subject(&self) -> Subject {
        Subject::Files
    }

    fn refresh(&mut self) -> Result<(), Failure> {
        for file in &mut self.files {
            file.follow();
        }
        self.items = (0..).zip(&self.files).map(|(id, file)| file.item(id)).collect();
        Ok(())
    }

    fn items(&self) -> &[Item] {
        &self.items
    }

    fn look(&mut self, id: u64, window: &Window, cells: &mut [Cell]) {
        match self.files.get_mut(id as usize) {
            Some(file) => file.look(window, cells),
            None => cells.fill(Cell::Unknown),
        }
    }

    fn counters(&mut self) -> Option<Counters> {
        counters::of_machine()
    }
}

impl Watched {
    fn open(path: &Path) -> Result<Watched, Failure> {
        let map = Options::new().backend(Backend::Read).open(path)?;
        if map.backend() == Route::Loaded {
            let name = shown(path);
            return Err(Failure::message(format!("{name}: it has no pages that could be watched")));
        }
        let file = CachedFile::open(None, path)?;
        let stat = file.file().metadata().map_err(|error| Failure::file(path, error))?;
        let opened = State::from(&stat);
        Ok(Watched { path: path.to_path_buf(), file, map, opened, note: "", holes: vec![] })
    }

    /// Opens it again where it has another length now, or its name another file.
    fn follow(&mut self) {
        let Ok(stat) = std::fs::metadata(&self.path) else {
            self.note = "deleted, still open here";
            return;
        };
        let now = State::from(&stat);
        let is_same = now.is_same_file(&self.opened);
        if is_same && now.len == self.map.len() as u64 {
            self.opened = now;
            return;
        }
        match Watched::open(&self.path) {
            Ok(file) => {
                let note = match () {
                    () if !is_same => "replaced by another file",
                    () if file.map.len() < self.map.len() => "was cut",
                    () => self.note,
                };
                *self = Watched { note, ..file };
            }
            Err(_) => self.note = "cannot be opened any more, still open here",
        }
    }

    fn item(&self, id: u64) -> Item {
        let len = self.map.len();
        let totals = match self.count(0..len as u64) {
            Ok(Residency::Known(pages)) => Ok(pages.into()),
            Ok(Residency::Unknown(reason)) => Err(cell::why(reason).to_owned()),
            Ok(_) => Err("the kernel does not tell".to_owned()),
            Err(error) => Err(error.to_string()),
        };
        Item {
            id,
            name: shown(&self.path),
            place: 0..len as u64,
            totals,
            note: self.note.to_owned(),
            file: Some(Behind { path: self.path.clone(), offset: 0, inode: None }),
        }
    }

    /// Counts the pages of the cache.
    fn count(&self, range: Range<u64>) -> bifolio::Result<Residency> {
        let mut answer = [Residency::default()];
        self.file.residency(range, &mut answer)?;
        let [answer] = answer;
        Ok(answer)
    }

    fn look(&mut self, window: &Window, cells: &mut [Cell]) {
        let end = self.map.len() as u64;
        cached::fill(window, cells, &mut |range| {
            let range = range.start.min(end)..range.end.min(end);
            self.count(range).map_or(Answer::UNKNOWN, Answer::from)
        });
        for (cell, is_hole) in cells.iter_mut().zip(self.holes(window)) {
            if *is_hole && matches!(cell, Cell::Absent | Cell::PushedOut) {
                *cell = Cell::Hole;
            }
        }
    }

    /// Which cells are holes: asked again only where the file or the window has changed.
    fn holes(&mut self, window: &Window) -> &[bool] {
        self.holes.retain(|known| known.state == self.opened);
        let found = self.holes.iter().position(|known| known.window == *window);
        let known = match found {
            Some(index) => self.holes.remove(index),
            None => self.look_for_holes(window),
        };
        if self.holes.len() == WINDOWS_MAX {
            self.holes.remove(0);
        }
        self.holes.push(known);
        self.holes.last().map_or(&[], |known| &known.are_holes)
    }

    fn look_for_holes(&self, window: &Window) -> KnownHoles {
        let end = self.map.len() as u64;
        let are_holes = window.equal_parts().map(|part| {
            let bytes = window.bytes(part.clone());
            let range = bytes.start.min(end) as usize..bytes.end.min(end) as usize;
            // A file that is cut meanwhile tells nothing until it is opened again.
            holes::of_parts(&self.map, range, part.len())
                .unwrap_or_else(|_| vec![false; part.len()])
        });
        KnownHoles { window: window.clone(), state: self.opened, are_holes: are_holes.concat() }
    }
}
