//! Sleeping until a word in shared memory changes.
//!
//! | call | since Linux |
//! |---|---|
//! | [`wait`], [`wake`] | 2.6.22, 2.6.25 with a deadline |
//! | [`wait_any`] | 5.16 |
//!
//! A word is known by the memory it lies in, not by its address (no `FUTEX_PRIVATE_FLAG`), so the
//! processes that share the memory meet at it wherever each has it mapped.
//!
//! Under `cfg(loom)` sleepers sleep in the model, which finds a wake-up that is lost.

use core::ffi::c_void;
use core::num::NonZeroU32;
use core::time::Duration;

use rustix::io::Errno;
use rustix::thread::futex;
use rustix::time::{ClockId, Timespec, clock_gettime};

use crate::sync::AtomicU32;

/// How many words [`wait_any`] takes: `FUTEX_WAITV_MAX`.
pub const WORDS_MAX: usize = 128;

/// A moment of the monotonic clock until which a call may sleep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadline(Timespec);

impl Deadline {
    /// The moment that is `duration` from now; `None` where the clock does not go that far, which
    /// is never.
    #[must_use]
    pub fn after(duration: Duration) -> Option<Deadline> {
        let now = clock_gettime(ClockId::Monotonic);
        let duration = Timespec::try_from(duration).ok()?;
        now.checked_add(duration).map(Deadline)
    }

    /// Whether it is past.
    #[must_use]
    pub fn is_past(self) -> bool {
        clock_gettime(ClockId::Monotonic) >= self.0
    }

    /// The earlier of two.
    #[must_use]
    pub fn min(self, other: Deadline) -> Deadline {
        if other.0 < self.0 { other } else { self }
    }
}

/// A word, and the value that it has as long as there is nothing to wake up for.
#[derive(Clone, Copy, Debug)]
pub struct Expect<'a> {
    /// The word.
    pub word: &'a AtomicU32,
    /// Its value while one sleeps.
    pub value: u32,
}

/// Sleeps while `word` is `value`, until it is woken or `deadline` is past.
///
/// It may return for no reason: look at the word again.
///
/// # Errors
///
/// [`Errno::AGAIN`] where the word has another value, [`Errno::TIMEDOUT`], [`Errno::INTR`] after a
/// signal, [`Errno::FAULT`] where the memory is gone.
///
/// # Examples
///
/// ```
/// use bifolio_sys::futex::{Deadline, wait};
/// use core::{sync::atomic::AtomicU32, time::Duration};
///
/// let word = AtomicU32::new(1);
/// assert_eq!(wait(&word, 0, None), Err(bifolio_sys::Errno::AGAIN));
/// let deadline = Deadline::after(Duration::from_millis(1));
/// assert_eq!(wait(&word, 1, deadline), Err(bifolio_sys::Errno::TIMEDOUT));
/// ```
///
/// # References
///
/// [futex(2)](https://man7.org/linux/man-pages/man2/futex.2.html), `FUTEX_WAIT_BITSET`: Linux
/// 2.6.25.
#[cfg(not(loom))]
pub fn wait(word: &AtomicU32, value: u32, deadline: Option<Deadline>) -> Result<(), Errno> {
    let deadline = deadline.as_ref().map(|deadline| &deadline.0);
    futex::wait_bitset(word, futex::Flags::empty(), value, deadline, NonZeroU32::MAX)
}

/// Wakes up to `count` threads, of any process, that wait for `word`; says how many there were.
///
/// # Errors
///
/// [`Errno::FAULT`] where the memory is gone.
///
/// # References
///
/// [futex(2)](https://man7.org/linux/man-pages/man2/futex.2.html), `FUTEX_WAKE`.
#[cfg(not(loom))]
pub fn wake(word: &AtomicU32, count: u32) -> Result<usize, Errno> {
    // The kernel counts in int.
    futex::wake(word, futex::Flags::empty(), count.min(i32::MAX as u32))
}

