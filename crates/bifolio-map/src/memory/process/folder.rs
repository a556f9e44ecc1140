//! A process by its number, and its directory in /proc, held open while it is asked.
//!
//! 1. Every file of one look at a process is opened through one descriptor of its directory, which
//!    goes on meaning that process after its end: another process that gets its number is never
//!    taken for it.
//! 2. The files of /proc/PID show the address space that the process had when they were opened,
//!    and are empty once that is gone (its end, or exec).

use crate::error::{Error, ErrorKind, Operation};
use crate::object::Object;
use bifolio_sys::Errno;
use bifolio_sys::fs::fd::{AsRawFd, OwnedFd};
use bifolio_sys::fs::{CWD, Mode, OFlags, openat};
use bifolio_sys::process::getpid;
use core::ffi::CStr;
use core::fmt;
use std::ffi::CString;
use std::format;
use std::fs::File;
use std::io::Read;
use std::path::PathBuf;
use std::vec::Vec;

/// A process, by the number that /proc knows it by.
///
/// The number of a process that has ended may come to mean another: each call finds out anew whom
/// it means, and then stays with it until it returns.
///
/// # Examples
///
/// ```
/// use bifolio_map::memory::Process;
///
/// assert_eq!(Process::this().id(), std::process::id());
/// assert_eq!(Process::from(812).to_string(), "process 812");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Process {
    id: u32,
}

impl Process {
    /// The process that calls.
    #[must_use]
    pub fn this() -> Process {
        Process { id: getpid().as_raw_pid().unsigned_abs() }
    }

    /// Its number.
    #[must_use]
    pub fn id(self) -> u32 {
        self.id
    }
}

impl From<u32> for Process {
    fn from(id: u32) -> Process {
        Process { id }
    }
}

impl fmt::Display for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Object::Process(self.id).fmt(f)
    }
}

/// The open directory /proc/PID.
pub(super) struct Folder {
    process: Process,
    directory: OwnedFd,
}

impl Folder {
    pub(super) fn open(process: Process) -> Result<Folder, Error> {
        let path = CString::new(format!("/proc/{}", process.id)).expect("no NUL in a number");
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        match openat(CWD, &path, flags, Mode::empty()) {
            Ok(directory) => Ok(Folder { process, directory }),
            Err(errno) => Err(refused(process, errno)),
        }
    }

    /// Opens one of its files; `SRCH` where the process has no memory (any more).
    pub(super) fn file(&self, name: &CStr) -> Result<File, Errno> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        openat(&self.directory, name, flags, Mode::empty()).map(File::from)
    }

    /// All bytes of one of its files.
    pub(super) fn read(&self, name: &CStr) -> Result<Vec<u8>, Errno> {
        read_all(&self.file(name)?)
    }

    /// The path of one of its files, valid while this lives.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}/{name}", self.directory.as_raw_fd()))
    }

    /// What the kernel refused.
    pub(super) fn refused(&self, errno: Errno) -> Error {
        refused(self.process, errno)
    }

    /// Whether it is a process that has not ended, nor is about to.
    pub(super) fn may_have_memory(&self) -> bool {
        let Ok(stat) = self.read(c"stat") else { return false };
        let has_ended = field(&stat, 3).is_none_or(|state| b"ZXx".contains(&state[0]));
        !has_ended && !has_flag(&stat, PF_KTHREAD) && !has_flag(&stat, PF_EXITING)
    }

    /// Why it has no memory: it has ended, or it is a thread of the kernel.
    pub(super) fn without_memory(&self) -> Error {
        let kind = match self.read(c"stat") {
            Ok(stat) if has_flag(&stat, PF_KTHREAD) => ErrorKind::KernelThread,
            _ => ErrorKind::NoSuchProcess,
        };
        Error::new(Operation::Inspect, &Object::Process(self.process.id), kind)
    }
}

fn refused(process: Process, errno: Errno) -> Error {
    let object = Object::Process(process.id);
    match errno {
        Errno::NOENT | Errno::SRCH => {
            Error::new(Operation::Inspect, &object, ErrorKind::NoSuchProcess)
        }
        errno => Error::from_errno(Operation::Inspect, &object, errno),
    }
}

/// Reads a file of /proc to its end from its start.
pub(super) fn read_all(mut file: &File) -> Result<Vec<u8>, Errno> {
    use std::io::Seek;
    let mut bytes = Vec::new();
    let answer = file.rewind().and_then(|()| file.read_to_end(&mut bytes));
    match answer {
        Ok(_) => Ok(bytes),
        Err(error) => Err(Errno::from_io_error(&error).unwrap_or(Errno::IO)),
    }
}

/// A thread of the kernel (`include/linux/sched.h`).
const PF_KTHREAD: u32 = 0x0020_0000;
/// A process that is about to end.
const PF_EXITING: u32 = 0x0000_0004;

/// Whether `stat` (proc_pid_stat(5)) has this flag.
fn has_flag(stat: &[u8], flag: u32) -> bool {
    let flags = field(stat, 9).and_then(|word| str::from_utf8(word).ok()?.parse::<u32>().ok());
    flags.is_some_and(|flags| flags & flag != 0)
}

/// A field of `stat` by the number that proc_pid_stat(5) gives it, from 3 on: the second is a name
/// in parentheses, which may hold anything.
pub(super) fn field(stat: &[u8], number: usize) -> Option<&[u8]> {
    let name_end = stat.iter().rposition(|&byte| byte == b')')?;
    let words = stat[name_end + 1..].split(u8::is_ascii_whitespace);
    words.filter(|word| !word.is_empty()).nth(number.checked_sub(3)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_in_the_middle_of_stat_confuses_nobody() {
        let stat = b"2 (a) b ) ) S 0 0 0 0 -1 2129984 0 0\n";
        assert_eq!(field(stat, 3), Some(&b"S"[..]));
        assert!(has_flag(stat, PF_KTHREAD));
        assert!(!has_flag(b"3 (x) S 0 0 0 0 -1 64 0\n", PF_KTHREAD));
        assert!(!has_flag(b"nonsense", PF_KTHREAD));
        assert_eq!((field(stat, 2), field(stat, 99)), (None, None));
    }
}
