//! Regions: memory that processes share, of one form wherever it comes from.
//!
//! # Invariants
//!
//! 0. While a value lives, the first `max_len` bytes that the header tells are mapped, shared,
//!    readable and writable, at one address, and the file behind them is a region of that header.
//!    Pages may be replaced by zeros (`region/loss.rs`); then the region is marked as lost.
//! 1. The file has memory for the first [`Live`] `len` bytes, and `len` only grows.
//! 2. The seats and the resolver are gone before the mapping is: they stand before it.
//! 3. Nothing but seats, directory and arena touches what lies behind the first page, by anything
//!    but guarded reads.
//!
//! It does not hand out bytes to be written: [`Objects`](crate::Objects) lend references to them.
//!
//! # Safety
//!
//! Unsafe code makes references into the mapping and vouches for it to seats and objects.
#![allow(unsafe_code, reason = "memory that is shared, and unsafe traits")]

mod grow;
mod hand;
mod list;
mod lock;
mod loss;
mod make;
mod options;
mod place;
mod read_only;
mod untrusted;

use crate::arena::Arena;
use crate::directory::Directory;
use crate::error::{Error, ErrorKind, Operation, Result};
use crate::ground::Ground;
use crate::header::{Header, Live};
use crate::object::Objects;
use bifolio_map::{Access, Advice, Mapping, Misplaced, NumaPolicy, Options, Pages, PrivateMap};
use bifolio_map::{SharedMap, View};
use bifolio_sync::{Error as PeersError, Expect, Owner, Peers, Seats, Sitter};
use bifolio_sys::fault::Registration;
use bifolio_sys::fs::fd::{AsFd, BorrowedFd, OwnedFd};
use bifolio_sys::{Errno, fs};
use loss::Loss;
use std::fmt;
use std::ops::Range;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::{Duration, SystemTime};

pub use list::{Cleaned, Listed};
pub use options::RegionOptions;
pub use place::Place;
pub use read_only::ReadOnlyRegion;
pub use untrusted::Untrusted;

/// Memory that processes share: a header, seats for those who share it, a directory of objects and
/// room for them.
///
/// It is the same wherever it comes from: without a name and inherited by children
/// ([`anonymous`](Self::anonymous)), as a memory file handed over a socket or to a program
/// ([`memfd`](Self::memfd)), by a name in `/dev/shm` ([`create`](Self::create),
/// [`open`](Self::open)), or in a file. Lengths are those of the room; header, seats and directory
/// come on top.
///
/// Clones are the same region. Dropping the last gives this process's seat up and unmaps the
/// memory, and takes no name away: that is for [`unlink`](Self::unlink) and
/// [`clean`](Self::clean).
///
/// **Who shares it is trusted**: those are processes of one user (the file permits no other,
/// unless said), which may die at any instruction, but run programs that keep to the types.
/// [`untrusted`](Self::untrusted) is for others.
///
/// A peer that shortens the file is an error, never a signal, as far as faults reach this library's
/// handler: the memory that went reads as zeros, and every operation that can fail says
/// [`Lost`](ErrorKind::Lost) from then on.
///
/// # Examples
///
/// ```
/// use bifolio_share::Region;
///
/// # let name = format!("bifolio-doc-region-{}", std::process::id());
/// let region = Region::open_or_create(&name, 1 << 20)?;
/// let other = Region::open(&name)?;
/// assert_eq!(other.len(), 1 << 20);
/// let greeting = region.objects().construct("greeting", *b"folio").unwrap();
/// assert_eq!(*other.objects().find::<[u8; 5]>("greeting").unwrap(), *greeting);
/// region.unlink()?;
/// assert!(!other.is_linked()?);
/// # Ok::<(), bifolio_share::Error>(())
/// ```
///
/// # References
///
/// shm_overview(7), memfd_create(2), unix(7).
#[derive(Clone)]
pub struct Region(Arc<Inner>);

struct Inner {
    seats: Seats,
    directory: Directory,
    arena: Arena,
    /// Dropped before what it leads to (invariant 2).
    _watch: Registration,
    loss: Box<Loss>,
    /// The most bytes that were seen, so that they never become fewer here.
    seen: AtomicU64,
    map: SharedMap,
    header: Header,
    place: Place,
    is_created: bool,
}

