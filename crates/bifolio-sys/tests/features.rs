//! What `Features` says is what the calls do: here, under a seccomp filter, and as another user.
//!
//! A filter and a user are for good, and an answer is for the life of the process: each case runs
//! in a child, which is this program again, told by `BIFOLIO_CHILD` what to become before it asks.
//!
//! # Safety
//!
//! Every range that is advised on, sealed or copied was mapped for it; records are locals of the
//! size that the kernel's headers give.
#![allow(unsafe_code, reason = "the tests filter, drop privileges and call what they compare with")]

mod common;

use std::collections::BTreeMap;
use std::ffi::c_long;
use std::fs::File;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::process::Command;
use std::ptr;
use std::sync::Barrier;

use bifolio_sys::Errno;
use bifolio_sys::features::{
    Environment, Feature, Features, KernelVersion, Reason, Setting, Support,
};
use bifolio_sys::fs::{MemfdFlags, SealFlags, cachestat, fcntl_get_seals, memfd_create};
use bifolio_sys::mm::{
    Advice, Find, IoVec, MapFlags, Misplaced, PagemapScan, Policy, ProtFlags, madvise, map_hugetlb,
    mbind, memfd_secret, mincore, mlock, mmap_anonymous, mseal, pagemap_scan, process_madvise,
    procmap_query,
};
use bifolio_sys::page::{HugePagePool, PageCount, PageSize, huge_page_sizes, page_size, thp_size};
use bifolio_sys::process::{PidfdFlags, getpid, pidfd_open, process_vm_readv};

use common::Pages;

fn last_result(ret: c_long) -> Result<(), Errno> {
    if ret >= 0 {
        return Ok(());
    }
    Err(Errno::from_raw_os_error(std::io::Error::last_os_error().raw_os_error().unwrap()))
}

/// The result of a call that makes a descriptor.
fn last_descriptor(ret: c_long) -> Result<OwnedFd, Errno> {
    last_result(ret)?;
    // SAFETY: the call made this descriptor for the test.
    Ok(unsafe { OwnedFd::from_raw_fd(i32::try_from(ret).unwrap()) })
}

/// userfaultfd(2); `UFFD_USER_MODE_ONLY` is 1.
fn userfaultfd(flags: i32) -> Result<OwnedFd, Errno> {
    // SAFETY: userfaultfd(2) takes flags and no pointer.
    last_descriptor(unsafe { libc::syscall(libc::SYS_userfaultfd, libc::O_CLOEXEC | flags) })
}

fn advise(advice: &[Advice]) -> Result<(), Errno> {
    let pages = Pages::new(2);
    // SAFETY: the pages are the test's own, and it keeps no reference into them.
    advice.iter().try_for_each(|advice| unsafe { madvise(pages.base, pages.len, *advice) })
}

