//! The answer to a break: the bytes are copied, the copy is moved over the mapping, the lease is
//! given back.
//!
//! The bytes are read by pread(2), which sees the same page cache as the mapping: a page that
//! cannot be read is an errno here and no signal. It becomes a page without access, since the
//! reader who saw it before must not see another; to one who reads it for the first time it would
//! have been a signal in any case. The same goes for bytes beyond the end of a file that became
//! shorter.
//!
//! Whoever reads the mapping meanwhile sees the old pages or the new ones: mremap(2) holds the lock
//! of the address space from unmapping the old to having moved the new, and a fault waits for it.
//!
//! # Safety
//!
//! Unsafe code fills memory that nobody else knows, and replaces pages under references by others
//! with the same bytes.
#![allow(unsafe_code, reason = "replaces pages that references point to")]

use super::Lease;
use crate::span::Span;
use bifolio_sys::Errno;
use bifolio_sys::fs::pread_raw;
use bifolio_sys::mm::{self, Advice, MprotectFlags};
use bifolio_sys::page::page_size;
use core::iter::once;
use core::ops::Range;
use core::sync::atomic::Ordering;
use std::sync::PoisonError;
use std::thread;
use std::time::{Duration, Instant};
use std::vec::Vec;

/// How much is copied between two looks at whether the owner is gone.
const CHUNK: usize = 8 << 20;

/// How long to wait before a move that the kernel refused is tried again.
const PAUSE: Duration = Duration::from_millis(1);

impl Lease {
    /// Copies the bytes, puts the copy in their place, and lets the writer go on; does nothing
    /// where the owner is gone, or where that was done before.
    ///
    /// What the kernel refuses to move, for want of memory or areas, is tried again as long as
    /// `patience` lasts, which is what is left of it for others too. Then it is withdrawn: before
    /// the lease is taken away no page of the file may be left there.
    pub(super) fn answer(&self, patience: &mut Duration) {
        let mut reserve = self.reserve.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(copy) = reserve.take() else { return };
        match self.copy(&copy) {
            None => *reserve = Some(copy),
            Some(missing) => {
                self.exchange(copy, &missing, patience);
                let is_lost = !self.description.give_back();
                self.is_lost.get_or_init(|| is_lost);
            }
        }
    }

    /// Copies the bytes to `copy`, and returns the pages that could not be read, in order; `None`
    /// where the owner did not want them any more.
    fn copy(&self, copy: &Span) -> Option<Vec<Range<usize>>> {
        let (page, end) = (page_size(), self.delta + self.len);
        let mut missing = Missing::default();
        // SAFETY: fresh pages, which nobody else knows. Where huge ones are refused, others serve.
        let _ = unsafe { mm::madvise(copy.base().as_ptr().cast(), copy.len(), Advice::HugePage) };
        let mut at = 0;
        while at < end {
            if self.is_dropped.load(Ordering::SeqCst) {
                return None;
            }
            let destination = copy.base().as_ptr().wrapping_add(at);
            let (len, offset) = (CHUNK.min(end - at), self.file_offset + at as u64);
            // SAFETY: `len` bytes of the copy, which nobody holds a reference to (invariant 2 of
            // the parent).
            match unsafe { pread_raw(&self.description.file, destination, len, offset) } {
                Ok(0) => {
                    missing.add(page.round_down(at)..copy.len());
                    break;
                }
                Ok(count) => at += count,
                Err(Errno::INTR) => {}
                Err(_) => {
                    let start = page.round_down(at);
                    at = start + page.bytes();
                    missing.add(start..at);
                }
            }
        }
        Some(missing.0)
    }

    /// Puts `copy` in the place of `target`, but for what is `missing` in it.
    fn exchange(&self, copy: Span, missing: &[Range<usize>], patience: &mut Duration) {
        let mut rest = Some(copy);
        let mut at = 0;
        let end = self.target.len();
        let mut take = |len: usize| {
            let span = rest.take().expect("the pieces are those of the copy");
            if len == span.len() {
                return span;
            }
            let (piece, remaining) = span.split(len);
            rest = Some(remaining);
            piece
        };
        for gap in missing.iter().cloned().chain(once(end..end)) {
            if at < gap.start {
                self.replace(at, take(gap.start - at), patience);
            }
            if !gap.is_empty() {
                drop(take(gap.len()));
                self.withdraw(gap.clone());
            }
            at = gap.end;
        }
    }

