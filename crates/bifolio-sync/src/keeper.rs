//! The thread by which the end of a process is noticed: one for each seat that the process has.
//!
//! Its robust list names `life` and `watch` of the seat, so that the kernel marks them when the
//! thread ends: by kill, exit, exec, or because the seat is given up. It sleeps on the `watch` of
//! the other seats. When it is woken by one it wakes all who sleep on that seat's `life`, asks for
//! the proof of the death until there is one, and then tells it by `deaths`.
//!
//! # No death goes unheard
//!
//! The kernel wakes one sleeper for each word, and that one may be killed before it does anything.
//! Let X be a seat whose watch was marked at the time t(X). The one who was woken is the keeper of
//! some P. Either it goes on to look at all seats and finds X marked, or it ends before it told of
//! X, at t(P) > t(X): while it slept it had not ended. Then the kernel marks the watch of P and
//! wakes another keeper, which looks at all seats. Since these times grow and the keepers are
//! finite, it ends with one that lives, or with none at all, and then there is nobody to be told.
//! A keeper that is awake looks at every word before it sleeps, and the kernel compares each with
//! what was seen.
//!
//! That is why no other thread sleeps on a `watch`. The threads of P that wait for a lock end
//! before or after the keeper of P in any order: if they slept there, X and P that die together
//! could each take the wake-up that was to tell of the other.
//!
//! A keeper that is stopped is not woken: the signal takes it off the words that it sleeps on. But
//! it may be stopped after it was woken, and the freezer of cgroups v1 leaves it where it sleeps.
//! Nothing tells the others of that, so all look at all seats once in a second as long as there are
//! others; where a process is alone, its keeper sleeps for good.
//!
//! # Invariants
//!
//! 0. The list and what it names outlive the thread: whoever starts it waits for its end first.
//! 1. All signals but those of faults are blocked, it holds no lock and takes none, and nothing in
//!    it unwinds.
//!
//! # Safety
//!
//! The kernel keeps the address of the list (0).
#![allow(unsafe_code, reason = "the robust list of a thread")]

use core::ptr::{NonNull, null_mut};
use core::sync::atomic::{AtomicU32, Ordering::SeqCst};
use core::time::Duration;
use std::boxed::Box;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::{Builder, JoinHandle};

use bifolio_sys::Errno;
use bifolio_sys::fs::fd::{AsRawFd, BorrowedFd};
use bifolio_sys::futex::{Deadline, Expect, WORDS_MAX, wait, wait_any};
use bifolio_sys::process::gettid;
use bifolio_sys::robust::{FUTEX_TID_MASK, RobustList, RobustListHead, set_robust_list};
use bifolio_sys::signal::{AllBlocked, unblock_faults};

use crate::owner::Owner;
use crate::seats::table::{Seat, Table};

/// It calls little and nothing deeply.
const STACK_BYTES: usize = 128 << 10;
/// How long it sleeps at most where there are others.
const PATROL: Duration = Duration::from_secs(1);
/// How long where it can sleep on one word only.
const LOOK_AGAIN: Duration = Duration::from_millis(5);
/// How soon it asks for the proof of a death again; twice as long each time.
const ASK_AGAIN_MIN: Duration = Duration::from_micros(25);
const ASK_AGAIN_MAX: Duration = Duration::from_millis(10);

/// What the keeper knows.
struct Post<'a> {
    table: Table,
    file: BorrowedFd<'a>,
    stop: &'a AtomicU32,
    /// The seat that it keeps.
    number: u32,
}

/// The list of the two words of a seat.
struct Robust {
    head: RobustListHead,
    entries: [RobustList; 2],
}

/// A keeper that runs.
pub(crate) struct Keeper {
    thread: JoinHandle<()>,
    robust: NonNull<Robust>,
    stop: NonNull<AtomicU32>,
}

// SAFETY: the list is the thread's until it has ended, and the word is an atomic.
unsafe impl Send for Keeper {}

