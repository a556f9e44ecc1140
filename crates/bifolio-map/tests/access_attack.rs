//! Attacks on access: a file that another process cuts and restores meanwhile, protections changed
//! behind the library, a full file system, blocked signals, refused system calls.
//!
//! What a thread or a process cannot undo is tried in a child: this binary run again with the name
//! of the scenario in `BIFOLIO_CHILD`.
//!
//! # Safety
//!
//! Unsafe code is the attacker's: it changes the protection of mapped pages, the signal mask of its
//! thread and the system calls that it may make.
#![allow(unsafe_code, reason = "the attacks are system calls")]

mod common;

use bifolio_map::{Access, AccessMut, Error, ErrorKind, FileMap, Mapping, Options, SharedMap};
use bifolio_map::{View, ViewMut};
use bifolio_sys::fault;
use common::TempFile;
use common::random::Random;
use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::{fs, io, ptr, thread};

const PAGE: usize = 64 << 10;
const LEN: usize = 8 * PAGE;
/// Where the attacker cuts the file.
const CUT: usize = 3 * PAGE;

fn child(scenario: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "scenarios", "--nocapture", "--test-threads=1"]);
    command.env("BIFOLIO_CHILD", scenario);
    command
}

fn assert_survives(scenario: &str) {
    let output = child(scenario).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    if let Some(line) = text.lines().find(|line| line.starts_with("skipped: ")) {
        println!("{line}");
    }
    assert!(output.status.success(), "{scenario}: {output:?}");
}

/// Where the children start.
#[test]
fn scenarios() {
    match std::env::var("BIFOLIO_CHILD").as_deref() {
        Err(_) => {}
        Ok("cut and restore") => cut_and_restore(),
        Ok("blocked") => blocked(),
        Ok("refused") => refused(),
        Ok("full") => full(),
        Ok(other) => panic!("no scenario {other}"),
    }
}

/// The bytes of the file: each word tells where it lies.
fn model() -> Vec<u8> {
    (0..LEN as u32 / 4).flat_map(|word| (word | 0x8000_0000).to_ne_bytes()).collect()
}

/// Cuts the file and restores it until its parent closes the pipe, or for a bounded time.
fn cut_and_restore() {
    let path = std::env::var("BIFOLIO_FILE").unwrap();
    let file = OpenOptions::new().write(true).open(path).unwrap();
    let rest = &model()[CUT..];
    let parent = thread::spawn(|| io::stdin().read_line(&mut String::new()));
    for _ in 0..1_000_000 {
        if parent.is_finished() {
            return;
        }
        file.set_len(CUT as u64).unwrap();
        file.write_all_at(rest, CUT as u64).unwrap();
    }
}

/// A child that cuts and restores the file, ended when dropped.
struct Attacker(Child);

impl Attacker {
    fn of(file: &TempFile) -> Self {
        let mut command = child("cut and restore");
        command.env("BIFOLIO_FILE", &file.0).stdin(Stdio::piped()).stdout(Stdio::null());
        Attacker(command.spawn().unwrap())
    }
}

impl Drop for Attacker {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let status = self.0.wait().unwrap();
        assert!(status.success() || thread::panicking(), "{status}");
    }
}

/// What one access came to: where the error is, if there is one, it is behind the cut.
fn assert_expected(error: &Error, start: usize, len: usize) -> usize {
    let is_expected = matches!(error.kind(), ErrorKind::Truncated { .. })
        // Cut at each of many looks.
        || error.kind() == ErrorKind::NotAccessible;
    assert!(is_expected, "{error}");
    assert_eq!(error.range(), Some(start as u64..(start + len) as u64), "{error}");
    assert!(error.done_bytes() < len && start + error.done_bytes() >= CUT, "{error}");
    error.done_bytes()
}

/// Each byte is what the file holds there, or the zero of a page that was just made.
fn assert_of_file(bytes: &[u8], start: usize, model: &[u8]) {
    if *bytes == model[start..start + bytes.len()] {
        return;
    }
    for (index, (&byte, &expected)) in bytes.iter().zip(&model[start..]).enumerate() {
        let at = start + index;
        assert!(byte == expected || (byte == 0 && at >= CUT), "{byte:#x} at {at}");
    }
}

