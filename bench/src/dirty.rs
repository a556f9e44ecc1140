//! Finding what was written: dirty pages by the page tables, beside the way that every kernel has,
//! mprotect(2) and a handler of SIGSEGV.
//!
//! 256 MiB of private memory, all there, in ordinary pages; 1,000 of the 65,536 are written, each
//! 65 pages from the last. What is compared:
//!
//! - **take / take**: only the asking. Ours is `take_dirty` over the whole map; the peer reads the
//!   list that its handler wrote, and closes the pages again for the next time, one by one or all
//!   by one call. Its signals are not in it.
//! - **take / all it costs to know the same**: the same of ours, beside the peer's signals and its
//!   take, since by the signals it knows what ours learns by asking; for the absolute bar. The
//!   faults that the kernel settles for ours at each first write are not in it.
//! - **first writes and take**: what tracking costs in all, both sides.
//!
//! The peer is the shortest that can be written: its handler opens the page and notes it, and
//! nothing else; no table of ranges, no chaining.
//!
//! # Safety
//!
//! The peer is raw memory with a signal handler, used by one thread at a time.
#![allow(unsafe_code, reason = "the peer is a signal handler")]

use crate::cases::{Case, Scale};
use crate::pair::{Bar, Outcome};
use bifolio::{Advice, AnonMap, Mapping, Pages, Track, Tracking};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

/// All cases, in the order of the report.
pub const CASES: &[Case] = &[Case { name: "dirty", run: dirty }];

/// The distance of the pages that are written.
const STRIDE: usize = 65;

/// The most pages that the peer can note.
const NOTED_MAX: usize = 1000;

static NOTED: [AtomicUsize; NOTED_MAX] = [const { AtomicUsize::new(0) }; NOTED_MAX];
static NOTED_COUNT: AtomicUsize = AtomicUsize::new(0);
static PAGE: AtomicUsize = AtomicUsize::new(0);

extern "C" fn note(_: i32, info: *mut libc::siginfo_t, _: *mut libc::c_void) {
    // Relaxed: one thread does all of this.
    let page = PAGE.load(Ordering::Relaxed);
    // SAFETY: the kernel's information on a fault holds an address.
    let addr = unsafe { (*info).si_addr() }.map_addr(|addr| addr & !(page - 1));
    // SAFETY: the page is one of the benchmark's.
    unsafe { libc::mprotect(addr, page, libc::PROT_READ | libc::PROT_WRITE) };
    let count = NOTED_COUNT.fetch_add(1, Ordering::Relaxed); // relaxed: as above
    NOTED[count].store(addr.addr(), Ordering::Relaxed); // relaxed: as above
}

/// The peer's map, and its handler while it is the peer's turn.
struct Closed {
    map: AnonMap,
    page: usize,
}

impl Closed {
    /// Puts the handler in, does the work, and puts the one before back.
    fn with_handler<T>(&self, work: impl FnOnce() -> T) -> T {
        // SAFETY: zeros are an empty set and no flags.
        let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
        let handler: extern "C" fn(i32, *mut libc::siginfo_t, *mut libc::c_void) = note;
        action.sa_sigaction = handler as usize;
        action.sa_flags = libc::SA_SIGINFO;
        let mut before = action;
        // SAFETY: both are valid, and the handler is async-signal-safe.
        unsafe { libc::sigaction(libc::SIGSEGV, &raw const action, &raw mut before) };
        let done = work();
        // SAFETY: as above.
        unsafe { libc::sigaction(libc::SIGSEGV, &raw const before, std::ptr::null_mut()) };
        done
    }

    fn write(&self, count: usize) {
        for at in 0..count {
            let byte = self.map.as_ptr().wrapping_add(at * STRIDE * self.page).cast_mut();
            // SAFETY: the benchmark's own memory; the handler opens it.
            unsafe { byte.write_volatile(1) };
        }
    }

    /// The sum of the offsets that were noted; the pages are closed again.
    fn take(&self, one_by_one: bool) -> u64 {
        let count = NOTED_COUNT.swap(0, Ordering::Relaxed); // relaxed: one thread
        let start = self.map.as_ptr().addr();
        let mut sum = 0;
        for noted in &NOTED[..count] {
            let addr = noted.load(Ordering::Relaxed); // relaxed: one thread
            sum += (addr - start) as u64;
            if one_by_one {
                self.close(addr, self.page);
            }
        }
        if !one_by_one {
            self.close(start, self.map.len());
        }
        sum
    }

