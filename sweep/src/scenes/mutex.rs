//! A mutex: taken and given back where it is free, where another wants it, and where another gives
//! it to the victim, which sleeps.

use bifolio_sync::{LockError, Mutex, MutexGuard, Peers, Seats};

use super::ground::{DONE, GIVEN, GO_ON, Ground, HELD, PACE, SLEEPER};
use crate::place::{Board, Place};
use crate::scene::{Excuse, Scene};

/// What the mutex guards: two numbers that are equal whenever nobody holds it.
type Pair = [u64; 2];
type Guard = MutexGuard<'static, Pair, Seats>;

impl Ground<Mutex<Pair>> {
    fn lock(&self) -> Guard {
        let guard = match self.value.lock(self.seats) {
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
        assert_eq!(self.value.holder(), self.seats.me().ok(), "whoever has it says so");
        guard
    }

    /// Locks, changes both and unlocks.
    #[inline(never)]
    fn transact(&self) {
        change(&mut self.lock());
    }

    /// Both are equal, and the lock is as if nobody had died.
    fn count(&self) -> Result<u64, String> {
        let guard = self.value.try_lock(self.seats).map_err(|why| format!("{why:?}"))?;
        let [first, second] = *guard;
        if first == second { Ok(first) } else { Err(format!("torn: {first} and {second}")) }
    }
}

fn change(pair: &mut Pair) {
    pair[0] += 1;
    // The compiler would store both at once.
    std::hint::black_box(&mut *pair);
    pair[1] += 1;
}

/// Nobody else wants it.
pub(crate) struct MutexFree(Ground<Mutex<Pair>>);

impl Scene for MutexFree {
    const NAME: &'static str = "mutex";
    const BY_MANY: bool = true;

    const EXCUSED: &'static [Excuse] = &[PACE];

    fn attach(place: &Place) -> Self {
        MutexFree(Ground::attach(place))
    }

    fn operate(&mut self) {
        self.0.transact();
    }

    fn check(&mut self) -> Result<u64, String> {
        self.0.count()
    }
}

/// The companion sleeps until the victim, which holds it, changes the pair and gives it back.
pub(crate) struct MutexWanted(Ground<Mutex<Pair>>, Option<Guard>);

impl Scene for MutexWanted {
    const NAME: &'static str = "mutex-wanted";
    const COMPANION: bool = true;

    fn attach(place: &Place) -> Self {
        MutexWanted(Ground::attach(place), None)
    }

    fn settle(&mut self, board: &Board) {
        self.1 = Some(self.0.lock());
        board.raise(HELD);
        board.await_sleep(SLEEPER);
    }

    #[inline(never)]
    fn operate(&mut self) {
        if let Some(mut guard) = self.1.take() {
            change(&mut guard);
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
        drop(self.0.lock());
        board.raise(DONE);
        Ok(())
    }

    fn check(&mut self) -> Result<u64, String> {
        self.0.count()
    }
}

/// The victim sleeps until a companion gives it back; another companion sleeps behind the victim,
/// and must have it after the victim, or instead of it.
pub(crate) struct MutexHandoff(Ground<Mutex<Pair>>);

impl Scene for MutexHandoff {
    const NAME: &'static str = "mutex-handoff";
    const COMPANION: bool = true;
    const SLEEPS: bool = true;

    fn attach(place: &Place) -> Self {
        MutexHandoff(Ground::attach(place))
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
        let ground = &self.0;
        let guard = ground.lock();
        board.raise(HELD);
        board.wait_for(GO_ON);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                board.tell_number(SLEEPER);
                drop(ground.lock());
            });
            board.await_sleep(SLEEPER);
            drop(guard);
            board.raise(GIVEN);
        });
        board.raise(DONE);
        Ok(())
    }

    fn check(&mut self) -> Result<u64, String> {
        self.0.count()
    }
}