fn read_under_attack(view: View<'_>, model: &[u8], random: &mut Random) -> usize {
    let mut errors = 0;
    for _ in 0..100 {
        let start = random.length(LEN - 1);
        let len = 1 + random.below(LEN - start);
        let part = view.slice(start..start + len).unwrap();
        let mut buf = vec![0; len];
        let done = match part.read_exact_at(&mut buf, 0) {
            Ok(()) => len,
            Err(error) => {
                errors += 1;
                assert_expected(&error, start, len)
            }
        };
        assert_of_file(&buf[..done], start, model);
        let untouched = buf[done..].first_chunk::<64>().is_none_or(|bytes| *bytes == [0; 64]);
        assert!(untouched, "wrote behind what was done");
        // These two words occur once.
        match part.find(&model[CUT - 8..CUT], 0) {
            Ok(Some(at)) => assert_eq!(start + at, CUT - 8),
            Ok(None) => assert!(start > CUT - 8 || start + len < CUT),
            Err(error) => _ = assert_expected(&error, start, len),
        }
        if let Err(error) = part.load::<u32>(len.saturating_sub(4)) {
            assert!(len < 4 || matches!(error.kind(), ErrorKind::Truncated { .. }), "{error}");
        }
    }
    errors
}

#[test]
fn a_file_is_cut_while_it_is_read() {
    let mut random = Random::new();
    let model = model();
    let file = TempFile::with(&model);
    let map = FileMap::open(&file.0).unwrap();
    let _attacker = Attacker::of(&file);
    // So that the attack does take place: until it was seen, within bounds.
    for view in [map.view(), map.by_syscall()] {
        let seen = (0..50).any(|_| read_under_attack(view, &model, &mut random) != 0);
        assert!(seen, "no access met the cut");
    }
}

#[test]
fn a_file_is_cut_while_it_is_compared_and_copied() {
    let model = model();
    let file = TempFile::with(&model);
    let map = FileMap::open(&file.0).unwrap();
    let (whole, copy) = (SharedMap::anon(LEN).unwrap(), SharedMap::anon(LEN).unwrap());
    whole.write_all_at(&model, 0).unwrap();
    let _attacker = Attacker::of(&file);
    for view in [map.view(), map.by_syscall()] {
        for round in 0..150 {
            let answer = match round % 2 {
                0 => view.compare(&whole.view()),
                _ => whole.compare(&view),
            };
            match answer {
                // A page of zeros, which the file is restored from.
                Ok(found) => assert!(found.is_none_or(|at| at >= CUT), "{found:?}"),
                Err(error) => _ = assert_expected(&error, 0, LEN),
            }
            let done = match view.copy_to_view(&copy.view_mut()) {
                Ok(count) => count,
                Err(error) => assert_expected(&error, 0, LEN),
            };
            assert_of_file(&copy.read_to_vec(0..done).unwrap(), 0, &model);
        }
    }
}

#[test]
fn a_file_is_cut_while_it_is_written() {
    let model = model();
    let file = TempFile::with(&model);
    let map = SharedMap::open(&file.0).unwrap();
    let attacker = Attacker::of(&file);
    for window in [map.view_mut(), map.view_mut().by_syscall()] {
        for round in 0..150 {
            let answer = match round % 3 {
                0 => window.write_all_at(&model, 0),
                1 => window.slice_mut(CUT..LEN).unwrap().fill(0..LEN - CUT, 0),
                _ => {
                    let counter = map.atomic::<u64>(LEN - 8).unwrap();
                    match counter.fetch_xor(1) {
                        Ok(_) => Ok(()),
                        Err(error) => {
                            assert_expected(&error, LEN - 8, 8);
                            continue;
                        }
                    }
                }
            };
            if let Err(error) = answer {
                let start = if round % 3 == 0 { 0 } else { CUT };
                assert_expected(&error, start, LEN - start);
            }
        }
    }
    drop(attacker);
    assert_eq!(fs::read(&file.0).unwrap()[..CUT], model[..CUT]);
}

