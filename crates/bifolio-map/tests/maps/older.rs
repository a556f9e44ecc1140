//! Kernels without the two ioctls, and filters that refuse them: the text tells the same.
//!
//! # Safety
//!
//! A seccomp filter is installed by a pointer to it.
#![allow(unsafe_code, reason = "installs a seccomp filter")]

use super::scratch::{assert_plays, child};
use super::{known, pages, restless};
use std::io;

const PAGEMAP_SCAN: u32 = 0xC060_6610;
const PROCMAP_QUERY: u32 = 0xC068_6611;

#[test]
fn without_the_ioctls_the_text_tells_the_same() {
    for refusal in ["older", "filtered"] {
        assert_plays(&mut child(refusal));
    }
}

pub(crate) fn without_the_ioctls(errno: i32) {
    if let Err(error) = refuse(errno) {
        return println!("skipped: seccomp filters cannot be installed: {error}");
    }
    let own = std::fs::File::open("/proc/self/maps").unwrap();
    let refused = bifolio_sys::mm::procmap_query(own, 0, bifolio_sys::mm::Find::Covering, &mut []);
    assert_eq!(refused.map_err(|refused| refused.raw_os_error()), Err(errno));
    known::what_was_made_is_found_with_its_numbers();
    known::names_are_bytes_and_no_suffix_deceives();
    known::the_details_agree();
    known::the_sums_are_those_of_the_kernel();
    pages::touched_pages_are_counted_in_their_bucket();
    pages::pages_that_are_tracked_are_not_said_to_be_in_swap();
    restless::mappings_that_come_and_go_are_not_mixed_up();
    restless::a_process_that_changes_its_program_is_one_or_the_other();
}

/// Lets both ioctls fail on this thread and what it starts.
fn refuse(errno: i32) -> io::Result<()> {
    const NUMBER: u32 = 0;
    // The low half of the second argument.
    const REQUEST: u32 = 16 + 8;
    let step =
        |code: u32, jt: u8, jf: u8, k: u32| libc::sock_filter { code: code as u16, jt, jf, k };
    let load = libc::BPF_LD | libc::BPF_W | libc::BPF_ABS;
    let is = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
    let answer = libc::BPF_RET | libc::BPF_K;
    let mut filter = [
        step(load, 0, 0, NUMBER),
        step(is, 0, 3, libc::SYS_ioctl as u32),
        step(load, 0, 0, REQUEST),
        step(is, 2, 0, PAGEMAP_SCAN),
        step(is, 1, 0, PROCMAP_QUERY),
        step(answer, 0, 0, libc::SECCOMP_RET_ALLOW),
        step(answer, 0, 0, libc::SECCOMP_RET_ERRNO | errno as u32),
    ];
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
    // SAFETY: it takes numbers only.
    if unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the program lives until the call returns, and has as many instructions as it says.
    let answer =
        unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program) };
    if answer == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
