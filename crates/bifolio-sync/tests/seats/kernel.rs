//! Kernels that lack a call, memory that is taken away, and descriptors that must not leak.
//!
//! # Safety
//!
//! The handler of SIGBUS maps a page where there is none.
#![allow(unsafe_code, reason = "installs filters and handlers")]

use std::ffi::{c_int, c_void};
use std::process::Command;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering::SeqCst};

use bifolio_sync::Peers;
use bifolio_sys::Errno;
use bifolio_sys::futex::{wait, wait_any};

use crate::ground::{Area, Child, Ground, sleep_for_ever, until};

/// Has the kernel know no futex_waitv from now on, in this process.
fn forget_futex_waitv() -> bool {
    const FUTEX_WAITV: u32 = 449;
    let statement = |code, k, jt, jf| libc::sock_filter { code, jt, jf, k };
    let mut filter = [
        // The number of the call, at offset 0 of `struct seccomp_data`.
        statement((libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16, 0, 0, 0),
        statement((libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16, FUTEX_WAITV, 0, 1),
        statement(
            (libc::BPF_RET | libc::BPF_K) as u16,
            libc::SECCOMP_RET_ERRNO | libc::ENOSYS as u32,
            0,
            0,
        ),
        statement((libc::BPF_RET | libc::BPF_K) as u16, libc::SECCOMP_RET_ALLOW, 0, 0),
    ];
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
    // SAFETY: it takes numbers.
    unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
    // SAFETY: the kernel copies the program, which is valid for the call.
    let set =
        unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program) };
    set == 0
}

#[test]
fn without_futex_waitv_deaths_are_told_too() {
    let ground = Ground::new(4);
    let seats = ground.seats();
    // The only keeper, since this process takes no seat.
    let waiter = Child::new(|| {
        if !forget_futex_waitv() {
            println!("skipped: no filter of system calls is permitted here");
            return ground.word(1).store(2, SeqCst);
        }
        let word = seats.deaths();
        assert_eq!(wait_any(&[word], None), Err(Errno::NOSYS));
        seats.me().unwrap();
        ground.word(1).store(1, SeqCst);
        let owner = ground.published(0);
        loop {
            let deaths = seats.deaths();
            if seats.is_dead(owner) {
                return;
            }
            let _ = wait(deaths.word, deaths.value, None);
        }
    });
    until(|| ground.word(1).load(SeqCst) != 0);
    let victim = Child::new(|| {
        ground.publish(&seats, 2);
        sleep_for_ever();
    });
    let owner = ground.published(2);
    ground.word(0).store(owner.bits().into(), SeqCst);
    until(|| ground.word(0).load(SeqCst) == 0 || ground.word(1).load(SeqCst) == 2);
    victim.kill();
    assert_eq!(waiter.wait(), 0);
}

/// What the handler counts the faults of other threads than the first in.
static FAULTS: AtomicPtr<AtomicU64> = AtomicPtr::new(null_mut());

extern "C" fn put_a_page(_: c_int, info: *mut libc::siginfo_t, _: *mut c_void) {
    // SAFETY: the kernel passes what it knows of the fault.
    let info = unsafe { &*info };
    // SAFETY: a signal of a fault has an address.
    let at = unsafe { info.si_addr() };
    let (page, at) = (bifolio_sys::page::page_size().bytes(), at.addr());
    let start = std::ptr::without_provenance_mut(at - at % page);
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED;
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: the page is one of the shared memory, which is gone.
    unsafe { libc::mmap(start, page, protection, flags, -1, 0) };
    // SAFETY: it takes nothing.
    let (thread, process) = (unsafe { libc::gettid() }, std::process::id());
    if thread.cast_unsigned() != process {
        // SAFETY: set before the handler was, to a word that stays.
        unsafe { (*FAULTS.load(SeqCst)).fetch_add(1, SeqCst) };
    }
}

fn handle_sigbus() {
    let handler = put_a_page as extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void);
    // SAFETY: zeros are a value of it.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = handler as usize;
    action.sa_flags = libc::SA_SIGINFO;
    // SAFETY: the handler calls what may be called there.
    assert_eq!(unsafe { libc::sigaction(libc::SIGBUS, &raw const action, null_mut()) }, 0);
}

/// Whoever lends memory that can be taken away has a handler for that, which the keeper must not
/// keep from running: a fault whose signal is blocked ends the process.
#[test]
fn a_keeper_whose_memory_is_gone_does_not_end_the_process() {
    let (ground, area) = (Ground::new(4), Area::new(4096));
    let seats = ground.seats();
    let child = Child::new(|| {
        FAULTS.store((&raw const *area.word()).cast_mut(), SeqCst);
        handle_sigbus();
        let other = ground.seats();
        other.me().unwrap();
        ground.publish(&seats, 0);
        area.word().store(0, SeqCst);
        ground.truncate();
        // The two keepers look after each other.
        until(|| area.word().load(SeqCst) >= 1);
    });
    assert_eq!(child.wait(), 0);
    assert!(area.word().load(SeqCst) >= 1);
}

#[test]
fn a_child_inherits_no_lock_and_a_program_nothing() {
    let ground = Ground::new(4);
    let seats = ground.seats();
    let name = ground.name();
    let count = || {
        let links = std::fs::read_dir("/proc/self/fd").unwrap();
        let links = links.filter_map(|entry| std::fs::read_link(entry.unwrap().path()).ok());
        links.filter(|link| link.to_string_lossy().contains(&name)).count()
    };
    let without = count();
    seats.me().unwrap();
    assert_eq!(count(), without + 1);
    let child = Child::new(|| {
        assert_eq!(count(), without);
        seats.me().unwrap();
        assert_eq!(count(), without + 1);
    });
    assert_eq!(child.wait(), 0);
    let output = Command::new("ls").args(["-l", "/proc/self/fd"]).output().unwrap();
    assert!(output.status.success());
    assert!(!String::from_utf8_lossy(&output.stdout).contains(&name));
    drop(seats);
    assert_eq!(count(), without - 1);
}
