//! The thread that answers breaks: one for the process, started with the first lease.
//!
//! The kernel tells it by a real-time signal, sent to it alone, which it blocks and waits for: no
//! handler is installed and no default action happens. The signal is only a hint to look at every
//! lease; it looks from time to time without one too, so that a signal that was lost (the queue was
//! full, the process changed its user) costs time and no bytes.
//!
//! # Invariants
//!
//! 0. In the process that started it, `here` holds a 1; in every process forked from that, a 0,
//!    since its page is wiped on fork. There the thread does not exist, and the lists may be locked
//!    for ever, so nothing but `is_here` is done.
//! 1. A lease is in the list before its bytes are handed out, and until it was answered or its
//!    owner is gone.
//! 2. The lock of the list is never held while a file is opened or copied.

use super::Lease;
use super::budget::Budget;
use crate::access::Access;
use crate::anon::AnonMap;
use crate::error::{Error, Operation};
use crate::object::Object;
use crate::stable::{Refusal, Source};
use bifolio_sys::Errno;
use bifolio_sys::fs::fd::{AsFd, AsRawFd, RawFd};
use bifolio_sys::fs::{LeaseType, fcntl_getlease, lease_break_time};
use bifolio_sys::page::{page_size, thp_size};
use bifolio_sys::process::{Pid, gettid};
use bifolio_sys::signal::{AllBlocked, RealTime, sigtimedwait};
use std::collections::BTreeMap;
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::Duration;
use std::vec::Vec;

/// It calls little and nothing deeply.
const STACK_BYTES: usize = 256 << 10;

/// How often to look without a signal, at the least and where the kernel waits for ever.
const PATROL_MIN: Duration = Duration::from_millis(100);
const PATROL_MAX: Duration = Duration::from_secs(5);

/// What the kernel gives unless it is changed.
const BREAK_TIME: Duration = Duration::from_secs(45);

static HELPER: OnceLock<Helper> = OnceLock::new();

/// The helper of this process.
#[derive(Debug)]
pub(super) struct Helper {
    thread: Pid,
    signal: RealTime,
    huge_page_bytes: usize,
    here: AnonMap,
    list: Mutex<List>,
    /// Told when `list` is no longer empty, where it waits for that.
    arrived: Condvar,
}

/// The leases that it watches, by their descriptors.
#[derive(Debug, Default)]
struct List {
    leases: BTreeMap<RawFd, Arc<Lease>>,
    bytes: u64,
    /// Whether the thread sleeps until there is one.
    is_awaited: bool,
}

/// Ends the process rather than leave leases that nobody answers.
struct AbortOnUnwind;

impl Drop for AbortOnUnwind {
    fn drop(&mut self) {
        std::process::abort();
    }
}

