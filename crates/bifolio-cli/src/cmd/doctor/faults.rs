//! Whether a fault comes back as an error: the state of the dispatcher, and the proof by a child.

use bifolio::fault::{self, Probe, Reach, Signal, Status};
use serde::Serialize;

/// What was found out.
pub(super) struct Faults {
    install_error: Option<String>,
    status: Status,
    probes: [(Signal, Probe); 2],
}

/// What follows for the promise that no signal ends the process.
pub(super) enum Verdict {
    Holds,
    Weakened(String),
    Unknown(String),
}

impl Faults {
    /// Installs the dispatcher, as the first mapping of a program does, and tries it.
    pub(super) fn look() -> Faults {
        let install_error = fault::install().err().map(|errno| errno.to_string());
        let probes = Signal::ALL.map(|signal| (signal, fault::probe(signal)));
        Faults { install_error, status: fault::status(), probes }
    }

    pub(super) fn verdict(&self) -> Verdict {
        if let Some(error) = &self.install_error {
            return Verdict::Weakened(format!("the fault handler cannot be installed ({error})"));
        }
        for (signal, probe) in self.probes {
            let name = name(signal);
            match probe {
                Probe::Survives => {}
                Probe::Dies if self.is_blocked(signal) => {
                    return Verdict::Weakened(format!("this thread blocks {name}"));
                }
                Probe::Dies => {
                    let why = format!("another handler takes {name} and does not pass it on");
                    return Verdict::Weakened(why);
                }
                Probe::Unknown(errno) => {
                    return Verdict::Unknown(format!("{name} could not be tried ({errno})"));
                }
                _ => return Verdict::Unknown(format!("{name} could not be tried")),
            }
        }
        Verdict::Holds
    }

    /// The lines for people: a name and a text each.
    pub(super) fn lines(&self) -> Vec<(&'static str, String)> {
        let installed = match (&self.install_error, self.status.installed) {
            (Some(error), _) => format!("could not be installed: {error}"),
            (None, true) => "installed".to_owned(),
            (None, false) => "not installed".to_owned(),
        };
        let mut lines = vec![("handler", installed)];
        for (signal, probe) in self.probes {
            let reach = match self.reach(signal) {
                Reach::Ours => "goes to Bifolio first",
                Reach::Nobody => "goes to nobody",
                _ => "goes to another handler first",
            };
            let blocked =
                if self.is_blocked(signal) { "is blocked by this thread" } else { "not blocked" };
            let proof = match probe {
                Probe::Survives => "a child process survived one".to_owned(),
                Probe::Dies => "a child process died of one".to_owned(),
                Probe::Unknown(errno) => format!("it could not be tried: {errno}"),
                _ => "it could not be tried".to_owned(),
            };
            lines.push((name(signal), format!("{reach}, {blocked}; {proof}")));
        }
        lines
    }

    pub(super) fn document(&self) -> Document {
        Document {
            installed: self.status.installed,
            signals: self.probes.map(|(signal, probe)| SignalDocument {
                name: name(signal),
                goes_to: match self.reach(signal) {
                    Reach::Ours => "bifolio",
                    Reach::Nobody => "nobody",
                    _ => "other",
                },
                blocked: self.is_blocked(signal),
                survives: match probe {
                    Probe::Survives => Some(true),
                    Probe::Dies => Some(false),
                    _ => None,
                },
            }),
        }
    }

    fn reach(&self, signal: Signal) -> Reach {
        match signal {
            Signal::Bus => self.status.bus,
            Signal::Segv => self.status.segv,
        }
    }

    fn is_blocked(&self, signal: Signal) -> bool {
        match signal {
            Signal::Bus => self.status.thread_blocks_bus,
            Signal::Segv => self.status.thread_blocks_segv,
        }
    }
}

fn name(signal: Signal) -> &'static str {
    match signal {
        Signal::Bus => "SIGBUS",
        Signal::Segv => "SIGSEGV",
    }
}

#[derive(Serialize)]
pub(super) struct Document {
    installed: bool,
    signals: [SignalDocument; 2],
}

#[derive(Serialize)]
struct SignalDocument {
    name: &'static str,
    goes_to: &'static str,
    blocked: bool,
    survives: Option<bool>,
}
