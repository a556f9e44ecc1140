//! Many trials at once: a worker process on each CPU, each with one thread, takes the next job that
//! nobody has taken, and writes what came of it into a pipe.

use std::io::{PipeReader, Read, Write};
use std::sync::atomic::Ordering::SeqCst;

use crate::place::Place;
use crate::process::{Child, Ending, cpus, start_ticks, stay_on};

/// After so many failures the rest is left alone: each may have waited for somebody who hangs.
const FAILURES_MAX: u32 = 4;

/// What came of a job: a line, or what is wrong; `None` where it was left alone.
pub(crate) type Outcome = Option<Result<String, String>>;

/// Does all jobs below `count`.
pub(crate) fn run(count: usize, job: impl Fn(usize) -> Result<String, String>) -> Vec<Outcome> {
    let place = Place::new();
    let workers = cpus().into_iter().map(|cpu| worker(cpu, count, &place, &job));
    let workers: Vec<(Child, PipeReader)> = workers.collect();
    let mut outcomes = vec![None; count];
    for (child, mut pipe) in workers {
        let mut text = String::new();
        pipe.read_to_string(&mut text).expect("a worker writes text");
        for line in text.lines() {
            let mut fields = line.splitn(3, ' ');
            let index = fields.next().and_then(|index| index.parse::<usize>().ok());
            let (kind, rest) = (fields.next(), fields.next().unwrap_or_default().to_owned());
            let outcome = if kind == Some("ok") { Ok(rest) } else { Err(rest) };
            outcomes[index.expect("a worker names the job by its number")] = Some(outcome);
        }
        let ending = child.end().expect("a worker comes to its end");
        assert_eq!(ending, Ending::Exit(0), "a worker fails");
    }
    outcomes
}

fn worker(
    cpu: usize,
    count: usize,
    place: &Place,
    job: &impl Fn(usize) -> Result<String, String>,
) -> (Child, PipeReader) {
    let (reader, mut writer) = std::io::pipe().expect("a pipe");
    let [next, failures, ..] = &place.board().flags;
    let child = Child::fork(|| {
        stay_on(cpu);
        start_ticks();
        loop {
            let index = next.fetch_add(1, SeqCst) as usize;
            if index >= count || failures.load(SeqCst) >= FAILURES_MAX {
                return 0;
            }
            let (kind, text) = match job(index) {
                Ok(text) => ("ok", text),
                Err(why) => {
                    failures.fetch_add(1, SeqCst);
                    ("no", why)
                }
            };
            writeln!(writer, "{index} {kind} {}", text.replace('\n', " ")).expect("a reader");
        }
    });
    (child, reader)
}
