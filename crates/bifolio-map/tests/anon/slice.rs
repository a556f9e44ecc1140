//! What a slice of private memory promises: zeroed, this process's own, at the address asked for.

use super::{Random, fork, is_mapped, is_readable, page, resident, seed, smaps};
use bifolio_map::{Access, Advice, AnonMap, ErrorKind, HugePages, Operation, Options, Pages};

const _: () = {
    const fn is_send_and_sync<T: Send + Sync>() {}
    is_send_and_sync::<AnonMap>();
};

#[test]
fn it_is_zeroed_and_page_aligned() {
    for len in [1, 5, page() - 1, page(), page() + 1, 1 << 20] {
        let mut map = AnonMap::new(len).unwrap();
        assert_eq!((map.len(), map.as_ptr().addr() % page()), (len, 0));
        assert!(map.iter().all(|byte| *byte == 0));
        map.fill(0xff);
        assert!(map.iter().all(|byte| *byte == 0xff));
    }
}

#[test]
fn without_bytes_nothing_is_mapped() {
    for options in [Options::new(), Options::new().guard_pages(2, 2)] {
        let mut map = options.anon(0).unwrap();
        assert_eq!(&map[..], b"");
        map.discard(0..0).unwrap();
        map.advise(0..0, Advice::Cold).unwrap();
        map.lock(0..0).unwrap();
        map.unlock(0..0).unwrap();
        assert_eq!(map.discard(0..1).unwrap_err().kind(), ErrorKind::OutOfBounds { len_bytes: 0 });
        map.resize(5).unwrap();
        assert_eq!(&map[..], &[0; 5]);
        map.resize(0).unwrap();
        assert_eq!(&map[..], b"");
        map.unmap().unwrap();
    }
}

#[test]
fn lengths_beyond_the_address_space_are_refused() {
    for (len, kind) in [
        (usize::MAX, ErrorKind::TooLarge),
        (usize::MAX - page() + 2, ErrorKind::TooLarge),
        (1 << 60, ErrorKind::TooLarge),
        (1 << 46, ErrorKind::NoMemory),
    ] {
        let error = AnonMap::new(len).unwrap_err();
        assert_eq!((error.operation(), error.kind()), (Operation::Map, kind), "{len:#x}");
        let error = Options::new().guard_pages(1, 1).anon(len).unwrap_err();
        assert_eq!((error.operation(), error.kind()), (Operation::Map, kind), "{len:#x}");
    }
    let error = Options::new().guard_pages(usize::MAX, 0).anon(1).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooLarge);
    let mut map = AnonMap::new(5).unwrap();
    map.copy_from_slice(b"folio");
    for (len, kind) in [
        (usize::MAX, ErrorKind::TooLarge),
        (1 << 60, ErrorKind::TooLarge),
        (1 << 46, ErrorKind::NoMemory),
    ] {
        let error = map.resize(len).unwrap_err();
        assert_eq!((error.operation(), error.kind()), (Operation::Resize, kind), "{len:#x}");
    }
    assert_eq!(&map[..], b"folio");
}

#[test]
fn an_occupied_address_is_refused_and_what_is_there_stays() {
    let mut first = AnonMap::new(3 * page()).unwrap();
    first.fill(7);
    let addr = first.as_ptr().addr();
    for offset in [0, page(), 2 * page()] {
        let error = Options::new().at_exactly(addr + offset).anon(page()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Occupied);
    }
    // Guard pages would lie on it.
    let end = addr + 3 * page();
    let error = Options::new().guard_pages(1, 0).at_exactly(end).anon(1).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Occupied);
    let error = Options::new().at_exactly(addr + 1).anon(1).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Misaligned { align_bytes: page() });
    assert!(first.iter().all(|byte| *byte == 7));
}

#[test]
fn an_exact_address_is_exact_and_a_hint_is_a_hint() {
    // A range of our own that another thread's mapping cannot take meanwhile: the halves of it
    // are freed and taken again, and a thread that is faster only makes it occupied.
    let map = AnonMap::new(1 << 20).unwrap();
    let addr = map.as_ptr().addr();
    let hinted = Options::new().addr_hint(addr).anon(page()).unwrap();
    assert_ne!(hinted.as_ptr().addr(), addr);
    let taken = (0..100).find_map(|_| {
        let addr = AnonMap::new(1 << 20).unwrap().as_ptr().addr();
        match Options::new().at_exactly(addr).guard_pages(0, 1).anon(page()) {
            Ok(map) => Some((map, addr)),
            Err(error) if error.kind() == ErrorKind::Occupied => None,
            Err(error) => panic!("{error}"),
        }
    });
    let (map, addr) = taken.expect("one of 100 addresses was still free");
    assert_eq!(map.as_ptr().addr(), addr);
}

