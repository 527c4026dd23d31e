//! Command: a program that a step runs, insulated from the worker as a forked child would be, and with bounds.
//!
//! What the step says of it is here; [`group`] starts and kills it, [`output`] keeps what it writes, [`run`] sees it through
//! to its end and says how that was.

mod group;
mod output;
mod path;
mod run;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

pub use self::output::{Captured, CommandOutput};
use crate::limits;

/// A program for [`Cx::run`](crate::Cx::run), as `std::process::Command` is one for anybody; on Unix.
///
/// What is not said is empty: the program has no arguments, an empty standard input, no descriptors beyond its standard ones,
/// and of the worker's environment `PATH` alone. So a credential of the worker reaches only the programs to which it is handed.
///
/// ```
/// use std::time::Duration;
/// # use intendant::{Command, Cx, StepResult};
///
/// async fn convert(cx: Cx<()>, file: String) -> StepResult<u64> {
///     let convert = Command::new("wc").args(["-c", &file]).time_limit(Duration::from_secs(60)).memory_limit(1 << 30);
///     let converted = cx.run(convert).await?;
///     let bytes = converted.stdout.text();
///     Ok(bytes.split_whitespace().next().unwrap_or_default().parse()?)
/// }
/// ```
#[derive(Clone)]
#[must_use = "a command does nothing until a step runs it"]
pub struct Command {
    program: OsString,
    args: Vec<OsString>,
    env: BTreeMap<OsString, OsString>,
    directory: Option<PathBuf>,
    stdin: Vec<u8>,
    time_limit: Option<Duration>,
    grace: Duration,
    memory_limit: Option<u64>,
    output_limit: usize,
    codes: BTreeSet<i32>,
}

impl Command {
    /// A program by its path or by its name. A name is looked for in the `PATH` that the program will have; a relative path
    /// begins at its [directory](Self::current_dir).
    pub fn new(program: impl AsRef<OsStr>) -> Self {
        let mut command = Self {
            program: program.as_ref().to_owned(),
            args: Vec::new(),
            env: BTreeMap::new(),
            directory: None,
            stdin: Vec::new(),
            time_limit: None,
            grace: limits::PROGRAM_GRACE,
            memory_limit: None,
            output_limit: limits::PROGRAM_OUTPUT,
            codes: BTreeSet::from([0]),
        };
        command = command.env("PATH", "/usr/local/bin:/usr/bin:/bin");
        command.inherit("PATH")
    }

    /// One more argument. There is no shell in between that would take it apart.
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.args.push(arg.as_ref().to_owned());
        self
    }

    /// More arguments.
    pub fn args(mut self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        let args = args.into_iter().map(|arg| arg.as_ref().to_owned());
        self.args.extend(args);
        self
    }

    /// A variable of its environment. Those that the engine sets ([`Cx::run`](crate::Cx::run)) stay as they are.
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        let (name, value) = (name.as_ref().to_owned(), value.as_ref().to_owned());
        self.env.insert(name, value);
        self
    }

    /// A variable of its environment, as this process has it now; none if it has none.
    pub fn inherit(self, name: impl AsRef<OsStr>) -> Self {
        match std::env::var_os(name.as_ref()) {
            Some(value) => self.env(name, value),
            None => self,
        }
    }

    /// Where it runs. The worker's own directory unless said.
    pub fn current_dir(mut self, directory: impl Into<PathBuf>) -> Self {
        self.directory = Some(directory.into());
        self
    }

    /// What it reads from its standard input; then that ends. A program need not read it all.
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = bytes.into();
        self
    }

    /// How long it may run; without limit unless said, up to the step's own. Then its whole process group is told to end
    /// (SIGTERM) and killed after the [grace](Self::grace), and the attempt fails as a time-out.
    pub fn time_limit(mut self, limit: Duration) -> Self {
        self.time_limit = Some(limit);
        self
    }

    /// How long it may go on after SIGTERM; five seconds unless said.
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// How much address space each of its processes may have, in bytes (`RLIMIT_AS`, which is more than what is in memory):
    /// what a program asks for beyond that it does not get, and most then end with an error of their own. Nobody is killed by
    /// this, so the attempt fails as the program ends, with a word on the limit. Without limit unless said.
    pub fn memory_limit(mut self, bytes: u64) -> Self {
        self.memory_limit = Some(bytes);
        self
    }

    /// How many bytes of its standard output, and of its standard error, are kept: the last ones. A megabyte of each unless
    /// said. A program may write more than that: it is read, and counted in [`Captured::left_out`].
    pub fn output_limit(mut self, bytes: usize) -> Self {
        self.output_limit = bytes;
        self
    }

    /// The exit codes that count as success; 0 alone unless said.
    ///
    /// ```
    /// # use intendant::{Command, Cx, StepResult};
    /// async fn differs(cx: Cx<()>, (old, new): (String, String)) -> StepResult<bool> {
    ///     let diff = Command::new("diff").args(["-q", &old, &new]).success_codes([0, 1]);
    ///     Ok(cx.run(diff).await?.code == 1)
    /// }
    /// ```
    pub fn success_codes(mut self, codes: impl IntoIterator<Item = i32>) -> Self {
        self.codes = codes.into_iter().collect();
        self
    }
}

/// Without the values of its environment and what it reads: credentials are handed over by these.
impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Command")
            .field("program", &self.program)
            .field("args", &self.args)
            .field("env", &self.env.keys())
            .finish_non_exhaustive()
    }
}
