//! What happens to a file while its pages are locked: its name may stand for another file, and it
//! may have other bytes than those that are locked.

use crate::bytes::human;
use crate::select::look::Subject;
use crate::select::walk::{Identity, identity};
use std::path::Path;
use std::time::Duration;

/// How long one look at so many files is worth waiting for.
const FILES_PER_SECOND: usize = 1000;

/// How long to wait between two looks.
pub(super) fn pause(files: usize) -> Duration {
    Duration::from_secs(1 + (files / FILES_PER_SECOND) as u64)
}

/// A file as it was last seen.
pub(super) struct Watch {
    identity: Option<Identity>,
    len_bytes: u64,
    /// Whether it is locked to its end.
    is_whole: bool,
}

impl Watch {
    pub(super) fn new(subject: &Subject) -> Watch {
        Watch {
            identity: Some(subject.file.identity()),
            len_bytes: subject.len_bytes,
            is_whole: subject.part.end == subject.len_bytes,
        }
    }

    /// What changed since the last look, in words, and what that means for the locks.
    pub(super) fn look(&mut self, path: &Path) -> Option<String> {
        let known = self.identity?;
        let stat = std::fs::metadata(path).ok();
        let found = stat.as_ref().map(identity);
        if found != Some(known) {
            // Nothing more can be learned of the old file.
            self.identity = None;
            return Some(match found {
                Some(_) => "it was replaced: the old file stays locked, the new one is not".into(),
                None => "it was removed or renamed, and stays locked".into(),
            });
        }
        let (was, is) = (self.len_bytes, stat?.len());
        self.len_bytes = is;
        match is {
            _ if is > was && self.is_whole => Some(format!(
                "it grew from {} to {}: what was added is not locked",
                human(was),
                human(is)
            )),
            _ if is < was => Some(format!("it was cut to {}: the rest is gone", human(is))),
            _ => None,
        }
    }
}
