//! Putting two mappings without a file together, and what lies around their bytes.
//!
//! Only what one knows of the addresses changes: no system call is made.

use crate::body::Body;
use crate::error::{Error, ErrorKind, Operation, Result};
use crate::options::Guards;

impl Body {
    /// Puts `back` behind `self`; hands both back unless the bytes of the one begin where those of
    /// the other end.
    pub(crate) fn join(self, back: Body) -> Result<Body, (Body, Body, Error)> {
        let (Some(first), Some(second)) = (self.span(), back.span()) else {
            return Ok(if self.len() == 0 { back } else { self });
        };
        let (delta, len, page) = (self.delta(), self.len() + back.len(), self.page());
        let is_shown_to_its_end = first.len() == delta + self.len();
        let is_adjacent = first.touches(second)
            && is_shown_to_its_end
            && back.delta() == 0
            && self.page() == back.page();
        if !is_adjacent {
            let error = self.origin.error(Operation::Join, ErrorKind::Invalid, 0, self.len());
            return Err((self, back, error));
        }
        let ((front, origin), (back, _)) = (self.into_parts(), back.into_parts());
        let span = front.zip(back).map(|(front, back)| front.join(back));
        Ok(Body::from_parts(span, delta, len, page, origin))
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
