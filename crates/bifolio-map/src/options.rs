//! The one builder: every argument of mmap(2), typed.
//!
//! It only collects; each type maps in its own file, where its promise is argued, and first refuses
//! what it could not honour ([`Options::only`]): nothing that was asked for is passed over.

use crate::error::{Error, ErrorKind, Operation, Result};
use crate::object::Object;
use crate::span::Placement;
use bifolio_sys::mm::MapFlags;
use bifolio_sys::page::PageSize;

/// What to map, where and how. Start with [`Options::new`], end with one of the methods that map.
///
/// What a kind of mapping cannot have is refused ([`Invalid`](ErrorKind::Invalid)) by the method
/// that maps it.
///
/// # Examples
///
/// ```
/// use bifolio_map::{Access, Options};
///
/// let map = Options::new().populate().anon(1 << 16)?;
/// assert_eq!(map.len(), 1 << 16);
/// # Ok::<(), bifolio_map::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
#[must_use = "options map nothing by themselves"]
pub struct Options {
    pub(crate) placement: Placement,
    pub(crate) offset: u64,
    pub(crate) len: Option<usize>,
    pub(crate) huge: HugePages,
    pub(crate) populate: bool,
    pub(crate) locked: bool,
    pub(crate) no_reserve: bool,
    pub(crate) stack: bool,
    pub(crate) guards: Guards,
    #[cfg(target_arch = "x86_64")]
    pub(crate) low_addresses: bool,
    pub(crate) reserve: Option<usize>,
    pub(crate) synchronous: bool,
    #[cfg(feature = "std")]
    pub(crate) backend: crate::backend::Backend,
}

/// What can be asked for, but not of every kind of mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    Offset,
    Len,
    Residency,
    TransparentHugePages,
    PoolPages,
    Guards,
    Reserve,
    Synchronous,
    #[cfg(feature = "std")]
    Reading,
}

/// How many guard pages lie around a mapping.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Guards {
    pub(crate) before: usize,
    pub(crate) after: usize,
}

/// Which pages a mapping is made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum HugePages {
    /// What the system does by itself.
    #[default]
    Default,
    /// Transparent huge pages where they fit (`MADV_HUGEPAGE`).
    Transparent,
    /// Pages of the hugetlb pool, of the default size or of this one (`MAP_HUGETLB`).
    Pool(Option<PageSize>),
}

impl Options {
    /// The arguments that [`AnonMap::new`](crate::AnonMap::new) and its relatives use.
    pub fn new() -> Self {
        Options::default()
    }

    /// Starts at this byte of the file; it need not be a multiple of the page size. For files.
    pub fn offset(self, bytes: u64) -> Self {
        Options { offset: bytes, ..self }
    }

    /// Maps this many bytes of the file instead of all from the offset on. It may reach beyond the
    /// file's end: those bytes are an error to read until the file has grown. For files.
    pub fn len(self, bytes: usize) -> Self {
        Options { len: Some(bytes), ..self }
    }

    /// Asks for an address near this one; the kernel may choose another.
    pub fn addr_hint(self, addr: usize) -> Self {
        Options { placement: Placement::Hint(addr), ..self }
    }

    /// Maps at this address, a multiple of the page size, or fails with
    /// [`Occupied`](crate::ErrorKind::Occupied) where something is mapped (`MAP_FIXED_NOREPLACE`,
    /// Linux 4.17). Nothing that exists is ever replaced.
    pub fn at_exactly(self, addr: usize) -> Self {
        Options { placement: Placement::Exactly(addr), ..self }
    }

    /// Brings all pages in while mapping (`MAP_POPULATE`); what cannot be had is left for later.
    pub fn populate(self) -> Self {
        Options { populate: true, ..self }
    }

    /// Keeps all pages in memory (`MAP_LOCKED`).
    pub fn locked(self) -> Self {
        Options { locked: true, ..self }
    }

    /// Does not count the mapping against the memory that the system has promised
    /// (`MAP_NORESERVE`), nor against the pool of huge pages.
    pub fn no_reserve(self) -> Self {
        Options { no_reserve: true, ..self }
    }

