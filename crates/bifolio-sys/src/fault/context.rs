//! The interrupted CPU: which instruction faulted, and how to send it elsewhere.
//!
//! # Safety
//!
//! Reads and writes the `ucontext_t` that the kernel hands to a signal handler; it is valid while
//! that handler runs.
#![allow(unsafe_code, reason = "the kernel hands the machine context over as a raw pointer")]

use core::ffi::c_void;

/// The machine context of a signal handler.
pub(super) struct Context(*mut libc::ucontext_t);

#[cfg(target_arch = "x86_64")]
impl Context {
    /// The address of the instruction that was interrupted.
    pub(super) fn pc(&self) -> usize {
        // SAFETY: `from_handler` demands a live context.
        unsafe { (*self.0).uc_mcontext.gregs[libc::REG_RIP as usize] as usize }
    }

    /// Whether the access that faulted was a write, where the CPU says so: bit 1 of the error code
    /// of a page fault (Intel SDM 3A, 4.7), which other traps give other meanings.
    pub(super) fn is_write(&self) -> Option<bool> {
        const PAGE_FAULT: i64 = 14;
        // SAFETY: as in `pc`.
        let registers = unsafe { &(*self.0).uc_mcontext.gregs };
        let is_page_fault = registers[libc::REG_TRAPNO as usize] == PAGE_FAULT;
        is_page_fault.then_some(registers[libc::REG_ERR as usize] & 2 != 0)
    }

    /// Goes on at `pc` with `code` in the second return register.
    pub(super) fn resume(&mut self, pc: usize, code: usize) {
        // SAFETY: as in `pc`; nobody else looks at the context before the handler returns.
        let registers = unsafe { &mut (*self.0).uc_mcontext.gregs };
        registers[libc::REG_RIP as usize] = pc as i64;
        registers[libc::REG_RDX as usize] = code as i64;
    }
}

#[cfg(target_arch = "aarch64")]
impl Context {
    /// The address of the instruction that was interrupted.
    pub(super) fn pc(&self) -> usize {
        // SAFETY: `from_handler` demands a live context.
        unsafe { (*self.0).uc_mcontext.pc as usize }
    }

    /// Whether the access that faulted was a write: the kernel says so only in an extension record
    /// of the context, which is not read here.
    pub(super) fn is_write(&self) -> Option<bool> {
        None
    }

    /// Goes on at `pc` with `code` in the second return register.
    pub(super) fn resume(&mut self, pc: usize, code: usize) {
        // SAFETY: as in `pc`; nobody else looks at the context before the handler returns.
        let machine = unsafe { &mut (*self.0).uc_mcontext };
        machine.pc = pc as u64;
        machine.regs[1] = code as u64;
    }
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
compile_error!("bifolio-sys knows the machine contexts of x86-64 and aarch64 Linux");

impl Context {
    /// Wraps the third argument of a signal handler.
    ///
    /// # Safety
    ///
    /// `context` is the pointer that the kernel gave to a handler with `SA_SIGINFO` that is still
    /// running, and no other `Context` of it exists.
    pub(super) unsafe fn from_handler(context: *mut c_void) -> Self {
        Context(context.cast())
    }
}
