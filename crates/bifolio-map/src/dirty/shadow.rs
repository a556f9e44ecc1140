//! Dirty pages by write protection: clean pages are closed to writing, and a resolver of faults
//! opens each at its first write.
//!
//! Each page has a word: bit 0 says dirty, the rest counts the resolvers that are opening the page.
//!
//! # Invariants
//!
//! 0. A page that can be written has a word that is not zero, or is about to be closed by one who
//!    takes it. For: a resolver counts itself *before* it opens the page, and sets bit 0 before it
//!    takes itself out of the count; and only who takes the page clears bit 0, and closes the page
//!    *after* that. So every write is seen: either the word is not zero when it is looked at, or
//!    the page was closed before the write, which then faults.
//! 1. The record stays mapped while a resolver may run: the registration, which waits for them, is
//!    dropped first.
//! 2. Pages are opened only while `is_writable` is set, and only inside the addresses of the
//!    record, which belong to the body.
//!
//! A page in the middle of clean ones is an area of its own to the kernel, which allows a process
//! 65530 of them by default: where there are no more, all pages are opened at once and count as
//! dirty (`whole`).
//!
//! It takes no lock: a resolver runs in a signal handler, on a thread that may be taking pages.
//!
//! # Safety
//!
//! Unsafe code changes the protection of pages of the body, and shares the record with a signal
//! handler.
#![allow(unsafe_code, reason = "mprotect, and a record shared with a signal handler")]

use crate::error::Error;
use crate::object::Object;
use crate::span::{Placement, Request, Span};
use bifolio_sys::Errno;
use bifolio_sys::fault::{self, Info, Registration, Resolution, Signal};
use bifolio_sys::mm::{self, MapFlags, MprotectFlags, PageRegion, ProtFlags};
use bifolio_sys::page::PageSize;
use core::fmt;
use core::mem::MaybeUninit;
use core::ops::Range;
use core::ptr::{NonNull, with_exposed_provenance_mut};
// Everything is sequentially consistent: the faults and system calls around it cost a thousand
// times more.
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};

/// The bit of a word that says dirty.
const DIRTY: u32 = 1;

/// What a resolver at work adds to a word.
const OPENING: u32 = 2;

/// The dirty pages of a range of addresses: one word, since every mapping has room for it.
pub(crate) struct Shadow {
    /// `None` where the range has no page.
    record: Option<NonNull<Record>>,
}

// SAFETY: a record belongs to its shadow alone, but for the head, which is atomics, and numbers
// that never change.
unsafe impl Send for Shadow {}
// SAFETY: as above.
unsafe impl Sync for Shadow {}

/// What a shadow keeps, in pages of its own.
#[repr(C)]
struct Record {
    owned: MaybeUninit<Owned>,
    head: Head,
}

/// What ends with a shadow.
struct Owned {
    registration: Registration,
    /// What the record lies in.
    pages: Span,
}

/// What the resolver knows; the words follow it.
#[repr(C)]
#[derive(Debug)]
struct Head {
    start: usize,
    end: usize,
    page: PageSize,
    /// As the [`Tracker`](super::Tracker) means it: an address.
    settled: AtomicUsize,
    is_writable: AtomicBool,
    /// As a word, for all pages: dirty where they were all opened.
    whole: AtomicU32,
}

impl Shadow {
    /// Closes the pages at `addresses`: none is dirty.
    pub(super) fn new(
        addresses: Range<usize>,
        page: PageSize,
        settled: usize,
    ) -> Result<Shadow, Errno> {
        let shadow = Shadow::beside(addresses, page, settled)?;
        if let Some(head) = shadow.head() {
            // From here on a write faults, and finds the resolver.
            protect(head.start..head.end, MprotectFlags::READ).inspect_err(|_| {
                // A part may be closed; opening what is open already changes nothing.
                let _ = shadow.open();
            })?;
        }
        Ok(shadow)
    }

