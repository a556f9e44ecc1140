//! What a child has made is found as it made it, with its numbers.

use super::made::{HARD_NAMES, Known, page};
use super::scratch::{Scratch, assert_plays};
use bifolio_map::memory::{Backing, Detail, Process, Purpose, Region, Segment, maps, maps_with};
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::process::CommandExt;

const STRANGER: u32 = 65534;

/// `[resident, anonymous, proportional, clean private, dirty private, clean shared, dirty shared,
/// locked]` in pages.
fn pages_of(region: &Region) -> [Option<u64>; 8] {
    let usage = &region.usage;
    [
        usage.resident_bytes,
        usage.anonymous_bytes,
        usage.proportional_bytes,
        usage.private_clean_bytes,
        usage.private_dirty_bytes,
        usage.shared_clean_bytes,
        usage.shared_dirty_bytes,
        usage.locked_bytes,
    ]
    .map(|bytes| bytes.map(|bytes| bytes / page() as u64))
}

#[test]
pub(crate) fn what_was_made_is_found_with_its_numbers() {
    let known = Known::new();
    let maps = maps(known.id()).unwrap();
    assert!(maps.is_consistent());
    for (what, purpose, pages, numbers) in [
        ("anon", Purpose::Anonymous, 32, [10, 10, 10, 0, 10, 0, 0, 0]),
        ("locked", Purpose::Anonymous, 4, [4, 4, 4, 0, 4, 0, 0, 4]),
        ("reserved", Purpose::Reserved, (1 << 30) / page(), [0; 8]),
        ("guarded", Purpose::Anonymous, 8, [1, 1, 1, 0, 1, 0, 0, 0]),
        ("shared", Purpose::File, 16, [16, 0, 16, 13, 3, 0, 0, 0]),
        ("private", Purpose::File, 16, [16, 3, 16, 13, 3, 0, 0, 0]),
        ("twice-a", Purpose::File, 6, [6, 0, 3, 0, 0, 6, 0, 0]),
        ("twice-b", Purpose::File, 6, [6, 0, 3, 0, 0, 6, 0, 0]),
        ("untouched", Purpose::File, 3, [0; 8]),
        ("memfd", Purpose::MemoryFile, 8, [4, 0, 4, 0, 4, 0, 0, 0]),
        ("common", Purpose::SharedAnonymous, 8, [2, 0, 2, 0, 2, 0, 0, 0]),
        ("segment", Purpose::SystemV, 2, [1, 0, 1, 0, 1, 0, 0, 0]),
        ("shm", Purpose::SharedMemory, 3, [0; 8]),
    ] {
        let Some(region) = known.find(&maps, what) else { continue };
        assert_eq!(region.purpose, purpose, "{what}: {region:?}");
        assert_eq!(region.range.len(), pages * page(), "{what}: {region:?}");
        assert_eq!(pages_of(region), numbers.map(Some), "{what}: {region:?}");
    }
    let find = |what| known.find(&maps, what);
    let guarded = find("guarded").unwrap().usage.guard_bytes;
    assert!(guarded.is_none_or(|bytes| bytes == 3 * page() as u64), "{guarded:?}");
    let untouched = find("untouched").unwrap();
    assert_eq!(untouched.offset_bytes, 2 * page() as u64);
    assert_eq!((untouched.is_shared, untouched.permissions.to_string()), (true, "r--".to_owned()));
    let private = find("private").unwrap();
    assert_eq!((private.is_shared, private.permissions.to_string()), (false, "rw-".to_owned()));
    if let Some(secret) = find("secret") {
        assert_eq!((secret.purpose, secret.backing), (Purpose::Secret, Backing::Memory));
    }
    if let Some(pool) = find("pool") {
        assert_eq!(pool.purpose, Purpose::HugePages);
        assert_eq!(pool.usage.resident_bytes, Some(pool.range.len() as u64));
        assert_eq!(pool.usage.huge_bytes, pool.usage.resident_bytes);
        assert!(pool.page_size_bytes > Some(page() as u64));
    }
    let transparent = &find("transparent").unwrap().usage;
    assert_eq!(transparent.resident_bytes, transparent.anonymous_bytes);
    match transparent.huge_bytes {
        Some(0) => println!("skipped: transparent huge pages are not had here"),
        huge => assert_eq!(huge, transparent.resident_bytes),
    }
    assert_eq!(find("stack").unwrap().purpose, stack_of_a_test(&known));
    assert_eq!(find("code").unwrap().purpose, Purpose::Program(Segment::Code));
    assert_eq!(find("zeroed").unwrap().purpose, Purpose::Program(Segment::Zeroed));
    assert_eq!(find("heap").unwrap().purpose, Purpose::Heap);
    let binary = std::env::current_exe().unwrap().into_os_string().into_vec();
    assert_eq!(find("code").unwrap().name[..], binary);
    assert!(maps.regions().iter().any(|region| region.purpose == Purpose::Library(Segment::Code)
        && region.name.windows(4).any(|word| word == b"libc")));
}

