//! System calls on files: sizes, holes, the page cache, memory files.
//!
//! What rustix has is re-exported under the kernel's name; what it lacks, and what would let a zero
//! mean "to the end", is here. A file with no name is `openat` with [`OFlags::TMPFILE`] and gets
//! its name by `linkat` with [`AtFlags::SYMLINK_FOLLOW`] from [`DescriptorPath`].
//!
//! | call | since Linux |
//! |---|---|
//! | [`block_device_len`] | 2.4 |
//! | [`openat`], [`linkat`], [`unlinkat`], [`accessat`] | 2.6.16 |
//! | [`fchmod`] | 2.4 |
//! | [`renameat_with`] (`renameat2`) | 3.15 |
//! | [`openat`] with [`OFlags::TMPFILE`] | 3.11 |
//! | [`fcntl_getfl`], [`fcntl_setfl`] (`F_GETFL`, `F_SETFL`) | 2.4 |
//! | [`fcntl_dupfd_cloexec`] (`F_DUPFD_CLOEXEC`) | 2.6.24 |
//! | [`fcntl_setfd`] (`F_SETFD`) | 2.4 |
//! | [`fstat`], [`ftruncate`], [`fsync`], [`fdatasync`] | 2.4 |
//! | [`pread`], [`pwrite`], [`fadvise`] | 2.6 |
//! | [`sync_file_range`] | 2.6.17 |
//! | [`fallocate`] | 2.6.23 |
//! | [`seek_data`], [`seek_hole`] | 3.1 |
//! | [`memfd_create`], [`fcntl_add_seals`], [`fcntl_get_seals`] | 3.17 |
//! | [`copy_file_range`], [`ioctl_ficlone`] | 4.5 |
//! | [`statx`] | 4.11 |
//! | [`append`] | 4.16 |
//! | [`close_range_unshare`] | 5.9 |
//! | [`cachestat`] | 6.5 |
//!
//! # Safety
//!
//! Files can be read into and written from memory that is no Rust slice; those calls are unsafe
//! functions.
#![allow(unsafe_code, reason = "system calls with pointers")]

mod lease;
mod ofd;
mod table;

use core::ffi::c_uint;
use core::num::NonZeroU64;

use rustix::fd::{AsFd, AsRawFd};
use rustix::fs::{SeekFrom, fstatfs, seek};

use crate::text::Path;
use crate::uapi::{BLKGETSIZE64, CachestatRange, SYS_CACHESTAT, check};

pub use lease::{
    LeaseType, fcntl_getlease, fcntl_setlease, fcntl_setown_thread, fcntl_setsig, lease_break_time,
};
pub use ofd::{LockType, fcntl_ofd_getlk, fcntl_ofd_setlk};
pub use rustix::fd;
pub use rustix::fs::{
    Access, Advice, AtFlags, CWD, FallocateFlags, FileType, MemfdFlags, Mode, OFlags, RenameFlags,
    SealFlags, Stat, StatxAttributes, StatxFlags, accessat, copy_file_range, fadvise, fallocate,
    fchmod, fcntl_add_seals, fcntl_get_seals, fcntl_getfl, fcntl_setfl, fdatasync, fstat, fsync,
    ftruncate, ioctl_ficlone, linkat, major, memfd_create, minor, openat, renameat_with, statx,
    unlinkat,
};
pub use rustix::io::{FdFlags, fcntl_dupfd_cloexec, fcntl_setfd, pread, pwrite};
pub use table::close_range_unshare;

use rustix::io::{Errno, IoSlice, ReadWriteFlags, pwritev2};

/// How much of a range of a file is in the page cache, in pages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct CacheStat {
    /// Pages in memory.
    pub cached: u64,
    /// Pages of those that are newer than the disk.
    pub dirty: u64,
    /// Pages of those that are being written back.
    pub writeback: u64,
    /// Pages that were in memory and are not.
    pub evicted: u64,
    /// Pages of those whose eviction was so recent that reading them back shows memory pressure.
    pub recently_evicted: u64,
}