    /// The record of the pages at `addresses`, registered; the pages stay as they are.
    fn beside(addresses: Range<usize>, page: PageSize, settled: usize) -> Result<Shadow, Errno> {
        if addresses.is_empty() {
            return Ok(Shadow { record: None });
        }
        let pages = page.count(addresses.len()).get();
        let request = Request {
            len: size_of::<Record>() + pages * size_of::<AtomicU32>(),
            protection: ProtFlags::READ | ProtFlags::WRITE,
            flags: MapFlags::PRIVATE | MapFlags::NORESERVE,
            placement: Placement::Anywhere,
        };
        let errno = |error: Error| error.errno().unwrap_or(Errno::NOMEM);
        let span = Span::map(&request, None, &Object::AnonymousMemory).map_err(errno)?;
        let record = span.base().cast::<Record>();
        // SAFETY: fresh pages, aligned, with room for a record.
        let head = unsafe { &raw mut (*record.as_ptr()).head };
        let content = Head {
            start: addresses.start,
            end: addresses.end,
            page,
            settled: AtomicUsize::new(settled),
            is_writable: AtomicBool::new(true),
            whole: AtomicU32::new(0),
        };
        // SAFETY: as above, and nobody else knows them.
        unsafe { head.write(content) };
        let data = head.expose_provenance();
        // SAFETY: `open_page` is async-signal-safe; it answers `Retry` only after it has opened the
        // page, which its type permits to be written (invariant 2); the record lives longer than
        // the registration (1).
        let registration = unsafe { fault::register(addresses, open_page, data) }?;
        // SAFETY: as above; the resolver knows the head, and this lies beside it.
        let owned = unsafe { &raw mut (*record.as_ptr()).owned };
        // SAFETY: as above.
        unsafe { owned.write(MaybeUninit::new(Owned { registration, pages: span })) };
        Ok(Shadow { record: Some(record) })
    }

    fn head(&self) -> Option<&Head> {
        let record = self.record?;
        // SAFETY: mapped while the shadow lives.
        let head = unsafe { &raw const (*record.as_ptr()).head };
        // SAFETY: written by `beside`; only its atomics change.
        Some(unsafe { &*head })
    }

    /// The settled address of the tracker.
    pub(super) fn settled(&self) -> Option<&AtomicUsize> {
        self.head().map(|head| &head.settled)
    }

    /// Opens all pages. What is dirty stays so, and what is written from here on goes unnoticed.
    pub(super) fn open(&self) -> Result<(), Errno> {
        let Some(head) = self.head() else { return Ok(()) };
        protect(head.start..head.end, MprotectFlags::READ | MprotectFlags::WRITE)
    }

    /// Returns what was set before.
    pub(super) fn set_writable(&self, is_writable: bool) -> bool {
        self.head().is_some_and(|head| head.is_writable.swap(is_writable, Ordering::SeqCst))
    }

    /// Makes the pages at `addresses` dirty.
    pub(super) fn mark(&self, addresses: Range<usize>) {
        let Some(head) = self.head() else { return };
        for word in &head.words()[head.indices(&addresses)] {
            word.fetch_or(DIRTY, Ordering::SeqCst);
        }
    }

    /// Finds dirty runs of pages; with `take` their words are cleared and the pages closed.
    pub(super) fn find(
        &self,
        addresses: Range<usize>,
        take: bool,
        out: &mut [PageRegion],
    ) -> Result<(usize, usize), Errno> {
        let Some(head) = self.head() else { return Ok((0, addresses.end)) };
        head.spread();
        let indices = head.indices(&addresses);
        let room = out.len();
        let mut count = 0;
        let mut looked_to = addresses.end;
        for index in indices {
            let word = &head.words()[index];
            if word.load(Ordering::SeqCst) == 0 {
                continue;
            }
            let page = head.addresses(index);
            match out[..count].last_mut() {
                Some(last) if last.end as usize == page.start => last.end = page.end as u64,
                _ if count == room => {
                    looked_to = page.start;
                    break;
                }
                _ => {
                    let (start, end) = (page.start as u64, page.end as u64);
                    out[count] = PageRegion { start, end, ..PageRegion::default() };
                    count += 1;
                }
            }
            if take {
                clear(word);
            }
        }
        if take && count != 0 {
            let taken = out[0].start as usize..out[count - 1].end as usize;
            protect(taken, MprotectFlags::READ)?;
        }
        Ok((count, looked_to))
    }

    /// Two shadows of the pages before and after the address `at`.
    pub(super) fn split(&self, at: usize) -> Result<(Shadow, Shadow), Errno> {
        let Some(head) = self.head() else {
            return Ok((Shadow { record: None }, Shadow { record: None }));
        };
        let settled = head.settled.load(Ordering::SeqCst);
        let front = Shadow::beside(head.start..at, head.page, settled)?;
        let back = Shadow::beside(at..head.end, head.page, settled)?;
        for half in [&front, &back] {
            half.set_writable(head.is_writable.load(Ordering::SeqCst));
            half.absorb(self);
        }
        Ok((front, back))
    }