/// Takes all access to `[start, start + PAGE)` of the mapping away.
fn close_page(map: &impl Mapping, start: usize) {
    let page = map.as_ptr().wrapping_add(start).cast_mut();
    // SAFETY: the page belongs to a mapping without references, reached by guarded access only.
    let answer = unsafe { libc::mprotect(page.cast(), PAGE, libc::PROT_NONE) };
    assert_eq!(answer, 0, "{}", io::Error::last_os_error());
}

/// The file says that all is well, and the memory never comes: the tries end.
#[test]
fn a_closed_page_is_an_error_and_not_a_loop() {
    let model = model();
    let file = TempFile::with(&model);
    let map = SharedMap::open(&file.0).unwrap();
    close_page(&map, CUT);
    let check = |error: Error, done: usize| {
        assert_eq!(error.kind(), ErrorKind::NotAccessible, "{error}");
        assert_eq!(error.done_bytes(), done, "{error}");
    };
    let mut buf = vec![0; LEN];
    check(map.read_exact_at(&mut buf, 0).unwrap_err(), CUT);
    check(map.find(b"no such bytes", 8).unwrap_err(), CUT - 8);
    for window in [map.view_mut(), map.view_mut().by_syscall()] {
        check(window.write_all_at(&model, 0).unwrap_err(), CUT);
        check(window.fill(CUT - 5..LEN, 1).unwrap_err(), 5);
        window.write_all_at(&model[..CUT], 0).unwrap();
    }
    check(map.atomic::<u64>(CUT).unwrap().fetch_add(1).unwrap_err(), 0);
    // By system call the file is as good as its memory, and the copy goes on behind the page.
    map.by_syscall().read_exact_at(&mut buf, 0).unwrap();
    assert!(buf == model);

    let map = SharedMap::anon(LEN).unwrap();
    close_page(&map, CUT);
    for view in [map.view(), map.by_syscall()] {
        check(view.read_exact_at(&mut buf, 0).unwrap_err(), CUT);
        check(view.compare(&view).unwrap_err(), CUT);
    }
}

/// Opens the page that was closed when the faults that it was given have come, and lets the access
/// fail all the same.
unsafe fn open_too_late(info: &fault::Info, faults: usize) -> fault::Resolution {
    // SAFETY: the registration was given the address of a counter that outlives it.
    let faults = unsafe { &*(faults as *const AtomicUsize) };
    if faults.fetch_sub(1, Ordering::SeqCst) != 1 {
        return fault::Resolution::Decline;
    }
    let page = (info.addr - info.addr % PAGE) as *mut libc::c_void;
    // SAFETY: the page that `close_page` closed; mprotect(2) is async-signal-safe on Linux.
    unsafe { libc::mprotect(page, PAGE, libc::PROT_READ | libc::PROT_WRITE) };
    fault::Resolution::Decline
}

/// Of two views the one whose page was away for a moment only is read on where it stopped.
#[test]
fn a_page_that_comes_back_costs_nothing() {
    let model = model();
    // One page more, so that there is one at a multiple of the length of these.
    let [one, other] = [LEN + PAGE; 2].map(|len| SharedMap::anon(len).unwrap());
    let aligned =
        |map: &SharedMap| map.as_ptr().addr().next_multiple_of(PAGE) - map.as_ptr().addr();
    let windows = [&one, &other].map(|map| {
        let window = map.view_mut().slice_mut(aligned(map)..aligned(map) + LEN).unwrap();
        window.write_all_at(&model, 0).unwrap();
        window
    });
    let faults = AtomicUsize::new(0);
    let data = (&raw const faults).addr();
    for (side, map) in [&one, &other].into_iter().enumerate() {
        let start = map.as_ptr().addr() + aligned(map) + CUT;
        // SAFETY: the range is mapped as long as the registration lives, and the resolver does what
        // a signal handler may.
        let resolver =
            unsafe { fault::register(start..start + PAGE, open_too_late, data) }.unwrap();
        let close = |faults_left| {
            assert_eq!(faults.swap(faults_left, Ordering::SeqCst), 0, "side {side}");
            close_page(map, aligned(map) + CUT);
        };
        let [source, target] = windows;

        close(2);
        assert_eq!(source.compare(&target).unwrap(), None);
        for changed in [CUT, CUT + 1, CUT + 9000] {
            target.store(&!model[changed], changed).unwrap();
            close(2);
            assert_eq!(source.compare(&target).unwrap(), Some(changed), "side {side}");
            target.store(&model[changed], changed).unwrap();
        }

        target.fill(0..LEN, 0).unwrap();
        // Reading a page is tried once more than writing it.
        close(2 - side);
        assert_eq!(source.copy_to_view(&target).unwrap(), LEN);
        drop(resolver);
        assert!(target.read_to_vec(0..LEN).unwrap() == model, "side {side}");
        assert_eq!(faults.load(Ordering::SeqCst), 0, "side {side}");
    }
}

