//! Words that the kernel marks when a thread ends, however it ends: a thread's robust list.
//!
//! The list belongs to one thread, and to its C library, which has set one for its own mutexes:
//! whoever sets another uses no robust mutex of the C library on that thread.
//!
//! At the end of the thread (exit, kill, exec by any thread of its process) the kernel goes through
//! the list. Where the low bits of a word are the thread's number, it sets [`FUTEX_OWNER_DIED`] in
//! their place and, where [`FUTEX_WAITERS`] was set, wakes one who sleeps on the word. It stops at
//! the first word that is not there, or after 2,048.
//!
//! # Safety
//!
//! The kernel keeps the address of the list.
#![allow(unsafe_code, reason = "system calls with pointers that outlive the call")]

use core::ffi::c_long;
use core::mem::offset_of;
use core::ptr::null_mut;

use rustix::io::Errno;

use crate::uapi::check;

/// Set in a word by the kernel when the thread whose number it held has ended.
pub const FUTEX_OWNER_DIED: u32 = 0x4000_0000;
/// Says that somebody may sleep on the word; the kernel keeps it.
pub const FUTEX_WAITERS: u32 = 0x8000_0000;
/// The bits of a word that hold the number of a thread.
pub const FUTEX_TID_MASK: u32 = 0x3fff_ffff;

/// An entry: the kernel's `struct robust_list`.
///
/// Its word lies [`RobustListHead::futex_offset`] bytes from it, so that the entry need not lie in
/// shared memory, although the word does.
#[derive(Debug)]
#[repr(C)]
pub struct RobustList {
    /// The next entry; that of the last is the head's own.
    pub next: *mut RobustList,
}

/// The list: the kernel's `struct robust_list_head`.
#[derive(Debug)]
#[repr(C)]
pub struct RobustListHead {
    /// The first entry; its own address where there is none.
    pub list: RobustList,
    /// From an entry to its word, in bytes.
    pub futex_offset: c_long,
    /// An entry that is being put into the list, or taken out; null where none is.
    pub list_op_pending: *mut RobustList,
}

const _: () = {
    assert!(size_of::<RobustListHead>() == 24 && align_of::<RobustListHead>() == 8);
    assert!(offset_of!(RobustListHead, futex_offset) == 8);
    assert!(offset_of!(RobustListHead, list_op_pending) == 16);
};

/// Makes `head` the robust list of the calling thread.
///
/// # Errors
///
/// [`Errno::NOSYS`] of a kernel that was built without futexes.
///
/// # Safety
///
/// Until the thread has another list, or has ended:
///
/// 0. `head` and its entries stay where they are, and every `next` leads to an entry or back to the
///    head;
/// 1. every word that the list names may be changed by the kernel as described above;
/// 2. the thread locks and unlocks no robust mutex of the C library.
///
/// # References
///
/// [set_robust_list(2)](https://man7.org/linux/man-pages/man2/set_robust_list.2.html): Linux
/// 2.6.17; [Robust futex ABI](https://docs.kernel.org/locking/robust-futex-ABI.html).
pub unsafe fn set_robust_list(head: *const RobustListHead) -> Result<(), Errno> {
    // SAFETY: the kernel stores the address; the caller answers for what lies there until the list
    // is another or the thread has ended.
    check(unsafe { libc::syscall(libc::SYS_set_robust_list, head, size_of::<RobustListHead>()) })
        .map(drop)
}

/// The robust list of the calling thread; null where it has none.
///
/// # Errors
///
/// [`Errno::NOSYS`] of a kernel that was built without futexes.
///
/// # References
///
/// [get_robust_list(2)](https://man7.org/linux/man-pages/man2/get_robust_list.2.html): Linux
/// 2.6.17.
pub fn get_robust_list() -> Result<*const RobustListHead, Errno> {
    let mut head: *const RobustListHead = null_mut();
    let mut len = 0_usize;
    let this_thread = 0_usize;
    // SAFETY: the kernel writes a pointer and a size: the two variables here.
    let ret = unsafe {
        libc::syscall(libc::SYS_get_robust_list, this_thread, &raw mut head, &raw mut len)
    };
    check(ret).map(|_| head)
}