/// Really does the thing.
#[expect(clippy::too_many_lines, reason = "one arm a feature")]
fn really(feature: Feature) -> Result<(), Errno> {
    let page = page_size().bytes();
    match feature {
        Feature::Cachestat => cachestat(memfd_create(c"", MemfdFlags::CLOEXEC)?, 0, None).map(drop),
        Feature::Mincore => mincore(Pages::new(1).base.addr(), &mut [0]),
        Feature::PagemapScan => {
            let pages = Pages::new(1);
            let range = pages.base.addr()..pages.base.addr() + page;
            let scan = PagemapScan { range, ..PagemapScan::default() };
            let pagemap = File::open("/proc/self/pagemap").map_err(|_| Errno::ACCESS)?;
            pagemap_scan(pagemap, &scan, &mut [Default::default()]).map(drop)
        }
        Feature::ProcmapQuery => {
            let maps = File::open("/proc/self/maps").map_err(|_| Errno::ACCESS)?;
            procmap_query(maps, 0, Find::CoveringOrNext, &mut []).map(drop)
        }
        Feature::MadvPopulate => advise(&[Advice::PopulateRead, Advice::PopulateWrite]),
        Feature::MadvPageout => advise(&[Advice::Cold, Advice::PageOut]),
        Feature::MadvCollapse => {
            let huge = thp_size()?.bytes();
            let pages = Pages::with(2 * huge, MapFlags::PRIVATE)?;
            let start = pages.base.wrapping_byte_add(pages.base.align_offset(huge));
            // SAFETY: an aligned huge page lies within a mapping of two; the byte is this test's
            // alone.
            unsafe { start.cast::<u8>().write_volatile(1) };
            // SAFETY: the advice changes no contents.
            match unsafe { madvise(start, huge, Advice::Collapse) } {
                // Known, and no huge page was to be had.
                Err(Errno::NOMEM | Errno::AGAIN | Errno::BUSY) => Ok(()),
                result => result,
            }
        }
        Feature::MadvGuard => advise(&[Advice::GuardInstall, Advice::GuardRemove]),
        Feature::ProcessMadvise => {
            let pages = Pages::new(1);
            let own = pidfd_open(getpid(), PidfdFlags::empty())?;
            let ranges = [IoVec { base: pages.base, len: page }];
            // SAFETY: the advice changes no contents.
            unsafe { process_madvise(own, &ranges, Advice::Cold) }.map(drop)
        }
        Feature::Mseal => {
            // SAFETY: without an address, the kernel maps where nothing is; the page stays to the
            // end of the process.
            let base = unsafe {
                mmap_anonymous(ptr::null_mut(), page, ProtFlags::empty(), MapFlags::PRIVATE)
            }?;
            // SAFETY: nobody will unmap the page.
            unsafe { mseal(base, page) }
        }
        Feature::Mbind => mbind(Pages::new(1).base.addr(), page, &Policy::Default, Misplaced::Stay),
        Feature::Mlock => {
            let pages = Pages::new(1);
            // SAFETY: the page is mapped and stays so for the call.
            unsafe { mlock(pages.base, page) }
        }
        Feature::Memfd => memfd_create(c"", MemfdFlags::CLOEXEC).map(drop),
        Feature::MemfdNoexecSeal => {
            let file = memfd_create(c"", MemfdFlags::CLOEXEC | MemfdFlags::NOEXEC_SEAL)?;
            assert!(fcntl_get_seals(file)?.contains(SealFlags::from_bits_retain(0x20)));
            Ok(())
        }
        Feature::MemfdSecret => memfd_secret().map(drop),
        Feature::MapDroppable => {
            let pages = Pages::with(page, MapFlags::DROPPABLE)?;
            pages.touch(0, 1);
            Ok(())
        }
        Feature::MapFixedNoreplace => {
            let (pages, flags) = (Pages::new(1), MapFlags::PRIVATE | MapFlags::FIXED_NOREPLACE);
            // SAFETY: where something is mapped the flag makes the call fail; a page elsewhere
            // stays to the end of the process.
            match unsafe { mmap_anonymous(pages.base, page, ProtFlags::empty(), flags) } {
                Err(Errno::EXIST) => Ok(()),
                Err(errno) => Err(errno),
                Ok(_) => Err(Errno::NOSYS),
            }
        }
        Feature::Hugetlb => {
            let mut sizes = huge_page_sizes()?;
            let map = |size: PageSize| {
                Pages::with(size.bytes(), MapFlags::PRIVATE | map_hugetlb(size)).map(drop)
            };
            sizes.find_map(|size| map(size).ok()).ok_or(Errno::NOMEM)
        }
        Feature::Thp => match Environment::read().thp {
            Some(bifolio_sys::features::ThpMode::Never) => Err(Errno::PERM),
            _ => advise(&[Advice::HugePage]),
        },
        Feature::ShmemThp => {
            let word = std::fs::read_to_string("/sys/kernel/mm/transparent_hugepage/shmem_enabled");
            let word = word.map_err(|_| Errno::NOENT)?;
            if word.contains("[never]") || word.contains("[deny]") {
                Err(Errno::PERM)
            } else {
                Ok(())
            }
        }
        Feature::ProcessVm => {
            let pages = Pages::new(2);
            let [from, to] = [0, 1].map(|number| IoVec { base: pages.page(number), len: page });
            // SAFETY: the pages are the test's own, and nothing refers to them.
            unsafe { process_vm_readv(getpid(), &[to], &[from]) }.map(drop)
        }
        Feature::Pidfd => pidfd_open(getpid(), PidfdFlags::empty()).map(drop),
        Feature::Userfaultfd => userfaultfd(0).map(drop),
        Feature::UserfaultfdUserMode => userfaultfd(1).map(drop),
        Feature::UserfaultfdWpAsync => {
            let file = userfaultfd(1)?;
            // Asking for a feature that is not there is EINVAL.
            let mut api = [0xAA_u64, 1 << 15, 0];
            let request = linux_raw_sys::ioctl::UFFDIO_API;
            // SAFETY: UFFDIO_API(2const) reads and writes three words.
            last_result(unsafe { libc::ioctl(file.as_raw_fd(), request as _, &raw mut api) }.into())
        }
        Feature::FutexWaitv => {
            let word = 1_u32;
            // `struct futex_waitv`: the value to wait for is another one; 2 is FUTEX2_SIZE_U32.
            let waiter = [2_u64, (&raw const word).expose_provenance() as u64, 2];
            // SAFETY: futex_waitv(2) reads one record of 24 bytes and the word that it names.
            let ret = unsafe {
                libc::syscall(
                    libc::SYS_futex_waitv,
                    &raw const waiter,
                    1_usize,
                    0_usize,
                    0_usize,
                    0,
                )
            };
            match last_result(ret) {
                Err(Errno::AGAIN) => Ok(()),
                result => result,
            }
        }
        Feature::FileLease => {
            let path = std::env::temp_dir().join(format!("bifolio-lease-{}", std::process::id()));
            std::fs::write(&path, "x").map_err(|_| Errno::IO)?;
            let file = File::open(&path).map_err(|_| Errno::IO)?;
            std::fs::remove_file(&path).map_err(|_| Errno::IO)?;
            // SAFETY: fcntl(2), F_SETLEASE takes no pointer; closing the file ends the lease.
            let ret = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETLEASE, libc::F_RDLCK) };
            last_result(ret.into())
        }
        Feature::IoUring => {
            // `struct io_uring_params` has 120 bytes.
            let mut params = [0_u64; 15];
            // SAFETY: io_uring_setup(2) reads and writes the record.
            let ret = unsafe { libc::syscall(libc::SYS_io_uring_setup, 1_usize, &raw mut params) };
            last_descriptor(ret).map(drop)
        }
        other => panic!("nothing is known of {}", other.name()),
    }
}

