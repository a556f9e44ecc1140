//! Processes that are killed while they make, remove and find objects: those who are left go on,
//! and nothing is torn, lost or leaked.
//!
//! # Safety
//!
//! `reclaim` is called where no process has an object that was removed.
#![allow(unsafe_code, reason = "reclaims removed objects")]

#[path = "../common/mod.rs"]
mod common;

use std::alloc::Layout;
use std::hint::spin_loop;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::{Duration, Instant};

use bifolio_share::{Ground, ObjectErrorKind, Objects};
use common::{Child, Memory, Random};

const NAMES: u64 = 6;
/// The words of the tests: how many operations each child has done; odd while in one.
const VICTIM: usize = 1;
const SURVIVOR: usize = 2;
const WORD: usize = 3;

/// A value that is whole if its words agree.
type Value = [u64; 8];

fn whole(value: &Value) -> bool {
    value.iter().all(|word| *word == value[0])
}

/// Does what objects are for, until it is killed.
fn work(memory: &Memory, random: &mut Random, progress: &AtomicU64) -> ! {
    let objects = Objects::of(memory);
    loop {
        let name = format!("name {}", random.below(NAMES));
        let value: Value = [random.next(); 8];
        progress.fetch_add(1, SeqCst);
        match random.below(6) {
            0 => drop(objects.construct(&name, value)),
            1 => drop(objects.remove(&name)),
            2 => {
                let layout = Layout::from_size_align(random.below(500) as usize, 8).unwrap();
                drop(memory.arena().reserve(memory, layout).unwrap());
            }
            3 => assert!(objects.find::<Value>(&name).map_or(true, |value| whole(&value))),
            _ => assert!(whole(&objects.find_or_construct(&name, || value).unwrap())),
        }
        progress.fetch_add(1, SeqCst);
    }
}

/// Waits until a child has done more; how much it has done.
fn passes(progress: &AtomicU64, than: u64) -> u64 {
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(60) {
        let now = progress.load(SeqCst);
        if now > than {
            return now;
        }
        std::thread::yield_now();
    }
    panic!("a child that lives does nothing: it has done {than}");
}

#[test]
fn whoever_is_left_goes_on_and_nothing_leaks() {
    let memory = Memory::new(1 << 18, 1 << 20, 8);
    let objects = Objects::of(&memory);
    let mut random = Random::new();
    let (mut inside, mut claims, mut blocks) = (0, 0, 0);
    for round in 0..500 {
        let mut seeds = [Random::of(random.next()), Random::of(random.next())];
        let [seed, other] = &mut seeds;
        let (victim, survivor) = (memory.word(VICTIM), memory.word(SURVIVOR));
        victim.store(0, SeqCst);
        survivor.store(0, SeqCst);
        let first = Child::run(|| work(&memory, seed, memory.word(VICTIM)));
        let second = Child::run(|| work(&memory, other, memory.word(SURVIVOR)));
        passes(victim, 0);
        for _ in 0..random.below(30_000) {
            spin_loop();
        }
        first.kill();
        inside += victim.load(SeqCst) % 2;
        // Two operations, the second of which began after the death.
        let seen = survivor.load(SeqCst);
        passes(survivor, seen + 3);
        second.kill();
        inside += survivor.load(SeqCst) % 2;

        let before = objects.verify().unwrap();
        let repaired = objects.repair().unwrap();
        claims += repaired.claims;
        blocks += repaired.blocks.blocks_of_the_dead;
        let after = objects.verify().unwrap();
        assert_eq!(after.reserved_bytes, 0, "round {round}: {before:?}");
        for object in objects.iter() {
            assert_eq!(object.maker, None, "round {round}: {object:?}");
            assert!(whole(&objects.find::<Value>(object.name.as_str()).unwrap()), "round {round}");
        }
        // SAFETY: both children are gone, and this process has none that was removed.
        unsafe { objects.reclaim() }.unwrap();
        let count = objects.iter().count() as u64;
        let usage = objects.verify().unwrap();
        assert_eq!((usage.blocks, usage.used_bytes), (count, 96 * count), "round {round}");
        for number in 0..NAMES {
            let name = format!("name {number}");
            assert!(whole(&objects.find_or_construct(&name, || [number; 8]).unwrap()));
        }
    }
    println!("1000 kills, {inside} inside of an operation: {claims} claims, {blocks} blocks back");
    assert!(inside > 0 && blocks > 0, "no kill hit anything");
}

#[test]
fn the_name_of_a_dead_maker_goes_to_one_who_waits() {
    let memory = Memory::new(1 << 18, 1 << 20, 8);
    let objects = Objects::of(&memory);
    for round in 0..30 {
        memory.word(WORD).store(0, SeqCst);
        let maker = Child::run(|| {
            let stuck = || -> Value {
                memory.word(WORD).store(1, SeqCst);
                loop {
                    std::thread::park();
                }
            };
            let _ = Objects::of(&memory).construct_with("name", stuck);
        });
        passes(memory.word(WORD), 0);
        let waiters: Vec<Child> = (2..5_u64)
            .map(|number| {
                Child::run(|| {
                    memory.word(WORD).fetch_add(1, SeqCst);
                    let found =
                        Objects::of(&memory).find_or_construct("name", || [number; 8]).unwrap();
                    assert!(whole(&found));
                })
            })
            .collect();
        passes(memory.word(WORD), 3);
        assert_eq!(objects.find::<Value>("name").unwrap_err().kind(), ObjectErrorKind::NotFound);
        maker.kill();
        assert!(waiters.into_iter().all(Child::join), "round {round}");
        assert!(whole(&objects.find::<Value>("name").unwrap()));
        objects.remove("name").unwrap();
        // SAFETY: the children are gone, and this process has no object.
        unsafe { objects.reclaim() }.unwrap();
        assert_eq!(objects.verify().unwrap().used_bytes, 0);
    }
}

#[test]
fn of_many_processes_one_makes_it() {
    let memory = Memory::new(1 << 18, 1 << 20, 64);
    for round in 0..40 {
        memory.word(WORD).store(0, SeqCst);
        let name = format!("round {round}");
        let run = |_| {
            Child::run(|| {
                let make = || {
                    memory.word(WORD).fetch_add(1, SeqCst);
                    std::thread::yield_now();
                    [7; 8]
                };
                let found = Objects::of(&memory).find_or_construct::<Value>(&name, make).unwrap();
                assert!(whole(&found));
            })
        };
        let children: Vec<Child> = (0..4).map(run).collect();
        assert!(children.into_iter().all(Child::join));
        assert_eq!(memory.word(WORD).load(SeqCst), 1, "round {round}");
    }
    Objects::of(&memory).verify().unwrap();
}

#[test]
fn a_child_by_fork_gives_back_nothing_of_its_parent() {
    let memory = Memory::new(1 << 18, 1 << 20, 8);
    let objects = Objects::of(&memory);
    let block = memory.arena().reserve(&memory, Layout::new::<Value>()).unwrap();
    objects
        .construct_with("name", || {
            let child = Child::run(|| {
                // SAFETY: only dropped here, as a child that unwinds would.
                drop(unsafe { std::ptr::read(&raw const block) });
                std::panic::resume_unwind(Box::new(()));
            });
            assert!(!child.join());
            assert_eq!(objects.iter().next().unwrap().maker, Some(block.owner()));
            assert!(objects.verify().unwrap().reserved_bytes > 0);
            [1_u64; 8]
        })
        .unwrap();
    let offset = block.commit().unwrap();
    assert_ne!(offset, objects.find::<Value>("name").unwrap().offset());
    assert_eq!(objects.verify().unwrap().blocks, 2);
}
