//! What a body knows of its dirty pages: in which way they are tracked, and up to which address.
//!
//! # Invariants
//!
//! 0. Pages below `settled` are dirty where the page tables or the shadow say so; those from it on
//!    all are, whatever is said of them: bytes that growth has shown, and what could not be marked.
//! 1. Who raises `settled` marks the pages that it passes, or lowers it to where it was; who cannot
//!    mark a page lowers it to that page, and nobody undoes that without marking it. So nothing is
//!    ever lost: one who looks while another settles may not find these pages, but the other does.
//!
//! That is why marking cannot fail: where the kernel refuses it, `settled` falls to the start.

use super::shadow::Shadow;
use super::{Tracking, page_tables};
use crate::body::Body;
use bifolio_sys::Errno;
use bifolio_sys::mm::PageRegion;
use bifolio_sys::page::{PageSize, page_size};
use core::ops::Range;
// One number, not a protocol: there is nothing here for a model checker.
use core::sync::atomic::{AtomicUsize, Ordering};

/// The dirty pages of a body. It is small, since it lies in every mapping.
#[derive(Debug)]
pub(crate) enum Tracker {
    /// The page tables know; here is the settled address.
    PageTables(AtomicUsize),
    /// Pages are closed, and the shadow knows which; it keeps the settled address.
    Shadow(Shadow),
}

impl Tracker {
    /// Tracks the pages at `addresses`, of which those of the first `shown` bytes of `body` are
    /// clean.
    pub(super) fn start(
        addresses: Range<usize>,
        body: &Body,
        shown: usize,
        tracking: Tracking,
    ) -> Result<Tracker, Errno> {
        let settled = body.ptr().addr().get().saturating_add(shown);
        match tracking {
            // A scan that write-protects passes over huge pages of the pool that are not there, and
            // over those larger than the usual huge page (Linux 6.18).
            Tracking::PageTables if body.page() != page_size() => Err(Errno::OPNOTSUPP),
            Tracking::PageTables => {
                page_tables::start(addresses, body.addresses(&(0..shown)))?;
                Ok(Tracker::PageTables(AtomicUsize::new(settled)))
            }
            Tracking::WriteProtection => {
                Shadow::new(addresses, body.page(), settled).map(Tracker::Shadow)
            }
        }
    }

    /// Lets the pages at `addresses` be written unnoticed.
    pub(super) fn stop(&self, addresses: Range<usize>) -> Result<(), Errno> {
        match self {
            Tracker::PageTables(_) => {
                page_tables::stop(addresses);
                Ok(())
            }
            Tracker::Shadow(shadow) => shadow.open(),
        }
    }

    pub(super) fn tracking(&self) -> Tracking {
        match self {
            Tracker::PageTables(_) => Tracking::PageTables,
            Tracker::Shadow(_) => Tracking::WriteProtection,
        }
    }

    /// `None` where there is no page.
    fn settled(&self) -> Option<&AtomicUsize> {
        match self {
            Tracker::PageTables(settled) => Some(settled),
            Tracker::Shadow(shadow) => shadow.settled(),
        }
    }

    /// Makes the pages at `addresses`, whole ones, dirty.
    pub(super) fn mark(&self, addresses: Range<usize>) {
        let start = addresses.start;
        if !addresses.is_empty()
            && self.try_mark(addresses).is_err()
            && let Some(settled) = self.settled()
        {
            settled.fetch_min(start, Ordering::SeqCst);
        }
    }

    fn try_mark(&self, addresses: Range<usize>) -> Result<(), Errno> {
        match self {
            Tracker::PageTables(_) => page_tables::mark(addresses),
            Tracker::Shadow(shadow) => {
                shadow.mark(addresses);
                Ok(())
            }
        }
    }

    /// Marks what was shown since, up to the byte at the address `end`, so that the page tables and
    /// the shadow tell all.
    pub(super) fn settle(&self, end: usize, page: PageSize) -> Result<(), Errno> {
        let Some(settled) = self.settled() else { return Ok(()) };
        raise(settled, end, |start| {
            self.try_mark(page.round_down(start)..page.round_up(end).unwrap_or(end))
        })
    }

