//! The policy of zeros: what reads as what, what is lost, what is recorded.
//!
//! # Safety
//!
//! Files are shortened under their own slices, which is the attack.
#![allow(unsafe_code, reason = "the attacks are made of raw faults")]
#![allow(clippy::undocumented_unsafe_blocks, reason = "an attack's argument is that it is one")]
#![allow(clippy::multiple_unsafe_ops_per_block, reason = "as above")]

use crate::attack::{four_pages, read, touch, write, written};
use crate::common::{Scratch, page};
use crate::{command, end_of, run};
use memmap2::bifolio::{Faults, OnFault, on_fault, set_on_fault, take_faults};
use memmap2::{MmapMut, MmapOptions};
use std::fs::{File, Permissions};
use std::os::fd::FromRawFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::sync::atomic::{AtomicUsize, Ordering};

pub(crate) const SCENARIOS: &[(&str, fn())] = &[
    ("zero-read", zero_read),
    ("zero-write", zero_write),
    ("zero-private", zero_private),
    ("zero-threads", zero_threads),
    ("zero-many", zero_many),
    ("zero-together", zero_together),
    ("zero-grown", zero_grown),
    ("zero-older", zero_older),
    ("zero-fork", zero_fork),
    ("zero-exec", zero_exec),
    ("zero-unmap", zero_unmap),
    ("empty-pool", write_to_huge_pages_that_are_not_there),
    ("zero-safe", zero_safe),
    ("zero-memory", zero_memory),
    ("policy", policy_is_what_was_said),
    ("elevated", elevated),
    ("call-wins", call_wins),
];

fn zero_read() {
    let (scratch, map) = read();
    scratch.file.set_len(page() as u64).unwrap();
    assert_eq!((touch(&map, 0), touch(&map, 3 * page())), (7, 0));
    assert_eq!((touch(&map, 3 * page() + 1), touch(&map, 2 * page())), (0, 0));
    let faults = take_faults();
    let ranges: Vec<_> = faults.list.iter().map(|fault| fault.file_range.clone()).collect();
    let page_of = |at: usize| Some((at * page()) as u64..((at + 1) * page()) as u64);
    assert_eq!(ranges, [page_of(3), page_of(2)]);
    let fault = &faults.list[0];
    assert_eq!((&fault.path, fault.file_len), (&scratch.path, Some(page() as u64)));
    let start = map.as_ptr() as usize + 3 * page();
    assert_eq!(fault.addresses, start..start + page());
    if cfg!(target_arch = "x86_64") {
        assert_eq!(fault.is_write, Some(false));
        let text = format!("cannot read {} [", scratch.path.display());
        assert!(fault.to_string().starts_with(&text), "{fault}");
    }
    assert_eq!(faults.unlisted, 0);
    assert_eq!(take_faults(), Faults::default());
}

#[test]
fn what_is_gone_reads_as_zeros_and_is_recorded() {
    let end = run("zero-read", Some("zero")).assert_lived();
    // The first one is told, the second is not.
    end.assert_said(&[
        "cannot read ",
        "; it reads as zeros now, and so will others without a word",
    ]);
}

fn zero_write() {
    let (scratch, mut map) = written();
    scratch.file.set_len(0).unwrap();
    write(&mut map, page() + 1, 5);
    assert_eq!((touch(&map, page() + 1), touch(&map, page())), (5, 0));
    scratch.file.set_len(4 * page() as u64).unwrap();
    // What is written stays here: the page is the file's no more, the others are.
    write(&mut map, page() + 2, 6);
    write(&mut map, 2 * page(), 8);
    map.flush().unwrap();
    let bytes = scratch.bytes();
    assert_eq!((bytes[page() + 1], bytes[page() + 2], bytes[2 * page()]), (0, 0, 8));
    let faults = take_faults();
    assert_eq!(faults.list.len(), 1);
    if cfg!(target_arch = "x86_64") {
        assert_eq!(faults.list[0].is_write, Some(true));
    }
}

#[test]
fn what_is_written_to_zeros_is_lost() {
    run("zero-write", Some("zero")).assert_lived();
}

fn zero_private() {
    let scratch = four_pages();
    let mut map = unsafe { MmapOptions::new().map_copy(&scratch.file) }.unwrap();
    write(&mut map, 0, 1);
    scratch.file.set_len(0).unwrap();
    // A copy does not outlive the file's end either.
    assert_eq!(touch(&map, 0), 0);
    write(&mut map, 0, 2);
    assert_eq!(touch(&map, 0), 2);
    assert_eq!(take_faults().list.len(), 1);
}