impl Inner {
    /// Makes the value of a mapping of all of a region.
    fn new(
        operation: Operation,
        place: Place,
        map: SharedMap,
        header: Header,
        page: usize,
        is_created: bool,
    ) -> Result<Inner> {
        let fail = |errno| Error::from_errno(operation, &place, errno);
        let start = NonNull::new(map.as_ptr().cast_mut()).ok_or_else(|| fail(Errno::NOMEM))?;
        let max = header.max_len as usize;
        let at = |offset: u64| start.map_addr(|addr| addr.saturating_add(offset as usize));
        let (loss, addr) = (Loss::new(page), start.addr().get());
        // SAFETY: the map's own, until after the registration is dropped (invariants 0 and 2).
        let watch = unsafe { loss.watch(addr..addr + max) }.map_err(fail)?;
        let file = map.fd().ok_or(Errno::BADF);
        let file = file.and_then(|fd| fs::fcntl_dupfd_cloexec(fd, 0)).map_err(fail)?;
        let shared = start.as_ptr().cast_const()..at(header.max_len).as_ptr().cast_const();
        // SAFETY: mapped for longer (invariants 0 and 2); all who know the header agree on place
        // and number; the file was made of zeros, and nothing else changes them (invariant 3).
        let seats = unsafe { Seats::new(at(header.seats_at), header.seats, shared, file) };
        let seats = seats.map_err(|error| fail(error.errno()))?;
        // SAFETY: inside of the mapping by the header's invariant, and as above.
        let directory = unsafe { Directory::new(at(header.directory_at), header.objects) };
        // SAFETY: as above.
        let arena = unsafe { Arena::new(start, header.arena_at) };
        let seen = AtomicU64::new(0);
        Ok(Inner {
            seats,
            directory,
            arena,
            _watch: watch,
            loss,
            seen,
            map,
            header,
            place,
            is_created,
        })
    }

    /// The word of the length.
    fn live(&self) -> &AtomicU64 {
        let start = NonNull::new(self.map.as_ptr().cast_mut()).expect("it is mapped");
        // SAFETY: the first page is mapped while `self` lives (invariant 0).
        unsafe { Live::at(start) }
    }

    /// How many bytes may be used now, from the beginning of the header.
    fn total(&self) -> u64 {
        let now = self.live().load(SeqCst).min(self.header.max_len);
        match self.seen.load(SeqCst) {
            seen if seen < now => self.seen.fetch_max(now, SeqCst).max(now),
            seen => seen,
        }
    }
}

impl Region {
    /// What else can be asked for when a region is made or opened.
    pub fn options() -> RegionOptions {
        RegionOptions::default()
    }

    /// Makes a region of at least `len` bytes that children by fork(2) share.
    ///
    /// A memory file without a name lies behind it, as `MAP_SHARED | MAP_ANONYMOUS` makes one too;
    /// only that here there is a descriptor, which the seats have their locks on.
    ///
    /// # Errors
    ///
    /// [`NoSpace`](ErrorKind::NoSpace), [`NoMemory`](ErrorKind::NoMemory), and what memfd_create(2)
    /// and mmap(2) report.
    ///
    /// # References
    ///
    /// memfd_create(2): Linux 3.17.
    pub fn anonymous(len: u64) -> Result<Region> {
        Region::options().anonymous(len)
    }

    /// Makes a region in a memory file, to be handed over: see [`send`](Self::send).
    ///
    /// # Errors
    ///
    /// As [`anonymous`](Self::anonymous).
    pub fn memfd(name: &str, len: u64) -> Result<Region> {
        Region::options().memfd(name, len)
    }

