//! The second process: the program runs itself once more, opens the file that it is told of, and
//! does and says what it is asked, line by line.

use crate::failure::Failure;
use crate::hex;
use bifolio::{Access, AccessMut, FileMap, SharedMap};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// The witness as the first process sees it. It ends when the value goes.
pub(super) struct Witness {
    child: Child,
    /// Nothing, once it was told to end.
    questions: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Witness {
    /// Starts a process that looks at the file at `path`.
    pub(super) fn of(path: &Path) -> Result<Witness, Failure> {
        // This very program, wherever it lies and whatever lies there by now.
        let mut command = Command::new("/proc/self/exe");
        command.arg("tour").arg("--witness").arg(path);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let failed =
            |error| Failure::message(format!("no second process could be started: {error}"));
        let mut child = command.spawn().map_err(failed)?;
        let questions = child.stdin.take();
        let answers =
            child.stdout.take().ok_or_else(|| failed(io::ErrorKind::BrokenPipe.into()))?;
        Ok(Witness { child, questions, answers: BufReader::new(answers) })
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it reads at `offset` through a mapping of its own, from the file as it is.
    pub(super) fn read(&mut self, offset: usize, len: usize) -> Result<Vec<u8>, Failure> {
        let answer = self.ask(&format!("read {offset} {len}"))?;
        let digits: Vec<_> = answer.bytes().filter_map(hex::value).collect();
        Ok(digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect())
    }

    /// Has it write through a shared mapping of its own.
    pub(super) fn write(&mut self, offset: usize, bytes: &[u8]) -> Result<(), Failure> {
        self.ask(&format!("write {offset} {}", hex::string(bytes))).map(drop)
    }

    /// Has it cut the file, and does not wait until it has.
    pub(super) fn start_to_truncate(&mut self, len: usize) -> Result<(), Failure> {
        self.send(&format!("truncate {len}"))
    }

    /// Waits for the answer to what was started.
    pub(super) fn wait(&mut self) -> Result<String, Failure> {
        let mut answer = String::new();
        let read = self.answers.read_line(&mut answer);
        match answer.trim_end_matches('\n').split_once(' ') {
            Some(("ok", text)) => Ok(text.to_owned()),
            Some(("failed", text)) => Err(Failure::message(text)),
            _ => {
                let why = read.err().map_or_else(String::new, |error| format!(": {error}"));
                Err(Failure::message(format!("the second process did not answer{why}")))
            }
        }
    }

    fn ask(&mut self, question: &str) -> Result<String, Failure> {
        self.send(question)?;
        self.wait()
    }

    fn send(&mut self, question: &str) -> Result<(), Failure> {
        let sent = self.questions.as_mut().map(|questions| writeln!(questions, "{question}"));
        match sent {
            Some(Ok(())) => Ok(()),
            _ => Err(Failure::message("the second process does not listen")),
        }
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        // It ends when there are no more questions.
        self.questions = None;
        let _ = self.child.wait();
    }
}

/// The witness itself: answers the questions on standard input until there are no more.
pub(super) fn testify(path: &PathBuf) -> io::Result<()> {
    let mut answers = io::stdout().lock();
    for question in io::stdin().lock().lines() {
        match answer(path, &question?) {
            Ok(text) => writeln!(answers, "ok {text}")?,
            Err(text) => writeln!(answers, "failed {text}")?,
        }
        answers.flush()?;
    }
    Ok(())
}

fn answer(path: &PathBuf, question: &str) -> Result<String, String> {
    let words: Vec<_> = question.split(' ').collect();
    let number = |word: &str| word.parse::<usize>().map_err(|error| error.to_string());
    match words[..] {
        ["read", offset, len] => {
            let map = FileMap::open(path).map_err(|error| error.to_string())?;
            let mut bytes = vec![0; number(len)?];
            map.read_exact_at(&mut bytes, number(offset)?).map_err(|error| error.to_string())?;
            Ok(hex::string(&bytes))
        }
        ["write", offset, bytes] => {
            let map = SharedMap::open(path).map_err(|error| error.to_string())?;
            let digits: Vec<_> = bytes.bytes().filter_map(hex::value).collect();
            let bytes: Vec<_> = digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect();
            map.write_all_at(&bytes, number(offset)?).map_err(|error| error.to_string())?;
            Ok(String::new())
        }
        ["truncate", len] => {
            let file = File::options().write(true).open(path);
            let cut = file.and_then(|file| file.set_len(number(len).unwrap_or(0) as u64));
            cut.map(|()| String::new()).map_err(|error| error.to_string())
        }
        _ => Err(format!("what is {question:?}?")),
    }
}