#[test]
fn private_maps_are_zeroed_too() {
    run("zero-private", Some("zero")).assert_lived();
}

fn zero_threads() {
    const THREADS: usize = 24;
    let scratch = four_pages();
    let pages = 64;
    scratch.file.set_len((pages * page()) as u64).unwrap();
    let map = unsafe { memmap2::Mmap::map(&scratch.file) }.unwrap();
    scratch.file.set_len(0).unwrap();
    let start = std::sync::Barrier::new(THREADS);
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (map, start) = (&map, &start);
            scope.spawn(move || {
                start.wait();
                for at in 0..pages {
                    assert_eq!(touch(map, (at + thread) % pages * page()), 0);
                }
            });
        }
    });
    let faults = take_faults();
    let mut seen: Vec<_> = faults.list.iter().map(|fault| fault.addresses.start).collect();
    seen.sort_unstable();
    seen.dedup();
    // Before Linux 5.14 two that meet the fault of one page at once may both record it.
    assert!(faults.list.len() + faults.unlisted as usize >= pages);
    assert!(seen.len() <= pages && seen.iter().all(|at| at % page() == 0));
}

#[test]
fn threads_that_fault_at_once_all_go_on() {
    run("zero-threads", Some("zero")).assert_lived();
}

/// Threads that write to the same pages at once, each its own bytes.
fn zero_together() {
    const THREADS: usize = 2;
    let pages = 3000;
    let scratch = four_pages();
    scratch.file.set_len((pages * page()) as u64).unwrap();
    let map = MmapOptions::new().map_raw(&scratch.file).unwrap();
    scratch.file.set_len(0).unwrap();
    let arrived = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (map, arrived) = (&map, &arrived);
            scope.spawn(move || {
                for at in 0..pages {
                    arrived.fetch_add(1, Ordering::SeqCst);
                    while arrived.load(Ordering::SeqCst) < (at + 1) * THREADS {
                        std::hint::spin_loop();
                    }
                    let byte = map.as_mut_ptr().wrapping_add(at * page() + thread);
                    unsafe { byte.write_volatile(1) };
                }
            });
        }
    });
    for at in 0..pages {
        for thread in 0..THREADS {
            let byte = map.as_ptr().wrapping_add(at * page() + thread);
            assert_eq!(unsafe { byte.read_volatile() }, 1, "page {at}, thread {thread}");
        }
    }
}

#[test]
fn what_is_written_to_zeros_stays_there() {
    run("zero-together", Some("zero")).assert_lived();
}

/// More than there is room to record: they are counted.
fn zero_many() {
    let scratch = four_pages();
    let pages = 500;
    scratch.file.set_len((pages * page()) as u64).unwrap();
    let map = unsafe { memmap2::Mmap::map(&scratch.file) }.unwrap();
    scratch.file.set_len(0).unwrap();
    assert!((0..pages).all(|at| touch(&map, at * page()) == 0));
    let faults = take_faults();
    assert_eq!(faults.list.len() as u64 + faults.unlisted, pages as u64);
    assert!(faults.unlisted > 0);
    let starts: Vec<_> = faults.list.iter().map(|fault| fault.addresses.start).collect();
    assert!(starts.is_sorted());
}

#[test]
fn faults_that_find_no_place_are_counted() {
    run("zero-many", Some("zero")).assert_lived().assert_said(&[]);
}

fn zero_grown() {
    let (scratch, map) = read();
    scratch.file.set_len(0).unwrap();
    assert_eq!(touch(&map, 0), 0);
    std::fs::write(&scratch.path, vec![9; 4 * page()]).unwrap();
    // The page that was touched stays zero, the others are the file's.
    assert_eq!((touch(&map, 0), touch(&map, page())), (0, 9));
    let anew = unsafe { memmap2::Mmap::map(&scratch.file) }.unwrap();
    assert_eq!(touch(&anew, 0), 9);
}

#[test]
fn only_the_page_that_was_touched_is_replaced() {
    run("zero-grown", Some("zero")).assert_lived();
}

/// Without MADV_POPULATE_READ and MADV_POPULATE_WRITE nobody tells whether a page can be had now.
fn zero_older() {
    crate::others::refuse_to_populate();
    let map = unsafe { memmap2::Mmap::map(&four_pages().file) }.unwrap();
    let answer = bifolio_sys::fault::bring_in(map.as_ptr() as usize, false);
    assert_eq!(answer, Err(bifolio_sys::Errno::INVAL), "it is not refused");
    zero_read();
    zero_write();
    zero_private();
    zero_grown();
    assert_eq!(take_faults().list.len(), 1);
    zero_threads();
}

