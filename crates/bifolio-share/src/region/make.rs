//! How regions are made and opened.
//!
//! A region with a name is built in a file that has none (`O_TMPFILE`), is marked as in use, filled
//! by the caller's `init`, and gets its name by linkat(2), which fails where somebody was faster.
//! Whoever is killed at any instruction before that leaves nothing: the kernel frees a file that
//! has neither name nor descriptor. Where a file system cannot do that, the file has a name of its
//! own meanwhile, which [`Region::clean_dir`] recognises.
//!
//! Whoever opens one marks it as in use *before* looking whether it still has a name, and whoever
//! removes what nobody uses keeps the mark from being set while it looks and unlinks: so nobody
//! ends up with a region that was removed while it was opened.

use super::lock::{attach, reopen};
use super::place::c_path;
use super::{Inner, Place, ReadOnlyRegion, Region, RegionOptions};
use crate::error::{Error, ErrorKind, Operation, Result};
use crate::header::{Header, KEEP, LEN_AT, SEALED_BYTES};
use bifolio_map::{Access, AccessMut, Advice, HugePages, Options, Pages, SharedMap, StoreOrder};
use bifolio_sys::Errno;
use bifolio_sys::fs::fd::{BorrowedFd, OwnedFd};
use bifolio_sys::fs::{
    self, AtFlags, CWD, DescriptorPath, FileSystem, FileType, MemfdFlags, Mode, OFlags,
    RenameFlags, SealFlags, Stat,
};
use bifolio_sys::page::page_size;
use bifolio_sys::process::{geteuid, getpid};
use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::SystemTime;

/// How files begin that a killed process left where `O_TMPFILE` does not work.
pub(super) const UNFINISHED: &str = ".bifolio-unfinished.";

/// Makes a region in memory without a name in any directory.
pub(super) fn memory(
    options: &RegionOptions,
    place: Place,
    name: &str,
    len: u64,
) -> Result<Region> {
    let fail = |errno| Error::from_errno(Operation::Create, &place, errno);
    let mut flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    if let HugePages::Pool(size) = options.huge {
        flags |= MemfdFlags::HUGETLB;
        // The same bits as of MAP_HUGETLB (memfd_create(2)).
        flags |= size
            .map_or(MemfdFlags::empty(), |size| MemfdFlags::from_bits_retain(size.log2() << 26));
    }
    let file = fs::memfd_create(name, flags).map_err(fail)?;
    let region = build(options, place.clone(), file, len)?;
    // From now on no page can go; nor can a seal keep the region from growing.
    fs::fcntl_add_seals(region.fd(), SealFlags::SHRINK | SealFlags::SEAL).map_err(fail)?;
    Ok(region)
}

/// Makes a region that must be new.
pub(super) fn create<E: From<Error>>(
    options: &RegionOptions,
    place: Place,
    len: u64,
    init: impl FnOnce(&Region) -> Result<(), E>,
) -> Result<Region, E> {
    let draft = Draft::new(options, place.clone(), len)?;
    init(&draft.region)?;
    if draft.link()? {
        return Ok(draft.region.clone());
    }
    Err(Error::new(Operation::Create, &place, ErrorKind::Exists).into())
}

/// Opens a region, or makes it.
pub(super) fn open_or_create<E: From<Error>>(
    options: &RegionOptions,
    place: Place,
    len: u64,
    init: impl FnOnce(&Region) -> Result<(), E>,
) -> Result<Region, E> {
    let found = |place| match open(options, place) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        answer => answer.map(Some),
    };
    if let Some(region) = found(&place)? {
        return Ok(region);
    }
    let draft = Draft::new(options, place.clone(), len)?;
    init(&draft.region)?;
    loop {
        if draft.link()? {
            return Ok(draft.region.clone());
        }
        // It may have lost its name since; then the draft is as good as before.
        if let Some(region) = found(&place)? {
            return Ok(region);
        }
    }
}

