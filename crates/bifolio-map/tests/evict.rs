//! What is evicted is gone and nothing is lost by it; what stays is named with its reason, whoever
//! maps, locks or writes it.

mod scratch;

use bifolio_map::{
    Access, AccessMut, AnonMap, Dirty, ErrorKind, Evicted, FileKind, FileMap, Pages, Pattern,
    PrivateMap, Residency, SharedMap, Stayed, Track, Tracking, memory,
};
use scratch::cache::{attempts, known, page};
use scratch::{Scratch, assert_plays, child, pattern, scenario, staged_child};
use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// The user whom nothing belongs to.
const STRANGER: u32 = 65534;

/// More pages than a folio can hold.
const PAGES: usize = 2048;

/// A file that is written back and cached.
fn cached_file(scratch: &Scratch) -> std::path::PathBuf {
    let path = scratch.file("file", &pattern(PAGES * page()));
    File::open(&path).unwrap().sync_all().unwrap();
    path
}

fn len() -> usize {
    PAGES * page()
}

fn left(evicted: &Evicted) -> u64 {
    known(evicted.after).resident_pages
}

/// Another process, which has done what its scenario says to a file and waits.
struct Other(Child);

impl Other {
    fn does(scenario: &str, path: &Path, user: Option<u32>) -> Other {
        let mut command = child(scenario);
        command.env("BIFOLIO_FILE", path).stdin(Stdio::piped()).stdout(Stdio::piped());
        if let Some(user) = user {
            command.uid(user).gid(user);
        }
        let mut other = Other(command.spawn().unwrap());
        let mut output = String::new();
        let stdout = other.0.stdout.as_mut().unwrap();
        while !output.ends_with("ready\n") {
            let mut byte = [0];
            stdout.read_exact(&mut byte).unwrap_or_else(|_| panic!("it ended: {output}"));
            output.push(byte[0].into());
        }
        other
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        // Its standard input ends, and so does it.
        drop(self.0.stdin.take());
        assert!(self.0.wait().unwrap().success());
    }
}

/// Tells that everything is done, and waits until nobody needs it any more.
fn ready() {
    println!("ready");
    std::io::stdout().flush().unwrap();
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
}

fn file_of_scenario() -> std::path::PathBuf {
    std::env::var_os("BIFOLIO_FILE").unwrap().into()
}

/// Maps the file and touches pages 8 to 24.
fn holder() {
    let map = FileMap::open(file_of_scenario()).unwrap();
    map.access(0..map.len(), Pattern::Random).unwrap();
    for at in 8..24 {
        map.load::<u8>(at * page()).unwrap();
    }
    ready();
}

/// Locks pages 8 to 24.
fn locker() {
    let map = FileMap::open(file_of_scenario()).unwrap();
    map.lock(8 * page()..24 * page()).unwrap();
    ready();
}

#[test]
fn clean_pages_go_whether_they_are_mapped_here_or_not() {
    attempts(|| {
        let scratch = Scratch::new();
        let path = cached_file(&scratch);
        let map = FileMap::open(&path).unwrap();
        map.populate(0..map.len()).unwrap();
        let evicted = map.evict(0..map.len(), Dirty::Leave).unwrap();
        assert_eq!(known(evicted.before).resident_pages, PAGES as u64);
        assert_eq!((left(&evicted), &evicted.stayed[..]), (0, &[][..]));
        assert_eq!(map.read_to_vec(0..map.len()).unwrap(), pattern(PAGES * page()));
        drop(map);
        let file = File::open(&path).unwrap();
        let evicted = memory::evict(&file, 0..len() as u64, Dirty::Leave).unwrap();
        assert_eq!((left(&evicted), &evicted.stayed[..]), (0, &[][..]));

        let error = FileMap::open(&path).unwrap().evict(0..len() + 1, Dirty::Leave).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::OutOfBounds { len_bytes: len() as u64 });
        let (pipe, _writer) = std::io::pipe().unwrap();
        let error = memory::evict(&pipe, 0..1, Dirty::Leave).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotMappable(FileKind::Pipe));
    });
}

