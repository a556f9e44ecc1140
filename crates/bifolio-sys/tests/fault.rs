//! Attacks the dispatcher: handlers before and after it, blocked signals, sent signals, resolvers,
//! stack overflow.
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

use bifolio_sys::fault::{self, Info, Probe, Reach, Resolution, Signal};
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
        Ok("sent, default before") => {
            set(libc::SIGSEGV, libc::SIG_DFL, 0);
            fault::install().unwrap();
            unsafe { libc::raise(libc::SIGSEGV) };
        }
        Ok("sent, ignored before") => {
            set(libc::SIGBUS, libc::SIG_IGN, 0);
            fault::install().unwrap();
            unsafe { libc::raise(libc::SIGBUS) };
            assert_guarded();
        }
        Ok("handler before") => handler_before(),
        Ok("plain handler before") => plain_handler_before(),
        Ok("one-shot handler before") => one_shot_handler_before(),
        Ok("chaining handler after") => chaining_handler_after(),
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
        Ok("sent while copying") => sent_while_copying(),
        Ok(other) => panic!("no scenario {other}"),
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
fn a_sent_signal_gets_its_old_disposition() {
    assert_dies("sent, default before", libc::SIGSEGV);
    assert_survives("sent, ignored before");
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
fn a_signal_sent_into_a_guarded_copy_is_not_a_fault() {
    assert_survives("sent while copying");
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

/// Opens the page that faulted, as a pager would.
unsafe fn open_page(info: &Info, calls: usize) -> Resolution {
    let len = page_len();
    let page = info.addr & !(len - 1);
    unsafe { libc::mprotect(page as *mut c_void, len, libc::PROT_READ | libc::PROT_WRITE) };
    unsafe { &*(calls as *const AtomicUsize) }.fetch_add(1, Ordering::SeqCst);
    Resolution::Retry
}

unsafe fn decline(_: &Info, calls: usize) -> Resolution {
    unsafe { &*(calls as *const AtomicUsize) }.fetch_add(1, Ordering::SeqCst);
    Resolution::Decline
}

#[test]
fn a_resolver_serves_plain_and_guarded_access() {
    let calls = AtomicUsize::new(0);
    let data = &raw const calls as usize;
    let (plain, guarded, after) = (closed_page(), closed_page(), closed_page());
    let range = |page: *mut u8| page as usize..page as usize + page_len();
    let first = unsafe { fault::register(range(plain), open_page, data) }.unwrap();
    let second = unsafe { fault::register(range(guarded), open_page, data) }.unwrap();
    assert_eq!(plain_read(plain), 0);
    assert_eq!(calls.load(Ordering::SeqCst), 1);
    assert_eq!(unsafe { u64::load(guarded.cast()) }, Ok(0));
    assert_eq!(calls.load(Ordering::SeqCst), 2);
    drop(first);
    let third = unsafe { fault::register(range(after), open_page, data) }.unwrap();
    drop(third);
    assert!(unsafe { u8::load(after) }.is_err(), "a range taken out still resolves");
    assert_eq!(calls.load(Ordering::SeqCst), 2);
    drop(second);
}

#[test]
fn a_resolver_that_declines_leaves_the_fault_to_the_next() {
    let (declined, opened) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let page = closed_page();
    let range = page as usize..page as usize + page_len();
    let first =
        unsafe { fault::register(range.clone(), decline, &raw const declined as usize) }.unwrap();
    assert!(unsafe { u8::load(page) }.is_err());
    assert_eq!(declined.load(Ordering::SeqCst), 1);
    let second = unsafe { fault::register(range, open_page, &raw const opened as usize) }.unwrap();
    assert!(unsafe { u8::load(page) }.is_ok());
    assert_eq!(opened.load(Ordering::SeqCst), 1);
    drop((first, second));
}

#[test]
fn more_ranges_than_one_slab_holds() {
    let calls = AtomicUsize::new(0);
    let data = &raw const calls as usize;
    let pages: Vec<*mut u8> = (0..400).map(|_| closed_page()).collect();
    let registrations: Vec<_> = pages
        .iter()
        .map(|&page| {
            let range = page as usize..page as usize + page_len();
            unsafe { fault::register(range, open_page, data) }.unwrap()
        })
        .collect();
    for &page in &pages {
        assert_eq!(unsafe { u8::load(page) }, Ok(0));
    }
    assert_eq!(calls.load(Ordering::SeqCst), pages.len());
    drop(registrations);
}

#[test]
fn ranges_come_and_go_while_others_fault() {
    let calls = AtomicUsize::new(0);
    let data = &raw const calls as usize;
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !stop.load(Ordering::SeqCst) {
                    let page = closed_page();
                    let range = page as usize..page as usize + page_len();
                    let registration = unsafe { fault::register(range, open_page, data) }.unwrap();
                    assert_eq!(unsafe { u32::load(page.cast()) }, Ok(0));
                    drop(registration);
                    unsafe { libc::munmap(page.cast(), page_len()) };
                }
            });
        }
        let closed = closed_page();
        for _ in 0..20_000 {
            assert!(unsafe { u8::load(closed) }.is_err());
        }
        stop.store(true, Ordering::SeqCst);
    });
    assert!(calls.load(Ordering::SeqCst) > 0);
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

