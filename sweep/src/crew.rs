//! Many trials at once: a worker process on each CPU, each with one thread, takes the next job that
//! nobody has taken, and writes what came of it into a pipe.

use std::io::{PipeReader, Read, Write};
use std::sync::atomic::Ordering::SeqCst;

use crate::place::Place;
use crate::process::{Child, cpus, start_ticks, stay_on};

/// Does all jobs below `count`; gives what each wrote, which is one line.
pub(crate) fn run(count: usize, job: impl Fn(usize) -> String) -> Vec<String> {
    let place = Place::new();
    let workers = cpus().into_iter().map(|cpu| worker(cpu, count, &place, &job));
    let workers: Vec<(Child, PipeReader)> = workers.collect();
    let mut lines = vec![None; count];
    for (child, mut pipe) in workers {
        let mut text = String::new();
        pipe.read_to_string(&mut text).expect("a worker writes text");
        for line in text.lines() {
            let (index, rest) = line.split_once(' ').expect("a worker names the job");
            let index: usize = index.parse().expect("a worker names the job by its number");
            lines[index] = Some(rest.to_owned());
        }
        child.end().expect("a worker comes to its end");
    }
    lines.into_iter().map(|line| line.expect("a worker does what it took")).collect()
}

fn worker(
    cpu: usize,
    count: usize,
    place: &Place,
    job: &impl Fn(usize) -> String,
) -> (Child, PipeReader) {
    let (reader, mut writer) = std::io::pipe().expect("a pipe");
    let child = Child::fork(|| {
        stay_on(cpu);
        start_ticks();
        loop {
            let index = place.board().flags[0].fetch_add(1, SeqCst) as usize;
            if index >= count {
                return 0;
            }
            let line = job(index).replace('\n', " ");
            if writeln!(writer, "{index} {line}").is_err() {
                return 1;
            }
        }
    });
    (child, reader)
}