    /// Writes dirty runs of the pages at `addresses` to `out`, and tells how many they are and up
    /// to which address it looked. With `take` they are clean then; all are dirty where it fails.
    pub(super) fn find(
        &self,
        addresses: Range<usize>,
        take: bool,
        out: &mut [PageRegion],
    ) -> Result<(usize, usize), Errno> {
        let found = match self {
            Tracker::PageTables(_) => page_tables::find(addresses.clone(), take, out),
            Tracker::Shadow(shadow) => shadow.find(addresses.clone(), take, out),
        };
        if take && found.is_err() {
            // A part may have been taken before it failed.
            self.mark(addresses);
        }
        found
    }

    /// Whether pages that the mapping's type lets be written are to be closed.
    pub(crate) fn is_closing(&self) -> bool {
        matches!(self, Tracker::Shadow(_))
    }

    /// Whether a write to a closed page opens it: not where the type is one that cannot be written,
    /// nor where the pages are about to be unmapped. Returns what was set before.
    pub(crate) fn set_writable(&self, is_writable: bool) -> bool {
        match self {
            Tracker::PageTables(_) => false,
            Tracker::Shadow(shadow) => shadow.set_writable(is_writable),
        }
    }

    /// Cuts what is tracked in two at the address `at`.
    pub(crate) fn split(&self, at: usize) -> Result<(Tracker, Tracker), Errno> {
        match self {
            Tracker::PageTables(settled) => {
                let settled = settled.load(Ordering::SeqCst);
                // The pages before the cut are not the second half's to mark.
                let half = |settled| Tracker::PageTables(AtomicUsize::new(settled));
                Ok((half(settled), half(settled.max(at))))
            }
            Tracker::Shadow(shadow) => {
                let (front, back) = shadow.split(at)?;
                Ok((Tracker::Shadow(front), Tracker::Shadow(back)))
            }
        }
    }

    /// Puts what is tracked of `self` and of `back`, which begins at the address `at`, together;
    /// `EINVAL` where that is in different ways.
    pub(crate) fn join(&self, back: &Tracker, at: usize) -> Result<Tracker, Errno> {
        let (Some(first), Some(second)) = (self.settled(), back.settled()) else {
            return Err(Errno::INVAL);
        };
        let settled = match first.load(Ordering::SeqCst) {
            first if first >= at => second.load(Ordering::SeqCst),
            first => first,
        };
        match (self, back) {
            (Tracker::PageTables(_), Tracker::PageTables(_)) => {
                Ok(Tracker::PageTables(AtomicUsize::new(settled)))
            }
            (Tracker::Shadow(front), Tracker::Shadow(back)) => {
                front.join(back, settled).map(Tracker::Shadow)
            }
            _ => Err(Errno::INVAL),
        }
    }
}

/// Raises `settled` to `end`, where it is lower, and marks what that passes (invariant 1).
fn raise(
    settled: &AtomicUsize,
    end: usize,
    mark: impl FnOnce(usize) -> Result<(), Errno>,
) -> Result<(), Errno> {
    // Raised first: what another thread cannot mark meanwhile lowers it again, and that stays.
    let start = settled.fetch_max(end, Ordering::SeqCst);
    if start >= end {
        return Ok(());
    }
    mark(start).inspect_err(|_| {
        settled.fetch_min(start, Ordering::SeqCst);
    })
}

const _: () = assert!(size_of::<Option<Tracker>>() == 16, "every mapping carries one");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_marked_while_another_settles_stays_dirty() {
        let settled = AtomicUsize::new(100);
        let answer = raise(&settled, 200, |start| {
            assert_eq!(start, 100);
            // Another thread could not mark the page at 50.
            settled.fetch_min(50, Ordering::SeqCst);
            Ok(())
        });
        assert_eq!((answer, settled.into_inner()), (Ok(()), 50));
    }

    #[test]
    fn what_cannot_be_marked_is_not_settled() {
        let settled = AtomicUsize::new(100);
        assert_eq!(raise(&settled, 200, |_| Err(Errno::NOMEM)), Err(Errno::NOMEM));
        assert_eq!(settled.load(Ordering::SeqCst), 100);
        assert_eq!(raise(&settled, 100, |_| unreachable!("all is settled")), Ok(()));
    }
}
