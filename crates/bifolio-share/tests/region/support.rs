//! Names that no other test has, a private `/dev/shm`, and what lies in a region of a test.
//!
//! # Safety
//!
//! System calls that no crate here offers.
#![allow(unsafe_code, reason = "mounts, system call filters")]

use std::ffi::CStr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::SeqCst};

use bifolio_share::Region;

use crate::common::Child;

/// A name in `/dev/shm` that is free again when this is dropped.
pub(crate) struct Name(pub(crate) String);

impl Name {
    pub(crate) fn new() -> Name {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        Name(format!("bifolio-test-{}-{}", std::process::id(), COUNT.fetch_add(1, SeqCst)))
    }

    pub(crate) fn path(&self) -> PathBuf {
        PathBuf::from("/dev/shm").join(&self.0)
    }
}

impl Drop for Name {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(self.path());
    }
}

/// The number that all tests keep in a region.
pub(crate) fn counter(region: &Region) -> &AtomicU64 {
    region.objects().find_or_construct("counter", || AtomicU64::new(0)).unwrap().get()
}

/// Runs `work` in a child that has a `/dev/shm` of its own, of `size` bytes; says why where that is
/// not permitted.
pub(crate) fn with_own_shm(size: u32, work: impl FnOnce()) {
    // SAFETY: asks who we are.
    if unsafe { libc::geteuid() } != 0 {
        return println!("skipped: mounting needs root");
    }
    let child = Child::run(|| {
        // SAFETY: this process alone gets its own mounts.
        assert_eq!(unsafe { libc::unshare(libc::CLONE_NEWNS) }, 0, "unshare");
        mount(c"none", c"/", c"", libc::MS_REC | libc::MS_PRIVATE, c"");
        let size = std::ffi::CString::new(format!("size={size}")).unwrap();
        mount(c"tmpfs", c"/dev/shm", c"tmpfs", 0, &size);
        work();
    });
    assert!(child.join(), "the child failed");
}

fn mount(what: &CStr, place: &CStr, kind: &CStr, flags: libc::c_ulong, data: &CStr) {
    let data = data.as_ptr().cast();
    // SAFETY: strings that live through the call.
    let ret = unsafe { libc::mount(what.as_ptr(), place.as_ptr(), kind.as_ptr(), flags, data) };
    assert_eq!(ret, 0, "mount: {}", std::io::Error::last_os_error());
}

/// Has this process and its children open no files without names from now on.
pub(crate) fn refuse_files_without_names() {
    const LOAD: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
    const EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
    const HAS: u16 = (libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K) as u16;
    const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;
    let line = |code, k, jt, jf| libc::sock_filter { code, k, jt, jf };
    let own_bit = (libc::O_TMPFILE & !libc::O_DIRECTORY) as u32;
    let mut lines = [
        line(LOAD, 0, 0, 0),
        line(EQUAL, libc::SYS_openat as u32, 0, 3),
        // The low half of the third argument.
        line(LOAD, 16 + 2 * 8, 0, 0),
        line(HAS, own_bit, 0, 1),
        line(RETURN, libc::SECCOMP_RET_ERRNO | libc::EOPNOTSUPP as u32, 0, 0),
        line(RETURN, libc::SECCOMP_RET_ALLOW, 0, 0),
    ];
    let program = libc::sock_fprog { len: lines.len() as u16, filter: lines.as_mut_ptr() };
    // SAFETY: takes numbers.
    let ret = unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
    assert_eq!(ret, 0);
    // SAFETY: the program lives through the call.
    let ret =
        unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program) };
    assert_eq!(ret, 0, "seccomp: {}", std::io::Error::last_os_error());
}
