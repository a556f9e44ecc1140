//! Growth while others use the region. Nothing is mapped again: the addresses of all that it may
//! become are taken at once, and the file grows under them.
//!
//! First memory is allocated behind the end of the file, then `len` is raised. Whoever dies between
//! the two leaves a file that is longer than `len` tells, where the next one goes on. Any number
//! may do it at once: `len` only grows, and an allocation that fails takes nothing away that
//! another made in the same range (`shmem_fallocate` marks what it finds there as in use).

use super::Region;
use crate::error::{ErrorKind, Operation, Result};
use bifolio_sys::fs;
use std::sync::atomic::Ordering::SeqCst;

impl Region {
    /// Gives it room for at least `len` bytes; does nothing where it has. Nothing moves, and all
    /// who share it have the new room at once.
    ///
    /// The memory is there when this returns, so that no use of it meets a full `/dev/shm`. Threads
    /// and processes may grow it at once: it becomes as long as the longest asked for.
    ///
    /// # Errors
    ///
    /// [`BeyondMax`](ErrorKind::BeyondMax), [`NoSpace`](ErrorKind::NoSpace),
    /// [`Lost`](ErrorKind::Lost), and what fallocate(2) reports: the length is what it was then.
    ///
    /// # Examples
    ///
    /// ```
    /// use bifolio_share::Region;
    ///
    /// let region = Region::options().max_len(1 << 40).anonymous(4096)?;
    /// region.grow(1 << 20)?;
    /// assert_eq!(region.len(), 1 << 20);
    /// # Ok::<(), bifolio_share::Error>(())
    /// ```
    ///
    /// # References
    ///
    /// fallocate(2).
    pub fn grow(&self, len: u64) -> Result<()> {
        const GROW: Operation = Operation::Grow;
        let first = self.0.header.arena_at;
        self.check_for(GROW)?;
        let has = self.len();
        if len <= has {
            return Ok(());
        }
        let beyond = || {
            let max_bytes = self.max_len();
            self.error(GROW, ErrorKind::BeyondMax { max_bytes }).with_range(has..len)
        };
        let total = first.checked_add(len).filter(|&total| total <= self.0.header.max_len);
        let total = total.ok_or_else(beyond)?;
        // Whole pages, as far as the maximum permits.
        let page = self.0.loss.page() as u64;
        let total = total.next_multiple_of(page).min(self.0.header.max_len);
        let refused = |error: bifolio_map::Error| self.refused(GROW, &error).with_range(has..len);
        let stat = fs::fstat(self.fd()).map_err(|errno| self.errno(GROW, errno))?;
        if (stat.st_size as u64) < self.0.total() {
            return Err(self.error(GROW, ErrorKind::Lost));
        }
        // From the end of the file on: up to there it is allocated.
        self.0.map.refresh().map_err(refused)?;
        self.0.map.grow(total as usize).map_err(refused)?;
        self.0.live().fetch_max(total, SeqCst);
        self.check_for(GROW)
    }
}
