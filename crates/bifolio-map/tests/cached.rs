//! What is cached of a file is counted exactly, or said to be unknown: never guessed. Layers,
//! filters and the rights of others stand in the way.
//!
//! # Safety
//!
//! A child refuses itself a system call, by a filter that prctl(2) takes as a pointer.
#![allow(unsafe_code, reason = "installs a seccomp filter")]

mod scratch;

use bifolio_map::{
    Access, Backend, FileMap, Options, Pages, PrivateMap, Residency, Resident, Untold, memory,
};
use bifolio_sys::fs::{Advice, fadvise};
use scratch::cache::{ATTEMPTS, PAGES, cached, half_cached, known, page};
use scratch::{Random, Scratch, assert_plays, child, pattern, scenario, staged_child};
use std::fs::{self, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::Path;

/// `cachestat` in the kernel's table, which is the same on every architecture.
const SYS_CACHESTAT: libc::c_long = 451;

/// The user whom nothing belongs to.
const STRANGER: u32 = 65534;

#[test]
fn a_stranger_hears_that_it_is_unknown() {
    if bifolio_sys::process::geteuid().as_raw() == STRANGER {
        return println!("skipped: this user is the stranger");
    }
    let scratch = Scratch::for_everyone();
    let path = scratch.join("file");
    let (file, _locked) = half_cached(&path);
    file.set_permissions(Permissions::from_mode(0o644)).unwrap();
    let binary = scratch.copy_of_this();
    let mut stranger = std::process::Command::new(&binary);
    stranger.args(child("stranger").get_args()).env("BIFOLIO_CHILD", "stranger");
    stranger.env("BIFOLIO_FILE", &path).current_dir("/").uid(STRANGER).gid(STRANGER);
    match stranger.output() {
        Err(error) => println!("skipped: another user cannot be had ({error})"),
        Ok(_) => assert_plays(&mut stranger),
    }
}

/// mincore(2) tells this user that every page is there.
fn stranger() {
    let map = FileMap::open(std::env::var_os("BIFOLIO_FILE").unwrap()).unwrap();
    let mut lies = vec![0; PAGES];
    let start = bifolio_map::Mapping::as_ptr(&map.mapping().unwrap()).addr();
    bifolio_sys::mm::mincore(start, &mut lies).unwrap();
    assert!(lies.iter().all(|&lie| lie & 1 == 1), "mincore tells strangers the truth here");
    match map.residency(0..map.len()).unwrap() {
        Residency::Unknown(Untold::NotOwner) => {}
        // cachestat(2) before Linux 6.13 asks for no rights.
        Residency::Known(resident) => assert_eq!(resident.resident_pages, PAGES as u64 / 2),
        other => panic!("{other:?}"),
    }
    let file = File::open(std::env::var_os("BIFOLIO_FILE").unwrap()).unwrap();
    let whole = 0..(PAGES * page()) as u64;
    assert_eq!(cached(&file, whole, 1)[0], map.residency(0..map.len()).unwrap());
    // Of this one only mincore could tell.
    let private = PrivateMap::open(std::env::var_os("BIFOLIO_FILE").unwrap()).unwrap();
    let residency = private.residency(0..private.len()).unwrap();
    assert_eq!(residency, Residency::Unknown(Untold::NotOwner));
}

#[test]
fn the_cache_of_an_open_file_is_told_without_a_map() {
    let scratch = Scratch::new();
    let (file, _locked) = half_cached(&scratch.join("file"));
    let half = PAGES as u64 / 2;
    let page = page() as u64;
    let whole = known(cached(&file, 0..2 * half * page, 1)[0]);
    assert_eq!((whole.total_pages, whole.resident_pages), (2 * half, half));
    // From within a page, and beyond the end.
    let part = known(cached(&file, (half - 1) * page + 7..(2 * half + 3) * page, 1)[0]);
    assert_eq!((part.total_pages, part.resident_pages), (half + 4, 1));
    for count in [2, 3, 65, 100, 700] {
        let range = 5 * page + 7..2 * half * page;
        let buckets = cached(&file, range.clone(), count);
        let resident: u64 = buckets.iter().map(|&bucket| known(bucket).resident_pages).sum();
        let total: u64 = buckets.iter().map(|&bucket| known(bucket).total_pages).sum();
        assert_eq!((total, resident), (2 * half - 5, half - 5), "{count} buckets");
    }
    assert_eq!(known(cached(&file, 7..7, 1)[0]).total_pages, 0);
    memory::cached(&file, 0..page, &mut []).unwrap();
}

#[test]
fn what_has_no_pages_is_unknown() {
    let (pipe, _writer) = std::io::pipe().unwrap();
    let mut answer = [Residency::default()];
    memory::cached(&pipe, 0..1 << 20, &mut answer).unwrap();
    assert_eq!(answer, [Residency::Unknown(Untold::NotOffered)]);
    let directory = File::open("/").unwrap();
    assert_eq!(cached(&directory, 0..4096, 1), [Residency::Unknown(Untold::NotOffered)]);
}

/// Groups of buckets are asked about together: however the cached pages lie, each says the same as
/// when it is asked about alone.
#[test]
fn many_buckets_say_what_each_says_alone() {
    let mut random = Random::new("many_buckets_say_what_each_says_alone");
    let scratch = Scratch::new();
    const PAGES: usize = 6000;
    for touched in [0, 3, 40, 2000] {
        let path = scratch.file("file", &pattern(PAGES * page()));
        let file = OpenOptions::new().read(true).write(true).open(path).unwrap();
        file.sync_all().unwrap();
        fadvise(&file, 0, None, Advice::DontNeed).unwrap();
        fadvise(&file, 0, None, Advice::Random).unwrap();
        assert_groups_agree(&file, PAGES, &mut random, |random| {
            for _ in 0..touched {
                file.read_exact_at(&mut [0], (random.below(PAGES) * page()) as u64).unwrap();
            }
        });
    }
    // What the kernel took back is another matter than what was never there.
    let path = scratch.join("file");
    let map = FileMap::open(&path).unwrap();
    for _ in 0..4 {
        let at = random.below(PAGES - 100) * page();
        map.populate(at..at + 100 * page()).unwrap();
        map.advise(at..at + 100 * page(), bifolio_map::Advice::PageOut).unwrap();
    }
    let file = File::open(&path).unwrap();
    match known(cached(&file, 0..map.len() as u64, 1)[0]).cache {
        Some(cache) if cache.evicted_pages > 0 => {
            assert!((1..=cache.evicted_pages).contains(&cache.recently_evicted_pages), "{cache:?}");
            assert_groups_agree(&file, PAGES, &mut random, |_| {});
        }
        _ => println!("skipped: the kernel took nothing back"),
    }
    for dirty in [3, 400, 4000] {
        assert_dirty_groups_agree(&path, &mut random, dirty, PAGES);
    }
}

/// All of the file is cached, and some of it newer than the disk.
fn assert_dirty_groups_agree(path: &Path, random: &mut Random, dirty: usize, pages: usize) {
    let file = OpenOptions::new().read(true).write(true).open(path).unwrap();
    FileMap::open(path).unwrap().populate(0..pages * page()).unwrap();
    let whole = || cached(&file, 0..(pages * page()) as u64, 1);
    for _ in 0..10 {
        for _ in 0..dirty {
            file.write_all_at(&[1], (random.below(pages) * page()) as u64).unwrap();
        }
        let before = whole();
        if known(before[0]).cache.is_none_or(|cache| cache.dirty_pages == 0) {
            continue;
        }
        let all = cached(&file, 0..(pages * page()) as u64, 512);
        let mut alone = all.clone();
        for (index, answer) in alone.iter_mut().enumerate() {
            *answer = cached(&file, memory::bucket(0..(pages * page()) as u64, index, 512), 1)[0];
        }
        // Else it was being written back meanwhile.
        if before == whole() {
            return assert_eq!(all, alone, "{dirty} dirty pages");
        }
    }
    println!("skipped: dirty pages do not stay so");
}

/// `touch` brings pages in, which nobody keeps from leaving: then it is asked again.
fn assert_groups_agree(
    file: &File,
    pages: usize,
    random: &mut Random,
    touch: impl Fn(&mut Random),
) {
    let whole = || cached(file, 0..(pages * page()) as u64, 1);
    for count in [70, 512, 1999, pages, pages + 100] {
        let start = random.below(pages * page() / 2) as u64;
        let range = start..(pages * page() - random.below(1000)) as u64;
        let is_steady = (0..ATTEMPTS).any(|_| {
            touch(random);
            let before = whole();
            let all = cached(file, range.clone(), count);
            let alone = (0..count).step_by(1 + count / 600).map(|index| {
                (index, cached(file, memory::bucket(range.clone(), index, count), 1)[0])
            });
            let wrong: Vec<_> = alone.filter(|&(index, alone)| all[index] != alone).collect();
            // Pages only leave: as many as before are the same.
            let is_steady = before == whole();
            assert!(!is_steady || wrong.is_empty(), "{count} of {range:?}: {wrong:?}");
            is_steady
        });
        assert!(is_steady, "pages left whenever {count} were asked about");
    }
}

/// On overlayfs cachestat(2) looks into a cache that is not used, and says that nothing is there.
#[test]
fn the_files_of_containers_are_told_truly() {
    if !scratch::can_mount() {
        return;
    }
    let scratch = Scratch::new();
    for name in ["lower", "upper", "work", "merged"] {
        fs::create_dir(scratch.join(name)).unwrap();
    }
    let (_, _locked) = half_cached(&scratch.join("lower/file"));
    let line = "mount -t overlay -o lowerdir=lower,upperdir=upper,workdir=work none merged";
    let mut overlay = staged_child(line, "overlay");
    overlay.current_dir(scratch.join("."));
    let mut unshared = std::process::Command::new("unshare");
    unshared.args(["--mount", "--"]).arg(overlay.get_program()).args(overlay.get_args());
    unshared.envs(overlay.get_envs().filter_map(|(name, value)| Some((name, value?))));
    unshared.current_dir(scratch.join("."));
    assert_plays(&mut unshared);
}

fn overlay() {
    let file = File::open("merged/file").unwrap();
    assert_eq!(bifolio_sys::fs::file_system(&file), Ok(bifolio_map::FileSystem::Overlayfs));
    let map = FileMap::open("merged/file").unwrap();
    let half = PAGES as u64 / 2;
    // More than is mapped at once, and more pages than there are answers at once.
    for range in [0..map.len() as u64, 0..3 << 30] {
        for count in [1, 64, 100] {
            let answers = cached(&file, range.clone(), count);
            let sum = |of: fn(Resident) -> u64| answers.iter().map(|&a| of(known(a))).sum::<u64>();
            assert_eq!(sum(|part| part.resident_pages), half);
            assert_eq!(sum(|part| part.total_pages), range.end / page() as u64);
            assert!(answers.iter().all(|&part| known(part).cache.is_none()));
        }
    }
    let mut buckets = [Residency::default(); 100];
    map.residency_by(0..map.len(), &mut buckets).unwrap();
    let counts = |buckets: &[Residency]| {
        buckets.iter().map(|&bucket| known(bucket).resident_pages).collect::<Vec<_>>()
    };
    assert_eq!(counts(&buckets), counts(&cached(&file, 0..map.len() as u64, 100)));
}

/// Where cachestat(2) is refused, as by filters of containers, and where the kernel has none.
#[test]
fn without_cachestat_pages_are_counted_by_a_map() {
    for refusal in ["absent", "refused"] {
        assert_plays(&mut child(refusal));
    }
}

fn without_cachestat(errno: i32) {
    let scratch = Scratch::new();
    let path = scratch.join("file");
    let (file, _locked) = half_cached(&path);
    if let Err(error) = refuse(SYS_CACHESTAT, errno) {
        return println!("skipped: seccomp filters cannot be installed: {error}");
    }
    let half = PAGES as u64 / 2;
    let whole = known(cached(&file, 0..2 * half * page() as u64, 1)[0]);
    assert_eq!((whole.total_pages, whole.resident_pages), (2 * half, half));
    assert_eq!(whole.cache, None, "cachestat is not refused");
    for backend in [Backend::Map, Backend::Read] {
        let map = Options::new().backend(backend).open(&path).unwrap();
        let border = PAGES / 2 * page();
        let edge = known(map.residency(border - 10..border + 10).unwrap());
        assert_eq!((edge.total_pages, edge.resident_pages), (2, 1));
    }
    // What may not be read cannot be mapped.
    let file = OpenOptions::new().write(true).open(&path).unwrap();
    assert_eq!(cached(&file, 0..4096, 1), [Residency::Unknown(Untold::NotOffered)]);
}

/// Lets a system call fail on this thread, as the filters of containers do.
fn refuse(call: libc::c_long, errno: i32) -> io::Result<()> {
    let step = |code: u32, jf: u8, k: u32| libc::sock_filter { code: code as u16, jt: 0, jf, k };
    let mut filter = [
        step(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0),
        step(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 1, call as u32),
        step(libc::BPF_RET | libc::BPF_K, 0, libc::SECCOMP_RET_ERRNO | errno as u32),
        step(libc::BPF_RET | libc::BPF_K, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
    // SAFETY: it takes numbers only.
    if unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the program lives until the call returns, and has as many instructions as it says.
    let answer =
        unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program) };
    if answer == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Where the children start.
#[test]
fn scenarios() {
    match scenario().as_deref() {
        None => {}
        Some("stranger") => stranger(),
        Some("overlay") => overlay(),
        Some("absent") => without_cachestat(libc::ENOSYS),
        Some("refused") => without_cachestat(libc::EPERM),
        Some(other) => panic!("no scenario is called {other}"),
    }
}