    fn close(&self, addr: usize, len: usize) {
        let page = self.map.as_ptr().with_addr(addr).cast_mut();
        // SAFETY: pages of the benchmark's.
        let closed = unsafe { libc::mprotect(page.cast(), len, libc::PROT_READ) };
        assert_eq!(closed, 0);
    }
}

fn write(map: &mut AnonMap, count: usize, page: usize) {
    for at in 0..count {
        map[at * STRIDE * page] = 1;
    }
}

fn take(map: &AnonMap) -> u64 {
    map.take_dirty(0..map.len()).map(|range| range.unwrap().start as u64).sum()
}

fn dirty(_: &Path, scale: Scale) -> Vec<Outcome> {
    let page = bifolio::page::page_size().bytes();
    let count = NOTED_MAX / scale.shrink;
    let len = 65_536 / scale.shrink * page;
    PAGE.store(page, Ordering::Relaxed); // relaxed: before any thread or handler
    let ordinary = || {
        let map = AnonMap::new(len).unwrap();
        // A kernel without huge pages refuses, and gives none.
        let _ = map.advise(0..len, Advice::NoHugePage);
        map.populate_write(0..len).unwrap();
        map
    };
    let mut ours = ordinary();
    match ours.track_by(Tracking::PageTables) {
        Ok(()) => {}
        Err(error) => {
            println!("| dirty pages: not measured, {error} | | | | | |");
            return vec![];
        }
    }
    let peer = Closed { map: ordinary(), page };
    peer.close(peer.map.as_ptr().addr(), len);
    let mut rounds = Rounds::default();
    // One round is not counted.
    for round in 0..=scale.rounds {
        let own = timed(&mut ours, |map| write(map, count, page), |map| take(map));
        let [singly, at_once] = [true, false].map(|one_by_one| {
            peer.with_handler(|| timed(&mut (), |()| peer.write(count), |()| peer.take(one_by_one)))
        });
        assert_eq!((own.sum, own.sum), (singly.sum, at_once.sum), "the answers differ");
        if round > 0 {
            rounds.0.push([own, singly, at_once]);
        }
    }
    let work = format!("{count} dirty pages of {}", len / page);
    let [take, cycle] = [|time: &Time| time.take_ns, |time: &Time| time.cycle_ns];
    let row = |what: &str, bar, own: fn(&Time) -> f64, way: usize, peer: fn(&Time) -> f64| {
        Outcome::of(&format!("{work}: {what}"), bar, rounds.of(0, own), rounds.of(way, peer))
    };
    vec![
        row("take / mprotect, closed one by one", Bar::RatioMax(0.1), take, 1, take),
        row("take / mprotect, closed by one call", Bar::RatioMax(0.1), take, 2, take),
        row("take / mprotect, all it costs to know the same", Bar::NsMax(300e3), take, 1, cycle),
        row("first writes and take / mprotect, closed one by one", Bar::None, cycle, 1, cycle),
        row("first writes and take / mprotect, closed by one call", Bar::None, cycle, 2, cycle),
    ]
}

/// What was found in a round, and what it took.
#[derive(Clone, Copy)]
struct Time {
    sum: u64,
    take_ns: f64,
    cycle_ns: f64,
}

/// Writes, then takes.
fn timed<M>(map: &mut M, write: impl FnOnce(&mut M), take: impl FnOnce(&mut M) -> u64) -> Time {
    let start = Instant::now();
    write(map);
    let between = Instant::now();
    let sum = take(map);
    let (take, cycle) = (between.elapsed(), start.elapsed());
    Time { sum, take_ns: take.as_nanos() as f64, cycle_ns: cycle.as_nanos() as f64 }
}

/// Each round's times: ours, and the peer's two ways.
#[derive(Default)]
struct Rounds(Vec<[Time; 3]>);

impl Rounds {
    fn of(&self, way: usize, what: fn(&Time) -> f64) -> Vec<f64> {
        self.0.iter().map(|round| what(&round[way])).collect()
    }
}
