//! Signals that are no faults: sent ones, and news of broken memory elsewhere.
//!
//! # Safety
//!
//! Unsafe code sends signals and sets dispositions.
#![allow(unsafe_code, reason = "the attacks are made of raw signals and raw handlers")]
#![allow(clippy::undocumented_unsafe_blocks, reason = "an attack's argument is that it is one")]
#![allow(clippy::multiple_unsafe_ops_per_block, reason = "as above")]

use bifolio_sys::{fault, guard};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::attack::{assert_guarded, set};
use crate::{SEEN, assert_dies, assert_survives, count};

/// Plays the scenario of this name in a child; `false` if there is none.
pub(crate) fn play(scenario: &str) -> bool {
    match scenario {
        "sent, default before" => {
            set(libc::SIGSEGV, libc::SIG_DFL, 0);
            fault::install().unwrap();
            unsafe { libc::raise(libc::SIGSEGV) };
        }
        "sent, ignored before" => {
            set(libc::SIGBUS, libc::SIG_IGN, 0);
            fault::install().unwrap();
            unsafe { libc::raise(libc::SIGBUS) };
            assert_guarded();
        }
        "sent while reading, ignored before" => sent_while_reading(),
        "sent to the first process" => sent_to_the_first_process(),
        "sent, a handler in front" => {
            set(libc::SIGSEGV, libc::SIG_DFL, 0);
            fault::install().unwrap();
            crate::put_in_front(libc::SIGSEGV);
            unsafe { libc::raise(libc::SIGSEGV) };
        }
        "news, default before" => {
            set(libc::SIGBUS, libc::SIG_DFL, 0);
            fault::install().unwrap();
            tell_of_broken_memory();
        }
        "news, ignored before" => {
            set(libc::SIGBUS, libc::SIG_IGN, 0);
            fault::install().unwrap();
            tell_of_broken_memory();
            assert_guarded();
        }
        "news, handler before" => {
            set(libc::SIGBUS, count as *const () as usize, 0);
            fault::install().unwrap();
            tell_of_broken_memory();
            assert_eq!(SEEN.load(Ordering::SeqCst), 1);
            assert_guarded();
        }
        "sent while copying" => sent_while_copying(),
        _ => return false,
    }
    true
}

#[test]
fn a_sent_signal_gets_its_old_disposition() {
    assert_dies("sent, default before", libc::SIGSEGV);
    assert_dies("sent, a handler in front", libc::SIGSEGV);
    assert_survives("sent, ignored before");
}

#[test]
fn a_signal_that_was_ignored_interrupts_nothing() {
    assert_survives("sent while reading, ignored before");
}

/// pid_namespaces(7): what it has no handler for does not reach it from within.
#[test]
fn the_first_process_of_a_namespace_survives_what_it_is_sent() {
    assert_survives("sent to the first process");
}

#[test]
fn news_of_broken_memory_is_no_fault() {
    assert_dies("news, default before", libc::SIGBUS);
    assert_survives("news, ignored before");
    assert_survives("news, handler before");
}

#[test]
fn a_signal_sent_into_a_guarded_copy_is_not_a_fault() {
    assert_survives("sent while copying");
}

/// Sends what the kernel sends when it finds memory broken that nobody reads just now: a SIGBUS
/// with `BUS_MCEERR_AO` (sigaction(2)).
fn tell_of_broken_memory() {
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    info.si_signo = libc::SIGBUS;
    info.si_code = libc::BUS_MCEERR_AO;
    let ret = unsafe {
        let thread = libc::gettid();
        let process = libc::getpid();
        libc::syscall(libc::SYS_rt_tgsigqueueinfo, process, thread, libc::SIGBUS, &raw const info)
    };
    assert_eq!(ret, 0, "{}", std::io::Error::last_os_error());
}

/// A thread that waits in read(2) goes on waiting.
fn sent_while_reading() {
    set(libc::SIGBUS, libc::SIG_IGN, 0);
    fault::install().unwrap();
    let mut ends = [0; 2];
    assert_eq!(unsafe { libc::pipe(ends.as_mut_ptr()) }, 0);
    let (thread, done) = (AtomicUsize::new(0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            thread.store(unsafe { libc::gettid() } as usize, Ordering::SeqCst);
            let mut byte = 0_u8;
            let count = unsafe { libc::read(ends[0], (&raw mut byte).cast(), 1) };
            done.store(true, Ordering::SeqCst);
            count
        });
        while thread.load(Ordering::SeqCst) == 0 {
            std::thread::yield_now();
        }
        let thread = thread.load(Ordering::SeqCst);
        let stat = format!("/proc/self/task/{thread}/stat");
        // Its state stands after the name, which ends with the last parenthesis.
        let sleeps = || {
            let stat = std::fs::read_to_string(&stat).unwrap_or_default();
            stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('S'))
        };
        for _ in 0..3 {
            while !sleeps() && !done.load(Ordering::SeqCst) {
                std::thread::yield_now();
            }
            unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), thread, libc::SIGBUS) };
        }
        while !sleeps() && !done.load(Ordering::SeqCst) {
            std::thread::yield_now();
        }
        assert_eq!(unsafe { libc::write(ends[1], c"x".as_ptr().cast(), 1) }, 1);
        assert_eq!(reader.join().unwrap(), 1, "read(2) was interrupted");
    });
}

fn sent_to_the_first_process() {
    set(libc::SIGSEGV, libc::SIG_DFL, 0);
    fault::install().unwrap();
    if unsafe { libc::unshare(libc::CLONE_NEWPID) } != 0 {
        return println!("skipped: no PID namespace: {}", std::io::Error::last_os_error());
    }
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        unsafe { libc::raise(libc::SIGSEGV) };
        unsafe { libc::raise(libc::SIGSEGV) };
        assert_guarded();
        unsafe { libc::_exit(0) };
    }
    let mut status = 0;
    assert_eq!(unsafe { libc::waitpid(pid, &mut status, 0) }, pid);
    assert!(libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0, "{status:#x}");
}

fn sent_while_copying() {
    set(libc::SIGSEGV, count as *const () as usize, 0);
    set(libc::SIGBUS, count as *const () as usize, 0);
    fault::install().unwrap();
    let stop = AtomicBool::new(false);
    let thread = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            thread.store(unsafe { libc::pthread_self() } as usize, Ordering::SeqCst);
            let (from, mut to) = (vec![7_u8; 1 << 16], vec![0_u8; 1 << 16]);
            while !stop.load(Ordering::SeqCst) {
                to.fill(0);
                let copied = unsafe { guard::copy(to.as_mut_ptr(), from.as_ptr(), from.len()) };
                assert_eq!(copied, Ok(()));
                assert_eq!(to, from);
            }
        });
        while thread.load(Ordering::SeqCst) == 0 {
            std::thread::yield_now();
        }
        let thread = thread.load(Ordering::SeqCst) as libc::pthread_t;
        for round in 0..2_000 {
            let before = SEEN.load(Ordering::SeqCst);
            let signal = if round % 2 == 0 { libc::SIGSEGV } else { libc::SIGBUS };
            unsafe { libc::pthread_kill(thread, signal) };
            while SEEN.load(Ordering::SeqCst) == before {
                std::thread::yield_now();
            }
        }
        stop.store(true, Ordering::SeqCst);
    });
    assert_eq!(SEEN.load(Ordering::SeqCst), 2_000);
}