/// Sleeps while every word has its value, until one of them is woken or `deadline` is past; says
/// which. It may return for no reason.
///
/// # Errors
///
/// As [`wait`]; [`Errno::INVAL`] for no words, or more than [`WORDS_MAX`]; [`Errno::NOSYS`] before
/// Linux 5.16.
///
/// # References
///
/// [futex_waitv(2)](https://man7.org/linux/man-pages/man2/futex_waitv.2.html): Linux 5.16.
#[cfg(not(loom))]
pub fn wait_any(words: &[Expect<'_>], deadline: Option<Deadline>) -> Result<usize, Errno> {
    let mut list = [futex::Wait::new(); WORDS_MAX];
    let list = list.get_mut(..words.len()).ok_or(Errno::INVAL)?;
    for (wait, expect) in list.iter_mut().zip(words) {
        wait.val = expect.value.into();
        wait.uaddr = futex::WaitPtr::new(expect.word.as_ptr().cast::<c_void>());
        wait.flags = futex::WaitFlags::SIZE_U32;
    }
    let deadline = deadline.as_ref().map(|deadline| &deadline.0);
    futex::waitv(list, futex::WaitvFlags::empty(), deadline, ClockId::Monotonic)
}

#[cfg(loom)]
pub use model::{wait, wait_any, wake};

#[cfg(loom)]
mod model {
    //! Sleepers stand in a queue, as in the kernel: the first of those who sleep on a word are
    //! woken, as many as are asked for, and nobody else.
    extern crate std;
    use super::{Deadline, Errno, Expect};
    use crate::sync::{AtomicU32, Ordering};
    use loom::sync::{Condvar, Mutex};
    use std::sync::Arc;
    use std::vec::Vec;

    struct Sleeper {
        words: Vec<usize>,
        bed: Arc<Condvar>,
        /// By which word.
        woken: Option<usize>,
    }

    loom::lazy_static! {
        static ref QUEUE: Mutex<Vec<Sleeper>> = Mutex::new(Vec::new());
    }

    fn address(word: &AtomicU32) -> usize {
        core::ptr::from_ref(word).addr()
    }

    /// As the kernel's; a deadline is never past.
    pub fn wait(word: &AtomicU32, value: u32, deadline: Option<Deadline>) -> Result<(), Errno> {
        wait_any(&[Expect { word, value }], deadline).map(drop)
    }

    /// As the kernel's.
    pub fn wake(word: &AtomicU32, count: u32) -> Result<usize, Errno> {
        let mut queue = QUEUE.lock().unwrap();
        let mut woken = 0;
        for sleeper in queue.iter_mut().filter(|sleeper| sleeper.woken.is_none()) {
            let index = sleeper.words.iter().position(|other| *other == address(word));
            if index.is_some() && woken < count as usize {
                sleeper.woken = index;
                sleeper.bed.notify_one();
                woken += 1;
            }
        }
        Ok(woken)
    }

    /// As the kernel's; a deadline is never past.
    pub fn wait_any(words: &[Expect<'_>], _: Option<Deadline>) -> Result<usize, Errno> {
        let mut queue = QUEUE.lock().unwrap();
        // The kernel compares under the lock that a waker takes, too.
        if words.iter().any(|expect| expect.word.load(Ordering::SeqCst) != expect.value) {
            return Err(Errno::AGAIN);
        }
        let bed = Arc::new(Condvar::new());
        let words = words.iter().map(|expect| address(expect.word)).collect();
        queue.push(Sleeper { words, bed: bed.clone(), woken: None });
        loop {
            queue = bed.wait(queue).unwrap();
            let here = queue.iter().position(|sleeper| Arc::ptr_eq(&sleeper.bed, &bed));
            if let Some(here) = here
                && let Some(index) = queue[here].woken
            {
                queue.remove(here);
                return Ok(index);
            }
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    extern crate std;
    use super::*;
    use core::sync::atomic::Ordering;

    /// Whether one cannot sleep on several words here, as before Linux 5.16 and under emulators.
    fn is_absent() -> bool {
        let is_absent = wait_any(&[], None) == Err(Errno::NOSYS);
        if is_absent {
            std::eprintln!("skipped: futex_waitv(2) is not there");
        }
        is_absent
    }

    #[test]
    fn a_sleeper_is_woken_by_whichever_word_changes() {
        if is_absent() {
            return;
        }
        let words = [AtomicU32::new(0), AtomicU32::new(5)];
        let expect = |index: usize, value| Expect { word: &words[index], value };
        assert_eq!(wait_any(&[expect(0, 0), expect(1, 4)], None), Err(Errno::AGAIN));
        assert_eq!(wait_any(&[], None), Err(Errno::INVAL));
        std::thread::scope(|scope| {
            let sleeper = scope.spawn(|| {
                while words[1].load(Ordering::SeqCst) == 5 {
                    match wait_any(&[expect(0, 0), expect(1, 5)], None) {
                        Ok(woken) => assert_eq!(woken, 1),
                        Err(errno) => assert_eq!(errno, Errno::AGAIN),
                    }
                }
            });
            words[1].store(6, Ordering::SeqCst);
            wake(&words[1], 1).unwrap();
            sleeper.join().unwrap();
        });
    }

    #[test]
    fn too_many_words_are_refused() {
        if is_absent() {
            return;
        }
        let word = AtomicU32::new(0);
        let many = [Expect { word: &word, value: 0 }; WORDS_MAX + 1];
        assert_eq!(wait_any(&many, None), Err(Errno::INVAL));
        let past = Deadline::after(Duration::ZERO);
        assert!(past.unwrap().is_past());
        assert_eq!(wait_any(&many[1..], past), Err(Errno::TIMEDOUT));
    }

    #[test]
    fn a_deadline_beyond_the_clock_is_none() {
        assert_eq!(Deadline::after(Duration::MAX), None);
        let (near, far) =
            (Deadline::after(Duration::ZERO), Deadline::after(Duration::from_secs(60)));
        assert_eq!(near.unwrap().min(far.unwrap()), near.unwrap());
        assert!(!far.unwrap().is_past());
    }
}
