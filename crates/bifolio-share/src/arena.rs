//! `Arena`: memory of a region, given out in blocks that outlive their makers or come back.
//!
//! ```text
//! head (384 bytes)            | block | block | ... | block |  never used
//! lock, top, lists of free    ^ first                       ^ top
//!
//! a block:  0 size 8  8 state 4  12 tag 4  16 len 8  24 next 8  32 bytes ...
//! ```
//!
//! # Invariants
//!
//! 0. From the first block to `top`, each begins where the one before ends; sizes are multiples of
//!    32, at least 32. This and the states are the truth. Each change of it is one store.
//! 1. A block is *free*, *reserved* by an owner, or *committed*. Only its owner commits a reserved
//!    block, or whoever proves the owner dead; bytes of it are lent to nobody else before that.
//! 2. Sizes, `top` and the step from free to reserved change under the lock only.
//! 3. The lists of free blocks are a hint that is made anew from the truth when a holder of the
//!    lock died: nothing else depends on them.
//! 4. A block with a tag belongs to that entry of the directory: it is in use if the entry says so.
//!
//! What is true if the process dies after a step of `reserve`:
//!
//! | it has | what stands there | who goes on |
//! |---|---|---|
//! | written a header beyond `top` | bytes that nobody reads | the next one overwrites them |
//! | raised `top` | a reserved block of a dead owner | `sweep` frees it |
//! | written a header into a free block | bytes that nobody reads | the next one overwrites them |
//! | shortened the free block to that | two free blocks, one in no list | the lists are made anew |
//! | reserved it | a reserved block of a dead owner | `sweep` frees it |
//!
//! # Safety
//!
//! References are made to headers, whose fields are all atomics, at places that were checked to lie
//! inside of the memory.
#![allow(unsafe_code, reason = "makes references into memory that it was lent")]

use std::alloc::Layout;
use std::mem::{offset_of, size_of};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::SeqCst};

use bifolio_derive::Shared;
use bifolio_sync::{LockError, Mutex, MutexGuard, Owner};

use crate::ground::Ground;
use crate::object_error::ObjectErrorKind;

mod sweep;

pub use sweep::{Sweep, Usage};

type Result<T> = std::result::Result<T, ObjectErrorKind>;

/// What sizes and offsets of blocks are multiples of, and how long a header is, in bytes.
pub(crate) const GRAIN: u64 = 32;
/// The largest alignment, in bytes.
const ALIGN_MAX: usize = 4096;
const LISTS: usize = 40;
/// How many blocks of a list are looked at before a longer one is taken.
const LOOKS: usize = 8;

const TAG_MASK: u32 = 3 << 30;
const FREE: u32 = 1 << 30;
const RESERVED: u32 = 2 << 30;
const COMMITTED: u32 = 3 << 30;

/// What the lock guards.
#[derive(Shared)]
#[shared(crate = "bifolio_sync")]
#[repr(C)]
pub(crate) struct State {
    /// Where the last block ends, from the beginning of the memory; 0 before the first one.
    top: AtomicU64,
    /// The first free block of each class of sizes, or 0.
    lists: [u64; LISTS],
}

#[repr(C, align(64))]
struct Head {
    lock: Mutex<State>,
    unused: [u64; 6],
}

#[repr(C)]
pub(crate) struct Block {
    size: AtomicU64,
    state: AtomicU32,
    tag: AtomicU32,
    len: AtomicU64,
    next: AtomicU64,
}

const _: () = assert!(size_of::<Head>() == Arena::HEAD_BYTES && offset_of!(Head, unused) == 336);
const _: () = assert!(size_of::<Block>() as u64 == GRAIN && offset_of!(Block, state) == 8);
const _: () = assert!(offset_of!(Block, len) == 16 && offset_of!(Block, next) == 24);

/// Blocks of memory that processes share, from one place in it to its end.
///
/// Memory of zeros is an arena without blocks. A block is reserved, filled, and committed; what was
/// reserved by a process that died comes back. The bytes of a new block are not zeros.
#[derive(Debug)]
pub struct Arena {
    memory: NonNull<u8>,
    start: u64,
}

