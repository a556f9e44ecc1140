//! Processes of this machine: they are forked, awaited under a watchdog, killed and reaped.
//!
//! Whoever forks here has one thread, so that the child may do whatever a program may do.
//!
//! # Safety
//!
//! fork, waitpid, kill and the calls around them are the C library's; each is given what its man
//! page asks for.
#![allow(unsafe_code, reason = "forks, and calls the C library")]

use std::io::Error;
use std::mem::MaybeUninit;
use std::panic::{self, AssertUnwindSafe};
use std::ptr;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::{Duration, Instant};

/// How many seconds a process may take before it counts as hung: far beyond what a loaded machine
/// needs.
static PATIENCE_S: AtomicU64 = AtomicU64::new(20);
/// How often a wait looks up from its sleep.
const TICK_US: libc::suseconds_t = 1_000;

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// By its own will, with this status.
    Exit(i32),
    /// By this signal.
    Signal(i32),
}

/// What a wait ended with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// It is gone, and reaped.
    Ended(Ending),
    /// It is traced, and this signal stopped it.
    Stopped(i32),
    /// Nothing happened since the last look.
    Nothing,
}

/// A child of this process. One that is dropped is killed and reaped.
#[derive(Debug)]
pub(crate) struct Child {
    pid: libc::pid_t,
}

/// Makes waits look up, by a timer whose signal does nothing else. Children have no such timer.
pub(crate) fn start_ticks() {
    extern "C" fn nothing(_: libc::c_int) {}
    // SAFETY: all zeros are a sigaction: no flags, so that waits are interrupted; nothing masked.
    let mut action: libc::sigaction = unsafe { MaybeUninit::zeroed().assume_init() };
    action.sa_sigaction = nothing as *const () as usize;
    // SAFETY: `action` outlives the call; its handler touches nothing (sigaction(2)).
    unsafe { libc::sigaction(libc::SIGALRM, &raw const action, ptr::null_mut()) };
    let tick = libc::timeval { tv_sec: 0, tv_usec: TICK_US };
    let timer = libc::itimerval { it_interval: tick, it_value: tick };
    // SAFETY: `timer` outlives the call (setitimer(2)).
    unsafe { libc::setitimer(libc::ITIMER_REAL, &raw const timer, ptr::null_mut()) };
}

/// The CPUs on which this process may run.
pub(crate) fn cpus() -> Vec<usize> {
    // SAFETY: all zeros are the empty set.
    let mut set: libc::cpu_set_t = unsafe { MaybeUninit::zeroed().assume_init() };
    // SAFETY: the kernel writes at most the size it is told (sched_getaffinity(2)).
    unsafe { libc::sched_getaffinity(0, size_of_val(&set), &raw mut set) };
    // SAFETY: the indices are below CPU_SETSIZE.
    let isset = |&cpu: &usize| unsafe { libc::CPU_ISSET(cpu, &set) };
    (0..libc::CPU_SETSIZE as usize).filter(isset).collect()
}

/// Stays on one CPU, its children too: handing over costs a tenth of what it does between CPUs.
pub(crate) fn stay_on(cpu: usize) {
    // SAFETY: all zeros are the empty set.
    let mut set: libc::cpu_set_t = unsafe { MaybeUninit::zeroed().assume_init() };
    // SAFETY: `cpus` gave a number below CPU_SETSIZE.
    unsafe { libc::CPU_SET(cpu, &mut set) };
    // SAFETY: `set` outlives the call (sched_setaffinity(2)).
    unsafe { libc::sched_setaffinity(0, size_of_val(&set), &raw const set) };
}