#[test]
#[cfg(target_arch = "x86_64")]
fn low_addresses_are_low() {
    let map = Options::new().low_addresses().anon(1 << 20).unwrap();
    assert!(map.as_ptr().addr() + map.len() <= 1 << 31);
}

#[test]
fn every_flag_maps() {
    let options = [
        Options::new().populate(),
        Options::new().no_reserve(),
        Options::new().stack(),
        Options::new().locked(),
        Options::new().guard_pages(1, 1).populate().locked().stack().no_reserve(),
        Options::new().huge_pages(HugePages::Transparent),
    ];
    for options in options {
        let mut map = match options.anon(3 * page()) {
            Ok(map) => map,
            Err(error) if error.operation() == Operation::Advise => {
                println!("skipped: no transparent huge pages: {error}");
                continue;
            }
            Err(error) => panic!("{options:?}: {error}"),
        };
        map.fill(1);
    }
}

#[test]
fn populated_pages_are_there_and_locked_ones_are_locked() {
    for guards in [0, 1] {
        let options = Options::new().guard_pages(guards, guards);
        let map = options.populate().anon(4 * page()).unwrap();
        assert_eq!(resident(&map), 4);
        let map = options.locked().anon(page()).unwrap();
        assert!(smaps(map.as_ptr().addr(), "VmFlags").contains(" lo"));
        map.unlock(0..page()).unwrap();
        assert!(!smaps(map.as_ptr().addr(), "VmFlags").contains(" lo"));
    }
}

#[test]
fn guard_pages_lie_outside_the_slice_and_fault() {
    for len in [1, page(), 3 * page() - 7] {
        let mut map = Options::new().guard_pages(2, 1).anon(len).unwrap();
        map.fill(9);
        let (start, end) =
            (map.as_ptr().addr(), map.as_ptr().addr() + len.next_multiple_of(page()));
        for guard in [start - 2 * page(), start - 1, end, end + page() - 1] {
            assert!(is_mapped(guard), "a guard page is ours");
            assert!(!is_readable(guard), "{guard:#x}");
        }
    }
}

#[test]
fn a_discarded_range_is_zero_and_nothing_else_is() {
    let mut random = Random(seed());
    for round in 0..200 {
        let len = 1 + random.below(5 * page());
        let guards = random.below(2);
        let mut map = Options::new().guard_pages(guards, 0).anon(len).unwrap();
        map.fill(0xaa);
        if round % 3 == 0 {
            // Locked pages are not given back, and zeroed all the same.
            map.lock(0..len).unwrap();
        }
        let start = random.below(len + 1);
        let end = start + random.below(len - start + 1);
        map.discard(start..end).unwrap();
        for (at, byte) in map.iter().enumerate() {
            let expected = if (start..end).contains(&at) { 0 } else { 0xaa };
            assert_eq!(*byte, expected, "{at} of {len} after {start}..{end}");
        }
    }
}

#[test]
fn discarding_gives_memory_back() {
    let mut map = AnonMap::new(64 * page()).unwrap();
    map.fill(1);
    map.discard(0..64 * page()).unwrap();
    assert_eq!(resident(&map), 0);
}

#[test]
fn ranges_outside_are_refused_by_everything() {
    let mut map = AnonMap::new(page()).unwrap();
    #[expect(clippy::reversed_empty_ranges, reason = "that is what is tested")]
    for range in [0..page() + 1, page() + 1..page() + 1, 9..3, 0..usize::MAX] {
        let out = ErrorKind::OutOfBounds { len_bytes: page() as u64 };
        assert_eq!(map.discard(range.clone()).unwrap_err().kind(), out);
        assert_eq!(map.wipe_on_fork(range.clone()).unwrap_err().kind(), out);
        assert_eq!(map.lock(range.clone()).unwrap_err().kind(), out);
        assert_eq!(map.unlock(range.clone()).unwrap_err().kind(), out);
        assert_eq!(map.advise(range, Advice::WillNeed).unwrap_err().kind(), out);
    }
}

