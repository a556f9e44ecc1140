//! Attacks the dispatcher: handlers before and after it, blocked signals, stack overflow, and in
//! the modules signals that are no faults, resolvers, and two copies of the crate.
//!
//! What a process has only one of (signal dispositions), or does only once (die), is tried in a
//! child: this binary run again with the name of the scenario in `BIFOLIO_CHILD`.
//!
//! # Safety
//!
//! Unsafe code installs handlers, maps memory to fault, and makes the very accesses that the
//! dispatcher has to survive or pass on.
#![allow(unsafe_code, reason = "the attacks are made of raw faults and raw handlers")]
#![allow(clippy::undocumented_unsafe_blocks, reason = "an attack's argument is that it is one")]
#![allow(clippy::multiple_unsafe_ops_per_block, reason = "as above")]

mod attack;
mod copies;
mod resolve;
mod sent;

use attack::{
    assert_guarded, block, closed_page, empty_file_page, is_blocked, overflow, page_len,
    plain_read, set, unblock,
};
use bifolio_sys::fault::{self, Probe, Reach, Signal};
use bifolio_sys::features::Features;
use bifolio_sys::guard::{self, Word};
use core::ffi::{c_int, c_void};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Output};
use std::ptr::null_mut;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Runs `scenario` in a child of its own.
fn child(scenario: &str) -> Output {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "scenarios", "--nocapture", "--test-threads=1"])
        .env("BIFOLIO_CHILD", scenario)
        .output()
        .unwrap()
}

fn assert_survives(scenario: &str) {
    let output = child(scenario);
    assert!(output.status.success(), "{scenario}: {output:?}");
}

fn assert_dies(scenario: &str, signal: c_int) -> Output {
    let output = child(scenario);
    assert_eq!(output.status.signal(), Some(signal), "{scenario}: {output:?}");
    output
}

/// Where the children start.
#[test]
fn scenarios() {
    match std::env::var("BIFOLIO_CHILD").as_deref() {
        Err(_) => {}
        Ok("overflow") => {
            fault::install().unwrap();
            overflow(0);
        }
        Ok("foreign fault") => {
            fault::install().unwrap();
            plain_read(closed_page());
        }
        Ok("foreign fault, ignored before") => {
            set(libc::SIGSEGV, libc::SIG_IGN, 0);
            fault::install().unwrap();
            plain_read(closed_page());
        }
        Ok("handler before") => handler_before(),
        Ok("plain handler before") => plain_handler_before(),
        Ok("one-shot handler before") => one_shot_handler_before(),
        Ok("chaining handler after") => chaining_handler_after(),
        Ok("a circle") => {
            put_in_front(libc::SIGSEGV);
            fault::install().unwrap();
            put_in_front(libc::SIGSEGV);
            assert_guarded();
            plain_read(closed_page());
        }
        Ok("chaining by hand") => chaining_by_hand(),
        Ok("deaf handler after") => deaf_handler_after(),
        Ok("deaf handler after, for real") => {
            fault::install().unwrap();
            set(libc::SIGSEGV, exit_7 as *const () as usize, 0);
            let _ = unsafe { u8::load(closed_page()) };
        }
        Ok("blocked") => blocked(),
        Ok("blocked, for real") => {
            fault::install().unwrap();
            block(libc::SIGBUS);
            let _ = unsafe { u8::load(empty_file_page()) };
        }
        Ok(other) => assert!(sent::play(other) || copies::play(other), "no scenario {other}"),
    }
}

#[test]
fn a_stack_overflow_keeps_std_s_message() {
    let output = assert_dies("overflow", libc::SIGABRT);
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("has overflowed its stack"), "{text}");
}

#[test]
fn a_foreign_fault_ends_the_process_as_ever() {
    assert_dies("foreign fault", libc::SIGSEGV);
    assert_dies("foreign fault, ignored before", libc::SIGSEGV);
}

#[test]
fn a_handler_before_is_called_as_the_kernel_would() {
    assert_survives("handler before");
    assert_survives("plain handler before");
    assert_survives("one-shot handler before");
}

