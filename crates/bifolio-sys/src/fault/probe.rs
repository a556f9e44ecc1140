//! Proof that a fault survives: a child process takes one.
//!
//! A later handler that does not chain cannot be seen from its address, and trying it out would end
//! the process. So a child that shares nothing (clone(2) without flags) makes one guarded access
//! that must fault, and tells by its exit whether it lived.
//!
//! # Safety
//!
//! Between clone and exit the child does only what is async-signal-safe: system calls and one
//! guarded load.
#![allow(unsafe_code, reason = "a child process by clone(2), and memory mapped only to fault")]

use super::Signal;
use crate::page::page_size;
use crate::{Errno, errno, guard};
use core::ffi::c_int;
use core::ptr::null_mut;
use rustix::mm::{MapFlags, ProtFlags};

/// What became of a child's fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Probe {
    /// The fault came back as a value: guarded access works.
    Survives,
    /// The child was ended by the fault, or by the handler that took it: guarded access would end
    /// this process too.
    Dies,
    /// It could not be tried, or the child did not end within two seconds.
    Unknown(Errno),
}

const SURVIVED: c_int = 0;
const WRONG: c_int = 1;
const NO_MEMORY: c_int = 2;
/// How long a child may take, in milliseconds.
const WAIT_MS_MAX: u32 = 2000;

/// Takes one fault of the kind `signal` in a child process, with the handlers and the signal mask
/// that the caller has now.
///
/// It costs a clone of the process's page tables. The child raises no SIGCHLD and dumps no core; a
/// foreign handler that takes the fault runs in it, with copies of everything.
///
/// # Examples
///
/// ```
/// use bifolio_sys::fault::{self, Probe, Signal};
///
/// fault::install()?;
/// assert_eq!(fault::probe(Signal::Bus), Probe::Survives);
/// # Ok::<(), bifolio_sys::Errno>(())
/// ```
///
/// # References
///
/// [clone(2)](https://man7.org/linux/man-pages/man2/clone.2.html),
/// [waitpid(2)](https://man7.org/linux/man-pages/man2/waitpid.2.html) (`__WALL`),
/// [PR_SET_DUMPABLE(2const)](https://man7.org/linux/man-pages/man2/PR_SET_DUMPABLE.2const.html):
/// Linux 2.4.
pub fn probe(signal: Signal) -> Probe {
    let len = page_size().bytes();
    let none = 0_usize;
    // SAFETY: without flags clone(2) is fork(2): the child gets copies of everything, and no signal
    // is sent at its end.
    let child = unsafe { libc::syscall(libc::SYS_clone, none, none, none, none, none) };
    match child {
        0 => run_child(signal, len),
        child if child > 0 => wait(child as libc::pid_t),
        _ => Probe::Unknown(errno::last()),
    }
}

fn run_child(signal: Signal, len: usize) -> ! {
    // A limit of no bytes would still start the program that `kernel.core_pattern` names (core(5)).
    // SAFETY: prctl(2), PR_SET_DUMPABLE takes no pointer.
    unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 0_usize) };
    let code = match map_to_fault(signal, len) {
        // SAFETY: the page was mapped above and belongs to nobody else; that it faults is the
        // purpose.
        Ok(page) => match unsafe { <u8 as guard::Word>::load(page) } {
            Err(fault) if fault.code.signal() == signal.number() => SURVIVED,
            _ => WRONG,
        },
        Err(_) => NO_MEMORY,
    };
    // SAFETY: ends the child at once, with no exit handlers (_exit(2)).
    unsafe { libc::_exit(code) }
}

/// A page of `len` bytes that raises `signal` when it is read.
fn map_to_fault(signal: Signal, len: usize) -> Result<*mut u8, Errno> {
    let page = match signal {
        // SAFETY: no address is asked for, so no mapping is replaced.
        Signal::Segv => unsafe {
            rustix::mm::mmap_anonymous(null_mut(), len, ProtFlags::empty(), MapFlags::PRIVATE)
        },
        Signal::Bus => {
            let empty = rustix::fs::memfd_create("bifolio-probe", rustix::fs::MemfdFlags::CLOEXEC)?;
            // SAFETY: as above; the file has no byte, so every page lies beyond its end.
            unsafe {
                rustix::mm::mmap(null_mut(), len, ProtFlags::READ, MapFlags::SHARED, &empty, 0)
            }
        }
    };
    page.map(|page| page.cast())
}

fn wait(child: libc::pid_t) -> Probe {
    for _ in 0..WAIT_MS_MAX {
        let mut status = 0;
        // SAFETY: `status` lives in this frame.
        let ended = unsafe { libc::waitpid(child, &mut status, libc::WNOHANG | libc::__WALL) };
        if ended == child {
            return match (libc::WIFEXITED(status), libc::WEXITSTATUS(status)) {
                (true, SURVIVED) => Probe::Survives,
                (true, NO_MEMORY) => Probe::Unknown(Errno::NOMEM),
                _ => Probe::Dies,
            };
        }
        if ended < 0 && errno::last() != Errno::INTR {
            return Probe::Unknown(errno::last());
        }
        let pause = libc::timespec { tv_sec: 0, tv_nsec: 1_000_000 };
        // SAFETY: the time lives in this frame; null discards what was left of it.
        unsafe { libc::nanosleep(&pause, null_mut()) };
    }
    // SAFETY: the child has not been waited for, so the number is still its own.
    unsafe { libc::kill(child, libc::SIGKILL) };
    // SAFETY: null discards the status.
    unsafe { libc::waitpid(child, null_mut(), libc::__WALL) };
    Probe::Unknown(Errno::TIMEDOUT)
}