/// Counts the pages of a file that are in the page cache, from `offset` on: `len` bytes, or to the
/// end for `None`.
///
/// # Errors
///
/// [`Errno::NOSYS`] before Linux 6.5, [`Errno::PERM`] for a file that the caller neither owns nor
/// may write (since 6.13), [`Errno::OPNOTSUPP`] for hugetlbfs.
///
/// # References
///
/// [cachestat(2)](https://man7.org/linux/man-pages/man2/cachestat.2.html): Linux 6.5.
pub fn cachestat(
    file: impl AsFd,
    offset: u64,
    len: Option<NonZeroU64>,
) -> Result<CacheStat, Errno> {
    let range = CachestatRange { off: offset, len: len.map_or(0, NonZeroU64::get) };
    let mut stat = CacheStat::default();
    let (fd, no_flags) = (file.as_fd().as_raw_fd(), 0_usize);
    // SAFETY: the kernel reads a `struct cachestat_range` and writes a `struct cachestat`: the two
    // records here.
    let ret =
        unsafe { libc::syscall(SYS_CACHESTAT, fd, &raw const range, &raw mut stat, no_flags) };
    check(ret)?;
    Ok(stat)
}

/// What kind of file system a file lies on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FileSystem {
    /// ext2, ext3 or ext4, which share a number.
    Ext,
    /// XFS.
    Xfs,
    /// Btrfs.
    Btrfs,
    /// F2FS.
    F2fs,
    /// tmpfs, and every memfd but those of huge pages.
    Tmpfs,
    /// hugetlbfs, and every memfd of huge pages.
    Hugetlbfs,
    /// overlayfs: the files of most containers.
    Overlayfs,
    /// `/proc`.
    Proc,
    /// `/sys`.
    Sysfs,
    /// NFS.
    Nfs,
    /// SMB, by any of its three clients.
    Smb,
    /// AFS.
    Afs,
    /// CephFS.
    Ceph,
    /// 9P: a directory of a virtual machine's host, mostly.
    NineP,
    /// FUSE: anything that a program serves.
    Fuse,
    /// Any other, by its number.
    Other(u32),
}

impl FileSystem {
    /// The file system of this number, which is the low half of `f_type` of statfs(2).
    #[must_use]
    pub const fn from_magic(magic: u32) -> Self {
        match magic {
            0xEF53 => Self::Ext,
            0x5846_5342 => Self::Xfs,
            0x9123_683E => Self::Btrfs,
            0xF2F5_2010 => Self::F2fs,
            0x0102_1994 => Self::Tmpfs,
            0x9584_58F6 => Self::Hugetlbfs,
            0x794C_7630 => Self::Overlayfs,
            0x9FA0 => Self::Proc,
            0x6265_6572 => Self::Sysfs,
            0x6969 => Self::Nfs,
            0x517B | 0xFF53_4D42 | 0xFE53_4D42 => Self::Smb,
            0x5346_414F => Self::Afs,
            0x00C3_6400 => Self::Ceph,
            0x0102_1997 => Self::NineP,
            0x6573_5546 => Self::Fuse,
            other => Self::Other(other),
        }
    }

    /// Whether its files may be served by another machine or another program, so that a page fault
    /// may take as long as they like.
    #[must_use]
    pub const fn is_remote(self) -> bool {
        matches!(self, Self::Nfs | Self::Smb | Self::Afs | Self::Ceph | Self::NineP | Self::Fuse)
    }
}

/// The file system that an open file lies on.
///
/// # Errors
///
/// Those of fstatfs(2).
///
/// # References
///
/// [fstatfs(2)](https://man7.org/linux/man-pages/man2/fstatfs.2.html), `linux/magic.h`: Linux 2.6.
pub fn file_system(file: impl AsFd) -> Result<FileSystem, Errno> {
    // The kernel's numbers have 32 bits; some come sign-extended.
    fstatfs(file).map(|stat| FileSystem::from_magic(stat.f_type as u32))
}

