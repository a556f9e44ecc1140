//! A child that makes mappings of every kind, and says what it made and where.
//!
//! # Safety
//!
//! Segments of System V are made by system calls with pointers.
#![allow(unsafe_code, reason = "shmat and gettid")]

use super::scratch::{Scratch, child, pattern};
use bifolio_map::memory::{Maps, Region};
use bifolio_map::{
    Access, AccessMut, FileMap, HugePages, Mapping, Options, Pages, PrivateMap, Reservation,
    SecretMap, SharedMap, page::page_size,
};
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::sync::atomic::AtomicU8;
use std::sync::{Arc, Barrier};

pub(crate) fn page() -> usize {
    page_size().bytes()
}

/// The names of the files that the child maps.
pub(crate) const HARD_NAMES: [&[u8]; 4] =
    [b"line\nbreak", b"no text \xff", b"alive (deleted)", br"no\012break"];

/// More zeros than fit behind the data in the file's last page of it.
static ZEROED: [AtomicU8; 1 << 20] = [const { AtomicU8::new(0) }; 1 << 20];

/// What the child made.
#[derive(Default)]
struct Made {
    kept: Vec<Box<dyn std::any::Any>>,
}

impl Made {
    fn at(&mut self, what: &str, address: usize) {
        println!("made {what} {address:x}");
    }

    fn map<M: Mapping + 'static>(&mut self, what: &str, map: M) {
        self.at(what, map.as_ptr().addr());
        self.kept.push(Box::new(map));
    }

    fn map_or_skip<M: Mapping + 'static>(&mut self, what: &str, map: bifolio_map::Result<M>) {
        match map {
            Ok(map) => self.map(what, map),
            Err(error) => println!("skipped: {what}: {error}"),
        }
    }

    fn file(&mut self, what: &str, map: FileMap) {
        self.at(what, map.mapping().unwrap().as_ptr().addr());
        self.kept.push(Box::new(map));
    }
}

/// The child: makes, tells, and waits until its input ends.
pub(crate) fn make() {
    let mut made = Made::default();
    private(&mut made);
    files(&mut made);
    memory(&mut made);
    transparent(&mut made);
    segment(&mut made);
    threads(&mut made);
    made.at("stack", (&raw const made).addr());
    made.at("code", make as *const () as usize);
    made.at("zeroed", ZEROED[1 << 19].as_ptr().addr());
    // SAFETY: sbrk(2) that asks for nothing changes nothing.
    made.at("heap", unsafe { libc::sbrk(0) }.addr() - 1);
    println!("made all 0");
    std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
}

/// Memory of its own.
fn private(made: &mut Made) {
    let small = Options::new().guard_pages(1, 1);

    let mut anon = small.anon(32 * page()).unwrap();
    anon.advise(0..anon.len(), bifolio_map::Advice::NoHugePage).unwrap();
    for at in 0..10 {
        anon[at * page()] = 1;
    }
    // What is read and never written is the page of zeros.
    assert!((20..25).all(|at| anon[at * page()] == 0));
    made.map("anon", anon);
    let locked = small.anon(4 * page()).unwrap();
    match locked.lock(0..locked.len()) {
        Ok(()) => made.map("locked", locked),
        Err(error) => println!("skipped: locked: {error}"),
    }
    made.map("reserved", Reservation::new(1 << 30).unwrap());
    let guarded = Reservation::new(8 * page()).unwrap();
    guarded.commit(0..8 * page()).unwrap();
    guarded.fill(0..page(), 1).unwrap();
    guarded.guard(2 * page()..5 * page()).unwrap();
    made.map("guarded", guarded);
}

/// Files of the directory that it was given.
fn files(made: &mut Made) {
    let directory = PathBuf::from(std::env::var_os("BIFOLIO_DIRECTORY").unwrap());
    let file = |name: &str, pages: usize| {
        let path = directory.join(name);
        let file = File::create_new(&path).unwrap();
        // Page by page: several that come together may be one to the kernel, dirty all or none.
        for bytes in pattern(pages * page()).chunks(page()) {
            (&file).write_all(bytes).unwrap();
        }
        // Written back, so that its pages are clean.
        file.sync_all().unwrap();
        path
    };
    let shared = SharedMap::open(file("shared", 16)).unwrap();
    shared.populate(0..shared.len()).unwrap();
    for at in [0, 5, 9] {
        shared.store(&7_u8, at * page()).unwrap();
    }
    made.map("shared", shared);
    let private = PrivateMap::open(file("private", 16)).unwrap();
    private.populate(0..private.len()).unwrap();
    for at in [1, 2, 15] {
        private.store(&7_u8, at * page()).unwrap();
    }
    made.map("private", private);
    let twice = file("twice", 6);
    for what in ["twice-a", "twice-b"] {
        let map = FileMap::open(&twice).unwrap();
        map.populate(0..map.len()).unwrap();
        made.file(what, map);
    }
    made.file(
        "untouched",
        Options::new().offset(2 * page() as u64).open(file("untouched", 5)).unwrap(),
    );
    for (index, name) in HARD_NAMES.into_iter().enumerate() {
        let path = directory.join(OsStr::from_bytes(name));
        fs::write(&path, "name").unwrap();
        made.file(&format!("name{index}"), FileMap::open(&path).unwrap());
    }
    let gone = file("gone", 1);
    made.file("gone", FileMap::open(&gone).unwrap());
    fs::remove_file(&gone).unwrap();
}