    /// Chooses the pages: transparent ones for private anonymous memory and reservations, those of
    /// the pool for memory, private or shared. A file on hugetlbfs is mapped by its own pages
    /// unasked.
    pub fn huge_pages(self, huge: HugePages) -> Self {
        Options { huge, ..self }
    }

    /// Surrounds the bytes with this many pages that no access is permitted to, outside the slice:
    /// whoever runs off an end by a raw pointer meets a fault instead of somebody's data.
    ///
    /// For private anonymous memory of ordinary pages ([`Options::anon`]).
    pub fn guard_pages(self, before: usize, after: usize) -> Self {
        Options { guards: Guards { before, after }, ..self }
    }

    /// At an address fit for a stack (`MAP_STACK`; without effect on today's kernels).
    pub fn stack(self) -> Self {
        Options { stack: true, ..self }
    }

    /// Below 2 GiB (`MAP_32BIT`); only x86-64 has it.
    #[cfg(target_arch = "x86_64")]
    pub fn low_addresses(self) -> Self {
        Options { low_addresses: true, ..self }
    }

    /// Reserves addresses for this many bytes in all, so that a [`SharedMap`](crate::SharedMap) can
    /// grow without moving.
    pub fn reserve(self, bytes: usize) -> Self {
        Options { reserve: Some(bytes), ..self }
    }

    /// Lets no page be written before the file system has on the medium what it takes to find it
    /// again, so that flushing the caches of the CPU is all that makes bytes durable (`MAP_SYNC`).
    ///
    /// For a [`SharedMap`](crate::SharedMap) of a file on persistent memory (DAX); of another file
    /// the kernel refuses it, and together with [`at_exactly`](Self::at_exactly):
    /// [`Unsupported`](ErrorKind::Unsupported).
    ///
    /// # References
    ///
    /// mmap(2), `MAP_SHARED_VALIDATE` and `MAP_SYNC`: Linux 4.15.
    pub fn synchronous(self) -> Self {
        Options { synchronous: true, ..self }
    }

    /// Reaches a [`FileMap`](crate::FileMap) in this way; other kinds are always mapped.
    #[cfg(feature = "std")]
    pub fn backend(self, backend: crate::backend::Backend) -> Self {
        Options { backend, ..self }
    }

    /// Refuses, on behalf of a kind of mapping, what was asked for and is none of what it `can`.
    #[inline]
    pub(crate) fn only(&self, can: &[Wish], object: &Object) -> Result<()> {
        let wishes = [
            (Wish::Offset, self.offset != 0),
            (Wish::Len, self.len.is_some()),
            (Wish::Residency, self.populate || self.locked),
            (Wish::TransparentHugePages, self.huge == HugePages::Transparent),
            (Wish::PoolPages, matches!(self.huge, HugePages::Pool(_))),
            (Wish::Guards, self.guards != Guards::default()),
            (Wish::Reserve, self.reserve.is_some()),
            (Wish::Synchronous, self.synchronous),
            #[cfg(feature = "std")]
            (Wish::Reading, self.backend == crate::backend::Backend::Read),
        ];
        if wishes.iter().any(|(wish, is_asked)| *is_asked && !can.contains(wish)) {
            return Err(Error::new(Operation::Map, object, ErrorKind::Invalid));
        }
        Ok(())
    }

    /// The flags of mmap(2) that are asked for here.
    pub(crate) fn flags(&self) -> MapFlags {
        let mut flags = MapFlags::empty();
        flags.set(MapFlags::POPULATE, self.populate);
        flags.set(MapFlags::LOCKED, self.locked);
        flags.set(MapFlags::NORESERVE, self.no_reserve);
        flags.set(MapFlags::STACK, self.stack);
        #[cfg(target_arch = "x86_64")]
        flags.set(bifolio_sys::mm::MAP_32BIT, self.low_addresses);
        match self.huge {
            HugePages::Pool(Some(size)) => flags | bifolio_sys::mm::map_hugetlb(size),
            HugePages::Pool(None) => flags | MapFlags::HUGETLB,
            HugePages::Default | HugePages::Transparent => flags,
        }
    }
}