/// The first offset from `offset` on that holds data, or `None` if there is none to the end of the
/// file.
///
/// It moves the offset of the open file description.
///
/// # Errors
///
/// [`Errno::SPIPE`] for what cannot seek; a file system that knows no holes answers that all is
/// data.
///
/// # References
///
/// [lseek(2)](https://man7.org/linux/man-pages/man2/lseek.2.html), `SEEK_DATA`: Linux 3.1.
pub fn seek_data(file: impl AsFd, offset: u64) -> Result<Option<u64>, Errno> {
    none_beyond_the_end(seek(file, SeekFrom::Data(offset)))
}

/// The first offset from `offset` on that lies in a hole, the end of the file counting as one, or
/// `None` beyond the end.
///
/// It moves the offset of the open file description.
///
/// # Errors
///
/// [`Errno::SPIPE`] for what cannot seek; a file system that knows no holes answers with the end.
///
/// # References
///
/// [lseek(2)](https://man7.org/linux/man-pages/man2/lseek.2.html), `SEEK_HOLE`: Linux 3.1.
pub fn seek_hole(file: impl AsFd, offset: u64) -> Result<Option<u64>, Errno> {
    none_beyond_the_end(seek(file, SeekFrom::Hole(offset)))
}

fn none_beyond_the_end(found: Result<u64, Errno>) -> Result<Option<u64>, Errno> {
    match found {
        Ok(offset) => Ok(Some(offset)),
        Err(Errno::NXIO) => Ok(None),
        Err(errno) => Err(errno),
    }
}

/// Reads up to `len` bytes at `offset` of a file to `dst`, and returns how many.
///
/// Memory that is not there is [`Errno::FAULT`] or a short count, never a signal.
///
/// # Errors
///
/// Those of pread(2).
///
/// # Safety
///
/// `dst` may be written for `len` bytes: nobody holds a reference to what lies there.
///
/// # References
///
/// [pread(2)](https://man7.org/linux/man-pages/man2/pread.2.html): Linux 2.2.
pub unsafe fn pread_raw(
    file: impl AsFd,
    dst: *mut u8,
    len: usize,
    offset: u64,
) -> Result<usize, Errno> {
    let offset = i64::try_from(offset).map_err(|_| Errno::INVAL)?;
    let fd = file.as_fd().as_raw_fd();
    // SAFETY: the caller lets `len` bytes at `dst` be written; a page that is not there is an error
    // of the call.
    check(unsafe { libc::pread(fd, dst.cast(), len, offset) } as _)
}

/// Writes up to `len` bytes from `src` to `offset` of a file, and returns how many.
///
/// Memory that is not there is [`Errno::FAULT`] or a short count, never a signal; memory that
/// others write is no data race, as the kernel reads it.
///
/// # Errors
///
/// Those of pwrite(2).
///
/// # Safety
///
/// The file is not one that changes this process's memory, such as a mapping that a reference
/// points to or `/proc/self/mem`.
///
/// # References
///
/// [pwrite(2)](https://man7.org/linux/man-pages/man2/pwrite.2.html): Linux 2.2.
pub unsafe fn pwrite_raw(
    file: impl AsFd,
    src: *const u8,
    len: usize,
    offset: u64,
) -> Result<usize, Errno> {
    let offset = i64::try_from(offset).map_err(|_| Errno::INVAL)?;
    let fd = file.as_fd().as_raw_fd();
    // SAFETY: the kernel only reads at `src`, and a page that is not there is an error of the call.
    check(unsafe { libc::pwrite(fd, src.cast(), len, offset) } as _)
}

/// Writes up to all of `bytes` at the end of a file, wherever that is by then, and returns how
/// many: what others have written is never overwritten.
///
/// # Errors
///
/// Those of pwritev2(2): [`Errno::OPNOTSUPP`] before Linux 4.16.
///
/// # References
///
/// [pwritev2(2)](https://man7.org/linux/man-pages/man2/pwritev2.2.html), `RWF_APPEND`: Linux 4.16.
pub fn append(file: impl AsFd, bytes: &[u8]) -> Result<usize, Errno> {
    pwritev2(file, &[IoSlice::new(bytes)], 0, ReadWriteFlags::APPEND)
}

