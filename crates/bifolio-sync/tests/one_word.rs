//! Kernels on which one sleeps on one word only (before Linux 5.16): the filter of seccomp(2) makes
//! a child believe so.
//!
//! # Safety
//!
//! The child filters its own system calls.
#![allow(unsafe_code, reason = "filters system calls")]

mod common;

use bifolio_sync::{Deadline, Event, LockError, Mutex, Semaphore, Waitable, wait_any};
use common::Family;
use std::ptr::null;
use std::time::Duration;

common::both! {
    whoever_waits_looks_again_and_finds_deaths_and_signals
}

/// Whether futex_waitv(2) is not there for this process from now on.
fn without_futex_waitv() -> bool {
    let [load, equal, give] = [
        libc::BPF_LD | libc::BPF_W | libc::BPF_ABS,
        libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K,
        libc::BPF_RET | libc::BPF_K,
    ];
    let step = |code: u32, jt, jf, k| libc::sock_filter { code: code as u16, jt, jf, k };
    let mut filter = [
        step(load, 0, 0, 0),
        step(equal, 0, 1, libc::SYS_futex_waitv as u32),
        step(give, 0, 0, libc::SECCOMP_RET_ERRNO | libc::ENOSYS as u32),
        step(give, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
    // SAFETY: changes what this process may do, and nothing else.
    if unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) } != 0 {
        return false;
    }
    let mode = libc::SECCOMP_MODE_FILTER;
    // SAFETY: a filter of four steps, which the kernel copies.
    let filtered = unsafe { libc::prctl(libc::PR_SET_SECCOMP, mode, &raw const program) };
    // SAFETY: there are no words to read.
    let asked =
        unsafe { libc::syscall(libc::SYS_futex_waitv, null::<u8>(), 0, 0, null::<u8>(), 1) };
    let errno = std::io::Error::last_os_error().raw_os_error();
    filtered == 0 && asked == -1 && errno == Some(libc::ENOSYS)
}

const FILTERED: u32 = 1;
const REFUSED: u32 = 2;

type Sources = (Mutex<u32>, Semaphore, Event);

fn whoever_waits_looks_again_and_finds_deaths_and_signals() {
    let family = Family::<Sources>::new();
    let (mutex, semaphore, event) = family.data();
    let waiter = family.child(|(mutex, semaphore, event)| {
        if !without_futex_waitv() {
            return family.reach(REFUSED);
        }
        let soon = Duration::from_millis(1);
        assert_eq!(semaphore.wait_for(&family, soon), Ok(false));
        family.reach(FILTERED);
        family.await_stage(|stage| stage == 4);
        assert!(matches!(mutex.lock(&family), Err(LockError::OwnerDead(_))));
        semaphore.wait(&family).unwrap();
        let sources = [Waitable::Semaphore(semaphore), Waitable::Event(event)];
        assert_eq!(wait_any(&family, &sources, Deadline::after(soon)), Ok(None));
        family.reach(5);
        assert_eq!(wait_any(&family, &sources, None), Ok(Some(1)));
    });
    family.await_stage(|stage| stage != 0);
    if family.stage() == REFUSED {
        println!("skipped: seccomp(2) is refused");
        return family.join(waiter);
    }
    let doomed = family.child(|(mutex, ..)| {
        let _guard = mutex.lock(&family).unwrap();
        family.reach(3);
        family.await_stage(|_| false);
    });
    family.await_stage(|stage| stage == 3);
    assert!(mutex.holder().is_some());
    family.reach(4);
    waiter.await_sleep();
    family.kill(doomed);
    semaphore.post(&family, 1).unwrap();
    family.await_stage(|stage| stage == 5);
    event.set(&family).unwrap();
    family.join(waiter);
}
