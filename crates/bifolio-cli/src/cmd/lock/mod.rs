//! `bifolio lock`: keeps files in memory, for as long as something lasts.
//!
//! 1. All files are locked or none: what cannot be locked ends the command before it holds anything
//!    up.
//! 2. The locks are those of one process, and end with it, however it ends.
//!
//! What is added to a file later is not locked. That is said, as far as anybody can hear it.

mod daemon;
mod pid_file;
mod watch;

use crate::bytes::{counted, human};
use crate::console::Console;
use crate::failure::{Exit, Failure};
use crate::name::shown;
use crate::select::look::Subject;
use crate::select::walk::{Found, Walk};
use crate::select::{Once, Selection, needed};
use bifolio::features::Environment;
use bifolio::page::page_size;
use bifolio::{Access, Backend, Errno, ErrorKind, FileMap, Operation, Options, Pages};
use pid_file::PidFile;
use std::ffi::OsString;
use std::io::Write;
use std::ops::Range;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use watch::Watch;

/// Keep files in memory
///
/// Brings them in and locks them there until the command is interrupted, or as long as COMMAND
/// runs, whose exit code is the exit code then; with --daemon it goes on in the background until it
/// is killed. All files are locked, or none and the exit code is 2. What files get when they grow
/// or are replaced is not locked, which is said. Holes take memory too, as the zeros that they are.
///
/// Of vmtouch's options -l and -L are this command, -d and -P have their meaning here, and -w is
/// always so.
#[derive(clap::Args, Debug)]
#[command(group(needed(&[])))]
pub(crate) struct Args {
    #[command(flatten)]
    selection: Selection,

    /// Go on in the background when all is locked, and give the terminal back
    #[arg(long, short = 'd', conflicts_with = "command")]
    daemon: bool,

    /// Write the number of the process that holds the locks into a file, which goes away with it
    #[arg(long, short = 'P', value_name = "FILE")]
    pid_file: Option<PathBuf>,

    /// Say nothing but what went wrong
    #[arg(long, short = 'q')]
    quiet: bool,

    /// Keep the files in memory while this runs
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<OsString>,

    /// This is the process in the background, and who started it waits for the word
    #[arg(long, hide = true)]
    detached: bool,

    /// Wait for the end of standard input, and remove the file if it holds this number
    #[arg(long, hide = true, value_name = "PID")]
    clean_up: Option<String>,
}

/// A file whose pages are locked.
struct Locked {
    path: PathBuf,
    map: FileMap,
    part: Range<u64>,
    watch: Watch,
}

pub(crate) fn run(args: &Args, console: &mut Console) -> Result<Exit, Failure> {
    if let (Some(pid), [path]) = (&args.clean_up, &*args.selection.paths) {
        pid_file::clean_up(path, pid);
        return Ok(Exit::Success);
    }
    if args.daemon && !args.detached {
        return daemon::start(console, args.selection.batch.as_deref() == Some(Path::new("-")));
    }
    let mut locked = lock_all(args)?;
    let pid_file = args.pid_file.as_deref().map(PidFile::create).transpose()?;
    if !args.quiet && args.command.is_empty() {
        say_what(&locked, console)?;
    }
    console.flush()?;
    if args.detached {
        daemon::say_ready()?;
    }
    if args.command.is_empty() {
        // Who started the one in the background has gone: nobody hears it.
        let hears = !args.detached && !args.quiet;
        hold(&mut locked, None, hears);
        return Ok(Exit::Success);
    }
    let child = start(&args.command)?;
    let status = hold(&mut locked, Some(child), !args.quiet);
    drop((locked, pid_file));
    match status {
        // As a shell counts: a program that a signal ended has 128 and its number.
        Some(status) => std::process::exit(
            status.code().or(status.signal().map(|signal| 128 + signal)).unwrap_or(2),
        ),
        None => Err(Failure::message("the command could not be waited for")),
    }
}

/// The file of this program, to start it once more; another than at the start where it was
/// replaced meanwhile.
fn own_program() -> PathBuf {
    let named = std::env::current_exe().ok().filter(|path| path.exists());
    named.unwrap_or_else(|| "/proc/self/exe".into())
}