/// What [`sync_file_range`] does: the combinations of its flags that mean something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum SyncRange {
    /// `WRITE`: start writing dirty pages that are not being written already.
    Start = libc::SYNC_FILE_RANGE_WRITE,
    /// `WAIT_BEFORE | WRITE`: start writing every page that is dirty at the call.
    StartAll = libc::SYNC_FILE_RANGE_WAIT_BEFORE | libc::SYNC_FILE_RANGE_WRITE,
    /// `WAIT_BEFORE`: wait for what is being written.
    Wait = libc::SYNC_FILE_RANGE_WAIT_BEFORE,
    /// All three: write every page that is dirty at the call, and wait for it.
    StartAllAndWait = libc::SYNC_FILE_RANGE_WAIT_BEFORE
        | libc::SYNC_FILE_RANGE_WRITE
        | libc::SYNC_FILE_RANGE_WAIT_AFTER,
}

/// Starts or awaits the write-back of a file from `offset` on: `len` bytes, or to the end for
/// `None`.
///
/// It makes nothing durable: neither metadata nor the disk's own cache are written. For that there
/// is [`fdatasync`].
///
/// # Errors
///
/// Those of sync_file_range(2): an earlier error of write-back too.
///
/// # References
///
/// [sync_file_range(2)](https://man7.org/linux/man-pages/man2/sync_file_range.2.html): Linux
/// 2.6.17.
pub fn sync_file_range(
    file: impl AsFd,
    offset: u64,
    len: Option<NonZeroU64>,
    what: SyncRange,
) -> Result<(), Errno> {
    let offset = i64::try_from(offset).map_err(|_| Errno::INVAL)?;
    let len = i64::try_from(len.map_or(0, NonZeroU64::get)).map_err(|_| Errno::INVAL)?;
    let fd = file.as_fd().as_raw_fd();
    // SAFETY: sync_file_range(2) takes no pointer.
    let ret = unsafe { libc::sync_file_range(fd, offset, len, what as c_uint) };
    check(ret.into()).map(drop)
}

/// The length of an open block device in bytes, which its `st_size` does not tell.
///
/// # Errors
///
/// [`Errno::NOTTY`] for what is no block device.
///
/// # References
///
/// [ioctl(2)](https://man7.org/linux/man-pages/man2/ioctl.2.html), `BLKGETSIZE64`: Linux 2.4.
pub fn block_device_len(file: impl AsFd) -> Result<u64, Errno> {
    let mut len_bytes = 0_u64;
    let fd = file.as_fd().as_raw_fd();
    // SAFETY: BLKGETSIZE64 writes a `u64`, the one here; files of other kinds do not know the
    // number.
    let ret = unsafe { libc::ioctl(fd, BLKGETSIZE64 as _, &raw mut len_bytes) };
    check(ret.into())?;
    Ok(len_bytes)
}

/// The path that names an open file by its descriptor, `/proc/self/fd/N`, as [`linkat`] wants it
/// for a file without a name.
///
/// ```
/// use bifolio_sys::fs::{DescriptorPath, fd::AsRawFd};
///
/// let file = std::fs::File::open("/proc/self/exe")?;
/// let path = format!("/proc/self/fd/{}", file.as_raw_fd());
/// assert_eq!(DescriptorPath::of(&file).as_c_str().to_str(), Ok(path.as_str()));
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # References
///
/// [open(2)](https://man7.org/linux/man-pages/man2/open.2.html), `O_TMPFILE`: Linux 3.11.
pub struct DescriptorPath(Path);

impl DescriptorPath {
    /// The path of this descriptor: valid in this process for as long as it is open.
    #[must_use]
    pub fn of(file: impl AsFd) -> Self {
        let fd = file.as_fd().as_raw_fd();
        Self(Path::new(format_args!("/proc/self/fd/{fd}")))
    }

    /// The path as a system call takes it.
    #[must_use]
    pub fn as_c_str(&self) -> &core::ffi::CStr {
        self.0.as_c_str()
    }
}
