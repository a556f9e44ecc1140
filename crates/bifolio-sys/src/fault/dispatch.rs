//! Installation, dispatch, and what can be known of the handler's state.
//!
//! # Safety
//!
//! `on_signal` is called by the kernel alone; everything it passes on is the kernel's.
#![allow(unsafe_code, reason = "signal handlers speak in raw pointers")]

use super::chain::{self, Previous};
use super::context::Context;
use super::ranges::{FIRST_SLOTS, Slot, Table};
use super::{Info, Resolution, Resolver, Signal};
use crate::guard::{self, FaultCode};
use crate::{Errno, errno};
use core::ffi::{c_int, c_void};
use core::fmt;
use core::ops::Range;
use core::sync::atomic::{AtomicI32, Ordering};

/// `ABSENT`, `INSTALLED`, or the process that is installing: a child that fork(2) made meanwhile
/// must not wait for a thread that it does not have.
static STATE: AtomicI32 = AtomicI32::new(ABSENT);
const ABSENT: i32 = 0;
const INSTALLED: i32 = -1;

static PREVIOUS: [Previous; 2] = [Previous::new(), Previous::new()];
static FIRST: [Slot; FIRST_SLOTS] = [const { Slot::empty() }; FIRST_SLOTS];
static RANGES: Table = Table::new(&FIRST);

/// Puts the dispatcher in front of SIGBUS and SIGSEGV, once per process; later calls cost one load.
///
/// # Errors
///
/// What sigaction(2) reports; then nothing has changed.
///
/// # References
///
/// [sigaction(2)](https://man7.org/linux/man-pages/man2/sigaction.2.html): Linux 2.2.
///
/// # Examples
///
/// ```
/// bifolio_sys::fault::install()?;
/// assert!(bifolio_sys::fault::status().installed);
/// # Ok::<(), bifolio_sys::Errno>(())
/// ```
#[inline]
pub fn install() -> Result<(), Errno> {
    // Acquire pairs with the release in `install_once`: a fault after this load finds the handler
    // in place.
    if STATE.load(Ordering::Acquire) == INSTALLED { Ok(()) } else { install_once() }
}

#[cold]
fn install_once() -> Result<(), Errno> {
    let own = rustix::process::getpid().as_raw_pid();
    let mut state = ABSENT;
    // Acquire, on failure, pairs with the release below.
    while let Err(found) = STATE.compare_exchange(state, own, Ordering::SeqCst, Ordering::Acquire) {
        match found {
            INSTALLED => return Ok(()),
            _ if found == own => {
                rustix::thread::sched_yield();
                state = ABSENT;
            }
            // Free, or left over from the parent.
            _ => state = found,
        }
    }
    let result = take_over(Signal::Bus).and_then(|bus| {
        take_over(Signal::Segv).inspect_err(|_| {
            // The first signal goes back to whom it belonged: all or nothing.
            let _ = chain::replace(Signal::Bus, &bus);
        })
    });
    // Release pairs with the acquire loads in `install` and above.
    STATE.store(if result.is_ok() { INSTALLED } else { ABSENT }, Ordering::Release);
    result.map(|_| ())
}

/// Replaces the disposition of one signal and keeps the old one. It is kept before it is replaced,
/// since a fault may come at once, and again in case another thread changed it in between.
fn take_over(signal: Signal) -> Result<libc::sigaction, Errno> {
    let before = chain::current(signal)?;
    if before.sa_sigaction == handler_address() {
        return Ok(before); // by the parent, before fork(2)
    }
    previous(signal).keep(&before);
    // What was ignored interrupted no system call.
    let restart = match before.sa_sigaction {
        libc::SIG_IGN => libc::SA_RESTART,
        _ => before.sa_flags & libc::SA_RESTART,
    };
    // SA_NODEFER: a resolver may use guarded access, whose fault comes while the handler runs.
    let flags = libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_NODEFER | restart;
    let replaced = chain::replace(signal, &chain::action(handler_address(), flags))?;
    previous(signal).keep(&replaced);
    Ok(replaced)
}

fn previous(signal: Signal) -> &'static Previous {
    match signal {
        Signal::Bus => &PREVIOUS[0],
        Signal::Segv => &PREVIOUS[1],
    }
}

fn handler_address() -> usize {
    on_signal as unsafe extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void) as usize
}

/// The handler. Async-signal-safe.
unsafe extern "C" fn on_signal(number: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    // SAFETY: the arguments are the kernel's.
    let is_done = unsafe { handle(number, info.cast(), context) };
    if !is_done && let Some(signal) = Signal::from_number(number) {
        // SAFETY: the kernel's information is there while its handler runs.
        let is_fault = is_fault(signal, unsafe { (*info).si_code });
        // SAFETY: this is a handler of `signal`, and these are its arguments.
        unsafe { previous(signal).call(signal, is_fault, info, context) };
    }
}

/// Whether an instruction of this thread raised the signal, by its `si_code` (sigaction(2)): none
/// did where it is not positive (the signal was sent) or `BUS_MCEERR_AO` (memory was found broken
/// elsewhere).
const fn is_fault(signal: Signal, si_code: c_int) -> bool {
    si_code > 0 && !(matches!(signal, Signal::Bus) && si_code == libc::BUS_MCEERR_AO)
}