#[test]
fn dirty_pages_stay_unless_they_are_written_back() {
    let scratch = Scratch::new();
    let path = cached_file(&scratch);
    let map = SharedMap::open(&path).unwrap();
    // The kernel may write them back at any time by itself.
    let mut was_seen = false;
    for round in 0..10_u8 {
        map.fill(4 * page()..8 * page(), round).unwrap();
        let evicted = map.evict(0..map.len(), Dirty::Leave).unwrap();
        let dirty = evicted.stayed.iter().any(|why| {
            matches!(why, Stayed::Dirty { pages } | Stayed::WritingBack { pages } if *pages >= 1)
        });
        was_seen |= dirty && left(&evicted) >= 4;
        assert_eq!(map.load::<u8>(4 * page()).unwrap(), round);
        map.fill(4 * page()..8 * page(), round + 100).unwrap();
        let evicted = map.evict(0..map.len(), Dirty::WriteBack).unwrap();
        assert_eq!((left(&evicted), &evicted.stayed[..]), (0, &[][..]));
        assert_eq!(map.load::<u8>(8 * page() - 1).unwrap(), round + 100);
        if was_seen {
            break;
        }
    }
    assert!(was_seen, "no page ever stayed dirty");
}

#[test]
fn who_has_pages_mapped_is_named() {
    attempts(|| {
        let scratch = Scratch::new();
        let path = cached_file(&scratch);
        let other = Other::does("holder", &path, None);
        let map = FileMap::open(&path).unwrap();
        map.populate(0..map.len()).unwrap();
        let in_map = map.evict(0..map.len(), Dirty::Leave).unwrap();
        let file = File::open(&path).unwrap();
        let in_file = memory::evict(&file, 0..len() as u64, Dirty::Leave).unwrap();
        for evicted in [in_map, in_file] {
            assert!(left(&evicted) >= 16, "{evicted:?}");
            let [Stayed::Mapped(holder), ..] = &evicted.stayed[..] else { panic!("{evicted:?}") };
            assert_eq!(holder.process.id(), other.0.id());
            let comm = fs::read_to_string(format!("/proc/{}/comm", other.0.id())).unwrap();
            assert_eq!(holder.name, comm.trim_end());
            assert_eq!(holder.range, 0..len() as u64);
            assert!(holder.mapped_pages.is_none_or(|pages| pages >= 16), "{holder:?}");
            assert_eq!(holder.is_locked, Some(false));
        }
        drop(other);
        let evicted = map.evict(0..map.len(), Dirty::Leave).unwrap();
        assert_eq!((left(&evicted), &evicted.stayed[..]), (0, &[][..]));
    });
}

#[test]
fn who_has_pages_locked_is_named() {
    let scratch = Scratch::new();
    let path = cached_file(&scratch);
    let other = Other::does("locker", &path, None);
    let map = FileMap::open(&path).unwrap();
    let evicted = map.evict(0..map.len(), Dirty::WriteBack).unwrap();
    let [Stayed::Locked(holder), ..] = &evicted.stayed[..] else { panic!("{evicted:?}") };
    assert_eq!((holder.process.id(), holder.is_locked), (other.0.id(), Some(true)));
    // Where it locks nothing, it holds nothing.
    let evicted = map.evict(map.len() / 2..map.len(), Dirty::WriteBack).unwrap();
    assert_eq!((left(&evicted), &evicted.stayed[..]), (0, &[][..]));
}

#[test]
fn what_is_locked_here_stays_and_the_rest_goes() {
    let scratch = Scratch::new();
    let path = cached_file(&scratch);
    let map = FileMap::open(&path).unwrap();
    map.populate(0..map.len()).unwrap();
    let locked = 256 * page()..258 * page();
    map.lock(locked.clone()).unwrap();
    let evicted = map.evict(0..map.len(), Dirty::Leave).unwrap();
    let [Stayed::Locked(holder), ..] = &evicted.stayed[..] else { panic!("{evicted:?}") };
    assert_eq!(holder.process.id(), std::process::id());
    let stayed = known(map.residency(locked).unwrap());
    assert_eq!(stayed.resident_pages, 2);
    // A large folio stays as a whole, and that is said.
    let others = evicted.stayed.iter().find_map(|why| match why {
        Stayed::InLargeFolio { pages } => Some(*pages),
        _ => None,
    });
    assert_eq!(left(&evicted), 2 + others.unwrap_or(0), "{evicted:?}");
    assert!(left(&evicted) <= 512, "{evicted:?}");
    let unexplained = |why: &Stayed| matches!(why, Stayed::Unexplained { .. });
    assert!(!evicted.stayed.iter().any(unexplained), "{evicted:?}");
    drop(map);
    // A second map of one's own is as good as that of another.
    let (map, second) = (FileMap::open(&path).unwrap(), FileMap::open(&path).unwrap());
    second.load::<u8>(0).unwrap();
    let evicted = map.evict(0..map.len(), Dirty::Leave).unwrap();
    let [Stayed::Mapped(holder), ..] = &evicted.stayed[..] else { panic!("{evicted:?}") };
    assert_eq!(holder.process.id(), std::process::id());
}

