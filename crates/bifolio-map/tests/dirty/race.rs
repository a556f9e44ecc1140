//! Writers against takers: a write that is over when a taking begins is told by it, and every write
//! is told once all are over.

use super::{Scratch, page, ways};
use crate::scratch::{Random, soak};
use bifolio_map::{Access, AccessMut, SharedMap, Track, Tracking};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

const PAGES: usize = 40;
const WRITERS: usize = 3;

/// Each page holds a number that only rises, written by one thread.
struct Arena {
    map: SharedMap,
    /// What is surely written.
    written: [AtomicU64; PAGES],
    /// What was read of pages that were told.
    told: [AtomicU64; PAGES],
    is_over: AtomicBool,
}

impl Arena {
    fn write(&self, writer: usize, mut random: Random, writes: u64) {
        for number in 1..=writes {
            let at = random.below(PAGES / WRITERS) * WRITERS + writer;
            self.map.store(&number, at * page() + 8).unwrap();
            self.written[at].store(number, Ordering::SeqCst);
        }
    }

    /// Takes once; where nobody else takes, all that was written before is told.
    fn take(&self, is_alone: bool) {
        let before: Vec<_> = self.written.iter().map(|n| n.load(Ordering::SeqCst)).collect();
        for range in self.map.take_dirty(0..self.map.len()) {
            let range = range.unwrap();
            for at in range.start / page()..range.end / page() {
                let number: u64 = self.map.load(at * page() + 8).unwrap();
                self.told[at].fetch_max(number, Ordering::SeqCst);
            }
        }
        for at in (0..PAGES).filter(|_| is_alone) {
            let told = self.told[at].load(Ordering::SeqCst);
            assert!(told >= before[at], "page {at}: {} was written, {told} told", before[at]);
        }
    }
}

fn race(mut map: SharedMap, way: Tracking, takers: usize, seed: &mut Random) {
    map.track_by(way).unwrap();
    let number = || [const { AtomicU64::new(0) }; PAGES];
    let arena = Arena { map, written: number(), told: number(), is_over: AtomicBool::new(false) };
    let writes = u64::from(soak()) * if way == Tracking::PageTables { 20_000 } else { 1500 };
    thread::scope(|scope| {
        let takers: Vec<_> = (0..takers)
            .map(|_| {
                scope.spawn(|| {
                    while !arena.is_over.load(Ordering::SeqCst) {
                        arena.take(takers == 1);
                    }
                })
            })
            .collect();
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let (arena, random) = (&arena, Random::seeded(seed.next()));
                scope.spawn(move || arena.write(writer, random, writes))
            })
            .collect();
        let ended: Vec<_> = writers.into_iter().map(|writer| writer.join()).collect();
        arena.is_over.store(true, Ordering::SeqCst);
        for taker in takers {
            taker.join().unwrap();
        }
        assert!(ended.iter().all(Result::is_ok));
    });
    arena.take(true);
    assert_eq!(super::dirty(&arena.map), []);
}

#[test]
pub(crate) fn no_write_is_lost() {
    let mut random = Random::new("no_write_is_lost");
    let scratch = Scratch::new();
    let path = scratch.file("file", &vec![0; PAGES * page()]);
    for way in ways() {
        for takers in [1, 2] {
            race(SharedMap::anon(PAGES * page()).unwrap(), way, takers, &mut random);
            race(SharedMap::memfd("race", PAGES * page()).unwrap(), way, takers, &mut random);
        }
        race(SharedMap::open(&path).unwrap(), way, 1, &mut random);
    }
}
