//! `check_idempotent`: finds a flaw of each sort, says where, and finds nothing where nothing is wrong.

use anyhow::{Result, ensure};
use expect_test::{Expect, expect};

use crate::cloud::{Cloud, Flaw, kit, order};

async fn check(flaw: Flaw, expected: Expect) -> Result<()> {
    let report = kit(flaw)
        .check_idempotent(order, async |cloud: &Cloud| cloud.things())
        .await?;
    expected.assert_eq(&report.to_string());
    Ok(())
}

#[tokio::test]
async fn nothing_is_found_in_a_plan_that_bears_everything() -> Result<()> {
    check(
        Flaw::None,
        expect!["no run came to anything else: 53 runs, 32 crashes, 9 steps run twice, 30 cancels"],
    )
    .await
}

#[tokio::test]
async fn a_step_that_creates_twice_is_found() -> Result<()> {
    check(
        Flaw::CreatesTwice,
        expect![[r#"
        a crash before write 1 after step `volume`:
        step `volume` run twice:
          world.volume-1 is too much: "debian-13"
        2 runs came to something else: 53 runs, 32 crashes, 9 steps run twice, 30 cancels"#]],
    )
    .await
}

#[tokio::test]
async fn an_undo_that_leaves_something_is_found() -> Result<()> {
    check(
        Flaw::UndoLeaks,
        expect![[r#"
        cancelled when step `server` had done all it does, unknown to anybody:
        cancelled when step `address` had begun, and had done nothing:
        cancelled when step `address` had done all it does, unknown to anybody:
        cancelled when step `join` had begun, and had done nothing:
        and 21 more with the same differences:
          world.disk-of-s7 is too much: "s7"
        25 runs came to something else: 53 runs, 32 crashes, 9 steps run twice, 30 cancels"#]],
    )
    .await
}

#[tokio::test]
async fn an_undo_that_fails_when_its_step_has_not_done_anything_is_found() -> Result<()> {
    check(Flaw::UndoNeedsEffect, expect![[r#"
        cancelled when step `address` had begun, and had done nothing:
        cancelled when step `join` had done all it does, unknown to anybody; then a crash before write 1 after step `undo(address)`:
        cancelled when step `join` had done all it does, unknown to anybody; then step `undo(address)` run twice:
          the intent is failed and not cancelled: taking back `address`: 404: s7 has no address
        3 runs came to something else: 53 runs, 32 crashes, 9 steps run twice, 30 cancels"#]]).await
}

#[tokio::test]
async fn an_undo_that_cannot_be_run_twice_is_found() -> Result<()> {
    check(Flaw::UndoCounts, expect![[r#"
        cancelled when step `volume` had begun, and had done nothing:
        cancelled when step `join` had done all it does, unknown to anybody; then a crash before write 1 after step `undo(volume)`:
        cancelled when step `join` had done all it does, unknown to anybody; then step `undo(volume)` run twice:
          world.deleted in vain is too much: "s7"
        3 runs came to something else: 53 runs, 32 crashes, 9 steps run twice, 30 cancels"#]]).await
}

#[tokio::test]
async fn an_output_that_is_another_one_each_time_is_found() -> Result<()> {
    let report = kit(Flaw::RandomOutput)
        .check_idempotent(order, async |cloud: &Cloud| cloud.things())
        .await?;
    ensure!(!report.is_clean());
    let finding = &report.findings[0];
    ensure!(finding.when == "carried out twice, with nothing going wrong");
    let of = |line: &String| line.split(" is ").next().unwrap_or_default().to_owned();
    let places: Vec<_> = finding.differences.iter().map(of).collect();
    ensure!(
        places[..3] == ["output", "output of `join`", "output of `server`"],
        "{places:?}"
    );
    Ok(())
}

#[tokio::test]
async fn whatever_fails_can_be_resumed_rerun_skipped_and_undone() -> Result<()> {
    let report = kit(Flaw::None)
        .check_recovery(order, async |cloud: &Cloud| cloud.things())
        .await?;
    expect!["no run came to anything else: 82 runs, 10 crashes, 0 steps run twice, 0 cancels"]
        .assert_eq(&report.to_string());
    let report = kit(Flaw::UndoLeaks)
        .check_recovery(order, async |cloud: &Cloud| cloud.things())
        .await?;
    expect![[r#"
        step `server` met with a failure for good when it had done all it does; then undone:
        step `address` met with a failure for good before it had done anything; then undone:
        step `address` met with a failure for good when it had done all it does; then undone:
        step `join` met with a failure for good before it had done anything; then undone:
        and 2 more with the same differences:
          world.disk-of-s7 is too much: "s7"
        6 runs came to something else: 82 runs, 10 crashes, 0 steps run twice, 0 cancels"#]]
    .assert_eq(&report.to_string());
    Ok(())
}
