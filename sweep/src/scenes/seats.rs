//! Seats: taken, and given up.
//!
//! # Safety
//!
//! Reads the words of the table, and extends the life of what lasts as long as the process.
#![allow(unsafe_code, reason = "reads the table of seats")]

use bifolio_sync::{Peers, Seats, State};

use super::ground::{SEATS, open};
use crate::place::{Board, LIVING, Place};
use crate::scene::Scene;

/// Those who have a seat, and the table.
struct Table {
    place: &'static Place,
    seats: Option<Seats>,
}

impl Table {
    fn attach(place: &Place) -> Table {
        // SAFETY: the child that calls this ends without dropping the place.
        let place = unsafe { &*std::ptr::from_ref(place) };
        Table { place, seats: Some(open(place)) }
    }

    fn sit_down(&self) {
        self.seats.as_ref().expect("seats").me().expect("a seat");
    }

    /// Nobody sits but this process; how many have ever sat.
    fn count(&self) -> Result<u64, String> {
        let seats = self.seats.as_ref().expect("seats");
        let me = seats.me().map_err(|why| why.to_string())?;
        for sitter in seats.list() {
            let lives = sitter.owner == me || self.place.board().is_raised(LIVING);
            let expected = if lives { State::Alive } else { State::Dead };
            if sitter.state != expected || seats.is_dead(sitter.owner) == lives {
                return Err(format!("{:?} is {:?}", sitter.owner, sitter.state));
            }
        }
        // The head takes 64 bytes, and each seat; its second word is its generation.
        let words = self.place.memory().cast_const().cast::<u32>();
        let generations = (0..SEATS as usize).map(|seat| words.wrapping_add(16 * (1 + seat) + 1));
        // SAFETY: words of the table, which the mapping holds; others may change them.
        Ok(generations.map(|word| u64::from(unsafe { word.read_volatile() })).sum())
    }
}

/// Taking a seat. The survivor takes one before it is watched: that is thousands of instructions.
pub(crate) struct SitDown(Table);

impl Scene for SitDown {
    const NAME: &'static str = "seat-take";
    const VARIES: bool = true;
    const BY_MANY: bool = true;

    fn attach(place: &Place) -> Self {
        SitDown(Table::attach(place))
    }

    fn operate(&mut self) {
        self.0.sit_down();
    }

    fn arrive(&mut self, _: &Board) {
        self.0.sit_down();
    }

    fn recover(&mut self) {}

    fn work(&mut self, _: usize) {
        self.0.seats = Some(open(self.0.place));
        self.0.sit_down();
        self.0.seats = None;
    }

    fn check(&mut self) -> Result<u64, String> {
        self.0.count()
    }
}

/// Giving it up; the survivor takes one, and gives it up.
pub(crate) struct GetUp(Table);

impl Scene for GetUp {
    const NAME: &'static str = "seat-give-up";
    const VARIES: bool = true;

    fn attach(place: &Place) -> Self {
        GetUp(Table::attach(place))
    }

    fn settle(&mut self, _: &Board) {
        self.0.sit_down();
    }

    fn operate(&mut self) {
        self.0.seats = None;
    }

    fn arrive(&mut self, _: &Board) {
        self.0.sit_down();
    }

    fn recover(&mut self) {}

    fn check(&mut self) -> Result<u64, String> {
        self.0.count()
    }
}
