//! The first page of a region: who made it, for what, and where everything lies.
//!
//! `docs/share.md` has the table of its bytes. The first 128 never change after the region got its
//! name, and are read from a private copy; the words behind them are atomics.
//!
//! # Invariants
//!
//! 0. A `Header` agrees with itself: every place is the one that [`Header::new`] computes from the
//!    numbers of seats and objects, and all lie inside of `max_len`.
//!
//! # Safety
//!
//! References are made to the words of a page that the caller answers for.
#![allow(unsafe_code, reason = "lends atomics of shared memory")]

use crate::arena::Arena;
use crate::directory::Directory;
use crate::error::ErrorKind;
use bifolio_sync::{Fingerprint, Owner, Seats};
use std::mem::offset_of;
use std::ptr::NonNull;
use std::sync::atomic::AtomicU64;

/// How many bytes are read, checked and never changed.
pub(crate) const SEALED_BYTES: usize = 128;
/// How many bytes lie before the seats.
const HEADER_BYTES: u64 = 4096;
const MAGIC: [u8; 8] = *b"bifolioR";
const FORMAT: u32 = 1;
/// Stays although nobody is attached.
pub(crate) const KEEP: u32 = 1;

/// What tells this layout from others.
const LAYOUT: Fingerprint = Fingerprint::of("bifolio region")
    .number(HEADER_BYTES)
    .number(Seats::table_len_bytes(1) as u64)
    .number(Seats::table_len_bytes(2) as u64)
    .number(Directory::len_bytes(1) as u64)
    .number(Directory::len_bytes(2) as u64)
    .number(Arena::HEAD_BYTES as u64);

/// The words of the first page that change.
#[repr(C, align(64))]
pub(crate) struct Live {
    sealed: [u8; SEALED_BYTES],
    /// How many bytes of the region may be used, from its beginning; it only grows.
    pub(crate) len: AtomicU64,
    unused: [AtomicU64; 7],
}

const _: () = assert!(offset_of!(Live, len) == LEN_AT && size_of::<Live>() == 192);

/// Where [`Live::len`] lies.
pub(crate) const LEN_AT: usize = 128;

impl Live {
    /// # Safety
    ///
    /// A page of a region lies there, mapped to be read and written for all of `'a`.
    pub(crate) unsafe fn at<'a>(start: NonNull<u8>) -> &'a AtomicU64 {
        // SAFETY: inside of the page (the caller's promise).
        let word = unsafe { start.add(LEN_AT) }.cast::<AtomicU64>();
        // SAFETY: mapped (the caller's promise), aligned, and never used but as an atomic.
        unsafe { word.as_ref() }
    }
}

/// What was decided when the region was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) fingerprint: u64,
    pub(crate) max_len: u64,
    pub(crate) seats: u32,
    pub(crate) objects: u32,
    pub(crate) seats_at: u64,
    pub(crate) directory_at: u64,
    pub(crate) arena_at: u64,
    pub(crate) flags: u32,
    pub(crate) creator_pid: u32,
    pub(crate) creator_uid: u32,
    pub(crate) created_ns: u64,
}

impl Header {
    /// The layout for that many seats and objects; `None` where it is impossible. `max_len` is 0
    /// still, and of the creator nothing is said.
    pub(crate) fn new(seats: u32, objects: u32) -> Option<Header> {
        let is_possible = (1..=Owner::SEATS_MAX).contains(&seats)
            && objects.is_power_of_two()
            && objects <= Directory::CAPACITY_MAX;
        if !is_possible {
            return None;
        }
        let seats_at = HEADER_BYTES;
        let directory_at = (seats_at + Seats::table_len_bytes(seats) as u64).next_multiple_of(64);
        let arena_at = directory_at + Directory::len_bytes(objects) as u64;
        Some(Header {
            fingerprint: 0,
            max_len: 0,
            seats,
            objects,
            seats_at,
            directory_at,
            arena_at: arena_at.next_multiple_of(4096),
            flags: 0,
            creator_pid: 0,
            creator_uid: 0,
            created_ns: 0,
        })
    }

    /// The fewest bytes that a region of this layout has.
    pub(crate) fn min_len(&self) -> u64 {
        self.arena_at + Arena::HEAD_BYTES as u64
    }

