//! The terminal: taken when the screen begins, and given back however the program ends.
//!
//! 1. From [`Screen::take`] on, whatever ends the process by Rust's means (a return, an error, a
//!    panic) restores the terminal: by [`Drop`], and by the hook of panics before their message is
//!    printed.
//! 2. SIGINT, SIGTERM and SIGTSTP set a flag only; who runs the screen asks for it many times a
//!    second, restores the terminal and then lets the signal do what it does by default.
//! 3. SIGHUP ends the process at once: there is no terminal left to give back, and waiting for keys
//!    from it would never end, so it is not ignored either.
//!
//! SIGKILL and SIGSTOP cannot be seen by anybody; `reset` helps then.

use crate::failure::Failure;
use ratatui::DefaultTerminal;
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::{EnterAlternateScreen, enable_raw_mode};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGTSTP};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// The signals that end or stop the program.
const SIGNALS: [i32; 3] = [SIGINT, SIGTERM, SIGTSTP];

/// How a shell says that SIGHUP ended a program.
const HUNG_UP: i32 = 128 + SIGHUP;

/// The terminal while it shows the screen.
pub(super) struct Screen {
    pub(super) terminal: DefaultTerminal,
    flags: [Arc<AtomicBool>; SIGNALS.len()],
}

impl Screen {
    /// Takes the terminal: raw, and on its other screen.
    pub(super) fn take() -> Result<Screen, Failure> {
        let flags: [Arc<AtomicBool>; SIGNALS.len()] = Default::default();
        for (signal, flag) in SIGNALS.iter().zip(&flags) {
            signal_hook::flag::register(*signal, Arc::clone(flag)).map_err(unusable)?;
        }
        let always = Arc::new(AtomicBool::new(true));
        signal_hook::flag::register_conditional_shutdown(SIGHUP, HUNG_UP, always)
            .map_err(unusable)?;
        // Its hook restores the terminal before a panic is printed.
        let terminal = ratatui::try_init().map_err(|error| {
            ratatui::restore();
            unusable(error)
        })?;
        Ok(Screen { terminal, flags })
    }

    /// The signal that came since it was asked last.
    pub(super) fn signal(&self) -> Option<i32> {
        let came = |flag: &Arc<AtomicBool>| flag.swap(false, Ordering::SeqCst);
        self.flags.iter().position(came).map(|index| SIGNALS[index])
    }

    /// Gives the terminal back, lets a signal do what it does by default, and takes the terminal
    /// again where that did not end the process.
    pub(super) fn obey(&mut self, signal: i32) -> Result<(), Failure> {
        self.terminal.show_cursor().map_err(unusable)?;
        ratatui::restore();
        signal_hook::low_level::emulate_default_handler(signal).map_err(unusable)?;
        enable_raw_mode().map_err(unusable)?;
        execute!(std::io::stdout(), EnterAlternateScreen).map_err(unusable)?;
        self.terminal.clear().map_err(unusable)
    }

    /// As Ctrl-C, which is a key while the terminal is raw.
    pub(super) fn interrupt(&mut self) -> Result<(), Failure> {
        self.obey(SIGINT)
    }

    /// As Ctrl-Z, which is a key while the terminal is raw.
    pub(super) fn suspend(&mut self) -> Result<(), Failure> {
        self.obey(SIGTSTP)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        ratatui::restore();
    }
}

/// What a terminal refused.
pub(super) fn unusable(error: std::io::Error) -> Failure {
    Failure::message(format!("the terminal cannot be drawn on: {error}"))
        .with_help("--once prints one picture as text")
}

#[cfg(test)]
mod tests {
    use super::Screen;
    use std::process::Command;

    /// The variable that has this program panic on the screen.
    const PANIC: &str = "BIFOLIO_PANIC_ON_SCREEN";

    /// Does nothing but in a child, whose terminal is that of script(1).
    #[test]
    fn scenario() {
        if std::env::var_os(PANIC).is_some() {
            let mut screen = Screen::take().unwrap();
            screen.terminal.draw(|frame| frame.render_widget("drawn", frame.area())).unwrap();
            panic!("in the middle of it");
        }
    }

    #[test]
    fn a_panic_gives_the_terminal_back_before_it_is_told() {
        let program = std::env::current_exe().unwrap();
        let line = format!(
            "stty rows 24 cols 80; stty -g; {} --exact {}::scenario --nocapture; stty -g",
            program.display(),
            module_path!().split_once("::").unwrap().1,
        );
        let mut script = Command::new("script");
        script.args(["-qec", &line, "/dev/null"]).env(PANIC, "").env("TERM", "xterm");
        let Ok(output) = script.stdin(std::process::Stdio::null()).output() else {
            return println!("skipped: script(1) is not here");
        };
        let shown = String::from_utf8_lossy(&output.stdout);
        let at = |text: &str| shown.find(text).unwrap_or_else(|| panic!("{text:?}: {shown:?}"));
        let (other, own) = (at("\u{1b}[?1049h"), at("\u{1b}[?1049l"));
        let (drawn, told) = (at("drawn"), at("in the middle of it"));
        assert!(other < drawn && drawn < own && own < told, "{shown:?}");
        // Raw no more, which is told by what stty(1) says of it.
        let settings: Vec<_> =
            shown.lines().filter(|line| line.matches(':').count() > 20).collect();
        assert_eq!(settings.len(), 2, "{shown:?}");
        assert_eq!(settings[0].trim(), settings[1].trim());
    }
}
