//! `Entry`: 128 bytes that say where the object of a name is, of what type, and in what state.
//!
//! ```text
//! 0 state 4   4 version 4   8 hash 8   16 fingerprint 8   24 offset 8   32 len 8   40 name 88
//! state: 31..30 empty, being made, ready, removed; 29..0 who makes it
//! ```
//!
//! 0. Name and hash change under the lock of the directory, while the state is empty or removed,
//!    or its maker is dead, and after the version was raised.
//! 1. The other fields are written by the one who makes the object. They stand before the state is
//!    ready, and change no more while it is.
//! 2. So whoever reads the version, the state as ready, the fields, and the same version again has
//!    read fields of one object.

use std::mem::{offset_of, size_of};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::SeqCst};

use bifolio_sync::{Fingerprint, Owner};

use crate::object_error::ObjectName;

const WORDS: usize = 11;
const KIND: u32 = 3 << 30;
const MAKING: u32 = 1 << 30;
const READY: u32 = 2 << 30;
const REMOVED: u32 = 3 << 30;

#[repr(C, align(64))]
pub(crate) struct Entry {
    state: AtomicU32,
    version: AtomicU32,
    hash: AtomicU64,
    fingerprint: AtomicU64,
    offset: AtomicU64,
    len: AtomicU64,
    name: [AtomicU64; WORDS],
}

const _: () = assert!(size_of::<Entry>() == 128 && offset_of!(Entry, hash) == 8);
const _: () = assert!(offset_of!(Entry, len) == 32 && offset_of!(Entry, name) == 40);

/// A name as it stands in an entry: its length in the first byte, zeros behind it; and its hash.
#[derive(Clone, Copy)]
pub(crate) struct Name {
    words: [u64; WORDS],
    used: usize,
    pub(crate) hash: u64,
}

impl Name {
    pub(crate) const LEN_MAX: usize = WORDS * 8 - 1;

    /// `None` for a name that is too long, or empty.
    #[inline]
    pub(crate) fn new(name: &str) -> Option<Name> {
        if name.is_empty() || name.len() > Self::LEN_MAX {
            return None;
        }
        let mut bytes = [0; WORDS * 8];
        bytes[0] = name.len() as u8;
        bytes[1..=name.len()].copy_from_slice(name.as_bytes());
        let mut words = [0; WORDS];
        let used = name.len() / 8 + 1;
        let mut hash = 0;
        for (word, bytes) in words.iter_mut().zip(bytes.chunks_exact(8)).take(used) {
            *word = u64::from_le_bytes(bytes.try_into().unwrap_or_default());
            hash = mix(hash ^ *word);
        }
        Some(Name { words, used, hash })
    }
}

/// The finalizer of splitmix64: a change of any bit changes all others.
#[inline]
fn mix(mut word: u64) -> u64 {
    word = (word ^ word >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    word = (word ^ word >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ word >> 31
}

/// What an entry says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Empty,
    Making(Owner),
    Ready,
    Removed,
    Broken,
}

/// Where an object is, and what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) fingerprint: u64,
    pub(crate) offset: u64,
    pub(crate) len: u64,
}

impl Entry {
    pub(crate) fn kind(&self) -> Kind {
        let word = self.state.load(SeqCst);
        match word & KIND {
            MAKING => Owner::in_word(word).map_or(Kind::Broken, Kind::Making),
            _ if word == 0 => Kind::Empty,
            _ if word == READY => Kind::Ready,
            _ if word == REMOVED => Kind::Removed,
            _ => Kind::Broken,
        }
    }

    /// Whether it has, or had last, this name. Certain under the lock; without, see [`read`].
    ///
    /// [`read`]: Entry::read
    #[inline]
    pub(crate) fn is_named(&self, name: &Name) -> bool {
        self.hash.load(SeqCst) == name.hash
            && self.name.iter().zip(&name.words).take(name.used).all(|(a, b)| a.load(SeqCst) == *b)
    }

