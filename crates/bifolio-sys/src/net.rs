//! File descriptors sent over a Unix socket (`SCM_RIGHTS`).
//!
//! Data and descriptors travel in one message. Over a stream, the descriptors belong to the
//! message's first byte.

use core::mem::MaybeUninit;

use rustix::cmsg_space;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::{Errno, IoSlice, IoSliceMut};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};

/// The most descriptors that one message can carry: the kernel's `SCM_MAX_FD`.
pub const FDS_MAX: usize = 253;

/// Sends `data`, which is not empty, with the descriptors `fds`, and returns how many of its bytes
/// went.
///
/// The receiver gets descriptors of its own; the sender keeps its. A peer that is gone is an error,
/// never `SIGPIPE`.
///
/// # Errors
///
/// [`Errno::INVAL`] for no data or more than [`FDS_MAX`] descriptors, [`Errno::TOOMANYREFS`] when
/// too many are on their way, [`Errno::PIPE`] if the peer is gone.
///
/// # References
///
/// [unix(7)](https://man7.org/linux/man-pages/man7/unix.7.html), `SCM_RIGHTS`;
/// [sendmsg(2)](https://man7.org/linux/man-pages/man2/sendmsg.2.html): Linux 2.2.
pub fn send_fds(socket: impl AsFd, data: &[u8], fds: &[BorrowedFd<'_>]) -> Result<usize, Errno> {
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(FDS_MAX))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if data.is_empty() || !control.push(SendAncillaryMessage::ScmRights(fds)) {
        return Err(Errno::INVAL);
    }
    sendmsg(socket, &[IoSlice::new(data)], &mut control, SendFlags::NOSIGNAL)
}

/// What [`recv_fds`] received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received {
    /// Bytes of data; 0 at the end of a stream.
    pub bytes: usize,
    /// Descriptors, which lie at the start of `fds`.
    pub fds: usize,
}

/// Receives up to `data.len()` bytes and the descriptors that came with them, all closed on exec.
///
/// # Errors
///
/// [`Errno::MSGSIZE`] if the message had more descriptors than `fds` has room for or this process
/// may open, or (of a datagram) more data than `data` has room for: nothing of it is handed out,
/// and its descriptors are closed.
///
/// # References
///
/// [unix(7)](https://man7.org/linux/man-pages/man7/unix.7.html), `SCM_RIGHTS`;
/// [recvmsg(2)](https://man7.org/linux/man-pages/man2/recvmsg.2.html), `MSG_CMSG_CLOEXEC`: Linux
/// 2.6.23.
pub fn recv_fds(
    socket: impl AsFd,
    data: &mut [u8],
    fds: &mut [Option<OwnedFd>],
) -> Result<Received, Errno> {
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(FDS_MAX))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::CMSG_CLOEXEC;
    let message = recvmsg(socket, &mut [IoSliceMut::new(data)], &mut control, flags)?;
    let mut count = 0;
    let mut is_whole = !message.flags.intersects(ReturnFlags::CTRUNC | ReturnFlags::TRUNC);
    for message in control.drain() {
        let RecvAncillaryMessage::ScmRights(rights) = message else { continue };
        for fd in rights {
            match fds.get_mut(count) {
                Some(place) => *place = Some(fd),
                None => is_whole = false,
            }
            count += 1;
        }
    }
    if is_whole {
        return Ok(Received { bytes: message.bytes, fds: count });
    }
    for place in fds.iter_mut().take(count) {
        *place = None;
    }
    Err(Errno::MSGSIZE)
}
