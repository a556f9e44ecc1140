//! What the keys do to the pages of files: in threads of their own, so that the screen goes on.

use super::source::{Behind, Item};
use crate::bytes::{counted, human};
use crate::cmd::residency;
use crate::failure::Failure;
use crate::load::load;
use crate::name::{harmless, shown};
use bifolio::memory::{self, Holder};
use bifolio::page::page_size;
use bifolio::{Access, Backend, Dirty, Options, Residency, Stayed};
use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

/// Between two words about one action.
const WORD_PERIOD: Duration = Duration::from_millis(200);

/// What can be done to the pages of a file that show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    Touch,
    Evict,
}

/// The threads, and what they say.
pub(super) struct Actions {
    said: Receiver<String>,
    says: Sender<String>,
}

/// A part of a file.
struct Part {
    file: Behind,
    name: String,
    range: Range<u64>,
}

impl Actions {
    pub(super) fn new() -> Actions {
        let (says, said) = channel();
        Actions { said, says }
    }

    /// What they said since it was asked last.
    pub(super) fn said(&self) -> Option<String> {
        self.said.try_iter().last()
    }

    /// Begins to do something to the bytes of an item that show, and says so.
    pub(super) fn begin(&self, action: Action, item: &Item, shown: &Range<u64>) -> String {
        let Some(file) = item.file.clone() else {
            return format!("{}: no file, so that only its process can do that", item.name);
        };
        let at = |byte: u64| (byte - item.place.start).saturating_add(file.offset);
        let range = at(shown.start)..at(shown.end);
        let part = Part { file, name: item.name.clone(), range };
        let doing = match action {
            Action::Touch => "touching",
            Action::Evict => "evicting",
        };
        let text = format!("{doing} {} of {}", human(part.range.end - part.range.start), part.name);
        self.run(move |says| match action {
            Action::Touch => part.touch(says),
            Action::Evict => part.evict(),
        });
        text
    }

    /// Begins to write down which pages of these files are in memory, and says so.
    pub(super) fn save(&self, paths: Vec<PathBuf>, to: PathBuf) -> String {
        let name = shown(&to);
        let text = format!("saving to {name}");
        self.run(move |_| {
            let files = counted(residency::save(&paths, &to)?, "file");
            Ok(format!("saved {files} to {name}, for bifolio residency --restore {name}"))
        });
        text
    }

    fn run(
        &self,
        action: impl FnOnce(&Sender<String>) -> Result<String, Failure> + Send + 'static,
    ) {
        let says = self.says.clone();
        std::thread::spawn(move || {
            let text = action(&says).unwrap_or_else(|failure| harmless(&failure.to_string()));
            // Nobody listens when the program ends meanwhile.
            let _ = says.send(text);
        });
    }
}

impl Part {
    /// Opens the file, and nothing else that has its name now.
    fn open(&self) -> Result<File, Failure> {
        let failed = |error| Failure::file(&self.file.path, error);
        let file = File::open(&self.file.path).map_err(failed)?;
        let inode = file.metadata().map_err(failed)?.ino();
        if self.file.inode.is_some_and(|mapped| mapped != inode) {
            let name = self.file.path.display();
            return Err(Failure::message(format!("{name}: not the file that is mapped")));
        }
        Ok(file)
    }

    /// Reads the data of the part, so that it is in the cache; holes stay without pages.
    fn touch(&self, says: &Sender<String>) -> Result<String, Failure> {
        let file = self.open()?;
        let again = file.try_clone().map_err(|error| Failure::file(&self.file.path, error))?;
        let map =
            Options::new().backend(Backend::Read).map_file(again).map_err(|(_, error)| error)?;
        let end = map.len() as u64;
        let range = self.range.start.min(end) as usize..self.range.end.min(end) as usize;
        let runs = map.data_ranges(range)?;
        let data = runs.map(|run| run.map(|run| run.start as u64..run.end as u64));
        let data = data.collect::<Result<Vec<_>, _>>()?;
        let (mut done, mut next) = (0, Instant::now() + WORD_PERIOD);
        load(file, &data, |bytes| {
            done += bytes;
            if Instant::now() >= next {
                next += WORD_PERIOD;
                let _ = says.send(format!("touching {}, {} done", self.name, human(done)));
            }
        })?;
        Ok(format!("touched {} of {}", human(done), self.name))
    }
    /// Takes the part out of the cache, and says what stayed and why.
    fn evict(&self) -> Result<String, Failure> {
        let file = self.open()?;
        let end = file.metadata().map_err(|error| Failure::file(&self.file.path, error))?.len();
        let range = self.range.start.min(end)..self.range.end.min(end);
        let evicted = memory::evict(file, range, Dirty::Leave)?;
        let (Residency::Known(before), Residency::Known(after)) = (evicted.before, evicted.after)
        else {
            return Ok(format!(
                "asked for {}; the kernel does not tell you whether its pages went",
                self.name
            ));
        };
        let page = page_size().bytes() as u64;
        let gone = before.resident_pages.saturating_sub(after.resident_pages);
        let mut said = format!("evicted {} of {}", human(gone * page), self.name);
        if after.resident_pages > 0 {
            let part = (after.resident_pages * 100).div_ceil(after.total_pages);
            let reasons: Vec<String> = evicted.stayed.iter().map(reason).collect();
            said += &format!("; {part} % could not go: {}", reasons.join(", "));
        }
        Ok(said)
    }
}

/// Why pages stayed, in a few words.
fn reason(stayed: &Stayed) -> String {
    let pages = |pages: u64| counted(pages, "page");
    let holder = |holder: &Holder| format!("{} ({})", holder.process.id(), harmless(&holder.name));
    match stayed {
        Stayed::Dirty { pages: dirty } => format!("{} newer than the disk", pages(*dirty)),
        Stayed::WritingBack { pages: writing } => format!("{} being written", pages(*writing)),
        Stayed::Mapped(by) => format!("mapped by PID {}", holder(by)),
        Stayed::Locked(by) => format!("locked by PID {}", holder(by)),
        Stayed::OnlyInMemory { .. } => "no disk is behind it".to_owned(),
        Stayed::InLargeFolio { pages: held } => format!("{} in large folios", pages(*held)),
        Stayed::Unasked { processes: 1 } => "1 process could not be asked".to_owned(),
        Stayed::Unasked { processes } => format!("{processes} processes could not be asked"),
        _ => "the kernel does not tell why".to_owned(),
    }
}