#[test]
fn a_thread_that_blocks_the_signal_reads_by_system_call() {
    assert_survives("blocked");
}

fn blocked() {
    let file = TempFile::with(&model());
    let map = FileMap::open(&file.0).unwrap();
    file.set_len(CUT as u64);
    // SAFETY: the set is filled in before it is used.
    let mut set: libc::sigset_t = unsafe { std::mem::zeroed() };
    for signal in [libc::SIGBUS, libc::SIGSEGV] {
        // SAFETY: a set of this thread's own.
        assert_eq!(unsafe { libc::sigaddset(&raw mut set, signal) }, 0);
    }
    // SAFETY: it changes this thread's mask, which is the attack.
    let answer = unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, ptr::null_mut()) };
    assert_eq!(answer, 0);
    let error = map.by_syscall().read_exact_at(&mut vec![0; LEN], 0).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Truncated { len_bytes: CUT as u64 });
    assert_eq!(error.done_bytes(), CUT);
    assert!(map.by_syscall().find(b"no such bytes", 0).is_err());
}

#[test]
fn where_the_copying_calls_are_refused_the_file_is_asked() {
    assert_survives("refused");
}

/// Lets process_vm_readv(2) and process_vm_writev(2) fail with EPERM on this thread, as the filters
/// of some containers do.
fn refuse_copies() -> io::Result<()> {
    const NUMBER: u32 = 0;
    let is = |call: libc::c_long| libc::sock_filter {
        code: (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16,
        jt: 0,
        jf: 1,
        k: call as u32,
    };
    let then = |code: u32, k: u32| libc::sock_filter { code: code as u16, jt: 0, jf: 0, k };
    let refusal = libc::SECCOMP_RET_ERRNO | libc::EPERM as u32;
    let mut filter = [
        then(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, NUMBER),
        is(libc::SYS_process_vm_readv),
        then(libc::BPF_RET | libc::BPF_K, refusal),
        is(libc::SYS_process_vm_writev),
        then(libc::BPF_RET | libc::BPF_K, refusal),
        then(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ALLOW),
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

fn refused() {
    let model = model();
    let file = TempFile::with(&model);
    let options = Options::new().offset(100);
    let (map, shared) = (options.open(&file.0).unwrap(), options.open_shared(&file.0).unwrap());
    let memory = SharedMap::anon(LEN).unwrap();
    let device = Options::new().len(LEN).open_shared("/dev/zero").unwrap();
    device.store(&7_u8, 0).unwrap();
    let appending = fs::OpenOptions::new().read(true).append(true).open(&file.0).unwrap();
    let appending = SharedMap::from_file(appending).unwrap();
    if let Err(error) = refuse_copies() {
        println!("skipped: seccomp filters cannot be installed: {error}");
        return;
    }
    assert_eq!(map.by_syscall().read_to_vec(0..LEN - 100).unwrap(), model[100..]);
    let window = shared.view_mut().by_syscall();
    window.write_all_at(b"by pwrite", 50).unwrap();
    assert_eq!(shared.load::<[u8; 9]>(50).unwrap(), *b"by pwrite");

    file.set_len(CUT as u64);
    let error = map.by_syscall().read_exact_at(&mut vec![0; LEN - 100], 0).unwrap_err();
    let truncated = ErrorKind::Truncated { len_bytes: CUT as u64 };
    assert_eq!((error.kind(), error.done_bytes()), (truncated, CUT - 100));
    let error = window.write_all_at(&model[100..], 0).unwrap_err();
    assert_eq!((error.kind(), error.done_bytes()), (truncated, CUT - 100));
    assert_eq!(fs::metadata(&file.0).unwrap().len(), CUT as u64, "a write made the file longer");
    assert_eq!(fs::read(&file.0).unwrap(), model[..CUT]);

    // What is written at an offset would be appended.
    let error = appending.view_mut().by_syscall().write_all_at(b"here", 0).unwrap_err();
    assert_eq!((error.kind(), error.done_bytes()), (ErrorKind::Unsupported, 0));
    assert_eq!(fs::read(&file.0).unwrap(), model[..CUT]);

    // A device's bytes are not those that it is mapped with.
    let error = device.by_syscall().load::<u8>(0).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotPermitted);

    // Where there is no file to ask, the refusal is the answer.
    let error = memory.by_syscall().read_exact_at(&mut [0; 8], 16).unwrap_err();
    assert_eq!((error.kind(), error.done_bytes()), (ErrorKind::NotPermitted, 0));
    assert_eq!(io::Error::from(error).raw_os_error(), Some(libc::EPERM));
    memory.view_mut().by_syscall().write_all_at(b"x", 0).unwrap_err();

    // The limit on file sizes is an error, and no signal.
    let limit = libc::rlimit { rlim_cur: 64, rlim_max: 64 };
    // SAFETY: the limit lives until the call returns.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_FSIZE, &raw const limit) }, 0);
    let error = window.write_all_at(b"beyond", 50).unwrap_err();
    assert_eq!((error.kind(), error.done_bytes()), (ErrorKind::TooLarge, 0));
}

#[test]
fn a_full_file_system_is_an_error_with_its_number() {
    assert_survives("full");
}

/// Mounts a file system of its own for this process, in which `PAGE` bytes have room.
fn mount_small(directory: &std::path::Path) -> io::Result<()> {
    let path = std::ffi::CString::new(directory.to_str().unwrap()).unwrap();
    let check = |answer| if answer == 0 { Ok(()) } else { Err(io::Error::last_os_error()) };
    // SAFETY: it takes a number.
    check(unsafe { libc::unshare(libc::CLONE_NEWNS) })?;
    let flags = libc::MS_REC | libc::MS_PRIVATE;
    let root = c"/".as_ptr();
    // SAFETY: the paths are strings; the others may be null for a change of propagation.
    check(unsafe { libc::mount(ptr::null(), root, ptr::null(), flags, ptr::null()) })?;
    let (tmpfs, size) = (c"tmpfs".as_ptr(), c"size=65536".as_ptr());
    // SAFETY: strings that live until the call returns.
    check(unsafe { libc::mount(tmpfs, path.as_ptr(), tmpfs, 0, size.cast()) })
}

fn full() {
    let directory = std::env::temp_dir().join(format!("bifolio-full-{}", std::process::id()));
    fs::create_dir_all(&directory).unwrap();
    // On a thread of its own, whose view of the mounts ends with it.
    let mounted = thread::scope(|scope| scope.spawn(|| fill_up(&directory)).join().unwrap());
    fs::remove_dir(&directory).unwrap();
    if let Err(error) = mounted {
        println!("skipped: no file system can be mounted: {error}");
    }
}

fn fill_up(directory: &std::path::Path) -> io::Result<()> {
    mount_small(directory)?;
    for by_syscall in [false, true] {
        let path = directory.join("data.bin");
        fs::File::create(&path)?.set_len(LEN as u64)?;
        let map = SharedMap::open(&path).unwrap();
        let window: ViewMut<'_> =
            if by_syscall { map.view_mut().by_syscall() } else { map.view_mut() };
        let error = window.write_all_at(&[7; LEN], 0).unwrap_err();
        assert_eq!((error.kind(), error.done_bytes()), (ErrorKind::NoSpace, PAGE), "{error}");
        assert_eq!(error.range(), Some(0..LEN as u64));
        assert_eq!(io::Error::from(error).raw_os_error(), Some(libc::ENOSPC));
        let mut writer = window.writer();
        assert_eq!(writer.write(&[8; LEN])?, PAGE);
        assert_eq!(writer.write(&[8; 1]).unwrap_err().raw_os_error(), Some(libc::ENOSPC));
        fs::remove_file(&path)?;
    }
    Ok(())
}