impl Keeper {
    /// Starts the thread that keeps `seat`, and returns when it does.
    ///
    /// # Errors
    ///
    /// What the kernel says of a thread or a robust list.
    ///
    /// # Safety
    ///
    /// The table stays mapped and the descriptor stays open until [`end`](Self::end) has returned,
    /// or the process has ended.
    pub(crate) unsafe fn start(
        table: Table,
        file: BorrowedFd<'_>,
        number: u32,
    ) -> Result<Keeper, Errno> {
        let seat = &table.seats()[number as usize];
        let robust = NonNull::from(Box::leak(Box::new(Robust::new())));
        let stop = NonNull::from(Box::leak(Box::new(AtomicU32::new(0))));
        // SAFETY: it was made above, and nothing else refers to it.
        unsafe { Robust::link(robust, seat) };
        // SAFETY: the descriptor stays open until the thread has ended, says the caller.
        let file = unsafe { BorrowedFd::borrow_raw(file.as_raw_fd()) };
        // SAFETY: freed after the thread has ended (0).
        let post = Post { table, file, stop: unsafe { stop.as_ref() }, number };
        let list = List(robust);
        let (tell, told) = sync_channel(1);
        let spawned = {
            let _inherited = AllBlocked::new();
            let builder = Builder::new().name("bifolio-keeper".into()).stack_size(STACK_BYTES);
            builder.spawn(move || post.keep(list, &tell))
        };
        let failed = |error: std::io::Error| Errno::from_io_error(&error).unwrap_or(Errno::AGAIN);
        let thread = match spawned {
            Ok(thread) => thread,
            Err(error) => {
                // SAFETY: no thread has them.
                unsafe { free(robust, stop) };
                return Err(failed(error));
            }
        };
        let keeper = Keeper { thread, robust, stop };
        match told.recv().unwrap_or(Err(Errno::AGAIN)) {
            Ok(()) => Ok(keeper),
            Err(errno) => {
                keeper.end();
                Err(errno)
            }
        }
    }

    /// Ends the thread, by which the kernel marks the words of the seat.
    pub(crate) fn end(self) {
        let Keeper { thread, robust, stop } = self;
        // SAFETY: it is freed below.
        let word = unsafe { stop.as_ref() };
        word.store(1, SeqCst);
        let _ = bifolio_sys::futex::wake(word, 1);
        // It ends by returning: a panic of it ends the process.
        let _ = thread.join();
        // SAFETY: the thread has ended. The kernel went through the list before it said so: the
        // end of the list comes before CLONE_CHILD_CLEARTID, on which join waits.
        unsafe { free(robust, stop) };
    }

    /// Forgets a keeper of the process that this one was forked from, which does not run here.
    pub(crate) fn forget(self) {
        core::mem::forget(self.thread);
        // SAFETY: this process has a copy, and no thread that knows of it.
        unsafe { free(self.robust, self.stop) };
    }
}

/// # Safety
///
/// Both came from a box, and nobody uses them any more.
unsafe fn free(robust: NonNull<Robust>, stop: NonNull<AtomicU32>) {
    // SAFETY: says the caller.
    drop(unsafe { Box::from_raw(robust.as_ptr()) });
    // SAFETY: says the caller.
    drop(unsafe { Box::from_raw(stop.as_ptr()) });
}

/// The address of a list, on its way to the thread whose it will be.
struct List(NonNull<Robust>);

// SAFETY: it is used by the thread that it is sent to, and freed when that has ended (0).
unsafe impl Send for List {}

impl Robust {
    const fn new() -> Robust {
        let (list, pending) = (RobustList { next: null_mut() }, null_mut());
        let head = RobustListHead { list, futex_offset: 0, list_op_pending: pending };
        Robust { head, entries: [const { RobustList { next: null_mut() } }; 2] }
    }

    /// Has the list name `life` and then `watch`. The entries lie here and their words there, at
    /// one distance.
    ///
    /// # Safety
    ///
    /// `this` is valid, and nothing else refers to it.
    unsafe fn link(this: NonNull<Robust>, seat: &Seat) {
        const {
            use core::mem::{offset_of, size_of};
            assert!(offset_of!(Seat, watch) - offset_of!(Seat, life) == size_of::<RobustList>());
        }
        let robust = this.as_ptr();
        // SAFETY: within what the caller says is valid.
        let end = unsafe { &raw mut (*robust).head.list };
        // SAFETY: as above.
        let life = unsafe { &raw mut (*robust).entries[0] };
        // SAFETY: as above.
        let watch = unsafe { &raw mut (*robust).entries[1] };
        let offset = (&raw const seat.life).addr().wrapping_sub(life.addr()) as _;
        let (list, pending) = (RobustList { next: life }, null_mut());
        let head = RobustListHead { list, futex_offset: offset, list_op_pending: pending };
        let entries = [RobustList { next: watch }, RobustList { next: end }];
        // SAFETY: as above; nothing that is replaced needs to be dropped.
        unsafe { this.write(Robust { head, entries }) };
    }
}

