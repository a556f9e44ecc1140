//! What a caller permits for the sake of stable bytes.
//!
//! It only remembers; the ladder in `mod.rs` asks it.
//!
//! # Safety
//!
//! To permit leases is unsafe: their contract is about the whole process. Nothing else is.
#![allow(unsafe_code, reason = "declares an unsafe function")]

/// Which ways to stable bytes a caller permits.
///
/// By default: a memory file that is sealed, a file that fs-verity protects, and else a copy. All
/// of them keep the promise that no access to the bytes ends in a signal. A lease does not, and is
/// taken only where it was asked for.
///
/// # Examples
///
/// ```
/// use bifolio_map::{FileMap, Policy, Rung};
///
/// let map = FileMap::open("Cargo.toml")?;
/// let bytes = map.stable(&Policy::new().copied_bytes_max(1 << 20))?;
/// assert_eq!(bytes.rung(), Rung::Copied);
/// assert!(bytes.starts_with(b"[package]"));
/// # Ok::<(), bifolio_map::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a policy does nothing by itself"]
pub struct Policy {
    pub(super) lease: bool,
    pub(super) copy: bool,
    pub(super) copied_bytes_max: usize,
    pub(super) pages_on_demand: bool,
}

impl Policy {
    /// Sealed, protected by fs-verity, or copied, whatever the length.
    pub const fn new() -> Policy {
        Policy { lease: false, copy: true, copied_bytes_max: usize::MAX, pages_on_demand: false }
    }

    /// Permits a read lease too: the bytes are the file's own pages, at no cost, until somebody
    /// opens the file to write to it. The kernel makes him wait (who opens with `O_NONBLOCK` is
    /// told to come again) until a thread of this process has copied the bytes to private memory.
    ///
    /// A lease can be had by the owner of the file or with `CAP_LEASE`, on ext4, XFS, Btrfs, F2FS
    /// and tmpfs, while nobody has the file open for writing, for as many bytes as can be copied in
    /// a third of `fs.lease-break-time`; the [`Refusal`](crate::Refusal) tells which of these does
    /// not hold. It keeps one file open, and a break takes as much memory as there are bytes.
    ///
    /// Unlike the other ways, this one has signals left: SIGBUS, and SIGSEGV after a break. They
    /// come where the medium fails to supply a page, as they do for swapped memory; where somebody
    /// empties the file by opening it with `O_RDONLY | O_TRUNC`, of which Linux (6.18) tells no
    /// holder of a lease; and where the copy cannot be put in place for want of memory or areas.
    /// Other bytes are not seen in any of these cases: what is lost stays inaccessible, also when
    /// the file is written again.
    ///
    /// The thread is started with the first lease, blocks every signal, and is told by a real-time
    /// signal: the highest one that had no handler then, which no other part of the program may use
    /// from then on.
    ///
    /// # Safety
    ///
    /// As long as a [`Stable`](crate::Stable) lives whose [`lease`](crate::Stable::lease) is
    /// [`Held`](crate::LeaseState::Held):
    ///
    /// 0. This process is never kept from running for so long (stopped by SIGSTOP or a debugger,
    ///    frozen, starved, its storage not answering) that a copy of all leased bytes is not done
    ///    within `fs.lease-break-time` (45 s unless changed, and not lowered meanwhile) of somebody
    ///    opening a file to write. The kernel then takes the lease away and lets him write: bytes
    ///    change under references.
    /// 1. In a process forked from this one the bytes are not read: they are not mapped there. Nor
    ///    does such a process give back the lease, which its duplicate of the descriptor could.
    /// 2. Nothing changes the file behind its file system: nobody writes the block device below it,
    ///    no transfer into its pages goes on that was started through a mapping which is gone
    ///    (RDMA, direct input, a registered buffer of io_uring), and the kernel's own NFS server
    ///    does not export it: that changes the length of a file without asking for leases.
    ///
    /// # Examples
    ///
    /// ```
    /// use bifolio_map::{FileMap, Policy, Rung};
    ///
    /// # std::fs::write("target-of-the-lease", "bytes")?;
    /// // SAFETY: this program runs under no debugger and is never stopped; it does not fork.
    /// let policy = unsafe { Policy::new().lease() };
    /// let bytes = FileMap::open("target-of-the-lease")?.stable(&policy)?;
    /// if bytes.rung() == Rung::Leased {
    ///     // Waits for the copy, and then goes on.
    ///     std::fs::write("target-of-the-lease", "other")?;
    /// }
    /// assert_eq!(&*bytes, b"bytes");
    /// # std::fs::remove_file("target-of-the-lease")?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # References
    ///
    /// fcntl(2), `F_SETLEASE`: Linux 2.4.
    pub const unsafe fn lease(self) -> Policy {
        Policy { lease: true, ..self }
    }

    /// Never copies: neither time nor memory in proportion to the length is spent.
    pub const fn without_copy(self) -> Policy {
        Policy { copy: false, ..self }
    }

    /// Copies this many bytes at most.
    pub const fn copied_bytes_max(self, bytes: usize) -> Policy {
        Policy { copied_bytes_max: bytes, ..self }
    }

    /// Lets pages of a file that cannot change be read when they are first used, and dropped and
    /// read again as the kernel likes.
    ///
    /// Then a file that fs-verity protects is neither brought in nor locked beforehand, and where
    /// the file system has clones (XFS, Btrfs) a clone is mapped instead of copied, in a time and
    /// memory that do not depend on the length.
    ///
    /// The bytes never change. But where the medium fails to supply a page, or fs-verity finds that
    /// it was tampered with, the access raises SIGBUS, which ends the process. And for the moment
    /// in which a clone is made, a process of the same user, which may follow `/proc/PID/fd`, could
    /// open it: with this policy it is assumed that none does, as it is assumed of everyone that
    /// none writes `/proc/PID/mem`.
    pub const fn pages_on_demand(self) -> Policy {
        Policy { pages_on_demand: true, ..self }
    }
}

impl Default for Policy {
    fn default() -> Policy {
        Policy::new()
    }
}
