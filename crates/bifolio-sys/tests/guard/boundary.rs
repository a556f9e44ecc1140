//! Every start and end around the boundary between a page that is there and one that is not.
//!
//! # Safety
//!
//! This file calls the guarded functions with pointers into an arena.
#![allow(unsafe_code, reason = "see # Safety above")]

use bifolio_sys::guard::{self, Pair};

use crate::arena::{Arena, Missing};

/// Bytes that differ from each other and from `FILLED`, with a period that is no power of two.
fn pattern(index: usize) -> u8 {
    (index % 251) as u8 | 1
}

const FILLED: u8 = 0xf0;
const BEFORE: u8 = 0xee;

/// Lengths around which the code takes other ways.
fn lengths() -> impl Iterator<Item = usize> {
    (0..300)
        .chain([511, 512, 513, 1000])
        .chain(1020..1030)
        .chain([2047, 2048, 2049])
        .chain(4090..4102)
        .chain(8186..8197)
}

/// Starts and ends, as distances from the boundary: all pairs near it, and long ranges that end
/// near it.
fn ranges() -> impl Iterator<Item = (isize, isize)> {
    let near = (-70..=70).flat_map(|start| (start..=70).map(move |end| (start, end)));
    let far = lengths()
        .flat_map(|len| [-65, -16, -1, 0, 1, 2, 31, 64].map(|end| (end - len as isize, end)));
    near.chain(far)
}

/// Four pages of which the last is missing; the boundary is at `boundary()`.
struct Side {
    arena: Arena,
    missing: Missing,
}

impl Side {
    fn new(missing: Missing) -> Self {
        Self { arena: Arena::without_last_page(5, missing), missing }
    }

    fn boundary(&self) -> usize {
        4 * self.arena.page()
    }

    /// The address at a distance from the boundary.
    fn at(&self, distance: isize) -> *mut u8 {
        self.arena.at(self.boundary().wrapping_add_signed(distance))
    }

    /// How many bytes of a range are there, and what the call must say.
    fn expected(&self, start: isize, end: isize) -> Result<(), (usize, guard::Cause)> {
        if end <= 0 || start == end {
            Ok(())
        } else {
            Err(((-start).max(0) as usize, self.missing.cause()))
        }
    }
}

fn simple<T>(result: Result<T, guard::Fault>) -> Result<T, (usize, guard::Cause)> {
    result.map_err(|fault| (fault.done, fault.code.cause()))
}

/// Where, around `start..end` cut off at the boundary, something could have been changed.
fn window(side: &mut Side, start: isize, end: isize) -> (usize, &mut [u8]) {
    let boundary = side.boundary();
    let first = boundary.wrapping_add_signed(start - 100);
    let visible = if side.missing == Missing::Truncated { boundary } else { boundary + 300 };
    let last = boundary.wrapping_add_signed(end + 100).min(visible);
    (first, &mut side.arena.bytes(last)[first.min(last)..])
}

/// Checks that the bytes from `start` on are `done` of `written` and that everything else is still
/// `BEFORE`; then restores that.
#[track_caller]
fn check_written(
    side: &mut Side,
    (start, end): (isize, isize),
    done: usize,
    written: impl Fn(usize) -> u8,
) {
    let at = side.boundary().wrapping_add_signed(start);
    let (first, bytes) = window(side, start, end);
    for (offset, byte) in (first..).zip(bytes.iter_mut()) {
        let inside = offset >= at && offset < at + done;
        let expected = if inside { written(offset - at) } else { BEFORE };
        assert_eq!(
            *byte, expected,
            "{start}..{end}, {done} done, at {offset} of the page end {at}"
        );
        *byte = BEFORE;
    }
}

#[test]
fn copy_counts_exactly_when_the_source_ends() {
    for missing in Missing::ALL {
        let mut source = Side::new(missing);
        let boundary = source.boundary();
        for (index, byte) in source.arena.bytes(boundary).iter_mut().enumerate() {
            *byte = pattern(index);
        }
        let mut target = vec![BEFORE; 9000];
        for (start, end) in ranges() {
            let len = (end - start) as usize;
            let expected = source.expected(start, end);
            let place = 100 + (start & 63) as usize;
            // SAFETY: `len` bytes lie inside `target`.
            let result =
                unsafe { guard::copy(target[place..].as_mut_ptr(), source.at(start), len) };
            assert_eq!(simple(result), expected, "{missing:?} {start}..{end}");
            let done = expected.err().map_or(len, |(done, _)| done);
            let from = boundary.wrapping_add_signed(start);
            for (index, byte) in target.iter_mut().enumerate().take(place + len + 100) {
                let inside = (place..place + done).contains(&index);
                let expected = if inside { pattern(from + index - place) } else { BEFORE };
                assert_eq!(*byte, expected, "{missing:?} {start}..{end} at {index}");
                *byte = BEFORE;
            }
        }
    }
}