fn chaining_handler_after() {
    fault::install().unwrap();
    for (index, signal) in [libc::SIGBUS, libc::SIGSEGV].into_iter().enumerate() {
        let old = set(signal, pass_on as *const () as usize, libc::SA_SIGINFO | libc::SA_ONSTACK);
        OLD[index].store(old, Ordering::SeqCst);
    }
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
    assert_eq!(fault::probe(Signal::Bus), Probe::Dies);
    assert_eq!(fault::probe(Signal::Segv), Probe::Survives);
    // Only this thread.
    std::thread::spawn(|| unblock(libc::SIGBUS)).join().unwrap();
    assert!(fault::status().thread_blocks_bus);
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

// What the attacks are made of.

fn assert_guarded() {
    assert!(unsafe { u8::load(closed_page()) }.is_err());
    assert!(unsafe { u8::load(empty_file_page()) }.is_err());
}

fn page_len() -> usize {
    unsafe { libc::sysconf(libc::_SC_PAGESIZE) as usize }
}

/// A page of reserved addresses: any access is a SIGSEGV.
fn closed_page() -> *mut u8 {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    let page = unsafe { libc::mmap(null_mut(), page_len(), libc::PROT_NONE, flags, -1, 0) };
    assert_ne!(page, libc::MAP_FAILED);
    page.cast()
}

/// A page of a file without bytes: any access is a SIGBUS.
fn empty_file_page() -> *mut u8 {
    let file = unsafe { libc::memfd_create(c"empty".as_ptr(), 0) };
    assert!(file >= 0);
    let page =
        unsafe { libc::mmap(null_mut(), page_len(), libc::PROT_READ, libc::MAP_SHARED, file, 0) };
    assert_ne!(page, libc::MAP_FAILED);
    unsafe { libc::close(file) };
    page.cast()
}

#[inline(never)]
fn plain_read(at: *const u8) -> u8 {
    unsafe { at.read_volatile() }
}

#[allow(unconditional_recursion, reason = "the stack is to overflow")]
#[inline(never)]
fn overflow(depth: u64) -> u64 {
    let frame = [depth; 64];
    std::hint::black_box(&frame);
    overflow(depth + 1) + std::hint::black_box(frame)[3]
}

/// Sets a disposition and returns the handler before.
fn set(signal: c_int, handler: usize, flags: c_int) -> usize {
    let mut old: libc::sigaction = unsafe { std::mem::zeroed() };
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = handler;
    action.sa_flags = flags;
    assert_eq!(unsafe { libc::sigaction(signal, &action, &mut old) }, 0);
    old.sa_sigaction
}

fn is_blocked(signal: c_int) -> bool {
    let mut set: libc::sigset_t = unsafe { std::mem::zeroed() };
    unsafe { libc::sigprocmask(libc::SIG_BLOCK, std::ptr::null(), &mut set) };
    unsafe { libc::sigismember(&set, signal) == 1 }
}

fn block(signal: c_int) {
    change_mask(libc::SIG_BLOCK, signal);
}

fn unblock(signal: c_int) {
    change_mask(libc::SIG_UNBLOCK, signal);
}

fn change_mask(how: c_int, signal: c_int) {
    let mut set: libc::sigset_t = unsafe { std::mem::zeroed() };
    unsafe { libc::sigaddset(&mut set, signal) };
    assert_eq!(unsafe { libc::pthread_sigmask(how, &set, null_mut()) }, 0);
}
