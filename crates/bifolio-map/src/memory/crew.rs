//! Many files looked at by a crew of threads, each with a table of descriptors of its own.
//!
//! Threads that share one table pay for that with every file they open, ask and close. A thread
//! that leaves the table does not, but there a descriptor of the rest of the process means nothing,
//! or another file. So:
//!
//! 1. What a helper gets and gives back is bytes and numbers: no descriptor, nor anything that
//!    holds one.
//! 2. A helper runs what is in [`help`] and nothing of the caller's: what that opens it closes
//!    before it answers.
//! 3. Helpers begin with every signal blocked, so that no handler runs on them.
//! 4. A helper is joined before the call returns that started it; the thread of that call keeps its
//!    table, so that the one that a helper leaves is used by another.
//!
//! The calling thread looks at files too, wherever the helpers have enough to do: one that only
//! waited for them would take turns with them on the same cores. Where a helper may not leave the
//! table (Linux before 5.9, filters of system calls), it works with the shared one.
//!
//! # Safety
//!
//! To leave the table is an unsafe call, which (1) to (4) answer for. Two things that any thread
//! may run are not the crew's to choose: the program's allocator, of which [`cached_files`] speaks,
//! and its hook for panics, of which there are none here.
#![allow(unsafe_code, reason = "threads leave the table of descriptors that others share")]

use super::CachedFile;
use crate::error::{Error, Operation, Result};
use crate::object::Object;
use crate::residency::Residency;
use bifolio_sys::Errno;
use bifolio_sys::fs::fd::{AsFd, OwnedFd};
use bifolio_sys::fs::{self, CWD, Mode, OFlags};
use bifolio_sys::signal::AllBlocked;
use core::num::NonZeroUsize;
use core::ops::Range;
use core::result::Result as CoreResult;
use std::collections::VecDeque;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, Builder, Scope};
use std::time::SystemTime;
use std::vec::Vec;

/// How many files are looked at by one thread before it answers: so many that threads seldom meet
/// in one directory, whose counters they would fight for. Fewer need no helper.
const HANDFUL: usize = 500;

/// How many handfuls for each thread may be handed out and not delivered.
const AHEAD: usize = 4;

/// The first descriptor that a helper does not take along: standard input, output and error stay,
/// since an allocator or a panic that ends the program says so there.
const FIRST_LEFT: u32 = 3;

/// What was seen of a file, from [`cached_files`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CachedFacts {
    /// Whether it is a regular file.
    pub is_regular: bool,
    /// Its length in bytes; 0 for what is no regular file.
    pub len_bytes: u64,
    /// The numbers of its device and, on that, of the file: no other file has the same.
    pub identity: (u64, u64),
    /// How many names it has.
    pub links: u64,
    /// When its bytes were changed last; 1970 where that was earlier, or is not known.
    pub modified: SystemTime,
    /// How much of the range that was asked about is in memory.
    pub residency: Residency,
}

/// What came of an item: nothing where it has no name.
type Look = Option<Result<CachedFacts>>;

/// Looks at many files, in few system calls and with all cores: how long each is, and how much of
/// `range`, as far as the file has it, is in the page cache.
///
/// `name` tells the path of a file's directory and its name there; an item without one is passed
/// on as it came, without facts. The items are taken, named and delivered by the calling thread, in
/// their order; `deliver` may end it all by an error. A file is opened as by [`CachedFile::open`],
/// by other threads too, which end with the call. Those have tables of descriptors of their own: a
/// global allocator that uses a descriptor from one call to the next does not work on them.
///
/// # Errors
///
/// The first that `deliver` returns. For a file, `deliver` gets what openat(2), fstat(2),
/// cachestat(2), mmap(2) and mincore(2) report.
///
/// # Panics
///
/// Where `range` ends before it starts.
///
/// # Examples
///
/// ```
/// use bifolio_map::{Error, memory};
/// use std::ffi::OsStr;
/// use std::path::Path;
///
/// let (directory, names) = (Path::new("src"), ["lib.rs", "absent"]);
/// let print = |name, facts: Option<Result<memory::CachedFacts, Error>>| {
///     match facts.expect("each has a name") {
///         Ok(facts) => println!("{name}: {} bytes, {:?}", facts.len_bytes, facts.residency),
///         Err(error) => println!("{name}: {error}"),
///     }
///     Ok::<(), Error>(())
/// };
/// memory::cached_files(names, |name| Some((directory, OsStr::new(*name))), 0..u64::MAX, print)?;
/// # Ok::<(), Error>(())
/// ```
///
/// # References
///
/// openat(2), `O_PATH`; close_range(2), `CLOSE_RANGE_UNSHARE`: Linux 5.9; cachestat(2): Linux 6.5.
pub fn cached_files<T, E>(
    items: impl IntoIterator<Item = T>,
    name: impl Fn(&T) -> Option<(&Path, &OsStr)>,
    range: Range<u64>,
    mut deliver: impl FnMut(T, Option<Result<CachedFacts>>) -> CoreResult<(), E>,
) -> CoreResult<(), E> {
    assert!(range.start <= range.end, "{range:?} ends before it starts");
    let mut deliver = |items: Vec<T>, looks: Vec<Look>| {
        items.into_iter().zip(looks).try_for_each(|(item, look)| deliver(item, look))
    };
    let mut source = items.into_iter();
    let threads = thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let (hand_out, jobs) = sync_channel(threads);
    let jobs = Mutex::new(jobs);
    thread::scope(|scope| {
        // Dropped where this closure ends, however it does, so that the helpers end too.
        let hand_out = hand_out;
        let mut has_helpers = None;
        let mut queue = VecDeque::new();
        loop {
            let items: Vec<T> = source.by_ref().take(HANDFUL).collect();
            if items.is_empty() {
                break;
            }
            let has_helpers = *has_helpers.get_or_insert_with(|| {
                items.len() == HANDFUL && start(scope, threads - 1, &jobs) > 0
            });
            let (answer, looks) = sync_channel(1);
            let job = Job { names: Names::of(&items, &name), range: range.clone(), answer };
            queue.push_back((items, looks));
            if !has_helpers {
                job.run();
            } else if let Err(TrySendError::Full(job) | TrySendError::Disconnected(job)) =
                hand_out.try_send(job)
            {
                job.run();
            }
            while let Some((items, looks)) = queue.pop_front() {
                let is_full = queue.len() >= threads * AHEAD;
                let seen = if is_full { looks.recv().ok() } else { looks.try_recv().ok() };
                let Some(seen) = seen else {
                    queue.push_front((items, looks));
                    break;
                };
                deliver(items, seen)?;
            }
        }
        // A helper that panicked answers nothing, and passes the panic on when it is joined.
        queue
            .into_iter()
            .try_for_each(|(items, looks)| deliver(items, looks.recv().unwrap_or_default()))
    })
}

