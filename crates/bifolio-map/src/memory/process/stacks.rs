//! Which memory is the stack of a thread: that into which its stack pointer points.
//!
//! To the kernel such a stack is anonymous memory like any other. It does tell the stack pointer of
//! a thread that waits in a system call; of one that runs it tells nothing, and so does this.

use super::folder::{Folder, read_all};
use bifolio_sys::fs::fd::AsFd;
use bifolio_sys::fs::{Mode, OFlags, openat};
use std::ffi::CString;
use std::format;
use std::fs::File;
use std::vec::Vec;

/// The threads that wait, with their stack pointers.
pub(super) fn pointers(folder: &Folder) -> Vec<(u32, usize)> {
    let mut pointers = Vec::new();
    let Ok(threads) = std::fs::read_dir(folder.path("task")) else { return pointers };
    let Ok(directory) = folder.file(c"task") else { return pointers };
    for thread in threads.flatten() {
        let id = thread.file_name().to_str().and_then(|name| name.parse::<u32>().ok());
        let pointer = id.and_then(|id| pointer(&directory, id));
        pointers.extend(id.zip(pointer));
    }
    pointers
}

/// The stack pointer of a thread: the last but one word of its `syscall` (proc_pid_syscall(5)).
fn pointer(threads: impl AsFd, id: u32) -> Option<usize> {
    let name = CString::new(format!("{id}/syscall")).ok()?;
    let file = openat(threads, &name, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).ok()?;
    parse(&read_all(&File::from(file)).ok()?)
}

/// `NUMBER ARGUMENT... POINTER COUNTER`, or `-1 POINTER COUNTER` outside of a call, or `running`.
fn parse(text: &[u8]) -> Option<usize> {
    let mut words = str::from_utf8(text).ok()?.split_ascii_whitespace().rev().skip(1);
    usize::from_str_radix(words.next()?.strip_prefix("0x")?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pointer_is_told_of_those_who_wait() {
        let waiting = b"202 0x7f 0x189 0x0 0x0 0x0 0xffffffff 0x7f311e9288c0 0x7f311eea3f16\n";
        assert_eq!(parse(waiting), Some(0x7f31_1e92_88c0));
        assert_eq!(parse(b"-1 0x7ffd2dcc7cb8 0x7f147cac72ad\n"), Some(0x7ffd_2dcc_7cb8));
        assert_eq!(parse(b"running\n"), None);
        assert_eq!(parse(b""), None);
    }
}