    /// Makes a region of this name in `/dev/shm`; see [`RegionOptions::create_with`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn create(name: &str, len: u64) -> Result<Region> {
        Region::options().create(name, len)
    }

    /// Opens the region of this name in `/dev/shm`.
    ///
    /// # Errors
    ///
    /// As [`RegionOptions::open`].
    pub fn open(name: &str) -> Result<Region> {
        Region::options().open(name)
    }

    /// Opens the region of this name in `/dev/shm`, or makes it; see
    /// [`RegionOptions::open_or_create_with`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn open_or_create(name: &str, len: u64) -> Result<Region> {
        Region::options().open_or_create(name, len)
    }

    /// Whether this value, or the one that it is a clone of, has made the region.
    #[must_use]
    pub fn is_created(&self) -> bool {
        self.0.is_created
    }

    /// What it is called.
    #[must_use]
    pub fn place(&self) -> &Place {
        &self.0.place
    }

    /// How many bytes of room it has now.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.0.total() - self.0.header.arena_at
    }

    /// Never: there is room for something.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        false
    }

    /// How many bytes of room it can [`grow`](Self::grow) to.
    #[must_use]
    pub fn max_len(&self) -> u64 {
        self.0.header.max_len - self.0.header.arena_at
    }

    /// The address of its header here; it differs between processes.
    #[must_use]
    pub fn as_ptr(&self) -> *const u8 {
        self.0.map.as_ptr()
    }

    /// The number of the process that made it, in its own PID namespace.
    #[must_use]
    pub fn creator(&self) -> u32 {
        self.0.header.creator_pid
    }

    /// When it was made, by the clock of the system.
    #[must_use]
    pub fn created(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_nanos(self.0.header.created_ns)
    }

    /// What lies in it by name.
    #[must_use]
    pub fn objects(&self) -> Objects<'_, Region> {
        Objects::of(self)
    }

    /// Who has a seat, and who died in one. It takes no seat.
    #[must_use]
    pub fn sitters(&self) -> Vec<Sitter> {
        self.0.seats.list()
    }

    /// Whether memory was taken away: see the type.
    ///
    /// # Errors
    ///
    /// [`Lost`](ErrorKind::Lost) where it was.
    pub fn check(&self) -> Result<()> {
        self.check_for(Operation::Inspect)
    }

    fn check_for(&self, operation: Operation) -> Result<()> {
        if self.0.loss.is_lost() { Err(self.error(operation, ErrorKind::Lost)) } else { Ok(()) }
    }

    /// Brings all pages of its first `len` bytes in, so that none faults later.
    ///
    /// # Errors
    ///
    /// [`OutOfBounds`](ErrorKind::OutOfBounds), [`Lost`](ErrorKind::Lost), and what madvise(2)
    /// reports.
    ///
    /// # References
    ///
    /// madvise(2), `MADV_POPULATE_WRITE`: Linux 5.14.
    pub fn prefault(&self, len: u64) -> Result<()> {
        self.on_pages(0..len, |map, range| map.populate_write(range))
    }

    /// Tells the kernel what is to become of the pages of `range`, in bytes of the room:
    /// [`Advice::HugePage`], for one.
    ///
    /// # Errors
    ///
    /// As [`prefault`](Self::prefault).
    pub fn advise(&self, range: Range<u64>, advice: Advice) -> Result<()> {
        self.on_pages(range, |map, range| map.advise(range, advice))
    }

    /// Binds the pages of `range`, in bytes of the room, to memory nodes, for all who share them.
    ///
    /// # Errors
    ///
    /// As [`prefault`](Self::prefault), and what mbind(2) reports.
    pub fn bind(&self, range: Range<u64>, policy: NumaPolicy, misplaced: Misplaced) -> Result<()> {
        self.on_pages(range, |map, range| map.bind(range, policy, misplaced))
    }

    fn on_pages(
        &self,
        range: Range<u64>,
        call: impl FnOnce(&SharedMap, Range<usize>) -> bifolio_map::Result<()>,
    ) -> Result<()> {
        self.check_for(Operation::Advise)?;
        let len_bytes = self.len();
        if range.start > range.end || range.end > len_bytes {
            let error = self.error(Operation::Advise, ErrorKind::OutOfBounds { len_bytes });
            return Err(error.with_range(range));
        }
        let first = self.0.header.arena_at;
        self.show(Operation::Advise)?;
        call(&self.0.map, (first + range.start) as usize..(first + range.end) as usize)
            .map_err(|error| self.refused(Operation::Advise, &error).with_range(range))
    }

    /// A mapping of the room whose changes nobody else sees: each page is copied when it is first
    /// written. Pages that were not written show what the others write; it is no snapshot.
    ///
    /// # Errors
    ///
    /// [`Lost`](ErrorKind::Lost), and what mmap(2) reports.
    pub fn copy_on_write(&self) -> Result<PrivateMap> {
        self.check_for(Operation::Copy)?;
        let file = self.duplicate(Operation::Copy)?;
        let room = Options::new().offset(self.0.header.arena_at).len(self.len() as usize);
        room.private_file(file).map_err(|error| self.refused(Operation::Copy, &error))
    }

    /// Makes the map show all that there is now.
    fn show(&self, operation: Operation) -> Result<()> {
        if (self.0.map.len() as u64) < self.0.total() {
            self.0.map.refresh().map_err(|error| self.refused(operation, &error))?;
        }
        Ok(())
    }

    fn fd(&self) -> BorrowedFd<'_> {
        self.0.map.fd().expect("every region was made from a file")
    }

    fn duplicate(&self, operation: Operation) -> Result<OwnedFd> {
        fs::fcntl_dupfd_cloexec(self.fd(), 0).map_err(|errno| self.errno(operation, errno))
    }

    fn error(&self, operation: Operation, kind: ErrorKind) -> Error {
        Error::new(operation, &self.0.place, kind)
    }

    fn errno(&self, operation: Operation, errno: Errno) -> Error {
        Error::from_errno(operation, &self.0.place, errno)
    }

    fn refused(&self, operation: Operation, error: &bifolio_map::Error) -> Error {
        Error::from_map(operation, &self.0.place, error)
    }
}

