//! What one waits for that is no lock: a notification, a count, an event, a door.
//!
//! # Safety
//!
//! Declares what lies in shared memory: words, and locks of words.
#![allow(unsafe_code, reason = "declares what lies in shared memory")]

use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use bifolio_sync::{Condvar, Event, LockError, Mutex, MutexGuard, Peers, Seats, Semaphore};

use super::ground::{DONE, GIVEN, GO_ON, Ground, SLEEPER, shared, until};
use crate::place::{Board, Place};
use crate::scene::{Excuse, Scene};

/// Tokens: handed out, taken by those who are counted, taken by the companion. What is left is the
/// first less the others, at every instruction.
type Tokens = [u64; 3];
const OUT: usize = 0;
const TAKEN: usize = 1;
const TAKEN_BESIDE: usize = 2;

shared! {
    /// Tokens, and somebody who waits for one.
    unsafe Till { tokens: Mutex<Tokens>, raised: Condvar }
}

fn left(tokens: &Tokens) -> u64 {
    tokens[OUT] - tokens[TAKEN] - tokens[TAKEN_BESIDE]
}

impl Ground<Till> {
    fn lock(&self) -> MutexGuard<'static, Tokens, Seats> {
        self.whole(self.value.tokens.lock(self.seats))
    }

    fn whole(
        &self,
        locked: bifolio_sync::LockResult<'static, Tokens, Seats>,
    ) -> MutexGuard<'static, Tokens, Seats> {
        let guard = match locked {
            Ok(guard) => guard,
            Err(LockError::OwnerDead(mut guard)) => {
                guard.repaired();
                guard
            }
            Err(why) => panic!("{why:?}"),
        };
        assert_eq!(self.value.tokens.holder(), self.seats.me().ok(), "whoever has it says so");
        guard
    }

    #[inline(never)]
    fn hand_out(&self) {
        self.lock()[OUT] += 1;
        self.value.raised.notify_one();
    }

    #[inline(never)]
    fn take(&self, by: usize) {
        let mut tokens = self.lock();
        while left(&tokens) == 0 {
            tokens = self.whole(self.value.raised.wait(tokens));
        }
        tokens[by] += 1;
    }

    /// The companion takes what there is, although somebody who should have told it was killed; if
    /// there is nothing, it gets something.
    fn serve_companion(&self, board: &Board) {
        until("a token is left, and who waits for it sleeps", || {
            board.is_raised(DONE) || left(&self.lock()) == 0
        });
        if !board.is_raised(DONE) {
            self.lock()[OUT] += 1;
            self.value.raised.notify_all();
            board.wait_for(DONE);
        }
    }
}

/// The victim hands out a token, for which the companion waits.
pub(crate) struct Notify(Ground<Till>);

impl Scene for Notify {
    const NAME: &'static str = "condvar-notify";
    const COMPANION: bool = true;

    fn attach(place: &Place) -> Self {
        Notify(Ground::attach(place))
    }

    fn settle(&mut self, board: &Board) {
        board.await_sleep(SLEEPER);
    }

    fn operate(&mut self) {
        self.0.hand_out();
    }

    fn arrive(&mut self, board: &Board) {
        until("a token is left, and who waits for it sleeps", || left(&self.0.lock()) == 0);
        board.raise(GO_ON);
        self.0.hand_out();
        board.wait_for(DONE);
    }

    fn recover(&mut self) {}

    fn accompany(&mut self, board: &Board) -> Result<(), String> {
        board.tell_number(SLEEPER);
        while !board.is_raised(GO_ON) {
            self.0.take(TAKEN_BESIDE);
        }
        board.raise(DONE);
        Ok(())
    }

    fn check(&mut self) -> Result<u64, String> {
        Ok(self.0.lock()[OUT])
    }
}

/// The victim waits for a token; another waits behind it.
pub(crate) struct Wait(Ground<Till>);

impl Scene for Wait {
    const NAME: &'static str = "condvar-wait";
    const COMPANION: bool = true;
    const SLEEPS: bool = true;

    fn attach(place: &Place) -> Self {
        Wait(Ground::attach(place))
    }

    fn operate(&mut self) {
        self.0.take(TAKEN);
    }

    fn wake(board: &Board) {
        board.raise(GO_ON);
        board.wait_for(GIVEN);
    }

    fn arrive(&mut self, board: &Board) {
        board.raise(GO_ON);
        board.wait_for(GIVEN);
        self.0.serve_companion(board);
        self.0.lock()[OUT] += 1;
    }

    fn accompany(&mut self, board: &Board) -> Result<(), String> {
        let ground = &self.0;
        board.wait_for(GO_ON);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                board.tell_number(SLEEPER);
                ground.take(TAKEN_BESIDE);
            });
            board.await_sleep(SLEEPER);
            ground.hand_out();
            board.raise(GIVEN);
        });
        board.raise(DONE);
        Ok(())
    }

    fn check(&mut self) -> Result<u64, String> {
        Ok(self.0.lock()[TAKEN])
    }
}

