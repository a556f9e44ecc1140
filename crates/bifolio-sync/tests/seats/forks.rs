//! What becomes of a seat by fork and exec.

use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use bifolio_sync::{Peers, State};

use crate::ground::{Child, Ground, outlive_parent, sleep_for_ever, until};

#[test]
fn a_child_is_somebody_else() {
    let ground = Ground::new(4);
    let seats = ground.seats();
    let parent = seats.me().unwrap();
    let child = Child::new(|| {
        assert!(!seats.is_dead(parent));
        let me = ground.publish(&seats, 0);
        assert_ne!(me, parent);
        assert_eq!(seats.me(), Ok(me));
        until(|| ground.word(1).load(SeqCst) == 1);
        assert!(!seats.is_dead(parent) && !seats.is_dead(me));
    });
    let other = ground.published(0);
    assert_eq!(seats.me(), Ok(parent));
    assert!(!seats.is_dead(other));
    ground.word(1).store(1, SeqCst);
    assert_eq!(child.wait(), 0);
    assert!(seats.is_dead(other) && !seats.is_dead(parent));
}

/// The child inherits the descriptor of its parent's lock, and has to close it.
#[test]
fn a_child_that_lives_does_not_keep_its_parent_alive() {
    let ground = Ground::new(4);
    let seats = ground.seats();
    let parent = Child::new(|| {
        ground.publish(&seats, 0);
        let grandchild = Child::new(|| {
            outlive_parent();
            let pid = std::process::id();
            ground.word(1).store(pid.into(), SeqCst);
            until(|| ground.word(2).load(SeqCst) == 1);
            ground.word(3).store(1, SeqCst);
        });
        std::mem::forget(grandchild);
        sleep_for_ever();
    });
    let owner = ground.published(0);
    until(|| ground.word(1).load(SeqCst) != 0);
    assert!(!seats.is_dead(owner));
    parent.kill();
    until(|| seats.is_dead(owner));
    assert_eq!(ground.word(3).load(SeqCst), 0);
    ground.word(2).store(1, SeqCst);
    until(|| ground.word(3).load(SeqCst) == 1);
}

#[test]
fn who_calls_exec_is_dead_though_the_process_lives() {
    let ground = Ground::new(4);
    let seats = ground.seats();
    let child = Child::new(|| {
        ground.publish(&seats, 0);
        until(|| ground.word(1).load(SeqCst) == 1);
        let error = Command::new("sleep").arg("1000").exec();
        panic!("{error}");
    });
    let owner = ground.published(0);
    let life = seats.life(owner).unwrap();
    ground.word(1).store(1, SeqCst);
    while bifolio_sys::futex::wait(life.word, life.value, None).is_ok() {}
    until(|| seats.is_dead(owner));
    child.kill();
    assert_eq!(child.wait(), libc::SIGKILL);
}

#[test]
fn any_thread_may_call_exec() {
    let ground = Ground::new(4);
    let seats = ground.seats();
    let child = Child::new(|| {
        ground.publish(&seats, 0);
        let exec = || panic!("{}", Command::new("sleep").arg("1000").exec());
        std::thread::scope(|scope| {
            scope.spawn(exec);
        });
    });
    let owner = ground.published(0);
    until(|| seats.is_dead(owner));
    child.kill();
    assert_eq!(child.wait(), libc::SIGKILL);
}

/// A thread takes seats and gives them up while another forks: every child finds the locks free,
/// takes a seat itself, and keeps nobody else's alive.
#[test]
fn forks_between_any_two_steps_of_other_threads() {
    let ground = Ground::new(16);
    let steady = ground.seats();
    let parent = Child::new(|| {
        let me = steady.me().unwrap();
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(SeqCst) {
                    let seats = ground.seats();
                    assert!(!seats.is_dead(seats.me().unwrap()));
                }
            });
            for round in 0..80 {
                let child = Child::new(|| {
                    if round % 2 == 0 {
                        assert_ne!(steady.me().unwrap(), me);
                    }
                    assert!(!steady.is_dead(me));
                });
                assert_eq!(child.wait(), 0);
            }
            done.store(true, SeqCst);
        });
        assert_eq!(steady.me(), Ok(me));
    });
    assert_eq!(parent.wait(), 0);
    let all: Vec<_> = (0..16).map(|_| ground.seats()).collect();
    assert!(all.iter().all(|seats| seats.me().is_ok()), "a seat is kept by nobody");
}

/// The system call alone runs no handlers: the child has the descriptor of its parent's lock until
/// it takes a seat itself.
#[test]
fn a_child_of_the_bare_system_call_is_somebody_else() {
    let ground = Ground::new(4);
    let seats = ground.seats();
    let parent = Child::new(|| {
        let me = ground.publish(&seats, 0);
        let child = Child::cloned(|| {
            outlive_parent();
            ground.word(1).store(1, SeqCst);
            until(|| ground.word(2).load(SeqCst) == 1);
            assert_ne!(ground.publish(&seats, 3), me);
            sleep_for_ever();
        });
        ground.word(4).store(child.pid as u64, SeqCst);
        std::mem::forget(child);
        sleep_for_ever();
    });
    let owner = ground.published(0);
    until(|| ground.word(1).load(SeqCst) == 1 && ground.word(4).load(SeqCst) != 0);
    parent.kill();
    parent.wait();
    // It has ended, but that is not proved.
    assert!(!seats.is_dead(owner));
    assert_eq!(seats.list()[0].state, State::Dying);
    ground.word(2).store(1, SeqCst);
    let child = ground.published(3);
    until(|| seats.is_dead(owner));
    assert!(!seats.is_dead(child));
    ground.kill_stranger(4);
    until(|| seats.is_dead(child));
}
