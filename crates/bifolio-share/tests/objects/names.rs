//! Names: one object each, found by its type, made by one of many.
//!
//! # Safety
//!
//! `reclaim` is called where the test has no object that was removed.
#![allow(unsafe_code, reason = "reclaims removed objects")]

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use bifolio_share::{
    Directory, Fingerprint, ObjectError, ObjectErrorKind, Objects, OffsetPtr, Shared,
};

use crate::common::{DIRECTORY_AT, Memory, Random};

#[derive(Shared, Debug)]
#[shared(crate = "bifolio_share")]
#[repr(C, align(64))]
struct Counter {
    count: AtomicU64,
    limit: u64,
    reserved: [u64; 6],
}

impl Counter {
    fn new(limit: u64) -> Counter {
        Counter { count: AtomicU64::new(0), limit, reserved: [0; 6] }
    }
}

fn memory() -> Memory {
    Memory::new(1 << 20, 1 << 22, 64)
}

fn kind<T>(result: Result<T, ObjectError>) -> ObjectErrorKind {
    result.err().expect("a failure").kind()
}

#[test]
fn an_object_is_found_by_name_and_type() {
    let memory = memory();
    let objects = Objects::of(&memory);
    assert_eq!(kind(objects.find::<u64>("a")), ObjectErrorKind::NotFound);
    let made = objects.construct("a", Counter::new(7)).unwrap();
    let found = objects.find::<Counter>("a").unwrap();
    assert_eq!((found.limit, found.offset()), (7, made.offset()));
    assert_eq!(found.reserved, [0; 6]);
    made.count.fetch_add(5, SeqCst);
    assert_eq!(found.count.load(SeqCst), 5);
    assert!(std::ptr::from_ref(found.get()).is_aligned());
    assert_eq!(kind(objects.construct("a", Counter::new(8))), ObjectErrorKind::Exists);
    assert_eq!(
        kind(objects.construct("a", 8_u32)),
        ObjectErrorKind::OtherType {
            expected: u32::FINGERPRINT,
            found: Counter::FINGERPRINT.bits()
        }
    );
    let same = objects.find_or_construct("a", || -> Counter { unreachable!("it is there") });
    assert_eq!(same.unwrap().offset(), made.offset());
    let error = objects.find::<u64>("a").unwrap_err();
    let (expected, found) = (u64::FINGERPRINT, Counter::FINGERPRINT.bits());
    assert_eq!(error.kind(), ObjectErrorKind::OtherType { expected, found });
    let said = error.to_string();
    let both = [format!("{found:016x}"), format!("{:016x}", expected.bits()), "\"a\"".into()];
    assert!(both.iter().all(|part| said.contains(part)), "{said}");
    assert_eq!(std::io::Error::from(error).raw_os_error(), Some(libc::EPROTOTYPE));
}

#[test]
fn arrays_have_their_length_and_begin_as_zeros() {
    let memory = memory();
    let objects = Objects::of(&memory);
    let made = objects.construct_array::<AtomicU32>("numbers", 1000).unwrap();
    assert!(made.iter().all(|number| number.load(SeqCst) == 0));
    made[999].store(1, SeqCst);
    let found = objects.find_array::<AtomicU32>("numbers").unwrap();
    assert_eq!((found.len(), found[999].load(SeqCst)), (1000, 1));
    let other = |kind| matches!(kind, ObjectErrorKind::OtherType { .. });
    assert!(other(kind(objects.find_array::<u32>("numbers"))));
    assert!(other(kind(objects.find::<AtomicU32>("numbers"))));
    assert_eq!(objects.construct_array::<u64>("none", 0).unwrap().len(), 0);
    let refused = kind(objects.construct_array::<u64>("huge", usize::MAX / 8));
    assert_eq!(refused, ObjectErrorKind::NoSpace { len_bytes: u64::MAX });
    assert!(matches!(
        kind(objects.construct_array::<u64>("large", 1 << 40)),
        ObjectErrorKind::NoSpace { .. }
    ));
    // What failed has given its name back.
    assert_eq!(kind(objects.find_array::<u64>("large")), ObjectErrorKind::NotFound);
    assert_eq!(objects.iter().count(), 2);
    objects.verify().unwrap();
}

#[test]
fn names_have_a_length() {
    let memory = memory();
    let objects = Objects::of(&memory);
    let long = "n".repeat(Directory::NAME_LEN_MAX);
    objects.construct(&long, 1_u8).unwrap();
    assert_eq!(*objects.find::<u8>(&long).unwrap(), 1);
    for name in [String::new(), "n".repeat(Directory::NAME_LEN_MAX + 1)] {
        let len = name.len();
        assert_eq!(kind(objects.construct(&name, 1_u8)), ObjectErrorKind::NameLength { len });
        assert_eq!(kind(objects.find::<u8>(&name)), ObjectErrorKind::NameLength { len });
        assert_eq!(kind(objects.remove(&name)), ObjectErrorKind::NameLength { len });
    }
}

