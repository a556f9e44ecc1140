//! What can be watched: files, a process, or a recording of either, all in the same terms.

use super::grid::Window;
use crate::cell::{Cell, Counts};
use crate::failure::Failure;
use serde::{Deserialize, Serialize};
use std::ops::Range;
use std::path::PathBuf;
use std::time::Duration;

/// A file, or a mapping of a process.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Item {
    /// The same as long as it is the same thing.
    pub(super) id: u64,
    /// What the screen calls it; no control characters.
    pub(super) name: String,
    /// Its bytes: offsets in the file, or addresses.
    pub(super) place: Range<u64>,
    /// All its pages, or why nothing is known of them.
    pub(super) totals: Result<Counts, String>,
    /// What else is to be said: that it was deleted, what the mapping is for.
    pub(super) note: String,
    /// The file behind it.
    pub(super) file: Option<Behind>,
}

/// The file behind an item.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Behind {
    pub(super) path: PathBuf,
    /// Where in it the item begins.
    pub(super) offset: u64,
    /// Its number, where the path alone does not tell: it may name another file by now.
    pub(super) inode: Option<u64>,
}

impl Item {
    /// Its size in bytes.
    pub(super) fn len(&self) -> u64 {
        self.place.end - self.place.start
    }

    /// Its pages in memory, where that is known.
    pub(super) fn resident_pages(&self) -> u64 {
        self.totals.as_ref().map_or(0, |totals| totals.resident_pages)
    }
}

/// What is counted besides pages, since the machine or the process started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Counters {
    /// Faults that found their page in memory.
    pub(super) minor_faults: u64,
    /// Faults that waited for a disk.
    pub(super) major_faults: u64,
    /// Pages that came back soon after they were evicted; of the whole machine only.
    pub(super) refaults: Option<u64>,
    /// The memory of a process.
    pub(super) rss: Option<Rss>,
}

/// The resident memory of a process, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Rss {
    pub(super) anon_bytes: u64,
    pub(super) file_bytes: u64,
    pub(super) shmem_bytes: u64,
    pub(super) swap_bytes: u64,
}

/// Whom the counters count for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Subject {
    /// Files; the counters are those of the machine.
    #[serde(rename = "files")]
    Files,
    /// The process with this number.
    #[serde(rename = "process")]
    Process(u32),
}

/// Where a recording is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Position {
    pub(super) frame: usize,
    pub(super) frames: usize,
    /// Since its first frame.
    pub(super) at_ms: u64,
}

/// Something that is watched.
pub(super) trait Source {
    /// Whose faults are counted.
    fn subject(&self) -> Subject;

    /// Brings the list up to date; it is asked about once a second.
    fn refresh(&mut self) -> Result<(), Failure>;

    /// The list, in its own order.
    fn items(&self) -> &[Item];

    /// Says what stands for each cell of a window on an item, and the counters.
    fn look(&mut self, id: u64, window: &Window, cells: &mut [Cell]);

    /// Where a recording is; `None` for what is live.
    fn position(&self) -> Option<Position> {
        None
    }

    /// Winds a recording on by so many frames, or back.
    fn wind(&mut self, _frames: i64) {}

    /// How long the frame of a recording stays; `None` for the last, and for what is live.
    fn frame_lasts(&self) -> Option<Duration> {
        None
    }

    /// The counters now; `None` where nobody tells, as when the process has ended.
    fn counters(&mut self) -> Option<Counters>;
}
