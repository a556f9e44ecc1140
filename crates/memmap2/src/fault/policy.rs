//! The policy of the process: one byte, set by the environment or by a call.

use bifolio_map::features::is_elevated;
use std::sync::atomic::{AtomicU8, Ordering};

/// The variable that chooses the policy: `abort` or `zero`. A program that has more rights than who
/// started it (set-user-ID) does not heed it.
pub const VARIABLE: &str = "BIFOLIO_MEMMAP2_FAULT";

/// What becomes of a fault under a map; [the module](crate::bifolio) tells more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum OnFault {
    /// It is told on the standard error, and then does what it would have done.
    #[default]
    Abort,
    /// Zeros come in the place of the page, and the fault is recorded; what cannot be repaired so
    /// is told, and then does what it would have done.
    Zero,
}

const UNSET: u8 = 0;
const ABORT: u8 = 1;
const ZERO: u8 = 2;

static POLICY: AtomicU8 = AtomicU8::new(UNSET);

impl OnFault {
    const fn number(self) -> u8 {
        match self {
            OnFault::Abort => ABORT,
            OnFault::Zero => ZERO,
        }
    }

    const fn from_number(number: u8) -> OnFault {
        if number == ZERO { OnFault::Zero } else { OnFault::Abort }
    }
}

/// The policy that holds.
///
/// # Examples
///
/// ```
/// use memmap2::bifolio::{OnFault, on_fault, set_on_fault};
///
/// set_on_fault(OnFault::Zero);
/// assert_eq!(on_fault(), OnFault::Zero);
/// ```
pub fn on_fault() -> OnFault {
    settle();
    now()
}

/// Sets the policy for all maps of the process, those that exist too, whatever the environment
/// says.
pub fn set_on_fault(policy: OnFault) {
    POLICY.store(policy.number(), Ordering::SeqCst);
}

/// The policy, without a look at the environment. Async-signal-safe.
pub(super) fn now() -> OnFault {
    OnFault::from_number(POLICY.load(Ordering::SeqCst))
}

/// Takes the policy from the environment, unless there is one.
#[inline]
pub(crate) fn settle() {
    // Relaxed: the byte is all that there is to see.
    if POLICY.load(Ordering::Relaxed) == UNSET {
        settle_by_environment();
    }
}

#[cold]
fn settle_by_environment() {
    let value = std::env::var_os(VARIABLE).filter(|_| !is_elevated());
    let policy = match value.as_ref().map(|value| value.as_encoded_bytes()) {
        None | Some(b"" | b"abort") => OnFault::Abort,
        Some(b"zero") => OnFault::Zero,
        Some(_) => OnFault::Abort,
    };
    // Of threads that come here at once, one sets it; a call that came meanwhile stays.
    let is_first =
        POLICY.compare_exchange(UNSET, policy.number(), Ordering::SeqCst, Ordering::SeqCst).is_ok();
    let is_known = |value: &std::ffi::OsString| ["", "abort", "zero"].iter().any(|it| value == it);
    if let Some(value) = value.filter(|value| is_first && !is_known(value)) {
        let value = value.display();
        eprintln!("memmap2: {VARIABLE}={value}: it takes abort or zero, and abort holds now");
    }
}