#[test]
fn copy_counts_exactly_when_the_destination_ends() {
    for missing in Missing::ALL {
        let mut target = Side::new(missing);
        let boundary = target.boundary();
        target.arena.bytes(boundary).fill(BEFORE);
        if missing == Missing::Protected {
            target.arena.bytes(boundary + 300).fill(BEFORE);
        }
        let source: Vec<u8> = (0..9000).map(pattern).collect();
        for (start, end) in ranges() {
            let len = (end - start) as usize;
            let expected = target.expected(start, end);
            let from = (start & 31) as usize;
            // SAFETY: `len` bytes of the arena, which nothing refers to.
            let result = unsafe { guard::copy(target.at(start), source[from..].as_ptr(), len) };
            assert_eq!(simple(result), expected, "{missing:?} {start}..{end}");
            let done = expected.err().map_or(len, |(done, _)| done);
            check_written(&mut target, (start, end), done, |index| pattern(from + index));
        }
    }
}

#[test]
fn copy_counts_exactly_when_both_end() {
    let mut source = Side::new(Missing::Truncated);
    let boundary = source.boundary();
    for (index, byte) in source.arena.bytes(boundary).iter_mut().enumerate() {
        *byte = pattern(index);
    }
    let mut target = Side::new(Missing::Protected);
    target.arena.bytes(boundary + 300).fill(BEFORE);
    for (start, end) in ranges() {
        for ahead in [-33, -16, -1, 0, 1, 15, 17, 40] {
            let (first, last) = (start + ahead, end + ahead);
            if last > 200 {
                continue;
            }
            let expected = match (source.expected(start, end), target.expected(first, last)) {
                (Err(read), Err(write)) if write.0 < read.0 => Err(write),
                // The byte is read before it is written.
                (Err(read), _) => Err(read),
                (Ok(()), write) => write,
            };
            let len = (end - start) as usize;
            // SAFETY: `len` bytes of the arena, which nothing refers to.
            let result = unsafe { guard::copy(target.at(first), source.at(start), len) };
            assert_eq!(simple(result), expected, "{start}..{end} to {first}");
            let done = expected.err().map_or(len, |(done, _)| done);
            let from = boundary.wrapping_add_signed(start);
            check_written(&mut target, (first, last), done, |index| pattern(from + index));
        }
    }
}

#[test]
fn fill_counts_exactly() {
    for missing in Missing::ALL {
        let mut target = Side::new(missing);
        let boundary = target.boundary();
        target.arena.bytes(boundary).fill(BEFORE);
        if missing == Missing::Protected {
            target.arena.bytes(boundary + 300).fill(BEFORE);
        }
        for (start, end) in ranges() {
            let len = (end - start) as usize;
            let expected = target.expected(start, end);
            // SAFETY: `len` bytes of the arena, which nothing refers to.
            let result = unsafe { guard::fill(target.at(start), FILLED, len) };
            assert_eq!(simple(result), expected, "{missing:?} {start}..{end}");
            let done = expected.err().map_or(len, |(done, _)| done);
            check_written(&mut target, (start, end), done, |_| FILLED);
        }
    }
}

#[test]
fn compare_stops_at_the_first_difference_or_fault() {
    for missing in Missing::ALL {
        let mut side = Side::new(missing);
        let boundary = side.boundary();
        for (index, byte) in side.arena.bytes(boundary).iter_mut().enumerate() {
            *byte = pattern(index);
        }
        let other: Vec<u8> = (0..boundary + 300).map(pattern).collect();
        for (start, end) in ranges() {
            let len = (end - start) as usize;
            let at = boundary.wrapping_add_signed(start);
            let other = other[at..].as_ptr();
            // SAFETY: it only reads, here and below.
            let result = unsafe { guard::compare(side.at(start), other, len) };
            assert_eq!(simple(result), side.expected(start, end).map(|()| None));
            // SAFETY: as above.
            let result = unsafe { guard::compare(other, side.at(start), len) };
            assert_eq!(simple(result), side.expected(start, end).map(|()| None));
            // A difference before the fault is found, and one after it is not.
            for different in [0, 1, len / 2, len.wrapping_sub(1)].into_iter().filter(|&at| at < len)
            {
                if at + different >= boundary {
                    continue;
                }
                side.arena.bytes(boundary)[at + different] ^= 0x80;
                // SAFETY: as above.
                let result = unsafe { guard::compare(side.at(start), other, len) };
                assert_eq!(result, Ok(Some(different)), "{missing:?} {start}..{end}");
                side.arena.bytes(boundary)[at + different] ^= 0x80;
            }
        }
    }
}