/// Starts so many helpers, or as many as may be; returns their number.
fn start<'scope>(
    scope: &'scope Scope<'scope, '_>,
    count: usize,
    jobs: &'scope Mutex<Receiver<Job>>,
) -> usize {
    let _inherited = AllBlocked::new();
    let started = |_: &usize| {
        let builder = Builder::new().name("bifolio-crew".into());
        builder.spawn_scoped(scope, || help(jobs)).is_ok()
    };
    (0..count).take_while(started).count()
}

/// Does what is handed out, until nothing is any more.
fn help(jobs: &Mutex<Receiver<Job>>) {
    // SAFETY: by (1) and (2) this thread uses nothing that it did not open after this, and nobody
    // else uses that; by (3) no handler runs on it; by (4) the table is used by another thread, so
    // nothing of it is closed.
    let left = unsafe { fs::close_range_unshare(FIRST_LEFT) };
    // Where that is refused the table is the shared one, in which all of this works too.
    _ = left;
    let next = || jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
    while let Ok(job) = next() {
        job.run();
    }
}

/// A handful of files, and where to say what was seen of them.
struct Job {
    names: Names,
    range: Range<u64>,
    answer: SyncSender<Vec<Look>>,
}

impl Job {
    fn run(self) {
        // Where nobody waits for it any more, a delivery failed.
        _ = self.answer.send(self.names.look(&self.range));
    }
}

/// Names of files, and of the directories that they are in, one after the other.
struct Names {
    text: Vec<u8>,
    parts: Vec<Part>,
}

/// What a part of the text is, and where it ends.
enum Part {
    /// The directory of the files that follow.
    Directory {
        end: usize,
    },
    File {
        end: usize,
    },
    /// An item without a name: no part of the text.
    Nameless,
}

impl Names {
    fn of<T>(items: &[T], name: impl Fn(&T) -> Option<(&Path, &OsStr)>) -> Names {
        let mut names = Names { text: Vec::new(), parts: Vec::with_capacity(items.len() + 1) };
        let mut last = None;
        for item in items {
            let Some((directory, name)) = name(item) else {
                names.parts.push(Part::Nameless);
                continue;
            };
            let directory = directory.as_os_str();
            if last != Some(directory) {
                names.text.extend_from_slice(directory.as_bytes());
                names.parts.push(Part::Directory { end: names.text.len() });
                last = Some(directory);
            }
            names.text.extend_from_slice(name.as_bytes());
            names.parts.push(Part::File { end: names.text.len() });
        }
        names
    }

    /// Looks at each, in their order.
    fn look(&self, range: &Range<u64>) -> Vec<Look> {
        let mut looks = Vec::with_capacity(self.parts.len());
        let mut directory = Err(Errno::NOENT);
        let mut start = 0;
        for part in &self.parts {
            match *part {
                Part::Directory { end } => {
                    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
                    directory = fs::openat(CWD, &self.text[start..end], flags, Mode::empty());
                    start = end;
                }
                Part::File { end } => {
                    let name = Path::new(OsStr::from_bytes(&self.text[start..end]));
                    looks.push(Some(look(&directory, name, range)));
                    start = end;
                }
                Part::Nameless => looks.push(None),
            }
        }
        looks
    }
}

fn look(
    directory: &CoreResult<OwnedFd, Errno>,
    name: &Path,
    range: &Range<u64>,
) -> Result<CachedFacts> {
    let directory = directory.as_ref().map_err(|&errno| {
        Error::from_errno(Operation::Open, &Object::File(Arc::from(name)), errno)
    })?;
    let file = CachedFile::open(Some(directory.as_fd()), name)?;
    let len_bytes = file.len_bytes();
    let mut whole = [Residency::default()];
    file.residency(range.start.min(len_bytes)..range.end.min(len_bytes), &mut whole)?;
    let [residency] = whole;
    Ok(CachedFacts {
        is_regular: file.is_regular(),
        len_bytes,
        identity: file.identity(),
        links: file.links(),
        modified: file.modified(),
        residency,
    })
}
