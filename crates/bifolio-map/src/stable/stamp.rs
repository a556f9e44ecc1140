//! What tells that a file was changed: its length and its time stamps.
//!
//! A stamp that is *settled* differs from that of every later change, however coarse the clock is
//! that stamps files. It does not see who writes through a mapping, nor who writes a block device.

use crate::error::{Error, Operation};
use crate::origin;
use crate::stable::Source;
use bifolio_sys::Errno;
use bifolio_sys::fs::{self, AtFlags, StatxFlags};
use bifolio_sys::time::{Moment, coarse_realtime};
use std::thread;
use std::time::Duration;

/// How often at most to wait for the kernel's clock to go on; a tick has 10 ms at most.
const PAUSES_MAX: u32 = 20;

/// How long to wait for it each time.
const PAUSE: Duration = Duration::from_millis(1);

/// The state of a file by which a change shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    pub(super) len_bytes: u64,
    modified: Moment,
    changed: Moment,
}

impl Stamp {
    /// The state now, asked of whoever serves the file and not of a cache.
    pub(super) fn of(source: &Source<'_>) -> Result<Stamp, Error> {
        read(source).map_err(|errno| source.refused(Operation::Stat, errno))
    }

    /// The state now, with stamps that are older than the present tick of the clock: whatever is
    /// done to the file from now on gets others.
    ///
    /// What cannot settle, since the clock was set back or the file is stamped by that of another
    /// machine, is taken as it is after a short while.
    pub(super) fn settled(source: &Source<'_>) -> Result<Stamp, Error> {
        let mut pauses = 0;
        loop {
            // A change after this moment is stamped with it or a later one.
            let now = coarse_realtime().map_err(|errno| source.refused(Operation::Stat, errno))?;
            let stamp = Stamp::of(source)?;
            if stamp.modified.max(stamp.changed) < now || pauses == PAUSES_MAX {
                return Ok(stamp);
            }
            pauses += 1;
            thread::sleep(PAUSE);
        }
    }
}

fn read(source: &Source<'_>) -> Result<Stamp, Errno> {
    let wanted = StatxFlags::SIZE | StatxFlags::MTIME | StatxFlags::CTIME;
    let flags = AtFlags::EMPTY_PATH | AtFlags::STATX_FORCE_SYNC;
    let stat = fs::statx(source.file, c"", flags, wanted)?;
    let moment = |seconds, nanoseconds| Moment { seconds, nanoseconds };
    // The length of a block device is not its file's.
    let len_bytes = origin::file_len(source.file)?.unwrap_or(stat.stx_size);
    Ok(Stamp {
        len_bytes,
        modified: moment(stat.stx_mtime.tv_sec, stat.stx_mtime.tv_nsec),
        changed: moment(stat.stx_ctime.tv_sec, stat.stx_ctime.tv_nsec),
    })
}