/// A region that has no name yet, or one that nobody looks for.
struct Draft {
    region: Region,
    /// What it is called meanwhile, where it cannot be without a name.
    name: Option<CString>,
}

impl Draft {
    fn new(options: &RegionOptions, place: Place, len: u64) -> Result<Draft> {
        let fail = |errno| Error::from_errno(Operation::Create, &place, errno);
        let path = place.path().unwrap_or_default();
        let folder = match path.parent() {
            Some(folder) if folder != Path::new("") => folder,
            _ => Path::new("."),
        };
        let c_folder = c_path(folder).ok_or_else(|| fail(Errno::INVAL))?;
        let flags = OFlags::RDWR | OFlags::CLOEXEC;
        let mode = Mode::from_raw_mode(options.mode);
        let (file, name) = match fs::openat(CWD, c_folder.as_c_str(), flags | OFlags::TMPFILE, mode)
        {
            Ok(file) => (file, None),
            Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL) => {
                let (file, name) = named_file(folder, mode).map_err(fail)?;
                (file, Some(name))
            }
            Err(errno) => return Err(fail(errno)),
        };
        // Given back below where it fails.
        let forget = |name: &Option<CString>| {
            if let Some(name) = name {
                let _ = fs::unlinkat(CWD, name.as_c_str(), AtFlags::empty());
            }
        };
        let built = fs::fchmod(&file, mode).map_err(fail);
        match built.and_then(|()| build(options, place.clone(), file, len)) {
            Ok(region) => Ok(Draft { region, name }),
            Err(error) => {
                forget(&name);
                Err(error)
            }
        }
    }

    /// Gives it its name; false where something has that already.
    fn link(&self) -> Result<bool> {
        let place = &self.region.0.place;
        let path = place.c_path(Operation::Create)?;
        let answer = match &self.name {
            None => {
                let from = DescriptorPath::of(self.region.fd());
                let flags = AtFlags::SYMLINK_FOLLOW;
                fs::linkat(CWD, from.as_c_str(), CWD, path.as_c_str(), flags)
            }
            Some(name) => {
                let (from, to) = (name.as_c_str(), path.as_c_str());
                match fs::renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
                    // The name that it has meanwhile is taken away when this is dropped.
                    Err(Errno::INVAL | Errno::NOSYS) => {
                        fs::linkat(CWD, from, CWD, to, AtFlags::empty())
                    }
                    answer => answer,
                }
            }
        };
        match answer {
            Ok(()) => Ok(true),
            Err(Errno::EXIST) => Ok(false),
            Err(errno) => Err(Error::from_errno(Operation::Create, place, errno)),
        }
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if let Some(name) = &self.name {
            // Gone already where it was renamed.
            let _ = fs::unlinkat(CWD, name.as_c_str(), AtFlags::empty());
        }
    }
}

/// A file with a name that nobody else uses, marked as in use.
fn named_file(folder: &Path, mode: Mode) -> Result<(OwnedFd, CString), Errno> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    loop {
        // relaxed: only that each is another matters
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let pid = getpid().as_raw_pid();
        let path =
            c_path(&folder.join(format!("{UNFINISHED}{pid}.{count}"))).ok_or(Errno::INVAL)?;
        let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::CREATE | OFlags::EXCL;
        match fs::openat(CWD, path.as_c_str(), flags | OFlags::NOFOLLOW, mode) {
            // Whoever cleans up may take it for left behind until it is marked.
            Ok(file) if attach(&file)? && fs::fstat(&file)?.st_nlink != 0 => {
                return Ok((file, path));
            }
            Ok(_) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(errno),
        }
    }
}

