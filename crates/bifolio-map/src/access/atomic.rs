//! Atomic integers in memory that others may change or take away.
//!
//! # Invariants
//!
//! 0. The window of a `SharedAtomic` is guarded, as long as the integer, and aligned for it.
//!
//! It does not lend an `&AtomicU64`: a reference must not fault.
//!
//! # Safety
//!
//! Unsafe code hands the pointer of the window to the guarded assembly.
#![allow(unsafe_code, reason = "guarded atomic operations by pointer")]

use super::{Via, ViewMut};
use crate::error::{ErrorKind, Operation, Result};
use bifolio_sys::guard::{Fault, Word};
use core::fmt;
use core::marker::PhantomData;

/// An integer that can be changed atomically wherever it lies: `u8` to `u64`, `i8` to `i64`,
/// `usize` and `isize`. Sealed.
pub trait AtomicInteger: sealed::Bits + Copy + Ord + fmt::Debug + 'static {}

mod sealed {
    use bifolio_sys::guard::Word;

    /// An integer as the word of the same bits.
    pub trait Bits {
        type Word: Word;

        fn to_word(self) -> Self::Word;
        fn from_word(word: Self::Word) -> Self;
        /// The word that, added, subtracts.
        fn negated(self) -> Self::Word;
    }
}

macro_rules! atomic_integers {
    ($($integer:ident as $word:ident),*) => {$(
        impl AtomicInteger for $integer {}

        impl sealed::Bits for $integer {
            type Word = $word;

            #[inline]
            fn to_word(self) -> $word {
                self as $word
            }

            #[inline]
            fn from_word(word: $word) -> Self {
                word as $integer
            }

            #[inline]
            fn negated(self) -> $word {
                (self as $word).wrapping_neg()
            }
        }

        const _: () = assert!(size_of::<$integer>() == size_of::<$word>());
    )*};
}

atomic_integers!(
    u8 as u8,
    u16 as u16,
    u32 as u32,
    u64 as u64,
    usize as u64,
    i8 as u8,
    i16 as u16,
    i32 as u32,
    i64 as u64,
    isize as u64
);

/// How far a store is ordered.
///
/// A load and every operation that reads and writes cost the same for each order, so that they have
/// none to choose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StoreOrder {
    /// What was written before is seen by whoever loads this value. A plain `mov` on x86-64.
    Release,
    /// All threads see this store and every other of this order in one order. An `xchg` on x86-64.
    SeqCst,
}

/// An integer in a mapping, shared with whoever maps it: made by [`ViewMut::atomic`].
///
/// Its operations are those of `core::sync::atomic`, and meet them and those of any other process
/// or language at the same address. They return errors instead of raising signals; then nothing was
/// changed. What reads and writes is sequentially consistent, a load is an acquire.
///
/// # Examples
///
/// ```
/// use bifolio_map::{AccessMut, SharedMap, StoreOrder};
///
/// let map = SharedMap::anon(4096)?;
/// let counter = map.atomic::<u64>(64)?;
/// counter.store(40, StoreOrder::Release)?;
/// assert_eq!(counter.fetch_add(2)?, 40);
/// assert_eq!(counter.compare_exchange(42, 7)?, Ok(42));
/// assert_eq!(counter.compare_exchange(42, 8)?, Err(7));
/// # Ok::<(), bifolio_map::Error>(())
/// ```
#[derive(Clone, Copy)]
pub struct SharedAtomic<'a, A> {
    window: ViewMut<'a>,
    kind: PhantomData<A>,
}

impl<'a> ViewMut<'a> {
    /// The integer at `offset`, to be used atomically.
    ///
    /// # Errors
    ///
    /// [`OutOfBounds`](ErrorKind::OutOfBounds) where it reaches beyond the window;
    /// [`Misaligned`](ErrorKind::Misaligned) where its address is no multiple of its size (a
    /// mapping that starts at no page of its file counts from there);
    /// [`Unsupported`](ErrorKind::Unsupported) for a view [`by_syscall`](Self::by_syscall), or
    /// without assembly for this CPU.
    pub fn atomic<A: AtomicInteger>(&self, offset: usize) -> Result<SharedAtomic<'a, A>> {
        let size = size_of::<A>();
        self.check(Operation::Atomic, offset, size)?;
        let fail = |kind| Err(self.error(Operation::Atomic, kind, offset, size));
        if self.via != Via::Guarded {
            return fail(ErrorKind::Unsupported);
        }
        if !self.address(offset).addr().is_multiple_of(size) {
            return fail(ErrorKind::Misaligned { align_bytes: size });
        }
        Ok(SharedAtomic { window: self.slice_mut(offset..offset + size)?, kind: PhantomData })
    }
}