#[test]
fn private_copies_and_memory_keep_their_bytes() {
    let scratch = Scratch::new();
    let path = cached_file(&scratch);
    let map = PrivateMap::open(&path).unwrap();
    map.fill(3 * page()..5 * page(), 7).unwrap();
    map.populate(0..map.len()).unwrap();
    let evicted = map.evict(0..map.len(), Dirty::WriteBack).unwrap();
    assert!(map.read_to_vec(3 * page()..5 * page()).unwrap().iter().all(|&byte| byte == 7));
    assert_eq!(
        map.copied_ranges().unwrap().iter().map(|range| range.len()).sum::<usize>(),
        2 * page()
    );
    if left(&evicted) > 0 {
        // Without swap the copies stay, and nothing else.
        assert_eq!((left(&evicted), &evicted.stayed[..]), (2, &[only_in_memory(2)][..]));
    }
    let mut map = AnonMap::new(64 * page()).unwrap();
    map.fill(5);
    let evicted = map.evict(0..map.len(), Dirty::WriteBack).unwrap();
    assert!(map.iter().all(|&byte| byte == 5));
    if left(&evicted) > 0 {
        assert_eq!(evicted.stayed, [only_in_memory(left(&evicted))]);
    }
    map.lock(0..page()).unwrap();
    let evicted = map.evict(0..map.len(), Dirty::Leave).unwrap();
    assert!(evicted.stayed.iter().any(|why| matches!(why, Stayed::Locked(_))), "{evicted:?}");
    for map in [SharedMap::anon(len()).unwrap(), SharedMap::memfd("memory", len()).unwrap()] {
        map.fill(0..len(), 9).unwrap();
        let evicted = map.evict(0..len(), Dirty::WriteBack).unwrap();
        assert!(map.read_to_vec(0..len()).unwrap().iter().all(|&byte| byte == 9));
        if left(&evicted) > 0 {
            assert_eq!(evicted.stayed, [only_in_memory(left(&evicted))]);
        }
    }
}

/// Which pages were written is known by the page table entries, and those are dropped.
#[test]
fn what_was_written_is_still_told_after_it_was_evicted() {
    let scratch = Scratch::new();
    for tracking in [Tracking::PageTables, Tracking::WriteProtection] {
        let mut map = SharedMap::open(cached_file(&scratch)).unwrap();
        if let Err(error) = map.track_by(tracking) {
            println!("skipped: {error}");
            continue;
        }
        for dirty in [Dirty::Leave, Dirty::WriteBack] {
            assert!(map.take_dirty(0..map.len()).all(|taken| taken.is_ok()));
            map.store(&7_u8, 5 * page()).unwrap();
            map.evict(0..map.len(), dirty).unwrap();
            let mut told = map.take_dirty(0..map.len()).map(Result::unwrap);
            assert!(told.any(|range| range.contains(&(5 * page()))), "{tracking:?} {dirty:?}");
        }
    }
}

fn only_in_memory(pages: u64) -> Stayed {
    Stayed::OnlyInMemory { pages }
}

#[test]
fn a_large_folio_on_the_edge_is_said_to_stay() {
    let scratch = Scratch::new();
    let path = cached_file(&scratch);
    // Somewhere inside of it.
    let file = File::open(&path).unwrap();
    let range = 5 * page() as u64..11 * page() as u64;
    let evicted = memory::evict(&file, range.clone(), Dirty::Leave).unwrap();
    match left(&evicted) {
        0 => println!("skipped: no large folios here"),
        pages => assert_eq!(evicted.stayed.last(), Some(&Stayed::InLargeFolio { pages })),
    }
}

