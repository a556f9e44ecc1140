//! Another process truncates, extends, punches, overwrites and renames over a file while several
//! threads read it by every method: no signal, and only errors that are true.
//!
//! `BIFOLIO_SOAK` multiplies the length of the attack.

mod scratch;

use bifolio_map::{Access, Backend, Error, ErrorKind, FileMap, Options, Pages, Residency};
use bifolio_sys::fs::{FallocateFlags, fallocate};
use bifolio_sys::page::page_size;
use scratch::{Random, Scratch, child, scenario, soak};
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

const PAGES: usize = 600;
/// Everything that is ever written, besides the zeros of holes.
const FILL: [u8; 2] = [0xA5, 0x5A];
const BLOWS: u32 = 3_000;

fn page() -> usize {
    page_size().bytes()
}

fn len() -> usize {
    PAGES * page()
}

#[test]
fn readers_survive_whatever_is_done_to_the_file() {
    let scratch = Scratch::new();
    let path = scratch.file("file", &vec![FILL[0]; len()]);
    let mut attacker = child("attacker");
    let seed = Random::new("attack").next();
    attacker.env("BIFOLIO_FILE", &path).env("BIFOLIO_SEED", seed.to_string());
    let mut attacker = attacker.stdout(Stdio::null()).spawn().unwrap();

    let is_over = AtomicBool::new(false);
    let (errors, successes) = (AtomicU64::new(0), AtomicU64::new(0));
    thread::scope(|scope| {
        for reader in 0..4 {
            let (path, is_over, errors, successes) = (&path, &is_over, &errors, &successes);
            scope.spawn(move || {
                let mut random = Random::new("reader");
                while !is_over.load(Ordering::SeqCst) {
                    let backend = [Backend::Map, Backend::Read][reader % 2];
                    for outcome in read_by_all_methods(path, backend, &mut random) {
                        let count = if outcome.is_ok() { successes } else { errors };
                        count.fetch_add(1, Ordering::SeqCst);
                        outcome.unwrap_or_else(|error| assert_true(&error));
                    }
                }
            });
        }
        let status = attacker.wait().unwrap();
        is_over.store(true, Ordering::SeqCst);
        assert!(status.success());
    });
    let (errors, successes) = (errors.into_inner(), successes.into_inner());
    println!("{successes} reads, {errors} errors");
    assert!(successes > 0 && errors > 0, "the attack and the readers never met");
}

/// The reasons that what the attacker does can give.
fn assert_true(error: &Error) {
    match error.kind() {
        ErrorKind::Truncated { len_bytes } => assert!(len_bytes <= len() as u64, "{error}"),
        // It shrank and grew again each time that somebody looked.
        ErrorKind::NotAccessible => {}
        kind => panic!("{kind:?}: {error}"),
    }
    let range = error.range().unwrap();
    assert!(range.start < range.end && range.end <= len() as u64, "{error}");
    assert!(error.done_bytes() as u64 <= range.end - range.start, "{error}");
}

/// One map, and one use of every method.
fn read_by_all_methods(
    path: &Path,
    backend: Backend,
    random: &mut Random,
) -> Vec<Result<(), Error>> {
    // The file may be renamed over, but a file of that name is always there.
    let map = Options::new().backend(backend).len(len()).open(path).unwrap();
    let view = map.view();
    let at = random.below(len() - 1);
    let size = 1 + random.below((len() - at).min(300_000));
    let mut bytes = vec![FILL[0]; size];
    let mut outcomes = vec![
        view.read_at(&mut bytes, at).map(drop),
        view.by_syscall().read_exact_at(&mut bytes, at),
        map.load::<u64>(at.min(len() - 8)).map(drop),
        view.find_byte(1, at).map(|found| assert_eq!(found, None)),
        view.compare(&view).map(drop),
        map.populate(at..at + size),
    ];
    let mut chunks = view.slice(at..at + size).unwrap().chunks(vec![0; 10_000]);
    outcomes.push(loop {
        match chunks.next_chunk() {
            Ok(Some(_)) => {}
            Ok(None) => break Ok(()),
            Err(error) => break Err(error),
        }
    });
    assert!(bytes.iter().all(|byte| FILL.contains(byte) || *byte == 0), "bytes from nowhere");
    match map.residency(0..len()).unwrap() {
        Residency::Known(resident) => assert!(resident.resident_pages <= resident.total_pages),
        _ => assert_eq!(backend, Backend::Read),
    }
    assert!(map.current_len().unwrap() <= len() as u64);
    outcomes
}

/// The other process.
fn attacker() {
    let path = std::env::var_os("BIFOLIO_FILE").unwrap();
    let path = Path::new(&path);
    let mut random = Random::new("attacker");
    let open = || OpenOptions::new().read(true).write(true).open(path).unwrap();
    let mut file = open();
    for _ in 0..BLOWS * soak() {
        let at = random.below(len());
        match random.below(8) {
            0 | 1 => file.set_len(at as u64).unwrap(),
            2 | 3 => file.set_len(len() as u64).unwrap(),
            4 => {
                let hole = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
                let size = 1 + random.below(len() - at);
                let _ = fallocate(&file, hole, at as u64, size as u64);
            }
            5 | 6 => {
                let bytes = vec![FILL[random.below(2)]; random.below(len() - at).min(50_000)];
                file.write_all_at(&bytes, at as u64).unwrap();
            }
            _ => {
                let other = path.with_extension("new");
                let new = File::create(&other).unwrap();
                new.write_all_at(&vec![FILL[1]; at.min(100_000)], 0).unwrap();
                fs::rename(&other, path).unwrap();
                file = open();
            }
        }
    }
}

/// Every read of a file that toggles between empty and full ends, in one way or the other.
#[test]
fn a_file_that_flickers_ends_no_read_without_an_answer() {
    let scratch = Scratch::new();
    let path = scratch.file("file", &vec![FILL[0]; len()]);
    let map = FileMap::open(&path).unwrap();
    let file = OpenOptions::new().write(true).open(&path).unwrap();
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::SeqCst) {
                file.set_len(0).unwrap();
                file.set_len(len() as u64).unwrap();
            }
        });
        let _end = End(&is_over);
        let mut bytes = vec![0; len()];
        for _ in 0..300 * soak() {
            if let Err(error) = map.read_exact_at(&mut bytes, 0) {
                assert_true(&error);
            }
        }
    });
}

/// Ends the attack, also where a check fails.
struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Where the children start.
#[test]
fn scenarios() {
    match scenario().as_deref() {
        None => {}
        Some("attacker") => attacker(),
        Some(other) => panic!("no scenario is called {other}"),
    }
}
