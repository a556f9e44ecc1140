//! A child that is taken forward one instruction at a time.
//!
//! It marks where what it does begins and ends: by a breakpoint, and by an instruction that is
//! none. Its first thread is traced, its others run free. A system call counts as one instruction:
//! a kill at its entry is one before it, and a kill at its exit is one behind it, since the kernel
//! begins none for a process that is to die.
//!
//! # Safety
//!
//! ptrace is called as its man page asks, by the process that forked the child; the marks are two
//! instructions that trap.
#![allow(unsafe_code, reason = "traces children, and traps")]

use std::io::Error;
use std::ptr;

use crate::process::{Change, Child, Ending, Patience};

/// Why processes cannot be taken forward here, if so.
pub(crate) fn refused() -> Option<String> {
    if cfg!(not(target_arch = "x86_64")) {
        return Some("single steps and marks are written for x86-64".into());
    }
    let child = Child::fork(|| {
        follow_me();
        begin();
        end();
        1
    });
    match Tracee::begin(child) {
        Ok(mut tracee) => match tracee.step() {
            Step::Ended => None,
            other => Some(format!("a single step ends with {other:?}")),
        },
        Err(why) => Some(format!("ptrace: {why}")),
    }
}

/// Lets the parent trace this process.
pub(crate) fn follow_me() {
    // SAFETY: takes no pointers (ptrace(2), PTRACE_TRACEME).
    unsafe { libc::ptrace(libc::PTRACE_TRACEME, 0, 0, 0) };
}

/// The mark at the beginning.
#[inline(always)]
pub(crate) fn begin() {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: traps, and goes on behind it when the tracer says so.
    unsafe {
        std::arch::asm!("int3");
    }
}

/// The mark at the end.
#[inline(always)]
pub(crate) fn end() {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: traps, and goes on behind it when the tracer moves it there.
    unsafe {
        std::arch::asm!("ud2");
    }
}

/// The length of the instruction that marks the end.
const END_MARK_LEN: u64 = 2;
/// Where the registers stand in what the kernel shows of a child.
#[cfg(target_arch = "x86_64")]
const COUNTER: u64 = 8 * libc::RIP as u64;
#[cfg(target_arch = "x86_64")]
const DEBUG: u64 = std::mem::offset_of!(libc::user, u_debugreg) as u64;
/// Nothing is traced here.
#[cfg(not(target_arch = "x86_64"))]
const COUNTER: u64 = 0;
#[cfg(not(target_arch = "x86_64"))]
const DEBUG: u64 = 0;
const DEBUG_CONTROL: u64 = DEBUG + 7 * 8;

/// How a step ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// One instruction further.
    Done,
    /// At the mark of the end; no instruction was executed.
    Ended,
    /// In a system call, asleep until somebody wakes it.
    Asleep,
    /// Gone.
    Gone(Ending),
    /// Neither awake nor asleep for too long.
    Hangs,
}

/// A child between its two marks.
pub(crate) struct Tracee {
    child: Child,
    signal: i32,
}

impl Tracee {
    /// Lets it run up to its first mark.
    pub(crate) fn begin(mut child: Child) -> Result<Tracee, String> {
        let patience = Patience::new();
        loop {
            match child.change() {
                Change::Stopped(libc::SIGTRAP) => break,
                Change::Stopped(signal) => request(child.pid(), libc::PTRACE_CONT, signal)?,
                Change::Ended(ending) => return Err(format!("ended before it began: {ending:?}")),
                Change::Nothing if patience.is_over() => return Err(child.hang()),
                Change::Nothing => {}
            }
        }
        // SAFETY: the child is stopped, and data is flags (ptrace(2), PTRACE_SETOPTIONS).
        unsafe {
            libc::ptrace(libc::PTRACE_SETOPTIONS, child.pid(), 0, libc::PTRACE_O_EXITKILL);
        }
        Ok(Tracee { child, signal: 0 })
    }