shared! {
    /// A count, and how many took or gave one.
    unsafe Counter { semaphore: Semaphore, times: AtomicU64 }
}

/// The victim raises a count, for which the companion waits.
pub(crate) struct Post(Ground<Counter>);

impl Scene for Post {
    const NAME: &'static str = "semaphore-post";
    const COMPANION: bool = true;

    fn attach(place: &Place) -> Self {
        Post(Ground::attach(place))
    }

    fn settle(&mut self, board: &Board) {
        board.await_sleep(SLEEPER);
    }

    #[inline(never)]
    fn operate(&mut self) {
        self.0.times.fetch_add(1, SeqCst);
        self.0.semaphore.post(self.0.seats, 1).expect("a seat");
    }

    fn arrive(&mut self, board: &Board) {
        until("it was raised, and who waits for it sleeps", || self.0.semaphore.count() == 0);
        board.raise(GO_ON);
        self.operate();
        board.wait_for(DONE);
    }

    fn recover(&mut self) {}

    fn accompany(&mut self, board: &Board) -> Result<(), String> {
        board.tell_number(SLEEPER);
        while !board.is_raised(GO_ON) {
            self.0.semaphore.wait(self.0.seats).map_err(|why| why.to_string())?;
        }
        board.raise(DONE);
        Ok(())
    }

    fn check(&mut self) -> Result<u64, String> {
        Ok(self.0.times.load(SeqCst))
    }
}

/// The victim waits for the count to be raised; another waits behind it.
pub(crate) struct Take(Ground<Counter>);

impl Take {
    fn wait(&self) {
        self.0.semaphore.wait(self.0.seats).expect("to be let sleep");
    }
}

impl Scene for Take {
    const NAME: &'static str = "semaphore-wait";
    const COMPANION: bool = true;
    const SLEEPS: bool = true;
    const EXCUSED: &'static [Excuse] =
        &[("semaphore.rs", "what the survivor takes for itself is no recovery")];

    fn attach(place: &Place) -> Self {
        Take(Ground::attach(place))
    }

    #[inline(never)]
    fn operate(&mut self) {
        self.wait();
        self.0.times.fetch_add(1, SeqCst);
    }

    fn wake(board: &Board) {
        board.raise(GO_ON);
        board.wait_for(GIVEN);
    }

    fn arrive(&mut self, board: &Board) {
        board.raise(GO_ON);
        board.wait_for(GIVEN);
        until("it was raised, and who waits for it sleeps", || {
            board.is_raised(DONE) || self.0.semaphore.count() == 0
        });
        // What the victim took is gone with it.
        self.0.semaphore.post(self.0.seats, 1).expect("a seat");
        until("the companion gets what is left", || board.is_raised(DONE));
        self.0.semaphore.post(self.0.seats, 1).expect("a seat");
    }

    fn accompany(&mut self, board: &Board) -> Result<(), String> {
        board.wait_for(GO_ON);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                board.tell_number(SLEEPER);
                self.wait();
            });
            board.await_sleep(SLEEPER);
            self.0.semaphore.post(self.0.seats, 1).expect("a seat");
            board.raise(GIVEN);
        });
        board.raise(DONE);
        Ok(())
    }

    fn check(&mut self) -> Result<u64, String> {
        Ok(self.0.times.load(SeqCst))
    }
}

shared! {
    /// Something that happens, and how often somebody said so.
    unsafe Happening { event: Event, times: AtomicU64 }
}

/// The victim says that something happened, for which the companion waits.
pub(crate) struct Set(Ground<Happening>);

impl Scene for Set {
    const NAME: &'static str = "event-set";
    const COMPANION: bool = true;

    fn attach(place: &Place) -> Self {
        Set(Ground::attach(place))
    }

    fn settle(&mut self, board: &Board) {
        board.await_sleep(SLEEPER);
    }

    #[inline(never)]
    fn operate(&mut self) {
        self.0.times.fetch_add(1, SeqCst);
        self.0.event.set(self.0.seats).expect("a seat");
    }

    fn arrive(&mut self, board: &Board) {
        until("it happened, and who waits for it sleeps", || {
            board.is_raised(DONE) || !self.0.event.is_set()
        });
    }

    fn accompany(&mut self, board: &Board) -> Result<(), String> {
        board.tell_number(SLEEPER);
        self.0.event.wait(self.0.seats).map_err(|why| why.to_string())?;
        board.raise(DONE);
        Ok(())
    }

    fn check(&mut self) -> Result<u64, String> {
        Ok(self.0.times.load(SeqCst))
    }
}
