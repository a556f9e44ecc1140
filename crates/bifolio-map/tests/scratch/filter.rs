//! Refuses system calls, as the filters of containers do.
//!
//! # Safety
//!
//! A thread refuses itself a system call, by a filter that prctl(2) takes as a pointer.
#![allow(unsafe_code, reason = "installs a seccomp filter")]
#![allow(clippy::undocumented_unsafe_blocks, reason = "an attack's argument is that it is one")]
#![allow(clippy::multiple_unsafe_ops_per_block, reason = "as above")]

use std::io;
use std::ops::Range;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::mpsc;

/// Lets a system call fail on this thread, as the filters of containers do; only with this second
/// argument, where there is one.
pub(crate) fn refuse(call: libc::c_long, second: Option<u32>, errno: i32) -> io::Result<()> {
    let step = |code: u32, jf: u8, k: u32| libc::sock_filter { code: code as u16, jt: 0, jf, k };
    let load = |at: u32| step(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, at);
    let equal = |k, jf| step(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, jf, k);
    let answer = |k| step(libc::BPF_RET | libc::BPF_K, 0, k);
    // The low half of `args[1]` of `struct seccomp_data`.
    let mut filter = match second {
        Some(second) => vec![load(0), equal(call as u32, 3), load(24), equal(second, 1)],
        None => vec![load(0), equal(call as u32, 1)],
    };
    filter.push(answer(libc::SECCOMP_RET_ERRNO | errno as u32));
    filter.push(answer(libc::SECCOMP_RET_ALLOW));
    install(&mut filter)
}

fn install(filter: &mut [libc::sock_filter]) -> io::Result<()> {
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
    let answer = unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program)
    };
    if answer == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Runs `work` on a thread whose calls are refused; `false` where no filter can be had.
pub(crate) fn under(
    call: libc::c_long,
    second: Option<u32>,
    errno: i32,
    work: impl FnOnce() + Send,
) -> bool {
    std::thread::scope(|scope| {
        let worker = scope.spawn(move || {
            if let Err(error) = refuse(call, second, errno) {
                println!("skipped: seccomp filters cannot be installed: {error}");
                return false;
            }
            work();
            true
        });
        worker.join().unwrap()
    })
}

/// Lets pread(2) at these offsets fail on this thread, and on those that it starts; and mremap(2),
/// if `moves` says so.
pub(crate) fn refuse_moves_and_reads_at(moves: bool, offsets: &[u32]) -> io::Result<()> {
    let step =
        |code: u32, jt: u8, jf: u8, k: u32| libc::sock_filter { code: code as u16, jt, jf, k };
    let load = |at: u32| step(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, at);
    let skip_unless = |k, jf| step(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 0, jf, k);
    let refuse = |errno: i32| {
        let answer = libc::SECCOMP_RET_ERRNO | errno as u32;
        step(libc::BPF_RET | libc::BPF_K, 0, 0, answer)
    };
    let allow = step(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ALLOW);
    let mut filter = vec![load(0)];
    if moves {
        filter.extend([skip_unless(libc::SYS_mremap as u32, 1), refuse(libc::ENOMEM)]);
    }
    filter.extend([skip_unless(libc::SYS_pread64 as u32, 1 + 2 * offsets.len() as u8), load(40)]);
    for &offset in offsets {
        filter.extend([skip_unless(offset, 1), refuse(libc::EIO)]);
    }
    filter.push(allow);
    install(&mut filter)
}

/// Has `decide` asked before pages are moved to a place that their owner chose (mremap(2) with
/// MREMAP_FIXED), by this thread and those that it starts: the call fails with the errno that it
/// returns, or is made.
pub(crate) fn decide_moves(
    decide: impl FnMut(Range<usize>) -> Option<i32> + Send + 'static,
) -> io::Result<()> {
    let (give, listener) = mpsc::channel();
    // Before the filter is there, which threads inherit.
    std::thread::spawn(move || {
        if let Ok(listener) = listener.recv() {
            answer_moves(&listener, decide);
        }
    });
    give.send(listen_to_moves()?).expect("it waits for it");
    Ok(())
}

/// Where the kernel tells of such calls, and waits for what is to become of them.
fn listen_to_moves() -> io::Result<OwnedFd> {
    let step =
        |code: u32, jt: u8, jf: u8, k: u32| libc::sock_filter { code: code as u16, jt, jf, k };
    let load = |at: u32| step(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, at);
    let skip_unless = |k, jf| step(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 0, jf, k);
    let answer = |k| step(libc::BPF_RET | libc::BPF_K, 0, 0, k);
    let mut filter = [
        load(0),
        skip_unless(libc::SYS_mremap as u32, 3),
        // The low half of `args[3]`.
        load(40),
        skip_unless((libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED) as u32, 1),
        answer(libc::SECCOMP_RET_USER_NOTIF),
        answer(libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
    let fd = unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        let flags = libc::SECCOMP_FILTER_FLAG_NEW_LISTENER;
        libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, &raw const program)
    };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

/// SECCOMP_IOCTL_NOTIF_RECV and SECCOMP_IOCTL_NOTIF_SEND of `linux/seccomp.h`, which libc lacks.
const RECEIVE: libc::c_ulong = 0xC050_2100;
const SEND: libc::c_ulong = 0xC018_2101;

fn answer_moves(listener: &OwnedFd, mut decide: impl FnMut(Range<usize>) -> Option<i32>) {
    loop {
        let mut call: libc::seccomp_notif = unsafe { std::mem::zeroed() };
        let received = unsafe { libc::ioctl(listener.as_raw_fd(), RECEIVE as _, &raw mut call) };
        if received != 0 {
            return;
        }
        let [_, _, len, _, place, _] = call.data.args.map(|word| word as usize);
        let errno = decide(place..place + len);
        let answer = libc::seccomp_notif_resp {
            id: call.id,
            val: 0,
            error: -errno.unwrap_or(0),
            flags: if errno.is_none() { libc::SECCOMP_USER_NOTIF_FLAG_CONTINUE as u32 } else { 0 },
        };
        unsafe { libc::ioctl(listener.as_raw_fd(), SEND as _, &raw const answer) };
    }
}