impl<A: AtomicInteger> SharedAtomic<'_, A> {
    /// Reads the value (acquire).
    ///
    /// # Errors
    ///
    /// As [`View::read_at`](super::View::read_at).
    #[inline]
    pub fn load(&self) -> Result<A> {
        // SAFETY: invariant 0.
        self.run(Operation::Read, |word| unsafe { Word::load(word) }).map(A::from_word)
    }

    /// Writes `value`.
    ///
    /// # Errors
    ///
    /// As [`ViewMut::write_at`].
    #[inline]
    pub fn store(&self, value: A, order: StoreOrder) -> Result<()> {
        let value = value.to_word();
        match order {
            // SAFETY: invariant 0.
            StoreOrder::Release => self.change(|word| unsafe { Word::store(word, value) }),
            // SAFETY: invariant 0.
            StoreOrder::SeqCst => self.change(|word| unsafe { Word::store_seqcst(word, value) }),
        }
    }

    /// Writes `value` and returns what was there.
    ///
    /// # Errors
    ///
    /// As [`ViewMut::write_at`].
    #[inline]
    pub fn swap(&self, value: A) -> Result<A> {
        // SAFETY: invariant 0.
        self.change(|word| unsafe { Word::swap(word, value.to_word()) }).map(A::from_word)
    }

    /// Adds `value`, wrapping around, and returns what was there.
    ///
    /// # Errors
    ///
    /// As [`ViewMut::write_at`].
    #[inline]
    pub fn fetch_add(&self, value: A) -> Result<A> {
        // SAFETY: invariant 0.
        self.change(|word| unsafe { Word::fetch_add(word, value.to_word()) }).map(A::from_word)
    }

    /// Subtracts `value`, wrapping around, and returns what was there.
    ///
    /// # Errors
    ///
    /// As [`ViewMut::write_at`].
    #[inline]
    pub fn fetch_sub(&self, value: A) -> Result<A> {
        // SAFETY: invariant 0.
        self.change(|word| unsafe { Word::fetch_add(word, value.negated()) }).map(A::from_word)
    }

    /// Keeps the bits that `value` has too, and returns what was there.
    ///
    /// # Errors
    ///
    /// As [`ViewMut::write_at`].
    #[inline]
    pub fn fetch_and(&self, value: A) -> Result<A> {
        // SAFETY: invariant 0.
        self.change(|word| unsafe { Word::fetch_and(word, value.to_word()) }).map(A::from_word)
    }

    /// Sets the bits of `value`, and returns what was there.
    ///
    /// # Errors
    ///
    /// As [`ViewMut::write_at`].
    #[inline]
    pub fn fetch_or(&self, value: A) -> Result<A> {
        // SAFETY: invariant 0.
        self.change(|word| unsafe { Word::fetch_or(word, value.to_word()) }).map(A::from_word)
    }

    /// Inverts the bits of `value`, and returns what was there.
    ///
    /// # Errors
    ///
    /// As [`ViewMut::write_at`].
    #[inline]
    pub fn fetch_xor(&self, value: A) -> Result<A> {
        // SAFETY: invariant 0.
        self.change(|word| unsafe { Word::fetch_xor(word, value.to_word()) }).map(A::from_word)
    }

    /// Writes the lesser of `value` and what was there, and returns the latter.
    ///
    /// # Errors
    ///
    /// As [`ViewMut::write_at`].
    pub fn fetch_min(&self, value: A) -> Result<A> {
        self.fetch_update(|old| (value < old).then_some(value)).map(|(Ok(old) | Err(old))| old)
    }

    /// Writes the greater of `value` and what was there, and returns the latter.
    ///
    /// # Errors
    ///
    /// As [`ViewMut::write_at`].
    pub fn fetch_max(&self, value: A) -> Result<A> {
        self.fetch_update(|old| (value > old).then_some(value)).map(|(Ok(old) | Err(old))| old)
    }

    /// Writes `new` if the value is `current`; returns what was there, as `Ok` if it was replaced
    /// and as `Err` if not.
    ///
    /// # Errors
    ///
    /// As [`ViewMut::write_at`].
    #[inline]
    pub fn compare_exchange(&self, current: A, new: A) -> Result<Result<A, A>> {
        let (current, new) = (current.to_word(), new.to_word());
        // SAFETY: invariant 0.
        let answer = self.change(|word| unsafe { Word::compare_exchange(word, current, new) })?;
        Ok(answer.map(A::from_word).map_err(A::from_word))
    }

    /// Replaces the value by what `f` makes of it, as often as others are faster; returns what was
    /// there, as `Err` where `f` would not replace it.
    ///
    /// # Errors
    ///
    /// As [`ViewMut::write_at`].
    pub fn fetch_update(&self, mut f: impl FnMut(A) -> Option<A>) -> Result<Result<A, A>> {
        let mut old = self.load()?;
        loop {
            let Some(new) = f(old) else { return Ok(Err(old)) };
            match self.compare_exchange(old, new)? {
                Ok(old) => return Ok(Ok(old)),
                Err(now) => old = now,
            }
        }
    }

    #[inline]
    fn change<R>(&self, step: impl Fn(*mut A::Word) -> Result<R, Fault>) -> Result<R> {
        self.run(Operation::Atomic, step)
    }

    #[inline]
    fn run<R>(
        &self,
        operation: Operation,
        step: impl Fn(*mut A::Word) -> Result<R, Fault>,
    ) -> Result<R> {
        let word = self.window.address(0).cast();
        self.window.guarded(operation, 0, size_of::<A>(), |_| step(word))
    }
}

impl<A> fmt::Debug for SharedAtomic<'_, A> {
    /// Where it is, not what it holds: looking may fail.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SharedAtomic").field(&self.window).finish()
    }
}
