//! A region that this process only reads: mapped `PROT_READ`, without a seat.

use super::Place;
use crate::error::{Error, Operation, Result};
use crate::header::{Header, LEN_AT};
use bifolio_map::{Access, Options, ReadOnlySharedMap, View};
use bifolio_sys::fs::fd::OwnedFd;

/// A region that this process can read and cannot write; made by
/// [`RegionOptions::open_read_only`](super::RegionOptions::open_read_only).
///
/// Its bytes are read by [`Access`], guarded: others change them meanwhile, and what was taken away
/// is an error.
#[derive(Debug)]
pub struct ReadOnlyRegion {
    map: ReadOnlySharedMap,
    header: Header,
    place: Place,
}

impl ReadOnlyRegion {
    pub(super) fn new(place: Place, file: OwnedFd, header: Header) -> Result<ReadOnlyRegion> {
        let all = Options::new().len(header.max_len as usize).no_reserve();
        match all.shared_file_read_only(file) {
            Ok(map) => Ok(ReadOnlyRegion { map, header, place }),
            Err(error) => Err(Error::from_map(Operation::Open, &place, &error)),
        }
    }

    /// What it is called.
    #[must_use]
    pub fn place(&self) -> &Place {
        &self.place
    }
}

impl Access for ReadOnlyRegion {
    fn view(&self) -> View<'_> {
        let (all, first) = (self.map.view(), self.header.arena_at as usize);
        // Nothing where the length itself was taken away.
        let total = all.load::<u64>(LEN_AT).unwrap_or_default();
        let total = total.clamp(self.header.arena_at, self.header.max_len) as usize;
        all.slice(first..total).expect("a header's lengths lie inside of the mapping")
    }
}
