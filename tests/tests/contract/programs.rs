//! Programs that steps run: what they are given, and what comes of them.

use std::collections::BTreeSet;
use std::future::Future;
use std::time::Duration;

use anyhow::{Result, ensure};
use intendant::{
    AttemptRecord, Command, Cx, Intent, IntentRecord, Node, Plan, StepResult, limits, value,
};
use serde::{Deserialize, Serialize};

use crate::support::{Bench, on_both, start};

on_both! {
    what_a_program_says_is_the_steps_to_use;
    an_exit_code_is_an_error_with_the_last_lines_and_is_tried_again;
    exit_codes_that_count_as_success_are_told;
    a_program_that_is_not_there_fails_at_once;
    a_program_that_somebody_kills_says_by_which_signal;
    the_environment_is_empty_but_for_what_is_named;
    no_descriptors_are_inherited;
    a_standard_input_larger_than_a_pipe_is_read_to_its_end_or_not;
    of_a_hundred_megabytes_the_last_are_kept;
    a_program_gets_no_more_memory_than_its_limit;
    what_it_says_on_standard_error_is_in_the_steps_log;
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Job {
    pub(crate) text: String,
}

impl Intent for Job {
    const KIND: &'static str = "job";
    type Output = String;
}

pub(crate) fn sh(script: &str) -> Command {
    Command::new("sh").args(["-c", script])
}

/// A plan of one step, `work`, that is tried twice.
pub(crate) fn plan<S, F, Fut>(step: F) -> impl Fn(&Job, &mut Plan<S>) -> Node<String>
where
    S: Send + Sync + 'static,
    F: Fn(Cx<S>, String) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = StepResult<String>> + Send + 'static,
{
    move |job, plan| {
        plan.step("work", step.clone())
            .attempts(2)
            .backoff(Duration::from_millis(1), Duration::from_millis(1))
            .input(value(job.text.clone()))
    }
}

/// Carries out one intent by this step. Returns what became of it.
async fn carry_out<F, Fut>(
    bench: &Bench,
    text: &str,
    step: F,
) -> Result<(IntentRecord, Vec<AttemptRecord>)>
where
    F: Fn(Cx<()>, String) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = StepResult<String>> + Send + 'static,
{
    let worker = start(bench.worker(()).register::<Job, _>(plan(step)));
    let text = text.to_owned();
    let handle = bench.intendant.request(Job { text }).await?;
    let record = bench.rest(handle.id()).await?;
    let attempts = bench.intendant.attempts(handle.id()).await?;
    worker.stop().await?;
    bench.check().await?;
    Ok((record, attempts))
}

/// The output of an intent that has succeeded.
async fn output<F, Fut>(bench: &Bench, text: &str, step: F) -> Result<String>
where
    F: Fn(Cx<()>, String) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = StepResult<String>> + Send + 'static,
{
    let (record, attempts) = carry_out(bench, text, step).await?;
    ensure!(attempts.is_empty(), "{attempts:?}");
    let Some(output) = record.output else {
        anyhow::bail!("{record:?}");
    };
    Ok(serde_json::from_str(output.get())?)
}

/// Runs the script that is the input.
async fn runs(cx: Cx<()>, script: String) -> StepResult<String> {
    Ok(cx.run(sh(&script)).await?.stdout.text().into_owned())
}

async fn what_a_program_says_is_the_steps_to_use(bench: Bench) -> Result<()> {
    async fn counts(cx: Cx<()>, text: String) -> StepResult<String> {
        let counted = cx.run(Command::new("wc").arg("-c").stdin(text)).await?;
        assert_eq!((counted.code, counted.stderr.bytes()), (0, &b""[..]));
        assert!(counted.took > Duration::ZERO && counted.stdout.left_out() == 0);
        let script = "printf '\\377'; echo \"$1\" 'it''s';  echo no >&2; pwd";
        let more = sh(script).args(["sh", "a; b $(c)"]).current_dir("/");
        let more = cx.run(more).await?;
        assert_eq!(more.stderr.bytes(), b"no\n");
        Ok(format!(
            "{}{}",
            counted.stdout.text().trim(),
            more.stdout.text()
        ))
    }
    let output = output(&bench, "seven b", counts).await?;
    ensure!(output == "7\u{fffd}a; b $(c) its\n/\n", "{output:?}");
    Ok(())
}

async fn an_exit_code_is_an_error_with_the_last_lines_and_is_tried_again(
    bench: Bench,
) -> Result<()> {
    let script = "for line in $(seq 50); do echo line $line >&2; done; exit 3";
    let (record, attempts) = carry_out(&bench, script, runs).await?;
    ensure!(
        record.reason.as_deref() == Some("step failed"),
        "{record:?}"
    );
    ensure!(
        attempts.len() == 2 && attempts[0].failure == "error",
        "{attempts:?}"
    );
    let (from, to) = ("`sh` ended with exit code 3: line 41\n", "\nline 50");
    let error = &attempts[0].error;
    ensure!(error.starts_with(from) && error.ends_with(to), "{error}");
    Ok(())
}

async fn exit_codes_that_count_as_success_are_told(bench: Bench) -> Result<()> {
    async fn codes(cx: Cx<()>, _: String) -> StepResult<String> {
        let mut codes = Vec::new();
        for code in [0, 1, 7] {
            let command = sh(&format!("exit {code}")).success_codes([1, 7]);
            match cx.run(command).await {
                Ok(output) => codes.push(output.code.to_string()),
                Err(error) => {
                    let (_, words) = error.failure().unwrap();
                    codes.push(words.into_owned());
                }
            }
        }
        Ok(codes.join(", "))
    }
    let output = output(&bench, "", codes).await?;
    ensure!(output == "`sh` ended with exit code 0, 1, 7", "{output}");
    Ok(())
}

async fn a_program_that_is_not_there_fails_at_once(bench: Bench) -> Result<()> {
    async fn runs(cx: Cx<()>, program: String) -> StepResult<String> {
        // Limited or not: it is no shell's word that it is missing.
        let command = Command::new(program).memory_limit(1 << 30);
        cx.run(command.env("PATH", "/nowhere")).await?;
        Ok(String::new())
    }
    let missing = [
        (
            "no-such-program",
            "there is no program `no-such-program` in /nowhere",
        ),
        ("/no/such", "the program `/no/such` does not exist"),
        ("/etc/passwd", "the program `/etc/passwd` is not executable"),
        ("/etc", "the program `/etc` is no file"),
    ];
    for (program, words) in missing {
        let (record, attempts) = carry_out(&bench, program, runs).await?;
        ensure!(
            record.reason.as_deref() == Some("step failed"),
            "{record:?}"
        );
        ensure!(
            attempts.len() == 1 && attempts[0].failure == "gave up",
            "{attempts:?}"
        );
        ensure!(attempts[0].error == words, "{attempts:?}");
    }
    Ok(())
}

async fn a_program_that_somebody_kills_says_by_which_signal(bench: Bench) -> Result<()> {
    let (_, attempts) = carry_out(&bench, "echo why >&2; kill -9 $$", runs).await?;
    let words = "`sh` was killed by signal: 9 (SIGKILL); what it did is unknown: why";
    ensure!(
        attempts.len() == 2 && attempts[0].error == words,
        "{attempts:?}"
    );
    Ok(())
}

async fn the_environment_is_empty_but_for_what_is_named(bench: Bench) -> Result<()> {
    async fn names(cx: Cx<()>, _: String) -> StepResult<String> {
        let command = Command::new("env").env("COLOUR", "red");
        // Whatever somebody says of them, these are the engine's.
        let command = command
            .env("INTENDANT_STEP", "another")
            .inherit("NO_SUCH_VARIABLE");
        let output = cx.run(command).await?.stdout.text().into_owned();
        let key = format!("INTENDANT_IDEMPOTENCY_KEY={}\n", cx.idempotency_key());
        let id = format!("INTENDANT_INTENT_ID={}\n", cx.intent_id());
        for line in [
            &key,
            &id,
            "INTENDANT_STEP=work\n",
            "INTENDANT_ATTEMPT=1\n",
            "COLOUR=red\n",
        ] {
            assert!(output.contains(line), "{output}");
        }
        Ok(output)
    }
    // This process has more than a few.
    ensure!(std::env::vars_os().count() > 6);
    let output = output(&bench, "", names).await?;
    let names = output.lines().filter_map(|line| line.split('=').next());
    let names: BTreeSet<_> = names.collect();
    let expected = [
        "COLOUR",
        "INTENDANT_ATTEMPT",
        "INTENDANT_IDEMPOTENCY_KEY",
        "INTENDANT_INTENT_ID",
        "INTENDANT_STEP",
        "PATH",
    ];
    ensure!(names == BTreeSet::from(expected), "{names:?}");
    Ok(())
}

async fn no_descriptors_are_inherited(bench: Bench) -> Result<()> {
    if !cfg!(target_os = "linux") {
        return Ok(());
    }
    // As a library opens it that does not think of programs.
    let left_open = std::fs::File::open("/dev/null")?;
    rustix::io::fcntl_setfd(&left_open, rustix::io::FdFlags::empty())?;
    let script = "ls /proc/$$/fd; true";
    let output = output(&bench, script, runs).await?;
    let descriptors: Vec<&str> = output.split_whitespace().collect();
    ensure!(descriptors == ["0", "1", "2"], "{descriptors:?}");
    drop(left_open);
    Ok(())
}

async fn a_standard_input_larger_than_a_pipe_is_read_to_its_end_or_not(bench: Bench) -> Result<()> {
    async fn echoes(cx: Cx<()>, _: String) -> StepResult<String> {
        let bytes: Vec<u8> = (0..1_000_000_u32).map(|nth| nth as u8).collect();
        let output = cx.run(Command::new("cat").stdin(bytes.clone())).await?;
        assert!(output.stdout.bytes() == bytes, "it is what it was given");
        // Both ways at once, more than the pipes hold; and one that reads nothing.
        let both = sh("cat; cat /dev/null >&2")
            .stdin(bytes.clone())
            .output_limit(10);
        assert_eq!(cx.run(both).await?.stdout.left_out(), 999_990);
        cx.run(Command::new("true").stdin(bytes)).await?;
        let none = cx.run(Command::new("cat")).await?;
        Ok(none.stdout.text().into_owned())
    }
    let output = output(&bench, "", echoes).await?;
    ensure!(
        output.is_empty(),
        "without anything said there is nothing to read"
    );
    Ok(())
}

async fn of_a_hundred_megabytes_the_last_are_kept(bench: Bench) -> Result<()> {
    async fn babbles(cx: Cx<()>, _: String) -> StepResult<String> {
        let script = "head -c 100000000 /dev/zero; echo end; head -c 3000000 /dev/zero >&2";
        let output = cx.run(sh(script)).await?;
        assert_eq!(output.stdout.bytes().len(), limits::PROGRAM_OUTPUT);
        assert!(output.stdout.bytes().ends_with(b"\0end\n"));
        let kept = limits::PROGRAM_OUTPUT as u64;
        assert_eq!(output.stderr.left_out(), 3_000_000 - kept);
        Ok(output.stdout.left_out().to_string())
    }
    let output = output(&bench, "", babbles).await?;
    ensure!(
        output == (100_000_004 - limits::PROGRAM_OUTPUT).to_string(),
        "{output}"
    );
    Ok(())
}

async fn a_program_gets_no_more_memory_than_its_limit(bench: Bench) -> Result<()> {
    if !cfg!(target_os = "linux") {
        return Ok(());
    }
    async fn hoards(cx: Cx<()>, limit: String) -> StepResult<String> {
        // It has to keep a line that does not end.
        let hoards = sh("head -c 100000000 /dev/zero | tail").output_limit(0);
        let hoards = match limit.parse() {
            Ok(bytes) => hoards.memory_limit(bytes),
            Err(_) => hoards,
        };
        Ok(cx.run(hoards).await?.stdout.left_out().to_string())
    }
    ensure!(output(&bench, "none", hoards).await? == "100000000");
    ensure!(output(&bench, "1000000000", hoards).await? == "100000000");
    let (_, attempts) = carry_out(&bench, "52428800", hoards).await?;
    let words = "(its memory is limited to 50.0 MiB of address space)";
    ensure!(attempts.len() == 2, "{attempts:?}");
    ensure!(attempts[0].error.contains(words), "{attempts:?}");
    Ok(())
}

async fn what_it_says_on_standard_error_is_in_the_steps_log(bench: Bench) -> Result<()> {
    async fn talks(cx: Cx<()>, lines: String) -> StepResult<String> {
        tracing::info!("starting");
        let script =
            "for line in $(seq $0); do echo line $line >&2; done; printf 'no end' >&2; echo out";
        cx.run(sh(script).arg(lines)).await?;
        tracing::info!("done");
        Ok(String::new())
    }
    let (record, _) = carry_out(&bench, "3", talks).await?;
    let logs = bench.intendant.logs(record.id).await?;
    let lines = logs[0].lines.iter();
    let lines: Vec<_> = lines
        .map(|line| (line.target.as_str(), line.text.as_str()))
        .collect();
    let said = ["line 1", "line 2", "line 3", "no end"].map(|text| ("sh", text));
    ensure!(
        lines[1..5] == said && lines[0].1 == "starting" && lines[5].1 == "done",
        "{lines:?}"
    );
    // However many there are.
    let (record, _) = carry_out(&bench, "1000", talks).await?;
    let logs = bench.intendant.logs(record.id).await?;
    ensure!(
        logs[0].lines.len() == limits::LOG_LINES && logs[0].cut_lines == 803,
        "{}",
        logs[0].cut_lines
    );
    Ok(())
}
