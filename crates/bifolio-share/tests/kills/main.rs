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
use bifolio_sync::Peers;
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
    let parent = std::process::id();
    let block = memory.arena().reserve(&memory, Layout::new::<Value>()).unwrap();
    let made = || {
        objects.construct_with("name", || {
            // The child unwinds through all that its parent is about to do.
            let Some(child) = Child::fork() else { std::panic::resume_unwind(Box::new(())) };
            assert!(child.join());
            assert_eq!(objects.iter().next().map(|info| info.maker), Some(Some(block.owner())));
            assert_eq!(objects.verify().unwrap().reserved_bytes, 2 * 96);
            [1_u64; 8]
        })
    };
    let made = std::panic::catch_unwind(std::panic::AssertUnwindSafe(made));
    if std::process::id() != parent {
        drop(block);
        Child::exit(i32::from(made.is_ok()));
    }
    let offset = block.commit().unwrap();
    assert_ne!(offset, made.unwrap().unwrap().offset());
    assert_eq!(objects.verify().unwrap().blocks, 2);
}

/// The owner that a child was, which is dead by now, after its `work`.
fn dead(memory: &Memory, work: impl FnOnce()) -> u32 {
    let child = Child::run(|| {
        work();
        memory.word(WORD).store(memory.me().unwrap().bits().into(), SeqCst);
    });
    assert!(child.join());
    memory.word(WORD).load(SeqCst) as u32
}

#[test]
fn what_was_published_and_not_committed_is_not_taken_for_unfinished() {
    const RESERVED: u32 = 2 << 30;
    let memory = Memory::new(1 << 18, 1 << 20, 8);
    let objects = Objects::of(&memory);
    for removed in [false, true] {
        let make = || assert!(Objects::of(&memory).construct("name", [3_u64; 8]).is_ok());
        let owner = dead(&memory, make);
        let object = objects.find::<Value>("name").unwrap();
        // As if the maker had died before its last step.
        memory.state(object.offset() - 32 + 8).store(RESERVED | owner, SeqCst);
        if removed {
            objects.remove("name").unwrap();
        }
        let repaired = objects.repair().unwrap();
        assert_eq!((repaired.claims, repaired.blocks.blocks_of_the_dead), (0, 0));
        let usage = objects.verify().unwrap();
        assert_eq!((usage.blocks, usage.reserved_bytes), (1, 0));
        assert_eq!(*object, [3; 8]);
        if !removed {
            objects.remove("name").unwrap();
        }
        // SAFETY: the object is not used any more.
        let repaired = unsafe { objects.reclaim() }.unwrap();
        assert_eq!(repaired.blocks.blocks_removed, 1);
    }
}

#[test]
fn the_lists_of_a_dead_holder_are_not_believed() {
    let memory = Memory::new(1 << 18, 1 << 20, 8);
    let layout = Layout::new::<Value>();
    let blocks = [(); 3].map(|()| memory.arena().reserve(&memory, layout).unwrap());
    let [first, second, third] = blocks;
    drop(first);
    let head = memory.arena_first() - 384;
    let owner = dead(&memory, || ());
    // As if it had died while it had the lock, with a list that leads nowhere.
    let list = (0..40).map(|list| memory.state(head + 16 + 8 * list));
    list.for_each(|list| list.store(12_345, SeqCst));
    memory.state(head).store(owner, SeqCst);
    let fourth = memory.arena().reserve(&memory, layout).unwrap();
    assert!(fourth.offset() < second.offset(), "what is free was not found");
    assert_eq!(memory.arena().verify(&memory).unwrap().blocks, 3);
    drop((second, third, fourth));
    assert_eq!(memory.arena().verify(&memory).unwrap().used_bytes, 0);
}
