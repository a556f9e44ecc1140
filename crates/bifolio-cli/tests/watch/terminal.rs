//! A terminal that tmux(1) makes, in which a shell runs programs, keys are typed and the screen is
//! read.

use crate::common::{Dir, complaint, text};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// How long the screen may take to show what is waited for.
const PATIENCE: Duration = Duration::from_secs(60);

/// Between two looks at it.
const PAUSE: Duration = Duration::from_millis(20);

/// A terminal of tmux in which a shell waits for lines.
pub(crate) struct Terminal {
    socket: String,
}

impl Terminal {
    /// `None`, with a word why, where there is no tmux.
    pub(crate) fn new(columns: u16, rows: u16, dir: &Dir) -> Option<Terminal> {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        // Relaxed: the number only has to be unique.
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let terminal = Terminal { socket: format!("bifolio-{}-{count}", std::process::id()) };
        let (columns, rows) = (columns.to_string(), rows.to_string());
        let args = ["-f", "/dev/null", "new-session", "-d", "-x", &columns, "-y", &rows];
        let mut command = terminal.command(&args);
        for name in ["NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "COLUMNS"] {
            command.env_remove(name);
        }
        command.current_dir(dir.path()).env("LC_ALL", "C.UTF-8");
        match command.args(["env", "PS1=ready $? ", "sh"]).output() {
            Ok(output) if output.status.success() => {
                terminal.until("ready");
                Some(terminal)
            }
            Ok(output) => panic!("{}", complaint(&output)),
            Err(error) => {
                println!("skipped: tmux is not here: {error}");
                None
            }
        }
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new("tmux");
        command.args(["-u", "-L", &self.socket]).args(args).env_remove("TMUX");
        command
    }

    /// Types a line for the shell.
    pub(crate) fn line(&self, line: &str) {
        self.type_in(&["-l", line]);
        self.type_in(&["Enter"]);
    }

    /// Types a key.
    pub(crate) fn key(&self, key: &str) {
        self.type_in(&[key]);
    }

    pub(crate) fn type_in(&self, keys: &[&str]) {
        let args = [&["send-keys"], keys].concat();
        assert!(self.command(&args).status().unwrap().success());
    }

    pub(crate) fn resize(&self, columns: u16, rows: u16) {
        let (columns, rows) = (columns.to_string(), rows.to_string());
        let args = ["resize-window", "-x", &columns, "-y", &rows];
        assert!(self.command(&args).status().unwrap().success());
    }

    pub(crate) fn shown(&self) -> String {
        text(&self.command(&["capture-pane", "-p"]).output().unwrap())
    }

    /// Waits until the screen is as it should be, and returns it.
    #[track_caller]
    pub(crate) fn wait(&self, is_so: impl Fn(&str) -> bool) -> String {
        let start = Instant::now();
        loop {
            let shown = self.shown();
            if is_so(&shown) {
                return shown;
            }
            assert!(start.elapsed() < PATIENCE, "it still shows:\n{shown}");
            std::thread::sleep(PAUSE);
        }
    }

    #[track_caller]
    pub(crate) fn until(&self, text: &str) -> String {
        self.wait(|shown| shown.contains(text))
    }

    /// Leaves the program, and waits until the shell is ready: what is typed before goes to the one
    /// or the other.
    #[track_caller]
    pub(crate) fn quit(&self) {
        self.key("q");
        self.wait(|shown| {
            let last = shown.trim_end().lines().last().unwrap_or_default();
            last.starts_with("ready ") && last.len() <= "ready 255".len()
        });
    }

    /// The number of the program that runs in it.
    pub(crate) fn pid(&self) -> String {
        let shell =
            text(&self.command(&["display-message", "-p", "#{pane_pid}"]).output().unwrap());
        let children = format!("/proc/{0}/task/{0}/children", shell.trim());
        let start = Instant::now();
        loop {
            let pid = std::fs::read_to_string(&children).unwrap();
            if !pid.trim().is_empty() {
                return pid.trim().to_owned();
            }
            assert!(start.elapsed() < PATIENCE, "nothing runs");
        }
    }

    /// Checks that the terminal is as a shell wants it, with what was there before.
    #[track_caller]
    pub(crate) fn assert_restored(&self, expected: &str) {
        let shown = self.until(expected);
        assert!(shown.contains("before"), "the screen from before is gone:\n{shown}");
        assert!(!shown.contains("bifolio watch  "), "{shown}");
        let asked = ["display-message", "-p", "#{alternate_on} #{cursor_flag}"];
        self.wait(|_| text(&self.command(&asked).output().unwrap()).trim() == "0 1");
        self.line("stty -a | tr ' ;' '\\n\\n' | grep -xE -- '-?(echo|icanon|isig)' | tr '\\n' ' '");
        self.wait(|shown| {
            let words: Vec<_> = shown.split_whitespace().collect();
            ["isig", "icanon", "echo"].iter().all(|word| words.contains(word))
        });
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.command(&["kill-server"]).stderr(Stdio::null()).status();
    }
}
