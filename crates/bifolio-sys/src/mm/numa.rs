//! On which memory nodes a range lies: `mbind` and `get_mempolicy`.
//!
//! 1. A [`Node`] is below [`Node::COUNT_MAX`], so that its bit lies within a [`NodeMask`].
//!
//! It does not know which nodes the machine has: the kernel answers `EINVAL` for one that is not
//! there.
//!
//! # Safety
//!
//! Where pages lie does not change what they hold; only the pointers handed to the kernel need
//! care.
#![allow(unsafe_code, reason = "system calls with pointers")]

use core::ffi::c_ulong;
use core::ptr;

use rustix::io::Errno;

use crate::uapi::{
    MPOL_BIND, MPOL_DEFAULT, MPOL_F_ADDR, MPOL_INTERLEAVE, MPOL_LOCAL, MPOL_MF_MOVE,
    MPOL_MF_MOVE_ALL, MPOL_MF_STRICT, MPOL_PREFERRED, MPOL_PREFERRED_MANY,
    MPOL_WEIGHTED_INTERLEAVE, check,
};

const WORD_COUNT: usize = Node::COUNT_MAX as usize / 64;

/// A memory node, by the kernel's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Node(u16);

impl Node {
    /// The most nodes that a kernel for x86-64 or aarch64 can be configured for.
    pub const COUNT_MAX: u16 = 1024;

    /// The node of this number, or `None` from [`Node::COUNT_MAX`] on.
    #[must_use]
    pub const fn new(number: u16) -> Option<Self> {
        if number < Self::COUNT_MAX { Some(Self(number)) } else { None }
    }

    /// Its number.
    #[must_use]
    pub const fn get(self) -> u16 {
        self.0
    }
}

/// A set of memory nodes.
///
/// ```
/// use bifolio_sys::mm::{Node, NodeMask};
///
/// let node = Node::new(70).unwrap();
/// let mask = NodeMask::from_iter([node]);
/// assert!(mask.contains(node));
/// assert!(!mask.contains(Node::new(6).unwrap()));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct NodeMask([u64; WORD_COUNT]);

impl NodeMask {
    /// Whether it has the node.
    #[must_use]
    pub const fn contains(&self, node: Node) -> bool {
        self.0[node.0 as usize / 64] >> (node.0 % 64) & 1 == 1
    }
}

impl FromIterator<Node> for NodeMask {
    fn from_iter<I: IntoIterator<Item = Node>>(nodes: I) -> Self {
        let mut mask = Self::default();
        for Node(number) in nodes {
            mask.0[usize::from(number / 64)] |= 1 << (number % 64);
        }
        mask
    }
}

/// Where the kernel takes the pages of a range from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Policy {
    /// `MPOL_DEFAULT`: as the thread's own policy says.
    Default,
    /// `MPOL_PREFERRED`: from this node while it has free pages.
    Preferred(Node),
    /// `MPOL_BIND`: from these nodes only.
    Bind(NodeMask),
    /// `MPOL_INTERLEAVE`: from these nodes in turn.
    Interleave(NodeMask),
    /// `MPOL_LOCAL` (Linux 3.8): from the node of the CPU that first touches the page.
    Local,
    /// `MPOL_PREFERRED_MANY` (Linux 5.15): from these nodes while they have free pages.
    PreferredMany(NodeMask),
    /// `MPOL_WEIGHTED_INTERLEAVE` (Linux 6.9): from these nodes in turn, each by its weight.
    WeightedInterleave(NodeMask),
}

/// What [`mbind`] does about pages that lie elsewhere already.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Misplaced {
    /// They stay.
    #[default]
    Stay,
    /// They stay, and the call fails with [`Errno::IO`] (`MPOL_MF_STRICT`).
    Refuse,
    /// Those of this process alone move, and a page that cannot is [`Errno::IO`] (`MPOL_MF_MOVE |
    /// MPOL_MF_STRICT`).
    Move,
    /// Shared ones move too (`MPOL_MF_MOVE_ALL | MPOL_MF_STRICT`, with `CAP_SYS_NICE`).
    MoveShared,
}