#[test]
fn a_handler_after_that_chains_changes_nothing() {
    assert_survives("chaining handler after");
    assert_survives("chaining by hand");
}

#[test]
fn a_circle_of_handlers_ends_as_the_fault_would() {
    assert_dies("a circle", libc::SIGSEGV);
}

#[test]
fn a_handler_after_that_does_not_chain_is_found_out() {
    assert_survives("deaf handler after");
    let output = child("deaf handler after, for real");
    assert_eq!(output.status.code(), Some(7), "{output:?}");
}

#[test]
fn a_blocked_signal_is_found_out() {
    assert_survives("blocked");
    assert_dies("blocked, for real", libc::SIGBUS);
}

#[test]
fn errno_is_kept() {
    fault::install().unwrap();
    let page = closed_page();
    unsafe { *libc::__errno_location() = 77 };
    assert!(unsafe { u8::load(page) }.is_err());
    assert_eq!(unsafe { *libc::__errno_location() }, 77);
}

#[test]
fn faults_tell_their_signal_and_count() {
    fault::install().unwrap();
    let mut buf = [0; 32];
    let segv = unsafe { guard::copy(buf.as_mut_ptr(), closed_page(), 32) }.unwrap_err();
    assert_eq!((segv.done, segv.code.signal()), (0, libc::SIGSEGV));
    let bus = unsafe { guard::copy(buf.as_mut_ptr(), empty_file_page(), 32) }.unwrap_err();
    assert_eq!((bus.done, bus.code.signal()), (0, libc::SIGBUS));
    assert_eq!(fault::probe(Signal::Bus), Probe::Survives);
    assert_eq!(fault::probe(Signal::Segv), Probe::Survives);
}

static SEEN: AtomicUsize = AtomicUsize::new(0);
static ADDR: AtomicUsize = AtomicUsize::new(0);
static MASK_OK: AtomicBool = AtomicBool::new(false);

unsafe extern "C" fn record_and_open(signal: c_int, info: *mut libc::siginfo_t, _: *mut c_void) {
    SEEN.fetch_add(1, Ordering::SeqCst);
    let addr = unsafe { (*info).si_addr() } as usize;
    ADDR.store(addr, Ordering::SeqCst);
    // The mask must be what the kernel would have made it: the signal itself and the handler's own
    // mask.
    MASK_OK.store(is_blocked(signal) && is_blocked(libc::SIGUSR1), Ordering::SeqCst);
    let page = (addr & !(page_len() - 1)) as *mut c_void;
    unsafe { libc::mprotect(page, page_len(), libc::PROT_READ) };
}

fn handler_before() {
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = record_and_open as *const () as usize;
    action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
    unsafe { libc::sigaddset(&mut action.sa_mask, libc::SIGUSR1) };
    assert_eq!(unsafe { libc::sigaction(libc::SIGSEGV, &action, null_mut()) }, 0);
    fault::install().unwrap();
    let page = closed_page();
    assert_eq!(plain_read(unsafe { page.add(8) }), 0);
    assert_eq!(SEEN.load(Ordering::SeqCst), 1);
    assert_eq!(ADDR.load(Ordering::SeqCst), page as usize + 8);
    assert!(MASK_OK.load(Ordering::SeqCst), "the handler ran with another mask");
    assert!(!is_blocked(libc::SIGSEGV) && !is_blocked(libc::SIGUSR1), "the mask was not restored");
    // Guarded faults are not its business.
    assert_guarded();
    assert_eq!(SEEN.load(Ordering::SeqCst), 1);
}

unsafe extern "C" fn count(_: c_int) {
    SEEN.fetch_add(1, Ordering::SeqCst);
}

fn plain_handler_before() {
    set(libc::SIGBUS, count as *const () as usize, 0);
    fault::install().unwrap();
    unsafe { libc::raise(libc::SIGBUS) };
    unsafe { libc::raise(libc::SIGBUS) };
    assert_eq!(SEEN.load(Ordering::SeqCst), 2);
    assert_guarded();
    assert_eq!(SEEN.load(Ordering::SeqCst), 2);
}