#[test]
fn find_stops_at_the_first_such_byte_or_fault() {
    for missing in Missing::ALL {
        let mut side = Side::new(missing);
        let boundary = side.boundary();
        side.arena.bytes(boundary).fill(BEFORE);
        for (start, end) in ranges() {
            let len = (end - start) as usize;
            let at = boundary.wrapping_add_signed(start);
            // SAFETY: it only reads, here and below.
            let result = unsafe { guard::find_byte(side.at(start), FILLED, len) };
            assert_eq!(simple(result), side.expected(start, end).map(|()| None));
            // The nearest one counts, and those outside of the range do not.
            for place in [0, 1, len / 2, len.wrapping_sub(1)].into_iter().filter(|&at| at < len) {
                if at + place >= boundary {
                    continue;
                }
                let bytes = side.arena.bytes(boundary);
                bytes[at - 1] = FILLED;
                bytes[at + place..].fill(FILLED);
                // SAFETY: as above.
                let result = unsafe { guard::find_byte(side.at(start), FILLED, len) };
                assert_eq!(result, Ok(Some(place)), "{missing:?} {start}..{end}");
                side.arena.bytes(boundary)[at - 1..].fill(BEFORE);
            }
        }
    }
}

#[test]
fn a_pair_is_found_at_its_first_place_before_the_fault() {
    for missing in Missing::ALL {
        let mut side = Side::new(missing);
        let boundary = side.boundary();
        side.arena.bytes(boundary).fill(BEFORE);
        for (start, end) in ranges() {
            let len = (end - start) as usize;
            let at = boundary.wrapping_add_signed(start);
            for distance in [0, 1, 5, 16, 40].into_iter().filter(|&distance| distance < len) {
                let pair = Pair { first: FILLED, second: FILLED ^ 1, distance };
                // SAFETY: it only reads, here and below.
                let result = unsafe { guard::find_pair(side.at(start), pair, len) };
                // No first byte stands before the fault, so the first place that faults is where
                // the first byte cannot be read, or none of the places that there are.
                let places = len - distance;
                let readable = (-start).max(0) as usize;
                let expected =
                    if readable >= places { Ok(None) } else { Err((readable, missing.cause())) };
                assert_eq!(simple(result), expected, "{missing:?} {start}..{end} {distance}");
                if distance == 0 {
                    continue;
                }
                let inside = readable.min(len);
                for place in [0, 1, places / 2, places - 1] {
                    if place + distance >= inside {
                        continue;
                    }
                    let bytes = side.arena.bytes(boundary);
                    // Lone halves before, the pair itself, and another one behind it.
                    bytes[at + place / 2] = FILLED;
                    bytes[at + place] = FILLED;
                    bytes[at + place + distance] = FILLED ^ 1;
                    // SAFETY: as above.
                    let result = unsafe { guard::find_pair(side.at(start), pair, len) };
                    let half = place / 2 + distance == place + distance;
                    let first = if half { place / 2 } else { place };
                    assert_eq!(result, Ok(Some(first)), "{missing:?} {start}..{end} {distance}");
                    side.arena.bytes(boundary)[at - 1..].fill(BEFORE);
                }
            }
        }
    }
}

#[test]
fn a_pair_whose_second_byte_is_missing_faults_at_its_place() {
    for missing in Missing::ALL {
        let mut side = Side::new(missing);
        let boundary = side.boundary();
        for before in 1..100 {
            for distance in [1, 3, 17, 64].into_iter().filter(|&distance| distance >= before) {
                let bytes = side.arena.bytes(boundary);
                bytes.fill(BEFORE);
                bytes[boundary - before] = FILLED;
                let pair = Pair { first: FILLED, second: BEFORE, distance };
                let start = boundary - 200;
                // SAFETY: it only reads.
                let result = unsafe { guard::find_pair(side.arena.at(start), pair, 300) };
                let expected = Err((200 - before, missing.cause()));
                assert_eq!(simple(result), expected, "{missing:?} {before} {distance}");
            }
        }
    }
}

#[test]
fn nothing_is_touched_when_the_length_is_zero() {
    bifolio_sys::fault::install().expect("sigaction");
    let nowhere = std::ptr::without_provenance_mut(8);
    // SAFETY: no bytes.
    assert_eq!(unsafe { guard::copy(nowhere, nowhere, 0) }, Ok(()));
    // SAFETY: no bytes.
    assert_eq!(unsafe { guard::fill(nowhere, 1, 0) }, Ok(()));
    // SAFETY: no bytes.
    assert_eq!(unsafe { guard::compare(nowhere, nowhere, 0) }, Ok(None));
    // SAFETY: no bytes.
    assert_eq!(unsafe { guard::find_byte(nowhere, 1, 0) }, Ok(None));
    let pair = Pair { first: 1, second: 2, distance: 3 };
    // SAFETY: no places.
    assert_eq!(unsafe { guard::find_pair(nowhere, pair, 3) }, Ok(None));
    // SAFETY: the first page is never mapped, so nothing is written.
    let fault = unsafe { guard::fill(nowhere, 1, 1) }.expect_err("not mapped");
    assert_eq!((fault.done, fault.code.cause()), (0, guard::Cause::NotMapped));
}
