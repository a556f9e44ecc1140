//! A lock of readers and writers: written, read, given back to whoever sleeps, and waited for.
//!
//! # Safety
//!
//! Declares what lies in shared memory: words, and locks of words.
#![allow(unsafe_code, reason = "declares what lies in shared memory")]

use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use bifolio_sync::{LockError, Peers, ReadGuard, RwLock, Seats, WriteGuard};

use super::ground::{DONE, GIVEN, GO_ON, Ground, HELD, PACE, SLEEPER, shared};
use crate::place::{Board, Place};
use crate::scene::{Excuse, Scene};

/// Two numbers that are equal whenever nobody writes.
type Pair = [u64; 2];
type Reading = ReadGuard<'static, Pair, Seats, 4>;
type Writing = WriteGuard<'static, Pair, Seats, 4>;

shared! {
    /// The lock, and how often it was had.
    unsafe Book { lock: RwLock<Pair, 4>, times: AtomicU64 }
}

impl Ground<Book> {
    fn write(&self) -> Writing {
        let guard = match self.value.lock.write(self.seats) {
            Ok(guard) => {
                assert_eq!(guard[0], guard[1], "torn, and nobody warned");
                guard
            }
            Err(LockError::OwnerDead(mut guard)) => {
                guard[1] = guard[0];
                guard.repaired();
                guard
            }
            Err(why) => panic!("{why:?}"),
        };
        assert_eq!(self.value.lock.writer(), self.seats.me().ok(), "whoever has it says so");
        assert!(self.value.lock.try_read(self.seats).is_err(), "a writer has it");
        guard
    }

    fn read(&self) -> Option<Reading> {
        match self.value.lock.read(self.seats) {
            Ok(guard) => {
                assert_eq!(guard[0], guard[1], "torn, and nobody warned");
                Some(guard)
            }
            Err(LockError::OwnerDead(_)) => None,
            Err(why) => panic!("{why:?}"),
        }
    }

    #[inline(never)]
    fn transact(&self) {
        self.change(&mut self.write());
    }

    /// Counted by the first number of the pair, and by what both stand for in the end.
    fn change(&self, pair: &mut Pair) {
        pair[0] += 1;
        std::hint::black_box(&mut *pair);
        pair[1] += 1;
    }

    /// Nobody reads or writes any more.
    fn count(&self) -> Result<u64, String> {
        let guard = self.value.lock.try_write(self.seats).map_err(|why| format!("{why:?}"))?;
        let [first, second] = *guard;
        if first != second {
            return Err(format!("torn: {first} and {second}"));
        }
        Ok(first + self.value.times.load(SeqCst))
    }
}

/// Written where nobody else wants it.
pub(crate) struct Written(Ground<Book>);

impl Scene for Written {
    const NAME: &'static str = "rwlock-write";
    const BY_MANY: bool = true;
    const EXCUSED: &'static [Excuse] = &[PACE];

    fn attach(place: &Place) -> Self {
        Written(Ground::attach(place))
    }

    fn operate(&mut self) {
        self.0.transact();
    }

    fn work(&mut self, _: usize) {
        drop(self.0.read());
        self.0.transact();
    }

    fn check(&mut self) -> Result<u64, String> {
        self.0.count()
    }
}

/// Read, and then written by the survivor.
pub(crate) struct Read(Ground<Book>);

impl Scene for Read {
    const NAME: &'static str = "rwlock-read";
    const EXCUSED: &'static [Excuse] = &[
        PACE,
        ("sum_alive<", "who died is asked of again where its slot is not freed"),
        ("sleep_unless<", "asks for a wake-up, which is not needed where nobody is left"),
    ];

    fn attach(place: &Place) -> Self {
        Read(Ground::attach(place))
    }

    #[inline(never)]
    fn operate(&mut self) {
        let reading = self.0.read();
        self.0.times.fetch_add(1, SeqCst);
        drop(reading);
    }

    fn recover(&mut self) {
        self.0.transact();
    }

    fn check(&mut self) -> Result<u64, String> {
        self.0.count()
    }
}

/// The companion, which would write, sleeps until the victim gives back what it reads.
pub(crate) struct ReadWanted(Ground<Book>, Option<Reading>);

impl Scene for ReadWanted {
    const NAME: &'static str = "rwlock-read-wanted";
    const COMPANION: bool = true;

    fn attach(place: &Place) -> Self {
        ReadWanted(Ground::attach(place), None)
    }

    fn settle(&mut self, board: &Board) {
        self.1 = self.0.read();
        board.raise(HELD);
        board.await_sleep(SLEEPER);
    }

    #[inline(never)]
    fn operate(&mut self) {
        self.0.times.fetch_add(1, SeqCst);
        self.1 = None;
    }

    fn arrive(&mut self, board: &Board) {
        board.wait_for(DONE);
    }

    fn recover(&mut self) {
        self.0.transact();
    }

    fn accompany(&mut self, board: &Board) -> Result<(), String> {
        board.wait_for(HELD);
        board.tell_number(SLEEPER);
        drop(self.0.write());
        board.raise(DONE);
        Ok(())
    }

    fn check(&mut self) -> Result<u64, String> {
        self.0.count()
    }
}

/// The companion, which would read, sleeps until the victim gives back what it writes.
pub(crate) struct WriteWanted(Ground<Book>, Option<Writing>);

impl Scene for WriteWanted {
    const NAME: &'static str = "rwlock-write-wanted";
    const COMPANION: bool = true;

    fn attach(place: &Place) -> Self {
        WriteWanted(Ground::attach(place), None)
    }

    fn settle(&mut self, board: &Board) {
        self.1 = Some(self.0.write());
        board.raise(HELD);
        board.await_sleep(SLEEPER);
    }

    #[inline(never)]
    fn operate(&mut self) {
        if let Some(mut guard) = self.1.take() {
            self.0.change(&mut guard);
        }
    }

    fn arrive(&mut self, board: &Board) {
        board.wait_for(DONE);
    }

    fn recover(&mut self) {
        self.0.transact();
    }

    fn accompany(&mut self, board: &Board) -> Result<(), String> {
        board.wait_for(HELD);
        board.tell_number(SLEEPER);
        drop(self.0.read());
        board.raise(DONE);
        Ok(())
    }

    fn check(&mut self) -> Result<u64, String> {
        self.0.count()
    }
}

/// The victim would write, and sleeps until the companion has read; another reader of the companion
/// sleeps behind the victim.
pub(crate) struct WriteHandoff(Ground<Book>);

impl Scene for WriteHandoff {
    const NAME: &'static str = "rwlock-write-handoff";
    const COMPANION: bool = true;
    const SLEEPS: bool = true;

    fn attach(place: &Place) -> Self {
        WriteHandoff(Ground::attach(place))
    }

    fn settle(&mut self, board: &Board) {
        board.wait_for(HELD);
    }

    fn operate(&mut self) {
        self.0.transact();
    }

    fn wake(board: &Board) {
        board.raise(GO_ON);
        board.wait_for(GIVEN);
    }

    fn arrive(&mut self, board: &Board) {
        board.raise(GO_ON);
        board.wait_for(DONE);
    }

    fn accompany(&mut self, board: &Board) -> Result<(), String> {
        let reading = self.0.read();
        board.raise(HELD);
        board.wait_for(GO_ON);
        drop(reading);
        board.raise(GIVEN);
        drop(self.0.read());
        board.raise(DONE);
        Ok(())
    }

    fn check(&mut self) -> Result<u64, String> {
        self.0.count()
    }
}