    /// The bytes that never change.
    pub(crate) fn to_bytes(self) -> [u8; SEALED_BYTES] {
        let mut bytes = [0; SEALED_BYTES];
        let mut at = 0;
        let mut put = |field: &[u8]| {
            bytes[at..at + field.len()].copy_from_slice(field);
            at += field.len();
        };
        put(&MAGIC);
        put(&FORMAT.to_le_bytes());
        put(&(HEADER_BYTES as u32).to_le_bytes());
        put(&LAYOUT.bits().to_le_bytes());
        for number in [self.fingerprint, self.max_len, self.seats_at] {
            put(&number.to_le_bytes());
        }
        put(&self.seats.to_le_bytes());
        put(&self.objects.to_le_bytes());
        put(&self.directory_at.to_le_bytes());
        put(&self.arena_at.to_le_bytes());
        for number in [self.flags, self.creator_pid, self.creator_uid, 0] {
            put(&number.to_le_bytes());
        }
        put(&self.created_ns.to_le_bytes());
        let end = SEALED_BYTES - 8;
        let checksum = checksum(&bytes[..end]);
        bytes[end..].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    /// What these bytes say, checked: whoever wrote them may be anybody.
    pub(crate) fn from_bytes(bytes: &[u8; SEALED_BYTES]) -> Result<Header, ErrorKind> {
        let word = |at: usize| {
            let mut number = [0; 8];
            number.copy_from_slice(&bytes[at..at + 8]);
            u64::from_le_bytes(number)
        };
        let half = |at: usize| (word(at & !7) >> (8 * (at & 7))) as u32;
        if bytes[..8] != MAGIC {
            return Err(ErrorKind::NotARegion);
        }
        match half(8) {
            FORMAT => {}
            format if format > FORMAT => return Err(ErrorKind::Newer { format }),
            _ => return Err(ErrorKind::Damaged),
        }
        if word(SEALED_BYTES - 8) != checksum(&bytes[..SEALED_BYTES - 8]) {
            return Err(ErrorKind::Damaged);
        }
        if half(12) != HEADER_BYTES as u32 || word(16) != LAYOUT.bits() {
            return Err(ErrorKind::OtherLayout);
        }
        let planned = Header::new(half(48), half(52)).ok_or(ErrorKind::Damaged)?;
        let header = Header {
            fingerprint: word(24),
            max_len: word(32),
            seats_at: word(40),
            directory_at: word(56),
            arena_at: word(64),
            flags: half(72),
            creator_pid: half(76),
            creator_uid: half(80),
            created_ns: word(88),
            ..planned
        };
        let places = |header: &Header| (header.seats_at, header.directory_at, header.arena_at);
        let is_possible = places(&header) == places(&planned)
            && (header.min_len()..=isize::MAX as u64).contains(&header.max_len);
        if is_possible { Ok(header) } else { Err(ErrorKind::Damaged) }
    }
}

/// FNV-1a with a last turn, over what never changes.
fn checksum(bytes: &[u8]) -> u64 {
    let words = bytes.chunks(8).fold(Fingerprint::of("checksum"), |sum, chunk| {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        sum.number(u64::from_le_bytes(word))
    });
    words.bits()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> Header {
        let planned = Header::new(128, 1024).unwrap();
        Header { max_len: planned.min_len() + 5, fingerprint: 7, creator_pid: 9, ..planned }
    }

    #[test]
    fn what_is_written_is_read() {
        let header = Header { flags: KEEP, creator_uid: 3, created_ns: u64::MAX, ..header() };
        assert_eq!(Header::from_bytes(&header.to_bytes()), Ok(header));
        assert_eq!(header.seats_at % 64 + header.directory_at % 64 + header.arena_at % 64, 0);
    }

    /// No bit can change without being seen.
    #[test]
    fn every_changed_bit_is_told() {
        let bytes = header().to_bytes();
        for bit in 0..8 * SEALED_BYTES {
            let mut changed = bytes;
            changed[bit / 8] ^= 1 << (bit % 8);
            let expected = match bit / 8 {
                0..8 => ErrorKind::NotARegion,
                8..12 if changed[8..12] > bytes[8..12] || bit / 8 > 8 => {
                    let format = u32::from_le_bytes(changed[8..12].try_into().unwrap());
                    ErrorKind::Newer { format }
                }
                _ => ErrorKind::Damaged,
            };
            let format = u32::from_le_bytes(changed[8..12].try_into().unwrap());
            let expected = if format == 0 { ErrorKind::Damaged } else { expected };
            assert_eq!(Header::from_bytes(&changed), Err(expected), "bit {bit}");
        }
    }

    /// A checksum proves no honesty: what contradicts itself is refused under a right one, too.
    #[test]
    fn contradictions_are_refused() {
        let good = header();
        for bad in [
            Header { seats: 0, ..good },
            Header { seats: 129, ..good },
            Header { seats: u32::MAX, ..good },
            Header { objects: 1000, ..good },
            Header { objects: 1 << 31, ..good },
            Header { seats_at: 64, ..good },
            Header { directory_at: u64::MAX - 63, ..good },
            Header { arena_at: 0, ..good },
            Header { max_len: 0, ..good },
            Header { max_len: good.min_len() - 1, ..good },
            Header { max_len: u64::MAX, ..good },
        ] {
            assert_eq!(Header::from_bytes(&bad.to_bytes()), Err(ErrorKind::Damaged), "{bad:?}");
        }
    }
}