/// Ends the process where a keeper would unwind and leave the seat unwatched.
struct AbortOnUnwind;

impl Drop for AbortOnUnwind {
    fn drop(&mut self) {
        std::process::abort();
    }
}

impl Post<'_> {
    /// The life of the thread.
    fn keep(&self, list: List, tell: &SyncSender<Result<(), Errno>>) {
        let never_unwinds = AbortOnUnwind;
        // Memory that is gone is the business of whoever lent it.
        unblock_faults();
        // SAFETY: a part of what is valid until the thread has ended (0).
        let head = unsafe { &raw const (*list.0.as_ptr()).head };
        // SAFETY: list and words outlive the thread (0); the words are those that the kernel is to
        // mark; the thread uses no mutex of the C library that is robust.
        let listed = unsafe { set_robust_list(head) };
        if listed.is_ok() {
            let thread = gettid().as_raw_pid().cast_unsigned();
            self.table.open_watch(self.seat(), thread);
        }
        // Whoever started this waits for it.
        let _ = tell.send(listed);
        if listed.is_ok() {
            self.watch();
        }
        core::mem::forget(never_unwinds);
    }

    fn seat(&self) -> &Seat {
        &self.table.seats()[self.number as usize]
    }

    /// Looks at all seats and sleeps, until it is to stop.
    fn watch(&self) {
        let mut ask_again = ASK_AGAIN_MIN;
        while self.stop.load(SeqCst) == 0 {
            let stop = Expect { word: self.stop, value: 0 };
            let roster = &self.table.head().roster;
            let mut words = [stop; WORDS_MAX];
            words[1] = Expect { word: roster, value: roster.load(SeqCst) };
            let look = self.look(&mut words[2..]);
            if look.is_partial {
                // In a crowd, whoever sits down is seen on patrol.
                words[1] = stop;
            }
            let patience = if look.is_dying {
                ask_again = ASK_AGAIN_MAX.min(2 * ask_again);
                Some(ask_again)
            } else {
                ask_again = ASK_AGAIN_MIN;
                (look.watched > 0).then_some(PATROL)
            };
            let deadline = patience.and_then(Deadline::after);
            match wait_any(&words[..2 + look.watched], deadline) {
                Ok(_) | Err(Errno::AGAIN | Errno::INTR | Errno::TIMEDOUT) => {}
                // The kernel, or a filter of system calls, does not know the call.
                Err(_) => {
                    let soon = Deadline::after(patience.unwrap_or(LOOK_AGAIN).min(LOOK_AGAIN));
                    let _ = wait(stop.word, stop.value, soon);
                }
            }
        }
    }

    /// Wakes, asks and tells about whoever is ending, and lists whose watch is open: those before
    /// this seat, going round, so that each is watched where there are more than one can watch.
    fn look<'a>(&'a self, words: &mut [Expect<'a>]) -> Look {
        let mut look = Look { watched: 0, is_dying: false, is_partial: false };
        let seats = self.table.seats();
        let behind = self.number as usize + 1..seats.len();
        for number in (0..self.number as usize).rev().chain(behind.rev()) {
            let seat = &seats[number];
            let generation = seat.generation.load(SeqCst);
            let value = seat.watch.load(SeqCst);
            if value & FUTEX_TID_MASK != 0 {
                match words.get_mut(look.watched) {
                    Some(word) => *word = Expect { word: &seat.watch, value },
                    None => look.is_partial = true,
                }
                look.watched = words.len().min(look.watched + 1);
            } else if seat.is_ending(generation) {
                seat.wake_life();
                let is_dead = Owner::new(number as u32, generation)
                    .is_some_and(|owner| self.table.is_dead(self.file, owner));
                if is_dead {
                    self.table.tell(seat, generation);
                }
                look.is_dying |= !is_dead;
            }
        }
        look
    }
}

/// What there was to see.
struct Look {
    /// How many words to sleep on were found.
    watched: usize,
    /// Somebody's end was marked and is not proved.
    is_dying: bool,
    /// There are more than can be slept on.
    is_partial: bool,
}