/// A test runs on a thread of its own, which the child's main thread waits for.
fn stack_of_a_test(known: &Known) -> Purpose {
    let mut ids: Vec<u32> = known.threads().iter().map(|&(id, _)| id).collect();
    let made = known.made.keys().find_map(|what| what.strip_prefix("thread")).unwrap();
    ids.retain(|id| *id != known.id() && id.to_string() != made);
    match ids[..] {
        [] => Purpose::MainStack,
        [id] => Purpose::ThreadStack(id),
        _ => panic!("more threads than were made: {ids:?}"),
    }
}

#[test]
fn a_thread_that_waits_tells_its_stack() {
    let known = Known::new();
    let (what, &address) = known.made.iter().find(|(what, _)| what.starts_with("thread")).unwrap();
    let id: u32 = what.strip_prefix("thread").unwrap().parse().unwrap();
    let maps = maps_with(known.id(), Detail::Layout).unwrap();
    assert_eq!(maps.find(address).unwrap().purpose, Purpose::ThreadStack(id));
}

#[test]
fn a_thread_that_runs_has_anonymous_memory() {
    let (sender, receiver) = std::sync::mpsc::channel();
    let is_over = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let their = std::sync::Arc::clone(&is_over);
    let thread = std::thread::spawn(move || {
        let local = 0_u8;
        sender.send((&raw const local).addr()).unwrap();
        while !their.load(std::sync::atomic::Ordering::SeqCst) {
            std::hint::spin_loop();
        }
    });
    let address = receiver.recv().unwrap();
    // Where another process takes its core, it waits for that, and runs to the kernel.
    let purpose =
        maps_with(Process::this(), Detail::Layout).unwrap().find(address).unwrap().purpose;
    is_over.store(true, std::sync::atomic::Ordering::SeqCst);
    thread.join().unwrap();
    assert_eq!(purpose, Purpose::Anonymous);
}

#[test]
pub(crate) fn names_are_bytes_and_no_suffix_deceives() {
    let known = Known::new();
    let maps = maps_with(known.id(), Detail::Layout).unwrap();
    for (index, name) in HARD_NAMES.into_iter().enumerate() {
        let region = known.find(&maps, &format!("name{index}")).unwrap();
        if name == br"no\012break" && region.page_size_bytes.is_none() {
            println!("skipped: the text of maps cannot tell a line break from its escape");
            continue;
        }
        assert!(region.name.ends_with(name), "{:?}", region.name.escape_ascii().to_string());
        assert_eq!(region.is_deleted, Some(false), "{}", name.escape_ascii());
        assert_eq!(region.purpose, Purpose::File);
    }
    let gone = known.find(&maps, "gone").unwrap();
    assert!(gone.name.ends_with(b"/gone (deleted)"));
    assert_eq!((gone.is_deleted, gone.purpose), (Some(true), Purpose::File));
    let memory = known.find(&maps, "memfd").unwrap();
    assert_eq!((&*memory.name, memory.is_deleted), (&b"/memfd:known (deleted)"[..], Some(true)));
    let code = known.find(&maps, "code").unwrap();
    assert_eq!((code.is_deleted, code.backing), (Some(false), Backing::Storage));
    let anon = known.find(&maps, "anon").unwrap();
    assert_eq!((anon.is_deleted, anon.backing, &*anon.name), (None, Backing::None, &b""[..]));
    for what in ["shm", "common", "memfd", "segment"] {
        if let Some(region) = known.find(&maps, what) {
            assert_eq!(region.backing, Backing::Memory, "{what}");
        }
    }
}

