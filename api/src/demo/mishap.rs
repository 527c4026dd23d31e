//! What goes wrong on purpose: `--kill-at` and `--fail-at`.

use intendant::{Cx, StepResult, fail};

use super::progress::Screen;

/// The state of the demo's worker: in which step it dies or fails.
#[derive(Debug, Clone, Default)]
pub(crate) struct Mishap {
    pub(crate) kill_at: Option<String>,
    pub(crate) fail_at: Option<String>,
    pub(crate) screen: Screen,
}

/// The middle of a step: its effect has begun, its result is not recorded.
pub(crate) async fn middle(cx: &Cx<Mishap>) -> StepResult<()> {
    let here = Some(cx.step_name());
    if cx.state().kill_at.as_deref() == here {
        let step = cx.step_name();
        cx.state().screen.aside(|| {
            eprintln!("--kill-at {step}: kill -9 of this process, in the middle of the step");
            eprintln!("run it again without --kill-at to go on");
            kill_9(std::process::id())
        })?;
        // The signal is on its way; nothing more shall happen in this step.
        std::future::pending::<()>().await;
    }
    if cx.state().fail_at.as_deref() == here {
        return Err(fail(format!(
            "told to fail here by --fail-at {}",
            cx.step_name()
        )));
    }
    Ok(())
}

/// Sends SIGKILL. By way of the command of that name, since a system call of our own would be unsafe code.
pub(crate) fn kill_9(pid: u32) -> std::io::Result<()> {
    std::process::Command::new("kill")
        .arg("-9")
        .arg(pid.to_string())
        .status()
        .map(drop)
}
