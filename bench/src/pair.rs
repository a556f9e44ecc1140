//! Two ways of doing the same work, timed in turn.
//!
//! Cores are shared and wander, so only ratios inside one run mean anything: in each round both
//! ways
//! run, in alternating order, and their ratio is taken; the median over the rounds is the result.
//! Answers are compared in every round.

use std::fmt;
use std::time::{Duration, Instant};

/// How a bar is put.
#[derive(Clone, Copy)]
pub enum Bar {
    /// Ours may take at most this many times the peer's time.
    RatioMax(f64),
    /// Ours may take at most this many nanoseconds more.
    MoreNsMax(f64),
    /// Ours may take at most this many nanoseconds, whatever the peer takes.
    NsMax(f64),
    /// Measured for the record only.
    None,
}

/// One comparison.
pub struct Outcome {
    work: String,
    ours: Vec<f64>,
    peer: Vec<f64>,
    bar: Bar,
}

/// One of the two ways: does its work `repeat` times and returns an answer to compare.
pub type Way<'a> = &'a mut dyn FnMut(u32) -> u64;

/// Times `ours` beside `peer` over `rounds` rounds of `repeat` repetitions.
///
/// # Panics
///
/// Where the two give different answers.
pub fn compare(work: &str, bar: Bar, rounds: u32, repeat: u32, ours: Way, peer: Way) -> Outcome {
    let mut outcome = Outcome { work: work.to_owned(), ours: vec![], peer: vec![], bar };
    // One round is not counted: caches, page tables and branch predictors are warmed by both.
    for round in 0..=rounds {
        let (mine, theirs);
        if round % 2 == 0 {
            mine = time(repeat, ours);
            theirs = time(repeat, peer);
        } else {
            theirs = time(repeat, peer);
            mine = time(repeat, ours);
        }
        assert_eq!(mine.0, theirs.0, "{work}: the answers differ");
        if round > 0 {
            outcome.ours.push(mine.1.as_nanos() as f64 / f64::from(repeat));
            outcome.peer.push(theirs.1.as_nanos() as f64 / f64::from(repeat));
        }
    }
    outcome
}

fn time(repeat: u32, way: Way) -> (u64, Duration) {
    let start = Instant::now();
    let answer = way(repeat);
    (answer, start.elapsed())
}

impl Outcome {
    /// A comparison of times in nanoseconds, one of each way a round, that the case took itself:
    /// where what is timed is a part of what must be done.
    pub fn of(work: &str, bar: Bar, ours: Vec<f64>, peer: Vec<f64>) -> Outcome {
        Outcome { work: work.to_owned(), ours, peer, bar }
    }

    /// Ratios of ours to the peer, sorted.
    fn ratios(&self) -> Vec<f64> {
        let mut ratios: Vec<f64> =
            self.ours.iter().zip(&self.peer).map(|(ours, peer)| ours / peer).collect();
        ratios.sort_by(f64::total_cmp);
        ratios
    }

    /// Differences of ours to the peer, in nanoseconds, sorted.
    fn differences(&self) -> Vec<f64> {
        let mut differences: Vec<f64> =
            self.ours.iter().zip(&self.peer).map(|(ours, peer)| ours - peer).collect();
        differences.sort_by(f64::total_cmp);
        differences
    }

    /// Whether the bar is kept, where there is one.
    pub fn is_kept(&self) -> bool {
        match self.bar {
            Bar::RatioMax(max) => median(&self.ratios()) <= max,
            Bar::MoreNsMax(max) => median(&self.differences()) <= max,
            Bar::NsMax(max) => {
                let mut ours = self.ours.clone();
                ours.sort_by(f64::total_cmp);
                median(&ours) <= max
            }
            Bar::None => true,
        }
    }
}

fn median(sorted: &[f64]) -> f64 {
    sorted[sorted.len() / 2]
}

/// A time in the unit that suits it.
fn show(ns: f64) -> String {
    match ns {
        ns if ns < 1e3 => format!("{ns:.1} ns"),
        ns if ns < 1e6 => format!("{:.2} us", ns / 1e3),
        ns => format!("{:.2} ms", ns / 1e6),
    }
}

impl fmt::Display for Outcome {
    /// A row of a Markdown table: work, ours, peer, ratio (range), bar, verdict.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sorted = |times: &[f64]| {
            let mut times = times.to_vec();
            times.sort_by(f64::total_cmp);
            times
        };
        let (ours, peer, ratios) = (sorted(&self.ours), sorted(&self.peer), self.ratios());
        let bar = match self.bar {
            Bar::RatioMax(max) => format!("<= {max:.3} x"),
            Bar::MoreNsMax(max) => {
                format!("<= {max:.1} ns more (is {:+.2} ns)", median(&self.differences()))
            }
            Bar::NsMax(max) => format!("<= {}", show(max)),
            Bar::None => "-".to_owned(),
        };
        let verdict = match self.bar {
            Bar::None => "-",
            _ if self.is_kept() => "kept",
            _ => "MISSED",
        };
        write!(
            f,
            "| {} | {} | {} | {:.3} ({:.3}-{:.3}) | {bar} | {verdict} |",
            self.work,
            show(median(&ours)),
            show(median(&peer)),
            median(&ratios),
            ratios[0],
            ratios[ratios.len() - 1],
        )
    }
}
