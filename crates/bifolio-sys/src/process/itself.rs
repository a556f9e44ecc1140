//! What a process is to itself: its name, when it began, where its number is valid; and what it
//! does when it forks.
//!
//! # Safety
//!
//! Handlers of fork(2) run where almost nothing may be called.
#![allow(unsafe_code, reason = "registers functions with the C library")]

use rustix::fs::stat;
use rustix::io::Errno;

use crate::text::{parse_number, read_start};

/// What distinguishes a process from those that had its number before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Itself {
    /// The name of its first thread, filled up with zeros.
    pub name: [u8; 16],
    /// When it began, in clock ticks since the machine started.
    pub start_ticks: u64,
}

/// The calling process.
///
/// # Errors
///
/// Those of reading `/proc/self/stat`: [`Errno::NOENT`] where `/proc` is not mounted.
///
/// # References
///
/// [proc_pid_stat(5)](https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html): Linux 2.6.
pub fn itself() -> Result<Itself, Errno> {
    let mut line = [0; 1024];
    parse(read_start(c"/proc/self/stat", &mut line)?).ok_or(Errno::INVAL)
}

/// A line of `/proc/PID/stat`. The name may hold parentheses and spaces; nothing behind it does.
fn parse(line: &[u8]) -> Option<Itself> {
    let open = line.iter().position(|&byte| byte == b'(')?;
    let close = line.iter().rposition(|&byte| byte == b')')?;
    let shown = line.get(open + 1..close)?;
    let mut name = [0; 16];
    let len = shown.len().min(name.len());
    name[..len].copy_from_slice(&shown[..len]);
    // The state is field 3, the time of the start field 22.
    let fields = line[close + 1..].split(u8::is_ascii_whitespace);
    let start_ticks = parse_number(fields.filter(|field| !field.is_empty()).nth(22 - 3)?)?;
    Some(Itself { name, start_ticks })
}

/// The number of the PID namespace of the calling process, as its link in `/proc` shows it.
///
/// # Errors
///
/// [`Errno::NOENT`] where `/proc` is not mounted.
///
/// # References
///
/// [namespaces(7)](https://man7.org/linux/man-pages/man7/namespaces.7.html): Linux 3.8.
pub fn pid_namespace() -> Result<u64, Errno> {
    stat(c"/proc/self/ns/pid").map(|stat| stat.st_ino)
}

/// Has `prepare` called before each fork(3) of this process, and `parent` and `child` after it,
/// all by the thread that forks. Children inherit that; nothing takes it back.
///
/// The system calls themselves, posix_spawn(3) and vfork(2) call none of them.
///
/// # Errors
///
/// [`Errno::NOMEM`].
///
/// # Safety
///
/// No handler unwinds, and `child` calls only what is permitted in the child of a process with
/// threads.
///
/// # References
///
/// [pthread_atfork(3)](https://man7.org/linux/man-pages/man3/pthread_atfork.3.html): Linux 2.0.
pub unsafe fn pthread_atfork(
    prepare: extern "C" fn(),
    parent: extern "C" fn(),
    child: extern "C" fn(),
) -> Result<(), Errno> {
    // SAFETY: the caller answers for what the functions do.
    match unsafe { libc::pthread_atfork(Some(prepare), Some(parent), Some(child)) } {
        0 => Ok(()),
        error => Err(Errno::from_raw_os_error(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_look_like_the_rest_of_the_line() {
        let fields = "S 1 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 777 0 0";
        let mut line = [0; 128];
        let text = b"12 (a) S (b)) ";
        line[..text.len()].copy_from_slice(text);
        line[text.len()..text.len() + fields.len()].copy_from_slice(fields.as_bytes());
        let itself = parse(&line[..text.len() + fields.len()]).unwrap();
        assert_eq!(&itself.name[..8], b"a) S (b)");
        assert_eq!((itself.name[8], itself.start_ticks), (0, 777));
        assert_eq!(parse(b"12 (a) S 1"), None);
        assert_eq!(parse(b""), None);
    }
}
