//! What the keys do to the pages of a file: in threads of their own, so that the screen goes on.

use super::source::Item;
use crate::bytes::human;
use crate::failure::{Failure, harmless};
use bifolio::page::page_size;
use bifolio::{Access, Advice, Backend, FileMap, Options, Pages, Residency};
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};

/// How many bytes are touched between two words about it.
const STEP_BYTES: usize = 32 << 20;

/// What can be done to pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    Touch,
    Evict,
}

/// The threads, and what they say.
pub(super) struct Actions {
    said: Receiver<String>,
    says: Sender<String>,
    is_over: Arc<AtomicBool>,
}

/// A part of a file.
struct Part {
    path: PathBuf,
    name: String,
    range: Range<u64>,
}

impl Actions {
    pub(super) fn new() -> Actions {
        let (says, said) = channel();
        Actions { said, says, is_over: Arc::default() }
    }

    /// What they said since it was asked last.
    pub(super) fn said(&self) -> Option<String> {
        self.said.try_iter().last()
    }

    /// Begins to do something to the bytes of an item that show, and says so.
    pub(super) fn begin(&self, action: Action, item: &Item, shown: &Range<u64>) -> String {
        let Some((path, offset)) = item.file.clone() else {
            return format!("{}: only pages of files can be touched or evicted here", item.name);
        };
        let at = |byte: u64| byte - item.place.start + offset;
        let range = at(shown.start)..at(shown.end);
        let part = Part { path, name: item.name.clone(), range };
        let doing = match action {
            Action::Touch => "touching",
            Action::Evict => "evicting",
        };
        let text = format!("{doing} {} of {}", human(part.len()), part.name);
        let (says, is_over) = (self.says.clone(), Arc::clone(&self.is_over));
        std::thread::spawn(move || {
            let done = match action {
                Action::Touch => part.touch(&says, &is_over),
                Action::Evict => part.evict(),
            };
            let text = done.unwrap_or_else(|failure| harmless(&failure.to_string()));
            // Nobody listens when the program ends meanwhile.
            let _ = says.send(text);
        });
        text
    }
}

impl Drop for Actions {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::SeqCst);
    }
}

impl Part {
    fn len(&self) -> u64 {
        self.range.end - self.range.start
    }

    /// Brings the data of the part in; holes stay without pages.
    fn touch(&self, says: &Sender<String>, is_over: &AtomicBool) -> Result<String, Failure> {
        let map = FileMap::open(&self.path)?;
        let range = self.in_file(&map);
        let mut done = 0_u64;
        for data in map.data_ranges(range)? {
            let data = data?;
            for start in data.clone().step_by(STEP_BYTES) {
                let step = start..(start + STEP_BYTES).min(data.end);
                done += step.len() as u64;
                map.populate(step)?;
                if is_over.load(Ordering::SeqCst) {
                    return Ok(String::new());
                }
                let _ = says.send(format!("touched {} of {}", human(done), self.name));
            }
        }
        Ok(format!("touched {} of {}", human(done), self.name))
    }

    /// Lets the kernel forget what it can, and says what stayed.
    fn evict(&self) -> Result<String, Failure> {
        let map = Options::new().backend(Backend::Read).open(&self.path)?;
        let range = self.in_file(&map);
        let count = || {
            Ok::<_, Failure>(match map.residency(range.clone())? {
                Residency::Known(pages) => Some(pages.resident_pages),
                _ => None,
            })
        };
        let before = count()?;
        map.advise(range.clone(), Advice::PageOut)?;
        let page = page_size().bytes() as u64;
        Ok(match before.zip(count()?) {
            Some((before, after)) => format!(
                "evicted {} of {}, {} stayed",
                human(before.saturating_sub(after) * page),
                self.name,
                human(after * page)
            ),
            None => format!(
                "asked for the eviction of {}; the kernel does not tell you what went",
                self.name
            ),
        })
    }

    /// The part, as far as the file reaches now.
    fn in_file(&self, map: &FileMap) -> Range<usize> {
        let end = map.len() as u64;
        self.range.start.min(end) as usize..self.range.end.min(end) as usize
    }
}
