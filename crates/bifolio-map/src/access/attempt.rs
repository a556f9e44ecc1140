//! An access that met a fault: finds the reason, and goes on where the page can be had after all.
//!
//! It ends: each attempt makes progress, fails with a reason, or is one of [`RETRIES_MAX`] at the
//! same byte. What is still to be read then is asked of the file.

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

/// What to do about a byte that could not be had, where no error says why.
enum Next {
    /// It may be there now.
    Again,
    /// It faults time and again, though the file system has nothing against it.
    Stuck,
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
            Ok(0) | Err(Errno::FAULT) => {
                let has_file = self.view.origin.fd().is_some();
                match self.explain(if has_file { Cause::Unbacked } else { Cause::NotMapped })? {
                    Next::Again => Ok(()),
                    Next::Stuck => Err(self.stuck()),
                }
            }
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

    /// Why the next byte cannot be had.
    #[cold]
    fn explain(&mut self, cause: Cause) -> Result<Next> {
        let at = self.view.start + self.offset + self.done;
        match self.view.origin.explain(self.operation, at, cause) {
            Verdict::Retry if self.retries < RETRIES_MAX => {
                self.retries += 1;
                Ok(Next::Again)
            }
            Verdict::Retry => Ok(Next::Stuck),
            Verdict::Fail(kind, None) => Err(self.error(kind)),
            Verdict::Fail(kind, Some(errno)) => Err(self.error(kind).with_errno(errno)),
        }
    }

    fn stuck(&self) -> Error {
        self.error(ErrorKind::NotAccessible)
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
            Err(fault) => {
                let attempt = Attempt::new(*self, operation, offset, len);
                go_on(attempt, fault, step, |attempt| Err(attempt.stuck()))
            }
        }
    }

    /// As [`guarded`](Self::guarded), for reading: a page that cannot be mapped although its file
    /// can be read is left to `by_file`, which is given the file as a view, and how many bytes are
    /// done.
    ///
    /// A hole in a file of a full tmpfs is such a page: reading it needs no space, mapping it does.
    #[inline]
    pub(super) fn guarded_read<R>(
        &self,
        offset: usize,
        len: usize,
        mut step: impl FnMut(usize) -> Result<R, Fault>,
        by_file: impl FnOnce(View<'_>, usize) -> Result<R>,
    ) -> Result<R> {
        match step(0) {
            Ok(value) => Ok(value),
            Err(fault) => {
                let attempt = Attempt::new(*self, Operation::Read, offset, len);
                go_on(attempt, fault, step, |attempt| {
                    let file = self.by_file().ok_or_else(|| attempt.stuck())?;
                    by_file(file, attempt.done).map_err(|error| {
                        let done = attempt.done + error.done_bytes();
                        self.of_whole(error, offset, len, done)
                    })
                })
            }
        }
    }
}

#[cold]
#[inline(never)]
fn go_on<R>(
    mut attempt: Attempt<'_>,
    mut fault: Fault,
    mut step: impl FnMut(usize) -> Result<R, Fault>,
    give_up: impl FnOnce(&Attempt<'_>) -> Result<R>,
) -> Result<R> {
    loop {
        attempt.advance(fault.done);
        if let Next::Stuck = attempt.explain(fault.code.cause())? {
            return give_up(&attempt);
        }
        match step(attempt.done) {
            Ok(value) => return Ok(value),
            Err(next) => fault = next,
        }
    }
}

#[cfg(all(test, feature = "std", target_arch = "x86_64"))]
mod tests;