// SAFETY: it leads to atomics and to what is behind a lock, which all processes share anyway.
unsafe impl Send for Arena {}
// SAFETY: as above.
unsafe impl Sync for Arena {}

/// A block that this process fills; dropping it gives it back.
#[must_use = "the block is given back when this is dropped"]
pub struct Reserved<'g, G: Ground> {
    ground: &'g G,
    owner: Owner,
    offset: u64,
    len: u64,
}

impl Arena {
    /// How many bytes there are before the first block.
    pub const HEAD_BYTES: usize = 384;

    /// The arena that lies from byte `start` of `memory` on.
    ///
    /// # Panics
    ///
    /// `memory` and `start` are not multiples of 64.
    ///
    /// # Safety
    ///
    /// 0. `memory` is the beginning of what a [`Ground`] has mapped, which reaches `start` and
    ///    [`HEAD_BYTES`](Self::HEAD_BYTES) more at least, and stays as long as the value is used.
    /// 1. From `start` on it began as zeros and is changed by nothing else.
    #[must_use]
    pub unsafe fn new(memory: NonNull<u8>, start: u64) -> Arena {
        assert!(memory.addr().get().is_multiple_of(64) && start.is_multiple_of(64), "{start}");
        Arena { memory, start }
    }

    /// Where the first block begins.
    fn first(&self) -> u64 {
        self.start + Self::HEAD_BYTES as u64
    }

    fn head(&self) -> &Head {
        let place = self.at(self.start).cast::<Head>();
        // SAFETY: mapped as long as the value is used (constructor, 0), aligned as it asserts, and
        // of atomics and a lock alone.
        unsafe { place.as_ref() }
    }

    /// The address of a byte of the memory.
    pub(crate) fn at(&self, offset: u64) -> NonNull<u8> {
        self.memory.map_addr(|start| start.saturating_add(offset as usize))
    }

    /// The header of the block that begins at `offset`, if one can lie there.
    fn block(&self, ground: &impl Ground, offset: u64) -> Result<&Block> {
        let end = offset.checked_add(GRAIN).filter(|end| *end <= ground.len_bytes());
        if offset < self.first() || !offset.is_multiple_of(GRAIN) || end.is_none() {
            return Err(ObjectErrorKind::BrokenBlock { offset });
        }
        // SAFETY: inside of the arena's memory and aligned (above); zeros, and any other bytes, are
        // values of atomics.
        Ok(unsafe { self.at(offset).cast::<Block>().as_ref() })
    }