    /// One shadow of the pages of both, which touch.
    pub(super) fn join(&self, back: &Shadow, settled: usize) -> Result<Shadow, Errno> {
        let (Some(first), Some(second)) = (self.head(), back.head()) else {
            return Err(Errno::INVAL);
        };
        let joined = Shadow::beside(first.start..second.end, first.page, settled)?;
        joined.set_writable(first.is_writable.load(Ordering::SeqCst));
        joined.absorb(self);
        joined.absorb(back);
        Ok(joined)
    }

    /// Takes over what `other` says of the same pages. Their mapping is owned exclusively, so that
    /// nobody writes meanwhile.
    fn absorb(&self, other: &Shadow) {
        let Some(head) = other.head() else { return };
        let Some(own) = self.head() else { return };
        head.spread();
        let shown = head.shown();
        for index in head.indices(&(own.start.max(shown.start)..own.end.min(shown.end))) {
            if head.words()[index].load(Ordering::SeqCst) != 0 {
                self.mark(head.addresses(index));
            }
        }
    }
}

impl Drop for Shadow {
    fn drop(&mut self) {
        let Some(record) = self.record else { return };
        // SAFETY: mapped until the line that drops its pages.
        let owned = unsafe { &raw const (*record.as_ptr()).owned };
        // SAFETY: written by `beside`, and taken out here, once.
        let owned = unsafe { owned.read() };
        // SAFETY: as above.
        let Owned { registration, pages } = unsafe { owned.assume_init() };
        // Waits for resolvers, which read the head in those pages (invariant 1).
        drop(registration);
        drop(pages);
    }
}

impl fmt::Debug for Shadow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Shadow").field(&self.head()).finish()
    }
}

impl Head {
    /// The words, one for each page.
    fn words(&self) -> &[AtomicU32] {
        let first = (&raw const *self).wrapping_add(1).cast::<AtomicU32>();
        let first = with_exposed_provenance_mut::<AtomicU32>(first.addr());
        let count = (self.end - self.start) >> self.page.log2();
        // SAFETY: `beside` mapped room for so many words behind the head and exposed the pages'
        // provenance; they are zeros at first, and nobody refers to them but as atomics.
        unsafe { core::slice::from_raw_parts(first, count) }
    }

    /// Which words those of the pages at `addresses` are.
    fn indices(&self, addresses: &Range<usize>) -> Range<usize> {
        let index =
            |addr: usize| (addr.clamp(self.start, self.end) - self.start) >> self.page.log2();
        index(addresses.start)..index(addresses.end)
    }

    /// The addresses of the page of a word.
    fn addresses(&self, index: usize) -> Range<usize> {
        let start = self.start + (index << self.page.log2());
        start..start + self.page.bytes()
    }

    /// The addresses of the pages that are shown: of others, which may be many, no word matters
    /// before they are.
    fn shown(&self) -> Range<usize> {
        let settled = self.settled.load(Ordering::SeqCst);
        self.start..self.page.round_up(settled).unwrap_or(self.end).clamp(self.start, self.end)
    }

    /// Where all pages were opened, says so of each that is shown.
    fn spread(&self) {
        if self.whole.load(Ordering::SeqCst) == 0 {
            return;
        }
        for word in &self.words()[self.indices(&self.shown())] {
            word.fetch_or(DIRTY, Ordering::SeqCst);
        }
        self.whole.fetch_and(!DIRTY, Ordering::SeqCst);
    }
}

/// Opens what `word` speaks for; `false` where `open` fails (invariant 0).
fn resolve(word: &AtomicU32, open: impl FnOnce() -> bool) -> bool {
    word.fetch_add(OPENING, Ordering::SeqCst);
    let opened = open();
    if opened {
        word.fetch_or(DIRTY, Ordering::SeqCst);
    }
    word.fetch_sub(OPENING, Ordering::SeqCst);
    opened
}

/// Clears the word of a page that is closed *afterwards* (invariant 0).
fn clear(word: &AtomicU32) {
    word.fetch_and(!DIRTY, Ordering::SeqCst);
}

