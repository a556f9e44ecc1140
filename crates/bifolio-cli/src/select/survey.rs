//! The same work on many files at once: each thread takes a handful at a time, and what comes of
//! them is delivered in the order in which they were found.
//!
//! 1. Handfuls are numbered as they are taken, and delivered by number.
//! 2. No more than `AHEAD` handfuls for each thread wait to be delivered.
//! 3. When a delivery fails nobody waits: the threads find their channel closed, and end.

use crate::failure::Failure;
use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::{Mutex, PoisonError, mpsc};
use std::thread;

/// How many files are taken at once where the work on each is short: so many that threads seldom
/// meet in one directory, whose counters they would fight for. Fewer need no thread.
const HANDFUL: usize = 500;

/// How many handfuls for each thread may wait to be delivered.
const AHEAD: usize = 4;

/// What was found or seen, or why not.
pub(crate) type Seen<T> = Result<T, Failure>;

/// What the work consists of.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Effort {
    /// Little of it, by the processor: a thread for each core.
    Cores,
    /// Waiting for a disk: so many threads.
    Disk(usize),
}

/// Does `work` on everything that comes from `source`, and gives to `deliver` what it returns.
pub(crate) fn survey<I: Send, T: Send>(
    source: &mut (impl Iterator<Item = I> + Send),
    effort: Effort,
    work: impl Fn(I) -> T + Sync,
    mut deliver: impl FnMut(T) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let handful = if let Effort::Cores = effort { HANDFUL } else { 1 };
    let first: Vec<_> = source.take(handful).collect();
    let cores = || thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let threads = match effort {
        Effort::Cores if first.len() == handful => cores(),
        Effort::Cores => 1,
        Effort::Disk(threads) => threads,
    };
    if threads <= 1 {
        return first.into_iter().chain(source).try_for_each(|item| deliver(work(item)));
    }
    let source = Mutex::new((0, Some(first), source));
    let take = || {
        // A thread that panics ends the program when it is joined.
        let (number, first, source) = &mut *source.lock().unwrap_or_else(PoisonError::into_inner);
        let items = first.take().unwrap_or_else(|| source.take(handful).collect());
        *number += 1;
        (*number, items)
    };
    thread::scope(|scope| {
        let (send, receive) = mpsc::sync_channel(threads * AHEAD);
        for _ in 0..threads {
            let (send, take, work) = (send.clone(), &take, &work);
            scope.spawn(move || {
                loop {
                    let (number, items) = take();
                    if items.is_empty() {
                        break;
                    }
                    let done: Vec<_> = items.into_iter().map(work).collect();
                    if send.send((number, done)).is_err() {
                        break;
                    }
                }
            });
        }
        drop(send);
        let (mut early, mut next) = (BTreeMap::new(), 1);
        for (number, done) in receive {
            early.insert(number, done);
            while let Some(done) = early.remove(&next) {
                next += 1;
                done.into_iter().try_for_each(&mut deliver)?;
            }
        }
        Ok(())
    })
}