/// Sets the policy for `len` bytes from `addr` on, which lies on a page boundary.
///
/// Safe, and `addr` is a number: the kernel checks the range, and pages that move keep their
/// contents.
///
/// # Errors
///
/// Those of mbind(2): [`Errno::FAULT`] for a range that is not mapped, [`Errno::INVAL`] for a node
/// that is not there or no node, [`Errno::IO`] as [`Misplaced`] says, [`Errno::PERM`] for
/// `MoveShared` without privilege, [`Errno::NOSYS`] without NUMA.
///
/// # References
///
/// [mbind(2)](https://man7.org/linux/man-pages/man2/mbind.2.html): Linux 2.6.7.
pub fn mbind(addr: usize, len: usize, policy: &Policy, misplaced: Misplaced) -> Result<(), Errno> {
    let (mode, nodes) = match *policy {
        Policy::Default => (MPOL_DEFAULT, None),
        Policy::Preferred(node) => (MPOL_PREFERRED, Some(NodeMask::from_iter([node]))),
        Policy::Bind(nodes) => (MPOL_BIND, Some(nodes)),
        Policy::Interleave(nodes) => (MPOL_INTERLEAVE, Some(nodes)),
        Policy::Local => (MPOL_LOCAL, None),
        Policy::PreferredMany(nodes) => (MPOL_PREFERRED_MANY, Some(nodes)),
        Policy::WeightedInterleave(nodes) => (MPOL_WEIGHTED_INTERLEAVE, Some(nodes)),
    };
    let flags = match misplaced {
        Misplaced::Stay => 0,
        Misplaced::Refuse => MPOL_MF_STRICT,
        Misplaced::Move => MPOL_MF_MOVE | MPOL_MF_STRICT,
        Misplaced::MoveShared => MPOL_MF_MOVE_ALL | MPOL_MF_STRICT,
    };
    let mask = nodes.as_ref().map_or(ptr::null(), |nodes| nodes.0.as_ptr());
    // The kernel looks at one bit less than it is told.
    let bits = if nodes.is_some() { usize::from(Node::COUNT_MAX) + 1 } else { 0 };
    // The kernel takes a long.
    let mode = c_ulong::from(mode);
    // SAFETY: mbind(2) reads `bits - 1` bits at `mask`, which are the whole of `nodes` (or none, of
    // null).
    let ret = unsafe { libc::syscall(libc::SYS_mbind, addr, len, mode, mask, bits, flags) };
    check(ret).map(drop)
}

/// The policy of the mapping at `addr`; `None` for a mode that is newer than this list.
///
/// # Errors
///
/// [`Errno::FAULT`] if nothing is mapped there, [`Errno::NOSYS`] without NUMA.
///
/// # References
///
/// [get_mempolicy(2)](https://man7.org/linux/man-pages/man2/get_mempolicy.2.html): Linux 2.6.7.
pub fn get_mempolicy(addr: usize) -> Result<Option<Policy>, Errno> {
    let mut mode = 0_u32;
    let mut nodes = NodeMask::default();
    let bits = usize::from(Node::COUNT_MAX) + 1;
    // SAFETY: get_mempolicy(2) writes an int at `mode` and at most `bits - 1` bits at `nodes`;
    // `addr` it only looks up.
    let ret = unsafe {
        libc::syscall(
            libc::SYS_get_mempolicy,
            &raw mut mode,
            nodes.0.as_mut_ptr(),
            bits,
            addr,
            c_ulong::from(MPOL_F_ADDR),
        )
    };
    check(ret)?;
    // The high bits of the mode are flags of set_mempolicy(2), which this crate never sets.
    Ok(Some(match mode & 0xff {
        MPOL_DEFAULT => Policy::Default,
        MPOL_PREFERRED => match (0..Node::COUNT_MAX).map(Node).find(|node| nodes.contains(*node)) {
            Some(node) => Policy::Preferred(node),
            // Before Linux 5.14, that is what MPOL_LOCAL became.
            None => Policy::Local,
        },
        MPOL_BIND => Policy::Bind(nodes),
        MPOL_INTERLEAVE => Policy::Interleave(nodes),
        MPOL_LOCAL => Policy::Local,
        MPOL_PREFERRED_MANY => Policy::PreferredMany(nodes),
        MPOL_WEIGHTED_INTERLEAVE => Policy::WeightedInterleave(nodes),
        _ => return Ok(None),
    }))
}