fn one_shot_handler_before() {
    set(libc::SIGSEGV, count as *const () as usize, libc::SA_RESETHAND);
    fault::install().unwrap();
    unsafe { libc::raise(libc::SIGSEGV) };
    assert_eq!(SEEN.load(Ordering::SeqCst), 1);
    assert_guarded();
    // The second one meets the default action, in a child of this child.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        unsafe { libc::raise(libc::SIGSEGV) };
        unsafe { libc::_exit(0) };
    }
    let mut status = 0;
    unsafe { libc::waitpid(pid, &mut status, 0) };
    assert!(libc::WIFSIGNALED(status) && libc::WTERMSIG(status) == libc::SIGSEGV);
}

static OLD: [AtomicUsize; 2] = [AtomicUsize::new(0), AtomicUsize::new(0)];

unsafe extern "C" fn pass_on(signal: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    SEEN.fetch_add(1, Ordering::SeqCst);
    let old = OLD[usize::from(signal == libc::SIGSEGV)].load(Ordering::SeqCst);
    type Handler = unsafe extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void);
    let old: Handler = unsafe { std::mem::transmute(old) };
    unsafe { old(signal, info, context) };
}

/// Sets a handler that chains.
fn put_in_front(signal: c_int) {
    let old = set(signal, pass_on as *const () as usize, libc::SA_SIGINFO | libc::SA_ONSTACK);
    OLD[usize::from(signal == libc::SIGSEGV)].store(old, Ordering::SeqCst);
}

fn chaining_handler_after() {
    fault::install().unwrap();
    put_in_front(libc::SIGBUS);
    put_in_front(libc::SIGSEGV);
    assert_guarded();
    assert_eq!(SEEN.load(Ordering::SeqCst), 2);
    let status = fault::status();
    assert_eq!((status.bus, status.segv), (Reach::Other, Reach::Other));
    assert!(!status.is_sure());
    assert_eq!(fault::probe(Signal::Bus), Probe::Survives);
    assert_eq!(fault::probe(Signal::Segv), Probe::Survives);
}

unsafe extern "C" fn by_hand(signal: c_int, info: *mut c_void, context: *mut c_void) {
    SEEN.fetch_add(1, Ordering::SeqCst);
    if !unsafe { fault::handle(signal, info, context) } {
        unsafe { libc::_exit(9) };
    }
}

fn chaining_by_hand() {
    fault::install().unwrap();
    for signal in [libc::SIGBUS, libc::SIGSEGV] {
        set(signal, by_hand as *const () as usize, libc::SA_SIGINFO | libc::SA_ONSTACK);
    }
    assert_guarded();
    assert_eq!(SEEN.load(Ordering::SeqCst), 2);
}

unsafe extern "C" fn exit_7(_: c_int) {
    unsafe { libc::_exit(7) };
}

fn deaf_handler_after() {
    fault::install().unwrap();
    assert!(fault::status().is_sure());
    set(libc::SIGSEGV, exit_7 as *const () as usize, 0);
    let status = fault::status();
    assert_eq!((status.bus, status.segv), (Reach::Ours, Reach::Other));
    assert_eq!(Features::get().dispatcher(), status);
    assert_eq!(fault::probe(Signal::Bus), Probe::Survives);
    assert_eq!(fault::probe(Signal::Segv), Probe::Dies);
    set(libc::SIGBUS, libc::SIG_DFL, 0);
    assert_eq!(fault::status().bus, Reach::Nobody);
    assert_eq!(fault::probe(Signal::Bus), Probe::Dies);
}

fn blocked() {
    fault::install().unwrap();
    block(libc::SIGBUS);
    let status = fault::status();
    assert!(status.thread_blocks_bus && !status.thread_blocks_segv && !status.is_sure());
    assert_eq!(Features::get().dispatcher(), status);
    assert_eq!(fault::probe(Signal::Bus), Probe::Dies);
    assert_eq!(fault::probe(Signal::Segv), Probe::Survives);
    // Only this thread.
    std::thread::spawn(|| unblock(libc::SIGBUS)).join().unwrap();
    assert!(fault::status().thread_blocks_bus);
}
