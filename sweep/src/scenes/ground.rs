//! Memory with seats, on which the scenes of locks play.
//!
//! # Safety
//!
//! Lends the memory of a trial to seats, and as a struct.
#![allow(unsafe_code, reason = "lends shared memory as seats and as a struct")]

use std::ops::Deref;
use std::ptr::NonNull;

use bifolio_sync::{Peers, Seats, Shared};

use crate::place::{DATA, MEMORY_LEN, Place};
use crate::process::Patience;
use crate::scene::Excuse;

pub(crate) const SEATS: u32 = 16;
const _: () = assert!(Seats::table_len_bytes(SEATS) <= DATA);

/// The companion holds it.
pub(crate) const HELD: usize = 0;
/// The companion is to give it to whoever sleeps.
pub(crate) const GO_ON: usize = 1;
/// The companion has given it.
pub(crate) const GIVEN: usize = 2;
/// The companion has come to its end.
pub(crate) const DONE: usize = 3;
/// Where a companion that sleeps leaves its number.
pub(crate) const SLEEPER: usize = 4;

/// How long others have waited is a hint.
pub(crate) const PACE: Excuse = ("spin<", "a hint how long to spin, whatever stands in it");
/// Where nothing can be asked of the lock inside, from within.
pub(crate) const LOCK: Excuse = ("src/raw.rs", "the lock is that of the mutex, where it is missed");

/// A struct that may lie in a trial's memory: whoever declares it says that its fields are words,
/// or locks of words.
macro_rules! shared {
    ($(#[$about:meta])* unsafe $name:ident { $($field:ident: $type:ty),* $(,)? }) => {
        $(#[$about])*
        #[repr(C)]
        pub(crate) struct $name { $($field: $type),* }

        const _: () = assert!(size_of::<$name>() == 0 $(+ size_of::<$type>())*);

        // SAFETY: repr(C) without padding, asserted above (0); words and locks of words, as is
        // said (1, 3), of which zeros are values (2); the scenes never ask for the fingerprint (4).
        unsafe impl bifolio_sync::Shared for $name {
            const FINGERPRINT: bifolio_sync::Fingerprint =
                bifolio_sync::Fingerprint::of_type::<$name>(stringify!($name));
        }
    };
}
pub(crate) use shared;

/// Does something until it is so; a panic where that never comes.
pub(crate) fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let patience = Patience::new();
    while !is_so() {
        assert!(!patience.is_over(), "never: {what}");
        std::thread::yield_now();
    }
}

/// The seats of a trial's memory, and a value of zeros at first that lies there: until the process
/// ends.
pub(crate) struct Ground<T: 'static> {
    pub(crate) seats: &'static Seats,
    pub(crate) value: &'static T,
}

/// The seats of a trial's memory, of which none is taken yet. The child that calls this must not
/// drop the place.
pub(crate) fn open(place: &Place) -> Seats {
    let memory = NonNull::new(place.memory()).expect("mapped");
    let shared = place.memory().cast_const()..place.memory().wrapping_add(MEMORY_LEN);
    let file = place.file().try_clone().expect("a descriptor");
    // SAFETY: children end without dropping the place, so the mapping stays (0); the table lies at
    // the beginning for all (1), of zeros, and is used by nothing else (2); descriptors of others
    // are not touched here (3).
    unsafe { Seats::new(memory, SEATS, shared, file.into()) }.expect("a table of seats")
}

impl<T: Shared> Ground<T> {
    /// Puts a value there, before anybody takes a seat.
    pub(crate) fn prepare(place: &Place, value: T) {
        let start = place.memory().wrapping_add(DATA).cast::<T>();
        // SAFETY: as in `attach`; nobody else is there yet.
        unsafe { start.write(value) };
    }

    /// Takes a seat.
    pub(crate) fn attach(place: &Place) -> Ground<T> {
        const { assert!(size_of::<T>() <= MEMORY_LEN - DATA && align_of::<T>() <= 64) };
        let seats = Box::leak(Box::new(open(place)));
        seats.me().expect("a seat");
        // SAFETY: inside of the mapping, aligned, asserted above; zeros are a value, says Shared,
        // and whatever changes it goes through T.
        let value = unsafe { &*place.memory().wrapping_add(DATA).cast_const().cast::<T>() };
        Ground { seats, value }
    }
}

impl<T> Deref for Ground<T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.value
    }
}
