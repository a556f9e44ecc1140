//! The rung of a read lease: a plain slice of the file's own pages, nothing copied until somebody
//! wants to write.
//!
//! A *description* of the file of its own is leased, then mapped. From then on the kernel tells of
//! whoever opens the file for writing or truncates it, and makes him wait. The helper, a thread of
//! this process, copies the bytes to anonymous memory meanwhile, moves that over the mapping, and
//! gives the lease back: the slice shows the same bytes at each moment.
//!
//! # Invariants
//!
//! 0. While the lease is held nobody has the file open for writing, so `target` shows bytes that do
//!    not change.
//! 1. `target` is replaced page for page by copies of the bytes that it showed, or by pages that
//!    permit no access, and by nothing else; all of it before the lease is given back. Children
//!    that are forked afterwards have these pages too.
//! 2. `reserve` has as many bytes as `target`, and nobody has written there before the helper.
//!
//! What this assumes of the kernel and of the caller stands in `docs/map.md`. It does not keep the
//! promise that no access raises a signal: see [`Policy::lease`].
//!
//! # Safety
//!
//! Unsafe code makes a slice of the pages (invariant 0), and gives advice on them that concerns
//! children only.
#![allow(unsafe_code, reason = "a slice of pages that do not change, and advice on them")]

mod answer;
mod budget;
mod helper;

use crate::error::Operation;
use crate::span::{Placement, Request, Span};
use crate::stable::{Policy, Refusal, Source};
use bifolio_sys::Errno;
use bifolio_sys::fs::fd::OwnedFd;
use bifolio_sys::fs::{
    self, CWD, DescriptorPath, FileSystem, LeaseType, Mode, OFlags, fcntl_setlease,
    fcntl_setown_thread, fcntl_setsig,
};
use bifolio_sys::mm::{self, Advice, MapFlags, ProtFlags};
use bifolio_sys::page::page_size;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use helper::Helper;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// What has become of the lease under stable bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LeaseState {
    /// It is held, and the bytes are the file's own pages.
    Held,
    /// Somebody wanted to write: the bytes were copied under the lease, and are private memory now.
    Copied {
        /// How many bytes could not be read any more, in whole pages: they permit no access, so
        /// that touching them raises SIGSEGV, as it would have raised SIGBUS before.
        unreadable_bytes: usize,
    },
    /// The kernel took it away before the bytes were copied: they may have changed. The contract of
    /// [`Policy::lease`] was broken.
    Lost,
}

/// Bytes of a file under a read lease.
#[derive(Debug)]
pub(super) struct Leased {
    lease: Arc<Lease>,
    helper: &'static Helper,
}

/// What the helper shares with the owner.
#[derive(Debug)]
struct Lease {
    description: Description,
    /// Where in the file `target` begins: a multiple of the page size.
    file_offset: u64,
    /// Where in `target` the bytes begin.
    delta: usize,
    len: usize,
    target: Span,
    /// Addresses for the copy, taken beforehand so that a break does not fail for want of them;
    /// gone when they were moved over `target`.
    reserve: Mutex<Option<Span>>,
    /// The owner wants it no more.
    is_dropped: AtomicBool,
    is_lost: OnceLock<bool>,
    unreadable_bytes: AtomicUsize,
}

/// An open file description of its own, whose lease is given back when it is dropped.
///
/// Closing it alone would not do: a child may have been forked that has it open too.
#[derive(Debug)]
struct Description {
    file: OwnedFd,
}

impl Description {
    /// Opens the source's file once more and leases it: its signals go to the helper alone.
    fn lease(source: &Source<'_>, helper: &Helper) -> Result<Description, Refusal> {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let path = DescriptorPath::of(source.file);
        let file = match fs::openat(CWD, path.as_c_str(), flags, Mode::empty()) {
            Ok(file) => file,
            // Somebody holds a lease of the other type.
            Err(Errno::AGAIN) => return Err(Refusal::OpenForWriting),
            Err(errno) => return Err(source.refused(Operation::Open, errno).into()),
        };
        let prepared = fcntl_setsig(&file, helper.signal())
            .and_then(|()| fcntl_setown_thread(&file, helper.thread()));
        prepared.map_err(|errno| source.refused(Operation::Stabilize, errno))?;
        match fcntl_setlease(&file, LeaseType::Read) {
            Ok(()) => Ok(Description { file }),
            Err(Errno::AGAIN) => Err(Refusal::OpenForWriting),
            Err(Errno::ACCESS) => Err(Refusal::NotOwner),
            Err(errno) => Err(source.refused(Operation::Stabilize, errno).into()),
        }
    }

    /// Gives the lease back, and says whether there was one.
    fn give_back(&self) -> bool {
        fcntl_setlease(&self.file, LeaseType::None).is_ok()
    }
}

impl Drop for Description {
    fn drop(&mut self) {
        self.give_back();
    }
}