/// Makes a region in an empty file: memory first, then the header.
fn build(options: &RegionOptions, place: Place, file: OwnedFd, len: u64) -> Result<Region> {
    const CREATE: Operation = Operation::Create;
    let invalid = || Error::new(CREATE, &place, ErrorKind::Invalid);
    let fail = |errno| Error::from_errno(CREATE, &place, errno);
    let page = page_of(&file, &fs::fstat(&file).map_err(fail)?) as u64;
    let planned = Header::new(options.seats, options.objects).ok_or_else(invalid)?;
    let whole = |len: u64| {
        let bytes = planned.arena_at.checked_add(len)?.max(planned.min_len());
        bytes.checked_next_multiple_of(page).filter(|&bytes| bytes <= isize::MAX as u64)
    };
    let total = whole(len).ok_or_else(invalid)?;
    let max_len = whole(options.max_len).ok_or_else(invalid)?.max(total);
    let now = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    let header = Header {
        fingerprint: options.fingerprint.map_or(0, |fingerprint| fingerprint.bits()),
        max_len,
        flags: if options.keep { KEEP } else { 0 },
        creator_pid: getpid().as_raw_pid().cast_unsigned(),
        creator_uid: geteuid().as_raw(),
        created_ns: u64::try_from(now.as_nanos()).unwrap_or(u64::MAX),
        ..planned
    };
    // What cannot be marked as in use cannot have seats either.
    attach(&file).map_err(fail)?;
    let refused = |error: bifolio_map::Error| Error::from_map(CREATE, &place, &error);
    let map = Options::new().len(0).reserve(max_len as usize).shared_file(file).map_err(refused)?;
    map.grow(total as usize).map_err(refused)?;
    if options.huge == HugePages::Transparent {
        map.advise(0..total as usize, Advice::HugePage).map_err(refused)?;
    }
    map.write_all_at(&header.to_bytes(), 0).map_err(refused)?;
    let word = map.atomic::<u64>(LEN_AT).map_err(refused)?;
    word.store(total, StoreOrder::SeqCst).map_err(refused)?;
    let inner = Inner::new(CREATE, place.clone(), map, header, page as usize, true)?;
    Ok(Region(Arc::new(inner)))
}

/// Opens a region by its name.
pub(super) fn open(options: &RegionOptions, place: &Place) -> Result<Region> {
    let file = open_marked(options, place, OFlags::RDWR)?;
    from_marked(options, Operation::Open, place.clone(), file)
}

/// Opens a region by its name to be read.
pub(super) fn open_read_only(options: &RegionOptions, place: Place) -> Result<ReadOnlyRegion> {
    let file = open_marked(options, &place, OFlags::RDONLY)?;
    let (header, _) = admit(options, Operation::Open, &place, &file)?;
    ReadOnlyRegion::new(place, file, header)
}

/// Opens a file by its name and marks it as in use, while it has that name.
fn open_marked(options: &RegionOptions, place: &Place, access: OFlags) -> Result<OwnedFd> {
    const OPEN: Operation = Operation::Open;
    let path = place.c_path(OPEN)?;
    let fail = |errno| Error::from_errno(OPEN, place, errno);
    let flags = access | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
    loop {
        let file = fs::openat(CWD, path.as_c_str(), flags, Mode::empty()).map_err(fail)?;
        check_file(options, OPEN, place, &fs::fstat(&file).map_err(fail)?, true)?;
        if !attach(&file).map_err(fail)? {
            // It is being removed in this moment.
            thread::yield_now();
            continue;
        }
        if fs::fstat(&file).map_err(fail)?.st_nlink != 0 {
            return Ok(file);
        }
    }
}

/// Opens a region behind a descriptor of it, whoever opened that.
pub(super) fn from_descriptor(
    options: &RegionOptions,
    operation: Operation,
    file: BorrowedFd<'_>,
) -> Result<Region> {
    let fail = |errno| Error::from_errno(operation, &Place::Descriptor, errno);
    // Before it is opened anew: to open a device or a FIFO may do something.
    let stat = fs::fstat(file).map_err(fail)?;
    check_file(options, operation, &Place::Descriptor, &stat, false)?;
    let own = reopen(file, OFlags::RDWR).map_err(fail)?;
    while !attach(&own).map_err(fail)? {
        thread::yield_now();
    }
    from_marked(options, operation, Place::Descriptor, own)
}

