//! The process group of a program: how it is started, and how it is ended, so that nothing of it is left.
//!
//! The group's leader is not the program but a guardian before it: a shell that waits for the end of a pipe of which this
//! process alone has the other end, and then kills its group, and so itself. So the group ends with the worker, whatever that
//! ends by, `kill -9` and a crash included. And as long as the guardian has not been reaped the group's number is nobody
//! else's, so a signal to it never meets a stranger.
//!
//! Rejected: PR_SET_PDEATHSIG. It needs code between fork and exec, which Rust has in `unsafe` only; it is sent when the
//! *thread* ends that has started the program; and it does not reach what the program has started.

use std::io;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group, test_kill_process_group};
use tokio::io::AsyncWriteExt as _;
use tokio::process::{Child, Command as Spawn};
use tokio::task::JoinSet;

use super::Command;
use super::output::{Captured, Lines, Tail};
use crate::limits;

/// Ignores what ends the others, so that it is the last one.
const GUARDIAN: &str = "trap '' HUP INT QUIT TERM; read -r _; kill -KILL 0";

/// Sets the limit (in KiB), and becomes the program.
const LIMITED: &str = "ulimit -v \"$0\" && exec \"$@\"";

/// A program that runs, with all that it has started. Dropped, all of it is killed.
pub(super) struct Group {
    /// Its number is the guardian's.
    id: Pid,
    guardian: Child,
    main: Child,
    /// What reads and writes the program's pipes.
    pipes: JoinSet<io::Result<()>>,
    stdout: Tail,
    stderr: Tail,
}

impl Group {
    /// Starts it. `env`: beside what the command says. `log`: for the lines of its standard error.
    pub(super) fn start(
        command: &Command,
        program: &Path,
        env: [(&str, String); 4],
        log: Option<Lines>,
    ) -> io::Result<Self> {
        // Rust opens everything close-on-exec; what others have opened, or left to this process, is marked here.
        close_fds::set_fds_cloexec_threadsafe(3, &[]);
        let (guardian, id) = guardian()?;
        let mut spawn = match command.memory_limit {
            None => Spawn::new(program),
            // The limit has to be there before the program is: nobody else can set it without code between fork and exec.
            Some(bytes) => {
                let mut shell = Spawn::new("/bin/sh");
                shell.args(["-c", LIMITED]);
                shell.arg(bytes.div_ceil(1024).to_string()).arg(program);
                shell
            }
        };
        spawn.args(&command.args).env_clear().envs(&command.env);
        spawn.envs(env);
        if let Some(directory) = &command.directory {
            spawn.current_dir(directory);
        }
        let stdin = match command.stdin.is_empty() {
            true => Stdio::null(),
            false => Stdio::piped(),
        };
        spawn.stdin(stdin);
        spawn.stdout(Stdio::piped()).stderr(Stdio::piped());
        spawn.process_group(id.as_raw_nonzero().get());
        let main = spawn.kill_on_drop(true).spawn()?;
        let mut group = Self {
            id,
            guardian,
            main,
            pipes: JoinSet::new(),
            stdout: Tail::default(),
            stderr: Tail::default(),
        };
        group.connect(command, log);
        Ok(group)
    }

    /// All pipes at once: a program may fill one while it waits for another.
    fn connect(&mut self, command: &Command, log: Option<Lines>) {
        let limit = command.output_limit;
        if let Some(pipe) = self.main.stdout.take() {
            self.pipes
                .spawn(self.stdout.clone().read(pipe, limit, None));
        }
        if let Some(pipe) = self.main.stderr.take() {
            self.pipes.spawn(self.stderr.clone().read(pipe, limit, log));
        }
        if let Some(mut pipe) = self.main.stdin.take() {
            let bytes = command.stdin.clone();
            self.pipes
                .spawn(async move { pipe.write_all(&bytes).await });
        }
    }

    /// Waits for the program itself. Nothing is lost if this is dropped.
    pub(super) async fn wait(&mut self) {
        // How it ended is asked again.
        self.main.wait().await.ok();
    }

    /// Tells everybody in it to end.
    pub(super) fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    fn signal(&self, signal: Signal) {
        // Once the guardian is reaped, the number may be somebody else's.
        if self.guardian.id().is_some()
            && let Err(error) = kill_process_group(self.id, signal)
        {
            tracing::warn!(%error, group = %self.id, ?signal, "a program's process group got no signal");
        }
    }

    /// Reads, for so long, what a program has left that has ended; kills whatever there still is of the group, and waits for
    /// that.
    pub(super) async fn end(mut self, pipes: Duration) -> io::Result<Over> {
        if self.main.id().is_none() {
            // Something that it has started may keep them open for ever.
            self.drain(pipes).await;
        }
        self.signal(Signal::KILL);
        let status = self.main.wait().await?;
        self.guardian.wait().await?;
        // Others of the group are reaped by whoever has inherited them; they run no more in any case.
        let gone = async {
            while test_kill_process_group(self.id).is_ok() {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        tokio::time::timeout(limits::PROGRAM_GONE, gone).await.ok();
        // Whoever still has a pipe now is in a session of its own.
        self.drain(Duration::from_millis(100)).await;
        Ok(Over {
            status,
            stdout: self.stdout.take(),
            stderr: self.stderr.take(),
        })
    }

    async fn drain(&mut self, time: Duration) {
        // How reading ended is of no interest: what was read is there.
        let drained = async { while self.pipes.join_next().await.is_some() {} };
        tokio::time::timeout(time, drained).await.ok();
    }
}

/// What is left of a group.
pub(super) struct Over {
    pub(super) status: ExitStatus,
    pub(super) stdout: Captured,
    pub(super) stderr: Captured,
}

impl Drop for Group {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
    }
}

/// Starts the guardian, and with it the group.
fn guardian() -> io::Result<(Child, Pid)> {
    let mut guardian = Spawn::new("/bin/sh");
    guardian.args(["-c", GUARDIAN]).env_clear().current_dir("/");
    guardian.stdin(Stdio::piped());
    guardian.stdout(Stdio::null()).stderr(Stdio::null());
    let guardian = guardian.process_group(0).kill_on_drop(true).spawn();
    let guardian = guardian.map_err(|error| {
        let why = format!("`/bin/sh`, which guards a step's program, does not start: {error}");
        io::Error::new(error.kind(), why)
    })?;
    let id = guardian.id().and_then(|id| i32::try_from(id).ok());
    let id = id.and_then(Pid::from_raw);
    let id = id.ok_or_else(|| io::Error::other("the guardian has no process id"))?;
    Ok((guardian, id))
}