impl Helper {
    /// The helper, started if it was not yet.
    pub(super) fn get() -> Result<&'static Helper, Refusal> {
        static STARTING: Mutex<()> = Mutex::new(());
        let helper = match HELPER.get() {
            Some(helper) => helper,
            None => {
                let _one_at_a_time = STARTING.lock().unwrap_or_else(PoisonError::into_inner);
                match HELPER.get() {
                    Some(helper) => helper,
                    None => start()?,
                }
            }
        };
        if helper.is_here() { Ok(helper) } else { Err(Refusal::Forked) }
    }

    /// Whether this is the process that the thread lives in.
    pub(super) fn is_here(&self) -> bool {
        self.here.load(0) == Ok(1_u8)
    }

    pub(super) fn thread(&self) -> Pid {
        self.thread
    }

    pub(super) fn signal(&self) -> RealTime {
        self.signal
    }

    /// The size of a huge page that is moved as one; of a page where there are none.
    pub(super) fn huge_page_bytes(&self) -> usize {
        self.huge_page_bytes
    }

    fn list(&self) -> MutexGuard<'_, List> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Watches a lease from now on, unless it is broken already, or all of them could not be copied
    /// in time.
    pub(super) fn register(&self, lease: &Arc<Lease>, source: &Source<'_>) -> Result<(), Refusal> {
        let file = lease.description.file.as_fd();
        let bytes = lease.target.len() as u64;
        let mut budget = Budget::minimal();
        loop {
            let mut list = self.list();
            match budget.check(list.bytes + bytes) {
                Ok(()) => {
                    // A break before this is seen here; a later one finds the lease in the list.
                    if fcntl_getlease(file) != Ok(LeaseType::Read) {
                        return Err(Refusal::OpenForWriting);
                    }
                    list.bytes += bytes;
                    list.leases.insert(file.as_raw_fd(), Arc::clone(lease));
                    if list.is_awaited {
                        self.arrived.notify_one();
                    }
                    return Ok(());
                }
                Err(refusal) if budget.is_final() => return Err(refusal),
                Err(_) => {}
            }
            drop(list);
            budget = budget.better_known(source, file)?;
        }
    }

    /// Watches it no longer.
    pub(super) fn forget(&self, lease: &Arc<Lease>) {
        let mut list = self.list();
        if list.leases.remove(&lease.description.file.as_raw_fd()).is_some() {
            list.bytes -= lease.target.len() as u64;
        }
    }

    fn run(&self) {
        loop {
            self.wait_for_leases();
            // Whether it came or the time was up: what the leases say themselves is what counts.
            let _ = sigtimedwait(self.signal, patrol());
            while sigtimedwait(self.signal, Duration::ZERO).is_ok() {}
            let broken = self.broken();
            let mut patience = patience();
            for lease in broken {
                lease.answer(&mut patience);
                self.forget(&lease);
            }
        }
    }

    fn wait_for_leases(&self) {
        let mut list = self.list();
        while list.leases.is_empty() {
            list.is_awaited = true;
            list = self.arrived.wait(list).unwrap_or_else(PoisonError::into_inner);
        }
        list.is_awaited = false;
    }

    /// The leases for whose end somebody waits, the shortest work first.
    fn broken(&self) -> Vec<Arc<Lease>> {
        let list = self.list();
        let is_broken =
            |lease: &&Arc<Lease>| fcntl_getlease(&lease.description.file) != Ok(LeaseType::Read);
        let mut broken: Vec<_> = list.leases.values().filter(is_broken).cloned().collect();
        drop(list);
        broken.sort_by_key(|lease| lease.target.len());
        broken
    }
}

/// How long to go without looking: a ninth of the time that the kernel gives.
fn patrol() -> Duration {
    match lease_break_time() {
        Ok(Some(time)) => (time / 9).clamp(PATROL_MIN, PATROL_MAX),
        _ => PATROL_MAX,
    }
}

/// How long to wait in all for what the kernel refuses to the leases that are broken now: a sixth
/// of the time that it gives. Those that are broken meanwhile wait as long for these, as long again
/// for each other, and are copied in a third.
fn patience() -> Duration {
    lease_break_time().ok().flatten().unwrap_or(BREAK_TIME) / 6
}

/// Starts the thread with every signal blocked, and remembers the helper.
fn start() -> Result<&'static Helper, Refusal> {
    let failed = |errno| Error::from_errno(Operation::Map, &Object::AnonymousMemory, errno);
    let signal = RealTime::unclaimed().ok_or(Refusal::NoSignalLeft)?;
    let mut here = AnonMap::new(1)?;
    here[0] = 1;
    here.wipe_on_fork(0..1)?;
    let (tell_thread, thread) = sync_channel(1);
    let (tell_helper, helper) = sync_channel::<&Helper>(1);
    let work = move || {
        let _never_unwinds = AbortOnUnwind;
        tell_thread.send(gettid()).expect("whoever starts the thread waits for it");
        // Where the helper could not be made, there is nothing to do.
        if let Ok(helper) = helper.recv() {
            helper.run();
        }
    };
    let builder = thread::Builder::new().name("bifolio-lease".into()).stack_size(STACK_BYTES);
    {
        let _inherited = AllBlocked::new();
        builder
            .spawn(work)
            .map_err(|error| failed(Errno::from_io_error(&error).unwrap_or(Errno::AGAIN)))?;
    }
    let thread = thread.recv().expect("the thread tells its number first");
    let huge_page_bytes = thp_size().unwrap_or(page_size()).bytes();
    let helper = HELPER.get_or_init(|| Helper {
        thread,
        signal,
        huge_page_bytes,
        here,
        list: Mutex::default(),
        arrived: Condvar::new(),
    });
    tell_helper.send(helper).expect("the thread waits for it");
    Ok(helper)
}