/// The resolver. `data` is the address of a record.
///
/// # Safety
///
/// The record lives.
unsafe fn open_page(info: &Info, data: usize) -> Resolution {
    // There is a page, and it does not permit the access.
    const SEGV_ACCERR: i32 = 2;
    let head = with_exposed_provenance_mut::<Head>(data);
    // SAFETY: the caller's promise; `beside` exposed the provenance.
    let head = unsafe { &*head };
    let is_closed = info.signal == Signal::Segv && info.si_code == SEGV_ACCERR;
    if !is_closed || info.is_write == Some(false) || !head.is_writable.load(Ordering::SeqCst) {
        return Resolution::Decline;
    }
    let index = (info.addr - head.start) >> head.page.log2();
    let open = |addresses| protect(addresses, MprotectFlags::READ | MprotectFlags::WRITE).is_ok();
    let is_open = resolve(&head.words()[index], || open(head.addresses(index)))
        || resolve(&head.whole, || open(head.start..head.end));
    if is_open { Resolution::Retry } else { Resolution::Decline }
}

/// mprotect(2) of pages of the body's.
fn protect(addresses: Range<usize>, flags: MprotectFlags) -> Result<(), Errno> {
    let start = core::ptr::without_provenance_mut(addresses.start);
    // SAFETY: the pages belong to the body (invariant 2), whose type has them mapped to be read and
    // written; a write to a closed one is resolved.
    unsafe { mm::mprotect(start, addresses.len(), flags) }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;
    use core::cell::Cell;
    use std::vec::Vec;

    /// A page of the model, with its word.
    struct Page {
        word: AtomicU32,
        is_open: Cell<bool>,
        /// What was found dirty, since it was last written.
        is_told: Cell<bool>,
    }

    /// The two steps of one who takes the page.
    #[derive(Clone, Copy, Debug, PartialEq)]
    enum Step {
        Clear,
        Close,
    }

    impl Page {
        fn take(&self, step: Step) {
            match step {
                Step::Clear => {
                    let is_dirty = self.word.load(Ordering::SeqCst) != 0;
                    self.is_told.set(self.is_told.get() || is_dirty);
                    clear(&self.word);
                }
                Step::Close => self.is_open.set(false),
            }
        }

        /// Whatever happens from now on, a write is noticed: it faults, or the word says so.
        fn is_watched(&self) -> bool {
            !self.is_open.get() || self.word.load(Ordering::SeqCst) != 0
        }
    }

    /// Each way to spread the steps of two takings over the moments between a resolver's: before
    /// it opens the page, after, and when it is done. A resolver never waits for who takes, nor
    /// the other way about, so these are all orders of one fault and two takings.
    #[test]
    fn no_page_is_open_and_clean_in_any_order_of_steps() {
        let steps = [Step::Clear, Step::Close, Step::Clear, Step::Close];
        let moments: Vec<[usize; 4]> = (0..81)
            .map(|code| [code / 27, code / 9 % 3, code / 3 % 3, code % 3])
            .filter(|at| at.is_sorted())
            .collect();
        assert_eq!(moments.len(), 15);
        for was_open in [false, true] {
            for at in &moments {
                let page = Page {
                    word: AtomicU32::new(if was_open { DIRTY } else { 0 }),
                    is_open: Cell::new(was_open),
                    is_told: Cell::new(false),
                };
                let take = |moment| {
                    for (step, _) in steps.iter().zip(at).filter(|(_, at)| **at == moment) {
                        page.take(*step);
                    }
                };
                let opened = resolve(&page.word, || {
                    take(0);
                    page.is_open.set(true);
                    page.is_told.set(false);
                    // A write of another thread, which does not fault, is told by a taking that
                    // begins now.
                    assert!(page.word.load(Ordering::SeqCst) != 0, "{at:?}");
                    take(1);
                    true
                });
                assert!(opened);
                take(2);
                // Between the two steps of a taking the page may be open; the second closes it.
                assert!(page.is_watched(), "{at:?}, open at first: {was_open}");
                assert!(page.is_told.get() || page.word.load(Ordering::SeqCst) != 0, "{at:?}");
            }
        }
    }

    #[test]
    fn a_refusal_leaves_the_word_as_it_was() {
        let word = AtomicU32::new(0);
        assert!(!resolve(&word, || false));
        assert_eq!(word.into_inner(), 0);
    }
}
