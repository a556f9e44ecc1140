//! Faults of others, handlers of others, and a guarded access: what is not ours stays as it was.
//!
//! # Safety
//!
//! Files are shortened under their own slices, which is the attack.
#![allow(unsafe_code, reason = "the attacks are made of raw faults")]
#![allow(clippy::undocumented_unsafe_blocks, reason = "an attack's argument is that it is one")]
#![allow(clippy::multiple_unsafe_ops_per_block, reason = "as above")]

use crate::attack::{read, touch};
use crate::common::{Scratch, page};
use crate::run;
use bifolio_sys::guard::Word;
use memmap2::MmapMut;
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

pub(crate) const SCENARIOS: &[(&str, fn())] = &[
    ("foreign", foreign_fault),
    ("handler-foreign", handler_before_gets_foreign_faults),
    ("handler-ours", handler_before_gets_ours_after_the_line),
    ("guarded", guarded_access),
    ("sent", sent_signal),
];

/// Pages that this crate has not mapped, of a file that is too short.
fn foreign_page() -> *const u8 {
    let scratch = Scratch::with(b"");
    let (flags, fd) = (libc::MAP_SHARED, scratch.file.as_raw_fd());
    let start = unsafe { libc::mmap(std::ptr::null_mut(), page(), libc::PROT_READ, flags, fd, 0) };
    assert_ne!(start, libc::MAP_FAILED);
    start.cast()
}

fn foreign_fault() {
    let (_scratch, map) = read();
    assert_eq!(touch(&map, 0), 7);
    drop(_scratch);
    unsafe { foreign_page().read_volatile() };
}

#[test]
fn a_fault_elsewhere_is_as_it_was() {
    for policy in ["abort", "zero"] {
        let end = run("foreign", Some(policy)).assert_killed(libc::SIGBUS);
        assert_eq!(end.words(), [""; 0]);
    }
}

static SEEN: AtomicUsize = AtomicUsize::new(0);

/// A handler that repairs, as a collector's would: it puts zeros there itself.
extern "C" fn repair(_: i32, info: *mut libc::siginfo_t, _: *mut libc::c_void) {
    let address = unsafe { (*info).si_addr() } as usize;
    SEEN.store(address, Ordering::SeqCst);
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED;
    let start = (address & !(page() - 1)) as *mut libc::c_void;
    unsafe { libc::mmap(start, page(), libc::PROT_READ, flags, -1, 0) };
}

fn install_repair() {
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = repair as extern "C" fn(_, _, _) as usize;
    action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
    assert_eq!(unsafe { libc::sigaction(libc::SIGBUS, &action, std::ptr::null_mut()) }, 0);
}

fn handler_before_gets_foreign_faults() {
    install_repair();
    drop(MmapMut::map_anon(1).unwrap());
    let foreign = foreign_page();
    assert_eq!(unsafe { foreign.read_volatile() }, 0);
    assert_eq!(SEEN.load(Ordering::SeqCst), foreign as usize);
}

#[test]
fn the_handler_before_gets_what_is_not_ours() {
    let end = run("handler-foreign", Some("zero")).assert_lived();
    assert_eq!(end.words(), [""; 0]);
}

fn handler_before_gets_ours_after_the_line() {
    install_repair();
    let (scratch, map) = read();
    scratch.file.set_len(0).unwrap();
    assert_eq!(touch(&map, page()), 0);
    assert_eq!(SEEN.load(Ordering::SeqCst), map.as_ptr() as usize + page());
}

#[test]
fn the_handler_before_gets_ours_after_the_line() {
    run("handler-ours", Some("abort")).assert_lived().assert_said(&["the file has 0 bytes now"]);
}

fn guarded_access() {
    let (scratch, map) = read();
    scratch.file.set_len(0).unwrap();
    assert!(unsafe { u8::load(map.as_ptr()) }.is_err());
}

/// Bifolio's own access to such memory gets its error, and nobody a message.
#[test]
fn to_guarded_access_the_fault_is_a_value() {
    for policy in ["abort", "zero"] {
        let end = run("guarded", Some(policy)).assert_lived();
        assert_eq!(end.words(), [""; 0]);
    }
}