#[test]
fn what_is_available_works_and_what_is_absent_does_not() {
    for (feature, support) in Features::get().iter() {
        let done = really(feature);
        let expected = support == Support::Available;
        assert_eq!(done.is_ok(), expected, "{}: {support}, {done:?}", feature.name());
    }
}

#[test]
fn every_feature_says_what_it_is() {
    let names: std::collections::BTreeSet<_> = Feature::ALL.map(Feature::name).into();
    assert_eq!(names.len(), Feature::ALL.len());
    for feature in Feature::ALL {
        assert!(!feature.purpose().is_empty());
        assert!(feature.since() > KernelVersion { major: 2, minor: 3 });
    }
}

/// Threads that ask at once get one answer.
#[test]
fn all_threads_agree() {
    let start = Barrier::new(8);
    let answers: Vec<Features> = std::thread::scope(|scope| {
        let ask = || {
            start.wait();
            Features::get()
        };
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(ask)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(answers.iter().all(|answer| *answer == answers[0]));
}

#[test]
fn the_environment_is_what_the_files_say() {
    let environment = Environment::read();
    assert_eq!(environment.page_size, page_size());
    if let Ok(text) = std::fs::read_to_string("/proc/sys/kernel/osrelease") {
        let version = format!("{}.", environment.kernel);
        assert!(text.starts_with(&version) || text.starts_with(version.trim_end_matches('.')));
    }
    if let Ok(text) = std::fs::read_to_string("/sys/kernel/mm/transparent_hugepage/enabled") {
        let mode = format!("[{:?}]", environment.thp.unwrap()).to_lowercase();
        assert!(text.contains(&mode), "{text} {mode}");
    }
    let first_pool = environment.huge_page_sizes.unwrap_or_default().next().map(HugePagePool::of);
    if let Some(pool) = first_pool {
        let pool = pool.unwrap();
        assert!(pool.free <= pool.total);
    }
    let unknown = HugePagePool::of(PageSize::new(1 << 60).unwrap());
    assert_eq!(unknown.map(|pool| pool.total), Err::<PageCount, _>(Errno::NOENT));
}

// What a child can be told to become.

/// Answers `errno` to every system call of `refused`, in this thread, for good.
fn refuse(refused: &[c_long], errno: i32) -> Result<(), Errno> {
    let statement =
        |code: u32, k: u32, jt: u8| libc::sock_filter { code: code as u16, jt, jf: 0, k };
    // The number of the call is the first word of `struct seccomp_data`.
    let mut program = vec![statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0)];
    for (number, left) in refused.iter().zip((1..=refused.len()).rev()) {
        // To the last statement: over the rest of the comparisons and the permission.
        let jump =
            statement(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, *number as u32, left as u8);
        program.push(jump);
    }
    program.push(statement(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ALLOW, 0));
    let refusal = libc::SECCOMP_RET_ERRNO | errno as u32;
    program.push(statement(libc::BPF_RET | libc::BPF_K, refusal, 0));
    let filter = libc::sock_fprog { len: program.len() as u16, filter: program.as_mut_ptr() };
    // SAFETY: prctl(2), PR_SET_NO_NEW_PRIVS takes no pointer.
    last_result(unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) }.into())?;
    // SAFETY: prctl(2), PR_SET_SECCOMP reads the program, which outlives the call.
    let ret =
        unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const filter) };
    last_result(ret.into())
}