    /// Moves `piece` to byte `at` of `target`, or withdraws what is there.
    fn replace(&self, at: usize, mut piece: Span, patience: &mut Duration) {
        loop {
            // SAFETY: the piece holds the bytes of the place that it goes to.
            match unsafe { self.target.replace(at, piece) } {
                Ok(()) => return,
                Err((given_back, _)) => piece = given_back,
            }
            if patience.is_zero() {
                return self.withdraw(at..at + piece.len());
            }
            let start = Instant::now();
            thread::sleep(PAUSE);
            *patience = patience.saturating_sub(start.elapsed());
        }
    }

    /// Makes pages of `target` inaccessible, and all before them where it cannot be these alone:
    /// who reads there gets a signal, and never other bytes.
    fn withdraw(&self, range: Range<usize>) {
        // Relaxed: published by `is_lost`, which is set afterwards.
        if self.close(range.clone()).is_ok() {
            self.unreadable_bytes.fetch_add(range.len(), Ordering::Relaxed); // relaxed: as above
        } else if self.close(0..self.target.len()).is_ok() {
            // A part needs areas that the process may not have; the whole needs none. What comes
            // behind is still to be replaced.
            self.unreadable_bytes.store(range.end, Ordering::Relaxed); // relaxed: as above
        } else {
            std::process::abort();
        }
    }

    /// Closes pages of `target`, in children too: nothing else may come to lie there.
    fn close(&self, range: Range<usize>) -> Result<(), Errno> {
        let start = self.target.base().as_ptr().wrapping_add(range.start).cast();
        // SAFETY: no reference can be read any more, so that none can see a change.
        unsafe { mm::mprotect(start, range.len(), MprotectFlags::empty()) }?;
        // SAFETY: it changes what children inherit, which is pages without access.
        unsafe { mm::madvise(start, range.len(), Advice::DoFork) }
    }
}

/// Ranges in order, none of which touches the next.
#[derive(Default)]
struct Missing(Vec<Range<usize>>);

impl Missing {
    fn add(&mut self, range: Range<usize>) {
        match self.0.last_mut() {
            Some(last) if last.end >= range.start => last.end = range.end,
            _ => self.0.push(range),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::object::Object;
    use crate::stable::lease::{LeaseState, Leased, lease};
    use crate::stable::{Policy, Source};
    use core::sync::atomic::Ordering;
    use core::time::Duration;
    use std::fs::{self, File};
    use std::os::fd::AsFd;

    /// A lease on a file of five bytes that nobody else knows.
    fn leased(name: &str) -> Option<Leased> {
        let name = std::format!("bifolio-lease-{name}-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::write(&path, "bytes").unwrap();
        let file = File::open(&path).unwrap();
        let source = Source { file: file.as_fd(), offset: 0, len: 5, object: &Object::OpenFile };
        // SAFETY: nobody else knows the file.
        let leased = lease(&source, &unsafe { Policy::new().lease() });
        fs::remove_file(&path).unwrap();
        leased.inspect_err(|refusal| std::println!("skipped: {refusal}")).ok()
    }

    /// In a child the helper is not there, which may have been at work.
    #[test]
    fn a_forked_child_waits_for_no_answer() {
        let Some(leased) = leased("forked") else { return };
        let at_work = leased.lease.reserve.lock().unwrap();
        // SAFETY: the child calls nothing but what is to be tested, and ends.
        let child = unsafe { libc::fork() };
        if child == 0 {
            // SAFETY: it takes a number. Who waits for ever is ended by its signal.
            unsafe { libc::alarm(10) };
            let is_held = leased.state() == LeaseState::Held;
            // SAFETY: nothing more of this process is used.
            unsafe { libc::_exit(i32::from(!is_held)) };
        }
        drop(at_work);
        let mut status = 0;
        // SAFETY: the status is written to the word here.
        assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
        assert_eq!(status, 0);
    }

    #[test]
    fn what_nobody_wants_any_more_is_not_copied() {
        let Some(leased) = leased("unwanted") else { return };
        leased.lease.is_dropped.store(true, Ordering::SeqCst);
        leased.lease.answer(&mut Duration::from_secs(1));
        assert_eq!(leased.state(), LeaseState::Held);
        leased.lease.is_dropped.store(false, Ordering::SeqCst);
        leased.lease.answer(&mut Duration::from_secs(1));
        assert_eq!(leased.state(), LeaseState::Copied { unreadable_bytes: 0 });
        assert_eq!(leased.bytes(), b"bytes");
    }
}
