//! Cutting mappings in two and putting two together, and what lies around their bytes.
//!
//! Only what one knows of the addresses changes: no page does.

use crate::body::Body;
use crate::dirty::Tracker;
use crate::error::{Error, ErrorKind, Operation, Result};
use crate::options::Guards;
use bifolio_sys::Errno;

impl Body {
    /// Puts `back` behind `self`; hands both back unless the bytes of the one begin where those of
    /// the other end, in memory and in the file.
    pub(crate) fn join(self, back: Body) -> Result<Body, (Body, Body, Error)> {
        if !self.is_continued_by(&back) {
            let error = self.origin.error(Operation::Join, ErrorKind::Invalid, 0, self.len());
            return Err((self, back, error));
        }
        if self.len() == 0 || back.len() == 0 {
            return Ok(if self.len() == 0 { back } else { self });
        }
        let tracker = match self.joined_tracker(&back) {
            Ok(tracker) => tracker,
            Err(errno) => {
                let error = self.refused(Operation::Join, &(0..self.len()), errno);
                // Of those that are tracked in different ways, or one alone.
                let is_mixed = errno == Errno::INVAL;
                let error = if is_mixed { error.with_kind(ErrorKind::Invalid) } else { error };
                return Err((self, back, error));
            }
        };
        let (delta, len, page) = (self.delta(), self.len() + back.len(), self.page());
        let ((front, origin), (back, _)) = (self.into_parts(), back.into_parts());
        let body = match front.zip(back) {
            Some((front, back)) => {
                Body::from_parts(Some(front.join(back)), delta, len, page, origin)
            }
            None => Body::unmapped(len, origin),
        };
        Ok(body.with_tracker(tracker))
    }

    fn joined_tracker(&self, back: &Body) -> Result<Option<Tracker>, Errno> {
        match (&self.tracker, &back.tracker) {
            (None, None) => Ok(None),
            (Some(tracker), Some(other)) => tracker.join(other, back.ptr().addr().get()).map(Some),
            _ => Err(Errno::INVAL),
        }
    }

    fn is_continued_by(&self, back: &Body) -> bool {
        let is_next_in_memory = match (self.span(), back.span()) {
            (Some(first), Some(second)) => {
                first.touches(second)
                    && first.len() == self.delta() + self.len()
                    && back.delta() == 0
                    && self.page() == back.page()
            }
            (None, None) => true,
            _ => self.len() == 0 || back.len() == 0,
        };
        is_next_in_memory && self.origin.is_continued_by(&back.origin, self.len())
    }

    /// Whether no page of the span lies outside the bytes.
    pub(crate) fn is_shown_whole(&self) -> bool {
        self.guards() == Guards::default()
    }

    /// The guard pages around the bytes of a body without a file.
    pub(crate) fn guards(&self) -> Guards {
        let Some(span) = self.span() else { return Guards::default() };
        let page = self.page();
        let shown = page.count(self.delta() + self.len()).get();
        let before = page.count(self.delta()).get();
        Guards { before, after: page.count(span.len()).get() - shown }
    }
}

/// Gives a type with a field `body`, and others that are named last and are `Copy`, what cuts it
/// in two and puts two together. Each half keeps all that the type promises, which is a matter of
/// pages.
macro_rules! halves {
    ($kind:ident $(, $kept:ident)*) => {
        impl $kind {
            /// Splits it before the byte at `at`: 0, the length, or the start of a page. Neither
            /// part moves; guard pages stay at the outer ends, and each has the file for itself.
            ///
            /// # Errors
            ///
            /// With the mapping: [`OutOfBounds`](crate::ErrorKind::OutOfBounds),
            /// [`Misaligned`](crate::ErrorKind::Misaligned), and where there is a file what
            /// duplicating its descriptor reports.
            pub fn split_at(
                self,
                at: usize,
            ) -> $crate::error::Result<($kind, $kind), ($kind, $crate::error::Error)> {
                let $kind { body $(, $kept)* } = self;
                match body.split(at) {
                    Ok((front, back)) => {
                        Ok(($kind { body: front $(, $kept)* }, $kind { body: back $(, $kept)* }))
                    }
                    Err((body, error)) => Err(($kind { body $(, $kept)* }, error)),
                }
            }

            /// Puts `back` behind this one, without moving either.
            ///
            /// # Errors
            ///
            /// [`Invalid`](crate::ErrorKind::Invalid), with both, unless the first byte of `back`
            /// follows the last of this one, in memory and in the file, their pages are of one
            /// size, and both are tracked in the same way ([`Tracking`](crate::Tracking)) or
            /// neither is.
            pub fn join(
                self,
                back: $kind,
            ) -> $crate::error::Result<$kind, ($kind, $kind, $crate::error::Error)> {
                let $kind { body $(, $kept)* } = self;
                match body.join(back.body) {
                    Ok(body) => Ok($kind { body $(, $kept)* }),
                    Err((front, behind, error)) => Err((
                        $kind { body: front $(, $kept)* },
                        $kind { body: behind $(, $kept: back.$kept)* },
                        error,
                    )),
                }
            }
        }
    };
}

pub(crate) use halves;