#[test]
fn every_advice_is_taken_or_refused_and_keeps_the_bytes() {
    let all = [
        Advice::WillNeed,
        Advice::DontFork,
        Advice::DoFork,
        Advice::Mergeable,
        Advice::Unmergeable,
        Advice::HugePage,
        Advice::NoHugePage,
        Advice::HugePage,
        Advice::Collapse,
        Advice::DontDump,
        Advice::DoDump,
        Advice::KeepOnFork,
        Advice::Cold,
        Advice::PageOut,
    ];
    let mut map = AnonMap::new(4 << 20).unwrap();
    for (at, byte) in map.iter_mut().enumerate() {
        *byte = (at % 251) as u8;
    }
    for advice in all {
        if let Err(error) = map.advise(0..4 << 20, advice) {
            println!("skipped: {advice:?}: {error}");
            assert_eq!(error.operation(), Operation::Advise);
        }
        assert!(map.iter().enumerate().all(|(at, byte)| *byte == (at % 251) as u8), "{advice:?}");
    }
}

#[test]
fn a_child_has_a_copy_of_its_own() {
    let mut map = AnonMap::new(2 * page()).unwrap();
    map.fill(1);
    map.wipe_on_fork(page()..2 * page()).unwrap();
    let ok = fork(|| {
        let inherited = map[..page()].iter().all(|byte| *byte == 1);
        let wiped = map[page()..].iter().all(|byte| *byte == 0);
        map.fill(2);
        inherited && wiped
    });
    assert!(ok);
    assert!(map.iter().all(|byte| *byte == 1));
    assert_eq!(
        map.wipe_on_fork(1..page()).unwrap_err().kind(),
        ErrorKind::Misaligned { align_bytes: page() }
    );
    map.advise(page()..2 * page(), Advice::KeepOnFork).unwrap();
    assert!(fork(|| map[page()..].iter().all(|byte| *byte == 1)));
}

#[test]
fn resizing_keeps_the_bytes_and_brings_zeros() {
    let mut random = Random(seed());
    for _ in 0..40 {
        let options = Options::new().guard_pages(random.below(2), random.below(2));
        let mut map = options.anon(1 + random.below(3 * page())).unwrap();
        let mut shadow = vec![0; map.len()];
        for round in 0..20 {
            let byte = 1 + round as u8;
            map.fill(byte);
            shadow.fill(byte);
            if random.below(3) == 0 && map.len() > page() {
                // Of several areas: mremap(2) refuses to grow or move those.
                map.advise(0..page(), Advice::DontDump).unwrap();
            }
            let len = random.below(6 * page());
            map.resize(len).unwrap();
            shadow.resize(len, 0);
            assert_eq!(map[..], shadow[..]);
        }
    }
}

#[test]
fn binding_names_nodes_that_exist() {
    use bifolio_map::{Misplaced, NumaNode, NumaNodes, NumaPolicy};
    let map = AnonMap::new(4 * page()).unwrap();
    let node = NumaNode::new(0).unwrap();
    let policy = NumaPolicy::Bind(NumaNodes::from_iter([node]));
    match map.bind(0..2 * page(), policy, Misplaced::Move) {
        Ok(()) => {
            let found = bifolio_sys::mm::get_mempolicy(map.as_ptr().addr()).unwrap();
            assert_eq!(found, Some(policy));
            let found = bifolio_sys::mm::get_mempolicy(map.as_ptr().addr() + 2 * page()).unwrap();
            assert_eq!(found, Some(NumaPolicy::Default));
            let missing = NumaPolicy::Preferred(NumaNode::new(1023).unwrap());
            let error = map.bind(0..page(), missing, Misplaced::Stay).unwrap_err();
            assert_eq!((error.operation(), error.kind()), (Operation::Bind, ErrorKind::Kernel));
        }
        Err(error) => {
            println!("skipped: {error}");
            assert_eq!(error.kind(), ErrorKind::Unsupported);
        }
    }
    let error = map.bind(0..5 * page(), policy, Misplaced::Stay).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::OutOfBounds { len_bytes: 4 * page() as u64 });
}