const REFUSED: [c_long; 3] = [libc::SYS_process_vm_readv, 451, libc::SYS_userfaultfd];
const NOBODY: libc::uid_t = 65534;

/// Becomes another user, who may lock no memory. The kernel then gives `/proc/self` to root.
fn become_nobody() -> Result<(), Errno> {
    // SAFETY: geteuid(2) has no precondition.
    if unsafe { libc::geteuid() } != 0 {
        return Err(Errno::PERM);
    }
    let none = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: setrlimit(2) reads one record.
    last_result(unsafe { libc::setrlimit(libc::RLIMIT_MEMLOCK, &raw const none) }.into())?;
    // SAFETY: setresuid(2) takes no pointer.
    last_result(unsafe { libc::setresuid(NOBODY, NOBODY, NOBODY) }.into())
}

/// A probe that fails for want of a descriptor says so, and nothing of the feature.
fn run_out_of_descriptors() {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: getrlimit(2) writes one record.
    let ret = unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) };
    last_result(ret.into()).unwrap();
    for (cur, expected) in
        [(0, Support::Absent(Reason::Other(Errno::MFILE))), (limit.rlim_cur, Support::Available)]
    {
        let limit = libc::rlimit { rlim_cur: cur, ..limit };
        // SAFETY: setrlimit(2) reads one record.
        let ret = unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) };
        last_result(ret.into()).unwrap();
        assert_eq!(Feature::Memfd.support(), expected);
    }
}

#[test]
fn a_probe_that_failed_is_made_again() {
    run_child("out of descriptors");
}

#[test]
#[ignore = "the other tests start it as a child"]
fn child() {
    let becoming = match std::env::var("BIFOLIO_CHILD").as_deref() {
        Ok("itself") => Ok(()),
        Ok("out of descriptors") => return run_out_of_descriptors(),
        Ok("refused with EPERM") => refuse(&REFUSED, libc::EPERM),
        Ok("refused with ENOSYS") => refuse(&REFUSED, libc::ENOSYS),
        Ok("nobody") => become_nobody(),
        Ok("nobody, refused") => become_nobody().and_then(|()| refuse(&REFUSED[..2], libc::EPERM)),
        other => panic!("BIFOLIO_CHILD is {other:?}"),
    };
    if let Err(errno) = becoming {
        return println!("@cannot\t{errno}");
    }
    for (feature, support) in Features::get().iter() {
        println!("@{}\t{support:?}", feature.name());
    }
}

