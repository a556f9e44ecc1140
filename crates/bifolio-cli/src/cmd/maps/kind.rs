//! The kinds that mappings are grouped by: what people call the parts of a program's memory.

use bifolio::memory::Purpose;
use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use std::fmt;

/// A kind of mapping, in the order in which they are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Kind {
    /// The program's own file
    Program,
    /// Shared libraries and the loader
    Libraries,
    /// Files that are data
    Files,
    /// What brk(2) gives to malloc
    Heap,
    /// Stacks of threads, as far as the kernel tells
    Stacks,
    /// Other private memory: large allocations, heaps of languages
    Anonymous,
    /// Memory that other processes can map
    SharedMemory,
    /// Huge pages of the pool
    HugePages,
    /// Devices
    Devices,
    /// Pages of the kernel: vdso, vvar
    Kernel,
    /// Addresses that permit nothing
    Reserved,
    /// What the kernel's words do not tell
    Unknown,
}

impl Kind {
    pub(super) const ALL: [Kind; 12] = [
        Kind::Program,
        Kind::Libraries,
        Kind::Files,
        Kind::Heap,
        Kind::Stacks,
        Kind::Anonymous,
        Kind::SharedMemory,
        Kind::HugePages,
        Kind::Devices,
        Kind::Kernel,
        Kind::Reserved,
        Kind::Unknown,
    ];

    pub(super) fn of(purpose: Purpose) -> Kind {
        match purpose {
            Purpose::Program(_) => Kind::Program,
            Purpose::Library(_) => Kind::Libraries,
            Purpose::File => Kind::Files,
            Purpose::Heap => Kind::Heap,
            Purpose::MainStack | Purpose::ThreadStack(_) => Kind::Stacks,
            Purpose::Anonymous => Kind::Anonymous,
            Purpose::SharedAnonymous
            | Purpose::SharedMemory
            | Purpose::MemoryFile
            | Purpose::SystemV
            | Purpose::Secret => Kind::SharedMemory,
            Purpose::HugePages => Kind::HugePages,
            Purpose::Device => Kind::Devices,
            Purpose::Kernel => Kind::Kernel,
            Purpose::Reserved => Kind::Reserved,
            _ => Kind::Unknown,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Kind::Program => "program",
            Kind::Libraries => "libraries",
            Kind::Files => "files",
            Kind::Heap => "heap",
            Kind::Stacks => "stacks",
            Kind::Anonymous => "anonymous",
            Kind::SharedMemory => "shared memory",
            Kind::HugePages => "huge pages",
            Kind::Devices => "devices",
            Kind::Kernel => "kernel",
            Kind::Reserved => "reserved",
            Kind::Unknown => "unknown",
        })
    }
}