#[test]
fn kernels_that_cannot_be_asked_for_a_page_put_zeros_too() {
    let end = run("zero-older", Some("zero")).assert_lived();
    end.assert_said(&["cannot read ", "; it reads as zeros now"]);
}

fn zero_fork() {
    let (scratch, map) = read();
    scratch.file.set_len(0).unwrap();
    let child = unsafe { libc::fork() };
    if child == 0 {
        let is_zero = touch(&map, page()) == 0 && touch(&map, 2 * page()) == 0;
        let is_recorded = take_faults().list.len() == 2;
        drop(map);
        unsafe { libc::_exit(i32::from(!(is_zero && is_recorded))) };
    }
    let mut status = 0;
    assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
    assert_eq!(status, 0, "the child");
    // What the child replaced is replaced in the child.
    assert_eq!(take_faults(), Faults::default());
    assert_eq!(touch(&map, page()), 0);
    assert_eq!(take_faults().list.len(), 1);
}

#[test]
fn a_forked_child_has_the_policy_and_its_own_record() {
    run("zero-fork", Some("zero")).assert_lived();
}

fn zero_exec() {
    let map = unsafe { MmapOptions::new().map_exec(&four_pages().file) }.unwrap();
    let scratch = four_pages();
    let gone = unsafe { MmapOptions::new().map_exec(&scratch.file) }.unwrap();
    assert_eq!(touch(&map, 0), 7);
    scratch.file.set_len(0).unwrap();
    std::fs::remove_file(&scratch.path).unwrap();
    touch(&gone, 0);
}

#[test]
fn code_is_never_replaced_by_zeros() {
    run("zero-exec", Some("zero")).assert_killed(libc::SIGBUS).assert_said(&["cannot read "]);
}

/// A sealed file of huge pages, of which the pool may have none.
fn zero_safe() {
    let flags = libc::MFD_ALLOW_SEALING | libc::MFD_HUGETLB;
    let fd = unsafe { libc::memfd_create(c"safe".as_ptr(), flags) };
    let file = unsafe { File::from_raw_fd(fd) };
    file.set_len(HUGE as u64).unwrap();
    let seals = libc::F_SEAL_SHRINK | libc::F_SEAL_WRITE;
    assert_eq!(unsafe { libc::fcntl(fd, libc::F_ADD_SEALS, seals) }, 0);
    match MmapOptions::new().no_reserve_swap().map_if_safe(&file) {
        Ok(map) => drain(&map),
        Err(error) => println!("skipped: {error}"),
    }
}

fn zero_memory() {
    match MmapOptions::new().huge(None).no_reserve_swap().len(HUGE).map_anon() {
        Ok(map) => drain(&map),
        Err(error) => println!("skipped: {error}"),
    }
}

/// Sixteen gigabytes.
const HUGE: usize = 16 << 30;

/// Touches the start of each huge page until the pool is empty.
fn drain(map: &[u8]) {
    (0..map.len()).step_by(2 << 20).for_each(|at| _ = touch(map, at));
    println!("skipped: the pool has {} bytes", map.len());
}

/// Whoever gets a slice without `unsafe` has promised nothing, so it never changes under him.
#[test]
fn what_was_mapped_without_a_promise_is_never_replaced() {
    for scenario in ["zero-safe", "zero-memory"] {
        let end = run(scenario, Some("zero"));
        assert!(!end.stderr.contains("zeros"), "{}", end.stderr);
        let stdout = String::from_utf8_lossy(&end.output.stdout);
        match stdout.lines().find(|line| line.contains("skipped")) {
            Some(reason) => println!("{reason}"),
            None => _ = end.assert_killed(libc::SIGBUS).assert_said(&["cannot read "]),
        }
    }
}

/// Pages that were replaced are unmapped with the map, and the addresses serve others.
fn zero_unmap() {
    for _ in 0..3 {
        let (scratch, map) = written();
        scratch.file.set_len(0).unwrap();
        assert_eq!(touch(&map, page()), 0);
        let address = map.as_ptr() as usize + page();
        drop(map);
        let answer = unsafe {
            let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED_NOREPLACE;
            libc::mmap(address as *mut _, page(), libc::PROT_READ, flags, -1, 0)
        };
        assert_eq!(answer as usize, address, "the page is still mapped");
        assert_eq!(unsafe { libc::munmap(answer, page()) }, 0);
    }
}