impl Child {
    /// Runs `play` in a child, which ends with what that returns, and dies with its parent.
    pub(crate) fn fork(play: impl FnOnce() -> i32) -> Child {
        // SAFETY: this process has one thread (the file's header), so its child has whole locks.
        match unsafe { libc::fork() } {
            0 => {
                // SAFETY: takes a number (prctl(2), PR_SET_PDEATHSIG).
                unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
                // What panics has told why, and must not go on as its parent.
                let status = panic::catch_unwind(AssertUnwindSafe(play)).unwrap_or(101);
                // SAFETY: ends the process without the exit handlers of its parent.
                unsafe { libc::_exit(status) }
            }
            pid if pid > 0 => Child { pid },
            _ => panic!("fork: {}", Error::last_os_error()),
        }
    }

    /// Nobody.
    pub(crate) fn none() -> Child {
        Child { pid: 0 }
    }

    pub(crate) fn pid(&self) -> libc::pid_t {
        self.pid
    }

    /// Sleeps until something happens to it, or a tick is over.
    pub(crate) fn change(&mut self) -> Change {
        self.wait(libc::__WALL)
    }

    /// What has happened to it, if something has.
    pub(crate) fn look(&mut self) -> Change {
        self.wait(libc::__WALL | libc::WNOHANG)
    }

    fn wait(&mut self, flags: libc::c_int) -> Change {
        let mut status = 0;
        // SAFETY: `status` is written to before the call returns (waitpid(2)).
        let found = unsafe { libc::waitpid(self.pid, &raw mut status, flags) };
        if found == -1 {
            let error = Error::last_os_error();
            assert!(error.raw_os_error() == Some(libc::EINTR), "waitpid {}: {error}", self.pid);
        }
        if found != self.pid {
            return Change::Nothing;
        }
        if libc::WIFSTOPPED(status) {
            return Change::Stopped(libc::WSTOPSIG(status));
        }
        self.pid = 0;
        Change::Ended(if libc::WIFEXITED(status) {
            Ending::Exit(libc::WEXITSTATUS(status))
        } else {
            Ending::Signal(libc::WTERMSIG(status))
        })
    }

    /// Waits for its end; an error says where it hangs.
    pub(crate) fn end(mut self) -> Result<Ending, String> {
        let patience = Patience::new();
        loop {
            match self.change() {
                Change::Ended(ending) => return Ok(ending),
                Change::Stopped(signal) => return Err(format!("stopped by signal {signal}")),
                Change::Nothing if patience.is_over() => return Err(self.hang()),
                Change::Nothing => {}
            }
        }
    }

    /// Kills it, all of its threads, and waits until nothing of it is left.
    pub(crate) fn kill(mut self) {
        self.kill_now();
    }

    fn kill_now(&mut self) {
        while self.pid != 0 {
            // SAFETY: it is a child that was not reaped, so its number is not another's.
            unsafe { libc::kill(self.pid, libc::SIGKILL) };
            self.change();
        }
    }

    /// What its threads are doing while nothing goes on.
    pub(crate) fn hang(&self) -> String {
        let mut text = format!("hangs for {} s:", PATIENCE_S.load(SeqCst));
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.pid)).into_iter().flatten();
        for task in tasks.flatten() {
            let read = |name| std::fs::read_to_string(task.path().join(name)).unwrap_or_default();
            text.push_str(&format!(" [{} in {}]", read("comm").trim(), read("syscall").trim()));
        }
        text
    }

    /// Whether its first thread sleeps in a system call until somebody wakes it.
    pub(crate) fn sleeps(&self) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid)).unwrap_or_default();
        stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('S'))
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.kill_now();
    }
}

/// A bound on waiting, for what never ends otherwise.
pub(crate) struct Patience(Instant);

/// From now on a process counts as hung after so many seconds.
pub(crate) fn set_patience(seconds: u64) {
    PATIENCE_S.store(seconds, SeqCst);
}

impl Patience {
    pub(crate) fn new() -> Patience {
        Patience(Instant::now() + Duration::from_secs(PATIENCE_S.load(SeqCst)))
    }

    pub(crate) fn is_over(&self) -> bool {
        Instant::now() >= self.0
    }
}