/// Reads of the room, guarded; of a region that has [lost](ErrorKind::Lost) memory there is nothing
/// to read.
impl Access for Region {
    fn view(&self) -> View<'_> {
        let all = self.0.map.view();
        let (first, total) = (self.0.header.arena_at as usize, self.0.total() as usize);
        // What another process has grown is shown once it is asked for.
        let all = if all.len() < total && self.show(Operation::Inspect).is_ok() {
            self.0.map.view()
        } else {
            all
        };
        let end = if self.0.loss.is_lost() { first } else { total.min(all.len()) };
        let nothing = || all.slice(0..0).expect("nothing is in every view");
        all.slice(first..end.max(first)).unwrap_or_else(|_| nothing())
    }
}

// SAFETY: the seats keep all promises; memory that was lost has no owner any more.
unsafe impl Peers for Region {
    #[inline]
    fn me(&self) -> Result<Owner, PeersError> {
        if self.0.loss.is_lost() {
            return Err(PeersError::new(bifolio_sync::Operation::Attach, Errno::FAULT));
        }
        self.0.seats.me()
    }

    fn is_dead(&self, owner: Owner) -> bool {
        self.0.seats.is_dead(owner)
    }

    fn life(&self, owner: Owner) -> Option<Expect<'_>> {
        self.0.seats.life(owner)
    }

    fn announce(&self) {
        self.0.seats.announce();
    }

    fn deaths(&self) -> Expect<'_> {
        self.0.seats.deaths()
    }

    #[inline]
    fn contains(&self, start: *const u8, len: usize) -> bool {
        self.0.seats.contains(start, len)
    }
}

// SAFETY: 0: invariants 0 and 1; 1: `total` keeps the most that it has seen; 2: both are made once,
// and the header gives the directory this arena.
unsafe impl Ground for Region {
    fn directory(&self) -> &Directory {
        &self.0.directory
    }

    fn arena(&self) -> &Arena {
        &self.0.arena
    }

    fn len_bytes(&self) -> u64 {
        self.0.total()
    }

    fn grow_to(&self, len_bytes: u64) -> bool {
        self.grow(len_bytes.saturating_sub(self.0.header.arena_at)).is_ok()
    }
}

impl AsFd for Region {
    /// The file behind it. Locks on its bytes from 2^61 on belong to the region.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd()
    }
}

impl fmt::Debug for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Region")
            .field("place", &self.0.place)
            .field("ptr", &self.as_ptr())
            .field("len", &self.len())
            .field("max_len", &self.max_len())
            .field("seats", &self.0.seats)
            .finish_non_exhaustive()
    }
}

const _: () = {
    const fn crosses_threads<T: Send + Sync>() {}
    crosses_threads::<Region>();
};