/// Leases the file and maps it.
pub(super) fn lease(source: &Source<'_>, policy: &Policy) -> Result<Leased, Refusal> {
    if !policy.lease {
        return Err(Refusal::NotAsked);
    }
    let system =
        fs::file_system(source.file).map_err(|errno| source.refused(Operation::Stat, errno))?;
    if !is_covered(system) {
        return Err(Refusal::NotLeasable(system));
    }
    if system == FileSystem::Tmpfs && is_nameless(source)? {
        return Err(Refusal::WritersUncounted);
    }
    let helper = Helper::get()?;
    let description = Description::lease(source, helper)?;
    // From here on nobody changes its length but who empties it as a reader.
    source.check_reaches()?;
    let delta = (source.offset % page_size().bytes() as u64) as usize;
    let file_offset = source.offset - delta as u64;
    let target = map(source, &description, delta)?;
    let reserve = reserve(source, &target, helper)?;
    let lease = Arc::new(Lease {
        description,
        file_offset,
        delta,
        len: source.len,
        target,
        reserve: Mutex::new(Some(reserve)),
        is_dropped: AtomicBool::new(false),
        is_lost: OnceLock::new(),
        unreadable_bytes: AtomicUsize::new(0),
    });
    helper.register(&lease, source)?;
    Ok(Leased { lease, helper })
}

/// Whether every way to change a file of this file system goes through a break of its leases.
///
/// Not where another machine or program serves it, and not on overlayfs: who changes the directory
/// below it is not noticed.
fn is_covered(system: FileSystem) -> bool {
    use FileSystem::{Btrfs, Ext, F2fs, Tmpfs, Xfs};
    matches!(system, Ext | Xfs | Btrfs | F2fs | Tmpfs)
}

/// Whether it is a memory file, or a deleted one on tmpfs, which looks the same. The descriptor
/// that made a memory file may write to it, and is not among the writers that the kernel counts.
fn is_nameless(source: &Source<'_>) -> Result<bool, Refusal> {
    match fs::fstat(source.file) {
        Ok(stat) => Ok(stat.st_nlink == 0),
        Err(errno) => Err(source.refused(Operation::Stat, errno).into()),
    }
}

/// Maps the leased file to be read, in pages that nothing makes writable, and that children do not
/// get: their copy would not be replaced.
fn map(source: &Source<'_>, description: &Description, delta: usize) -> Result<Span, Refusal> {
    let request = Request {
        len: delta + source.len,
        protection: ProtFlags::READ,
        flags: MapFlags::SHARED,
        placement: Placement::Anywhere,
    };
    let file = (fs::fd::AsFd::as_fd(&description.file), source.offset - delta as u64);
    let target = Span::map(&request, Some(file), source.object)?;
    // SAFETY: nobody has a pointer to these pages yet.
    let advised =
        unsafe { mm::madvise(target.base().as_ptr().cast(), target.len(), Advice::DontFork) };
    advised.map_err(|errno| source.refused(Operation::Advise, errno))?;
    Ok(target)
}

/// Reserves memory for the copy: as many bytes, and where huge pages fit, as far from a boundary of
/// them, so that they can be moved whole.
fn reserve(source: &Source<'_>, target: &Span, helper: &Helper) -> Result<Span, Refusal> {
    let (huge, len) = (helper.huge_page_bytes(), target.len());
    let anonymous = |len| {
        let request = Request {
            len,
            protection: ProtFlags::READ | ProtFlags::WRITE,
            flags: MapFlags::PRIVATE | MapFlags::NORESERVE,
            placement: Placement::Anywhere,
        };
        Span::map(&request, None, source.object)
    };
    let start = |span: &Span| span.base().as_ptr().addr();
    let distance = |span: &Span| start(target).wrapping_sub(start(span)) % huge;
    let mut span = anonymous(len)?;
    // The kernel mostly puts both at boundaries by itself.
    if len >= huge && distance(&span) != 0 {
        span = anonymous(len + huge)?;
        let at = distance(&span);
        if at != 0 {
            span = span.split(at).1;
        }
        if span.len() > len {
            span = span.split(len).0;
        }
    }
    Ok(span)
}

impl Lease {
    /// `is_answered` says whether somebody here answers breaks.
    fn state(&self, is_answered: bool) -> LeaseState {
        if self.is_lost.get().is_none() && is_answered {
            // A writer may be going on already while the answer to his break is not yet written
            // down: wait for that.
            drop(self.reserve.lock().unwrap_or_else(PoisonError::into_inner));
        }
        match self.is_lost.get() {
            None => LeaseState::Held,
            Some(true) => LeaseState::Lost,
            Some(false) => {
                // Relaxed: written before `is_lost`, whose reading orders it.
                let unreadable_bytes = self.unreadable_bytes.load(Ordering::Relaxed);
                LeaseState::Copied { unreadable_bytes }
            }
        }
    }
}

impl Leased {
    /// The bytes.
    #[inline]
    pub(super) fn bytes(&self) -> &[u8] {
        let Lease { target, delta, len, .. } = &*self.lease;
        // SAFETY: `delta + len` bytes were mapped, and stay mapped as long as the lease lives.
        let start = unsafe { target.base().add(*delta) };
        // SAFETY: they are readable and do not change (invariants 0 and 1, and the contract of
        // `Policy::lease`).
        unsafe { core::slice::from_raw_parts(start.as_ptr(), *len) }
    }

    /// What has become of the lease.
    pub(super) fn state(&self) -> LeaseState {
        self.lease.state(self.helper.is_here())
    }
}

impl Drop for Leased {
    fn drop(&mut self) {
        if !self.helper.is_here() {
            // In a child the list may be locked for ever. A lease that is in it is the parent's,
            // and its pages are not mapped: the list, as the child has it, keeps it from being
            // dropped. One that was answered before has all its pages there.
            return;
        }
        self.lease.is_dropped.store(true, Ordering::SeqCst);
        self.helper.forget(&self.lease);
        // A copy that is under way ends soon now; then the writer need not wait any longer.
        drop(self.lease.reserve.lock().unwrap_or_else(PoisonError::into_inner));
    }
}
