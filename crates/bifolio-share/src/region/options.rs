//! What can be asked for when a region is made or opened.

use super::{Place, ReadOnlyRegion, Region, make};
use crate::error::{Error, Operation, Result};
use bifolio_map::HugePages;
use bifolio_sync::Fingerprint;
use std::path::Path;

/// What can be asked for when a region is made or opened: begin with [`Region::options`].
///
/// # Examples
///
/// ```
/// use bifolio_share::{Error, Fingerprint, Region};
///
/// # let name = format!("bifolio-doc-options-{}", std::process::id());
/// let options = Region::options().fingerprint(Fingerprint::of("weather").number(2)).seats_max(16);
/// let region = options.open_or_create_with(&name, 1 << 16, |region| {
///     // Nobody else sees it before this is done.
///     region.prefault(region.len())
/// })?;
/// region.unlink()?;
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "options make nothing by themselves"]
pub struct RegionOptions {
    pub(super) seats: u32,
    pub(super) objects: u32,
    pub(super) max_len: u64,
    pub(super) mode: u32,
    pub(super) owner: Option<u32>,
    pub(super) fingerprint: Option<Fingerprint>,
    pub(super) keep: bool,
    pub(super) huge: HugePages,
}

impl Default for RegionOptions {
    fn default() -> Self {
        RegionOptions {
            seats: 128,
            objects: 1024,
            max_len: 0,
            mode: 0o600,
            owner: None,
            fingerprint: None,
            keep: false,
            huge: HugePages::Default,
        }
    }
}

impl RegionOptions {
    /// How many processes may use a new region at once: 1 to 1024, else 128. Each costs 64 bytes.
    pub fn seats_max(self, seats: u32) -> Self {
        RegionOptions { seats, ..self }
    }

    /// How many objects of a new region may have names: a power of two, else 1024.
    pub fn objects_max(self, objects: u32) -> Self {
        RegionOptions { objects, ..self }
    }

    /// How many bytes of room a new region may [`grow`](Region::grow) to; else its first length.
    /// That costs addresses in each process that opens it, and no memory.
    pub fn max_len(self, bytes: u64) -> Self {
        RegionOptions { max_len: bytes, ..self }
    }

    /// The permissions of a new region, whatever the umask; and those that one to be opened may
    /// have at most. Else 0600: this user alone.
    pub fn mode(self, mode: u32) -> Self {
        RegionOptions { mode: mode & 0o777, ..self }
    }

    /// Opens regions of this user, too, and not those alone that the process would own.
    pub fn allow_owner(self, uid: u32) -> Self {
        RegionOptions { owner: Some(uid), ..self }
    }

    /// What a new region is for, and what one that is opened must be for: the types that lie in it
    /// and the version of the program, say. Else zero for a new one, and any that is opened.
    pub fn fingerprint(self, fingerprint: Fingerprint) -> Self {
        RegionOptions { fingerprint: Some(fingerprint), ..self }
    }

    /// [`Region::clean`] leaves a new region although nobody is attached to it.
    pub fn keep(self) -> Self {
        RegionOptions { keep: true, ..self }
    }

    /// The pages of a new region: those of the pool for memory files, transparent ones where the
    /// kernel has them for shared memory.
    pub fn huge_pages(self, huge: HugePages) -> Self {
        RegionOptions { huge, ..self }
    }

