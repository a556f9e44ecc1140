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

    /// The state now, last changed before the present tick of the clock: whatever is done to the
    /// file from now on gets another stamp.
    ///
    /// What cannot settle, since the clock was set back or the file is stamped by that of another
    /// machine, is taken as it is after a short while.
    pub(super) fn settled(source: &Source<'_>) -> Result<Stamp, Error> {
        let mut pauses = 0;
        loop {
            // A change after this moment is stamped with it or a later one.
            let now = coarse_realtime().map_err(|errno| source.refused(Operation::Stat, errno))?;
            let stamp = Stamp::of(source)?;
            // Every change stamps `changed`, while anybody may set `modified`, to the future too.
            if stamp.changed < now || pauses == PAUSES_MAX {
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
    let moment = |seconds, nanoseconds| Moment { seconds, nanoseconds };
    let (modified, changed) = match fs::statx(source.file, c"", flags, wanted) {
        Ok(stat) => (
            moment(stat.stx_mtime.tv_sec, stat.stx_mtime.tv_nsec),
            moment(stat.stx_ctime.tv_sec, stat.stx_ctime.tv_nsec),
        ),
        // A sandbox that does not know the call.
        Err(Errno::NOSYS | Errno::PERM) => {
            let stat = fs::fstat(source.file)?;
            (
                moment(stat.st_mtime, stat.st_mtime_nsec as u32),
                moment(stat.st_ctime, stat.st_ctime_nsec as u32),
            )
        }
        Err(errno) => return Err(errno),
    };
    let len_bytes = origin::file_len(source.file)?.unwrap_or(0);
    Ok(Stamp { len_bytes, modified, changed })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::Object;
    use std::fs::File;
    use std::os::fd::AsFd;
    use std::os::unix::fs::FileExt;
    use std::{env, format, process};

    #[test]
    fn a_settled_stamp_is_older_than_the_clock_and_than_every_change() {
        let path = env::temp_dir().join(format!("bifolio-stamp-{}", process::id()));
        let file = File::options().read(true).write(true).create_new(true).open(&path).unwrap();
        std::fs::remove_file(path).unwrap();
        let object = &Object::OpenFile;
        let source = Source { file: file.as_fd(), offset: 0, len: 5, object };
        for _ in 0..10 {
            file.write_all_at(b"folio", 0).unwrap();
            let settled = Stamp::settled(&source).unwrap();
            let now = coarse_realtime().unwrap();
            assert!(settled.changed < now, "{settled:?} at {now:?}");
            assert_eq!(Stamp::of(&source).unwrap(), settled);
            file.write_all_at(b"folio", 0).unwrap();
            assert_ne!(Stamp::of(&source).unwrap(), settled);
        }
    }
}
