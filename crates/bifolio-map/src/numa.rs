//! Binding the pages of a mapping to memory nodes.
//!
//! Where pages lie does not change what they hold, so it is a shared method, on every mapping.

use crate::body::Body;
use crate::error::{Operation, Result};
use bifolio_sys::mm::{self, Misplaced, Policy};
use core::ops::Range;

/// mbind(2) on the pages that hold `range`.
pub(crate) fn bind(
    body: &Body,
    range: &Range<usize>,
    policy: &Policy,
    misplaced: Misplaced,
) -> Result<()> {
    let (start, len) = body.pages(Operation::Bind, range)?;
    if len == 0 {
        return Ok(());
    }
    mm::mbind(start.addr(), len, policy, misplaced)
        .map_err(|errno| body.refused(Operation::Bind, range, errno))
}
