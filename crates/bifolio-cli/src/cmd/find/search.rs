//! The pieces of a file, searched by several threads, and their matches in the order of the file.
//!
//! 1. Pieces are taken in order, and no thread is more than `AHEAD` pieces per thread in front of
//!    what was handed on: what is remembered stays small, however slow one piece is.
//! 2. A piece is searched as if no match reached into it. Where one does and overlaps the first
//!    match found, the piece is searched again from that match's end: the matches are then those of
//!    one reader from front to back.

use super::pattern::Pattern;
use super::plan::{Piece, Plan};
use super::scan::{Found, Scanner, Want};
use crate::failure::Failure;
use bifolio::{Access, Error, FileMap};
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

/// How many pieces for each thread may wait to be handed on.
const AHEAD: usize = 4;

/// The stack of a thread: what it searches lies on the heap.
const STACK_BYTES: usize = 256 << 10;

/// Whoever takes the matches: it is told of every piece, and may end the search.
pub(super) type Deliver<'d> = &'d mut dyn FnMut(&Piece, &Found) -> Result<ControlFlow<()>, Failure>;

/// Searches a file by `threads` threads, and gives the matches of each piece to `deliver`.
pub(super) fn search(
    map: &FileMap,
    pattern: &Pattern,
    want: Want,
    threads: usize,
    deliver: Deliver<'_>,
) -> Result<(), Failure> {
    let plan = Plan::new(map, pattern)?;
    let mut order =
        Order { map, scanner: Scanner::new(map.view(), pattern, want), end: 0, deliver };
    if threads <= 1 {
        let mut scanner = Scanner::new(map.view(), pattern, want);
        for piece in plan {
            let piece = piece?;
            let from = order.end;
            let found = scanner.scan(&piece, from);
            if order.hand_on(&piece, found)?.is_break() {
                break;
            }
        }
        return Ok(());
    }
    let queue = Queue {
        state: Mutex::new(State {
            plan: Some(plan),
            taken: 0,
            handed_on: 0,
            done: BTreeMap::new(),
        }),
        changed: Condvar::new(),
        ahead: threads * AHEAD,
    };
    thread::scope(|scope| {
        for _ in 0..threads {
            let started = thread::Builder::new()
                .stack_size(STACK_BYTES)
                .spawn_scoped(scope, || work(&queue, Scanner::new(map.view(), pattern, want)));
            if let Err(error) = started {
                queue.stop();
                return Err(Failure::message(format!("a thread could not be started: {error}")));
            }
        }
        let answer = hand_on_all(&queue, &mut order);
        queue.stop();
        answer
    })
}

/// Searches pieces until there are no more.
fn work(queue: &Queue<'_>, mut scanner: Scanner<'_>) {
    let _stop = StopOnPanic(queue);
    while let Some((number, piece)) = queue.take() {
        let answer = piece.map(|piece| {
            let found = scanner.scan(&piece, piece.range().start);
            (piece, found)
        });
        queue.put(number, answer);
    }
}

/// Hands on what the threads find until nothing is left, or enough is known.
fn hand_on_all(queue: &Queue<'_>, order: &mut Order<'_, '_>) -> Result<(), Failure> {
    while let Some(answer) = queue.next() {
        let (piece, found) = answer?;
        if order.hand_on(&piece, found)?.is_break() {
            break;
        }
    }
    Ok(())
}

/// Makes one sequence of the matches of the pieces.
struct Order<'a, 'd> {
    map: &'a FileMap,
    scanner: Scanner<'a>,
    /// Where the last match that was handed on ends.
    end: usize,
    deliver: Deliver<'d>,
}

impl Order<'_, '_> {
    fn hand_on(&mut self, piece: &Piece, mut found: Found) -> Result<ControlFlow<()>, Failure> {
        if found.first.is_some_and(|first| first < self.end) {
            found = self.scanner.scan(piece, self.end);
        }
        loop {
            if found.first.is_some() {
                self.end = found.end;
            }
            self.end_at_cut(piece, &mut found);
            if (self.deliver)(piece, &found)?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
            if let Some(error) = found.error {
                return Err(error.into());
            }
            let Some(rest) = found.rest else { return Ok(ControlFlow::Continue(())) };
            found = self.scanner.scan(piece, rest);
        }
    }

    /// Gives up matches in a hole that the file does not reach any more: nobody reads a hole, so no
    /// access told.
    fn end_at_cut(&self, piece: &Piece, found: &mut Found) {
        let Piece::Zeros(range) = piece else { return };
        if let Err(error) = self.map.check_reaches(range.clone()) {
            let end = range.start + error.done_bytes();
            found.places.retain(|place| place.end <= end);
            found.count = found.places.len() as u64;
            found.error = Some(error);
        }
    }
}

type Answer = Result<(Piece, Found), Error>;

/// The pieces on their way to the threads and back.
struct Queue<'a> {
    state: Mutex<State<'a>>,
    changed: Condvar,
    ahead: usize,
}

struct State<'a> {
    /// Nothing, once no more is to be taken.
    plan: Option<Plan<'a>>,
    taken: usize,
    handed_on: usize,
    done: BTreeMap<usize, Answer>,
}

impl<'a> Queue<'a> {
    fn lock(&self) -> MutexGuard<'_, State<'a>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'g>(&self, state: MutexGuard<'g, State<'a>>) -> MutexGuard<'g, State<'a>> {
        self.changed.wait(state).unwrap_or_else(PoisonError::into_inner)
    }

    /// The next piece with its number, for a thread to search.
    fn take(&self) -> Option<(usize, Result<Piece, Error>)> {
        let mut state = self.lock();
        while state.plan.is_some() && state.taken - state.handed_on >= self.ahead {
            state = self.wait(state);
        }
        let piece = state.plan.as_mut()?.next();
        if piece.is_none() {
            state.plan = None;
            self.changed.notify_all();
        }
        let number = state.taken;
        state.taken += usize::from(piece.is_some());
        Some((number, piece?))
    }

    fn put(&self, number: usize, answer: Answer) {
        let mut state = self.lock();
        state.done.insert(number, answer);
        if number == state.handed_on {
            self.changed.notify_all();
        }
    }

    /// What was found in the next piece of the file; nothing behind the last.
    fn next(&self) -> Option<Answer> {
        let mut state = self.lock();
        loop {
            let number = state.handed_on;
            if let Some(answer) = state.done.remove(&number) {
                state.handed_on += 1;
                self.changed.notify_all();
                return Some(answer);
            }
            if state.plan.is_none() && number == state.taken {
                return None;
            }
            state = self.wait(state);
        }
    }

    /// Gives out no more pieces.
    fn stop(&self) {
        self.lock().plan = None;
        self.changed.notify_all();
    }
}

/// Ends the search where a thread dies of a bug, which the scope then reports: nobody waits for its
/// piece.
struct StopOnPanic<'q, 'a>(&'q Queue<'a>);

impl Drop for StopOnPanic<'_, '_> {
    fn drop(&mut self) {
        if thread::panicking() {
            let mut state = self.0.lock();
            state.plan = None;
            state.taken = state.handed_on;
            self.0.changed.notify_all();
        }
    }
}
