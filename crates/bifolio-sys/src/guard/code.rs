//! What a fault was: the signal and the `si_code` that the kernel sent, and what they mean.

use core::fmt;
use core::num::NonZeroU32;

/// An access that the kernel refused: how far it got, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Fault {
    /// Bytes done before the first byte that faulted; 0 for an operation on one word.
    pub done: usize,
    /// What the kernel said.
    pub code: FaultCode,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} after {} bytes", self.code, self.done)
    }
}

impl core::error::Error for Fault {}

/// The signal of a fault with its `si_code`.
///
/// # References
///
/// [sigaction(2)](https://man7.org/linux/man-pages/man2/sigaction.2.html), on `si_code` for SIGSEGV
/// and SIGBUS.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct FaultCode(NonZeroU32);

/// What a fault means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Cause {
    /// SIGBUS, `BUS_ADRERR`: mapped, but nothing is behind it: beyond the end of the file (since
    /// its truncation), not readable from the medium, no space left on it, or no huge page
    /// free.
    Unbacked,
    /// SIGSEGV, `SEGV_MAPERR`: no mapping at this address.
    NotMapped,
    /// SIGSEGV, `SEGV_ACCERR`: the mapping's protection forbids it.
    NoPermission,
    /// SIGSEGV, `SEGV_PKUERR`: a protection key forbids it.
    ProtectionKey,
    /// SIGBUS, `BUS_MCEERR_AR`: the memory is damaged.
    HardwarePoison,
    /// SIGBUS, `BUS_ADRALN`: an atomic access that is not aligned.
    Misaligned,
    /// Not an access at all: [`available`](super::available) is false.
    NoAssembly,
    /// Anything else; see [`FaultCode::signal`] and [`FaultCode::si_code`].
    Other,
}

impl FaultCode {
    /// The code when there is no assembly: no signal has number 0.
    #[cfg_attr(not(test), allow(dead_code, reason = "only builds without assembly return it"))]
    pub(super) const NO_ASSEMBLY: usize = 1 << 31;

    /// Takes apart what a guarded function returned: `None` for zero, which is success.
    #[inline]
    pub(super) const fn unpack(packed: usize) -> Option<Self> {
        // The dispatcher and NO_ASSEMBLY fill the low 32 bits only.
        match NonZeroU32::new(packed as u32) {
            None => None,
            Some(code) => Some(Self(code)),
        }
    }

    /// The code for a signal, as the dispatcher puts it into the second return register.
    pub(crate) const fn pack(signal: i32, si_code: i32) -> usize {
        (signal as u8 as usize) | (si_code as u8 as usize) << 8
    }

    /// The number of the signal: 7 (SIGBUS) or 11 (SIGSEGV), or 0 for [`Cause::NoAssembly`].
    #[must_use]
    pub const fn signal(self) -> i32 {
        (self.0.get() & 0xff) as i32
    }

    /// The `si_code` that came with the signal: positive, since the kernel sent it.
    #[must_use]
    pub const fn si_code(self) -> i32 {
        (self.0.get() >> 8 & 0xff) as i32
    }

    /// What it means.
    #[must_use]
    pub const fn cause(self) -> Cause {
        Cause::of(self.signal(), self.si_code())
    }
}

impl Cause {
    /// What a signal and its code mean, which are the kernel's, <asm-generic/siginfo.h>; libc has
    /// no names for some of them.
    pub(crate) const fn of(signal: i32, si_code: i32) -> Cause {
        match (signal, si_code) {
            (libc::SIGSEGV, 1) => Cause::NotMapped,
            (libc::SIGSEGV, 2) => Cause::NoPermission,
            (libc::SIGSEGV, 4) => Cause::ProtectionKey,
            (libc::SIGBUS, 1) => Cause::Misaligned,
            (libc::SIGBUS, 2) => Cause::Unbacked,
            (libc::SIGBUS, 4) => Cause::HardwarePoison,
            (0, _) => Cause::NoAssembly,
            _ => Cause::Other,
        }
    }
}

impl fmt::Debug for FaultCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FaultCode")
            .field("signal", &self.signal())
            .field("si_code", &self.si_code())
            .field("cause", &self.cause())
            .finish()
    }
}

impl fmt::Display for FaultCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.cause() {
            Cause::Unbacked => "nothing is behind this part of the mapping",
            Cause::NotMapped => "no memory is mapped there",
            Cause::NoPermission => "the mapping's protection forbids it",
            Cause::ProtectionKey => "a protection key forbids it",
            Cause::HardwarePoison => "the memory is damaged",
            Cause::Misaligned => "the address is not aligned",
            Cause::NoAssembly => "this build has no guarded access",
            Cause::Other => {
                return write!(f, "signal {} with si_code {}", self.signal(), self.si_code());
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use linux_raw_sys::general;

    use super::*;

    #[test]
    fn codes_survive_packing() {
        for signal in [libc::SIGBUS, libc::SIGSEGV] {
            for si_code in 1..=128 {
                let code = FaultCode::unpack(FaultCode::pack(signal, si_code)).expect("nonzero");
                assert_eq!((code.signal(), code.si_code()), (signal, si_code));
            }
        }
        assert_eq!(FaultCode::unpack(0), None);
    }

    #[test]
    fn causes_are_those_of_the_manual() {
        let cause = |signal, si_code| {
            FaultCode::unpack(FaultCode::pack(signal, si_code)).map(FaultCode::cause)
        };
        let segv = |si_code: u32| cause(libc::SIGSEGV, si_code as i32);
        assert_eq!(segv(general::SEGV_MAPERR), Some(Cause::NotMapped));
        assert_eq!(segv(general::SEGV_ACCERR), Some(Cause::NoPermission));
        assert_eq!(segv(general::SEGV_PKUERR), Some(Cause::ProtectionKey));
        assert_eq!(cause(libc::SIGBUS, libc::BUS_ADRERR), Some(Cause::Unbacked));
        assert_eq!(cause(libc::SIGBUS, libc::BUS_ADRALN), Some(Cause::Misaligned));
        assert_eq!(cause(libc::SIGBUS, libc::BUS_MCEERR_AR), Some(Cause::HardwarePoison));
        assert_eq!(cause(libc::SIGBUS, libc::BUS_OBJERR), Some(Cause::Other));
        // The kernel says SI_KERNEL for an address that is not canonical.
        assert_eq!(cause(libc::SIGSEGV, libc::SI_KERNEL), Some(Cause::Other));
        let no_assembly = FaultCode::unpack(FaultCode::NO_ASSEMBLY).map(FaultCode::cause);
        assert_eq!(no_assembly, Some(Cause::NoAssembly));
    }
}
