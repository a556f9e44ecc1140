//! Making instructions that were written as data visible to the instruction fetch.
//!
//! x86-64 keeps its caches coherent by itself. aarch64 does not: lines are cleaned to the point of
//! unification, then their stale copies are invalidated in the instruction caches of all CPUs. It
//! does not reach into the pipelines of other CPUs: a thread that ran other code at these addresses
//! passes a context synchronisation event first (an exception or `isb`).
//!
//! # Safety
//!
//! Cache maintenance by address changes no byte; it faults where reading would, so it is given a
//! slice.
#![allow(unsafe_code, reason = "cache maintenance is an instruction")]

/// Makes `code`, which was written just now, what the CPUs execute at its addresses.
///
/// # References
///
/// Arm Architecture Reference Manual for A-profile, "Concurrent modification and execution of
/// instructions", and `CTR_EL0`.
#[inline]
pub fn synchronize(code: &[u8]) {
    #[cfg(target_arch = "aarch64")]
    aarch64::synchronize(code.as_ptr_range().start.addr(), code.as_ptr_range().end.addr());
    #[cfg(not(target_arch = "aarch64"))]
    let _ = code;
}

#[cfg(target_arch = "aarch64")]
mod aarch64 {
    use core::arch::asm;

    /// The least line of a kind of cache in bytes, from its field of `CTR_EL0`: the logarithm of
    /// its length in words of 4 bytes.
    const fn line_bytes(field: u64) -> usize {
        4 << (field & 0xf)
    }

    pub(super) fn synchronize(start: usize, end: usize) {
        if start == end {
            return;
        }
        let ctr: u64;
        // SAFETY: CTR_EL0 can be read by programs on Linux: the kernel permits it or emulates it.
        unsafe { asm!("mrs {ctr}, ctr_el0", ctr = out(reg) ctr, options(nomem, nostack)) };
        let (data, instruction) = (line_bytes(ctr >> 16), line_bytes(ctr));
        for line in (start & !(data - 1)..end).step_by(data) {
            // SAFETY: the line holds bytes of the slice, which can be read; cleaning changes none.
            unsafe { asm!("dc cvau, {line}", line = in(reg) line, options(nostack)) };
        }
        // SAFETY: a barrier, for the lines to be clean before copies of them are dropped.
        unsafe { asm!("dsb ish", options(nostack)) };
        for line in (start & !(instruction - 1)..end).step_by(instruction) {
            // SAFETY: as for the data.
            unsafe { asm!("ic ivau, {line}", line = in(reg) line, options(nostack)) };
        }
        // SAFETY: barriers, for the copies to be gone before this CPU fetches again.
        unsafe { asm!("dsb ish", "isb", options(nostack)) };
    }
}
