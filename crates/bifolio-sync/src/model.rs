//! Processes of the model checker: threads that can be killed at each step, and whose orderings can
//! be weakened one by one.
//!
//! loom runs the shipped source of the locks in every interleaving of a few threads. Each operation
//! on a word is a step (`word`). A process is a thread that is unwound at the step that its fuse
//! says, after which nothing of it runs but what the kernel would do: its death is proved and told.
//!
//! Whether the models would notice a mistake is tried, too: [`every_ordering_matters`] weakens the
//! orderings one by one, and each time a model must fail.
//!
//! # Safety
//!
//! [`Crowd`] stands for the peers of a lock.
#![allow(unsafe_code, reason = "implements an unsafe trait for the model")]

pub(crate) mod word;

#[cfg(test)]
mod mutex;
#[cfg(test)]
mod rounds;
#[cfg(test)]
mod rwlock;
#[cfg(test)]
mod signals;

use std::boxed::Box;
use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, Location, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::vec::Vec;

use bifolio_sys::Errno;
use bifolio_sys::futex::{self, Expect};
use loom::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst};

use crate::error::{Error, Operation, Result};
use crate::owner::Owner;
use crate::peers::Peers;

type Site = &'static Location<'static>;

/// What a process unwinds with where it is killed.
struct Killed;

// All threads of a model run on one thread of the system, and each test on one of its own.
std::thread_local! {
    /// The operations that a model came through.
    static SITES: RefCell<BTreeSet<Site>> = const { RefCell::new(BTreeSet::new()) };
    /// The operation that is relaxed.
    static WEAKENED: Cell<Option<Site>> = const { Cell::new(None) };
    /// Whether a process was killed.
    static BURNT: Cell<bool> = const { Cell::new(false) };
}

loom::thread_local! {
    /// Who this process is.
    static ME: Cell<Option<Owner>> = Cell::new(None);
    /// How many steps it has left.
    static FUSE: Cell<Option<u32>> = Cell::new(None);
    /// Whether its last change of a word was SeqCst.
    static IN_ORDER: Cell<bool> = Cell::new(false);
}

/// A step of this process, at which it may be killed.
pub(crate) fn step() {
    // Who unwinds already has no steps; and no fuse is there at the end of a model.
    if std::thread::panicking() {
        return;
    }
    FUSE.with(|fuse| match fuse.get() {
        None => {}
        Some(0) => {
            BURNT.set(true);
            resume_unwind(Box::new(Killed));
        }
        Some(left) => fuse.set(Some(left - 1)),
    });
}

/// Begins to count the steps of this process here, instead of at its beginning.
pub(crate) fn light(fuse: Option<u32>) {
    FUSE.with(|left| left.set(fuse));
}

/// Who share the memory of a model: seats 0 to 3.
pub(crate) struct Crowd {
    dead: [AtomicBool; 4],
    deaths: AtomicU32,
}

impl Crowd {
    pub(crate) fn new() -> Crowd {
        Crowd { dead: [(); 4].map(|()| AtomicBool::new(false)), deaths: AtomicU32::new(0) }
    }

    /// What the kernel and the others do when a process is no more.
    fn bury(&self, owner: Owner) {
        self.dead[owner.seat() as usize].store(true, SeqCst);
        self.deaths.fetch_add(1, SeqCst);
        futex::wake(&self.deaths, u32::MAX).unwrap();
    }
}

// SAFETY: each process of a model has a seat of its own (0), is buried after its last step (1), has
// the memory of the model as its own (2), and its death is told when it is proved (3).
unsafe impl Peers for Crowd {
    fn me(&self) -> Result<Owner> {
        // Nothing of a process that was killed runs on; and a model that failed has no threads.
        let me = if std::thread::panicking() { None } else { ME.with(Cell::get) };
        me.ok_or(Error::new(Operation::Attach, Errno::SRCH))
    }

    fn is_dead(&self, owner: Owner) -> bool {
        self.dead[owner.seat() as usize].load(SeqCst)
    }

    fn life(&self, _: Owner) -> Option<Expect<'_>> {
        None
    }

    fn announce(&self) {}

    fn deaths(&self) -> Expect<'_> {
        Expect { word: &self.deaths, value: self.deaths.load(SeqCst) }
    }

    fn contains(&self, _: *const u8, _: usize) -> bool {
        true
    }
}

/// What the processes of a model share: their peers, and the rest.
pub(crate) struct Memory<T> {
    pub(crate) crowd: Crowd,
    pub(crate) data: T,
}

impl<T: Send + Sync + 'static> Memory<T> {
    pub(crate) fn new(data: T) -> Arc<Memory<T>> {
        Arc::new(Memory { crowd: Crowd::new(), data })
    }

    /// Starts a process with that seat, and kills it when it has done as many steps as `fuse` says.
    pub(crate) fn start(
        self: &Arc<Self>,
        seat: u32,
        fuse: Option<u32>,
        life: impl FnOnce(&T, &Crowd) + 'static,
    ) -> loom::thread::JoinHandle<()> {
        let memory = self.clone();
        loom::thread::spawn(move || memory.live(seat, fuse, life))
    }

    /// The same in this thread.
    pub(crate) fn live(&self, seat: u32, fuse: Option<u32>, life: impl FnOnce(&T, &Crowd)) {
        let me = Owner::new(seat, 1).unwrap();
        ME.with(|owner| owner.set(Some(me)));
        FUSE.with(|left| left.set(fuse));
        let end = catch_unwind(AssertUnwindSafe(|| life(&self.data, &self.crowd)));
        FUSE.with(|left| left.set(None));
        match end {
            Ok(()) => {}
            Err(why) if why.is::<Killed>() => self.crowd.bury(me),
            Err(why) => resume_unwind(why),
        }
    }
}

/// Runs a model in every interleaving with `preemptions` of them forced at most.
pub(crate) fn run(preemptions: usize, model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(model);
}

/// Runs a model in which a process is killed at its first step, at its second, and so on, until it
/// lives through it; says how many steps there were.
pub(crate) fn kill_at_every_step(
    preemptions: usize,
    model: impl Fn(Option<u32>) + Clone + Send + Sync + 'static,
) -> u32 {
    for steps in 0..100 {
        BURNT.set(false);
        let model = model.clone();
        run(preemptions, move || model(Some(steps)));
        if !BURNT.get() {
            return steps;
        }
    }
    panic!("a process does not come to its end");
}

/// Weakens the operations of a lock one by one, those in the file of that name, and panics where
/// the models do not fail, but for `unseen` of them: those that loom cannot show to matter.
pub(crate) fn every_ordering_matters(file: &str, unseen: usize, models: &[fn()]) {
    SITES.with_borrow_mut(BTreeSet::clear);
    models.iter().for_each(|model| model());
    let sites: Vec<Site> = SITES.with_borrow(|sites| {
        sites.iter().filter(|site| site.file().ends_with(file)).copied().collect()
    });
    assert!(!sites.is_empty());
    let unnoticed: Vec<Site> = sites
        .into_iter()
        .filter(|site| {
            WEAKENED.set(Some(site));
            let noticed = models.iter().any(|model| catch_unwind(model).is_err());
            WEAKENED.set(None);
            !noticed
        })
        .collect();
    assert_eq!(unnoticed.len(), unseen, "no model fails when these are relaxed: {unnoticed:#?}");
}
