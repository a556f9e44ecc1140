//! Looking at many files at once: each core takes a handful at a time, and what they see is
//! delivered in the order of the walk.
//!
//! 1. Handfuls are numbered as they are taken from the walk, and delivered by number.
//! 2. No more than `AHEAD` handfuls for each thread wait to be delivered.
//! 3. When a delivery fails nobody waits: the threads find their channel closed, and end.

use super::walk::{Found, Walk};
use crate::failure::Failure;
use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::{Mutex, PoisonError, mpsc};
use std::thread;

/// How many files are taken at once; fewer than so many are looked at without a thread.
const HANDFUL: usize = 256;

/// How many handfuls for each thread may wait to be delivered.
const AHEAD: usize = 4;

/// What was found, and what was seen of it.
pub(crate) type Seen<T> = Result<(Found, T), Failure>;

/// Looks at every file of a walk, and gives to `deliver` what was seen, file by file; a failure to
/// look at one is delivered too.
pub(crate) fn survey<T: Send>(
    walk: &mut Walk<'_>,
    look: impl Fn(&Found) -> Result<T, Failure> + Sync,
    mut deliver: impl FnMut(Seen<T>) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let look = |found: Found| look(&found).map(|seen| (found, seen));
    let first: Vec<_> = walk.take(HANDFUL).collect();
    let is_all = first.len() < HANDFUL;
    let threads =
        if is_all { 1 } else { thread::available_parallelism().map_or(1, NonZeroUsize::get) };
    if threads == 1 {
        return first.into_iter().chain(walk).try_for_each(|found| deliver(found.and_then(look)));
    }
    let source = Mutex::new((0, Some(first), walk));
    let take = || {
        // A thread that panics ends the program when it is joined.
        let (number, first, walk) = &mut *source.lock().unwrap_or_else(PoisonError::into_inner);
        let handful = first.take().unwrap_or_else(|| walk.take(HANDFUL).collect());
        *number += 1;
        (*number, handful)
    };
    thread::scope(|scope| {
        let (send, receive) = mpsc::sync_channel(threads * AHEAD);
        for _ in 0..threads {
            let (send, take, look) = (send.clone(), &take, &look);
            scope.spawn(move || {
                loop {
                    let (number, handful) = take();
                    if handful.is_empty() {
                        break;
                    }
                    let seen: Vec<_> =
                        handful.into_iter().map(|found| found.and_then(look)).collect();
                    if send.send((number, seen)).is_err() {
                        break;
                    }
                }
            });
        }
        drop(send);
        let (mut early, mut next) = (BTreeMap::new(), 1);
        for (number, seen) in receive {
            early.insert(number, seen);
            while let Some(seen) = early.remove(&next) {
                next += 1;
                seen.into_iter().try_for_each(&mut deliver)?;
            }
        }
        Ok(())
    })
}