fn lock_all(args: &Args) -> Result<Vec<Locked>, Failure> {
    let (mut locked, mut once) = (vec![], Once::new(&args.selection));
    for found in Walk::new(&args.selection)? {
        let found = found?;
        let opened = Subject::open(&found, &args.selection);
        let is_limit = |failure: &Failure| match failure {
            Failure::File { error, .. } => {
                error.raw_os_error() == Some(Errno::MFILE.raw_os_error())
            }
            _ => false,
        };
        let opened = opened.map_err(|failure| match is_limit(&failure) {
            true => too_many(&found),
            false => failure,
        });
        let Ok(subject) = opened? else { continue };
        if subject.part.is_empty() || !once.is_new(subject.file.identity(), subject.file.links()) {
            continue;
        }
        locked.push(lock(&found, subject).map_err(|error| cannot(&found, &error))?);
    }
    Ok(locked)
}

fn lock(found: &Found, subject: Subject) -> bifolio::Result<Locked> {
    let watch = Watch::new(&subject);
    let Subject { file, part, .. } = subject;
    let map = Options::new()
        .backend(Backend::Map)
        .map_file(file.into_file())
        .map_err(|(_, error)| error)?;
    let len = map.len() as u64;
    let part = part.start.min(len)..part.end.min(len);
    map.lock(part.start as usize..part.end as usize)?;
    Ok(Locked { path: found.path(), map, part, watch })
}

/// Why a file cannot be locked, with what one can do about it.
fn cannot(found: &Found, error: &bifolio::Error) -> Failure {
    if error.errno() == Some(Errno::MFILE) {
        return too_many(found);
    }
    let failure = found.failed(std::io::Error::from(error.clone()));
    let is_limit = matches!(error.kind(), ErrorKind::NoMemory | ErrorKind::NotPermitted);
    let limit = Environment::read().lock_limit_bytes;
    if error.operation() != Operation::Lock || !is_limit || limit == u64::MAX {
        return failure;
    }
    let text = format!("{failure}: this process may lock {}", human(limit));
    Failure::message(text).with_help(
        "raise the limit: `ulimit -l` as root, memlock in limits.conf, LimitMEMLOCK= of a \
         service, or the capability CAP_IPC_LOCK",
    )
}

fn too_many(found: &Found) -> Failure {
    let path = found.path();
    let text = format!("{}: each file that is locked is open, and no more may be", shown(path));
    Failure::message(text).with_help("raise the limit of open files: `ulimit -n`")
}

fn say_what(locked: &[Locked], console: &mut Console) -> Result<(), Failure> {
    let page = page_size();
    let pages = locked.iter().filter_map(|file| page.outward(file.part.clone()));
    let bytes: u64 = pages.map(|pages| pages.bytes().end - pages.bytes().start).sum();
    let files = counted(locked.len() as u64, "file");
    let pages = counted(bytes / page.bytes() as u64, "page");
    let (bytes, pid) = (human(bytes), std::process::id());
    Ok(writeln!(console, "{files} locked in memory: {bytes} in {pages}, by process {pid}")?)
}

fn start(command: &[OsString]) -> Result<Child, Failure> {
    let (program, arguments) = command.split_first().expect("it is not empty");
    let child = Command::new(program).args(arguments).spawn();
    child.map_err(|error| Failure::file(Path::new(program), error))
}

/// Holds the locks until the child ends, or for ever, and says what happens to the files.
fn hold(locked: &mut [Locked], child: Option<Child>, hears: bool) -> Option<ExitStatus> {
    let (send, ended) = mpsc::channel();
    if let Some(mut child) = child {
        let send = send.clone();
        // The channel outlives it.
        thread::spawn(move || send.send(child.wait().ok()));
    }
    let pause = watch::pause(locked.len());
    loop {
        let wait = if hears { ended.recv_timeout(pause) } else { ended.recv().map_err(Into::into) };
        if hears {
            say_changes(locked);
        }
        match wait {
            Ok(status) => return status,
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return None,
        }
    }
}

fn say_changes(locked: &mut [Locked]) {
    for file in locked {
        debug_assert!(file.part.end <= file.map.len() as u64);
        if let Some(change) = file.watch.look(&file.path) {
            Failure::message(format!("{}: {change}", shown(&file.path))).print("lock");
        }
    }
}