/// Makes the value of a file that is marked as in use.
fn from_marked(
    options: &RegionOptions,
    operation: Operation,
    place: Place,
    file: OwnedFd,
) -> Result<Region> {
    let (header, stat) = admit(options, operation, &place, &file)?;
    let page = page_of(&file, &stat);
    let len = (stat.st_size as u64).min(header.max_len) as usize;
    let map: Result<SharedMap, _> =
        Options::new().len(len).reserve(header.max_len as usize).no_reserve().shared_file(file);
    let map = map.map_err(|error| Error::from_map(operation, &place, &error))?;
    if map.view().len() as u64 > header.max_len {
        return Err(Error::new(operation, &place, ErrorKind::Damaged));
    }
    let inner = Inner::new(operation, place, map, header, page, false)?;
    Ok(Region(Arc::new(inner)))
}

/// Reads and checks the header, and that the file is as long as it says.
pub(super) fn admit(
    options: &RegionOptions,
    operation: Operation,
    place: &Place,
    file: &OwnedFd,
) -> Result<(Header, Stat)> {
    let fail = |errno| Error::from_errno(operation, place, errno);
    let (header, len) = read_header(operation, place, file)?;
    if let Some(expected) = options.fingerprint
        && expected.bits() != header.fingerprint
    {
        let kind = ErrorKind::OtherFingerprint { expected, found: header.fingerprint };
        return Err(Error::new(operation, place, kind));
    }
    let stat = fs::fstat(file).map_err(fail)?;
    if !(header.min_len()..=header.max_len).contains(&len) {
        return Err(Error::new(operation, place, ErrorKind::Damaged));
    }
    if (stat.st_size as u64) < len {
        return Err(Error::new(operation, place, ErrorKind::Lost));
    }
    Ok((header, stat))
}

/// The header of an open file, checked in a private copy, and how long the region says it is.
pub(super) fn read_header(
    operation: Operation,
    place: &Place,
    file: &OwnedFd,
) -> Result<(Header, u64)> {
    let mut bytes = [0; LEN_AT + 8];
    let count = fs::pread(file, &mut bytes[..], 0)
        .map_err(|errno| Error::from_errno(operation, place, errno))?;
    if count < bytes.len() {
        return Err(Error::new(operation, place, ErrorKind::NotARegion));
    }
    let (mut sealed, mut len) = ([0; SEALED_BYTES], [0; 8]);
    sealed.copy_from_slice(&bytes[..SEALED_BYTES]);
    len.copy_from_slice(&bytes[LEN_AT..]);
    let header = Header::from_bytes(&sealed);
    let header = header.map_err(|kind| Error::new(operation, place, kind))?;
    Ok((header, u64::from_le_bytes(len)))
}

/// Refuses what is no regular file, or not this user's alone.
fn check_file(
    options: &RegionOptions,
    operation: Operation,
    place: &Place,
    stat: &Stat,
    has_mode: bool,
) -> Result<()> {
    let fail = |kind| Err(Error::new(operation, place, kind));
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return fail(ErrorKind::NotRegular);
    }
    let uid = stat.st_uid;
    if uid != geteuid().as_raw() && options.owner != Some(uid) {
        return fail(ErrorKind::ForeignOwner { uid });
    }
    let mode = stat.st_mode & 0o777;
    if has_mode && mode & !(options.mode | 0o700) != 0 {
        return fail(ErrorKind::OpenToOthers { mode });
    }
    Ok(())
}

/// The size of the pages that a file is mapped by. Its file system is asked only where its blocks
/// are so large that they could be huge pages.
fn page_of(file: &OwnedFd, stat: &Stat) -> usize {
    let (page, block) = (page_size().bytes(), stat.st_blksize as usize);
    if block > page && fs::file_system(file) == Ok(FileSystem::Hugetlbfs) { block } else { page }
}

/// Whether it is the name of a file that was not finished.
pub(super) fn is_unfinished(name: &std::ffi::OsStr) -> bool {
    name.as_bytes().starts_with(UNFINISHED.as_bytes())
}
