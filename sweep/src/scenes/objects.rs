//! Named objects and the arena that they lie in: made, removed, reserved and committed.
//!
//! # Safety
//!
//! Lends the memory of a trial to a directory and an arena.
#![allow(unsafe_code, reason = "lends shared memory to a directory and an arena")]

use std::alloc::Layout;
use std::ptr::NonNull;

use bifolio_share::{Arena, Directory, Ground, Objects};
use bifolio_sync::{Expect, Owner, Peers, Result, Seats};

use super::ground::{LOCK, PACE, open};
use crate::place::{Board, DATA, MEMORY_LEN, Place};
use crate::scene::{Excuse, Scene};

const CAPACITY: u32 = 16;
const ARENA: usize = (DATA + Directory::len_bytes(CAPACITY)).next_multiple_of(64);
const _: () = assert!(ARENA + Arena::HEAD_BYTES < MEMORY_LEN);

/// Stores that one who is alone does not miss.
const EXCUSED: &[Excuse] = &[
    PACE,
    LOCK,
    ("write (bifolio-share/src/arena.rs", "the length asked for is there for tools"),
    ("claim (src/directory/entry.rs", "keeps away others who make it at the same time"),
    ("tell (bifolio-share/src/directory.rs", "is for those who sleep until it is there"),
];

/// A value that is whole if its words agree.
type Value = [u64; 4];

/// Seats, a directory and an arena.
struct Memory {
    seats: Seats,
    directory: Directory,
    arena: Arena,
}

impl Memory {
    /// Takes a seat.
    fn attach(place: &Place) -> Memory {
        let memory = NonNull::new(place.memory()).expect("mapped");
        let directory = NonNull::new(place.memory().wrapping_add(DATA)).expect("mapped");
        let seats = open(place);
        seats.me().expect("a seat");
        // SAFETY: the child that calls this ends without dropping the place, so the mapping stays
        // (0); it began as zeros, and nothing else lies there (1).
        let directory = unsafe { Directory::new(directory, CAPACITY) };
        // SAFETY: as above.
        let arena = unsafe { Arena::new(memory, ARENA as u64) };
        Memory { seats, directory, arena }
    }

    fn objects(&self) -> Objects<'_, Memory> {
        Objects::of(self)
    }

    fn make(&self, name: &str) {
        self.objects().construct::<Value>(name, [7; 4]).expect("a new object");
    }

    /// Nothing is left of the dead, every object is whole, and no block is nobody's; how many
    /// objects there are, and how many blocks beside.
    fn count(&self) -> std::result::Result<[u64; 2], String> {
        let objects = self.objects();
        let told = |why: bifolio_share::ObjectError| why.to_string();
        objects.verify().map_err(told)?;
        objects.repair().map_err(told)?;
        // SAFETY: nobody but this process is there, and it has no object that was removed.
        unsafe { objects.reclaim() }.map_err(told)?;
        let usage = objects.verify().map_err(told)?;
        let mut count = 0;
        for object in objects.iter() {
            let value = objects.find::<Value>(object.name.as_str()).map_err(told)?;
            if *value != [7; 4] || object.maker.is_some() {
                return Err(format!("{:?}: {object:?}", *value));
            }
            count += 1;
        }
        if usage.reserved_bytes != 0 {
            return Err(format!("{usage:?}"));
        }
        let beside = usage.blocks.checked_sub(count);
        Ok([count, beside.ok_or_else(|| format!("{count} objects in {usage:?}"))?])
    }
}

// SAFETY: the seats keep all promises.
unsafe impl Peers for Memory {
    fn me(&self) -> Result<Owner> {
        self.seats.me()
    }

    fn is_dead(&self, owner: Owner) -> bool {
        self.seats.is_dead(owner)
    }

    fn life(&self, owner: Owner) -> Option<Expect<'_>> {
        self.seats.life(owner)
    }

    fn announce(&self) {
        self.seats.announce();
    }

    fn deaths(&self) -> Expect<'_> {
        self.seats.deaths()
    }

    fn contains(&self, start: *const u8, len: usize) -> bool {
        self.seats.contains(start, len)
    }
}

// SAFETY: mapped until the process ends (0), never longer nor shorter (1), always the same (2).
unsafe impl Ground for Memory {
    fn directory(&self) -> &Directory {
        &self.directory
    }

    fn arena(&self) -> &Arena {
        &self.arena
    }

    fn len_bytes(&self) -> u64 {
        MEMORY_LEN as u64
    }

    fn grow_to(&self, len_bytes: u64) -> bool {
        len_bytes <= self.len_bytes()
    }
}

/// The victim makes an object, the survivor another.
pub(crate) struct Construct(Memory);

impl Scene for Construct {
    const NAME: &'static str = "object-construct";
    const EXCUSED: &'static [Excuse] = EXCUSED;

    fn attach(place: &Place) -> Self {
        Construct(Memory::attach(place))
    }

    fn operate(&mut self) {
        self.0.make("victim's");
    }

    fn recover(&mut self) {
        let name = format!("survivor's {}", std::process::id());
        self.0.make(&name);
    }

    fn check(&mut self) -> std::result::Result<u64, String> {
        match self.0.count()? {
            [count, 0] => Ok(count),
            [_, beside] => Err(format!("{beside} blocks are nobody's")),
        }
    }
}

/// What survivors remove.
const SPARE: [&str; 3] = ["second", "third", "fourth"];

/// The victim removes an object, the survivor another.
pub(crate) struct Remove(Memory);

impl Scene for Remove {
    const NAME: &'static str = "object-remove";
    const EXCUSED: &'static [Excuse] = EXCUSED;

    fn attach(place: &Place) -> Self {
        Remove(Memory::attach(place))
    }

    fn settle(&mut self, _: &Board) {
        self.0.make("first");
        SPARE.iter().for_each(|name| self.0.make(name));
    }

    fn operate(&mut self) {
        self.0.objects().remove("first").expect("an object to remove");
    }

    fn recover(&mut self) {
        let removed = SPARE.iter().any(|name| self.0.objects().remove(name).is_ok());
        assert!(removed, "an object to remove");
    }

    fn check(&mut self) -> std::result::Result<u64, String> {
        match self.0.count()? {
            [count @ 0..=4, 0] => Ok(4 - count),
            left => Err(format!("{left:?} are left")),
        }
    }
}

/// A block is reserved, and committed.
pub(crate) struct Reserve(Memory);

impl Scene for Reserve {
    const NAME: &'static str = "arena-reserve";
    const EXCUSED: &'static [Excuse] = EXCUSED;

    fn attach(place: &Place) -> Self {
        Reserve(Memory::attach(place))
    }

    #[inline(never)]
    fn operate(&mut self) {
        let block = self.0.arena.reserve(&self.0, Layout::new::<Value>()).expect("room");
        block.commit().expect("a block");
    }

    fn check(&mut self) -> std::result::Result<u64, String> {
        self.0.count().map(|[_, beside]| beside)
    }
}