    /// The lock; what a dead holder left is made whole first.
    fn lock<'g, G: Ground>(&'g self, ground: &'g G) -> Result<MutexGuard<'g, State, G>> {
        match self.head().lock.lock(ground) {
            Ok(state) => Ok(state),
            Err(LockError::OwnerDead(mut state)) => {
                self.rebuild(ground, &mut state)?;
                state.repaired();
                Ok(state)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Reserves room for `layout`, aligned to 32 bytes at least and 4096 at most.
    ///
    /// # Errors
    ///
    /// [`NoSpace`](ObjectErrorKind::NoSpace) when the memory does not grow any more,
    /// [`BrokenBlock`](ObjectErrorKind::BrokenBlock), and what the lock refuses.
    ///
    /// # Panics
    ///
    /// The alignment is over 4096 bytes.
    pub fn reserve<'g, G: Ground>(&self, ground: &'g G, layout: Layout) -> Result<Reserved<'g, G>> {
        self.reserve_for(ground, layout, 0)
    }

    /// The same, for an entry of the directory (4).
    pub(crate) fn reserve_for<'g, G: Ground>(
        &self,
        ground: &'g G,
        layout: Layout,
        tag: u32,
    ) -> Result<Reserved<'g, G>> {
        assert!(layout.align() <= ALIGN_MAX, "an alignment of {} bytes", layout.align());
        let refused = ObjectErrorKind::NoSpace { len_bytes: layout.size() as u64 };
        let owner = ground.me()?;
        let mut state = self.lock(ground)?;
        let size = (layout.size() as u64).checked_next_multiple_of(GRAIN).ok_or(refused)?;
        let wanted = Wanted {
            size: size.checked_add(GRAIN).ok_or(refused)?,
            align: (layout.align() as u64).max(GRAIN),
            len: layout.size() as u64,
            state: RESERVED | owner.bits(),
            tag,
        };
        let mut found = self.take_free(ground, &mut state, &wanted)?;
        if found.is_none() {
            found = self.take_top(ground, &mut state, &wanted)?;
        }
        if found.is_none() {
            // What the dead left may be enough, before the memory grows.
            self.sweep_locked(ground, &mut state, false)?;
            found = self.take_free(ground, &mut state, &wanted)?;
        }
        if found.is_none() && ground.grow_to(self.end_with(&state, &wanted).ok_or(refused)?) {
            found = self.take_top(ground, &mut state, &wanted)?;
        }
        let offset = found.ok_or(refused)? + GRAIN;
        Ok(Reserved { ground, owner, offset, len: wanted.len })
    }

    /// Where a block that is wanted would begin behind `start`, so that its bytes are aligned.
    fn aligned(start: u64, align: u64) -> Option<u64> {
        Some(start.checked_add(GRAIN)?.checked_next_multiple_of(align)? - GRAIN)
    }

    fn top(&self, state: &State) -> u64 {
        match state.top.load(SeqCst) {
            0 => self.first(),
            top => top,
        }
    }

    fn end_with(&self, state: &State, wanted: &Wanted) -> Option<u64> {
        Self::aligned(self.top(state), wanted.align)?.checked_add(wanted.size)
    }

    /// A block behind the last one, if there is memory.
    fn take_top(
        &self,
        ground: &impl Ground,
        state: &mut State,
        wanted: &Wanted,
    ) -> Result<Option<u64>> {
        let top = self.top(state);
        let end = self.end_with(state, wanted).filter(|end| *end <= ground.len_bytes());
        let Some(end) = end else { return Ok(None) };
        let start = end - wanted.size;
        if start > top {
            self.block(ground, top)?.write(start - top, FREE, 0, 0);
        }
        wanted.write(self.block(ground, start)?);
        // Nobody has read what was written so far; by this store both blocks are there.
        state.top.store(end, SeqCst);
        if start > top {
            self.push(state, top, self.block(ground, top)?);
        }
        Ok(Some(start))
    }

    /// A block out of the lists, and what is left of it back into them.
    fn take_free(
        &self,
        ground: &impl Ground,
        state: &mut State,
        wanted: &Wanted,
    ) -> Result<Option<u64>> {
        for class in class(wanted.size)..LISTS {
            let mut before: Option<&Block> = None;
            let mut offset = state.lists[class];
            for _ in 0..LOOKS {
                if offset == 0 {
                    break;
                }
                let block = self.block(ground, offset)?;
                if block.state.load(SeqCst) != FREE {
                    return Err(ObjectErrorKind::BrokenBlock { offset });
                }
                let next = block.next.load(SeqCst);
                let end = offset.saturating_add(block.size.load(SeqCst));
                let start = Self::aligned(offset, wanted.align);
                let fits = |start: &u64| start.checked_add(wanted.size).is_some_and(|e| e <= end);
                if let Some(start) = start.filter(fits) {
                    match before {
                        Some(before) => before.next.store(next, SeqCst),
                        None => state.lists[class] = next,
                    }
                    self.split(ground, state, (offset, start, end), wanted)?;
                    return Ok(Some(start));
                }
                before = Some(block);
                offset = next;
            }
        }
        Ok(None)
    }

    /// Makes of the free block from `offset` to `end` one that begins at `start` and is wanted.
    /// From behind, so that each store leaves whole blocks (0).
    fn split(
        &self,
        ground: &impl Ground,
        state: &mut State,
        (offset, start, end): (u64, u64, u64),
        wanted: &Wanted,
    ) -> Result<()> {
        let behind = start + wanted.size;
        if behind < end {
            self.block(ground, behind)?.write(end - behind, FREE, 0, 0);
        }
        if offset < start {
            // Free until it is shortened off; then it is reserved at once.
            wanted.write(self.block(ground, start)?);
            self.block(ground, offset)?.size.store(start - offset, SeqCst);
            self.push(state, offset, self.block(ground, offset)?);
        } else {
            let block = self.block(ground, start)?;
            block.size.store(wanted.size, SeqCst);
            block.tag.store(wanted.tag, SeqCst);
            block.len.store(wanted.len, SeqCst);
            block.state.store(wanted.state, SeqCst);
        }
        if behind < end {
            self.push(state, behind, self.block(ground, behind)?);
        }
        Ok(())
    }

    /// Puts a free block into its list.
    fn push(&self, state: &mut State, offset: u64, block: &Block) {
        let list = &mut state.lists[class(block.size.load(SeqCst))];
        block.next.store(*list, SeqCst);
        *list = offset;
    }

    /// Frees what lies at `offset` if `owner` has it reserved.
    fn give_back(&self, ground: &impl Ground, owner: Owner, offset: u64) -> Result<()> {
        let mut state = self.lock(ground)?;
        let start = offset.wrapping_sub(GRAIN);
        let block = self.block(ground, start)?;
        if block.change(RESERVED | owner.bits(), FREE) {
            self.push(&mut state, start, block);
        }
        Ok(())
    }

    /// Commits what lies at `offset`, whoever has it reserved.
    pub(crate) fn commit(&self, ground: &impl Ground, offset: u64) -> Result<()> {
        let block = self.block(ground, offset.wrapping_sub(GRAIN))?;
        let state = block.state.load(SeqCst);
        // Where the state changed, another has committed it.
        if state & TAG_MASK == RESERVED {
            block.change(state, COMMITTED);
        }
        Ok(())
    }
}

