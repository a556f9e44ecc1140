//! A region whose peers may do anything: no seats, no objects, no references.
//!
//! Nothing that lies in the memory is believed: places come from the copy of the header that was
//! checked when it was opened, a length is brought inside of them each time it is read, and all
//! access is guarded.

use super::{Inner, Place, Region};
use crate::error::{Error, ErrorKind, Operation, Result};
use crate::header::{Header, LEN_AT, SEALED_BYTES};
use bifolio_map::{Access, AccessMut, SharedMap, View, ViewMut};
use std::sync::Arc;

/// A region that is shared with those who may be hostile, as bytes: guarded copies and guarded
/// atomics, by [`Access`] and [`AccessMut`]. Whatever the others write, shorten or damage, the
/// answer is some bytes or an error.
///
/// What the bytes mean is for their reader to check: copy first, then check, since they may change
/// in between.
///
/// # Examples
///
/// ```
/// use bifolio_share::Region;
/// use bifolio_map::{Access, AccessMut};
///
/// let region = Region::anonymous(4096)?;
/// let bytes = region.untrusted().map_err(|(_, error)| error)?;
/// bytes.store(&7_u32, 512)?;
/// assert_eq!(bytes.atomic::<u32>(512)?.fetch_add(1)?, 7);
/// bytes.check()?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Untrusted {
    map: SharedMap,
    header: Header,
    place: Place,
}

impl Region {
    /// Trusts nobody from now on, and gives this process's seat up.
    ///
    /// # Errors
    ///
    /// [`InUse`](ErrorKind::InUse) with the region where it has clones.
    #[allow(clippy::result_large_err, reason = "gives back what it consumed")]
    pub fn untrusted(self) -> Result<Untrusted, (Region, Error)> {
        match Arc::try_unwrap(self.0) {
            // What is named here goes when the arm ends: the seat first, then the resolver.
            Ok(Inner { seats, _watch: watch, loss, map, header, place, .. }) => {
                drop(seats);
                drop(watch);
                drop(loss);
                Ok(Untrusted { map, header, place })
            }
            Err(inner) => {
                let error = Error::new(Operation::Inspect, &inner.place, ErrorKind::InUse);
                Err((Region(inner), error))
            }
        }
    }
}

impl Untrusted {
    /// What it is called.
    #[must_use]
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// Whether the header is still what it was when the region was opened.
    ///
    /// # Errors
    ///
    /// [`Damaged`](ErrorKind::Damaged), and [`Lost`](ErrorKind::Lost) where it is gone.
    pub fn check(&self) -> Result<()> {
        const INSPECT: Operation = Operation::Inspect;
        let mut bytes = [0; SEALED_BYTES];
        let read = self.map.read_exact_at(&mut bytes, 0);
        read.map_err(|error| Error::from_map(INSPECT, &self.place, &error))?;
        let told = Header::from_bytes(&bytes);
        let told = told.map_err(|kind| Error::new(INSPECT, &self.place, kind))?;
        if told == self.header {
            return Ok(());
        }
        Err(Error::new(INSPECT, &self.place, ErrorKind::Damaged))
    }

    /// Where its bytes end now: as the header says, as far as that is possible.
    fn end(&self) -> usize {
        let total = self.map.load::<u64>(LEN_AT).unwrap_or_default();
        let total = total.clamp(self.header.min_len(), self.header.max_len) as usize;
        if self.map.view().len() < total {
            // What it cannot show is not in the view.
            let _ = self.map.refresh();
        }
        total.min(self.map.view().len())
    }
}

impl Access for Untrusted {
    fn view(&self) -> View<'_> {
        self.view_mut().as_view()
    }
}

impl AccessMut for Untrusted {
    fn view_mut(&self) -> ViewMut<'_> {
        let (first, end) = (self.header.arena_at as usize, self.end());
        let all = self.map.view_mut();
        all.slice_mut(first..end).expect("the map shows at least what a header says at its least")
    }
}
