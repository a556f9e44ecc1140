//! The arena: what was given out, what comes back, and what is found to be broken.

use std::alloc::Layout;
use std::sync::atomic::Ordering::SeqCst;

use bifolio_share::{Arena, Ground, ObjectErrorKind, Reserved};

use crate::common::{Memory, Random};

fn memory() -> Memory {
    Memory::new(1 << 16, 1 << 20, 16)
}

fn layout(size: usize, align: usize) -> Layout {
    Layout::from_size_align(size, align).unwrap()
}

fn arena(memory: &Memory) -> &Arena {
    memory.arena()
}

#[test]
fn blocks_are_aligned_and_apart_and_come_back() {
    let memory = memory();
    let mut random = Random::new();
    let mut held: Vec<(Reserved<'_, Memory>, u64)> = Vec::new();
    for round in 0..3000 {
        if held.len() > 40 || !held.is_empty() && random.below(3) == 0 {
            drop(held.swap_remove(random.below(held.len() as u64) as usize));
        } else {
            let size = random.below(2000) as usize;
            let align = 1 << random.below(13);
            let mut block = arena(&memory).reserve(&memory, layout(size, align)).unwrap();
            assert!(block.as_mut_ptr().addr().is_multiple_of(align), "{round}");
            assert_eq!((block.len_bytes(), block.offset() % 32), (size as u64, 0));
            let (start, end) = (block.offset(), block.offset() + size as u64);
            let apart =
                |(_, start_of, end_of): &(_, u64, u64)| end <= *start_of || *end_of <= start;
            let others = held.iter().map(|(b, end)| (b.owner(), b.offset(), *end));
            assert!(others.collect::<Vec<_>>().iter().all(apart), "{round}");
            held.push((block, end));
        }
        let usage = arena(&memory).verify(&memory).unwrap();
        assert_eq!(usage.blocks, held.len() as u64);
        assert_eq!(usage.used_bytes, usage.reserved_bytes);
    }
    held.clear();
    assert_eq!(arena(&memory).verify(&memory).unwrap().used_bytes, 0);
    assert!(memory.len_bytes() < 1 << 20, "what came back was not used again");
}

#[test]
fn a_committed_block_stays() {
    let memory = memory();
    let block = arena(&memory).reserve(&memory, layout(100, 8)).unwrap();
    let offset = block.commit().unwrap();
    assert!(arena(&memory).reserve(&memory, layout(100, 8)).unwrap().offset() != offset);
    let usage = arena(&memory).verify(&memory).unwrap();
    assert_eq!((usage.blocks, usage.used_bytes, usage.reserved_bytes), (1, 160, 0));
}

#[test]
fn it_grows_with_its_memory_and_says_when_that_ends() {
    let memory = memory();
    let large = arena(&memory).reserve(&memory, layout(600_000, 8)).unwrap();
    assert!(memory.len_bytes() > 600_000);
    let refused = arena(&memory).reserve(&memory, layout(600_000, 8)).err();
    assert_eq!(refused, Some(ObjectErrorKind::NoSpace { len_bytes: 600_000 }));
    for size in [usize::MAX >> 1, (isize::MAX as usize) - 4095] {
        let refused = arena(&memory).reserve(&memory, layout(size, 1)).err();
        assert_eq!(refused, Some(ObjectErrorKind::NoSpace { len_bytes: size as u64 }));
    }
    drop(large);
    arena(&memory).reserve(&memory, layout(600_000, 8)).unwrap().commit().unwrap();
    arena(&memory).verify(&memory).unwrap();
}

#[test]
fn small_blocks_that_came_back_are_one_large_one_before_it_grows() {
    let memory = Memory::new(1 << 16, 1 << 16, 16);
    let small = |_| arena(&memory).reserve(&memory, layout(64, 8)).ok();
    let blocks: Vec<_> = (0..10_000).map_while(small).collect();
    assert!((100..10_000).contains(&blocks.len()));
    let len = blocks.len() * 96 - 32;
    drop(blocks);
    arena(&memory).reserve(&memory, layout(len, 8)).unwrap().commit().unwrap();
}

#[test]
fn the_first_broken_block_is_named() {
    let memory = memory();
    let place = |_| arena(&memory).reserve(&memory, layout(32, 8)).unwrap().commit().unwrap() - 32;
    let starts: Vec<u64> = (0..8).map(place).collect();
    assert_eq!(starts[0], memory.arena_first());
    let offset = starts[3];
    // The size, its highest byte, the kind and the owner in the state, and the length.
    for (field, byte) in [(0, 1), (0, 0), (7, 0xff), (11, 0), (11, 0xff), (8, 1), (20, 1)] {
        let byte_there = memory.byte(offset + field);
        let was = byte_there.swap(byte, SeqCst);
        let broken = arena(&memory).verify(&memory).unwrap_err();
        assert_eq!(broken, ObjectErrorKind::BrokenBlock { offset }, "{field} {byte}");
        byte_there.store(was, SeqCst);
        arena(&memory).verify(&memory).unwrap();
    }
}