/// A block to be.
struct Wanted {
    /// With its header.
    size: u64,
    align: u64,
    len: u64,
    state: u32,
    tag: u32,
}

impl Wanted {
    fn write(&self, block: &Block) {
        block.write(self.size, self.state, self.tag, self.len);
    }
}

impl Block {
    fn write(&self, size: u64, state: u32, tag: u32, len: u64) {
        self.size.store(size, SeqCst);
        self.state.store(state, SeqCst);
        self.tag.store(tag, SeqCst);
        self.len.store(len, SeqCst);
    }

    /// Whether the state was `from`, and is `to` now.
    fn change(&self, from: u32, to: u32) -> bool {
        self.state.compare_exchange(from, to, SeqCst, SeqCst).is_ok()
    }
}

/// The list of blocks of `size` bytes: one for each power of two.
fn class(size: u64) -> usize {
    ((size / GRAIN).max(1).ilog2() as usize).min(LISTS - 1)
}

impl<G: Ground> Reserved<'_, G> {
    /// Where its bytes are, from the beginning of the memory.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// How many bytes were asked for.
    #[must_use]
    pub fn len_bytes(&self) -> u64 {
        self.len
    }

    /// Who has it reserved.
    #[must_use]
    pub fn owner(&self) -> Owner {
        self.owner
    }

    /// Its bytes, as they were left by whoever had them before.
    #[must_use]
    pub fn as_mut_ptr(&mut self) -> *mut u8 {
        self.ground.arena().at(self.offset).as_ptr()
    }

    /// Gives it to all who share the memory, for good; where its bytes are.
    ///
    /// # Errors
    ///
    /// The block is broken.
    pub fn commit(self) -> Result<u64> {
        let offset = self.offset;
        let block = self.ground.arena().block(self.ground, offset.wrapping_sub(GRAIN))?;
        // Where it is not reserved by this one any more, another has committed it.
        block.change(RESERVED | self.owner.bits(), COMMITTED);
        std::mem::forget(self);
        Ok(offset)
    }
}

impl<G: Ground> Drop for Reserved<'_, G> {
    fn drop(&mut self) {
        if self.ground.me() == Ok(self.owner) {
            // What cannot be given back now is when this process is gone: `repair` finds it.
            let _ = self.ground.arena().give_back(self.ground, self.owner, self.offset);
        }
    }
}