/// What a child prints that is told to become `what`.
fn run_child(what: &str) -> String {
    let program = std::env::current_exe().unwrap();
    let arguments = ["--ignored", "--exact", "child", "--nocapture", "--test-threads=1"];
    let output = Command::new(program).args(arguments).env("BIFOLIO_CHILD", what).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    text
}

/// What a child that became `what` answers, by the name of the feature; nothing if it cannot become
/// that.
fn answers_of(what: &str) -> Option<BTreeMap<String, String>> {
    let text = run_child(what);
    // The harness may have begun the first line.
    let lines = text.lines().filter_map(|line| line.split_once('@')?.1.split_once('\t'));
    let answers: BTreeMap<_, _> =
        lines.map(|(name, answer)| (name.to_owned(), answer.to_owned())).collect();
    if let Some(errno) = answers.get("cannot") {
        println!("skipped: a child cannot be {what}: {errno}");
        return None;
    }
    assert_eq!(answers.len(), Feature::ALL.len(), "{text}");
    Some(answers)
}

fn absent(reason: Reason) -> String {
    format!("{:?}", Support::Absent(reason))
}

#[test]
fn what_a_filter_refuses_names_the_filter() {
    let filtered = [
        Feature::ProcessVm,
        Feature::Cachestat,
        Feature::Userfaultfd,
        Feature::UserfaultfdUserMode,
        Feature::UserfaultfdWpAsync,
    ];
    let own = answers_of("itself").unwrap();
    let forbidden = absent(Reason::Forbidden(Setting::UnprivilegedUserfaultfd));
    for (what, errno) in
        [("refused with EPERM", Errno::PERM), ("refused with ENOSYS", Errno::NOSYS)]
    {
        let Some(answers) = answers_of(what) else { return };
        for feature in Feature::ALL {
            let unfiltered = &own[feature.name()];
            // The filter speaks before the setting does.
            let is_known = *unfiltered == "Available" || *unfiltered == forbidden;
            let expected = if filtered.contains(&feature) && is_known {
                absent(Reason::Seccomp(errno))
            } else {
                unfiltered.clone()
            };
            assert_eq!(answers[feature.name()], expected, "{what}: {}", feature.name());
        }
    }
}

#[test]
fn what_a_user_may_not_names_privilege_or_the_setting() {
    let own = answers_of("itself").unwrap();
    let Some(answers) = answers_of("nobody") else { return };
    let permitted = std::fs::read_to_string("/proc/sys/vm/unprivileged_userfaultfd");
    let mut expected = own;
    let mut expect = |feature: Feature, reason| {
        let answer = expected.get_mut(feature.name()).unwrap();
        if answer == "Available" {
            *answer = absent(reason);
        }
    };
    expect(Feature::PagemapScan, Reason::Privilege(Errno::ACCESS));
    expect(Feature::Mlock, Reason::Forbidden(Setting::RlimitMemlock));
    if permitted.is_ok_and(|text| text.trim() == "0") {
        expect(Feature::Userfaultfd, Reason::Forbidden(Setting::UnprivilegedUserfaultfd));
    }
    assert_eq!(answers, expected);
}

#[test]
fn a_filter_beside_a_setting_is_told_from_it() {
    let (Some(nobody), Some(both)) = (answers_of("nobody"), answers_of("nobody, refused")) else {
        return;
    };
    for feature in [Feature::ProcessVm, Feature::Cachestat] {
        if nobody[feature.name()] == "Available" {
            assert_eq!(both[feature.name()], absent(Reason::Seccomp(Errno::PERM)));
        }
    }
    let unfiltered = Feature::Userfaultfd.name();
    assert_eq!(both[unfiltered], nobody[unfiltered]);
}