/// Handles a fault that belongs to a guarded access or to a registered range; `false` means that it
/// is somebody else's.
///
/// For programs that keep their own handler in front; see the [module's documentation](super).
/// Async-signal-safe; it leaves `errno` as it finds it.
///
/// # Safety
///
/// `signal`, `info` (a `siginfo_t`) and `context` (a `ucontext_t`) are the arguments that the
/// kernel gave to a handler with `SA_SIGINFO` which is still running.
pub unsafe fn handle(signal: c_int, info: *mut c_void, context: *mut c_void) -> bool {
    let Some(signal) = Signal::from_number(signal) else { return false };
    let info = info.cast::<libc::siginfo_t>();
    // SAFETY: the caller's promise.
    let siginfo = unsafe { &*info };
    let si_code = siginfo.si_code;
    if !is_fault(signal, si_code) {
        return false;
    }
    // SAFETY: the caller's promise; it is the only `Context` here.
    let mut context = unsafe { Context::from_handler(context) };
    let pc = context.pc();
    // SAFETY: for these two signals with a kernel's code the union holds an address (sigaction(2)).
    let addr = unsafe { siginfo.si_addr() } as usize;
    let exit = guard::resume_at(pc);
    let (is_write, is_guarded) = (context.is_write(), exit.is_some());
    let info = Info { addr, signal, si_code, is_write, pc, is_guarded };
    let errno = errno::get();
    let resolution = RANGES.resolve(&info);
    errno::set(errno);
    if resolution == Resolution::Retry {
        return true;
    }
    if let Some(exit) = exit {
        context.resume(exit, FaultCode::pack(signal.number(), si_code));
        return true;
    }
    false
}

/// An address range whose faults go to a resolver; dropping it takes the range out again.
///
/// The drop waits until resolvers that are at work on the range have returned: it must not happen
/// inside one.
#[must_use = "dropping it unregisters the range"]
pub struct Registration {
    slot: &'static Slot,
    range: Range<usize>,
}

impl fmt::Debug for Registration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registration").field("range", &self.range).finish()
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        RANGES.remove(self.slot);
    }
}

/// Sends the faults in `range` (addresses in bytes) to `resolver` before anything else sees them,
/// guarded access included.
///
/// Registering and dropping cost a few atomic operations each, however many ranges there are. The
/// look-up after a fault is lock-free and linear in their number.
///
/// # Errors
///
/// What [`install`] reports, and `ENOMEM` where the table cannot grow.
///
/// # Safety
///
/// `resolver` may be called at any time from now until the registration is dropped, by any thread,
/// inside a signal handler, with `data`: it must do only what is async-signal-safe
/// (signal-safety(7)), and must return [`Resolution::Retry`] only if the access can succeed now;
/// what it does to the memory must be sound for everyone who uses that memory.
pub unsafe fn register(
    range: Range<usize>,
    resolver: Resolver,
    data: usize,
) -> Result<Registration, Errno> {
    install()?;
    let slot = RANGES.insert(&range, resolver, data)?;
    Ok(Registration { slot, range })
}

/// Where a signal goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reach {
    /// To this dispatcher.
    Ours,
    /// To another handler, which may or may not pass it on: [`probe`](super::probe) finds out.
    Other,
    /// To nobody: the signal has its default action or is ignored, and a fault ends the process.
    Nobody,
}

/// What can be seen of the dispatcher from the calling thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Status {
    /// Whether [`install`] has succeeded in this process.
    pub installed: bool,
    /// Where SIGBUS goes first.
    pub bus: Reach,
    /// Where SIGSEGV goes first.
    pub segv: Reach,
    /// Whether the calling thread blocks SIGBUS: then a fault on it ends the process.
    pub thread_blocks_bus: bool,
    /// Whether the calling thread blocks SIGSEGV: then a fault on it ends the process.
    pub thread_blocks_segv: bool,
}

impl Status {
    /// Whether a guarded access on the calling thread surely survives a fault.
    pub const fn is_sure(&self) -> bool {
        self.installed
            && matches!(self.bus, Reach::Ours)
            && matches!(self.segv, Reach::Ours)
            && !self.thread_blocks_bus
            && !self.thread_blocks_segv
    }
}

/// Looks at the dispatcher's state now, as the calling thread sees it. Four system calls.
///
/// # References
///
/// [sigaction(2)](https://man7.org/linux/man-pages/man2/sigaction.2.html),
/// [pthread_sigmask(3)](https://man7.org/linux/man-pages/man3/pthread_sigmask.3.html): Linux 2.2.
pub fn status() -> Status {
    let reach = |signal| match chain::current(signal) {
        Ok(action) if action.sa_sigaction == handler_address() => Reach::Ours,
        Ok(action) if matches!(action.sa_sigaction, libc::SIG_DFL | libc::SIG_IGN) => Reach::Nobody,
        _ => Reach::Other,
    };
    Status {
        // Acquire pairs with the release in `install_once`.
        installed: STATE.load(Ordering::Acquire) == INSTALLED,
        bus: reach(Signal::Bus),
        segv: reach(Signal::Segv),
        thread_blocks_bus: chain::thread_blocks(Signal::Bus),
        thread_blocks_segv: chain::thread_blocks(Signal::Segv),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A child of fork(2) that finds its parent's installation half done finishes it, and does not
    /// take its own handler for the one that stood before.
    #[test]
    fn what_a_parent_left_half_done_is_finished() {
        install().unwrap();
        let before = chain::current(Signal::Segv).unwrap();
        let another = rustix::process::getpid().as_raw_pid() + 1;
        STATE.store(another, Ordering::SeqCst);
        install().unwrap();
        assert!(status().is_sure());
        assert_eq!(chain::current(Signal::Segv).unwrap().sa_flags, before.sa_flags);
        assert_eq!(STATE.load(Ordering::SeqCst), INSTALLED);
        assert!(!previous(Signal::Segv).is(handler_address()));
    }
}
