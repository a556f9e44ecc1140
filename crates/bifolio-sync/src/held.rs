//! What every guard knows: whose it is, and how it leaves behind what it guards.

use crate::error::Result;
use crate::owner::Owner;
use crate::peers::Peers;
use crate::raw::Taken;

/// Something that this process holds.
pub(crate) struct Held<'a, P: Peers> {
    peers: &'a P,
    me: Owner,
    inconsistent: bool,
    panicking: bool,
}

impl<'a, P: Peers> Held<'a, P> {
    #[inline]
    pub(crate) fn new(peers: &'a P, me: Owner, taken: Taken) -> Held<'a, P> {
        Held { peers, me, inconsistent: taken == Taken::Inconsistent, panicking: panicking() }
    }

    #[inline]
    pub(crate) fn peers(&self) -> &'a P {
        self.peers
    }

    #[inline]
    pub(crate) fn me(&self) -> Owner {
        self.me
    }

    /// Whether this process is the one that took it, and not its child by fork(2).
    #[inline]
    pub(crate) fn is_mine(&self) -> bool {
        self.peers.is_me(self.me)
    }

    pub(crate) fn repaired(&mut self) {
        self.inconsistent = false;
        // A panic that is under way has been seen by whoever repairs.
        self.panicking = panicking();
    }

    pub(crate) fn is_inconsistent(&self) -> bool {
        self.inconsistent
    }

    /// Whether the next one must be warned: nobody repaired it, or a panic began while it was held.
    #[inline]
    pub(crate) fn leaves_inconsistent(&self) -> bool {
        self.inconsistent || panicking() && !self.panicking
    }
}

/// Whether this thread unwinds; without std nobody knows.
#[inline]
fn panicking() -> bool {
    #[cfg(feature = "std")]
    return std::thread::panicking();
    #[cfg(not(feature = "std"))]
    return false;
}

/// Makes sure that what is to be shared lies where it is.
///
/// # Panics
///
/// It does not.
#[inline]
#[track_caller]
pub(crate) fn inside<T>(peers: &impl Peers, what: &T) {
    let start = core::ptr::from_ref(what).cast::<u8>();
    if !peers.contains(start, size_of::<T>()) {
        outside(start);
    }
}

/// The same for what others may sleep on, before they are to be woken: whoever is killed before it
/// wakes them must be somebody whose death is noticed.
#[inline]
#[track_caller]
pub(crate) fn expect_to_wake<T>(peers: &impl Peers, what: &T) -> Result<()> {
    inside(peers, what);
    peers.me().map(drop)
}

#[cold]
#[track_caller]
fn outside(start: *const u8) -> ! {
    panic!("what lies at {start:?} is not in the memory that the peers share")
}
