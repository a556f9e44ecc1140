//! Attacks on the proof: processes that write until they are gone, that die in crowds, or while
//! they come and go.

use std::sync::atomic::Ordering::SeqCst;
use std::time::{SystemTime, UNIX_EPOCH};

use bifolio_sync::{Owner, Peers, State};
use bifolio_sys::Errno;
use bifolio_sys::futex::{wait, wait_any};

use crate::ground::{Area, Child, Ground, sleep_for_ever, until};

/// Numbers that look random, from a seed that is printed; `BIFOLIO_SEED` repeats a run.
struct Random(u64);

impl Random {
    fn new() -> Random {
        let given = std::env::var("BIFOLIO_SEED").ok().and_then(|seed| seed.parse().ok());
        let now = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64;
        let seed = given.unwrap_or_else(now);
        println!("BIFOLIO_SEED={seed}");
        Random(seed | 1)
    }

    /// One below `bound`.
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

/// Eight threads write to the memory until the kernel has taken the last from the CPU. As soon as
/// the process is dead to another, nothing is written any more.
#[test]
fn nothing_is_written_after_the_proof() {
    let ground = Ground::new(4);
    let seats = ground.seats();
    for round in 0..60 {
        let child = Child::new(|| {
            // Much to give back, so that the process takes its time to end.
            let mut memory = vec![0_u8; if round % 4 == 0 { 64 << 20 } else { 1 << 20 }];
            memory.iter_mut().step_by(4096).for_each(|byte| *byte = 1);
            ground.publish(&seats, 0);
            std::thread::scope(|scope| {
                for thread in 0..8 {
                    let counter = ground.word(1 + thread);
                    scope.spawn(move || {
                        loop {
                            counter.fetch_add(1, SeqCst);
                        }
                    });
                }
            });
            drop(memory);
        });
        let owner = ground.published(0);
        let counters = || (1..9).map(|index| ground.word(index).load(SeqCst)).collect::<Vec<_>>();
        until(|| counters().iter().all(|&count| count > 0));
        child.kill();
        until(|| seats.is_dead(owner));
        let last = counters();
        for _ in 0..200 {
            assert_eq!(counters(), last);
            std::thread::yield_now();
        }
        child.wait();
        assert_eq!(counters(), last);
        (1..9).for_each(|index| ground.word(index).store(0, SeqCst));
    }
}

/// A system call that fills the memory runs on after the kill: the process is not dead before that
/// has ended, although the kernel has marked its life long since.
#[test]
fn what_the_kernel_still_writes_for_it_comes_before_the_proof() {
    const LEN: usize = 32 << 20;
    let ground = Ground::new(4);
    let seats = ground.seats();
    let (area, sources) = (Area::new(LEN), [Area::new(LEN), Area::new(LEN)]);
    sources[1].fill(1);
    let mut late = 0;
    for _ in 0..40 {
        let child = Child::new(|| {
            ground.publish(&seats, 0);
            loop {
                sources.iter().for_each(|source| area.fill_from(source));
                ground.word(1).fetch_add(1, SeqCst);
            }
        });
        let owner = ground.published(0);
        until(|| ground.word(1).swap(0, SeqCst) > 0);
        let life = seats.life(owner).unwrap();
        child.kill();
        while wait(life.word, life.value, None) != Err(Errno::AGAIN) {}
        let marked = area.sample();
        until(|| seats.is_dead(owner));
        let last = area.sample();
        late += usize::from(marked != last);
        child.wait();
        assert!(area.sample() == last);
    }
    println!("{late} of 40 wrote after the mark of the kernel");
}

/// Two processes that die together could take each other's notice; a third hears of both, and so
/// does it of ten.
#[test]
fn who_lives_hears_of_all_who_die_together() {
    let ground = Ground::new(32);
    let seats = ground.seats();
    seats.me().unwrap();
    for round in 0..30 {
        let count = if round % 2 == 0 { 2 } else { 10 };
        let sleep = |index: usize| {
            let me = ground.publish(&seats, index);
            ground.word(100 + index).store(me.bits().into(), SeqCst);
            // Its threads sleep on the lives of all, and take what wakes them to the grave.
            std::thread::scope(|scope| {
                for other in (0..count).filter(|&other| other != index) {
                    let (ground, seats) = (&ground, &seats);
                    scope.spawn(move || {
                        until(|| ground.word(100 + other).load(SeqCst) != 0);
                        let bits = ground.word(100 + other).load(SeqCst) as u32;
                        let owner = Owner::in_word(bits).unwrap();
                        loop {
                            let words: Vec<_> = seats.life(owner).into_iter().collect();
                            if words.is_empty() || wait_any(&words, None).is_ok() {
                                sleep_for_ever();
                            }
                        }
                    });
                }
            });
        };
        let children: Vec<_> = (0..count).map(|index| Child::new(|| sleep(index))).collect();
        let owners: Vec<_> = (0..count).map(|index| ground.published(index)).collect();
        children.iter().for_each(Child::kill);
        // No time limits it: without a notice that gets through it hangs.
        loop {
            let deaths = seats.deaths();
            if owners.iter().all(|&owner| seats.is_dead(owner)) {
                break;
            }
            let _ = wait_any(&[deaths], None);
        }
        drop(children);
        (0..count).for_each(|index| ground.word(100 + index).store(0, SeqCst));
    }
}

/// Processes take seats and give them up 200 times while others are killed in the middle of that.
#[test]
fn seats_come_and_go_while_others_are_killed() {
    let ground = Ground::new(8);
    let mut random = Random::new();
    let come_and_go = |count: u64| {
        for _ in 0..count {
            let seats = ground.seats();
            let me = seats.me().unwrap();
            assert!(!seats.is_dead(me));
            ground.word(0).fetch_add(1, SeqCst);
        }
    };
    let steady = Child::new(|| come_and_go(200));
    let watching = ground.seats();
    let mut dead = 0;
    for _ in 0..60 {
        let child = Child::new(|| come_and_go(u64::MAX));
        let (start, more) = (ground.word(0).load(SeqCst), random.below(6));
        until(|| ground.word(0).load(SeqCst) >= start + more);
        for _ in 0..random.below(2000) {
            std::hint::spin_loop();
        }
        child.kill();
        child.wait();
        dead += watching.list().iter().filter(|one| one.state == State::Dead).count();
    }
    assert_eq!(steady.wait(), 0);
    assert!(dead > 0, "nobody was killed sitting");
    // All have gone, and every seat can be taken.
    let all: Vec<_> = (0..8).map(|_| ground.seats()).collect();
    let owners: Vec<_> = all.iter().map(|seats| seats.me().unwrap()).collect();
    assert!(owners.iter().all(|&owner| !watching.is_dead(owner)));
}

/// As many as a table can have: each has a seat of its own, the next gets none, and the death of
/// any is heard.
#[test]
fn a_table_of_1024_seats_is_filled() {
    let ground = Ground::new(Owner::SEATS_MAX);
    let handles: Vec<_> = (0..1000).map(|_| ground.seats()).collect();
    let child = Child::new(|| {
        let more: Vec<_> = (0..24).map(|_| ground.seats()).collect();
        for (index, seats) in more.iter().enumerate() {
            ground.publish(seats, index);
        }
        sleep_for_ever();
    });
    let theirs: Vec<_> = (0..24).map(|index| ground.published(index)).collect();
    let own: Vec<_> = handles.iter().map(|seats| seats.me().unwrap()).collect();
    let mut seats: Vec<_> = own.iter().chain(&theirs).map(|owner| owner.seat()).collect();
    seats.sort_unstable();
    assert_eq!(seats, (0..1024).collect::<Vec<_>>());
    let late = ground.seats();
    assert_eq!(late.me().unwrap_err().errno(), Errno::USERS);
    assert_eq!(late.list().len(), 1024);
    child.kill();
    loop {
        let deaths = late.deaths();
        if theirs.iter().all(|&owner| late.is_dead(owner)) {
            break;
        }
        let _ = wait_any(&[deaths], None);
    }
    assert!(own.iter().all(|&owner| !late.is_dead(owner)));
    assert!(theirs.iter().any(|owner| late.me().unwrap().seat() == owner.seat()));
}