#[test]
fn a_full_directory_says_so_and_removed_names_make_room() {
    let memory = memory();
    let objects = Objects::of(&memory);
    for number in 0..64_u64 {
        objects.construct(&format!("object {number}"), number).unwrap();
    }
    let full = kind(objects.construct("one more", 0_u64));
    assert_eq!(full, ObjectErrorKind::DirectoryFull { capacity: 64 });
    assert_eq!(kind(objects.find::<u64>("one more")), ObjectErrorKind::NotFound);
    objects.remove("object 20").unwrap();
    objects.construct("one more", 99_u64).unwrap();
    for number in (0..64).filter(|number| *number != 20) {
        assert_eq!(*objects.find::<u64>(&format!("object {number}")).unwrap(), number);
    }
    assert_eq!(*objects.find::<u64>("one more").unwrap(), 99);
    objects.verify().unwrap();
}

#[test]
fn names_come_and_go_as_in_a_map() {
    let memory = memory();
    let objects = Objects::of(&memory);
    let mut random = Random::new();
    let mut model = std::collections::BTreeMap::new();
    for round in 0..20_000_u64 {
        let name = format!("{}", random.below(80));
        match random.below(3) {
            0 => assert_eq!(objects.remove(&name).is_ok(), model.remove(&name).is_some()),
            1 if model.len() < 64 || model.contains_key(&name) => {
                let made = objects.construct(&name, round).is_ok();
                assert_eq!(made, !model.contains_key(&name));
                model.entry(name).or_insert(round);
            }
            _ => {
                let found = objects.find::<u64>(&name).ok().map(|object| *object);
                assert_eq!(found, model.get(&name).copied());
            }
        }
        if round % 500 == 0 {
            // SAFETY: no object outlives its round.
            unsafe { objects.reclaim() }.unwrap();
            let usage = objects.verify().unwrap();
            assert_eq!((usage.blocks, usage.used_bytes), (model.len() as u64, 64 * usage.blocks));
        }
    }
    let mut names: Vec<String> = objects.iter().map(|object| object.name.to_string()).collect();
    names.sort();
    assert_eq!(names, model.into_keys().collect::<Vec<_>>());
}

#[test]
fn removed_objects_stay_where_they_are_until_reclaimed() {
    let memory = memory();
    let objects = Objects::of(&memory);
    let old = objects.construct("a", Counter::new(1)).unwrap();
    let pointer = OffsetPtr::to(&old);
    objects.remove("a").unwrap();
    assert_eq!(kind(objects.remove("a")), ObjectErrorKind::NotFound);
    assert_eq!(kind(pointer.get(&memory)), ObjectErrorKind::NotFound);
    let repaired = objects.repair().unwrap();
    assert_eq!(repaired.blocks.blocks_removed, 0);
    let new = objects.construct("a", Counter::new(2)).unwrap();
    assert_eq!((old.limit, new.limit), (1, 2));
    assert_eq!(kind(pointer.get(&memory)), ObjectErrorKind::NotFound);
    // SAFETY: the old one is not used below.
    let repaired = unsafe { objects.reclaim() }.unwrap();
    assert_eq!((repaired.claims, repaired.blocks.blocks_removed), (0, 1));
    assert_eq!(objects.verify().unwrap().blocks, 1);
}

#[test]
fn pointers_lead_to_their_object_or_nowhere() {
    let (memory, other) = (memory(), memory());
    let objects = Objects::of(&memory);
    for number in 0..20_u64 {
        objects.construct(&format!("{number}"), number).unwrap();
    }
    let pointer = OffsetPtr::to(&objects.find::<u64>("13").unwrap());
    objects.construct("first", pointer).unwrap();
    let first = objects.find::<OffsetPtr<u64>>("first").unwrap();
    assert_eq!(*first.get().get(&memory).unwrap().unwrap(), 13);
    assert_eq!(kind(first.get().get(&other)), ObjectErrorKind::NotFound);
    assert!(OffsetPtr::<u64>::NULL.get(&memory).unwrap().is_none());
    assert!(OffsetPtr::<u64>::NULL.is_null() && !pointer.is_null());
    assert_ne!(<OffsetPtr<u64>>::FINGERPRINT, <OffsetPtr<u32>>::FINGERPRINT);
    assert_eq!(size_of::<OffsetPtr<Counter>>(), 8);
}

#[test]
fn of_many_threads_one_makes_it() {
    let memory = memory();
    let made = AtomicU32::new(0);
    for round in 0..200 {
        let name = format!("round {}", round % 50);
        made.store(0, SeqCst);
        let make = || {
            made.fetch_add(1, SeqCst);
            std::thread::yield_now();
            Counter::new(round)
        };
        let find = || Objects::of(&memory).find_or_construct(&name, make).unwrap().offset();
        let offsets: Vec<u64> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(find)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(made.load(SeqCst), 1);
        assert!(offsets.iter().all(|offset| *offset == offsets[0]));
        Objects::of(&memory).remove(&name).unwrap();
    }
    Objects::of(&memory).verify().unwrap();
}

