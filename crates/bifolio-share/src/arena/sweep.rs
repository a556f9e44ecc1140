//! Going through all blocks: what the dead left comes back, and what is broken is named.
//!
//! All of it happens under the lock of the arena. Each step is one store that leaves whole blocks,
//! so a sweep that is killed is one that was not finished.

use std::sync::atomic::Ordering::SeqCst;

use bifolio_sync::Owner;

use super::{Arena, Block, COMMITTED, FREE, GRAIN, LISTS, RESERVED, Result, State, TAG_MASK};
use crate::ground::Ground;
use crate::object_error::ObjectErrorKind;

/// What a sweep gave back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Sweep {
    /// Blocks that processes had reserved which died.
    pub blocks_of_the_dead: u64,
    /// Blocks of objects that were removed.
    pub blocks_removed: u64,
}

/// What the bytes of an arena are used for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Usage {
    /// Blocks that are not free.
    pub blocks: u64,
    /// Their bytes, with headers.
    pub used_bytes: u64,
    /// Of these, the bytes in blocks that are only reserved.
    pub reserved_bytes: u64,
    /// Bytes between blocks in use.
    pub free_bytes: u64,
}

impl Arena {
    /// Frees the blocks of the dead; with `removed`, those of removed objects, too.
    pub(crate) fn sweep(&self, ground: &impl Ground, removed: bool) -> Result<Sweep> {
        let mut state = self.lock(ground)?;
        self.sweep_locked(ground, &mut state, removed)
    }

    pub(super) fn sweep_locked(
        &self,
        ground: &impl Ground,
        state: &mut State,
        removed: bool,
    ) -> Result<Sweep> {
        let mut sweep = Sweep::default();
        self.walk(ground, state, |offset, block| {
            self.settle(ground, offset, block, removed, &mut sweep);
            Ok(())
        })?;
        self.rebuild(ground, state)?;
        Ok(sweep)
    }

    /// Decides about one block.
    fn settle(
        &self,
        ground: &impl Ground,
        offset: u64,
        block: &Block,
        removed: bool,
        sweep: &mut Sweep,
    ) {
        let state = block.state.load(SeqCst);
        let tag = block.tag.load(SeqCst);
        // A removed object was committed before its entry was emptied. So if it is removed just
        // now, the state has changed by the time that it is exchanged here.
        let in_use = || tag != 0 && ground.directory().refers(tag - 1, offset + GRAIN);
        match state & TAG_MASK {
            RESERVED if Owner::in_word(state).is_none_or(|owner| ground.is_dead(owner)) => {
                if in_use() {
                    block.change(state, COMMITTED);
                } else if block.change(state, FREE) {
                    sweep.blocks_of_the_dead += 1;
                }
            }
            COMMITTED if removed && tag != 0 && !in_use() && block.change(state, FREE) => {
                sweep.blocks_removed += 1;
            }
            _ => {}
        }
    }

    /// Makes the lists anew, and one block of free ones that touch.
    pub(super) fn rebuild(&self, ground: &impl Ground, state: &mut State) -> Result<()> {
        state.lists = [0; LISTS];
        let mut free: Option<(u64, &Block)> = None;
        let mut runs = Vec::new();
        self.walk(ground, state, |offset, block| {
            if block.state.load(SeqCst) != FREE {
                runs.extend(free.take());
                return Ok(());
            }
            match free {
                // The header of the second is a byte of the first from now on.
                Some((start, first)) => {
                    first.size.store(offset + block.size.load(SeqCst) - start, SeqCst);
                }
                None => free = Some((offset, block)),
            }
            Ok(())
        })?;
        if let Some((start, _)) = free {
            state.top.store(start, SeqCst);
        }
        for (offset, block) in runs {
            self.push(state, offset, block);
        }
        Ok(())
    }

    /// Shows each block to `visit`, which may change its state, and make an earlier one longer.
    ///
    /// # Errors
    ///
    /// The first block that breaks invariant 0 or 1.
    fn walk<'a>(
        &'a self,
        ground: &impl Ground,
        state: &State,
        mut visit: impl FnMut(u64, &'a Block) -> Result<()>,
    ) -> Result<()> {
        let top = self.top(state);
        let mut offset = self.first();
        while offset < top {
            let broken = ObjectErrorKind::BrokenBlock { offset };
            let block = self.block(ground, offset)?;
            let size = block.size.load(SeqCst);
            let word = block.state.load(SeqCst);
            let known = match word & TAG_MASK {
                RESERVED => Owner::in_word(word).is_some(),
                FREE | COMMITTED => word & Owner::MASK == 0,
                _ => false,
            };
            let fits = word == FREE || block.len.load(SeqCst) <= size.saturating_sub(GRAIN);
            if size < GRAIN || !size.is_multiple_of(GRAIN) || size > top - offset || !known || !fits
            {
                return Err(broken);
            }
            visit(offset, block)?;
            offset += size;
        }
        if offset == top { Ok(()) } else { Err(ObjectErrorKind::BrokenBlock { offset }) }
    }

    /// Goes through all blocks and lists, and says what is in use.
    ///
    /// # Errors
    ///
    /// [`BrokenBlock`](ObjectErrorKind::BrokenBlock) with the first block that is not what it must
    /// be, and what the lock refuses.
    pub fn verify(&self, ground: &impl Ground) -> Result<Usage> {
        let state = self.lock(ground)?;
        let mut usage = Usage::default();
        let mut free = 0;
        self.walk(ground, &state, |_, block| {
            let size = block.size.load(SeqCst);
            match block.state.load(SeqCst) & TAG_MASK {
                FREE => {
                    free += 1;
                    usage.free_bytes += size;
                    return Ok(());
                }
                RESERVED => usage.reserved_bytes += size,
                _ => {}
            }
            usage.blocks += 1;
            usage.used_bytes += size;
            Ok(())
        })?;
        self.verify_lists(ground, &state, free)?;
        Ok(usage)
    }

    /// Each list holds free blocks of its class, and no more than there are.
    fn verify_lists(&self, ground: &impl Ground, state: &State, free: u64) -> Result<()> {
        let mut seen = 0;
        for (class, first) in state.lists.iter().enumerate() {
            let mut offset = *first;
            while offset != 0 {
                let block = self.block(ground, offset)?;
                seen += 1;
                let size = block.size.load(SeqCst);
                let right = block.state.load(SeqCst) == FREE && super::class(size) == class;
                if !right || seen > free {
                    return Err(ObjectErrorKind::BrokenBlock { offset });
                }
                offset = block.next.load(SeqCst);
            }
        }
        Ok(())
    }

    /// Whether what lies at `offset` is a block with this tag that is not free.
    pub(crate) fn holds(&self, ground: &impl Ground, tag: u32, offset: u64) -> bool {
        self.block(ground, offset.wrapping_sub(GRAIN)).is_ok_and(|block| {
            let state = block.state.load(SeqCst) & TAG_MASK;
            block.tag.load(SeqCst) == tag && (state == RESERVED || state == COMMITTED)
        })
    }
}