    /// Where the object is, if it is ready and `pick` takes its entry; one moment of it (2).
    #[inline]
    pub(crate) fn read(&self, pick: impl Fn(&Entry) -> bool) -> Option<Place> {
        loop {
            let version = self.version.load(SeqCst);
            if self.state.load(SeqCst) != READY {
                return None;
            }
            let place = pick(self).then(|| Place {
                fingerprint: self.fingerprint.load(SeqCst),
                offset: self.offset.load(SeqCst),
                len: self.len.load(SeqCst),
            });
            if self.version.load(SeqCst) == version {
                return place;
            }
        }
    }

    /// Under the lock: gives the entry to `owner` for an object of this name. A kill before the
    /// last store leaves it as it was: empty, removed, or with the same name and a dead maker.
    pub(crate) fn claim(&self, name: &Name, owner: Owner) {
        self.version.fetch_add(1, SeqCst);
        self.hash.store(name.hash, SeqCst);
        for (to, from) in self.name.iter().zip(name.words) {
            to.store(from, SeqCst);
        }
        self.state.store(MAKING | owner.bits(), SeqCst);
    }

    /// By its claimer: the object is there. By the last store everybody finds it.
    pub(crate) fn publish(&self, place: Place) {
        self.fingerprint.store(place.fingerprint, SeqCst);
        self.offset.store(place.offset, SeqCst);
        self.len.store(place.len, SeqCst);
        self.state.store(READY, SeqCst);
    }

    /// Under the lock: nobody finds the object any more.
    pub(crate) fn remove(&self) {
        self.state.store(REMOVED, SeqCst);
    }

    /// Under the lock: no search goes beyond it any more.
    pub(crate) fn clear(&self) {
        self.state.store(0, SeqCst);
    }

    pub(crate) fn hash(&self) -> u64 {
        self.hash.load(SeqCst)
    }

    /// The name, unless it changes or what stands there is none.
    pub(crate) fn name(&self) -> Option<ObjectName> {
        let version = self.version.load(SeqCst);
        let mut bytes = [0; WORDS * 8];
        for (to, word) in bytes.chunks_exact_mut(8).zip(&self.name) {
            to.copy_from_slice(&word.load(SeqCst).to_le_bytes());
        }
        let name = str::from_utf8(bytes.get(1..=usize::from(bytes[0]))?).ok()?;
        ObjectName::new(name).filter(|_| self.version.load(SeqCst) == version)
    }
}

/// The fingerprint of an array of objects, whatever its length.
pub(crate) fn fingerprint_of_array(of: Fingerprint) -> Fingerprint {
    Fingerprint::of("[]").field("", of)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_is_of_one_object() {
        let (x, y) = (Name::new("x").unwrap(), Name::new("y").unwrap());
        let owner = Owner::new(0, 1).unwrap();
        let entry = Entry {
            state: AtomicU32::new(0),
            version: AtomicU32::new(0),
            hash: AtomicU64::new(0),
            fingerprint: AtomicU64::new(0),
            offset: AtomicU64::new(0),
            len: AtomicU64::new(0),
            name: Default::default(),
        };
        let make = |name, offset| {
            entry.claim(name, owner);
            entry.publish(Place { offset, ..Place::default() });
        };
        make(&x, 1);
        assert_eq!(entry.read(|entry| entry.is_named(&x)).unwrap().offset, 1);
        // Between the look at the name and that at the place, the entry goes to another name.
        let looked = std::cell::Cell::new(0);
        let found = entry.read(|entry| {
            let named = entry.is_named(&x);
            looked.set(looked.get() + 1);
            if looked.get() == 1 {
                entry.remove();
                make(&y, 2);
            }
            named
        });
        assert_eq!((found, looked.get()), (None, 2));
    }

    #[test]
    fn names_differ_where_their_bytes_do() {
        let long = "x".repeat(Name::LEN_MAX);
        let names = ["a", "b", "a\0", "\0", "abcdefg", "abcdefgh", "abcdefgi", &long[1..], &long];
        for (index, name) in names.iter().enumerate() {
            let name = Name::new(name).unwrap();
            for other in &names[..index] {
                let other = Name::new(other).unwrap();
                assert!(other.hash != name.hash && other.words != name.words);
            }
        }
        assert!(Name::new("").is_none() && Name::new(&"x".repeat(88)).is_none());
    }
}
