//! Which seat one gets, and what the table says.

use std::collections::HashSet;

use bifolio_sync::{Owner, Peers, State};
use bifolio_sys::Errno;

use crate::ground::{Child, Ground, sleep_for_ever, until};

/// Where the generation of a seat lies in the table.
fn generation_of(seat: usize) -> usize {
    64 + 64 * seat + 4
}

#[test]
fn a_seat_whose_generations_are_used_up_is_given_to_nobody() {
    let ground = Ground::new(2);
    for seat in 0..2 {
        let word = ground.table_word(generation_of(seat));
        word.store(Owner::GENERATION_MAX - 1, std::sync::atomic::Ordering::SeqCst);
    }
    let owners: Vec<_> = (0..2).map(|_| ground.seats().me().unwrap()).collect();
    assert_eq!(owners[0].generation(), Owner::GENERATION_MAX);
    assert_ne!(owners[0], owners[1]);
    assert_eq!(ground.seats().me().unwrap_err().errno(), Errno::USERS);
    let seats = ground.seats();
    assert!(owners.iter().all(|&owner| seats.is_dead(owner)));
}

#[test]
fn the_least_used_seat_is_taken_first() {
    let ground = Ground::new(8);
    let owners: HashSet<_> = (0..16).map(|_| ground.seats().me().unwrap().bits()).collect();
    assert_eq!(owners.len(), 16);
    let generations = owners.iter().map(|&bits| Owner::in_word(bits).unwrap().generation());
    assert_eq!(generations.max(), Some(2));
}

#[test]
fn the_list_says_who_sits_and_who_died() {
    let ground = Ground::new(8);
    let seats = ground.seats();
    assert_eq!(seats.list(), []);
    let me = seats.me().unwrap();
    let child = Child::new(|| {
        ground.publish(&seats, 0);
        sleep_for_ever();
    });
    let other = ground.published(0);
    let list = seats.list();
    let find = |owner| list.iter().find(|one| one.owner == owner).unwrap();
    assert_eq!(list.len(), 2);
    assert_eq!((find(me).pid, find(me).state), (std::process::id(), State::Alive));
    assert_eq!((find(other).pid, find(other).state), (child.pid as u32, State::Alive));
    assert_eq!(find(other).pid_namespace, find(me).pid_namespace);
    assert!(find(other).start_ticks >= find(me).start_ticks);
    let name = std::fs::read_to_string("/proc/self/comm").unwrap();
    assert_eq!(find(me).name, name.trim_end());
    child.kill();
    until(|| seats.is_dead(other));
    let state = |owner| seats.list().into_iter().find(|one| one.owner == owner).unwrap().state;
    assert_eq!((state(other), state(me)), (State::Dead, State::Alive));
    // Who leaves is listed no more.
    drop(seats);
    assert_eq!(ground.seats().list().len(), 1);
}