/// Memory that could be shared.
fn memory(made: &mut Made) {
    let memory = SharedMap::memfd("known", 8 * page()).unwrap();
    memory.fill(0..4 * page(), 1).unwrap();
    made.map("memfd", memory);
    let common = SharedMap::anon(8 * page()).unwrap();
    common.fill(0..2 * page(), 1).unwrap();
    made.map("common", common);
    made.map_or_skip("secret", SecretMap::new(2 * page()));
    let pool = Options::new().huge_pages(HugePages::Pool(None)).anon(2 << 20);
    made.map_or_skip("pool", pool);
    if let Some(scratch) = Scratch::in_memory() {
        let map = SharedMap::create(scratch.join("shm"), 3 * page()).unwrap();
        made.map("shm", map);
        made.kept.push(Box::new(scratch));
    }
}

/// One transparent huge page, where the system gives one.
fn transparent(made: &mut Made) {
    let mut map = Options::new().huge_pages(HugePages::Transparent).anon(4 << 20).unwrap();
    let at = map.as_ptr().addr().next_multiple_of(2 << 20) - map.as_ptr().addr();
    map[at] = 1;
    made.map("transparent", map);
}

/// A segment of System V shared memory.
fn segment(made: &mut Made) {
    // SAFETY: shmget(2) takes no pointer.
    let id = unsafe { libc::shmget(libc::IPC_PRIVATE, 2 * page(), 0o600) };
    if id < 0 {
        return println!("skipped: segment: {}", std::io::Error::last_os_error());
    }
    // SAFETY: shmat(2) chooses the address.
    let address = unsafe { libc::shmat(id, std::ptr::null(), 0) };
    // SAFETY: shmctl(2) takes no pointer to remove a segment, which goes with the process.
    unsafe { libc::shmctl(id, libc::IPC_RMID, std::ptr::null_mut()) };
    // SAFETY: the segment is mapped there, to write.
    unsafe { address.cast::<u8>().write(1) };
    made.at("segment", address.addr());
}

/// A thread that waits.
fn threads(made: &mut Made) {
    let barrier = Arc::new(Barrier::new(2));
    let (sender, receiver) = std::sync::mpsc::channel();
    let theirs = Arc::clone(&barrier);
    std::thread::spawn(move || {
        // SAFETY: gettid(2) takes no pointer.
        let id = unsafe { libc::gettid() };
        let local = 0_u8;
        sender.send((id, (&raw const local).addr())).unwrap();
        theirs.wait();
    });
    let (id, address) = receiver.recv().unwrap();
    made.at(&format!("thread{id}"), address);
    made.kept.push(Box::new(barrier));
}

/// A child that made its mappings, and where.
pub(crate) struct Known {
    child: Child,
    pub(crate) made: BTreeMap<String, usize>,
    _scratch: Scratch,
}

impl Known {
    pub(crate) fn new() -> Known {
        let scratch = Scratch::new();
        let mut command = child("known");
        command.env("BIFOLIO_DIRECTORY", scratch.join("."));
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut made = BTreeMap::new();
        for line in BufReader::new(child.stdout.as_mut().unwrap()).lines() {
            let line = line.unwrap();
            if line.contains("skipped") {
                println!("{line}");
            }
            // The test harness begins the line of its own.
            let Some((_, words)) = line.split_once("made ") else { continue };
            let (what, address) = words.split_once(' ').unwrap();
            if what == "all" {
                break;
            }
            made.insert(what.to_owned(), usize::from_str_radix(address, 16).unwrap());
        }
        let known = Known { child, made, _scratch: scratch };
        // It has yet to come to rest.
        for _ in 0..100_000 {
            if known.threads().iter().all(|&(_, is_waiting)| is_waiting) {
                return known;
            }
            std::thread::yield_now();
        }
        panic!("the child never waits");
    }

    /// Its threads, and whether each waits.
    pub(crate) fn threads(&self) -> Vec<(u32, bool)> {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.id())).unwrap();
        let look = |task: fs::DirEntry| {
            let stat = fs::read_to_string(task.path().join("stat")).unwrap();
            let is_waiting = stat.rsplit_once(") ").unwrap().1.starts_with('S');
            (task.file_name().to_str().unwrap().parse().unwrap(), is_waiting)
        };
        tasks.map(|task| look(task.unwrap())).collect()
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// The region where something was made, unless that was skipped.
    pub(crate) fn find<'a>(&self, maps: &'a Maps, what: &str) -> Option<&'a Region> {
        let address = *self.made.get(what)?;
        Some(maps.find(address).unwrap_or_else(|| panic!("{what} is mapped at {address:x}")))
    }
}

impl Drop for Known {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        // Else its last words meet a closed pipe.
        let mut rest = Vec::new();
        self.child.stdout.take().unwrap().read_to_end(&mut rest).unwrap();
        self.child.wait().unwrap();
    }
}