#[test]
fn lookups_beside_removals_see_whole_objects() {
    let memory = Memory::new(1 << 20, 1 << 26, 4);
    let objects = Objects::of(&memory);
    let done = AtomicU32::new(0);
    std::thread::scope(|scope| {
        let look = || {
            let mut seen = 0_u64;
            while done.load(SeqCst) == 0 {
                for name in ["x", "y", "a long name that has more than one word"] {
                    if let Ok(found) = objects.find::<[u64; 4]>(name) {
                        assert_eq!([name.len() as u64; 4], *found);
                        seen += 1;
                    }
                }
            }
            seen
        };
        let lookers: Vec<_> = (0..2).map(|_| scope.spawn(look)).collect();
        for _ in 0..5000 {
            // All three take turns in the few entries that there are.
            for name in ["x", "y", "a long name that has more than one word"] {
                objects.construct(name, [name.len() as u64; 4]).unwrap();
            }
            for name in ["y", "a long name that has more than one word", "x"] {
                objects.remove(name).unwrap();
            }
        }
        done.store(1, SeqCst);
        let seen: u64 = lookers.into_iter().map(|looker| looker.join().unwrap()).sum();
        println!("{seen} lookups found something");
    });
    objects.verify().unwrap();
}

#[test]
fn waiting_ends_with_the_object_or_with_the_time() {
    let memory = memory();
    let objects = Objects::of(&memory);
    let none = objects.wait_for::<u64>("late", Duration::from_millis(1));
    assert_eq!(kind(none), ObjectErrorKind::TimedOut);
    std::thread::scope(|scope| {
        let waiter =
            scope.spawn(|| *objects.wait_for::<u64>("late", Duration::from_secs(60)).unwrap());
        objects.construct("early", 1_u64).unwrap();
        objects.construct("late", 5_u64).unwrap();
        assert_eq!(waiter.join().unwrap(), 5_u64);
    });
}

#[test]
fn a_panic_while_making_gives_all_back() {
    let memory = memory();
    let objects = Objects::of(&memory);
    let panics = std::panic::AssertUnwindSafe(|| {
        let _ = objects.construct_with::<u64>("a", || std::panic::resume_unwind(Box::new(())));
    });
    std::panic::catch_unwind(panics).unwrap_err();
    assert_eq!(objects.verify().unwrap().blocks, 0);
    assert_eq!(*objects.construct("a", 1_u64).unwrap(), 1);
}

#[test]
fn tools_see_all_of_an_object() {
    let memory = memory();
    let objects = Objects::of(&memory);
    objects.construct_array::<u16>("array", 3).unwrap();
    let making = objects.construct_with("making", || {
        let info: Vec<_> = objects.iter().filter(|info| info.name.as_str() == "making").collect();
        assert_eq!((info.len(), info[0].maker.is_some(), info[0].offset), (1, true, 0));
        assert_eq!(kind(objects.find::<u64>("making")), ObjectErrorKind::NotFound);
        7_u64
    });
    let infos: Vec<_> = objects.iter().collect();
    assert_eq!(infos.len(), 2);
    let info = infos.iter().find(|info| info.name.as_str() == "array").unwrap();
    let array = Fingerprint::of("[]").field("", u16::FINGERPRINT);
    assert_eq!((info.fingerprint, info.len, info.maker), (array.bits(), 3, None));
    let info = infos.iter().find(|info| info.name.as_str() == "making").unwrap();
    assert_eq!(
        (info.fingerprint, info.offset),
        (u64::FINGERPRINT.bits(), making.unwrap().offset())
    );
}

#[test]
fn a_broken_entry_is_named() {
    let memory = memory();
    let objects = Objects::of(&memory);
    objects.construct("a", 1_u64).unwrap();
    let start = |index: u64| DIRECTORY_AT as u64 + 64 + 128 * index;
    let states = (0..64).map(|index| memory.byte(start(index) + 3).load(SeqCst));
    let index = states.into_iter().position(|state| state != 0).unwrap() as u64;
    // A state that there is not, the hash, the offset, the length of the name, and the name.
    for (field, byte) in [(0, 1), (3, 0xc0), (8, 1), (24, 1), (26, 1), (40, 1), (40, 88), (41, 2)] {
        let there = memory.byte(start(index) + field);
        let was = there.fetch_xor(byte, SeqCst);
        let broken = ObjectErrorKind::BrokenEntry { index: index as u32 };
        assert_eq!(kind(objects.verify()), broken, "{field}");
        there.store(was, SeqCst);
        objects.verify().unwrap();
    }
}