#[test]
pub(crate) fn the_details_agree() {
    let known = Known::new();
    // A process that stands still.
    let whole = maps(known.id()).unwrap();
    let cheap = maps_with(known.id(), Detail::Pages).unwrap();
    let layout = maps_with(known.id(), Detail::Layout).unwrap();
    assert_eq!(whole.regions().len(), cheap.regions().len());
    for ((whole, cheap), layout) in
        whole.regions().iter().zip(cheap.regions()).zip(layout.regions())
    {
        assert_eq!(cheap.usage.resident_bytes, whole.usage.resident_bytes, "{whole:?}");
        assert_eq!(cheap.usage.anonymous_bytes, whole.usage.anonymous_bytes, "{whole:?}");
        assert_eq!(cheap.usage.huge_bytes, whole.usage.huge_bytes, "{whole:?}");
        assert_eq!(cheap.usage.guard_bytes, whole.usage.guard_bytes, "{whole:?}");
        assert!(
            cheap.usage.swapped_bytes.is_none_or(|bytes| Some(bytes) == whole.usage.swapped_bytes)
        );
        assert_eq!(layout.usage, Default::default());
        let mut stripped = whole.clone();
        stripped.usage = Default::default();
        if layout.page_size_bytes.is_none() {
            if stripped.page_size_bytes > Some(page() as u64) {
                // By its name alone it could be a file.
                assert_eq!(layout.purpose, Purpose::Unknown);
                (stripped.purpose, stripped.backing) = (layout.purpose, layout.backing);
            }
            stripped.page_size_bytes = None;
        }
        assert_eq!(&stripped, layout, "what is known of the layout is known of it in every detail");
    }
}

#[test]
pub(crate) fn the_sums_are_those_of_the_kernel() {
    let known = Known::new();
    if known.made.contains_key("pool") {
        return println!("skipped: the kernel's sums leave the pool of huge pages out");
    }
    let rollup = || fs::read_to_string(format!("/proc/{}/smaps_rollup", known.id())).unwrap();
    // What is shared changes as other processes come and go: asked until it was the same before and
    // afterwards.
    let mut tries = (0..1000).map(|_| (rollup(), maps(known.id()).unwrap(), rollup()));
    let steady = tries.find(|(before, _, after)| before == after);
    let (text, maps, _) = steady.expect("the memory of a process that stands still stays so");
    let kernel = |name: &str| -> u64 {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.unwrap().trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap() * 1024
    };
    let sum = maps.total();
    for (name, ours) in [
        ("Rss", sum.resident_bytes),
        ("Shared_Clean", sum.shared_clean_bytes),
        ("Shared_Dirty", sum.shared_dirty_bytes),
        ("Private_Clean", sum.private_clean_bytes),
        ("Private_Dirty", sum.private_dirty_bytes),
        ("Anonymous", sum.anonymous_bytes),
        ("Swap", sum.swapped_bytes),
        ("LazyFree", sum.lazily_freed_bytes),
    ] {
        assert_eq!(ours, Some(kernel(name)), "{name}");
    }
    // Each mapping's share is cut to whole KiB before it is summed; other processes come and go.
    let cut_bytes = maps.regions().len() as u64 * 1024;
    let (ours, theirs) = (sum.proportional_bytes.unwrap(), kernel("Pss"));
    assert!(ours.abs_diff(theirs) <= cut_bytes + theirs / 2, "{ours} {theirs}");
}

#[test]
fn an_ordinary_user_hears_as_much_of_its_own_processes() {
    if bifolio_sys::process::geteuid().as_raw() == STRANGER {
        return println!("skipped: this user is the stranger");
    }
    let scratch = Scratch::for_everyone();
    let binary = scratch.copy_of_this();
    let mut user = std::process::Command::new(&binary);
    user.args(["--nocapture", "known::what_", "known::names_", "known::the_"]);
    user.current_dir("/").uid(STRANGER).gid(STRANGER);
    match user.output() {
        Err(error) => println!("skipped: another user cannot be had ({error})"),
        Ok(_) => assert_plays(&mut user),
    }
}