fn sent_signal() {
    let (_scratch, _map) = read();
    drop(_scratch);
    // std's handler, which stood before, takes the first for a fault and steps aside.
    unsafe { libc::raise(libc::SIGBUS) };
    unsafe { libc::raise(libc::SIGBUS) };
}

#[test]
fn a_signal_that_was_sent_is_no_fault() {
    let end = run("sent", Some("zero")).assert_killed(libc::SIGBUS);
    assert_eq!(end.words(), [""; 0]);
}

/// Has ioctl(2) refused from now on, as a kernel before 6.11 or a sandbox would refuse the query.
pub(crate) fn refuse_ioctl() {
    install(&mut [
        step(LOAD, 0, 0, NUMBER),
        step(JUMP_IF_EQUAL, 0, 1, libc::SYS_ioctl as u32),
        step(RETURN, 0, 0, libc::SECCOMP_RET_ERRNO | libc::ENOTTY as u32),
        step(RETURN, 0, 0, libc::SECCOMP_RET_ALLOW),
    ]);
}

/// Has madvise(2) refuse to populate from now on, as a kernel before 5.14 does.
pub(crate) fn refuse_to_populate() {
    install(&mut [
        step(LOAD, 0, 0, NUMBER),
        step(JUMP_IF_EQUAL, 0, 4, libc::SYS_madvise as u32),
        step(LOAD, 0, 0, THIRD_ARGUMENT),
        step(JUMP_IF_EQUAL, 1, 0, libc::MADV_POPULATE_READ as u32),
        step(JUMP_IF_EQUAL, 0, 1, libc::MADV_POPULATE_WRITE as u32),
        step(RETURN, 0, 0, libc::SECCOMP_RET_ERRNO | libc::EINVAL as u32),
        step(RETURN, 0, 0, libc::SECCOMP_RET_ALLOW),
    ]);
}

const LOAD: u16 = 0x20; // BPF_LD | BPF_W | BPF_ABS
const JUMP_IF_EQUAL: u16 = 0x15; // BPF_JMP | BPF_JEQ | BPF_K
const RETURN: u16 = 0x06; // BPF_RET | BPF_K

/// Where the number of the call stands in `struct seccomp_data`.
const NUMBER: u32 = 0;
/// Where the low half of `args[2]` stands.
const THIRD_ARGUMENT: u32 = 32;

fn step(code: u16, jt: u8, jf: u8, k: u32) -> libc::sock_filter {
    libc::sock_filter { code, jt, jf, k }
}

fn install(steps: &mut [libc::sock_filter]) {
    let program = libc::sock_fprog { len: steps.len() as u16, filter: steps.as_mut_ptr() };
    unsafe {
        assert_eq!(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
        assert_eq!(libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &program), 0);
    }
}

/// A place on a file system of a few pages, seen by this process alone; `None` where none can be
/// mounted.
pub(crate) fn small_file_system() -> Option<PathBuf> {
    let scratch = Scratch::with(b"");
    std::fs::remove_file(&scratch.path).unwrap();
    std::fs::create_dir(&scratch.path).unwrap();
    let path = std::ffi::CString::new(scratch.path.to_str().unwrap()).unwrap();
    let (tmpfs, size) = (c"tmpfs".as_ptr(), c"size=64k".as_ptr());
    let is_mounted = unsafe {
        libc::unshare(libc::CLONE_NEWNS) == 0
            && libc::mount(
                std::ptr::null(),
                c"/".as_ptr(),
                std::ptr::null(),
                libc::MS_REC | libc::MS_PRIVATE,
                std::ptr::null(),
            ) == 0
            && libc::mount(tmpfs, path.as_ptr(), tmpfs, 0, size.cast()) == 0
    };
    // The directory is removed by the parent, who does not see the mount.
    crate::attack::tell(&scratch);
    is_mounted.then(|| scratch.path.join("file"))
}
