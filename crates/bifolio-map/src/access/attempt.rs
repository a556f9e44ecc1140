//! An access that met a fault: finds the reason, and goes on where the page can be had after all.
//!
//! It ends: each attempt makes progress, fails with a reason, or is one of [`RETRIES_MAX`] at the
//! same byte.

use super::View;
use crate::error::{Error, ErrorKind, Operation, Result};
use crate::origin::Verdict;
use bifolio_sys::Errno;
use bifolio_sys::guard::{Cause, Fault};

/// How often a fault that cannot be explained is tried again at the same byte: the file may shrink
/// and grow while we look.
const RETRIES_MAX: u32 = 16;

/// How far an access to `[offset, offset + len)` of a view has come.
pub(super) struct Attempt<'v> {
    view: View<'v>,
    operation: Operation,
    offset: usize,
    len: usize,
    done: usize,
    retries: u32,
}

impl<'v> Attempt<'v> {
    pub(super) fn new(view: View<'v>, operation: Operation, offset: usize, len: usize) -> Self {
        Attempt { view, operation, offset, len, done: 0, retries: 0 }
    }

    /// The bytes done so far.
    pub(super) fn done(&self) -> usize {
        self.done
    }

    /// Takes note of what a system call answered.
    pub(super) fn note(&mut self, answer: Result<usize, Errno>) -> Result<()> {
        match answer {
            // Neither says why: the file does, where there is one.
            Ok(0) | Err(Errno::FAULT) if self.view.origin.fd().is_some() => {
                self.explain(Cause::Unbacked)
            }
            Ok(0) | Err(Errno::FAULT) => self.explain(Cause::NotMapped),
            Ok(count) => {
                self.advance(count);
                Ok(())
            }
            Err(Errno::INTR) => Ok(()),
            Err(errno) => Err(self.error(ErrorKind::from_errno(errno)).with_errno(errno)),
        }
    }

    fn advance(&mut self, count: usize) {
        if count != 0 {
            self.done += count;
            self.retries = 0;
        }
    }

    /// Why the next byte cannot be had; returns to try again.
    #[cold]
    fn explain(&mut self, cause: Cause) -> Result<()> {
        let at = self.view.start + self.offset + self.done;
        match self.view.origin.explain(self.operation, at, cause) {
            Verdict::Retry if self.retries < RETRIES_MAX => {
                self.retries += 1;
                Ok(())
            }
            Verdict::Retry => Err(self.error(ErrorKind::NotAccessible)),
            Verdict::Fail(kind, None) => Err(self.error(kind)),
            Verdict::Fail(kind, Some(errno)) => Err(self.error(kind).with_errno(errno)),
        }
    }

    fn error(&self, kind: ErrorKind) -> Error {
        self.view.error(self.operation, kind, self.offset, self.len).with_done(self.done)
    }
}

impl View<'_> {
    /// Runs a guarded access to `[offset, offset + len)`: `step` is given how many bytes are done,
    /// and does the rest.
    #[inline]
    pub(super) fn guarded<R>(
        &self,
        operation: Operation,
        offset: usize,
        len: usize,
        mut step: impl FnMut(usize) -> Result<R, Fault>,
    ) -> Result<R> {
        match step(0) {
            Ok(value) => Ok(value),
            Err(fault) => go_on(self, operation, offset, len, fault, step),
        }
    }
}

#[cold]
#[inline(never)]
fn go_on<R>(
    view: &View<'_>,
    operation: Operation,
    offset: usize,
    len: usize,
    mut fault: Fault,
    mut step: impl FnMut(usize) -> Result<R, Fault>,
) -> Result<R> {
    let mut attempt = Attempt::new(*view, operation, offset, len);
    loop {
        attempt.advance(fault.done);
        attempt.explain(fault.code.cause())?;
        match step(attempt.done) {
            Ok(value) => return Ok(value),
            Err(next) => fault = next,
        }
    }
}

#[cfg(all(test, feature = "std", target_arch = "x86_64"))]
mod tests;
