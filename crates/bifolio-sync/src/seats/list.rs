//! Who is there, for tools: every seat that is taken, or was by somebody who died.

use core::sync::atomic::Ordering::SeqCst;
use std::string::String;
use std::vec::Vec;

use super::Seats;
use crate::owner::Owner;

/// How a process that took a seat is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// It runs, sleeps or is stopped.
    Alive,
    /// The kernel has begun to end it, and threads of it may still run.
    Dying,
    /// It has ended, and nobody has sat down in its place since.
    Dead,
}

/// Who sits in a seat, as it said of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Sitter {
    /// The seat and its generation.
    pub owner: Owner,
    /// The number of the process, valid in its own PID namespace.
    pub pid: u32,
    /// The number of that namespace, as the links under `/proc/PID/ns` show it.
    pub pid_namespace: u64,
    /// When the process began, in clock ticks since the machine started: field 22 of
    /// `/proc/PID/stat`.
    pub start_ticks: u64,
    /// The name of its first thread, up to 15 bytes.
    pub name: String,
    /// How it is.
    pub state: State,
}

impl Seats {
    /// Who sits, and who died sitting. It takes no seat.
    ///
    /// Those who sit down or give their seat up meanwhile may be missing.
    #[must_use]
    pub fn list(&self) -> Vec<Sitter> {
        let numbered = (0..).zip(self.table.seats());
        numbered.filter_map(|(number, seat)| self.sitter(number, seat)).collect()
    }

    fn sitter(&self, number: u32, seat: &super::table::Seat) -> Option<Sitter> {
        let generation = seat.generation.load(SeqCst);
        let owner = Owner::new(number, generation)?;
        let who = seat.who(generation)?;
        let has_keeper = seat.is_watched();
        let state = match (self.is_proved_dead(owner), has_keeper) {
            (true, _) => State::Dead,
            (false, true) => State::Alive,
            (false, false) => State::Dying,
        };
        let name = who.itself.name;
        let name = name.split(|&byte| byte == 0).next().unwrap_or_default();
        Some(Sitter {
            owner,
            pid: who.pid,
            pid_namespace: who.pid_namespace,
            start_ticks: who.itself.start_ticks,
            name: String::from_utf8_lossy(name).into_owned(),
            state,
        })
    }
}
