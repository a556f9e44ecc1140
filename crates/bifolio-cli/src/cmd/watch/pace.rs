//! How often something is done: at a period, and never so often that it takes much of a core.

use std::time::{Duration, Instant};

/// The part of a core that looking may take: one of so many.
const PART: u32 = 30;

/// How many of the last times count.
const RECENT: usize = 4;

/// When to do the next time what takes its time.
#[derive(Debug)]
pub(super) struct Pace {
    period: Duration,
    recent: [Duration; RECENT],
    count: usize,
    next: Instant,
}

impl Pace {
    /// For something that is due now, and then once in a period.
    pub(super) fn new(period: Duration, now: Instant) -> Pace {
        Pace { period, recent: [Duration::ZERO; RECENT], count: 0, next: now }
    }

    /// When it is due.
    pub(super) fn next(&self) -> Instant {
        self.next
    }

    pub(super) fn is_due(&self, now: Instant) -> bool {
        now >= self.next
    }

    /// It was begun then and took so much of a core.
    pub(super) fn done(&mut self, began: Instant, took: Duration) {
        self.recent[self.count % RECENT] = took;
        self.count += 1;
        self.next = began + self.current();
    }

    /// It is due at once.
    pub(super) fn hurry(&mut self, now: Instant) {
        self.next = now;
    }

    /// The period as it is: the shortest of the last times decides, so that one that was long for
    /// a reason of its own changes nothing.
    pub(super) fn current(&self) -> Duration {
        let least = self.recent.iter().min().copied().unwrap_or_default();
        self.period.max(least * PART)
    }
}

/// Tells how much of a core something took.
pub(super) struct Effort {
    cpu: Option<Duration>,
    began: Instant,
}

impl Effort {
    pub(super) fn start() -> Effort {
        Effort { cpu: cpu_time(), began: Instant::now() }
    }

    /// The CPU time since the start; the time that passed where the kernel does not tell.
    pub(super) fn spent(&self) -> Duration {
        match (self.cpu, cpu_time()) {
            (Some(before), Some(now)) => now.saturating_sub(before),
            _ => self.began.elapsed(),
        }
    }
}

/// The CPU time of this thread, by schedstat (proc(5)).
fn cpu_time() -> Option<Duration> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    Some(Duration::from_nanos(text.split(' ').next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_takes_long_is_done_less_often_and_one_delay_does_not_count() {
        let (now, period) = (Instant::now(), Duration::from_millis(100));
        let mut pace = Pace::new(period, now);
        assert!(pace.is_due(now));
        pace.done(now, Duration::from_millis(1));
        assert_eq!(pace.next(), now + period);
        assert!(!pace.is_due(now));
        pace.done(now, Duration::from_secs(1));
        assert_eq!(pace.current(), period);
        let mut late = Pace::new(period, now);
        late.done(now, Duration::from_secs(1));
        assert_eq!(late.current(), period);
        for _ in 0..RECENT {
            pace.done(now, Duration::from_millis(10));
        }
        assert_eq!(pace.current(), Duration::from_millis(300));
        pace.hurry(now);
        assert!(pace.is_due(now));
    }

    #[test]
    fn effort_is_the_work_and_not_the_waiting() {
        let effort = Effort::start();
        if effort.cpu.is_none() {
            println!("skipped: this kernel does not tell the CPU time of a thread");
            return;
        }
        std::thread::sleep(Duration::from_millis(50));
        let waited = effort.spent();
        let mut sum = 0_u64;
        while effort.spent() < waited + Duration::from_millis(5) {
            sum = std::hint::black_box(sum + 1);
        }
        assert!(waited < Duration::from_millis(50) && sum > 0, "{waited:?}");
    }
}
