//! Regions handed to another process: over a socket, or as a descriptor that a new program
//! inherits.
//!
//! The other side always opens the file anew, through `/proc/self/fd`: a lock that is shared by
//! being passed on would outlive its process.

use super::lock::reopen;
use super::{Region, RegionOptions, make};
use crate::error::{Error, ErrorKind, Operation, Result};
use crate::region::Place;
use bifolio_sys::fs::fd::{AsFd, OwnedFd};
use bifolio_sys::fs::{self, CWD, FdFlags, Mode, OFlags};
use bifolio_sys::{Errno, net};
use std::ffi::CString;
use std::os::unix::net::UnixStream;

/// What is sent beside the descriptor.
const MESSAGE: [u8; 16] = *b"bifolio region 1";

impl Region {
    /// Sends it to the process at the other end of the socket, which gets it by
    /// [`receive`](Self::receive).
    ///
    /// # Errors
    ///
    /// What sendmsg(2) reports; a peer that is gone is an error and no signal.
    ///
    /// # Examples
    ///
    /// ```
    /// use bifolio_share::Region;
    /// use std::os::unix::net::UnixStream;
    ///
    /// let (here, there) = UnixStream::pair()?;
    /// let region = Region::memfd("notes", 4096)?;
    /// region.send(&here)?;
    /// assert_eq!(Region::receive(&there)?.len(), region.len());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # References
    ///
    /// unix(7), `SCM_RIGHTS`.
    pub fn send(&self, socket: &UnixStream) -> Result<()> {
        const SEND: Operation = Operation::Send;
        self.check_for(SEND)?;
        let fail = |errno| self.errno(SEND, errno);
        // Not this one: its mark would be shared.
        let file = reopen(self.fd(), OFlags::RDWR).map_err(fail)?;
        let mut sent = loop {
            match net::send_fds(socket, &MESSAGE, &[file.as_fd()]) {
                Err(Errno::INTR) => {}
                answer => break answer.map_err(fail)?,
            }
        };
        while sent < MESSAGE.len() {
            match net::send_fds(socket, &MESSAGE[sent..], &[]) {
                Err(Errno::INTR) => {}
                answer => sent += answer.map_err(fail)?,
            }
        }
        Ok(())
    }

    /// Takes a region that the process at the other end of the socket has sent.
    ///
    /// # Errors
    ///
    /// As [`RegionOptions::receive`].
    pub fn receive(socket: &UnixStream) -> Result<Region> {
        Region::options().receive(socket)
    }

    /// A descriptor that programs inherit which this process starts, as long as it is open; the
    /// program gets the region by [`from_inherited`](Self::from_inherited) with its number.
    ///
    /// # Errors
    ///
    /// What open(2) reports.
    pub fn inheritable(&self) -> Result<OwnedFd> {
        let file = reopen(self.fd(), OFlags::RDWR);
        let file = file.map_err(|errno| self.errno(Operation::Send, errno))?;
        fs::fcntl_setfd(&file, FdFlags::empty())
            .map_err(|errno| self.errno(Operation::Send, errno))?;
        Ok(file)
    }

    /// The region behind the descriptor of this number, which the process has inherited. The
    /// descriptor stays open.
    ///
    /// # Errors
    ///
    /// As [`RegionOptions::from_inherited`].
    pub fn from_inherited(number: u32) -> Result<Region> {
        Region::options().from_inherited(number)
    }
}

impl RegionOptions {
    /// As [`Region::receive`]: a file of another user is refused, and everything that
    /// [`open`](RegionOptions::open) would refuse.
    ///
    /// # Errors
    ///
    /// [`NotSent`](ErrorKind::NotSent), what recvmsg(2) reports, and as
    /// [`open`](RegionOptions::open).
    pub fn receive(&self, socket: &UnixStream) -> Result<Region> {
        const RECEIVE: Operation = Operation::Receive;
        let fail = |errno| Error::from_errno(RECEIVE, &Place::Descriptor, errno);
        let not_sent = || Error::new(RECEIVE, &Place::Descriptor, ErrorKind::NotSent);
        let (mut message, mut done) = ([0; MESSAGE.len()], 0);
        let mut file = None;
        while done < message.len() {
            let mut files = [None];
            match net::recv_fds(socket, &mut message[done..], &mut files) {
                Ok(received) if received.bytes == 0 => return Err(not_sent()),
                Ok(received) => done += received.bytes,
                Err(Errno::INTR) => {}
                Err(errno) => return Err(fail(errno)),
            }
            file = files[0].take().or(file);
        }
        let file = file.filter(|_| message == MESSAGE).ok_or_else(not_sent)?;
        make::from_descriptor(self, RECEIVE, file.as_fd())
    }

    /// As [`Region::from_inherited`].
    ///
    /// # Errors
    ///
    /// [`NotFound`](ErrorKind::NotFound) without such a descriptor, and as
    /// [`open`](RegionOptions::open).
    pub fn from_inherited(&self, number: u32) -> Result<Region> {
        const RECEIVE: Operation = Operation::Receive;
        let fail = |errno| Error::from_errno(RECEIVE, &Place::Descriptor, errno);
        let path = CString::new(format!("/proc/self/fd/{number}"));
        let path = path.map_err(|_| fail(Errno::INVAL))?;
        // `O_PATH` opens whatever it is without doing anything to it.
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        let file = fs::openat(CWD, path.as_c_str(), flags, Mode::empty()).map_err(fail)?;
        make::from_descriptor(self, RECEIVE, file.as_fd())
    }
}