    /// Executes one instruction, or as much of it as goes without sleeping.
    pub(crate) fn step(&mut self) -> Step {
        if let Err(why) = request(self.child.pid(), libc::PTRACE_SINGLESTEP, self.signal) {
            panic!("a stopped child takes no step: {why}");
        }
        self.signal = 0;
        self.wait()
    }

    /// Waits for the end of a step that was asleep.
    pub(crate) fn wait(&mut self) -> Step {
        /// So many looks in a row find it asleep where it will not wake up by itself.
        const LOOKS: u32 = 4;
        let patience = Patience::new();
        let mut asleep = 0;
        loop {
            match self.child.change() {
                Change::Stopped(libc::SIGTRAP) => return Step::Done,
                Change::Stopped(libc::SIGILL) => return Step::Ended,
                Change::Stopped(signal) => {
                    self.signal = signal;
                    return Step::Done;
                }
                Change::Ended(ending) => return Step::Gone(ending),
                Change::Nothing if patience.is_over() => return Step::Hangs,
                Change::Nothing => {
                    asleep = if self.child.sleeps() { asleep + 1 } else { 0 };
                    if asleep == LOOKS {
                        return Step::Asleep;
                    }
                }
            }
        }
    }

    /// Lets it run on to its end or its breakpoint, or until it falls asleep.
    pub(crate) fn run(&mut self) -> Step {
        if let Err(why) = request(self.child.pid(), libc::PTRACE_CONT, self.signal) {
            panic!("a stopped child does not run: {why}");
        }
        self.signal = 0;
        self.wait()
    }

    /// Puts a breakpoint before the instruction at this address: in its registers, since its other
    /// threads may come to that instruction, too.
    pub(crate) fn plant(&self, address: u64) -> Result<(), String> {
        self.poke(DEBUG, address)?;
        self.poke(DEBUG_CONTROL, 1)
    }

    /// Takes the breakpoint out.
    pub(crate) fn pull(&self) -> Result<(), String> {
        self.poke(DEBUG_CONTROL, 0)
    }

    /// The address of its next instruction.
    pub(crate) fn counter(&self) -> u64 {
        // SAFETY: the C library gives a word of its own memory for the answer (ptrace(2)).
        let word = unsafe { libc::ptrace(libc::PTRACE_PEEKUSER, self.child.pid(), COUNTER, 0) };
        assert!(word != -1, "a stopped child shows its registers: {}", Error::last_os_error());
        word.cast_unsigned()
    }

    /// Lets it run on behind the mark of its end, or out of wherever it is.
    pub(crate) fn release(self, ended: bool) -> Result<Child, String> {
        if ended {
            self.poke(COUNTER, self.counter() + END_MARK_LEN)?;
        }
        request(self.child.pid(), libc::PTRACE_DETACH, self.signal)?;
        Ok(self.child)
    }

    fn poke(&self, register: u64, word: u64) -> Result<(), String> {
        // SAFETY: writes to registers of a child (ptrace(2)), to no memory of this process.
        let done = unsafe { libc::ptrace(libc::PTRACE_POKEUSER, self.child.pid(), register, word) };
        if done == 0 { Ok(()) } else { Err(Error::last_os_error().to_string()) }
    }

    /// Kills it where it stands.
    pub(crate) fn kill(self) {
        self.child.kill();
    }

    pub(crate) fn hang(&self) -> String {
        self.child.hang()
    }
}

fn request(pid: libc::pid_t, what: libc::c_uint, signal: i32) -> Result<(), String> {
    let none = ptr::null_mut::<libc::c_void>();
    // SAFETY: `pid` is a stopped child that this process traces; data is a signal (ptrace(2)).
    let done = unsafe { libc::ptrace(what, pid, none, libc::c_long::from(signal)) };
    if done == 0 { Ok(()) } else { Err(Error::last_os_error().to_string()) }
}