    /// As [`Region::anonymous`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn anonymous(&self, len: u64) -> Result<Region> {
        make::memory(self, Place::Anonymous, "bifolio", len)
    }

    /// As [`Region::memfd`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn memfd(&self, name: &str, len: u64) -> Result<Region> {
        make::memory(self, Place::Memory(std::sync::Arc::from(name.as_ref())), name, len)
    }

    /// As [`Region::create`].
    ///
    /// # Errors
    ///
    /// As [`create_with`](Self::create_with).
    pub fn create(&self, name: &str, len: u64) -> Result<Region> {
        self.create_with(name, len, nothing)
    }

    /// Makes a region of this name in `/dev/shm` with at least `len` bytes of room, and has `init`
    /// fill it before it gets its name: nobody ever sees it half-filled, and whoever is killed
    /// meanwhile leaves nothing.
    ///
    /// # Errors
    ///
    /// [`BadName`](crate::ErrorKind::BadName), [`Exists`](crate::ErrorKind::Exists),
    /// [`NoSpace`](crate::ErrorKind::NoSpace), what `init` returns, and what open(2) and the like
    /// report.
    ///
    /// # References
    ///
    /// open(2), `O_TMPFILE`: Linux 3.11.
    pub fn create_with<E: From<Error>>(
        &self,
        name: &str,
        len: u64,
        init: impl FnOnce(&Region) -> Result<(), E>,
    ) -> Result<Region, E> {
        make::create(self, Place::name(Operation::Create, name)?, len, init)
    }

    /// Opens the region of this name in `/dev/shm`.
    ///
    /// # Errors
    ///
    /// [`BadName`](crate::ErrorKind::BadName), [`NotFound`](crate::ErrorKind::NotFound),
    /// [`NotRegular`](crate::ErrorKind::NotRegular),
    /// [`NotARegion`](crate::ErrorKind::NotARegion), [`Newer`](crate::ErrorKind::Newer),
    /// [`OtherLayout`](crate::ErrorKind::OtherLayout), [`Damaged`](crate::ErrorKind::Damaged),
    /// [`OtherFingerprint`](crate::ErrorKind::OtherFingerprint),
    /// [`ForeignOwner`](crate::ErrorKind::ForeignOwner),
    /// [`OpenToOthers`](crate::ErrorKind::OpenToOthers): nothing of it was touched then.
    pub fn open(&self, name: &str) -> Result<Region> {
        make::open(self, &Place::name(Operation::Open, name)?)
    }

    /// As [`Region::open_or_create`].
    ///
    /// # Errors
    ///
    /// As [`open_or_create_with`](Self::open_or_create_with).
    pub fn open_or_create(&self, name: &str, len: u64) -> Result<Region> {
        self.open_or_create_with(name, len, nothing)
    }

    /// Opens the region of this name in `/dev/shm`; where there is none, makes one as
    /// [`create_with`](Self::create_with) does.
    ///
    /// Of any number of processes that do this at once, one has made the region that all of them
    /// get; [`is_created`](Region::is_created) says which. No process waits for another: `init`
    /// may run in several, each on memory of its own, and what the others filled is given back.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open) and [`create_with`](Self::create_with).
    pub fn open_or_create_with<E: From<Error>>(
        &self,
        name: &str,
        len: u64,
        init: impl FnOnce(&Region) -> Result<(), E>,
    ) -> Result<Region, E> {
        make::open_or_create(self, Place::name(Operation::Open, name)?, len, init)
    }

    /// As [`create_with`](Self::create_with), in a new file.
    ///
    /// # Errors
    ///
    /// As there; [`Unsupported`](crate::ErrorKind::Unsupported) where the file system keeps no
    /// locks of open file descriptions.
    pub fn create_file(&self, path: impl AsRef<Path>, len: u64) -> Result<Region> {
        make::create(self, Place::file(path.as_ref()), len, nothing)
    }

    /// As [`open`](Self::open), of a file: the last part of its path may be no symlink.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn open_file(&self, path: impl AsRef<Path>) -> Result<Region> {
        make::open(self, &Place::file(path.as_ref()))
    }

    /// As [`open_or_create_with`](Self::open_or_create_with), of a file.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn open_or_create_file_with<E: From<Error>>(
        &self,
        path: impl AsRef<Path>,
        len: u64,
        init: impl FnOnce(&Region) -> Result<(), E>,
    ) -> Result<Region, E> {
        make::open_or_create(self, Place::file(path.as_ref()), len, init)
    }

    /// Opens the region of this name in `/dev/shm` to be read: the process needs no right to write
    /// it, takes no seat, and gets no objects.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub fn open_read_only(&self, name: &str) -> Result<ReadOnlyRegion> {
        make::open_read_only(self, Place::name(Operation::Open, name)?)
    }
}

fn nothing(_: &Region) -> Result<()> {
    Ok(())
}
