//! The one handler of SIGBUS and SIGSEGV.
//!
//! A fault belongs to one of three, asked in this order:
//!
//! 1. **A registered address range** ([`register`]): its resolver repairs the memory, and the
//!    instruction is tried again. It comes first because memory that can be had should be had, by
//!    guarded access too.
//! 2. **A guarded access** ([`crate::guard`]): the interrupted instruction lies in a registered
//!    range of the assembly. It is resumed at that range's exit and returns the fault as a value.
//! 3. **Whatever handler stood before** ([`install`] keeps it): Rust's report of a stack overflow,
//!    a debugger's, Go's or the JVM's, or the default action. It is called as the kernel would have
//!    called it, with the same arguments and the same signal mask.
//!
//! A signal that was *sent* (kill(2), sigqueue(3)) or that announces a memory failure elsewhere
//! (`BUS_MCEERR_AO`) is never taken for a fault, wherever the thread stood: it goes straight to the
//! third.
//!
//! The handler is async-signal-safe: it takes no lock, allocates nothing and keeps `errno`. It runs
//! on the alternate stack where the thread has one, with `SA_NODEFER`: a resolver may itself use
//! guarded access.
//!
//! # Chaining by hand
//!
//! A program that installs its own handler *after* this one should call what [`sigaction`] returned
//! as the old action, as every handler should. One that cannot (or that installs its own first and
//! wants to stay in front) calls [`handle`] from its handler and goes on only if that returns
//! `false`:
//!
//! ```no_run
//! # use core::ffi::{c_int, c_void};
//! unsafe extern "C" fn my_handler(signal: c_int, info: *mut c_void, context: *mut c_void) {
//!     // SAFETY: these are the kernel's own arguments.
//!     if unsafe { bifolio_sys::fault::handle(signal, info, context) } {
//!         return;
//!     }
//!     // ... the program's own work
//! }
//! ```
//!
//! # Limits
//!
//! A fault on a thread that *blocks* the signal ends the process (the kernel does it, signal(7)),
//! and so does one after a later handler that does not chain. [`status`] sees both where they can
//! be seen, [`probe`] proves it with a child process, and access by system call
//! (`process_vm_readv`) needs neither.
//!
//! * **Alternate stacks.** The handler before runs on the thread's alternate stack too, even if it
//!   did not ask for that. A resolver that meets a fault needs room there for a second frame (up to
//!   11 KiB on a CPU with AMX); std's threads have 8 KiB, or the one frame if that is more.
//! * **Libraries.** A library that contains this crate must stay loaded once it has called
//!   [`install`]: the handler lies in it. Two copies of the crate in one process chain to each
//!   other and serve each its own.
//! * **Circles.** A handler that stood before, and later puts itself in front and chains here,
//!   calls itself by way of this one for any fault that is nobody's. The end of the stack ends
//!   that, and the process.
//! * **fork(2).** A child has its parent's handlers and registrations. Dropping a [`Registration`]
//!   in it waits for ever if another thread's resolver was at work on the range at the moment of
//!   the fork, since the child lacks that thread.
//!
//! [`sigaction`]: https://man7.org/linux/man-pages/man2/sigaction.2.html
//!
//! # Safety
//!
//! The handler reads what the kernel passed to it, and calls resolvers under the promise of
//! [`register`].

#[cfg(not(loom))]
mod chain;
#[cfg(not(loom))]
mod context;
#[cfg(not(loom))]
mod dispatch;
#[cfg(not(loom))]
mod probe;
mod ranges;
#[cfg(not(loom))]
mod site;
#[cfg(not(loom))]
mod turn;

pub use crate::guard::Cause;
#[cfg(not(loom))]
pub use dispatch::{Reach, Registration, Status, handle, install, register, status};
#[cfg(not(loom))]
pub use probe::{Probe, probe};
#[cfg(not(loom))]
pub use site::{Site, bring_in, put_zeros, say};
#[cfg(not(loom))]
pub use turn::Turn;

/// The signals that stand for a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Signal {
    /// The mapping has no page there: beyond the end of the file, an input/output error, no space,
    /// a broken memory module.
    Bus,
    /// There is no mapping there, or it does not permit the access.
    Segv,
}

impl Signal {
    /// Both.
    pub const ALL: [Signal; 2] = [Signal::Bus, Signal::Segv];

    /// The kernel's number of the signal.
    pub const fn number(self) -> i32 {
        match self {
            Signal::Bus => libc::SIGBUS,
            Signal::Segv => libc::SIGSEGV,
        }
    }

    /// The signal with this number, if it is one of the two.
    pub const fn from_number(number: i32) -> Option<Signal> {
        match number {
            libc::SIGBUS => Some(Signal::Bus),
            libc::SIGSEGV => Some(Signal::Segv),
            _ => None,
        }
    }

    #[cfg(not(loom))]
    const fn bit(self) -> u64 {
        1 << (self.number() - 1)
    }
}

/// What a resolver is told of a fault.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Info {
    /// The address whose access faulted (`si_addr`), in bytes.
    pub addr: usize,
    /// The signal.
    pub signal: Signal,
    /// The kernel's reason (`si_code`): `BUS_ADRERR`, `SEGV_MAPERR`, `SEGV_ACCERR`, ...
    /// (sigaction(2)).
    pub si_code: i32,
    /// Whether the access was a write, where the CPU says so (x86-64).
    pub is_write: Option<bool>,
    /// The address of the instruction that faulted.
    pub pc: usize,
    /// Whether that is a guarded access, to which a fault that no resolver repairs is a value.
    pub is_guarded: bool,
}

impl Info {
    /// What the signal and its code mean.
    pub const fn cause(&self) -> Cause {
        Cause::of(self.signal.number(), self.si_code)
    }
}

/// What became of a fault in a registered range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resolution {
    /// The memory is accessible now: the instruction is tried again.
    Retry,
    /// Not this resolver's matter: the next range that holds the address is asked, then guarded
    /// access, then the handler that stood before.
    Decline,
}

/// Called for a fault in a registered range, inside the signal handler: it may do only what is
/// async-signal-safe (signal-safety(7)). The second argument is the `data` of the registration.
pub type Resolver = unsafe fn(&Info, usize) -> Resolution;