/// As an ordinary user: of one's own processes everything is told, of others that they could not be
/// asked.
#[test]
fn an_ordinary_user_hears_what_may_be_told() {
    if bifolio_sys::process::geteuid().as_raw() != 0 {
        return println!("skipped: only root has another user's processes");
    }
    let scratch = Scratch::for_everyone();
    let path = cached_file(&scratch);
    std::os::unix::fs::chown(&path, Some(STRANGER), Some(STRANGER)).unwrap();
    let binary = scratch.copy_of_this();
    let _roots = Other::does("holder", &path, None);
    let mut stranger = Command::new(&binary);
    stranger.args(child("stranger").get_args()).env("BIFOLIO_CHILD", "stranger");
    stranger.env("BIFOLIO_FILE", &path).current_dir("/").uid(STRANGER).gid(STRANGER);
    assert_plays(&mut stranger);
}

fn stranger() {
    let path = file_of_scenario();
    let map = FileMap::open(&path).unwrap();
    let evicted = map.evict(0..map.len(), Dirty::Leave).unwrap();
    let Residency::Known(after) = evicted.after else { panic!("{evicted:?}") };
    assert!(after.resident_pages >= 16);
    let [Stayed::Unasked { processes: 1.. }, .., Stayed::Unexplained { pages: 16.. }] =
        evicted.stayed[..]
    else {
        panic!("{evicted:?}")
    };
    let own = Other::does("locker", &path, None);
    let evicted = map.evict(0..map.len(), Dirty::Leave).unwrap();
    assert!(
        evicted.stayed.iter().any(|why| {
            matches!(why, Stayed::Locked(holder) if holder.process.id() == own.0.id())
        }),
        "{evicted:?}"
    );
}

/// Where fstat(2) may tell another device or inode than the mappings do.
#[test]
fn who_maps_a_file_is_named_on_file_systems_in_layers() {
    if !scratch::can_mount() {
        return;
    }
    let overlay = "mount -t overlay -o lowerdir=lower,upperdir=upper,workdir=work none mount";
    let btrfs = "export PATH=$PATH:/usr/sbin:/sbin && truncate -s 128M image && \
                 mkfs.btrfs -qf image && mount -o loop image mount";
    for (line, is_needed) in [(overlay, true), (btrfs, false)] {
        let scratch = Scratch::new();
        for name in ["lower", "upper", "work", "mount"] {
            fs::create_dir(scratch.join(name)).unwrap();
        }
        let mut trial = Command::new("unshare");
        trial.args(["--mount", "sh", "-c", line]).current_dir(scratch.join("."));
        if !is_needed && !trial.output().is_ok_and(|output| output.status.success()) {
            println!("skipped: no such file system can be had: {line}");
            continue;
        }
        let staged = staged_child(line, "layers");
        let mut unshared = Command::new("unshare");
        unshared.args(["--mount", "--"]).arg(staged.get_program()).args(staged.get_args());
        unshared.envs(staged.get_envs().filter_map(|(name, value)| Some((name, value?))));
        assert_plays(unshared.current_dir(scratch.join(".")));
    }
}

fn layers() {
    let path = Path::new("mount/file");
    fs::write(path, pattern(len())).unwrap();
    File::open(path).unwrap().sync_all().unwrap();
    let other = Other::does("holder", path, None);
    let map = FileMap::open(path).unwrap();
    map.populate(0..map.len()).unwrap();
    let evicted = map.evict(0..map.len(), Dirty::WriteBack).unwrap();
    let [Stayed::Mapped(holder), ..] = &evicted.stayed[..] else { panic!("{evicted:?}") };
    assert_eq!(holder.process.id(), other.0.id());
    drop(other);
    let evicted = map.evict(0..map.len(), Dirty::WriteBack).unwrap();
    assert_eq!((left(&evicted), &evicted.stayed[..]), (0, &[][..]));
}

/// Where the children start.
#[test]
fn scenarios() {
    match scenario().as_deref() {
        None => {}
        Some("holder") => holder(),
        Some("locker") => locker(),
        Some("stranger") => stranger(),
        Some("layers") => layers(),
        Some(other) => panic!("no scenario is called {other}"),
    }
}