#[test]
fn zeros_go_with_their_map() {
    run("zero-unmap", Some("zero")).assert_lived();
}

/// Huge pages that were not promised: where the pool is empty, touching them is a signal.
fn write_to_huge_pages_that_are_not_there() {
    let free = std::fs::read_to_string("/proc/sys/vm/nr_hugepages");
    let map = MmapOptions::new().huge(None).no_reserve_swap().len(2 * page()).map_anon();
    let (Ok("0"), Ok(mut map)) = (free.as_deref().map(str::trim), map) else {
        return println!("skipped: there are huge pages here, or none can be");
    };
    write(&mut map, page(), 5);
}

/// A forked child may have lost a page that it had: zeros would change bytes under a slice.
#[test]
fn huge_pages_that_are_not_there_are_told_and_never_replaced() {
    for policy in ["zero", "abort"] {
        let end = run("empty-pool", Some(policy));
        if String::from_utf8_lossy(&end.output.stdout).contains("skipped: ") {
            return eprintln!("skipped: there are huge pages here, or none can be");
        }
        let end = end.assert_killed(libc::SIGBUS);
        end.assert_said(&["huge pages: their pool is empty (SIGBUS"]);
    }
}

fn policy_is_what_was_said() {
    let expected = match std::env::var(crate::POLICY).as_deref() {
        Ok("zero") => OnFault::Zero,
        _ => OnFault::Abort,
    };
    assert_eq!(on_fault(), expected);
    // It is read once, and a wrong value told once.
    drop(MmapMut::map_anon(1).unwrap());
    drop(MmapMut::map_anon(1).unwrap());
    assert_eq!(on_fault(), expected);
}

#[test]
fn the_environment_chooses_and_a_wrong_value_is_told() {
    for policy in [None, Some(""), Some("abort"), Some("zero")] {
        let end = run("policy", policy).assert_lived();
        assert_eq!(end.words(), [""; 0], "{policy:?}");
    }
    for policy in ["Zero", "zero ", "1", "ignore"] {
        let said = format!("BIFOLIO_MEMMAP2_FAULT={policy}: it takes abort or zero, and abort");
        run("policy", Some(policy)).assert_lived().assert_said(&[&said]);
    }
}

fn elevated() {
    if unsafe { libc::getauxval(libc::AT_SECURE) } == 0 {
        return println!("skipped: programs that set their user are not heeded here");
    }
    assert_eq!(on_fault(), OnFault::Abort);
    set_on_fault(OnFault::Zero);
    assert_eq!(on_fault(), OnFault::Zero);
}

/// Who starts a program that has more rights than he has does not choose what its bytes are.
#[test]
fn a_program_with_rights_of_its_own_is_not_told_by_its_environment() {
    if unsafe { libc::geteuid() } != 0 {
        return println!("skipped: this needs two users");
    }
    let program = Scratch::with(b"").path.with_extension("set-user");
    // By another process: a child of another test that inherits a file open for writing would keep
    // it from being started.
    let mut cp = std::process::Command::new("cp");
    let copied = cp.arg(std::env::current_exe().unwrap()).arg(&program).status();
    assert!(copied.unwrap().success());
    std::os::unix::fs::chown(&program, Some(65534), None).unwrap();
    std::fs::set_permissions(&program, Permissions::from_mode(0o4755)).unwrap();
    let mut stranger = command(&program, "elevated", Some("zero"));
    let end = end_of(stranger.current_dir("/").uid(65533).gid(65533));
    std::fs::remove_file(&program).unwrap();
    let end = end.assert_lived();
    String::from_utf8_lossy(&end.output.stdout)
        .lines()
        .filter(|line| line.contains("skipped"))
        .for_each(|line| println!("{line}"));
}

fn call_wins() {
    set_on_fault(OnFault::Zero);
    let (scratch, map) = read();
    scratch.file.set_len(0).unwrap();
    assert_eq!(touch(&map, 0), 0);
    assert_eq!(take_faults().list.len(), 1);
    // For the maps that exist, too.
    set_on_fault(OnFault::Abort);
    assert_eq!(on_fault(), OnFault::Abort);
    touch(&map, page());
}

#[test]
fn a_call_wins_over_the_environment() {
    let end = run("call-wins", Some("abort")).assert_killed(libc::SIGBUS);
    let words = end.words();
    assert_eq!(words.len(), 2, "{}", end.stderr);
    assert!(words[0].contains("it reads as zeros now") && words[1].contains("reads zeros instead"));
}
