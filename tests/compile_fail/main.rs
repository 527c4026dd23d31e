//! What must not compile, and how the compiler says so.
//!
//! That it does not compile is shown by the documentation's own tests (`Plan`, `StepBuilder::undo`). What the compiler says of it is looked
//! at by hand, since the engine and all that it depends on are compiled once more for that:
//! `INTENDANT_TEST_SCALE=full cargo test --test compile_fail`.

#[test]
fn a_wrong_plan_does_not_compile() {
    if std::env::var("INTENDANT_TEST_SCALE").is_ok_and(|scale| scale == "full") {
        trybuild::TestCases::new().compile_fail("cases/*.rs");
    }
}
